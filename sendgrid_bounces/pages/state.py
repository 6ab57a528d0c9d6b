"""Seed files, snapshots and the reset."""

from collections.abc import Mapping

from flask import Response, url_for

from sendgrid_bounces.config import DEMO_SEED
from sendgrid_bounces.control.api import check_length
from sendgrid_bounces.control.service import Control
from sendgrid_bounces.core.contents import Snapshot, enumerate_contents, find_snapshot
from sendgrid_bounces.core.errors import (
    ConflictError,
    ParametersError,
)
from sendgrid_bounces.core.messages import count_nouns, join_words, pluralize
from sendgrid_bounces.core.times import render_instant
from sendgrid_bounces.emulator import current_emulator
from sendgrid_bounces.pages.questions import Question, ask
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
    """Check a seed, or check and load it; or load that of the demo."""
    request.read_form()
    action = request.form.get("action")
    text = ""
    try:
        text = DEMO_SEED.read_text("utf-8") if action == "demo" else _read_source()
        check_length(text)
        if action == "check":
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
    return done("control.show_index" if action == "demo" else "pages.state", "loaded")


@page("/ui/snapshots/restore")
def ask_to_restore_snapshot(control: Control) -> Response:
    """Ask before a snapshot is restored."""
    found = find_snapshot(control.snapshots(), request.args.get("name", ""))
    now, then = enumerate_contents(control.counts()), enumerate_contents(found)
    question = Question(
        title=f"Restore {found.name}?",
        text=f"This replaces {now} by {then}.",
        button="Restore",
        action=url_for("pages.change_snapshots"),
        back=url_for("pages.state"),
        twin=("snapshots", url_for("control.list_snapshots")),
        values={"action": "restore", "name": found.name},
        snapshot="" if found.name == BEFORE_RESTORE else BEFORE_RESTORE,
    )
    return ask(control, question)


@page("/ui/snapshots/remove")
def ask_to_remove_snapshot(control: Control) -> Response:
    """Ask before a snapshot is removed."""
    found = find_snapshot(control.snapshots(), request.args.get("name", ""))
    question = Question(
        title=f"Remove the snapshot {found.name}?",
        text=f"Its {enumerate_contents(found)} cannot be restored afterwards.",
        button="Remove 1 snapshot",
        action=url_for("pages.change_snapshots"),
        back=url_for("pages.state"),
        twin=("snapshots", url_for("control.list_snapshots")),
        values={"action": "remove", "name": found.name},
    )
    return ask(control, question)


@page("/ui/snapshots", "POST")
def change_snapshots(control: Control) -> Response:
    """Save, restore or remove a snapshot."""
    name, action = request.form.get("name", ""), request.form.get("action")
    if action == "restore":
        find_snapshot(control.snapshots(), name)  # fail before another one is replaced
        if request.form.get("snapshot") and name != BEFORE_RESTORE:
            control.take_snapshot(BEFORE_RESTORE)
        control.restore_snapshot(name)
        return done("pages.state", "restored")
    if action == "remove":
        control.remove_snapshot(name)
        return done("pages.state", "removed")
    known = [each for each in control.snapshots() if each.name == name]
    if known and action != "replace":
        return _ask_to_replace(control, known[0])
    try:
        control.take_snapshot(name)
    except ParametersError as error:
        return _show(control, error=error, name=name)
    return done("pages.state", "saved")


@page("/ui/reset")
def ask_to_reset(control: Control) -> Response:
    """Ask before the state is reset."""
    return _ask_to_reset(control, is_empty=_is_empty(request.args))


@page("/ui/reset", "POST")
def reset(control: Control) -> Response:
    """Reset to the seed files, or remove everything, after an optional snapshot."""
    is_empty = _is_empty(request.form)
    if is_empty and request.form.get("word") != CONFIRMATION:
        error = ParametersError([("word", f"type {CONFIRMATION} to confirm")])
        return _ask_to_reset(control, error, is_empty=is_empty)
    if request.form.get("snapshot"):
        control.take_snapshot(BEFORE_RESET)
    control.reset(empty=is_empty)
    return done("pages.state", "reset")


def _ask_to_replace(control: Control, known: Snapshot) -> Response:
    """Ask before a snapshot is replaced by one of the same name."""
    question = Question(
        title=f"Replace the snapshot {known.name}?",
        text=f"It has {enumerate_contents(known)} of {render_instant(known.created)}.",
        button="Replace 1 snapshot",
        action=url_for("pages.change_snapshots"),
        back=url_for("pages.state"),
        twin=("snapshots", url_for("control.list_snapshots")),
        values={"action": "replace", "name": known.name},
    )
    return ask(control, question)


def _ask_to_reset(
    control: Control, error: ParametersError | None = None, *, is_empty: bool
) -> Response:
    files = len(current_emulator().config.seed)
    effect = (
        "Snapshots stay." if is_empty else f"Loads {pluralize(files, 'seed file')}."
    )
    question = Question(
        title="Remove everything?" if is_empty else "Reset to the seed files?",
        text=f"Removes {_describe_all(control)}. {effect}",
        button="Remove everything" if is_empty else "Reset",
        action=url_for("pages.reset"),
        back=url_for("pages.state"),
        twin=("accounts", url_for("control.list_accounts")),
        values={"to": "empty" if is_empty else "seed"},
        snapshot=BEFORE_RESET,
        word=CONFIRMATION if is_empty else "",
    )
    return ask(control, question, error)


def _is_empty(values: Mapping[str, str]) -> bool:
    """Return whether a reset leaves the database empty.

    :raises ParametersError: if the target is unknown.
    """
    target = values.get("to")
    if target not in ("seed", "empty"):
        raise ParametersError([("to", "must be seed or empty")])
    return target == "empty"


def _describe_all(control: Control) -> str:
    """Return the numbers of all that a reset removes."""
    counts = control.counts()
    numbers = {
        "account": counts.accounts,
        "domain": counts.domains,
        "bounce": counts.bounces,
        "fault rule": len(control.faults()),
        "logged request": control.count_requests(),
    }
    return join_words(count_nouns(numbers))


def _read_source() -> str:
    """Return the text of the chosen file, or the pasted text.

    :raises ParametersError: if the file is not UTF-8.
    """
    upload = request.files.get("file")
    if upload is not None and upload.filename:
        try:
            return upload.stream.read().decode("utf-8-sig")
        except UnicodeDecodeError:
            raise ParametersError([("", "not UTF-8 text")]) from None
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
        everything=_describe_all(control),
        seed_files=current_emulator().config.seed,
        **context,  # type: ignore[arg-type] # error and variables of the template
    )
