"""The README: what it says is there is there, and what it shows is what happens."""

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
from sendgrid_bounces.config import FILE, SETTINGS, from_file
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

#: What runs an example, given the file that it is in.
RUNNERS = {
    "python": ["example.py", sys.executable],
    "ruby": ["example.rb", "ruby"],
    "php": ["example.php", "php"],
    "perl": ["example.pl", "perl"],
    "javascript": ["example.js", "node"],
    "java": ["Bounces.java", "java"],
}


def _blocks(language: str) -> list[str]:
    """Return the code blocks of *language*."""
    found = re.findall(
        rf"^\.\. code-block:: {language}\n\n((?:   .*\n|\n)+)",
        ALL,
        re.MULTILINE,
    )
    return [re.sub("^   ", "", block, flags=re.MULTILINE).strip() for block in found]


def _dialogues() -> list[list[tuple[str, str]]]:
    """Return the console blocks: commands, and what they print."""
    return [
        [
            (part.split("\n", 1)[0], f"{part}\n".split("\n", 1)[1].strip("\n"))
            for part in f"\n{block}".split("\n$ ")[1:]
        ]
        for block in _blocks("console")
    ]


def _shell(command: str, folder: Path) -> str:
    """Return what *command* prints, run with this environment's programs."""
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
def test_it_is_sound_rst(text: str) -> None:
    """Package indexes show the README."""
    docutils.core.publish_string(
        text.replace(".. contents::\n   :depth: 1\n", ""),
        settings_overrides={"halt_level": 2, "report_level": 2},
    )


def test_the_first_screen_sets_everything_up() -> None:
    """What it is, for whom, and two lines that are each complete in themselves."""
    screen = README.splitlines()[:30]

    for line in SETUP:
        assert f"    {line}" in screen


@pytest.mark.docs
@pytest.mark.parametrize("number", range(len(_dialogues())))
def test_what_it_shows_is_what_happens(number: int, tmp_path: Path) -> None:
    """Each dialogue is played from its beginning, on a demo of its own."""
    shutil.copy(ROOT / "wsgi.py", tmp_path)
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    with serving("--demo", "--workers", "1") as live:
        for command, expected in _dialogues()[number]:
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
def test_a_client_in_another_language(language: str, tmp_path: Path) -> None:
    """Its example prints the addresses that bounced hard."""
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


def test_the_seed_it_shows_is_one() -> None:
    """It parses, and holds what it speaks of."""
    _settings, seed = _blocks("yaml")
    (acme,) = read_seed(seed, NOW).accounts

    assert (len(acme.customers), len(acme.domains)) == (1, 1)


def test_the_settings_file_it_shows_is_one(tmp_path: Path) -> None:
    """Each name is a setting's."""
    file = tmp_path / "settings.yaml"
    file.write_text(_blocks("yaml")[0])

    assert from_file(str(file))["WORKERS"] == "4"


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.name)
def test_every_setting_is_told_with_its_default(setting) -> None:
    """And nothing else is called a setting."""
    _, found, row = README.partition(f"``{setting.variable}``")
    assert found
    assert (
        not setting.default or f"(``{setting.default}``)" in row.split("SENDGRID_")[0]
    )
    known = {FILE, *(setting.variable for setting in SETTINGS)}
    assert set(re.findall(r"SENDGRID_BOUNCES_\w+", README)) == known


def test_the_python_it_shows_is_right(tmp_path: Path, monkeypatch) -> None:
    """Each answer is what is printed."""
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
def test_every_command_is_shown(command: str) -> None:
    """In a dialogue that is played above."""
    shown = [line for dialogue in _dialogues() for line, _ in dialogue]

    assert any(f"sendgrid-bounces {command}" in line for line in shown)


def test_every_route_and_parameter_is_told(url: str) -> None:
    """And no other is."""
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
    told = {
        re.sub(r"\.(get|delete|count)\.", ".{get,delete,count}.", route)
        for route in re.findall(r"^``(/\S+)``", ALL, re.MULTILINE)
    }
    assert told == rules

    section = README.partition("\nParameters\n---")[2].partition("\nErrors\n---")[0]
    parameters = set(re.findall(r"^``(\w+)``", section, re.MULTILINE))
    assert parameters == {*GET.fields, *DELETE.fields}


def test_every_field_of_a_rule_is_told() -> None:
    """Each in a table, or where the one is told that it belongs to; filters, too."""
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
