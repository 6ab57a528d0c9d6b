"""``bounces receive``: mails become bounces, and mail systems get their exit codes."""

import errno
import json
import mailbox
import os
from collections.abc import Callable
from contextlib import closing, nullcontext
from email.message import EmailMessage
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from sendgrid_bounces.cli import mailboxes, main, receive
from sendgrid_bounces.core.errors import StorageError
from sendgrid_bounces.core.sources import Source, SourceCounts
from sendgrid_bounces.receiving import delivery
from sendgrid_bounces.sources.mail import flufl
from sendgrid_bounces.storage.database import Storage, open_storage
from sendgrid_bounces.storage.sources import SourceStore

MAILS = Path(__file__).parent.parent / "mails"
EXIM = (MAILS / "exim.eml").read_bytes()  # ike@example.org failed
POSTFIX = (MAILS / "postfix.eml").read_bytes()  # ada and bob@example.net failed
VACATION = (MAILS / "vacation.eml").read_bytes()
UNREADABLE = (
    b"From: MAILER-DAEMON@mx.example.org\nMessage-ID: <17@mx.example.org>\n"
    b"Subject: Undelivered mail\n\nIt failed.\n"
)

Run = Callable[..., Result]


@pytest.fixture(name="run")
def _run(url: str, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Return a function that runs a command on a database with the account acme."""
    with closing(open_storage(url)) as storage:
        account = storage.accounts.add("acme")
        storage.accounts.add_domain("mg.example.com", account)
    monkeypatch.setenv("SENDGRID_BOUNCES_DATABASE_URL", url)

    def run(*args: str, stdin: bytes = b"", code: int = 0) -> Result:
        result = CliRunner().invoke(main, args, input=stdin)
        assert result.exit_code == code, result.output
        return result

    return run


def listed(run: Run, owner: str = "acme") -> list[str]:
    lines = run("bounces", "export", owner, "--format", "json").stdout
    return [record["email"] for record in json.loads(lines)]


def read_source(url: str, name: str) -> Source:
    with closing(open_storage(url)) as storage:
        return storage.sources.get(name)


def test_mail_on_stdin_is_listed_once(run: Run):
    answer = run("bounces", "receive", "acme", stdin=EXIM)
    assert answer.stdout.splitlines() == [
        "listed ike@example.org 5.1.1 550",
        "1 mail: 1 listed, 0 known, 0 ignored, 0 unread",
    ]
    again = run("bounces", "receive", "acme", "-", stdin=EXIM).stdout
    assert again.splitlines()[0] == "known ike@example.org 5.1.1 550"
    assert listed(run) == ["ike@example.org"]


def test_first_problems_of_a_mail_are_printed(run: Run):
    """A stranger's notification can have thousands."""
    recipients = "{}," * 1_000 + "{}"
    bounce = f'"bounce":{{"bouncedRecipients":[{recipients}]}}'
    text = f'{{"notificationType":"Bounce",{bounce}}}'
    mail = f"From: no-reply@sns.amazonaws.com\nMessage-ID: <1@x>\n\n{text}\n"
    lines = run("bounces", "receive", "acme", stdin=mail.encode()).stderr.splitlines()
    unread = [line for line in lines if line.startswith("unread stdin, ")]
    assert len(unread) == 11
    assert unread[-1] == "unread stdin, Message-ID <1@x>: 91 further problems"


def test_bounce_of_a_mail_is_reported_by_a_mail_server(run: Run):
    run("bounces", "receive", "acme", stdin=EXIM)
    (record,) = json.loads(run("bounces", "export", "acme", "--format", "json").stdout)
    assert (record["status"], record["code"]) == ("5.1.1", "550")
    assert record["reported"] is True
    assert "User unknown" in record["reason"]


def test_owner_can_be_a_domain_in_any_letter_case(run: Run, url: str):
    run("bounces", "receive", "MG.example.com", stdin=EXIM)
    assert listed(run, "mg.example.com") == ["ike@example.org"]
    source = read_source(url, "bounces receive mg.example.com")
    assert (source.owner, source.kind, source.path) == ("mg.example.com", "mail", None)
    assert source.counts == SourceCounts(listed=1)


def test_reset_meanwhile_asks_for_a_repeat(run: Run, monkeypatch):
    """The mail system would return the mail for good after an error of another kind."""
    open_source = delivery.open_source

    def reset_meanwhile(storage: Storage, *arguments: str) -> Source:
        source = open_source(storage, *arguments)
        storage.sources.remove(source.name)
        return source

    with monkeypatch.context() as patch:
        patch.setattr(delivery, "open_source", reset_meanwhile)
        refused = run("bounces", "receive", "acme", stdin=EXIM, code=75)
    assert "the database was reset or restored meanwhile" in refused.stderr
    assert "1 listed" in run("bounces", "receive", "acme", stdin=EXIM).stdout


def test_mbox_is_read_and_not_changed(run: Run, tmp_path: Path):
    path = tmp_path / "mbox"
    with closing(mailbox.mbox(path)) as box:
        for raw in (EXIM, VACATION, POSTFIX):
            box.add(raw)
    before = path.read_bytes()

    answer = run("bounces", "receive", "acme", str(path))
    assert answer.stdout.splitlines() == [
        "listed ike@example.org 5.1.1 550",
        f"ignored {path}, mail 2 (vacation)",
        "listed ada@example.net 5.1.1 550",
        "listed bob@example.net 4.2.2 452",
        "3 mails: 3 listed, 0 known, 1 ignored, 0 unread",
    ]
    assert path.read_bytes() == before


def test_mbox_on_stdin_is_read(run: Run):
    stdin = b"".join(
        b"From MAILER-DAEMON Wed Feb 15 12:00:00 2012\n" + raw.rstrip() + b"\n\n"
        for raw in (EXIM, POSTFIX)
    )
    assert "2 mails: 3 listed" in run("bounces", "receive", "acme", stdin=stdin).stdout


@pytest.mark.parametrize("start", [b"\n\r\n", b"\xef\xbb\xbf", b"\xef\xbb\xbf\n"])
def test_blank_lines_at_the_beginning_do_not_hide_mails(run: Run, start: bytes):
    """The whole mbox would be one mail, of which only the first bounce is found."""
    from_line = b"From MAILER-DAEMON Wed Feb 15 12:00:00 2012\n"
    mbox = start + b"".join(from_line + raw + b"\n" for raw in (EXIM, POSTFIX))
    assert "2 mails: 3 listed" in run("bounces", "receive", "acme", stdin=mbox).stdout
    one = run("bounces", "receive", "acme", stdin=start + EXIM)
    assert "1 mail: 0 listed, 1 known" in one.stdout


def test_mbox_is_split_alike_in_a_file_and_on_stdin(run: Run, tmp_path: Path):
    start = b"From MAILER-DAEMON Wed Feb 15 12:00:00 2012\n"
    body = b"\nFrom here on it failed.\n\nFrom the log of 2012\nFrom x\n"
    mbox = b"\n".join(
        [start + UNREADABLE + body, start + EXIM, start + UNREADABLE + b"."]
    )
    path, folder = tmp_path / "mbox", tmp_path / "unread"
    path.write_bytes(mbox)
    arguments = ("bounces", "receive", "acme", "--unread", str(folder))

    piped = run(*arguments, stdin=mbox)
    kept = sorted(file.read_bytes() for file in folder.iterdir())
    assert kept == sorted([UNREADABLE + body, UNREADABLE + b"."])
    assert "3 mails: 1 listed, 0 known, 0 ignored, 2 unread" in piped.stdout
    filed = run(*arguments, str(path))
    assert "3 mails: 0 listed, 1 known, 0 ignored, 2 unread" in filed.stdout
    assert filed.stderr.replace(str(path), "stdin") == piped.stderr
    assert len([*folder.iterdir()]) == 2


def test_read_mails_of_a_maildir_move_and_unread_ones_stay(run: Run, tmp_path: Path):
    folder = tmp_path / "Maildir"
    mailbox.Maildir(folder)
    for name, raw in (("1.a", EXIM), ("2.b", UNREADABLE), ("3.c", VACATION)):
        (folder / "new" / name).write_bytes(raw)

    answer = run("bounces", "receive", "acme", str(folder))
    assert "3 mails: 1 listed, 0 known, 1 ignored, 1 unread" in answer.stdout
    assert [path.name for path in (folder / "new").iterdir()] == ["2.b"]
    names = sorted(path.name for path in (folder / "cur").iterdir())
    assert names == ["1.a:2,S", "3.c:2,S"]
    assert (folder / "cur" / "1.a:2,S").read_bytes() == EXIM


def test_mail_with_a_long_name_does_not_stop_the_next(run: Run, tmp_path: Path):
    """With the mark of a read mail, its name would be too long."""
    folder = tmp_path / "Maildir"
    mailbox.Maildir(folder)
    for name in ("1." + "é" * 126, "2.b"):
        (folder / "new" / name).write_bytes(EXIM)

    answer = run("bounces", "receive", "acme", str(folder))
    assert "2 mails: 1 listed, 1 known, 0 ignored, 0 unread" in answer.stdout
    assert [*(folder / "new").iterdir()] == []
    assert len([*(folder / "cur").iterdir()]) == 2


@pytest.mark.parametrize("has_links", [True, False])
def test_mails_of_one_name_in_a_maildir_stay(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, has_links: bool
):
    """A folder and a pipe among the mails are skipped."""
    if not has_links:  # of a file of another user, or in the file system

        def refuse(*_: object) -> None:
            raise PermissionError(errno.EPERM, "Operation not permitted")

        monkeypatch.setattr(os, "link", refuse)
    folder = tmp_path / "Maildir"
    mailbox.Maildir(folder)
    (folder / "cur" / "1.a:2,S").write_bytes(b"older")
    (folder / "new" / "1.a").write_bytes(EXIM)
    (folder / "new" / "1.a:2,").write_bytes(VACATION)
    (folder / "new" / "0.folder").mkdir()
    os.mkfifo(folder / "new" / "0.pipe")

    answer = run("bounces", "receive", "acme", str(folder))
    assert "2 mails: 1 listed, 0 known, 1 ignored, 0 unread" in answer.stdout
    found = {path.name: path.read_bytes() for path in (folder / "cur").iterdir()}
    assert found == {"1.a:2,S": b"older", "1.a_1:2,S": EXIM, "1.a_2:2,S": VACATION}
    left = sorted(path.name for path in (folder / "new").iterdir())
    assert left == ["0.folder", "0.pipe"]


@pytest.mark.parametrize("name", ["new", "cur"])
def test_folder_that_is_no_maildir_is_misuse(run: Run, tmp_path: Path, name: str):
    """Without ``cur``, the mails of ``new`` would be read again and again."""
    folder = tmp_path / "folder"
    (folder / name).mkdir(parents=True)
    answer = run("bounces", "receive", "acme", str(folder), code=64)
    assert "is a folder, but not a Maildir" in answer.stderr


@pytest.mark.parametrize("is_kept", [True, False])
def test_mail_that_cannot_be_moved_is_reported(tmp_path: Path, is_kept: bool):
    """Another program can move a mail at any time, but not the folder."""
    folder = tmp_path / "Maildir"
    mailbox.Maildir(folder).add(EXIM)
    (mail,) = mailboxes.read_mails(str(folder))
    (folder / "cur").rmdir()
    if not is_kept:
        Path(mail.place).unlink()
    with pytest.raises(FileNotFoundError) if is_kept else nullcontext():
        mail.mark_read()


def test_unreadable_mail_is_named_and_copied(run: Run, url: str, tmp_path: Path):
    folder = tmp_path / "new" / "unread"
    for _ in range(2):
        answer = run(
            "bounces", "receive", "acme", "--unread", str(folder), stdin=UNREADABLE
        )
        assert answer.stderr == (
            "unread stdin, Message-ID <17@mx.example.org>: "
            "a bounce mail without a recipient\n"
        )
    (copy,) = folder.iterdir()
    assert copy.read_bytes() == UNREADABLE
    source = read_source(url, "bounces receive acme")
    assert source.counts == SourceCounts(skipped=2)
    assert source.problem == "a bounce mail without a recipient"


def test_copy_of_an_unreadable_mail_is_complete_or_absent(
    run: Run, tmp_path: Path, monkeypatch
):
    """The mail system deletes the mail afterwards, or tries again."""
    synced = []

    def fail_second(path: Path) -> None:
        synced.append(path)
        if len(synced) == 2:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(receive, "sync", fail_second)
    folder = tmp_path / "unread"
    arguments = ("bounces", "receive", "acme", "--unread", str(folder))
    assert "No space left" in run(*arguments, stdin=UNREADABLE, code=75).stderr
    first = synced[0]
    assert first.name.endswith(".eml")
    monkeypatch.setattr(receive, "sync", synced.append)
    run(*arguments, stdin=UNREADABLE)
    assert [each.name for each in folder.iterdir()] == [first.name]
    assert synced[-1] == folder


@pytest.mark.parametrize("stdin", [b"", b"\0\xff", b"hello\n", VACATION, b"\n" * 9])
def test_mail_that_is_not_a_bounce_succeeds(run: Run, stdin: bytes):
    run("bounces", "receive", "acme", stdin=stdin)
    assert listed(run) == []


def test_mails_are_ignored_with_a_reason(run: Run):
    delayed = str(MAILS / "postfix-delayed.eml")
    answer = run("bounces", "receive", "acme", delayed, str(MAILS / "arf.eml"))
    assert answer.stdout.splitlines() == [
        "ignored carol@example.org (delayed)",
        f"ignored {MAILS / 'arf.eml'} (complaint)",
        "2 mails: 0 listed, 0 known, 2 ignored, 0 unread",
    ]


def test_dry_run_prints_bounces_for_an_import(run: Run, url: str, tmp_path: Path):
    paths = [str(MAILS / name) for name in ("exim.eml", "vacation.eml", "postfix.eml")]
    answer = run("bounces", "receive", "nobody", "--dry-run", *paths)
    file = tmp_path / "bounces.json"
    file.write_text(answer.stdout)
    assert answer.stderr == f"ignored {MAILS / 'vacation.eml'} (vacation)\n"
    assert listed(run) == []

    assert run("bounces", "import", "acme", str(file)).stdout == "imported 3 bounces\n"
    run("bounces", "receive", "mg.example.com", *paths)
    exported = [
        json.loads(run("bounces", "export", owner, "--format", "json").stdout)
        for owner in ("acme", "mg.example.com")
    ]
    for records in exported:
        for record in records:
            del record["created"]
    assert exported[0] == exported[1]


def test_dry_run_needs_no_database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SENDGRID_BOUNCES_URL", "http://127.0.0.1:1")  # not used
    answer = CliRunner().invoke(
        main, ["bounces", "receive", "acme", "--dry-run"], input=EXIM
    )
    assert (answer.exit_code, len(json.loads(answer.stdout))) == (0, 1)
    assert not [*tmp_path.iterdir()]


@pytest.mark.parametrize(
    ("recipient", "email"),
    [("original", "bounced@example.org"), ("final", "mailbox@example.net")],
)
def test_address_of_a_forwarded_mail_is_chosen(run: Run, recipient: str, email: str):
    report = (
        b"From: MAILER-DAEMON@mx.example.net\nSubject: Failure\n"
        b'Content-Type: multipart/report; report-type=delivery-status; boundary="b"\n\n'
        b"--b\nContent-Type: message/delivery-status\n\nReporting-MTA: dns; mx\n\n"
        b"Original-Recipient: rfc822; bounced@example.org\n"
        b"Final-Recipient: rfc822; mailbox@example.net\n"
        b"Action: failed\nStatus: 5.1.1\n\n--b--\n"
    )
    run("bounces", "receive", "acme", "--recipient", recipient, stdin=report)
    assert listed(run) == [email]


def test_address_is_found_in_the_return_address(run: Run):
    mail = EmailMessage()
    mail["From"] = "MAILER-DAEMON@mx.example.net"
    mail["To"] = "bounces+ada=example.org@lists.example.com"
    mail["Subject"] = "Undelivered mail"
    mail.set_content("550 5.1.1 no such user")
    verp = "bounces+{local}={domain}@lists.example.com"
    run("bounces", "receive", "acme", "--verp", verp, stdin=mail.as_bytes())
    assert listed(run) == ["ada@example.org"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "Missing argument 'OWNER'"),
        (["nobody"], "there is no account or domain 'nobody'"),
        (["acme", "absent.eml"], "'absent.eml' does not exist"),
        (["acme", "--verp", "x"], "must be an address with {local} and {domain}"),
        (["acme", "--recipient", "other"], "'other' is not one of"),
        (["acme", "--unknown"], "No such option"),
    ],
)
def test_misuse_has_its_exit_code(run: Run, arguments: list[str], message: str):
    answer = run("bounces", "receive", *arguments, stdin=EXIM, code=64)
    assert message in answer.stderr
    assert answer.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--database", "x:"], "the database URL must be"),
        (["--config", "/absent.yaml"], "/absent.yaml: No such file or directory"),
        (["--config", __file__], ".py: "),
    ],
)
def test_unusable_settings_are_a_temporary_failure(
    run: Run, arguments: list[str], message: str
):
    """Their file may just be replaced, and a returned bounce is lost."""
    answer = run("bounces", "receive", "acme", *arguments, stdin=EXIM, code=75)
    assert message in answer.stderr


