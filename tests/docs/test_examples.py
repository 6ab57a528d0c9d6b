"""Every example in the README and on the site runs and prints the output it shows."""

import doctest
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import mysql
import pytest
import yaml
from blocks import BLOCKS, DOCS, PAGES, README, Block, page_name
from conftest import QUICK_HASH
from live import ROOT, TIMEOUT, Live, free_port, serving, start
from player import PROGRAMS, URL, Session, programs, session, show_release

from sendgrid_bounces.config import load_config
from sendgrid_bounces.emulator import EXTENSION
from sendgrid_bounces.testing import EmulatorServer

#: The command that runs an example, and the name of its file.
RUNNERS = {
    "python": ["example.py", sys.executable],
    "ruby": ["example.rb", "ruby"],
    "php": ["example.php", "php"],
    "perl": ["example.pl", "perl"],
    "javascript": ["example.js", "node"],
    "java": ["Bounces.java", "java"],
}

#: Commands whose programs change the machine or need a network: how they are checked.
NOT_EXECUTED = {
    "apt-get install": "changes the system; .ci/run does it",
    "docker": "test_containers.py checks the files",
    "pip install": "needs an index; .ci/run installs the package and a wheel",
    "python -m build": ".ci/run does it",
    "python3 -m venv": ".ci/run executes the README's commands",
    ".venv/bin/pip install": ".ci/run does it",
    ".venv/bin/pytest": "the marker `cluster` runs these tests",
    ".venv/bin/python benchmarks/run.py": "takes minutes",
}

#: Languages of blocks that show output or data.
DISPLAYED = {"json", "text"}

MARIADB = DOCS / "how-to" / "mariadb.rst"

#: Runs a script as the superuser of a network of its own, with its own hosts file.
ISOLATED = """
set -eu
ip link set lo up
mount --bind hosts /etc/hosts
exec bash script
"""

#: Commands that fail if a program lacks a module.
PROBES = {
    "perl": "perl -MIO::Socket::SSL -e1",
    "php": "php -r 'exit(extension_loaded(\"openssl\") ? 0 : 1);'",
    "ruby": "ruby -ropenssl -e1",
}


def _of(page: Path, language: str = "") -> list[Block]:
    return [b for b in BLOCKS if b.page == page and language in ("", b.language)]


def _consoles(page: Path) -> list[Block]:
    return [b for b in _of(page, "console") if b.style != "isolated"]


def _used(page: Path) -> set[str]:
    return {name for block in _consoles(page) for name in programs(block)}


#: Pages with console examples, except those that need a container engine or MariaDB.
PLAYED = [
    page
    for page in PAGES
    if _consoles(page) and "docker" not in _used(page) and page != MARIADB
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
            for block in _of(page, "python")
            if block.name.startswith(("test_", "conftest"))
            and (block.name in {*CONFIGURED, "conftest.py"}) == is_configured
        ]
    )
}


def _write(block: Block, folder: Path, url: str) -> None:
    target = folder / block.name
    target.parent.mkdir(exist_ok=True, parents=True)
    target.write_text(block.text.replace(URL, url))


class RealSession:
    """The commands of one page in a real shell, against a real server."""

    def __init__(self, folder: Path, adapt: Callable[[str], str] = str) -> None:
        self._folder = folder
        self._adapt = adapt
        self._stack = ExitStack()
        self._live: Live | None = None

    @property
    def url(self) -> str:
        """The address of the server: that of the demo, if the page starts no other."""
        if self._live is None:
            self._serve("--demo")
        assert self._live
        return self._live.url

    def play(self, command: str) -> str:
        """Return the output of *command*."""
        command = self._adapt(command)
        if command.startswith("sendgrid-bounces serve") and "--help" not in command:
            self._serve(*command.split()[2:])
            return f"Listening on {URL}"
        if command.startswith("gunicorn") and "--check-config" not in command:
            return self._gunicorn(command.split()[1:])
        port = self.url.rpartition(":")[2]
        command = command.replace(URL, self.url).replace(" 8000", f" {port}")
        return show_release(_shell(command, self._folder)).replace(self.url, URL)

    def close(self) -> None:
        """Stop the server."""
        self._live = None
        self._stack.close()

    def _serve(self, *arguments: str) -> None:
        self.close()
        live = serving(*arguments, "--workers", "1", cwd=self._folder)
        self._live = self._stack.enter_context(live)

    def _gunicorn(self, arguments: Sequence[str]) -> str:
        port = {"SENDGRID_BOUNCES_PORT": "0"}
        process = start("gunicorn", *arguments, cwd=self._folder, **port)
        try:
            line = process.stdout.readline()
        finally:
            os.killpg(process.pid, signal.SIGTERM)
            process.communicate(timeout=TIMEOUT)
        return re.sub(r":\d+$", ":8000", line.strip())


