"""The bounce store: find, count, page, delete and put, all along the indexes."""

import re
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import fields, replace
from fnmatch import fnmatchcase
from pathlib import Path
from threading import Thread
from unittest.mock import Mock

import pytest
from conftest import bounce
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from sendgrid_bounces.core.bounces import (
    Bounce,
    BouncePage,
    BounceQuery,
    BounceType,
    fold,
)
from sendgrid_bounces.core.clock import Clock
from sendgrid_bounces.core.errors import ParametersError, StorageError
from sendgrid_bounces.storage import bounce_statements as statements
from sendgrid_bounces.storage import bounces as bounces_module
from sendgrid_bounces.storage import spool
from sendgrid_bounces.storage.bounces import BATCH_SIZE, MAX_GLOBS, as_bounce
from sendgrid_bounces.storage.database import Storage, open_storage

QUERIES = {
    "all": BounceQuery(),
    "range": BounceQuery(created_from=10, created_before=20),
    "range of a type": BounceQuery(5, 20, BounceType.HARD),
    "type": BounceQuery(type=BounceType.SOFT),
    "address": BounceQuery(emails=("a@example.com",)),
    "all filters": BounceQuery(5, 20, BounceType.HARD, ("a@example.com", "b@x")),
}

#: Settings for properties that share a database: each example empties its list.
SHARED = settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    max_examples=60,
)


def _found(storage: Storage, bounce_list: int, query=QUERIES["all"], *bounds) -> list:
    batches = storage.bounces.find(bounce_list, query, *bounds)
    return [as_bounce(row) for rows in batches for row in rows]


def test_stored_bounces_are_unchanged(storage: Storage, bounce_list: int) -> None:
    """Every field comes back to the byte, in the order of time."""
    given = [
        bounce("b@example.com", reason="\0 caf\u00e9 \U0001f600 ", created=2),
        bounce("A@Example.com", status="4.2.2", code="452", created=1, reported=True),
    ]
    assert storage.bounces.put(bounce_list, given) == 2

    assert given[::-1] == _found(storage, bounce_list)


def test_put_replaces_the_bounce_of_an_address(
    storage: Storage, bounce_list: int
) -> None:
    """Letter case does not distinguish addresses."""
    storage.bounces.put(bounce_list, [bounce("a@example.com", created=1)])
    newer = bounce("A@EXAMPLE.com", status="4.0.0", created=2)
    storage.bounces.put(bounce_list, [newer])

    assert [newer] == _found(storage, bounce_list)


def test_equal_addresses_are_written_once_and_counted_each(
    storage: Storage, bounce_list: int, monkeypatch
) -> None:
    """More rows than a chunk of the file in which they wait."""
    written = []
    execute = storage.engine.execute_many
    monkeypatch.setattr(
        storage.engine,
        "execute_many",
        lambda text, rows: (written.extend(rows), execute(text, rows)),
    )
    rows = [bounce(f"{'aA'[n % 2]}@example.com", reason=f"{n}") for n in range(2_500)]

    assert storage.bounces.put(bounce_list, rows) == 2_500
    assert [row.reason for row in _found(storage, bounce_list)] == ["2499"]
    assert len(written) == 3


def test_put_without_redate_keeps_the_time(storage: Storage, bounce_list: int) -> None:
    """Applying a seed without times again changes nothing."""
    storage.bounces.put(bounce_list, [bounce(created=1)])
    storage.bounces.put(
        bounce_list, [bounce(created=2), bounce("b@x", created=2)], redate=False
    )

    assert [found.created for found in _found(storage, bounce_list)] == [1, 2]


def test_put_with_an_invalid_bounce_stores_nothing(
    storage: Storage, bounce_list: int
) -> None:
    """The invalid bounce follows several chunks of valid bounces."""
    many = (bounce(f"{i}@example.com") for i in range(2_500))
    bad = (bounce("") for _ in range(1))

    with pytest.raises(ParametersError):
        storage.bounces.put(bounce_list, (b for group in (many, bad) for b in group))
    assert _found(storage, bounce_list) == []


def test_put_consumes_its_input_before_the_transaction(storage, bounce_list) -> None:
    """Other writers do not wait while a long file is read."""

    def bounces():
        for number in range(2_500):
            yield bounce(f"{number}@x")
        assert not storage.engine.connections.thread.in_transaction

    assert storage.bounces.put(bounce_list, bounces()) == 2_500
    assert storage.bounces.count(bounce_list, BounceQuery()) == 2_500


