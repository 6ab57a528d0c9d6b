"""The application that a test suite talks to, on a database that goes with it."""

import json
import shutil
import tempfile
import weakref
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from os import PathLike
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

from flask import got_request_exception
from werkzeug.wsgi import ClosingIterator

from sendgrid_bounces.app import create_app, load_seed_files
from sendgrid_bounces.control.effects import ConnectionDropped
from sendgrid_bounces.control.service import Control
from sendgrid_bounces.emulator import EXTENSION, Emulator
from sendgrid_bounces.schemas import seeds
from sendgrid_bounces.seeding import apply
from sendgrid_bounces.storage.database import closing_on_error

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

#: A hash that is quick to make and to check: no test suite guards its keys.
QUICK_HASH = "scrypt:128:8:1"

#: A seed: the path of a file, the text of one, or what such a text says.
Seed = str | PathLike[str] | Mapping[str, Any]


class TestApp:
    """An application of this process, whose mistakes are kept for the test they hit.

    It is a WSGI application itself.

    :param database: the URL of the database; without it, a file that goes with this.
    :param settings: of :data:`sendgrid_bounces.config.SETTINGS`, by name.
    """

    def __init__(
        self, database: str | None = None, seed: Seed | None = None, **settings: str
    ) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="sendgrid-bounces-"))
        # Also when the process ends, and nobody has closed this.
        self._remove_folder = weakref.finalize(
            self, shutil.rmtree, self._folder, ignore_errors=True
        )
        self.is_closed = False
        file = f"sqlite:///{self._folder}/bounces.sqlite3?synchronous=off"
        values = {"DATABASE_URL": database or file, "KEY_HASH": QUICK_HASH}
        self._errors: list[BaseException] = []
        self._lock = Lock()
        self._turns = Lock()
        self._doubles = 0
        self._is_ours = database is None
        try:
            seeds = [] if seed is None else [self._seed_file(seed)]
            self._app = create_app(
                {**values, "CONTROL": "on", **settings}, loaded_seeds=seeds
            )
            self.emulator: Emulator = self._app.extensions[EXTENSION]
            self.control = Control(self.emulator)
            with closing_on_error(self.emulator.storage):
                load_seed_files(self.emulator)
        except BaseException:
            self._remove_folder()
            raise
        got_request_exception.connect(self._keep, self._app)

    @cached_property
    def hashed_key(self) -> tuple[str, dict[str, Any]]:
        """The API key of all doubles, and what an account stores of it.

        One for all, as sealing takes longer than all else that a double needs.
        """
        key = "key-of-the-tests"
        return key, self.emulator.authenticator.hashed(key)

    def apply(self, seed: Seed) -> list[str]:
        """Store *seed*; return the names of its accounts.

        :raises ParametersError: if it has a fault; nothing is stored, then.
        :raises NameTakenError: if a name belongs to somebody else.
        """
        now = self.emulator.clock.now()
        if _is_path(seed):
            sown = seeds.read_seed_file(str(seed), now)
        else:
            sown = seeds.read_seed(_text(seed), now)
        apply(self.emulator.storage, self.emulator.authenticator, sown)
        return [account.username for account in sown.accounts]

    def enter(self) -> None:
        """Count a test that begins."""
        with self._turns:
            self._doubles += 1

    def leave(self) -> None:
        """Bring the seed back when the last test ends; what is not ours is left."""
        with self._turns:  # none begins meanwhile
            self._doubles -= 1
            if not self._doubles and self._is_ours:
                self.control.reset()
                for snapshot in self.control.snapshots():
                    self.control.remove_snapshot(snapshot.name)

    def check(self) -> None:
        """Raise what went wrong in the application since the last time.

        What it refuses is none of that, whatever its status.
        """
        with self._lock:
            errors, self._errors = self._errors, []
        if errors:
            raise errors[0]

    def close(self) -> None:
        """Remove all that was made. Nothing may follow."""
        self.is_closed = True
        got_request_exception.disconnect(self._keep, self._app)
        self.emulator.storage.close()
        self._remove_folder()

    def __call__(
        self, environ: "WSGIEnvironment", start_response: "StartResponse"
    ) -> Iterable[bytes]:
        """Answer a request."""
        pieces = self._app(environ, start_response)
        return ClosingIterator(self._watched(pieces), getattr(pieces, "close", None))

    def _watched(self, pieces: Iterable[bytes]) -> Iterator[bytes]:
        """Yield *pieces*, and keep the mistake that ends them early."""
        try:
            yield from pieces
        except ConnectionDropped:  # a fault that was asked for
            raise
        except Exception as error:
            self._keep(self._app, error)
            raise

    def _keep(self, _app: object, exception: BaseException) -> None:
        with self._lock:
            self._errors.append(exception)

    def _seed_file(self, seed: Seed) -> str:
        """Return the path of *seed* in a file, which a reset reads anew."""
        if _is_path(seed):
            return str(seed)
        path = self._folder / "seed.yaml"
        path.write_text(_text(seed), encoding="utf-8")
        return str(path)


def _text(seed: Seed) -> str:
    return seed if isinstance(seed, str) else json.dumps(seed)


def _is_path(seed: Seed) -> bool:
    """Return whether *seed* is a path: a text of one line, without a mapping in it."""
    if isinstance(seed, str):
        return "\n" not in seed and "{" not in seed
    return isinstance(seed, PathLike)
