"""Fault rules on the command line."""

import json

import click

from sendgrid_bounces.cli.files import reading
from sendgrid_bounces.cli.main import database_option, open_database, printable
from sendgrid_bounces.core.errors import ParametersError
from sendgrid_bounces.core.faults import FaultRule
from sendgrid_bounces.schemas.faults import read_fault_rules
from sendgrid_bounces.schemas.loader import parse


@click.group()
def fault() -> None:
    """Add, list and remove fault rules: errors on demand, for servers with control."""


@fault.command()
@click.argument("rule")
@database_option
def add(rule: str, database: str) -> None:
    """Add RULE: JSON, or the name of a file (- for stdin) of JSON or YAML.

    Several rules are a list.
    """
    is_written_out = rule.lstrip()[:1] in ("{", "[")
    rules = read_fault_rules(parse(rule)) if is_written_out else _read_file(rule)
    with open_database(database, create=True) as storage:
        for id_ in storage.faults.add(rules):
            click.echo(f"added fault {id_}")


@fault.command("list")
@database_option
def list_(database: str) -> None:
    """List the rules, in the order in which they are asked."""
    with open_database(database) as storage:
        click.echo("fault  matched  fired  rule")
        for found in storage.faults.all():
            rule = json.dumps(found.rule.as_written(), ensure_ascii=False)
            line = f"{found.id:<6} {found.matched:<8} {found.fired:<6} {rule}"
            click.echo(printable(line))


@fault.command()
@click.argument("number", type=int)
@database_option
def remove(number: int, database: str) -> None:
    """Remove the rule that `list` calls NUMBER."""
    with open_database(database) as storage:
        storage.faults.remove(number)
    click.echo(f"removed fault {number}")


@fault.command()
@database_option
def clear(database: str) -> None:
    """Remove all rules."""
    with open_database(database) as storage:
        removed = storage.faults.clear()
    click.echo(f"removed {removed} faults")


def _read_file(path: str) -> list[FaultRule]:
    with reading(path) as text:
        try:
            return read_fault_rules(parse(text.read()))
        except ParametersError as error:
            raise error.within(path, ": ") from None
