"""The login with the control token."""

from flask import Response
from werkzeug.exceptions import HTTPException, Unauthorized

from sendgrid_bounces.control import CONTROL_PATH, api
from sendgrid_bounces.control.sessions import COOKIE, LIFETIME, issue_cookie
from sendgrid_bounces.emulator import current_emulator
from sendgrid_bounces.pages.web import HOME, bp, fill, html, layout, render_error, see
from sendgrid_bounces.web.requests import request


@bp.route("/ui/login", methods=["GET", "POST"])
def login() -> Response:
    """Ask for the token, and set the cookie of a session."""
    token = current_emulator().config.control_token
    target = _safe_target(request.values.get("next", HOME))
    try:
        api.check_access(token)
    except Unauthorized:
        pass
    except HTTPException as error:
        return render_error(403, api.describe(error))
    else:
        return see(target)
    sent = request.form.get("token", "")
    if not api.is_token(sent, token):
        is_wrong = request.method == "POST"
        text = fill("login.html", target=target, is_wrong=is_wrong, **layout())
        return html(text, 401 if is_wrong else 200)
    response = see(target)
    response.set_cookie(
        COOKIE,
        issue_cookie(token, current_emulator().storage.accounts.read_key_salt()),
        max_age=LIFETIME,
        path=CONTROL_PATH,
        secure=request.is_secure,
        httponly=True,
        samesite="Strict",
    )
    return response


@bp.post("/ui/logout")
def logout() -> Response:
    """Remove the cookie of the session, unless a page of another site asks for it."""
    try:
        api.check_access(current_emulator().config.control_token)
    except Unauthorized:
        pass
    except HTTPException as error:
        return render_error(403, api.describe(error))
    response = see(HOME)
    response.delete_cookie(COOKIE, path=CONTROL_PATH, httponly=True, samesite="Strict")
    return response


def _safe_target(target: str) -> str:
    """Return *target* if it is a page, and else the overview."""
    return target if target.startswith(HOME) and target.isprintable() else HOME
