"""The README is short, renders on a package index, and holds the two commands."""

import re

import docutils.core
from blocks import README

TEXT = README.read_text(encoding="utf-8")

COMMANDS = (
    "python3 -m venv .venv && .venv/bin/pip install -q -e . && .venv/bin/sendgrid-bounces serve --demo",
    "python3 -m venv .venv && .venv/bin/pip install -q -e '.[test]' && .venv/bin/pytest",
)


def test_the_readme_is_valid_without_sphinx() -> None:
    docutils.core.publish_string(
        TEXT, settings_overrides={"halt_level": 2, "report_level": 2}
    )


def test_the_readme_has_at_most_150_lines() -> None:
    assert len(TEXT.splitlines()) <= 150


def test_the_two_commands_are_complete_lines() -> None:
    """``.ci/run`` takes them from here."""
    lines = TEXT.splitlines()

    assert all(f"    {command}" in lines for command in COMMANDS)


def test_the_two_commands_are_on_the_first_screen() -> None:
    assert all(f"    {command}" in TEXT.splitlines()[:25] for command in COMMANDS)


def test_the_first_lines_say_emulator_and_test_double() -> None:
    start = " ".join(TEXT.split("\n\n")[1].split())

    assert "emulator" in start
    assert "test double" in start


def test_links_lead_to_files() -> None:
    targets = re.findall(r"^\.\. _.+: (\S+)$", TEXT, re.MULTILINE)

    assert targets
    assert all((README.parent / target).exists() for target in targets)
