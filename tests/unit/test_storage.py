"""The store: it finds what it holds, once, by its indexes, and loses nothing."""

import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from threading import Barrier, Thread

import pytest
from conftest import bounce, leftovers
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sendgrid_bounces.core.bounces import (
    Bounce,
    BouncePage,
    BounceQuery,
    BounceType,
    fold,
)
from sendgrid_bounces.core.errors import (
    NameTakenError,
    ParametersError,
    StorageError,
    UnknownNameError,
)
from sendgrid_bounces.storage import bounces as bounces_module
from sendgrid_bounces.storage.bounces import as_bounce
from sendgrid_bounces.storage.database import Storage, open_storage

QUERIES = {
    "all": BounceQuery(),
    "range": BounceQuery(created_from=10, created_before=20),
    "range of a type": BounceQuery(5, 20, BounceType.HARD),
    "type": BounceQuery(type=BounceType.SOFT),
    "address": BounceQuery(emails=("a@example.com",)),
    "all filters": BounceQuery(5, 20, BounceType.HARD, ("a@example.com", "b@x")),
}


def _found(storage: Storage, bounce_list: int, query=QUERIES["all"], *bounds) -> list:
    batches = storage.bounces.find(bounce_list, query, *bounds)
    return [as_bounce(row) for rows in batches for row in rows]


def test_what_is_put_is_found(storage: Storage, bounce_list: int) -> None:
    """Every fact comes back as it was given."""
    given = [
        bounce("b@example.com", reason="\0 caf\u00e9 \U0001f600 ", created=2),
        bounce("A@Example.com", status="4.2.2", code="452", created=1, reported=True),
    ]
    assert storage.bounces.put(bounce_list, given) == 2

    assert given[::-1] == _found(storage, bounce_list)


def test_an_address_is_on_a_list_once(storage: Storage, bounce_list: int) -> None:
    """Putting it again replaces it, in whatever letter case."""
    storage.bounces.put(bounce_list, [bounce("a@example.com", created=1)])
    newer = bounce("A@EXAMPLE.com", status="4.0.0", created=2)
    storage.bounces.put(bounce_list, [newer])

    assert [newer] == _found(storage, bounce_list)


def test_a_replaced_bounce_can_keep_its_time(
    storage: Storage, bounce_list: int
) -> None:
    """So a seed that names no time changes nothing when it is planted again."""
    storage.bounces.put(bounce_list, [bounce(created=1)])
    storage.bounces.put(
        bounce_list, [bounce(created=2), bounce("b@x", created=2)], redate=False
    )

    assert [found.created for found in _found(storage, bounce_list)] == [1, 2]


def test_a_put_with_one_bad_bounce_stores_nothing(
    storage: Storage, bounce_list: int
) -> None:
    """Also if it comes after many good ones."""
    many = (bounce(f"{i}@example.com") for i in range(2_500))
    bad = (bounce("") for _ in range(1))

    with pytest.raises(ParametersError):
        storage.bounces.put(bounce_list, (b for group in (many, bad) for b in group))
    assert _found(storage, bounce_list) == []


