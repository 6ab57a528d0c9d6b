"""Asking a server whether it is well."""

from urllib.error import HTTPError, URLError
from urllib.request import urlopen

import click

from sendgrid_bounces.cli.main import file_option, setting_option
from sendgrid_bounces.control.health import PATH
from sendgrid_bounces.sockets import authority
from sendgrid_bounces.tls import client_context

#: Seconds that a server may take to answer.
TIMEOUT = 10

#: Where a server is asked that listens on all addresses.
ANY_ADDRESS = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - it is compared with


@click.command()
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
    try:
        with urlopen(url, timeout=TIMEOUT, context=context) as answer:  # noqa: S310 - an address, not a file
            click.echo(answer.read().decode().strip())
    except HTTPError as error:
        raise click.ClickException(error.read().decode()) from None
    except (URLError, OSError, ValueError) as error:
        reason = getattr(error, "reason", error)
        raise click.ClickException(f"no answer from {address}: {reason}") from None
