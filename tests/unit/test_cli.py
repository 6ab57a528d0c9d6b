"""The commands, their output and their errors."""

import csv
import io
import json
from contextlib import closing
from dataclasses import replace

import click
import pytest
from click.testing import CliRunner, Result
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sendgrid_bounces.cli import accounts, main
from sendgrid_bounces.core.errors import StorageError
from sendgrid_bounces.core.requests import LoggedRequest
from sendgrid_bounces.storage.bounces import BounceStore
from sendgrid_bounces.storage.database import open_storage


@pytest.fixture(name="run")
def _run(url: str, monkeypatch: pytest.MonkeyPatch):
    """Return a function that runs a command on an empty database."""
    open_storage(url).close()
    monkeypatch.setenv("SENDGRID_BOUNCES_DATABASE_URL", url)
    monkeypatch.setenv("SENDGRID_BOUNCES_KEY_HASH", "scrypt:128:8:1")

    def run(*args: str, stdin: str | None = None, code: int = 0) -> Result:
        result = CliRunner().invoke(main, args, input=stdin)
        assert code == result.exit_code, result.output
        if code:
            assert result.stderr.count("\n") == 1, result.stderr
            assert result.stderr.startswith("Error: ")
        return result

    return run


@pytest.fixture(name="acme")
def _acme(run):
    """Return a function that runs a command on a database with the account acme."""
    run("account", "add", "acme", stdin="s3cret\n")
    return run


def _commands(group: click.Group, *names: str):
    for name, command in group.commands.items():
        yield (*names, name), command
        if isinstance(command, click.Group):
            yield from _commands(command, *names, name)


@pytest.mark.parametrize("names", [names for names, _ in _commands(main)], ids=" ".join)
def test_every_command_has_help(names: tuple[str, ...], run) -> None:
    """Every option has help, and a listed command a complete one-line summary."""
    assert run(*names, "--help").stdout
    command: click.Command = main
    for name in names:
        command = command.commands[name]  # type: ignore[attr-defined]
    assert command.help
    assert 0 < len(command.short_help or "") <= 45
    for parameter in command.params:
        assert isinstance(parameter, click.Argument) or parameter.help, parameter.name


def test_accounts_are_added_listed_and_removed(run) -> None:
    """Customers are listed below their resellers."""
    run("account", "add", "acme", "--profile", "recorded", stdin="k\n")
    run("account", "add", "c@x", "--customer-of", "acme", stdin="k\n")
    run("account", "add", "late", "--timezone", "Asia/Tokyo", stdin="k\n")
    run("bounces", "add", "c@x", "a@example.com")

    listed = run("account", "list").stdout.splitlines()
    assert [line.split() for line in listed[1:]] == [
        ["acme", "recorded", "UTC", "0"],
        ["c@x", "(server's)", "UTC", "1"],
        ["late", "(server's)", "Asia/Tokyo", "0"],
    ]
    assert listed[2].startswith("  c@x")
    assert run("account", "remove", "acme").stdout == "removed acme and 1 customer\n"
    assert len(run("account", "list").stdout.splitlines()) == 2


def test_key_is_read_from_stdin_and_stored_as_a_hash(acme, tmp_path) -> None:
    """An empty key is rejected, and the account is not added."""
    acme("account", "set-key", "acme", stdin="another-s3cret\r\n")

    assert b"s3cret" not in (tmp_path / "bounces.sqlite3").read_bytes()
    for args in (("account", "add", "b"), ("account", "set-key", "acme")):
        refused = acme(*args, stdin="\n", code=1)
        assert "api_key" in refused.stderr
    assert "b" not in acme("account", "list").stdout.split()


