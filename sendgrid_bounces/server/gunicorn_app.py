"""Gunicorn, adapted: its settings, and the server that ``serve`` runs."""

import os
import socket
import sys
import time
from collections.abc import Callable
from typing import Any

from flask import Flask
from gunicorn.app.base import BaseApplication
from gunicorn.arbiter import Arbiter
from gunicorn.workers.gthread import ThreadWorker

from sendgrid_bounces.app import create_app
from sendgrid_bounces.config import Config, load_config
from sendgrid_bounces.core.errors import BounceError, StorageError
from sendgrid_bounces.server.access_log import TERMINAL_FORMAT, RedactingLogger
from sendgrid_bounces.server.sockets import BACKLOG, SharedContext
from sendgrid_bounces.server.worker import Worker
from sendgrid_bounces.storage.database import empty_journal
from sendgrid_bounces.storage.engine import Identity

#: The folder of the workers' heartbeat files, where there is one.
MEMORY_FOLDER = "/dev/shm"  # noqa: S108 - of open files without names

#: Seconds between a worker that cannot open the database and the next attempt.
RETRY_SECONDS = 1


def gunicorn_settings(config: Config, context: SharedContext) -> dict[str, Any]:
    """Return the settings of Gunicorn that differ from its defaults.

    :param context: the same after a reload.
    """

    def set_idle_timeout(_arbiter: Any, worker: Worker) -> None:
        worker.idle_timeout = config.timeout

    return {
        # A process runs Python code on one core; small machines have two.
        "workers": config.workers,
        # A slow reader occupies a thread; idle threads cost nothing.
        "threads": config.threads,
        # Threads instead of greenlets: a long list never delays small requests.
        "worker_class": f"{Worker.__module__}.{Worker.__name__}",
        "post_fork": set_idle_timeout,
        # A client on this machine, such as a proxy's, cannot move the paths.
        "forwarder_headers": "",
        # The maximum of the parser: many addresses make a long query string.
        "limit_request_line": 8190,
        # Scripts pause between calls, and connecting costs more than keeping.
        "keepalive": 15,
        # Detects hung workers only: threads that wait for clients do not delay the
        # heartbeat.
        "timeout": 60,
        # A stopping server lets downloads finish, up to this many seconds.
        "graceful_timeout": 10,
        "backlog": BACKLOG,
        "loglevel": "warning",
        "accesslog": config.access_log or None,
        "logger_class": RedactingLogger,
        # Gunicorn's would log the path, which a key can be a part of.
        "pre_request": _do_nothing,
        "certfile": config.ssl_cert or None,
        "keyfile": config.ssl_key or None,
        "ssl_context": context.get,
        "pre_fork": context.prepare,
        "on_reload": context.reload,
        # A removed or full folder for temporary files does not stop the workers.
        "worker_tmp_dir": MEMORY_FOLDER if os.access(MEMORY_FOLDER, os.W_OK) else None,
        # No control socket in the home folder of the user.
        "control_socket_disable": True,
    }


def _do_nothing(_worker: Worker, _request: Any) -> None:
    """Replace a hook of Gunicorn."""


def load_app(config: Config | None, prepared: Identity | None = None) -> Flask:
    """Return the application of a worker process, or exit with a message.

    :param config: the settings of the parent process, which loads the seed files; None
        to read the settings from the environment and load the seed files here.
    :param prepared: the identity of the database that the parent process has prepared,
        or None. Without it, a new worker would create another database after the
        removal of a file.
    """
    try:
        if config is None:
            return create_app(load_config(environment=os.environ))
        return create_app(config, load_seeds=False, prepared=prepared)
    except StorageError as error:
        # Gunicorn starts another worker, which can succeed once the database is back.
        sys.stderr.write(f"Error: {error}\n")
        time.sleep(RETRY_SECONDS)
        sys.exit(1)
    except BounceError as error:
        sys.stderr.write(f"Error: {error}\n")
        sys.exit(Arbiter.APP_LOAD_ERROR)


class _Arbiter(Arbiter):
    """Gunicorn's arbiter, which survives when it cannot start a process."""

    def handle_usr2(self) -> None:
        """Do nothing: another server would load the seed files again."""
        self.log.warning("USR2 has no effect on serve; HUP replaces the workers")

    def spawn_worker(self) -> int | None:
        """Start a worker, or wait before the next attempt."""
        try:
            pid: int | None = super().spawn_worker()
        except OSError as error:
            self.log.error("cannot start a worker: %s", error)  # noqa: TRY400 - no bug
            time.sleep(RETRY_SECONDS)
            return None
        return pid


class Server(BaseApplication):
    """A Gunicorn that serves the application of *config* on a listening socket.

    :param prepared: the identity of the database, which is prepared already.
    :param announce: called once, when the first worker accepts requests.
    :param shows_requests: whether to print a line for each request on stderr, if there
        is no access log.
    """

    def __init__(
        self,
        config: Config,
        prepared: Identity,
        listener: socket.socket,
        announce: Callable[[], None],
        *,
        shows_requests: bool = False,
    ) -> None:
        self._config, self._prepared = config, prepared
        self._shows_requests = shows_requests and not config.access_log
        self._descriptor = listener.detach()
        self._announce = announce
        self._context = SharedContext()
        # One byte, which the first worker reads: all workers share the pipe.
        self._first, writer = os.pipe()
        os.write(writer, b"1")
        os.close(writer)
        super().__init__()

    def load_config(self) -> None:
        """Apply the settings of Gunicorn."""
        for name, value in gunicorn_settings(self._config, self._context).items():
            self.cfg.set(name, value)
        if self._shows_requests:
            self.cfg.set("accesslog", "-")
            self.cfg.set("access_log_format", TERMINAL_FORMAT)
        self.cfg.set("bind", f"fd://{self._descriptor}")
        self.cfg.set("post_worker_init", self._start)
        self.cfg.set("on_exit", self._finish)

    def reload(self) -> None:
        """Keep the settings: a reload replaces the workers only.

        Gunicorn would read them again, and exit if the working folder was removed.
        """

    def run(self) -> None:
        """Run until a signal arrives."""
        try:
            _Arbiter(self).run()
        except RuntimeError as error:
            sys.exit(f"Error: {error}")

    def load(self) -> Flask:
        """Return the application, in a worker."""
        return load_app(self._config, self._prepared)

    def _start(self, worker: ThreadWorker) -> None:
        if os.read(self._first, 1):
            self._announce()
        if self._config.control:
            from sendgrid_bounces.pages.routes import warm_up  # often not needed

            warm_up(worker.wsgi)

    def _finish(self, _arbiter: Arbiter) -> None:
        """Let SQLite empty its write-ahead log once all workers have ended."""
        empty_journal(self._config.database_url, self._prepared)
