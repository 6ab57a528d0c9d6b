"""The list of bounces of an account or a domain."""

import json
from typing import Any

from flask import Response, url_for

from sendgrid_bounces.control.documents import render_bounce
from sendgrid_bounces.control.service import Control
from sendgrid_bounces.core.bounces import (
    TYPES_BY_LABEL,
    Bounce,
    BouncePage,
    BounceQuery,
)
from sendgrid_bounces.core.errors import ParametersError, UnknownNameError
from sendgrid_bounces.core.messages import pluralize
from sendgrid_bounces.core.timezones import account_zone
from sendgrid_bounces.emulator import current_emulator
from sendgrid_bounces.pages.filters import (
    DEFAULT_MATCH,
    NO_FILTER,
    Filter,
    given_filters,
    read_filter,
)
from sendgrid_bounces.pages.questions import Question, ask
from sendgrid_bounces.pages.reading import (
    Rows,
    read_by_address,
    read_by_search,
    read_by_time,
)
from sendgrid_bounces.pages.totals import current_totals
from sendgrid_bounces.pages.web import done, page, render
from sendgrid_bounces.schemas.bounces import read_record
from sendgrid_bounces.storage.bounces import as_bounce
from sendgrid_bounces.web.requests import request

#: The fields of a bounce in the form: label and example.
FIELDS = {
    "email": ("Address", ""),
    "status": ("Status", "5.1.1"),
    "reason": ("Reason", "550 no such user"),
    "created": ("Created", "now"),
}

#: The parameters of the place in the list.
PLACES = ("older", "newer", "before", "after")

#: The name of the snapshot that a deletion offers to take.
BEFORE_DELETION = "before-deletion"


@page("/ui/bounces")
def bounces(control: Control) -> Response:
    """Show a page of the bounces that match a filter."""
    owner = read_owner()
    storage = current_emulator().storage
    found = storage.accounts.named_list(owner)
    zone = account_zone(found.timezone)
    rows, error, matches = Rows(()), None, None
    wanted = NO_FILTER
    try:
        wanted = read_filter(request.args, zone)
        rows = _read(found.id, wanted)
    except ParametersError as problem:
        error = problem
    if error is None and request.args.get("count") == "exact":
        matches = storage.bounces.count(found.id, wanted.query)
    return render(
        control,
        "bounces.html",
        error=error,
        owner=owner,
        timezone=found.timezone,
        zone=zone,
        rows=rows,
        filters=given_filters(request.args),
        place={name: request.args[name] for name in PLACES if name in request.args},
        is_by_address=bool(wanted.text),
        default_match=DEFAULT_MATCH,
        types=TYPES_BY_LABEL,
        matches=matches,
        total=current_totals().of_list(found.id),
        twin=wanted.twin,
    )


@page("/ui/bounces/one")
def one_bounce(control: Control) -> Response:
    """Show all of a bounce."""
    owner, email = read_owner(), request.args.get("email", "")
    storage = current_emulator().storage
    found = storage.accounts.named_list(owner)
    for rows in storage.bounces.find(found.id, BounceQuery(emails=(email,)), 1):
        bounce = as_bounce(rows[0])
        url = url_for("control.list_bounces", owner=owner, email=email)
        return render(
            control,
            "bounce.html",
            owner=owner,
            bounce=bounce,
            zone=account_zone(found.timezone),
            timezone=found.timezone,
            record=json.dumps(render_bounce(bounce), indent=2, ensure_ascii=False),
            twin=("this bounce", url),
        )
    raise UnknownNameError("bounce of", email)


@page("/ui/bounces/new")
def new_bounce(control: Control) -> Response:
    """Show the form of a bounce."""
    return _show_form(control, read_owner())