def test_bounces_are_added_listed_and_removed(acme) -> None:
    """The list is in the account's time zone, oldest first."""
    acme("bounces", "add", "acme", "b@x", "--created", "2012-02-15 00:00:00")
    acme(
        *("bounces", "add", "acme", "a@x", "--status", "4.2.2", "--code", "452"),
        *("--reason", "full", "--created", "2012-02-14 00:00:00"),
    )

    assert acme("bounces", "list", "acme").stdout == (
        "2012-02-14 00:00:00  4.2.2     a@x  full\n"
        "2012-02-15 00:00:00  550       b@x  \n"
    )
    assert acme("bounces", "list", "acme", "--limit", "1").stdout.count("\n") == 1
    assert "b@x" in acme("bounces", "list", "acme", "--email", "B@X").stdout
    acme("bounces", "remove", "acme", "A@x")
    assert "no bounce" in acme("bounces", "remove", "acme", "a@x", code=1).stderr


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
        ("x.csv", "email,a b\na@x,red\n", "line 1: unknown column 2; valid columns: "),
        ("x.csv", "", "line 1: missing column 'email'"),
        ("x.csv", "email\na@x\n\nb@x,c\n", "line 4: has more cells"),
        ("x.csv", "email,email\na@x,b@x\n", "line 1: duplicate column 'email'"),
        ("x.csv", 'email,reason\na@x,"oops\nb@x,fine\n', "line 3: unexpected end"),
        ("x.csv", 'email,reason\na@x,"oops"junk\n', "line 2: "),
        ("x.csv", "email,reported\na@x,maybe\n", "line 2, reported: must be True"),
        ("x.json", "[" * 100_000, "invalid JSON"),
        ("x.csv", "email,created\na@x,\nb@x,never\n", "line 3, created: not a time"),
        ("x.csv", "email,status\n,5.1.1\n", "line 2, email: required"),
        ("x.csv", f"email\n{'a' * 2**21}\n", "line 2: field larger than"),
        ("x.csv", b"email\n\xff\n", "must be UTF-8"),
        ("x.json", "{}", "must be an array"),
        ("x.json", "[", "invalid JSON"),
        ("x.json", '[{"email": "a@x"}, {}]', "[1], email: required"),
        ("x.json", "[5]", "[0]: must be a mapping"),
        ("x.txt", "email\na@x\n", "--format"),
    ],
)
def test_invalid_import_stores_nothing(acme, tmp_path, name, content, message) -> None:
    """The error names its position; records before it are not stored either."""
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())

    refused = acme(
        "bounces", "import", "acme", str(path), code=2 if ".txt" in name else 1
    )

    assert message in refused.stderr
    assert acme("bounces", "list", "acme").stdout == ""


@pytest.mark.parametrize("form", ["csv", "json"])
@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    deadline=None,
    max_examples=25,
)
@given(
    reason=st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
)
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


def test_listed_bounce_is_one_line(acme) -> None:
    """Line breaks and terminal escape sequences in a reason are escaped."""
    acme("bounces", "add", "acme", "a@x", "--reason", "one\ntwo\x1b[31m\u2028")

    assert acme("bounces", "list", "acme").stdout.endswith(
        "a@x  one\\ntwo\\x1b[31m\\u2028\n"
    )


def test_domains_are_added_listed_and_removed(acme) -> None:
    """A domain has its own list or shares the list of the account."""
    acme("domain", "add", "Own.example", "acme")
    acme("domain", "add", "shared.example", "acme", "--share-list")
    acme("bounces", "add", "own.example", "a@x")
    acme("bounces", "add", "acme", "b@x")

    listed = acme("domain", "list").stdout.splitlines()[1:]
    assert [line.split() for line in listed] == [
        ["own.example", "acme", "own", "1"],
        ["shared.example", "acme", "account", "1"],
    ]
    acme("domain", "remove", "own.example")
    acme("domain", "remove", "SHARED.example")
    assert "b@x" in acme("bounces", "list", "acme").stdout
    for args, message in (
        (("remove", "own.example"), "there is no domain 'own.example'"),
        (("add", "a/b", "acme"), "domain: must be"),
        (("add", "x.example", "nobody"), "there is no account 'nobody'"),
    ):
        assert message in acme("domain", *args, code=1).stderr


def test_clear_asks_for_confirmation(acme) -> None:
    """Only "y" removes the bounces."""
    acme("bounces", "add", "acme", "a@x")

    asked = CliRunner().invoke(main, ["bounces", "clear", "acme"], input="n\n")
    assert (
        asked.exit_code,
        asked.stdout.partition(":")[0],
    ) == (1, "Remove 1 bounce of acme? [y/N]")
    assert "a@x" in acme("bounces", "list", "acme").stdout
    assert "removed 1 bounce\n" in (
        acme("bounces", "clear", "acme", stdin="y\n").stdout
    )


def test_init_db_can_be_repeated(run) -> None:
    """The output names the database file."""
    for _ in range(2):
        assert "bounces.sqlite3 is ready" in run("init-db").stdout