@pytest.mark.parametrize("offset", [0, 1, 499, 500, 501, 1_200, 1_201])
@pytest.mark.parametrize("limit", [None, 1, 500, 501, 10_000])
def test_batches_are_seamless(
    storage: Storage, bounce_list: int, limit: int | None, offset: int
) -> None:
    """Whatever the limit and offset, and although many share an instant."""
    given = [bounce(f"{i}@example.com", created=i // 100) for i in range(1_201)]
    storage.bounces.put(bounce_list, given)
    end = None if limit is None else offset + limit

    batches = list(storage.bounces.find(bounce_list, BounceQuery(), limit, offset))

    assert given[offset:end] == [as_bounce(row) for rows in batches for row in rows]
    assert all(0 < len(rows) <= bounces_module.BATCH for rows in batches)


def test_a_walk_holds_no_transaction(storage, bounce_list, database_url) -> None:
    """While somebody reads slowly, others write, and the rest is read as it is then."""
    storage.bounces.put(
        bounce_list, [bounce(f"{i}@x", created=i) for i in range(1_000)]
    )
    walk = storage.bounces.find(bounce_list, BounceQuery())
    seen = [next(walk)]

    other = open_storage(database_url)
    other.bounces.delete(bounce_list, BounceQuery(emails=("500@x", "0@x")))
    other.bounces.put(bounce_list, [bounce("late@x", created=2_000)])
    other.close()
    seen.extend(walk)

    emails = [row[0] for rows in seen for row in rows]
    assert len(emails) == len(set(emails)) == 1_000
    assert "500@x" not in emails
    assert emails[-1] == "late@x"


INSTANTS = st.integers(0, 30)
BOUNCES = st.builds(
    lambda name, status, created: bounce(f"{name}@x", status=status, created=created),
    st.sampled_from("abcdefghA\u00c4\u00e4"),
    st.sampled_from(["5.1.1", "550", "4.0.0", "2.0.0"]),
    INSTANTS,
)
QUERY = st.builds(
    BounceQuery,
    created_from=st.none() | INSTANTS,
    created_before=st.none() | INSTANTS,
    type=st.sampled_from([None, *BounceType]),
    emails=st.lists(st.sampled_from(["a@x", "B@x", "\u00e4@X", "z@x"])).map(tuple),
)


def _matches(query: BounceQuery, found: Bounce) -> bool:
    """Say in Python what the query says in SQL."""
    return (
        (query.created_from is None or query.created_from <= found.created)
        and (query.created_before is None or found.created < query.created_before)
        and query.type in (None, found.type)
        and (not query.emails or fold(found.email) in map(fold, query.emails))
    )


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    deadline=None,
    max_examples=60,
)
@given(st.lists(BOUNCES), QUERY)
def test_find_count_and_delete_mean_the_same(
    storage: Storage, bounce_list: int, given: list[Bounce], query: BounceQuery
) -> None:
    """They agree with the plain meaning of the query, and with each other."""
    everything = BounceQuery()
    storage.bounces.delete(bounce_list, everything)
    storage.bounces.put(bounce_list, given)
    held = {fold(b.email): b for b in given}.values()
    expected = {fold(b.email) for b in held if _matches(query, b)}

    found = _found(storage, bounce_list, query)
    assert expected == {fold(b.email) for b in found}
    assert sorted(found, key=lambda b: b.created) == found
    assert len(found) == storage.bounces.count(bounce_list, query)
    assert len(found) == storage.bounces.delete(bounce_list, query)
    left = storage.bounces.count(bounce_list, everything)
    assert len(held) - len(found) == left
    assert (
        storage.bounces.count(storage.accounts.get("other").bounce_list, everything)
        == 1
    )


def _plan(storage, operation: str, filters: dict, bounce_list: int = 1) -> list:
    text = storage.bounces._text(operation, bounces_module._shape(filters))
    places = text.count("LIMIT ?") + text.count("OFFSET ?")
    places += text.count("LIMIT %s") + text.count("OFFSET %s")
    values = [*bounces_module._values(bounce_list, filters), *[1] * places]
    if storage.engine.name == "mysql":
        return storage.engine.fetch(f"EXPLAIN {text}", values)
    return [
        row[3] for row in storage.engine.fetch(f"EXPLAIN QUERY PLAN {text}", values)
    ]


OPERATIONS = (
    "oldest",
    "oldest brief",
    "oldest position",
    "newest",
    "newest position",
    "count",
    "delete",
)


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("query", QUERIES.values(), ids=QUERIES)
@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_every_query_is_an_index_search(storage, operation: str, query) -> None:
    """No query looks at rows that are not meant; a count reads the index alone."""
    filters = bounces_module._filters(query)
    if operation in ("oldest", "oldest brief", "newest"):
        filters["earlier" if operation == "newest" else "later"] = (5, 1)
    plan = _plan(storage, operation, filters)

    index = "key" if query.emails else "created_id_type"
    assert f"bounce_list_id_{index}" in plan[0]
    assert plan[0].startswith("SEARCH")
    if query.created_from is not None and not query.emails:
        assert "AND created>? AND created<?" in plan[0]
    assert ("TEMP B-TREE" in str(plan)) <= bool(query.emails)
    if operation not in ("oldest", "oldest brief", "newest") and not query.emails:
        assert "COVERING" in plan[0]


@pytest.mark.parametrize("operation", ["first keys", "last keys"])
@pytest.mark.parametrize(
    "bounds",
    [(), ("key_from", "key_before"), ("key_after",), ("key_after", "key_before")],
)
@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_every_page_is_an_index_search(storage, operation: str, bounds: tuple) -> None:
    """It begins where the page begins, and nothing is sorted."""
    plan = _plan(storage, operation, dict.fromkeys(bounds, ("a",)))

    assert len(plan) == 1
    assert plan[0].startswith("SEARCH")
    assert "bounce_list_id_key" in plan[0]
    assert bool(bounds) == ("key>?" in plan[0])


@pytest.mark.mysql
@pytest.mark.parametrize("engine", ["mysql"], indirect=True)
def test_mysql_walks_and_looks_up_by_index(storage, bounce_list) -> None:
    """It sorts nothing, and reads the index alone for a count."""
    few = [bounce(f"{n}@x", created=n) for n in range(2_000)]
    storage.bounces.put(bounce_list, few)
    storage.engine.fetch("ANALYZE TABLE bounce")
    walk = {"created_from": (5,), "created_before": (900,), "later": (5, 5, 1)}
    for operation, filters, index in (
        ("oldest", walk, "created_id_type"),
        ("oldest position", {}, "created_id_type"),
        ("newest", {"earlier": (900, 900, 1)}, "created_id_type"),
        ("count", {"created_from": (5,), "created_before": (9,)}, "created_id_type"),
        ("oldest", {"emails": ("1@x",), "created_from": (1,)}, "key"),
        ("count", {"emails": ("1@x",)}, "key"),
        ("delete", {"emails": ("1@x", "2@x")}, "key"),
        ("first keys", {"key_after": ("1",)}, "key"),
        ("last keys", {"key_before": ("1",)}, "key"),
    ):
        ((*_, key, _length, _ref, _rows, extra),) = _plan(
            storage, operation, filters, bounce_list
        )
        assert key == f"bouncerow_bounce_list_id_{index}", operation
        assert "filesort" not in extra, operation
        if operation in ("count", "oldest position"):
            assert "Using index" in extra


NAMES = st.text(st.sampled_from("aAb\u00e4\u00c4z\ud7ff\ue000\U0010ffff"), min_size=1)


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    deadline=None,
    max_examples=60,
)
@given(st.sets(NAMES), NAMES | st.just(""), NAMES, st.integers(1, 4), st.booleans())
def test_pages_are_the_sorted_list_in_slices(
    storage, bounce_list, names, prefix, pivot, limit, backwards
) -> None:
    """Forwards and backwards, from any pivot, of any prefix, in the order of bytes."""
    storage.bounces.delete(bounce_list, BounceQuery())
    storage.bounces.put(bounce_list, [bounce(name) for name in sorted(names)])
    held = sorted({fold(name) for name in names}, key=str.encode)
    held = [key for key in held if key.startswith(fold(prefix))]

    def page(*arguments) -> list[str]:
        rows = storage.bounces.page(bounce_list, BouncePage(*arguments), limit)
        return [fold(row[0]) for row in rows]

    if backwards:
        assert page(None, True, prefix) == held[-limit:]
        before = [key for key in held if key < fold(pivot)]
        assert page(pivot, True, prefix) == before[-limit:]
    else:
        assert page(None, False, prefix) == held[:limit]
        after = [key for key in held if key > fold(pivot)]
        assert page(pivot, False, prefix) == after[:limit]


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    deadline=None,
    max_examples=60,
)
@given(st.data(), st.booleans())
def test_a_walk_over_pages_misses_and_repeats_nothing(
    storage, bounce_list, data, backwards
) -> None:
    """Whatever others add and delete between its pages."""
    names = [f"{number:02}@x" for number in range(20)]
    some = st.sets(st.sampled_from(names))
    stay = data.draw(some, "stay")
    come_and_go = sorted(set(names) - stay)
    storage.bounces.delete(bounce_list, BounceQuery())
    storage.bounces.put(bounce_list, map(bounce, names))
    seen: list[str] = []
    pivot = None
    while True:
        where = BouncePage(pivot, backwards)
        rows = storage.bounces.page(bounce_list, where, data.draw(st.integers(1, 5)))
        if not rows:
            break
        seen += [row[0] for row in rows][:: -1 if backwards else 1]
        pivot = seen[-1]
        if come_and_go:
            changed = data.draw(st.sets(st.sampled_from(come_and_go)))
            storage.bounces.put(bounce_list, map(bounce, sorted(changed)))
            gone = set(come_and_go) - changed
            if gone:
                storage.bounces.delete(bounce_list, BounceQuery(emails=tuple(gone)))

    assert seen == sorted(set(seen), reverse=backwards)
    assert stay <= set(seen)


