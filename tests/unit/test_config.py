"""Settings: their sources and precedence, their types, and the messages about them."""

import json
import os
import socket
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from live import named

from sendgrid_bounces.app import create_app
from sendgrid_bounces.cli import main
from sendgrid_bounces.cli.serve import _warn_about_control, suggest_account
from sendgrid_bounces.config import SETTINGS, Config, load_config
from sendgrid_bounces.core.errors import ParametersError
from sendgrid_bounces.dialects.mailgun import v3
from sendgrid_bounces.emulator import EXTENSION
from sendgrid_bounces.schemas.seeds import read_seed
from sendgrid_bounces.storage.database import open_storage


@pytest.fixture(name="file")
def _file(tmp_path: Path) -> Path:
    return tmp_path / "settings.yaml"


def _run(*args: str, stdin: str = "s3cret\n") -> Result:
    return CliRunner().invoke(main, args, input=stdin)


def test_config_has_one_field_per_setting() -> None:
    """Each field has the type that its setting is converted to."""
    names = [field.name for field in fields(Config)]
    assert names == [setting.name.lower() for setting in SETTINGS]

    types = {"seed": tuple, "key_hash": tuple}
    config = load_config()
    for field in fields(Config):
        expected = types.get(field.name, field.type)
        assert type(getattr(config, field.name)) is expected, field.name


def test_file_can_contain_every_setting(file: Path) -> None:
    """The names are in lower case."""
    defaults = {setting.name: setting.default for setting in SETTINGS}
    lines = [f"{name.lower()}: '{text}'\n" for name, text in defaults.items()]
    file.write_text("".join(lines))

    assert load_config(file=str(file)) == load_config()


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("", {}),
        ("# nothing\n", {}),
        ("port: 80\ncontrol: on\n", {"port": 80, "control": True}),
        ("\ufeffport: 80", {"port": 80}),
        ('{"port": 80, "profile": "recorded"}', {"port": 80, "profile": "recorded"}),
        ("control_token: 0123", {"control_token": "0123", "control": True}),
        ("port:\nhost: ~", {}),
        ("seed: /a.yaml", {"seed": ("/a.yaml",)}),
        ("seed: [/a.yaml, '/b:c.json']", {"seed": ("/a.yaml", "/b:c.json")}),
        ("seed: []", {"seed": ()}),
    ],
)
def test_file_is_yaml_or_json(text: str, values: dict[str, Any], file: Path) -> None:
    """A setting that is null or absent has its default."""
    file.write_text(text, encoding="utf-8")

    assert load_config(file=str(file)) == replace(load_config(), **values)


@pytest.mark.parametrize(
    ("text", "problems"),
    [
        (
            b"prot: 80\nport: x",
            [
                "prot: no such setting (did you mean port?)",
                "port: must be an integer from 0 to 65535 (got 'x')",
            ],
        ),
        (b"qqq: 80", ["qqq: no such setting (known: database_url, seed,"]),
        (b"PORT: 80", ["PORT: no such setting"]),
        (b"config: other.yaml", ["config: no such setting"]),
        (
            b"auth: none\nworkers: 0",
            [
                "auth: must be strict or any (got 'none')",
                "workers: must be an integer from 1 to 64 (got '0')",
            ],
        ),
        (b"port: 65536", ["port: must be an integer from 0 to 65535 (got '65536')"]),
        (b"workers: 999999999999999999999999", ["workers: must be an integer"]),
        (b"journal_size: 1e3", ["journal_size: must be an integer from 0"]),
        (b'{"port": true}', ["port: must be text or an integer"]),
        (b'{"port": 80.5}', ["port: must be text or an integer"]),
        (b"host: [a, b]", ["host: must be text or an integer"]),
        (b"seed: [1]", ["seed: must be a path or a list of paths"]),
        (b"seed: {a: b}", ["seed: must be a path or a list of paths"]),
        (b"key_hash: md5", ["key_hash: must be scrypt or scrypt:N:r:p"]),
        (b"port: 1\nport: 2", ["not YAML or JSON: "]),
        (b"[port]", ["must be a mapping of settings"]),
        (b"\xff", ["not UTF-8 text"]),
        (b"[" * 100_000, ["nested too deeply"]),
    ],
)
def test_file_problems_are_reported_together(
    text: bytes, problems: list[str], file: Path
) -> None:
    """Each problem has the path of the file and the name of the setting."""
    file.write_bytes(text)

    with pytest.raises(ParametersError) as raised:
        load_config(file=str(file))
    assert len(raised.value.problems) == len(problems)
    for (place, message), expected in zip(raised.value.problems, problems, strict=True):
        assert f"{place}: {message}".startswith(f"{file}: {expected}")


