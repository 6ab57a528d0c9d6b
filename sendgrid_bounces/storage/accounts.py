"""The accounts and domains in a database, and the bounce lists they name."""

import logging
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

from peewee import fn

from sendgrid_bounces.core.accounts import (
    DOMAIN_RULE,
    NAME_RULE,
    Account,
    BounceList,
    Domain,
    is_domain_name,
    is_name,
)
from sendgrid_bounces.core.contents import Counts
from sendgrid_bounces.core.errors import (
    ConflictError,
    NameTakenError,
    ParametersError,
    StorageError,
    UnknownNameError,
)
from sendgrid_bounces.core.messages import got
from sendgrid_bounces.storage.compiled import Compiled
from sendgrid_bounces.storage.contents import OWNED_TABLES, ContentsStore
from sendgrid_bounces.storage.engine import Engine
from sendgrid_bounces.storage.sql import columns_like
from sendgrid_bounces.storage.tables import (
    AboutRow,
    AccountRow,
    BounceListRow,
    DomainRow,
)

RESERVED = "domain %r cannot be reached: its paths belong to another API"

#: Seconds to wait for other changes of accounts in the process.
CHANGE_TIMEOUT = 5

ACCOUNT_COLUMNS = columns_like(AccountRow, Account)


logger = logging.getLogger(__name__)

Result = TypeVar("Result")


_ACCOUNTS = AccountRow.select(*ACCOUNT_COLUMNS)
_RESELLER = AccountRow.alias()

_DOMAINS = DomainRow.select(
    DomainRow.name, DomainRow.bounce_list, *ACCOUNT_COLUMNS
).join(AccountRow)


