"""README and reference pages: their examples run, and their tables are complete."""

import doctest
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import click
import docutils.core
import pytest
from conftest import NOW, FixedClock, make_app
from live import ROOT, TIMEOUT, serving

from sendgrid_bounces.cli import main
from sendgrid_bounces.config import FILE, SETTINGS, load_config
from sendgrid_bounces.control.requests import LIST
from sendgrid_bounces.dialects.sendgrid.params import DELETE, GET
from sendgrid_bounces.emulator import EXTENSION
from sendgrid_bounces.schemas.faults import FAULT_RULE
from sendgrid_bounces.schemas.seeds import read_seed

README = (ROOT / "README.rst").read_text(encoding="utf-8")
CONTROL, FAULTS = (
    (ROOT / "docs" / name).read_text(encoding="utf-8")
    for name in ("control.rst", "faults.rst")
)
ALL = README + CONTROL + FAULTS

SETUP = (
    "python3 -m venv .venv && .venv/bin/pip install -q -e . && .venv/bin/sendgrid-bounces serve --demo",
    "python3 -m venv .venv && .venv/bin/pip install -q -e '.[test]' && .venv/bin/pytest",
)

#: File name and interpreter of the example in each language.
RUNNERS = {
    "python": ["example.py", sys.executable],
    "ruby": ["example.rb", "ruby"],
    "php": ["example.php", "php"],
    "perl": ["example.pl", "perl"],
    "javascript": ["example.js", "node"],
    "java": ["Bounces.java", "java"],
}


def _blocks(language: str) -> list[str]:
    """Return the code blocks in *language* of all pages."""
    found = re.findall(
        rf"^\.\. code-block:: {language}\n\n((?:   .*\n|\n)+)",
        ALL,
        re.MULTILINE,
    )
    return [re.sub("^   ", "", block, flags=re.MULTILINE).strip() for block in found]


def _sessions() -> list[list[tuple[str, str]]]:
    """Return (command, expected output) pairs of each console block."""
    return [
        [
            (part.split("\n", 1)[0], f"{part}\n".split("\n", 1)[1].strip("\n"))
            for part in f"\n{block}".split("\n$ ")[1:]
        ]
        for block in _blocks("console")
    ]


