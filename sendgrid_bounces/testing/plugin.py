"""The pytest plugin: fixtures and a marker.

Pytest imports this module in every environment that has the package installed, so it
imports the emulator only inside the fixtures.
"""

from collections.abc import Generator, Iterator
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from sendgrid_bounces.testing.accounts import TestAccount
    from sendgrid_bounces.testing.server import EmulatorServer

MARKER = FIXTURE = "sendgrid_bounces"

_TEST_ACCOUNT: "pytest.StashKey[TestAccount]" = pytest.StashKey()

#: The environment variables of :func:`sendgrid_bounces_env`.
DEFAULT_ENV = [
    "SENDGRID_URL={url}",
    "SENDGRID_USERNAME={username}",
    "SENDGRID_PASSWORD={api_key}",
    "SENDGRID_API_KEY={api_key}",
    "MAILGUN_URL={url}",
    "MAILGUN_API_KEY={api_key}",
    "MAILGUN_DOMAIN={domain}",
]


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker."""
    config.addinivalue_line(
        "markers",
        f"{MARKER}(profile=None, seed=None, username=None, api_key=None, domain=None, "
        f"unused_faults='error'): options of the test account of {FIXTURE}.",
    )


def pytest_addoption(parser: pytest.Parser) -> None:
    """Register the ini options."""
    parser.addini(
        "sendgrid_bounces_profile", "the profile of accounts without one", default=""
    )
    parser.addini(
        "sendgrid_bounces_seed", "a seed file that the server loads", default=""
    )
    parser.addini(
        "sendgrid_bounces_env",
        f"environment variables of the fixture {FIXTURE}_env, NAME=VALUE, in which "
        "{url}, {username}, {api_key} and {domain} are replaced",
        type="linelist",
        default=DEFAULT_ENV,
    )


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, None, None]:
    """Fail a test if it succeeds, but one of its faults never triggered."""
    yield
    test_account = _test_account(item)
    if test_account is not None and not test_account.is_closed:
        test_account.check_faults()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Add the requests of a failed test to its report."""
    report = yield
    if call.when == "call" and report.failed:
        test_account = _test_account(item)
        if test_account is not None and not test_account.is_closed:
            from sendgrid_bounces.core.errors import BounceError
            from sendgrid_bounces.testing.assertions import describe_all

            try:
                text = f"{test_account!r}\n{describe_all(test_account.requests)}"
            except BounceError as error:  # such as that of a database
                text = f"cannot read the requests: {error}"
            report.sections.append((f"{FIXTURE} requests", text))
    return report


def _test_account(item: pytest.Item) -> "TestAccount | None":
    """Return the test account of the running test, if it uses the fixture."""
    return item.stash.get(_TEST_ACCOUNT, None)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Reject a test that has the marker but does not use the fixture."""
    for item in items:
        is_marked = any(marker.name == MARKER for marker in item.own_markers)
        if is_marked and FIXTURE not in getattr(item, "fixturenames", ()):
            raise pytest.UsageError(
                f"{item.nodeid}: the marker {MARKER} requires the fixture {FIXTURE}"
            )


@pytest.fixture(scope="session")
def sendgrid_bounces_config(pytestconfig: pytest.Config) -> dict[str, Any]:
    """Return the keyword arguments of the server; override this in conftest.py.

    By default they are the ini options ``sendgrid_bounces_profile`` and
    ``sendgrid_bounces_seed``, a path relative to the rootdir.
    """
    options: dict[str, Any] = {}
    if profile := pytestconfig.getini("sendgrid_bounces_profile"):
        options["profile"] = profile
    if seed := pytestconfig.getini("sendgrid_bounces_seed"):
        options["seed"] = str(pytestconfig.rootpath / seed)
    return options


@pytest.fixture(scope="session")
def sendgrid_bounces_server(
    sendgrid_bounces_config: dict[str, Any],
) -> "Iterator[EmulatorServer]":
    """Run an emulator server on a free port for the whole session."""
    from sendgrid_bounces.testing.server import EmulatorServer

    with EmulatorServer(**sendgrid_bounces_config) as server:
        yield server


@pytest.fixture
def sendgrid_bounces(
    request: pytest.FixtureRequest, sendgrid_bounces_server: "EmulatorServer"
) -> "Iterator[TestAccount]":
    """Create an account and a Mailgun domain for one test, with an empty bounce list.

    An unexpected exception in the emulator fails the test.
    """
    options: dict[str, Any] = {}
    for marker in request.node.iter_markers(MARKER):  # the closest one first
        if marker.args:
            raise pytest.UsageError(f"the marker {MARKER} takes keyword arguments only")
        options = {**marker.kwargs, **options}
    if options:
        from sendgrid_bounces.testing.accounts import check_options

        check_options(options, f"the marker {MARKER}")
    with closing(sendgrid_bounces_server.double(**options)) as test_account:
        request.node.stash[_TEST_ACCOUNT] = test_account
        yield test_account


@pytest.fixture
def sendgrid_bounces_env(
    request: pytest.FixtureRequest,
    sendgrid_bounces: "TestAccount",
    monkeypatch: pytest.MonkeyPatch,
) -> dict[str, str]:
    """Set environment variables for the code under test, and return them.

    The ini option ``sendgrid_bounces_env`` replaces the default variables.
    """
    values = {
        name: getattr(sendgrid_bounces, name)
        for name in ("url", "username", "api_key", "domain")
    }
    variables = {}
    for line in request.config.getini("sendgrid_bounces_env"):
        name, equals, template = line.partition("=")
        if not equals or not name.strip():
            raise pytest.UsageError(f"sendgrid_bounces_env: {line!r} is not NAME=VALUE")
        try:
            variables[name.strip()] = template.strip().format(**values)
        except (AttributeError, LookupError, TypeError, ValueError):
            raise pytest.UsageError(
                f"sendgrid_bounces_env: {line!r}: valid fields are "
                f"{', '.join(f'{{{field}}}' for field in values)}"
            ) from None
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    return variables
