"""What a test suite imports: a server, a double in process, and the pytest fixtures.

Nothing is loaded before it is asked for: pytest imports this package in every suite of
the environment that it is installed in.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sendgrid_bounces.testing.accounts import TestAccount
    from sendgrid_bounces.testing.mocking import mock_bounces
    from sendgrid_bounces.testing.server import EmulatorServer

    Double = TestAccount

__all__ = ["Double", "EmulatorServer", "TestAccount", "mock_bounces"]

#: Public name: (module, name there). ``Double`` was the name of ``TestAccount``.
_HOMES = {
    "Double": ("accounts", "TestAccount"),
    "EmulatorServer": ("server", "EmulatorServer"),
    "TestAccount": ("accounts", "TestAccount"),
    "mock_bounces": ("mocking", "mock_bounces"),
}


def __getattr__(name: str) -> Any:
    """Load what is asked for."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, attribute = _HOMES[name]
    return getattr(import_module(f"{__name__}.{module}"), attribute)
