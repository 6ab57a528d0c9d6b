"""The endpoints that reset the database and load seeds."""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import astuple
from pathlib import Path

import pytest
from conftest import NOW, FixedClock, leftovers, logged_request, make_app
from flask.testing import FlaskClient

from sendgrid_bounces import auth
from sendgrid_bounces.core.attempts import MAX_ATTEMPTS
from sendgrid_bounces.core.bounces import BounceQuery
from sendgrid_bounces.core.clock import Clock
from sendgrid_bounces.core.errors import StorageError
from sendgrid_bounces.core.faults import FaultRule
from sendgrid_bounces.core.pulls import Pull
from sendgrid_bounces.core.requests import RequestFilter
from sendgrid_bounces.emulator import EXTENSION
from sendgrid_bounces.storage.bounces import as_bounce
from sendgrid_bounces.storage.database import Storage

SEED = {
    "accounts": [
        {
            "username": "acme",
            "api_key": "s3cret",
            "timezone": "Europe/Berlin",
            "bounces": [
                {"email": "a@example.com", "created": "2011-01-01 00:00:00"},
                {"email": "undated@example.com"},
            ],
            "customers": [
                {"username": "customer", "bounces": [{"email": "c@example.com"}]}
            ],
            "domains": [
                {"name": "own.example.com", "bounces": [{"email": "o@example.com"}]},
                {"name": "shared.example.com", "list": "account"},
            ],
        },
        {"username": "plain", "api_key": "pl4in"},
    ]
}
COUNTS = {"accounts": 3, "domains": 2, "bounces": 4}
MORE = {"accounts": [{"username": "more", "bounces": [{"email": "m@example.com"}]}]}


@pytest.fixture(name="seed_file")
def _seed_file(tmp_path: Path) -> Path:
    path = tmp_path / "seed.json"
    path.write_text(json.dumps(SEED))
    return path


@pytest.fixture(name="client")
def _client(
    database_url: str, clock: FixedClock, seed_file: Path
) -> Iterator[FlaskClient]:
    """A client of an application that has loaded the seed file."""
    app = make_app(database_url, clock, SEED=str(seed_file), CONTROL="on")
    yield app.test_client()
    app.extensions[EXTENSION].storage.close()


@pytest.fixture(name="storage")
def _storage(client: FlaskClient) -> Storage:
    return client.application.extensions[EXTENSION].storage


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
@pytest.mark.parametrize("target", ["", "?account=acme"])
def test_reset_changes_nothing_if_the_log_cannot_be_written(
    client: FlaskClient, target: str
) -> None:
    """The log is a file of its own, which another program can lock."""
    client.delete("/_emulator/bounces?owner=acme")
    path = client.application.extensions[EXTENSION].storage.requests._engine.location
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        assert client.post(f"/_emulator/reset{target}").status_code == 503
    assert client.get("/_emulator/bounces/count?owner=acme").json["count"] == 0
    assert client.post(f"/_emulator/reset{target}").status_code == 200
    assert client.get("/_emulator/bounces/count?owner=acme").json["count"] == 2


@pytest.mark.parametrize("target", ["", "?account=acme"])
def test_reset_that_fails_keeps_the_log(
    client: FlaskClient, storage: Storage, monkeypatch, target: str
) -> None:
    """The log does not belong to the transaction."""
    storage.requests.add(logged_request(account="acme"))

    def fail() -> None:
        raise StorageError("database is locked")

    with monkeypatch.context() as patch:
        patch.setattr(storage.contents, "sweep", fail)
        assert client.post(f"/_emulator/reset{target}").status_code == 503
    assert client.get("/_emulator/requests/count").json["count"] == 1
    assert client.post(f"/_emulator/reset{target}").status_code == 200
    assert client.get("/_emulator/requests/count").json["count"] == 0


