"""Print the length of the code path of some requests: ``python benchmarks/paths.py``.

The length is the number of calls to the package's own functions, of the files that
contain these functions, and of SQL statements. Each request runs twice in one process
and the second run is measured, so caches are warm.
"""

import sqlite3
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from types import FrameType
from typing import Any

import click

sys.path.insert(0, str(Path(__file__).parent.parent))

import sendgrid_bounces
from sendgrid_bounces.app import create_app, load_seed_files
from sendgrid_bounces.emulator import EXTENSION

PACKAGE = str(Path(sendgrid_bounces.__file__).parent) + "/"

SEED = """
accounts:
  - username: acme
    api_key: key-acme
    bounces:
      - {email: a@example.com, status: 5.1.1, reason: 550 User unknown}
    domains:
      - {name: mg.example.com}
"""

GET = "/api/bounces.get.xml?api_user=acme&api_key=key-acme&start_date=2012-01-01"
CSV = b"address,code\nb@example.com,550\n"
IMPORT = "/v3/mg.example.com/bounces/import"
CONTROLLED = "the same, control endpoints on"
FAULT = {"operation": "get", "account": "other", "status": 503, "times": 1}


@dataclass
class CodePath:
    """The calls of one request.

    :param calls: file, line and name of each function of the package, in call order.
    :param statements: SQL statements, including BEGIN and COMMIT.
    """

    calls: list[tuple[str, int, str]] = field(default_factory=list)
    statements: int = 0

    @property
    def files(self) -> set[str]:
        """The files that contain the functions."""
        return {file for file, _line, _name in self.calls}


@contextmanager
def recording() -> Iterator[CodePath]:
    """Record the calls and SQL statements of this thread."""
    path = CodePath()

    def profile(frame: FrameType, event: str, argument: Any) -> None:
        code = frame.f_code
        if event == "call" and code.co_filename.startswith(PACKAGE):
            file = code.co_filename.removeprefix(PACKAGE)
            path.calls.append((file, code.co_firstlineno, code.co_name))
        elif event == "c_call" and argument.__name__.startswith(("execute", "commit")):
            path.statements += isinstance(
                argument.__self__, sqlite3.Cursor | sqlite3.Connection
            )

    sys.setprofile(profile)
    try:
        yield path
    finally:
        sys.setprofile(None)


def measure(folder: str) -> Iterator[tuple[str, CodePath]]:
    """Yield the name and the path of each request."""
    seed = Path(folder, "seed.yaml")
    seed.write_text(SEED)

    def app(control: str) -> Any:
        return create_app(
            {
                "DATABASE_URL": f"sqlite:///{folder}/{control}.sqlite3",
                "SEED": str(seed),
                "KEY_HASH": "scrypt:128:8:1",
                "CONTROL": control,
            }
        )

    plain, controlled = app("off"), app("on")
    client, controlled_client = plain.test_client(), controlled.test_client()
    emulator = plain.extensions[EXTENSION]

    def upload() -> int:
        return client.post(
            IMPORT, auth=("api", "key-acme"), data={"file": (BytesIO(CSV), "b.csv")}
        ).status_code

    requests: dict[str, tuple[Callable[[], object], object]] = {
        "bounces.get.xml?start_date=": (lambda: client.get(GET).status_code, 200),
        CONTROLLED: (
            lambda: controlled_client.get(GET).status_code,
            200,
        ),
        "POST a fault rule": (
            lambda: controlled_client.post("/_emulator/faults", json=FAULT).status_code,
            201,
        ),
        "upload a CSV file of one row": (upload, 202),
        "load a seed file": (lambda: load_seed_files(emulator), None),
    }
    with closing(emulator.storage), closing(controlled.extensions[EXTENSION].storage):
        for name, (act, expected) in requests.items():
            for _ in range(2):
                with recording() as path:
                    outcome = act()
                if outcome != expected:
                    raise SystemExit(f"{name}: {outcome}")
            yield name, path


@click.command()
@click.option("--calls", is_flag=True, help="Print each call.")
def main(calls: bool) -> None:  # noqa: FBT001 - click passes it by name
    """Print a table of the paths."""
    click.echo(f"{'request':<34} {'calls':>5} {'files':>5} {'SQL':>5}")
    with TemporaryDirectory() as folder:
        for name, path in measure(folder):
            click.echo(
                f"{name:<34} {len(path.calls):>5} {len(path.files):>5} "
                f"{path.statements:>5}"
            )
            if calls:
                for file, line, function in path.calls:
                    click.echo(f"    {file}:{line} {function}")


if __name__ == "__main__":
    main()
