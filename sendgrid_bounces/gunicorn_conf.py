"""Settings for Gunicorn: ``gunicorn -c python:sendgrid_bounces.gunicorn_conf ...``.

Gunicorn reads each variable that has the name of one of its own settings; its flags
win.
"""

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

from sendgrid_bounces.app import prepare_database
from sendgrid_bounces.config import load_config
from sendgrid_bounces.core.errors import BounceError
from sendgrid_bounces.server.access_log import check_writable
from sendgrid_bounces.server.gunicorn_app import gunicorn_settings
from sendgrid_bounces.server.sockets import SharedContext, authority
from sendgrid_bounces.server.tls import server_context
from sendgrid_bounces.server.worker import check_open_files
from sendgrid_bounces.storage.database import empty_journal
from sendgrid_bounces.storage.engine import Identity


def _exit(number: int, _frame: Any) -> None:
    os._exit(128 + number)


@contextmanager
def _stoppable() -> Iterator[None]:
    """Let signals end the process: Gunicorn would handle them afterwards."""
    numbers = (signal.SIGTERM, signal.SIGINT)
    # The first process of a container ignores signals without a handler.
    action = _exit if os.getpid() == 1 else signal.SIG_DFL
    handlers = [signal.signal(number, action) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, handlers, strict=True):
            signal.signal(number, handler)


def when_ready(server: Any) -> None:
    """Prepare the database once, before the workers start, and print the addresses.

    A server whose port is in use changes nothing. Port 0 picks any port.
    """
    global DATABASE  # the workers inherit this module
    try:
        with _stoppable(), closing(prepare_database(CONFIG)) as storage:
            DATABASE = storage.engine.identity
    except BounceError as error:
        sys.exit(f"Error: {error}")
    for listener in server.LISTENERS:
        print(f"Listening on {listener}", flush=True)  # noqa: T201 - output of a command


def on_exit(_server: Any) -> None:
    """Let SQLite empty its write-ahead log once all workers have ended."""
    if DATABASE is not None:
        empty_journal(CONFIG.database_url, DATABASE)


try:
    #: The settings of all workers, which inherit this module from the master.
    CONFIG = load_config(environment=os.environ)
    server_context(CONFIG.ssl_cert, CONFIG.ssl_key)
    check_writable(CONFIG.access_log)
    check_open_files(CONFIG.threads)
except BounceError as error:
    sys.exit(f"Error: {error}")

#: The identity of the database, once it is prepared.
DATABASE: Identity | None = None

globals().update(gunicorn_settings(CONFIG, SharedContext()))
bind = authority(CONFIG.host, CONFIG.port)
