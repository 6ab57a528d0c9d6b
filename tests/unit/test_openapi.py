"""The description in OpenAPI: it names all that there is, and nothing else."""

import json
import re
from collections.abc import Iterator
from itertools import product

import pytest
from conftest import FixedClock, make_app
from flask import Flask

from sendgrid_bounces import __version__
from sendgrid_bounces.control import clock, contents, requests
from sendgrid_bounces.control.description import FILE
from sendgrid_bounces.dialects.mailgun import params as mailgun
from sendgrid_bounces.dialects.sendgrid.params import COUNT, DELETE, GET
from sendgrid_bounces.emulator import EXTENSION
from sendgrid_bounces.schemas.bounces import RECORD
from sendgrid_bounces.schemas.faults import FAULT_RULE
from sendgrid_bounces.schemas.seeds import SEED, AccountSchema, DomainSchema
from tools.openapi.document import write

DOCUMENT = json.loads(FILE.read_text(encoding="utf-8"))
SCHEMAS = DOCUMENT["components"]["schemas"]
PATH = "/_emulator/openapi.json"

#: Which schema checks the query of a call, and which one a body.
QUERIES = {
    "/api/bounces.get.json get": GET,
    "/api/bounces.get.xml get": GET,
    "/api/bounces.delete.json get": DELETE,
    "/api/bounces.delete.xml get": DELETE,
    "/api/bounces.count.json get": COUNT,
    "/api/bounces.count.xml get": COUNT,
    "/v2/{domain}/bounces get": mailgun.SLICE,
    "/v3/{domain}/bounces get": mailgun.PAGE,
    "/_emulator/reset post": contents.RESET,
    "/_emulator/requests get": requests.LIST,
    "/_emulator/requests/count get": requests.FILTER,
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
    **{
        f"Clock{action.title()}": schema
        for action, (schema, _) in clock.ACTIONS.items()
    },
}


@pytest.fixture(name="make")
def _create(url: str) -> Iterator:
    """What makes applications with some settings."""
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
    """Return (path, method) of all that *app* answers, as OpenAPI writes them."""
    routes = set()
    for rule in app.url_map.iter_rules():
        choices = re.findall(r"<any\((.*?)\):\w+>", rule.rule)
        for chosen in product(*(choice.split(", ") for choice in choices)):
            path = rule.rule
            for render in chosen:
                path = re.sub(r"<any.*?>", render, path, count=1)
            for converter, name in (("address:_", ""), ("int:", ""), ("id_", "id")):
                path = path.replace(converter, name)
            path = path.replace("<", "{").replace(">", "}")
            routes |= {
                (path, method.lower()) for method in rule.methods - {"HEAD", "OPTIONS"}
            }
    return routes


def test_it_is_what_is_made_of_the_code() -> None:
    """To the byte; ``python -m tools.openapi`` writes it anew."""
    assert FILE.read_text(encoding="utf-8") == write()
    assert DOCUMENT["info"]["version"] == __version__


def test_it_is_served_where_control_is_on(make) -> None:
    """As it is, to those who may call; its call takes no parameters."""
    client = make(CONTROL="on", CONTROL_TOKEN="t0ken").test_client()
    headers = {"Authorization": "Bearer t0ken"}
    answer = client.get(PATH, headers=headers)

    assert (answer.status_code, answer.data) == (200, FILE.read_bytes())
    assert answer.content_type == "application/json"
    assert client.get(PATH).status_code == 401
    assert client.get(f"{PATH}?pretty=1", headers=headers).status_code == 400
    assert make(CONTROL="off").test_client().get(PATH).status_code == 404


def test_every_route_is_in_it(make) -> None:
    """And no other."""
    described = {
        (path, method)
        for path, operations in DOCUMENT["paths"].items()
        for method in operations
    }
    assert described == _routes(make(CONTROL="on"))


@pytest.mark.parametrize("call", QUERIES)
def test_every_parameter_of_a_query_is_in_it(call: str) -> None:
    """And no other."""
    assert _queried(call) == {*QUERIES[call].fields}


@pytest.mark.parametrize("name", BODIES)
def test_every_field_of_a_body_is_in_it(name: str) -> None:
    """And no other; those that must be there are said to."""
    fields = BODIES[name].fields

    assert {*SCHEMAS[name]["properties"]} == {*fields}
    required = {field for field, described in fields.items() if described.required}
    assert {*SCHEMAS[name].get("required", ())} == required


def test_a_reseller_s_call_has_those_of_get_and_its_own() -> None:
    """An alias implies the method."""
    own = {*GET.fields, "task", "user"}

    assert _queried("/api/user.bounces.json get") == own
    assert _queried("/apiv2/customer.bounces.xml get") == own
    assert _queried("/apiv2/reseller.manage.json get") == own | {"method"}