def state(storage: Storage) -> dict:
    """Return the contents of a database without identifiers."""
    accounts = storage.accounts.all()
    names = {account.id: account.username for account in accounts}
    lists = {
        **{account.username: account.bounce_list for account in accounts},
        **{d.name: d.bounce_list for d in storage.accounts.domains()},
    }
    return {
        "accounts": [
            (a.username, *astuple(a)[2:6], a.is_reseller, names.get(a.reseller))
            for a in accounts
        ],
        "domains": [
            (d.name, d.account.username, d.bounce_list == d.account.bounce_list)
            for d in storage.accounts.domains()
        ],
        "bounces": {
            name: [
                as_bounce(row)
                for rows in storage.bounces.find(bounce_list, BounceQuery())
                for row in rows
            ]
            for name, bounce_list in lists.items()
        },
        "leftovers": leftovers(storage),
        "clock": storage.clock.read(),
    }


def disturb(storage: Storage) -> None:
    """Change something in every table."""
    accounts, bounces = storage.accounts, storage.bounces
    acme = accounts.get("acme")
    accounts.change(acme, timezone="UTC", profile="recorded", key_hash="other")
    bounces.delete(acme.bounce_list, BounceQuery(), clock=Clock())
    accounts.remove("customer")
    accounts.remove_domain("own.example.com")
    accounts.add_domain("new.example.com", accounts.add("new"))
    accounts.add_domain("newer.example.com", acme)


def post(client: FlaskClient, call: str, data=None):
    return client.post(f"/_emulator/{call}", data=data)


def test_reset_restores_the_seed(client, storage) -> None:
    """Accounts, domains, lists, bounces and the clock."""
    before = state(storage)
    disturb(storage)
    client.put("/_emulator/clock", json={"action": "freeze"})

    answer = post(client, "reset")

    assert (answer.status_code, answer.json) == (200, COUNTS)
    after = state(storage)
    for found in (before, after):  # a new hash has another salt
        found["accounts"] = [(row[0], *row[2:]) for row in found["accounts"]]
    assert after == before
    target = "/api/bounces.count.json?api_user=acme&api_key=s3cret"
    assert client.get(target).json == {"count": "2"}


def test_reset_is_idempotent(client) -> None:
    """The second response is the same."""
    assert post(client, "reset").json == post(client, "reset").json == COUNTS


def test_relative_seed_path_stays_valid(
    url: str, clock: FixedClock, seed_file: Path, monkeypatch
) -> None:
    """The process can change the working directory."""
    monkeypatch.chdir(seed_file.parent)
    app = make_app(url, clock, SEED=seed_file.name, CONTROL="on")
    monkeypatch.chdir("/")
    answer = post(app.test_client(), "reset")
    app.extensions[EXTENSION].storage.close()

    assert answer.json == COUNTS


def test_reset_reuses_hashes(client, storage, monkeypatch) -> None:
    """Hashing is slow."""
    before = state(storage)["accounts"]

    def fail(*_: object) -> str:
        raise AssertionError("a key was hashed")

    monkeypatch.setattr(auth, "generate_password_hash", fail)
    assert post(client, "reset").status_code == 200
    assert state(storage)["accounts"] == before


def test_reset_reloads_the_files(client, seed_file: Path) -> None:
    """A key that has changed in the file is replaced."""
    seed_file.write_text(seed_file.read_text().replace("s3cret", "an0ther"))
    post(client, "reset")

    target = "/api/bounces.count.json?api_user=acme&api_key="
    statuses = [client.get(target + key).status_code for key in ("s3cret", "an0ther")]
    assert statuses == [403, 200]


def test_undated_bounces_have_the_system_time(client, storage) -> None:
    """The clock is reset, too."""
    client.put("/_emulator/clock", json={"action": "advance", "duration": "P7D"})
    post(client, "reset")

    bounces = state(storage)["bounces"]["acme"]
    assert [b.created for b in bounces if b.email == "undated@example.com"] == [NOW]


def test_lists_get_new_identifiers(client, storage) -> None:
    """A concurrent request cannot write to the list of another account."""
    before = {row[0] for row in storage.engine.fetch("SELECT id FROM bounce_list")}
    post(client, "reset")
    post(client, "reset?account=acme")

    after = {row[0] for row in storage.engine.fetch("SELECT id FROM bounce_list")}
    assert not before & after


def test_reset_to_empty(client, storage) -> None:
    """Another reset restores the seed."""
    answer = post(client, "reset?to=empty")

    assert answer.json == {"accounts": 0, "domains": 0, "bounces": 0}
    assert leftovers(storage) == (0, 0)
    assert post(client, "reset?to=seed").json == COUNTS