@pytest.mark.parametrize(
    "value",
    [
        "'s3cret",
        "[s3cret",
        "!s3cret x",
        "*s3cret",
        "a: s3cret",
        "!!int s3cret",
        "!s3cret!x y",
        "&s3cret [&s3cret x",
        "s3cr\u00e9t",
    ],
)
def test_problems_do_not_show_secrets(value: str, file: Path) -> None:
    """Messages at startup end up in logs."""
    file.write_text(f"control_token: {value}", encoding="utf-8")

    with pytest.raises(ParametersError) as raised:
        load_config(file=str(file))
    assert "s3cr" not in str(raised.value)


@pytest.mark.parametrize(
    "text",
    [
        "{control_token:s3cret, profile: recorded}",
        "SENDGRID_BOUNCES_CONTROL_TOKEN=s3cret: x",
        "database_url:mysql://root:s3cret@h/d : x",
        '{"control_token:s3cret": 1, "control_token:s3cret": 2}',
    ],
)
def test_malformed_names_are_not_shown(text: str, file: Path) -> None:
    """Without a space after the colon, a secret becomes part of the name."""
    file.write_text(text)
    with pytest.raises(ParametersError) as raised:
        load_config(file=str(file))
    assert "s3cret" not in str(raised.value)

    with pytest.raises(ParametersError) as raised:
        read_seed(f"accounts: [{text if text[0] == '{' else '{' + text + '}'}]", 0, {})
    assert "s3cret" not in str(raised.value)


def test_repr_does_not_show_secrets() -> None:
    """A Config appears in tracebacks."""
    url = "mysql://root:s3cret@127.0.0.1/x"
    config = load_config({"DATABASE_URL": url, "CONTROL_TOKEN": "s3cret"})

    assert (config.database_url, config.control_token) == (url, "s3cret")
    assert "s3cret" not in repr(config)


def test_precedence_is_option_environment_file_default(file: Path) -> None:
    """Each source overrides the later ones."""
    file.write_text("port: 1\nhost: 127.0.0.2\nthreads: 3\nprofile: recorded")
    environment = named(CONFIG=str(file), PORT="2", THREADS="4")

    config = load_config({"PORT": 3}, environment)
    assert (config.port, config.threads) == (3, 4)
    assert (config.host, config.profile) == ("127.0.0.2", "recorded")
    assert config.workers == 2

    other = file.with_name("other.yaml")
    other.write_text("workers: 5")
    config = load_config(environment=environment, file=str(other))
    assert (config.workers, config.host, config.port) == (5, "127.0.0.1", 2)


def test_empty_variables_are_unset() -> None:
    """A container file often declares variables without values."""
    environment = named(CONFIG="", AUTH="", PORT="", SEED="")

    assert load_config(environment=environment) == load_config()


def test_seed_paths_are_absolute(tmp_path: Path, monkeypatch) -> None:
    """They stay valid when a server changes its working directory."""
    monkeypatch.chdir(tmp_path)
    paths = os.pathsep.join(["a.yaml", "", "/b.yaml"])

    config = load_config(environment=named(SEED=paths))
    assert config.seed == (str(tmp_path / "a.yaml"), "/b.yaml")
    assert load_config({"SEED": ["a:b"]}).seed == (str(tmp_path / "a:b"),)


def test_key_hash_is_converted_to_costs() -> None:
    """Without costs, scrypt has its defaults."""
    assert load_config().key_hash == (2**15, 8, 1)
    assert load_config({"KEY_HASH": "scrypt:128:8:1"}).key_hash == (128, 8, 1)
    for text in ("rot13", "scrypt:8", "scrypt:1:2:x", "scrypt:", "scrypt\n"):
        with pytest.raises(ParametersError, match="must be scrypt or scrypt:N:r:p"):
            load_config({"KEY_HASH": text})


TOKEN = "t0ken"
ANY = "0.0.0.0"  # noqa: S104 - an input
BASE = "http://127.0.0.1:8000"


