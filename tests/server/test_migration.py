"""The report that replaces logged calls of SendGrid v2 by requests of v3."""

import json
import os
import shlex
import string
import subprocess
import sys
from collections.abc import Iterator
from itertools import combinations

import pytest
import requests
from click.testing import CliRunner
from live import ROOT, TIMEOUT

from sendgrid_bounces.cli import main
from sendgrid_bounces.core.migration import SeenCall, migrate
from sendgrid_bounces.dialects.sendgrid.migration import SUCCESSORS, TO_V3, TRAPS
from sendgrid_bounces.testing import EmulatorServer, TestAccount

PARAMETERS = (
    "date",
    "days",
    "start_date",
    "end_date",
    "type",
    "email",
    "limit",
    "offset",
    "delete_all",
)

SEED = """
accounts:
  - username: acme
    api_key: s3cret
    customers:
      - username: customer@example.com
        bounces:
          - {email: old-soft@x, status: 4.2.2, created: 2011-09-16 22:02:19}
          - {email: old-hard@x, status: 5.1.1, created: 2011-09-16 22:02:19}
"""


@pytest.fixture(name="account")
def _account() -> Iterator[TestAccount]:
    with EmulatorServer() as server, server.double() as account:
        yield account


def _v2(account: TestAccount, task: str, suffix: str = "json", **parameters) -> None:
    key = {"api_user": account.username, "api_key": account.api_key}
    url = f"{account.url}/api/bounces.{task}.{suffix}"
    requests.post(url, data={**key, **parameters})


def _report(account: TestAccount) -> dict:
    response = requests.get(f"{account.url}/_emulator/migration")
    assert response.status_code == 200
    return response.json()


def _curl(command: str, **variables: str) -> requests.Response:
    """Send the request of a curl command."""
    words = iter(shlex.split(string.Template(command).substitute(variables)))
    assert next(words) == "curl"
    method, headers, body, url = "GET", {}, None, ""
    for word in words:
        if word == "-X":
            method = next(words)
        elif word == "-H":
            name, value = next(words).split(": ", 1)
            headers[name] = value
        elif word == "-d":
            body = next(words)
        else:
            url = word
    return requests.request(method, url, headers=headers, data=body)


def test_distinct_calls_are_counted(account: TestAccount) -> None:
    """Values, except that of type, make no difference; v3 and Mailgun are left out."""
    _v2(account, "get", date="1", type="Soft")
    _v2(account, "get", date="1", type="soft")
    _v2(account, "get", date="1", type="hard")
    _v2(account, "get", "xml", date="1", type="soft")
    _v2(account, "delete", email="a@x")
    _v2(account, "delete", **{"email[]": ["a@x", "b@x"]})
    requests.get(f"{account.url}/api/nothing")
    requests.get(f"{account.url}/v3/suppression/bounces")
    requests.get(f"{account.url}/v3/{account.domain}/bounces")

    report = _report(account)
    assert [
        (c["operation"], c["format"], c["parameters"], c["type"], c["count"])
        for c in report["calls"]
    ] == [
        ("delete", "json", ["email"], None, 1),
        ("delete", "json", ["email[]"], None, 1),
        ("get", "json", ["date", "type"], "hard", 1),
        ("get", "json", ["date", "type"], "soft", 2),
        ("get", "xml", ["date", "type"], "soft", 1),
    ]
    assert report["unknown"] == 1
    assert account.api_key not in json.dumps(report)


def test_xml_trap_applies_to_xml(account: TestAccount) -> None:
    _v2(account, "count", "xml")
    _v2(account, "count", "json")
    in_json, in_xml = (
        [trap["name"] for trap in call["traps"]] for call in _report(account)["calls"]
    )
    assert [name for name in in_xml if name not in in_json] == ["xml"]
    assert "no count" in in_json


def test_values_and_keys_do_not_occur(account: TestAccount) -> None:
    _v2(account, "get", email="secret@example.com", start_date="2012-01-01")
    text = json.dumps(_report(account))
    for value in ("secret@", "2012", account.username, account.api_key):
        assert value not in text


