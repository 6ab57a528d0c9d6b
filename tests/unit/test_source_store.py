"""Events meet a list: newer ones replace, repeats and deleted ones do not return."""

import threading
from contextlib import closing
from typing import Any
from unittest.mock import Mock

import pytest
from conftest import NOW, FixedClock, bounce
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sendgrid_bounces.core.bounces import Bounce, BounceQuery, BounceType
from sendgrid_bounces.core.errors import (
    ConflictError,
    NameTakenError,
    StorageError,
    UnknownNameError,
)
from sendgrid_bounces.core.sources import (
    ReceivedBounce,
    Source,
    SourceCounts,
    SourceSettings,
)
from sendgrid_bounces.storage import deletions, mysql, rows, sources
from sendgrid_bounces.storage.bounces import BounceStore, as_bounce
from sendgrid_bounces.storage.database import Storage, open_storage
from sendgrid_bounces.storage.sources import SourceStore

HOUR = 3600
EVERYTHING = BounceQuery()


@pytest.fixture(name="source")
def _source(storage: Storage, bounce_list: int) -> Source:
    del bounce_list  # the list of acme
    return storage.sources.add("hook", "acme", "sendgrid", SourceSettings(key="K"))


def receive(
    storage: Storage,
    bounce_list: int,
    *,
    key: str = "k",
    now: int = NOW,
    only_if_unknown: bool = False,
    **facts,
) -> bool:
    received = ReceivedBounce(bounce(**facts), key, only_if_unknown)
    storage.sources.purge(now, now, 1)
    (is_listed,) = storage.sources.receive(bounce_list, [received], (), now)
    return is_listed


def delete(storage: Storage, bounce_list: int, *queries: BounceQuery, now: int) -> int:
    clock = FixedClock()
    clock.instant = now
    return storage.bounces.delete(bounce_list, *(queries or (EVERYTHING,)), clock=clock)


def stored(storage: Storage, bounce_list: int) -> list[tuple[str, int, str]]:
    found = storage.bounces.find(bounce_list, EVERYTHING)
    bounces = [as_bounce(row) for rows in found for row in rows]
    return [(each.email, each.created, each.status) for each in bounces]


def kept_rows(storage: Storage) -> tuple[int, int]:
    ((events,),) = storage.engine.fetch("SELECT COUNT(*) FROM source_event")
    ((deletions,),) = storage.engine.fetch("SELECT COUNT(*) FROM deletion")
    return events, deletions


@pytest.mark.parametrize("engine", ["mysql"], indirect=True)
def test_event_and_deletion_do_not_wait_for_each_other(
    storage: Storage, bounce_list: int, source: Source, monkeypatch
):
    """Both use the keys and the records of deletions of a list."""
    monkeypatch.setattr(mysql, "ATTEMPTS", 1)
    storage.bounces.put(bounce_list, [bounce("a@x"), bounce("b@x")])
    deleted: list[int] = []

    def delete_one() -> None:
        query = BounceQuery(emails=("a@x",))
        deleted.append(delete(storage, bounce_list, query, now=NOW))

    threads = [threading.Thread(target=delete_one)]

    def find_keys(store: SourceStore, *values: Any) -> set[str]:
        threads[0].start()
        threads[0].join(0.5)
        return original(store, *values)

    original = SourceStore._seen
    monkeypatch.setattr(SourceStore, "_seen", find_keys)
    assert receive(storage, bounce_list, email="c@x")
    threads[0].join(10)
    assert deleted == [1]


@pytest.mark.parametrize("engine", ["mysql"], indirect=True)
@pytest.mark.parametrize("age", [1, 50])
def test_long_deletion_delays_no_other_list(
    storage: Storage, bounce_list: int, source: Source, monkeypatch, age: int
):
    """It locks no record of an earlier deletion or event."""
    other = storage.accounts.add("another").bounce_list
    earlier = NOW - age * HOUR
    for each in (bounce_list, other):
        storage.bounces.put(each, [bounce("a@x"), bounce("b@x")])
        delete(storage, each, BounceQuery(emails=("b@x",)), now=earlier)
        receive(storage, each, key="old", now=earlier)
    started, may_end, done = threading.Event(), threading.Event(), list[str]()
    delete_now = BounceStore._delete_and_record

    def delete_slowly(store: BounceStore, id_: int, *others, **more) -> int:
        deleted = delete_now(store, id_, *others, **more)
        if id_ == bounce_list:
            started.set()
            may_end.wait(10)
        return deleted

    monkeypatch.setattr(BounceStore, "_delete_and_record", delete_slowly)

    def change_other() -> None:
        receive(storage, other, key="new", email="c@x")
        delete(storage, other, BounceQuery(emails=("a@x",)), now=NOW)
        done.append("in time")

    slow = threading.Thread(target=lambda: delete(storage, bounce_list, now=NOW))
    quick = threading.Thread(target=change_other)
    slow.start()
    started.wait(10)
    quick.start()
    quick.join(5)
    found = [*done]
    may_end.set()
    slow.join()
    quick.join()
    assert found == ["in time"]


