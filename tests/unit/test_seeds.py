"""Seed files: validation, loading, and loading again."""

import json
import os
import time
from pathlib import Path

import pytest
from conftest import NOW, OPERATIONS, QUICK_COSTS, bounce

from sendgrid_bounces.auth import Authenticator
from sendgrid_bounces.core.bounces import BounceQuery
from sendgrid_bounces.core.errors import BounceError, ParametersError
from sendgrid_bounces.schemas import base, loader, seeds
from sendgrid_bounces.schemas.base import MAX_PROBLEMS
from sendgrid_bounces.schemas.seeds import Seed, read_seed, read_seed_file
from sendgrid_bounces.seeding import apply_seed
from sendgrid_bounces.storage.bounces import as_bounce

SEED = """
accounts:
  - username: acme
    api_key: s3cret
    profile: recorded
    timezone: Asia/Tokyo
    bounces:
      - {email: a@example.com, status: 5.1.1, reason: "550 no", created: 2011-09-16 22:02:19}
      - {email: undated@example.com}
    customers:
      - {username: customer@example.com, api_key: 0123, bounces: [{email: c@x, code: 550}]}
      - {username: plain-customer}
    domains:
      - {name: Samples.Mailgun.org, bounces: [{email: b@x, code: "550", reason: ""}]}
      - {name: shared.example, list: account}
  - {username: plain}
"""


@pytest.fixture(name="authenticator")
def _authenticator(storage) -> Authenticator:
    return Authenticator(storage, QUICK_COSTS)


def _read(text: str) -> Seed:
    return read_seed(text, NOW, OPERATIONS)


def _dump(storage) -> list[list]:
    tables = ("account", "domain", "bounce_list", "bounce")
    return [storage.engine.fetch(f"SELECT * FROM {table}") for table in tables]


def test_seed_is_loaded(storage, authenticator) -> None:
    """Accounts, customers, domains, lists and bounces are stored."""
    apply_seed(storage, authenticator, _read(SEED))

    acme = storage.accounts.get("acme")
    customer = storage.accounts.get("customer@example.com")
    assert (
        acme.profile,
        acme.timezone,
        acme.is_reseller,
    ) == ("recorded", "Asia/Tokyo", True)
    assert acme == authenticator.authenticate("acme", "s3cret")
    assert acme.id == customer.reseller
    assert authenticator.authenticate("customer@example.com", "0123")
    assert acme.id == storage.accounts.get("plain-customer").reseller
    assert not storage.accounts.get("plain").is_reseller
    own = storage.accounts.find_domain("samples.mailgun.org")
    shared = storage.accounts.find_domain("shared.example")
    assert acme.bounce_list == shared.bounce_list
    found = {
        name: [
            as_bounce(row)
            for rows in storage.bounces.find(bounce_list, BounceQuery())
            for row in rows
        ]
        for name, bounce_list in (
            ("acme", acme.bounce_list),
            ("customer", customer.bounce_list),
            ("domain", own.bounce_list),
        )
    }
    assert {
        "acme": [
            bounce(reason="550 no", created=1316178139),
            bounce("undated@example.com", status="550"),
        ],
        "customer": [bounce("c@x", status="550", reported=True)],
        "domain": [bounce("b@x", status="550")],
    } == found


def test_second_load_changes_nothing(storage, authenticator) -> None:
    """Times of undated bounces and salts of keys stay, too."""
    apply_seed(storage, authenticator, _read(SEED))
    before = _dump(storage)
    apply_seed(storage, authenticator, read_seed(SEED, NOW + 1_000, OPERATIONS))

    assert before == _dump(storage)


def test_seed_can_be_json(storage, authenticator) -> None:
    """Surrogate pairs of JSON escapes are decoded."""
    seed = {"accounts": [{"username": "a", "bounces": [{"email": "\U0001f600@x"}]}]}
    apply_seed(storage, authenticator, _read(json.dumps(seed)))

    assert storage.engine.fetch("SELECT email FROM bounce") == [("\U0001f600@x",)]


