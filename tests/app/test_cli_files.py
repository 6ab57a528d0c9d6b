"""Commands that import and export bounces."""

import csv
import errno
import io
import json
import os
import signal
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from conftest import bounce
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from sendgrid_bounces.cli.text_files import open_output
from sendgrid_bounces.core.errors import StorageError
from sendgrid_bounces.storage.bounces import BounceStore
from sendgrid_bounces.storage.database import open_storage

EMPTY = '{"bounces": [], "next": null}\n'


@pytest.mark.parametrize("form", ["csv", "json"])
def test_export_and_import_round_trip(acme, tmp_path, form: str) -> None:
    """Files and pipes keep every field of every bounce."""
    rows = [
        {
            "email": "a@x",
            "status": "5.1.1",
            "reason": 'caf\u00e9, "no"\nno ',
            "code": 550,
        },
        {"email": "b@x", "code": "777", "created": "2012-02-15T00:00:00Z"},
    ]
    (tmp_path / "in.json").write_text(json.dumps(rows))
    acme("bounces", "import", "acme", str(tmp_path / "in.json"))
    file = tmp_path / f"out.{form}"
    acme("bounces", "export", "acme", str(file))
    exported = acme("bounces", "export", "acme", "--format", form).stdout
    assert file.read_text() == exported

    acme("bounces", "clear", "acme", "--yes")
    acme("account", "add", "other", "--timezone", "Asia/Tokyo", stdin="k\n")
    for account, source in (("acme", str(file)), ("other", "-")):
        imported = acme(
            *("bounces", "import", account, source, "--format", form), stdin=exported
        )
        assert imported.stdout == "imported 2 bounces\n"
        again = acme("bounces", "export", account, "--format", form).stdout
        assert exported == again


def test_export_defaults_to_csv_with_a_header(acme) -> None:
    """An empty list has a header too; --format json writes an empty array."""
    assert (
        acme("bounces", "export", "acme").stdout
    ) == "email,status,code,reason,created,reported\n"
    assert acme("bounces", "export", "acme", "--format", "json").stdout == "[]\n"
    acme("bounces", "add", "acme", "a@x")
    exported = acme("bounces", "export", "acme").stdout
    assert [row["email"] for row in csv.DictReader(io.StringIO(exported))] == ["a@x"]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("x.csv", "code\n550\n", "line 1: missing column 'email'"),
        ("x.csv", "email,colour\na@x,red\n", "line 1: unknown column 'colour'; valid"),
        ("x.csv", "email,a b\na@x,red\n", "line 1: unknown column 'a b'; valid: "),
        ("x.csv", "", "line 1: missing column 'email'"),
        ("x.csv", "email\na@x\n\nb@x,c\n", "line 4: more cells than"),
        ("x.csv", "email,email\na@x,b@x\n", "line 1: duplicate column 'email'"),
        ("x.csv", 'email,reason\na@x,"oops\nb@x,fine\n', "line 3: unexpected end"),
        ("x.csv", 'email,reason\na@x,"oops"junk\n', "line 2: "),
        ("x.csv", "email,reported\na@x,maybe\n", "line 2, reported: must be True"),
        ("x.json", "[" * 100_000, "invalid JSON"),
        (
            "x.csv",
            "email,created\na@x,\nb@x,never\n",
            "line 3, created: must be a time",
        ),
        ("x.csv", "email,status\n,5.1.1\n", "line 2, email: required"),
        ("x.csv", f"email\n{'a' * 2**20}\n", "line 2: a row of more than"),
        ("x.csv", f"email\n{'a' * 2**18}\n", "line 2: field larger than"),
        ("x.csv", b"email\n\xff\n", "line 2: not UTF-8"),
        ("x.json", "{}", "must be an array"),
        ("x.json", "[", "invalid JSON"),
        ("x.json", '[{"email": "a@x"}, {}]', "[1] (line 1): missing field 'email' or"),
        ("x.json", "[5]", "[0] (line 1): must be a mapping"),
        ("x.xml", "<email>a@x</email>", "--format"),
    ],
)
def test_invalid_import_stores_nothing(acme, tmp_path, name, content, message) -> None:
    """The error names its position; records before it are not stored either."""
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())

    refused = acme(
        "bounces", "import", "acme", str(path), code=2 if ".xml" in name else 1
    )

    assert message in refused.stderr
    listed = acme("bounces", "list", "acme", "--json").stdout
    assert listed == EMPTY


