"""Print the instructions of one call: ``python benchmarks/instructions.py``.

Callgrind counts them. The counts repeat on a noisy machine, where times do not, so they
tell a gain from a disturbance. They include neither the kernel nor Gunicorn.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from base64 import b64encode
from collections.abc import Callable, Iterable, Iterator
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import click

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(1, str(Path(__file__).parent.parent))

import data
from hello import app as hello

from sendgrid_bounces.app import create_app

#: Rows of the list, and of a batch.
ROWS, BATCH = 2_000, 1_000

#: Calls before the first one that counts, so that caches are warm.
WARM = 20

#: The calls to compare with those of hello.
LOOK_UPS = ("look-up, control off", "look-up, control on")

#: The calls, and how many of them are counted.
CALLS = {
    "hello": 200,
    "look-up, control off": 200,
    "look-up, control on": 200,
    f"list of {ROWS} rows, JSON": 10,
    f"list of {ROWS} rows, XML": 10,
    f"batch of {BATCH} rows": 5,
}

_COLLECTED = re.compile(r"Collected : ([0-9]+)")


#: Costs of the key's hash: Callgrind needs a minute for the default ones.
COSTS = (128, 8, 1)


@click.command()
@click.option("--only", multiple=True, type=click.Choice(list(CALLS)))
def main(only: tuple[str, ...]) -> None:
    """Print the instructions of each call, and their ratio to those of hello."""
    baseline = 0.0
    click.echo(f"{'call':<28} {'instructions':>12} {'x hello':>8}")
    for name, instructions in count(["hello", *(only or list(CALLS)[1:])]):
        baseline = baseline or instructions
        ratio = instructions / baseline
        click.echo(f"{name:<28} {instructions:>12,.0f} {ratio:>8.2f}")


def count(names: Iterable[str]) -> Iterator[tuple[str, float]]:
    """Yield each name in :data:`CALLS`, and the instructions of one call."""
    with TemporaryDirectory() as folder:
        database = f"{folder}/bounces.sqlite3"
        data.fill(f"sqlite:///{database}", ROWS, COSTS)
        for name in names:
            calls = CALLS[name]
            few, many = (_collect(name, n, database) for n in (1, calls + 1))
            yield name, (many - few) / calls


def _collect(name: str, calls: int, database: str) -> int:
    """Return the instructions of a process that makes *calls* calls."""
    command = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null"]
    command += [sys.executable, __file__, "--child", name, str(calls), database]
    variables = {**os.environ, "PYTHONHASHSEED": "0"}
    ended = subprocess.run(
        command, env=variables, capture_output=True, text=True, check=True
    )
    found = _COLLECTED.search(ended.stderr)
    if found is None:
        raise SystemExit(ended.stderr)
    return int(found[1])


def run(name: str, calls: int, database: str) -> None:
    """Make *calls* calls after those that warm the caches, on a copy of *database*."""
    copy = f"{database}.{calls}"
    shutil.copy(database, copy)
    act = prepare(name, f"sqlite:///{copy}")
    for _ in range(WARM + calls):
        act()
    os._exit(0)  # closing takes as long as it takes


def prepare(name: str, url: str) -> Callable[[], None]:
    """Return a function that makes the call *name* once, on the database at *url*."""
    if name == "hello":
        return lambda: call(hello, environ("/", ""), b"success")
    control = "on" if name.endswith("on") else "off"
    app = create_app({"DATABASE_URL": url, "CONTROL": control})
    query = f"api_user={data.NAME}&api_key={data.KEY}&date=1"
    if name.startswith("look-up"):
        address = data.email(ROWS // 2)
        target = environ("/api/bounces.get.json", f"{query}&email={address}")
        return lambda: call(app, {**target}, b"reason")
    if name.startswith("list"):
        suffix = name[-4:].strip().lower()
        target = environ(f"/api/bounces.get.{suffix}", query)
        return lambda: call(app, {**target}, b"reason")
    records = [
        {"address": f"batch.{data.email(n)}", "code": "550", "error": "mailbox full"}
        for n in range(BATCH)
    ]
    target = environ(f"/v3/{data.DOMAIN}/bounces", "")
    credentials = b64encode(f"api:{data.KEY}".encode()).decode()
    target["HTTP_AUTHORIZATION"] = f"Basic {credentials}"
    target["REQUEST_METHOD"] = "POST"
    target["CONTENT_TYPE"] = "application/json"
    body = json.dumps(records).encode()
    target["CONTENT_LENGTH"] = str(len(body))
    return lambda: call(app, {**target, "wsgi.input": BytesIO(body)}, b"added")


def environ(path: str, query: str) -> dict[str, Any]:
    """Return a request as a WSGI server hands it over."""
    return {
        "REQUEST_METHOD": "GET",
        "SCRIPT_NAME": "",
        "PATH_INFO": path,
        "QUERY_STRING": query,
        "RAW_URI": f"{path}?{query}",
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "HTTP_HOST": "localhost",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": BytesIO(),
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
    }


def call(
    app: Callable[..., Iterable[bytes]], request: dict[str, Any], expected: bytes
) -> None:
    """Make a call as a WSGI server does."""
    answer = app(request, lambda *_: None)
    body = b"".join(answer)
    if hasattr(answer, "close"):
        answer.close()
    if expected not in body:
        raise SystemExit(body[:200])


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        run(sys.argv[2], int(sys.argv[3]), sys.argv[4])
    main()
