"""Opening a database, transactions, connections and errors, on each engine."""

import errno
import os
import shutil
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, nullcontext
from functools import partial
from pathlib import Path
from queue import Queue
from threading import Event, Thread
from types import SimpleNamespace
from unittest.mock import Mock
from urllib.parse import urlsplit

import pytest
from conftest import bounce

from sendgrid_bounces.core.bounces import BounceQuery
from sendgrid_bounces.core.errors import AbsentError, ConflictError, StorageError
from sendgrid_bounces.core.faults import FaultRule, StoredFault
from sendgrid_bounces.core.sources import SourceSettings
from sendgrid_bounces.storage import (
    health,
    mysql,
    sqlite,
    sqlite_checkpoints,
    sqlite_files,
    writers,
)
from sendgrid_bounces.storage.backups import write_backup
from sendgrid_bounces.storage.database import Storage, absolute_url, open_storage
from sendgrid_bounces.storage.sqlite import JOURNAL_SUFFIXES, open_sqlite
from sendgrid_bounces.storage.tables import (
    SCHEMA_VERSION,
    BounceListRow,
    FaultRow,
    SnapshotChunkRow,
    SourceRow,
)


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("postgres://localhost/x", "sqlite://"),
        ("", "sqlite://"),
        ("http://[::1", "not a valid URL"),
        ("sqlite:bounces.db", "three slashes"),
        ("sqlite://bounces.db", "three slashes"),
        ("sqlite:///", "three slashes"),
        ("sqlite:///:memory:", "one thread"),
        ("sqlite:////no/such/folder/b.db", "folder /no/such/folder does not exist"),
        ("sqlite:///b.db?synchronous=maybe", "synchronous="),
        ("sqlite:///b.db?cache=shared", "synchronous="),
        ("sqlite:///b.db?synchronus", "synchronous="),
        ("sqlite:///a%00b", "not a file name"),
    ],
)
def test_invalid_urls_are_rejected(url: str, message: str) -> None:
    """The error describes the expected form."""
    with pytest.raises(StorageError, match=message) as raised:
        open_storage(url)
    assert raised.value.code is None


