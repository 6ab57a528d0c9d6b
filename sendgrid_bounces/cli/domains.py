"""Mailgun domains on the command line."""

import click

from sendgrid_bounces.cli.main import database_option, open_database
from sendgrid_bounces.core.bounces import BounceQuery

NAME = click.argument("name")


@click.group()
def domain() -> None:
    """Add, list and remove the Mailgun domains of accounts."""


@domain.command()
@NAME
@click.argument("account")
@click.option(
    "--share-list", is_flag=True, help="Give it the account's own list, not a new one."
)
@database_option
def add(name: str, account: str, share_list: bool, database: str) -> None:  # noqa: FBT001
    """Give ACCOUNT the domain NAME; its key is the account's."""
    with open_database(database) as storage:
        owner = storage.accounts.get(account)
        storage.accounts.add_domain(name, owner, shares_list=share_list)
    click.echo(f"added {name}")


@domain.command("list")
@database_option
def list_(database: str) -> None:
    """List the domains, with their accounts and how many bounces they have."""
    with open_database(database) as storage:
        click.echo(f"{'domain':<32} {'account':<24} {'list':<8} bounces")
        for found in storage.accounts.domains():
            owner = found.account
            kind = "account" if found.bounce_list == owner.bounce_list else "own"
            bounces = storage.bounces.count(found.bounce_list, BounceQuery())
            click.echo(f"{found.name:<32} {owner.username:<24} {kind:<8} {bounces}")


@domain.command()
@NAME
@database_option
def remove(name: str, database: str) -> None:
    """Remove the domain NAME, and its bounces unless its list is the account's."""
    with open_database(database) as storage:
        storage.accounts.remove_domain(name)
    click.echo(f"removed {name}")
