"""Commands for the contents, the clock, snapshots, fault rules and the request log."""

import json
import os
import subprocess
import sys
from contextlib import closing
from dataclasses import asdict, replace
from unittest.mock import Mock

import pytest
from click.testing import CliRunner
from conftest import logged_request

from sendgrid_bounces.cli import main, requests
from sendgrid_bounces.cli.faults import add_faults
from sendgrid_bounces.schemas.faults import FAULT_RULE
from sendgrid_bounces.storage.database import open_storage

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


def test_seeds_are_read_before_the_first_one_is_loaded(run, seed, tmp_path) -> None:
    """An invalid or missing file leaves nothing of the other files."""
    invalid = tmp_path / "invalid.yaml"
    invalid.write_text("accounts: [{nonsense: 1}]")
    for other in (invalid, tmp_path / "missing.yaml"):
        assert other.name in run("seed", seed, str(other), code=1).stderr
        assert run("account", "list", "--json").stdout == '{"accounts": []}\n'


@pytest.mark.parametrize(
    "command", ["seed {folder}/missing.yaml", "seed {folder}/bad.yaml", "account add x"]
)
def test_command_that_fails_creates_no_database(run, tmp_path, command: str) -> None:
    """The database may be mistyped, too."""
    (tmp_path / "bad.yaml").write_text("accounts: 1")
    words = command.format(folder=tmp_path).split()
    typo = tmp_path / "typo.sqlite3"
    result = CliRunner().invoke(main, [*words, "--database", f"sqlite:///{typo}"])
    assert result.exit_code != 0
    assert not typo.exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("command", "code"),
    [
        ("seed -", 1),
        ("fault add -", 1),
        ("restore - --yes", 1),
        ("bounces import acme - --format csv", 1),
        ("bounces receive acme", 64),
    ],
)
def test_closed_stdin_is_reported(acme, tmp_path, command: str, code: int) -> None:
    """A mail system, or a service, can start a command without it."""
    result = subprocess.run(
        [sys.executable, "-m", "sendgrid_bounces", *command.split()],
        preexec_fn=lambda: os.close(0),
        capture_output=True,
        text=True,
        check=False,
    )
    message = "Error: cannot read stdin: it is closed\n"
    assert (result.returncode, result.stderr) == (code, message)


def test_reset_asks_for_confirmation(acme, decline, seed: str) -> None:
    """The question counts the removed data, and names the next step."""
    acme("bounces", "add", "acme", "b@x")
    for args, question in (
        (
            ("--seed", seed),
            "everything (1 account, 0 domains and 1 bounce), then load 1 seed file?",
        ),
        (
            (),
            "everything (1 account, 0 domains and 1 bounce), and load nothing (",
        ),
        (("--to", "empty"), "everything (1 account, 0 domains and 1 bounce)?"),
        (("--account", "acme", "--seed", seed), "acme and 1 bounce, then load 1 seed"),
    ):
        assert decline("reset", *args).stdout.startswith(f"Remove {question}")
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
    ("command", "code", "message"),
    [
        (("snapshot", "save", "a/b"), 2, "NAME: must be 1 to 64"),
        (("snapshot", "restore", "x", "--yes"), 1, "there is no snapshot 'x'"),
        (("snapshot", "remove", "x"), 1, "there is no snapshot 'x'"),
    ],
)
def test_invalid_argument_is_an_error(run, command, code: int, message: str) -> None:
    """The error names the argument."""
    assert message in run(*command, code=code).stderr


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (("clock", "freeze", "today"), "'[INSTANT]': must be a time such as"),
        (("clock", "set", "2012-02-30T00:00:00Z"), "(got '2012-02-30T00:00:00Z')"),
        (("clock", "advance", "1 h"), "(got '1 h')"),
        (("clock", "advance", "--", "-PT1H"), "'DURATION': must be a duration such as"),
        (("requests", "list", "--since", "soon"), "'--since': must be a time such as"),
    ],
)
def test_invalid_time_is_a_usage_error(run, command, message: str) -> None:
    """The error names the argument and the value."""
    assert message in run(*command, code=2).stderr


