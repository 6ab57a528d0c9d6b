"""Fault rules: validation, matching, triggering, effects and endpoints."""

import json
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import fields, replace
from xml.etree import ElementTree

import pytest
from conftest import NOW, OPERATIONS, FixedClock, bounce, make_app
from flask.testing import FlaskClient

from sendgrid_bounces.app import DIALECTS
from sendgrid_bounces.control.effects import ConnectionDropped
from sendgrid_bounces.core import requests
from sendgrid_bounces.core.bounces import BounceQuery
from sendgrid_bounces.core.errors import ParametersError, UnknownNameError
from sendgrid_bounces.core.faults import (
    MAX_FAULT_RULES,
    Counters,
    FaultRule,
    StoredFault,
)
from sendgrid_bounces.core.requests import RequestInfo
from sendgrid_bounces.emulator import EXTENSION
from sendgrid_bounces.schemas.faults import (
    FAULT_RULE,
    read_fault_rule,
    read_fault_rules,
)
from sendgrid_bounces.schemas.seeds import read_seed
from sendgrid_bounces.seeding import apply_seed
from sendgrid_bounces.storage.database import Storage, open_storage
from sendgrid_bounces.storage.faults import FaultStore
from sendgrid_bounces.web.dialect import find_owner

FAULTS = "/_emulator/faults"
ACME = "api_user=acme&api_key=s3cret"
COUNT = f"/api/bounces.count.json?{ACME}"
MAILGUN = ("api", "key-3ax6xnjp29jd6fds4gc373sgvjxteol0")
BOUNCES = "/v3/samples.mailgun.org/bounces"

DELETION = RequestInfo(
    "sendgrid.direct",
    "POST",
    "/api/bounces.delete.json",
    operation="delete",
    account="acme",
    emails=("One@example.com", "two@example.org"),
)
LISTING = RequestInfo(
    "mailgun.v3", "GET", "/v3/mg.example.com/bounces", domain="mg.example.com"
)


@pytest.mark.parametrize(
    ("info", "matcher", "matches"),
    [
        (DELETION, {}, True),
        (DELETION, {"dialect": "sendgrid.direct"}, True),
        (DELETION, {"dialect": "sendgrid"}, True),
        (DELETION, {"dialect": "sendgrid.reseller"}, False),
        (DELETION, {"dialect": "mailgun"}, False),
        (DELETION, {"operation": "delete"}, True),
        (DELETION, {"operation": "get"}, False),
        (DELETION, {"account": "acme"}, True),
        (DELETION, {"account": "ACME"}, False),
        (DELETION, {"domain": "mg.example.com"}, False),
        (DELETION, {"email": "one@example.com"}, True),
        (DELETION, {"email": "TWO@*"}, True),
        (DELETION, {"email": "*@example.net"}, False),
        (DELETION, {"email": "one"}, False),
        (DELETION, {"method": "POST"}, True),
        (DELETION, {"method": "GET"}, False),
        (DELETION, {"path": "/api/*"}, True),
        (DELETION, {"path": "/api/bounces.delete.????"}, True),
        (DELETION, {"path": "/api"}, False),
        (DELETION, {"path": "/API/*"}, False),
        (DELETION, {"operation": "delete", "account": "other"}, False),
        (LISTING, {"domain": "mg.example.com"}, True),
        (LISTING, {"account": "acme"}, False),
        (LISTING, {"operation": "list"}, False),
        (LISTING, {"email": "*"}, False),
        (replace(DELETION, emails=("a" * 320,)), {"email": "*a"}, True),
        (replace(DELETION, emails=("a" * 321,)), {"email": "*a"}, False),
    ],
)
def test_rule_matches_if_every_matcher_does(
    info: RequestInfo, matcher: dict, matches: bool
) -> None:
    """A field that the request leaves unknown matches no matcher."""
    assert FaultRule(**matcher).matches(info) is matches


def test_versions_of_rules_differ_between_databases(storage: Storage) -> None:
    """A server keeps the rules of a version, and its database can be replaced."""
    read_version = "SELECT version FROM fault_set"
    storage.faults.add([FaultRule(status=503)])
    ((first,),) = storage.engine.fetch(read_version)
    storage.engine.transact(lambda: storage.engine.execute("DELETE FROM fault_set"))
    storage.faults.clear()
    assert storage.engine.fetch(read_version) not in ([(first,)], [(first + 1,)])
    storage.faults.add([FaultRule(status=503)])
    assert storage.faults.read_with_clock()[0]


