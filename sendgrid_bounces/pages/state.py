"""Seed files, snapshots and the reset."""

from dataclasses import asdict

from flask import Response

from sendgrid_bounces.control.api import check_length
from sendgrid_bounces.control.service import Control
from sendgrid_bounces.core.errors import ConflictError, ParametersError
from sendgrid_bounces.emulator import current_emulator
from sendgrid_bounces.pages.web import done, page, render
from sendgrid_bounces.web.requests import request

#: The name of the snapshot that a reset offers to take.
BEFORE_RESET = "before-reset"

#: The name of the snapshot that a restoration offers to take.
BEFORE_RESTORE = "before-restore"

#: The word to type before everything is removed.
CONFIRMATION = "remove"


@page("/ui/state")
def state(control: Control) -> Response:
    """Show the forms of seeds, snapshots and the reset."""
    return _show(control)


@page("/ui/seed", "POST")
def load_seed(control: Control) -> Response:
    """Check a seed, or check and load it."""
    text = _read_source()
    try:
        check_length(text)
        if request.form.get("action") == "check":
            accounts, bounces, rules = _check(control, text)
            checked = {"account": accounts, "bounce": bounces, "fault rule": rules}
            return _show(control, source=text, checked=checked)
        control.seed(text)
    except (ParametersError, ConflictError) as error:
        problems = (
            error.messages(len(error.problems))
            if isinstance(error, ParametersError)
            else [str(error)]
        )
        return _show(control, source=text, seed_problems=problems)
    return done("pages.state", "loaded")


@page("/ui/snapshots", "POST")
def change_snapshots(control: Control) -> Response:
    """Save, restore or remove a snapshot."""
    name, action = request.form.get("name", ""), request.form.get("action")
    if action == "restore":
        if request.form.get("snapshot") and name != BEFORE_RESTORE:
            control.take_snapshot(BEFORE_RESTORE)
        control.restore_snapshot(name)
        return done("pages.state", "restored")
    if action == "remove":
        control.remove_snapshot(name)
        return done("pages.state", "removed")
    try:
        control.take_snapshot(name)
    except ParametersError as error:
        return _show(control, error=error, name=name)
    return done("pages.state", "saved")


@page("/ui/reset", "POST")
def reset(control: Control) -> Response:
    """Reset to the seed files, or remove everything, after an optional snapshot."""
    target = request.form.get("to")
    if target not in ("seed", "empty"):
        raise ParametersError([("to", "must be seed or empty")])
    is_empty = target == "empty"
    if is_empty and request.form.get("word") != CONFIRMATION:
        problem = f"type {CONFIRMATION} to confirm"
        return _show(control, error=ParametersError([("word", problem)]))
    if request.form.get("snapshot"):
        control.take_snapshot(BEFORE_RESET)
    control.reset(empty=is_empty)
    return done("pages.state", "reset")


def _read_source() -> str:
    """Return the text of the chosen file, or the pasted text."""
    upload = request.files.get("file")
    if upload is not None and upload.filename:
        return upload.stream.read().decode(errors="replace")
    return request.form.get("source", "").replace("\r\n", "\n")


def _check(control: Control, text: str) -> tuple[int, int, int]:
    """Return the numbers of accounts, bounces and fault rules in a seed.

    :raises ParametersError: with every problem.
    """
    from sendgrid_bounces import seeding  # loads PyYAML
    from sendgrid_bounces.schemas import seeds

    now, operations = control.clock().now, current_emulator().operations
    seed = seeds.read_seed(text, now, operations)
    accounts = [account for account, _ in seeding.walk_accounts(seed.accounts)]
    lists = [account.bounces for account in accounts]
    lists += [each.bounces for account in accounts for each in account.domains]
    bounces = sum(len(each.dated) + len(each.undated) for each in lists)
    return len(accounts), bounces, len(seed.faults)


def _show(control: Control, **context: object) -> Response:
    seed_problems = context.get("seed_problems")
    return render(
        control,
        "state.html",
        400 if seed_problems else 200,
        snapshots=control.snapshots(),
        counts=asdict(control.counts()),
        request_count=control.count_requests(),
        fault_count=len(control.faults()),
        seed_files=current_emulator().config.seed,
        before_reset=BEFORE_RESET,
        before_restore=BEFORE_RESTORE,
        confirmation=CONFIRMATION,
        **context,  # type: ignore[arg-type] # error and variables of the template
    )