def test_json_that_is_nested_too_deeply_is_not_read_as_yaml(monkeypatch) -> None:
    """YAML takes long, and its length is limited."""
    monkeypatch.setattr(loader, "_parse_yaml", None)
    with pytest.raises(ParametersError, match="nested too deeply"):
        loader.parse("[" * 100_000 + "]" * 100_000)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "must be a mapping"),
        ("accounts: 5", "accounts: must be a list (got 5)"),
        ("accounts: {a: 1}", "accounts: must be a list"),
        ("accounts: [{username: a, bounces: {email: x}}]", "accounts[0].bounces: must"),
        ("accounts: [null]", "accounts[0]: must not be null"),
        ("[]", "must be a mapping"),
        ("{}", "accounts: required"),
        ("accounts: [{}]", "accounts[0].username: required"),
        ("accounts: [{username: ''}]", "accounts[0].username: must be 1 to 255"),
        (
            "accounts: [{username: a, colour: b}]",
            "accounts[0].colour: unknown field (known: username, api_key",
        ),
        (
            "accounts: [{username: a, profile: x}]",
            "accounts[0].profile: must be documented, recorded, or points such as count",
        ),
        (
            "accounts: [{username: a, timezone: x}]",
            "accounts[0].timezone: unknown time",
        ),
        ("accounts: [{username: a, api_key: ''}]", "accounts[0].api_key: "),
        (
            "accounts: [{username: a, bounces: [{email: x}, {}]}]",
            "accounts[0].bounces[1].email: required",
        ),
        (
            "accounts: [{username: a, bounces: [{email: x, created: 2012-02-30 00:00:00}]}]",
            "accounts[0].bounces[0].created: must be a real time: day is out of range",
        ),
        (
            "accounts: [{username: a, bounces: [{email: x, created: today}]}]",
            "accounts[0].bounces[0].created: must be a time such as",
        ),
        (
            "accounts: [{username: a, bounces: [{email: x}, {email: X}]}]",
            "accounts[0].bounces[1].email: same address as accounts[0].bounces[0]",
        ),
        (
            "accounts: [{username: a, bounces: [{email: x, code: [1]}]}]",
            "accounts[0].bounces[0].code: must be text",
        ),
        (
            "accounts: [{username: a, bounces: [x]}]",
            "accounts[0].bounces[0]: must be a mapping",
        ),
        (
            "accounts: [{username: a}, {username: a}]",
            "accounts[1].username: duplicate account 'a'",
        ),
        (
            "accounts: [{username: a, customers: [{username: a}]}]",
            "accounts[0].customers[0].username: duplicate account 'a'",
        ),
        (
            "accounts: [{username: a, customers: [{username: b, customers: []}]}]",
            "accounts[0].customers[0].customers: a customer cannot have customers",
        ),
        (
            "accounts: [{username: a, domains: [{name: x}, {name: X}]}]",
            "accounts[0].domains[1].name: duplicate domain 'x'",
        ),
        (
            "accounts: [{username: a, domains: [{name: x, list: mine}]}]",
            "accounts[0].domains[0].list: must be one of own, account (got 'mine')",
        ),
        (
            "accounts: [{username: a, username: b}]",
            "duplicate key 'username' (line 1, column 26)",
        ),
        ("accounts: [", "not YAML or JSON"),
        (
            "accounts: [{username: a, domains: [{name: x/y}]}]",
            "accounts[0].domains[0].name: must be 1 to 255 printable characters, without",
        ),
        ('{"accounts": [], "accounts": []}', "duplicate key 'accounts'"),
        ("accounts: !!int abc", "not YAML or JSON: a value does not match its tag"),
        ('accounts: !!int ""', "not YAML or JSON: a value does not match its tag"),
        ("accounts: &n 1\nfaults: &n 2", "found duplicate anchor;"),
        ("accounts: 1\n---\nfaults: 1", "but found another document"),
        ("accounts: !!float x", "tags are not supported"),
        (
            "accounts: &a [{username: x, customers: *a}]",
            "aliases expand to more than 100000 values",
        ),
        (
            "accounts: [{username: x, bounces: &a [1,1,1,1,1,1,1,1,1,1]}, "
            + ", ".join(
                f"&{b} [{', '.join([f'*{a}'] * 10)}]"
                for a, b in zip("abcd", "bcde", strict=True)
            )
            + "]",
            "aliases expand to more than 100000 values",
        ),
        (
            f"accounts: [&t {'x' * 9_000}, {', '.join(['*t'] * 1_000)}]",
            "aliases expand to more than 8388608 characters",
        ),
        ("[" * 100_000, "nested too deeply"),
        ("[" * 21 + "a" + "]" * 21, "nested too deeply"),
        ('accounts: [{username: a, api_key: "a\\0"}]', "accounts[0].api_key: must not"),
        ('{"accounts": [{"username": 1.5}]}', "accounts[0].username: must be text"),
        ('{"accounts": [{"username": "\\ud800"}]}', "lone surrogates"),
        ("a: b: c", "line 1, column 5"),
        ("? [a, b]\n: c", "not YAML or JSON"),
        ('a: "\\U99999999"', "not YAML or JSON"),
        ("!!python/object/apply:os.system [ls]", "tags are not supported"),
    ],
)
def test_invalid_seeds_are_rejected(text: str, problem: str) -> None:
    """The message has the path of the value."""
    with pytest.raises(ParametersError) as raised:
        _read(text)

    assert problem in str(raised.value)


