"""Commands that list, count, add and remove bounces."""

import json
import sqlite3
from contextlib import closing

import pytest
from conftest import NOW, bounce

from sendgrid_bounces.cli import queries
from sendgrid_bounces.core.times import parse_instant
from sendgrid_bounces.core.timezones import DAY
from sendgrid_bounces.storage.database import open_storage

#: The days before the frozen clock on which the bounces of :func:`_listed` happened.
BOUNCES = {
    "a@one.example": ("5.1.1", 0),
    "B@two.example": ("4.2.2", 1),
    "a_c@one.example": ("550", 2),
    "d@two.example": ("x", 40),
}


@pytest.fixture(name="listed")
def _listed(acme, url: str):
    """A function that lists the addresses of bounces, the newest ones first."""
    with closing(open_storage(url)) as storage:
        rows = [
            bounce(email, status=status, created=NOW - days * DAY)
            for email, (status, days) in BOUNCES.items()
        ]
        storage.bounces.put(storage.accounts.get("acme").bounce_list, rows)
    acme("clock", "freeze", "2012-02-15T12:00:00Z")

    def listed(*options: str) -> list[str]:
        found = json.loads(acme("bounces", "list", "acme", *options, "--json").stdout)
        return [each["email"] for each in found["bounces"]][::-1]

    return listed


def test_bounces_are_added_listed_and_removed(acme) -> None:
    """The list is in the account's time zone, oldest first."""
    acme("bounces", "add", "acme", "b@x", "--created", "2012-02-15 00:00:00")
    acme(
        *("bounces", "add", "acme", "a@x", "--status", "4.2.2", "--code", "452"),
        *("--reason", "full", "--created", "2012-02-14 00:00:00"),
    )

    assert acme("bounces", "list", "acme").stdout.splitlines() == [
        "created              status  email  reason",
        "2012-02-14 00:00:00  4.2.2   a@x    full",
        "2012-02-15 00:00:00  550     b@x",
    ]
    acme("account", "set", "acme", "--timezone", "Asia/Tokyo")
    assert "2012-02-15 09:00:00" in acme("bounces", "list", "acme").stdout
    acme("bounces", "remove", "acme", "A@x")
    assert "no bounce" in acme("bounces", "remove", "acme", "a@x", code=1).stderr


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (("--email", "b@TWO.example"), ["B@two.example"]),
        (("--email", "*@two.*"), ["B@two.example", "d@two.example"]),
        (("--email", "?@one.example"), ["a@one.example"]),
        (("--email", "a_c@*"), ["a_c@one.example"]),
        (
            ("--email", "a@one.example", "--email", "d@*"),
            ["a@one.example", "d@two.example"],
        ),
        (
            ("--email", "a@one.example", "--email", "d@two.example"),
            ["a@one.example", "d@two.example"],
        ),
        (("--type", "hard"), ["a@one.example", "a_c@one.example"]),
        (("--type", "soft"), ["B@two.example"]),
        (("--type", "other"), ["d@two.example"]),
        (("--status", "5.1.1"), ["a@one.example"]),
        (("--status", "5*"), ["a@one.example", "a_c@one.example"]),
        (("--days", "1"), ["a@one.example"]),
        (("--days", "2"), ["a@one.example", "B@two.example"]),
        (("--since", "2012-02-14"), ["a@one.example", "B@two.example"]),
        (("--since", "2012-02-14T12:00:01Z"), ["a@one.example"]),
        (("--until", "2012-02-13"), ["a_c@one.example", "d@two.example"]),
        (("--until", "2012-02-13 12:00:00"), ["d@two.example"]),
        (
            ("--since", "2012-02-13", "--until", "2012-02-14", "--type", "soft"),
            ["B@two.example"],
        ),
        (("--limit", "1"), ["d@two.example"]),
        (("--offset", "3"), ["a@one.example"]),
        (("--offset", "1", "--limit", "2"), ["B@two.example", "a_c@one.example"]),
        (("--offset", "4"), []),
    ],
    ids=" ".join,
)
def test_bounces_are_selected(listed, acme, options, expected: list[str]) -> None:
    """As by the API, and by patterns; the count agrees."""
    assert listed(*options) == expected
    if not {"--limit", "--offset"} & {*options}:
        counted = acme("bounces", "count", "acme", *options, "--json").stdout
        assert json.loads(counted) == {"count": len(expected)}


