"""Redaction of log records; tests/server/test_logs.py tests whole logs."""

import logging
import time
from base64 import b64encode
from datetime import timedelta
from types import SimpleNamespace
from urllib.parse import quote

import pytest
from flask import Flask
from flask.testing import FlaskClient
from gunicorn.config import Config
from werkzeug.test import create_environ

from sendgrid_bounces.app import DIALECTS
from sendgrid_bounces.server import access_log
from sendgrid_bounces.server.access_log import (
    RedactingLogger,
    _RedactingFormatter,
    redact_log,
)
from sendgrid_bounces.web.dialect import create_redactor


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("GET /api/x?api_key=K HTTP/1.1", "GET /api/x?api_key=*** HTTP/1.1"),
        ("/api/x?api_user=u&API_KEY=K&date=1", "/api/x?api_user=u&API_KEY=***&date=1"),
        ("api%5Fkey=K&a=b", "api%5Fkey=***&a=b"),
        ("%61pi_k%65y=K", "%61pi_k%65y=***"),
        ("api_key=K&x=y&api_key=K2", "api_key=***&x=y&api_key=***"),
        ("?api_key=K#K?K", "?api_key=***?K"),
        ("?api_key=K;K=K/K'K\"K", "?api_key=***"),
        ("/x?next=%2Fapi%3Fapi_key%3DK", "/x?next=***"),
        ("/x?next=%252Fapi%253Fapi_key%253DK%26a%3Db", "/x?next=***"),
        ("/api/x%3Fapi_key%3DK", "/api/x%3Fapi_key%3D***"),
        ('/x?to={"api_key":"K"}&a=b', "/x?to=***&a=b"),
        ("/x?to=%7B%22a%22:1,+%22api_key%22+:+%22K%22%7D&a=b", "/x?to=***&a=b"),
        ('/x?to=%7B%5C"key%5C":%5C"K%5C"%7D', "/x?to=***"),
        ("/x?to=%5B%22key%22%2C%22http:%2F%2Fa%22%5D", "/x?to=%5B%22key%22%2C%22http:%2F%2Fa%22%5D"),
        ("'SG%2Eabcdefgh%252Eijklmnop%2Dq", "***"),
        ("http://user:K@host/x?a=b", "http://***@host/x?a=b"),
        ("CONNECT api:K@host:443 HTTP/1.1", "CONNECT ***@host:443 HTTP/1.1"),
        ("'Basic S0s=' Bearer K", "'Basic *** Bearer ***"),
        ("/v3/d/bounces/monkey@x.com?email=a%40key.com", "/v3/d/bounces/monkey@x.com?email=a%40key.com"),
        ("/api/bounces.get.json?date=1&days=2", "/api/bounces.get.json?date=1&days=2"),
        ("/api/x?api_kye=K&a=b", "/api/x?api_kye=***&a=b"),
        ("/api/x?api_user=u&api_keyhunter2&date=1", "/api/x?api_user=u&***&date=1"),
        ("/api/x?Zq7Xw2Kp9LmT4", "/api/x?***"),
        ("/api/x?api_keyaHVudGVyMg==", "/api/x?***"),
        ("/api/key4711 api_keys2", "/api/key4711 api_keys2"),
        ("KeyError: 'key-value' of SG.1.2", "KeyError: 'key-value' of SG.1.2"),
        ("called with 'SG.abcdefgh.ijklmnop-q'", "called with '***'"),
        ("(key-3ax6xnjp29jd6fds4gc373sg)", "(***)"),
        ("", ""),
    ],
)  # fmt: skip
def test_credentials_are_redacted(text: str, expected: str) -> None:
    """Names and values can be percent-encoded; other text stays."""
    assert redact_log(text) == expected


