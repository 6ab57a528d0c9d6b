"""The state that the requests of one application share."""

from dataclasses import dataclass, field
from functools import cached_property
from typing import cast

from flask import Flask, current_app

from sendgrid_bounces.auth import Authenticator
from sendgrid_bounces.config import Config
from sendgrid_bounces.core.attempts import MAX_TOKENS, FailedAttempts
from sendgrid_bounces.core.clock import Clock
from sendgrid_bounces.storage.database import Storage
from sendgrid_bounces.web.dialect import Dialect

EXTENSION = "sendgrid_bounces"


@dataclass(frozen=True)
class Emulator:
    """The state of one application, in its ``extensions`` and never in a module."""

    storage: Storage
    authenticator: Authenticator
    clock: Clock
    config: Config
    dialects: tuple[Dialect, ...]
    failed_tokens: FailedAttempts = field(
        default_factory=lambda: FailedAttempts(MAX_TOKENS)
    )

    @cached_property
    def operations(self) -> dict[str, tuple[str, ...]]:
        """The operations of each dialect, by its name."""
        return {dialect.name: dialect.operations for dialect in self.dialects}

    def attach(self, app: Flask) -> None:
        """Make this the emulator of *app*."""
        app.extensions[EXTENSION] = self


def current_emulator() -> Emulator:
    """Return the emulator of the application that handles the current request."""
    return cast(Emulator, current_app.extensions[EXTENSION])
