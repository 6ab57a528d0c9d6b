"""Requests generated from the OpenAPI description get the described responses."""

import subprocess
import sys
from pathlib import Path

import pytest
from live import ROOT, TIMEOUT

pytest.importorskip("schemathesis", reason="needs Python 3.11")

from calls import (
    CONFIG,
    DOCUMENT,
    RECORDED_CONFIG,
    check_documented,
    check_recorded,
    documented_application,  # noqa: F401 - a fixture
    load,
    outcomes_by_operation,  # noqa: F401 - a fixture
    recorded_application,  # noqa: F401 - a fixture
    with_html_read,
)

documented = load(DOCUMENT, CONFIG)
recorded = load(with_html_read(DOCUMENT), RECORDED_CONFIG).include(
    path_regex="^/api/bounces"
)


def test_description_is_valid() -> None:
    """The JSON schema of OpenAPI 3.1 decides."""
    assert DOCUMENT["openapi"].startswith("3.1.")
    documented.validate()


@documented.parametrize()
def test_responses_are_described(case, documented_app, outcomes) -> None:
    """Status, media type and body are; none is an internal error."""
    check_documented(case, documented_app, outcomes)


@recorded.parametrize()
def test_responses_of_the_recorded_profile_are_described(case, recorded_app) -> None:
    """JSON labelled text/html has the described schema."""
    check_recorded(case, recorded_app)


@pytest.mark.slow
@pytest.mark.parametrize("operations", ["_emulator", "not _emulator"])
def test_responses_to_unusual_requests_are_described(operations: str) -> None:
    """In another process, since the many calls take seconds to prepare."""
    file = Path(__file__).with_name("thorough_calls.py")
    flags = ("-q", "-n0", "-p", "no:cacheprovider", "-k", operations)
    ended = subprocess.run(
        [sys.executable, "-m", "pytest", *flags, file],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=TIMEOUT * 10,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout
