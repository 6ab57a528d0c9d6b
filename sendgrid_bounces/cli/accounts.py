"""Accounts on the command line."""

import sys
from collections import defaultdict
from typing import Any

import click

from sendgrid_bounces.auth import Authenticator
from sendgrid_bounces.cli.main import database_option, load_config, open_database
from sendgrid_bounces.core.accounts import PROFILES, Account
from sendgrid_bounces.core.bounces import BounceQuery
from sendgrid_bounces.core.clock import WallClock
from sendgrid_bounces.storage.database import Storage

NAME = click.argument("name")


@click.group()
def account() -> None:
    """Add, list and remove accounts, and set their keys."""


@account.command()
@NAME
@click.option("--customer-of", metavar="RESELLER", help="Make it RESELLER's customer.")
@click.option(
    "--profile",
    type=click.Choice(PROFILES),
    help="What it sees, if not the server's.",
)
@click.option(
    "--timezone", default="UTC", show_default=True, help="Where its days begin."
)
@database_option
def add(
    name: str,
    customer_of: str | None,
    profile: str | None,
    timezone: str,
    database: str,
) -> None:
    """Add the account NAME. Its API key is asked for, or read from stdin."""
    WallClock(timezone)
    with open_database(database, create=True) as storage:
        key = _read_key()
        reseller = storage.accounts.get(customer_of) if customer_of else None
        settings = {**_sealed(storage, key), "profile": profile, "timezone": timezone}
        storage.accounts.add(name, reseller, **settings)
    click.echo(f"added {name}")


@account.command("list")
@database_option
def list_(database: str) -> None:
    """List the accounts, customers below their resellers."""
    with open_database(database) as storage:
        customers: dict[int | None, list[Account]] = defaultdict(list)
        for found in storage.accounts.all():
            customers[found.reseller].append(found)
        click.echo(f"{'account':<32} {'profile':<11} {'time zone':<20} bounces")
        _echo_tree(storage, customers, None, "")


@account.command()
@NAME
@database_option
def remove(name: str, database: str) -> None:
    """Remove the account NAME, its customers, domains and bounces."""
    with open_database(database) as storage:
        removed = storage.accounts.remove(name)
    customers = f" and {removed - 1} customers" if removed > 1 else ""
    click.echo(f"removed {name}{customers}")


@account.command("set-key")
@NAME
@database_option
def set_key(name: str, database: str) -> None:
    """Give the account NAME a new API key, asked for or read from stdin."""
    with open_database(database) as storage:
        storage.accounts.get(name)  # before a key is asked for
        hashed = _sealed(storage, _read_key())

        def act() -> None:
            storage.accounts.change(storage.accounts.get(name), **hashed)

        storage.engine.transact(act)
    click.echo(f"set the key of {name}")


def _echo_tree(
    storage: Storage,
    customers: dict[int | None, list[Account]],
    reseller: int | None,
    indent: str,
) -> None:
    for found in customers[reseller]:
        bounces = storage.bounces.count(found.bounce_list, BounceQuery())
        name, profile = indent + found.username, found.profile or "(server's)"
        click.echo(f"{name:<32} {profile:<11} {found.timezone:<20} {bounces}")
        _echo_tree(storage, customers, found.id, indent + "  ")


def _read_key() -> str:
    """Ask for a key, or read it from stdin; an argument could be seen by all."""
    if sys.stdin is None:
        raise click.ClickException("there is no stdin to read the API key from")
    if sys.stdin.isatty():
        key: Any = click.prompt("API key", hide_input=True, confirmation_prompt=True)
    else:
        key = sys.stdin.readline().rstrip("\r\n")
    return str(key)


def _sealed(storage: Storage, key: str) -> dict[str, Any]:
    return Authenticator(storage, load_config()["KEY_HASH"]).hashed(key)
