"""The numbers of bounces by list, type and time, on both database products."""

import pytest
from conftest import NOW, bounce

from sendgrid_bounces.core.bounces import BouncePage, BounceQuery, BounceType
from sendgrid_bounces.core.timezones import DAY
from sendgrid_bounces.storage.bounce_counts import COUNT_TYPES
from sendgrid_bounces.storage.bounces import as_bounce
from sendgrid_bounces.storage.tables import TIME_INDEX

ANCIENT = -60 * 365 * DAY


@pytest.fixture(name="filled")
def _filled(storage, bounce_list: int) -> int:
    """A list with bounces of all types and times."""
    storage.bounces.put(
        bounce_list,
        [
            bounce("a@x", created=NOW),
            bounce("b@x", created=NOW - 1, status="4.2.2"),
            bounce("c@x", created=NOW - DAY, status="550"),
            bounce("d@x", created=ANCIENT, status="unknown"),
        ],
    )
    return bounce_list


def test_numbers_of_lists_and_types(storage, filled: int) -> None:
    other = storage.accounts.get("other").bounce_list

    assert storage.bounce_counts.of_lists() == {filled: 4, other: 1}
    assert storage.bounce_counts.of_types() == {
        filled: {BounceType.HARD: 2, BounceType.SOFT: 1, BounceType.OTHER: 1},
        other: {BounceType.HARD: 1, BounceType.SOFT: 0, BounceType.OTHER: 0},
    }


def test_types_are_counted_along_an_index(storage) -> None:
    """To sort a million rows takes longer than to count them."""
    text = storage.engine.compile(COUNT_TYPES)
    if storage.engine.name == "sqlite":
        ((*_, plan),) = storage.engine.fetch(f"EXPLAIN QUERY PLAN {text}")
        assert plan.endswith(f" USING COVERING INDEX {TIME_INDEX}")
    else:
        ((*_, extra),) = storage.engine.fetch(f"EXPLAIN {text}")
        assert extra == "Using index"


def test_newest_and_oldest_instants(storage, filled: int) -> None:
    assert (storage.bounce_counts.oldest(), storage.bounce_counts.newest()) == (
        ANCIENT,
        NOW,
    )


def test_empty_database_has_no_instants(storage) -> None:
    assert (storage.bounce_counts.oldest(), storage.bounce_counts.newest()) == (
        None,
        None,
    )


def test_histogram_counts_intervals_by_type(storage, filled: int) -> None:
    start = NOW - NOW % DAY - DAY
    of_list = storage.bounce_counts.histogram(start, start + 2 * DAY, DAY, filled)
    of_all = storage.bounce_counts.histogram(start, start + 2 * DAY, DAY)

    assert sorted(of_list) == [
        (0, BounceType.HARD, 1),
        (1, BounceType.SOFT, 1),
        (1, BounceType.HARD, 1),
    ]
    assert sum(n for _, _, n in of_all) == 4
    assert storage.bounce_counts.histogram(ANCIENT, ANCIENT + 10, 10, filled) == [
        (0, BounceType.OTHER, 1)
    ]


def test_last_second_of_a_day_belongs_to_it(storage, bounce_list: int) -> None:
    """The division rounds down, so that each interval is one row."""
    start = NOW - NOW % DAY
    instants = (start, start + 1, start + DAY - 1, start + DAY)
    storage.bounces.put(
        bounce_list, [bounce(f"{instant}@x", created=instant) for instant in instants]
    )
    assert sorted(
        storage.bounce_counts.histogram(start, start + 2 * DAY, DAY, bounce_list)
    ) == [(0, BounceType.HARD, 3), (1, BounceType.HARD, 1)]


def test_pages_by_address_are_filtered(storage, filled: int) -> None:
    hard = BounceQuery(type=BounceType.HARD, created_from=NOW - DAY)
    rows = storage.bounces.page(filled, BouncePage(), 10, hard)

    assert [as_bounce(row).email for row in rows] == ["a@x", "c@x"]


@pytest.mark.parametrize("newest_first", [True, False])
def test_list_continues_after_a_row(storage, filled: int, newest_first: bool) -> None:
    def find(after=None):
        found = storage.bounces.find(
            filled, BounceQuery(), 2, after=after, newest_first=newest_first
        )
        return [row for rows in found for row in rows]

    first = find()
    second = find(first[-1][-2:])
    emails = [row[0] for row in first + second]
    expected = ["d@x", "c@x", "b@x", "a@x"]
    assert emails == (expected[::-1] if newest_first else expected)
    assert find(second[-1][-2:]) == []
