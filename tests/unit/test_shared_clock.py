"""The clock over HTTP: what it is set to, and what it drives."""

import base64
import json
import threading
from collections.abc import Iterator
from contextlib import closing

import pytest
from conftest import NOW, FixedClock, make_app
from flask.testing import FlaskClient

from sendgrid_bounces.core.bounces import EARLIEST, LATEST
from sendgrid_bounces.core.clock import ClockState, parse_duration, render_instant
from sendgrid_bounces.core.errors import ParametersError
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
DURATION_RULE = "must be an ISO 8601 duration of weeks to seconds, as PT1H or P1DT12H"
BASIC = {"Authorization": "Basic " + base64.b64encode(b"api:s3cret").decode()}
CREDENTIALS = "api_user=acme&api_key=s3cret"


@pytest.fixture(name="client")
def _client(database_url: str, clock: FixedClock) -> Iterator[FlaskClient]:
    app = make_app(database_url, clock, CONTROL="on")
    client = app.test_client()
    client.post("/_emulator/seed", json=SEED)
    yield client
    app.extensions[EXTENSION].storage.close()


def put(client: FlaskClient, action: str, **order: object):
    return client.put(CLOCK, json={"action": action, **order})


def told(answer) -> tuple[str, bool]:
    assert answer.status_code == 200, answer.text
    assert set(answer.json) == {"now", "frozen"}
    return answer.json["now"], answer.json["frozen"]


def test_at_first_it_is_the_system_s(client, clock: FixedClock) -> None:
    """It runs with it."""
    assert told(client.get(CLOCK)) == ("2012-02-15T12:00:00Z", False)
    clock.instant += 5
    assert told(client.get(CLOCK)) == ("2012-02-15T12:00:05Z", False)


def test_frozen_it_stands(client, clock: FixedClock) -> None:
    """At an instant, or at what it shows."""
    frozen = ("2011-01-01T00:00:00Z", True)
    assert told(put(client, "freeze", instant=frozen[0])) == frozen
    clock.instant += 5
    assert told(client.get(CLOCK)) == frozen
    assert told(put(client, "freeze")) == frozen
    put(client, "reset")
    assert told(put(client, "freeze")) == ("2012-02-15T12:00:05Z", True)


def test_it_goes_forward_frozen_and_running(client, clock: FixedClock) -> None:
    """And runs on from there, if it ran."""
    put(client, "freeze")
    assert told(put(client, "advance", duration="P1D")) == (
        "2012-02-16T12:00:00Z",
        True,
    )
    assert told(put(client, "reset")) == ("2012-02-15T12:00:00Z", False)
    put(client, "advance", duration="PT1H")
    assert told(put(client, "advance", duration="PT1H")) == (
        "2012-02-15T14:00:00Z",
        False,
    )
    clock.instant += 5
    assert told(client.get(CLOCK)) == ("2012-02-15T14:00:05Z", False)
    assert told(put(client, "freeze")) == ("2012-02-15T14:00:05Z", True)


def test_it_dates_new_bounces_in_all_dialects(client) -> None:
    """created, and created_at."""
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


def test_it_says_which_day_is_today(client) -> None:
    """For SendGrid's days."""
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
        ({}, ["action: Missing data for required field"]),
        ({"action": "stop"}, ["action: Must be one of: freeze, advance, reset"]),
        ({"action": 1}, ["action: Not a valid string"]),
        ([], ["must be a mapping: names, each with a value"]),
        (None, ["must be a mapping: names, each with a value"]),
        (
            {"action": "reset", "instant": "x"},
            ["instant: Unknown field: there are action"],
        ),
        ({"action": "advance"}, ["duration: Missing data for required field"]),
        (
            {"action": "advance", "duration": "P1D", "instant": "x"},
            ["instant: Unknown field: there are action, duration"],
        ),
        ({"action": "freeze", "instant": None}, ["instant: Field may not be null"]),
        *(
            (
                {"action": "freeze", "instant": instant},
                ["instant: must be a time, as 2012-02-15T12:00:00Z"],
            )
            for instant in (
                "",
                "now",
                "2012-02-30T00:00:00Z",
                "2012-02-15T12:00:00+1:00",
                "2012-02-15",
                "10000-01-01T00:00:00Z",
            )
        ),
        (
            {"action": "freeze", "instant": "0001-01-01T00:00:00Z"},
            ["instant: must stay within the years 1 to 9999"],
        ),
        (
            {"action": "advance", "duration": "P9999999999D"},
            ["duration: must stay within the years 1 to 9999"],
        ),
        (
            {"action": "advance", "duration": "PT" + "9" * 29 + "S"},
            ["duration: must stay within the years 1 to 9999"],
        ),
        *(
            (
                {"action": "advance", "duration": duration},
                [f"duration: {DURATION_RULE}"],
            )
            for duration in (
                "", "P", "PT", "P1DT", "-PT1H", "PT-1H", "+P1D", "P1Y", "P1M", "PT1.5S",
                "1H", "PT1H ", "pt1h", "PT1S1H", "P1D1W", "PT\u0661S", "P1H", "PT1D",
                "PT" + "9" * 40 + "S",
            )
        ),
    ],
)  # fmt: skip
@pytest.mark.parametrize("start", ["freeze", "reset"])
def test_what_is_refused_changes_nothing(client, start: str, order, errors) -> None:
    """Each fault is named by its place."""
    before = told(put(client, start))
    answer = client.put(CLOCK, data=json.dumps(order))

    assert (answer.status_code, answer.json["errors"]) == (400, errors)
    assert told(client.get(CLOCK)) == before


def test_parameters_are_refused(client) -> None:
    """There are none."""
    for answer in (client.get(f"{CLOCK}?x=1"), client.put(f"{CLOCK}?x=1", json={})):
        assert (answer.status_code, answer.json["errors"]) == (
            400,
            ["x: Unknown field"],
        )


def test_the_calendar_ends(client, clock: FixedClock) -> None:
    """The clock can be put to its last second, and stays there."""
    seconds = LATEST - NOW
    end = (render_instant(LATEST), False)
    assert told(put(client, "advance", duration=f"PT{seconds}S")) == end
    clock.instant += 5
    assert told(client.get(CLOCK)) == end
    assert put(client, "advance", duration="PT1S").status_code == 400
    assert ClockState(EARLIEST).advanced(1, NOW) == ClockState(EARLIEST + 1)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("PT0S", 0),
        ("PT1S", 1),
        ("PT90M", 5_400),
        ("PT1H", 3_600),
        ("P1D", 86_400),
        ("P1W", 604_800),
        ("P1W2DT3H4M5S", 788_645),
        ("P1DT12H", 129_600),
    ],
)
def test_durations(text: str, seconds: int) -> None:
    """In seconds."""
    assert parse_duration(text) == seconds


def test_a_duration_with_a_line_s_end_is_none() -> None:
    """The whole text is looked at."""
    with pytest.raises(ParametersError):
        parse_duration("PT1H\n")


def test_advances_add_up(storage, database_url: str) -> None:
    """Whoever makes them, at the same time."""

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
