"""The overview: accounts, numbers, the chart and the last requests."""

from flask import Response

from sendgrid_bounces.control.service import Control
from sendgrid_bounces.core.bounces import BounceType
from sendgrid_bounces.core.timezones import DAY
from sendgrid_bounces.emulator import current_emulator
from sendgrid_bounces.pages.chart import Chart, draw_chart, last_days
from sendgrid_bounces.pages.reading import read_tree
from sendgrid_bounces.pages.web import done, page, render
from sendgrid_bounces.storage.database import Storage
from sendgrid_bounces.web.requests import request

#: The choices of the chart's range: days by name. None for all days.
RANGES: dict[str, int | None] = {"30": 30, "90": 90, "365": 365, "all": None}
DEFAULT_RANGE = "90"

#: The days of the range "all" at most: everything that a bounce can have.
MAX_DAYS = 400 * 366

#: The number of requests on the overview.
LAST_REQUESTS = 12


def overview(control: Control) -> Response:
    """Show the accounts, the numbers of bounces and the last requests."""
    storage = current_emulator().storage
    days = request.args.get("days", DEFAULT_RANGE)
    if days not in RANGES:
        days = DEFAULT_RANGE
    tree = read_tree(storage)
    types = storage.bounces.count_types()
    return render(
        control,
        "overview.html",
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


@page("/ui/accounts", "POST")
def add_account(control: Control) -> Response:
    """Add an account with an API key."""
    name, key = request.form.get("name", ""), request.form.get("api_key", "")
    account = {"username": name, **({"api_key": key} if key else {})}
    control.seed({"accounts": [account]})
    return done("pages.bounces", "account", owner=name)


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
