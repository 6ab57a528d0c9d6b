"""The list of bounces of an account or a domain."""

from datetime import date, timedelta

from flask import Response

from sendgrid_bounces.control.service import Control
from sendgrid_bounces.core.accounts import BounceList
from sendgrid_bounces.core.bounces import BouncePage, BounceQuery, BounceType
from sendgrid_bounces.core.errors import ParametersError, UnknownNameError
from sendgrid_bounces.core.timezones import TimeZone, time_zone
from sendgrid_bounces.emulator import current_emulator
from sendgrid_bounces.pages.reading import Rows, read_by_address, read_by_time
from sendgrid_bounces.pages.web import done, page, render
from sendgrid_bounces.schemas.bounces import read_record
from sendgrid_bounces.web.requests import request

#: The types of bounces by name.
TYPES = {
    type_.name.lower(): type_
    for type_ in (BounceType.HARD, BounceType.SOFT, BounceType.OTHER)
}

#: The parameters of a filter.
FILTERS = ("prefix", "type", "since", "until")

#: The fields of a bounce in the form.
FIELDS = ("email", "status", "reason", "created")


@page("/ui/bounces")
def bounces(control: Control) -> Response:
    """Show a page of the bounces that match a filter."""
    owner = _owner()
    found = current_emulator().storage.accounts.named_list(owner)
    try:
        rows = _read(found)
    except ParametersError as error:
        return _show(control, owner, found, Rows(()), error)
    return _show(control, owner, found, rows)


@page("/ui/bounces/delete")
def confirm_deletion(control: Control) -> Response:
    """Ask before a bounce is deleted."""
    owner, email = _owner(), request.args.get("email", "")
    storage = current_emulator().storage
    found = storage.accounts.named_list(owner)
    if not storage.bounces.count(found.id, BounceQuery(emails=(email,))):
        raise UnknownNameError("bounce of", email)
    total = storage.bounces.count(found.id, BounceQuery())
    return render(control, "confirm.html", owner=owner, email=email, total=total)


@page("/ui/bounces", "POST")
def change_bounces(control: Control) -> Response:
    """Add or delete a bounce, or delete all bounces."""
    owner = _owner()
    storage, clock = current_emulator().storage, current_emulator().clock
    found = storage.accounts.named_list(owner)
    action = request.form.get("action")
    if action == "clear":
        storage.bounces.delete(found.id, BounceQuery(), clock=clock)
        return done("pages.bounces", "cleared", owner=owner)
    if action == "delete":
        query = BounceQuery(emails=(request.form.get("email", ""),))
        if not storage.bounces.delete(found.id, query, clock=clock):
            raise UnknownNameError("bounce of", request.form.get("email", ""))
        return done("pages.bounces", "deleted", owner=owner)
    record = {name: request.form[name] for name in FIELDS if request.form.get(name)}
    try:
        bounce = read_record(record, time_zone(found.timezone), clock.now())
    except ParametersError as error:
        return _show(control, owner, found, _read(found), error)
    storage.bounces.put(found.id, [bounce])
    return done("pages.bounces", "bounce", owner=owner)


def _owner() -> str:
    owner = request.args.get("owner", "")
    if not owner:
        raise ParametersError([("owner", "required")])
    return owner


def _read(found: BounceList) -> Rows:
    """Return the page that the parameters of the URL select."""
    arguments, storage = request.args, current_emulator().storage
    query = _parse_filters(time_zone(found.timezone))
    if prefix := arguments.get("prefix", ""):
        before, after = arguments.get("before"), arguments.get("after")
        page = BouncePage(after or before, bool(before and not after), prefix)
        return read_by_address(storage, found.id, query, page)
    older, newer = arguments.get("older", ""), arguments.get("newer", "")
    return read_by_time(storage, found.id, query, older, newer)


def _parse_filters(zone: TimeZone) -> BounceQuery:
    """Return the query of the filter.

    :raises ParametersError: with every problem.
    """
    problems: list[tuple[str, str]] = []
    type_ = request.args.get("type", "")
    if type_ and type_ not in TYPES:
        problems.append(("type", f"must be one of {', '.join(TYPES)}"))

    def read_day(name: str, days: int) -> int | None:
        text = request.args.get(name, "")
        try:
            return _parse_day(text, zone, days) if text else None
        except (ValueError, OverflowError):
            problems.append((name, "must be a date such as 2012-02-15"))
            return None

    since, until = read_day("since", 0), read_day("until", 1)
    if problems:
        raise ParametersError(problems)
    return BounceQuery(created_from=since, created_before=until, type=TYPES.get(type_))


def _parse_day(text: str, zone: TimeZone, days: int) -> int:
    """Return the first instant of the day *text* in *zone*, or *days* days later."""
    day = date.fromisoformat(text) + timedelta(days)
    return zone.day_starts[day]


def _show(
    control: Control,
    owner: str,
    found: BounceList,
    rows: Rows,
    error: ParametersError | None = None,
) -> Response:
    storage = current_emulator().storage
    filters = {name: request.args[name] for name in FILTERS if request.args.get(name)}
    return render(
        control,
        "bounces.html",
        error=error,
        owner=owner,
        timezone=found.timezone,
        zone=time_zone(found.timezone),
        rows=rows,
        filters=filters,
        types=TYPES,
        total=storage.bounces.count(found.id, BounceQuery()),
        form=request.form,
        is_account=storage.accounts.find(owner) is not None,
    )