def test_addresses_are_folded_once_for_all_rules(monkeypatch) -> None:
    """There can be a thousand rules, and thousands of addresses."""
    folded = []
    monkeypatch.setattr(requests, "fold", lambda e: folded.append(e) or e.lower())
    info = replace(DELETION)
    for number in range(3):
        assert not FaultRule(email=f"*{number}").matches(info)
    assert sorted(folded) == sorted(info.emails)


def _triggered(rule: dict, instants: list[int]) -> str:
    """Return a character per request: x if the rule triggers, a dot if not."""
    counters, triggered = Counters(0, 0, 0, 0), ""
    for number, now in enumerate(instants, 1):
        before = replace(counters, matched=number)
        counters = before.advanced(FaultRule(**rule), now)
        triggered += "x" if counters.triggered > before.triggered else "."
    return triggered


@pytest.mark.parametrize(
    ("rule", "triggered"),
    [
        ({}, "xxxxxx"),
        ({"times": 2}, "xx...."),
        ({"skip": 2}, "..xxxx"),
        ({"skip": 1, "times": 2}, ".xx..."),
        ({"probability": 0.0}, "......"),
        ({"probability": 1.0}, "xxxxxx"),
        ({"probability": 1.0, "skip": 3}, "...xxx"),
        ({"limit": 2, "window_seconds": 60}, "..xxxx"),
        ({"limit": 0, "window_seconds": 60}, "xxxxxx"),
    ],
)
def test_counters_decide_which_requests_trigger(rule: dict, triggered: str) -> None:
    """Six requests come at the same instant."""
    assert _triggered(rule, [NOW] * 6) == triggered


def test_window_starts_with_a_request() -> None:
    """A window ends after its length, or when the clock moves backwards."""
    instants = [
        NOW,
        NOW + 59,
        NOW + 60,
        NOW + 61,
        NOW + 119,
        NOW + 121,
        NOW - 500,
        NOW - 500,
    ]

    assert _triggered({"limit": 1, "window_seconds": 60}, instants) == ".x.xx..x"


def test_probability_is_reproducible() -> None:
    """The seed decides which requests trigger the rule."""
    rule = {"probability": 0.3, "seed": 7}
    first, second = (_triggered(rule, [NOW] * 1_000) for _ in range(2))

    assert first == second
    assert 250 < first.count("x") < 350
    assert first != _triggered({**rule, "seed": 8}, [NOW] * 1_000)


