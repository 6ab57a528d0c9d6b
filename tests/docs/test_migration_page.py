"""The page "From v2 to v3" has the tables of the program."""

from blocks import table

from sendgrid_bounces.core.migration import Step, Successor, Trap
from sendgrid_bounces.dialects.sendgrid.migration import SUCCESSORS, TRAPS

PAGE = "how-to/sendgrid-v2-to-v3.rst"


def test_every_successor_is_listed() -> None:
    assert table(PAGE, "migration-requests") == [
        [
            "; ".join([f"``{successor.operation}``", *_parameters(successor)]),
            ", ".join(map(_request, successor.steps)),
            successor.note,
        ]
        for successor in SUCCESSORS
    ]


def test_every_trap_is_listed() -> None:
    assert table(PAGE, "migration-traps") == [
        [trap.name, _conditions(trap), trap.text] for trap in TRAPS
    ]


def _request(step: Step) -> str:
    path = f"{step.path}?..." if step.is_page else step.path
    return f"``{' '.join(filter(None, (step.method, path, step.body)))}``"


def _conditions(trap: Trap) -> str:
    found = [
        _literals(f".{suffix}" for suffix in trap.formats),
        "resellers" if trap.dialects else "",
        _literals(trap.operations),
        *_parameters(trap),
    ]
    return "; ".join(filter(None, found)) or "all calls"


def _parameters(row: Successor | Trap) -> list[str]:
    conditions = {"with": row.when, "without": row.unless}
    return [f"{word} {_literals(names)}" for word, names in conditions.items() if names]


def _literals(names) -> str:
    return ", ".join(f"``{name}``" for name in names)