class AccountStore:
    """The accounts and domains in a database."""

    _key_salt = Compiled(lambda e: e.compile(AboutRow.select(AboutRow.key_salt)))
    _find = Compiled(
        lambda e: e.compile_packed(_ACCOUNTS.where(AccountRow.username == ""))
    )
    _find_customer = Compiled(
        lambda e: e.compile_packed(
            _ACCOUNTS.where(
                AccountRow.username == "",
                AccountRow.reseller.in_(
                    _RESELLER.select(_RESELLER.id).where(_RESELLER.bounce_list == 0)
                ),
            )
        )
    )
    _with_tag = Compiled(lambda e: e.compile(_ACCOUNTS.where(AccountRow.key_tag == 0)))
    _all = Compiled(lambda e: e.compile(_ACCOUNTS.order_by(AccountRow.username)))
    _count = Compiled(lambda e: e.compile(AccountRow.select(fn.COUNT(AccountRow.id))))
    _find_domain = Compiled(
        lambda e: e.compile_packed(_DOMAINS.where(DomainRow.name == ""))
    )
    _lock = Compiled(
        lambda e: e.compile(AboutRow.update(schema_version=AboutRow.schema_version))
    )
    _owned = Compiled(
        lambda engine: [
            engine.compile(table.select(table.id).where(table.owner == ""))
            for table in OWNED_TABLES
        ]
    )
    _all_domains = Compiled(lambda e: e.compile(_DOMAINS.order_by(DomainRow.name)))

    def __init__(self, engine: Engine) -> None:
        #: Domains that no request reaches; creating one logs a warning.
        self.reserved_domains: frozenset[str] = frozenset()
        self._engine = engine
        self._contents = ContentsStore(engine)
        self._changing = threading.RLock()

    def transact(self, action: Callable[[], Result]) -> Result:
        """Run *action*, which reads and changes accounts or domains.

        Other changes of accounts and domains wait until the transaction ends: with row
        locks, an identifier could be that of another account after a wait.

        :raises StorageError: if an earlier change takes long.
        """
        if not self._engine.has_row_locks:  # one writer at a time
            return self._engine.transact(action)

        def run() -> Result:
            self._engine.execute(self._lock)
            return action()

        # One thread waits for other processes; all threads would keep out other writes.
        if not self._changing.acquire(timeout=CHANGE_TIMEOUT):
            reason = "another change of accounts takes long"
            raise StorageError(f"{self._engine}: {reason}", reason=reason)
        try:
            return self._engine.transact(run)
        finally:
            self._changing.release()

    def find(self, username: str) -> Account | None:
        """Return the account *username*, if any."""
        rows = self._engine.fetch(self._find, (username,))
        return _account(rows[0]) if rows else None

    def get(self, username: str) -> Account:
        """Return the account *username*.

        :raises UnknownNameError: if there is no such account.
        """
        account = self.find(username)
        if account is None:
            raise UnknownNameError("account", username)
        return account

    def named_list(self, name: str) -> BounceList:
        """Return the bounce list of the account or else of the domain *name*.

        :raises UnknownNameError: if neither exists.
        """
        if account := self.find(name):
            return BounceList(account.bounce_list, account.timezone, account.username)
        if domain := self.find_domain(name):
            zone = domain.account.timezone
            return BounceList(domain.bounce_list, zone, domain.name)
        raise UnknownNameError("account or domain", name)

    def find_customer(self, reseller: Account, username: str) -> Account | None:
        """Return the account *username* if it is a customer of *reseller*.

        A restore or a reset can give the identifier of an account to another one while
        a request is processed, but not that of its list.
        """
        rows = self._engine.fetch(self._find_customer, (username, reseller.bounce_list))
        return _account(rows[0]) if rows else None

    def find_owners(self, names: Iterable[str]) -> dict[str, tuple[str, ...]]:
        """Return the account that each of *names* means, with its reseller.

        The name of a domain means the account of the domain, and the domain.
        """
        accounts = {account.username: account for account in self.all()}
        usernames = {account.id: account.username for account in accounts.values()}
        owners: dict[str, tuple[str, ...]] = {}
        for name in names:
            domain = None if name in accounts else self.find_domain(name)
            account = domain.account if domain else accounts.get(name)
            if account:
                reseller = usernames.get(account.reseller or 0, "")
                found = (account.username, reseller, domain.name if domain else "")
                owners[name] = found
        return owners

    def all(self) -> list[Account]:
        """Return all accounts in the order of their names."""
        return [_account(row) for row in self._engine.fetch(self._all)]

    def count(self) -> int:
        """Return the number of accounts."""
        return int(self._engine.fetch(self._count)[0][0])

    def add(
        self, username: str, reseller: Account | None = None, **settings: object
    ) -> Account:
        """Create an account with an empty bounce list.

        :param settings: the same as for :meth:`change`; by default no key.
        :raises NameTakenError: if the account already exists, or a domain of this name
            has sources or pulls.
        :raises ConflictError: if *reseller* is a customer itself.
        :raises ParametersError: if *username* is not a valid name.
        """
        if not is_name(username):
            raise ParametersError([("name", f"{NAME_RULE}{got(username)}")])
        if reseller and reseller.reseller is not None:
            raise ConflictError(
                f"account {reseller.username!r} is a customer, which cannot have "
                "customers"
            )

        def add() -> Account:
            if self.find(username):
                raise NameTakenError(f"account {username!r} already exists")
            if self._is_domain_with_source(username):
                raise NameTakenError(
                    f"domain {username!r} has sources or pulls, which would be those "
                    "of an account with its name"
                )
            self._engine.insert(
                AccountRow,
                username=username,
                bounce_list=self._new_list(),
                reseller=reseller and reseller.id,
                **self._columns(settings),
            )
            if reseller:
                self.change(reseller, is_reseller=True)
            return self.get(username)

        return self.transact(add)

    def change(self, account: Account, **settings: object) -> None:
        """Set columns of *account* (key_hash, profile, timezone, ...) by name.

        :param settings: a ``key_tag`` comes with the ``key_salt`` that made it.
        :raises StorageError: if a restore has changed the salt meanwhile.
        """

        def change() -> None:
            query = AccountRow.update(self._columns(settings))
            self._engine.execute_query(query.where(AccountRow.id == account.id))

        self._engine.transact(change)

    def remove(self, username: str, *, sweep: bool = True) -> Counts:
        """Remove an account with its customers, domains and bounces.

        :param sweep: whether to remove the lists, too, instead of leaving this to
            :meth:`.ContentsStore.sweep`.
        :returns: what was removed.
        :raises UnknownNameError: if the account does not exist.
        """

        def remove() -> None:
            account = self.get(username)
            is_removed = (AccountRow.id == account.id) | (
                AccountRow.reseller == account.id
            )
            removed = AccountRow.select(AccountRow.username).where(is_removed)
            for table in OWNED_TABLES:  # a domain can have the same name
                self._engine.execute_query(
                    table.delete().where(table.owner.in_(removed))
                )
            self._engine.execute_query(
                AccountRow.delete().where(AccountRow.id == account.id)
            )

        return self._remove(remove, sweep=sweep)

    def read_key_salt(self) -> str:
        """Return the salt of the tags by which accounts are found by their keys.

        A restore can change the salt, so no process may cache it.
        """
        ((key_salt,),) = self._engine.fetch(self._key_salt)
        return str(key_salt)

    def with_tag(self, tag: int) -> list[Account]:
        """Return the accounts with *tag* as the tag of their keys."""
        return [_account(row) for row in self._engine.fetch(self._with_tag, (tag,))]

    def find_domain(self, name: str) -> Domain | None:
        """Return the domain *name*, if any."""
        rows = self._engine.fetch(self._find_domain, (name.lower(),))
        return _domain(rows[0]) if rows else None

    def domains(self) -> list[Domain]:
        """Return all domains in the order of their names."""
        return [_domain(row) for row in self._engine.fetch(self._all_domains)]

    def add_domain(
        self, name: str, account: Account, *, shares_list: bool = False
    ) -> Domain:
        """Return the domain *name* of *account*, newly created if necessary.

        :param shares_list: whether the domain uses the bounce list of *account*.
        :raises NameTakenError: if the domain has another account or another list.
        :raises ParametersError: if *name* is not a valid domain.
        """
        folded = name.lower()
        if not is_domain_name(folded):
            raise ParametersError([("domain", DOMAIN_RULE)])

        def add() -> Domain:
            found = self.find_domain(name)
            if found is None:
                if folded in self.reserved_domains:
                    logger.warning(RESERVED, folded)
                bounce_list = account.bounce_list if shares_list else self._new_list()
                self._engine.insert(
                    DomainRow, name=folded, account=account.id, bounce_list=bounce_list
                )
                return Domain(folded, account, bounce_list)
            if found.account.id != account.id:
                raise NameTakenError(f"domain {name!r} belongs to another account")
            if shares_list != (found.bounce_list == account.bounce_list):
                used = "its own list" if shares_list else "the list of its account"
                raise NameTakenError(f"domain {name!r} already exists and uses {used}")
            return found

        return self._engine.transact(add)

    def remove_domain(self, name: str, *, sweep: bool = True) -> Counts:
        """Remove a domain, and its bounces unless its list has another name.

        :param sweep: whether to remove the list, too, instead of leaving this to
            :meth:`.ContentsStore.sweep`.
        :returns: what was removed.
        :raises UnknownNameError: if the domain does not exist.
        """

        def remove() -> None:
            query = DomainRow.delete().where(DomainRow.name == name.lower())
            if not self._engine.execute_query(query):
                raise UnknownNameError("domain", name)

        return self._remove(remove, sweep=sweep)

    def _remove(self, remove: Callable[[], None], *, sweep: bool) -> Counts:
        """Run *remove* in a transaction; return what was removed."""

        def count() -> Counts:
            accounts, domains = self._contents.count_names()
            remove()
            bounces = self._contents.sweep() if sweep else 0
            left, more = self._contents.count_names()
            return Counts(accounts - left, domains - more, bounces)

        return self._engine.transact(count)

    def _is_domain_with_source(self, name: str) -> bool:
        domain = self.find_domain(name)
        if domain is None or domain.name != name:
            return False
        return any(self._engine.fetch(text, (name,)) for text in self._owned)

    def _columns(self, settings: Mapping[str, object]) -> dict[str, object]:
        """Return *settings* without the salt of the key, which must be the current one.

        :raises StorageError: if another salt is current.
        """
        columns = dict(settings)
        salt = columns.pop("key_salt", None)
        if salt is not None and salt != self.read_key_salt():
            reason = "the database was restored during the request"
            raise StorageError(f"{self._engine}: {reason}", reason=reason)
        return columns

    def _new_list(self) -> int:
        return self._engine.insert(BounceListRow)


def _account(row: Sequence[Any]) -> Account:
    *most, is_reseller, reseller = row
    return Account(*most, bool(is_reseller), reseller)  # type: ignore[call-arg] # counts *most as one more


def _domain(row: Sequence[Any]) -> Domain:
    name, bounce_list, *account = row
    return Domain(name, _account(account), bounce_list)