def test_list_continues_after_a_cursor(listed, acme, monkeypatch) -> None:
    """Its end has no cursor; batches are not visible."""
    monkeypatch.setattr(queries, "BATCH_SIZE", 1)
    command = ("bounces", "list", "acme", "--json", "--limit", "3")
    first = json.loads(acme(*command).stdout)
    rest = json.loads(acme(*command, "--after", first["next"]).stdout)

    assert len(first["bounces"]) == 3
    assert [found["email"] for found in rest["bounces"]] == ["a@one.example"]
    assert rest["next"] is None
    assert len(listed()) == 4
    refused = acme("bounces", "list", "acme", "--after", "x", code=2)
    assert "--after: must be the value of 'next'" in refused.stderr


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (("--since", "soon"), 2, "--since: must be a time"),
        (("--until", "2012-02-30"), 2, "--until: "),
        (("--days", "1", "--since", "2012-02-14"), 2, "--days cannot be combined"),
        (("--days", "0"), 2, "0 is not in the range"),
        (("--type", "weak"), 2, "'hard', 'soft', 'other'"),
    ],
    ids=str,
)
def test_invalid_selection_is_an_error(acme, options, code: int, message: str) -> None:
    for command in ("list", "count"):
        refused = acme("bounces", command, "acme", *options, code=code)
        assert message in refused.stderr


def test_bounces_are_counted(listed, acme) -> None:
    """By type, by day in the account's time zone, and by domain; the largest first."""

    def count(*options: str) -> list[str]:
        return acme("bounces", "count", "acme", *options).stdout.splitlines()

    assert count() == ["4 bounces"]
    assert count("--by", "type") == [
        "type   bounces",
        "hard         2",
        "other        1",
        "soft         1",
    ]
    assert count("--by", "domain")[1:] == [
        "one.example        2",
        "two.example        2",
    ]
    assert count("--by", "day")[1:3] == ["2012-01-06        1", "2012-02-13        1"]
    acme("account", "set", "acme", "--timezone", "Pacific/Auckland")
    assert count("--by", "day")[1] == "2012-01-07        1"
    counted = json.loads("".join(count("--by", "type", "--type", "hard", "--json")))
    assert counted == {"count": 2, "groups": {"hard": 2}}


def test_listed_bounce_is_one_line(acme) -> None:
    """Line breaks and terminal escape sequences in a reason are escaped."""
    acme("bounces", "add", "acme", "a@x", "--reason", "one\ntwo\x1b[31m\u2028")

    listed = acme("bounces", "list", "acme").stdout
    assert listed.endswith("a@x    one\\ntwo\\x1b[31m\\u2028\n")
    acme("bounces", "add", "acme", "\x1b[31mb@x")
    removed = acme("bounces", "remove", "acme", "\x1b[31mb@x").stdout
    assert removed == "removed \\x1b[31mb@x\n"


@pytest.mark.parametrize(
    "command",
    [("bounces", "list", "acme", "--offset"), ("requests", "list", "--after")],
)
def test_number_beyond_those_of_the_database_is_invalid(acme, command) -> None:
    assert "is not in the range" in acme(*command, str(2**63), code=2).stderr


def test_json_of_a_list_is_that_of_an_export(acme) -> None:
    """The same fields, with the time in UTC."""
    acme("bounces", "add", "acme", "a@x", "--created", "2012-02-15 00:00:00")

    (listed,) = json.loads(acme("bounces", "list", "acme", "--json").stdout)["bounces"]
    (exported,) = json.loads(acme("bounces", "export", "acme", "--format=json").stdout)
    assert listed == exported
    assert parse_instant(listed["created"]) == NOW - DAY // 2


def test_clear_asks_for_confirmation(acme, decline) -> None:
    """Only "y" removes the bounces."""
    acme("bounces", "add", "acme", "a@x")

    asked = decline("bounces", "clear", "acme").stdout
    assert asked.startswith("Remove 1 bounce of acme? [y/N]")
    assert "a@x" in acme("bounces", "list", "acme").stdout
    assert "removed 1 bounce\n" in (
        acme("bounces", "clear", "acme", stdin="y\n").stdout
    )


@pytest.mark.parametrize("suffix", ["", "-wal", "-shm", "-requests", "-requests-wal"])
def test_export_does_not_replace_a_database(acme, tmp_path, suffix: str) -> None:
    """The target could be the database that is exported."""
    with closing(sqlite3.connect(tmp_path / "other.sqlite3")) as connection:
        connection.execute("PRAGMA journal_mode = wal")
        connection.execute("CREATE TABLE kept (a)")
        file = tmp_path / f"other.sqlite3{suffix}"
        if "requests" in suffix:
            file.touch()
        before = file.read_bytes()
        refused = acme(
            "bounces", "export", "acme", str(file), "--format", "csv", code=1
        )
        assert f"{file}: is a file of an SQLite database" in refused.stderr
        assert file.read_bytes() == before
