"""The OpenAPI description: complete, up to date, and served."""

import json
import re
from collections.abc import Iterator
from dataclasses import fields
from itertools import product
from pathlib import Path

import pytest
from conftest import FixedClock, make_app
from flask import Flask
from toy_dialect import TOY

import sendgrid_bounces
from sendgrid_bounces import __version__
from sendgrid_bounces.app import DIALECTS
from sendgrid_bounces.control import views
from sendgrid_bounces.core.requests import LoggedRequest
from sendgrid_bounces.dialects.mailgun import params as mailgun
from sendgrid_bounces.dialects.sendgrid.params import COUNT, DELETE, GET
from sendgrid_bounces.emulator import EXTENSION
from sendgrid_bounces.schemas import accounts, queries, requests
from sendgrid_bounces.schemas.bounces import RECORD
from sendgrid_bounces.schemas.clock import CLOCK_ACTIONS
from sendgrid_bounces.schemas.faults import FAULT_RULE
from sendgrid_bounces.schemas.seeds import SEED, AccountSchema, DomainSchema
from sendgrid_bounces.schemas.sources import SOURCE
from tools.openapi.document import build, write

DOCUMENT = json.loads(views.DESCRIPTION.read_text(encoding="utf-8"))
SCHEMAS = DOCUMENT["components"]["schemas"]
PATH = "/_emulator/openapi.json"

#: The marshmallow schema of each query, and of each body.
QUERIES = {
    "/api/bounces.get.json get": GET,
    "/api/bounces.get.xml get": GET,
    "/api/bounces.delete.json get": DELETE,
    "/api/bounces.delete.xml get": DELETE,
    "/api/bounces.count.json get": COUNT,
    "/api/bounces.count.xml get": COUNT,
    "/v2/{domain}/bounces get": mailgun.SLICE,
    "/v3/{domain}/bounces get": mailgun.PAGE,
    "/_emulator/reset post": queries.RESET,
    "/_emulator/bounces get": queries.LIST,
    "/_emulator/bounces post": queries.OWNER,
    "/_emulator/bounces delete": queries.DELETE,
    "/_emulator/bounces/count get": queries.COUNT,
    "/_emulator/bounces/histogram get": queries.HISTOGRAM,
    "/_emulator/requests get": requests.LIST,
    "/_emulator/requests/count get": requests.COUNT,
    "/_emulator/requests/wait get": requests.WAIT,
}
BODIES = {
    "GetParameters": GET,
    "DeleteParameters": DELETE,
    "CountParameters": COUNT,
    "RecordV2": mailgun.RECORD_V2,
    "RecordV3": mailgun.RECORD_V3,
    "Rule": FAULT_RULE,
    "Seed": SEED,
    "Account": AccountSchema(),
    "Domain": DomainSchema(),
    "Record": RECORD,
    "NewAccount": accounts.NEW_ACCOUNT,
    "AccountChange": accounts.ACCOUNT_CHANGE,
    "NewDomain": accounts.NEW_DOMAIN,
    "NewSource": SOURCE,
    **{f"Clock{action.title()}": schema for action, schema in CLOCK_ACTIONS.items()},
}


@pytest.fixture(name="make")
def _create(url: str) -> Iterator:
    """A function that returns a new application with these settings."""
    apps: list[Flask] = []

    def make(**config: str) -> Flask:
        apps.append(make_app(url, FixedClock(), **config))
        return apps[-1]

    yield make
    for app in apps:
        app.extensions[EXTENSION].storage.close()


def _queried(call: str) -> set[str]:
    path, method = call.split()
    parameters = DOCUMENT["paths"][path][method]["parameters"]
    return {found["name"] for found in parameters if found.get("in") == "query"}


def _routes(app: Flask) -> set[tuple[str, str]]:
    """Return the path, in OpenAPI's form, and the method of each route."""
    routes = set()
    for rule in app.url_map.iter_rules():
        if rule.endpoint.endswith(".unknown"):  # not described
            continue
        if rule.endpoint.startswith("pages."):  # pages are not an API
            continue
        choices = re.findall(r"<any\((.*?)\):\w+>", rule.rule)
        for chosen in product(*(choice.split(", ") for choice in choices)):
            path = rule.rule
            for value in chosen:
                path = re.sub(r"<any.*?>", value, path, count=1)
            for converter, name in (
                ("address:_", ""),
                ("address:", ""),
                ("int:", ""),
                ("id_", "id"),
            ):
                path = path.replace(converter, name)
            path = path.replace("<", "{").replace(">", "}")
            routes |= {
                (path, method.lower()) for method in rule.methods - {"HEAD", "OPTIONS"}
            }
    return routes