def test_snapshots_are_saved_restored_listed_and_removed(
    acme, decline, seed: str
) -> None:
    """The question before a restore counts both states."""
    acme("reset", "--yes", "--seed", seed)
    assert acme("snapshot", "save", "before").stdout == SEEDED.replace(
        "the database has", "saved"
    )
    acme("reset", "--yes")
    assert decline("snapshot", "restore", "before").stdout.startswith(
        "Remove 0 accounts, 0 domains and 0 bounces, then restore before (1 account, 0 "
        "domains and 1 bounce)? [y/N]"
    )
    assert acme("account", "list").stdout.count("\n") == 1
    assert SEEDED in acme("snapshot", "restore", "before", stdin="y\n").stdout
    header, line = acme("snapshot", "list").stdout.splitlines()
    assert header.split() == ["snapshot", "created", "accounts", "domains", "bounces"]
    assert line.split()[::2] == ["before", "1", "1"]
    (listed,) = json.loads(acme("snapshot", "list", "--json").stdout)["snapshots"]
    saved = json.loads(acme("snapshot", "save", "before", "--json").stdout)
    assert {**saved, "created": ""} == {**listed, "created": ""}
    assert acme("snapshot", "remove", "before", "--yes").stdout == "removed before\n"


def test_changes_of_the_whole_state_print_json(acme, seed: str) -> None:
    """They print the contents."""
    counts = {"accounts": 1, "domains": 0, "bounces": 1}
    acme("snapshot", "save", "empty")

    for command in (("seed", seed), ("reset", "--yes", "--seed", seed)):
        assert json.loads(acme(*command, "--json").stdout) == counts
    restored = acme("snapshot", "restore", "empty", "--yes", "--json").stdout
    assert json.loads(restored) == {**counts, "bounces": 0}


def test_clock_is_set_and_runs(run) -> None:
    """A clock that was frozen runs again."""
    run("clock", "freeze", "2012-02-15T12:00:00Z")
    for command in (("set", "2013-01-01T00:00:00Z"), ("show",)):
        shown = json.loads(run("clock", *command, "--json").stdout)
        assert shown["now"].startswith("2013-01-01T00:00:0")
        assert shown["frozen"] is False
    assert "must be a time" in run("clock", "set", "soon", code=2).stderr


def test_every_field_of_a_fault_rule_has_an_option() -> None:
    assert FAULT_RULE.fields.keys() <= {option.name for option in add_faults.params}


def test_fault_is_added_from_options(run) -> None:
    """Each option is a field of the rule."""
    added = run(
        *("fault", "add", "--operation", "get", "--status", "503", "--times", "2"),
        *("--retry-after", "7", "--latency-ms", "5", "--email", "*@x"),
    )
    assert added.stdout == "added fault rule 1\n"
    run("fault", "add", "--limit", "3", "--window-seconds", "60")
    run("fault", "add", "--malformed", "--probability", "0.5")
    assert run("fault", "add", "--drop-connection", "after", "--json").stdout == (
        '{"ids": [4]}\n'
    )
    listed = json.loads(run("fault", "list", "--json").stdout)["faults"]
    assert [found["rule"] for found in listed] == [
        {
            "operation": "get",
            "email": "*@x",
            "times": 2,
            "status": 503,
            "retry_after": 7,
            "latency_ms": 5,
        },
        {"limit": 3, "window_seconds": 60},
        {"probability": 0.5, "malformed": True},
        {"drop_connection": "after"},
    ]
    assert json.loads(run("fault", "show", "2", "--json").stdout) == listed[1]
    assert "limit" in run("fault", "show", "2").stdout
    for args, code, message in (
        (("--times", "2"), 2, "must have an effect: --status, --latency-ms, "),
        (("--retry-after", "3", "--malformed"), 2, "--retry-after requires --status\n"),
        (
            ("--status", "200", "--times", "1", "--probability", "1"),
            2,
            "--times cannot be combined with --probability",
        ),
        (("--status", "200"), 2, "--status: must be an integer from 400 to 599"),
        (("{}", "--status", "503"), 2, "RULE cannot be combined with options"),
        ((), 2, "missing RULE, or options such as --status 503"),
        (('{"status": 200}',), 1, "Error: status: must be an integer"),
        (('{"staus": 503}',), 1, "staus: unknown field (did you mean status?)"),
    ):
        assert message in run("fault", "add", *args, code=code).stderr


