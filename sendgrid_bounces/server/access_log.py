"""Logs of Gunicorn and Flask with redacted credentials.

SendGrid's clients send API keys in URLs, which appear in access logs and tracebacks.
"""

import logging
import re
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from itertools import chain, islice
from pathlib import Path
from typing import Any

from flask import has_request_context
from flask.logging import default_handler
from gunicorn.glogging import Logger

from sendgrid_bounces.app import DIALECTS
from sendgrid_bounces.core.errors import BounceError
from sendgrid_bounces.core.messages import printable, printable_lines
from sendgrid_bounces.redaction import (
    MASK,
    USERINFO,
    Redactor,
    decodings,
    find_secrets,
    is_secret,
    redact_name,
)
from sendgrid_bounces.web.dialect import create_redactor
from sendgrid_bounces.web.requests import PARAMETERS, StrictRequest, request

#: The format of Flask's own handler.
FLASK_FORMAT = "[%(asctime)s] %(levelname)s in %(module)s: %(message)s"

#: The format of a line for a person at a terminal: see :meth:`RedactingLogger.atoms`.
TERMINAL_FORMAT = "%(clock)s  %(m)s %(target)s  %(s)s  %(M)s ms"

#: The name of a value in a format.
_ATOM = re.compile(r"%\(([^)]*)\)")

#: A component of a URL, or a word of other text. A shorter one than ``ke=x`` has no
#: credential.
_PART = re.compile(r"[^\s?&]{4,}")

#: Parts of a value of the access log that are shown.
MAX_PARTS = 400

#: The separator between a name and its value, percent-encoded any number of times.
_EQUALS = re.compile("=|%(?:25)*3d", re.IGNORECASE)

#: The same in a decoded value, and what separates names with their values there.
_EQUALS_OR_COLON = re.compile("[=:]")
_BETWEEN_PAIRS = re.compile(r"[\s?&{},]")

_SCHEME = re.compile(r"\b(basic|bearer)\s+\S+", re.IGNORECASE)

#: The target of the method CONNECT with credentials, which has no slashes.
_CONNECT = re.compile(r"\b(CONNECT )[^\s/?#]*@")

#: What the error log has about log files that stay open.
NOT_OPENED = "the log files were not opened again: %s"

#: Seconds between reports that a log cannot be written.
REPORT_INTERVAL = 60

_REDACTOR = create_redactor(DIALECTS)


class LogError(BounceError):
    """A log file cannot be written."""


def check_writable(path: str, name: str = "access log") -> None:
    """Check that the log file *path* can be written; "-" and "" always can.

    :param name: of the log in the error.
    :raises LogError: if the file cannot be opened.
    """
    if path in ("", "-"):
        return
    try:
        with Path(path).open("ab"):
            pass
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise LogError(f"cannot write the {name} {path}: {reason}") from None


def redact_log(text: str, redactor: Redactor = _REDACTOR) -> str:
    """Return *text* without the credentials in its URLs, and without API keys.

    Other words stay, so that error messages remain readable.

    :param redactor: knows the credentials to replace wherever they occur.
    """
    text = _CONNECT.sub(rf"\1{MASK}@", USERINFO.sub(f"//{MASK}@", text))
    text = _SCHEME.sub(rf"\1 {MASK}", text)
    text = _PART.sub(lambda match: _redact_part(match, redactor), text)
    return redactor.redact_known(text)


def _redact_part(match: re.Match[str], redactor: Redactor) -> str:
    part = match[0]
    equals = _EQUALS.search(part)
    end = equals.end() if equals else len(part)
    name = _decode(part[: equals.start()] if equals else part)
    value = _decode(part[end:])
    is_in_query = match.string[match.start() - 1 : match.start()] in ("?", "&")
    if is_in_query and redact_name(name, value) != name:
        return MASK
    if equals and (is_secret(name) or _has_secret(value)):
        return part[:end] + MASK
    decoded = _decode(part)
    has_secret = decoded != part and redactor.redact_decoded(decoded) != decoded
    return MASK if has_secret else part


def _has_secret(value: str) -> bool:
    """Return whether *value* contains a URL, a query or JSON with a credential."""
    text = " ".join(value.split()).replace(" =", "=").replace(" :", ":")
    pairs = [_EQUALS_OR_COLON.split(part, 1) for part in _BETWEEN_PAIRS.split(text)]
    return any(is_secret(pair[0].strip("\"'\\")) for pair in pairs if pair[1:])