@pytest.mark.parametrize(
    ("args", "code", "message"),
    [
        (["serve", "--port", "70000"], 2, "70000 is not in the range"),
        (["serve", "--auth", "maybe"], 2, "'strict', 'any'"),
        (["serve", "--workers", "0"], 2, "--workers"),
        (["serve", "--colour"], 2, "No such option"),
        (["fly"], 2, "No such command 'fly'"),
        (["account", "add"], 2, "Missing argument 'NAME'"),
        (["account", "remove", "nobody"], 1, "there is no account 'nobody'"),
        (["account", "add", "x", "--customer-of", "nobody"], 1, "no account 'nobody'"),
        (["account", "add", "x", "--timezone", "Mars"], 1, "unknown time zone 'Mars'"),
        (["bounces", "list", "nobody"], 1, "no account or domain 'nobody'"),
        (["bounces", "import", "x", "/no/such.csv"], 2, "does not exist"),
        (["health", "--port", "1"], 1, "no answer from 127.0.0.1:1: "),
        (["init-db", "--database", "oracle://x"], 1, "database URL"),
        (
            ["init-db", "--database", "sqlite:////no/such/x"],
            1,
            "folder /no/such does not exist",
        ),
        (["serve", "-p0", "--seed", "/no/such.yaml"], 1, "/no/such.yaml: No such file"),
        (["serve", "--host", "256.0.0.1"], 1, "cannot listen on 256.0.0.1:8000"),
        (["serve", "--host", ""], 1, "host: must not be empty"),
        (["serve", "--host", "\u00fc..x"], 1, "cannot listen on"),
        (
            ["serve", "--demo", "--database", "sqlite:///x"],
            2,
            "--demo cannot be combined with --database",
        ),
        (["init-db", "--database", "sqlite:///a%00b"], 1, "is not a file name"),
        (
            ["init-db", "--database", f"sqlite:///{'a' * 300}/x"],
            1,
            "a/x' is not a file name",
        ),
        (["init-db", "--database", "sqlite:///a#b"], 1, "encoded"),
        (["init-db", "--database", "sqlite:////dev/null"], 1, "database /dev/null: "),
        (["bounces", "list", "\udcff"], 1, "cannot encode or decode text"),
        (["account", "add", "a\udcff"], 1, "username: must be"),
    ],
)
def test_error_is_one_line(run, args: list[str], code: int, message: str) -> None:
    """Errors go to stderr, with an exit code and without a traceback."""
    assert message in run(*args, stdin="k\n", code=code).stderr


def test_failed_export_keeps_the_existing_file(acme, tmp_path, monkeypatch) -> None:
    """No temporary file is left beside it."""
    path = tmp_path / "kept.csv"
    path.write_text("kept")

    def fail(*_: object) -> None:
        raise StorageError("disk full")

    monkeypatch.setattr(BounceStore, "find", fail)
    assert "disk full" in acme("bounces", "export", "acme", str(path), code=1).stderr
    assert [file.name for file in tmp_path.glob("*kept*")] == ["kept.csv"]
    assert path.read_text() == "kept"


def test_key_is_set_on_the_named_account_only(acme, url, monkeypatch) -> None:
    """An account that is removed while its key is typed does not affect another one."""

    def read_key() -> str:
        with closing(open_storage(url)) as storage:
            storage.accounts.remove("acme")
            storage.accounts.add("other", key_hash="others")
        return "late"

    monkeypatch.setattr(accounts, "_read_key", read_key)
    assert "no account 'acme'" in acme("account", "set-key", "acme", code=1).stderr
    with closing(open_storage(url)) as storage:
        assert storage.accounts.get("other").key_hash == "others"


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


def test_many_problems_are_one_line(run, tmp_path) -> None:
    """The error lists the first ones and counts the others."""
    path = tmp_path / "seed.yaml"
    path.write_text("accounts: [" + "{username: ''}," * 30 + "]")

    assert "; and 20 more\n" in run("serve", "-p0", "--seed", str(path), code=1).stderr


def test_unknown_setting_is_an_error(run, monkeypatch) -> None:
    """A misspelt variable is reported; variables of the tests are not settings."""
    monkeypatch.setenv("SENDGRID_BOUNCES_PROFIEL", "recorded")
    monkeypatch.setenv("SENDGRID_BOUNCES_TEST_MYSQL_URL", "not ours")

    assert "SENDGRID_BOUNCES_PROFIEL: no such setting" in run("serve", code=1).stderr


@pytest.mark.parametrize(
    "command",
    [
        *("account list", "account remove x", "account set-key x", "bounces list x"),
        *(
            "domain list",
            "requests list",
            "requests clear",
            "fault list",
            "fault clear",
        ),
        *("clock show", "snapshot list", "reset --yes"),
    ],
)
def test_reading_commands_create_no_database(command: str, tmp_path) -> None:
    """A mistyped path is an error with advice."""
    path = tmp_path / "typo.sqlite3"
    args = [*command.split(), "--database", f"sqlite:///{path}"]
    refused = CliRunner().invoke(main, args)

    assert refused.exit_code == 1
    assert str(path) in refused.stderr
    assert "; create it with init-db, or choose" in refused.stderr
    assert not path.exists()


