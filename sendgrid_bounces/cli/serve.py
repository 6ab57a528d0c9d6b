"""Serving, and making a database."""

import ipaddress
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from importlib import resources
from pathlib import Path

import click
from click.core import ParameterSource

from sendgrid_bounces.app import load_seed_files, open_emulator
from sendgrid_bounces.cli.main import (
    database_option,
    load_config,
    open_database,
    seed_option,
    setting_option,
)
from sendgrid_bounces.config import PREFIX
from sendgrid_bounces.core.clock import Clock

DEMO_SEED = resources.files("sendgrid_bounces") / "demo.yaml"

DEMO_CALLS = """\
A throw-away database, gone when the server stops. Try:
  {curl} '{url}/api/bounces.get.json?api_user=demo&api_key=demo&date=1'
  {curl} '{url}/api/bounces.get.xml?api_user=demo&api_key=demo&type=hard'
  {curl} '{url}/api/bounces.count.json?api_user=demo&api_key=demo'
"""


@click.command(short_help="Run the server")
@setting_option("HOST", "-H", "--host")
@setting_option("PORT", "-p", "--port")
@database_option
@seed_option("A seed file (YAML or JSON) to store at the start; may be given often.")
@click.option("--demo", is_flag=True, help="Serve a throw-away database of examples.")
@setting_option("AUTH", "--auth")
@setting_option("PROFILE", "--profile")
@setting_option("WORKERS", "--workers")
@setting_option("THREADS", "--threads")
@setting_option("TIMEOUT", "--timeout")
@setting_option("SSL_CERT", "--ssl-cert", metavar="FILE")
@setting_option("SSL_KEY", "--ssl-key", metavar="FILE")
@setting_option("ACCESS_LOG", "--access-log", metavar="FILE")
@setting_option("CONTROL", "--control")
def serve(
    host: str,
    port: int,
    database: str,
    seeds: tuple[str, ...],
    demo: bool,  # noqa: FBT001 - click passes options by name
    auth: str,
    profile: str,
    workers: int,
    threads: int,
    timeout: int,
    ssl_cert: str,
    ssl_key: str,
    access_log: str,
    control: str,
) -> None:
    """Answer requests until Ctrl-C or SIGTERM.

    The first line on stdout says where, as soon as requests are answered.
    """
    from sendgrid_bounces.server.access_log import check_writable
    from sendgrid_bounces.server.gunicorn_app import Server, address, listen
    from sendgrid_bounces.server.tls import server_context

    where = click.get_current_context().get_parameter_source("database")
    if demo and where is ParameterSource.COMMANDLINE:
        raise click.UsageError("--demo has a database of its own")
    with _demo_folder(demo) as folder:
        if folder is not None:
            database = f"sqlite:///{folder / 'demo.sqlite3'}?synchronous=off"
            seeds = (str(DEMO_SEED), *seeds)
        values = load_config(
            DATABASE_URL=database,
            SEED="",
            AUTH=auth,
            PROFILE=profile,
            WORKERS=str(workers),
            THREADS=str(threads),
            TIMEOUT=str(timeout),
            SSL_CERT=ssl_cert,
            SSL_KEY=ssl_key,
            ACCESS_LOG=access_log,
            CONTROL=control,
        )
        values["CONTROL"] = _decided(control, host, values["CONTROL_TOKEN"])
        context = server_context(ssl_cert, ssl_key)
        check_writable(access_log)
        with listen(host, port) as listener:
            url = address(listener, "https" if context else "http")
            emulator = open_emulator(values, Clock(), seeds)
            with closing(emulator.storage):
                load_seed_files(emulator)

            def announce() -> None:
                click.echo(f"Listening on {url}")
                if demo:
                    curl = "curl --insecure" if context else "curl"
                    calls = DEMO_CALLS.format(curl=curl, url=url)
                    click.echo(calls, err=True, nl=False)

            Server(values, emulator.seeds, listener, announce).run()


@click.command("init-db", short_help="Create the database")
@database_option
def init_db(database: str) -> None:
    """Make the tables, if they are not there."""
    with open_database(database, create=True) as storage:
        click.echo(f"{storage.engine.name} database {storage.engine.location} is ready")


def _decided(control: str, host: str, token: str) -> str:
    """Return whether the control endpoints are on or off; say if that is a danger."""
    is_safe = bool(token) or _is_loopback(host)
    if control == "auto":
        return "on" if is_safe else "off"
    if control == "on" and not is_safe:
        click.echo(
            f"Warning: whoever reaches {host} can read and wipe everything, as "
            f"{PREFIX}CONTROL_TOKEN is not set",
            err=True,
        )
    return control


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


@contextmanager
def _demo_folder(wanted: bool) -> Iterator[Path | None]:  # noqa: FBT001
    """Make a folder that goes with this process, and not with one forked from it."""
    if not wanted:
        yield None
        return
    folder, owner = Path(tempfile.mkdtemp(prefix="sendgrid-bounces-")), os.getpid()
    try:
        yield folder
    finally:
        if os.getpid() == owner:
            shutil.rmtree(folder, ignore_errors=True)