def test_faults_are_added_from_text_files_and_stdin(run, tmp_path) -> None:
    """Each rule gets a number, and one line in the list."""
    path = tmp_path / "rules.yaml"
    path.write_text("{status: 503, email: 'a\u2028*'}")

    assert run("fault", "add", '[{"truncate": true}]').stdout == "added fault rule 1\n"
    assert run("fault", "add", str(path)).stdout == "added fault rule 2\n"
    assert (
        run("fault", "add", "-", stdin="latency_ms: 1").stdout == "added fault rule 3\n"
    )
    lines = run("fault", "list").stdout.splitlines()
    assert lines[2:] == [
        '2            0          0  {"email": "a\\u2028*", "status": 503}',
        '3            0          0  {"latency_ms": 1}',
    ]
    run("fault", "remove", "2")
    assert run("fault", "clear", "--yes").stdout == "removed 2 fault rules\n"


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
    assert run("fault", "clear").stdout == "removed 0 fault rules\n"
    assert "no fault rule '7'" in run("fault", "remove", "7", code=1).stderr


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
    entry = logged_request(
        emulated_time=0,
        dialect="mailgun.v3",
        operation="add",
        account=None,
        method="POST",
        path="/v3/\x1b[2J/bounces",
        parameters={"address": "ä\n@x"},
        status=None,
        rows=2,
        fault=7,
    )
    with closing(open_storage(url)) as storage:
        storage.requests.add(entry)
        storage.requests.add(replace(entry, status=200, account="acme", rows=None))

    header, first, second = run("requests", "list").stdout.splitlines()
    assert header.split() == [
        *("id", "time", "status", "dialect", "operation", "account", "request"),
        *("parameters", "rows", "fault"),
    ]
    assert first == (
        "1   1970-01-01T00:00:00Z  -       mailgun.v3  add        -        "
        'POST /v3/\\x1b[2J/bounces  {"address": "ä\\n@x"}  2     7'
    )
    assert "  200     mailgun.v3  add        acme     POST " in second
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
        (_, line) = run("requests", "list", *options).stdout.splitlines()
        assert line.split() == second.split()
    since = ("--since", "1970-01-01T00:00:01Z")
    assert run("requests", "list", *since).stdout.count("\n") == 1
    assert json.loads(run("requests", "list", "--json").stdout)["requests"][1] == {
        **asdict(entry),
        "id": 2,
        "received": "2012-02-15T12:00:00.007Z",
        "emulated_time": "1970-01-01T00:00:00Z",
        "time": "1970-01-01T00:00:00Z",
        "status": 200,
        "account": "acme",
        "rows": None,
    }
    assert "must be a time" in run("requests", "list", "--since", "x", code=2).stderr
    assert "count" in run("requests", "list", "--operation", "x", code=2).stderr
    shown = run("requests", "show", "2").stdout.splitlines()
    assert shown[0].split() == ["id", "2"]
    assert ["response", "[]"] in [line.split() for line in shown]
    refused = run("requests", "clear", code=2).stderr
    assert "would remove all requests from the log; confirm with --yes" in refused
    assert run("requests", "clear", "--yes").stdout == "removed 2 requests\n"
    assert run("requests", "clear").stdout == "removed 0 requests\n"


@pytest.mark.parametrize("options", [(), ("--json",)])
def test_new_requests_are_followed(run, url: str, monkeypatch, options) -> None:
    """An interrupt ends the command without an error."""
    with closing(open_storage(url)) as storage:
        storage.requests.add(logged_request(path="/first"))
        paths = ["/second", "/third"]

        def sleep(_seconds: float) -> None:
            if not paths:
                raise KeyboardInterrupt
            storage.requests.add(logged_request(path=paths.pop(0)))
            storage.requests.add(logged_request(account="other"))

        monkeypatch.setattr(requests, "time", Mock(sleep=sleep))
        found = run("requests", "list", "--follow", "--account", "acme", *options)

    lines = found.stdout.splitlines()
    if not options:
        header, *lines = lines
        assert header.startswith("id")
    assert all(path in line for path, line in zip(FOLLOWED, lines, strict=True))


FOLLOWED = ("/first", "/second", "/third")
