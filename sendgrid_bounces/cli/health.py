"""Check that a server answers."""

import json
from http.client import HTTPException, HTTPResponse, InvalidURL
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import HTTPSHandler, ProxyHandler, build_opener

import click

from sendgrid_bounces.cli.groups import Command
from sendgrid_bounces.cli.options import (
    command_config,
    file_option,
    is_given,
    server_url,
    setting_option,
    url_option,
)
from sendgrid_bounces.cli.transport import explain, parse_url
from sendgrid_bounces.config import Config
from sendgrid_bounces.control import CONTROL_PATH
from sendgrid_bounces.core.hosts import reachable
from sendgrid_bounces.core.messages import printable

#: The path of the health endpoint.
PATH = f"{CONTROL_PATH}/health"

#: Seconds that a server has to answer.
TIMEOUT = 10

#: Bytes of a response that are read; it lists the sources.
MAX_RESPONSE = 1024 * 1024


@click.command(cls=Command)
@setting_option("HOST", "-H", "--host", help="Address the server listens on.")
@setting_option("PORT", "-p", "--port", help="Port the server listens on.")
@setting_option(
    "SSL_CERT",
    "--ssl-cert",
    metavar="FILE",
    help="TLS certificate of the server (PEM file).",
)
@url_option("Server to check instead, such as http://127.0.0.1:8000.")
@file_option
def health() -> None:
    """Check that a server and its database answer.

    The exit code is 0 if they do, and 1 otherwise.
    """
    from sendgrid_bounces.server.tls import client_context

    config = command_config()
    address = _find_address(config)
    context = client_context(config.ssl_cert) if config.ssl_cert else None
    opener = build_opener(ProxyHandler({}), HTTPSHandler(context=context))
    try:
        with opener.open(f"{address}{PATH}", timeout=TIMEOUT) as response:
            text = _read_status(response, address)
            if not _is_status(text):
                raise click.ClickException(f"{address}: the response is not valid")
            click.echo(text)
    except HTTPError as error:
        raise click.ClickException(_read_status(error, address)) from None
    except InvalidURL:
        raise click.ClickException(f"invalid host {config.host!r}") from None
    except (URLError, OSError, ValueError) as error:  # some are HTTPExceptions, too
        reason: Any = getattr(error, "reason", error)
        raise click.ClickException(explain(address, reason)) from None
    except HTTPException:
        raise click.ClickException(f"{address} does not speak HTTP") from None


def _find_address(config: Config) -> str:
    """Return the URL of the server to check, without a path at the end.

    Options take precedence over the variable of ``--url``.

    :raises UsageError: if there are options for two servers.
    :raises ServerError: if the URL is invalid.
    """
    from sendgrid_bounces.server.sockets import authority

    names = [name for name in ("HOST", "PORT") if is_given(name)]
    if names and is_given("URL"):
        option = names[0].lower()
        raise click.UsageError(f"--url cannot be combined with --{option}")
    url = None if names else server_url()
    if url is not None:
        return parse_url(url).geturl().rstrip("/")
    scheme = "https" if config.ssl_cert else "http"
    return f"{scheme}://{authority(reachable(config.host), config.port)}"


def _read_status(response: HTTPResponse | HTTPError, address: str) -> str:
    """Return the body of a response, if the server is an emulator."""
    if response.headers.get_content_type() not in ("application/json", "text/plain"):
        raise click.ClickException(f"{address} is not a sendgrid-bounces server")
    return printable(response.read(MAX_RESPONSE).decode(errors="replace").strip())


def _is_status(text: str) -> bool:
    """Return whether *text* is the whole response of a server that works."""
    try:
        return bool(json.loads(text)["status"] == "ok")
    except (KeyError, RecursionError, TypeError, ValueError):
        return False