@pytest.mark.parametrize("name", ["a b?c#d%.db", "\u00e4.db"])
def test_file_names_in_urls_are_decoded(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Relative and absolute names may contain any character in encoded form."""
    encoded = name.replace("%", "%25").replace("?", "%3F").replace("#", "%23")
    monkeypatch.chdir(tmp_path)
    open_storage(f"sqlite:///{encoded.replace(' ', '%20')}").close()
    storage = open_storage(f"sqlite:///{tmp_path}/{encoded}", create=False)
    storage.close()

    assert (tmp_path / name).exists()


@pytest.mark.parametrize(
    ("option", "level", "relaxed_level"),
    [
        ("", 2, 1),
        ("?synchronous=full", 2, 1),
        ("?synchronous=normal", 1, 1),
        ("?synchronous=off", 0, 0),
    ],
)
def test_connections_to_sqlite_are_configured(
    tmp_path: Path, option: str, level: int, relaxed_level: int
) -> None:
    """Commits wait for the disk unless the URL or a relaxed transaction allows less."""
    expected = {
        "journal_mode": "wal",
        "synchronous": level,
        "foreign_keys": 1,
        "busy_timeout": 30_000,
    }

    def pragmas(engine) -> dict:
        return {name: engine.fetch(f"PRAGMA {name}")[0][0] for name in expected}

    with closing(open_storage(f"sqlite:///{tmp_path}/b.sqlite3{option}")) as storage:
        assert pragmas(storage.engine) == expected
        relaxed = {"synchronous": relaxed_level, "busy_timeout": 5_000}
        assert pragmas(storage.engine.relaxed(5)) == {**expected, **relaxed}


def test_missing_database_is_not_created_by_default_reads(
    url: str, tmp_path: Path
) -> None:
    """``create=False`` raises and leaves no file behind."""
    with pytest.raises(AbsentError, match="there is no sqlite database .* yet"):
        open_storage(url, create=False)
    assert list(tmp_path.iterdir()) == []


def test_removed_file_is_not_created_again(url: str, tmp_path: Path) -> None:
    """Connections of later threads fail instead of using an empty file."""
    with closing(open_storage(url)) as storage:
        for path in tmp_path.iterdir():
            path.unlink()
        errors: list[str] = []

        def read() -> None:
            for action in (
                storage.accounts.all,
                storage.health.check,
                storage.faults.clear,
            ):
                try:
                    action()
                except StorageError as error:
                    errors.append(str(error))

        thread = Thread(target=read)
        thread.start()
        thread.join()

        assert len(errors) == 3
        assert list(tmp_path.iterdir()) == []
        with pytest.raises(StorageError, match="no longer exists"):
            storage.health.check()


@pytest.mark.parametrize("is_replaced", [False, True], ids=["removed", "replaced"])
def test_writes_into_a_removed_file_are_refused(
    url: str, tmp_path: Path, is_replaced
) -> None:
    """SQLite would accept them, and lose them when the connection is closed."""
    with closing(open_storage(url)) as storage:
        storage.accounts.add("before", key_hash="", key_tag=0)
        for path in tmp_path.iterdir():
            content = path.read_bytes()
            path.rename(tmp_path.parent / path.name)
            if is_replaced:
                path.write_bytes(content)

        for write in (
            lambda: storage.accounts.add("after", key_hash="", key_tag=0),
            storage.faults.clear,
            storage.health.check,
        ):
            with pytest.raises(StorageError, match="no longer exists: .*restart"):
                write()


def test_damaged_page_is_reported(url: str, tmp_path: Path, monkeypatch) -> None:
    """The trial write of the health check does not meet it, but all other writes do."""
    monkeypatch.setattr(writers, "FAILURE_SECONDS", 0)
    file = tmp_path / "bounces.sqlite3"
    open_storage(url).close()
    with closing(sqlite3.connect(file)) as connection:
        find = "SELECT rootpage FROM sqlite_master WHERE name = 'account'"
        ((page,),) = connection.execute(find)
        ((size,),) = connection.execute("PRAGMA page_size")
    with file.open("r+b") as damaged:
        damaged.seek((page - 1) * size)
        damaged.write(b"\xff" * size)

    with closing(open_storage(url)) as storage:
        storage.health.check()
        with pytest.raises(StorageError, match="malformed"):
            storage.accounts.add("a", key_hash="", key_tag=0)
        monkeypatch.setattr(health, "INTERVAL", 0)
        with pytest.raises(StorageError) as raised:
            storage.health.check()
        assert raised.value.reason.endswith("written: database disk image is malformed")
        storage.faults.clear()
        storage.health.check()


@pytest.mark.parametrize("is_replaced", [False, True], ids=["removed", "replaced"])
def test_process_that_starts_later_uses_no_other_file(
    url: str, tmp_path: Path, is_replaced
) -> None:
    """Such as a worker after a reload: its parent has prepared the database."""
    file, other = tmp_path / "bounces.sqlite3", tmp_path / "other.sqlite3"
    with closing(open_storage(url)) as storage:
        identity = storage.engine.identity
    with closing(open_storage(url, prepared=identity)) as storage:
        assert storage.accounts.all() == []
    with closing(open_storage(f"sqlite:///{other}")):
        file.unlink()
        if is_replaced:
            other.rename(file)
        before = sorted(tmp_path.iterdir())
        with closing(open_storage(url, prepared=identity)) as storage:
            for call in (storage.accounts.all, storage.faults.clear):
                with pytest.raises(StorageError, match="no longer exists: .*restart"):
                    call()
        assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize("left", ["nothing", "a copy", "a link"])
@pytest.mark.parametrize("suffix", JOURNAL_SUFFIXES)
def test_writes_without_the_write_ahead_log_are_refused(
    url: str, tmp_path: Path, suffix: str, left: str
) -> None:
    """Connections of other threads would write to a new one, or cannot be opened."""
    wal = tmp_path / f"bounces.sqlite3{suffix}"
    errors: list[str] = []

    def write() -> None:
        for name in ("first", "second"):
            try:
                storage.accounts.add(name, key_hash="", key_tag=0)
            except StorageError as error:
                errors.append(error.reason)

    with closing(open_storage(url)) as storage:
        storage.accounts.add("before", key_hash="", key_tag=0)
        content = wal.read_bytes()
        wal.rename(tmp_path / "moved")
        if left == "a copy":
            wal.write_bytes(content)
        if left == "a link":
            wal.symlink_to(tmp_path / "moved")
        for _ in range(2):
            thread = Thread(target=write)
            thread.start()
            thread.join()
        with pytest.raises(StorageError, match=f"{suffix} .* was removed .*restart"):
            storage.health.check()

    assert len(errors) == 4
    message = f"{suffix} (write-ahead log) was removed"
    assert {message in error for error in errors} == {True}


@pytest.mark.parametrize("suffixes", [["-shm"], JOURNAL_SUFFIXES])
def test_new_worker_without_the_index_of_the_log_is_refused(
    url: str, tmp_path: Path, monkeypatch, suffixes: list[str]
) -> None:
    """Other workers use the removed files: writes with new ones could be lost."""
    monkeypatch.setattr(sqlite, "INDEX_TIMEOUT", 0.1)
    with closing(open_storage(url)) as storage:
        storage.accounts.add("before", key_hash="", key_tag=0)
        for suffix in suffixes:
            (tmp_path / f"bounces.sqlite3{suffix}").unlink()
        prepared = storage.engine.identity
        with (
            closing(open_storage(url, prepared=prepared)) as worker,
            pytest.raises(StorageError, match=r"-shm .* was removed, or the file was"),
        ):
            worker.accounts.all()


#: A program that adds an account to a database, with its first arguments.
ADD_ACCOUNT = """if True:
    import sys
    from sendgrid_bounces.storage.database import open_storage
    try:
        open_storage(sys.argv[1]).accounts.add(sys.argv[2])
    except Exception as error:
        print(error)
"""


def add_account(url: str, name: str, prefix: Sequence[str] = ()) -> str:
    """Add an account in another process, and return the error."""
    command = [*prefix, sys.executable, "-c", ADD_ACCOUNT, url, name]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_command_without_the_index_of_a_used_log_is_refused(url: str, tmp_path) -> None:
    """If no process uses the log, SQLite restores the index."""
    path = tmp_path / "bounces.sqlite3"
    with closing(open_storage(url)) as storage:
        storage.accounts.add("before")
        Path(f"{path}-shm").unlink()
        log = Path(f"{path}-wal").read_bytes()
        assert "-shm (write-ahead log) was removed, or" in add_account(url, "after")
        assert not Path(f"{path}-shm").exists()
    Path(f"{path}-wal").write_bytes(log)  # of a server that was killed
    assert add_account(url, "after") == ""
    with closing(open_storage(url)) as storage:
        names = {account.username for account in storage.accounts.all()}
    assert names == {"before", "after"}


def test_file_that_is_used_under_another_name_is_refused(url: str, tmp_path) -> None:
    """Each name has a write-ahead log, which the other processes do not read."""
    moved = tmp_path / "moved.sqlite3"
    with closing(open_storage(url)) as storage:
        storage.accounts.add("before")
        (tmp_path / "bounces.sqlite3").rename(moved)
        error = add_account(f"sqlite:///{moved}", "after")
        assert "or the file was moved, while another process uses it" in error
        assert not Path(f"{moved}-wal").exists()


def test_processes_that_open_a_file_at_once_wait_for_each_other(url: str) -> None:
    with closing(open_storage(url)) as storage:
        storage.accounts.add("before")
    names = {f"name-{number}" for number in range(8)}
    with ThreadPoolExecutor(len(names)) as pool:
        assert {*pool.map(partial(add_account, url), names)} == {""}
    with closing(open_storage(url)) as storage:
        assert storage.accounts.count() == len(names) + 1


@pytest.mark.parametrize("is_new", [True, False], ids=["new", "running"])
def test_file_that_became_a_link_is_refused(url: str, tmp_path, is_new) -> None:
    """SQLite would create a second write-ahead log, beside the moved file."""
    file = tmp_path / "bounces.sqlite3"
    with closing(open_storage(url)) as storage:
        storage.accounts.add("before", key_hash="", key_tag=0)
        file.rename(tmp_path / "moved")
        file.symlink_to(tmp_path / "moved")
        with pytest.raises(StorageError, match="was removed or replaced"):
            storage.accounts.add("after", key_hash="", key_tag=0)
        prepared = storage.engine.identity
        with (
            closing(open_storage(url, prepared=prepared)) as worker,
            pytest.raises(StorageError, match="was removed or replaced"),
        ):
            (worker if is_new else storage).health.check()
        assert not (tmp_path / "moved-wal").exists()


def test_link_of_a_folder_that_was_switched_back_is_followed(tmp_path: Path) -> None:
    """A worker that starts meanwhile refuses the other folder, and not this one."""
    folder, other, link = (tmp_path / name for name in ("folder", "other", "link"))
    for each in (folder, other):
        each.mkdir()
    link.symlink_to(folder)
    url = f"sqlite:///{link / 'bounces.sqlite3'}"
    with closing(open_storage(url)) as storage:
        storage.accounts.add("before")
        link.unlink()
        link.symlink_to(other)
        prepared = storage.engine.identity
        with closing(open_storage(url, prepared=prepared)) as worker:
            with pytest.raises(StorageError, match="was removed or replaced"):
                worker.accounts.add("meanwhile")
            link.unlink()
            link.symlink_to(folder)
            worker.accounts.add("after")
        assert storage.accounts.count() == 2


def test_log_of_a_linked_file_is_watched(tmp_path: Path) -> None:
    """SQLite has the log beside the file, not beside the link."""
    (tmp_path / "data").mkdir()
    link = tmp_path / "link.sqlite3"
    link.symlink_to(tmp_path / "data" / "bounces.sqlite3")
    with closing(open_storage(f"sqlite:///{link}")) as storage:
        storage.accounts.add("before", key_hash="", key_tag=0)
        file = tmp_path / "data" / "bounces.sqlite3"
        assert file.stat().st_mode & 0o777 == 0o600
        (tmp_path / "data" / "bounces.sqlite3-wal").unlink()
        with pytest.raises(StorageError, match="-wal .* was removed"):
            storage.accounts.add("after", key_hash="", key_tag=0)


@pytest.fixture(name="grown")
def _grown(tmp_path: Path, monkeypatch) -> Iterator[Storage]:
    """A database whose write-ahead log has always grown."""
    monkeypatch.setattr(sqlite_checkpoints, "MAX_JOURNAL", 0)
    monkeypatch.setattr(sqlite, "CHECKPOINT_STEP", 1)
    with closing(open_storage(f"sqlite:///{tmp_path / 'bounces.sqlite3'}")) as storage:
        yield storage


def log_size(storage: Storage) -> int:
    return Path(f"{storage.engine.location}-wal").stat().st_size


def test_write_ahead_log_is_emptied_when_it_has_grown(grown: Storage) -> None:
    """The automatic checkpoints cannot do so while reads overlap."""
    with closing(sqlite3.connect(grown.engine.location, isolation_level=None)) as other:
        other.execute("BEGIN")
        other.execute("SELECT * FROM account").fetchall()
        grown.accounts.add("first")
        assert log_size(grown) > 0
        other.execute("COMMIT")
        grown.accounts.add("second")
        assert log_size(grown) == 0
        assert grown.accounts.count() == 2


def test_search_does_not_empty_a_log_whose_index_was_removed(
    grown: Storage, monkeypatch
) -> None:
    """Other processes could use the log with another index."""
    monkeypatch.setattr(sqlite, "CHECKPOINT_STEP", 1_000)
    grown.accounts.add("first")
    size = log_size(grown)
    assert size > 0
    Path(f"{grown.engine.location}-shm").unlink()
    monkeypatch.setattr(sqlite_checkpoints, "CHECKPOINT_TIMEOUT", 0)
    assert grown.engine.search("SELECT 7", (), 1) == [(7,)]
    assert log_size(grown) == size


@pytest.mark.parametrize(("space", "is_empty"), [(0, True), (2**40, False)])
def test_write_ahead_log_is_emptied_on_a_nearly_full_volume(
    tmp_path: Path, monkeypatch, space: int, *, is_empty: bool
) -> None:
    """It would take the rest, so that no write succeeds any more."""
    monkeypatch.setattr(sqlite, "CHECKPOINT_STEP", 1)
    monkeypatch.setattr(sqlite_checkpoints, "free_space", lambda _: space)
    with closing(open_storage(f"sqlite:///{tmp_path / 'bounces.sqlite3'}")) as storage:
        storage.accounts.add("first")
        assert (log_size(storage) == 0) is is_empty


def test_searches_do_not_wait_on_a_nearly_full_volume(
    tmp_path: Path, monkeypatch
) -> None:
    """The log is never empty beside writers."""
    monkeypatch.setattr(sqlite_checkpoints, "free_space", lambda _: 0)
    monkeypatch.setattr(sqlite.time, "sleep", Mock(side_effect=AssertionError))
    with closing(open_storage(f"sqlite:///{tmp_path / 'bounces.sqlite3'}")) as storage:
        storage.accounts.add("first")
        assert log_size(storage) > 0
        assert storage.engine.search("SELECT 7", (), 1) == [(7,)]
        assert log_size(storage) > 0


def test_searches_wait_until_the_write_ahead_log_is_empty(
    grown: Storage, monkeypatch
) -> None:
    """So that earlier ones end; a write does not wait meanwhile."""
    monkeypatch.setattr(sqlite, "CHECKPOINT_STEP", 1_000)
    grown.accounts.add("first")
    searched: list[object] = []

    def search() -> None:
        searched.append(grown.engine.search("SELECT 7", (), 1))

    thread = threading.Thread(target=search)
    with closing(sqlite3.connect(grown.engine.location, isolation_level=None)) as other:
        other.execute("BEGIN")
        other.execute("SELECT * FROM account").fetchall()
        grown.accounts.add("second")
        thread.start()
        thread.join(0.3)
        assert not searched
        monkeypatch.setattr(sqlite, "CHECKPOINT_STEP", 1)
        grown.accounts.add("third")
        assert thread.is_alive()
        other.execute("COMMIT")
    thread.join(10)
    assert searched == [[(7,)]]
    assert log_size(grown) == 0


def test_searches_wait_for_a_long_read_once(grown: Storage, monkeypatch) -> None:
    monkeypatch.setattr(sqlite, "CHECKPOINT_STEP", 1_000)
    monkeypatch.setattr(sqlite_checkpoints, "CHECKPOINT_TIMEOUT", 0.1)
    with closing(sqlite3.connect(grown.engine.location, isolation_level=None)) as other:
        other.execute("BEGIN")
        other.execute("SELECT * FROM account").fetchall()
        grown.accounts.add("first")
        pauses: list[float] = []
        monkeypatch.setattr(sqlite.time, "sleep", pauses.append)
        for _ in range(2):
            assert grown.engine.search("SELECT 7", (), 1) == [(7,)]
            number = len(pauses)
    assert number == len(pauses) > 0
    assert grown.engine._checkpoints._next_wait > 0


def test_file_with_two_names_is_refused(tmp_path: Path) -> None:
    """A write by one of them would be lost by a write by the other."""
    file, link = tmp_path / "bounces.sqlite3", tmp_path / "link.sqlite3"
    with closing(open_storage(f"sqlite:///{file}")) as storage:
        storage.accounts.add("acme")
        link.hardlink_to(file)
        storage.accounts.add("more")  # no other process can open the file now
        for name in (file, link):
            with pytest.raises(StorageError, match=r"has 2 names \(hard links\)"):
                open_storage(f"sqlite:///{name}")
    link.unlink()
    with closing(open_storage(f"sqlite:///{file}")) as storage:
        assert storage.accounts.count() == 2


NAMESPACE = ["unshare", "--user", "--map-root-user", "--mount"]


@pytest.mark.skipif(
    not shutil.which("unshare")
    or subprocess.run([*NAMESPACE, "true"], check=False).returncode,
    reason="requires user namespaces",
)
def test_file_that_is_mounted_alone_is_refused(tmp_path: Path) -> None:
    """Containers mount files so. Each name would have a write-ahead log."""
    file, mounted = tmp_path / "bounces.sqlite3", tmp_path / "of a container"
    with closing(open_storage(f"sqlite:///{file}")) as storage:
        storage.accounts.add("acme")
    mounted.touch()
    prefix = [*NAMESPACE, "sh", "-c", 'mount --bind "$0" "$1" && shift && exec "$@"']
    prefix += [str(file), str(mounted)]
    error = add_account(f"sqlite:///{mounted}", "more", prefix)
    assert "is mounted without its folder" in error
    assert not Path(f"{mounted}-wal").exists()


def test_mounted_files_are_found_by_their_names(tmp_path: Path, monkeypatch) -> None:
    table = tmp_path / "mounts"
    table.write_bytes(
        b"63 43 254:0 / / rw,relatime - ext4 /dev/vda rw\n"
        b"64 63 254:0 /data/b /data/a\\040\\134\xc3\xa9 rw - ext4 /dev/vda rw\n"
    )
    monkeypatch.setattr(sqlite_files, "MOUNTS", table)
    assert sqlite_files.is_mount_point(Path("/data/a \\é"))
    assert not sqlite_files.is_mount_point(Path("/data/b"))
    table.unlink()  # on systems other than Linux
    assert not sqlite_files.is_mount_point(Path("/"))


def test_write_ahead_log_that_was_removed_is_not_replaced(tmp_path: Path) -> None:
    """With the index of the old one, a new process would destroy the database."""
    url = f"sqlite:///{tmp_path / 'bounces.sqlite3'}"
    with closing(open_storage(url)) as storage:
        storage.accounts.add("acme")
    with closing(open_storage(url)) as storage:
        assert storage.accounts.count() == 1
        prepared = storage.engine.identity
        (tmp_path / "bounces.sqlite3-wal").unlink()
        for options in ({}, {"prepared": prepared}):
            with (
                pytest.raises(StorageError, match="-wal .* was removed .*-shm, too"),
                closing(open_storage(url, **options)) as other,
            ):
                other.accounts.count()
    (tmp_path / "bounces.sqlite3-shm").unlink(missing_ok=True)
    with closing(open_storage(url)) as storage:
        assert storage.accounts.count() == 1


def _add_in_killed_process(file: Path) -> None:
    """Add an account, which stays in the write-ahead log."""
    code = f"""if True:
        import os
        from sendgrid_bounces.storage.database import open_storage
        open_storage("sqlite:///{file}").accounts.add("acme")
        os._exit(0)
    """
    subprocess.run([sys.executable, "-c", code], check=True)


def test_log_is_not_mixed_with_a_backup(url: str, tmp_path: Path) -> None:
    """A killed server leaves the log beside the file that ``cp`` replaces."""
    file, backup = tmp_path / "bounces.sqlite3", tmp_path / "backup.sqlite3"
    with closing(open_storage(url)) as storage:
        write_backup(storage.engine, backup)
    _add_in_killed_process(file)
    shutil.copy(backup, file)
    log = tmp_path / "bounces.sqlite3-wal"
    with pytest.raises(StorageError, match="-wal .* belongs to a file that .*replaced"):
        open_storage(url)
    assert file.read_bytes() == backup.read_bytes()
    assert log.stat().st_size
    log.unlink()
    (tmp_path / "bounces.sqlite3-shm").unlink()
    with closing(open_storage(url)) as storage:
        assert storage.accounts.count() == 0


@pytest.mark.parametrize("has_link", [False, True])
def test_log_of_a_file_that_was_moved_is_kept(tmp_path: Path, *, has_link) -> None:
    """Its writes are in no other file; SQLite would remove or ignore it."""
    file, moved = tmp_path / "bounces.sqlite3", tmp_path / "moved.sqlite3"
    _add_in_killed_process(file)
    file.rename(moved)
    if has_link:
        file.symlink_to(moved)
    with pytest.raises(StorageError, match="-wal .* belongs to a file that was moved"):
        open_storage(f"sqlite:///{file}")
    assert not file.exists() or has_link
    moved.replace(file)
    with closing(open_storage(f"sqlite:///{file}")) as storage:
        assert storage.accounts.count() == 1


def test_request_log_needs_no_earlier_file(url: str, tmp_path: Path) -> None:
    """Only the database has writes that must be kept."""
    left = tmp_path / "bounces.sqlite3-requests-wal"
    left.write_bytes(b"of a file that was removed")
    with closing(open_storage(url)) as storage:
        assert storage.engine.open_log().fetch("SELECT 7") == [(7,)]


def test_full_disk_is_named(storage: Storage, monkeypatch) -> None:
    """SQLite reports an error of reading or writing if it cannot create a file."""
    if storage.engine.name == "mysql":
        pytest.skip("SQLite only")

    def check() -> None:
        raise StorageError("No space left on device")

    error = sqlite3.OperationalError("disk I/O error")
    assert "disk I/O error" in str(storage.engine._storage_error(error))
    monkeypatch.setattr(storage.engine, "check_space", check)
    assert str(storage.engine._storage_error(error)) == "No space left on device"


@pytest.mark.parametrize(
    ("free_files", "space", "is_full"),
    [(0, 2**30, False), (0, 0, True), (1_000, 2**30, True)],
)
def test_volume_without_inodes_is_not_full(
    tmp_path: Path, monkeypatch, free_files: int, space: int, *, is_full: bool
) -> None:
    """Writes to the files of the database go on, though no new file can be created."""
    volume = SimpleNamespace(
        f_files=1_000, f_favail=free_files, f_bavail=space, f_frsize=1
    )
    full = OSError(errno.ENOSPC, "No space left on device")
    with closing(open_storage(f"sqlite:///{tmp_path / 'bounces.sqlite3'}")) as storage:
        monkeypatch.setattr(sqlite_files, "TemporaryFile", Mock(side_effect=full))
        monkeypatch.setattr(sqlite_files.os, "statvfs", lambda _: volume)
        expected = pytest.raises(StorageError) if is_full else nullcontext()
        with expected:
            storage.engine.check_space()


def test_missing_rights_are_named(tmp_path: Path, monkeypatch) -> None:
    """SQLite reports only that it cannot open the file."""
    file = tmp_path / "b.sqlite3"
    file.mkdir()  # the superuser may open any file
    monkeypatch.setattr(sqlite.os, "access", lambda path, _: path != file)
    with pytest.raises(
        StorageError, match=f"{file}: Permission denied: unable to open"
    ):
        open_storage(f"sqlite:///{file}")


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_writes_succeed_when_the_file_can_be_written_again(storage: Storage) -> None:
    """A connection that was opened before can only read."""
    connect = sqlite3.connect
    read_only = partial(_connect_to_read, connect)
    storage.engine.connections.discard()
    other = sqlite3.connect(storage.engine.location)
    other.execute("SELECT * FROM about").fetchall()  # keeps the log
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sqlite3, "connect", read_only)
        for write in (
            lambda: storage.accounts.add("new"),
            storage.engine.check_writable,
        ):
            with pytest.raises(StorageError, match="readonly database"):
                write()
    storage.accounts.add("new")
    storage.engine.check_writable()
    other.close()


def _connect_to_read(connect: Callable, name: str, **options) -> sqlite3.Connection:
    return connect(name.replace("mode=rw", "mode=ro"), **options)


@pytest.mark.mysql
def test_health_does_not_wait_for_changes_of_accounts(mysql_url: str) -> None:
    """A restore takes minutes."""
    waits = []
    with closing(open_storage(mysql_url)) as storage:

        def check_meanwhile() -> None:
            check = Thread(target=storage.engine.check_writable)
            check.start()
            check.join(3)
            waits.append(check.is_alive())

        storage.accounts.transact(check_meanwhile)
    assert waits == [False]


def test_folder_without_permission_is_named(url: str, monkeypatch) -> None:
    """The file was not removed, and its name is valid."""
    with closing(open_storage(url)) as storage:
        denied = Mock(side_effect=PermissionError(errno.EACCES, "Permission denied"))
        monkeypatch.setattr(os, "stat", denied)
        open_sqlite(urlsplit(url)).close()
        monkeypatch.setattr(Path, "stat", denied)
        with pytest.raises(StorageError, match="bounces.sqlite3: Permission denied"):
            storage.accounts.add("new")
        monkeypatch.undo()


def test_damaged_rows_are_errors_of_the_database(storage: Storage) -> None:
    """SQLite has no checksums, so a failing disk can change their text."""
    account = storage.accounts.add("acme", key_hash="", key_tag=0)
    storage.sources.add("hook", "acme", "postmark", SourceSettings(token_hash="x"))
    storage.faults.add([FaultRule(status=503)])
    storage.snapshots.take("before", 0)
    for query in (
        FaultRow.update(rule='{"statvs": 503}'),
        SourceRow.update(settings='{"token_hash": 5'),
        SnapshotChunkRow.update(data=b"x"),
    ):
        storage.engine.execute_query(query)
    for read in (
        storage.faults.all,
        storage.sources.all,
        lambda: storage.snapshots.restore("before"),
    ):
        with pytest.raises(StorageError, match="is damaged"):
            read()
    assert storage.accounts.get("acme") == account


def test_second_storage_of_a_process_keeps_the_locks_of_the_first(
    url: str, tmp_path: Path
) -> None:
    """Without the locks, another process that ends would remove the log."""
    script = "import sqlite3, sys; sqlite3.connect(sys.argv[1]).execute('VACUUM')"
    with closing(open_storage(url)) as first, closing(open_storage(url)) as second:
        first.accounts.add("before", key_hash="", key_tag=0)
        second.accounts.add("after", key_hash="", key_tag=0)
        file = str(tmp_path / "bounces.sqlite3")
        subprocess.run([sys.executable, "-c", script, file], check=True)
        for storage in (first, second):
            storage.health.check()
        assert (tmp_path / "bounces.sqlite3-wal").exists()


def test_write_ahead_log_can_end_with_the_last_connection(
    url: str, tmp_path: Path
) -> None:
    """SQLite removes it; another process may have begun a new one."""
    wal = tmp_path / "bounces.sqlite3-wal"
    with closing(open_storage(url)) as storage:
        for name in ("first", "second"):
            storage.accounts.add(name, key_hash="", key_tag=0)
            assert wal.exists()
            storage.engine.connections.discard()
            assert not wal.exists()
            (tmp_path / name).write_bytes(b"")  # takes the number of the file
        assert len(storage.accounts.all()) == 2


def test_files_are_readable_by_the_owner_only(url: str, tmp_path: Path) -> None:
    """They contain hashes of API keys, and addresses."""
    umask = os.umask(0o022)
    try:
        with closing(open_storage(url)) as storage:
            storage.requests.clear()
            modes = {path.name: path.stat().st_mode for path in tmp_path.iterdir()}
    finally:
        os.umask(umask)

    assert len(modes) == 6  # of the database and of the request log
    assert {mode & 0o777 for mode in modes.values()} == {0o600}


def test_request_log_belongs_to_the_owner_of_the_database(
    url: str, tmp_path: Path
) -> None:
    """A command that root runs may create it, and the service must write to it."""
    is_root = os.geteuid() == 0
    with closing(open_storage(url)):
        path = tmp_path / "bounces.sqlite3"
        path.chmod(0o660)
        if is_root:
            os.chown(path, 1234, 5678)
    with closing(open_storage(url)) as storage:
        storage.requests.clear()
        found = [each.stat() for each in tmp_path.iterdir()]

    assert len(found) == 6  # of the database and of the request log
    assert {each.st_mode & 0o777 for each in found} == {0o660}
    if is_root:
        assert {(each.st_uid, each.st_gid) for each in found} == {(1234, 5678)}


def test_other_files_are_left_alone(tmp_path: Path) -> None:
    """The error names the file."""
    path = tmp_path / "letter.txt"
    path.write_text("Dear database, " * 100)

    with pytest.raises(StorageError, match=r"letter\.txt: file is not a database"):
        open_storage(f"sqlite:///{path}")
    assert path.read_text() == "Dear database, " * 100


def test_newer_schema_is_rejected(url: str, tmp_path: Path) -> None:
    """An older release would misread the database."""
    open_storage(url).close()
    with sqlite3.connect(tmp_path / "bounces.sqlite3") as connection:
        connection.execute("UPDATE about SET schema_version = 999")
    connection.close()

    with pytest.raises(StorageError, match="needs a newer version .* is 999,"):
        open_storage(url)


def test_connections_of_ended_threads_are_closed(database_url: str) -> None:
    """A server that starts a thread per request does not run out of connections."""
    with closing(open_storage(database_url)) as storage:
        read: list[object] = []
        for _ in range(10):
            thread = Thread(target=lambda: read.append(storage.accounts.all()))
            thread.start()
            thread.join()
        assert len(read) == 10
        storage.accounts.all()
        assert len(storage.engine.connections) <= 2


def _add_list(storage: Storage) -> None:
    storage.engine.insert(BounceListRow)


def _lists(storage: Storage) -> int:
    return len(storage.engine.fetch("SELECT id FROM bounce_list"))


def test_failed_transactions_change_nothing(storage: Storage) -> None:
    """A nested transaction is a part of the outer transaction."""
    before = _lists(storage)

    def fail(error: type[BaseException]) -> None:
        storage.engine.transact(lambda: _add_list(storage))
        _add_list(storage)
        raise error

    for error in (ValueError, KeyboardInterrupt):
        with pytest.raises(error):
            storage.engine.transact(lambda error=error: fail(error))
        assert _lists(storage) == before
    storage.engine.transact(lambda: _add_list(storage))

    assert _lists(storage) == before + 1


@pytest.mark.parametrize(
    ("text", "codes"),
    [
        ("SELECT nothing FROM nowhere", {"sqlite": 1, "mysql": 1146}),
        (
            "INSERT INTO about (schema_version, key_salt) VALUES (NULL, '')",
            {"sqlite": 1299, "mysql": 1048},
        ),
    ],
)
@pytest.mark.parametrize("method", ["fetch", "execute", "execute_insert"])
def test_errors_have_the_code_of_the_driver(
    storage: Storage, text: str, codes: dict, method: str
) -> None:
    """The message names the database, without the password."""
    with pytest.raises(StorageError, match=f"^{storage.engine}: ") as raised:
        getattr(storage.engine, method)(text)

    if storage.engine.name == "mysql" or sys.version_info >= (3, 11):
        assert raised.value.code == codes[storage.engine.name]
    assert "root@" not in str(raised.value)


@pytest.mark.mysql
@pytest.mark.parametrize("engine", ["mysql"], indirect=True)
def test_tables_have_transactions(database_url: str, monkeypatch) -> None:
    """The server can have another default for new tables."""
    default = "SET SESSION default_storage_engine = MyISAM"
    monkeypatch.setattr(mysql, "SESSION", (*mysql.SESSION, default))
    with closing(open_storage(database_url)) as storage:
        engines = dict(storage.engine.fetch(mysql.FIND_ENGINES))
        assert {engines[name] for name in mysql.TRANSACTIONAL} == {"InnoDB"}
        storage.engine.execute("ALTER TABLE about ENGINE=MyISAM")
        with pytest.raises(StorageError, match="about has no transactions .*ALTER TAB"):
            open_storage(database_url)
        storage.engine.execute("ALTER TABLE about ENGINE=InnoDB")


@pytest.mark.mysql
@pytest.mark.parametrize("engine", ["mysql"], indirect=True)
@pytest.mark.parametrize(
    ("variable", "strange", "expected"),
    [
        ("autocommit", "0", 1),
        ("completion_type", "'CHAIN'", "NO_CHAIN"),
        ("foreign_key_checks", "0", 1),
        ("sql_safe_updates", "1", 0),
        ("sql_select_limit", "5", 2**64 - 1),
        ("sql_big_selects", "0", 1),
        ("sql_mode", "'ANSI_QUOTES'", "STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION"),
    ],
)
def test_sessions_are_alike(
    database_url: str, monkeypatch, variable: str, strange: str, expected: object
) -> None:
    """The server's ``init_connect`` may set variables, which the driver does not see."""
    with closing(open_storage(database_url)) as storage:
        storage.engine.connections.discard()
        connect = storage.engine._driver_connect

        def connect_strangely(options: dict) -> object:
            connection = connect(options)
            connection.cursor().execute(f"SET {variable} = {strange}")
            return connection

        monkeypatch.setattr(storage.engine, "_driver_connect", connect_strangely)
        assert storage.engine.fetch(f"SELECT @@{variable}") == [(expected,)]


@pytest.mark.mysql
@pytest.mark.parametrize("engine", ["mysql"], indirect=True)
def test_server_stops_a_long_query(storage: Storage, monkeypatch) -> None:
    """It would go on when the client no longer waits, and keep its connection."""
    monkeypatch.setattr(mysql, "QUERY_TIMEOUT", 0.2)
    number = "SELECT CONNECTION_ID()"
    before = storage.engine.fetch(number)
    long = partial(storage.engine.fetch, "SELECT SLEEP(10)")
    for read in (long, partial(storage.engine.read_together, long)):
        with pytest.raises(StorageError) as raised:
            read()
        assert raised.value.code in mysql.STOPPED
        assert storage.engine.fetch(number) == before
    # A transaction may wait for longer.
    wait = partial(storage.engine.fetch, "SELECT SLEEP(0.4)")
    assert storage.engine.transact(wait) == [(0,)]


@pytest.mark.mysql
@pytest.mark.parametrize("engine", ["mysql"], indirect=True)
def test_health_waits_no_longer_than_a_read(database_url: str, monkeypatch) -> None:
    """Another program can lock all tables for long."""
    with (
        closing(open_storage(database_url)) as storage,
        closing(open_storage(database_url)) as other,
    ):
        storage.engine.connections.discard()
        storage.engine._options["read_timeout"] = 1
        monkeypatch.setattr(mysql, "READ_TIMEOUT", 1)
        other.engine.execute("LOCK TABLES about READ")
        began = time.monotonic()
        with pytest.raises(StorageError, match="timed out|cannot be written"):
            storage.health.check()
        assert time.monotonic() - began < 10
        other.engine.execute("UNLOCK TABLES")
        monkeypatch.setattr(health, "INTERVAL", 0)
        storage.health.check()


@pytest.mark.mysql
@pytest.mark.parametrize("engine", ["mysql"], indirect=True)
@pytest.mark.parametrize("begins_with_write", [False, True])
def test_lost_connection_is_replaced_by_an_equal_one(
    storage: Storage, database_url: str, begins_with_write: bool
) -> None:
    """The new session has the same settings, for a read as for a write."""
    ask = "SELECT @@session.sql_mode, @@session.tx_isolation, CONNECTION_ID()"
    ((*before, lost),) = storage.engine.fetch(ask)
    with closing(open_storage(database_url)) as other:
        other.engine.execute(f"KILL {lost}")
    if begins_with_write:
        storage.engine.transact(lambda: _add_list(storage))
    ((*after, connection),) = storage.engine.fetch(ask)

    assert connection != lost
    assert after == before
    assert before[1] == "READ-COMMITTED"
    assert len(storage.engine.connections) == 1


def test_transactions_of_an_older_release_are_refused(storage: Storage) -> None:
    """A newer release may have upgraded the schema while this one was running."""
    storage.accounts.add("before", key_hash="", key_tag=0)
    storage.engine.execute("UPDATE about SET schema_version = 99")

    for write in (
        lambda: storage.accounts.add("after", key_hash="", key_tag=0),
        lambda: storage.faults.trigger([_endless_fault(storage)], 0),
        storage.health.check,
    ):
        with pytest.raises(
            StorageError, match="needs a newer version .* is 99"
        ) as error:
            write()
        assert error.value.reason.startswith("the database needs a newer version")

    storage.engine.execute(f"UPDATE about SET schema_version = {SCHEMA_VERSION}")
    assert [account.username for account in storage.accounts.all()] == ["before"]
    storage.accounts.add("after", key_hash="", key_tag=0)


def _endless_fault(storage: Storage) -> StoredFault:
    return StoredFault(1, FaultRule(status=500), 0, 0)


def test_health_check_writes_once_a_second(storage: Storage, monkeypatch) -> None:
    """Many checks cost few writes; a check in between has the last result."""
    writes: list[str] = []
    results = iter([None, StorageError("disk full", reason="full"), None])
    seconds = iter([0.0, 0.0, 0.5, 1.0, 1.0, 1.5, 2.0, 2.0])
    monkeypatch.setattr(health, "monotonic", lambda: next(seconds))
    monkeypatch.setattr(
        health.HealthCheck, "_write", lambda _: writes.append("") or next(results)
    )

    found = []
    for _ in range(5):
        try:
            storage.health.check()
        except StorageError as error:
            found.append(error.reason)
        else:
            found.append("ok")
    assert (found, len(writes)) == (["ok", "ok", "full", "full", "ok"], 3)


def test_write_that_does_not_end_is_reported(storage: Storage, monkeypatch) -> None:
    """A server can lock all tables for as long as it likes."""
    monkeypatch.setattr(health, "PATIENCE", 0)
    began, ended = Event(), Event()

    def write(_: health.HealthCheck) -> None:
        began.set()
        ended.wait(10)

    monkeypatch.setattr(health.HealthCheck, "_write", write)
    (thread,) = _start(storage.health.check)
    assert began.wait(10)
    with pytest.raises(StorageError, match="does not answer a write"):
        storage.health.check()
    ended.set()
    thread.join(10)
    storage.health.check()


def test_check_that_has_not_begun_to_write_is_not_late(
    storage: Storage, monkeypatch
) -> None:
    """A check holds the lock for a moment before it notes the time."""
    monkeypatch.setattr(health, "PATIENCE", 0)
    storage.health.check()
    with storage.health._lock:
        storage.health.check()


def test_locked_database_is_healthy(url: str) -> None:
    """The check does not wait for a long import, which shows that writes succeed."""
    with closing(open_storage(url)) as storage, closing(open_storage(url)) as other:

        def check() -> None:
            thread = Thread(target=lambda: checked.append(storage.health.check()))
            thread.start()
            thread.join(20)

        checked: list[None] = []
        other.engine.transact(check)
        assert checked == [None]


def _start(action: Callable[[], object], number: int = 1) -> list[Thread]:
    threads = [Thread(target=action) for _ in range(number)]
    for thread in threads:
        thread.start()
    return threads


def test_refused_write_is_reported_while_the_database_is_locked(
    url: str, monkeypatch
) -> None:
    """The lock of another program can last for ever."""
    monkeypatch.setattr(writers, "PATIENCE", 0.01)
    monkeypatch.setattr(health, "INTERVAL", 0)
    with closing(open_storage(url)) as storage, closing(open_storage(url)) as other:
        errors: list[str] = []

        def check() -> None:
            storage.engine.connections.current().execute("PRAGMA busy_timeout = 50")
            with pytest.raises(StorageError, match="locked"):
                storage.faults.clear()
            with pytest.raises(StorageError) as raised:
                storage.health.check()
            errors.append(raised.value.reason)

        other.engine.transact(lambda: _start(check)[0].join(20))
        assert errors == ["the database cannot be written: database is locked"]
        storage.health.check()
        other.engine.transact(lambda: _start(storage.health.check)[0].join(20))
        storage.health.check()


def test_first_connection_waits_for_a_writer(tmp_path, monkeypatch) -> None:
    """Another process may create the tables at the same time."""
    path = tmp_path / "bounces.sqlite3"
    with closing(sqlite3.connect(path, isolation_level=None)) as writer:
        writer.execute("CREATE TABLE other (id INTEGER)")
        writer.execute("BEGIN IMMEDIATE")
        with (
            closing(sqlite.SQLiteEngine(str(path), "full", timeout=0)) as engine,
            pytest.raises(StorageError, match="database is locked"),
        ):
            engine.fetch("SELECT 1")
        monkeypatch.setattr(sqlite.time, "sleep", lambda _: writer.execute("COMMIT"))
        with closing(open_storage(f"sqlite:///{path}")) as storage:
            storage.accounts.add("acme")


@pytest.mark.parametrize("name", ["a b", "a%3Fb%25", "b\udce9.db", "ü"])
def test_absolute_url_names_the_same_file(tmp_path, monkeypatch, name: str) -> None:
    """Names need not be UTF-8."""
    monkeypatch.chdir(tmp_path)
    url = f"sqlite:///{name}?synchronous=off"
    with closing(open_storage(url)) as storage:
        storage.accounts.add("acme")
    absolute = absolute_url(url)
    monkeypatch.chdir("/")
    with closing(open_storage(absolute, create=False)) as storage:
        assert storage.accounts.count() == 1


def test_few_threads_wait_for_a_long_transaction(url: str, monkeypatch) -> None:
    """Further writers are refused, so that a process has threads for reads."""
    monkeypatch.setattr(writers, "PATIENCE", 0.2)
    with closing(open_storage(url)) as storage, closing(open_storage(url)) as other:
        storage.engine.limit_writers(2)
        outcomes: Queue[str] = Queue()

        def write() -> None:
            try:
                storage.faults.clear()
                outcomes.put("done")
            except StorageError as error:
                outcomes.put(str(error).rpartition(": ")[2])

        def hold() -> list[Thread]:
            threads = _start(write, 4)
            found = [outcomes.get(timeout=10) for _ in range(2)]
            late = _start(write)
            assert [*found, outcomes.get(timeout=10)] == ["database is locked"] * 3
            return [*threads, *late]

        for thread in other.engine.transact(hold):
            thread.join(20)
        assert [outcomes.get(timeout=10) for _ in range(2)] == ["done"] * 2
        assert outcomes.empty()


@pytest.mark.parametrize("engine", ["mysql"], indirect=True)
def test_few_transactions_wait_for_locks_of_rows(storage: Storage, monkeypatch) -> None:
    """The health check does not report them, since a slow writer is no failure."""
    monkeypatch.setattr(writers, "PATIENCE", 0.1)
    storage.engine.limit_writers(1)
    bounce_list = storage.accounts.add("acme").bounce_list
    storage.bounces.put(bounce_list, [bounce("a@x")])

    def write_again() -> None:
        for thread in _start(write):
            thread.join(20)
        storage.health.check()
        assert storage.bounces.count(bounce_list, BounceQuery()) == 1

    errors: list[str] = []

    def write() -> None:
        with pytest.raises(StorageError) as raised:
            storage.bounces.put(bounce_list, [bounce("b@x")])
        errors.append(str(raised.value))

    storage.engine.transact(lambda: _start(write_again)[0].join(20))
    assert errors == [f"{storage.engine}: too many transactions wait for locks"]
    storage.bounces.put(bounce_list, [bounce("b@x")])


def test_transactions_are_refused_at_once_if_none_ends(monkeypatch) -> None:
    """Otherwise refused ones would occupy the threads that are left to reads."""
    now = [100.0]
    monkeypatch.setattr(writers, "monotonic", lambda: now[0])
    transactions = writers.Transactions(1)
    with transactions.place() as is_first:
        assert is_first
        now[0] += writers.PATIENCE
        with transactions.place() as is_second:
            assert not is_second
    with transactions.place() as is_third:
        assert is_third


def test_failures_without_a_success_are_reported_for_some_time(monkeypatch) -> None:
    """A single one may be that of a request."""
    now = [100.0]
    monkeypatch.setattr(writers, "monotonic", lambda: now[0])
    transactions = writers.Transactions(harmless={1406})

    def fail(error: Exception) -> None:
        with pytest.raises(type(error)), transactions.place():
            raise error

    check = transactions.failures.check
    fail(StorageError("first"))
    now[0] += writers.FAILURE_SECONDS
    fail(ConflictError("no error of the database"))
    fail(StorageError("too long", 1406))
    check()
    fail(StorageError("last"))
    now[0] += writers.MEMORY_SECONDS
    with pytest.raises(StorageError, match="last"):
        check()
    now[0] += 1
    check()
    fail(StorageError("again"))
    with pytest.raises(StorageError, match="again"):
        check()
    with transactions.place():
        pass
    fail(StorageError("first"))
    check()


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["mysql"], indirect=True)
def test_health_reports_a_locked_table(storage: Storage, monkeypatch) -> None:
    """The health check writes to another table."""
    monkeypatch.setattr(mysql, "WRITE_TIMEOUT", 1)
    monkeypatch.setattr(writers, "FAILURE_SECONDS", 0.5)
    monkeypatch.setattr(health, "INTERVAL", 0)
    bounce_list = storage.accounts.add("acme").bounce_list
    with closing(storage.engine.connections._connect()) as other:
        other.cursor().execute("LOCK TABLES bounce WRITE")
        for _ in range(2):
            storage.health.check()
            with pytest.raises(StorageError, match="timed out"):
                storage.bounces.put(bounce_list, [bounce("a@x")])
        with pytest.raises(StorageError) as raised:
            storage.health.check()
    assert raised.value.reason.startswith("the database cannot be written: Lost conn")
    storage.bounces.put(bounce_list, [bounce("a@x")])
    storage.health.check()


