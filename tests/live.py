"""A real server in a process of its own, on a free port."""

import os
import re
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

COMMAND = [sys.executable, "-m", "sendgrid_bounces"]
ROOT = Path(__file__).parent.parent
TIMEOUT = 30


@dataclass
class Live:
    """A server that runs: where it is, and its process."""

    url: str
    process: subprocess.Popen

    def get(self, target: str, data: bytes | None = None) -> str:
        """Return what the server answers to *target*."""
        with urllib.request.urlopen(self.url + target, data, TIMEOUT) as answer:  # noqa: S310
            return answer.read().decode()


@contextmanager
def serving(*args: str, **variables: str) -> Iterator[Live]:
    """Run ``sendgrid-bounces serve``, and end it by the id of its process group."""
    process = subprocess.Popen(
        [*COMMAND, "serve", "--port", "0", *args],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "SENDGRID_BOUNCES_KEY_HASH": "scrypt:128:8:1", **variables},
        start_new_session=True,
    )
    try:
        line = process.stdout.readline()
        match = re.fullmatch(r"Listening on (https?://127\.0\.0\.1:\d+)\n", line)
        assert match, (line, process.poll() is None or process.stderr.read())
        yield Live(match[1], process)
    finally:
        if process.returncode is None:
            kill(process)


def kill(process: subprocess.Popen) -> tuple[str, str]:
    """Kill a server and its workers; return what they wrote.

    They are gone when their pipes have ended.
    """
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    return process.communicate(timeout=TIMEOUT)