@contextmanager
def _real_session(
    folder: Path, adapt: Callable[[str], str] = str
) -> Iterator[RealSession]:
    with closing(RealSession(folder, adapt)) as opened:
        yield opened


def _shell(command: str, folder: Path) -> str:
    ended = subprocess.run(
        ["/bin/bash", "-c", command.replace("curl ", "curl -s ")],
        cwd=folder,
        env=_environment(),
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout.strip()


def _environment(*folders: Path) -> dict[str, str]:
    """Return an environment that finds the programs of *folders* first."""
    first = [*map(str, folders), str(Path(sys.executable).parent)]
    path = os.pathsep.join([*first, os.environ["PATH"]])
    return {**os.environ, "SENDGRID_BOUNCES_KEY_HASH": QUICK_HASH, "PATH": path}


def _play(page: Path, folder: Path, played: Session | RealSession) -> None:
    """Play a page from the top: files are written, commands compared with their output."""
    shutil.copytree(ROOT / "examples", folder / "examples")
    for block in _of(page):
        if block.language != "console":
            if block.name:
                is_script = block.language == "python" and "conftest" not in block.name
                url = played.url if is_script else URL
                _write(block, folder, url)
            continue
        if block.style == "isolated":
            continue
        for command, expected in block.dialogue():
            printed = played.play(command)
            if "--help" in command:
                printed = "\n".join([printed.split("\n")[0], "..."])
            assert printed == expected, f"{page_name(page)}:{block.line}: {command}"


@pytest.mark.parametrize(
    "page", [p for p in PLAYED if _used(p) <= PROGRAMS], ids=page_name
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
    with _real_session(tmp_path) as played:
        _play(page, tmp_path, played)


@contextmanager
def _names_of_the_guide(url: str) -> Iterator[Callable[[str], str]]:
    """Yield a function that replaces the guide's names with those of this test.

    :param url: a database that does not exist yet, which the guide creates.
    """
    where, name = urlsplit(url), url.rpartition("/")[2]
    user = f"docs_{name[-12:]}"
    with closing(mysql.connect(mysql.URL)) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT SUBSTRING_INDEX(USER(), '@', -1)")
        (host,) = cursor.fetchone()  # anonymous users of this host precede '%'
        names = {
            "127.0.0.1:3306/bounces": f"{where.hostname}:{where.port or 3306}/{name}",
            "bounces:secret": f"{user}:secret",
            "'bounces'@'%'": f"'{user}'@'{host}'",
            "bounces.*": f"{name}.*",
            "atabase bounces": f"atabase {name}",
            "ATABASE bounces": f"ATABASE {name}",
        }

        def replace_names(text: str) -> str:
            for old, new in names.items():
                text = text.replace(old, new)
            return text

        try:
            yield replace_names
        finally:
            cursor.execute(f"DROP USER IF EXISTS '{user}'@'{host}'")


@pytest.mark.mysql
@pytest.mark.server
def test_the_mariadb_guide_works(tmp_path: Path) -> None:
    with mysql.database() as url, _names_of_the_guide(url) as replace_names:
        with closing(mysql.connect(url)) as connection, connection.cursor() as cursor:
            cursor.execute(f"DROP DATABASE {url.rpartition('/')[2]}")
            (statements,) = _of(MARIADB, "sql")
            for statement in replace_names(statements.text).split(";")[:-1]:
                cursor.execute(statement)
        with _real_session(tmp_path, replace_names) as played:
            for block in _of(MARIADB):
                if block.language == "yaml":
                    (tmp_path / block.name).write_text(replace_names(block.text))
                for command, expected in block.dialogue():
                    assert played.play(command) == replace_names(expected)


@pytest.mark.parametrize("suite", SUITES)
def test_pytest_examples_pass(suite: str, tmp_path: Path) -> None:
    """With warnings as errors."""
    files = SUITES[suite]
    for block in files:
        _write(block, tmp_path, URL)
    flags = ["-q", "-W", "error", "-p", "no:cacheprovider", "--strict-markers"]
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
    _write(block, tmp_path, URL)
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


@pytest.mark.parametrize(
    "language",
    [
        pytest.param(name, marks=[] if name == "python" else pytest.mark.docs)
        for name in RUNNERS
    ],
)
def test_a_client_lists_the_hard_bounces(language: str, tmp_path: Path) -> None:
    name, program = RUNNERS[language]
    if shutil.which(program) is None:
        assert "CI" not in os.environ, f"CI must have {program}"
        pytest.skip(f"{program} is not installed")
    (block,) = [b for b in BLOCKS if b.language == language and b.style == "client"]
    (expected,) = [b for b in _of(block.page, "text") if "@" in b.text]
    with session(tmp_path) as played:
        (tmp_path / name).write_text(block.text.replace(URL, played.url))
        assert _shell(f"{program} {name}", tmp_path) == expected.text.strip()


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
    [b for b in BLOCKS if b.name == "settings.yaml"],
    ids=lambda b: page_name(b.page),
)
def test_a_settings_file_is_valid(block: Block, tmp_path: Path) -> None:
    file = tmp_path / block.name
    file.write_text(block.text)

    assert load_config(file=str(file))


@pytest.mark.docs
def test_the_workflow_works(tmp_path: Path) -> None:
    """Its steps run one after the other, as on a runner; pip is replaced."""
    (block,) = [b for b in BLOCKS if b.name.startswith(".github/workflows")]
    job = yaml.safe_load(block.text)["jobs"]["tests"]
    (tmp_path / "bin").mkdir()
    pip = tmp_path / "bin" / "pip"
    pip.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path / "installed"}\n')
    pip.chmod(0o755)
    script = "".join(
        f"bash -e {tmp_path / f'step{n}'}\n" for n in range(len(job["steps"]))
    )
    port = str(free_port())
    for n, step in enumerate(job["steps"]):
        text = step.get("run", ":").replace(":8025", f":{port}")
        (tmp_path / f"step{n}").write_text(text)
    process = subprocess.Popen(
        ["bash", "-ec", script + "echo; echo done"],
        cwd=tmp_path,
        env={**_environment(tmp_path / "bin"), "SENDGRID_BOUNCES_PORT": port},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        printed = process.communicate(timeout=TIMEOUT * 2)[0]
    finally:
        os.killpg(process.pid, signal.SIGKILL)
    assert job["env"] == {"SENDGRID_BOUNCES_PORT": "8025"}
    installed = (tmp_path / "installed").read_text()
    assert installed == "install wheels/sendgrid_bounces-*.whl\n"
    assert '"ok"' in printed
    assert printed.endswith('{"count": "0"}\ndone\n'), printed


@pytest.mark.docs
def test_the_node_suite_passes(tmp_path: Path) -> None:
    if shutil.which("node") is None:
        assert "CI" not in os.environ, "CI must have node"
        pytest.skip("node is not installed")
    (block,) = [b for b in BLOCKS if b.name == "bounces.test.js"]
    _write(block, tmp_path, URL)
    with session(tmp_path) as played:
        ended = subprocess.run(
            ["node", "--test"],
            cwd=tmp_path,
            env={**os.environ, "SENDGRID_URL": played.url},
            capture_output=True,
            text=True,
            timeout=TIMEOUT,
            check=False,
        )
    assert ended.returncode == 0, ended.stdout
    assert re.search(r"pass 2\b", ended.stdout)


@pytest.mark.docs
def test_clients_with_a_hard_coded_host_work(tmp_path: Path) -> None:
    """In a network namespace: hosts file, port 443 and trust stores."""
    if not _can_isolate():
        pytest.skip("network namespaces are not available")
    page = DOCS / "how-to" / "hard-coded-hosts.rst"
    serve, calls = [b.dialogue() for b in _of(page, "console") if b.style == "isolated"]
    (java,) = _of(page, "java")
    _write(java, tmp_path, URL)
    (tmp_path / "hosts").write_text("127.0.0.1 localhost\n")
    lines = [command.replace("curl ", "curl -s ") for command, _ in serve]
    expected = serve[-1][1]
    for command, printed in calls:
        if _lacks(_program(command)):
            continue
        quiet = " 2>/dev/null" if command.startswith("keytool") else ""
        lines.append(f"echo; {command.replace('curl ', 'curl -s ')}{quiet}")
        expected += f"\n{printed}"
    script = "\n".join(["set -e", *lines, "kill %1; wait", ""])
    (tmp_path / "script").write_text(script)
    ended = subprocess.run(
        ["unshare", "-Urnm", "bash", "-c", ISOLATED],
        cwd=tmp_path,
        env=_environment(),
        capture_output=True,
        text=True,
        timeout=TIMEOUT * 4,
        check=False,
    )
    assert "Listening on https://127.0.0.1:443" in ended.stdout, ended.stderr
    printed = [
        line
        for line in show_release(ended.stdout).split("\n")
        if line and "Listening" not in line
    ]
    assert printed == [line for line in expected.split("\n") if line], ended.stderr
    assert printed.count('{"count": "6"}') >= 3


@pytest.mark.parametrize("page", PAGES, ids=page_name)
def test_every_block_is_checked(page: Path) -> None:
    """Each is run by a test above, is displayed only, or says why it is not run."""
    for block in _of(page):
        where = f"{page_name(page)}:{block.line}"
        if block.language == "python":
            assert block.name or block.style == "client", where
        elif block.language == "yaml":
            assert re.search(r"seed|reseller|faults|settings|workflows", block.name), (
                where
            )
        elif block.language == "console":
            is_played = page in {*PLAYED, MARIADB} or block.style == "isolated"
            assert is_played or "docker" in programs(block), where
        else:
            known = {*RUNNERS, *DISPLAYED, "pycon", "sql"}
            assert block.language in known, where
    content = page.read_text(encoding="utf-8")
    for text in re.findall(
        r"^(?! *\.\.).*::\n\n((?:   .*\n|\n)+)", content, re.MULTILINE
    ):
        for command in filter(None, map(str.strip, text.splitlines())):
            assert command.startswith(tuple(NOT_EXECUTED)), (
                f"{page_name(page)}: {command}"
            )


def test_the_package_is_installed_from_a_named_place() -> None:
    """It is not on an index, so that no command may take it from there."""
    for page in [*PAGES, README]:
        assert not re.search(
            r"pip install (-\S+ )*'?sendgrid-bounces", page.read_text(encoding="utf-8")
        ), page_name(page)


def _program(command: str) -> str:
    return next(word for word in command.split() if "=" not in word)


def _lacks(program: str) -> bool:
    probe = PROBES.get(program, f"command -v {program}")
    ended = subprocess.run(["sh", "-c", probe], capture_output=True, check=False)
    return bool(ended.returncode)


def _can_isolate() -> bool:
    probe = ["unshare", "-Urnm", "sh", "-c", "ip link set lo up"]
    return (
        shutil.which("unshare") is not None
        and not subprocess.run(probe, capture_output=True, check=False).returncode
    )
