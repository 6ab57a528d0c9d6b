"""Commands for fault rules."""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from sendgrid_bounces.cli.arguments import account_option
from sendgrid_bounces.cli.confirmation import YES, confirm
from sendgrid_bounces.cli.connection import open_control
from sendgrid_bounces.cli.contents import naming
from sendgrid_bounces.cli.groups import CommandGroup
from sendgrid_bounces.cli.options import JSON, Decorator, state_options
from sendgrid_bounces.cli.output import echo_fields, echo_json, echo_table
from sendgrid_bounces.cli.text_files import open_input
from sendgrid_bounces.control.documents import render_fault
from sendgrid_bounces.core.errors import ParametersError
from sendgrid_bounces.core.messages import pluralize

NUMBER = click.argument("number", type=int)

#: The fields of a rule that have an option: type and help of each.
FIELDS: dict[str, tuple[Any, str]] = {
    "dialect": (str, "Only requests in this dialect, or to this vendor."),
    "operation": (str, "Only requests for this operation, such as get."),
    "account": (str, "Only requests of this account."),
    "domain": (str, "Only requests for this Mailgun domain."),
    "email": (str, "Only requests that name an address that matches this glob."),
    "method": (str, "Only requests with this HTTP method."),
    "path": (str, "Only requests with a path that matches this glob."),
    "skip": (int, "Let the first N matching requests pass."),
    "times": (int, "Trigger at most N times."),
    "probability": (float, "Trigger for this share of requests, such as 0.5."),
    "seed": (int, "Select the requests that --probability triggers for."),
    "limit": (int, "Let N requests pass in each window (requires --window-seconds)."),
    "window_seconds": (int, "Length of the window of --limit."),
    "status": (int, "Respond with this HTTP status, such as 503."),
    "retry_after": (int, "Seconds in the header Retry-After (requires --status)."),
    "latency_ms": (int, "Wait this many milliseconds first."),
    "drop_connection": (
        click.Choice(["before", "after"]),
        "Close the connection before or after the request is processed.",
    ),
    "truncate": (int, "Send only the first N bytes of the body."),
}

#: The names of the fields that have an option or a flag.
_NAMES = (*FIELDS, "malformed")
_NAME = re.compile(rf"'({'|'.join(_NAMES)})'")


def _flag(name: str) -> str:
    """Return the option of a field."""
    return f"--{name.replace('_', '-')}"


def _field_options(command: Any) -> Any:
    """Add an option for each of :data:`FIELDS` to *command*."""
    for name, (type_, help_) in reversed(FIELDS.items()):
        option = account_option if name == "account" else click.option
        command = option(_flag(name), name, type=type_, help=help_)(command)
    return command


_FLAG: Decorator = click.option(
    "--malformed", is_flag=True, help="Cut the body so that it does not parse."
)


@click.group(cls=CommandGroup)
@state_options
def fault() -> None:
    """Add, list and remove fault rules, for servers that have control endpoints."""


@fault.command("add", short_help="Add fault rules")
@click.argument("rule", required=False)
@_field_options
@_FLAG
@JSON
@state_options
def add_faults(rule: str | None, malformed: bool, as_json: bool, **fields: Any) -> None:  # noqa: FBT001 - click passes options by name
    """Add RULE, a fault rule or a list of rules, or a rule of the options.

    RULE is JSON text, or the path of a JSON or YAML file (- for stdin). Without it, the
    options are the fields of the rule.
    """
    given = {name: value for name, value in fields.items() if value is not None}
    if malformed:
        given["malformed"] = True
    if rule is not None and given:
        raise click.UsageError("RULE cannot be combined with options for its fields")
    if rule is None and not given:
        raise click.UsageError("missing RULE, or options such as --status 503")
    with open_control() as control:
        if rule is None:
            with _naming_options():
                added = control.add_faults(given)
        else:
            added = _add(control, rule)
    if as_json:
        echo_json({"ids": added})
        return
    for id_ in added:
        click.echo(f"added fault rule {id_}")


@fault.command("list", short_help="List fault rules")
@JSON
@state_options
def list_faults(as_json: bool) -> None:  # noqa: FBT001 - click passes options by name
    """List the fault rules in the order in which they are tried."""
    with open_control() as control:
        found = control.faults()
    if as_json:
        echo_json({"faults": [render_fault(each) for each in found]})
        return
    rows = (
        (str(each.id), each.matched, each.triggered, _text(each.rule.as_dict()))
        for each in found
    )
    echo_table(("fault", "matched", "triggered", "rule"), rows, numbers=(1, 2))


@fault.command("show", short_help="Show a fault rule")
@NUMBER
@JSON
@state_options
def show_fault(number: int, as_json: bool) -> None:  # noqa: FBT001 - click passes options by name
    """Show the fault rule NUMBER of `fault list`."""
    with open_control() as control:
        found = control.fault(number)
    if as_json:
        echo_json(render_fault(found))
        return
    echo_fields(
        {
            "fault": str(found.id),
            "rule": _text(found.rule.as_dict()),
            "matched": found.matched,
            "triggered": found.triggered,
        }
    )


@fault.command("remove", short_help="Remove a fault rule")
@NUMBER
@state_options
def remove_fault(number: int) -> None:
    """Remove the fault rule NUMBER of `fault list`."""
    with open_control() as control:
        control.remove_fault(number)
    click.echo(f"removed fault rule {number}")


@fault.command("clear", short_help="Remove all fault rules")
@YES
@state_options
def clear_faults(yes: bool) -> None:  # noqa: FBT001 - click passes options by name
    """Remove all fault rules."""
    with open_control() as control:
        number = len(control.faults())
        if number:
            confirm(f"Remove {pluralize(number, 'fault rule')}?", yes=yes)
        removed = control.clear_faults()
    click.echo(f"removed {pluralize(removed, 'fault rule')}")


@contextmanager
def _naming_options() -> Iterator[None]:
    """Name options instead of fields in problems."""
    try:
        yield
    except ParametersError as error:
        problems = [
            (_flag(field) if field in _NAMES else field, _NAME.sub(_quoted_flag, text))
            for field, text in error.problems
        ]
        raise click.UsageError(str(ParametersError(problems))) from None


def _quoted_flag(name: "re.Match[str]") -> str:
    return _flag(name[1])


def _add(control: Any, rule: str) -> list[int]:
    """Add the rules of JSON text, or of a file."""
    from sendgrid_bounces.schemas.loader import parse

    if re.fullmatch("[45][0-9]{2}", rule) and not Path(rule).exists():
        hint = f"did you mean --status {rule}?"
        raise click.UsageError(f"there is no file {rule} ({hint})")
    if rule.lstrip()[:1] in ("{", "["):
        added: list[int] = control.add_faults(parse(rule))
    else:
        with open_input(rule) as text, naming(rule):
            added = control.add_faults(parse(text.read()))
    return added


def _text(rule: dict[str, Any]) -> str:
    return json.dumps(rule, ensure_ascii=False)
