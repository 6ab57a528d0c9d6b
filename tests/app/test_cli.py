"""The command line as a whole: help, versions, completion, settings and errors."""

import io
import os
import re
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import click
import pytest
from click.shell_completion import ShellComplete
from click.testing import CliRunner
from conftest import bounce

from sendgrid_bounces import __version__
from sendgrid_bounces.cli import main, output, progress
from sendgrid_bounces.cli.completion import PROGRAM, VARIABLE
from sendgrid_bounces.core.messages import pluralize
from sendgrid_bounces.storage.database import open_storage

#: Modules that take long to import; the help needs none of them.
HEAVY = ("flask", "gunicorn", "lxml", "marshmallow", "peewee", "werkzeug", "yaml")

#: Runs a program without stdout.
CLOSED_STDOUT = ("sh", "-c", 'exec "$@" >&-', "sh")

#: The common options, which come last in the help of each command.
COMMON = ["url", "database_url", "config"]


def _commands(
    group: click.Group, *names: str
) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        yield (*names, name), command
        if isinstance(command, click.Group):
            yield from _commands(command, *names, name)


COMMANDS = dict(_commands(main))


@pytest.mark.parametrize("names", COMMANDS, ids=" ".join)
def test_every_command_has_help(names: tuple[str, ...], run) -> None:
    """Every option has help, and a listed command a complete one-line summary."""
    command = COMMANDS[names]

    assert run(*names, "--help").stdout
    assert command.help
    assert 0 < len(command.short_help or "") <= 45
    for parameter in command.params:
        assert isinstance(parameter, click.Argument) or parameter.help, parameter.name


@pytest.mark.parametrize("names", COMMANDS, ids=" ".join)
def test_common_options_are_listed_last(names: tuple[str, ...]) -> None:
    """Those of the command itself come first."""
    found = [option.name for option in COMMANDS[names].params]
    common = [name for name in found if name in ("url", "database", "config")]

    assert found[len(found) - len(common) :] == common


@pytest.mark.parametrize(
    "names",
    [
        names
        for names, command in COMMANDS.items()
        if names[-1] in ("list", "show", "import", "restore")
        or names[-1] in ("seed", "reset")
        or names in (("snapshot", "save"), ("backup",))
    ],
    ids=" ".join,
)
def test_every_list_and_show_prints_json(names: tuple[str, ...]) -> None:
    """So do the commands that change the state as a whole."""
    assert "as_json" in [parameter.name for parameter in COMMANDS[names].params]


@pytest.mark.parametrize(
    ("command", "hint"),
    [
        (("acount", "list"), "(did you mean 'account'?)"),
        (("account", "lst"), "(did you mean 'list'?)"),
        (("xyzzy",), "(known: serve, health, "),
        (("account", "create"), "(did you mean 'add'?)"),
        (("account", "delete", "x"), "(did you mean 'remove'?)"),
        (("start",), "(did you mean 'serve'?)"),
        (("export", "acme"), "(did you mean 'bounces export'?)"),
        (("fault", "add", "503"), "(did you mean --status 503?)"),
        (("account", "add", "x", "--api-key", "y"), "read from a prompt or from stdin"),
        (("help",), "(did you mean '--help'?)"),
        (("clock", "help"), "(did you mean '--help'?)"),
        (("version",), "(did you mean '--version'?)"),
        (("clock", "run"), "(known: show, set, "),
        (
            ("bounces", "list", "acme", "--emial", "x"),
            "(Did you mean one of: '--email'",
        ),
    ],
)
def test_misspelt_command_gets_a_suggestion(run, command, hint: str) -> None:
    """Options, too."""
    assert hint in run(*command, code=2).stderr


