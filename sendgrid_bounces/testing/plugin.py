"""The pytest plugin: fixtures and a marker.

Pytest imports this module in every environment that has the package installed, so it
imports the emulator only inside the fixtures.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from sendgrid_bounces.testing.accounts import TestAccount
    from sendgrid_bounces.testing.server import EmulatorServer

MARKER = FIXTURE = "sendgrid_bounces"


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker."""
    config.addinivalue_line(
        "markers",
        f"{MARKER}(profile=None, seed=None, username=None, api_key=None, domain=None): "
        f"options of the test account in the fixture {FIXTURE}.",
    )


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Reject a test that has the marker but does not use the fixture."""
    for item in items:
        is_marked = any(marker.name == MARKER for marker in item.own_markers)
        if is_marked and FIXTURE not in getattr(item, "fixturenames", ()):
            raise pytest.UsageError(
                f"{item.nodeid}: the marker {MARKER} requires the fixture {FIXTURE}"
            )


@pytest.fixture(scope="session")
def sendgrid_bounces_config() -> dict[str, Any]:
    """Return the keyword arguments of the server; override this in conftest.py."""
    return {}


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
    with sendgrid_bounces_server.double(**options) as test_account:
        yield test_account
