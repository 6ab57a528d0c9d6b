"""Storing what seed files describe.

Keys are hashed slowly: :func:`seal` does it before anything is stored, so that nobody
waits for it, and leaves the hash of a key as it is that the account has already.
"""

from collections.abc import Iterator
from dataclasses import replace

from sendgrid_bounces.auth import Authenticator
from sendgrid_bounces.core.accounts import Account
from sendgrid_bounces.core.errors import NameTakenError
from sendgrid_bounces.schemas.seeds import AccountSeed, DomainSeed, ListSeed, Seed
from sendgrid_bounces.storage.database import Storage


def apply(storage: Storage, authenticator: Authenticator, seed: Seed) -> None:
    """Store *seed*, all or nothing. Planting it again changes nothing.

    :raises NameTakenError: if a name belongs to somebody else already.
    """
    hashed = hash_keys(storage, authenticator, seed)
    storage.engine.transact(lambda: apply_hashed(storage, hashed))


def hash_keys(storage: Storage, authenticator: Authenticator, seed: Seed) -> Seed:
    """Return *seed* with the hashes of its keys among the accounts' settings."""
    accounts = [
        hash_account_keys(storage, authenticator, found) for found in seed.accounts
    ]
    return replace(seed, accounts=accounts)


def hash_account_keys(
    storage: Storage, authenticator: Authenticator, seed: AccountSeed
) -> AccountSeed:
    """Return *seed* with the hashes of its and its customers' keys."""
    settings = dict(seed.settings)
    if seed.api_key:
        account = storage.accounts.find(seed.username)
        if (
            account
            and account.key_hash
            and authenticator.matches(account, seed.api_key)
        ):
            settings |= {"key_hash": account.key_hash, "key_tag": account.key_tag}
        else:
            settings |= authenticator.hashed(seed.api_key)
    customers = [
        hash_account_keys(storage, authenticator, found) for found in seed.customers
    ]
    return replace(seed, settings=settings, customers=customers)


def apply_hashed(storage: Storage, seed: Seed) -> None:
    """Store *seed*, whose keys are hashed, as a part of the act that this is in."""
    for account in seed.accounts:
        apply_account(storage, account, None)
    storage.faults.add_seeded(seed.faults)


def apply_account(
    storage: Storage, seed: AccountSeed, reseller: Account | None
) -> None:
    """Store an account, whose keys are hashed, with its customers and domains."""
    account = storage.accounts.find(seed.username)
    if account is None:
        account = storage.accounts.add(seed.username, reseller)
    elif account.reseller != (reseller and reseller.id):
        raise NameTakenError(f"account {seed.username!r} is there with another owner")
    if seed.settings:
        storage.accounts.change(account, **seed.settings)
    _apply_bounces(storage, account.bounce_list, seed.bounces)
    for customer in seed.customers:
        apply_account(storage, customer, account)
    for domain in seed.domains:
        apply_domain(storage, domain, account)


def apply_domain(storage: Storage, seed: DomainSeed, account: Account) -> None:
    """Store a domain of *account*."""
    domain = storage.accounts.add_domain(
        seed.name, account, shares_list=seed.shares_list
    )
    _apply_bounces(storage, domain.bounce_list, seed.bounces)


def walk(
    accounts: list[AccountSeed], reseller: str | None = None
) -> Iterator[tuple[AccountSeed, str | None]]:
    """Yield each of *accounts* and their customers, with its reseller's name."""
    for account in accounts:
        yield account, reseller
        yield from walk(account.customers, account.username)


def _apply_bounces(storage: Storage, bounce_list: int, seed: ListSeed) -> None:
    storage.bounces.put(bounce_list, seed.dated)
    storage.bounces.put(bounce_list, seed.undated, redate=False)