@pytest.mark.parametrize(
    ("rule", "problem"),
    [
        ({}, "must have an effect: 'status', 'latency_ms'"),
        ({"account": "acme"}, "must have an effect: 'status', 'latency_ms'"),
        ({"malformed": False, "truncate": False}, "must have an effect"),
        (
            {"status": 503, "colour": 1},
            "colour: unknown field (known: dialect, operation",
        ),
        ({"status": 399}, "status: must be an integer from 400 to 599 (got 399)"),
        ({"status": 600}, "status: must be an integer from 400 to 599 (got 600)"),
        ({"status": True}, "status: must be an integer from 400 to 599 (got true)"),
        ({"status": "x"}, "status: must be an integer from 400 to 599 (got 'x')"),
        ({"status": 503.5}, "status: must be an integer from 400 to 599 (got 503.5)"),
        ({"latency_ms": 60_001}, "latency_ms: must be an integer from 1 to 60000"),
        ({"status": 503, "times": 0}, "times: must be an integer from 1 to"),
        ({"status": 503, "skip": -1}, "skip: must be an integer from 0 to"),
        (
            {"status": 503, "probability": 2},
            "probability: must be a number from 0 to 1",
        ),
        ({"status": 503, "probability": "nan"}, "probability: must be a number from 0"),
        (
            {"status": 503, "dialect": "smtp"},
            "dialect: must be one of sendgrid, mailgun",
        ),
        (
            {"status": 503, "operation": "clear", "dialect": "sendgrid"},
            "operation: must be one of get, delete, count",
        ),
        (
            {"status": 503, "operation": "clear", "dialect": "mailgun.v2"},
            "operation: must be one of list, add, find, remove (got 'clear')",
        ),
        ({"status": 503, "account": ""}, "account: must have 1 to 255 characters"),
        ({"status": 503, "path": "x" * 501}, "path: must have 1 to 500 characters"),
        (
            {"status": 503, "times": 1, "probability": 1},
            "'times' cannot be combined with 'probability'",
        ),
        ({"status": 503, "seed": 1}, "'seed' requires 'probability'"),
        ({"limit": 1}, "'limit' requires 'window_seconds'"),
        ({"status": 503, "window_seconds": 1}, "'window_seconds' requires 'limit'"),
        (
            {"limit": 1, "window_seconds": 1, "times": 1},
            "'times' cannot be combined with 'limit'",
        ),
        (
            {"limit": 1, "window_seconds": 0},
            "window_seconds: must be an integer from 1",
        ),
        (
            {"retry_after": 1, "latency_ms": 1},
            "'retry_after' requires 'status'",
        ),
        (
            {"drop_connection": True, "status": 503},
            "'status' cannot be combined with 'drop_connection'",
        ),
        (
            {"drop_connection": "never"},
            "drop_connection: must be true, before or after (got 'never')",
        ),
        (
            {"truncate": True, "malformed": True},
            "'malformed' cannot be combined with 'truncate'",
        ),
        ({"truncate": -1}, "truncate: must be true or a number of bytes (got -1)"),
        ({"truncate": f"{0:020}{'9' * 30}"}, "truncate: must be true or a number"),
        ({"truncate": "9" * 5_000}, "truncate: must be true or a number of bytes"),
        ({"truncate": "0" * 5_000}, "truncate: must be true or a number of bytes"),
        ({"truncate": 2**53 + 1}, "truncate: must be true or a number of bytes"),
        ({"malformed": "perhaps"}, "malformed: must be true or false (got 'perhaps')"),
        ([], "must be a mapping"),
        (5, "must be a mapping"),
    ],
)
def test_invalid_rules_are_rejected(rule, problem: str) -> None:
    """The message has the field, the problem and the value."""
    with pytest.raises(ParametersError) as caught:
        read_fault_rule(rule, OPERATIONS)

    assert problem in str(caught.value)


def test_all_problems_of_all_rules_are_reported() -> None:
    """The path begins with the index of the rule."""
    with pytest.raises(ParametersError) as caught:
        read_fault_rules(
            [{"status": 1, "x": 1, "seed": 1}, {"status": 503}, {"limit": 1}],
            OPERATIONS,
        )

    paths = [path for path, _ in caught.value.problems]
    assert paths == ["[0].status", "[0].x", "[0]", "[2]"]


def test_long_values_are_not_in_messages() -> None:
    """A long value could be a credential in the wrong place."""
    key = "key-3ax6xnjp29jd6fds4gc373sgvjxteol0"
    with pytest.raises(ParametersError) as caught:
        read_fault_rule({"status": key, "dialect": key, "drop_connection": key}, {})

    assert key not in str(caught.value)


def test_rules_name_the_operations_of_the_dialects_that_are_passed() -> None:
    """Validation knows no vendor."""
    rule = {"status": 503, "dialect": "toy.v1", "operation": "purge"}

    assert read_fault_rule(rule, {"toy.v1": ("purge",)}).dialect == "toy.v1"
    with pytest.raises(ParametersError, match="dialect: must be one of sendgrid"):
        read_fault_rule(rule, OPERATIONS)


def test_schema_has_the_fields_of_a_rule() -> None:
    """In the same order."""
    assert [*FAULT_RULE.fields] == [field.name for field in fields(FaultRule)]


