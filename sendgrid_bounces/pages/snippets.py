"""A logged request as a curl command and as a pytest test."""

import json
import re
import shlex
from collections.abc import Iterator, Mapping
from urllib.parse import quote

from sendgrid_bounces.core.requests import LoggedRequest
from sendgrid_bounces.redaction import MASK, is_secret

Pairs = list[tuple[str, str]]

#: The variable of the shell that stands for the credential, which the log never has.
_VARIABLE = "$API_KEY"

#: The options of curl that authenticate a request, by dialect or vendor.
_CURL_LOGIN: Mapping[str, list[str]] = {
    "sendgrid.v3": ["-H", f'"Authorization: Bearer {_VARIABLE}"'],
    "mailgun": ["-u", f'"api:{_VARIABLE}"'],
}

#: The arguments of requests that authenticate a request, by dialect or vendor.
_PYTHON_LOGIN: Mapping[str, str] = {
    "sendgrid.v3": 'headers={"Authorization": f"Bearer {sendgrid_bounces.api_key}"}',
    "mailgun": 'auth=("api", sendgrid_bounces.api_key)',
}

#: The parameters that name the account of a test, and the attribute of the fixture.
_ACCOUNT_PARAMETERS = {"api_user": "username", "api_key": "api_key"}

_EMAILS = ("email", "address")


def as_curl(entry: LoggedRequest, base: str) -> str:
    """Return a command that repeats the request.

    :param base: the URL of the server, without a trailing slash.
    """
    words = ["curl"] if entry.method == "GET" else ["curl", "-X", entry.method]
    words += _find(_CURL_LOGIN, entry.dialect, [])
    for name, value in _pairs(entry):
        if value == MASK or is_secret(name):
            words += ["--data-urlencode", f'"{name}={_VARIABLE}"']
        else:
            words += ["--data-urlencode", shlex.quote(f"{name}={value}")]
    if entry.method == "GET" and entry.parameters:
        words.insert(1, "-G")
    return " ".join([*words, shlex.quote(base + quote(entry.path, safe="/:@%+"))])


def as_pytest(entry: LoggedRequest) -> str:
    """Return a test that makes the request to a server of the pytest fixture."""
    pairs = _pairs(entry)
    emails = [value for name, value in pairs if name in _EMAILS]
    last = entry.path.rpartition("/")[2]
    if "@" in last:
        emails.append(last)
    lines = [
        "import requests",
        "",
        "",
        f"def test_{_identifier(entry)}(sendgrid_bounces):",
    ]
    lines += [f"    sendgrid_bounces.add({json.dumps(email)})" for email in emails]
    arguments = [f'f"{{sendgrid_bounces.url}}{_path(entry)}"']
    if pairs:
        keyword = "params" if entry.method in ("GET", "DELETE") else "data"
        values = ", ".join(f"({json.dumps(n)}, {_value(n, v)})" for n, v in pairs)
        arguments.append(f"{keyword}=[{values}]")
    if login := _find(_PYTHON_LOGIN, entry.dialect, ""):
        arguments.append(login)
    lines.append("    response = requests.request(")
    lines.append(f'        "{entry.method}",')
    lines += [f"        {argument}," for argument in [*arguments, "timeout=5"]]
    lines.append("    )")
    if entry.status is not None:
        lines.append(f"    assert response.status_code == {entry.status}")
    return "\n".join(lines) + "\n"


def _pairs(entry: LoggedRequest) -> Pairs:
    return [*_each_pair(entry.parameters)]


def _each_pair(parameters: Mapping[str, str | list[str]]) -> Iterator[tuple[str, str]]:
    for name, value in parameters.items():
        for one in [value] if isinstance(value, str) else value:
            yield name, one


def _find(table: Mapping[str, list[str] | str], dialect: str, default):  # type: ignore[no-untyped-def]
    """Return the row of *table* for the dialect or its vendor."""
    return table.get(dialect, table.get(dialect.partition(".")[0], default))


def _identifier(entry: LoggedRequest) -> str:
    words = re.sub(r"\W+", "_", f"{entry.dialect}_{entry.operation or 'call'}")
    return words.lower()


def _path(entry: LoggedRequest) -> str:
    """Return the path, with the domain of the fixture, inside an f-string."""
    path = entry.path.replace("{", "{{").replace("}", "}}")
    path = json.dumps(path)[1:-1]
    if entry.domain:
        path = path.replace(f"/{entry.domain}/", "/{sendgrid_bounces.domain}/")
    return path


def _value(name: str, value: str) -> str:
    attribute = _ACCOUNT_PARAMETERS.get(name)
    return f"sendgrid_bounces.{attribute}" if attribute else json.dumps(value)
