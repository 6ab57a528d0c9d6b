"""The commands ``backup`` and ``restore``."""

import io
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from click.testing import CliRunner
from conftest import QUICK_HASH

from sendgrid_bounces.cli import backups, main, progress

ONE = "1 account, 0 domains and 0 bounces"
NONE = "0 accounts, 0 domains and 0 bounces"


@pytest.fixture(name="file")
def _file(tmp_path: Path) -> str:
    """The path of a backup that does not exist yet, alone in its folder."""
    (tmp_path / "backups").mkdir()
    return str(tmp_path / "backups" / "backup.sqlite3")


def test_backup_is_restored(acme, file: str) -> None:
    """The commands print what the database has."""
    assert acme("backup", file).stdout == f"saved {ONE}\n"
    acme("account", "remove", "acme", "--yes")
    assert acme("restore", file, "--yes").stdout == f"the database has {ONE}\n"
    assert "acme" in acme("account", "list").stdout
    counts = '{"accounts": 1, "domains": 0, "bounces": 0}\n'
    assert acme("backup", file, "--force", "--json").stdout == counts
    assert acme("restore", file, "--yes", "--json").stdout == counts


def test_restore_asks_for_confirmation(acme, decline, file: str) -> None:
    """The question has the numbers of what is removed and restored."""
    acme("backup", file)
    acme("account", "add", "other", stdin="k\n")
    before = acme("account", "list").stdout
    question = f"Remove everything (2 accounts, 0 domains and 0 bounces), then restore {file} ({ONE})?"
    assert decline("restore", file).stdout.startswith(question)
    assert acme("account", "list").stdout == before


def test_restore_without_a_terminal_needs_yes(acme, file: str) -> None:
    """Nothing is changed."""
    acme("backup", file)
    refused = acme("restore", file, code=2).stderr
    assert refused.startswith("Error: would remove everything (")
    assert refused.endswith("; confirm with --yes (stdin is not a terminal)\n")


def test_existing_file_needs_force(acme, file: str) -> None:
    """Its content is unchanged."""
    Path(file).write_text("other")
    message = f"Error: {file} already exists (replace it with --force)\n"
    assert acme("backup", file, code=1).stderr == message
    assert Path(file).read_text() == "other"


def test_stdin_and_stdout_are_files(acme, url: str) -> None:
    """So a backup can be compressed, or sent to another machine."""
    variables = {"SENDGRID_BOUNCES_KEY_HASH": QUICK_HASH}
    saved = CliRunner(env=variables).invoke(main, ["backup", "-"])
    assert saved.stdout_bytes.startswith(b"SQLite format 3\0")
    assert saved.stderr == ""
    acme("account", "remove", "acme", "--yes")
    restored = CliRunner(env=variables).invoke(
        main, ["restore", "-", "--yes"], input=io.BytesIO(saved.stdout_bytes)
    )
    assert restored.stdout == f"the database has {ONE}\n"


def test_terminal_gets_no_backup(acme, monkeypatch) -> None:
    """It would be unreadable."""
    monkeypatch.setattr("click.testing._NamedTextIOWrapper.isatty", lambda _: True)
    assert "stdout is a terminal" in acme("backup", "-", code=2).stderr


def test_restore_creates_a_database(acme, file: str, tmp_path: Path) -> None:
    """Unless the file is invalid."""
    acme("backup", file)
    new = tmp_path / "new.sqlite3"
    flags = ("--yes", "--database", f"sqlite:///{new}")
    acme("restore", file + "x", *flags, code=1)
    assert not new.exists()
    result = acme("restore", file, *flags)
    assert result.stderr == f"Created the sqlite database {new}\n"
    assert result.stdout == f"the database has {ONE}\n"


def test_backup_creates_no_database(run, file: str, tmp_path: Path) -> None:
    """The path is probably mistyped."""
    typo = tmp_path / "typo.sqlite3"
    result = run("backup", file, "--database", f"sqlite:///{typo}", code=1)
    assert "run init-db first" in result.stderr
    assert not typo.exists()
    assert not Path(file).exists()


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("backup {folder}/no/b", "{folder}/no/b: No such file or directory"),
        ("backup {folder}", "{folder} is not a regular file"),
        ("backup /dev/null --force", "/dev/null is not a regular file"),
        ("backup {folder}/bounces.sqlite3 --force", "belongs to the database itself"),
        ("backup /proc/b", "/proc/b: "),
        ("restore {folder}/none --yes", "{folder}/none: No such file or directory"),
        ("restore {folder} --yes", "{folder}: Is a directory"),
        ("restore /dev/null --yes", "/dev/null is not a regular file"),
        ("restore /etc/hostname --yes", "/etc/hostname is not an intact database: "),
    ],
)
def test_bad_files_are_errors(acme, tmp_path: Path, command: str, message) -> None:
    """The database is unchanged."""
    found = acme(*command.format(folder=tmp_path).split(), code=1).stderr
    assert message.format(folder=tmp_path) in found
    assert "acme" in acme("account", "list").stdout


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may write everywhere")
def test_missing_permission_is_an_error(acme, file: str) -> None:
    """The message names the file."""
    folder = Path(file).parent
    acme("backup", file)
    Path(file).chmod(0)
    assert f"{file}: Permission denied" in acme("restore", file, code=1).stderr
    folder.chmod(0o500)
    assert f"{file}2: Permission denied" in acme("backup", f"{file}2", code=1).stderr
    folder.chmod(0o700)


@pytest.mark.parametrize(
    "command",
    [
        "backup /no/x",
        "restore /no/x",
        "init-db",
        "bounces pull acme --from sendgrid",
        "source test mx /dev/null",
    ],
)
def test_server_is_rejected(run, command: str, monkeypatch) -> None:
    """The commands work on a database; naming one as an option is enough."""
    message = "works on a database, not on a server"
    words, server = command.split(), "http://127.0.0.1:1"
    assert message in run("--url", server, *words, code=2).stderr
    assert "--url" in run(*words, "--url", server, code=2).stderr
    monkeypatch.setenv("SENDGRID_BOUNCES_URL", server)
    assert message in run(*words, code=2).stderr
    database = os.environ["SENDGRID_BOUNCES_DATABASE_URL"]
    result = CliRunner().invoke(main, [*words, "--database", database])
    assert message not in result.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signal_leaves_nothing(acme, file: str, monkeypatch, number) -> None:
    """Signals are handled as before afterwards."""

    @contextmanager
    def stopping(_label: str) -> Iterator:
        yield lambda *_: os.kill(os.getpid(), number)

    before = signal.getsignal(number)
    monkeypatch.setattr(backups, "share_bar", stopping)
    result = CliRunner().invoke(main, ["backup", file])
    assert (result.exit_code, result.stderr) == (1, "\nError: aborted\n")
    assert list(Path(file).parent.iterdir()) == []
    assert signal.getsignal(number) == before


def test_progress_is_shown_at_a_terminal(acme, file: str, monkeypatch) -> None:
    """On stderr."""
    monkeypatch.setattr(progress.sys, "stderr", Terminal())
    with progress.share_bar("Saving") as report:
        report(3, 6)
        report(6, 6)
    shown = progress.sys.stderr.getvalue()
    assert "Saving" in shown
    assert " 50%" in shown
    assert "100%" in shown


class Terminal(io.StringIO):
    """A stream that claims to be a terminal."""

    def isatty(self) -> bool:
        return True