def test_absent_database_is_a_temporary_failure(run: Run, tmp_path: Path):
    absent = f"sqlite:///{tmp_path / 'absent.sqlite3'}"
    run("bounces", "receive", "acme", "--database", absent, stdin=EXIM, code=75)


@pytest.mark.parametrize(
    "error", [StorageError("the disk is full"), OSError(28, "full"), KeyError("bug")]
)
def test_failure_is_temporary(run: Run, monkeypatch: pytest.MonkeyPatch, error):
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(SourceStore, "receive", fail)
    answer = run("bounces", "receive", "acme", stdin=EXIM, code=75)
    assert answer.stderr.startswith("Error: ")
    assert answer.stderr.count("\n") == 1


def test_failed_mail_of_a_maildir_stays(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    mailbox.Maildir(tmp_path / "m")
    (tmp_path / "m" / "new" / "1").write_bytes(EXIM)

    def fail(*_: object) -> None:
        raise StorageError("away")

    monkeypatch.setattr(SourceStore, "receive", fail)
    run("bounces", "receive", "acme", str(tmp_path / "m"), code=75)
    assert (tmp_path / "m" / "new" / "1").exists()


def test_missing_library_is_mentioned(run: Run, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(flufl, "is_installed", lambda: False)
    answer = run("bounces", "receive", "acme", stdin=EXIM)
    assert "pip install flufl.bounce" in answer.stderr
    assert listed(run) == ["ike@example.org"]


def test_help_succeeds(run: Run):
    assert "stdin" in run("bounces", "receive", "--help").stdout
