"""Run the server, and create the database."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from importlib import resources
from pathlib import Path

import click

from sendgrid_bounces.app import prepare_database
from sendgrid_bounces.cli.main import (
    command_config,
    database_option,
    is_given,
    open_database,
    seed_option,
    setting_option,
)
from sendgrid_bounces.config import PREFIX, Config, is_loopback
from sendgrid_bounces.server.sockets import base_url, listen
from sendgrid_bounces.server.tls import server_context

DEMO_SEED = resources.files("sendgrid_bounces") / "demo.yaml"

DEMO_CALLS = """\
The demo database is deleted when the server stops. Try:
  {curl} '{url}/api/bounces.get.json?api_user=demo&api_key=demo&date=1'
  {curl} '{url}/api/bounces.get.xml?api_user=demo&api_key=demo&type=hard'
  {curl} '{url}/api/bounces.count.json?api_user=demo&api_key=demo'
"""


@click.command(short_help="Run the server")
@setting_option("HOST", "-H", "--host")
@setting_option("PORT", "-p", "--port")
@database_option
@seed_option("Seed file (YAML or JSON) to load at startup; may be repeated.")
@click.option(
    "--demo", is_flag=True, help="Serve example data from a temporary database."
)
@setting_option("AUTH", "--auth")
@setting_option("PROFILE", "--profile")
@setting_option("WORKERS", "--workers")
@setting_option("THREADS", "--threads")
@setting_option("TIMEOUT", "--timeout")
@setting_option("SSL_CERT", "--ssl-cert", metavar="FILE")
@setting_option("SSL_KEY", "--ssl-key", metavar="FILE")
@setting_option("ACCESS_LOG", "--access-log", metavar="FILE")
@setting_option("CONTROL", "--control")
def serve(demo: bool) -> None:  # noqa: FBT001 - click passes options by name
    """Run the server until Ctrl-C or SIGTERM.

    The first line on stdout is "Listening on URL", printed when the server accepts
    requests.
    """
    if demo and is_given("DATABASE_URL"):
        raise click.UsageError("--demo cannot be combined with --database")
    config = command_config(is_serve=True)
    _warn_if_exposed(config)
    with _demo_folder(demo) as folder:
        if folder is not None:
            url = f"sqlite:///{folder / 'demo.sqlite3'}?synchronous=off"
            seeds = (str(DEMO_SEED), *config.seed)
            config = replace(config, database_url=url, seed=seeds)
        _run(config, DEMO_CALLS if demo else "")


@click.command("init-db", short_help="Create the database")
@database_option
def init_db() -> None:
    """Create the database and its tables, unless they exist."""
    with open_database(create=True) as storage:
        click.echo(f"{storage.engine.name} database {storage.engine.location} is ready")


def _run(config: Config, calls: str) -> None:
    """Serve until a signal arrives.

    :param calls: a template of example calls, printed when the server is ready.
    """
    from sendgrid_bounces.server.access_log import check_writable
    from sendgrid_bounces.server.gunicorn_app import Server

    context = server_context(config.ssl_cert, config.ssl_key)
    check_writable(config.access_log)
    with listen(config.host, config.port) as listener:
        url = base_url(listener, "https" if context else "http")
        prepare_database(config)

        def announce() -> None:
            click.echo(f"Listening on {url}")
            curl = "curl --insecure" if context else "curl"
            click.echo(calls.format(curl=curl, url=url), err=True, nl=False)

        Server(config, listener, announce).run()


def _warn_if_exposed(config: Config) -> None:
    """Print a warning if other machines can use the control endpoints."""
    if config.control and not config.control_token and not is_loopback(config.host):
        click.echo(
            f"Warning: anyone who can connect to {config.host} can read and erase all "
            f"data; set {PREFIX}CONTROL_TOKEN",
            err=True,
        )


@contextmanager
def _demo_folder(wanted: bool) -> Iterator[Path | None]:  # noqa: FBT001
    """Create a temporary folder that this process removes, but none of its forks."""
    if not wanted:
        yield None
        return
    folder, owner = Path(tempfile.mkdtemp(prefix="sendgrid-bounces-")), os.getpid()
    try:
        yield folder
    finally:
        if os.getpid() == owner:
            shutil.rmtree(folder, ignore_errors=True)
