"""The account store: unique names, and lists that are removed with their last name."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import replace
from threading import Barrier
from typing import Any

import pytest
from conftest import bounce, leftovers

from sendgrid_bounces.core.bounces import BounceQuery
from sendgrid_bounces.core.clock import Clock
from sendgrid_bounces.core.errors import (
    NameTakenError,
    ParametersError,
    StorageError,
    UnknownNameError,
)
from sendgrid_bounces.core.pulls import Pull
from sendgrid_bounces.core.sources import ReceivedBounce, SourceSettings
from sendgrid_bounces.storage import accounts as account_module
from sendgrid_bounces.storage import mysql
from sendgrid_bounces.storage.accounts import AccountStore
from sendgrid_bounces.storage.database import Storage, open_storage
from sendgrid_bounces.storage.tables import BounceRow


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_accounts_are_found_by_index(storage: Storage) -> None:
    """Every request begins with this look-up."""
    plan = storage.engine.fetch(f"EXPLAIN QUERY PLAN {storage.accounts._find}", ("a",))

    assert "username=?" in plan[0][3]


def test_account_is_read_as_it_was_written(storage: Storage) -> None:
    """Both directly and by its domain."""
    name = "a'b\"c\\ \U0001f600{}[],é"
    reseller = storage.accounts.add("reseller")
    added = storage.accounts.add(name, reseller, timezone="Europe/Berlin", key_tag=7)
    domain = storage.accounts.add_domain(f"{name}.example", added)

    assert storage.accounts.find(name) == added
    assert storage.accounts.find(f"{name}x") is None
    assert storage.accounts.find_domain(domain.name) == domain


def test_folded_name_of_a_domain_has_the_limit(storage: Storage) -> None:
    """This letter is two in lower case, and MariaDB refuses what does not fit."""
    account = storage.accounts.add("acme")
    assert len(storage.accounts.add_domain("\u0130" * 100, account).name) == 200
    with pytest.raises(ParametersError, match="1 to 255"):
        storage.accounts.add_domain("\u0130" * 200, account)


def test_removal_includes_customers_domains_and_bounces(
    storage: Storage, monkeypatch
) -> None:
    """Other accounts keep theirs."""
    other = storage.accounts.add("other")
    reseller = storage.accounts.add("reseller")
    customer = storage.accounts.add("customer", reseller)
    own = storage.accounts.add_domain("own.example", reseller).bounce_list
    shared = storage.accounts.add_domain("shared.example", other, shares_list=True)
    for bounce_list in (
        other.bounce_list,
        reseller.bounce_list,
        customer.bounce_list,
        own,
    ):
        storage.bounces.put(bounce_list, [bounce()])

    assert storage.accounts.get("reseller").is_reseller
    with monkeypatch.context() as patch:
        patch.setattr(AccountStore, "all", None)  # there may be 10,000 accounts
        assert storage.accounts.remove("reseller").accounts == 2
    assert [other] == storage.accounts.all()
    assert shared.bounce_list == other.bounce_list
    assert [(other.bounce_list,)] == storage.engine.fetch(
        "SELECT bounce_list_id FROM bounce"
    )
    assert leftovers(storage) == (0, 0)


@pytest.mark.parametrize("newest", [0, 1])
def test_list_identifiers_are_not_reused(storage: Storage, newest) -> None:
    """A concurrent request for a removed list cannot write to a new list."""
    seen = set()
    for _ in range(3):
        account = storage.accounts.add("acme")
        domain = storage.accounts.add_domain("acme.example", account)
        lists = {account.bounce_list, domain.bounce_list}
        storage.bounces.put(max(lists), [bounce()])
        assert not seen & lists
        seen |= lists
        if newest:
            storage.accounts.remove_domain("acme.example")
        storage.accounts.remove("acme")
        assert leftovers(storage) == (0, 0)
        assert storage.contents.counts().bounces == 0


def test_customers_belong_to_the_account_and_not_to_its_identifier(
    storage: Storage,
) -> None:
    """SQLite uses an identifier again, and so does the restore of a snapshot."""
    old, new = storage.accounts.add("old"), storage.accounts.add("new")
    customer = storage.accounts.add("customer", new)
    stale = replace(old, id=new.id)
    assert storage.accounts.find_customer(new, "customer") == customer
    assert storage.accounts.find_customer(stale, "customer") is None
    assert storage.accounts.find_customer(new, "old") is None


def test_sources_of_a_domain_do_not_become_those_of_an_account(storage) -> None:
    """A source names its owner, and the name of an account comes first."""
    domain = storage.accounts.add_domain("d.example", storage.accounts.add("acme"))
    storage.accounts.add("D.example")
    storage.sources.add("hook", domain.name, "sendgrid", SourceSettings())
    with pytest.raises(NameTakenError, match="has sources or pulls"):
        storage.accounts.add("d.example")
    storage.sources.remove("hook")
    storage.accounts.add("d.example")


def test_removed_account_takes_its_sources_along(storage: Storage) -> None:
    """A domain with the same name would keep them, and the account could not return."""
    storage.accounts.add_domain("shop.example", storage.accounts.add("acme"))
    reseller = storage.accounts.add("reseller")
    storage.accounts.add("shop.example", reseller)
    storage.sources.add("hook", "shop.example", "sendgrid", SourceSettings())
    storage.pulls.record(Pull("shop.example", "sendgrid"))
    storage.accounts.remove("reseller")
    assert storage.sources.all() == []
    assert storage.pulls.all() == []
    storage.accounts.add("shop.example")


def test_key_that_was_hashed_before_a_restore_is_refused(storage: Storage) -> None:
    """The account would not be found by its key alone."""
    acme = storage.accounts.add("acme", key_tag=1, key_salt=None)
    salt = storage.accounts.read_key_salt()
    storage.accounts.change(acme, key_tag=2, key_salt=salt)
    storage.engine.execute("UPDATE about SET key_salt = 'other'")
    for write in (
        lambda: storage.accounts.add("new", key_tag=3, key_salt=salt),
        lambda: storage.accounts.change(acme, key_tag=3, key_salt=salt),
    ):
        with pytest.raises(StorageError, match="was restored during the request"):
            write()
    assert [account.key_tag for account in storage.accounts.all()] == [2]


def test_change_waits_for_a_replacement_of_the_accounts(storage: Storage) -> None:
    """An identifier could be that of another account afterwards."""
    accounts = storage.accounts
    accounts.add("alice", timezone="UTC")
    accounts.add("bob", timezone="UTC")
    change = threading.Thread(
        target=lambda: accounts.transact(
            lambda: accounts.change(accounts.get("alice"), timezone="Asia/Tokyo")
        )
    )

    def swap() -> None:
        change.start()
        change.join(0.3)
        for old, new in (("alice", "x"), ("bob", "alice"), ("x", "bob")):
            rename = f"UPDATE account SET username = '{new}' WHERE username = '{old}'"
            storage.engine.execute(rename)

    accounts.transact(swap)
    change.join()
    zones = {account.username: account.timezone for account in accounts.all()}
    assert zones == {"alice": "Asia/Tokyo", "bob": "UTC"}


@pytest.mark.parametrize("engine", ["mysql"], indirect=True)
def test_waiting_changes_keep_out_no_other_writes(
    storage, database_url, monkeypatch
) -> None:
    """A restore by another process makes them wait."""
    monkeypatch.setattr(account_module, "CHANGE_TIMEOUT", 0.2)
    storage.engine.limit_writers(2)
    acme = storage.accounts.add("acme").bounce_list
    with closing(open_storage(database_url)) as other, ThreadPoolExecutor(4) as pool:

        def restore() -> list:
            changes = [pool.submit(storage.accounts.add, f"a{n}") for n in range(4)]
            time.sleep(0.5)
            assert storage.bounces.put(acme, [bounce()]) == 1
            return changes

        changes = other.accounts.transact(restore)
        failures = [change.exception() for change in changes]
    assert sum(failure is None for failure in failures) == 1
    assert all("takes long" in str(failure) for failure in failures if failure)


@pytest.mark.parametrize("is_newest", [True, False])
def test_write_to_a_removed_list_fails(storage: Storage, is_newest: bool) -> None:
    """The newest list stays as a placeholder, which must accept nothing."""
    removed = storage.accounts.add("acme").bounce_list
    if not is_newest:
        storage.accounts.add("other")
    storage.accounts.remove("acme")
    received = [ReceivedBounce(bounce(), "key")]

    for write in (
        lambda: storage.bounces.put(removed, [bounce()]),
        lambda: storage.bounces.put(removed, [bounce()], redate=False),
        lambda: storage.sources.receive(removed, received, (), 0),
    ):
        with pytest.raises(StorageError, match="was removed or replaced during"):
            write()
    assert storage.contents.counts().bounces == 0
    assert leftovers(storage) == (0, 0)


def test_lists_with_another_name_are_kept(storage: Storage) -> None:
    """Removing an account or a domain removes no list that something refers to."""
    acme, other = storage.accounts.add("acme"), storage.accounts.add("other")
    kept = storage.accounts.add_domain("kept.example", acme)
    shared = storage.accounts.add_domain("shared.example", acme, shares_list=True)
    gone = storage.accounts.add_domain("gone.example", acme)
    for bounce_list in (acme.bounce_list, kept.bounce_list, gone.bounce_list):
        storage.bounces.put(bounce_list, [bounce()])

    storage.accounts.remove(other.username)
    storage.accounts.remove_domain(gone.name)
    storage.accounts.remove_domain(shared.name)

    assert [
        storage.bounces.count(bounce_list, BounceQuery())
        for bounce_list in (acme.bounce_list, kept.bounce_list)
    ] == [1, 1]
    with pytest.raises(StorageError, match="was removed or replaced"):
        storage.bounces.count(gone.bounce_list, BounceQuery())


@pytest.mark.parametrize("engine", ["mysql"], indirect=True)
@pytest.mark.parametrize("action", ["delete", "remove", "clear"])
def test_many_rows_are_deleted_in_parts(
    storage: Storage, monkeypatch: pytest.MonkeyPatch, action: str
) -> None:
    """The time that a statement may take is limited."""
    monkeypatch.setattr(mysql, "DELETED_ROWS", 10)
    account = storage.accounts.add("acme")
    storage.bounces.put(account.bounce_list, [bounce(f"{i}@x") for i in range(35)])
    numbers: list[int] = []
    execute = type(storage.engine).execute

    def count(*args: Any) -> int:
        numbers.append(execute(*args))
        return numbers[-1]

    monkeypatch.setattr(type(storage.engine), "execute", count)
    actions: dict[str, Callable[[], object]] = {
        "delete": lambda: storage.bounces.delete(
            account.bounce_list, BounceQuery(), clock=Clock()
        ),
        "remove": lambda: storage.accounts.remove("acme"),
        "clear": lambda: storage.contents.clear([BounceRow]),
    }
    storage.engine.transact(actions[action])

    assert max(numbers) == 10
    assert storage.contents.counts().bounces == 0


@pytest.mark.parametrize("engine", ["mysql"], indirect=True)
@pytest.mark.parametrize("action", ["delete", "remove"])
def test_deletion_waits_for_no_other_list(storage: Storage, action: str) -> None:
    """Not even if its list has most of the rows, so that no index is of use."""
    acme, other = storage.accounts.add("acme"), storage.accounts.add("other")
    storage.bounces.put(acme.bounce_list, [bounce(f"{i}@x") for i in range(500)])
    stored, may_end = threading.Event(), threading.Event()

    def import_slowly() -> None:
        storage.bounces.put(other.bounce_list, [bounce(f"{i}@y") for i in range(50)])
        stored.set()
        may_end.wait(10)

    actions: dict[str, Callable[[], object]] = {
        "delete": lambda: storage.bounces.delete(
            acme.bounce_list, BounceQuery(), clock=Clock()
        ),
        "remove": lambda: storage.accounts.remove("acme"),
    }
    slow = threading.Thread(target=storage.engine.transact, args=(import_slowly,))
    quick = threading.Thread(target=actions[action])
    slow.start()
    stored.wait(10)
    quick.start()
    quick.join(5)
    is_late = quick.is_alive()
    may_end.set()
    slow.join()
    quick.join()
    assert not is_late
    assert storage.contents.counts().bounces == 50


def test_lists_stay_until_they_are_swept(storage: Storage) -> None:
    """A reset removes names first and creates lists with new identifiers."""
    acme = storage.accounts.add("acme")
    domain = storage.accounts.add_domain("acme.example", acme)
    storage.bounces.put(domain.bounce_list, [bounce()])
    storage.accounts.remove_domain("acme.example", sweep=False)
    storage.accounts.remove("acme", sweep=False)

    assert storage.bounces.count(domain.bounce_list, BounceQuery()) == 1
    storage.contents.sweep()
    assert leftovers(storage) == (0, 0)


def test_names_are_unique(storage: Storage) -> None:
    """Adding a domain of the same account again returns the existing domain."""
    acme, other = storage.accounts.add("acme"), storage.accounts.add("other")
    own = storage.accounts.add_domain("a.example", acme)

    assert own == storage.accounts.add_domain("a.example", acme)
    for error, message, action in (
        (
            NameTakenError,
            "domain 'a.example' belongs to another account",
            lambda: storage.accounts.add_domain("a.example", other),
        ),
        (
            NameTakenError,
            "domain 'a.example' already exists and uses its own list",
            lambda: storage.accounts.add_domain("a.example", acme, shares_list=True),
        ),
        (
            NameTakenError,
            "account 'acme' already exists",
            lambda: storage.accounts.add("acme"),
        ),
    ):
        with pytest.raises(error) as raised:
            action()
        assert str(raised.value) == message


def test_unknown_and_invalid_names_are_rejected(storage: Storage) -> None:
    """The error contains the name or the rule for names."""
    for action in (storage.accounts.remove, storage.accounts.remove_domain):
        with pytest.raises(UnknownNameError, match="absent"):
            action("absent")
    with pytest.raises(ParametersError, match="printable"):
        storage.accounts.add("a\nb")


def test_concurrent_additions_of_a_name_create_one_account(storage: Storage) -> None:
    """The other threads get NameTakenError."""
    barrier = Barrier(4)

    def add(name: str) -> int:
        barrier.wait()
        with suppress(NameTakenError):
            storage.accounts.add(name)
            return 1
        return 0

    with ThreadPoolExecutor(4) as pool:
        for number in range(20):
            assert sum(pool.map(add, [f"wanted{number}"] * 4)) == 1
