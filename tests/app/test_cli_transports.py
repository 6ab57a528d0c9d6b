"""Each command does the same on a database and, with --url, on a server."""

import inspect
import json
import re
import socket
from collections.abc import Callable, Iterator
from contextlib import closing
from http.client import HTTPMessage, RemoteDisconnected
from io import BytesIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result
from conftest import QUICK_HASH, FixedClock, logged_request, make_app
from flask.testing import FlaskClient

from sendgrid_bounces.cli import connection, main, queries, transport
from sendgrid_bounces.cli.remote import RemoteControl, find_server
from sendgrid_bounces.cli.transport import ServerError
from sendgrid_bounces.control.documents import BounceBatch, BounceOwner
from sendgrid_bounces.control.service import Control
from sendgrid_bounces.core.errors import ParametersError
from sendgrid_bounces.emulator import EXTENSION
from sendgrid_bounces.storage.database import open_storage

SERVER = "https://emulator.test:8000"
TOKEN = "t0ken"

SEED = "accounts: [{username: seeded, api_key: k, bounces: [{email: s@x}]}]"

CSV = "email,status,created\na@one.example,5.1.1,2012-02-14 08:00:00\nb@x,4.2.2,\n"

#: Commands and their stdin, in an order in which most commands succeed.
SCENARIO: tuple[tuple[str, str], ...] = (
    ("clock freeze 2012-02-15T12:00:00Z", ""),
    ("clock show", ""),
    ("clock show --json", ""),
    ("account add acme --timezone Asia/Tokyo --profile recorded", "k\n"),
    ("account add acme", "k\n"),
    ("account add bad --timezone Mars", "k\n"),
    ("account add empty", "\n"),
    ("account add customer@x --customer-of acme", "k\n"),
    ("account add third --customer-of customer@x", "k\n"),
    ("account add orphan --customer-of nobody", "k\n"),
    ("account add a/b?c%d#e", "k\n"),
    ("account set acme --profile documented", ""),
    ("account set acme --timezone Mars", ""),
    ("account set nobody --timezone UTC", ""),
    ("account set-key acme", "an0ther\n"),
    ("account set-key acme", "\n"),
    ("account set-key nobody", "k\n"),
    ("account show acme", ""),
    ("account show a/b?c%d#e --json", ""),
    ("account show nobody", ""),
    ("domain add MG.example acme", ""),
    ("domain add shared.example acme --share-list", ""),
    ("domain add shared.example customer@x", ""),
    ("domain add a/b acme", ""),
    ("domain add x.example nobody", ""),
    ("domain show mg.EXAMPLE", ""),
    ("domain show nothing --json", ""),
    ("domain list", ""),
    ("domain list --json", ""),
    ("bounces import acme - --format csv", CSV),
    ("bounces import acme - --format csv", "email,created\na@x,\nb@x,never\n"),
    ("bounces import mg.example - --format json --json", '[{"email": "c@x"}]'),
    ("bounces import nobody - --format csv", CSV),
    (
        "bounces add acme d@y --reason full --code 452 --created 2012-01-01T00:00:00Z",
        "",
    ),
    ("bounces add acme e@y --created never", ""),
    ("bounces add nobody e@y", ""),
    ("bounces list acme", ""),
    ("bounces list acme --json", ""),
    ("bounces list acme --json --limit 1 --offset 1", ""),
    ("bounces list acme --email *@x --email ?@one.example --type soft", ""),
    ("bounces list acme --status 5.* --since 2012-02-01 --until 2012-02-14", ""),
    ("bounces list acme --days 2 --json", ""),
    ("bounces list acme --after x", ""),
    ("bounces list nobody", ""),
    ("bounces count acme", ""),
    ("bounces count acme --by day", ""),
    ("bounces count acme --by domain --json", ""),
    ("bounces count acme --by type --email *x", ""),
    ("bounces export acme", ""),
    ("bounces export acme --format json", ""),
    ("bounces export nobody", ""),
    ("bounces remove acme B@X", ""),
    ("bounces remove acme b@x", ""),
    ("bounces remove nobody b@x", ""),
    ("snapshot save before", ""),
    ("snapshot save a/b", ""),
    ("snapshot list", ""),
    ("snapshot list --json", ""),
    ("bounces clear mg.example", ""),
    ("bounces clear mg.example --yes", ""),
    ("bounces clear nobody --yes", ""),
    ("domain remove mg.example --yes", ""),
    ("domain remove mg.example --yes", ""),
    ("account remove a/b?c%d#e --yes", ""),
    ("account remove acme", ""),
    ("account remove nobody --yes", ""),
    ("account list", ""),
    ("account list --json", ""),
    ("account remove acme --yes", ""),
    ("snapshot restore nothing --yes", ""),
    ("snapshot restore before", ""),
    ("snapshot restore before --yes", ""),
    ("snapshot restore before --yes --json", ""),
    ("snapshot remove before", ""),
    ("snapshot remove before --yes", ""),
    ("snapshot remove before --yes", ""),
    ("snapshot remove a/b", ""),
    ("domain show a/b", ""),
    ("domain remove ../x --yes", ""),
    ("seed -", SEED),
    ("seed - --json", SEED),
    ("seed -", "accounts: [" + "{username: ''}," * 300 + "]"),
    ("seed -", "accounts: ["),
    ("seed -", "5"),
    ("fault add --status 503 --times 1", ""),
    ("fault add --json", '[{"limit": 3, "window_seconds": 60}]'),
    ("fault add -", '[{"limit": 3, "window_seconds": 60}]'),
    ("fault add --times 1", ""),
    ("fault add -", "[{status: 1}, {staus: 503}]"),
    ("fault list", ""),
    ("fault list --json", ""),
    ("fault show 1", ""),
    ("fault show 7 --json", ""),
    ("source add mx acme --kind mail", "s3cret\n"),
    ("source add mx acme --kind mail", "s3cret\n"),
    ("source add mx.2 MG.example --kind postmark --token-variable TOKEN", ""),
    ("source add mg acme --kind mailgun --key-variable MAILGUN_KEY", ""),
    ("source add mg2 acme --kind mailgun", ""),
    ("source add mg2 acme --kind mailgun --key-file /nowhere/key", ""),
    ("source add ses acme --kind ses --topic arn:1 --topic arn:2", "s3cret\n"),
    ("source add sg acme --kind sendgrid", "n0key\n"),
    ("source add sg nobody --kind sendgrid", "n0key\n"),
    ("source add a/b acme --kind mail", "s3cret\n"),
    ("source add x acme --kind brevo", ""),
    ("source add x acme --kind mail --key-file /etc/hostname", ""),
    ("source list", ""),
    ("source list --json", ""),
    ("source remove mg", ""),
    ("source remove mg --yes", ""),
    ("source remove mg --yes", ""),
    ("fault remove 1", ""),
    ("fault remove 1", ""),
    ("fault clear", ""),
    ("fault clear --yes", ""),
    ("fault clear", ""),
    ("requests list", ""),
    ("requests list --json", ""),
    ("requests list --dialect mailgun --since 1970-01-01T00:00:00Z --limit 1", ""),
    ("requests list --operation nothing", ""),
    ("migration-report", ""),
    ("migration-report --json", ""),
    ("requests list --after 0 --json", ""),
    ("requests list --after 1", ""),
    ("requests show 1", ""),
    ("requests show 1 --json", ""),
    ("requests show 2", ""),
    ("requests clear --yes", ""),
    ("clock advance PT1H", ""),
    ("clock advance P9999999D", ""),
    ("clock set 2013-01-01T00:00:00Z", ""),
    ("clock freeze 2012-02-15T12:00:00Z --json", ""),
    ("clock reset", ""),
    ("reset --account acme", ""),
    ("reset --account acme --yes", ""),
    ("reset --account nobody --yes", ""),
    ("reset", ""),
    ("reset --to empty --yes", ""),
    ("reset --yes --json", ""),
)

