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

#: The option of curl that authenticates a request, by dialect or vendor.
_CURL_LOGIN: Mapping[str, str] = {
    "sendgrid.v3": f'-H "Authorization: Bearer {_VARIABLE}"',
    "mailgun": f'-u "api:{_VARIABLE}"',
}

#: The argument of requests that authenticates a request, by dialect or vendor.
_PYTHON_LOGIN: Mapping[str, str] = {
    "sendgrid.v3": 'headers={{"Authorization": "Bearer " + {key}}}',
    "mailgun": 'auth=("api", {key})',
}

_NOT_FOUND = 404

#: The statuses of requests with wrong credentials.
_REFUSED = (401, 403)

#: The parameters that hold addresses.
_EMAILS = ("email", "address")


def as_curl(entry: LoggedRequest, base: str) -> str:
    """Return a command that repeats the request.

    :param base: the URL of the server, without a trailing slash.
    """
    words = ["curl"]
    if entry.method != "GET":
        words[0] += f" -X {shlex.quote(entry.method)}"
    elif entry.parameters:
        words[0] += " -G"
    if login := _find(_CURL_LOGIN, entry.dialect):
        words.append(login)
    for name, value in pairs_of(entry):
        encoded = quote(name, safe="[]")  # curl encodes the value only
        if value == MASK or is_secret(name):
            words.append(f'--data-urlencode {shlex.quote(f"{encoded}=")}"{_VARIABLE}"')
        elif not (name and value.isprintable()):  # a terminal would obey the value
            plain = quote(value, safe="")
            words.append(f"--data {shlex.quote(f'{encoded}={plain}')}")
        else:
            words.append(f"--data-urlencode {shlex.quote(f'{encoded}={value}')}")
    words.append(shlex.quote(base + quote_path(entry.path)))
    return " \\\n  ".join(words)


def as_pytest(entry: LoggedRequest) -> str:
    """Return a test that makes the request to a server of the pytest fixture.

    A request that failed because of its credentials has a wrong key in the test.
    """
    is_refused = entry.fault is None and entry.status in _REFUSED
    key = '"wrong"' if is_refused else "sendgrid_bounces.api_key"
    lines = [f"    sendgrid_bounces.add({_text(each)})" for each in _addresses(entry)]
    if entry.fault is not None and entry.status is not None:
        lines.append(f"    sendgrid_bounces.fail_next({entry.status})")
    elif entry.status is None:
        lines.append('    sendgrid_bounces.fail_next(drop_connection="before")')
    call = "\n".join(f"        {line}," for line in _arguments(entry, key))
    call = f"requests.request(\n{call}\n    )"
    if entry.status is None:
        lines.append("    with pytest.raises(requests.ConnectionError):")
        lines.append("        " + call.replace("\n", "\n    "))
    else:
        lines.append(f"    response = {call}")
        lines.append(f"    assert response.status_code == {entry.status}")
    imports = (
        "import pytest\nimport requests" if entry.status is None else "import requests"
    )
    body = "\n".join(lines)
    return f"{imports}\n\n\ndef test_{_identifier(entry)}(sendgrid_bounces):\n{body}\n"


def _addresses(entry: LoggedRequest) -> list[str]:
    """Return the addresses that the request names, if they were on the list."""
    if entry.fault is None and entry.status == _NOT_FOUND:
        return []
    found = [value for name, value in pairs_of(entry) if name in _EMAILS]
    last = entry.path.rpartition("/")[2]
    return [*found, last] if "@" in last else found


def _arguments(entry: LoggedRequest, key: str) -> Iterator[str]:
    """Yield the arguments of ``requests.request()``.

    :param key: the expression of the API key.
    """
    yield _text(entry.method)
    yield f'f"{{sendgrid_bounces.url}}{_path(entry)}"'
    if pairs := pairs_of(entry):
        keyword = "params" if entry.method in ("GET", "DELETE") else "data"
        values = ", ".join(f"({_text(n)}, {_value(n, v, key)})" for n, v in pairs)
        yield f"{keyword}=[{values}]"
    if login := _find(_PYTHON_LOGIN, entry.dialect):
        yield login.format(key=key)
    yield "timeout=5"


def quote_path(path: str) -> str:
    """Return the path of a URL for a decoded *path* of the log."""
    return quote(path, safe="/@")


def pairs_of(entry: LoggedRequest) -> Pairs:
    """Return the parameters; one that was repeated has several pairs."""
    return [
        (name, value)
        for name, values in entry.parameters.items()
        for value in ([values] if isinstance(values, str) else values)
    ]


def _find(table: Mapping[str, str], dialect: str) -> str:
    """Return the row of *table* for the dialect or else its vendor, or nothing."""
    return table.get(dialect, table.get(dialect.partition(".")[0], ""))


def _identifier(entry: LoggedRequest) -> str:
    words = re.sub(r"\W+", "_", f"{entry.dialect}_{entry.operation or 'call'}")
    return words.lower()


def _path(entry: LoggedRequest) -> str:
    """Return the path, with the domain of the fixture, inside an f-string."""
    path = quote_path(entry.path)
    if entry.domain:
        domain = f"/{quote_path(entry.domain)}/"
        path = path.replace(domain, "/{sendgrid_bounces.domain}/")
    return path


def _value(name: str, value: str, key: str) -> str:
    """Return the expression of a parameter."""
    if name == "api_key":
        return key
    return "sendgrid_bounces.username" if name == "api_user" else _text(value)


def _text(value: str) -> str:
    """Return a string literal; characters that a terminal could obey are escaped."""
    text = json.dumps(value, ensure_ascii=False)
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode()
        for char in text
    )