def test_all_problems_are_reported() -> None:
    """A user need not fix one problem to see the next."""
    with pytest.raises(ParametersError) as raised:
        _read("accounts: [{username: a, timezone: x, bounces: [{email: ''}, {}]}]")

    assert [place for place, _ in raised.value.problems] == [
        "accounts[0].timezone",
        "accounts[0].bounces[0].email",
        "accounts[0].bounces[1].email",
    ]


@pytest.mark.parametrize(
    "text",
    [
        '{"accounts": [%s]}',
        '{"accounts": [{"username": "a", "bounces": [%s]}]}',
        '{"accounts": [{"username": "a", "domains": [%s]}]}',
        '{"accounts": [{"username": "a", "customers": [%s]}]}',
        '{"accounts": [], "faults": [%s]}',
        '{"accounts": [], "sources": [%s]}',
    ],
)
def test_reading_stops_after_100_invalid_elements(text: str) -> None:
    """The time to report each of many elements would be longer than to read them."""
    with pytest.raises(ParametersError) as raised:
        _read(text % ", ".join(["1"] * 900))

    assert len(raised.value.problems) == 100
    assert "[99]" in raised.value.problems[99][0]


@pytest.mark.parametrize(
    "text", ["{%s}", '{"accounts": [{%s}]}', '{"accounts": [], "faults": [{%s}]}']
)
def test_mapping_with_many_names_is_one_problem(text: str) -> None:
    names = ", ".join(f'"accuonts{number}": 1' for number in range(5_000))
    with pytest.raises(ParametersError) as raised:
        _read(text % names)

    assert [problem for _, problem in raised.value.problems] == [
        "must have at most 100 fields"
    ]


def test_number_of_names_is_limited(monkeypatch) -> None:
    """All other writes wait while accounts are stored."""
    monkeypatch.setattr(seeds, "MAX_NAMES", 3)
    text = "accounts: [{username: a, customers: [{username: b}], domains: [%s]}]"
    assert _read(text % "{name: c}")
    monkeypatch.setattr(seeds, "load", None)  # the schema takes long
    with pytest.raises(ParametersError, match="more than 3 accounts, domains and so"):
        _read(text % "{name: c}, {name: d}")