@pytest.mark.parametrize(
    ("written", "rule"),
    [
        ({"drop_connection": True}, {"drop_connection": "before"}),
        ({"drop_connection": "true"}, {"drop_connection": "before"}),
        ({"drop_connection": "after"}, {"drop_connection": "after"}),
        ({"truncate": "true"}, {"truncate": True}),
        ({"truncate": 0}, {"truncate": 0}),
        ({"truncate": str(2**53)}, {"truncate": 2**53}),
        ({"status": 503, "times": None}, None),
        ({"malformed": "true", "status": 500}, {"malformed": True, "status": 500}),
        ({"status": 503, "probability": "0.5"}, {"status": 503, "probability": 0.5}),
        ({"latency_ms": 5, "malformed": False}, {"latency_ms": 5}),
    ],
)
def test_rules_are_normalized(written: dict, rule: dict | None) -> None:
    """False is no effect; YAML has text where JSON has booleans and fractions."""
    if rule is None:
        with pytest.raises(ParametersError):
            read_fault_rule(written, OPERATIONS)
    else:
        assert read_fault_rule(written, OPERATIONS).as_dict() == rule


def test_one_rule_is_read_by_its_identifier(storage: Storage, monkeypatch) -> None:
    """There may be 1,000 other rules."""
    rules = [FaultRule(status=503), FaultRule(status=502)]
    first, second = storage.faults.add(rules)
    monkeypatch.setattr(FaultStore, "all", None)

    assert storage.faults.get(second) == StoredFault(second, rules[1], 0, 0)
    assert storage.faults.get(first).rule == rules[0]
    for unknown in (0, second + 1, 10**18, 10**30):
        with pytest.raises(
            UnknownNameError, match=f"there is no fault rule '{unknown}'"
        ):
            storage.faults.get(unknown)


def test_rules_are_stored_in_order(storage: Storage) -> None:
    """Rules can be added together, and removed singly or all at once."""
    ids = storage.faults.add(
        [FaultRule(status=503), FaultRule(truncate=True, email="ä*")]
    )

    assert [fault.id for fault in storage.faults.all()] == ids
    assert storage.faults.get(ids[1]).rule == FaultRule(truncate=True, email="ä*")
    storage.faults.remove(ids[0])
    assert [fault.id for fault in storage.faults.all()] == ids[1:]
    for gone in (ids[0], 2**70):
        with pytest.raises(UnknownNameError):
            storage.faults.remove(gone)
    assert storage.faults.clear() == 1
    assert storage.faults.all() == []


def test_at_most_a_thousand_rules_are_stored(storage: Storage) -> None:
    """A list that exceeds the maximum is rejected as a whole."""
    storage.faults.add([FaultRule(status=503)] * (MAX_FAULT_RULES - 1))

    with pytest.raises(ParametersError, match="1000 rules"):
        storage.faults.add([FaultRule(status=500)] * 2)
    assert len(storage.faults.all()) == MAX_FAULT_RULES - 1


def test_too_many_rules_are_rejected_unread(controlled_client: FlaskClient) -> None:
    """Reading and storing them would take long."""
    rules = [{"status": "none"}] * (MAX_FAULT_RULES + 1)
    for path, document, name in (
        ("faults", rules, ""),
        ("seed", {"accounts": [], "faults": rules}, "faults: "),
    ):
        answer = controlled_client.post(f"/_emulator/{path}", json=document)
        problem = f"{name}there may be at most 1000 rules (got 1001)"
        assert (answer.status_code, problem in answer.text) == (400, True), answer.text
    assert controlled_client.get("/_emulator/faults").json == {"faults": []}


def test_first_rule_that_triggers_wins(storage: Storage) -> None:
    """Earlier rules count the request, later rules do not."""
    rules = [
        FaultRule(status=500, skip=1),
        FaultRule(status=501),
        FaultRule(status=502),
    ]
    storage.faults.add(rules)

    matches = [storage.faults.trigger(storage.faults.all(), NOW) for _ in range(2)]
    assert [match.rule.status for match in matches] == [501, 500]
    counted = [(fault.matched, fault.triggered) for fault in storage.faults.all()]
    assert counted == [(2, 1), (1, 1), (0, 0)]


def test_removed_rule_does_not_trigger(storage: Storage) -> None:
    """A request can have read the rules before the removal."""
    storage.faults.add([FaultRule(status=500), FaultRule(status=501)])
    seen = storage.faults.all()
    storage.faults.remove(seen[0].id)

    assert storage.faults.trigger(seen, NOW).rule.status == 501


