"""Every example in the README and on the site runs and prints the output it shows."""

import doctest
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path

import pytest
from blocks import (
    BLOCKS,
    DOCS,
    PAGES,
    README,
    URL,
    Block,
    blocks_of,
    page_name,
    write_file,
)
from conftest import QUICK_HASH
from live import ROOT, TIMEOUT
from player import PROGRAMS, Session, programs, session
from shell import RUNNERS, RealSession, real_session

from sendgrid_bounces.config import load_config
from sendgrid_bounces.emulator import EXTENSION
from sendgrid_bounces.testing import EmulatorServer

#: Commands that change the machine or need a network: how they are checked.
NOT_EXECUTED = {
    "apt-get install": "changes the system; .ci/run does it",
    "docker": "test_containers.py checks the files",
    "/opt/sendgrid-bounces/bin/pip install": ".ci/run does it",
    "pip install": "needs an index; .ci/run installs the package and a wheel",
    "python -m build": ".ci/run does it",
    "python3 -m venv": ".ci/run executes the README's commands",
    ".venv/bin/pip install": ".ci/run does it",
    ".venv/bin/pytest": "the marker `cluster` runs these tests",
    ".venv/bin/python benchmarks/run.py": "takes minutes",
    ".venv/bin/sphinx-build": "test_site.py builds the site and the manual page",
    "sendgrid-bounces bounces pull acme": "needs an account at SendGrid",
    "systemctl": "changes the system",
    "useradd": "changes the system",
    "man docs/_build/man": "needs the page that the line before builds",
}

#: Languages of blocks that show output or data.
DISPLAYED = {"json", "text"}

#: Pages whose blocks of the language "text" have commands, which a test of the page runs.
RECIPES = {
    "docs/how-to/bounce-mails.rst": "test_mail_recipes.py",
    "docs/how-to/operating.rst": "test_operating.py",
}

#: Languages of files that test_operating.py uses.
USED = {"ini", "nginx"}

MARIADB = DOCS / "how-to" / "mariadb.rst"


def _consoles(page: Path) -> list[Block]:
    return [b for b in blocks_of(page, "console") if b.style != "isolated"]


def _used(page: Path) -> set[str]:
    return {name for block in _consoles(page) for name in programs(block)}


#: Pages with console examples, except those that need a container engine or MariaDB.
PLAYED = [
    page
    for page in PAGES
    if _consoles(page) and "docker" not in _used(page) and page != MARIADB
]


def _quick(pages: Iterable[Path | str]) -> list:
    """Mark *pages* as slow, except the README."""
    return [
        page if "README" in str(page) else pytest.param(page, marks=pytest.mark.slow)
        for page in pages
    ]


#: Test files that need a ``conftest.py``, which no other test file may see.
CONFIGURED = {"test_configured.py"}

#: The files of each pytest run: a page's test files, or those with a ``conftest.py``.
SUITES = {
    f"{page_name(page)}{' with conftest.py' if is_configured else ''}": files
    for page in PAGES
    for is_configured in (False, True)
    if (
        files := [
            block
            for block in blocks_of(page, "python")
            if block.name.startswith(("test_", "conftest"))
            and (block.name in {*CONFIGURED, "conftest.py"}) == is_configured
        ]
    )
}


def _play(page: Path, folder: Path, played: Session | RealSession) -> None:
    """Play a page from the top: files are written, commands compared with their output."""
    shutil.copytree(ROOT / "examples", folder / "examples")
    for block in blocks_of(page):
        if block.language != "console":
            if block.name:
                write_file(block, folder, played.url if URL in block.text else URL)
            continue
        if block.style == "isolated":
            continue
        for command, expected in block.dialogue():
            printed = played.play(command)
            if "--help" in command:
                printed = "\n".join([printed.split("\n")[0], "..."])
            assert printed == expected, f"{page_name(page)}:{block.line}: {command}"


@pytest.mark.parametrize(
    "page", _quick([p for p in PLAYED if _used(p) <= PROGRAMS]), ids=page_name
)
def test_console_examples_print_what_they_show(
    page: Path, tmp_path: Path, monkeypatch
) -> None:
    """In this process, so that they need no program but Python."""
    monkeypatch.setenv("SENDGRID_BOUNCES_KEY_HASH", QUICK_HASH)
    with session(tmp_path) as played:
        _play(page, tmp_path, played)


@pytest.mark.docs
@pytest.mark.server
@pytest.mark.parametrize("page", PLAYED, ids=page_name)
def test_console_examples_work_in_a_shell(page: Path, tmp_path: Path) -> None:
    with real_session(tmp_path) as played:
        _play(page, tmp_path, played)


