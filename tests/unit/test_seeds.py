"""Seed files: checked as a whole, stored as a whole, and nothing new the second time."""

import json

import pytest
from conftest import NOW, QUICK_COSTS, bounce

from sendgrid_bounces.auth import Authenticator
from sendgrid_bounces.core.bounces import BounceQuery
from sendgrid_bounces.core.errors import BounceError, ParametersError
from sendgrid_bounces.schemas.seeds import read_seed, read_seed_file
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
      - {username: reseller, customers: [{username: deep}]}
    domains:
      - {name: Samples.Mailgun.org, bounces: [{email: b@x, code: "550", reason: ""}]}
      - {name: shared.example, list: account}
  - {username: plain}
"""


@pytest.fixture(name="authenticator")
def _credentials(storage) -> Authenticator:
    return Authenticator(storage, QUICK_COSTS)


def _dump(storage) -> list[list]:
    tables = ("account", "domain", "bounce_list", "bounce")
    return [storage.engine.fetch(f"SELECT * FROM {table}") for table in tables]


def test_a_seed_is_stored(storage, authenticator) -> None:
    """Accounts, customers, domains, lists and bounces, as the file says."""
    apply_seed(storage, authenticator, read_seed(SEED, NOW))

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
    assert storage.accounts.get("reseller").id == storage.accounts.get("deep").reseller
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


def test_seeding_twice_changes_nothing(storage, authenticator) -> None:
    """Not even the time of what has none in the file, nor the salt of a key."""
    apply_seed(storage, authenticator, read_seed(SEED, NOW))
    before = _dump(storage)
    apply_seed(storage, authenticator, read_seed(SEED, NOW + 1_000))

    assert before == _dump(storage)


def test_json_is_a_seed_too(storage, authenticator) -> None:
    """With any character that JSON can name."""
    seed = {"accounts": [{"username": "a", "bounces": [{"email": "\U0001f600@x"}]}]}
    apply_seed(storage, authenticator, read_seed(json.dumps(seed), NOW))

    assert storage.engine.fetch("SELECT email FROM bounce") == [("\U0001f600@x",)]


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "must be a mapping"),
        ("accounts: 5", "accounts: Not a valid list"),
        ("[]", "must be a mapping"),
        ("{}", "accounts: Missing data"),
        ("accounts: [{}]", "accounts[0].username: Missing data"),
        ("accounts: [{username: ''}]", "accounts[0].username: must be 1 to 255"),
        ("accounts: [{username: a, colour: b}]", "accounts[0].colour: Unknown field"),
        (
            "accounts: [{username: a, profile: x}]",
            "accounts[0].profile: Must be one of",
        ),
        (
            "accounts: [{username: a, timezone: x}]",
            "accounts[0].timezone: unknown time",
        ),
        ("accounts: [{username: a, api_key: ''}]", "accounts[0].api_key: "),
        (
            "accounts: [{username: a, bounces: [{email: x}, {}]}]",
            "accounts[0].bounces[1].email: Missing data",
        ),
        (
            "accounts: [{username: a, bounces: [{email: x, created: 2012-02-30 00:00:00}]}]",
            "accounts[0].bounces[0].created: day is out of range",
        ),
        (
            "accounts: [{username: a, bounces: [{email: x, created: today}]}]",
            "accounts[0].bounces[0].created: not a time of the form",
        ),
        (
            "accounts: [{username: a, bounces: [{email: x}, {email: X}]}]",
            "accounts[0].bounces[1].email: the address of accounts[0].bounces[0] again",
        ),
        (
            "accounts: [{username: a, bounces: [{email: x, code: [1]}]}]",
            "accounts[0].bounces[0].code: must be text",
        ),
        (
            "accounts: [{username: a, bounces: [x]}]",
            "accounts[0].bounces[0]: must be a mapping",
        ),
        ("accounts: [{username: a}, {username: a}]", "accounts[1].username: there is"),
        (
            "accounts: [{username: a, customers: [{username: a}]}]",
            "accounts[0].customers[0].username: there is an earlier account 'a'",
        ),
        (
            "accounts: [{username: a, domains: [{name: x}, {name: X}]}]",
            "accounts[0].domains[1].name: there is an earlier domain 'x'",
        ),
        (
            "accounts: [{username: a, domains: [{name: x, list: mine}]}]",
            "accounts[0].domains[0].list: Must be one of: own, account",
        ),
        ("accounts: [{username: a, username: b}]", "'username' stands here twice"),
        ("accounts: [", "not YAML or JSON"),
        (
            "accounts: [{username: a, domains: [{name: x/y}]}]",
            "accounts[0].domains[0].name: must be 1 to 255 printable characters, without",
        ),
        ('{"accounts": [], "accounts": []}', "'accounts' stands twice"),
        ("accounts: !!int abc", "not YAML or JSON: a value is not what its"),
        ('accounts: !!int ""', "not YAML or JSON: a value is not what its"),
        ("accounts: &n 1\nfaults: &n 2", "found duplicate anchor;"),
        ("accounts: 1\n---\nfaults: 1", "but found another document"),
        ("accounts: !!float x", "has no meaning here"),
        ("accounts: &a [{username: x, customers: *a}]", "over 100000 values"),
        (
            "accounts: [{username: x, bounces: &a [1,1,1,1,1,1,1,1,1,1]}, "
            + ", ".join(
                f"&{b} [{', '.join([f'*{a}'] * 10)}]"
                for a, b in zip("abcd", "bcde", strict=True)
            )
            + "]",
            "over 100000 values",
        ),
        ("[" * 100_000, "nested too deeply"),
        ('accounts: [{username: a, api_key: "a\\0"}]', "accounts[0].api_key: must not"),
        ('{"accounts": [{"username": 1.5}]}', "accounts[0].username: must be text"),
        ('{"accounts": [{"username": "\\ud800"}]}', "lone surrogates"),
        ("a: b: c", "line 1, column 5"),
        ("? [a, b]\n: c", "not YAML or JSON"),
        ("!!python/object/apply:os.system [ls]", "has no meaning here"),
    ],
)
def test_each_fault_is_named_by_its_place(text: str, fault: str) -> None:
    """A reader finds it without counting."""
    with pytest.raises(ParametersError) as raised:
        read_seed(text, NOW)

    assert fault in str(raised.value)


def test_all_faults_are_told_at_once() -> None:
    """Not one at each try."""
    with pytest.raises(ParametersError) as raised:
        read_seed(
            "accounts: [{username: a, timezone: x, bounces: [{email: ''}, {}]}]", NOW
        )

    assert [place for place, _ in raised.value.problems] == [
        "accounts[0].timezone",
        "accounts[0].bounces[0].email",
        "accounts[0].bounces[1].email",
    ]


def test_a_seed_that_meets_another_owner_stores_nothing(storage, authenticator) -> None:
    """Names that are taken are only known when it is stored."""
    apply_seed(storage, authenticator, read_seed("accounts: [{username: plain}]", NOW))
    before = _dump(storage)

    with pytest.raises(BounceError, match="plain"):
        apply_seed(
            storage,
            authenticator,
            read_seed("accounts: [{username: a, customers: [{username: plain}]}]", NOW),
        )
    assert before == _dump(storage)


def test_a_domain_keeps_its_list(storage, authenticator) -> None:
    """A seed that wants another one is refused, not overlooked."""
    text = "accounts: [{username: a, domains: [{name: x, list: %s}]}]"
    apply_seed(storage, authenticator, read_seed(text % "own", NOW))

    with pytest.raises(BounceError, match="uses its own list"):
        apply_seed(storage, authenticator, read_seed(text % "account", NOW))


def test_a_fault_names_the_file(tmp_path) -> None:
    """There may be several files."""
    path = tmp_path / "seed.yaml"
    for content, words in (
        (b"accounts: 5", f"{path}: accounts: "),
        (b"\xff", f"{path}: not UTF-8"),
        (b"[", f"{path}: not YAML"),
    ):
        path.write_bytes(content)
        with pytest.raises(ParametersError) as raised:
            read_seed_file(str(path), NOW)
        assert str(raised.value).startswith(words)
    with pytest.raises(ParametersError, match="No such file"):
        read_seed_file(str(tmp_path / "absent.yaml"), NOW)
