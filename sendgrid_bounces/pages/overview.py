"""The overview: accounts, numbers, the chart and the last requests."""

from flask import Response, url_for

from sendgrid_bounces.control.service import Control
from sendgrid_bounces.core.bounces import BounceType
from sendgrid_bounces.core.errors import ConflictError, ParametersError
from sendgrid_bounces.core.timezones import DAY
from sendgrid_bounces.emulator import current_emulator
from sendgrid_bounces.pages.chart import Chart, draw_chart, last_days
from sendgrid_bounces.pages.reading import read_tree
from sendgrid_bounces.pages.totals import current_totals
from sendgrid_bounces.pages.web import HOME, done, page, render
from sendgrid_bounces.schemas.accounts import NEW_ACCOUNT
from sendgrid_bounces.schemas.base import load
from sendgrid_bounces.storage.database import Storage
from sendgrid_bounces.web.requests import request

#: The choices of the chart's range: days by name. None for all days.
RANGES: dict[str, int | None] = {"30": 30, "90": 90, "365": 365, "all": None}
DEFAULT_RANGE = "90"

#: The days of the range "all" at most: everything that a bounce can have.
MAX_DAYS = 400 * 366

#: The fields of an account in the form: label and example.
FIELDS = {"name": ("Account name", ""), "api_key": ("API key", "")}

#: The number of requests on the overview.
LAST_REQUESTS = 12


def overview(control: Control) -> Response:
    """Show the accounts, the numbers of bounces and the last requests."""
    storage = current_emulator().storage
    days, error = request.args.get("days", DEFAULT_RANGE), None
    if days not in RANGES:
        error = ParametersError([("days", f"must be one of {', '.join(RANGES)}")])
        days = DEFAULT_RANGE
    totals = current_totals()
    tree = read_tree(storage, totals.of_lists())
    types = totals.of_types()
    return render(
        control,
        "overview.html",
        error=error,
        tree=tree,
        account_count=len(storage.accounts.all()),
        domain_count=len(storage.accounts.domains()),
        bounce_count=sum(types.values()),
        types=[(each.name.lower(), types.get(each, 0)) for each in BounceType][::-1],
        chart=_chart(storage, RANGES[days]),
        ranges=RANGES,
        days=days,
        requests=control.requests(LAST_REQUESTS)[::-1],
        seed_files=current_emulator().config.seed,
    )


@page("/ui/banner")
def banner(control: Control) -> Response:
    """Return the fragment about the clock and the fault rules."""
    return render(control, "_banner.html")


@page("/ui/accounts/new")
def new_account(control: Control) -> Response:
    """Show the form of an account."""
    return _show_form(control)


@page("/ui/accounts", "POST")
def add_account(control: Control) -> Response:
    """Add an account with an API key."""
    given = {name: request.form[name] for name in FIELDS if request.form.get(name)}
    try:
        added = control.add_account(**load(NEW_ACCOUNT, given))
    except ParametersError as error:
        return _show_form(control, error)
    except ConflictError as error:
        return _show_form(control, ParametersError([("name", str(error))]))
    return done("pages.bounces", "account", owner=added.name)


def _show_form(control: Control, error: ParametersError | None = None) -> Response:
    return render(
        control,
        "form.html",
        error=error,
        title="Add an account",
        action=url_for("pages.add_account"),
        back=HOME,
        fields=FIELDS,
        values=request.form,
    )


def _chart(storage: Storage, days: int | None) -> Chart | None:
    """Return the chart of the last *days* days before the newest bounce."""
    newest = storage.bounces.newest()
    if newest is None:
        return None
    if days is None:
        oldest = storage.bounces.oldest() or newest
        days = min(newest // DAY - oldest // DAY + 1, MAX_DAYS)
    span = last_days(days, newest)
    counts = storage.bounces.histogram(span.start, span.end, span.width)
    return draw_chart(span, counts)
