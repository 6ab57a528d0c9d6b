"""Webhooks of mail providers: payloads byte for byte, and hostile ones."""

import json
import time
from pathlib import Path

import pytest
from case_files import PROVENANCES, Case, read_cases
from conftest import measured_memory
from hypothesis import given
from hypothesis import strategies as st

from sendgrid_bounces.sources import sendgrid, ses
from sendgrid_bounces.sources.events import Batch, BounceEvent, read_seconds
from sendgrid_bounces.sources.kinds import KINDS
from sendgrid_bounces.sources.verification import PayloadError

WEBHOOKS = sorted(set(KINDS) - {"mail"})
FOLDER = Path(__file__).parent.parent / "webhooks"
NOW = 1_329_307_200
SES = {"notificationType": "Bounce"}
LONG = "x" * 50_000

CASES = [
    pytest.param(path.stem, case, id=f"{path.stem}: {case.title}")
    for path in sorted(FOLDER.glob("*.http"))
    for case in read_cases(path)
]


def render(batch: Batch) -> dict:
    fields = [
        [e.email, e.status, e.code, e.permanence.value, e.note] for e in batch.events
    ]
    return {
        "events": fields,
        "ignored": dict(batch.ignored),
        "skipped": list(batch.skipped),
    }


def parse(kind: str, payload) -> tuple[BounceEvent, ...]:
    return KINDS[kind].parse(json.dumps(payload).encode(), {}, NOW).events


def test_every_kind_has_cases():
    assert {path.stem for path in FOLDER.glob("*.http")} == set(WEBHOOKS)


@pytest.mark.parametrize(("kind", "case"), CASES)
def test_payload(kind: str, case: Case):
    assert case.provenance.startswith(PROVENANCES)
    for request, answer in case.exchanges:
        batch = KINDS[kind].parse(request.body, request.headers, NOW)
        assert render(batch) == json.loads(answer.body)


@pytest.mark.slow
def test_shared_fields_of_many_recipients_are_read_once():
    fields = dict.fromkeys(("bounceType", "bounceSubType", "feedbackId"), "x" * 200_000)
    recipients = [{"emailAddress": f"u{n}@example.com"} for n in range(1_000)]
    bounce = {**fields, "bouncedRecipients": recipients}
    start = time.process_time()
    assert len(parse("ses", {"notificationType": "Bounce", "bounce": bounce})) == 1_000
    assert time.process_time() - start < 1


@pytest.mark.parametrize("text", ["5.1.1 ", "5.0.0 "])
def test_long_reason_takes_little_memory(text: str):
    """Each status in it could be an object of its own."""
    payload = {"event": "bounce", "email": "a@example.com", "reason": text * 500_000}
    body = json.dumps(payload).encode()
    with measured_memory() as memory:
        (event,) = KINDS["sendgrid"].parse(body, {}, NOW).events
    assert event.status == text.strip()
    assert memory.peak < 3 * len(body)


def test_repeats_of_a_sendgrid_event_share_their_key():
    event = {
        "email": "a@example.com",
        "event": "bounce",
        "timestamp": 1329300000,
        "reason": "550",
    }
    first, repeat, other = parse(
        "sendgrid",
        [
            {**event, "sg_event_id": "one"},
            {**event, "sg_event_id": "two"},
            {**event, "timestamp": 1329300001},
        ],
    )
    assert first.key == repeat.key != other.key


def test_mailgun_key_is_the_token():
    payload = {
        "signature": {"token": "t1"},
        "event-data": {"event": "failed", "recipient": "a@example.com"},
    }
    (event,) = parse("mailgun", payload)
    assert event.key == "mailgun t1"


@pytest.mark.parametrize("event", ["delivered", "failed"])
def test_token_of_mailgun_is_used_up_whatever_the_event(event: str):
    payload = {"signature": {"token": "t1"}, "event-data": {"event": event}}
    assert KINDS["mailgun"].parse(json.dumps(payload).encode(), {}, NOW).token == (
        "mailgun t1"
    )


@pytest.mark.parametrize(
    ("kind", "payload"),
    [
        ("mailgun", {"event-data": {"event": "failed", "recipient": "a@x.org"}}),
        ("postmark", {"RecordType": "Bounce", "Email": "a@x.org"}),
        (
            "ses",
            {**SES, "bounce": {"bouncedRecipients": [{"emailAddress": "a@x.org"}]}},
        ),
    ],
)
def test_event_without_an_identifier_has_no_key(kind: str, payload: dict):
    (event,) = parse(kind, payload)
    assert event.key == ""