@pytest.mark.parametrize(
    ("control", "host", "token", "by_serve", "elsewhere"),
    [
        ("auto", "127.0.0.1", "", True, False),
        ("auto", "127.1.2.3", "", True, False),
        ("auto", "::1", "", True, False),
        ("auto", "localhost", "", True, False),
        ("auto", ANY, "", False, False),
        ("auto", "::", "", False, False),
        ("auto", "192.168.1.1", "", False, False),
        ("auto", "bounces.example.com", "", False, False),
        ("auto", ANY, TOKEN, True, True),
        ("off", "127.0.0.1", TOKEN, False, False),
        ("on", "127.0.0.1", "", True, True),
        ("on", ANY, "", True, True),
        ("on", ANY, TOKEN, True, True),
    ],
)
def test_control_is_resolved(control, host, token, by_serve, elsewhere) -> None:
    """By default, control endpoints need a token, or serve on a loopback address."""
    options = {"CONTROL": control, "HOST": host, "CONTROL_TOKEN": token}

    assert load_config(options, is_serve=True).control is by_serve
    assert load_config(options).control is elsewhere


@pytest.mark.parametrize(
    "token", ["s3cret token", "s3cret\n", "s3cr\u00e9t", "x" * 257]
)
def test_invalid_token_is_not_shown(token: str) -> None:
    """The message contains the requirement instead."""
    with pytest.raises(ParametersError) as raised:
        load_config({"CONTROL_TOKEN": token})
    assert "SENDGRID_BOUNCES_CONTROL_TOKEN: must be at most" in str(raised.value)
    assert token not in str(raised.value)


def test_create_app_accepts_config_and_mapping(url: str) -> None:
    """A mapping has the names of the settings, in capitals."""
    options = {"DATABASE_URL": url, "KEY_HASH": "scrypt:128:8:1", "PORT": "80"}
    for config in (options, load_config(options)):
        emulator = create_app(config).extensions[EXTENSION]
        emulator.storage.close()
        assert emulator.config == load_config(options)
        assert emulator.operations["sendgrid.direct"] == ("get", "delete", "count")
    with pytest.raises(ParametersError, match="SENDGRID_BOUNCES_PROT: no such setting"):
        create_app({"PROT": "80"})


def test_create_app_serves_only_its_dialects(url: str) -> None:
    """Other dialects have no routes, operations or errors."""
    options = {"DATABASE_URL": url, "KEY_HASH": "scrypt:128:8:1"}
    app = create_app(options, dialects=(v3.DIALECT,))

    client = app.test_client()
    assert client.get("/v3/d/bounces").status_code == 401
    refused = client.get("/api/bounces.get.json")
    assert (refused.status_code, refused.json) == (404, {"error": "404 Not Found"})
    assert set(app.extensions[EXTENSION].operations) == {"mailgun.v3"}
    app.extensions[EXTENSION].storage.close()


def test_variables_of_orchestrators_are_ignored(monkeypatch) -> None:
    """Kubernetes defines variables for each service; a misspelt setting is an error."""
    for name, value in named(
        PORT="tcp://10.0.0.1:8000", PORT_8000_TCP="x", SERVICE_HOST="10.0.0.1"
    ).items():
        monkeypatch.setenv(name, value)

    assert load_config(environment=os.environ).port == 8000
    with socket.socket() as unused:  # bound, so that no server listens on its port
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        err = _run("health", "--port", str(port)).stderr
    assert f"no answer from http://127.0.0.1:{port}" in err
    monkeypatch.setenv("SENDGRID_BOUNCES_DATABSE_URL", "x")
    for command in ("health", "init-db"):
        assert "DATABSE_URL: no such setting" in _run(command).stderr


def test_help_does_not_show_the_settings_file(file: Path, monkeypatch) -> None:
    """The URL of a database contains a password."""
    file.write_text("database_url: mysql://root:s3cret@127.0.0.1/x")

    shown = _run("serve", "--config", str(file), "--help")
    assert (shown.exit_code, "s3cret" in shown.stdout) == (0, False)
    assert "sqlite:///sendgrid-bounces.sqlite3" in shown.stdout
    monkeypatch.setenv("SENDGRID_BOUNCES_DATABASE_URL", "mysql://root:s3cret@h/x")
    assert "s3cret" not in _run("serve", "--help").stdout


