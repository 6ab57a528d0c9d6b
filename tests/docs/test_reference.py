"""The reference names every route, parameter, error, command, setting and field."""

import base64
import configparser
import dataclasses
import json
import re
from collections.abc import Iterator
from http.client import HTTPConnection
from urllib.parse import urlencode

import click
import pytest
from blocks import BLOCKS, DOCS, ROOT, codes, table
from case_files import PROVENANCES
from conftest import FixedClock, make_app
from player import programs

from sendgrid_bounces.app import DIALECTS
from sendgrid_bounces.cli import main
from sendgrid_bounces.config import FILE, SETTINGS, URL
from sendgrid_bounces.core.requests import LoggedRequest
from sendgrid_bounces.dialects.sendgrid.params import DELETE, GET
from sendgrid_bounces.emulator import EXTENSION
from sendgrid_bounces.schemas.bounces import RECORD
from sendgrid_bounces.schemas.faults import EXCLUDED, FAULT_RULE, REQUIRED
from sendgrid_bounces.schemas.requests import LIST as FILTERS
from sendgrid_bounces.schemas.seeds import SEED, AccountSchema, DomainSchema
from sendgrid_bounces.schemas.sources import SOURCE
from sendgrid_bounces.sources import KINDS
from sendgrid_bounces.testing import EmulatorServer

ROUTES = (
    ("reference/sendgrid.rst", "sendgrid-routes"),
    ("reference/sendgrid-v3.rst", "sendgrid-v3-routes"),
    ("reference/resellers.rst", "reseller-routes"),
    ("reference/mailgun.rst", "mailgun-routes"),
    ("reference/sources.rst", "source-routes"),
)
SITE = "".join(page.read_text(encoding="utf-8") for page in DOCS.rglob("*.rst"))


@pytest.fixture(name="server", scope="module")
def _server() -> Iterator[EmulatorServer]:
    acme = {"username": "acme", "api_key": "s3cret"}
    acme["customers"] = [{"username": "shop", "api_key": "shop"}]
    acme["domains"] = [{"name": "mg.example.com"}]
    seed = {"accounts": [acme]}
    with EmulatorServer(seed=json.dumps(seed)) as server:
        yield server


def _call(
    server: EmulatorServer,
    path: str,
    method: str = "GET",
    body: bytes = b"",
    **headers: str,
) -> tuple[int, str]:
    connection = HTTPConnection(*server.address)
    try:
        connection.request(method, path, body, headers)
        response = connection.getresponse()
        return response.status, response.read().decode()
    finally:
        connection.close()


def _direct(name: str, **parameters: str) -> str:
    query = urlencode({"api_user": "acme", "api_key": "s3cret", **parameters})
    return f"/api/bounces.{name}.json?{query}"


def test_every_vendor_route_is_listed(url: str) -> None:
    app = make_app(url, FixedClock())
    app.extensions[EXTENSION].storage.close()
    rules = {
        re.sub(
            r"<any\((.*?)\):\w+>", lambda m: f"{{{m[1].replace(', ', ',')}}}", rule.rule
        )
        for rule in app.url_map.iter_rules()
        if not rule.rule.startswith("/_emulator/")
        and rule.endpoint != "sendgrid_v3.unknown"  # it rejects every request
        and not rule.rule.endswith("/")
    }
    listed = {route for place in ROUTES for route in codes(*place)}

    assert {
        re.sub(r"\.(get|delete|count)\.", ".{get,delete,count}.", r) for r in listed
    } == {re.sub("address:_?", "", rule) for rule in rules}


def test_every_control_route_is_described(url: str) -> None:
    """The site renders the description that the package ships."""
    app = make_app(url, FixedClock(), CONTROL="on")
    app.extensions[EXTENSION].storage.close()
    description = json.loads(
        (ROOT / "sendgrid_bounces" / "control" / "openapi.json").read_text()
    )
    rules = {
        rule.rule
        for rule in app.url_map.iter_rules()
        if "_emulator" in rule.rule and not rule.endpoint.startswith("pages.")
    }

    assert {re.sub(r"<(?:\w+:)?(\w+?)_?>", r"{\1}", rule) for rule in rules} == {
        path for path in description["paths"] if path.startswith("/_emulator/")
    }
    assert ".. openapi-operations:: /_emulator/" in SITE