def test_help_is_shown_without_a_command(run) -> None:
    """The exit code is that of a usage error."""
    result = CliRunner().invoke(main, [])

    assert result.exit_code == 2
    assert "Commands:" in result.output


SEED = "accounts: [{username: acme, bounces: [{email: a@example.com}]}]"
SEEDED = "the database has 1 account, 0 domains and 1 bounce\n"
NOTHING = "the database has 0 accounts, 0 domains and 0 bounces\n"


@pytest.fixture(name="seed")
def _seed(tmp_path) -> str:
    (tmp_path / "seed.yaml").write_text(SEED)
    return str(tmp_path / "seed.yaml")


def test_seed_is_loaded_from_files_and_stdin(run, seed: str) -> None:
    """Loading a file twice changes nothing."""
    assert run("seed", seed, seed).stdout == SEEDED
    assert run("seed", "-", stdin=SEED.replace("acme", "b")).stdout.startswith(
        "the database has 2 accounts"
    )


def test_invalid_seed_file_is_named(run, seed: str, tmp_path) -> None:
    """The error begins with the path of the file."""
    (tmp_path / "bad.yaml").write_text("accounts: [{username: ''}]")
    bad = str(tmp_path / "bad.yaml")
    refused = run("seed", bad, code=1).stderr
    assert f"Error: {bad}: accounts[0].username: must be" in refused
    (tmp_path / "bad.yaml").write_bytes(b"\xff")
    assert f"Error: {bad}: must be UTF-8 text\n" in run("seed", bad, code=1).stderr
    assert "No such file" in run("seed", "/no/such.yaml", code=1).stderr


def test_reset_asks_for_confirmation(acme, seed: str) -> None:
    """The question counts the contents of the database."""
    refused = acme("reset", "--seed", seed, stdin="n\n", code=1)
    question = "Remove 1 account, 0 domains and 0 bounces, then load 1 seed file?"
    assert question in refused.stdout
    assert acme("account", "list").stdout.count("\n") == 2
    assert SEEDED in acme("reset", "--seed", seed, stdin="y\n").stdout
    assert acme("reset", "--yes").stdout == NOTHING


def test_reset_loads_the_seed_files_of_the_environment(acme, seed, monkeypatch) -> None:
    """The variable is the one of serve."""
    monkeypatch.setenv("SENDGRID_BOUNCES_SEED", seed)
    assert acme("reset", "--yes").stdout == SEEDED
    assert acme("reset", "--yes", "--to", "empty").stdout == NOTHING


def test_one_account_is_reset(acme, seed: str) -> None:
    """Other accounts are kept; an unknown name is an error."""
    acme("account", "add", "other", stdin="s3cret\n")
    output = acme("reset", "--account", "acme", "--seed", seed, "--yes").stdout
    assert output == "the database has 2 accounts, 0 domains and 1 bounce\n"
    assert "'nobody'" in acme("reset", "--account", "nobody", "--yes", code=1).stderr


def test_clock_dates_new_bounces(acme, tmp_path) -> None:
    """Added and imported bounces without a time get the time of the clock."""
    frozen = "2012-02-15T12:00:00Z (frozen)\n"
    assert acme("clock", "freeze", "2012-02-15T12:00:00Z").stdout == frozen
    assert acme("clock", "freeze").stdout == frozen
    assert acme("clock", "advance", "PT1S").stdout == frozen.replace("0Z", "1Z")
    assert acme("clock", "show").stdout == frozen.replace("0Z", "1Z")
    acme("bounces", "add", "acme", "a@example.com")
    acme(
        "bounces",
        "import",
        "acme",
        "-",
        "--format",
        "csv",
        stdin="email\nb@example.com\n",
    )
    listed = acme("bounces", "list", "acme").stdout
    assert listed.count("2012-02-15 12:00:01") == 2
    acme("clock", "reset")
    assert "frozen" not in acme("clock", "show").stdout


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (("clock", "freeze", "today"), "instant: must be a time"),
        (("clock", "advance", "1h"), "duration: must be an ISO 8601 duration"),
        (("clock", "advance", "--", "-PT1H"), "duration: must be an ISO 8601 duration"),
        (("snapshot", "save", "a/b"), "name: must be 1 to 64"),
        (("snapshot", "restore", "x", "--yes"), "there is no snapshot 'x'"),
        (("snapshot", "remove", "x"), "there is no snapshot 'x'"),
    ],
)
def test_invalid_argument_is_an_error(run, command, message: str) -> None:
    """The error names the argument."""
    assert message in run(*command, code=1).stderr