def test_shipped_description_is_up_to_date() -> None:
    """``python -m tools.openapi`` regenerates the file."""
    assert views.DESCRIPTION.read_text(encoding="utf-8") == write()
    assert DOCUMENT["info"]["version"] == __version__


def test_description_is_served_with_control(make) -> None:
    """The endpoint requires the token and takes no parameters."""
    client = make(CONTROL="on", CONTROL_TOKEN="t0ken").test_client()
    headers = {"Authorization": "Bearer t0ken"}
    answer = client.get(PATH, headers=headers)

    assert (answer.status_code, answer.data) == (200, views.DESCRIPTION.read_bytes())
    assert answer.content_type == "application/json"
    assert client.get(PATH).status_code == 401
    assert client.get(f"{PATH}?pretty=1", headers=headers).status_code == 400
    assert make(CONTROL="off").test_client().get(PATH).status_code == 404


def test_logged_requests_have_the_described_fields() -> None:
    """The order is the same, and one field has its former name, too."""
    names = [*(field.name for field in fields(LoggedRequest)), "time"]

    assert [*SCHEMAS["Entry"]["properties"]] == SCHEMAS["Entry"]["required"] == names


def test_package_does_not_import_the_generator() -> None:
    """The generator is not installed."""
    package = Path(sendgrid_bounces.__file__).parent
    sources = [path.read_text(encoding="utf-8") for path in package.rglob("*.py")]

    assert not [
        text for text in sources if re.search(r"^\s*(from|import) tools", text, re.M)
    ]


def test_other_dialect_is_described_by_its_routes() -> None:
    """Fault rules and filters of the request log can name the operations."""
    document = build((*DIALECTS, TOY))

    assert document["paths"]["/toy/bounces/{email}"]["delete"] == {
        "operationId": "delete_toy_bounces_email",
        "summary": "Remove one address.",
        "tags": ["toy.v1"],
        "parameters": [
            {
                "in": "path",
                "name": "email",
                "required": True,
                "schema": {"type": "string"},
            }
        ],
        "responses": {"default": {"description": "A response of the vendor."}},
    }
    rule = document["components"]["schemas"]["Rule"]["properties"]
    assert "drop" in rule["operation"]["enum"]
    assert {"toy", "toy.v1"} < {*rule["dialect"]["enum"]}
    query = document["paths"]["/_emulator/requests"]["get"]["parameters"]
    assert (
        "drop" in next(p for p in query if p["name"] == "operation")["schema"]["enum"]
    )


def test_sections_without_routes_are_left_out() -> None:
    """A tag, a schema or a response that nothing refers to is noise."""
    document = build((TOY,))

    prefixes = {path.split("/")[1] for path in document["paths"]}
    assert prefixes == {"_emulator", "_sources", "toy"}
    assert [tag["name"] for tag in document["tags"]] == [
        "toy.v1",
        "Sources",
        "Emulator",
    ]
    assert "GetParameters" not in document["components"]["schemas"]


def test_every_route_is_described(make) -> None:
    """No other path is."""
    described = {
        (path, method)
        for path, operations in DOCUMENT["paths"].items()
        for method in operations
    }
    assert described == _routes(make(CONTROL="on"))


@pytest.mark.parametrize("call", QUERIES)
def test_every_query_parameter_is_described(call: str) -> None:
    """No other parameter is."""
    assert _queried(call) == {*QUERIES[call].fields}


@pytest.mark.parametrize("name", BODIES)
def test_every_field_of_a_body_is_described(name: str) -> None:
    """No other field is; the required ones are the same."""
    schema = BODIES[name]

    assert {*SCHEMAS[name]["properties"]} == {*schema.fields}
    required = {name for name, field in schema.fields.items() if field.required}
    assert {*SCHEMAS[name].get("required", ())} == required


def test_dispatcher_parameters_are_those_of_get_and_its_own() -> None:
    """A path with the method needs no parameter for the method."""
    own = {*GET.fields, "task", "user"}

    assert _queried("/api/user.bounces.json get") == own
    assert _queried("/apiv2/customer.bounces.xml get") == own
    assert _queried("/apiv2/reseller.manage.json get") == own | {"method"}