def test_every_parameter_of_sendgrid_is_listed() -> None:
    assert set(codes("reference/sendgrid.rst", "sendgrid-parameters")) == {
        *GET.fields,
        *DELETE.fields,
    }


@pytest.mark.parametrize(
    ("parameter", "example", "message"),
    table("reference/sendgrid.rst", "sendgrid-parameter-errors"),
)
def test_an_invalid_parameter_has_its_message(
    server: EmulatorServer, parameter: str, example: str, message: str
) -> None:
    name = parameter.strip("`")
    status, body = _call(server, _direct("get", **{name: example.strip("`")}))

    assert (status, json.loads(body)["errors"]) == (
        400,
        [f"error in {name}: {message}"],
    )


def _reseller(**parameters: str) -> str:
    known = {"api_user": "acme", "api_key": "s3cret", "user": "shop"}
    query = urlencode({**known, "method": "bounces", "task": "get", **parameters})
    return f"/apiv2/reseller.manage.json?{query}"


FORM = "application/x-www-form-urlencoded"
JSON = "application/json"
LIST = "/v3/mg.example.com/bounces"
NO_CSV = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.csv"\r\n\r\n'
UPLOAD = "multipart/form-data; boundary=x"

#: The requests for the rows of a table of errors, in order: method, path, body, media
#: type. None stands for a row that other tests cover.
BAD_REQUESTS = {
    ("reference/sendgrid.rst", "sendgrid-errors"): [
        ("GET", _direct("get") + "&email=%ff", b"", FORM),
        ("GET", _direct("get", api_key="wrong"), b"", FORM),
        ("GET", "/api/bounces.add.json", b"", FORM),
        ("PUT", _direct("get"), b"", FORM),
        ("POST", _direct("get"), b"a=" + b"b" * 1_048_576, FORM),
        None,
        ("POST", _direct("get"), b"{}", JSON),
        None,
        None,
    ],
    ("reference/resellers.rst", "reseller-errors"): [
        ("GET", _reseller(api_key="wrong"), b"", FORM),
        ("GET", _reseller(api_user="shop", api_key="shop"), b"", FORM),
        ("GET", _reseller(user="nobody"), b"", FORM),
        ("GET", _reseller(method="add"), b"", FORM),
        ("GET", _reseller(task="add"), b"", FORM),
        ("GET", _reseller() + "&email=%ff", b"", FORM),
        ("POST", _reseller(), b"{}", JSON),
    ],
    ("reference/mailgun.rst", "mailgun-errors"): [
        ("POST", LIST, b"code=550", FORM),
        ("GET", f"{LIST}?limit=many", b"", FORM),
        ("POST", LIST, b"[", JSON),
        ("POST", LIST, json.dumps([{}] * 1_001).encode(), JSON),
        ("POST", f"{LIST}/import", b"--x--\r\n", UPLOAD),
        ("POST", f"{LIST}/import", NO_CSV + b"code\r\n--x--\r\n", UPLOAD),
        ("POST", LIST, b'[{"address": "a@example.com"}, {}]', JSON),
        ("GET", LIST.replace("/v3", "/v2") + "?anonymous", b"", FORM),
        ("GET", LIST.replace("mg.", "other."), b"", FORM),
        ("GET", f"{LIST}/absent@example.com", b"", FORM),
        ("GET", "/v3/mg.example.com/complaints", b"", FORM),
        ("PUT", LIST, b"", FORM),
        ("POST", LIST, b"a" * (8 * 1024 * 1024 + 1), FORM),
        None,
        None,
        None,
    ],
}


