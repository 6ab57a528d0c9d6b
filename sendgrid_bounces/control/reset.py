"""Reset everything, or one account, to the seed files. Importing it loads PyYAML."""

from collections.abc import Iterator

from sendgrid_bounces import seeding
from sendgrid_bounces.core.accounts import Account
from sendgrid_bounces.core.errors import ConflictError, UnknownNameError
from sendgrid_bounces.emulator import Emulator
from sendgrid_bounces.schemas import seeds
from sendgrid_bounces.schemas.seeds import AccountSeed, DomainSeed, Seed
from sendgrid_bounces.storage.contents import RESET_TABLES
from sendgrid_bounces.storage.database import Storage


def reset_all(emulator: Emulator, now: int, *, empty: bool) -> None:
    """Erase everything except snapshots, and load the seed files unless *empty*.

    :param now: the instant of bounces without a time.
    """
    storage, authenticator = emulator.storage, emulator.authenticator
    found = [] if empty else _read_seed_files(emulator, now)
    hashed = [seeding.hash_keys(storage, authenticator, seed) for seed in found]

    def replace() -> None:
        storage.contents.clear(RESET_TABLES)
        storage.faults.clear()
        for seed in hashed:
            seeding.apply_hashed_seed(storage, seed)
        storage.contents.sweep()
        storage.requests.clear()  # last: it does not belong to the transaction

    storage.accounts.transact(replace)


def reset_account(emulator: Emulator, name: str, *, empty: bool) -> None:
    """Remove the account *name*, or else this domain, and load it unless *empty*.

    Its fault rules and logged requests are removed, too. The letter case of an account
    matters, that of a domain does not.
    """
    storage, authenticator = emulator.storage, emulator.authenticator
    found = [] if empty else _read_seed_files(emulator, emulator.clock.now())
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
    is_account = bool(accounts or storage.accounts.find(name))
    owner = name if is_account else name.lower()
    owned = {
        owner,
        *(each.name for seed, _ in accounts for each in _domains(seed)),
        *(each.username for seed, _ in accounts for each in seed.customers),
    }
    limits = _limits(storage, name, domains) if is_account else {"domain": owner}
    usernames = {owner, *(seed.username for seed, _ in known)}
    sources = [
        seeding.hash_token(storage, authenticator, source)
        for seed in found
        for source in seed.sources
        if (source.owner if source.owner in usernames else source.owner.lower())
        in owned
    ]

    def replace() -> None:
        if is_account:
            _replace_account(storage, name, accounts)
        else:
            _replace_domain(storage, name, domains)
        storage.contents.sweep()
        storage.faults.remove_owned(**limits)
        for each in owned:
            storage.contents.remove_owned(each)
        for source in sources:
            seeding.apply_source(storage, source)
        for seed in found:
            rules = [rule for rule in seed.faults if rule.is_for(**limits)]
            storage.faults.add_seeded(rules)
        storage.requests.remove_owned(**limits)  # last, as above

    storage.accounts.transact(replace)


def load_text(emulator: Emulator, text: str) -> None:
    """Load the text of a seed file."""
    seed = seeds.read_seed(text, emulator.clock.now(), emulator.operations)
    seeding.apply_seed(emulator.storage, emulator.authenticator, seed)


def _read_seed_files(emulator: Emulator, now: int) -> list[Seed]:
    """Return the seeds in the files, as they are now."""
    return [
        seeds.read_seed_file(path, now, emulator.operations)
        for path in emulator.config.seed
    ]


def _limits(
    storage: Storage, name: str, domains: list[tuple[DomainSeed, str]]
) -> dict[str, str]:
    """Return the account *name*, and the domain of this name if the account has it."""
    found = storage.accounts.find_domain(name)
    owners = {username for _, username in domains}
    if found is not None:
        owners.add(found.account.username)
    return {"account": name, "domain": name.lower() if name in owners else ""}


def _replace_account(
    storage: Storage, name: str, found: list[tuple[AccountSeed, str | None]]
) -> None:
    """Replace an account by its seeds, each with the name of the reseller."""
    if storage.accounts.find(name):
        storage.accounts.remove(name, sweep=False)
    for seed, reseller in found:
        owner = None if reseller is None else _owner(storage, reseller)
        seeding.apply_account(storage, seed, owner)


def _replace_domain(
    storage: Storage, name: str, found: list[tuple[DomainSeed, str]]
) -> None:
    """Replace a domain by its seeds, each with the name of the account."""
    domain = storage.accounts.find_domain(name)
    if domain is None and not found:
        raise UnknownNameError("account or domain", name)
    if domain is not None:
        owner = domain.account
        if domain.bounce_list == owner.bounce_list:
            raise ConflictError(
                f"domain {name!r} shares the bounce list of its account (reset "
                f"{owner.username!r} instead)"
            )
        storage.accounts.remove_domain(name, sweep=False)
    for seed, username in found:
        seeding.apply_domain(storage, seed, _owner(storage, username))


def _domains(seed: AccountSeed) -> Iterator[DomainSeed]:
    """Yield the domains of an account and of its customers."""
    yield from seed.domains
    for customer in seed.customers:
        yield from customer.domains


def _owner(storage: Storage, name: str) -> Account:
    """Return the account that a customer or a domain in a seed belongs to."""
    account = storage.accounts.find(name)
    if account is None:
        raise ConflictError(f"its account {name!r} does not exist (reset it first)")
    return account
