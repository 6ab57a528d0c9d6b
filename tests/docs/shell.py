"""Plays console examples in a real shell, against a real server.

The tests with the marker ``docs`` use it; :mod:`player` needs no program but Python.
"""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

from blocks import URL
from conftest import QUICK_HASH
from live import TIMEOUT, Live, serving, start
from player import show_release

#: The command that runs an example, and the name of its file.
RUNNERS = {
    "python": ["example.py", sys.executable],
    "ruby": ["example.rb", "ruby"],
    "php": ["example.php", "php"],
    "perl": ["example.pl", "perl"],
    "javascript": ["example.js", "node"],
    "java": ["Bounces.java", "java"],
}


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
        return show_release(shell(command, self._folder)).replace(self.url, URL)

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
def real_session(
    folder: Path, adapt: Callable[[str], str] = str
) -> Iterator[RealSession]:
    """Open a session in *folder*; *adapt* rewrites each command."""
    with closing(RealSession(folder, adapt)) as opened:
        yield opened


def shell(command: str, folder: Path) -> str:
    """Return the output of a bash command, with the programs of this environment."""
    ended = subprocess.run(
        ["/bin/bash", "-c", command.replace("curl ", "curl -s ")],
        cwd=folder,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout.strip()


def environment(*folders: Path) -> dict[str, str]:
    """Return an environment that finds the programs of *folders* first."""
    first = [*map(str, folders), str(Path(sys.executable).parent)]
    path = os.pathsep.join([*first, os.environ["PATH"]])
    return {**os.environ, "SENDGRID_BOUNCES_KEY_HASH": QUICK_HASH, "PATH": path}
