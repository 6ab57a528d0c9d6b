"""The pytest plugin: fixtures, and a marker. Each loads what it needs when it is used.

Pytest imports this module in every suite of the environment that it is installed in.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from sendgrid_bounces.testing.accounts import TestAccount
    from sendgrid_bounces.testing.server import EmulatorServer

MARKER = FIXTURE = "sendgrid_bounces"


def pytest_configure(config: pytest.Config) -> None:
    """Tell of the marker."""
    config.addinivalue_line(
        "markers",
        f"{MARKER}(seed=None, profile=None): what the test's emulator holds besides, "
        "and which profile its account has.",
    )


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Refuse a test that has the marker of its own, and not the fixture."""
    for item in items:
        is_marked = any(marker.name == MARKER for marker in item.own_markers)
        if is_marked and FIXTURE not in getattr(item, "fixturenames", ()):
            raise pytest.UsageError(
                f"{item.nodeid}: the marker {MARKER} is for tests with the fixture "
                f"{FIXTURE}"
            )


@pytest.fixture(scope="session")
def sendgrid_bounces_config() -> dict[str, Any]:
    """Return the arguments of the server: a conftest.py overrides this."""
    return {}


@pytest.fixture(scope="session")
def sendgrid_bounces_server(
    sendgrid_bounces_config: dict[str, Any],
) -> "Iterator[EmulatorServer]":
    """Serve the emulator on a free port, once a process."""
    from sendgrid_bounces.testing.server import EmulatorServer

    with EmulatorServer(**sendgrid_bounces_config) as server:
        yield server


@pytest.fixture
def sendgrid_bounces(
    request: pytest.FixtureRequest, sendgrid_bounces_server: "EmulatorServer"
) -> "Iterator[TestAccount]":
    """Return an account and a Mailgun domain of this test alone, with one empty list.

    An exception inside the emulator fails the test.
    """
    options: dict[str, Any] = {}
    for marker in request.node.iter_markers(MARKER):  # the closest one first
        if marker.args:
            raise pytest.UsageError(f"the marker {MARKER} takes its arguments by name")
        options = {**marker.kwargs, **options}
    if options:
        from sendgrid_bounces.testing.accounts import check_options

        check_options(options, f"the marker {MARKER}")
    with sendgrid_bounces_server.double(**options) as double:
        yield double
