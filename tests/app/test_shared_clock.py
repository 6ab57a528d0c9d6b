"""The clock of the control endpoints and its effect on the dialects."""

import base64
import json
import threading
from collections.abc import Iterator
from contextlib import closing

import pytest
from conftest import NOW, FixedClock, make_app
from flask.testing import FlaskClient

from sendgrid_bounces.core.bounces import EARLIEST, INSTANT_RANGE, LATEST
from sendgrid_bounces.core.clock import ClockState
from sendgrid_bounces.core.faults import FaultRule
from sendgrid_bounces.core.times import render_instant
from sendgrid_bounces.emulator import EXTENSION
from sendgrid_bounces.storage.database import open_storage

CLOCK = "/_emulator/clock"
SEED = {
    "accounts": [
        {
            "username": "acme",
            "api_key": "s3cret",
            "domains": [{"name": "mg.example.com", "list": "account"}],
        }
    ]
}
DURATION_RULE = "must be a duration such as PT1H, 1h30m, 90"
TIME_RULE = "must be a time such as 2012-02-15 12:00:00, 1329307200, 2012-02-15"
BASIC = {"Authorization": "Basic " + base64.b64encode(b"api:s3cret").decode()}
CREDENTIALS = "api_user=acme&api_key=s3cret"


@pytest.fixture(name="client")
def _client(database_url: str, clock: FixedClock) -> Iterator[FlaskClient]:
    app = make_app(database_url, clock, CONTROL="on")
    client = app.test_client()
    client.post("/_emulator/seed", json=SEED)
    yield client
    app.extensions[EXTENSION].storage.close()


def shown_value(text: str) -> str:
    """Return the end of a message that repeats *text*, unless it is long."""
    return f" (got {text!r})" if len(text) < 20 else ""


def put(client: FlaskClient, action: str, **order: object):
    return client.put(CLOCK, json={"action": action, **order})


def shown(answer) -> tuple[str, bool]:
    assert answer.status_code == 200, answer.text
    assert set(answer.json) == {"now", "frozen"}
    return answer.json["now"], answer.json["frozen"]


def test_clock_shows_system_time_at_first(client, clock: FixedClock) -> None:
    """Both clocks run together."""
    assert shown(client.get(CLOCK)) == ("2012-02-15T12:00:00Z", False)
    clock.instant += 5
    assert shown(client.get(CLOCK)) == ("2012-02-15T12:00:05Z", False)


def test_frozen_clock_does_not_run(client, clock: FixedClock) -> None:
    """The instant may be given; the default is the present."""
    frozen = ("2011-01-01T00:00:00Z", True)
    assert shown(put(client, "freeze", instant=frozen[0])) == frozen
    clock.instant += 5
    assert shown(client.get(CLOCK)) == frozen
    assert shown(put(client, "freeze")) == frozen
    put(client, "reset")
    assert shown(put(client, "freeze")) == ("2012-02-15T12:00:05Z", True)


def test_clock_advances_frozen_or_running(client, clock: FixedClock) -> None:
    """A running clock continues from the new time."""
    put(client, "freeze")
    assert shown(put(client, "advance", duration="P1D")) == (
        "2012-02-16T12:00:00Z",
        True,
    )
    assert shown(put(client, "reset")) == ("2012-02-15T12:00:00Z", False)
    put(client, "advance", duration="PT1H")
    assert shown(put(client, "advance", duration="PT1H")) == (
        "2012-02-15T14:00:00Z",
        False,
    )
    clock.instant += 5
    assert shown(client.get(CLOCK)) == ("2012-02-15T14:00:05Z", False)
    assert shown(put(client, "freeze")) == ("2012-02-15T14:00:05Z", True)


def test_clock_dates_new_bounces_in_all_dialects(client) -> None:
    """SendGrid shows ``created``, Mailgun ``created_at``."""
    put(client, "freeze", instant="2011-09-16T22:02:19Z")
    for version in ("v2", "v3"):
        client.post(
            f"/{version}/mg.example.com/bounces",
            data={"address": f"{version}@example.com"},
            headers=BASIC,
        )

    answer = client.get(f"/api/bounces.get.json?{CREDENTIALS}&date=1")
    rows = json.loads(answer.data)
    assert {row["created"] for row in rows} == {"2011-09-16 22:02:19"}
    assert len(rows) == 2
    answer = client.get("/v3/mg.example.com/bounces/v3@example.com", headers=BASIC)
    assert answer.json["created_at"] == "Fri, 16 Sep 2011 22:02:19 UTC"


def test_clock_determines_the_current_day(client) -> None:
    """SendGrid's ``days`` counts back from the current day."""
    put(client, "freeze", instant="2011-09-16T23:59:59Z")
    client.post(
        "/v3/mg.example.com/bounces", data={"address": "a@example.com"}, headers=BASIC
    )
    target = f"/api/bounces.count.json?{CREDENTIALS}&days=1"

    assert client.get(target).json == {"count": "1"}
    put(client, "advance", duration="PT1S")
    assert client.get(target).json == {"count": "0"}


