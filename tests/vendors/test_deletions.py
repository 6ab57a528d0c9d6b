"""Deletions of every dialect hold against late copies of older events."""

from collections.abc import Iterator

import pytest
from conftest import NOW, FixedClock, bounce, make_app
from flask import Flask

from sendgrid_bounces.app import DIALECTS
from sendgrid_bounces.core.bounces import BounceQuery
from sendgrid_bounces.core.sources import ReceivedBounce, SourceSettings
from sendgrid_bounces.emulator import EXTENSION, Emulator

KEY = "SG.v3v3v3v3v3v3v3v3v3v3v3.v3v3v3v3v3v3v3v3v3v3v3v3v3v3v3v3v3v3v3v3v3v"
A, B, SOFT = "a@example.com", "b@example.com", "soft@example.com"
USER = {"api_user": "acme", "api_key": KEY}
V2 = "/api/bounces.delete.json"
RESELLER = "/apiv2/reseller.manage.json"
V3 = "/v3/suppression/bounces"
CUSTOMER = {
    "api_user": "seller",
    "api_key": "s3cret",
    "method": "bounces",
    "task": "delete",
    "user": "acme",
}

#: Of each dialect: the method, the path and the body or form of a deletion, and the
#: addresses that it removes.
DELETIONS = [
    ("sendgrid.direct", "POST", V2, {**USER, "email": A}, {A}),
    ("sendgrid.direct", "POST", V2, {**USER, "type": "soft"}, {SOFT}),
    ("sendgrid.direct", "POST", V2, {**USER, "start_date": "2012-02-14"}, {A, SOFT}),
    ("sendgrid.reseller", "POST", RESELLER, {**CUSTOMER, "email": A}, {A}),
    ("sendgrid.v3", "DELETE", f"{V3}/{A}", None, {A}),
    ("sendgrid.v3", "DELETE", V3, {"emails": [A, B]}, {A, B}),
    ("sendgrid.v3", "DELETE", V3, {"delete_all": True}, {A, B}),
    ("mailgun.v2", "DELETE", f"/v2/mg.example.com/bounces/{A}", None, {A}),
    ("mailgun.v3", "DELETE", f"/v3/mg.example.com/bounces/{A}", None, {A}),
    ("mailgun.v3", "DELETE", "/v3/mg.example.com/bounces", None, {A, B, SOFT}),
]
EVENTS = (
    bounce(A, created=NOW - 60),
    bounce(B, created=NOW - 3 * 86_400),
    bounce(SOFT, created=NOW - 60, status="4.2.2", code="452"),
)


@pytest.fixture(name="app")
def _app(database_url: str, clock: FixedClock) -> Iterator[Flask]:
    app = make_app(database_url, clock)
    emulator: Emulator = app.extensions[EXTENSION]
    accounts, hashed = emulator.storage.accounts, emulator.authenticator.hash_key
    seller = accounts.add("seller", is_reseller=True, **hashed("s3cret"))
    acme = accounts.add("acme", seller, **hashed(KEY))
    accounts.add_domain("mg.example.com", acme, shares_list=True)
    emulator.storage.sources.add("hook", "acme", "mail", SourceSettings())
    yield app
    emulator.storage.close()


def deliver(app: Flask, clock: FixedClock) -> set[str]:
    """Deliver all events as if for the first time; return the addresses on the list."""
    storage = app.extensions[EXTENSION].storage
    bounce_list = storage.accounts.get("acme").bounce_list
    received = [ReceivedBounce(event, "") for event in EVENTS]
    storage.sources.purge(clock.now(), clock.now(), 0)
    storage.sources.receive(bounce_list, received, (), clock.now())
    found = storage.bounces.find(bounce_list, BounceQuery())
    return {row[0] for rows in found for row in rows}


def test_every_dialect_has_a_deletion():
    assert {dialect for dialect, *_ in DELETIONS} == {d.name for d in DIALECTS}


@pytest.mark.parametrize(
    ("dialect", "method", "path", "body", "removed"),
    DELETIONS,
    ids=[f"{dialect}-{i}" for i, (dialect, *_) in enumerate(DELETIONS)],
)
def test_late_copies_of_events_do_not_undo_a_deletion(
    app: Flask,
    clock: FixedClock,
    dialect: str,
    method: str,
    path: str,
    body: dict | None,
    removed: set[str],
):
    everything = {event.email for event in EVENTS}
    assert deliver(app, clock) == everything
    headers = {"Authorization": f"Bearer {KEY}", "Accept": "application/json"}
    options = {"data": body} if method == "POST" else {"json": body}
    if dialect.startswith("mailgun"):
        headers, options = {}, {"auth": ("api", KEY)}
    answer = app.test_client().open(path, method=method, headers=headers, **options)
    assert answer.status_code in (200, 204), answer.text

    assert deliver(app, clock) == everything - removed
    clock.instant = NOW + 48 * 3600 + 1
    assert deliver(app, clock) == everything
