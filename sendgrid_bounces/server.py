"""Gunicorn with the settings that are right for this application."""

import json
import socket
from collections.abc import Callable, Mapping
from typing import Any

from gunicorn.app.base import BaseApplication
from gunicorn.http.errors import (
    LimitRequestHeaders,
    LimitRequestLine,
    NoMoreData,
    ParseException,
)
from gunicorn.workers.gthread import ThreadWorker

from sendgrid_bounces.app import create_app
from sendgrid_bounces.core.errors import BounceError

BACKLOG = 512


class ListenError(BounceError):
    """The address cannot be listened on."""


class Worker(ThreadWorker):
    """Gunicorn's threads, which word what they refuse in JSON instead of HTML.

    What is refused here does not get as far as a dialect; its URL, which may hold a
    key, is neither answered nor logged.
    """

    def handle_error(
        self, req: Any, client: socket.socket, addr: Any, exc: BaseException
    ) -> None:
        """Answer a request that cannot be parsed, or an application that failed."""
        if isinstance(exc, LimitRequestLine):
            status = "414 URI Too Long"
        elif isinstance(exc, LimitRequestHeaders):
            status = "431 Request Header Fields Too Large"
        elif isinstance(exc, ParseException) and not isinstance(exc, NoMoreData):
            status = "400 Bad Request"
        else:
            status = "500 Internal Server Error"
            self.log.error("error handling a request", exc_info=exc)
        body = json.dumps({"error": status}).encode()
        head = (
            f"HTTP/1.1 {status}\r\nConnection: close\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        try:
            client.sendall(head.encode() + body)
        except OSError:
            self.log.debug("the client has gone")


class Server(BaseApplication):
    """A Gunicorn that serves the application of *settings* on a listening socket.

    :param announce: called once, as soon as requests are answered.
    """

    def __init__(
        self,
        settings: Mapping[str, str],
        listener: socket.socket,
        announce: Callable[[], None],
    ) -> None:
        self._settings = settings
        self._descriptor = listener.detach()
        self._announce = announce
        super().__init__()

    def load_config(self) -> None:
        """Set what differs from Gunicorn's defaults."""
        options = {
            "bind": f"fd://{self._descriptor}",
            "backlog": BACKLOG,
            "workers": int(self._settings["WORKERS"]),
            "threads": int(self._settings["THREADS"]),
            "worker_class": Worker,
            # What the parser can hold: addresses make long query strings.
            "limit_request_line": 8190,
            # Scripts pause between calls; a new connection costs more than a kept one.
            "keepalive": 15,
            # A thread that sends a long list keeps its worker's heart beating.
            "timeout": 30,
            # A stopping server lets downloads end, but not for ever.
            "graceful_timeout": 10,
            "loglevel": "warning",
            # No control socket in the user's home folder.
            "control_socket_disable": True,
            "post_worker_init": self._started,
        }
        for name, value in options.items():
            self.cfg.set(name, value)

    def load(self) -> Any:
        """Make the application, in each worker."""
        return create_app(self._settings)

    def _started(self, worker: ThreadWorker) -> None:
        if worker.age == 1:
            self._announce()


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens; port 0 takes a free one.

    :raises ListenError: if the address is wrong or taken.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(BACKLOG)
    except (OSError, OverflowError) as error:
        listener.close()
        reason = getattr(error, "strerror", None) or error
        raise ListenError(f"cannot listen on {host}:{port}: {reason}") from None
    return listener


def address(listener: socket.socket) -> str:
    """Return the URL under which *listener* is reached."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