@pytest.mark.parametrize(
    ("command", "hint"),
    [
        (("bounces", "list", "acmee"), "(did you mean 'acme'?)"),
        (("bounces", "list", "mg.exampel"), "(did you mean 'mg.example'?)"),
        (("account", "show", "acem"), "(did you mean 'acme'?)"),
        (("snapshot", "restore", "befor", "--yes"), "(did you mean 'before'?)"),
        (("reset", "--account", "acmee", "--yes"), "(did you mean 'acme'?)"),
        (("account", "show", "xyzzy"), "there is no account 'xyzzy'\n"),
    ],
)
def test_misspelt_name_gets_a_suggestion(acme, command, hint: str) -> None:
    acme("domain", "add", "mg.example", "acme")
    acme("snapshot", "save", "before")

    assert hint in acme(*command, code=1).stderr


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("Berlin", "unknown time zone 'Berlin' (did you mean Europe/Berlin?)"),
        ("europe/berlin", "(did you mean Europe/Berlin?)"),
        ("Mars", "unknown time zone 'Mars'\n"),
        ("new_york", "(did you mean America/New_York?)"),
        ("utc", "(did you mean UTC?)"),
    ],
)
def test_city_gets_its_time_zone_as_suggestion(acme, name: str, hint: str) -> None:
    assert hint in acme("account", "set", "acme", "--timezone", name, code=2).stderr


def test_database_can_be_named_before_the_command(tmp_path, monkeypatch) -> None:
    """At the root and at a group; the last one counts."""
    monkeypatch.setenv("SENDGRID_BOUNCES_KEY_HASH", "scrypt:128:8:1")
    paths = [tmp_path / f"{name}.sqlite3" for name in "abc"]
    flags = [("--database", f"sqlite:///{path}") for path in paths]
    calls = (
        (*flags[0], "account", "add", "acme"),
        ("account", *flags[1], "add", "acme"),
        (*flags[0], "account", *flags[1], "add", "acme", *flags[2]),
    )
    for path, call in zip(paths, calls, strict=True):
        ended = CliRunner().invoke(main, call, input="k\n")
        assert ended.exit_code == 0, ended.output
        assert ended.stderr == f"Created the sqlite database {path}\n"


def test_version_names_python_and_the_databases(run) -> None:
    """One line that a bug report can contain."""
    assert re.fullmatch(
        rf"sendgrid-bounces {re.escape(__version__)} \(Python [0-9.]+\S*, SQLite "
        rf"{re.escape(sqlite3.sqlite_version)}, (PyMySQL [0-9.]+|no PyMySQL)\)\n",
        run("--version").stdout,
    )


QUICK = {
    "version": (["--version"], {}),
    "help": (["--help"], {}),
    "help of a group": (["bounces", "--help"], {}),
    "completion": (
        [],
        {
            VARIABLE: "bash_complete",
            "COMP_WORDS": "sendgrid-bounces ac",
            "COMP_CWORD": "1",
        },
    ),
}


@pytest.mark.parametrize("name", QUICK)
def test_help_imports_no_heavy_module(name: str) -> None:
    """They take longer than all the rest."""
    arguments, variables = QUICK[name]
    code = (
        "import sys; from sendgrid_bounces.cli import main\n"
        f"try: main({arguments!r}, prog_name={PROGRAM!r})\n"
        f"finally: print(*({HEAVY!r} & sys.modules.keys()), file=sys.stderr)"
    ).replace(repr(HEAVY), repr({*HEAVY}))
    ended = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        check=True,
    )

    assert ended.stdout
    assert ended.stderr.split() == []


def test_unexpected_arguments_are_not_repeated(run) -> None:
    """One may be a key, which commands read from standard input."""
    for names, command in COMMANDS.items():
        given = [p for p in command.params if isinstance(p, click.Argument)]
        if isinstance(command, click.Group) or any(p.nargs < 0 for p in given):
            continue
        words = ["bash" if names == ("completion",) else "1"] * len(given)
        stderr = run(*names, *words, "hunter2", code=2).stderr
        assert "hunter2" not in stderr
    for names in ("account set-key a", "account add a", "bounces list a", "health"):
        stderr = run(*names.split(), "hunter2", code=2).stderr
        assert f"1 argument too many; expected: main {names.rstrip(' a')} [" in stderr


def test_letters_that_the_encoding_lacks_are_escaped(acme, url: str) -> None:
    acme("bounces", "add", "acme", "\u03b1@example.com")
    ended = subprocess.run(
        [sys.executable, "-m", "sendgrid_bounces", "bounces", "list", "acme"],
        env={
            **os.environ,
            "SENDGRID_BOUNCES_DATABASE_URL": url,
            "PYTHONIOENCODING": "latin-1",
        },
        capture_output=True,
        check=True,
    )
    assert rb"\u03b1@example.com" in ended.stdout


