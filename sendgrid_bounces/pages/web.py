"""HTTP of the pages: access, security headers, errors and static files."""

import hashlib
import re
from collections.abc import Callable, Mapping
from functools import cache, partial, wraps
from pathlib import Path
from threading import Lock
from typing import Any, TypeVar

from flask import Blueprint, Flask, Response, current_app, render_template, url_for
from werkzeug.exceptions import (
    HTTPException,
    NotFound,
    RequestEntityTooLarge,
    RequestTimeout,
    Unauthorized,
)
from werkzeug.utils import redirect

from sendgrid_bounces import __version__
from sendgrid_bounces.control import CONTROL_PATH, api
from sendgrid_bounces.control.service import Control
from sendgrid_bounces.core.errors import (
    BounceError,
    ParametersError,
    RequestError,
)
from sendgrid_bounces.core.messages import pluralize
from sendgrid_bounces.core.times import render_instant
from sendgrid_bounces.emulator import current_emulator
from sendgrid_bounces.pages.totals import current_totals
from sendgrid_bounces.web.requests import MULTIPART, request
from sendgrid_bounces.web.responses import look_up

#: The lock of an application around templates.
RENDERING = "sendgrid_bounces.rendering"

#: The templates of the pages that are opened first.
FIRST_TEMPLATES = (
    *("base", "_macros", "_banner", "bounces"),
    *("overview", "_request_rows"),
)

#: The URL of the overview.
HOME = f"{CONTROL_PATH}/"

STATIC = Path(__file__).with_name("static")

#: Media types of the static files.
MEDIA_TYPES = {
    "emulator.css": "text/css; charset=utf-8",
    "emulator.js": "text/javascript; charset=utf-8",
}

#: Headers of every page. A page can load and call this server only.
#: A form sends ``Origin: null`` with a stricter referrer policy.
SECURITY_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; "
        "img-src 'self' data:; connect-src 'self'; form-action 'self'; "
        "base-uri 'none'; frame-ancestors 'none'"
    ),
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
}

#: Header of the script's requests, which get a fragment of a page.
FRAGMENT = "X-Fragment"

#: The links to the pages: endpoint and label. The overview is :data:`HOME`.
NAVIGATION = (
    ("pages.requests", "Requests"),
    ("pages.faults", "Faults & clock"),
    ("pages.state", "State"),
    ("pages.sources", "Sources"),
    ("pages.console", "Console"),
    ("pages.migration", "Migration"),
)

#: The messages after a redirect, by the parameter ``done`` of the URL.
NOTICES = {
    "account": "The account was saved.",
    "advanced": "The clock was advanced.",
    "bounce": "The bounce was saved.",
    "cleared": "The bounces were deleted.",
    "domain": "The domain was saved.",
    "deleted": "The bounce was deleted.",
    "fault": "The fault rule was added.",
    "faults-cleared": "All fault rules were removed.",
    "fault-removed": "The fault rule was removed.",
    "frozen": "The clock is frozen.",
    "log-cleared": "The request log was cleared.",
    "imported": "The bounces were imported.",
    "loaded": "The seed was loaded.",
    "removed": "The snapshot was removed.",
    "replayed": "The request was sent again: this is the new one.",
    "reset": "The state was reset.",
    "restored": "The snapshot was restored.",
    "running": "The clock shows the system time.",
    "saved": "The snapshot was saved.",
}

#: The identifier of a request or a fault rule, a 64-bit integer.
IDENTIFIER = re.compile("[0-9]{1,18}")

#: Maximum size in bytes of a form that is read before the access check.
MAX_FORM = 1024 * 1024

#: The pages that receive files, after the access check.
UPLOADS = {"pages.import_bounces", "pages.load_seed"}

View = TypeVar("View", bound=Callable[..., Any])

bp = Blueprint("pages", __name__, url_prefix=CONTROL_PATH, template_folder="templates")
bp.add_app_template_filter(render_instant, "instant")
bp.add_app_template_filter(lambda number: f"{number:,}", "grouped")


@bp.app_template_filter("clock_time")
def clock_time(received: int) -> str:
    """Return the time of day, in UTC, of an instant in milliseconds."""
    return date_time(received)[11:]


@bp.app_template_filter("date_time")
def date_time(received: int) -> str:
    """Return the date and time, in UTC, of an instant in milliseconds."""
    seconds, milliseconds = divmod(received, 1000)
    text = render_instant(seconds).rstrip("Z").replace("T", " ")
    return f"{text}.{milliseconds:03}"


bp.add_app_template_filter(pluralize, "counted")


@bp.before_request
def read_form() -> Response | None:
    """Read the form of a page without uploads, in a bounded size."""
    if request.endpoint in UPLOADS:
        return None
    if request.mimetype == MULTIPART:  # it takes long to parse
        return render_error(415, "This form must be URL-encoded.")
    request.max_content_length = MAX_FORM
    try:
        request.read_form()
    except RequestEntityTooLarge:
        return render_error(413, f"The form exceeds {MAX_FORM} bytes.")
    except (RequestError, RequestTimeout):
        return render_error(400, "The form cannot be read.")
    return None


@bp.errorhandler(BounceError)
def render_bounce_error(error: BounceError) -> Response:
    """Render an error that a view raised."""
    status, body = look_up(error, api.ERRORS_BY_TYPE)
    return render_error(status, str(body["error"]))


