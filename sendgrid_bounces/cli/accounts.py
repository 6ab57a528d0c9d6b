"""Commands for accounts and their Mailgun domains."""

import sys
from collections import defaultdict
from typing import Any

import click

from sendgrid_bounces.auth import Authenticator
from sendgrid_bounces.cli.main import (
    command_config,
    database_option,
    open_database,
    pluralize,
)
from sendgrid_bounces.core.accounts import PROFILES, Account
from sendgrid_bounces.core.bounces import BounceQuery
from sendgrid_bounces.core.timezones import TimeZone
from sendgrid_bounces.storage.database import Storage

NAME = click.argument("name")


@click.group(short_help="Manage accounts and their API keys")
def account() -> None:
    """Add, list and remove accounts, and replace their API keys."""


@account.command("add", short_help="Add an account")
@NAME
@click.option(
    "--customer-of", metavar="RESELLER", help="Make it a customer of RESELLER."
)
@click.option(
    "--profile",
    type=click.Choice(PROFILES),
    help="The vendor behaviour it sees; the server's profile if absent.",
)
@click.option(
    "--timezone",
    default="UTC",
    show_default=True,
    help="The time zone of its dates, such as Europe/Berlin.",
)
@database_option
def add_account(
    name: str,
    customer_of: str | None,
    profile: str | None,
    timezone: str,
) -> None:
    """Add the account NAME. Its API key is prompted for, or read from stdin."""
    TimeZone(timezone)
    with open_database(create=True) as storage:
        key = _read_key()
        reseller = storage.accounts.get(customer_of) if customer_of else None
        settings = {**_hash_key(storage, key), "profile": profile, "timezone": timezone}
        storage.accounts.add(name, reseller, **settings)
    click.echo(f"added {name}")


@account.command("list", short_help="List accounts with their customers")
@database_option
def list_accounts() -> None:
    """List all accounts, with customers below their resellers."""
    with open_database() as storage:
        customers: dict[int | None, list[Account]] = defaultdict(list)
        for found in storage.accounts.all():
            customers[found.reseller].append(found)
        click.echo(f"{'account':<32} {'profile':<11} {'time zone':<20} bounces")
        _echo_customers(storage, customers, None, "")


@account.command("remove", short_help="Remove an account and all it owns")
@NAME
@database_option
def remove_account(name: str) -> None:
    """Remove the account NAME with its customers, domains and bounces."""
    with open_database() as storage:
        removed = storage.accounts.remove(name)
    customers = f" and {pluralize(removed - 1, 'customer')}" if removed > 1 else ""
    click.echo(f"removed {name}{customers}")


@account.command(short_help="Replace the API key of an account")
@NAME
@database_option
def set_key(name: str) -> None:
    """Replace the API key of the account NAME.

    The key is prompted for, or read from stdin.
    """
    with open_database() as storage:
        storage.accounts.get(name)  # fail before prompting for a key
        hashed = _hash_key(storage, _read_key())

        def change() -> None:
            # The account may have been replaced while the key was typed.
            storage.accounts.change(storage.accounts.get(name), **hashed)

        storage.engine.transact(change)
    click.echo(f"set the key of {name}")


@click.group(short_help="Manage the Mailgun domains of accounts")
def domain() -> None:
    """Add, list and remove the Mailgun domains of accounts."""


@domain.command("add", short_help="Add a domain to an account")
@NAME
@click.argument("account")
@click.option(
    "--share-list",
    is_flag=True,
    help="Share the bounce list of the account instead of creating one.",
)
@database_option
def add_domain(name: str, account: str, share_list: bool) -> None:  # noqa: FBT001 - click passes options by name
    """Add the domain NAME to ACCOUNT. Its API key is that of ACCOUNT."""
    with open_database() as storage:
        owner = storage.accounts.get(account)
        storage.accounts.add_domain(name, owner, shares_list=share_list)
    click.echo(f"added {name}")


@domain.command("list", short_help="List domains with their accounts")
@database_option
def list_domains() -> None:
    """List all domains with their accounts and numbers of bounces."""
    with open_database() as storage:
        click.echo(f"{'domain':<32} {'account':<24} {'list':<8} bounces")
        for found in storage.accounts.domains():
            owner = found.account
            kind = "account" if found.bounce_list == owner.bounce_list else "own"
            bounces = storage.bounces.count(found.bounce_list, BounceQuery())
            click.echo(f"{found.name:<32} {owner.username:<24} {kind:<8} {bounces}")


@domain.command("remove", short_help="Remove a domain and its bounces")
@NAME
@database_option
def remove_domain(name: str) -> None:
    """Remove the domain NAME, and its bounces unless it shares the account's list."""
    with open_database() as storage:
        storage.accounts.remove_domain(name)
    click.echo(f"removed {name}")


def _echo_customers(
    storage: Storage,
    customers: dict[int | None, list[Account]],
    reseller: int | None,
    indent: str,
) -> None:
    """Print the customers of *reseller*, each followed by its own customers.

    :param reseller: an account's id, or None for the accounts without a reseller.
    """
    for found in customers[reseller]:
        bounces = storage.bounces.count(found.bounce_list, BounceQuery())
        name, profile = indent + found.username, found.profile or "(server's)"
        click.echo(f"{name:<32} {profile:<11} {found.timezone:<20} {bounces}")
        _echo_customers(storage, customers, found.id, indent + "  ")


def _read_key() -> str:
    """Prompt for an API key, or read it from stdin if that is not a terminal.

    A command-line argument would be visible to other users of the machine.
    """
    if sys.stdin is None:
        raise click.ClickException("cannot read the API key: stdin is closed")
    if sys.stdin.isatty():
        key: Any = click.prompt("API key", hide_input=True, confirmation_prompt=True)
    else:
        key = sys.stdin.readline().rstrip("\r\n")
    return str(key)


def _hash_key(storage: Storage, key: str) -> dict[str, Any]:
    return Authenticator(storage, command_config().key_hash).hash_key(key)
