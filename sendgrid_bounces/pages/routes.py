"""The registration of all pages in an application."""

from collections.abc import Callable
from contextlib import suppress
from functools import partial, wraps
from threading import Thread

from flask import Flask, Response
from flask.typing import ResponseReturnValue
from werkzeug.exceptions import HTTPException, NotFound

from sendgrid_bounces.control import CONTROL_PATH
from sendgrid_bounces.core.errors import StorageError
from sendgrid_bounces.emulator import EXTENSION
from sendgrid_bounces.pages import (
    bounces,
    console,
    faults,
    login,
    migration,
    overview,
    preview,
    replay,
    requests,
    sources,
    state,
    totals,
    transfer,
    web,
)
from sendgrid_bounces.pages.web import HOME, guarded, is_navigation, see
from sendgrid_bounces.web.requests import request

#: The modules that register pages.
MODULES = (
    bounces,
    console,
    faults,
    login,
    migration,
    overview,
    replay,
    requests,
    sources,
    state,
    transfer,
)

#: The endpoint of the JSON index, which has the same URL as the overview.
INDEX = "control.show_index"

#: Paths without another answer to browsers, from which they are redirected.
_REDIRECTED = frozenset(("/", CONTROL_PATH))


def register(
    app: Flask,
    render_error: Callable[[HTTPException], Response],
    create_app: Callable[[], Flask],
) -> None:
    """Register the pages, and send browsers without a path to the overview.

    Other clients get the same answers as without pages. The handlers run only for
    requests that no dialect has a view for.

    :param render_error: renders the errors of the application.
    :param create_app: returns an application with the routes of the dialects only.
    """
    web.register(app)
    totals.register(app, app.extensions[EXTENSION].storage)
    preview.register(app, create_app)
    show = guarded(overview.overview)

    def show_overview() -> Response | None:
        return show() if request.path == HOME and is_navigation() else None

    def handle_missing(error: NotFound) -> Response:
        if request.path in _REDIRECTED and is_navigation():
            return see(HOME)
        return show_overview() or render_error(error)

    app.register_error_handler(NotFound, handle_missing)
    if INDEX in app.view_functions:
        show_index = app.view_functions[INDEX]

        @wraps(show_index)
        def show_either() -> ResponseReturnValue:
            return show_overview() or app.ensure_sync(show_index)()

        app.view_functions[INDEX] = show_either


def warm_up(app: Flask) -> list[Thread]:
    """Compile the templates and count the bounces, so that the first page is fast.

    :returns: the threads that do so in the background.
    """

    def count() -> None:
        with app.app_context(), suppress(StorageError):
            totals.current_totals().of_types()

    threads = [
        Thread(target=work, daemon=True)
        for work in (count, partial(web.compile_templates, app))
    ]
    for thread in threads:
        thread.start()
    return threads
