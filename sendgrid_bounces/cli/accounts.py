"""Commands for accounts."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import click

from sendgrid_bounces.cli.arguments import ACCOUNT_NAME, NAME, account_option
from sendgrid_bounces.cli.confirmation import YES, confirm
from sendgrid_bounces.cli.connection import open_control
from sendgrid_bounces.cli.contents import count_owned, enumerate_owned
from sendgrid_bounces.cli.groups import CommandGroup
from sendgrid_bounces.cli.options import JSON, command_config, state_options
from sendgrid_bounces.cli.output import (
    echo_fields,
    echo_json,
    echo_table,
)
from sendgrid_bounces.cli.prompts import read_secret
from sendgrid_bounces.control.documents import (
    AccountReport,
    DomainReport,
    render_account,
)
from sendgrid_bounces.core.errors import ParametersError
from sendgrid_bounces.core.messages import pluralize
from sendgrid_bounces.core.profiles import PROFILES, parse_profile

#: The value of ``--profile`` for an account without a profile of its own.
SERVER = "server"

TIMEZONE = "Time zone of the dates of the account, such as Europe/Berlin."


def _read_profile(_context: Any, _option: Any, text: str | None) -> str | None:
    """Return the profile in the value of an option in its shortest form."""
    try:
        return text if text in (None, SERVER) else parse_profile(text)
    except ParametersError as error:
        raise click.BadParameter(str(error).removeprefix("profile: ")) from None


def _complete_profile(_context: Any, _option: Any, start: str) -> list[str]:
    return [preset for preset in PROFILES if preset.startswith(start)]


@click.group(cls=CommandGroup)
@state_options
def account() -> None:
    """Add, show, change and remove accounts, and replace their API keys."""


@account.command("add", short_help="Add an account")
@NAME
@account_option(
    "--customer-of", metavar="RESELLER", help="Make the account a customer of RESELLER."
)
@click.option(
    "--profile",
    metavar="PROFILE",
    callback=_read_profile,
    shell_complete=_complete_profile,
    help="Vendor behaviour: documented, recorded, or points such as count=integer; "
    "without it, the profile of the server.",
)
@click.option(
    "--timezone", metavar="ZONE", default="UTC", show_default=True, help=TIMEZONE
)
@state_options
def add_account(
    name: str, customer_of: str | None, profile: str | None, timezone: str
) -> None:
    """Add the account NAME. Its API key is prompted for, or read from stdin."""
    command_config()  # its errors come before the prompt
    api_key = read_secret("API key")
    with open_control(create=True) as control:
        control.add_account(
            name,
            api_key=api_key,
            reseller=customer_of,
            profile=profile,
            timezone=timezone,
        )
    click.echo(f"added {name}")


@account.command("list", short_help="List accounts with their customers")
@JSON
@state_options
def list_accounts(as_json: bool) -> None:  # noqa: FBT001 - click passes options by name
    """List all accounts, with customers below their resellers."""
    with open_control() as control:
        found = control.accounts()
    if as_json:
        echo_json({"accounts": [render_account(each) for each in found]})
        return
    customers = defaultdict(list)
    for each in found:
        customers[each.reseller].append(each)
    header = ("account", "profile", "time zone", "domains", "bounces")
    echo_table(header, _rows(customers, None, ""), numbers=(3, 4))


@account.command("show", short_help="Show an account")
@ACCOUNT_NAME
@JSON
@state_options
def show_account(name: str, as_json: bool) -> None:  # noqa: FBT001 - click passes options by name
    """Show the account NAME, its customers and its domains."""
    with open_control() as control:
        found = control.account(name)
    if as_json:
        echo_json(render_account(found))
        return
    echo_fields(
        {
            "account": found.name,
            "profile": _profile(found),
            "time zone": found.timezone,
            "customer of": found.reseller or "-",
            "bounces": found.bounces,
            "customers": [*found.customers],
            "domains": [_describe(domain) for domain in found.domains],
        }
    )


@account.command("set", short_help="Change an account")
@ACCOUNT_NAME
@click.option(
    "--profile",
    metavar="PROFILE",
    callback=_read_profile,
    shell_complete=_complete_profile,
    help="Vendor behaviour: documented, recorded, or points such as count=integer; "
    f"{SERVER} for the profile of the server.",
)
@click.option("--timezone", metavar="ZONE", help=TIMEZONE)
@state_options
def set_account(name: str, profile: str | None, timezone: str | None) -> None:
    """Change the profile or the time zone of the account NAME."""
    changes: dict[str, Any] = {}
    if profile is not None:
        changes["profile"] = None if profile == SERVER else profile
    if timezone is not None:
        changes["timezone"] = timezone
    if not changes:
        raise click.UsageError("nothing to change: use --profile or --timezone")
    with open_control() as control:
        control.change_account(name, changes)
    click.echo(f"changed {name}")


@account.command("set-key", short_help="Replace the API key of an account")
@ACCOUNT_NAME
@state_options
def set_key(name: str) -> None:
    """Replace the API key of the account NAME.

    The key is prompted for, or read from stdin.
    """
    with open_control() as control:
        control.account(name)  # fail before prompting for a key
        control.change_account(name, {"api_key": read_secret("API key")})
    click.echo(f"set the key of {name}")


@account.command("remove", short_help="Remove an account and all it owns")
@ACCOUNT_NAME
@YES
@state_options
def remove_account(name: str, yes: bool) -> None:  # noqa: FBT001 - click passes options by name
    """Remove the account NAME with its customers, domains and bounces."""
    with open_control() as control:
        control.account(name)
        owned = count_owned(control.accounts(), name)
        confirm(f"Remove {enumerate_owned(name, owned)}?", yes=yes)
        removed = control.remove_account(name)
    customers = removed.accounts - 1
    also = f" and {pluralize(customers, 'customer')}" if customers else ""
    click.echo(f"removed {name}{also}")


def _rows(
    customers: Mapping[str | None, Sequence[AccountReport]],
    reseller: str | None,
    indent: str,
) -> Iterator[Sequence[object]]:
    """Yield a row for each customer of *reseller*, followed by its own customers."""
    for found in customers.get(reseller, ()):
        yield (
            indent + found.name,
            _profile(found),
            found.timezone,
            len(found.domains),
            found.bounces,
        )
        yield from _rows(customers, found.name, indent + "  ")


def _profile(account: AccountReport) -> str:
    return account.profile or f"({SERVER}'s)"


def _describe(domain: DomainReport) -> str:
    if domain.shares_list:
        return f"{domain.name} (shares the bounces of the account)"
    return f"{domain.name} ({pluralize(domain.bounces, 'bounce')})"