def test_reset_removes_accounts_created_on_first_use(
    database_url: str, clock: FixedClock
) -> None:
    """Without seed files, the database is empty."""
    app = make_app(database_url, clock, CONTROL="on", AUTH="any")
    client = app.test_client()
    client.get("/api/bounces.count.json?api_user=any&api_key=body")
    try:
        assert app.extensions[EXTENSION].storage.accounts.find("any")
        assert set(post(client, "reset").json.values()) == {0}
    finally:
        app.extensions[EXTENSION].storage.close()


def test_reset_of_an_account(client, storage) -> None:
    """Customers and domains are reset, other accounts are not."""
    before = state(storage)
    plain = storage.accounts.get("plain")
    storage.accounts.change(plain, profile="recorded")
    disturb(storage)

    answer = post(client, "reset?account=acme")

    assert answer.json == {"accounts": 4, "domains": 3, "bounces": 4}
    after = state(storage)
    assert storage.accounts.get("plain").profile == "recorded"
    assert storage.accounts.find_domain("new.example.com")
    assert not storage.accounts.find_domain("newer.example.com")
    for name in ("acme", "customer", "own.example.com"):
        assert after["bounces"][name] == before["bounces"][name]
    assert storage.accounts.get("acme").timezone == "Europe/Berlin"
    assert storage.accounts.get("customer").reseller == storage.accounts.get("acme").id


def test_reset_of_a_customer(client, storage) -> None:
    """The reseller is not changed."""
    acme = storage.accounts.get("acme")
    storage.bounces.delete(acme.bounce_list, BounceQuery(), clock=Clock())
    storage.accounts.remove("customer")

    assert post(client, "reset?account=customer").json == {**COUNTS, "bounces": 2}
    assert storage.accounts.get("customer").reseller == acme.id


def test_reset_of_a_domain(client, storage) -> None:
    """The account is not changed."""
    domain = storage.accounts.find_domain("own.example.com")
    storage.bounces.delete(domain.bounce_list, BounceQuery(), clock=Clock())
    storage.bounces.delete(domain.account.bounce_list, BounceQuery(), clock=Clock())

    for _ in range(2):  # the second time, the domain does not exist
        answer = post(client, "reset?account=OWN.example.com")
        assert answer.json == {**COUNTS, "bounces": 2}
        storage.accounts.remove_domain("own.example.com")


def test_reset_of_an_account_forgets_the_pulls_of_its_domains(client, storage) -> None:
    """Their lists are new, so that the next pull has to read everything."""
    for owner in ("acme", "own.example.com", "plain"):
        storage.pulls.record(Pull(owner, "sendgrid", finished=NOW, end=NOW))
    assert client.post("/_emulator/reset?account=acme").status_code == 200
    assert [pull.owner for pull in storage.pulls.all()] == ["plain"]


def test_reset_removes_an_account_that_is_not_in_the_seed(client, storage) -> None:
    """The same holds for a domain."""
    disturb(storage)

    post(client, "reset?account=newer.example.com")
    assert storage.accounts.find_domain("newer.example.com") is None
    post(client, "reset?account=new")
    assert storage.accounts.find("new") is None
    assert storage.accounts.find_domain("new.example.com") is None