def _shell(command: str, folder: Path) -> str:
    """Run *command* with the programs of this environment, and return its output."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    variables = {"PATH": path, "SENDGRID_BOUNCES_KEY_HASH": "scrypt:128:8:1"}
    ended = subprocess.run(
        ["/bin/bash", "-c", command.replace("curl ", "curl -s ")],
        cwd=folder,
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout.strip("\n")


@pytest.mark.parametrize(
    "text", [README, CONTROL, FAULTS], ids=["README", "control", "faults"]
)
def test_page_is_valid_restructuredtext(text: str) -> None:
    """A package index rejects an invalid README."""
    docutils.core.publish_string(
        text.replace(".. contents::\n   :depth: 1\n", ""),
        settings_overrides={"halt_level": 2, "report_level": 2},
    )


def test_first_screen_shows_the_set_up_commands() -> None:
    """One command serves the demo, and one runs the tests."""
    screen = README.splitlines()[:30]

    for line in SETUP:
        assert f"    {line}" in screen


@pytest.mark.docs
@pytest.mark.parametrize("number", range(len(_sessions())))
def test_console_session_prints_its_output(number: int, tmp_path: Path) -> None:
    """Each session runs against its own demo server."""
    shutil.copy(ROOT / "wsgi.py", tmp_path)
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    with serving("--demo", "--workers", "1") as live:
        for command, expected in _sessions()[number]:
            printed = _shell(
                command.replace("http://127.0.0.1:8000", live.url).replace(
                    "--port 8000", f"--port {live.url.rpartition(':')[2]}"
                ),
                tmp_path,
            ).replace(live.url, "http://127.0.0.1:8000")
            if "--help" in command:
                printed = printed.split("\n")[0]
            assert printed == expected, command


@pytest.mark.parametrize(
    "language",
    [
        pytest.param(name, marks=[] if name == "python" else pytest.mark.docs)
        for name in RUNNERS
    ],
)
def test_client_example_runs(language: str, tmp_path: Path) -> None:
    """The example in each language prints the addresses of the hard bounces."""
    name, program = RUNNERS[language]
    if shutil.which(program) is None:
        assert "CI" not in os.environ, f"CI must have {program}"
        pytest.skip(f"{program} is not installed")
    (example,) = _blocks(language)
    with serving("--demo", "--workers", "1") as live:
        (tmp_path / name).write_text(example.replace("http://127.0.0.1:8000", live.url))
        printed = _shell(f"{program} {name}", tmp_path)

    assert printed.split() == [
        "claims@msp.org",
        "info@bnl.co.uk",
        "richard@hengseng.com",
        "test@brandonmwest.com",
    ]


def test_example_seed_is_valid() -> None:
    """It has an account with a customer and a domain."""
    _settings, seed = _blocks("yaml")
    (acme,) = read_seed(seed, NOW).accounts

    assert (len(acme.customers), len(acme.domains)) == (1, 1)


def test_example_settings_file_is_valid(tmp_path: Path) -> None:
    """Each key names a setting."""
    file = tmp_path / "settings.yaml"
    file.write_text(_blocks("yaml")[0])

    assert load_config(file=str(file)).workers == 4


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.name)
def test_every_setting_is_documented_with_its_default(setting) -> None:
    """The README names no other variables."""
    _, found, row = README.partition(f"``{setting.variable}``")
    assert found
    assert (
        not setting.default or f"(``{setting.default}``)" in row.split("SENDGRID_")[0]
    )
    known = {FILE, *(setting.variable for setting in SETTINGS)}
    assert set(re.findall(r"SENDGRID_BOUNCES_\w+", README)) == known


def test_python_session_prints_its_output(tmp_path: Path, monkeypatch) -> None:
    """The session is a doctest."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SENDGRID_BOUNCES_KEY_HASH", "scrypt:128:8:1")
    (block,) = _blocks("pycon")
    names: dict = {}
    test = doctest.DocTestParser().get_doctest(block + "\n", names, "docs", None, 0)
    runner = doctest.DocTestRunner(verbose=False)
    assert runner.run(test, clear_globs=False).failed == 0
    test.globs["app"].extensions[EXTENSION].storage.close()


def _commands(group: click.Group, *names: str):
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from _commands(command, *names, name)
        else:
            yield " ".join((*names, name))


@pytest.mark.parametrize("command", list(_commands(main)))
def test_every_command_has_an_example(command: str) -> None:
    """It occurs in a console session, which another test runs."""
    lines = [line for session in _sessions() for line, _ in session]

    assert any(f"sendgrid-bounces {command}" in line for line in lines)


def test_every_route_and_parameter_is_documented(url: str) -> None:
    """No other routes and parameters are documented."""
    app = make_app(url, FixedClock(), CONTROL="on")
    app.extensions[EXTENSION].storage.close()
    rules = {
        re.sub(
            r"<any\((.*?)\):\w+>",
            lambda m: f"{{{m[1].replace(', ', ',')}}}",
            r.rule.replace("address:_", ""),
        )
        for r in app.url_map.iter_rules()
    }
    documented = {
        re.sub(r"\.(get|delete|count)\.", ".{get,delete,count}.", route)
        for route in re.findall(r"^``(/\S+)``", ALL, re.MULTILINE)
    }
    assert documented == rules

    section = README.partition("\nParameters\n---")[2].partition("\nErrors\n---")[0]
    parameters = set(re.findall(r"^``(\w+)``", section, re.MULTILINE))
    assert parameters == {*GET.fields, *DELETE.fields}


def test_every_field_of_a_fault_rule_is_documented() -> None:
    """So is every filter of the request log."""
    rules, requests = FAULTS.split("\nThe journal\n")
    assert set(re.findall(r"^``(\w+)``", rules, re.MULTILINE)) == {
        *FAULT_RULE.fields
    } - {
        "seed",
        "window_seconds",
    }
    assert {"``seed``", "``window_seconds``"} <= set(re.findall(r"``\w+``", rules))
    filters = re.findall(r"^``(\w+)``  ", requests, re.MULTILINE)
    assert set(filters) == set(LIST.fields)