def test_the_newest_come_first_if_asked(storage, bounce_list) -> None:
    """With limit and offset, across batches."""
    given = [bounce(f"{i}@x", created=i // 7) for i in range(600)]
    storage.bounces.put(bounce_list, given)
    batches = storage.bounces.find(
        bounce_list, BounceQuery(), 590, 5, newest_first=True
    )

    assert [as_bounce(row) for rows in batches for row in rows] == given[::-1][5:595]


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_an_account_is_found_by_its_index(storage: Storage) -> None:
    """Every request begins with this look-up."""
    plan = storage.engine.fetch(f"EXPLAIN QUERY PLAN {storage.accounts._find}", ("a",))

    assert "username=?" in plan[0][3]


def test_a_removed_account_takes_all_that_is_its_own(storage: Storage) -> None:
    """Its customers, domains, lists and bounces, and nobody else's."""
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
    assert storage.accounts.remove("reseller") == 2
    assert [other] == storage.accounts.all()
    assert shared.bounce_list == other.bounce_list
    assert [(other.bounce_list,)] == storage.engine.fetch(
        "SELECT bounce_list_id FROM bounce"
    )
    assert leftovers(storage) == (0, 0)


@pytest.mark.parametrize("newest", [0, 1])
def test_no_list_has_the_identifier_of_one_before(storage: Storage, newest) -> None:
    """A request on its way that meant a removed list cannot write to another's."""
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


def test_what_another_name_has_is_left_alone(storage: Storage) -> None:
    """Removing an account or a domain takes no list that still has a name."""
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
        for bounce_list in (acme.bounce_list, kept.bounce_list, gone.bounce_list)
    ] == [1, 1, 0]


def test_all_is_checked_before_anything_is_stored(storage, bounce_list) -> None:
    """So nobody waits for a lock while a long file is read."""

    def bounces():
        for number in range(2_500):
            yield bounce(f"{number}@x")
        assert not storage.engine._database.in_transaction()

    assert storage.bounces.put(bounce_list, bounces()) == 2_500
    assert storage.bounces.count(bounce_list, BounceQuery()) == 2_500


def test_names_are_unique_and_kept_by_their_owner(storage: Storage) -> None:
    """A second account or another's domain is refused; one's own is there already."""
    acme, other = storage.accounts.add("acme"), storage.accounts.add("other")
    own = storage.accounts.add_domain("a.example", acme)

    assert own == storage.accounts.add_domain("a.example", acme)
    with pytest.raises(NameTakenError, match=r"a\.example"):
        storage.accounts.add_domain("a.example", other)
    with pytest.raises(NameTakenError, match="acme"):
        storage.accounts.add("acme")
    with pytest.raises(UnknownNameError, match="nobody"):
        storage.accounts.remove("nobody")
    with pytest.raises(ParametersError, match="printable"):
        storage.accounts.add("a\nb")


def test_a_name_is_free_for_one_of_those_who_want_it_at_once(storage: Storage) -> None:
    """One makes the account, and the others hear that it is there."""
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


def test_threads_that_have_ended_leave_no_connections(database_url: str) -> None:
    """A server that makes a thread for each request does not run out of them."""
    with closing(open_storage(database_url)) as storage:
        open_database: list[object] = []
        for _ in range(10):
            thread = Thread(target=lambda: open_database.append(storage.accounts.all()))
            thread.start()
            thread.join()
        assert len(open_database) == 10
        storage.accounts.all()
        assert len(storage.engine._database._connections) <= 2


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("postgres://localhost/x", "sqlite://"),
        ("", "sqlite://"),
        ("http://[::1", "no URL"),
        ("sqlite:bounces.db", "three slashes"),
        ("sqlite://bounces.db", "three slashes"),
        ("sqlite:///", "three slashes"),
        ("sqlite:///:memory:", "one thread"),
        ("sqlite:////no/such/folder/b.db", "no folder /no/such/folder"),
        ("sqlite:///b.db?synchronous=maybe", "synchronous="),
        ("sqlite:///b.db?cache=shared", "synchronous="),
        ("sqlite:///b.db?synchronus", "synchronous="),
    ],
)
def test_a_wrong_url_is_told_in_words(url: str, words: str) -> None:
    """And nothing is made."""
    with pytest.raises(StorageError, match=words):
        open_storage(url)


