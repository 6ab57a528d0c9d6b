"""Apply seeds to the database.

Hashing keys is slow and comes first, outside the transaction. A key that an account
already has is not hashed again.
"""

from collections.abc import Iterator
from dataclasses import replace

from sendgrid_bounces.auth import Authenticator
from sendgrid_bounces.core.accounts import Account
from sendgrid_bounces.core.errors import NameTakenError
from sendgrid_bounces.schemas.seeds import AccountSeed, DomainSeed, ListSeed, Seed
from sendgrid_bounces.schemas.sources import SourceSeed
from sendgrid_bounces.storage.database import Storage


def apply_seed(storage: Storage, authenticator: Authenticator, seed: Seed) -> None:
    """Store *seed* in one transaction. Applying it again changes nothing.

    :raises NameTakenError: if a name belongs to another account.
    """
    hashed = hash_keys(storage, authenticator, seed)
    storage.accounts.transact(lambda: apply_hashed_seed(storage, hashed))


def hash_keys(storage: Storage, authenticator: Authenticator, seed: Seed) -> Seed:
    """Return *seed* with the hashes of its keys and tokens among the settings."""
    accounts = [
        hash_account_keys(storage, authenticator, account) for account in seed.accounts
    ]
    sources = [hash_token(storage, authenticator, source) for source in seed.sources]
    return replace(seed, accounts=accounts, sources=sources)


def hash_account_keys(
    storage: Storage, authenticator: Authenticator, seed: AccountSeed
) -> AccountSeed:
    """Return *seed* with the hashes of its key and the keys of its customers."""
    settings = dict(seed.settings)
    if seed.api_key:
        salt = storage.accounts.read_key_salt()
        account = storage.accounts.find(seed.username)
        key_hash = account.key_hash if account else ""
        if account and key_hash and authenticator.matches(key_hash, seed.api_key):
            settings |= {"key_hash": key_hash, "key_tag": account.key_tag}
            settings["key_salt"] = salt
        else:
            settings |= authenticator.hash_key(seed.api_key)
    customers = [
        hash_account_keys(storage, authenticator, customer)
        for customer in seed.customers
    ]
    return replace(seed, settings=settings, customers=customers)


def apply_hashed_seed(storage: Storage, seed: Seed) -> None:
    """Store *seed*, with hashed keys, as a part of the current transaction."""
    for account in seed.accounts:
        apply_account(storage, account, None)
    if seed.faults:
        storage.faults.add_seeded(seed.faults)
    for source in seed.sources:
        apply_source(storage, source)


def hash_token(
    storage: Storage, authenticator: Authenticator, seed: SourceSeed
) -> SourceSeed:
    """Return *seed* with the hash of its token, if any, among its settings."""
    if not seed.token:
        return seed
    found = storage.sources.find(seed.name)
    token_hash = found.settings.token_hash if found else ""
    if not token_hash or not authenticator.matches(token_hash, seed.token):
        token_hash = authenticator.hash_key(seed.token)["key_hash"]
    settings = replace(seed.settings, token_hash=token_hash)
    return replace(seed, token="", settings=settings)


def apply_source(storage: Storage, seed: SourceSeed) -> None:
    """Store a source, with its token hashed.

    :raises UnknownNameError: if its owner does not exist.
    :raises NameTakenError: if it exists with another owner or of another kind.
    """
    owner = storage.accounts.named_list(seed.owner).owner
    found = storage.sources.find(seed.name)
    if found is None:
        storage.sources.add(seed.name, owner, seed.kind, seed.settings)
    elif (found.owner, found.kind) != (owner, seed.kind):
        raise NameTakenError(
            f"source {seed.name!r} already exists with another owner or kind"
        )
    elif found.settings != seed.settings:
        storage.sources.change(seed.name, seed.settings)


def apply_account(
    storage: Storage, seed: AccountSeed, reseller: Account | None
) -> None:
    """Store an account with its customers and domains; all keys are hashed.

    :raises NameTakenError: if a name belongs to another account.
    """
    account = storage.accounts.find(seed.username)
    if account is None:
        account = storage.accounts.add(seed.username, reseller)
    elif account.reseller != (reseller and reseller.id):
        raise NameTakenError(
            f"account {seed.username!r} already exists with another reseller"
        )
    if seed.settings:
        storage.accounts.change(account, **seed.settings)
    _apply_bounces(storage, account.bounce_list, seed.bounces)
    for customer in seed.customers:
        apply_account(storage, customer, account)
    for domain in seed.domains:
        apply_domain(storage, domain, account)


def apply_domain(storage: Storage, seed: DomainSeed, account: Account) -> None:
    """Store a domain of *account*.

    :raises NameTakenError: if the domain has another account or another list.
    """
    domain = storage.accounts.add_domain(
        seed.name, account, shares_list=seed.shares_list
    )
    _apply_bounces(storage, domain.bounce_list, seed.bounces)


def walk_accounts(
    accounts: list[AccountSeed], reseller: str | None = None
) -> Iterator[tuple[AccountSeed, str | None]]:
    """Yield each of *accounts* and their customers with the name of its reseller."""
    for account in accounts:
        yield account, reseller
        yield from walk_accounts(account.customers, account.username)


def _apply_bounces(storage: Storage, bounce_list: int, seed: ListSeed) -> None:
    if seed.dated:
        storage.bounces.put(bounce_list, seed.dated)
    if seed.undated:
        storage.bounces.put(bounce_list, seed.undated, redate=False)
