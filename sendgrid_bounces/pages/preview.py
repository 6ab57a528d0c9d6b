"""The deletion that a call would make, found without making the call."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, NoReturn, cast

from flask import Flask, current_app

from sendgrid_bounces.core.bounces import BounceQuery
from sendgrid_bounces.emulator import EXTENSION as EMULATOR
from sendgrid_bounces.emulator import Emulator
from sendgrid_bounces.pages.replay import call_api
from sendgrid_bounces.storage.bounces import BounceStore
from sendgrid_bounces.storage.database import Storage

EXTENSION = "sendgrid_bounces.preview"


@dataclass(frozen=True, slots=True)
class Deletion:
    """A deletion of all bounces that match the filters of a call.

    :param owner: the account or domain of the list.
    :param number: the number of bounces that match.
    :param total: the length of the list.
    """

    owner: str
    number: int
    total: int


class ChangeFoundError(Exception):
    """A call would change a list.

    :param queries: of the bounces that it would delete; none if it adds bounces.
    """

    def __init__(self, bounce_list: int, *queries: BounceQuery) -> None:
        super().__init__(bounce_list, queries)
        self.bounce_list = bounce_list
        self.queries = queries


class UnchangedStore(BounceStore):
    """A store that raises an error in place of each change."""

    def delete(
        self, bounce_list: int, *queries: BounceQuery, **_options: Any
    ) -> NoReturn:
        """Report a deletion.

        :raises ChangeFoundError: with the queries.
        """
        raise ChangeFoundError(bounce_list, *queries)

    def put(self, bounce_list: int, *_bounces: Any, **_options: Any) -> NoReturn:
        """Report an addition.

        :raises ChangeFoundError: without queries.
        """
        raise ChangeFoundError(bounce_list)


class Preview:
    """Calls to the dialects of *emulator*, without fault rules, log and changes.

    :param create_app: returns an application with the routes of the dialects.
    """

    def __init__(self, emulator: Emulator, create_app: Callable[[], Flask]) -> None:
        self._storage = emulator.storage
        self._emulator = emulator
        self._create_app = create_app

    def find_deletion(self, path: str, **options: Any) -> Deletion | None:
        """Return the deletion that a call would make.

        :param options: options of Werkzeug's test client.
        :returns: None if the call deletes nothing, or only one given address.
        """
        try:
            call_api(path, self._app, **options)
        except ChangeFoundError as change:
            return self._describe(change)
        return None

    @cached_property
    def _app(self) -> Flask:
        app = self._create_app()
        app.config["PROPAGATE_EXCEPTIONS"] = True
        bounces = UnchangedStore(self._storage.engine)
        storage = replace(self._storage, bounces=bounces)
        replace(self._emulator, storage=storage).attach(app)
        return app

    def _describe(self, change: ChangeFoundError) -> Deletion | None:
        is_named = all(query.emails for query in change.queries)
        if is_named and sum(len(query.emails) for query in change.queries) <= 1:
            return None
        count, bounce_list = self._storage.bounces.count, change.bounce_list
        number = sum(count(bounce_list, query) for query in change.queries)
        if not number:
            return None
        total = count(bounce_list, BounceQuery())
        return Deletion(_find_owner(self._storage, bounce_list), number, total)


def register(app: Flask, create_app: Callable[[], Flask]) -> None:
    """Offer previews in *app*."""
    app.extensions[EXTENSION] = Preview(app.extensions[EMULATOR], create_app)


def current_preview() -> Preview:
    """Return the previews of the application that handles the current request."""
    return cast(Preview, current_app.extensions[EXTENSION])


def _find_owner(storage: Storage, bounce_list: int) -> str:
    """Return the account or else the domain of a list."""
    accounts = (
        each.username
        for each in storage.accounts.all()
        if each.bounce_list == bounce_list
    )
    domains = (
        each.name
        for each in storage.accounts.domains()
        if each.bounce_list == bounce_list
    )
    return next(accounts, None) or next(domains, "")