@pytest.mark.slow
@pytest.mark.parametrize("form", ["csv", "json"])
@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    max_examples=25,
)
@given(
    reason=st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
)
@example(reason=" ")
def test_any_reason_survives_a_file(acme, tmp_path, form: str, reason: str) -> None:
    """Line endings, quotes, commas and control characters are kept."""
    (tmp_path / "in.json").write_text(json.dumps([{"email": "a@x", "reason": reason}]))
    acme("bounces", "import", "acme", str(tmp_path / "in.json"))
    file = str(tmp_path / f"out.{form}")
    acme("bounces", "export", "acme", file)
    acme("bounces", "clear", "acme", "--yes")
    assert acme("bounces", "import", "acme", file).stdout == "imported 1 bounce\n"
    acme("bounces", "export", "acme", str(tmp_path / "again.json"))

    assert json.loads((tmp_path / "again.json").read_text())[0]["reason"] == reason


def test_csv_of_a_spreadsheet_is_imported(acme, tmp_path) -> None:
    """It begins with a byte order mark, and its lines end in CRLF."""
    path = tmp_path / "excel.csv"
    path.write_bytes(b"\xef\xbb\xbfemail,reported\r\na@x,TRUE\r\n")
    acme("bounces", "import", "acme", str(path))

    exported = acme("bounces", "export", "acme").stdout
    assert exported.splitlines()[1].startswith("a@x,550,550,,")
    assert exported.endswith(",True\n")


def test_failed_export_keeps_the_existing_file(acme, tmp_path, monkeypatch) -> None:
    """No temporary file is left beside it."""
    path = tmp_path / "kept.csv"
    path.write_text("kept")

    def fail(*_: object, **__: object) -> None:
        raise StorageError("disk full")

    monkeypatch.setattr(BounceStore, "find", fail)
    assert "disk full" in acme("bounces", "export", "acme", str(path), code=1).stderr
    assert [file.name for file in tmp_path.glob("*kept*")] == ["kept.csv"]
    assert path.read_text() == "kept"


def test_export_to_a_full_disk_keeps_the_existing_file(acme, url, tmp_path) -> None:
    """The limit is that of a file, in units of 512 bytes."""
    path = tmp_path / "kept.csv"
    path.write_text("kept")
    path.chmod(0o640)
    with closing(open_storage(url)) as storage:
        bounce_list = storage.accounts.get("acme").bounce_list
        rows = [bounce(f"{n}@example.com", reason="x" * 500) for n in range(400)]
        storage.bounces.put(bounce_list, rows)
    program = [sys.executable, "-m", "sendgrid_bounces", "bounces", "export", "acme"]
    ended = subprocess.run(
        ["sh", "-c", 'ulimit -f 128; exec "$@"', "sh", *program, str(path)],
        env={**os.environ, "SENDGRID_BOUNCES_DATABASE_URL": url},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ended.returncode, ended.stderr) == (1, f"Error: {path}: File too large\n")
    assert path.read_text() == "kept"

    acme("bounces", "export", "acme", str(path))
    assert path.stat().st_mode & 0o777 == 0o640
    assert path.read_text().count("\n") == 401
    assert [*tmp_path.glob(".sendgrid-bounces-*")] == []


@pytest.mark.skipif(os.geteuid() != 0, reason="requires the superuser")
def test_replaced_export_keeps_its_owner(tmp_path: Path) -> None:
    path = tmp_path / "old.csv"
    path.touch(0o600)
    os.chown(path, 12_345, 12_345)
    with open_output(str(path)) as text:
        text.write("a")
    status = path.stat()
    assert (status.st_uid, status.st_gid) == (12_345, 12_345)
    assert (status.st_mode & 0o777, path.read_text()) == (0o600, "a")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_interrupted_export_leaves_no_file(tmp_path: Path, number: int) -> None:
    def export() -> None:
        with open_output(str(tmp_path / "new.csv")) as text:
            text.write("a")
            os.kill(os.getpid(), number)

    with pytest.raises(KeyboardInterrupt):
        export()
    assert [*tmp_path.iterdir()] == []