@pytest.mark.parametrize(
    ("name", "others"),
    [
        ("Acme.com", ["ACME.com", "acme.com"]),
        ("ACME.com", ["Acme.com", "acme.com"]),
        ("aCME.com", ["ACME.com", "Acme.com"]),  # the domain of "plain"
    ],
)
def test_letter_case_of_accounts_matters(
    client, storage, seed_file: Path, name: str, others: list[str]
) -> None:
    """Sources, fault rules and logged requests of other accounts stay."""
    accounts = [
        {"username": "Acme.com"},
        {"username": "ACME.com"},
        {"username": "plain", "api_key": "pl4in", "domains": [{"name": "acme.com"}]},
    ]
    owners = ["Acme.com", "ACME.com", "acme.com"]
    sources = [
        {"name": f"s{n}", "kind": "mail", "owner": owner, "token": "t"}
        for n, owner in enumerate(owners)
    ]
    rules = [
        {"account": "Acme.com", "status": 500},
        {"account": "ACME.com", "status": 500},
        {"domain": "acme.com", "status": 500},
    ]
    seed = {"accounts": accounts, "sources": sources, "faults": rules}
    seed_file.write_text(json.dumps(seed))
    answer = post(client, "reset")
    assert answer.status_code == 200, answer.text
    for account, domain in ((None, "acme.com"), ("Acme.com", None), ("ACME.com", None)):
        storage.requests.add(logged_request(account=account, domain=domain))
    before = state(storage)

    def owned() -> list[list[str | None]]:
        rules = [fault.rule for fault in storage.faults.all()]
        entries = storage.requests.find(RequestFilter(), 99)
        found = [entry for entry in entries if entry.operation == "get"]
        return [
            sorted(source.owner for source in storage.sources.all()),
            sorted(rule.account or rule.domain for rule in rules),
            sorted(entry.account or entry.domain for entry in found),
        ]

    post(client, f"reset?account={name}&to=empty")
    assert owned() == [others] * 3
    post(client, f"reset?account={name}")
    assert owned() == [sorted(owners), sorted(owners), others]
    assert state(storage) == before


@pytest.mark.parametrize(("account", "left"), [("x.example.com", 0), ("plain", 1)])
def test_domain_with_the_name_of_its_account_is_reset(
    client, storage, account: str, left: int
) -> None:
    """Its fault rules and logged requests are those of the account."""
    owner = storage.accounts.add("x.example.com")
    storage.accounts.add_domain(
        "x.example.com", owner if left == 0 else storage.accounts.get(account)
    )
    storage.faults.add([FaultRule(domain="x.example.com", status=500)])
    storage.requests.add(logged_request(account=None, domain="x.example.com"))

    assert post(client, "reset?account=x.example.com").status_code == 200
    assert len(storage.faults.all()) == left
    assert storage.requests.count(RequestFilter(domain="x.example.com")) == left


def test_reset_of_an_account_to_empty(client, storage) -> None:
    """Customers and domains are removed, too."""
    answer = post(client, "reset?account=acme&to=empty")

    assert answer.json == {"accounts": 1, "domains": 0, "bounces": 0}


@pytest.mark.parametrize(
    ("target", "status", "error"),
    [
        ("reset?account=nobody", 404, "there is no account or domain 'nobody'"),
        ("reset?account=plain.example.com&to=empty", 404, "there is no account"),
        ("reset?account=shared.example.com", 409, "reset 'acme' instead"),
        ("reset?to=nowhere", 400, "to: must be one of seed, empty (got 'nowhere')"),
        ("reset?account=", 400, "account: must have 1 to 255 characters"),
        ("reset?all=1", 400, "all: unknown parameter (known: to, account)"),
        ("reset?to=empty&to=seed", 400, "to: given more than once"),
        ("reset?to=%ff", 400, "not UTF-8"),
        ("seed?to=empty", 400, "to: unknown parameter"),
    ],
)
def test_invalid_requests_change_nothing(
    client, storage, target: str, status: int, error: str
) -> None:
    """The response names the problem."""
    before = state(storage)
    answer = post(client, target)

    assert answer.status_code == status
    assert error in answer.json["error"]
    assert state(storage) == before


def test_reset_rejects_a_body(client, storage) -> None:
    """The body would be parameters in the wrong place, or for another endpoint."""
    before = state(storage)
    answer = post(client, "reset", data=b"to=empty")

    assert (answer.status_code, list(answer.json)) == (400, ["error"])
    assert state(storage) == before


@pytest.mark.parametrize("call", ["reset", "seed"])
def test_only_post_is_allowed(client, storage, call: str) -> None:
    """Following a link must not erase a database."""
    for method in ("GET", "HEAD", "PUT", "DELETE", "OPTIONS"):
        answer = client.open(f"/_emulator/{call}", method=method)
        assert (answer.status_code, answer.headers["Allow"]) == (405, "POST")
    assert client.get(f"/_emulator/{call}").json == {
        "error": "method GET not allowed (use POST)"
    }
    assert storage.contents.counts().bounces == COUNTS["bounces"]