@pytest.mark.parametrize(
    ("option", "level"),
    [
        ("", 2),
        ("?synchronous=full", 2),
        ("?synchronous=normal", 1),
        ("?synchronous=off", 0),
    ],
)
def test_a_change_is_on_disk_unless_the_url_says_less(tmp_path, option, level) -> None:
    """Readers and a writer do not wait for each other, and keys are enforced."""
    with closing(open_storage(f"sqlite:///{tmp_path}/b.sqlite3{option}")) as storage:
        pragmas = {
            name: storage.engine.fetch(f"PRAGMA {name}")[0][0]
            for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
        }

    assert pragmas == {
        "journal_mode": "wal",
        "synchronous": level,
        "foreign_keys": 1,
        "busy_timeout": 30_000,
    }


def test_a_database_opens_and_is_read_while_somebody_writes(
    storage, database_url
) -> None:
    """So a worker can start again in the middle of a long import."""
    bounce_list = storage.accounts.add("acme").bounce_list
    with storage.engine.transaction():
        storage.bounces.put(bounce_list, [bounce()])
        with closing(open_storage(database_url)) as other:
            assert other.bounces.count(bounce_list, BounceQuery()) == 0


def test_a_file_that_is_no_database_is_left_alone(tmp_path) -> None:
    """The error names the file."""
    path = tmp_path / "letter.txt"
    path.write_text("Dear database, " * 100)

    with pytest.raises(StorageError, match=r"letter\.txt: file is not a database"):
        open_storage(f"sqlite:///{path}")
    assert path.read_text() == "Dear database, " * 100


def test_a_database_of_a_newer_version_is_refused(url: str, tmp_path) -> None:
    """Rather than read wrongly."""
    open_storage(url).close()
    with sqlite3.connect(tmp_path / "bounces.sqlite3") as connection:
        connection.execute("UPDATE about SET schema_version = 999")
    connection.close()

    with pytest.raises(StorageError, match="newer version .*schema 999"):
        open_storage(url)


def test_a_name_in_the_url_may_be_encoded(tmp_path) -> None:
    """Blanks and question marks are possible in file names."""
    open_storage(f"sqlite:///{tmp_path}/a%20b%3Fc.db").close()

    assert (tmp_path / "a b?c.db").exists()
