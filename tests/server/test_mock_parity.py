"""The in-process mock and a real server: equal requests, responses and exceptions."""

import io
from contextlib import ExitStack, contextmanager

import pytest
import requests
from clients import CLIENTS, CONTEXT, HTTPX, api_key

from sendgrid_bounces.testing import EmulatorServer, mock_bounces

#: The exceptions of each client.
DROPPED = {
    "requests": requests.ConnectionError,
    **{name: package.RemoteProtocolError for name, package in HTTPX.items()},
}
TRUNCATED = {**DROPPED, "requests": requests.exceptions.ChunkedEncodingError}
TIMED_OUT = {
    "requests": requests.ReadTimeout,
    **{name: package.ReadTimeout for name, package in HTTPX.items()},
}


@pytest.mark.parametrize(
    "real",
    [pytest.param(True, marks=pytest.mark.server), False],
    ids=["real", "in process"],
)
@pytest.mark.parametrize("name", CLIENTS)
def test_faults_raise_the_exceptions_of_a_network(name: str, real: bool) -> None:
    """A client raises the same exceptions as with a real server."""
    get = CLIENTS[name]
    package = name.split(".")[0].split(" ")[0]
    with ExitStack() as stack:
        if real:
            account = stack.enter_context(EmulatorServer()).double()
            stack.enter_context(account)
        else:
            account = stack.enter_context(mock_bounces())
        for n in range(2):
            account.add(f"{n}@example.com", reason="r" * 1_000)
        url = f"{account.url}/api/bounces.get.json"
        account.fail_next(503, 2, retry_after=7)
        for _ in range(2):
            answer = get(url, params=api_key(account), timeout=10)
            assert (answer.status_code, answer.headers["Retry-After"]) == (503, "7")
        for errors, effect, timeout in (
            (DROPPED, {"drop_connection": True}, 10),
            (DROPPED, {"drop_connection": "after"}, 10),
            (TRUNCATED, {"truncate": True}, 10),
            (TRUNCATED, {"truncate": 0}, 10),
            (TIMED_OUT, {"latency_ms": 200}, 0.1),
        ):
            account.fail_next(**effect)
            with pytest.raises(errors[package]):
                get(url, params=api_key(account), timeout=timeout)
            assert len(get(url, params=api_key(account), timeout=10).json()) == 2
        account.fail_next(malformed=True)
        with pytest.raises(ValueError, match="line|Unterminated|char"):
            get(url, params=api_key(account)).json()


#: A request of each kind that a WSGI environment represents differently.
REQUESTS = {
    "query": {
        "params": [("email[]", "a@x.com"), ("email[]", "b+c@x.com"), ("ä", "ü €")]
    },
    "form": {"data": [("email", "ä@x.com"), ("email", "b c@x.com")]},
    "multipart": {"files": {"file": ("bounces.csv", b"address\r\na@\xff\x00")}},
    "basic": {"auth": ("us:er", "pä:ss")},
    "json": {"json": [{"address": "ü@x.com"}]},
    "bytes": {"data": b"\x00\xff\r\n"},
    "stream": {"data": io.BytesIO(b"x" * 100_000)},
    "headers": {"headers": {"X-Own": "a, b", "Accept": "*/*", "User-Agent": "t"}},
    "nothing": {},
}

#: Variables that may differ from those of a real server.
IGNORED = {
    *("SERVER_NAME", "SERVER_PORT", "SERVER_SOFTWARE", "HTTP_HOST", "REMOTE_PORT"),
    *("REMOTE_ADDR", "HTTP_CONNECTION"),
}


class _Recorder:
    """A WSGI application that records its requests."""

    def __init__(self, app) -> None:
        self.app = app
        self.requests: list[dict] = []

    def __call__(self, environ, start_response):
        length = environ.get("CONTENT_LENGTH")
        body = environ["wsgi.input"].read(*([int(length)] if length else []))
        if not length and "HTTP_TRANSFER_ENCODING" not in environ:
            body = b""
        variables = {
            k: v for k, v in environ.items() if k.isupper() and k not in IGNORED
        }
        self.requests.append({**variables, "body": body})
        start_response(
            "200 OK",
            [
                ("Content-Type", "text/plain"),
                ("Set-Cookie", "a=b"),
                ("Set-Cookie", "c=d"),
                ("Content-Length", "2"),
            ],
        )
        return [b"ok"]


@contextmanager
def _recorded(monkeypatch, real: bool):
    """Yield (base URL, list of recorded requests) of a server or of the mock."""
    recorder = _Recorder(None)
    monkeypatch.setattr(
        "sendgrid_bounces.testing.app.TestApp.__call__", recorder.__call__
    )
    if real:
        with EmulatorServer() as server:
            yield server.url, recorder.requests
    else:
        with mock_bounces():
            yield "http://sendgrid.com", recorder.requests


def _send(kind: str, client, url: str):
    options = dict(REQUESTS[kind])
    if kind == "stream":
        options = {"data": iter([b"x" * 10_000] * 10)}
    if client is requests:
        return client.post(url, **options)
    if kind in ("stream", "bytes"):
        options = {"content": options["data"]}
    elif kind == "form":
        options = {"data": {"email": [value for _, value in options["data"]]}}
    elif kind == "multipart":
        boundary = {"Content-Type": "multipart/form-data; boundary=xx"}
        options = {**options, "headers": boundary}
    return client.post(url, verify=CONTEXT, **options)


@pytest.mark.server
@pytest.mark.parametrize("kind", REQUESTS)
@pytest.mark.parametrize(
    "client", [requests, *HTTPX.values()], ids=["requests", *HTTPX]
)
def test_mock_and_server_receive_the_same_request(
    monkeypatch, kind: str, client
) -> None:
    """The path, query, headers and body are equal, and so is the response."""
    path = "/v3/d/bounces/%61%2Fb+c%C3%A4;x=1//~'!"
    received, returned = [], []
    monkeypatch.setattr(
        "requests.models.encode_multipart_formdata",
        lambda fields: _multipart(fields),
        raising=False,
    )
    for real in (True, False):
        with _recorded(monkeypatch, real) as (base, recorded):
            answer = _send(kind, client, base + path)
            received += recorded
            returned.append(
                (
                    answer.status_code,
                    answer.content,
                    answer.headers["Set-Cookie"],
                    dict(answer.cookies),
                )
            )

    assert received[0] == received[1]
    assert received[0]["RAW_URI"].startswith("/v3/d/bounces/")
    assert returned[0] == returned[1]


def _multipart(fields):
    from urllib3.filepost import encode_multipart_formdata

    return encode_multipart_formdata(fields, boundary="xx")