def _calls() -> Iterator[SeenCall]:
    """Every operation with every set of up to four parameters."""
    for operation in ("get", "count", "delete"):
        for size in range(5):
            for names in combinations((*PARAMETERS, "email[]", "user"), size):
                for type_ in ("hard", "soft", "") if "type" in names else ("",):
                    dialect = f"sendgrid.{'reseller' if 'user' in names else 'direct'}"
                    parameters = tuple(sorted(names))
                    yield SeenCall(dialect, operation, "json", parameters, type_)


def test_every_call_has_a_successor() -> None:
    """And every successor and trap belongs to a call."""
    migrated = [migrate(call, 1, TO_V3) for call in _calls()]
    assert all(found.requests and found.traps for found in migrated)
    notes = {found.note for found in migrated}
    assert notes == {successor.note for successor in SUCCESSORS}
    traps = {trap.name for found in migrated for trap in found.traps}
    assert {trap.name for trap in TRAPS} - traps == {"xml"}


def test_only_delete_all_deletes_everything() -> None:
    """A delete with a filter never becomes a request without one."""
    for call in _calls():
        text = " ".join(migrate(call, 1, TO_V3).requests)
        names = {"email", "email[]", "days", "start_date", "end_date", "type"}
        if "delete_all" in text:
            assert call.operation == "delete"
            assert names.isdisjoint(call.parameters)
        assert ("-X DELETE" in text) == (call.operation == "delete")


def test_requests_are_ready(account: TestAccount) -> None:
    """With its variables set, each command succeeds."""
    variables = {
        "API_URL": account.url,
        "API_KEY": account.api_key,
        "START_TIME": "1",
        "END_TIME": "9999999999",
    }
    calls = [
        c for c in _calls() if len(c.parameters) < 3 and "user" not in c.parameters
    ]
    commands = {
        command for call in calls for command in migrate(call, 1, TO_V3).requests
    }
    assert len(commands) == 16
    for command in sorted(commands):
        email, status = ("a@x", "4.2.2") if "blocks" in command else ("b@x", "5.1.1")
        account.add(email, status=status)
        response = _curl(command, EMAIL=email, **variables)
        assert response.status_code == (204 if "DELETE" in command else 200), command


def test_report_of_the_cleanup_example() -> None:
    """A recorded session: each of its calls, with its requests and traps."""
    with EmulatorServer(seed=SEED) as server:
        subprocess.run(
            [
                sys.executable,
                str(ROOT / "examples/nightly_cleanup.py"),
                *(server.url, "customer@example.com"),
            ],
            env={**os.environ, "API_USER": "acme", "API_KEY": "s3cret"},
            capture_output=True,
            timeout=TIMEOUT,
            check=True,
        )
        run = CliRunner().invoke(main, ["migration-report", "--url", server.url])
        data = CliRunner().invoke(
            main, ["migration-report", "--url", server.url, "--json"]
        )
        report = json.loads(data.stdout)
        (soft,) = (c for c in report["calls"] if c["operation"] == "get")
        responses = [
            _curl(
                command,
                API_URL=server.url,
                API_KEY="s3cret",
                END_TIME="1400000000",
                CUSTOMER="customer@example.com",
            )
            for command in soft["requests"]
        ]
    assert [response.text for response in responses] == ["[]"]
    delete, get = report["calls"]
    assert (delete["operation"], delete["parameters"]) == ("delete", ["email", "user"])
    assert (get["operation"], get["parameters"], get["type"]) == (
        "get",
        ["end_date", "type", "user"],
        "soft",
    )
    assert (delete["count"], get["count"]) == (1, 1)
    header = (
        'curl -X DELETE -H "Authorization: Bearer $API_KEY" -H "Accept: '
        'application/json" -H "on-behalf-of: $CUSTOMER" '
    )
    assert delete["requests"] == [
        f'{header}"$API_URL/v3/suppression/{name}/$EMAIL"'
        for name in ("bounces", "blocks")
    ]
    assert [trap["name"] for trap in get["traps"]] == [
        "credentials",
        "accept",
        "errors",
        "customer",
        "no type filter",
        "500 rows",
        "order",
        "days",
    ]
    assert [trap["name"] for trap in delete["traps"]] == [
        "credentials",
        "accept",
        "errors",
        "customer",
        "two lists",
        "404",
    ]
    for call in report["calls"]:
        for trap in call["traps"]:
            assert f"- {trap['name']}: " in run.stdout
    assert "sendgrid.reseller get.json (end_date, type=soft, user): 1 request\n" in (
        run.stdout
    )