@pytest.mark.slow
@pytest.mark.parametrize(
    ("command", "code", "message"),
    [
        ("--version", 0, ""),
        ("snapshot save before", 0, ""),
        ("bounces export acme -", 1, "Error: stdout is closed\n"),
        ("backup -", 1, "Error: stdout is closed\n"),
        ("account show nobody", 1, "Error: there is no account 'nobody'\n"),
    ],
)
def test_closed_stdout_is_no_error_for_messages(
    url: str, command: str, code: int, message: str
) -> None:
    with closing(open_storage(url)) as storage:
        storage.accounts.add("acme", key_hash="", key_tag=0)
    ended = subprocess.run(
        [*CLOSED_STDOUT, sys.executable, "-m", "sendgrid_bounces", *command.split()],
        env={**os.environ, "SENDGRID_BOUNCES_DATABASE_URL": url},
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    assert (ended.returncode, ended.stderr) == (code, message)


def test_help_of_no_command_imports_heavy_modules() -> None:
    """All commands run in one process, in turn."""
    calls = [[*names, "--help"] for names in COMMANDS]
    code = (
        "import sys; from sendgrid_bounces.cli import main\n"
        f"for call in {calls}:\n"
        "    try: main(call)\n"
        f"    except SystemExit: assert not {[*HEAVY]} & sys.modules.keys(), call"
    ).replace(str([*HEAVY]), str({*HEAVY}))
    ended = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert ended.stderr == ""
    assert ended.stdout.count("Usage:") == len(calls)


class Screen(io.StringIO):
    """A terminal that keeps its output."""

    def isatty(self) -> bool:
        return True


def test_long_work_shows_its_duration(monkeypatch) -> None:
    """On a line that is removed at the end; quick work shows nothing."""
    monkeypatch.setattr(progress, "INTERVAL", 0.01)
    for delay, pattern in (
        (0.01, r"(\rRemoving \.\.\. 0 s)+\r +\r"),
        (60, ""),
    ):
        monkeypatch.setattr(progress, "DELAY", delay)
        monkeypatch.setattr(sys, "stderr", Screen())
        with progress.elapsed_time("Removing"):
            deadline = time.monotonic() + 10
            while pattern and not sys.stderr.getvalue():
                assert time.monotonic() < deadline
        assert re.fullmatch(pattern, sys.stderr.getvalue())
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    with progress.elapsed_time("Removing"):
        pass
    assert sys.stderr.getvalue() == ""


def _complete(*words: str) -> list[str]:
    *arguments, start = words
    completer = ShellComplete(main, {}, PROGRAM, VARIABLE)
    return [item.value for item in completer.get_completions(arguments, start)]


def test_names_are_completed(acme, url: str) -> None:
    """Accounts, domains and snapshots; options and commands, too."""
    acme("account", "add", "beta", stdin="k\n")
    acme("domain", "add", "mg.example", "beta")
    acme("snapshot", "save", "before")

    assert _complete("account", "show", "") == ["acme", "beta"]
    with closing(open_storage(url)) as storage:
        for name in ("acme;rm x", "a$(x)", "*", "a|b", "--yes", "a'b", "a`b`", "~a"):
            storage.accounts.add(name, key_hash="", key_tag=0)
    assert _complete("account", "show", "") == ["acme", "beta"]
    assert _complete("bounces", "list", "") == ["acme", "beta", "mg.example"]
    assert _complete("domain", "add", "x.example", "b") == ["beta"]
    assert _complete("domain", "remove", "m") == ["mg.example"]
    assert _complete("snapshot", "restore", "") == ["before"]
    assert _complete("account", "add", "--customer-of", "a") == ["acme"]
    acme("source", "add", "hook", "acme", "--kind", "postmark", stdin="k\n")
    assert _complete("source", "remove", "") == ["hook"]
    assert _complete("fault", "add", "--account", "b") == ["beta"]
    assert _complete("requests", "list", "--account", "b") == ["beta"]
    assert _complete("reset", "--account", "") == ["acme", "beta", "mg.example"]
    assert _complete("snap") == ["snapshot"]
    assert _complete("snapshot", "re") == ["restore", "remove"]
    assert "--share-list" in _complete("domain", "add", "--")


def test_nothing_is_completed_without_a_database(tmp_path) -> None:
    """Errors are silent, and no database is created."""
    path = tmp_path / "absent.sqlite3"

    assert _complete("account", "show", "--database", f"sqlite:///{path}", "") == []
    assert _complete("account", "show", "--database", "nonsense", "") == []
    assert _complete("account", "show", "--url", "http://127.0.0.1:1", "") == []
    assert not path.exists()


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_prints_a_script(run, shell: str) -> None:
    """It calls the program with the variable that click reads."""
    script = run("completion", shell).stdout
    assert VARIABLE in script
    assert PROGRAM in script


def test_output_is_coloured_at_terminals_only(acme, monkeypatch) -> None:
    """NO_COLOR turns colours off."""
    assert "\x1b[1m" not in acme("account", "list").stdout
    coloured = CliRunner().invoke(main, ["account", "list"], color=True)
    assert "\x1b[1m" in coloured.stdout
    monkeypatch.setenv("NO_COLOR", "1")
    assert (
        "\x1b" not in CliRunner().invoke(main, ["account", "list"], color=True).stdout
    )


def test_reader_that_stops_ends_a_list_quietly(acme, url: str) -> None:
    """``bounces list | head -1`` prints no error."""
    with closing(open_storage(url)) as storage:
        found = storage.accounts.get("acme").bounce_list
        rows = (bounce(f"{i}@x", reason="r" * 100) for i in range(3_000))
        storage.bounces.put(found, rows)
    ended = subprocess.run(
        [
            "/bin/sh",
            "-c",
            f"{sys.executable} -m sendgrid_bounces bounces list acme | head -2",
        ],
        capture_output=True,
        text=True,
        check=True,
    )

    assert ended.stdout.count("\n") == 2
    assert ended.stderr == ""


def test_tables_are_as_wide_as_their_cells(capsys) -> None:
    """Numbers are aligned to the right, with separators of thousands."""
    rows = [("a\x1b", 1, "x"), ("日本", 12_345, "longer")]
    output.echo_table(("name", "number", "last"), rows, numbers=(1,))
    output.echo_table(("empty", "table"), [])

    assert capsys.readouterr().out.splitlines() == [
        "name   number  last",
        "a\\x1b       1  x",
        "日本   12,345  longer",
        "empty  table",
    ]


@pytest.mark.parametrize(
    ("number", "text"), [(0, "0 bounces"), (1, "1 bounce"), (1_204, "1,204 bounces")]
)
def test_nouns_agree_with_their_number(number: int, text: str) -> None:
    assert pluralize(number, "bounce") == text


def test_init_db_can_be_repeated(run) -> None:
    """The output names the database file."""
    for _ in range(2):
        assert "bounces.sqlite3 is ready" in run("init-db", "--create").stdout


@pytest.mark.parametrize(
    ("args", "code", "message"),
    [
        (["serve", "--port", "70000"], 2, "70000 is not in the range"),
        (["serve", "--auth", "maybe"], 2, "'strict', 'any'"),
        (["serve", "--workers", "0"], 2, "--workers"),
        (["serve", "--colour"], 2, "No such option"),
        (["--url", "http://x", "serve"], 2, "--url cannot be combined with serve"),
        (["--url", "http://x", "init-db"], 2, "init-db works on a database"),
        (["health", "--url", "http://x", "-p1"], 2, "cannot be combined with --port"),
        (["health", "--url", "http://u:k@x"], 1, "must be an address only"),
        (["fly"], 2, "No such command 'fly'"),
        (["mysql://u:k@x/y"], 2, "No such command 'mysql://***@x/y'"),
        (["serve", "--port", "mysql://u:k@x/y"], 2, "'mysql://***@x/y' is not a valid"),
        (["account", "add"], 2, "Missing argument 'NAME'"),
        (["account", "remove", "nobody"], 1, "there is no account 'nobody'"),
        (["account", "add", "x", "--customer-of", "nobody"], 1, "no account 'nobody'"),
        (["account", "add", "x", "--timezone", "Mars"], 2, "unknown time zone 'Mars'"),
        (["bounces", "list", "nobody"], 1, "no account or domain 'nobody'"),
        (["bounces", "import", "x", "/no/such.csv"], 2, "does not exist"),
        (["health", "--port", "1"], 1, "no answer from http://127.0.0.1:1: Connection"),
        (["health", "--url", "http://127.0.0.1:1"], 1, "serve` running there?"),
        (["init-db", "--database", "oracle://u:k@x"], 1, "or mariadb://...\n"),
        (
            ["init-db", "--database", "/no/x.db"],
            1,
            "(got '/no/x.db'; did you mean 'sqlite:////no/x.db'?)",
        ),
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
        (["account", "add", "a\udcff"], 2, "NAME: must be"),
        (["serve", "--profile", "recordd"], 2, "Error: --profile: must be documented"),
        (["serve", "--ssl-cert", "x"], 2, "Error: --ssl-cert requires --ssl-key\n"),
        (["serve", "--ssl-key", "x"], 2, "Error: --ssl-key requires --ssl-cert\n"),
    ],
)
def test_error_is_one_line(run, args: list[str], code: int, message: str) -> None:
    """Errors go to stderr, with an exit code and without a traceback."""
    assert message in run(*args, stdin="k\n", code=code).stderr


@pytest.mark.parametrize("scheme", ["mysql", "mariadb", "mysql+pymysql"])
def test_schemes_of_mariadb_are_synonyms(run, scheme: str) -> None:
    """Those of other tools work, too."""
    refused = run("init-db", "--database", f"{scheme}://x:y@127.0.0.1:1/z", code=1)
    assert "mysql database 127.0.0.1:1/z: " in refused.stderr
    assert "x:y" not in refused.stderr


def test_many_problems_are_one_line(run, tmp_path) -> None:
    """The error lists the first 10 and counts the rest."""
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
        *("account list", "account show x", "account remove x", "account set-key x"),
        *("account set x --timezone UTC", "domain list", "domain add x y"),
        *("bounces list x", "bounces count x", "bounces add x a@x", "bounces clear x"),
        *("requests list", "requests clear", "fault list", "fault clear"),
        *("fault add --status=503", "clock show", "clock freeze", "clock advance PT1H"),
        *("clock set 2012-02-15T12:00:00Z", "clock reset", "snapshot list"),
        *("snapshot save x", "reset --yes"),
    ],
)
def test_commands_create_no_database(command: str, tmp_path, monkeypatch) -> None:
    """A mistyped path is an error with advice."""
    monkeypatch.setenv("SENDGRID_BOUNCES_PORT", "1")
    path = tmp_path / "typo.sqlite3"
    args = [*command.split(), "--database", f"sqlite:///{path}"]
    refused = CliRunner().invoke(main, args)

    assert refused.exit_code == 1
    assert str(path) in refused.stderr
    assert "; run init-db first, or choose" in refused.stderr
    assert not path.exists()