@pytest.mark.slow
@pytest.mark.parametrize("target", ["/dev/stdout", "/dev/fd/1"])
def test_export_is_written_to_a_pipe(acme, url, target: str) -> None:
    """Its name leads to no file, as that of a process substitution does."""
    acme("bounces", "add", "acme", "a@x")
    program = [sys.executable, "-m", "sendgrid_bounces"]
    for command, code, begins in (
        (["bounces", "export", "acme", target, "--format", "csv"], 0, "email,status,"),
        (["backup", target, "--force"], 1, ""),
    ):
        ended = subprocess.run(
            [*program, *command],
            env={**os.environ, "SENDGRID_BOUNCES_DATABASE_URL": url},
            capture_output=True,
            text=True,
            check=False,
        )
        assert (ended.returncode, ended.stdout.startswith(begins)) == (code, True)
    assert ended.stderr == f"Error: {target} is not a regular file\n"


def test_export_at_a_terminal_has_no_control_characters(acme, url) -> None:
    """A stranger wrote the reasons, which could otherwise change its title or colors."""
    acme("bounces", "add", "acme", "a@x", "--reason", "\x1b]0;title\x07\u202e\x9b31m")
    reader, terminal = os.openpty()
    subprocess.run(
        [sys.executable, "-m", "sendgrid_bounces", "bounces", "export", "acme"],
        env={**os.environ, "SENDGRID_BOUNCES_DATABASE_URL": url},
        stdout=terminal,
        check=True,
    )
    os.close(terminal)
    output = os.read(reader, 4096).decode()
    os.close(reader)
    assert r"a@x,550,550,\x1b]0;title\x07\u202e\x9b31m," in output
    assert "\x1b" not in output
    assert "\x1b]0;title\x07\u202e\x9b31m" in acme("bounces", "export", "acme").stdout


def test_export_is_added_to_the_file_of_stdout(acme, url, tmp_path: Path) -> None:
    """Also by the name of stdout."""
    path = tmp_path / "out"
    path.write_text("first\n")
    program = [sys.executable, "-m", "sendgrid_bounces", "bounces", "export", "acme"]
    with path.open("ab") as stdout:
        subprocess.run(
            [*program, "/dev/stdout", "--format", "csv"],
            env={**os.environ, "SENDGRID_BOUNCES_DATABASE_URL": url},
            stdout=stdout,
            check=True,
        )
    assert path.read_text().startswith("first\nemail,status,")


@pytest.mark.skipif(not Path("/dev/shm").is_dir(), reason="requires /dev/shm")  # noqa: S108 - a file system in memory
def test_file_in_memory_is_replaced() -> None:
    with TemporaryDirectory(dir="/dev/shm") as folder:
        path = Path(folder, "x.csv")
        for text in ("first", "second"):
            with open_output(str(path)) as file:
                file.write(text)
        assert path.read_text() == "second"


def test_mount_point_is_written(tmp_path: Path, monkeypatch) -> None:
    """A volume of a container can be a single file."""
    path = tmp_path / "x.csv"
    path.write_text("a longer text")

    def fail(*_: object) -> None:
        raise OSError(errno.EBUSY, "Device or resource busy")

    monkeypatch.setattr(Path, "replace", fail)
    with open_output(str(path)) as file:
        file.write("new")
    assert path.read_text() == "new"
    with (
        pytest.raises(OSError, match="busy: .*y.csv"),
        open_output(f"{tmp_path}/y.csv"),
    ):
        pass


def test_ignored_signal_stays_ignored(tmp_path: Path) -> None:
    """The program nohup ignores SIGHUP."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with open_output(str(tmp_path / "x.csv")) as file:
            os.kill(os.getpid(), signal.SIGHUP)
            file.write("a")
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)
    assert (tmp_path / "x.csv").read_text() == "a"


def test_link_to_itself_is_replaced(acme, tmp_path: Path) -> None:
    link = tmp_path / "link.csv"
    link.symlink_to(link)
    assert "already exists" in acme("backup", str(link), code=1).stderr
    acme("bounces", "export", "acme", str(link))
    assert link.read_text().startswith("email,")


def test_unwritable_file_is_one_line(acme, tmp_path) -> None:
    """The error names the path and the reason."""
    for path, message in (
        (tmp_path / "absent" / "x.csv", "absent/x.csv: No such file"),
        (tmp_path, "is a directory"),
        ("/dev/full", "No space left"),
    ):
        code = 2 if path == tmp_path else 1
        refused = acme(
            *("bounces", "export", "acme", str(path), "--format", "csv"), code=code
        )
        assert message in refused.stderr