def test_snapshots_are_saved_restored_listed_and_removed(acme, seed: str) -> None:
    """Restoring asks for confirmation."""
    acme("reset", "--yes", "--seed", seed)
    assert acme("snapshot", "save", "before").stdout == SEEDED.replace(
        "the database has", "saved"
    )
    acme("reset", "--yes")
    acme("snapshot", "restore", "before", stdin="n\n", code=1)
    assert acme("account", "list").stdout.count("\n") == 1
    assert SEEDED in acme("snapshot", "restore", "before", stdin="y\n").stdout
    listed = acme("snapshot", "list").stdout.splitlines()
    assert [line.split()[0] for line in listed] == ["snapshot", "before"]
    assert acme("snapshot", "remove", "before").stdout == "removed before\n"


def test_faults_are_added_from_text_files_and_stdin(run, tmp_path) -> None:
    """Each rule gets a number, and one line in the list."""
    path = tmp_path / "rules.yaml"
    path.write_text("{status: 503, email: 'a\u2028*'}")

    assert run("fault", "add", '[{"truncate": true}]').stdout == "added fault 1\n"
    assert run("fault", "add", str(path)).stdout == "added fault 2\n"
    assert run("fault", "add", "-", stdin="latency_ms: 1").stdout == "added fault 3\n"
    lines = run("fault", "list").stdout.splitlines()
    assert lines[2:] == [
        '2      0        0          {"email": "a\\u2028*", "status": 503}',
        '3      0        0          {"latency_ms": 1}',
    ]
    run("fault", "remove", "2")
    assert run("fault", "clear").stdout == "removed 2 faults\n"


@pytest.mark.parametrize(
    ("rule", "error"),
    [
        ('{"status": 1}', "status: must be an integer from 400 to 599 (got 1)"),
        ('[{"status": 503}, {}]', "[1]: must have an effect"),
        ("{", "not YAML or JSON"),
        ("/nowhere/rules.yaml", "No such file"),
    ],
)
def test_invalid_fault_is_not_added(run, rule: str, error: str) -> None:
    """The error is one line."""
    assert error in run("fault", "add", rule, code=1).stderr
    assert run("fault", "clear").stdout == "removed 0 faults\n"
    assert "no fault '7'" in run("fault", "remove", "7", code=1).stderr


def test_errors_in_a_fault_file_name_the_file(run, tmp_path) -> None:
    """The position of the rule follows the path."""
    path = tmp_path / "rules.yaml"
    path.write_text("[{status: 1}]")

    assert f"{path}: [0].status: must" in run("fault", "add", str(path), code=1).stderr
    path.write_bytes(b"\xff")
    assert (
        f"Error: {path}: must be UTF-8 text\n"
        in run("fault", "add", str(path), code=1).stderr
    )


def test_requests_are_listed_and_filtered(run, url: str) -> None:
    """Each request is one line, with its control characters escaped."""
    entry = LoggedRequest(
        time=0,
        dialect="mailgun.v3",
        operation="add",
        account=None,
        domain=None,
        method="POST",
        path="/v3/\x1b[2J/bounces",
        parameters={"address": "ä\n@x"},
        status=None,
        rows=2,
        fault=7,
    )
    with closing(open_storage(url)) as storage:
        storage.requests.add(entry, 9)
        storage.requests.add(replace(entry, status=200, account="acme", rows=None), 9)

    first, second = run("requests", "list").stdout.splitlines()
    assert first == (
        "1970-01-01T00:00:00Z  -    mailgun.v3 add  -  POST /v3/\\x1b[2J/bounces  "
        '{"address": "ä\\n@x"}  changed 2  fault 7'
    )
    assert "  200  mailgun.v3 add  acme  POST " in second
    for options in (
        ("--status", "200"),
        ("--account", "acme"),
        ("--limit", "1"),
        (
            "--account",
            "acme",
            "--dialect",
            "mailgun",
            "--since",
            "1970-01-01T00:00:00Z",
        ),
    ):
        assert run("requests", "list", *options).stdout.splitlines() == [second]
    assert run("requests", "list", "--since", "1970-01-01T00:00:01Z").stdout == ""
    assert "must be a time" in run("requests", "list", "--since", "x", code=2).stderr
    assert "count" in run("requests", "list", "--operation", "x", code=2).stderr
    assert run("requests", "clear").stdout == "removed 2 requests\n"
