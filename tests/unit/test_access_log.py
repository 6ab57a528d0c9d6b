"""Redaction of log records; tests/server/test_logs.py tests whole logs."""

import time

import pytest

from sendgrid_bounces.server.access_log import redact_log


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
        ("http://user:K@host/x?a=b", "http://***@host/x?a=b"),
        ("'Basic S0s=' Bearer K", "'Basic *** Bearer ***"),
        ("/v3/d/bounces/monkey@x.com?email=a%40key.com", "/v3/d/bounces/monkey@x.com?email=a%40key.com"),
        ("/api/bounces.get.json?date=1&days=2", "/api/bounces.get.json?date=1&days=2"),
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
    began = time.monotonic()
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
    ):
        redact_log(piece * 20_000)
    assert time.monotonic() - began < 2