def test_reset_without_the_owner_is_a_conflict(client, storage) -> None:
    """A customer needs its reseller, and a domain its account."""
    post(client, "reset?account=acme&to=empty")
    before = state(storage)

    for name in ("customer", "own.example.com"):
        answer = post(client, f"reset?account={name}")
        assert (answer.status_code, "'acme'" in answer.json["error"]) == (409, True)
    assert state(storage) == before


def test_invalid_seed_file_changes_nothing(client, storage, seed_file: Path) -> None:
    """Problems have the path of the file and of the value."""
    disturb(storage)
    before = state(storage)
    seed_file.write_text('{"accounts": [{"username": ""}, {"username": 1.5}]}')

    for target in ("reset", "reset?account=acme"):
        answer = post(client, target)
        assert answer.status_code == 400
        assert f"{seed_file}: accounts[0].username: must be" in answer.json["errors"][0]
        assert len(answer.json["errors"]) == 2
    assert state(storage) == before
    seed_file.unlink()
    assert "No such file" in post(client, "reset").json["error"]
    assert state(storage) == before


def test_contradictory_seed_files_change_nothing(
    client, storage, seed_file: Path
) -> None:
    """The contradiction is found in the middle of the transaction."""
    emulator = client.application.extensions[EXTENSION]
    (other := seed_file.with_name("other.yaml")).write_text(
        "accounts: [{username: x, customers: [{username: plain}]}]"
    )
    object.__setattr__(emulator.config, "seed", (*emulator.config.seed, str(other)))
    disturb(storage)
    before = state(storage)
    answer = post(client, "reset")

    assert answer.status_code == 409
    assert "'plain' already exists with another reseller" in answer.json["error"]
    assert state(storage) == before


@pytest.mark.parametrize(
    "body",
    [
        json.dumps(MORE),
        "accounts: [{username: more, bounces: [{email: m@example.com}]}]",
    ],
)
def test_seed_is_loaded(client, storage, body: str) -> None:
    """A second load changes nothing; undated bounces have the time of the clock."""
    client.put(
        "/_emulator/clock", json={"action": "freeze", "instant": "2011-01-01T00:00:01Z"}
    )

    for _ in range(2):
        answer = post(client, "seed", data=body)
        assert answer.json == {"accounts": 4, "domains": 2, "bounces": 5}
    (bounce,) = state(storage)["bounces"]["more"]
    assert bounce.created == 1_293_840_001


def test_changed_keys_are_no_attempts(client) -> None:
    """Seeds may give any number of accounts other keys, and tokens to sources."""
    for turn in range(3):
        accounts = [
            {"username": f"u{n}", "api_key": f"key {turn} {n}"}
            for n in range(MAX_ATTEMPTS)
        ]
        source = {"name": "mail", "kind": "mail", "owner": "u0", "token": f"t{turn}"}
        seed = {"accounts": accounts, "sources": [source]}
        answer = post(client, "seed", data=json.dumps(seed))
        assert answer.status_code == 200, answer.text

    right = "/api/bounces.count.json?api_user=u0&api_key=key 2 0"
    assert client.get(right).json == {"count": "0"}


@pytest.mark.parametrize(
    ("body", "status", "errors"),
    [
        (
            '{"accounts": [{"username": "x", "bounces": [{"email": ""}]}, {"name": 1}]}',
            400,
            [
                "accounts[1].username: required",
                "accounts[1].name: unknown field (did you mean username?)",
            ],
        ),
        (
            '{"accounts": [{"username": "x", "bounces": [{"email": ""}]}]}',
            400,
            ["accounts[0].bounces[0].email: must not be empty"],
        ),
        ("", 400, ["must be a mapping"]),
        ("[", 400, None),
        (b"\xff", 400, None),
        (
            '{"accounts": [{"username": "z", "customers": [{"username": "plain"}]}]}',
            409,
            None,
        ),
    ],
)
def test_invalid_seed_changes_nothing(client, storage, body, status, errors) -> None:
    """Problems have the path of the value."""
    before = state(storage)
    answer = post(client, "seed", data=body)

    assert answer.status_code == status
    assert answer.json.get("errors") == errors or errors is None
    assert answer.json["error"]
    assert state(storage) == before
