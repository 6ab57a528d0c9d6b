"""The connection of a client, as far as the WSGI server shows it."""

import socket
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

#: Names in a WSGI environment of the socket of the client.
SOCKETS = ("gunicorn.socket", "werkzeug.socket")


def client_socket(environ: Mapping[str, Any]) -> socket.socket | None:
    """Return the socket of the client; None if there is none."""
    return next((environ[name] for name in SOCKETS if name in environ), None)


def disconnect(environ: Mapping[str, Any]) -> bool:
    """Shut down the connection of the client; return whether there is one."""
    connection = client_socket(environ)
    if connection is None:
        return False
    with suppress(OSError):  # the client has closed it
        connection.shutdown(socket.SHUT_RDWR)
    return True
