"""Asking a server whether it is well."""

from http.client import HTTPException, HTTPResponse, InvalidURL
from urllib.error import HTTPError, URLError
from urllib.request import HTTPSHandler, ProxyHandler, build_opener

import click

from sendgrid_bounces.cli.main import file_option, setting_option
from sendgrid_bounces.control.health import PATH
from sendgrid_bounces.server.sockets import authority
from sendgrid_bounces.server.tls import client_context

#: Seconds that a server may take to answer.
TIMEOUT = 10

#: Bytes of an answer that are read.
MAX_ANSWER = 4096

#: Where a server is asked that listens on all addresses.
ANY_ADDRESS = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - it is compared with


@click.command(short_help="Check that a server answers")
@file_option
@setting_option("HOST", "-H", "--host", help="Where the server listens.")
@setting_option("PORT", "-p", "--port", help="The port it listens on.")
@setting_option(
    "SSL_CERT", "--ssl-cert", metavar="FILE", help="The certificate it shows, if any."
)
def health(host: str, port: int, ssl_cert: str) -> None:
    """Ask a server on this machine whether it and its database answer.

    The exit code is 0 if they do, and else 1.
    """
    address = authority(ANY_ADDRESS.get(host, host), port)
    context = client_context(ssl_cert) if ssl_cert else None
    url = f"{'https' if context else 'http'}://{address}{PATH}"
    opener = build_opener(ProxyHandler({}), HTTPSHandler(context=context))
    try:
        with opener.open(url, timeout=TIMEOUT) as answer:
            click.echo(_told(answer, address))
    except HTTPError as error:
        raise click.ClickException(_told(error, address)) from None
    except InvalidURL:
        raise click.ClickException(f"{host!r} is no host") from None
    except HTTPException:
        raise click.ClickException(f"{address} speaks no HTTP") from None
    except (URLError, OSError, ValueError) as error:
        reason = getattr(error, "reason", error)
        raise click.ClickException(f"no answer from {address}: {reason}") from None


def _told(answer: HTTPResponse | HTTPError, address: str) -> str:
    """Return what a server says of itself, if it is one of ours."""
    if answer.headers.get_content_type() not in ("application/json", "text/plain"):
        raise click.ClickException(f"{address} is no server of sendgrid-bounces")
    return answer.read(MAX_ANSWER).decode().strip()
