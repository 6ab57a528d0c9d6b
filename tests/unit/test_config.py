"""The settings: where they come from, which wins, and how a wrong one is told."""

import json
import os
import socket
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from live import named

from sendgrid_bounces.cli import main
from sendgrid_bounces.config import SETTINGS, from_file, load_config, settings
from sendgrid_bounces.core.errors import ParametersError
from sendgrid_bounces.schemas.seeds import read_seed
from sendgrid_bounces.storage.database import open_storage


@pytest.fixture(name="file")
def _file(tmp_path: Path) -> Path:
    return tmp_path / "settings.yaml"


def _run(*args: str, stdin: str = "s3cret\n") -> Result:
    return CliRunner().invoke(main, args, input=stdin)


def test_a_file_has_all_settings(file: Path) -> None:
    """In small letters; what stands there is what they are."""
    defaults = {setting.name: setting.default for setting in SETTINGS}
    lines = [f"{name.lower()}: '{text}'\n" for name, text in defaults.items()]
    file.write_text("".join(lines))

    assert from_file(str(file)) == defaults


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("", {}),
        ("# nothing\n", {}),
        ("port: 80\ncontrol: on\n", {"PORT": "80", "CONTROL": "on"}),
        ("\ufeffport: 80", {"PORT": "80"}),
        ('{"port": 80, "profile": "recorded"}', {"PORT": "80", "PROFILE": "recorded"}),
        ("control_token: 0123", {"CONTROL_TOKEN": "0123"}),
        ("port:\nhost: ~", {}),
        ("seed: a.yaml", {"SEED": "a.yaml"}),
        ("seed: [a.yaml, b.json]", {"SEED": os.pathsep.join(["a.yaml", "b.json"])}),
        ("seed: []", {"SEED": ""}),
    ],
)
def test_a_file_is_yaml_or_json(text: str, values: dict[str, str], file: Path) -> None:
    """What is null, or not there, is not set."""
    file.write_text(text, encoding="utf-8")

    assert from_file(str(file)) == values


@pytest.mark.parametrize(
    ("text", "faults"),
    [
        (
            b"prot: 80\nport: x",
            ["prot: no such setting; there are database_url,", "port"],
        ),
        (b"PORT: 80", ["PORT: no such setting"]),
        (b"config: other.yaml", ["config: no such setting"]),
        (
            b"auth: none\nworkers: 0",
            ["auth: must be strict or any", "workers: must be"],
        ),
        (b"port: 65536", ["port: must be a whole number from 0 to 65535"]),
        (b"workers: 999999999999999999999999", ["workers: must be a whole number"]),
        (b"journal_size: 1e3", ["journal_size: must be a whole number from 0"]),
        (b'{"port": true}', ["port: must be text or a whole number"]),
        (b'{"port": 80.5}', ["port: must be text or a whole number"]),
        (b"host: [a, b]", ["host: must be text or a whole number"]),
        (b"seed: ['a:b']", ["seed: must be a list of texts without ':'"]),
        (b"seed: [1]", ["seed: must be a list of texts"]),
        (b"key_hash: md5", ["key_hash: must be scrypt, or scrypt:N:r:p"]),
        (b"port: 1\nport: 2", ["not YAML or JSON: 'port' stands here twice"]),
        (b"[port]", ["must be a mapping of settings"]),
        (b"\xff", ["not UTF-8 text"]),
        (b"[" * 100_000, ["is nested too deeply"]),
    ],
)
def test_each_fault_is_told_by_file_and_name(
    text: bytes, faults: list[str], file: Path
) -> None:
    """All of them at once."""
    file.write_bytes(text)

    with pytest.raises(ParametersError) as raised:
        from_file(str(file))
    assert len(raised.value.problems) == len(faults)
    for (place, words), expected in zip(raised.value.problems, faults, strict=True):
        assert f"{place}: {words}".startswith(f"{file}: {expected}")


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
def test_a_fault_shows_no_secret(value: str, file: Path) -> None:
    """Logs keep what is said at the start."""
    file.write_text(f"control_token: {value}", encoding="utf-8")

    with pytest.raises(ParametersError) as raised:
        from_file(str(file))
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
def test_a_name_that_is_none_is_not_told(text: str, file: Path) -> None:
    """A blank is missing, and the secret has become a part of the name."""
    file.write_text(text)
    with pytest.raises(ParametersError, match="invalid key|a name") as raised:
        from_file(str(file))
    assert "s3cret" not in str(raised.value)

    with pytest.raises(ParametersError, match="invalid key|a name") as raised:
        read_seed(f"accounts: [{text if text[0] == '{' else '{' + text + '}'}]", 0)
    assert "s3cret" not in str(raised.value)


def test_the_environment_wins_over_the_file_that_it_names(file: Path) -> None:
    """A setting that neither has is the default."""
    file.write_text("port: 1\nhost: 127.0.0.2")
    environment = named(CONFIG=str(file), PORT="2")

    values = settings(load_config(environment))
    assert (values["PORT"], values["HOST"], values["AUTH"]) == (
        "2",
        "127.0.0.2",
        "strict",
    )
    assert settings(load_config(named(CONFIG="", AUTH="", PORT=""))) == settings()


def test_what_orchestrators_set_is_overlooked(monkeypatch) -> None:
    """For a service of this name; and a variable of ours that is misspelt is not."""
    for name, value in named(
        PORT="tcp://10.0.0.1:8000", PORT_8000_TCP="x", SERVICE_HOST="10.0.0.1"
    ).items():
        monkeypatch.setenv(name, value)

    assert settings(load_config(os.environ))["PORT"] == "8000"
    with socket.socket() as unused:  # bound, so that no server listens on its port
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        told = _run("health", "--port", str(port)).stderr
    assert f"no answer from 127.0.0.1:{port}" in told
    monkeypatch.setenv("SENDGRID_BOUNCES_DATABSE_URL", "x")
    for command in ("health", "init-db"):
        assert "DATABSE_URL: no such setting" in _run(command).stderr


def test_help_shows_nothing_of_the_file(file: Path, monkeypatch) -> None:
    """The URL of a database holds a password."""
    file.write_text("database_url: mysql://root:s3cret@127.0.0.1/x")

    told = _run("serve", "--config", str(file), "--help")
    assert (told.exit_code, "s3cret" in told.stdout) == (0, False)
    assert "sqlite:///sendgrid-bounces.sqlite3" in told.stdout
    monkeypatch.setenv("SENDGRID_BOUNCES_DATABASE_URL", "mysql://root:s3cret@h/x")
    assert "s3cret" not in _run("serve", "--help").stdout


def test_an_option_wins_over_the_environment_and_that_over_the_file(
    tmp_path: Path, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each database tells which of them was meant."""
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


def test_a_command_takes_what_has_no_option_from_the_file(
    tmp_path: Path, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """How keys are hashed, and the seed files of a reset."""
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


@pytest.mark.parametrize("command", ["serve", "init-db", "health", "seed"])
def test_a_wrong_file_is_one_line(command: str, file: Path) -> None:
    """Whichever command it is given to."""
    file.write_text("prot: 80")
    for path, words in ((str(file), "prot: no such"), ("/no/such", "No such file")):
        arguments = ["-"] if command == "seed" else []
        refused = _run(command, *arguments, "--config", path)
        assert refused.exit_code == 1
        assert refused.stderr.startswith(f"Error: {path}: {words}")
        assert refused.stderr.count("\n") == 1