def test_redaction_takes_linear_time() -> None:
    """Repeated prefixes of patterns do not cause backtracking."""
    began = time.process_time()
    for piece in (
        "a",
        "=",
        "%3d",
        "//",
        "basic ",
        "%25",
        "?",
        "//a",
        "key",
        "SG.",
        "key-aaaaaaaaaaaaaaaa_",
        "x=+",
        "x=%22:+",
        "%2525",
        "//@",
    ):
        redact_log(piece * 20_000)
        REDACTOR.redact_text(f"key{piece * 20_000}")
    assert time.process_time() - began < 2


REDACTOR = create_redactor(DIALECTS)


def _logger() -> RedactingLogger:
    """Return a logger whose format names the values that the tests read."""
    config = Config()
    config.set("access_log_format", "%(target)s %(q)s %(f)s %(a)s %({user-agent}i)s")
    return RedactingLogger(config)


def test_credentials_of_the_request_are_redacted_in_the_access_log() -> None:
    """A key is recognized as a domain, where it is in lower case."""
    key = "Zq7Xw2Kp9LmT4"
    login = b64encode(f"api:{key}".encode()).decode()
    path = f"/v3/{key.lower()}/bounces"
    environ = {
        "REQUEST_METHOD": "GET",
        "RAW_URI": path,
        "QUERY_STRING": "",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "HTTP_AUTHORIZATION": f"Basic {login}",
        "HTTP_USER_AGENT": f"x/{key.upper()} {login}",
    }
    response = SimpleNamespace(status="404 NOT FOUND", sent=0, headers=[])
    logger = _logger()

    atoms = logger.atoms(
        response, SimpleNamespace(headers=[]), environ, timedelta(seconds=1)
    )
    assert atoms["target"] == "/v3/***/bounces"
    assert atoms["a"] == "x/*** ***"
    assert login not in repr(atoms)
    assert key.casefold() not in repr(atoms).casefold()


@pytest.mark.parametrize(
    "text",
    [
        "password: hunter2",
        "api_key  =  hunter2",
        '{"api_key": "hunter2"}',
        "mysql://root:hunter2@localhost/x",
        "http://hunter2@localhost/x",
        "http://a:b@hunter2@localhost/x",
        "Bearer hunter2",
        "Bearer+hunter2",
        "a=Basic%20hunter2",
        "x=%7B%22api_key%22%3A%22hunter2%22%7D",
        "x=%257B%2522api_key%2522%253A%2520%2522hunter2%2522%257D",
        "url=http%3A%2F%2Facme%3Ahunter2%40localhost%2F",
        "x=%6Bey%3Dhunter2",
    ],
)
def test_credentials_are_redacted_in_both_logs(text: str) -> None:
    """In a header field, a response, a parameter, and one that is encoded again."""
    environ = {"REQUEST_METHOD": "GET", "RAW_URI": "/", "SERVER_PROTOCOL": "HTTP/1.1"}
    environ["HTTP_USER_AGENT"] = text
    response = SimpleNamespace(status="200 OK", sent=0, headers=[])
    atoms = _logger().atoms(
        response, SimpleNamespace(headers=[]), environ, timedelta(seconds=1)
    )
    redactor = REDACTOR
    for shown in (
        atoms["a"],
        redactor.redact_request([("x", "y")], ["/x"], text),
        redactor.redact_request([("x", text)], ["/x"], ""),
        redactor.redact_request([("x", quote(text))], ["/x"], ""),
    ):
        assert "hunter2" not in str(shown)
        assert "***" in str(shown)


def test_values_that_the_format_does_not_name_are_not_searched(monkeypatch) -> None:
    """Each header field is a value, and a client can send many long fields."""
    searched: list[str] = []
    monkeypatch.setattr(
        access_log, "redact_log", lambda text, _: searched.append(text) or text
    )
    environ = {"REQUEST_METHOD": "GET", "RAW_URI": "/", "SERVER_PROTOCOL": "HTTP/1.1"}
    environ |= {f"HTTP_X_{n}": "long" for n in range(5)} | {"HTTP_USER_AGENT": "curl"}
    fields = [(f"X-{n}", "long") for n in range(5)] + [("User-Agent", "curl")]
    response = SimpleNamespace(status="200 OK", sent=0, headers=fields)
    _logger().atoms(
        response, SimpleNamespace(headers=fields), environ, timedelta(seconds=1)
    )
    assert "curl" in searched
    assert "long" not in searched