@pytest.mark.parametrize(
    ("rule", "triggered", "least"),
    [
        (FaultRule(status=503, times=1), 1, 1),
        (FaultRule(status=503, times=7, skip=5), 7, 12),
        (FaultRule(limit=10, window_seconds=60), 30, 40),
    ],
)
def test_concurrent_requests_are_counted_once_each(
    database_url: str, rule: FaultRule, triggered: int, least: int
) -> None:
    """Eight threads share the rule; requests after its last turn may be counted."""
    with closing(open_storage(database_url)) as storage:
        storage.faults.add([rule])
        seen = storage.faults.all()
        with ThreadPoolExecutor(8) as pool:
            matches = list(
                pool.map(lambda _: storage.faults.trigger(seen, NOW), range(40))
            )
        (fault,) = storage.faults.all()

    assert sum(match is not None for match in matches) == triggered
    assert fault.triggered == triggered
    assert least <= fault.matched <= 40


SEED = """
accounts: []
faults:
  - {status: 503, times: 1, dialect: mailgun}
  - {status: 503, times: 1, dialect: mailgun}
  - {drop_connection: true, account: acme}
"""


def test_second_load_of_a_seed_adds_no_rules(storage: Storage) -> None:
    """Equal rules in the file are distinct; counters are kept."""
    seed = read_seed(SEED, NOW, OPERATIONS)
    for _ in range(2):
        apply_seed(storage, None, seed)
        storage.faults.trigger(storage.faults.all(), NOW)

    faults = storage.faults.all()
    assert [fault.rule.status for fault in faults] == [503, 503, None]
    assert [fault.matched for fault in faults] == [1, 1, 0]


def test_invalid_rules_in_a_seed_are_rejected() -> None:
    """Problems of accounts are reported, too."""
    text = "accounts: [{username: a, bounces: [{}]}]\nfaults: [{status: 1}]"
    with pytest.raises(ParametersError, match=r"faults\[0\].status: must be") as caught:
        read_seed(text, NOW, OPERATIONS)
    assert "accounts[0].bounces[0].email" in str(caught.value)


@pytest.fixture(name="client")
def _client(controlled_client: FlaskClient) -> FlaskClient:
    return controlled_client


def _fault(client: FlaskClient, **rule) -> int:
    answer = client.post(FAULTS, json=rule)
    assert answer.status_code == 201, answer.json
    (id_,) = answer.json["ids"]
    return id_


STATUSES = [400, 401, 403, 404, 405, 408, 409, 413, 414, 418, 422, 429, 431]
STATUSES += [500, 501, 502, 503, 504, 511, 599]

#: For each dialect and format: the path of a request, and the media type.
CALLS = {
    "sendgrid.direct json": ("/api/bounces.get.json", "application/json"),
    "sendgrid.direct xml": ("/api/bounces.get.xml", "text/xml; charset=ISO-8859-1"),
    "sendgrid.reseller json": ("/apiv2/reseller.manage.json", "application/json"),
    "sendgrid.reseller xml": ("/api/user.bounces.xml", "text/xml; charset=ISO-8859-1"),
    "mailgun.v2": ("/v2/samples.mailgun.org/bounces", "application/json"),
    "mailgun.v3": (BOUNCES, "application/json; charset=utf-8"),
}


@pytest.mark.parametrize("call", CALLS)
def test_status_is_in_the_format_of_the_vendor(client: FlaskClient, call: str) -> None:
    """Statuses that Mailgun's router produces are plain text."""
    path, kind = CALLS[call]
    for status in STATUSES:
        client.delete(FAULTS)
        _fault(client, status=status, dialect=call.split(" ")[0])

        answer = client.get(path)
        assert answer.status_code == status
        if call.startswith("sendgrid"):
            is_xml = "xml" in kind and status != 404  # the router has no XML
            assert answer.content_type == (kind if is_xml else "application/json")
            assert (b"<message>error" if is_xml else b"error") in answer.data
        elif status in (400, 401, 404, 405, 414, 431):
            assert answer.content_type == "text/plain; charset=utf-8"
            assert answer.data
        else:
            assert answer.content_type == kind
            assert answer.json["message"]
        if call == "sendgrid.reseller json" and status != 404:
            assert answer.json["error"]["code"] == status


