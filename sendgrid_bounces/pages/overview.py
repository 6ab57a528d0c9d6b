"""The overview: accounts, numbers, the chart and the last requests."""

from flask import Response, url_for

from sendgrid_bounces.control.service import Control
from sendgrid_bounces.core.errors import (
    ConflictError,
    ParametersError,
    UnknownNameError,
)
from sendgrid_bounces.core.histograms import DEFAULT_RANGE, RANGES, TYPES
from sendgrid_bounces.emulator import current_emulator
from sendgrid_bounces.pages.chart import draw_chart
from sendgrid_bounces.pages.reading import read_tree
from sendgrid_bounces.pages.totals import current_totals
from sendgrid_bounces.pages.web import HOME, done, page, render
from sendgrid_bounces.schemas.accounts import NEW_ACCOUNT, NEW_DOMAIN
from sendgrid_bounces.schemas.base import load
from sendgrid_bounces.web.requests import request

#: The fields of an account in the form: label and example.
FIELDS = {"name": ("Account name", ""), "api_key": ("API key", "")}

#: The fields of a domain in the form: label and example.
DOMAIN_FIELDS = {"name": ("Domain", "mg.example.com"), "account": ("Account", "")}

#: Accounts in the tree, besides customers. A filter finds more.
MAX_ACCOUNTS = 200

#: The number of requests on the overview.
LAST_REQUESTS = 12


def overview(control: Control) -> Response:
    """Show the accounts, the numbers of bounces and the last requests."""
    storage = current_emulator().storage
    days, error = request.args.get("days", DEFAULT_RANGE), None
    if days not in RANGES:
        error = ParametersError([("days", f"must be one of {', '.join(RANGES)}")])
        days = DEFAULT_RANGE
    histogram = control.histogram(days)
    name = request.args.get("name", "")
    counts = current_totals().of_types()
    lengths = {key: sum(types.values()) for key, types in counts.items()}
    tree = read_tree(storage, lengths, name)
    types = [
        (each.label, sum(types[each] for types in counts.values())) for each in TYPES
    ]
    return render(
        control,
        "overview.html",
        error=error,
        tree=tree[:MAX_ACCOUNTS],
        hidden=len(tree[MAX_ACCOUNTS:]),
        name=name,
        account_count=len(storage.accounts.all()),
        domain_count=len(storage.accounts.domains()),
        bounce_count=sum(lengths.values()),
        types=types,
        chart=draw_chart(histogram) if histogram.intervals else None,
        ranges=RANGES,
        days=days,
        requests=control.requests(LAST_REQUESTS)[::-1],
        requests_shown=LAST_REQUESTS,
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


@page("/ui/domains/new")
def new_domain(control: Control) -> Response:
    """Show the form of a domain."""
    return _show_domain_form(control)


@page("/ui/domains", "POST")
def add_domain(control: Control) -> Response:
    """Add a Mailgun domain to an account."""
    given = {n: request.form[n] for n in DOMAIN_FIELDS if request.form.get(n)}
    try:
        values = load(NEW_DOMAIN, given)
        added = control.add_domain(values["name"], values["account"])
    except ParametersError as error:
        return _show_domain_form(control, error)
    except UnknownNameError as error:
        return _show_domain_form(control, ParametersError([("account", str(error))]))
    except ConflictError as error:
        return _show_domain_form(control, ParametersError([("name", str(error))]))
    return done("pages.bounces", "domain", owner=added.name)


def _show_domain_form(
    control: Control, error: ParametersError | None = None
) -> Response:
    return render(
        control,
        "form.html",
        error=error,
        title="Add a Mailgun domain",
        action=url_for("pages.add_domain"),
        back=HOME,
        twin=("domains", url_for("control.list_domains")),
        fields=DOMAIN_FIELDS,
        values=request.form,
    )


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
        twin=("accounts", url_for("control.list_accounts")),
        fields=FIELDS,
        values=request.form,
    )
