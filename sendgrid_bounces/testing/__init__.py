"""Public API for test suites: a server, an in-process mock and test accounts.

Pytest imports this package in every environment that has it installed, so its names are
loaded on first use.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sendgrid_bounces.testing.accounts import TestAccount
    from sendgrid_bounces.testing.errors import ParametersError
    from sendgrid_bounces.testing.mocking import mock_bounces
    from sendgrid_bounces.testing.server import EmulatorServer

    Double = TestAccount

__all__ = [
    "Double",
    "EmulatorServer",
    "ParametersError",
    "TestAccount",
    "mock_bounces",
]

#: Public name: (module, name in it). ``Double`` is the former name of ``TestAccount``.
_EXPORTS = {
    "Double": ("accounts", "TestAccount"),
    "EmulatorServer": ("server", "EmulatorServer"),
    "ParametersError": ("errors", "ParametersError"),
    "TestAccount": ("accounts", "TestAccount"),
    "mock_bounces": ("mocking", "mock_bounces"),
}


def __getattr__(name: str) -> Any:
    """Import the public name *name*."""
    if name not in _EXPORTS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, attribute = _EXPORTS[name]
    return getattr(import_module(f"{__name__}.{module}"), attribute)
