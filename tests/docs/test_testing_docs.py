"""``docs/testing.rst``: all examples run unchanged."""

import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import docutils.core
import pytest
import yaml
from live import ROOT, TIMEOUT, serving

from sendgrid_bounces.testing import EmulatorServer

PAGE = (ROOT / "docs" / "testing.rst").read_text(encoding="utf-8")
README = (ROOT / "README.rst").read_text(encoding="utf-8")

_BLOCK = r"^\.\. code-block:: (\w+)\n(?:   :name: (\S+)\n)?\n((?:   .*\n|\n)+)"

#: Code blocks: language, file name or "", text.
BLOCKS = [
    (language, name, re.sub("^   ", "", text, flags=re.MULTILINE).strip() + "\n")
    for page in (PAGE, README)
    for language, name, text in re.findall(_BLOCK, page, re.MULTILINE)
    if page is PAGE or name
]
FILES = {name: text for _language, name, text in BLOCKS if name}

#: More files that an example needs, by its file name.
COMPANIONS = {"test_configured.py": ["conftest.py"]}

#: Run by the superuser of a network namespace, with a separate hosts file.
ISOLATED = """
set -eu
ip link set lo up
mount --bind hosts /etc/hosts
exec bash script
"""

#: Commands that fail if a program lacks a feature that an example needs.
PROBES = {
    "perl": "perl -MIO::Socket::SSL -e1",
    "php": "php -r 'exit(extension_loaded(\"openssl\") ? 0 : 1);'",
    "ruby": "ruby -ropenssl -e1",
}


def _texts(language: str) -> list[str]:
    return [text for found, _name, text in BLOCKS if found == language]


def _session(text: str) -> list[tuple[str, str]]:
    """Return (command, expected output) pairs of a console block."""
    parts = f"\n{text}".split("\n$ ")[1:]
    return [(part.split("\n", 1)[0], part.partition("\n")[2].strip()) for part in parts]


def _environment(*folders: Path) -> dict[str, str]:
    """Return the environment with *folders* at the beginning of PATH."""
    first = [*map(str, folders), str(Path(sys.executable).parent)]
    path = os.pathsep.join([*first, os.environ["PATH"]])
    fast = {"SENDGRID_BOUNCES_KEY_HASH": "scrypt:128:8:1"}
    return {**os.environ, **fast, "PATH": path}


def test_page_is_valid_restructuredtext() -> None:
    """Docutils reports no warning."""
    text = PAGE.replace(".. contents::\n   :local:\n   :depth: 1\n", "")
    settings = {"halt_level": 2, "report_level": 2}
    docutils.core.publish_string(text, settings_overrides=settings)


