"""Asking a server whether it is well."""

from urllib.error import HTTPError, URLError
from urllib.request import urlopen

import click

from sendgrid_bounces.cli.main import setting_option
from sendgrid_bounces.control.health import PATH

#: Seconds that a server may take to answer.
TIMEOUT = 10

#: Where a server is asked that listens on all addresses.
ANY_ADDRESS = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - it is compared with


@click.command()
@setting_option("HOST", "-H", "--host", help="Where the server listens.")
@setting_option("PORT", "-p", "--port", type=int, help="The port it listens on.")
def health(host: str, port: int) -> None:
    """Ask a server on this machine whether it and its database answer.

    The exit code is 0 if they do, and else 1.
    """
    host = ANY_ADDRESS.get(host, host)
    address = f"[{host}]" if ":" in host else host
    try:
        with urlopen(f"http://{address}:{port}{PATH}", timeout=TIMEOUT) as answer:
            click.echo(answer.read().decode().strip())
    except HTTPError as error:
        raise click.ClickException(error.read().decode()) from None
    except (URLError, OSError, ValueError) as error:
        reason = getattr(error, "reason", error)
        raise click.ClickException(
            f"no answer from {address}:{port}: {reason}"
        ) from None