def test_event_of_an_unknown_address_is_listed(storage: Storage, bounce_list: int):
    assert receive(storage, bounce_list)
    assert stored(storage, bounce_list) == [("a@example.com", NOW, "5.1.1")]


@pytest.mark.parametrize(
    ("created", "is_listed"), [(NOW - 1, False), (NOW, True), (NOW + 1, True)]
)
def test_event_replaces_an_older_bounce_only(
    storage: Storage, bounce_list: int, created: int, is_listed: bool
):
    storage.bounces.put(bounce_list, [bounce("A@example.com", status="4.2.2")])

    assert receive(storage, bounce_list, created=created) is is_listed
    expected = (
        ("a@example.com", created, "5.1.1")
        if is_listed
        else ("A@example.com", NOW, "4.2.2")
    )
    assert stored(storage, bounce_list) == [expected]


def test_event_only_for_unknown_addresses_replaces_nothing(
    storage: Storage, bounce_list: int
):
    assert receive(storage, bounce_list, status="5.0.0", only_if_unknown=True)
    assert not receive(
        storage, bounce_list, key="2", created=NOW + 1, only_if_unknown=True
    )
    assert stored(storage, bounce_list) == [("a@example.com", NOW, "5.0.0")]


def test_events_of_one_request_are_compared_with_each_other(
    storage: Storage, bounce_list: int
):
    given = [
        ReceivedBounce(bounce(created=NOW + 1), "1"),
        ReceivedBounce(bounce(created=NOW), "2"),
        ReceivedBounce(bounce(created=NOW + 2), "1"),
        ReceivedBounce(bounce("b@example.com"), ""),
        ReceivedBounce(bounce("B@example.com", created=NOW + 3), ""),
    ]
    listed = storage.sources.receive(bounce_list, given, (), NOW)

    assert listed == [True, False, False, True, True]
    assert stored(storage, bounce_list) == [
        ("a@example.com", NOW + 1, "5.1.1"),
        ("B@example.com", NOW + 3, "5.1.1"),
    ]


def test_repeated_event_is_without_effect_for_48_hours_after_its_last_repeat(
    storage: Storage, bounce_list: int
):
    assert receive(storage, bounce_list)
    storage.bounces.delete(bounce_list, EVERYTHING, clock=FixedClock())

    for hours in (0, 47, 94):
        assert not receive(storage, bounce_list, now=NOW + hours * HOUR)
    assert receive(storage, bounce_list, now=NOW + 143 * HOUR)


def test_keys_of_ignored_events_are_kept_rows(storage: Storage, bounce_list: int):
    storage.sources.receive(bounce_list, [], ["token"], NOW)
    assert not receive(storage, bounce_list, key="token")
    assert receive(storage, bounce_list, key="other")


def test_keys_are_kept_for_each_list(storage: Storage, bounce_list: int):
    other = storage.accounts.get("other").bounce_list
    assert receive(storage, bounce_list)
    assert receive(storage, other)


def test_46_repeats_within_30_hours_leave_one_row_and_a_deletion_holds(
    storage: Storage, bounce_list: int, source: Source
):
    first = receive(storage, bounce_list)
    for repeat in range(1, 46):
        now = NOW + repeat * 40 * 60
        if repeat == 23:
            assert len(stored(storage, bounce_list)) == 1
            assert delete(storage, bounce_list, now=now) == 1
        # The identifier of an event can differ between its repeats.
        key = "k" if repeat % 2 else f"k{repeat}"
        assert receive(storage, bounce_list, key=key, now=now) is (
            repeat % 2 == 0 and repeat < 23
        )
    assert first
    assert stored(storage, bounce_list) == []