def _literals(cells: list[str]) -> list[str]:
    return [text for cell in cells for text in re.findall("``(.+?)``", cell)]


@pytest.mark.parametrize(
    ("place", "row", "request_"),
    [
        pytest.param(place, row, request, id=f"{place[1]}: {row[1]}")
        for place, requests in BAD_REQUESTS.items()
        for row, request in zip(table(*place), requests, strict=True)
        if request is not None
    ],
)
def test_an_error_has_its_status_and_message(
    server: EmulatorServer, place: tuple, row: list[str], request_: tuple
) -> None:
    method, path, body, media_type = request_
    headers = {"Content-Type": media_type}
    if path.startswith("/v3"):
        credentials = base64.b64encode(b"api:s3cret").decode()
        headers["Authorization"] = f"Basic {credentials}"
    status, text = _call(server, path, method, body, **headers)

    if place[1] == "reseller-errors":
        assert (status, json.loads(text)["error"]["code"]) == (200, int(row[0]))
        messages = row[1:2]
    else:
        assert status == int(row[0])
        messages = row[2:]
    for literal in _literals(messages)[:1]:
        assert literal.replace("NAME", "limit") in text


@pytest.mark.parametrize("field", ["count", "error"])
def test_profiles_differ_as_listed(server: EmulatorServer, field: str) -> None:
    _head, documented, recorded = next(
        row for row in table("reference/profiles.rst", "profiles") if field in row[0]
    )
    parameters = {} if field == "count" else {"type": "bounced"}
    for profile, cell in (("documented", documented), ("recorded", recorded)):
        with server.double(profile=profile) as account:
            name = {"api_user": account.username, "api_key": account.api_key}
            body = _call(server, _direct("count", **name, **parameters))[1]
        shape = re.search("``(.+?)``", cell)[1]
        assert json.loads(body).keys() == json.loads(shape).keys()
        if field == "count":
            assert type(json.loads(body)["count"]) is type(json.loads(shape)["count"])


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.name)
def test_a_setting_is_a_variable_of_the_site(setting) -> None:
    """The table is rendered; the prose names no other variable."""
    assert ".. settings-table::" in SITE
    known = {FILE, URL, *(setting.variable for setting in SETTINGS)}
    named = set(re.findall(r"SENDGRID_BOUNCES_\w*\w", SITE))
    assert named - {"SENDGRID_BOUNCES_"} <= known
    assert setting.help


def _commands(group: click.Group, *names: str) -> Iterator[str]:
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if isinstance(command, click.Group):
            yield from _commands(command, *names, name)
        else:
            yield " ".join((*names, name))


@pytest.mark.parametrize("command", list(_commands(main)))
def test_every_command_has_an_example(command: str) -> None:
    lines = [
        line
        for block in BLOCKS
        if block.language == "console" and "sendgrid-bounces" in programs(block)
        for line, _output in block.dialogue()
    ]
    isolated = [
        line for b in BLOCKS if b.style == "isolated" for line, _ in b.dialogue()
    ]

    assert any(f"sendgrid-bounces {command}" in line for line in [*lines, *isolated])


def test_every_field_of_a_fault_rule_is_listed() -> None:
    listed = [
        field
        for name in ("fault-matchers", "fault-triggers", "fault-effects")
        for field in codes("reference/fault-rules.rst", name)
    ]

    assert sorted(listed) == sorted(FAULT_RULE.fields)


def test_every_combination_of_fields_of_a_fault_rule_is_listed() -> None:
    rows = [
        tuple(_literals([cell]) for cell in row)
        for row in table("reference/fault-rules.rst", "fault-combinations")
    ]

    assert {name: tuple(others) for [name], others, _ in rows if others} == EXCLUDED
    assert {
        name: other for [name], _, required in rows for other in required
    } == REQUIRED


