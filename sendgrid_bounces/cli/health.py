"""Check that a server answers."""

from http.client import HTTPException, HTTPResponse, InvalidURL
from urllib.error import HTTPError, URLError
from urllib.request import HTTPSHandler, ProxyHandler, build_opener

import click

from sendgrid_bounces.cli.options import (
    command_config,
    file_option,
    reject_url,
    setting_option,
)
from sendgrid_bounces.control import PREFIX
from sendgrid_bounces.core.hosts import reachable

#: The path of the health endpoint.
PATH = f"{PREFIX}/health"

#: Seconds that a server has to answer.
TIMEOUT = 10

#: Bytes of a response that are read.
MAX_RESPONSE = 4096


@click.command
@setting_option("HOST", "-H", "--host", help="Address the server listens on.")
@setting_option("PORT", "-p", "--port", help="Port the server listens on.")
@setting_option(
    "SSL_CERT",
    "--ssl-cert",
    metavar="FILE",
    help="TLS certificate of the server (PEM file).",
)
@file_option
def health() -> None:
    """Check that a server on this machine and its database answer.

    The exit code is 0 if they do, and 1 otherwise.
    """
    from sendgrid_bounces.server.sockets import authority
    from sendgrid_bounces.server.tls import client_context

    reject_url()
    config = command_config()
    address = authority(reachable(config.host), config.port)
    context = client_context(config.ssl_cert) if config.ssl_cert else None
    url = f"{'https' if context else 'http'}://{address}{PATH}"
    opener = build_opener(ProxyHandler({}), HTTPSHandler(context=context))
    try:
        with opener.open(url, timeout=TIMEOUT) as response:
            click.echo(_read_status(response, address))
    except HTTPError as error:
        raise click.ClickException(_read_status(error, address)) from None
    except InvalidURL:
        raise click.ClickException(f"invalid host {config.host!r}") from None
    except HTTPException:
        raise click.ClickException(f"{address} does not speak HTTP") from None
    except (URLError, OSError, ValueError) as error:
        reason = getattr(error, "reason", error)
        raise click.ClickException(f"no answer from {address}: {reason}") from None


def _read_status(response: HTTPResponse | HTTPError, address: str) -> str:
    """Return the body of a response, if the server is an emulator."""
    if response.headers.get_content_type() not in ("application/json", "text/plain"):
        raise click.ClickException(f"{address} is not a sendgrid-bounces server")
    return response.read(MAX_RESPONSE).decode().strip()
