"""Back to the seed: everything, or one account. PyYAML comes with it."""

from sendgrid_bounces import seeding
from sendgrid_bounces.core.accounts import Account
from sendgrid_bounces.core.errors import ConflictError, UnknownNameError
from sendgrid_bounces.emulator import Emulator
from sendgrid_bounces.schemas import seeds
from sendgrid_bounces.schemas.seeds import AccountSeed, DomainSeed, Seed
from sendgrid_bounces.storage.contents import RESET_TABLES
from sendgrid_bounces.storage.database import Storage


def reset_all(emulator: Emulator, now: int, *, empty: bool) -> None:
    """Wipe everything but snapshots, and plant the seed files unless *empty*.

    :param now: the instant of the bounces that name none.
    """
    storage, authenticator = emulator.storage, emulator.authenticator
    found = [] if empty else _read_seeds(emulator, now)
    hashed = [seeding.hash_keys(storage, authenticator, seed) for seed in found]

    def act() -> None:
        storage.contents.clear(RESET_TABLES)
        for seed in hashed:
            seeding.apply_hashed_seed(storage, seed)
        storage.contents.sweep()

    storage.engine.transact(act)


def reset_account(emulator: Emulator, name: str, *, empty: bool) -> None:
    """Remove the account or else the domain *name*, and plant it unless *empty*.

    The rules that are about it, and what the journal has of it, go with it.
    """
    storage, authenticator = emulator.storage, emulator.authenticator
    found = [] if empty else _read_seeds(emulator, emulator.clock.now())
    known = [each for seed in found for each in seeding.walk_accounts(seed.accounts)]
    accounts = [
        (seeding.hash_account_keys(storage, authenticator, seed), reseller)
        for seed, reseller in known
        if seed.username == name
    ]
    domains = [
        (domain, seed.username)
        for seed, _ in known
        for domain in seed.domains
        if domain.name == name.lower()
    ]

    def act() -> None:
        if accounts or storage.accounts.find(name):
            _replace_account(storage, name, accounts)
        else:
            _replace_domain(storage, name, domains)
        storage.contents.sweep()
        storage.requests.remove_owned(name)
        storage.faults.remove_owned(name)
        for seed in found:
            storage.faults.add_seeded(rule for rule in seed.faults if rule.is_for(name))

    storage.engine.transact(act)


def load_text(emulator: Emulator, text: str) -> None:
    """Plant the text of a seed file."""
    seed = seeds.read_seed(text, emulator.clock.now())
    seeding.apply_seed(emulator.storage, emulator.authenticator, seed)


def _read_seeds(emulator: Emulator, now: int) -> list[Seed]:
    """Return what the seed files hold at this moment."""
    return [seeds.read_seed_file(path, now) for path in emulator.config.seed]


def _replace_account(
    storage: Storage, name: str, found: list[tuple[AccountSeed, str | None]]
) -> None:
    """Replace an account by what is *found* in seed files, with its reseller."""
    if storage.accounts.find(name):
        storage.accounts.remove(name, sweep=False)
    for seed, reseller in found:
        owner = None if reseller is None else _owner(storage, reseller)
        seeding.apply_account(storage, seed, owner)


def _replace_domain(
    storage: Storage, name: str, found: list[tuple[DomainSeed, str]]
) -> None:
    """Replace a domain by what is *found* in seed files, with its account."""
    domain = storage.accounts.find_domain(name)
    if domain is None and not found:
        raise UnknownNameError("account or domain", name)
    if domain is not None:
        owner = domain.account
        if domain.bounce_list == owner.bounce_list:
            raise ConflictError(
                f"the list of {name!r} is that of its account: "
                f"reset {owner.username!r} instead"
            )
        storage.accounts.remove_domain(name, sweep=False)
    for seed, username in found:
        seeding.apply_domain(storage, seed, _owner(storage, username))


def _owner(storage: Storage, name: str) -> Account:
    """Return the account *name*, to which what is planted belongs."""
    account = storage.accounts.find(name)
    if account is None:
        raise ConflictError(f"it belongs to {name!r}, which is gone: reset that")
    return account