def test_every_option_of_an_import_is_listed() -> None:
    command = main.get_command(click.Context(main), "bounces")
    found = command.get_command(click.Context(command), "import")
    shared = {"--url", "--database", "--config"}
    options = {
        max(p.opts, key=len) for p in found.params if isinstance(p, click.Option)
    }
    listed = codes("reference/imports.rst", "import-options")

    assert {option.split()[0] for option in listed} == options - shared


def _asks(command: str) -> bool:
    """Return whether *command* has the option that answers its question."""
    found, context = main, click.Context(main)
    for name in command.split():
        found = found.get_command(context, name)
    return any("--yes" in parameter.opts for parameter in found.params)


def test_every_command_that_asks_is_listed() -> None:
    guide = (DOCS / "how-to" / "command-line.rst").read_text()
    listed = guide.partition("count the data in the question:")[2]

    assert set(_literals([listed.partition("``--yes``")[0]])) == {
        command for command in _commands(main) if _asks(command)
    }


def test_every_dialect_of_a_fault_rule_is_listed() -> None:
    cells = dict(table("reference/fault-rules.rst", "fault-matchers"))
    dialects, vendors = cells["``dialect``"].split("; or ")

    assert sorted(_literals([dialects])) == sorted(d.name for d in DIALECTS)
    assert set(_literals([vendors])) == {d.name.split(".")[0] for d in DIALECTS}


def test_every_operation_of_a_fault_rule_is_listed() -> None:
    headings = {"sendgrid.direct": "SendGrid v2", "sendgrid.reseller": "SendGrid v2"}
    headings |= {"sendgrid.v3": "SendGrid v3"}
    expected: dict[str, set[str]] = {}
    for dialect in DIALECTS:
        heading = headings.get(dialect.name, "Mailgun")
        expected.setdefault(heading, set()).update(dialect.operations)
    cells = dict(table("reference/fault-rules.rst", "fault-matchers"))
    parts = [part.split(":") for part in cells["``operation``"].split(";")]

    assert {h.strip(): set(_literals([names])) for h, names in parts} == expected


def test_every_field_and_filter_of_the_request_log_is_listed() -> None:
    fields = {field.name for field in dataclasses.fields(LoggedRequest)}

    assert set(codes("reference/fault-rules.rst", "request-fields")) == fields
    assert set(codes("reference/fault-rules.rst", "request-filters")) == {
        *FILTERS.fields
    }


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("seed-fields", SEED.fields),
        ("account-fields", AccountSchema().fields),
        ("domain-fields", DomainSchema().fields),
        ("record-fields", RECORD.fields),
    ],
)
def test_every_field_of_a_seed_file_is_listed(name: str, fields: dict) -> None:
    assert set(codes("reference/seed-files.rst", name)) == {*fields}


def test_every_field_of_a_source_is_listed() -> None:
    fields = [
        code
        for cell in table("reference/sources.rst", "source-fields")
        for code in re.findall("``(.+?)``", cell[0])
    ]
    assert sorted(fields) == sorted(SOURCE.fields)


def test_every_kind_of_source_is_listed() -> None:
    assert sorted(codes("how-to/publish-sources.rst", "source-kinds")) == sorted(KINDS)


def test_every_extra_is_listed() -> None:
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")

    assert set(codes("how-to/install.rst", "extras")) == {
        *setup["options.extras_require"]
    }


def test_every_layer_is_in_the_diagram() -> None:
    """The diagram and the table follow the contract of the import linter."""
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    layers = setup["importlinter:contract:layers"]["layers"].split()
    rooms = {layer.rpartition(".")[2] for layer in layers if layer != "|"}
    diagram = (DOCS / "explanation" / "architecture.svg").read_text()
    drawn = set(re.findall(r">([a-z_]+)[:<]", diagram)) - {"imports"}

    assert set(codes("explanation/architecture.rst", "rooms")) == rooms
    assert drawn == rooms


def test_every_provenance_is_explained() -> None:
    assert codes("explanation/provenance.rst", "provenances") == list(PROVENANCES)
