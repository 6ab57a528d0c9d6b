"""The pytest plugin, in test suites that run in a process of their own."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from live import TIMEOUT

pytestmark = pytest.mark.server

#: The other plugins of the environment are slow to import; that of schemathesis
#: imports Requests.
FLAGS = (
    *("-q", "-W", "error", "--strict-markers", "--strict-config"),
    *("-p", "no:cacheprovider", "-p", "no:schemathesis"),
    *("-p", "no:hypothesispytest", "-p", "no:anyio"),
)


def _run(folder: Path, *args: str, **files: str) -> subprocess.CompletedProcess:
    """Run pytest on *files* in a subprocess, with warnings as errors."""
    for name, text in files.items():
        (folder / f"{name}.py").write_text(text)
    return subprocess.run(
        [sys.executable, "-m", "pytest", *FLAGS, *args],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=TIMEOUT * 4,
        check=False,
    )


SUITE = """
import json, os, pytest
from urllib.request import urlopen

def count(account):
    url = f"{account.url}/api/bounces.count.json?api_user={account.username}&api_key={account.api_key}"
    return json.load(urlopen(url))["count"]

@pytest.mark.parametrize("n", range(40))
def test_alone(sendgrid_bounces, n):
    assert count(sendgrid_bounces) == "0"
    for m in range(n % 3 + 1):
        sendgrid_bounces.add(f"{m}@example.com", created="2012-02-15 12:00:00")
    assert count(sendgrid_bounces) == str(n % 3 + 1)

@pytest.mark.sendgrid_bounces(profile="recorded", seed="accounts: [{username: acme, bounces: [{email: a@x}]}]")
def test_marked(sendgrid_bounces, sendgrid_bounces_server):
    assert count(sendgrid_bounces) == 0
    assert sendgrid_bounces_server.emulator.storage.accounts.get("acme")

@pytest.mark.sendgrid_bounces(seed="accounts: [{username: acme}]")
def test_marked_again(sendgrid_bounces):
    pass

@pytest.mark.sendgrid_bounces(profile="recorded", username="wide")
class TestMarked:
    @pytest.mark.sendgrid_bounces(username="close")
    def test_markers_add_up(self, sendgrid_bounces):
        assert sendgrid_bounces.username == "close"
        assert count(sendgrid_bounces) == 0
"""


@pytest.mark.parametrize("args", [(), ("-n", "2")], ids=["alone", "xdist"])
def test_fixture_isolates_tests(tmp_path: Path, args) -> None:
    """It works with strict markers, warnings as errors and pytest-xdist."""
    ended = _run(tmp_path, *args, test_suite=SUITE)

    assert "43 passed" in ended.stdout, ended.stdout + ended.stderr
    assert ended.stderr == ""


def test_exception_in_the_emulator_fails_its_test(tmp_path: Path) -> None:
    """The following test passes."""
    suite = (
        SUITE
        + """
def test_exception(sendgrid_bounces, monkeypatch):
    from sendgrid_bounces.storage.bounces import BounceStore
    with monkeypatch.context() as patch:
        patch.setattr(BounceStore, "count", lambda *_: 1 / 0)
        with pytest.raises(OSError):
            count(sendgrid_bounces)

def test_after(sendgrid_bounces):
    assert count(sendgrid_bounces) == "0"
"""
    )
    ended = _run(tmp_path, test_suite=suite)

    assert "45 passed, 1 error" in ended.stdout, ended.stdout
    assert "ERROR test_suite.py::test_exception - ZeroDivisionError" in ended.stdout


def test_conftest_configures_the_server(tmp_path: Path) -> None:
    """A conftest.py overrides the fixture sendgrid_bounces_config."""
    conftest = """
import pytest

@pytest.fixture(scope="session")
def sendgrid_bounces_config():
    return {"profile": "recorded", "auth": "any"}
"""
    suite = (
        SUITE.partition("@pytest")[0]
        + """
def test_it(sendgrid_bounces):
    assert count(sendgrid_bounces) == 0
"""
    )
    ended = _run(tmp_path, conftest=conftest, test_suite=suite)

    assert "1 passed" in ended.stdout, ended.stdout


MISTAKES = """
import pytest
from sendgrid_bounces.testing import EmulatorServer, ParametersError, mock_bounces

def test_seed():
    with EmulatorServer(seed="nofile.yaml"):
        pass

def test_mock():
    with mock_bounces(profile="recordd"):
        pass

def test_add(sendgrid_bounces):
    sendgrid_bounces.add("a@example.com", created="yesterday")

def test_fail_next(sendgrid_bounces):
    sendgrid_bounces.fail_next(503, opration="get")

def test_freeze(sendgrid_bounces):
    sendgrid_bounces.freeze("noon")

def test_advance(sendgrid_bounces):
    sendgrid_bounces.advance("one day")

def test_assert_called(sendgrid_bounces):
    sendgrid_bounces.assert_called(operation="gte")

def test_type(sendgrid_bounces):
    with pytest.raises(ValueError) as raised:
        sendgrid_bounces.add("a@example.com", created="yesterday")
    assert raised.type is ParametersError
