"""Storing what seed files describe."""

from sendgrid_bounces.core.accounts import Account
from sendgrid_bounces.core.errors import NameTakenError
from sendgrid_bounces.credentials import Credentials
from sendgrid_bounces.seeds import AccountSeed, ListSeed, Seed
from sendgrid_bounces.storage.database import Storage


def plant(storage: Storage, credentials: Credentials, seed: Seed) -> None:
    """Store *seed*, all or nothing. Planting them again changes nothing.

    :raises NameTakenError: if a name belongs to somebody else already.
    """

    def act() -> None:
        for account in seed.accounts:
            _plant_account(storage, credentials, account, None)

    storage.engine.atomically(act)


def _plant_account(
    storage: Storage,
    credentials: Credentials,
    seed: AccountSeed,
    reseller: Account | None,
) -> None:
    account = storage.accounts.find(seed.username)
    if account is None:
        account = storage.accounts.add(seed.username, reseller)
    elif account.reseller != (reseller and reseller.id):
        raise NameTakenError(f"account {seed.username!r} is there with another owner")
    settings = dict(seed.settings)
    if seed.api_key and not credentials.matches(account, seed.api_key):
        settings |= credentials.sealed(seed.api_key)
    if settings:
        storage.accounts.change(account, **settings)
    _plant_bounces(storage, account.bounce_list, seed.bounces)
    for customer in seed.customers:
        _plant_account(storage, credentials, customer, account)
    for domain in seed.domains:
        added = storage.accounts.add_domain(
            domain.name, account, shares_list=domain.shares_list
        )
        _plant_bounces(storage, added.bounce_list, domain.bounces)


def _plant_bounces(storage: Storage, bounce_list: int, seed: ListSeed) -> None:
    storage.bounces.put(bounce_list, seed.dated)
    storage.bounces.put(bounce_list, seed.undated, redate=False)
