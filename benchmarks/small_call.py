"""Measure the parts of a small request: ``python benchmarks/small_call.py``.

Each part is timed by itself, in this process, on the data of ``run.py``. The remainder
lies between the parts.
"""

import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter

import click

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(1, str(Path(__file__).parent.parent))

import clients
import data
import servers
from clients import get
from hello import app as hello
from instructions import environ
from run import prepare

from sendgrid_bounces.app import create_app
from sendgrid_bounces.core.timezones import time_zone
from sendgrid_bounces.dialects.sendgrid import params
from sendgrid_bounces.dialects.sendgrid.documents import BounceListing
from sendgrid_bounces.dialects.sendgrid.profiles import find_profile
from sendgrid_bounces.emulator import current_emulator
from sendgrid_bounces.web.requests import request
from sendgrid_bounces.web.responses import respond

CALLS, ROUNDS = 500, 20


def microseconds(action: Callable[[], object]) -> float:
    """Return the median time of *action*."""
    took = []
    for _ in range(ROUNDS):
        begun = perf_counter()
        for _ in range(CALLS):
            action()
        took.append((perf_counter() - begun) / CALLS)
    return median(took) * 1e6


def call(app: Callable[..., Iterable[bytes]], path: str, query: str) -> bytes:
    """Call *app* as a WSGI server does, and return the body."""
    answer = app(environ(path, query), lambda *_: None)
    body = b"".join(answer)
    if hasattr(answer, "close"):
        answer.close()
    return body


@click.command()
@click.option("--rows", default=1_000_000, show_default=True, help="Of the large list.")
@click.option("--folder", type=click.Path(file_okay=False), help="As of run.py.")
def main(rows: int, folder: str | None) -> None:
    """Print the time of each part of a look-up of an address."""
    with TemporaryDirectory() as temporary:
        bench = prepare(Path(folder or temporary).absolute(), rows, 1)
        app = create_app({"DATABASE_URL": bench.url})
        path = "/api/bounces.get.json"
        email = data.email(rows // 2)
        query = f"api_user={data.NAME}&api_key={data.KEY}&date=1&email={email}"
        assert call(app, path, query).count(b"status") == 1
        floor = microseconds(lambda: call(hello, "/", ""))
        whole = microseconds(lambda: call(app, path, query))
        with app.request_context(environ(path, query)):
            found = list(parts())
        click.echo(f"{'bare Flask, the floor':<44} {floor:6.0f}")
        for name, took in found:
            click.echo(f"{name:<44} {took:6.0f}")
        rest = whole - floor - sum(took for _, took in found)
        click.echo(f"{'between them: dispatch, handlers, objects':<44} {rest:6.0f}")
        click.echo(f"{'the whole call, without HTTP':<44} {whole:6.0f}")
        with servers.serving(servers.emulator(bench.url)) as server:
            took = clients.seconds(server.port, get(f"{path}?{query}"), 2_000)
        click.echo(f"{'the same over HTTP, one client':<44} {median(took) * 1e6:6.0f}")


def parts() -> Iterable[tuple[str, float]]:
    """Yield each part of the current request, with its time."""
    emulator = current_emulator()
    arguments = params.read_arguments()
    credentials = params.read_credentials(arguments)
    account = emulator.authenticator.authenticate(*credentials)
    zone, clock = time_zone(account.timezone), emulator.clock
    wanted = params.read_get(arguments, zone, clock)
    store = emulator.storage.bounces
    serializer = find_profile(emulator.config.profile).serializers["json"]
    batches = list(store.find_brief(account.bounce_list, wanted.query))

    def render() -> object:
        return respond(serializer, BounceListing(iter(batches), zone))

    def read() -> object:
        request._parameters = request._body = None  # noqa: SLF001 - parsed only once
        return params.read_arguments()

    yield "reading the parameters", microseconds(read)
    yield (
        "finding the account (SQL)",
        microseconds(lambda: emulator.storage.accounts.find(data.NAME)),
    )
    yield (
        "verifying the key (keyed hash, cached)",
        microseconds(
            lambda: emulator.authenticator.verify_hash(account.key_hash, data.KEY)
        ),
    )
    yield (
        "parsing the parameters (marshmallow)",
        microseconds(lambda: params.read_get(arguments, zone, clock)),
    )
    yield (
        "finding the bounce (SQL)",
        microseconds(lambda: list(store.find_brief(account.bounce_list, wanted.query))),
    )
    yield "rendering the response", microseconds(render)


if __name__ == "__main__":
    main()