@pytest.mark.parametrize("name", [n for n in FILES if n.startswith("test_")])
def test_pytest_example_passes(name: str, tmp_path: Path) -> None:
    """Warnings are errors."""
    for file in (name, *COMPANIONS.get(name, ())):
        (tmp_path / file).write_text(FILES[file])
    flags = ["-q", "-W", "error", "--strict-markers"]
    flags += ["-p", "no:cacheprovider", "-p", "no:schemathesis"]  # it loads slowly
    ended = subprocess.run(
        [sys.executable, "-m", "pytest", *flags],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=TIMEOUT * 2,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "passed" in ended.stdout


def test_unittest_example_passes(tmp_path: Path) -> None:
    """The standard library's test runner needs no plugin."""
    (tmp_path / "test_unittest.py").write_text(FILES["test_unittest.py"])
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


def test_public_names_are_documented() -> None:
    """The page lists all attributes of a test account."""
    documented = set(re.findall(r"``\.(\w+)", PAGE))
    with EmulatorServer() as server, server.double() as account:
        public = {name for name in dir(account) if not name.startswith("_")}
        assert public - {"close"} == documented
        assert all(hasattr(server, name) for name in ("start", "stop", "double"))


@pytest.mark.docs
def test_workflow_example_succeeds(tmp_path: Path) -> None:
    """Its steps run in order, like on a CI runner; ``pip`` is replaced."""
    (text,) = _texts("yaml")
    job = yaml.safe_load(text)["jobs"]["tests"]
    (tmp_path / "bin").mkdir()
    pip = tmp_path / "bin" / "pip"
    pip.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path / "installed"}\n')
    pip.chmod(0o755)
    script = "".join(
        f"bash -e {tmp_path / f'step{n}'}\n" for n in range(len(job["steps"]))
    )
    for n, step in enumerate(job["steps"]):
        (tmp_path / f"step{n}").write_text(step.get("run", ":"))
    process = subprocess.Popen(
        ["bash", "-ec", script + "echo; echo done"],
        cwd=tmp_path,
        env={**_environment(tmp_path / "bin"), **job["env"]},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        printed = process.communicate(timeout=TIMEOUT * 2)[0]
    finally:
        os.killpg(process.pid, signal.SIGKILL)
    assert (tmp_path / "installed").read_text() == "install sendgrid-bounces\n"
    assert '"ok"' in printed
    assert printed.endswith('{"count": "0"}\ndone\n'), printed


@pytest.mark.docs
def test_node_example_passes(tmp_path: Path) -> None:
    """Each of its tests resets the server to the demo."""
    if shutil.which("node") is None:
        assert "CI" not in os.environ, "CI must have node"
        pytest.skip("node is not installed")
    (text,) = _texts("javascript")
    (tmp_path / "bounces.test.js").write_text(text)
    with serving("--demo") as live:
        ended = subprocess.run(
            ["node", "--test"],
            cwd=tmp_path,
            env={**os.environ, "SENDGRID_URL": live.url},
            capture_output=True,
            text=True,
            timeout=TIMEOUT,
            check=False,
        )
    assert ended.returncode == 0, ended.stdout
    assert re.search(r"pass 2\b", ended.stdout)


def _program(command: str) -> str:
    return next(word for word in command.split() if "=" not in word)


def _lacks(program: str) -> bool:
    probe = PROBES.get(program, f"command -v {program}")
    return bool(
        subprocess.run(["sh", "-c", probe], capture_output=True, check=False).returncode
    )


def _can_isolate() -> bool:
    probe = ["unshare", "-Urnm", "sh", "-c", "ip link set lo up"]
    return (
        shutil.which("unshare") is not None
        and not subprocess.run(probe, capture_output=True, check=False).returncode
    )


@pytest.mark.docs
def test_clients_with_a_fixed_url_work(tmp_path: Path) -> None:
    """The examples use a hosts file, port 443 and each language's trust store."""
    if not _can_isolate():
        pytest.skip("cannot create a network namespace")
    set_up, calls = map(_session, _texts("console"))
    (tmp_path / "Count.java").write_text(_texts("java")[0])
    (tmp_path / "hosts").write_text("127.0.0.1 localhost\n")
    lines, expected = (
        [command.replace("curl ", "curl -s ") for command, _ in set_up],
        set_up[-1][1],
    )
    for command, printed in calls:
        if _lacks(_program(command)):
            continue
        quiet = " 2>/dev/null" if command.startswith("keytool") else ""
        lines.append(f"echo; {command.replace('curl ', 'curl -s ')}{quiet}")
        expected += f"\n{printed}"
    (tmp_path / "script").write_text(
        "set -e\n" + "\n".join(lines) + "\nkill %1; wait\n"
    )
    ended = subprocess.run(
        ["unshare", "-Urnm", "bash", "-c", ISOLATED],
        cwd=tmp_path,
        env=_environment(),
        capture_output=True,
        text=True,
        timeout=TIMEOUT * 4,
        check=False,
    )
    assert "Listening on https://127.0.0.1:443" in ended.stdout
    responses = [
        line for line in ended.stdout.split("\n") if line and "Listening" not in line
    ]
    assert responses == [line for line in expected.split("\n") if line], ended.stderr
    assert responses.count('{"count": "6"}') >= 3
