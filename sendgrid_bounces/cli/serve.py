"""Run the server."""

import errno
import os
import shlex
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from socket import socket
from threading import Thread
from urllib.parse import urlsplit

import click

from sendgrid_bounces.cli.doubts import Doubts
from sendgrid_bounces.cli.groups import Command
from sendgrid_bounces.cli.options import (
    command_config,
    database_option,
    is_given,
    reject_url,
    seed_option,
    setting_option,
)
from sendgrid_bounces.config import DEMO_SEED, VARIABLE_PREFIX, Config, load_config
from sendgrid_bounces.control import CONTROL_PATH
from sendgrid_bounces.core.contents import Counts
from sendgrid_bounces.core.hosts import is_loopback
from sendgrid_bounces.core.messages import count_nouns, join_words

DEMO_CALLS = """\
The demo database is deleted when the server stops. Try:
  {curl} '{url}/api/bounces.get.json?api_user=demo&api_key=demo&date=1'
  {curl} '{url}/api/bounces.get.xml?api_user=demo&api_key=demo&type=hard'
  {curl} '{url}/api/bounces.count.json?api_user=demo&api_key=demo'
"""


@click.command(cls=Command)
@setting_option("HOST", "-H", "--host")
@setting_option("PORT", "-p", "--port")
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
@click.option(
    "--quiet", is_flag=True, help="Do not print a line for each request at a terminal."
)
@click.option(
    "--open", "opens_browser", is_flag=True, help="Open the dashboard in a browser."
)
@database_option
def serve(demo: bool, quiet: bool, opens_browser: bool) -> None:  # noqa: FBT001 - click passes options by name
    """Run the server until Ctrl-C or SIGTERM.

    The first line on stdout is "Listening on URL", printed when the server accepts
    requests.
    """
    reject_url()
    if demo and is_given("DATABASE_URL"):
        raise click.UsageError("--demo cannot be combined with --database")
    config = command_config(is_serve=True)
    for name, other in (("SSL_CERT", "SSL_KEY"), ("SSL_KEY", "SSL_CERT")):
        if is_given(name) and not getattr(config, other.lower()):
            flags = (f"--{each.lower().replace('_', '-')}" for each in (name, other))
            raise click.UsageError(" requires ".join(flags))
    if opens_browser and not config.control:
        raise click.UsageError("--open requires control endpoints (--control on)")
    with _demo_folder(demo) as folder:
        if folder is not None:
            url = f"sqlite:///{folder / 'demo.sqlite3'}?synchronous=off"
            seeds = (str(DEMO_SEED), *config.seed)
            config = replace(config, database_url=url, seed=seeds)
        calls = DEMO_CALLS if demo else ""
        _run(config, calls, quiet=quiet, opens_browser=opens_browser)


def _run(config: Config, calls: str, *, quiet: bool, opens_browser: bool) -> None:
    """Serve until a signal arrives.

    :param calls: a template of example calls, printed when the server is ready.
    :param opens_browser: whether to open the dashboard in a browser.
    """
    from sendgrid_bounces.app import check_seed_files, prepare_database
    from sendgrid_bounces.server.access_log import check_writable
    from sendgrid_bounces.server.gunicorn_app import Server
    from sendgrid_bounces.server.sockets import base_url, local_url
    from sendgrid_bounces.server.tls import server_context
    from sendgrid_bounces.server.worker import check_open_files
    from sendgrid_bounces.storage.database import absolute_url

    context = server_context(config.ssl_cert, config.ssl_key)
    check_writable(config.access_log)
    check_open_files(config.threads)
    doubts = Doubts(is_strict=False)
    doubts.report("", check_seed_files(config))
    doubts.finish()
    with _listen(config) as listener:
        scheme = "https" if context else "http"
        url, local = base_url(listener, scheme), local_url(listener, scheme)
        with closing(prepare_database(config)) as storage:
            engine, contents = storage.engine, storage.contents.counts()
        _warn_about_control(config)
        _describe(config, local, str(engine), contents)

        def announce() -> None:
            click.echo(f"Listening on {url}")
            if config.control:
                _show_dashboard(f"{local}{CONTROL_PATH}/", opens_browser=opens_browser)
            curl = "curl --insecure" if context else "curl"
            click.echo(calls.format(curl=curl, url=local), err=True, nl=False)

        shows_requests = sys.stderr.isatty() and not quiet
        config = replace(config, database_url=absolute_url(config.database_url))
        server = Server(
            config, engine.identity, listener, announce, shows_requests=shows_requests
        )
        server.run()


def _listen(config: Config) -> socket:
    """Return the listening socket of the server."""
    from sendgrid_bounces.server.sockets import ListenError, listen

    try:
        return listen(config.host, config.port)
    except ListenError as error:
        if error.code == errno.EADDRINUSE:
            hint = "choose another port with --port; 0 picks a free one"
            raise click.ClickException(f"{error} ({hint})") from None
        raise


def _describe(config: Config, url: str, database: str, contents: Counts) -> None:
    """Print which database is served, and how to add an account to an empty one."""
    counts = {"account": contents.accounts, "bounce": contents.bounces}
    found = join_words(count_nouns(counts))
    click.echo(f"Using the {database}: {found}", err=True)
    if contents.accounts or config.auth == "any":
        return
    click.echo(
        f"There are no accounts. To add one: {suggest_account(config, url)}\n"
        "To accept every account and key: sendgrid-bounces serve --auth any",
        err=True,
    )


def suggest_account(config: Config, url: str) -> str:
    """Return the command that adds an account to the database of the server."""
    command = "sendgrid-bounces account add NAME"
    if config.control:
        hint = f" (set {VARIABLE_PREFIX}CONTROL_TOKEN)" if config.control_token else ""
        return f"{command} --url {url}{hint}"
    if config.database_url == load_config().database_url:
        return command
    if urlsplit(config.database_url).password is not None:
        return f"{command} (with the server's {VARIABLE_PREFIX}DATABASE_URL)"
    return f"{command} --database {shlex.quote(config.database_url)}"


def _show_dashboard(url: str, *, opens_browser: bool) -> None:
    """Print the URL of the dashboard, and open it if *opens_browser*."""
    click.echo(f"Dashboard: {url}", err=True)
    if opens_browser:
        import webbrowser

        # Some browsers run in the foreground.
        Thread(target=webbrowser.open, args=(url,), daemon=True).start()


def _warn_about_control(config: Config) -> None:
    """Print a line if the control endpoints are open to other machines, or are off."""
    if config.control_token or is_loopback(config.host):
        return
    variable = f"{VARIABLE_PREFIX}CONTROL_TOKEN"
    if config.control:
        click.echo(
            f"Warning: anyone who can connect to {config.host} can read and erase all "
            f"data; set {variable}",
            err=True,
        )
    elif (
        not is_given("CONTROL") and os.environ.get(f"{VARIABLE_PREFIX}CONTROL") != "off"
    ):
        click.echo(
            f"Control endpoints are off, because {config.host} is not a loopback "
            f"address; set {variable} to turn them on",
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
