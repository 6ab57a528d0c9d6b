"""Fault rules: which requests they are about, when they fire, and what they refuse."""

import json
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from xml.etree import ElementTree

import pytest
from conftest import NOW, FixedClock, bounce, make_app
from flask.testing import FlaskClient

from sendgrid_bounces.app import DIALECTS
from sendgrid_bounces.control.effects import ConnectionDropped
from sendgrid_bounces.core.bounces import BounceQuery
from sendgrid_bounces.core.errors import ParametersError, UnknownNameError
from sendgrid_bounces.core.faults import Counters, FaultRule
from sendgrid_bounces.core.requests import RequestInfo
from sendgrid_bounces.emulator import EXTENSION
from sendgrid_bounces.schemas.faults import (
    OPERATIONS,
    read_fault_rule,
    read_fault_rules,
)
from sendgrid_bounces.schemas.seeds import read_seed
from sendgrid_bounces.seeding import apply_seed
from sendgrid_bounces.storage.database import Storage, open_storage
from sendgrid_bounces.storage.faults import MAX_FAULT_RULES

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
    ],
)
def test_rule_matches_if_every_matcher_does(
    info: RequestInfo, matcher: dict, matches: bool
) -> None:
    """A field that the request leaves unknown matches no matcher."""
    assert FaultRule(**matcher).matches(info) is matches


def _fired(rule: dict, nows: list[int]) -> str:
    """Return at which of the requests at these instants the rule fires."""
    tally, fired = Counters(0, 0, 0, 0), ""
    for turn, now in enumerate(nows, 1):
        before = Counters(turn, tally.triggered, tally.window_start, tally.window_count)
        tally = before.advanced(FaultRule(**rule), now)
        fired += "x" if tally.triggered > before.triggered else "."
    return fired