"""


def test_invalid_argument_blames_the_test(tmp_path: Path) -> None:
    """The traceback has no frame of the package."""
    ended = _run(tmp_path, test_suite=MISTAKES)
    places = re.findall(r"^(\S+\.py):\d+: ", ended.stdout, re.MULTILINE)
    error = "E +sendgrid_bounces.testing.ParametersError: "

    assert "7 failed, 1 passed" in ended.stdout, ended.stdout + ended.stderr
    assert {*places} == {"test_suite.py"}
    assert len(re.findall(error, ended.stdout)) == 7


def test_invalid_marker_is_an_error(tmp_path: Path) -> None:
    """The error names the marker and the argument."""
    suite = """
import pytest

@pytest.mark.sendgrid_bounces("seed.yaml")
def test_it(sendgrid_bounces):
    pass
"""
    ended = _run(tmp_path, test_suite=suite)
    assert "takes keyword arguments only" in ended.stdout

    ended = _run(tmp_path, test_suite=suite.replace('"seed.yaml"', "profil='x'"))
    assert "got an unexpected argument 'profil' (did you mean profile?)" in ended.stdout

    ended = _run(tmp_path, test_suite=suite.replace("(sendgrid_bounces):", "():"))
    assert "test_it: the marker sendgrid_bounces requires the fixture" in ended.stderr


def test_unused_plugin_imports_nothing(tmp_path: Path) -> None:
    """Every pytest run in an environment with the package loads the plugin."""
    suite = """
import sys

def test_it():
    heavy = ("flask", "werkzeug", "peewee", "marshmallow", "lxml", "yaml", "requests", "httpx")
    assert not [name for name in heavy if name in sys.modules]
    ours = sorted(name for name in sys.modules if name.startswith("sendgrid_bounces"))
    assert ours == ["sendgrid_bounces", "sendgrid_bounces.testing", "sendgrid_bounces.testing.plugin"]
"""
    ended = _run(tmp_path, test_suite=suite)

    assert "1 passed" in ended.stdout, ended.stdout


ASSERTIONS = """
import urllib.request

import pytest


def _get(account, call):
    target = f"{account.url}/api/bounces.{call}.json?api_user={account.username}"
    return urllib.request.urlopen(f"{target}&api_key={account.api_key}").read()


def test_failure(sendgrid_bounces):
    _get(sendgrid_bounces, "count")
    assert False


def test_unused(sendgrid_bounces):
    sendgrid_bounces.fail_next(503)


def test_dynamic(request):
    request.getfixturevalue("sendgrid_bounces").fail_next(503)


@pytest.mark.xfail(strict=True)
def test_expected_failure(sendgrid_bounces):
    sendgrid_bounces.fail_next(503)
    assert False


def test_stopped(sendgrid_bounces, sendgrid_bounces_server):
    sendgrid_bounces.fail_next(503)
    sendgrid_bounces_server.stop()
    sendgrid_bounces_server.start()
    assert False


def test_skip(sendgrid_bounces):
    sendgrid_bounces.fail_next(503)
    pytest.skip("no network")


@pytest.mark.sendgrid_bounces(unused_faults="ignore")
def test_ignored(sendgrid_bounces):
    sendgrid_bounces.fail_next(503)


def test_environment(sendgrid_bounces, sendgrid_bounces_env):
    import os

    assert os.environ["SENDGRID_URL"] == sendgrid_bounces.url
    assert os.environ["SENDGRID_API_KEY"] == sendgrid_bounces.api_key
    assert sendgrid_bounces_env["MAILGUN_DOMAIN"] == sendgrid_bounces.domain


def test_profile(sendgrid_bounces):
    assert _get(sendgrid_bounces, "count") == b'{"count": 0}'
"""


def test_report_of_a_failed_test_lists_its_requests(tmp_path: Path) -> None:
    """A fault that never triggered is a failure, and not an error at teardown."""
    (tmp_path / "pytest.ini").write_text(
        "[pytest]\nsendgrid_bounces_profile = recorded\n"
    )
    ended = _run(tmp_path, test_suite=ASSERTIONS)

    assert "4 failed, 3 passed, 1 skipped, 1 xfailed" in ended.stdout
    assert ended.stdout.count("sendgrid_bounces requests") == 3
    assert "GET /api/bounces.count.json" in ended.stdout
    assert "a fault never triggered" in ended.stdout
    assert "ERROR" not in ended.stdout


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("X", "is not NAME=VALUE"),
        ("X={url.x}", "valid fields are {url}, {username}, {api_key}, {domain}"),
        ("X={host}", "valid fields are {url}, {username}, {api_key}, {domain}"),
    ],
)
def test_environment_template_is_checked(
    tmp_path: Path, line: str, message: str
) -> None:
    (tmp_path / "pytest.ini").write_text(f"[pytest]\nsendgrid_bounces_env = {line}\n")
    ended = _run(tmp_path, test_suite="def test(sendgrid_bounces_env): pass\n")

    assert message in ended.stdout
