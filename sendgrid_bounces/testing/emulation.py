"""The application that a test suite talks to, on a database that goes with it."""

import json
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from os import PathLike
from threading import Lock
from typing import TYPE_CHECKING, Any

from flask import got_request_exception
from werkzeug.wsgi import ClosingIterator

from sendgrid_bounces import seeds
from sendgrid_bounces.app import create_app
from sendgrid_bounces.emulator import EXTENSION, Emulator
from sendgrid_bounces.planting import plant

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

#: A hash that is quick to make and to check: no test suite guards its keys.
QUICK_HASH = "scrypt:128:8:1"

#: A seed: the path of a file, the text of one, or what such a text says.
Seed = str | PathLike[str] | Mapping[str, Any]


class Emulation:
    """An application of this process, whose mistakes are kept for the test they hit.

    It is a WSGI application itself.

    :param database: the URL of the database; without it, a file that goes with this.
    :param settings: of :data:`sendgrid_bounces.config.SETTINGS`, by name.
    """

    def __init__(
        self, database: str | None = None, seed: Seed | None = None, **settings: str
    ) -> None:
        self._folder = None
        if database is None:
            self._folder = tempfile.mkdtemp(prefix="sendgrid-bounces-")
            database = f"sqlite:///{self._folder}/bounces.sqlite3?synchronous=off"
        self._mistakes: list[BaseException] = []
        self._lock = Lock()
        try:
            self._app = create_app(
                {
                    "DATABASE_URL": database,
                    "KEY_HASH": QUICK_HASH,
                    "CONTROL": "on",
                    **settings,
                }
            )
            self.emulator: Emulator = self._app.extensions[EXTENSION]
            try:
                if seed is not None:
                    self.plant(seed)
            except BaseException:
                self.emulator.storage.close()
                raise
        except BaseException:
            self._remove_folder()
            raise
        got_request_exception.connect(self._keep, self._app)

    @cached_property
    def sealed_key(self) -> tuple[str, dict[str, Any]]:
        """The API key of all doubles, and what an account stores of it.

        One for all, as sealing takes longer than all else that a double needs.
        """
        key = "key-of-the-tests"
        return key, self.emulator.credentials.sealed(key)

    def plant(self, seed: Seed) -> list[str]:
        """Store *seed*; return the names of its accounts.

        :raises ParametersError: if it has a fault; nothing is stored, then.
        :raises NameTakenError: if a name belongs to somebody else.
        """
        now = self.emulator.clock.now()
        if _is_path(seed):
            sown = seeds.read_seed_file(str(seed), now)
        else:
            text = seed if isinstance(seed, str) else json.dumps(seed)
            sown = seeds.read_seed(text, now)
        plant(self.emulator.storage, self.emulator.credentials, sown)
        return [account.username for account in sown.accounts]

    def check(self) -> None:
        """Raise what went wrong in the application since the last time.

        What it refuses is none of that, whatever its status.
        """
        with self._lock:
            mistakes, self._mistakes = self._mistakes, []
        if mistakes:
            raise mistakes[0]

    def close(self) -> None:
        """Remove all that was made. Nothing may follow."""
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
        except Exception as error:
            self._keep(self._app, error)
            raise

    def _keep(self, _app: object, exception: BaseException) -> None:
        with self._lock:
            self._mistakes.append(exception)

    def _remove_folder(self) -> None:
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)


def _is_path(seed: Seed) -> bool:
    """Return whether *seed* is a path: a text of one line, without a mapping in it."""
    if isinstance(seed, str):
        return "\n" not in seed and "{" not in seed
    return isinstance(seed, PathLike)