#: Commands without a control service: mails reach a server by its sources, and a
#: backup is that of a database.
LOCAL = {
    ("serve",),
    ("init-db",),
    ("health",),
    ("completion",),
    ("backup",),
    ("restore",),
    ("bounces", "pull"),
    ("bounces", "receive"),
    ("source", "test"),
}

ENTRY = logged_request(
    dialect="mailgun.v3",
    operation="add",
    method="POST",
    path="/v3/x/bounces",
    parameters={"address": ["ä@x", "b@x"]},
    rows=2,
)


class Connection:
    """A connection to an application of this process, with http.client's methods."""

    length = 0

    def __init__(self, client: FlaskClient) -> None:
        self._client = client

    def request(self, method: str, target: str, body: Any, headers: dict) -> None:
        data = body if body is None or isinstance(body, bytes) else b"".join(body)
        host = {"Host": "emulator.test:8000"}
        path, _, query = target.partition("?")
        self._answer = self._client.open(
            method=method,
            base_url=SERVER,
            path=path,
            query_string=query,
            data=data,
            headers={**host, **headers},
        )

    def getresponse(self) -> "Connection":
        return self

    def read(self, limit: int) -> bytes:
        return self._answer.data[:limit]

    @property
    def status(self) -> int:
        return self._answer.status_code

    @property
    def headers(self) -> HTTPMessage:
        message = HTTPMessage()
        for name, value in self._answer.headers:
            message[name] = value
        return message

    def close(self) -> None:
        pass


