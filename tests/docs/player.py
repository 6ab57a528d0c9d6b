"""Plays console examples in this process: ``curl``, ``sendgrid-bounces``, ``echo``.

A real shell, curl and server play them, too, in the tests with the marker ``docs``.
"""

import argparse
import base64
import os
import shlex
import subprocess
import sys
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlsplit

from blocks import URL, Block
from click.testing import CliRunner
from conftest import QUICK_HASH
from live import ROOT, TIMEOUT

from sendgrid_bounces import __version__
from sendgrid_bounces.cli import main
from sendgrid_bounces.testing import EmulatorServer

#: The data of ``serve --demo``.
DEMO_SEED = ROOT / "sendgrid_bounces" / "demo.yaml"

#: The programs that this module can play.
PROGRAMS = {"cat", "curl", "echo", "grep", "printf", "python3", "sendgrid-bounces"}


class Session:
    """The commands of one page, in a folder of their own, against one server."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._server: EmulatorServer | None = None

    def play(self, command: str) -> str:
        """Return the output of *command*."""
        output = ""
        for words in _stages(command):
            words, target = _redirected(words)
            words, variables = _assigned(words)
            program, *arguments = words
            run = getattr(self, f"_{program.replace('-', '_')}")
            output = run(arguments, output, variables)
            if target:
                (self.folder / target).write_text(output)
                output = ""
        return show_release(output).strip()

    def close(self) -> None:
        """Stop the server."""
        if self._server is not None:
            self._server.stop()
            self._server = None

    @property
    def server(self) -> EmulatorServer:
        """The server that runs: that of the demo, if the page starts no other."""
        if self._server is None:
            self._server = EmulatorServer(seed=DEMO_SEED).start()
        return self._server

    @property
    def url(self) -> str:
        """The address of the server."""
        return self.server.url

    def _echo(self, words: Sequence[str], *_: object) -> str:
        return " ".join(words) + "\n"

    def _printf(self, words: Sequence[str], *_: object) -> str:
        return words[0].replace("\\n", "\n")

    def _cat(self, words: Sequence[str], *_: object) -> str:
        return "".join((self.folder / name).read_text() for name in words)

    def _grep(self, words: Sequence[str], input_: str, *_: object) -> str:
        lines = input_.splitlines(keepends=True)
        return "".join(line for line in lines if words[0] in line)

    def _python3(self, words: Sequence[str], _input: str, variables: dict) -> str:
        ended = subprocess.run(
            [sys.executable, *(self._local(word) for word in words)],
            cwd=self.folder,
            env={**os.environ, **variables},
            capture_output=True,
            text=True,
            timeout=TIMEOUT,
            check=False,
        )
        assert ended.returncode == 0, ended.stderr
        return ended.stdout

    def _curl(self, words: Sequence[str], input_: str, *_: object) -> str:
        return _request([self._local(word) for word in words], input_).replace(
            self.server.url, URL
        )

    def _sendgrid_bounces(
        self, words: Sequence[str], input_: str, variables: dict
    ) -> str:
        if words[0] == "serve" and "--help" not in words:
            return self._serve(words[1:])
        port = str(self.server.address[1]) if "8000" in words else "8000"
        words = [port if word == "8000" else word for word in words]
        if URL in words:
            words = [self._local(word) for word in words]
        environment = {"SENDGRID_BOUNCES_KEY_HASH": QUICK_HASH, **variables}
        result = CliRunner(env=environment).invoke(
            main, words, input=input_ or None, prog_name="sendgrid-bounces"
        )
        assert result.exit_code == 0, result.output
        return result.stdout

    def _serve(self, words: Sequence[str]) -> str:
        """Serve in this process, with the options of the command line."""
        self.close()
        parser = argparse.ArgumentParser(exit_on_error=False)
        for name in ("database", "seed", "auth", "profile"):
            parser.add_argument(f"--{name}", default=argparse.SUPPRESS)
        self._server = EmulatorServer(**vars(parser.parse_args(words))).start()
        return f"Listening on {URL}\n"

    def _local(self, word: str) -> str:
        return word.replace(URL, self.server.url)


@contextmanager
def session(folder: Path) -> Iterator[Session]:
    """Open a session in *folder*."""
    before = Path.cwd()
    os.chdir(folder)
    opened = Session(folder)
    try:
        yield opened
    finally:
        opened.close()
        os.chdir(before)


def show_release(output: str) -> str:
    """Return *output* with the version that the examples show."""
    return output.replace(__version__, "1.0.0")


def programs(block: Block) -> set[str]:
    """Return the programs that the commands of *block* run."""
    return {
        _assigned(_redirected(words)[0])[0][0]
        for command, _output in block.dialogue()
        for words in _stages(command)
    }


def _stages(command: str) -> list[list[str]]:
    """Return the words of each command of a pipe."""
    lexer = shlex.shlex(command, posix=True, punctuation_chars="|")
    lexer.whitespace_split = True
    lexer.commenters = ""
    stages: list[list[str]] = [[]]
    for word in lexer:
        if word == "|":
            stages.append([])
        else:
            stages[-1].append(word)
    return stages


def _redirected(words: list[str]) -> tuple[list[str], str]:
    if ">" in words:
        at = words.index(">")
        return words[:at], words[at + 1]
    return words, ""


def _assigned(words: list[str]) -> tuple[list[str], dict[str, str]]:
    """Split the assignments before a command from it."""
    variables = {}
    while words and words[0].partition("=")[0].isupper() and "=" in words[0]:
        name, _, variables[name] = words[0].partition("=")
        words = words[1:]
    return words, variables


def _request(words: Sequence[str], input_: str) -> str:
    """Return the body of the response to the curl command *words*."""
    parser = argparse.ArgumentParser(exit_on_error=False)
    parser.add_argument("url")
    parser.add_argument("-d", action="append", default=[])
    parser.add_argument("--data-binary")
    parser.add_argument("-F", action="append", default=[])
    parser.add_argument("-H", action="append", default=[])
    parser.add_argument("-o")
    parser.add_argument("-u")
    parser.add_argument("-X")
    options = parser.parse_args(list(words))
    headers, body = {"Accept": "*/*"}, b""
    if options.u:
        headers["Authorization"] = (
            f"Basic {base64.b64encode(options.u.encode()).decode()}"
        )
    if options.d:
        headers["Content-Type"] = "application/x-www-form-urlencoded"
        body = "&".join(options.d).encode()
    if options.data_binary:
        name = options.data_binary.removeprefix("@")
        body = input_.encode() if name == "-" else Path(name).read_bytes()
    if options.F:
        boundary = uuid.uuid4().hex
        headers["Content-Type"] = f"multipart/form-data; boundary={boundary}"
        parts = [_part(boundary, form, input_) for form in options.F]
        body = "".join([*parts, f"--{boundary}--\r\n"]).encode()
    for header in options.H:
        name, _, value = header.partition(":")
        headers[name] = value.strip()
    method = options.X or ("POST" if body else "GET")
    where = urlsplit(options.url)
    connection = HTTPConnection(str(where.hostname), where.port, timeout=TIMEOUT)
    try:
        connection.request(method, f"{where.path}?{where.query}", body, headers)
        text = connection.getresponse().read().decode()
    finally:
        connection.close()
    if options.o:
        Path(options.o).write_text(text)
        return ""
    return text


def _part(boundary: str, form: str, input_: str) -> str:
    """Return a part of a form; ``file=@-`` is the standard input."""
    name, _, value = form.partition("=")
    disposition = f'Content-Disposition: form-data; name="{name}"'
    if value.startswith("@-"):
        disposition += '; filename="bounces.csv"'
        value = input_
    return f"--{boundary}\r\n{disposition}\r\n\r\n{value}\r\n"