@pytest.mark.parametrize(
    ("query", "facts", "holds"),
    [
        (EVERYTHING, {}, True),
        (EVERYTHING, {"email": "new@example.com"}, True),
        (EVERYTHING, {"created": NOW + HOUR}, True),
        (EVERYTHING, {"created": NOW + HOUR + 1}, False),
        (BounceQuery(emails=("A@Example.com",)), {}, True),
        (BounceQuery(emails=("A@Example.com",)), {"email": "b@example.com"}, False),
        (BounceQuery(type=BounceType.HARD), {}, True),
        (BounceQuery(type=BounceType.HARD), {"status": "4.2.2"}, False),
        (BounceQuery(excluded_type=BounceType.SOFT), {}, True),
        (BounceQuery(excluded_type=BounceType.SOFT), {"status": "4.2.2"}, False),
        (BounceQuery(created_from=NOW), {}, True),
        (BounceQuery(created_from=NOW), {"created": NOW - 1}, False),
        (BounceQuery(created_before=NOW + 1), {}, True),
        (BounceQuery(created_before=NOW + 1), {"created": NOW + 1}, False),
    ],
)
def test_deletion_holds_against_events_that_it_would_have_removed(
    storage: Storage,
    bounce_list: int,
    source: Source,
    query: BounceQuery,
    facts: dict,
    holds: bool,
):
    storage.bounces.put(bounce_list, [bounce()])
    assert delete(storage, bounce_list, query, now=NOW + HOUR) == 1

    assert receive(storage, bounce_list, **facts) is not holds


def test_deletion_holds_for_48_hours(storage: Storage, bounce_list: int, source):
    storage.bounces.put(bounce_list, [bounce()])
    delete(storage, bounce_list, now=NOW)

    assert not receive(storage, bounce_list, key="1", now=NOW + 48 * HOUR)
    assert receive(storage, bounce_list, key="2", now=NOW + 96 * HOUR + 1)


def test_deletion_in_the_future_of_a_clock_that_was_reset_does_not_hold(
    storage: Storage, bounce_list: int, source: Source
):
    storage.bounces.put(bounce_list, [bounce()])
    delete(storage, bounce_list, now=NOW + 9_000 * HOUR)

    receive(storage, bounce_list, email="b@example.com", key="1")
    assert receive(storage, bounce_list, key="2", now=NOW + 1, created=NOW + 1)


@pytest.mark.parametrize(
    ("queries", "rows"),
    [
        ([EVERYTHING], 1),
        ([EVERYTHING] * 2, 1),
        ([BounceQuery(emails=("a@example.com", "A@example.com", "b@x"))], 1),
        ([BounceQuery(emails=(f"{i}@x", "a@example.com")) for i in range(3)], 1),
        ([BounceQuery(emails=("a@example.com", "2@example.com"))], 2),
        ([BounceQuery(emails=("absent@example.com",))], 0),
    ],
)
def test_deletion_is_kept_once_however_many_rows_it_removes(
    storage: Storage, bounce_list: int, source: Source, queries: list, rows: int
):
    names = [f"{number}@example.com" for number in range(50)]
    for hour in range(3):
        storage.bounces.put(bounce_list, map(bounce, ["a@example.com", *names]))
        delete(storage, bounce_list, *queries, now=NOW + hour * HOUR)

    assert kept_rows(storage) == (0, rows)


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    deletions=st.lists(
        st.builds(
            BounceQuery,
            created_from=st.none() | st.integers(NOW - 5, NOW + 5),
            created_before=st.none() | st.integers(NOW - 5, NOW + 5),
            type=st.none() | st.sampled_from([BounceType.HARD, BounceType.SOFT]),
        ),
        max_size=6,
    )
)
def test_event_is_compared_with_all_deletions(
    storage: Storage, bounce_list: int, source: Source, deletions: list
):
    """Ranges of time may overlap, touch, be open or empty."""
    storage.engine.execute("DELETE FROM deletion")
    given = [
        bounce(f"{created}{status}@example.com", created=NOW + created, status=status)
        for created in range(-6, 7)
        for status in ("5.1.1", "4.2.2")
    ]
    expected = set(given)
    for now, query in enumerate(deletions, NOW - 4):
        storage.bounces.put(bounce_list, given)
        delete(storage, bounce_list, query, now=now)
        expected -= {b for b in given if _matches(query, b) and b.created <= now}
    storage.engine.execute("DELETE FROM bounce")

    received = [ReceivedBounce(each, "") for each in given]
    listed = storage.sources.receive(bounce_list, received, (), NOW)
    assert {b for b, is_listed in zip(given, listed, strict=True) if is_listed} == (
        expected
    )


def _matches(query: BounceQuery, found: Bounce) -> bool:
    return (
        (query.created_from is None or query.created_from <= found.created)
        and (query.created_before is None or found.created < query.created_before)
        and query.type in (None, found.type)
    )