@pytest.fixture(name="server_client")
def _server_client(tmp_path: Path) -> Iterator[FlaskClient]:
    """A client of the server, which has a database of its own."""
    url = f"sqlite:///{tmp_path / 'served.sqlite3'}?synchronous=off"
    app = make_app(url, FixedClock(), CONTROL="on", CONTROL_TOKEN=TOKEN)
    app.extensions[EXTENSION].storage.requests.add(ENTRY)
    yield app.test_client()
    app.extensions[EXTENSION].storage.close()


@pytest.fixture(name="served")
def _served(server_client: FlaskClient, monkeypatch) -> Callable[..., Result]:
    """A function that runs a command on the server."""
    monkeypatch.setattr(
        transport.Transport, "_connect", lambda _: Connection(server_client)
    )

    def run(*args: str, stdin: str = "") -> Result:
        variables = {
            "SENDGRID_BOUNCES_URL": SERVER,
            "SENDGRID_BOUNCES_CONTROL_TOKEN": TOKEN,
        }
        return CliRunner(env=variables).invoke(main, args, input=stdin)

    return run


@pytest.fixture(name="stored")
def _stored(url: str, monkeypatch) -> Callable[..., Result]:
    """A function that runs a command on a database."""
    with closing(open_storage(url)) as storage:
        storage.requests.add(ENTRY)
    monkeypatch.setattr(connection, "Clock", FixedClock)

    def run(*args: str, stdin: str = "") -> Result:
        variables = {
            "SENDGRID_BOUNCES_DATABASE_URL": url,
            "SENDGRID_BOUNCES_KEY_HASH": QUICK_HASH,
        }
        return CliRunner(env=variables).invoke(main, args, input=stdin)

    return run


@pytest.mark.slow
def test_commands_do_the_same_on_a_database_and_on_a_server(
    stored, served, monkeypatch
) -> None:
    """Output, errors and exit codes are equal; lists are read in several batches."""
    monkeypatch.setattr(queries, "BATCH_SIZE", 2)
    codes = set()
    for command, stdin in SCENARIO:
        expected, found = (
            run(*command.split(" "), stdin=stdin) for run in (stored, served)
        )
        assert (
            found.exit_code,
            found.stdout,
            found.stderr,
        ) == (expected.exit_code, expected.stdout, expected.stderr), command
        assert not isinstance(found.exception, AssertionError | TypeError | KeyError)
        codes.add(found.exit_code)
    assert codes == {0, 1, 2}


def test_the_scenario_has_every_command() -> None:
    """A new command must be added to the scenario."""

    def walk(group: click.Group, *names: str) -> Iterator[tuple[str, ...]]:
        context = click.Context(group)
        for name in group.list_commands(context):
            command = group.get_command(context, name)
            if isinstance(command, click.Group):
                yield from walk(command, *names, name)
            else:
                yield (*names, name)

    words = [tuple(command.split(" ")) for command, _ in SCENARIO]
    missing = [
        names
        for names in walk(main)
        if names not in LOCAL and not any(w[: len(names)] == names for w in words)
    ]
    assert missing == []


def _methods(class_: type) -> dict[str, inspect.Signature]:
    return {
        name: inspect.signature(function)
        for name, function in inspect.getmembers(class_, inspect.isfunction)
        if not name.startswith("_")
    }


def test_remote_control_has_the_methods_of_control() -> None:
    """With the same parameters, defaults and types."""
    assert _methods(RemoteControl) == _methods(Control)


def test_account_that_is_added_over_http_can_call(served, server_client) -> None:
    """Its key is hashed by the server."""
    assert served("account", "add", "acme", stdin="s3cret\n").exit_code == 0

    for key, status in (("s3cret", 200), ("wrong", 403)):
        call = f"/api/bounces.count.json?api_user=acme&api_key={key}"
        assert server_client.get(call).status_code == status


