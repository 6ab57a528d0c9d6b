"""The accounts and domains in one database, and which bounce list is whose."""

from collections.abc import Sequence
from typing import Any

from sendgrid_bounces.core.accounts import (
    DOMAIN_RULE,
    NAME_RULE,
    Account,
    BounceList,
    Domain,
    is_domain_name,
    is_name,
)
from sendgrid_bounces.core.errors import (
    NameTakenError,
    ParametersError,
    UnknownNameError,
)
from sendgrid_bounces.storage.contents import ContentsStore
from sendgrid_bounces.storage.engine import Engine
from sendgrid_bounces.storage.tables import AccountRow, BounceListRow, DomainRow

COLUMNS = (
    AccountRow.id,
    AccountRow.username,
    AccountRow.key_hash,
    AccountRow.key_tag,
    AccountRow.profile,
    AccountRow.timezone,
    AccountRow.bounce_list,
    AccountRow.is_reseller,
    AccountRow.reseller,
)


class AccountStore:
    """Accounts by name, and the domains that belong to them."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._contents = ContentsStore(engine)
        accounts = AccountRow.select(*COLUMNS)
        self._find = engine.text(accounts.where(AccountRow.username == ""))
        self._all = engine.text(accounts.order_by(AccountRow.username))
        domains = DomainRow.select(DomainRow.name, DomainRow.bounce_list, *COLUMNS)
        domains = domains.join(AccountRow)
        self._find_domain = engine.text(domains.where(DomainRow.name == ""))
        self._all_domains = engine.text(domains.order_by(DomainRow.name))

    def find(self, username: str) -> Account | None:
        """Return the account of this name, if there is one."""
        rows = self._engine.fetch(self._find, (username,))
        return _account(rows[0]) if rows else None

    def get(self, username: str) -> Account:
        """Return the account of this name.

        :raises UnknownNameError: if there is none.
        """
        account = self.find(username)
        if account is None:
            raise UnknownNameError("account", username)
        return account

    def named_list(self, name: str) -> BounceList:
        """Return the list of the account of this name, or else of the domain.

        :raises UnknownNameError: if there is neither.
        """
        if account := self.find(name):
            return BounceList(account.bounce_list, account.timezone)
        if domain := self.find_domain(name):
            return BounceList(domain.bounce_list, domain.account.timezone)
        raise UnknownNameError("account or domain", name)

    def all(self) -> list[Account]:
        """Return all accounts, by name."""
        return [_account(row) for row in self._engine.fetch(self._all)]

    def add(
        self, username: str, reseller: Account | None = None, **settings: object
    ) -> Account:
        """Make an account with an empty bounce list.

        :param settings: as :meth:`change` takes them; without them it has no key.

        :raises NameTakenError: if there is one of this name.
        :raises ParametersError: if it cannot be a name.
        """
        if not is_name(username):
            raise ParametersError([("username", NAME_RULE)])

        def act() -> Account:
            if self.find(username):
                raise NameTakenError(f"there is an account {username!r} already")
            self._engine.insert(
                AccountRow,
                username=username,
                bounce_list=self._new_list(),
                reseller=reseller and reseller.id,
                **settings,
            )
            if reseller:
                self.change(reseller, is_reseller=True)
            return self.get(username)

        return self._engine.transact(act)

    def change(self, account: Account, **settings: object) -> None:
        """Change the named settings of *account* (key_hash, profile, timezone, ...)."""
        query = AccountRow.update(settings).where(AccountRow.id == account.id)
        self._engine.transact(lambda: self._engine.execute(query))

    def remove(self, username: str) -> int:
        """Remove an account, its customers, domains and bounces.

        :returns: how many accounts that were.
        :raises UnknownNameError: if there is none of this name.
        """

        def act() -> int:
            before = len(self.all())
            self.forget(self.get(username))
            self._contents.sweep()
            return before - len(self.all())

        return self._engine.transact(act)

    def forget(self, account: Account) -> None:
        """Remove an account, its customers and domains, but not yet their lists."""
        self._engine.execute(AccountRow.delete().where(AccountRow.id == account.id))

    def with_tag(self, tag: int) -> list[Account]:
        """Return the accounts whose keys have this tag."""
        query = AccountRow.select(*COLUMNS).where(AccountRow.key_tag == tag)
        return [_account(row) for row in self._engine.select(query)]

    def find_domain(self, name: str) -> Domain | None:
        """Return the domain of this name, if there is one."""
        rows = self._engine.fetch(self._find_domain, (name.lower(),))
        return _domain(rows[0]) if rows else None

    def domains(self) -> list[Domain]:
        """Return all domains, by name."""
        return [_domain(row) for row in self._engine.fetch(self._all_domains)]

    def add_domain(
        self, name: str, account: Account, *, shares_list: bool = False
    ) -> Domain:
        """Give *account* a domain, if it has not got it.

        :param shares_list: whether the account's own list is the domain's too.
        :raises NameTakenError: if the domain is another account's, or has another list.
        :raises ParametersError: if it cannot be a name.
        """
        if not is_domain_name(name):
            raise ParametersError([("domain", DOMAIN_RULE)])

        def act() -> Domain:
            found = self.find_domain(name)
            if found is None:
                bounce_list = account.bounce_list if shares_list else self._new_list()
                self._engine.insert(
                    DomainRow,
                    name=name.lower(),
                    account=account.id,
                    bounce_list=bounce_list,
                )
                return Domain(name.lower(), account, bounce_list)
            if found.account.id != account.id:
                raise NameTakenError(f"domain {name!r} is another account's")
            if shares_list != (found.bounce_list == account.bounce_list):
                raise NameTakenError(
                    f"domain {name!r} is there already, with "
                    + ("a list of its own" if shares_list else "its account's list")
                )
            return found

        return self._engine.transact(act)

    def remove_domain(self, name: str) -> None:
        """Remove a domain, and its bounces unless its list has another name.

        :raises UnknownNameError: if there is none of this name.
        """

        def act() -> None:
            self.forget_domain(name)
            self._contents.sweep()

        self._engine.transact(act)

    def forget_domain(self, name: str) -> None:
        """Remove a domain, but not yet its list.

        :raises UnknownNameError: if there is none of this name.
        """
        query = DomainRow.delete().where(DomainRow.name == name.lower())
        if not self._engine.execute(query):
            raise UnknownNameError("domain", name)

    def _new_list(self) -> int:
        return self._engine.insert(BounceListRow)


def _account(row: Sequence[Any]) -> Account:
    *most, is_reseller, reseller = row
    return Account(*most, bool(is_reseller), reseller)  # type: ignore[call-arg] # counts *most as one more


def _domain(row: Sequence[Any]) -> Domain:
    name, bounce_list, *account = row
    return Domain(name, _account(account), bounce_list)