def test_database_of_another_program_is_named(run, tmp_path: Path) -> None:
    """The file exists, so it is not reported as missing."""
    file = tmp_path / "other.sqlite3"
    with closing(sqlite3.connect(file)) as other:
        other.execute("CREATE TABLE their (a)")
    result = run("account", "list", "--database", f"sqlite:///{file}", code=1)
    assert f"database {file} has no tables of the emulator yet; " in result.stderr


def test_help_is_shown_without_a_command(run) -> None:
    """The exit code is that of a usage error."""
    result = CliRunner().invoke(main, [])

    assert result.exit_code == 2
    assert "Commands:" in result.output


@pytest.mark.parametrize("stat", [None, "1 (a b) R" + " 0" * 49])
def test_password_that_stays_visible_is_reported(monkeypatch, stat) -> None:
    """Not every system has the addresses of the arguments."""
    read_text = Path.read_text

    def read(path: Path, *arguments: str, **options: str) -> str:
        if str(path) != "/proc/self/stat":
            return read_text(path, *arguments, **options)
        if stat is None:
            raise FileNotFoundError
        return stat

    def errors(url: str) -> str:
        arguments = ("account", "list", "--database", url)
        return CliRunner().invoke(main, arguments).stderr

    monkeypatch.setattr(Path, "read_text", read)
    warning, error = errors("mysql://root:hunter2@127.0.0.1:1/x").splitlines()
    assert warning.startswith("Warning: other users of this machine can see")
    assert "SENDGRID_BOUNCES_DATABASE_URL" in warning
    assert "hunter2" not in error
    assert "Warning" not in errors("mysql://root@127.0.0.1:1/x")


def test_invalid_name_of_an_account_is_named(acme) -> None:
    refused = acme("account", "add", "", stdin="k\n", code=2).stderr
    assert "NAME: must be 1 to 255 printable characters (got '')" in refused
