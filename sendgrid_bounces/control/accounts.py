"""The part of the control service that manages accounts and their domains."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

from sendgrid_bounces.control.documents import AccountReport, DomainReport
from sendgrid_bounces.core.accounts import Account, Domain
from sendgrid_bounces.core.bounces import BounceQuery
from sendgrid_bounces.core.contents import Counts
from sendgrid_bounces.core.errors import UnknownNameError
from sendgrid_bounces.core.profiles import parse_profile
from sendgrid_bounces.core.timezones import TimeZone
from sendgrid_bounces.emulator import Emulator


class AccountControl:
    """Accounts and domains of one emulator."""

    emulator: Emulator

    def accounts(self) -> list[AccountReport]:
        """Return the accounts, sorted by name."""
        store = self.emulator.storage.accounts
        return _report_accounts(
            store.all(), store.domains(), self.emulator.storage.bounce_counts.of_lists()
        )

    def account(self, name: str) -> AccountReport:
        """Return an account.

        :raises UnknownNameError: if it does not exist.
        """
        store = self.emulator.storage.accounts
        account = store.get(name)
        domains = [d for d in store.domains() if d.account.id == account.id]
        lists = {account.bounce_list, *(domain.bounce_list for domain in domains)}
        for report in _report_accounts(store.all(), domains, self._count(lists)):
            if report.name == account.username:
                return report
        raise UnknownNameError("account", name)  # it has just been removed

    def add_account(
        self,
        name: str,
        *,
        api_key: str | None = None,
        reseller: str | None = None,
        profile: str | None = None,
        timezone: str = "UTC",
    ) -> AccountReport:
        """Add an account, and return it.

        :param api_key: without a key it cannot make calls.
        :param reseller: the name of its reseller, if it is a customer.
        :param profile: None for the profile of the server.
        :raises ParametersError: if a value is invalid.
        :raises UnknownNameError: if the reseller does not exist.
        :raises ConflictError: if the account exists, or the reseller is a customer.
        """
        changes = {"profile": profile, "timezone": timezone}
        if api_key is not None:
            changes["api_key"] = api_key
        settings = self._settings(changes)
        store = self.emulator.storage.accounts

        def add() -> None:
            owner = None if reseller is None else store.get(reseller)
            store.add(name, owner, **settings)

        store.transact(add)
        return self.account(name)

    def change_account(self, name: str, changes: Mapping[str, Any]) -> AccountReport:
        """Change an account, and return it.

        :param changes: any of ``api_key``, ``profile`` (None for the profile of the
            server) and ``timezone``.
        :raises ParametersError: if a value is invalid.
        :raises UnknownNameError: if the account does not exist.
        """
        store = self.emulator.storage.accounts
        store.get(name)  # fail before hashing the key
        settings = self._settings(changes)
        if settings:
            # The account may have been replaced while its key was hashed.
            store.transact(lambda: store.change(store.get(name), **settings))
        return self.account(name)

    def remove_account(self, name: str) -> Counts:
        """Remove an account with its customers, domains and bounces; count them.

        :raises UnknownNameError: if it does not exist.
        """
        store = self.emulator.storage.accounts
        return store.transact(lambda: store.remove(name))

    def domains(self) -> list[DomainReport]:
        """Return the domains, sorted by name."""
        found = [domain for account in self.accounts() for domain in account.domains]
        return sorted(found, key=lambda domain: domain.name)

    def domain(self, name: str) -> DomainReport:
        """Return a domain; letter case does not matter.

        :raises UnknownNameError: if it does not exist.
        """
        found = self.emulator.storage.accounts.find_domain(name)
        if found is None:
            raise UnknownNameError("domain", name)
        return _report_domain(found, self._count({found.bounce_list}))

    def add_domain(
        self, name: str, account: str, *, shares_list: bool = False
    ) -> DomainReport:
        """Add a domain to an account, and return it.

        :param shares_list: whether it has the bounces of the account.
        :raises ParametersError: if the name is invalid.
        :raises UnknownNameError: if the account does not exist.
        :raises ConflictError: if the domain exists with another account or list.
        """
        store = self.emulator.storage.accounts
        store.transact(
            lambda: store.add_domain(name, store.get(account), shares_list=shares_list)
        )
        return self.domain(name)

    def remove_domain(self, name: str) -> Counts:
        """Remove a domain, with its bounces unless they are the account's; count them.

        :raises UnknownNameError: if it does not exist.
        """
        store = self.emulator.storage.accounts
        return store.transact(lambda: store.remove_domain(name))

    def _count(self, lists: set[int]) -> dict[int, int]:
        """Return the number of bounces of each list."""
        count = self.emulator.storage.bounces.count
        return {found: count(found, BounceQuery()) for found in lists}

    def _settings(self, changes: Mapping[str, Any]) -> dict[str, Any]:
        """Return the columns of *changes*, with the key hashed."""
        settings = dict(changes)
        if settings.get("profile") is not None:
            settings["profile"] = parse_profile(settings["profile"])
        if "timezone" in settings:
            TimeZone(settings["timezone"])
        if "api_key" in settings:
            settings |= self.emulator.authenticator.hash_key(settings.pop("api_key"))
        return settings


def _report_accounts(
    accounts: list[Account], domains: Iterable[Domain], counts: Mapping[int, int]
) -> list[AccountReport]:
    """Return the reports of *accounts*.

    :param counts: the number of bounces of each list that has some.
    """
    names: dict[int | None, str] = {each.id: each.username for each in accounts}
    customers = defaultdict(list)
    for account in accounts:
        customers[account.reseller].append(account.username)
    owned = defaultdict(list)
    for domain in domains:
        owned[domain.account.id].append(_report_domain(domain, counts))
    return [
        AccountReport(
            name=account.username,
            profile=account.profile,
            timezone=account.timezone,
            reseller=names.get(account.reseller),
            bounces=counts.get(account.bounce_list, 0),
            customers=tuple(customers[account.id]),
            domains=tuple(owned[account.id]),
        )
        for account in accounts
    ]


def _report_domain(domain: Domain, counts: Mapping[int, int]) -> DomainReport:
    return DomainReport(
        name=domain.name,
        account=domain.account.username,
        timezone=domain.account.timezone,
        shares_list=domain.bounce_list == domain.account.bounce_list,
        bounces=counts.get(domain.bounce_list, 0),
    )