@pytest.mark.parametrize(
    ("call", "status", "body"),
    [
        ("/api/bounces.get.json", 401, '"errors": ["Bad username / password"]'),
        ("/api/bounces.get.json", 503, '["the service is temporarily unavailable"]'),
        ("/apiv2/customer.bounces.json", 403, '"Permission denied, not authorized"'),
        ("/apiv2/customer.bounces.json", 429, '{"code":429,"message":"Too many req'),
        (BOUNCES, 401, "Forbidden"),
        (BOUNCES, 429, '{"message":"Too many requests"}\n'),
    ],
)
def test_status_has_the_message_of_the_vendor(
    client, call: str, status: int, body: str
) -> None:
    """Recorded messages are used where there are recordings."""
    _fault(client, status=status)

    assert body in client.get(call).text


def test_status_follows_the_profile_of_the_account(client: FlaskClient) -> None:
    """The account in the request counts, without authentication."""
    accounts = client.application.extensions[EXTENSION].storage.accounts
    accounts.change(accounts.get("acme"), profile="recorded")
    _fault(client, status=500)

    assert json.loads(client.get(COUNT).text) == {"error": "internal error"}
    assert "errors" in client.get("/api/bounces.count.json?api_user=x&api_key=y").json


@pytest.mark.parametrize("status", [401, 403])
def test_refusal_follows_the_profile_of_the_server(client, status: int) -> None:
    """A real refusal does not reveal which accounts exist, so an injected one neither."""
    accounts = client.application.extensions[EXTENSION].storage.accounts
    accounts.change(accounts.get("acme"), profile="recorded")
    real = client.get("/api/bounces.count.json?api_user=acme&api_key=wrong")
    _fault(client, status=status)
    injected = client.get(COUNT)

    assert (real.json.keys(), real.content_type) == (
        injected.json.keys(),
        injected.content_type,
    )


def test_status_replaces_the_operation(client: FlaskClient) -> None:
    """After its last trigger, the rule no longer counts requests."""
    _fault(client, status=503, times=2, retry_after=9, operation="delete")
    delete = f"/api/bounces.delete.json?{ACME}&delete_all=1"
    before = client.get(COUNT).json

    for _ in range(2):
        answer = client.get(delete)
        assert (answer.status_code, answer.headers["Retry-After"]) == (503, "9")
        assert client.get(COUNT).json == before
    assert client.get(delete).json == {"message": "success"}
    assert client.get(COUNT).json == {"count": "0"}
    assert client.get(f"{FAULTS}/1").json["matched"] == 2


def test_rate_limit_sets_the_headers(client, clock: FixedClock) -> None:
    """Requests succeed again in the next window."""
    _fault(client, limit=2, window_seconds=60)
    assert [client.get(COUNT).status_code for _ in range(3)] == [200, 200, 429]

    clock.instant += 20
    answer = client.get(COUNT)
    assert {k: v for k, v in answer.headers if k.startswith(("X-Rate", "Retry"))} == {
        "Retry-After": "40",
        "X-RateLimit-Limit": "2",
        "X-RateLimit-Remaining": "0",
        "X-RateLimit-Reset": str(NOW + 60),
    }
    clock.instant += 40
    assert client.get(COUNT).status_code == 200


@pytest.mark.parametrize("when", ["before", "after"])
def test_dropped_connection_raises_in_process(client: FlaskClient, when: str) -> None:
    """The operation has happened only with ``after``."""
    _fault(client, drop_connection=when, operation="delete")
    delete = f"/api/bounces.delete.json?{ACME}&delete_all=1"

    with pytest.raises(ConnectionDropped):
        client.get(delete)
    assert (client.get(COUNT).json == {"count": "0"}) is (when == "after")


def test_dropped_connection_raises_outside_of_testing_mode(client: FlaskClient) -> None:
    """Flask turns other exceptions into a response with status 500."""
    client.application.testing = False
    _fault(client, drop_connection=True)

    with pytest.raises(ConnectionDropped):
        client.get(COUNT)


@pytest.mark.parametrize(
    ("path", "parse", "error"),
    [
        ("/api/bounces.get.json", json.loads, json.JSONDecodeError),
        ("/api/bounces.get.xml", ElementTree.fromstring, ElementTree.ParseError),
    ],
)
def test_malformed_body_does_not_parse(client, path, parse, error) -> None:
    """Status and Content-Length are valid."""
    whole = client.get(f"{path}?{ACME}").data
    _fault(client, malformed=True)

    answer = client.get(f"{path}?{ACME}")
    assert answer.status_code == 200
    assert whole.startswith(answer.data)
    assert len(answer.data) == int(answer.headers["Content-Length"]) < len(whole)
    parse(whole)
    with pytest.raises(error):
        parse(answer.data)