def test_event_is_compared_with_few_of_many_deletions(
    storage: Storage, bounce_list: int, source: Source, monkeypatch
):
    """Ranges of time are looked up, so that thousands of deletions are harmless."""
    for number in range(0, 400, 2):
        storage.bounces.put(bounce_list, [bounce(created=NOW + number)])
        query = BounceQuery(created_from=NOW + number, created_before=NOW + number + 1)
        assert delete(storage, bounce_list, query, now=NOW + HOUR) == 1
    compared = []
    is_in = deletions._is_in
    monkeypatch.setattr(
        deletions, "_is_in", lambda *ranges: compared.append(ranges) or is_in(*ranges)
    )
    names = [bounce(f"{number}@x", created=NOW + number) for number in range(400)]
    received = [ReceivedBounce(each, "") for each in names]

    listed = storage.sources.receive(bounce_list, received, (), NOW + HOUR)
    assert listed == [False, True] * 200
    assert len(compared) == 400


def test_number_of_recorded_conditions_is_limited(
    storage: Storage, bounce_list: int, source: Source, monkeypatch
):
    """Each request of a source reads all of them; the newest hold."""
    monkeypatch.setattr(deletions, "MAX_CONDITIONS", 20)
    numbers = []
    for number in range(50):
        created = NOW + number
        storage.bounces.put(bounce_list, [bounce(created=created)])
        query = BounceQuery(created_from=created, created_before=created + 1)
        assert delete(storage, bounce_list, query, now=NOW + HOUR + number) == 1
        numbers.append(kept_rows(storage)[1])

    assert max(numbers) == 20
    assert [
        receive(
            storage,
            bounce_list,
            key=f"{number}",
            created=NOW + number,
            now=NOW + 2 * HOUR,
        )
        for number in (0, 10, 40, 49)
    ] == [True, True, False, False]


def test_deletions_are_not_kept_without_a_source(storage: Storage, bounce_list: int):
    storage.bounces.put(bounce_list, [bounce()])
    assert delete(storage, bounce_list, now=NOW) == 1
    assert kept_rows(storage) == (0, 0)


def test_old_keys_and_deletions_are_purged(
    storage: Storage, bounce_list: int, source: Source
):
    for day in range(5):
        now = NOW + day * 24 * HOUR
        storage.bounces.put(bounce_list, [bounce(f"{day}@x")])
        query = BounceQuery(emails=(f"{day}@x",))
        delete(storage, bounce_list, query, now=now)
        receive(storage, bounce_list, key=f"{day}", now=now)
    assert kept_rows(storage) == (3, 3)


def test_a_request_purges_little_more_than_it_adds(
    storage: Storage, bounce_list: int, source: Source, monkeypatch
):
    """The records of a busy day would delay a small request by seconds."""
    monkeypatch.setattr(rows, "CHUNK_SIZE", 2)
    monkeypatch.setattr(rows, "MIN_PURGED", 2)
    given = [ReceivedBounce(bounce(f"{number}@x"), f"{number}") for number in range(9)]
    storage.sources.receive(bounce_list, given, (), NOW)
    query = BounceQuery(emails=tuple(f"{number}@x" for number in range(9)))
    assert delete(storage, bounce_list, query, now=NOW) == 9

    now = NOW + 49 * HOUR
    storage.sources.purge(now, now, 1)
    assert kept_rows(storage) == (5, 7)
    storage.sources.purge(now, now, 2)
    assert kept_rows(storage) == (0, 5)
    assert delete(storage, bounce_list, query, now=now) == 0  # adds no record
    assert kept_rows(storage) == (0, 3)
    storage.bounces.put(bounce_list, [bounce("1@x"), bounce("2@x")])
    assert delete(storage, bounce_list, query, now=now) == 2
    assert kept_rows(storage) == (0, 2)  # the new ones


def test_deletion_of_everything_purges_little(
    storage: Storage, bounce_list: int, source: Source, monkeypatch
):
    """A deletion of any number of bounces is recorded in one row."""
    monkeypatch.setattr(rows, "MIN_PURGED", 0)
    given = [bounce(f"{number}@x") for number in range(9)]
    query = BounceQuery(emails=tuple(each.email for each in given))
    for chosen, now, kept in ((query, NOW, 9), (EVERYTHING, NOW + 49 * HOUR, 8)):
        storage.bounces.put(bounce_list, given)
        assert delete(storage, bounce_list, chosen, now=now) == 9
        assert kept_rows(storage) == (0, kept)