@pytest.mark.parametrize(
    ("rule", "fired"),
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
def test_when_a_rule_fires(rule: dict, fired: str) -> None:
    """At which of six requests of one instant."""
    assert _fired(rule, [NOW] * 6) == fired


def test_a_window_of_time_is_a_real_one() -> None:
    """It begins with a request, ends when its seconds are over, or the clock goes back."""
    nows = [
        NOW,
        NOW + 59,
        NOW + 60,
        NOW + 61,
        NOW + 119,
        NOW + 121,
        NOW - 500,
        NOW - 500,
    ]

    assert _fired({"limit": 1, "window_seconds": 60}, nows) == ".x.xx..x"


def test_probability_is_the_same_in_two_runs() -> None:
    """And another one with another seed; about as many are hit as it says."""
    rule = {"probability": 0.3, "seed": 7}
    first, second = (_fired(rule, [NOW] * 1_000) for _ in range(2))

    assert first == second
    assert 250 < first.count("x") < 350
    assert first != _fired({**rule, "seed": 8}, [NOW] * 1_000)


@pytest.mark.parametrize(
    ("rule", "fault"),
    [
        ({}, "needs an effect: one of status"),
        ({"account": "acme"}, "needs an effect: one of status"),
        ({"malformed": False, "truncate": False}, "needs an effect"),
        ({"status": 503, "colour": 1}, "colour: Unknown field"),
        ({"status": 399}, "status: must be a whole number of 400 to 599"),
        ({"status": 600}, "status: must be a whole number of 400 to 599"),
        ({"status": True}, "status: must be a whole number"),
        ({"status": "x"}, "status: must be a whole number"),
        ({"status": 503.5}, "status: must be a whole number"),
        ({"latency_ms": 60_001}, "latency_ms: must be a whole number of 1 to 60000"),
        ({"status": 503, "times": 0}, "times: must be a whole number of 1 to"),
        ({"status": 503, "skip": -1}, "skip: must be a whole number of 0 to"),
        ({"status": 503, "probability": 2}, "probability: must be a number of 0 to 1"),
        ({"status": 503, "probability": "nan"}, "probability: "),
        ({"status": 503, "dialect": "smtp"}, "dialect: Must be one of"),
        (
            {"status": 503, "operation": "list", "dialect": "sendgrid"},
            "operation: must",
        ),
        (
            {"status": 503, "operation": "clear", "dialect": "mailgun.v2"},
            "operation: m",
        ),
        ({"status": 503, "account": ""}, "account: must have 1 to 255 characters"),
        ({"status": 503, "path": "x" * 501}, "path: must have 1 to 500 characters"),
        (
            {"status": 503, "times": 1, "probability": 1},
            "probability: cannot stand bes",
        ),
        ({"status": 503, "seed": 1}, "seed: means nothing without probability"),
        ({"limit": 1}, "limit: means nothing without window_seconds"),
        ({"status": 503, "window_seconds": 1}, "window_seconds: means nothing without"),
        (
            {"limit": 1, "window_seconds": 1, "times": 1},
            "limit: cannot stand beside ti",
        ),
        ({"limit": 1, "window_seconds": 0}, "window_seconds: must be a whole number"),
        (
            {"retry_after": 1, "latency_ms": 1},
            "retry_after: means nothing without stat",
        ),
        (
            {"drop_connection": True, "status": 503},
            "drop_connection: cannot stand besi",
        ),
        (
            {"drop_connection": "never"},
            "drop_connection: must be true, before or after",
        ),
        (
            {"truncate": True, "malformed": True},
            "truncate: cannot stand beside malform",
        ),
        ({"truncate": -1}, "truncate: must be true, or how many bytes are sent"),
        ({"malformed": "perhaps"}, "malformed: Not a valid boolean"),
        ([], "must be a mapping"),
        (5, "must be a mapping"),
    ],
)
def test_a_rule_that_is_none(rule, fault: str) -> None:
    """Each fault is told, by the name of its field."""
    with pytest.raises(ParametersError) as caught:
        read_fault_rule(rule)

    assert fault in str(caught.value)


def test_all_faults_of_all_rules_are_told() -> None:
    """By the place of each rule, and of each of its fields."""
    with pytest.raises(ParametersError) as caught:
        read_fault_rules([{"status": 1, "x": 1}, {"status": 503}, {"limit": 1}])

    places = [place for place, _ in caught.value.problems]
    assert sorted(places) == ["[0].status", "[0].x", "[2].limit"]


@pytest.mark.parametrize(
    ("written", "rule"),
    [
        ({"drop_connection": True}, {"drop_connection": "before"}),
        ({"drop_connection": "true"}, {"drop_connection": "before"}),
        ({"drop_connection": "after"}, {"drop_connection": "after"}),
        ({"truncate": "true"}, {"truncate": True}),
        ({"truncate": 0}, {"truncate": 0}),
        ({"status": 503, "times": None}, None),
        ({"malformed": "true", "status": 500}, {"malformed": True, "status": 500}),
        ({"status": 503, "probability": "0.5"}, {"status": 503, "probability": 0.5}),
        ({"latency_ms": 5, "malformed": False}, {"latency_ms": 5}),
    ],
)
def test_a_rule_as_it_is_kept(written: dict, rule: dict | None) -> None:
    """What false means nothing; YAML has text where JSON has true and numbers."""
    if rule is None:
        with pytest.raises(ParametersError):
            read_fault_rule(written)
    else:
        assert read_fault_rule(written).as_dict() == rule


def test_operations_are_those_of_the_dialects() -> None:
    """A dialect that is not in the table cannot be named by a rule."""
    assert {d.name: d.operations for d in DIALECTS} == OPERATIONS


def test_rules_are_kept_in_their_order(storage: Storage) -> None:
    """They can be added together, looked at, and removed one by one or all."""
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


def test_there_are_no_more_than_a_thousand(storage: Storage) -> None:
    """Or none of the new ones is added."""
    storage.faults.add([FaultRule(status=503)] * (MAX_FAULT_RULES - 1))

    with pytest.raises(ParametersError, match="1000 rules"):
        storage.faults.add([FaultRule(status=500)] * 2)
    assert len(storage.faults.all()) == MAX_FAULT_RULES - 1


def test_the_first_that_fires_wins(storage: Storage) -> None:
    """Those before it count the request, those after it do not."""
    rules = [
        FaultRule(status=500, skip=1),
        FaultRule(status=501),
        FaultRule(status=502),
    ]
    storage.faults.add(rules)

    fired = [storage.faults.trigger(storage.faults.all(), NOW) for _ in range(2)]
    assert [match.rule.status for match in fired] == [501, 500]
    counted = [(fault.matched, fault.triggered) for fault in storage.faults.all()]
    assert counted == [(2, 1), (1, 1), (0, 0)]


def test_a_rule_that_was_just_removed_does_not_fire(storage: Storage) -> None:
    """Also if a request has seen it."""
    storage.faults.add([FaultRule(status=500), FaultRule(status=501)])
    seen = storage.faults.all()
    storage.faults.remove(seen[0].id)

    assert storage.faults.trigger(seen, NOW).rule.status == 501


@pytest.mark.parametrize(
    ("rule", "fired"),
    [
        (FaultRule(status=503, times=1), 1),
        (FaultRule(status=503, times=7, skip=5), 7),
        (FaultRule(limit=10, window_seconds=60), 30),
    ],
)
def test_each_request_has_a_turn_of_its_own(
    database_url: str, rule: FaultRule, fired: int
) -> None:
    """Eight at a time, on connections of their own: none is counted twice, or lost."""
    with closing(open_storage(database_url)) as storage:
        storage.faults.add([rule])
        seen = storage.faults.all()
        with ThreadPoolExecutor(8) as pool:
            turns = list(
                pool.map(lambda _: storage.faults.trigger(seen, NOW), range(40))
            )
        (fault,) = storage.faults.all()

    assert sum(turn is not None for turn in turns) == fired
    assert (fault.matched, fault.triggered) == (40, fired)


SEED = """
accounts: []
faults:
  - {status: 503, times: 1, dialect: mailgun}
  - {status: 503, times: 1, dialect: mailgun}
  - {drop_connection: true, account: acme}
"""


def test_seeds_hold_rules_that_are_planted_once(storage: Storage) -> None:
    """A rule that stands there twice is two; what was counted stays."""
    seed = read_seed(SEED, NOW)
    for _ in range(2):
        apply_seed(storage, None, seed)
        storage.faults.trigger(storage.faults.all(), NOW)

    faults = storage.faults.all()
    assert [fault.rule.status for fault in faults] == [503, 503, None]
    assert [fault.matched for fault in faults] == [2, 1, 0]


def test_faults_of_rules_in_seeds_are_told_by_their_place() -> None:
    """As those of accounts are."""
    with pytest.raises(ParametersError, match=r"faults\[0\].status: must be") as caught:
        read_seed("accounts: [{username: a, bounces: [{}]}]\nfaults: [{status: 1}]", 0)
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

#: A call of each dialect in each of its formats: its path, and what its type is.
CALLS = {
    "sendgrid.direct json": ("/api/bounces.get.json", "application/json"),
    "sendgrid.direct xml": ("/api/bounces.get.xml", "text/xml; charset=ISO-8859-1"),
    "sendgrid.reseller json": ("/apiv2/reseller.manage.json", "application/json"),
    "sendgrid.reseller xml": ("/api/user.bounces.xml", "text/xml; charset=ISO-8859-1"),
    "mailgun.v2": ("/v2/samples.mailgun.org/bounces", "application/json"),
    "mailgun.v3": (BOUNCES, "application/json; charset=utf-8"),
}


@pytest.mark.parametrize("call", CALLS)
def test_an_error_has_its_vendors_envelope(client: FlaskClient, call: str) -> None:
    """In the format that was asked for; what a router refuses is text at Mailgun."""
    path, kind = CALLS[call]
    for status in STATUSES:
        client.delete(FAULTS)
        _fault(client, status=status, dialect=call.split(" ")[0])

        answer = client.get(path)
        assert answer.status_code == status
        if call.startswith("sendgrid"):
            is_xml = "xml" in kind and status != 404  # its router words no XML
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
def test_words_of_an_error(client, call: str, status: int, body: str) -> None:
    """Those that are recorded of the vendor, where there are some."""
    _fault(client, status=status)

    assert body in client.get(call).text


def test_an_error_is_shown_as_the_account_sees_errors(client: FlaskClient) -> None:
    """The claimed account's own profile counts, as it does for real errors."""
    accounts = client.application.extensions[EXTENSION].storage.accounts
    accounts.change(accounts.get("acme"), profile="recorded")
    _fault(client, status=500)

    assert json.loads(client.get(COUNT).text) == {"error": "internal error"}
    assert "errors" in client.get("/api/bounces.count.json?api_user=x&api_key=y").json


def test_a_status_does_nothing_else(client: FlaskClient) -> None:
    """The operation is not done, and the rule not asked once it is spent."""
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


def test_a_rate_limit_says_when_to_come_back(client, clock: FixedClock) -> None:
    """In the headers that both vendors used; then it opens again."""
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
def test_dropping_within_a_process_raises(client: FlaskClient, when: str) -> None:
    """Before the operation, or after it."""
    _fault(client, drop_connection=when, operation="delete")
    delete = f"/api/bounces.delete.json?{ACME}&delete_all=1"

    with pytest.raises(ConnectionDropped):
        client.get(delete)
    assert (client.get(COUNT).json == {"count": "0"}) is (when == "after")


def test_dropping_raises_also_where_errors_are_caught(client: FlaskClient) -> None:
    """An application that is not being tested answers 500 to its own errors."""
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
def test_malformed_is_whole_and_does_not_parse(client, path, parse, error) -> None:
    """Its status is what it would have been, and so is what was done."""
    whole = client.get(f"{path}?{ACME}").data
    _fault(client, malformed=True)

    answer = client.get(f"{path}?{ACME}")
    assert answer.status_code == 200
    assert whole.startswith(answer.data)
    assert len(answer.data) == int(answer.headers["Content-Length"]) < len(whole)
    parse(whole)
    with pytest.raises(error):
        parse(answer.data)


def test_a_long_malformed_list_lacks_its_end(client: FlaskClient) -> None:
    """It is streamed, as it would have been."""
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


def test_an_account_is_also_the_owner_of_a_domain(client: FlaskClient) -> None:
    """Mailgun's calls name none: one rule is about all of an account's calls."""
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
def test_what_requests_are_about(client, method, path, form, matcher: dict) -> None:
    """Every path of a dialect can be made to fail, also what its router refuses."""
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
def test_facts_never_fail(client, dialect, kind: str, body: bytes) -> None:
    """What does not parse is not known; the answer is what it is without control."""
    plain = make_app("sqlite:///" + client.application.extensions[EXTENSION].storage.engine.location, FixedClock())  # fmt: skip
    headers = {"Authorization": "Basic \xff\xfe"}
    for path in ("/api/bounces.get.json?%ff=1", "/api/user.bounces.xml", "/v2/%ff/bounces", "/v3/x/bounces", "/v3/x/bounces/%ff", "/v3/x/bounces/import"):  # fmt: skip
        if not dialect.owns(path):
            continue
        for method in ("GET", "POST", "DELETE", "HEAD", "PUT"):
            answers = [
                app.test_client().open(path, method=method, data=body, content_type=kind, headers=headers)
                for app in (client.application, plain)
            ]  # fmt: skip
            assert answers[0].status_code == answers[1].status_code < 500
            assert answers[0].data == answers[1].data
    plain.extensions[EXTENSION].storage.close()


def test_the_endpoints(client: FlaskClient) -> None:
    """Rules are added alone or in lists, shown with their numbers, and removed."""
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
def test_what_the_endpoints_refuse(client, method, path, body, status: int) -> None:
    """Nothing is added or removed then, not even the good half of a list."""
    _fault(client, status=503)

    answer = client.open(path, method=method, json=body)
    assert (answer.status_code, bool(answer.json["error"])) == (status, True)
    assert len(client.get(FAULTS).json["faults"]) == 1


def test_a_name_that_stands_twice_is_refused(client: FlaskClient) -> None:
    """Nobody knows which of them was meant."""
    answer = client.post(FAULTS, data='{"status": 500, "status": 404}')
    empty = client.post(FAULTS, data=" ")

    assert answer.json["errors"] == ["'status' stands twice in a mapping"]
    assert empty.json["error"] == "the body is empty, and must be JSON"
    assert client.get(FAULTS).json == {"faults": []}


def test_of_many_faults_the_first_are_told(client: FlaskClient) -> None:
    """An answer stays small enough to be read."""
    answer = client.post(FAULTS, json=[{"status": 1}] * 300)

    assert answer.json["error"].endswith(" (and 299 more)")
    assert answer.json["errors"][99:] == [
        "[99].status: must be a whole number of 400 to 599",
        "and 200 more",
    ]


def test_rules_say_nothing_without_control(client, url: str, clock) -> None:
    """A server without control answers as if they were not there."""
    _fault(client, status=503)
    app = make_app(url, clock)

    assert app.test_client().get(COUNT).status_code == 200
    app.extensions[EXTENSION].storage.close()


def test_a_database_that_fails_is_worded(client: FlaskClient) -> None:
    """Rules that cannot be read are not taken for none."""
    storage = client.application.extensions[EXTENSION].storage
    storage.engine.execute("DROP TABLE fault")

    assert client.get(COUNT).status_code == 503