@pytest.mark.slow
@pytest.mark.parametrize("offset", [0, 1, 499, 500, 501, 1_200, 1_201])
@pytest.mark.parametrize("limit", [None, 1, 500, 501, 10_000])
def test_batches_form_one_list(
    storage: Storage, bounce_list: int, limit: int | None, offset: int
) -> None:
    """No row is lost or repeated between batches, although many share an instant."""
    given = [bounce(f"{i}@example.com", created=i // 100) for i in range(1_201)]
    storage.bounces.put(bounce_list, given)
    end = None if limit is None else offset + limit

    batches = list(storage.bounces.find(bounce_list, BounceQuery(), limit, offset))

    assert given[offset:end] == [as_bounce(row) for rows in batches for row in rows]
    assert all(0 < len(rows) <= bounces_module.BATCH_SIZE for rows in batches)


@pytest.mark.parametrize("offset", [0, 3])
def test_find_continues_after_a_row(storage, bounce_list, offset: int) -> None:
    """Rows of the same instant are told apart; an offset counts from there."""
    given = [bounce(f"{i}@x", created=i // 7) for i in range(20)]
    storage.bounces.put(bounce_list, given)
    rows = [
        r for batch in storage.bounces.find(bounce_list, QUERIES["all"]) for r in batch
    ]
    after = rows[8][-2:]
    found = storage.bounces.find(bounce_list, QUERIES["all"], 5, offset, after=after)

    assert [row for batch in found for row in batch] == rows[9 + offset : 14 + offset]


@pytest.mark.parametrize("newest_first", [False, True])
@pytest.mark.parametrize("created", [0, 2, 3, 5, 6, 9])
def test_a_position_may_be_outside_of_a_range_of_time(
    storage, bounce_list, newest_first: bool, created: int
) -> None:
    given = [bounce(f"{i}@x", created=i) for i in range(10)]
    storage.bounces.put(bounce_list, given)
    query = BounceQuery(created_from=3, created_before=6)
    batches = storage.bounces.find(
        bounce_list, query, after=(created, 0), newest_first=newest_first
    )
    found = [as_bounce(row).created for rows in batches for row in rows]

    before = [n for n in (5, 4, 3) if n < created]
    assert found == (before if newest_first else [n for n in (3, 4, 5) if n >= created])


def test_lists_are_counted(storage, bounce_list) -> None:
    """Empty lists are left out."""
    storage.accounts.add("empty")
    storage.bounces.put(bounce_list, [bounce("a@x"), bounce("b@x")])
    other = storage.accounts.get("other").bounce_list

    assert storage.bounce_counts.of_lists() == {bounce_list: 2, other: 1}


def test_full_folder_for_temporary_files_is_reported(
    storage, bounce_list, monkeypatch
) -> None:
    """Nothing is stored."""
    full = Path("/dev/full")
    monkeypatch.setattr(spool.tempfile, "TemporaryFile", lambda: full.open("wb"))
    bounces = (bounce(f"{number}@x") for number in range(3 * spool.CHUNK_SIZE))
    with pytest.raises(StorageError) as raised:
        storage.bounces.put(bounce_list, bounces)

    assert raised.value.reason == (
        "cannot write to the folder for temporary files: No space left on device"
    )
    assert storage.bounces.count(bounce_list, BounceQuery()) == 0


def test_newest_first_reverses_the_order(storage, bounce_list) -> None:
    """Limit and offset apply across batches."""
    given = [bounce(f"{i}@x", created=i // 7) for i in range(600)]
    storage.bounces.put(bounce_list, given)
    batches = storage.bounces.find(
        bounce_list, BounceQuery(), 590, 5, newest_first=True
    )

    assert [as_bounce(row) for rows in batches for row in rows] == given[::-1][5:595]


def test_reading_in_batches_holds_no_transaction(
    storage, bounce_list, database_url
) -> None:
    """Other connections write between batches; later batches show the changes."""
    storage.bounces.put(
        bounce_list, [bounce(f"{i}@x", created=i) for i in range(1_000)]
    )
    batches = storage.bounces.find(bounce_list, BounceQuery())
    seen = [next(batches)]

    other = open_storage(database_url)
    other.bounces.delete(
        bounce_list, BounceQuery(emails=("500@x", "0@x")), clock=Clock()
    )
    other.bounces.put(bounce_list, [bounce("late@x", created=2_000)])
    other.close()
    seen.extend(batches)

    emails = [row[0] for rows in seen for row in rows]
    assert len(emails) == len(set(emails)) == 1_000
    assert "500@x" not in emails
    assert emails[-1] == "late@x"


INSTANTS = st.integers(0, 30)
BOUNCES = st.builds(
    lambda name, status, created: bounce(f"{name}@x", status=status, created=created),
    st.sampled_from("abcdefghA\u00c4\u00e4"),
    st.sampled_from(["5.1.1", "550", "4.0.0", "2.0.0", "Blocked", "\u00c4B|_"]),
    INSTANTS,
)
GLOBS = st.sampled_from(["*", "?@x", "A@X", "*\u00c4*", "%@x", "_@x", "b@*", "|", "!"])

#: The values of each condition.
CONDITIONS: dict[str, st.SearchStrategy[object]] = {
    "created_from": st.none() | INSTANTS,
    "created_before": st.none() | INSTANTS,
    "type": st.sampled_from([None, *BounceType]),
    "excluded_type": st.sampled_from([None, *BounceType]),
    "emails": st.lists(st.sampled_from(["a@x", "B@x", "\u00e4@X", "z@x"])).map(tuple),
    "pattern": st.sampled_from(
        ["", "%@x", "A%", "%\u00c4%", "?@x", "*", "[a]@x", "%%"]
    ),
    "status_glob": st.sampled_from(
        ["", "5*", "?.*", "550", "%", "_.0.0", "!*", "|*", "bLOCK*", "b|?"]
    ),
    "email_globs": st.lists(GLOBS, max_size=3).map(tuple),
}
QUERY = st.builds(BounceQuery, **CONDITIONS)


def _matches(query: BounceQuery, found: Bounce) -> bool:
    """Evaluate *query* in Python instead of SQL."""
    key = fold(found.email)
    return (
        (query.created_from is None or query.created_from <= found.created)
        and (query.created_before is None or found.created < query.created_before)
        and query.type in (None, found.type)
        and query.excluded_type != found.type
        and (not query.emails or key in map(fold, query.emails))
        and (not query.pattern or _fits(fold(query.pattern).split("%"), key))
        and (
            not query.status_glob
            or fnmatchcase(fold(found.status), fold(query.status_glob))
        )
        and (
            not query.email_globs
            or any(fnmatchcase(key, fold(glob)) for glob in query.email_globs)
        )
    )


def _fits(pieces: list[str], text: str) -> bool:
    """Return whether *text* consists of *pieces* with any text between them."""
    return re.fullmatch(".*".join(map(re.escape, pieces)), text, re.DOTALL) is not None


def test_every_condition_is_generated() -> None:
    """A new field of a query needs values here."""
    assert CONDITIONS.keys() == {field.name for field in fields(BounceQuery)}


@SHARED
@given(st.lists(BOUNCES), QUERY)
@example([bounce("b@x")], BounceQuery(emails=("b@x",), pattern="a@x"))
@example([bounce("b@x")], BounceQuery(email_globs=("b@x",), pattern="a@x"))
@example([bounce("b@x", status="Blocked")], BounceQuery(status_glob="bLOCK*"))
def test_find_count_and_delete_select_the_same_bounces(
    storage: Storage, bounce_list: int, given: list[Bounce], query: BounceQuery
) -> None:
    """They agree with the query evaluated in Python, and leave other lists alone."""
    everything = BounceQuery()
    storage.bounces.delete(bounce_list, everything, clock=Clock())
    storage.bounces.put(bounce_list, given)
    stored = {fold(b.email): b for b in given}.values()
    expected = {fold(b.email) for b in stored if _matches(query, b)}

    found = _found(storage, bounce_list, query)
    assert expected == {fold(b.email) for b in found}
    assert sorted(found, key=lambda b: b.created) == found
    assert len(found) == storage.bounces.count(bounce_list, query)
    if query.has_patterns:
        with pytest.raises(ValueError, match="must not have patterns"):
            storage.bounces.delete(bounce_list, query, clock=Clock())
        return
    assert len(found) == storage.bounces.delete(bounce_list, query, clock=Clock())
    left = storage.bounces.count(bounce_list, everything)
    assert len(stored) - len(found) == left
    other = storage.accounts.get("other").bounce_list
    assert storage.bounces.count(other, everything) == 1


#: The statements by name: walks in the order of time, further ones, and pages.
WALKS = {
    "OLDEST": statements.OLDEST,
    "OLDEST_BRIEF": statements.OLDEST_BRIEF,
    "NEWEST": statements.NEWEST,
}
OTHERS = {
    "OLDEST_POSITION": statements.OLDEST_POSITION,
    "NEWEST_POSITION": statements.NEWEST_POSITION,
    "COUNT": statements.COUNT,
    "DELETE": statements.DELETE,
}
PAGES = {
    "FIRST_KEYS": statements.FIRST_KEYS,
    "KEY_POSITION": statements.KEY_POSITION,
    "LAST_KEYS": statements.LAST_KEYS,
}


def _plan(storage, statement, filters: dict, bounce_list: int = 1) -> list:
    text, values = storage.bounces._prepare(statement, bounce_list, filters)
    bounds = sum(
        text.count(f"{word} {p}") for word in ("LIMIT", "OFFSET") for p in "?%"
    )
    values += [1] * bounds
    if storage.engine.name == "mysql":
        text = text.replace("DELETE FROM", "SELECT `id` FROM")  # see execute_delete()
        return storage.engine.fetch(f"EXPLAIN {text}", values)
    return [
        row[3] for row in storage.engine.fetch(f"EXPLAIN QUERY PLAN {text}", values)
    ]


@pytest.mark.parametrize("limit", [3, 100])
def test_search_finds_what_matches_in_the_order_of_keys(
    storage: Storage, bounce_list: int, monkeypatch, limit: int
) -> None:
    monkeypatch.setattr(bounces_module, "SEARCH_SIZE", 10)
    given = [bounce(f"U{i:02}@x{i % 7}.com") for i in range(45)]
    storage.bounces.put(bounce_list, given)
    query = BounceQuery(email_globs=("*@X3.*",))
    found, after = [], None
    while True:
        part = storage.bounces.search(bounce_list, query, limit, after, seconds=60)
        assert part.stopped_at is None
        found += map(as_bounce, part.rows)
        if len(part.rows) < limit:
            break
        after = part.rows[-1][0]

    assert found == given[3::7]


@pytest.mark.parametrize(
    "query",
    [
        BounceQuery(email_globs=("a*",)),
        BounceQuery(email_globs=("a?*b.cc", "x*")),
        BounceQuery(pattern="a%cc"),
    ],
)
def test_patterns_find_letters_beyond_the_basic_plane(
    storage: Storage, bounce_list: int, query: BounceQuery
) -> None:
    """MariaDB's range of an index for LIKE ends at U+FFFF."""
    emails = ["a\uffff@b.cc", "a\U00020000@b.cc", "a😀@b.cc", "ab@b.cc"]
    storage.bounces.put(bounce_list, map(bounce, emails))
    assert storage.bounces.count(bounce_list, query) == len(emails)
    page = storage.bounces.search(bounce_list, query, 10)
    assert sorted(row[0] for row in page.rows) == sorted(emails)


def test_query_may_have_500_globs(storage: Storage, bounce_list: int) -> None:
    """More are invalid, but any number of addresses is looked up."""
    storage.bounces.put(bounce_list, [bounce(f"a{n}@x") for n in range(3)])
    for number in (1, 2, 89, 90, MAX_GLOBS):
        globs = (*(f"b{n}@*" for n in range(number - 1)), "?2@x")
        query = BounceQuery(email_globs=globs)
        assert [b.email for b in _found(storage, bounce_list, query)] == ["a2@x"]
        negated = replace(query, type=BounceType.SOFT)
        assert storage.bounces.count(bounce_list, negated) == 0

    with pytest.raises(ParametersError, match="at most 500 patterns"):
        storage.bounces.count(bounce_list, BounceQuery(email_globs=("a*",) * 501))
    addresses = tuple(f"a{n}@x" for n in range(1_000))
    assert storage.bounces.count(bounce_list, BounceQuery(email_globs=addresses)) == 3


def test_search_stops_when_the_time_is_over(
    storage: Storage, bounce_list: int, monkeypatch
) -> None:
    monkeypatch.setattr(bounces_module, "SEARCH_SIZE", 10)
    storage.bounces.put(bounce_list, [bounce(f"u{i:02}@x") for i in range(25)])
    query, stops, after = BounceQuery(email_globs=("u24*",)), [], ""
    while after is not None:
        found = storage.bounces.search(bounce_list, query, 5, after or None, seconds=0)
        after = found.stopped_at
        stops.append((after, len(found.rows)))

    assert stops == [("u09@x", 0), ("u19@x", 0), (None, 1)]
    assert storage.bounces.count_up_to(bounce_list, "U09@x") == 10


def test_searches_end_in_time(storage, bounce_list, monkeypatch) -> None:
    """The database stops them, so that none goes on after its client has left."""
    is_mysql = storage.engine.name == "mysql"
    number = 100_000 if is_mysql else 30_000
    many = (bounce(f"{index:05}@example.com") for index in range(number))
    storage.bounces.put(bounce_list, many)
    shortest = 0.001 if is_mysql else 0  # MySQL takes 0 for no limit
    monkeypatch.setattr(bounces_module, "SEARCH_TIMEOUT", shortest)
    for query in (
        BounceQuery(pattern="%@example.de%"),
        BounceQuery(email_globs=("*@example.de",)),
        BounceQuery(status_glob="4.*"),
    ):
        with pytest.raises(StorageError, match="the search took too long"):
            storage.bounces.count(bounce_list, query)
        with pytest.raises(StorageError, match="the search took too long"):
            [*storage.bounces.find(bounce_list, query)]

    monkeypatch.setattr(bounces_module, "SEARCH_TIMEOUT", 60)
    limits = []
    search = type(storage.engine).search

    def slow(engine, text: str, values, seconds: float) -> list:
        limits.append(seconds)
        now[0] += 10
        return search(engine, text, values, 60)

    now = [0.0]
    with monkeypatch.context() as patch:
        patch.setattr(bounces_module.time, "monotonic", lambda: now[0])
        patch.setattr(type(storage.engine), "search", slow)
        found = storage.bounces.find(bounce_list, BounceQuery(pattern="%e.com%"))
        assert sum(map(len, found)) == number
    assert limits[0] == 60
    assert 50 < limits[1] < 50.2
    assert limits[-1] == bounces_module.MIN_SEARCH

    everything = BounceQuery(created_from=0, type=BounceType.HARD)
    assert sum(map(len, storage.bounces.find(bounce_list, everything))) == number


def test_long_lists_are_known_without_counting(
    storage: Storage, bounce_list: int
) -> None:
    storage.bounces.put(bounce_list, [bounce(f"{i}@x") for i in range(3)])

    longer = [storage.bounces.has_more_than(bounce_list, n) for n in range(5)]
    assert longer == [True, True, True, False, False]


@pytest.mark.parametrize("name", [*WALKS, *OTHERS])
@pytest.mark.parametrize("query", QUERIES.values(), ids=QUERIES)
@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_queries_are_index_searches(storage, name: str, query) -> None:
    """No query reads rows that do not match; a count reads the index only."""
    filters = bounces_module._filters(query)
    plan = _plan(storage, (WALKS | OTHERS)[name], filters)

    index = "key" if query.emails else "created_id_type"
    assert f"bounce_list_id_{index}" in plan[0]
    assert plan[0].startswith("SEARCH")
    if query.created_from is not None and not query.emails:
        assert "AND created>? AND created<?" in plan[0]
    assert ("TEMP B-TREE" in str(plan)) <= bool(query.emails)
    if name in OTHERS and not query.emails:
        assert "COVERING" in plan[0]


@pytest.mark.parametrize("walk", [statements.OLDEST_FIRST, statements.NEWEST_FIRST])
@pytest.mark.parametrize("query", QUERIES.values(), ids=QUERIES)
@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_batches_of_one_instant_are_index_searches(storage, walk, query) -> None:
    """A batch does not read the rows of its instant that earlier batches had."""
    filters = bounces_module._filters(query)
    same, others = bounces_module._ranges(walk, filters, 12, 1)
    bound = "id>?" if walk.is_ascending else "id<?"
    if not query.emails:
        plan = _plan(storage, walk.rows, same)
        assert f"bounce_list_id=? AND created=? AND {bound})" in plan[0]
        assert "TEMP B-TREE" not in str(plan)
        start = "created>?" if walk.is_ascending else "created<?"
        assert start in _plan(storage, walk.rows, others)[0]


@pytest.mark.parametrize("name", PAGES)
@pytest.mark.parametrize(
    "bounds",
    [
        (),
        ("key_from", "key_before"),
        ("key_after",),
        ("key_after", "key_before"),
        ("key_after", "key_to"),
    ],
)
@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_pages_are_index_searches(storage, name: str, bounds: tuple) -> None:
    """A page begins at its first key, and no rows are sorted."""
    plan = _plan(storage, PAGES[name], dict.fromkeys(bounds, ("a",)))

    assert len(plan) == 1
    assert plan[0].startswith("SEARCH")
    assert "bounce_list_id_key" in plan[0]
    assert bool(bounds) == ("key>?" in plan[0])


@pytest.mark.mysql
@pytest.mark.parametrize("engine", ["mysql"], indirect=True)
def test_mysql_uses_the_same_indexes(storage, bounce_list) -> None:
    """MySQL sorts no rows; a count or a position reads only the index."""
    few = [bounce(f"{n}@x", created=n) for n in range(2_000)]
    storage.bounces.put(bounce_list, few)
    storage.engine.fetch("ANALYZE TABLE bounce")
    walk = {"created_from": (5,), "created_before": (900,)}
    same = {"created": (5,), "id_after": (1,)}
    month = {"created_from": (5,), "created_before": (9,)}
    for name, filters, index in (
        ("OLDEST", walk, "created_id_type"),
        ("OLDEST_POSITION", {}, "created_id_type"),
        ("OLDEST", same, "created_id_type"),
        ("COUNT", same, "created_id_type"),
        ("NEWEST", {"created_before": (900,)}, "created_id_type"),
        ("COUNT", month, "created_id_type"),
        ("OLDEST", {"emails": ("1@x",), "created_from": (1,)}, "key"),
        ("COUNT", {"emails": ("1@x",)}, "key"),
        ("DELETE", {"emails": ("1@x", "2@x")}, "key"),
        ("FIRST_KEYS", {"key_after": ("1",)}, "key"),
        ("LAST_KEYS", {"key_before": ("1",)}, "key"),
    ):
        statement = (WALKS | OTHERS | PAGES)[name]
        ((*_, key, _length, _ref, _rows, extra),) = _plan(
            storage, statement, filters, bounce_list
        )
        assert key == f"bouncerow_bounce_list_id_{index}", name
        assert "filesort" not in extra, name
        if name in ("COUNT", "OLDEST_POSITION"):
            assert "Using index" in extra


@pytest.mark.mysql
@pytest.mark.parametrize("engine", ["mysql"], indirect=True)
@pytest.mark.parametrize("name", ["OLDEST", "COUNT", "DELETE"])
def test_mysql_reads_many_addresses_by_key(storage, bounce_list, name: str) -> None:
    """Otherwise, it would read the whole list for each batch of its addresses."""
    # Of a short list, the server might rather read all.
    given = [bounce(f"{n}@x", created=n) for n in range(10_000)]
    storage.bounces.put(bounce_list, given)
    storage.engine.fetch("ANALYZE TABLE bounce")
    filters = {"emails": [each.email for each in given[:300]]}
    statement = (WALKS | OTHERS | PAGES)[name]
    plan = _plan(storage, statement, filters, bounce_list)
    access, _, index = plan[0][3:6]
    assert (access, index) == ("range", "bouncerow_bounce_list_id_key")


def test_list_that_was_replaced_is_an_error(storage: Storage, bounce_list: int) -> None:
    """A request may have found it before a reset, a restore or a removal."""
    rows = [bounce(f"{n}@x", created=n) for n in range(BATCH_SIZE + 1)]
    storage.bounces.put(bounce_list, rows)
    storage.snapshots.take("before", 0)
    batches = storage.bounces.find(bounce_list, BounceQuery())
    assert len(next(batches)) == BATCH_SIZE
    storage.snapshots.restore("before")

    calls = (
        lambda: next(batches),
        lambda: next(storage.bounces.find(bounce_list, BounceQuery())),
        lambda: storage.bounces.find_newest(bounce_list, BounceQuery(), 10),
        lambda: storage.bounces.page(bounce_list, BouncePage(), 10),
        lambda: storage.bounces.count(bounce_list, BounceQuery()),
        lambda: storage.bounces.delete(bounce_list, BounceQuery(), clock=Clock()),
    )
    for call in calls:
        with pytest.raises(
            StorageError, match="was removed or replaced during the req"
        ):
            call()
    restored = storage.accounts.get("acme").bounce_list
    assert storage.bounces.count(restored, BounceQuery()) == len(rows)


def test_query_shapes_are_compiled_once(storage, bounce_list, monkeypatch) -> None:
    """The text is kept for other values and other lists."""
    other = storage.accounts.get("other").bounce_list
    for some_list in (bounce_list, other):
        storage.bounces.put(some_list, [bounce("b@x", created=10)])
    compiled = []
    original = storage.engine.compile
    monkeypatch.setattr(
        storage.engine, "compile", lambda *a: compiled.append(a) or original(*a)
    )
    for number in range(3):
        for some_list in (bounce_list, other):
            storage.bounces.count(some_list, BounceQuery(created_from=number))

    assert len(compiled) == 1


NAMES = st.text(st.sampled_from("aAb\u00e4\u00c4z\ud7ff\ue000\U0010ffff"), min_size=1)


@SHARED
@given(st.sets(NAMES), NAMES | st.just(""), NAMES, st.integers(1, 4), st.booleans())
def test_pages_are_slices_of_the_sorted_list(
    storage, bounce_list, names, prefix, pivot, limit, backwards
) -> None:
    """This holds in both directions, from any pivot and for any prefix."""
    storage.bounces.delete(bounce_list, BounceQuery(), clock=Clock())
    storage.bounces.put(bounce_list, [bounce(name) for name in sorted(names)])
    keys = sorted({fold(name) for name in names}, key=str.encode)
    keys = [key for key in keys if key.startswith(fold(prefix))]

    def page(*arguments) -> list[str]:
        rows = storage.bounces.page(bounce_list, BouncePage(*arguments), limit)
        return [fold(row[0]) for row in rows]

    if backwards:
        assert page(None, True, prefix) == keys[-limit:]
        before = [key for key in keys if key < fold(pivot)]
        assert page(pivot, True, prefix) == before[-limit:]
    else:
        assert page(None, False, prefix) == keys[:limit]
        after = [key for key in keys if key > fold(pivot)]
        assert page(pivot, False, prefix) == after[:limit]


@pytest.mark.slow
@SHARED
@given(st.data(), st.booleans())
def test_paging_misses_and_repeats_nothing(
    storage, bounce_list, data, backwards
) -> None:
    """Concurrent additions and deletions do not shift the pages."""
    names = [f"{number:02}@x" for number in range(20)]
    stable = data.draw(st.sets(st.sampled_from(names)), "stable")
    changing = sorted(set(names) - stable)
    storage.bounces.delete(bounce_list, BounceQuery(), clock=Clock())
    storage.bounces.put(bounce_list, map(bounce, names))
    seen: list[str] = []
    pivot = None
    while True:
        page = BouncePage(pivot, backwards)
        rows = storage.bounces.page(bounce_list, page, data.draw(st.integers(1, 5)))
        if not rows:
            break
        seen += [row[0] for row in rows][:: -1 if backwards else 1]
        pivot = seen[-1]
        if changing:
            present = data.draw(st.sets(st.sampled_from(changing)))
            storage.bounces.put(bounce_list, map(bounce, sorted(present)))
            absent = set(changing) - present
            if absent:
                storage.bounces.delete(
                    bounce_list, BounceQuery(emails=tuple(absent)), clock=Clock()
                )

    assert seen == sorted(set(seen), reverse=backwards)
    assert stable <= set(seen)


def test_database_is_readable_during_a_write(storage, database_url) -> None:
    """A worker can restart in the middle of a long import."""
    bounce_list = storage.accounts.add("acme").bounce_list

    def write() -> None:
        storage.bounces.put(bounce_list, [bounce()])
        with closing(open_storage(database_url)) as other:
            assert other.bounces.count(bounce_list, BounceQuery()) == 0

    storage.engine.transact(write)
    assert storage.bounces.count(bounce_list, BounceQuery()) == 1


def test_concurrent_puts_of_one_address_leave_one_row(storage, bounce_list) -> None:
    """Threads use connections of their own."""
    with ThreadPoolExecutor(4) as pool:
        list(
            pool.map(
                lambda n: storage.bounces.put(bounce_list, [bounce(created=n)]),
                range(40),
            )
        )

    assert storage.bounces.count(bounce_list, BounceQuery()) == 1


@pytest.mark.parametrize("instants", [1, 2, 7, 400])
@pytest.mark.parametrize("most", [3, 12, 10_000])
@pytest.mark.parametrize(
    "query",
    [
        BounceQuery(),
        BounceQuery(excluded_type=BounceType.SOFT),
        BounceQuery(type=BounceType.SOFT, created_from=1, created_before=5),
        BounceQuery(pattern="%1%@x%"),
        BounceQuery(pattern="a1%"),
        BounceQuery(emails=("a1@x", "a7@x", "nobody@x")),
    ],
    ids=str,
)
def test_newest_rows_have_one_order(
    storage, bounce_list, monkeypatch, query, most, instants
) -> None:
    """Pages of any size follow each other, whether or not instants are shared."""
    monkeypatch.setattr(bounces_module, "MAX_SORTED", most)
    storage.bounces.put(
        bounce_list,
        [
            bounce(
                f"a{n * 7 % 60}@x", created=n * 11 % instants, status=f"{4 + n % 2}.1.1"
            )
            for n in range(60)
        ],
    )
    rows = _found(storage, bounce_list, query)
    expected = [
        b.email for b in sorted(rows, key=lambda b: (-b.created, fold(b.email)))
    ]
    for limit in (1, 4, 60, 500):
        found = []
        for offset in range(0, len(expected) + limit, limit):
            page = storage.bounces.find_newest(bounce_list, query, limit, offset)
            found += [row[0] for row in page]
        assert found == expected


def test_newest_rows_are_those_of_one_state(storage, bounce_list, monkeypatch) -> None:
    """They take several queries, between which other processes can add and delete rows."""
    newer = [bounce(f"b{n}@x", created=100 + n) for n in range(30)]
    storage.bounces.put(bounce_list, [bounce(f"a{n}@x", created=n) for n in range(60)])
    storage.bounces.put(bounce_list, newer)
    fetch = storage.engine.fetch

    def change() -> None:
        emails = tuple(each.email for each in newer)
        query = BounceQuery(emails=emails)
        storage.bounces.delete(bounce_list, query, clock=Clock())

    def fetch_and_change(*args: object) -> list:
        rows = fetch(*args)
        monkeypatch.undo()
        thread = Thread(target=change)
        thread.start()
        thread.join()
        return rows

    monkeypatch.setattr(storage.engine, "fetch", fetch_and_change)
    page = storage.bounces.find_newest(bounce_list, BounceQuery(), 50)
    assert [row[3] for row in page] == [*range(129, 99, -1), *range(59, 39, -1)]
    page = storage.bounces.find_newest(bounce_list, BounceQuery(), 50)
    assert [row[3] for row in page] == [*range(59, 9, -1)]


@pytest.mark.parametrize(
    ("query", "index", "condition"),
    [
        ({"excluded_type": (1,)}, "created_id_type", ""),
        (
            {"excluded_type": (1,), "created_before": (9,), "created_from": (5,)},
            "created_id_type",
            "AND created>? AND created<?",
        ),
        ({"key_from": ("a",), "key_before": ("b",)}, "key", "AND key>? AND key<?"),
        ({"emails": ("a",), "excluded_type": (1,)}, "key", "AND key=?"),
    ],
)
@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_newest_rows_are_index_searches(storage, query, index, condition) -> None:
    """A page is a range of instants; addresses are searched by their index."""
    plan = _plan(storage, statements.NEWEST_BY_KEY, query)
    assert f"bounce_list_id_{index}" in plan[0]
    assert plan[0].startswith("SEARCH")
    assert condition in plan[0]


@pytest.mark.mysql
@pytest.mark.parametrize("engine", ["mysql"], indirect=True)
def test_mysql_searches_newest_rows_by_index(storage, bounce_list) -> None:
    """Positions read only the index of time, and sort nothing."""
    few = [bounce(f"{n}@x", created=n) for n in range(2_000)]
    storage.bounces.put(bounce_list, few)
    storage.engine.fetch("ANALYZE TABLE bounce")
    for statement, filters, index in (
        (statements.NEWEST_POSITION, {"excluded_type": (1,)}, "created_id_type"),
        (
            statements.NEWEST_BY_KEY,
            {"created_before": (900,), "created_from": (800,)},
            "created_id_type",
        ),
        (statements.NEWEST_BY_KEY, {"key_from": ("19",), "key_before": ("1:",)}, "key"),
    ):
        ((*_, key, _length, _ref, _rows, extra),) = _plan(
            storage, statement, filters, bounce_list
        )
        assert key == f"bouncerow_bounce_list_id_{index}"
        if statement is statements.NEWEST_POSITION:
            assert "Using index" in extra
            assert "filesort" not in extra


def test_page_of_newest_rows_takes_few_statements(
    storage, bounce_list, monkeypatch
) -> None:
    """Only one statement reads as many rows as the offset."""
    storage.bounces.put(bounce_list, [bounce(f"{n}@x", created=n) for n in range(100)])
    fetched = []
    fetch = storage.engine.fetch
    monkeypatch.setattr(
        storage.engine, "fetch", lambda *args: fetched.append(args) or fetch(*args)
    )
    for query, offset, number in (
        (BounceQuery(), 0, 4),
        (BounceQuery(), 50, 5),
        (BounceQuery(), 100, 2),
        (BounceQuery(pattern="5%"), 5, 1),
        (BounceQuery(emails=("5@x",)), 0, 1),
    ):
        fetched.clear()
        storage.bounces.find_newest(bounce_list, query, 10, offset)
        assert len(fetched) == number
    fetched.clear()
    storage.bounces.find_newest(bounce_list, BounceQuery(), 10, 50)
    assert [values[-1] for _text, values in fetched][0:4:2] == [50, 9]


@pytest.mark.parametrize(("newer", "offset"), [(0, 0), (0, 30), (3, 0), (3, 2), (3, 3)])
def test_page_of_a_long_instant_is_not_sorted(
    storage, bounce_list, monkeypatch, newer: int, offset: int
) -> None:
    """An import without dates gives all rows the same instant."""
    monkeypatch.setattr(bounces_module, "MAX_SORTED", 100)
    rows = [bounce(f"{n:03}@x", created=5) for n in range(200)]
    rows += [bounce(f"{n:03}@y", created=6 + n) for n in range(newer)]
    storage.bounces.put(bounce_list, rows)
    sorted_ranges: list[tuple[int, ...]] = []
    prepare = storage.bounces._prepare

    def record(statement, number, filters):
        if statement is statements.NEWEST_BY_KEY:
            sorted_ranges.append(filters["created_from"])
        return prepare(statement, number, filters)

    monkeypatch.setattr(storage.bounces, "_prepare", record)
    page = storage.bounces.find_newest(bounce_list, BounceQuery(), 10, offset)
    expected = [f"{n:03}@y" for n in reversed(range(newer))]
    expected += [f"{n:03}@x" for n in range(200)]
    assert [row[0] for row in page] == expected[offset : offset + 10]
    assert sorted_ranges == [(6,)] * (offset < newer)


@pytest.mark.parametrize(("most", "is_sorted"), [(15, False), (25, True)])
def test_page_behind_other_addresses_is_sorted_unless_the_instant_is_vast(
    storage, bounce_list, monkeypatch, most: int, is_sorted: bool
) -> None:
    monkeypatch.setattr(bounces_module, "MAX_SORTED", most)
    rows = [bounce(f"z{n:03}@x", created=5) for n in range(200)]
    rows += [bounce(f"a{n:03}@x", created=4) for n in range(100)]
    storage.bounces.put(bounce_list, rows)
    prepare = Mock(wraps=storage.bounces._prepare)
    monkeypatch.setattr(storage.bounces, "_prepare", prepare)
    page = storage.bounces.find_newest(bounce_list, BounceQuery(), 10, 110)
    assert [row[0] for row in page] == [f"z{n:03}@x" for n in range(110, 120)]
    used = [call.args[0] for call in prepare.call_args_list]
    assert (statements.NEWEST_BY_KEY in used) is is_sorted


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_first_keys_of_an_instant_are_an_index_search(storage) -> None:
    filters = {"created": (5,), "excluded_type": (1,), "key_to": ("a",)}
    (plan,) = _plan(storage, statements.FIRST_KEYS_BRIEF, filters)
    assert "bounce_list_id_key" in plan
    assert "AND key<?" in plan


@pytest.mark.mysql
@pytest.mark.parametrize("engine", ["mysql"], indirect=True)
def test_mysql_finds_first_keys_of_an_instant_by_index(storage, bounce_list) -> None:
    storage.bounces.put(bounce_list, [bounce(f"{n}@x", created=5) for n in range(900)])
    storage.engine.fetch("ANALYZE TABLE bounce")
    filters = {"created": (5,), "key_to": ("2",)}
    (plan,) = _plan(storage, statements.FIRST_KEYS_BRIEF, filters, bounce_list)
    assert plan[5] == "bouncerow_bounce_list_id_key"
    assert "filesort" not in plan[-1]
