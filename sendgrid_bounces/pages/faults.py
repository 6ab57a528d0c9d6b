"""The fault rules and the clock."""

import json
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from flask import Response, url_for

from sendgrid_bounces.control.service import Control
from sendgrid_bounces.core.clock import Clock
from sendgrid_bounces.core.errors import ParametersError
from sendgrid_bounces.core.faults import StoredFault
from sendgrid_bounces.core.messages import pluralize
from sendgrid_bounces.core.times import parse_duration, parse_instant
from sendgrid_bounces.emulator import current_emulator
from sendgrid_bounces.pages.questions import Question, ask
from sendgrid_bounces.pages.web import IDENTIFIER, done, page, render
from sendgrid_bounces.schemas.faults import FAULT_RULE, dialect_names, operation_names
from sendgrid_bounces.web.requests import request

#: The fields of a rule's effects, schedule and conditions, in the order of the form.
CONDITIONS = ("dialect", "operation", "account", "domain", "email", "method", "path")
SCHEDULE = ("times", "skip", "probability", "seed", "limit", "window_seconds")
EFFECTS = (
    "status",
    "retry_after",
    "latency_ms",
    "drop_connection",
    "truncate",
    "malformed",
)

#: Fields of the form that hold numbers.
NUMBERS: Mapping[str, type] = {
    **dict.fromkeys(("times", "skip", "seed", "limit", "window_seconds"), int),
    **dict.fromkeys(("status", "retry_after", "latency_ms"), int),
    "probability": float,
}

#: The choices of fields without free text.
CHOICES: Mapping[str, tuple[str, ...]] = {
    "drop_connection": ("before", "after"),
    "malformed": ("true",),
    "method": ("GET", "POST", "DELETE"),
}

#: Rules to start with: the label, and the fields.
PRESETS: tuple[tuple[str, Mapping[str, Any]], ...] = (
    ("503 once", {"status": 503, "times": 1}),
    ("429 after 100 a minute", {"limit": 100, "window_seconds": 60}),
    ("Slow: 2 seconds", {"latency_ms": 2000}),
    ("Dropped connection", {"drop_connection": "before", "times": 1}),
    ("Broken body", {"malformed": "true", "times": 1}),
)

#: The buttons that advance the clock: label and duration.
STEPS = (("+1 minute", "PT1M"), ("+1 hour", "PT1H"), ("+1 day", "P1D"))


@dataclass(frozen=True, slots=True)
class FaultLine:
    """A fault rule in the table.

    :param left: how many more times the rule can trigger; None without a bound.
    """

    fault: StoredFault
    conditions: Mapping[str, Any]
    effects: Mapping[str, Any]
    schedule: Mapping[str, Any]
    left: int | None


@page("/ui/faults")
def faults(control: Control) -> Response:
    """Show the fault rules, the form of a new rule and the clock."""
    return _show(control, request.args)


@page("/ui/faults", "POST")
def change_faults(control: Control) -> Response:
    """Add a fault rule, or remove one or all."""
    action = request.form.get("action")
    if action == "clear":
        control.clear_faults()
        return done("pages.faults", "faults-cleared")
    if action == "remove":
        id_ = request.form.get("id", "")
        control.remove_fault(int(id_) if IDENTIFIER.fullmatch(id_) else 0)
        return done("pages.faults", "fault-removed")
    try:
        control.add_fault(_read_rule(request.form))
    except ParametersError as error:
        return _show(control, request.form, error)
    return done("pages.faults", "fault")


@page("/ui/faults/<int:id_>/remove")
def ask_to_remove_fault(control: Control, id_: int) -> Response:
    """Ask before a fault rule is removed."""
    fault = control.fault(id_)
    requests = pluralize(fault.matched, "request")
    question = Question(
        title=f"Remove fault rule {id_}?",
        text=f"{json.dumps(fault.rule.as_dict())} matched {requests}, and triggered "
        f"for {fault.triggered:,}.",
        button="Remove 1 fault rule",
        action=url_for("pages.change_faults"),
        back=url_for("pages.faults"),
        twin=("fault rule", url_for("control.show_fault", id_=id_)),
        values={"action": "remove", "id": id_},
    )
    return ask(control, question)


@page("/ui/faults/clear")
def ask_to_clear_faults(control: Control) -> Response:
    """Ask before all fault rules are removed."""
    number = pluralize(len(control.faults()), "fault rule")
    question = Question(
        title="Remove all fault rules?",
        text=f"Removes {number}, with the numbers of matched requests.",
        button=f"Remove {number}",
        action=url_for("pages.change_faults"),
        back=url_for("pages.faults"),
        twin=("fault rules", url_for("control.list_faults")),
        values={"action": "clear"},
    )
    return ask(control, question)


@page("/ui/clock", "POST")
def change_clock(control: Control) -> Response:
    """Freeze, advance or reset the clock."""
    form = request.form
    action = form.get("action")
    try:
        if action == "reset":
            control.reset_clock()
            return done("pages.faults", "running")
        if action == "freeze":
            text = form.get("instant", "").strip()
            control.freeze(parse_instant(text) if text else None)
            return done("pages.faults", "frozen")
        control.advance(parse_duration(form.get("advance", form.get("duration", ""))))
    except ParametersError as error:
        return _show(control, form, error)
    return done("pages.faults", "advanced")


def _read_rule(form: Mapping[str, str]) -> dict[str, Any]:
    """Return the fields of a rule that the form sets."""
    rule: dict[str, Any] = {}
    for name in (*CONDITIONS, *SCHEDULE, *EFFECTS):
        if text := form.get(name, "").strip():
            try:
                rule[name] = NUMBERS.get(name, str)(text)
            except ValueError:
                rule[name] = text  # the schema has the message
    return rule


def _show(
    control: Control, values: Mapping[str, str], error: ParametersError | None = None
) -> Response:
    rule = json.dumps(_read_rule(values))
    path = url_for("control.add_faults").lstrip("/")
    operations = current_emulator().operations
    choices = {
        **CHOICES,
        "dialect": dialect_names(operations),
        "operation": operation_names(operations),
    }
    return render(
        control,
        "faults.html",
        error=error,
        lines=[*map(_line, control.faults())],
        groups=(
            ("Which requests", CONDITIONS),
            ("When", SCHEDULE),
            ("What happens", EFFECTS),
        ),
        hints=_hints(),
        choices=choices,
        values=values,
        presets=PRESETS,
        steps=STEPS,
        system=Clock().now(),
        rule_json=rule,
        copies={
            "JSON": rule,
            "curl": f"curl --json {shlex.quote(rule)} {request.server_url}/{path}",
            "Command": f"sendgrid-bounces fault add {shlex.quote(rule)}",
        },
    )


def _hints() -> dict[str, str]:
    """Return the description of each field."""
    fields = FAULT_RULE.fields.items()
    return {name: field.metadata.get("description", "") for name, field in fields}


def _line(fault: StoredFault) -> FaultLine:
    rule = fault.rule.as_dict()
    times, skip = rule.get("times"), rule.get("skip", 0)
    left = None if times is None else max(times + skip - max(fault.matched, skip), 0)

    def part(names: tuple[str, ...]) -> dict[str, Any]:
        return {name: rule[name] for name in names if name in rule}

    return FaultLine(fault, part(CONDITIONS), part(EFFECTS), part(SCHEDULE), left)
