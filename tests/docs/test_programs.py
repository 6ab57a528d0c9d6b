"""Examples in other languages, on a CI runner, and with a hard-coded host."""

import os
import re
import shutil
import signal
import subprocess
from pathlib import Path

import pytest
import yaml
from blocks import BLOCKS, DOCS, URL, blocks_of, write_file
from live import TIMEOUT, free_port
from player import session, show_release
from shell import RUNNERS, environment, shell

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
    (expected,) = [b for b in blocks_of(block.page, "text") if "@" in b.text]
    with session(tmp_path) as played:
        (tmp_path / name).write_text(block.text.replace(URL, played.url))
        assert shell(f"{program} {name}", tmp_path) == expected.text.strip()


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
        env={**environment(tmp_path / "bin"), "SENDGRID_BOUNCES_PORT": port},
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
    write_file(block, tmp_path)
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
    serve, calls = [
        b.dialogue() for b in blocks_of(page, "console") if b.style == "isolated"
    ]
    (java,) = blocks_of(page, "java")
    write_file(java, tmp_path)
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
        env=environment(),
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