@pytest.mark.parametrize("token", ["", "wr0ng"])
def test_refused_token_is_an_error(served, token: str, monkeypatch) -> None:
    """The message names the variable, and not the token."""
    result = CliRunner(
        env={
            "SENDGRID_BOUNCES_URL": SERVER,
            "SENDGRID_BOUNCES_CONTROL_TOKEN": token,
        }
    ).invoke(main, ["account", "list"])

    problem = "wrong token" if token else "missing token"
    assert result.exit_code == 1
    assert result.stderr == (
        f"Error: {SERVER}: {problem} (set SENDGRID_BOUNCES_CONTROL_TOKEN)\n"
    )


@pytest.mark.parametrize(
    ("url", "has_warning"),
    [
        ("http://emulator.test:8000", True),
        ("http://192.0.2.1:8000", True),
        ("https://emulator.test:8000", False),
        ("http://127.0.0.1:8000", False),
        ("http://localhost:8000", False),
        ("http://[::1]:8000", False),
    ],
)
def test_token_in_clear_text_is_a_warning(served, url: str, has_warning: bool) -> None:
    result = served("account", "list", "--url", url)

    assert result.exit_code == 0
    assert ("is sent to" in result.stderr) is has_warning
    assert TOKEN not in result.output


def test_command_without_a_token_prints_no_warning(served) -> None:
    url = "http://emulator.test:8000"
    result = CliRunner().invoke(main, ["account", "list", "--url", url])

    assert result.stderr.startswith("Error: ")


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("http://user:t0ken@host", "must be an address only"),
        ("http://host/?token=t0ken", "must be an address only"),
        ("http://host/#t0ken", "must be an address only"),
        ("ftp://t0ken", "expected http://HOST:PORT"),
        ("http://", "expected http://HOST:PORT"),
        ("http://host:99999", "expected http://HOST:PORT"),
        ("http://[t0ken", "expected http://HOST:PORT"),
        ("t0ken", "expected http://HOST:PORT"),
        ("t0ken@host:8000", "expected http://HOST:PORT"),
    ],
)
def test_invalid_url_is_not_printed(url: str, message: str) -> None:
    """It may contain a token in the wrong place."""
    result = CliRunner().invoke(main, ["account", "list", "--url", url])

    assert result.exit_code == 1
    assert message in result.stderr
    assert "t0ken" not in result.output


@pytest.mark.parametrize("address", ["127.0.0.1:8765", "localhost:8765", "[::1]:8765"])
def test_scheme_of_a_url_is_suggested(address: str) -> None:
    result = CliRunner().invoke(main, ["account", "list", "--url", address])

    assert result.stderr == (
        "Error: invalid server URL (expected http://HOST:PORT, "
        f"got '{address}'; did you mean 'http://{address}'?)\n"
    )