def test_purge_that_fails_does_not_fail_the_deletion(
    storage: Storage, bounce_list: int, source: Source, monkeypatch
):
    """Which has been committed."""
    storage.bounces.put(bounce_list, [bounce()])
    monkeypatch.setattr(
        deletions.DeletionStore, "purge", Mock(side_effect=StorageError("locked"))
    )
    assert delete(storage, bounce_list, now=NOW) == 1


def test_records_that_are_renewed_meanwhile_are_not_purged(
    storage: Storage, bounce_list: int, source: Source, monkeypatch
):
    receive(storage, bounce_list, key="old", now=NOW)
    delete(storage, bounce_list, BounceQuery(emails=("a@example.com",)), now=NOW)
    assert kept_rows(storage) == (1, 1)
    now = NOW + 60 * HOUR
    original = rows.delete_rows

    def renew_and_delete(engine, field, found, *conditions):
        for table, column in (("deletion", "deleted"), ("source_event", "seen")):
            engine.execute(f"UPDATE {table} SET {column} = {now}")
        return original(engine, field, found, *conditions)

    monkeypatch.setattr(rows, "delete_rows", renew_and_delete)
    receive(storage, bounce_list, key="new", email="b@x", now=now)
    assert kept_rows(storage) == (2, 1)


def test_many_events_arrive_at_once(storage: Storage, bounce_list: int, source: Source):
    given = [ReceivedBounce(bounce(f"{i}@x"), f"{i}") for i in range(2_345)]
    assert all(storage.sources.receive(bounce_list, given, (), NOW))
    assert not any(storage.sources.receive(bounce_list, given, (), NOW))
    assert storage.bounces.count(bounce_list, EVERYTHING) == 2_345


def test_snapshot_holds_keys_but_not_sources(
    storage: Storage, bounce_list: int, source: Source
):
    receive(storage, bounce_list)
    storage.snapshots.take("one", NOW)
    receive(storage, bounce_list, key="2", email="b@example.com")
    storage.snapshots.restore("one")
    restored = storage.accounts.get("acme").bounce_list

    assert [found.name for found in storage.sources.all()] == ["hook"]
    assert not receive(storage, restored)
    assert receive(storage, restored, key="2", email="b@example.com")


@pytest.mark.parametrize(
    ("saved", "present"),
    [("account", "acme"), ("acme", "account"), ("acme", "other"), ("acme", "acme")],
)
def test_restored_snapshot_keeps_the_sources_of_the_same_owners(
    storage: Storage, saved: str, present: str
):
    """Events would be listed for another account that has the name."""
    accounts = storage.accounts
    acme, other = accounts.add("acme"), accounts.add("other")

    def add(holder: str) -> None:
        if holder == "account":
            accounts.add("x.org")
        else:
            accounts.add_domain("x.org", acme if holder == "acme" else other)

    def remove(holder: str) -> None:
        if holder == "account":
            accounts.remove("x.org")
        else:
            accounts.remove_domain("x.org")

    add(saved)
    storage.snapshots.take("one", NOW)
    remove(saved)
    add(present)
    storage.sources.add("hook", "x.org", "postmark", SourceSettings())
    storage.snapshots.restore("one")
    found = [source.name for source in storage.sources.all()]
    assert found == (["hook"] if saved == present else [])


def test_restored_customer_of_another_reseller_has_no_sources(storage: Storage):
    accounts = storage.accounts
    first, second = accounts.add("first"), accounts.add("second")
    accounts.add("customer", first)
    storage.snapshots.take("one", NOW)
    accounts.remove("customer")
    accounts.add("customer", second)
    storage.sources.add("hook", "customer", "postmark", SourceSettings())
    storage.snapshots.restore("one")
    assert storage.sources.all() == []


