"""The reference of SendGrid v3 names every parameter and error."""

import json
from collections.abc import Iterator
from urllib.parse import urlencode

import pytest
import requests
from blocks import codes, table

from sendgrid_bounces.dialects.sendgrid import v3_operations, v3_params
from sendgrid_bounces.testing import EmulatorServer, TestAccount

V3 = "/v3/suppression/bounces"
V3_COUNTS = "/v3/suppressions/bounces/classifications"


@pytest.fixture(name="account", scope="module")
def _account() -> Iterator[TestAccount]:
    with EmulatorServer() as server, server.double() as account:
        yield account


def _call(
    account: TestAccount, method: str, path: str, body: bytes = b"", **headers: str
) -> tuple[int, str]:
    bearer = {"Authorization": f"Bearer {account.api_key}"}
    response = requests.request(
        method, account.url + path, data=body, headers={**bearer, **headers}
    )
    return response.status_code, response.text


def test_every_parameter_of_v3_is_listed() -> None:
    assert codes("reference/sendgrid-v3.rst", "sendgrid-v3-parameters") == [
        *v3_params.LIST.fields
    ]


@pytest.mark.parametrize(
    ("parameter", "example", "message"),
    table("reference/sendgrid-v3.rst", "sendgrid-v3-parameter-errors"),
)
def test_an_invalid_parameter_of_v3_has_its_message(
    account: TestAccount, parameter: str, example: str, message: str
) -> None:
    name = parameter.strip("`")
    path = V3 if name in v3_params.LIST.fields else V3_COUNTS
    query = urlencode({name: example.strip("`")})
    status, text = _call(account, "GET", f"{path}?{query}")

    assert status == 400
    assert json.loads(text) == {"errors": [{"field": name, "message": message}]}


@pytest.mark.parametrize(
    ("statuses", "name"),
    table("reference/sendgrid-v3.rst", "sendgrid-v3-classifications")[:-1],
)
def test_a_status_has_its_classification(statuses: str, name: str) -> None:
    for status in statuses.replace("`", "").split(", "):
        found = v3_operations.classify(status.replace("X", "5", 1).replace("X", "1"))
        assert found == name.strip("`")


#: The requests for the rows of the table of v3's errors, in order: method, path, body,
#: headers. None stands for a row that other tests cover.
V3_BAD_REQUESTS = [
    ("DELETE", V3, b'{"emails":["a@x"],"delete_all":true}', {}),
    ("DELETE", V3, b'{"delete_all":false}', {}),
    ("DELETE", V3, b'{"emails":[]}', {}),
    ("DELETE", V3, b'{"delete_all":1}', {}),
    ("DELETE", V3, b'{"emails":["a@x"],"emails":["b@x"]}', {}),
    ("GET", f"{V3}?email=%ff", b"", {}),
    ("GET", V3, b"", {"Authorization": "Basic eDp4"}),
    ("GET", V3, b"", {"Authorization": "Bearer wrong"}),
    ("GET", V3, b"", {"On-Behalf-Of": "nobody"}),
    ("GET", f"{V3_COUNTS}/None", b"", {}),
    ("PUT", V3, b"", {}),
    None,
    ("DELETE", V3, b"x" * (1024 * 1024 + 1), {}),
    None,
    None,
]


@pytest.mark.parametrize(
    ("row", "request_"),
    [
        pytest.param(row, request, id=row[1])
        for row, request in zip(
            table("reference/sendgrid-v3.rst", "sendgrid-v3-errors"),
            V3_BAD_REQUESTS,
            strict=True,
        )
        if request is not None
    ],
)
def test_an_error_of_v3_has_its_status_and_message(
    account: TestAccount, row: list[str], request_: tuple
) -> None:
    method, path, body, headers = request_
    status, text = _call(account, method, path, body, **headers)

    assert status == int(row[0])
    assert json.loads(text)["errors"][0]["message"] == row[2].strip("`")