def test_missing_tls_is_an_error(monkeypatch) -> None:
    """The server waits for a request, and the client for a handshake."""
    monkeypatch.setattr(transport, "CONNECT_TIMEOUT", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"https://127.0.0.1:{server.getsockname()[1]}"
        result = CliRunner().invoke(main, ["account", "list", "--url", address])

    assert result.stderr == (
        f"Error: no TLS with {address}: timeout (does the server speak http://?)\n"
    )


@pytest.mark.parametrize("command", [["account"], []], ids=["group", "root"])
def test_url_and_database_exclude_each_other(command: list[str]) -> None:
    """An option takes precedence over the variable of the other."""
    flags = ["--url", SERVER, *command, "--database", "sqlite:///x"]
    names = ["account", "list"][len(command) :]
    result = CliRunner().invoke(main, [*flags, *names])
    assert result.exit_code == 2
    assert "--url cannot be combined with --database" in result.stderr


def test_database_option_overrides_the_variable_of_the_server(acme, url, monkeypatch):
    monkeypatch.setenv("SENDGRID_BOUNCES_URL", "http://127.0.0.1:1")
    assert "acme" in acme("account", "list", "--database", url).stdout
    assert "no answer from" in acme("account", "list", code=1).stderr


def test_seed_files_are_those_of_the_server(served, tmp_path) -> None:
    """Options of the client do not reach it."""
    result = served("reset", "--yes", "--seed", str(tmp_path / "seed.yaml"))
    assert result.exit_code == 2
    assert "--seed cannot be combined with --url" in result.stderr


def test_all_problems_reach_the_client(served) -> None:
    """The server lists 100, and counts the rest."""
    control = RemoteControl(SERVER, TOKEN)
    invalid = "{username: ''}, " * 99 + "{username: '', a: 1, b: 1}, " * 200
    with pytest.raises(ParametersError) as raised:
        control.seed(f"accounts: [{invalid}]")

    assert len(raised.value.problems) == 102
    assert raised.value.problems[0] == (
        "accounts[0].username",
        "must be 1 to 255 printable characters (got '')",
    )


@pytest.mark.parametrize(
    ("status", "kind", "body", "message"),
    [
        (200, "text/html", b"<html>", f"{SERVER}/api is not a sendgrid-bounces server"),
        (200, "application/json", b"{", "sends invalid JSON"),
        (200, "application/json", b"[" * 100_000, "sends invalid JSON"),
        (400, "application/json", b'{"error": "x", "errors": []}', "Error: x"),
        (400, "application/json", b'{"error": "x", "errors": 5}', "Error: x"),
        (400, "application/json", b'{"error": "\\u001b[31m\\n"}', r"Error: \x1b[31m"),
        (500, "application/json", b"[]", "is not a sendgrid-bounces server"),
        (404, "application/json", b'{"error": "control endpoints are off"}', "are off"),
    ],
)
def test_other_server_is_an_error(monkeypatch, status, kind, body, message) -> None:
    connection = _Other(status, kind, body)
    monkeypatch.setattr(transport.Transport, "_connect", lambda _: connection)
    for command in (["account", "list"], ["bounces", "list", "acme"]):
        result = CliRunner().invoke(main, [*command, "--url", f"{SERVER}/api"])
        assert result.exit_code == 1
        assert message in result.stderr
        assert result.stderr.count("\n") == 1


@pytest.mark.parametrize(
    "fields",
    [
        {"error": f"no {TOKEN} here"},
        {"error": "x", "errors": [f"a: no {TOKEN} here"]},
        {"error": "x", "kind": "account", "name": TOKEN},
    ],
)
def test_token_in_an_error_of_a_server_is_not_shown(monkeypatch, fields) -> None:
    """The URL may be that of another server, which repeats the header fields."""
    connection = _Other(400, "application/json", json.dumps(fields).encode())
    monkeypatch.setattr(transport.Transport, "_connect", lambda _: connection)
    monkeypatch.setenv("SENDGRID_BOUNCES_CONTROL_TOKEN", TOKEN)
    result = CliRunner().invoke(main, ["account", "list", "--url", SERVER])
    assert result.exit_code == 1
    assert "***" in result.stderr
    assert TOKEN not in result.stderr


#: Arguments of the methods of a control service that require some.
ARGUMENTS: dict[str, tuple[Any, ...]] = {
    **dict.fromkeys(("reset_account", "account", "remove_account"), ("acme",)),
    **dict.fromkeys(("take_snapshot", "restore_snapshot", "remove_snapshot"), ("a",)),
    **dict.fromkeys(("domain", "remove_domain", "remove_source", "owner"), ("a",)),
    **dict.fromkeys(("bounces", "count_bounces", "remove_bounces"), ("acme",)),
    **dict.fromkeys(("fault", "remove_fault", "request"), (1,)),
    **dict.fromkeys(("add_fault", "add_faults", "add_source", "seed"), ({},)),
    **dict.fromkeys(("set_clock", "advance"), (1,)),
    "add_account": ("acme",),
    "change_account": ("acme", {}),
    "add_domain": ("a", "acme"),
    "put_bounces": ("acme", []),
    "explain": (ENTRY,),
}


@pytest.mark.parametrize(
    "document",
    ["null", "5", '"x"', "[]", "{}", '{"accounts": 5, "ids": [null], "bounces": {}}'],
)
def test_unexpected_document_is_an_error(monkeypatch, document: str) -> None:
    """Removals ignore it."""
    connection = _Other(200, "application/json", document.encode())
    monkeypatch.setattr(transport.Transport, "_connect", lambda _: connection)
    control = RemoteControl(SERVER)
    methods = dict(inspect.getmembers(control, inspect.ismethod))
    for name in [name for name in methods if not name.startswith("_")]:
        if name in ("remove_fault", "remove_snapshot", "remove_source"):
            methods[name](*ARGUMENTS[name])
        elif (name, document) != ("explain", "{}") and "accounts" not in document:
            with pytest.raises(ServerError, match="sends unexpected JSON"):
                methods[name](*ARGUMENTS.get(name, ()))
    for command in ("account list", "fault list", "bounces list acme", "clock show"):
        result = CliRunner().invoke(main, [*command.split(), "--url", SERVER])
        assert (result.exit_code, result.stderr) == (
            1,
            f"Error: {SERVER} sends unexpected JSON\n",
        )


@pytest.mark.parametrize(
    ("status", "document", "command", "message"),
    [
        (200, {"accounts": 1, "domains": {}, "bounces": 1}, "reset --yes", "unexpected"),
        (200, {"accounts": 1, "domains": True, "bounces": 1}, "reset --yes", "unexpected"),
        (200, {"now": "2012-01-01T00:00:00Z", "frozen": "x"}, "clock show", "unexpected"),
        (200, {"calls": [], "unknown": "x"}, "migration-report", "unexpected"),
        (200, {"count": 1, "groups": {"a": []}}, "bounces count a", "unexpected"),
        (404, {"error": "x", "kind": [], "name": "y"}, "domain show a", "Error: x"),
    ],
)  # fmt: skip
def test_value_of_another_type_is_an_error(
    monkeypatch, status, document, command, message
) -> None:
    connection = _Other(status, "application/json", json.dumps(document).encode())
    monkeypatch.setattr(transport.Transport, "_connect", lambda _: connection)
    monkeypatch.setattr(
        RemoteControl, "owner", lambda _, name: BounceOwner(name, "UTC")
    )
    result = CliRunner().invoke(main, [*command.split(), "--url", SERVER])
    assert result.exit_code == 1
    assert message in result.stderr
    assert result.stderr.count("\n") == 1


def test_interrupted_response_is_no_answer(monkeypatch) -> None:
    connection = _Other(200, "application/json", b'{"accounts": [')
    monkeypatch.setattr(transport.Transport, "_connect", lambda _: connection)
    monkeypatch.setattr(_Other, "length", 486)
    with pytest.raises(ServerError, match=f"the response of {SERVER} ends early"):
        RemoteControl(SERVER).counts()

    def close() -> object:
        raise RemoteDisconnected("Remote end closed connection without response")

    monkeypatch.setattr(connection, "getresponse", close)
    with pytest.raises(
        ServerError, match=f"no answer from {SERVER}: Remote end closed"
    ):
        RemoteControl(SERVER).counts()


def test_response_has_a_limit(monkeypatch) -> None:
    connection = _Other(200, "application/json", b"{}" * 100)
    monkeypatch.setattr(transport.Transport, "_connect", lambda _: connection)
    monkeypatch.setattr(transport, "MAX_RESPONSE", 100)
    with pytest.raises(ServerError, match="sends more than 100 bytes"):
        RemoteControl(SERVER).counts()


def test_other_json_server_is_not_found(monkeypatch) -> None:
    """A command looks for a server on the default port without being asked."""
    for document, url in (
        ("null", None),
        ("[]", None),
        ('{"database": "ok"}', "http://127.0.0.1:8000"),
    ):
        connection = _Other(200, "application/json", document.encode())
        monkeypatch.setattr(
            transport.Transport, "_connect", lambda _, found=connection: found
        )
        assert find_server(8000) == url


class _Other(Connection):
    """A connection to another server, which sends the same response to all requests."""

    def __init__(self, status: int, kind: str, body: bytes) -> None:
        self._status, self._body = status, body
        self._headers = HTTPMessage()
        self._headers["Content-Type"] = kind

    def request(self, *_: object) -> None:
        pass

    def read(self, limit: int) -> bytes:
        return self._body[:limit]

    @property
    def status(self) -> int:
        return self._status

    @property
    def headers(self) -> HTTPMessage:
        return self._headers


def test_index_lists_the_endpoints(controlled_client) -> None:
    """With the contents, and where the description is."""
    index = controlled_client.get("/_emulator/").json

    assert index["description"] == "/_emulator/openapi.json"
    assert index["accounts"] > 0
    assert index["seed_files"] == 0
    listed = {(found["method"], found["path"]) for found in index["endpoints"]}
    assert ("PATCH", "/_emulator/accounts/{name}") in listed
    assert ("GET", "/_emulator/faults/{id}") in listed
    assert all(found["summary"] for found in index["endpoints"])


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "error"),
    [
        ("GET", "/bounces", None, 400, "owner: required"),
        ("GET", "/bounces?owner=x", None, 404, "no account or domain 'x'"),
        ("GET", "/bounces?owner=acme&limit=0", None, 400, "limit: must be"),
        ("GET", "/bounces?owner=acme&type=weak", None, 400, "type: must be one of"),
        ("GET", "/bounces?owner=acme&since=x", None, 400, "since: must be a time"),
        ("GET", "/bounces?owner=acme&status=%C3%89*", None, 400, "status: must be A"),
        ("GET", "/bounces?owner=acme&limit=1&limit=2", None, 400, "limit: given more"),
        ("GET", "/bounces?owner=acme&by=day", None, 400, "by: unknown parameter"),
        ("GET", "/bounces/count?owner=acme&by=x", None, 400, "by: must be one of"),
        ("POST", "/bounces?owner=acme", [{}], 400, "[0], email: required"),
        ("POST", "/bounces?owner=acme", {}, 400, "email: required"),
        ("POST", "/bounces?owner=acme", 5, 400, "must be a mapping"),
        ("POST", "/accounts", {}, 400, "name: required"),
        ("POST", "/accounts", {"name": "\n"}, 400, "must be 1 to 255 printable"),
        ("POST", "/accounts", {"name": "acme"}, 409, "already exists"),
        ("POST", "/accounts", {"nam": "x"}, 400, "did you mean name?"),
        ("PATCH", "/accounts/acme", {"profile": "x"}, 400, "profile: must be"),
        ("PATCH", "/accounts/acme", {"api_key": ""}, 400, "api_key: must"),
        ("PATCH", "/accounts/x", {}, 404, "there is no account 'x'"),
        ("POST", "/domains", {"name": "x"}, 400, "account: required"),
        ("DELETE", "/domains/x", None, 404, "there is no domain 'x'"),
        ("DELETE", "/bounces", None, 400, "owner: required"),
    ],
)
def test_invalid_request_changes_nothing(
    controlled_client, method, path, body, status, error
) -> None:
    before = controlled_client.get("/_emulator/accounts").json
    answer = controlled_client.open(f"/_emulator{path}", method=method, json=body)

    assert answer.status_code == status
    assert error in "; ".join(answer.json.get("errors", [answer.json["error"]]))
    assert controlled_client.get("/_emulator/accounts").json == before


