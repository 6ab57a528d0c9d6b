"""Commands for Mailgun domains."""

import re
from contextlib import suppress

import click

from sendgrid_bounces.cli.arguments import ACCOUNT, DOMAIN_NAME, NAME
from sendgrid_bounces.cli.confirmation import YES, confirm
from sendgrid_bounces.cli.connection import open_control
from sendgrid_bounces.cli.doubts import echo_warning
from sendgrid_bounces.cli.groups import CommandGroup
from sendgrid_bounces.cli.options import JSON, state_options
from sendgrid_bounces.cli.output import (
    echo_fields,
    echo_json,
    echo_table,
)
from sendgrid_bounces.control.documents import LISTS, render_domain
from sendgrid_bounces.core.errors import UnknownNameError
from sendgrid_bounces.core.messages import pluralize, printable

_HOST_NAME = re.compile(r"[\w-]+(\.[\w-]+)*\.?")


@click.group(cls=CommandGroup)
@state_options
def domain() -> None:
    """Add, show and remove the Mailgun domains of accounts."""


@domain.command("add", short_help="Add a domain to an account")
@NAME
@ACCOUNT
@click.option(
    "--share-list",
    is_flag=True,
    help="Share the bounce list of the account instead of creating one.",
)
@state_options
def add_domain(name: str, account: str, share_list: bool) -> None:  # noqa: FBT001 - click passes options by name
    """Add the domain NAME to ACCOUNT. Its API key is that of ACCOUNT."""
    with open_control() as control:
        control.add_domain(name, account, shares_list=share_list)
        folded = name.lower()
        with suppress(UnknownNameError):
            control.account(folded)
            echo_warning(
                f"{folded} is an account, too; as OWNER, it means the account's list"
            )
    if not _HOST_NAME.fullmatch(name):
        echo_warning(f"{printable(name)} is not a domain name")
    click.echo(f"added {printable(name)}")


@domain.command("list", short_help="List domains with their accounts")
@JSON
@state_options
def list_domains(as_json: bool) -> None:  # noqa: FBT001 - click passes options by name
    """List all domains with their accounts and numbers of bounces."""
    with open_control() as control:
        found = control.domains()
    if as_json:
        echo_json({"domains": [render_domain(each) for each in found]})
        return
    rows = ((d.name, d.account, LISTS[d.shares_list], d.bounces) for d in found)
    echo_table(("domain", "account", "list", "bounces"), rows, numbers=(3,))


@domain.command("show", short_help="Show a domain")
@DOMAIN_NAME
@JSON
@state_options
def show_domain(name: str, as_json: bool) -> None:  # noqa: FBT001 - click passes options by name
    """Show the domain NAME."""
    with open_control() as control:
        found = control.domain(name)
    if as_json:
        echo_json(render_domain(found))
        return
    echo_fields(
        {
            "domain": found.name,
            "account": found.account,
            "time zone": found.timezone,
            "list": LISTS[found.shares_list],
            "bounces": found.bounces,
        }
    )


@domain.command("remove", short_help="Remove a domain and its bounces")
@DOMAIN_NAME
@YES
@state_options
def remove_domain(name: str, yes: bool) -> None:  # noqa: FBT001 - click passes options by name
    """Remove the domain NAME, and its bounces unless it shares the account's list."""
    with open_control() as control:
        found = control.domain(name)
        number = 0 if found.shares_list else found.bounces
        confirm(f"Remove {name} and {pluralize(number, 'bounce')}?", yes=yes)
        control.remove_domain(name)
    click.echo(f"removed {name}")