def test_ses_key_is_the_feedback_or_the_time_or_the_mail():
    bounce = {"bouncedRecipients": [{"emailAddress": "A@x.org"}]}
    (event,) = parse("ses", {**SES, "bounce": bounce, "mail": {"messageId": "m"}})
    assert event.key == "ses m a@x.org"
    bounce["timestamp"] = 5
    (event,) = parse("ses", {**SES, "bounce": bounce})
    assert event.key == "ses 5 a@x.org"
    (event,) = parse("ses", {**SES, "bounce": {**bounce, "feedbackId": "one"}})
    assert event.key == "ses one a@x.org"


@pytest.mark.parametrize(
    ("kind", "payload"),
    [
        ("ses", {"notificationType": LONG}),
        (
            "ses",
            {
                **SES,
                "bounce": {
                    "bounceType": LONG,
                    "bouncedRecipients": [{"emailAddress": "a@x.org"}],
                },
            },
        ),
        ("sendgrid", {"event": LONG, "email": "a@x.org"}),
        ("mailgun", {"event": LONG}),
        ("mailgun", {"event": "dropped", "recipient": "a@x.org", "reason": LONG}),
        ("postmark", {"RecordType": LONG}),
        ("postmark", {"RecordType": "Bounce", "Email": "a@x.org", "Type": LONG}),
    ],
)
def test_kinds_and_notes_are_bounded(kind: str, payload: dict):
    batch = KINDS[kind].parse(json.dumps(payload).encode(), {}, NOW)
    (text,) = [*batch.ignored, *(event.note for event in batch.events)]
    assert len(text) == 40


@pytest.mark.parametrize(
    "url",
    [
        "",
        "http://sns.us-east-1.amazonaws.com/",
        "https://sns.us-east-1.amazonaws.com.example.com/",
        "https://example.com/sns.us-east-1.amazonaws.com/",
        "javascript:alert(1)",
    ],
)
def test_confirmation_url_of_another_host_is_skipped(url: str):
    body = json.dumps({"Type": "SubscriptionConfirmation", "SubscribeURL": url})
    batch = ses.parse(body.encode(), {}, NOW)
    assert (batch.confirm_url, len(batch.skipped)) == ("", 1)


def test_listed_addresses_of_providers_are_added_only_if_unknown():
    (dropped,) = parse(
        "sendgrid",
        [{"email": "a@example.com", "event": "dropped", "reason": "Bounced Address"}],
    )
    (suppressed,) = parse(
        "mailgun",
        {
            "event-data": {
                "event": "failed",
                "severity": "permanent",
                "reason": "suppress-bounce",
                "recipient": "a@example.com",
                "delivery-status": {"code": 605},
            }
        },
    )
    assert dropped.only_if_unknown
    assert suppressed.only_if_unknown


@pytest.mark.parametrize(
    ("timestamp", "created"),
    [
        (1329300000, 1329300000),
        ("1329300000", 1329300000),
        (1329300000.75, 1329300000),
        (1329300000750, 1329300000),
        ("2012-02-15T10:00:00Z", 1329300000),
        ("2012-02-15T05:00:00.1234567-05:00", 1329300000),
        (NOW + 86_400, NOW + 86_400),
        (NOW + 86_401, NOW),
        (-1, NOW),
        (10**400, NOW),
        ("nan", NOW),
        ("inf", NOW),
        ("yesterday", NOW),
        (None, NOW),
        (True, NOW),
        ([], NOW),
    ],
)
def test_time_of_an_event(timestamp, created):
    (event,) = parse(
        "sendgrid",
        [{"email": "a@example.com", "event": "bounce", "timestamp": timestamp}],
    )
    assert event.created == created


@pytest.mark.parametrize(
    "email",
    [
        "",
        "a",
        "@",
        "a@",
        "@b",
        "a@b@c",
        "a b@example.com",
        "a\n@example.com",
        "a" * 320 + "@example.com",
        5,
        None,
        [],
    ],
)
def test_invalid_address_is_skipped(email):
    batch = sendgrid.parse(
        json.dumps([{"email": email, "event": "bounce"}]).encode(), {}, NOW
    )
    assert not batch.events
    assert len(batch.skipped) == 1


def test_long_keys_are_hashed():
    event = {"email": "a@example.com", "event": "bounce"}
    first, second = parse(
        "sendgrid", [{**event, "reason": "x" * 500 + end} for end in "ab"]
    )
    assert len(first.key) == 64
    assert first.key != second.key