def test_malformed_stream_lacks_its_end(client: FlaskClient) -> None:
    """The response is still streamed."""
    storage = client.application.extensions[EXTENSION].storage
    account = storage.accounts.get("acme")
    _add_many(storage, account.bounce_list)
    whole = client.get(f"/api/bounces.get.json?{ACME}").data
    _fault(client, malformed=True)

    answer = client.get(f"/api/bounces.get.json?{ACME}")
    assert answer.is_streamed
    assert answer.data == whole.removesuffix(b"]")


def _add_many(storage: Storage, bounce_list: int) -> None:
    bounces = (bounce(f"{i}@many.example", reason="x" * 50) for i in range(1_500))
    storage.bounces.put(bounce_list, bounces)
    assert storage.bounces.count(bounce_list, BounceQuery()) >= 1_500


def test_account_matches_the_owner_of_the_domain(client: FlaskClient) -> None:
    """Mailgun's requests name no account."""
    _fault(client, status=503, account="mailgun")

    assert client.get(BOUNCES, auth=MAILGUN).status_code == 503
    assert client.get("/v3/other.example/bounces", auth=MAILGUN).status_code == 404
    assert client.get(COUNT).status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "form", "matcher"),
    [
        ("GET", f"/api/bounces.get.json?{ACME}", None, {"operation": "get"}),
        ("POST", "/api/bounces.delete.xml", f"{ACME}&email[]=A@x", {"email": "a@*"}),
        ("GET", f"/apiv2/reseller.manage.json?{ACME}&method=bounces&task=get", None, {"operation": "get", "dialect": "sendgrid.reseller"}),
        ("GET", f"/api/user.bounces.json?{ACME}&task=delete", None, {"operation": "delete"}),
        ("GET", "/v2/Mg.example/bounces", None, {"operation": "list", "domain": "MG.example"}),
        ("POST", "/v2/mg.example/bounces", "address=A@x", {"operation": "add", "email": "a@x"}),
        ("GET", "/v2/mg.example/bounces/a%40x", None, {"operation": "find", "email": "a@x"}),
        ("DELETE", "/v3/mg.example/bounces/a%40x", None, {"operation": "remove", "email": "a@?"}),
        ("DELETE", "/v3/mg.example/bounces", None, {"operation": "clear", "method": "DELETE"}),
        ("POST", "/v3/mg.example/bounces/import", None, {"operation": "import"}),
        ("POST", "/v3/mg.example/bounces", '[{"address": "a@x"}]', {"email": "a@x"}),
        ("PUT", "/api/bounces.get.json", None, {"method": "PUT"}),
        ("GET", "/v3/nowhere", None, {"path": "/v3/now*"}),
        ("HEAD", f"/api/bounces.get.json?{ACME}", None, {"method": "HEAD"}),
    ],
)  # fmt: skip
def test_rules_match_every_path_of_a_dialect(
    client, method, path, form, matcher: dict
) -> None:
    """Unrouted paths and methods are included."""
    kind = "application/json" if form and form[0] == "[" else FORM
    _fault(client, status=599, **matcher)

    assert (
        client.open(path, method=method, data=form, content_type=kind).status_code
        == 599
    )


FORM = "application/x-www-form-urlencoded"