@pytest.mark.parametrize(
    "suite",
    _quick(SUITES),
)
def test_pytest_examples_pass(suite: str, tmp_path: Path) -> None:
    """With warnings as errors."""
    files = SUITES[suite]
    for block in files:
        for name in re.findall(r"^(?:from|import) (\w+)", block.text, re.MULTILINE):
            if find_spec(name) is None:
                assert "CI" not in os.environ, f"CI must have the package {name}"
                pytest.skip(f"the package {name} is not installed")
        write_file(block, tmp_path)
    flags = ["-q", "-W", "error", "-p", "no:cacheprovider", "--strict-markers"]
    for plugin in ("schemathesis", "hypothesispytest", "anyio"):  # slow to import
        flags += ["-p", f"no:{plugin}"]
    ended = subprocess.run(
        [sys.executable, "-m", "pytest", *flags],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=TIMEOUT * 2,
        check=False,
    )
    tests = sum(len(re.findall(r"def test_", block.text)) for block in files)
    assert f"{tests} passed" in ended.stdout, ended.stdout + ended.stderr


def test_the_unittest_example_passes(tmp_path: Path) -> None:
    """Without pytest."""
    (block,) = [b for b in BLOCKS if b.name == "test_unittest.py"]
    write_file(block, tmp_path)
    ended = subprocess.run(
        [sys.executable, "-W", "error", "-m", "unittest", "-v", "test_unittest"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=False,
    )
    assert "Ran 2 tests" in ended.stderr
    assert ended.returncode == 0, ended.stderr


def test_python_sessions_print_what_they_show(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SENDGRID_BOUNCES_KEY_HASH", QUICK_HASH)
    (block,) = [b for b in BLOCKS if b.language == "pycon"]
    test = doctest.DocTestParser().get_doctest(block.text, {}, "docs", None, 0)
    runner = doctest.DocTestRunner(verbose=False)
    assert runner.run(test, clear_globs=False).failed == 0
    test.globs["app"].extensions[EXTENSION].storage.close()


@pytest.mark.parametrize(
    "block",
    [
        b
        for b in BLOCKS
        if b.language == "yaml" and re.search("seed|reseller|faults", b.name)
    ],
    ids=lambda block: f"{page_name(block.page)}:{block.name}",
)
def test_a_seed_file_loads(block: Block) -> None:
    with EmulatorServer(seed=block.text) as server:
        counts = server.control.counts()

    assert counts.accounts == block.text.count("username: ")


@pytest.mark.parametrize(
    "block",
    [b for b in BLOCKS if b.name in ("settings.yaml", "/etc/sendgrid-bounces.yaml")],
    ids=lambda b: page_name(b.page),
)
def test_a_settings_file_is_valid(block: Block, tmp_path: Path) -> None:
    file = tmp_path / "settings.yaml"
    file.write_text(block.text)

    assert load_config(file=str(file))


@pytest.mark.parametrize("page", PAGES, ids=page_name)
def test_every_block_is_checked(page: Path) -> None:
    """A test executes the block, or it is output, or `NOT_EXECUTED` has the reason."""
    for block in blocks_of(page):
        where = f"{page_name(page)}:{block.line}"
        if block.language == "python":
            assert block.name or block.style == "client", where
        elif block.language == "yaml":
            assert re.search(
                r"seed|reseller|faults|settings|workflows|compose|^/etc/", block.name
            ), where
        elif block.language == "console":
            is_played = page in {*PLAYED, MARIADB} or block.style == "isolated"
            assert is_played or "docker" in programs(block), where
        else:
            known = {*RUNNERS, *DISPLAYED, *USED, "pycon", "sql"}
            assert block.language in known, where
        if block.language == "text":
            assert not re.search(r"\.(ya?ml|service|conf)$", block.name), where
            has_command = re.search(r"sendgrid-bounces \w|^\$ ", block.text, re.M)
            assert not has_command or page_name(page) in RECIPES, where
    content = page.read_text(encoding="utf-8")
    for text in re.findall(
        r"^(?! *\.\.).*::\n\n((?:   .*\n|\n)+)", content, re.MULTILINE
    ):
        for command in filter(None, map(str.strip, text.splitlines())):
            assert command.startswith(tuple(NOT_EXECUTED)), (
                f"{page_name(page)}: {command}"
            )


def test_the_package_is_installed_from_a_named_place() -> None:
    """The package is on no index, so no page or message installs it from an index."""
    modules = (ROOT / "sendgrid_bounces").rglob("*.py")
    for file in [*PAGES, README, *modules]:
        assert not re.search(
            r"pip install (-\S+ )*'?sendgrid-bounces", file.read_text(encoding="utf-8")
        ), page_name(file)
