"""The store: it finds what it holds, once, by its indexes, and loses nothing."""

import sqlite3
from dataclasses import replace

import pytest
from conftest import NOW, bounce
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sendgrid_bounces.core.bounces import Bounce, BounceQuery, BounceType, fold
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


@pytest.mark.parametrize("offset", [0, 1, 249, 250, 251, 600, 601])
@pytest.mark.parametrize("limit", [None, 1, 250, 251, 10_000])
def test_batches_are_seamless(
    storage: Storage, bounce_list: int, limit: int | None, offset: int
) -> None:
    """Whatever the limit and offset, and although many share an instant."""
    given = [bounce(f"{i}@example.com", created=i // 100) for i in range(601)]
    storage.bounces.put(bounce_list, given)
    end = None if limit is None else offset + limit

    batches = list(storage.bounces.find(bounce_list, BounceQuery(), limit, offset))

    assert given[offset:end] == [as_bounce(row) for rows in batches for row in rows]
    assert all(0 < len(rows) <= bounces_module.BATCH for rows in batches)


def test_a_walk_holds_no_transaction(storage: Storage, bounce_list: int, url) -> None:
    """While somebody reads slowly, others write, and the rest is read as it is then."""
    storage.bounces.put(
        bounce_list, [bounce(f"{i}@x", created=i) for i in range(1_000)]
    )
    walk = storage.bounces.find(bounce_list, BounceQuery())
    seen = [next(walk)]

    other = open_storage(url)
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


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
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


@pytest.mark.parametrize("operation", ["find", "position", "count", "delete"])
@pytest.mark.parametrize("query", QUERIES.values(), ids=QUERIES)
def test_every_query_is_an_index_search(
    storage: Storage, operation: str, query: BounceQuery
) -> None:
    """No query looks at rows that are not meant; a count reads the index alone."""
    filters = bounces_module._filters(query)
    if operation == "find":
        filters["after"] = (5, 1)
    text = storage.bounces._text(operation, bounces_module._shape(filters))
    bounds = {"find": (250,), "position": (1, 5)}.get(operation, ())
    values = [*bounces_module._values(1, filters), *bounds]
    plan = [
        row[3] for row in storage.engine.fetch(f"EXPLAIN QUERY PLAN {text}", values)
    ]

    index = "key" if query.emails else "created_id_type"
    assert f"bounce_list_id_{index}" in plan[0]
    assert plan[0].startswith("SEARCH")
    if query.created_from is not None and not query.emails:
        assert "AND created>? AND created<?" in plan[0]
    assert ("TEMP B-TREE" in str(plan)) <= bool(query.emails)
    if operation in ("count", "position") and not query.emails:
        assert "COVERING" in plan[0]


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
    assert storage.engine.fetch("SELECT COUNT(*) FROM bounce_list") == [(1,)]


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
    ],
)
def test_a_wrong_url_is_told_in_words(url: str, words: str) -> None:
    """And nothing is made."""
    with pytest.raises(StorageError, match=words):
        open_storage(url)


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


def test_a_bounce_outside_is_the_same_as_inside() -> None:
    """What is stored has all facts already."""
    checked = bounce().checked()

    assert checked == checked.checked() == replace(checked, created=NOW)