def test_command_options_override_the_environment_and_the_file(
    tmp_path: Path, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """init-db prints the database that it created."""
    urls = {name: f"sqlite:///{tmp_path / name}" for name in ("file", "env", "flag")}
    file.write_text(f"database_url: {urls['file']}")
    flags = ["init-db", "--config", str(file)]

    def where(*args: str) -> str:
        return _run(*args).stdout.split()[2]

    assert where(*flags) == str(tmp_path / "file")
    monkeypatch.setenv("SENDGRID_BOUNCES_DATABASE_URL", urls["env"])
    assert where(*flags) == str(tmp_path / "env")
    assert where(*flags, "--database", urls["flag"]) == str(tmp_path / "flag")
    monkeypatch.setenv("SENDGRID_BOUNCES_CONFIG", "/no/such.yaml")  # --config wins
    monkeypatch.delenv("SENDGRID_BOUNCES_DATABASE_URL")
    assert where(*flags) == str(tmp_path / "file")
    monkeypatch.setenv("SENDGRID_BOUNCES_CONFIG", str(file))
    assert where("init-db") == str(tmp_path / "file")


def test_commands_use_settings_without_an_option(
    tmp_path: Path, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The key hash, and the seed files of a reset."""
    monkeypatch.delenv("SENDGRID_BOUNCES_KEY_HASH")
    (tmp_path / "seed.yaml").write_text("accounts: [{username: b}, {username: c}]")
    url = f"sqlite:///{tmp_path / 'bounces.sqlite3'}"
    values = {"database_url": url, "key_hash": "scrypt:256:8:1"}
    file.write_text(json.dumps({**values, "seed": [str(tmp_path / "seed.yaml")]}))

    assert _run("account", "add", "acme", "--config", str(file)).exit_code == 0
    with closing(open_storage(url)) as storage:
        assert storage.accounts.get("acme").key_hash.startswith("scrypt:256:8:1$")
    monkeypatch.setenv("SENDGRID_BOUNCES_CONFIG", str(file))
    reset = _run("reset", "--yes")
    assert reset.stdout == "the database has 2 accounts, 0 domains and 0 bounces\n"
    file.write_text(json.dumps({**values, "seed": []}))
    reset = _run("reset", "--yes")
    assert reset.stdout == "the database has 0 accounts, 0 domains and 0 bounces\n"


def test_settings_file_can_be_a_pipe(tmp_path: Path) -> None:
    """A command reads the file once."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    url = f"sqlite:///{tmp_path / 'bounces.sqlite3'}"
    with ThreadPoolExecutor(1) as pool:
        pool.submit(pipe.write_text, f"database_url: {url}\nkey_hash: scrypt:256:8:1")
        added = _run("account", "add", "acme", "--config", str(pipe))
        os.close(os.open(pipe, os.O_RDONLY | os.O_NONBLOCK))  # unblock the writer

    assert (added.exit_code, added.stdout) == (0, "added acme\n")


@pytest.mark.parametrize("command", ["serve", "init-db", "health", "seed"])
def test_invalid_file_is_reported_in_one_line(command: str, file: Path) -> None:
    """All commands with --config print the same message."""
    file.write_text("prot: 80")
    for path, words in ((str(file), "prot: no such"), ("/no/such", "No such file")):
        arguments = ["-"] if command == "seed" else []
        refused = _run(command, *arguments, "--config", path)
        assert refused.exit_code == 1
        assert refused.stderr.startswith(f"Error: {path}: {words}")
        assert refused.stderr.count("\n") == 1


@pytest.mark.parametrize(("host", "token"), [("127.0.0.1", ""), (ANY, TOKEN)])
def test_protected_control_endpoints_cause_no_warning(host, token, capsys) -> None:
    """Only this machine, or only clients with the token, can call the endpoints."""
    _warn_about_control(
        load_config({"HOST": host, "CONTROL_TOKEN": token}, is_serve=True)
    )
    assert capsys.readouterr().err == ""


def test_exposed_control_endpoints_cause_a_warning(capsys) -> None:
    """The user has enabled the endpoints on a public address, without a token."""
    _warn_about_control(load_config({"CONTROL": "on", "HOST": ANY}, is_serve=True))

    err = capsys.readouterr().err
    assert err.startswith(f"Warning: anyone who can connect to {ANY} can read and")
    assert "SENDGRID_BOUNCES_CONTROL_TOKEN" in err


@pytest.mark.parametrize(
    ("options", "arguments"),
    [
        ({"CONTROL": "off"}, ""),
        ({"DATABASE_URL": "sqlite:///a b.db"}, " --database 'sqlite:///a b.db'"),
        (
            {"DATABASE_URL": "mysql://u:s3cret@db/b"},
            " (with the server's SENDGRID_BOUNCES_DATABASE_URL)",
        ),
        ({"CONTROL": "on"}, f" --url {BASE}"),
        (
            {"CONTROL_TOKEN": TOKEN},
            f" --url {BASE} (set SENDGRID_BOUNCES_CONTROL_TOKEN)",
        ),
    ],
)
def test_suggested_command_adds_an_account_to_the_served_database(
    options: dict[str, str], arguments: str
) -> None:
    """It names the server, or a database other than the default, without a password."""
    command = suggest_account(load_config(options), BASE)

    assert command == f"sendgrid-bounces account add NAME{arguments}"
