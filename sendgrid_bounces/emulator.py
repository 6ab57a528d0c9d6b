"""The emulator: all that the requests of one application share."""

from dataclasses import dataclass, field
from typing import cast

from flask import Flask, current_app

from sendgrid_bounces.auth import Authenticator
from sendgrid_bounces.core.clock import Clock
from sendgrid_bounces.storage.database import Storage

EXTENSION = "sendgrid_bounces"


@dataclass(frozen=True, slots=True)
class Emulator:
    """The state of one application. It lives on the application, never in a module.

    :param profile: what accounts see that have no profile of their own.
    :param seeds: the absolute paths of the seed files, which a reset plants again.
    :param has_control: whether the control endpoints are there.
    :param journal_size: how many requests its journal holds; 0 for none.
    :param control_token: what their callers must know; empty if nothing.
    """

    storage: Storage
    authenticator: Authenticator
    clock: Clock
    profile: str
    seeds: tuple[str, ...] = ()
    has_control: bool = False
    request_log_size: int = 0
    control_token: str = field(default="", repr=False)

    def attach(self, app: Flask) -> None:
        """Let the requests of *app* find this emulator."""
        app.extensions[EXTENSION] = self


def current_emulator() -> Emulator:
    """Return the emulator of the application that answers this request."""
    return cast(Emulator, current_app.extensions[EXTENSION])
