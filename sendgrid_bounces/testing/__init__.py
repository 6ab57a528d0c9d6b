"""What a test suite imports: a server, a double in process, and the pytest fixtures.

Nothing is loaded before it is asked for: pytest imports this package in every suite of
the environment that it is installed in.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sendgrid_bounces.testing.doubles import Double
    from sendgrid_bounces.testing.mocking import mock_bounces
    from sendgrid_bounces.testing.server import EmulatorServer

__all__ = ["Double", "EmulatorServer", "mock_bounces"]

_HOMES = {"Double": "doubles", "EmulatorServer": "server", "mock_bounces": "mocking"}


def __getattr__(name: str) -> Any:
    """Load what is asked for."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