def _decode(text: str) -> str:
    return [text, *decodings(text)][-1]


class RedactingLogger(Logger):
    """Gunicorn's logger with redacted records; "-" writes to stderr.

    Flask's log, which has the tracebacks of failed views, is redacted too.
    """

    #: When to report the next failure to write a line.
    _next_report = 0.0

    def setup(self, cfg: Any) -> None:
        """Configure the loggers.

        A reload keeps the open files if they cannot be opened again.
        """
        if self.error_log.handlers:
            try:
                check_writable(cfg.accesslog or "")
                check_writable(cfg.errorlog or "", "error log")
            except LogError as error:
                self.error(NOT_OPENED, error)
                return
        super().setup(cfg)
        names = _ATOM.findall(cfg.access_log_format)
        self._names = {n.lower() if n.startswith("{") else n for n in names}
        default_handler.setFormatter(
            _RedactingFormatter(logging.Formatter(FLASK_FORMAT))
        )

    def reopen_files(self) -> None:
        """Open the log files again after a rotation, or go on with the open files."""
        try:
            for handler in chain(self.error_log.handlers, self.access_log.handlers):
                if isinstance(handler, logging.FileHandler):
                    check_writable(handler.baseFilename)
            super().reopen_files()
        except (LogError, OSError) as error:
            self.error(NOT_OPENED, error)

    def atoms(
        self, resp: Any, req: Any, environ: Mapping[str, Any], request_time: Any
    ) -> dict[str, Any]:
        """Return the values that the format of the access log names, redacted.

        Gunicorn has one for each field of the request, too, which are long to search.
        """
        atoms = super().atoms(resp, req, environ, request_time)
        atoms["u"] = "-"  # some Mailgun clients send the key as the user name
        atoms["clock"] = time.strftime("%H:%M:%S")
        atoms["target"] = environ.get("RAW_URI", "")
        secrets = StrictRequest({**environ}).find_secrets()
        secrets += find_secrets(environ.get(PARAMETERS, ()))  # with those of a form
        redactor = _REDACTOR.with_secrets(secrets)
        return {
            name: _redact_atom(name, value, redactor)
            for name, value in atoms.items()
            if isinstance(value, str | int | float) and name in self._names
        }

    def _set_handler(
        self, log: Any, output: Any, fmt: logging.Formatter, stream: Any = None
    ) -> None:
        """Redact the formatted error log; atoms() redacts the access log."""
        if log is self.error_log:
            fmt = _RedactingFormatter(fmt)
        super()._set_handler(log, output, fmt, None)
        for handler in log.handlers:
            handler.handleError = self._report_failure

    def _report_failure(self, _record: logging.LogRecord) -> None:
        """Report that a log cannot be written, without the line, once a minute.

        The standard library would print the values of the line.
        """
        now = time.monotonic()
        if now < self._next_report:
            return
        self._next_report = now + REPORT_INTERVAL
        with suppress(OSError, ValueError):
            sys.stderr.write(f"Error: cannot write the log: {sys.exc_info()[1]}\n")


def _redact_atom(name: str, value: Any, redactor: Redactor) -> Any:
    """Redact a value of the access log; headers and variables have names in braces.

    Gunicorn accepts the control characters of Latin-1, such as one that starts an
    escape sequence of terminals.
    """
    if name.startswith("{") and is_secret(name):
        return MASK
    if not isinstance(value, str):
        return value
    further = next(islice(_PART.finditer(value), MAX_PARTS, None), None)
    shown = value if further is None else f"{value[: further.start()]}…"
    return printable(redactor.redact_text(redact_log(shown, redactor)))


class _RedactingFormatter(logging.Formatter):
    """Redacts the output of another formatter, tracebacks included.

    A credential of the current request is redacted wherever it occurs.
    """

    def __init__(self, formatter: logging.Formatter) -> None:
        super().__init__()
        self._formatter = formatter

    def format(self, record: logging.LogRecord) -> str:
        redactor = _REDACTOR
        if has_request_context():
            redactor = redactor.with_secrets(request.find_secrets())
        text = redact_log(self._formatter.format(record), redactor)
        return printable_lines(text)
