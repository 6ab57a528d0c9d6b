"""An application with a temporary database, for tests."""

import json
import os
import shutil
import tempfile
import warnings
import weakref
from collections.abc import Iterable, Iterator, Mapping
from os import PathLike
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

from flask import got_request_exception
from werkzeug.wsgi import ClosingIterator

from sendgrid_bounces.app import DIALECTS, create_app
from sendgrid_bounces.control.effects import ConnectionDropped
from sendgrid_bounces.control.service import Control
from sendgrid_bounces.emulator import EXTENSION, Emulator
from sendgrid_bounces.schemas import seeds
from sendgrid_bounces.seeding import apply_seed
from sendgrid_bounces.web.dialect import Dialect

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

#: Fast hashes, of keys and of their tags: the keys of tests need no protection.
FAST_HASH = "scrypt:128:1:1"
FAST_COSTS = (2, 1, 1)

#: A seed: the path of a seed file, its text, or its parsed content.
Seed = str | PathLike[str] | Mapping[str, Any]


class TestApp:
    """A WSGI application that records its unexpected exceptions.

    :param database: the URL of the database; a temporary SQLite file if absent.
    :param seed: initial accounts: a path, text or mapping.
    :param settings: values by the names in :data:`sendgrid_bounces.config.SETTINGS`.
    """

    #: Pytest must not collect this class.
    __test__ = False

    def __init__(
        self,
        database: str | None = None,
        seed: Seed | None = None,
        settings: Mapping[str, str] | None = None,
        dialects: tuple[Dialect, ...] = DIALECTS,
    ) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="sendgrid-bounces-"))
        self._process = os.getpid()
        # Runs at exit at the latest, even if close() is never called.
        self._remove_folder = weakref.finalize(
            self, _remove_folder, self._folder, self._process
        )
        self.is_closed = False
        self._errors: list[BaseException] = []
        self._errors_lock = Lock()
        self._accounts = 0
        self._accounts_lock = Lock()
        self._owns_database = database is None
        file = f"sqlite:///{self._folder}/bounces.sqlite3?synchronous=off"
        values = {"DATABASE_URL": database or file, "KEY_HASH": FAST_HASH}
        try:
            files = [] if seed is None else [self._seed_file(seed)]
            self._app = create_app(
                {**values, "CONTROL": "on", "SEED": files, **(settings or {})},
                dialects=dialects,
                # Another process may use the other database, and find accounts by key.
                tag_costs=FAST_COSTS if self._owns_database else None,
            )
            self.emulator: Emulator = self._app.extensions[EXTENSION]
            self.control = Control(self.emulator)
        except BaseException:
            self._remove_folder()
            raise
        got_request_exception.connect(self._record, self._app)

    @property
    def is_inherited(self) -> bool:
        """Whether another process has created the application, and forked this one."""
        return os.getpid() != self._process

    @property
    def hosts(self) -> tuple[str, ...]:
        """The host names of the vendors that the application emulates."""
        dialects = self.emulator.dialects
        return tuple(dict.fromkeys(host for d in dialects for host in d.hosts))

    def load_seed(self, seed: Seed) -> list[str]:
        """Load *seed* in one transaction, and return the names of its accounts.

        :raises ParametersError: if *seed* is invalid.
        :raises NameTakenError: if one of its accounts exists under another reseller.
        """
        now, operations = self.emulator.clock.now(), self.emulator.operations
        doubts: list[tuple[str, str]] = []
        if _is_path(seed):
            parsed = seeds.read_seed_file(str(seed), now, operations, doubts)
        else:
            parsed = seeds.read_seed(_text(seed), now, operations, doubts)
        for place, text in doubts:
            warnings.warn(f"seed: {place}: {text}", stacklevel=2)
        apply_seed(self.emulator.storage, self.emulator.authenticator, parsed)
        return [account.username for account in parsed.accounts]

    def acquire(self) -> None:
        """Count a new test account."""
        with self._accounts_lock:
            self._accounts += 1

    def release(self) -> None:
        """Forget wrong keys; reset a temporary database after the last test account."""
        if self.is_inherited:
            return
        self.emulator.authenticator.forget_attempts()
        with self._accounts_lock:  # no test account is created during the reset
            self._accounts -= 1
            if not self._accounts and self._owns_database:
                self.control.reset()
                for snapshot in self.control.snapshots():
                    self.control.remove_snapshot(snapshot.name)

    def check(self) -> None:
        """Raise the first unexpected exception since the last check.

        Error responses of any status are expected.
        """
        with self._errors_lock:
            errors, self._errors = self._errors, []
        if errors:
            raise errors[0]

    def close(self) -> None:
        """Close the database and remove temporary files, unless inherited."""
        self.is_closed = True
        if self.is_inherited:
            return
        got_request_exception.disconnect(self._record, self._app)
        self.emulator.storage.close()
        self._remove_folder()

    def __call__(
        self, environ: "WSGIEnvironment", start_response: "StartResponse"
    ) -> Iterable[bytes]:
        """Answer a request."""
        body = self._app(environ, start_response)
        return ClosingIterator(self._stream(body), getattr(body, "close", None))

    def _stream(self, body: Iterable[bytes]) -> Iterator[bytes]:
        """Yield *body*, recording an exception that truncates it."""
        try:
            yield from body
        except ConnectionDropped:  # an injected fault
            raise
        except Exception as error:
            self._record(self._app, error)
            raise

    def _record(self, _app: object, exception: BaseException) -> None:
        with self._errors_lock:
            self._errors.append(exception)

    def _seed_file(self, seed: Seed) -> str:
        """Return the path of a file that contains *seed*; a reset reads it again."""
        if _is_path(seed):
            return str(seed)
        path = self._folder / "seed.yaml"
        path.write_text(_text(seed), encoding="utf-8")
        return str(path)


def _remove_folder(folder: Path, process: int) -> None:
    """Remove *folder*, unless this is a forked process, whose parent uses it."""
    if os.getpid() == process:
        shutil.rmtree(folder, ignore_errors=True)


def _text(seed: Seed) -> str:
    return seed if isinstance(seed, str) else json.dumps(seed)


def _is_path(seed: Seed) -> bool:
    """Return whether *seed* is a path, such as text of one line without a mapping."""
    if isinstance(seed, str):
        return "\n" not in seed and "{" not in seed
    return isinstance(seed, PathLike)