def test_number_of_parts_of_a_value_is_limited() -> None:
    """Each of them takes time."""
    value = "aa=1&" * access_log.MAX_PARTS + "x" * 4_000
    assert access_log._redact_atom("a", f"{value}&a=1", REDACTOR) == value[:2_000] + "…"


@pytest.mark.parametrize("name", ["accesslog", "errorlog"])
def test_reload_keeps_a_log_that_cannot_be_opened_again(tmp_path, name: str) -> None:
    """Its folder can be away for a while."""
    folder = tmp_path / "logs"
    folder.mkdir()
    logging.getLogger("gunicorn.access").handlers.clear()
    config = Config()
    config.set(name, str(folder / "a.log"))
    logger = RedactingLogger(config)
    log = logger.access_log if name == "accesslog" else logger.error_log
    log.error("first")
    folder.rename(tmp_path / "moved")
    logger.setup(config)
    log.error("second")
    (tmp_path / "moved").rename(folder)
    logger.reopen_files()
    log.error("third")
    for handler in log.handlers:
        handler.close()
    lines = (folder / "a.log").read_text().splitlines()
    written = [line.split()[-1] for line in lines if "not opened again" not in line]
    assert written == ["first", "second", "third"]


def test_control_characters_are_escaped() -> None:
    """Terminals obey some of them; for programs, some end a line."""
    environ = {
        "REQUEST_METHOD": "GET",
        "RAW_URI": "/\x9b31m",
        "QUERY_STRING": "",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "HTTP_USER_AGENT": "a\x9b31mb\x85c\u00e9\udcff",
        "HTTP_REFERER": "\u2028\u202e\u200f",
    }
    response = SimpleNamespace(status="404 NOT FOUND", sent=0, headers=[])
    atoms = _logger().atoms(
        response, SimpleNamespace(headers=[]), environ, timedelta(seconds=1)
    )
    assert atoms["a"] == r"a\x9b31mb\x85c" + "\u00e9" + r"\udcff"
    assert (atoms["f"], atoms["target"]) == (r"\u2028\u202e\u200f", r"/\x9b31m")

    record = logging.makeLogRecord({"msg": "refused: \x9b31m\u2028\nTraceback"})
    formatter = _RedactingFormatter(logging.Formatter())
    assert formatter.format(record) == "refused: \\x9b31m\\u2028\nTraceback"


def test_credentials_of_a_form_are_redacted_in_the_access_log(app: Flask) -> None:
    """The URL can repeat a key, in percent-encoded form, too."""
    key = "Zq7-Xw2Kp9LmT4"
    environ = create_environ(
        "/api/bounces.count.json",
        query_string=f"x={key}",
        method="POST",
        data={"api_user": "acme", "api_key": key},
    )
    environ["RAW_URI"] = f"/api/{key}/%5Aq7%2dXw2Kp9LmT4?x=%5Aq7%252DXw2Kp9LmT4&a=b"
    with app.request_context(environ):
        app.full_dispatch_request()

    atoms = _logger().atoms(
        SimpleNamespace(status="403 FORBIDDEN", sent=0, headers=[]),
        SimpleNamespace(headers=[]),
        environ,
        timedelta(seconds=1),
    )
    assert atoms["q"] == "x=***"
    assert atoms["target"] == "***?***&a=b"


def test_credentials_of_the_request_are_redacted_in_the_log(
    controlled_client: FlaskClient,
) -> None:
    """The path is in the message about a failed call."""
    key = "Zq7Xw2Kp9LmT4"
    record = logging.makeLogRecord({"msg": f"GET /v3/{key.lower()}/bounces failed"})
    formatter = _RedactingFormatter(logging.Formatter())

    assert formatter.format(record) == record.msg
    with controlled_client.application.test_request_context(auth=("api", key)):
        assert formatter.format(record) == "GET /v3/***/bounces failed"