def test_concurrent_requests_list_an_event_once(
    storage: Storage, bounce_list: int, database_url: str, source: Source
):
    listed: list[bool] = []

    def post() -> None:
        with closing(open_storage(database_url)) as other:
            for number in range(20):
                given = [ReceivedBounce(bounce(), f"{number}")]
                listed.extend(other.sources.receive(bounce_list, given, (), NOW))

    threads = [threading.Thread(target=post) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sum(listed) == 20
    assert len(listed) == 80


@settings(
    max_examples=30,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    steps=st.lists(
        st.tuples(st.sampled_from("ab"), st.integers(0, 4), st.booleans()), max_size=12
    )
)
def test_list_has_the_newest_event_since_the_last_deletion(
    storage: Storage, bounce_list: int, source: Source, steps: list
):
    """The order and the number of the copies do not matter."""
    for table in ("bounce", "source_event", "deletion"):
        storage.engine.execute(f"DELETE FROM {table}")
    expected: dict[str, int] = {}
    deleted = {"a": -1, "b": -1}
    for now, (name, age, is_deletion) in enumerate(steps, NOW + 4):
        email = f"{name}@example.com"
        if is_deletion:
            query = BounceQuery(emails=(email,))
            if delete(storage, bounce_list, query, now=now):
                deleted[name] = now
            expected.pop(name, None)
            continue
        created = now - age
        receive(storage, bounce_list, email=email, created=created, key="", now=now)
        if created > deleted[name] and created >= expected.get(name, 0):
            expected[name] = created
    found = {email[0]: created for email, created, _ in stored(storage, bounce_list)}
    assert found == expected


class TestSources:
    def test_source_is_found(self, storage: Storage, source: Source):
        assert storage.sources.get("hook") == source
        assert storage.sources.all() == [source]
        assert (source.path, source.counts) == ("/_sources/hook", SourceCounts())

    def test_unknown_source_is_an_error(self, storage: Storage, source: Source):
        with pytest.raises(UnknownNameError, match="there is no source 'HOOK'"):
            storage.sources.get("HOOK")
        with pytest.raises(UnknownNameError):
            storage.sources.remove("other")

    def test_name_is_taken_once(self, storage: Storage, source: Source):
        with pytest.raises(NameTakenError, match="source 'hook' already exists"):
            storage.sources.add("hook", "other", "mail", SourceSettings())

    def test_number_is_limited(self, storage, source, monkeypatch):
        monkeypatch.setattr(sources, "MAX_SOURCES", 1)
        monkeypatch.setattr(SourceStore, "all", None)  # counting reads no settings
        with pytest.raises(ConflictError, match="already 1 sources"):
            storage.sources.add("more", "other", "mail", SourceSettings())

    def test_settings_change(self, storage: Storage, source: Source):
        changed = SourceSettings(token_file="/t", topics=("arn:1", "arn:2"))
        storage.sources.change("hook", changed)
        assert storage.sources.get("hook").settings == changed

    def test_activity_is_counted(self, storage: Storage, source: Source):
        counts = SourceCounts(listed=2, known=1, ignored=3, skipped=1)
        storage.sources.record("hook", counts, NOW, problem="bad", confirm_url="u")
        storage.sources.refuse("hook", "wrong " * 500, NOW + 1)
        storage.sources.record("hook", SourceCounts(listed=1), NOW + 2)
        found = storage.sources.get("hook")

        assert found.counts == SourceCounts(3, 1, 3, 1, 1)
        assert (found.last_event, found.last_problem) == (NOW + 2, NOW + 1)
        assert (found.problem[:12], len(found.problem)) == ("wrong wrong ", 500)
        assert found.confirm_url == "u"

    @pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
    def test_one_thread_counts_refused_requests(
        self, storage: Storage, source: Source, database_url: str
    ):
        """Other threads do not wait for a locked database: anyone can send requests."""

        def refuse_many() -> list[threading.Thread]:
            threads = [
                threading.Thread(
                    target=storage.sources.refuse, args=("hook", "no", NOW)
                )
                for _ in range(5)
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(0.2)
            assert sum(map(threading.Thread.is_alive, threads)) == 1
            return threads

        with closing(open_storage(database_url)) as other:
            for thread in other.engine.transact(refuse_many):
                thread.join(20)
        assert storage.sources.get("hook").counts.refused == 5

    @pytest.mark.parametrize(
        ("owner", "other"), [("acme", "x.example.com"), ("x.example.com", "acme")]
    )
    def test_sources_go_with_their_owner(
        self, storage: Storage, source: Source, owner: str, other: str
    ):
        storage.accounts.add_domain("x.example.com", storage.accounts.get("other"))
        storage.sources.add("two", "x.example.com", "mail", SourceSettings())
        if owner == "acme":
            storage.accounts.remove(owner)
        else:
            storage.accounts.remove_domain(owner)
        assert [found.owner for found in storage.sources.all()] == [other]

    def test_sources_of_an_owner_are_removed(self, storage: Storage, source: Source):
        storage.sources.add("two", "other", "mail", SourceSettings())
        storage.contents.remove_owned("acme")
        assert [found.name for found in storage.sources.all()] == ["two"]