def test_many_threads_wait_for_short_transactions(storage: Storage) -> None:
    """The limit is for long ones."""
    with closing(storage):
        storage.engine.limit_writers(1)
        done: Queue[str] = Queue()

        def write() -> None:
            for _ in range(10):
                storage.faults.clear()
                done.put("")

        for thread in _start(write, 6):
            thread.join(30)
        assert done.qsize() == 60


def test_read_only_database_is_reported(url: str, monkeypatch) -> None:
    """Reads succeed nevertheless."""
    with closing(open_storage(url)) as storage:
        writing = storage.health._writing
        writing.connections.current().execute("PRAGMA query_only = 1")

        with pytest.raises(StorageError, match="readonly") as raised:
            storage.health.check()
        assert raised.value.reason == (
            "the database cannot be written: attempt to write a readonly database"
        )
        assert storage.accounts.all() == []


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (sqlite3.OperationalError("disk I/O error"), "disk I/O error"),
        (sqlite3.OperationalError(""), "OperationalError"),
        (sqlite3.OperationalError(), "OperationalError"),
        (sqlite3.InterfaceError(0, ""), "InterfaceError 0"),
    ],
)
def test_errors_without_a_text_are_named(url: str, error, expected) -> None:
    """The message has the class and the number of the driver's error."""
    with closing(open_storage(url)) as storage:
        message = str(storage.engine._storage_error(error))
        assert message == f"{storage.engine}: {expected}"


def test_first_error_of_a_transaction_is_reported(url: str) -> None:
    """The rollback of a transaction that SQLite has ended is no error of its own."""
    with closing(open_storage(url)) as storage:

        def fail() -> None:
            storage.engine.execute("ROLLBACK")
            storage.engine.execute("SELECT 1 FROM missing")

        with pytest.raises(StorageError, match="no such table: missing"):
            storage.engine.transact(fail)
        assert storage.accounts.add("a", key_hash="", key_tag=0)
