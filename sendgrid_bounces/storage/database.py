"""Open a database by its URL."""

import re
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from urllib.parse import SplitResult, quote, unquote, urlsplit

from sendgrid_bounces.core.errors import StorageError
from sendgrid_bounces.storage import schema
from sendgrid_bounces.storage.accounts import AccountStore
from sendgrid_bounces.storage.bounce_counts import BounceCounts
from sendgrid_bounces.storage.bounces import BounceStore
from sendgrid_bounces.storage.clock import ClockStore
from sendgrid_bounces.storage.contents import ContentsStore
from sendgrid_bounces.storage.engine import Engine, Identity
from sendgrid_bounces.storage.faults import FaultStore
from sendgrid_bounces.storage.health import HealthCheck
from sendgrid_bounces.storage.mysql import open_mysql
from sendgrid_bounces.storage.pulls import PullStore
from sendgrid_bounces.storage.requests import DEFAULT_SIZE, RequestStore
from sendgrid_bounces.storage.snapshots import SnapshotStore
from sendgrid_bounces.storage.sources import SourceStore
from sendgrid_bounces.storage.sqlite import open_sqlite

#: The engine for each URL scheme.
ENGINES: dict[str, Callable[[SplitResult], Engine]] = {
    "sqlite": open_sqlite,
    "mysql": open_mysql,
    "mariadb": open_mysql,
    "mysql+pymysql": open_mysql,
    "mariadb+pymysql": open_mysql,
}

#: The URLs that an error message names; the other schemes are synonyms.
SHOWN_URLS = "sqlite:///FILE, mysql://... or mariadb://..."

#: Characters of a path that have another meaning in a URL, or that it does not keep.
_RESERVED = re.compile(r"[%?#\s]")

#: A path in the place of a URL, which has no password.
_FILE_NAME = re.compile(r"[\w./~-]+")


@dataclass(frozen=True, slots=True)
class Storage:
    """An open database and its stores."""

    engine: Engine
    accounts: AccountStore
    bounces: BounceStore
    bounce_counts: BounceCounts
    clock: ClockStore
    contents: ContentsStore
    snapshots: SnapshotStore
    faults: FaultStore
    requests: RequestStore
    sources: SourceStore
    pulls: PullStore
    health: HealthCheck

    def close(self) -> None:
        """Close the connections of all threads. The object is unusable afterwards."""
        self.engine.close()


@contextmanager
def closing_on_error(storage: Storage) -> Iterator[None]:
    """Close *storage* if the block raises."""
    try:
        yield
    except BaseException:
        storage.close()
        raise


def open_storage(
    url: str,
    *,
    create: bool = True,
    prepared: Identity | None = None,
    log_size: int = DEFAULT_SIZE,
) -> Storage:
    """Open the database at *url*.

    :param create: whether to create missing tables.
    :param prepared: the identity of the database that the parent process has prepared.
        The first use opens the database.
    :param log_size: the maximum number of entries in the request log.
    :raises AbsentError: if the tables are missing and must not be created.
    :raises StorageError: if the URL is invalid, if the database does not open, or if
        a newer version of the package created it.
    """
    engine = _open_engine(url)
    try:
        if prepared is None:
            schema.prepare(engine, create=create)
        else:
            engine.expect(prepared)
    except BaseException:
        engine.close()
        raise
    accounts, bounces = AccountStore(engine), BounceStore(engine)
    sources = SourceStore(engine)
    return Storage(
        engine,
        accounts,
        bounces,
        BounceCounts(engine),
        ClockStore(engine),
        ContentsStore(engine),
        SnapshotStore(engine, accounts),
        FaultStore(engine),
        RequestStore(engine, partial(schema.read_key_salt, engine), log_size),
        sources,
        PullStore(engine, bounces, sources),
        HealthCheck(engine),
    )


def create_database(url: str) -> None:
    """Create the database at *url* on its server, without tables, unless it exists.

    :raises StorageError: if the URL is invalid, or the server refuses.
    """
    with closing(_open_engine(url)) as engine:
        engine.create_database()


def empty_journal(url: str, identity: Identity) -> None:
    """Empty the write-ahead log that the processes of a server have left.

    Nothing happens if other processes use the database, or if the file was replaced.
    Errors are ignored: the next process that opens the database empties the log.
    """
    with suppress(StorageError, OSError), closing(_open_engine(url)) as engine:
        engine.expect(identity)
        engine.empty_journal()


def absolute_url(url: str) -> str:
    """Return *url*; that of a file with an absolute path.

    The result stays valid when the working folder has been removed.
    """
    parts = urlsplit(url)
    if parts.scheme != "sqlite":
        return url
    path = str(Path(unquote(parts.path[1:])).absolute())  # may not be UTF-8
    encoded = _RESERVED.sub(lambda found: quote(found[0]), path)
    return f"sqlite:///{encoded}" + (f"?{parts.query}" if parts.query else "")


def _open_engine(url: str) -> Engine:
    """Return the engine for *url*, which may not be connected yet."""
    try:
        parts = urlsplit(url)
    except ValueError:
        raise StorageError("the database URL is not a valid URL") from None
    if parts.scheme not in ENGINES:
        hint = ""
        if _FILE_NAME.fullmatch(url):
            hint = f" (got '{url}'; did you mean 'sqlite:///{url}'?)"
        raise StorageError(f"the database URL must be {SHOWN_URLS}{hint}")
    return ENGINES[parts.scheme](parts)
