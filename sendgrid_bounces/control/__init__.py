"""Control endpoints below ``/_emulator/``: everything that a test or a person changes.

:mod:`.endpoints` lists the modules with routes, :mod:`.service` has the operations
behind them. :mod:`.health` exists in every application, the other endpoints only if
``CONTROL`` is on.
"""

#: The path above all control endpoints. No vendor has a path there.
CONTROL_PATH = "/_emulator"


def owns(path: str) -> bool:
    """Return whether *path* belongs to the control endpoints."""
    return path == CONTROL_PATH or path.startswith(f"{CONTROL_PATH}/")