@pytest.mark.parametrize(("is_stalled", "status"), [(True, 408), (False, 400)])
def test_stalled_lines_are_a_timeout(
    controlled_client, is_stalled: bool, status: int
) -> None:
    class Lines(BytesIO):
        def read(self, *_: int) -> bytes:
            raise ConnectionResetError

    answer = controlled_client.post(
        "/_emulator/bounces?owner=acme",
        input_stream=Lines(),
        content_type="application/x-ndjson",
        environ_overrides={
            "CONTENT_LENGTH": "99",
            "gunicorn.socket": SimpleNamespace(is_stalled=is_stalled),
        },
    )
    assert answer.status_code == status


def test_empty_batch_of_a_foreign_server_is_the_last() -> None:
    """A list would never end."""
    empty = BounceBatch((), "1-1")
    control = SimpleNamespace(bounces=lambda *_, **__: empty)
    assert [*queries.walk(control, "acme")] == [empty]


@pytest.mark.parametrize("content_type", ["application/x-ndjson", "text/csv"])
def test_import_stops_when_the_client_disconnects(
    controlled_client, monkeypatch, content_type: str
) -> None:
    monkeypatch.setattr("sendgrid_bounces.web.requests.CHECK_INTERVAL", 10)
    server_end, client_end = socket.socketpair()
    client_end.close()
    lines = '{"email": "gone@x"}\n' if "json" in content_type else "email\n"
    lines += "".join(
        json.dumps({"email": f"{n}@gone"}) + "\n"
        if "json" in content_type
        else f"{n}@gone\n"
        for n in range(12)
    )
    with server_end:
        answer = controlled_client.post(
            "/_emulator/bounces?owner=acme",
            data=lines,
            content_type=content_type,
            environ_overrides={"gunicorn.socket": server_end},
        )
    assert (answer.status_code, answer.json["error"]) == (
        400,
        "the client has disconnected",
    )
    count = "/_emulator/bounces/count?owner=acme&email=*gone*"
    assert controlled_client.get(count).json == {"count": 0}