@pytest.mark.parametrize(
    ("order", "errors"),
    [
        ({}, ["action: required"]),
        ({"action": "stop"}, ["action: must be one of freeze, set, advance, reset (got 'stop')"]),
        ({"action": 1}, ["action: must be one of freeze, set, advance, reset (got 1)"]),
        ([], ["must be a mapping"]),
        (None, ["must be a mapping"]),
        (
            {"action": "reset", "instant": "x"},
            ["instant: unknown field (known: action)"],
        ),
        ({"action": "advance"}, ["duration: required"]),
        (
            {"action": "advance", "duration": "P1D", "instant": "x"},
            ["instant: unknown field (known: action, duration)"],
        ),
        ({"action": "freeze", "instant": None}, ["instant: must not be null"]),
        *(
            ({"action": "freeze", "instant": instant}, [f"instant: {TIME_RULE} (got {instant!r})"])
            for instant in (
                "", "now", "2012-02-15T12:00:00+1:00", "10000-01-01T00:00:00Z"
            )
        ),
        (
            {"action": "freeze", "instant": "2012-02-30T00:00:00Z"},
            [
                ("instant: must be a real time: day is out of range for month (got "
                "'2012-02-30T00:00:00Z')"),
            ],
        ),
        (
            {"action": "freeze", "instant": "0001-01-02T23:59:59Z"},
            ["instant: the time must be from 0001-01-03 to 9999-12-29"],
        ),
        (
            {"action": "advance", "duration": "P9999999999D"},
            ["duration: the time must be from 0001-01-03 to 9999-12-29"],
        ),
        (
            {"action": "advance", "duration": "PT" + "9" * 29 + "S"},
            ["duration: the time must be from 0001-01-03 to 9999-12-29"],
        ),
        *(
            (
                {"action": "advance", "duration": duration},
                [f"duration: {DURATION_RULE}{shown_value(duration)}"],
            )
            for duration in (
                "", "P", "PT", "P1DT", "-PT1H", "PT-1H", "+P1D", "P1Y", "P1M", "PT1.5S",
                "1 H", "pt1h", "PT1S1H", "P1D1W", "PT\u0661S", "P1H", "PT1D",
                "PT" + "9" * 40 + "S",
            )
        ),
    ],
)  # fmt: skip
def test_invalid_actions_are_rejected(client, order, errors) -> None:
    """The error names the field; the clock is unchanged."""
    for start in ("freeze", "reset"):
        before = shown(put(client, start))
        answer = client.put(CLOCK, data=json.dumps(order))

        assert (answer.status_code, answer.json["errors"]) == (400, errors)
        assert shown(client.get(CLOCK)) == before


def test_parameters_are_rejected(client) -> None:
    """The endpoint of the clock has no query parameters."""
    for answer in (client.get(f"{CLOCK}?x=1"), client.put(f"{CLOCK}?x=1", json={})):
        assert (answer.status_code, answer.json["errors"]) == (
            400,
            ["x: unknown parameter"],
        )


def test_range_of_times_is_exact() -> None:
    first, last = (render_instant(instant) for instant in (EARLIEST, LATEST))
    assert first.endswith("T00:00:00Z")
    assert last.endswith("T23:59:59Z")
    assert f"from {first[:10]} to {last[:10]}" == INSTANT_RANGE


def test_clock_stops_at_the_last_instant(client, clock: FixedClock) -> None:
    """No advance leads beyond it."""
    seconds = LATEST - NOW
    end = (render_instant(LATEST), False)
    assert shown(put(client, "advance", duration=f"PT{seconds}S")) == end
    clock.instant += 5
    assert shown(client.get(CLOCK)) == end
    assert put(client, "advance", duration="PT1S").status_code == 400
    assert ClockState(EARLIEST).advanced(1, NOW) == ClockState(EARLIEST + 1)


def test_concurrent_advances_add_up(storage, database_url: str) -> None:
    """Reading and writing the state is a single transaction."""

    def advance() -> None:
        with closing(open_storage(database_url)) as other:
            for _ in range(25):
                other.clock.change(lambda state: state.advanced(1, NOW))

    threads = [threading.Thread(target=advance) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert storage.clock.read() == ClockState(offset=100)


@pytest.mark.parametrize(
    "state", [ClockState(), ClockState(frozen=NOW), ClockState(frozen=0, offset=5)]
)
@pytest.mark.parametrize("count", [0, 1, 12])
def test_clock_and_rules_are_read_together(storage, state: ClockState, count) -> None:
    """Requests read both by a single statement."""
    storage.faults.add([FaultRule(status=503, skip=n) for n in range(count)])
    storage.clock.change(lambda _: state)

    assert storage.faults.read_with_clock() == ((*storage.faults.all(),), state)
    assert [fault.rule.skip for fault in storage.faults.all()] == [*range(count)]
