"""Gunicorn's logs, without credentials: SendGrid's clients have them in their URLs."""

import logging
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote_plus

from flask.logging import default_handler
from gunicorn.glogging import Logger

from sendgrid_bounces.app import DIALECTS
from sendgrid_bounces.core.errors import BounceError
from sendgrid_bounces.redaction import MASK, Redactor, is_secret

#: As Flask's own: where, and what.
FLASK_FORMAT = "[%(asctime)s] %(levelname)s in %(module)s: %(message)s"

#: A part of a URL, or a word around it.
_PART = re.compile(r"[^\s?&]+")

#: What stands between a name and its value, however often it was encoded.
_EQUALS = re.compile("=|%(?:25)*3d", re.IGNORECASE)

_REDACTOR = Redactor(dialect.key_pattern for dialect in DIALECTS)

_USER = re.compile(r"//[^/@\s]*@")
_SCHEME = re.compile(r"\b(basic|bearer)\s+\S+", re.IGNORECASE)


class LogError(BounceError):
    """A log cannot be written."""


def check_writable(path: str) -> None:
    """Check that the file *path* can be written to, unless it is none or stderr (-).

    :raises LogError: if it cannot.
    """
    if path in ("", "-"):
        return
    try:
        with Path(path).open("ab"):
            pass
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise LogError(f"cannot write the access log {path}: {reason}") from None


def masked(text: str) -> str:
    """Return *text* with its URLs' credentials masked, however they are encoded.

    What looks like a vendor's key is masked wherever it stands.
    """
    text = _SCHEME.sub(rf"\1 {MASK}", _USER.sub(f"//{MASK}@", text))
    return _REDACTOR.redact_keys(_PART.sub(_masked_part, text))


def _masked_part(match: re.Match[str]) -> str:
    part = match[0]
    equals = _EQUALS.search(part)
    if equals is None:
        return part
    name, value = part[: equals.start()], part[equals.end() :]
    if is_secret(_decoded(name)) or _holds_secret(_decoded(value)):
        return part[: equals.end()] + MASK
    return part


def _holds_secret(value: str) -> bool:
    """Return whether *value* holds a URL or a query with a credential."""
    pairs = [part.partition("=") for part in re.split(r"[\s?&]", value)]
    return any(equals and is_secret(name) for name, equals, _ in pairs)


def _decoded(text: str) -> str:
    for _ in range(3):
        text = unquote_plus(text)
    return text


class RedactingLogger(Logger):
    """Gunicorn's logger, whose records hold no credentials; ``-`` is stderr.

    Flask tells of a view's mistake in a log of its own, which is masked with it.
    """

    def setup(self, cfg: Any) -> None:
        """Begin to log as the configuration says."""
        super().setup(cfg)
        default_handler.setFormatter(
            _RedactingFormatter(logging.Formatter(FLASK_FORMAT))
        )

    def atoms(
        self, resp: Any, req: Any, environ: Mapping[str, Any], request_time: Any
    ) -> dict[str, Any]:
        """Return what a line of the access log is made of."""
        atoms = super().atoms(resp, req, environ, request_time)
        atoms["u"] = "-"  # some vendors' clients send a key as the user's name
        return {
            name: MASK
            if name.startswith("{") and is_secret(name)
            else masked(value)
            if isinstance(value, str)
            else value
            for name, value in atoms.items()
        }

    def _set_handler(
        self, log: Any, output: Any, fmt: logging.Formatter, stream: Any = None
    ) -> None:
        """Let what *fmt* makes of an error, with its traceback, be masked."""
        if log is self.error_log:  # of the access log it is the atoms that are
            fmt = _RedactingFormatter(fmt)
        super()._set_handler(log, output, fmt, None)


class _RedactingFormatter(logging.Formatter):
    """Another formatter's texts, masked."""

    def __init__(self, formatter: logging.Formatter) -> None:
        super().__init__()
        self._formatter = formatter

    def format(self, record: logging.LogRecord) -> str:
        return masked(self._formatter.format(record))