@page("/ui/bounces/delete")
def ask_to_delete_bounce(control: Control) -> Response:
    """Ask before a bounce is deleted."""
    owner, email = read_owner(), request.args.get("email", "")
    storage = current_emulator().storage
    found = storage.accounts.named_list(owner)
    if not storage.bounces.count(found.id, BounceQuery(emails=(email,))):
        raise UnknownNameError("bounce of", email)
    total = storage.bounces.count(found.id, BounceQuery())
    question = Question(
        title=f"Delete the bounce of {email}?",
        text=f"Deletes 1 of the {pluralize(total, 'bounce')} of {owner}.",
        button="Delete 1 bounce",
        action=url_for("pages.change_bounces", owner=owner),
        back=url_for("pages.bounces", owner=owner),
        twin=("bounces", url_for("control.list_bounces", owner=owner)),
        values={"action": "delete", "email": email},
        snapshot=BEFORE_DELETION,
        is_advised=False,
    )
    return ask(control, question)


@page("/ui/bounces/clear")
def ask_to_clear_bounces(control: Control) -> Response:
    """Ask before all bounces of a list are deleted."""
    owner, storage = read_owner(), current_emulator().storage
    found = storage.accounts.named_list(owner)
    number = pluralize(storage.bounces.count(found.id, BounceQuery()), "bounce")
    question = Question(
        title=f"Delete all bounces of {owner}?",
        text=f"Deletes all {number} of {owner}.",
        button=f"Delete {number}",
        action=url_for("pages.change_bounces", owner=owner),
        back=url_for("pages.bounces", owner=owner),
        twin=("count", url_for("control.count_bounces", owner=owner)),
        values={"action": "clear"},
        snapshot=BEFORE_DELETION,
    )
    return ask(control, question)


@page("/ui/bounces", "POST")
def change_bounces(control: Control) -> Response:
    """Add or delete a bounce, or delete all bounces."""
    owner, form = control.owner(read_owner()).name, request.form
    email, is_deletion = form.get("email", ""), form.get("action") == "delete"
    if is_deletion:  # fail before a snapshot is replaced
        query = BounceQuery(emails=(email,))
        if not email or not control.count_bounces(owner, query).count:
            raise UnknownNameError("bounce of", email)
    if form.get("snapshot"):
        control.take_snapshot(BEFORE_DELETION)
    if form.get("action") == "clear":
        control.remove_bounces(owner)
        return done("pages.bounces", "cleared", owner=owner)
    if is_deletion:
        control.remove_bounces(owner, [email])
        return done("pages.bounces", "deleted", owner=owner)
    try:
        control.put_bounces(owner, [_read_bounce(control, owner)])
    except ParametersError as error:
        return _show_form(control, owner, error)
    return done("pages.bounces", "bounce", owner=owner)


def read_owner() -> str:
    """Return the account or domain in the URL."""
    owner = request.args.get("owner", "")
    if not owner:
        raise ParametersError([("", "Choose an account or domain on the overview.")])
    return owner


def _read(bounce_list: int, wanted: Filter) -> Rows:
    """Return the page that the parameters of the URL select."""
    arguments, storage = request.args, current_emulator().storage
    before, after = arguments.get("before"), arguments.get("after")
    if wanted.is_search:
        return read_by_search(storage, bounce_list, wanted.query, after)
    if wanted.text:
        place = BouncePage(after or before, bool(before and not after), wanted.text)
        return read_by_address(storage, bounce_list, wanted.others, place)
    older, newer = arguments.get("older", ""), arguments.get("newer", "")
    return read_by_time(storage, bounce_list, wanted.others, older, newer)


def _read_bounce(control: Control, owner: str) -> Bounce:
    record = {name: request.form[name] for name in FIELDS if request.form.get(name)}
    zone = account_zone(control.owner(owner).timezone)
    return read_record(record, zone, control.clock().now)


def _show_form(
    control: Control, owner: str, error: ParametersError | None = None
) -> Response:
    context: dict[str, Any] = {
        "title": f"Add a bounce to {owner}",
        "action": url_for("pages.change_bounces", owner=owner),
        "back": url_for("pages.bounces", owner=control.owner(owner).name),
        "twin": ("bounces", url_for("control.list_bounces", owner=owner)),
        "fields": FIELDS,
        "values": request.form,
    }
    return render(control, "form.html", error=error, **context)