def test_mail_is_a_kind():
    raw = (FOLDER.parent / "mails" / "exim.eml").read_bytes()
    assert [event.email for event in KINDS["mail"].parse(raw, {}, NOW).events] == [
        "ike@example.org"
    ]


def test_reason_is_one_bounded_line():
    (event,) = parse(
        "sendgrid",
        [
            {
                "email": "a@example.com",
                "event": "bounce",
                "reason": "550 a\r\n\x00b " + "c" * 5000,
            }
        ],
    )
    assert event.reason.startswith("550 a b c")
    assert len(event.reason) == 1000


def test_subscription_to_confirm_is_reported():
    url = "https://sns.us-east-1.amazonaws.com/?Action=ConfirmSubscription"
    batch = ses.parse(
        json.dumps({"Type": "SubscriptionConfirmation", "SubscribeURL": url}).encode(),
        {},
        NOW,
    )
    assert batch.confirm_url == url


@pytest.mark.parametrize("kind", WEBHOOKS)
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"\xff\xfe",
        b"17",
        b'"a"',
        b"[" * 100_000,
        b"1" * 5000,
        b'{"a":' * 50_000,
    ],
)
def test_unreadable_body_is_one_error(kind: str, body: bytes):
    with pytest.raises(PayloadError):
        KINDS[kind].parse(body, {}, NOW)


SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9)
FIELDS = st.sampled_from(
    [
        "email",
        "event",
        "type",
        "status",
        "reason",
        "timestamp",
        "signature",
        "event-data",
        "recipient",
        "delivery-status",
        "code",
        "message",
        "severity",
        "flags",
        "Type",
        "Message",
        "bounce",
        "bouncedRecipients",
        "notificationType",
        "bounceType",
        "RecordType",
        "Email",
        "Details",
    ]
)
VALUES = (
    st.sampled_from(["bounce", "failed", "Bounce", "Permanent", "a@example.com"])
    | SCALARS
)
SECTIONS = st.dictionaries(FIELDS, VALUES, max_size=5)
OBJECTS = st.dictionaries(
    FIELDS, VALUES | SECTIONS | st.lists(SECTIONS, max_size=2), max_size=6
)


@pytest.mark.slow
@pytest.mark.parametrize("kind", WEBHOOKS)
@given(payload=OBJECTS | st.lists(OBJECTS, max_size=3))
def test_any_json_is_read_or_refused(kind: str, payload):
    try:
        batch = KINDS[kind].parse(json.dumps(payload).encode(), {}, NOW)
    except PayloadError:
        return
    assert all("@" in event.email and event.status for event in batch.events)


@pytest.mark.parametrize("kind", WEBHOOKS)
@given(
    body=st.binary(max_size=300),
    content_type=st.sampled_from(
        [
            "",
            "application/json",
            "application/x-www-form-urlencoded",
            "multipart/form-data; boundary=b",
            "multipart/form-data",
        ]
    ),
)
def test_any_bytes_are_read_or_refused(kind: str, body: bytes, content_type: str):
    try:
        KINDS[kind].parse(body, {"Content-Type": content_type}, NOW)
    except PayloadError:
        return


def test_error_of_a_form_has_no_text_of_python():
    """The boundary is given twice, with and without a number."""
    fields = {"Content-Type": "multipart/form-data; boundary*=b; boundary*0*=c"}
    with pytest.raises(PayloadError, match="^the form has a header field that cannot"):
        KINDS["mailgun"].parse(b"--b--", fields, NOW)


def test_number_of_events_is_limited(monkeypatch):
    for module in (sendgrid, ses):
        monkeypatch.setattr(module, "MAX_EVENTS", 2)
    assert sendgrid.parse(b"[{}, {}]", {}, NOW).skipped
    with pytest.raises(PayloadError, match="more than 2 events"):
        sendgrid.parse(b"[{}, {}, {}]", {}, NOW)

    recipients = [{"emailAddress": f"{number}@example.org"} for number in range(3)]
    bounce = {"bounceType": "Permanent", "bouncedRecipients": recipients}
    batch = ses.read_notification({"eventType": "Bounce", "bounce": bounce}, NOW, 2)
    assert len(batch.events) == 2
    assert batch.skipped == ("bouncedRecipients: has more than 2 recipients",)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("2012-02-15T10:00:00.5Z", 1329300000.5),
        ("1329300000".zfill(64), 1329300000),
        ("1329300000".zfill(65), None),
        (".1" * 1_000_000, None),
    ],
)
def test_timestamps_are_bounded(text: str, seconds: float | None):
    start = time.process_time()
    assert read_seconds(text) == seconds
    assert time.process_time() - start < 0.2