@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda dialect: dialect.name)
@pytest.mark.parametrize(
    ("kind", "body"),
    [
        (FORM, b"%ff=%ff&x"),
        (FORM, b"api_user=a&api_user=b&task=get&task=delete"),
        (FORM, b"address=" + b"x" * 9_000_000),
        ("multipart/form-data", b"x"),
        ("multipart/form-data; boundary=x", b"--x\r\n\r\n--x--"),
        ("application/json", b"[" * 60_000),
        ("application/json", b'[1, {"address": 5}, {"address": "\xff"}]'),
        ("text/html", b"x"),
        ("", b"\0"),
    ],
)
def test_request_info_never_fails(client, dialect, kind: str, body: bytes) -> None:
    """Responses to malformed requests are the same as without control endpoints."""
    plain = make_app("sqlite:///" + client.application.extensions[EXTENSION].storage.engine.location, FixedClock())  # fmt: skip
    headers = {"Authorization": "Basic \xff\xfe"}
    for path in ("/api/bounces.get.json?%ff=1", "/api/user.bounces.xml", "/v2/%ff/bounces", "/v3/x/bounces", "/v3/x/bounces/%ff", "/v3/x/bounces/import"):  # fmt: skip
        if find_owner(DIALECTS, path) is not dialect:
            continue
        for method in ("GET", "POST", "DELETE", "HEAD", "PUT"):
            answers = [
                app.test_client().open(path, method=method, data=body, content_type=kind, headers=headers)
                for app in (client.application, plain)
            ]  # fmt: skip
            assert answers[0].status_code == answers[1].status_code < 500
            assert answers[0].data == answers[1].data
    plain.extensions[EXTENSION].storage.close()


def test_endpoints_add_list_and_remove_rules(client: FlaskClient) -> None:
    """A rule is shown with the counters."""
    assert client.get(FAULTS).json == {"faults": []}
    rules = [{"status": 503, "times": 1}, {"truncate": True}]
    assert client.post(FAULTS, json=rules).json == {"ids": [1, 2]}
    assert client.get(COUNT).status_code == 503
    assert client.get(f"{FAULTS}/1").json == {
        "id": 1,
        "rule": {"status": 503, "times": 1},
        "matched": 1,
        "fired": 1,
    }
    assert client.delete(f"{FAULTS}/1").json == {"removed": 1}
    assert [fault["id"] for fault in client.get(FAULTS).json["faults"]] == [2]
    assert client.delete(FAULTS).json == {"removed": 1}


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("POST", FAULTS, [{"status": 503}, {"status": 1}], 400),
        ("POST", FAULTS, {"status": 503, "x": 1}, 400),
        ("POST", f"{FAULTS}?x=1", {"status": 503}, 400),
        ("DELETE", f"{FAULTS}?account=acme", None, 400),
        ("GET", f"{FAULTS}/7", None, 404),
        ("DELETE", f"{FAULTS}/7", None, 404),
        ("DELETE", f"{FAULTS}/{2**80}", None, 404),
        ("PUT", FAULTS, None, 405),
    ],
)
def test_invalid_requests_are_rejected(client, method, path, body, status: int) -> None:
    """Nothing changes: a list is added as a whole or not at all."""
    _fault(client, status=503)

    answer = client.open(path, method=method, json=body)
    assert (answer.status_code, bool(answer.json["error"])) == (status, True)
    assert len(client.get(FAULTS).json["faults"]) == 1


def test_duplicate_keys_and_empty_bodies_are_rejected(client: FlaskClient) -> None:
    """JSON parsers would keep the last value of a duplicate key."""
    answer = client.post(FAULTS, data='{"status": 500, "status": 404}')
    empty = client.post(FAULTS, data=" ")

    assert answer.json["errors"] == ["duplicate key 'status'"]
    assert empty.json["error"] == "the body is empty (expected JSON)"
    assert client.get(FAULTS).json == {"faults": []}


def test_response_has_at_most_100_problems(client: FlaskClient) -> None:
    """Further elements are not read; the last line counts the problems of the last."""
    answer = client.post(FAULTS, json=[{"status": 1}] * 99 + [{"a": 1, "b": 1}] * 300)

    assert answer.json["error"].endswith(" (and 101 more)")
    assert answer.json["errors"][98] == (
        "[98].status: must be an integer from 400 to 599 (got 1)"
    )
    assert answer.json["errors"][100:] == ["and 2 more"]


def test_rules_are_ignored_without_control(client, url: str, clock) -> None:
    """The database can hold the rules of another server."""
    _fault(client, status=503)
    app = make_app(url, clock)

    assert app.test_client().get(COUNT).status_code == 200
    app.extensions[EXTENSION].storage.close()


def test_requests_fail_if_rules_cannot_be_read(client: FlaskClient) -> None:
    """The error has the format of the vendor."""
    storage = client.application.extensions[EXTENSION].storage
    storage.engine.execute("DROP TABLE fault")

    assert client.get(COUNT).status_code == 503