def test_only_the_first_problems_have_suggestions(monkeypatch) -> None:
    searched = []
    monkeypatch.setattr(
        base, "get_close_matches", lambda *names: searched.append(names)
    )
    names = ", ".join(f'"accuonts{number}": 1' for number in range(90))
    with pytest.raises(ParametersError):
        _read(f'{{"accounts": [], {names}}}')

    assert len(searched) == base.MAX_SUGGESTIONS


def test_unknown_time_zone_is_shortened() -> None:
    text = json.dumps({"accounts": [{"username": "a", "timezone": "x" * 5_000}]})
    with pytest.raises(ParametersError) as raised:
        _read(text)
    assert len(str(raised.value)) < 200


def test_duplicate_key_in_a_large_mapping_is_found_quickly() -> None:
    """The time is proportional to the number of keys."""
    text = ", ".join(f'"k{name}": 1' for name in [*range(30_000), 29_999])
    started = time.process_time()
    with pytest.raises(ParametersError, match="duplicate key 'k29999'"):
        _read(f"{{{text}}}")
    assert time.process_time() - started < 2


def test_seed_with_a_taken_name_changes_nothing(storage, authenticator) -> None:
    """Owners of names are known only in the middle of the load."""
    apply_seed(storage, authenticator, _read("accounts: [{username: plain}]"))
    before = _dump(storage)

    with pytest.raises(BounceError, match="plain"):
        apply_seed(
            storage,
            authenticator,
            _read("accounts: [{username: a, customers: [{username: plain}]}]"),
        )
    assert before == _dump(storage)


def test_domain_cannot_switch_to_another_list(storage, authenticator) -> None:
    """The seed is rejected."""
    text = "accounts: [{username: a, domains: [{name: x, list: %s}]}]"
    apply_seed(storage, authenticator, _read(text % "own"))

    with pytest.raises(BounceError, match="uses its own list"):
        apply_seed(storage, authenticator, _read(text % "account"))


def test_problems_have_the_path_of_the_file(tmp_path) -> None:
    """One command can load several files."""
    path = tmp_path / "seed.yaml"
    for content, problem in (
        (b"accounts: 5", f"{path}: accounts: "),
        (b"\xff", f"{path}: not UTF-8"),
        (b"[", f"{path}: not YAML"),
    ):
        path.write_bytes(content)
        with pytest.raises(ParametersError) as raised:
            read_seed_file(str(path), NOW, OPERATIONS)
        assert str(raised.value).startswith(problem)
    with pytest.raises(ParametersError, match="No such file"):
        read_seed_file(str(tmp_path / "absent.yaml"), NOW, OPERATIONS)


def test_seed_file_must_be_a_regular_file_of_limited_size(
    tmp_path: Path, monkeypatch
) -> None:
    """A reset, or a server after HUP, reads the file again, and could wait for ever."""
    monkeypatch.setattr(loader, "MAX_FILE", 1024 * 1024)
    pipe, large = tmp_path / "pipe", tmp_path / "large"
    os.mkfifo(pipe)
    with large.open("wb") as file:
        file.truncate(1024 * 1024 + 1)
    for path, problem in (
        (pipe, "must be a regular file"),
        (large, "larger than 1 MiB"),
    ):
        with pytest.raises(ParametersError) as raised:
            read_seed_file(str(path), NOW, OPERATIONS)
        assert str(raised.value).startswith(f"{path}: {problem}")


@pytest.mark.parametrize(
    "account",
    [
        {"timezone": "Mars/Base"},
        {"customers": [{"username": "{n}.c", "customers": []}]},
        {"domains": [{"name": "x.example"}]},
        {"bounces": [{"email": "a@x"}, {"email": "A@x"}]},
    ],
)
def test_reading_stops_after_many_problems(account: dict) -> None:
    """The problems, and the part that was read, would take memory."""
    accounts = [
        json.loads(json.dumps({"username": f"{n}", **account}).replace("{n}", str(n)))
        for n in range(MAX_PROBLEMS * 2)
    ]
    with pytest.raises(ParametersError) as raised:
        _read(json.dumps({"accounts": accounts}))
    assert len(raised.value.problems) == MAX_PROBLEMS