def test_lines_are_stored_all_or_none(controlled_client) -> None:
    """An invalid line is named; other bodies of lines are JSON."""
    post = "/_emulator/bounces?owner=acme"
    lines = "".join(json.dumps({"email": f"{i}@lines"}) + "\n" for i in range(2_000))
    for data, error in (
        (lines + "{}", "line 2001, email: required"),
        (lines + "{", "line 2001: not JSON"),
        (lines + "\n{}", "line 2001: not JSON"),
        ('{"email": "' + "a" * 2_000_000, "a line is too long"),
    ):
        answer = controlled_client.post(
            post, data=data, content_type="application/x-ndjson"
        )
        assert (answer.status_code, error in answer.json["error"]) == (400, True)
    stored = controlled_client.post(
        post, data=lines, content_type="application/x-ndjson"
    )
    assert (stored.status_code, stored.json) == (201, {"stored": 2_000})
    count = "/_emulator/bounces/count?owner=acme&email=*@lines"
    assert controlled_client.get(count).json == {"count": 2_000}
    removed = controlled_client.delete(f"{post}&email=1@lines&email=2@LINES&email=*")
    assert removed.json == {"removed": 2}
    assert re.fullmatch(r"-?\d+-\d+", controlled_client.get(post).json["next"])


SENDGRID_CSV = "status,reason,email,created\n5.1.1,550 no,v@shape,1443651125\n"
MAILGUN = {
    "address": "v@shape",
    "code": "550",
    "error": "550 no",
    "created_at": "Wed, 30 Sep 2015 22:12:05 UTC",
}
SHAPES = {
    "SendGrid CSV": ("text/csv", SENDGRID_CSV),
    "a byte order mark": ("text/csv", f"\ufeff{SENDGRID_CSV}"),
    "semicolons": ("text/csv", SENDGRID_CSV.replace(",", ";")),
    "tabs": ("text/tab-separated-values", SENDGRID_CSV.replace(",", "\t")),
    "letter case": ("text/csv", SENDGRID_CSV.replace("email", "EMAIL")),
    "addresses": ("text/plain", "v@shape\n\n"),
    "Mailgun CSV": (
        "text/csv",
        "address,code,error,created_at\nv@shape,550,550 no,2015-09-30 22:12:05 UTC\n",
    ),
    "Mailgun list": (
        "application/json",
        json.dumps({"items": [MAILGUN], "paging": {"next": "x"}}),
    ),
    "Mailgun bounce": ("application/json", json.dumps(MAILGUN)),
    "Mailgun lines": ("application/x-ndjson", json.dumps(MAILGUN)),
    "JSON with a mark": ("application/json", "\ufeff" + json.dumps([MAILGUN])),
    "a response": (
        "application/json",
        json.dumps({"bounces": [{"Email": "v@shape"}], "next": None}),
    ),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_vendors_shapes_are_accepted_over_http(controlled_client, shape) -> None:
    media_type, body = SHAPES[shape]
    post = "/_emulator/bounces?owner=acme"
    stored = controlled_client.post(post, data=body.encode(), content_type=media_type)
    assert (stored.status_code, stored.json) == (201, {"stored": 1})

    (found,) = controlled_client.get(f"{post}&email=v@shape").json["bounces"]
    has_all_fields = "550 no" in body
    assert (found["reason"] == "550 no") == has_all_fields
    assert (found["created"] == "2015-09-30T22:12:05Z") == has_all_fields


@pytest.mark.parametrize(
    ("media_type", "body", "error"),
    [
        ("text/csv", "email,created\na@x,never\n", "line 2, created: must be a time"),
        ("text/csv", "email,status\na@x,1,2\n", "line 2: more cells than the header"),
        ("text/csv", "", "line 1: missing column 'email' or 'address'"),
        (
            "application/json",
            '{"EMAIL": "a@x", "email": "b@x"}',
            "duplicate key 'email'",
        ),
        ("application/json", '{"address": "a@x", "email": "b@x"}', "address: unknown"),
        ("application/json", '{"items": [{"address": null}]}', "[0], email: must not"),
    ],
)
def test_invalid_files_are_rejected_over_http(
    controlled_client, media_type, body, error
) -> None:
    post = "/_emulator/bounces?owner=acme"
    answer = controlled_client.post(post, data=body, content_type=media_type)
    assert (answer.status_code, error in answer.json["error"]) == (400, True)