def page(rule: str, *methods: str) -> Callable[[View], View]:
    """Return a decorator that registers a page behind the access check.

    The view is called with the control, then with the parameters of the path.

    :param methods: GET if there are none.
    """

    def register(view: View) -> View:
        handler = guarded(view)
        bp.add_url_rule(rule, view.__name__, handler, methods=[*(methods or ("GET",))])
        return view

    return register


def guarded(view: View) -> Callable[..., Response]:
    """Return *view* behind the access check, with errors as pages."""

    @wraps(view)
    def handle(**arguments: Any) -> Response:
        control = Control(current_emulator())
        token = current_emulator().config.control_token
        request.max_content_length = api.MAX_BODY
        try:
            api.check_access(token)
            result: Response = view(control, **arguments)
        except Unauthorized as error:
            return _ask_to_log_in(error)
        except HTTPException as error:
            return render_error(error.code or 500, _describe(error))
        except BounceError as error:
            return render_bounce_error(error)
        return result

    return handle


def _describe(error: HTTPException) -> str:
    """Return the message of an HTTP error; an unknown page is not an endpoint."""
    if isinstance(error, NotFound):
        return error.description or ""
    return api.describe(error)


def render(
    control: Control,
    template: str,
    status: int = 200,
    *,
    error: ParametersError | None = None,
    **context: Any,
) -> Response:
    """Return a page or a fragment.

    :param error: problems of a form, shown beside its fields.
    """
    problems = dict(error.problems) if error else {}
    text = fill(
        template,
        clock=control.clock(),
        faults_active=len(control.faults()),
        notice=NOTICES.get(request.args.get("done", "")),
        problems=problems,
        has_token=bool(current_emulator().config.control_token),
        database=current_emulator().storage.engine.name,
        **layout(),
        **context,
    )
    return html(text, 400 if error and status == 200 else status)  # noqa: PLR2004 - OK


def render_error(status: int, message: str) -> Response:
    """Return a page about an error, with a link back to the overview."""
    text = fill("error.html", status=status, message=message, **layout())
    return html(text, status)


def fill(template: str, **context: Any) -> str:
    """Return the text of a template.

    Rendering is no faster in several threads, but two threads can compile the same
    template.
    """
    with current_app.extensions[RENDERING]:
        return render_template(f"pages/{template}", **context)


def compile_templates(app: Flask) -> None:
    """Compile the first templates, which takes longer than to render them.

    To compile all templates would delay a page that is opened meanwhile.
    """
    for name in FIRST_TEMPLATES:
        with app.extensions[RENDERING]:
            app.jinja_env.get_template(f"pages/{name}.html")


def register(app: Flask) -> None:
    """Register the pages of the blueprint in *app*."""
    app.register_blueprint(bp)
    app.extensions[RENDERING] = Lock()


def layout() -> dict[str, Any]:
    """Return the variables of the base template that need no control."""
    return {
        "home": HOME,
        "navigation": NAVIGATION,
        "static_url": static_url,
        "version": __version__,
        "is_home": request.path == HOME,
    }


def html(text: str, status: int = 200, headers: Mapping[str, str] = {}) -> Response:
    """Return an HTML response with the security headers."""
    response = Response(text, status, {**SECURITY_HEADERS, **headers})
    response.content_type = "text/html; charset=utf-8"
    return response


def done(endpoint: str, notice: str, **parameters: Any) -> Response:
    """Return the redirect after a change.

    :param notice: a key of :data:`NOTICES`.
    """
    current_totals().clear()
    return see(url_for(endpoint, **parameters, done=notice))


def see(url: str) -> Response:
    """Return a redirect to *url* that is followed with GET."""
    return redirect(url, 303, Response)  # type: ignore[return-value] # it is the class


def is_navigation() -> bool:
    """Return whether a person navigates to the URL in a browser."""
    if request.method != "GET":
        return False
    mode = request.headers.get("Sec-Fetch-Mode")
    if mode is not None:
        return mode.lower() == "navigate"
    return "text/html" in request.headers.get("Accept", "")


@cache
def _version(name: str) -> str:
    return hashlib.sha256((STATIC / name).read_bytes()).hexdigest()[:12]


def static_url(name: str) -> str:
    """Return the URL of a static file, which changes with its contents."""
    return url_for("pages.static", version=_version(name), name=name)


@bp.get("/static/<version>/<name>", endpoint="static")
def send_static(version: str, name: str) -> Response:
    """Return a static file, which browsers may cache for ever."""
    if name not in MEDIA_TYPES or version != _version(name):
        return render_error(404, "There is no such file.")
    headers = {
        "Cache-Control": "public, max-age=31536000, immutable",
        "Content-Type": MEDIA_TYPES[name],
        "X-Content-Type-Options": "nosniff",
    }
    return Response((STATIC / name).read_bytes(), 200, headers)


@bp.route("/ui/", defaults={"path": ""})
@bp.route("/ui/<path:path>", methods=["GET", "POST"])
def unknown(path: str) -> Response:
    """Return the page about an unknown URL."""
    del path
    raise_missing = partial(_raise, NotFound("There is no such page."))
    return guarded(raise_missing)()


def _raise(error: Exception, _: Control) -> Response:
    raise error


def _ask_to_log_in(error: Unauthorized) -> Response:
    """Return a redirect to the login page, or an error for the script."""
    if request.method != "GET" or request.headers.get(FRAGMENT):
        return render_error(401, error.description or "Log in first.")
    path = request.full_path.rstrip("?")
    return see(url_for("pages.login", next=path))
