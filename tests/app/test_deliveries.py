"""``deliver()`` of a test account: payloads of sources without HTTP."""

import functools
import json
import threading
from collections.abc import Iterator
from email import message_from_bytes, policy
from pathlib import Path

import pytest
from conftest import NOW, FixedClock, make_app
from test_source_endpoints import POSTMARK, REQUESTS, mailgun_body

from sendgrid_bounces.core.errors import ParametersError, UnknownNameError
from sendgrid_bounces.emulator import EXTENSION
from sendgrid_bounces.receiving.delivery import deliver, open_source
from sendgrid_bounces.sources import KINDS, sendgrid
from sendgrid_bounces.sources.events import Batch
from sendgrid_bounces.storage.database import Storage
from sendgrid_bounces.testing import TestAccount, mock_bounces

EXIM = (Path(__file__).parent.parent / "mails" / "exim.eml").read_bytes()
EVENT = {"email": "ada@example.org", "event": "bounce", "status": "5.1.1"}


@pytest.fixture(name="account")
def _account() -> Iterator[TestAccount]:
    with mock_bounces() as account:
        yield account


@pytest.mark.parametrize("kind", KINDS)
def test_payload_of_each_kind_is_delivered(account: TestAccount, kind: str):
    (added,) = account.deliver(kind, REQUESTS[kind][0])
    assert account.bounces() == [added]
    assert account.deliver(kind, REQUESTS[kind][0]) == []


@pytest.mark.parametrize(
    ("kind", "payload"),
    [
        ("sendgrid", [EVENT]),
        ("sendgrid", EVENT),
        ("postmark", POSTMARK),
        ("postmark", json.dumps(POSTMARK)),
        ("mailgun", json.loads(mailgun_body("t"))),
        ("mail", EXIM.decode()),
        ("mail", message_from_bytes(EXIM, policy=policy.default)),
    ],
)
def test_payload_has_several_forms(account: TestAccount, kind: str, payload):
    assert len(account.deliver(kind, payload)) == 1


def test_event_without_a_token_can_be_delivered_twice(account: TestAccount):
    data = {"event": "failed", "severity": "permanent", "reason": "bounce"}
    for name in "ab":
        event = {**data, "recipient": f"{name}@example.org"}
        assert len(account.deliver("mailgun", {"event-data": event})) == 1


def test_46_repeats_leave_one_bounce_and_a_deletion_holds(account: TestAccount):
    account.freeze("2012-02-15 12:00:00")
    event = {**EVENT, "timestamp": NOW}
    added = [len(account.deliver("sendgrid", [event]))]
    for repeat in range(45):
        account.advance(40 * 60)
        added.append(len(account.deliver("sendgrid", [event])))
        if repeat == 20:
            assert len(account.bounces()) == 1
            account.control.remove_bounces(account.username)
    assert added == [1] + 45 * [0]
    assert account.bounces() == []


@pytest.mark.parametrize(
    ("kind", "payload", "problem"),
    [
        ("brevo", {}, "kind: must be one of mail, mailgun"),
        ("sendgrid", "{", "payload: the body is not valid JSON"),
        ("postmark", [], "payload: the body must be a JSON object"),
        ("postmark", {"key": {1}}, "payload: cannot be sent: Object of type set"),
        ("postmark", functools.reduce(lambda x, _: [x], range(9_999), 1), "payload: "),
        ("postmark", "\ud800", "payload: cannot be sent: 'utf-8' codec"),
    ],
)
def test_invalid_arguments_are_rejected(account: TestAccount, kind, payload, problem):
    with pytest.raises(ParametersError) as raised:
        account.deliver(kind, payload)
    assert str(raised.value).startswith(problem)


def test_deliveries_are_listed_until_the_account_is_closed():
    with mock_bounces() as account:
        account.deliver("sendgrid", [EVENT])
        (source,) = account.control.sources()
        assert (source.owner, source.path) == (account.username, None)
        assert source.counts.listed == 1
    with mock_bounces() as account:
        assert account.control.sources() == []


def test_health_reports_sources(url: str, clock: FixedClock):
    app = make_app(url, clock)
    client, storage = app.test_client(), app.extensions[EXTENSION].storage
    storage.accounts.add("acme")
    assert "sources" not in client.get("/_emulator/health").json
    source = open_source(storage, "bounces receive acme", "acme", "mail")
    expected = {"number": 1, "refused": 0, "last_event": None}
    assert client.get("/_emulator/health").json["sources"] == expected
    deliver(storage, source, Batch(), NOW)
    storage.sources.refuse(source.name, "wrong", NOW)
    assert client.get("/_emulator/health").json["sources"] == {
        "number": 1,
        "refused": 1,
        "last_event": "2012-02-15T12:00:00Z",
    }
    storage.close()


@pytest.mark.parametrize("is_moved", [True, False], ids=["moved", "removed"])
def test_source_that_was_removed_meanwhile_delivers_nothing(
    storage: Storage, is_moved: bool
) -> None:
    """A request takes as long as its client likes to arrive."""
    storage.accounts.add_domain("d.example", storage.accounts.add("alice"))
    source = open_source(storage, "hook", "d.example", "sendgrid")
    batch = sendgrid.parse(json.dumps([EVENT]).encode(), {}, NOW)
    if is_moved:
        storage.accounts.remove_domain("d.example")
        storage.accounts.add_domain("d.example", storage.accounts.add("bob"))
    else:
        storage.sources.remove("hook")

    with pytest.raises(UnknownNameError):
        deliver(storage, source, batch, NOW)
    assert storage.contents.counts().bounces == 0


def test_source_waits_for_the_removal_of_its_owner(
    database_url: str, clock: FixedClock
) -> None:
    """Without an owner, it would belong to a later account of this name."""
    app = make_app(database_url, clock, CONTROL="on")
    storage = app.extensions[EXTENSION].storage
    storage.accounts.add("acme")
    source = {"name": "hook", "owner": "acme", "kind": "mail", "token": "s3cret"}
    statuses: list[int] = []

    def add() -> None:
        answer = app.test_client().post("/_emulator/sources", json=source)
        statuses.append(answer.status_code)

    thread = threading.Thread(target=add)

    def remove() -> None:
        storage.accounts.remove("acme")
        thread.start()
        thread.join(0.5)

    storage.accounts.transact(remove)
    thread.join()
    assert (statuses, storage.sources.all()) == ([404], [])
    storage.close()
