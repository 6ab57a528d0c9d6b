"""``/_sources/NAME``: verified requests become bounces, other requests are refused."""

import base64
import hashlib
import hmac
import json
import logging
import os
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from conftest import NOW, FixedClock, make_app
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID
from flask import Flask
from flask.testing import FlaskClient

from sendgrid_bounces import auth, seeding
from sendgrid_bounces.control.service import Control
from sendgrid_bounces.core.attempts import MAX_ATTEMPTS
from sendgrid_bounces.core.bounces import BounceQuery
from sendgrid_bounces.core.errors import StorageError
from sendgrid_bounces.core.sources import Source, SourceCounts, SourceSettings
from sendgrid_bounces.emulator import EXTENSION, Emulator
from sendgrid_bounces.receiving import views
from sendgrid_bounces.schemas.sources import read_source
from sendgrid_bounces.sources import KINDS, kinds
from sendgrid_bounces.sources.sendgrid import SIGNATURE, TIMESTAMP
from sendgrid_bounces.storage.clock import SharedClock
from sendgrid_bounces.storage.sources import SourceStore

MAILS = Path(__file__).parent.parent / "mails"
EXIM = (MAILS / "exim.eml").read_bytes()  # ike@example.org failed
TOKEN = {"Authorization": "Bearer s3cret"}
MAILGUN_KEY = "mailgun-signing-key"
NOT_READY = {"error": "the source cannot accept requests now"}

SENDGRID_KEY = ec.generate_private_key(ec.SECP256R1())
PUBLIC_KEY = base64.b64encode(
    SENDGRID_KEY.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
).decode()

RSA = rsa.generate_private_key(65537, 2048)
RSA_KEY = base64.b64encode(
    RSA.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
)


def certify(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) -> bytes:
    """Return a certificate in PEM."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "sns.example.com")])
    start = datetime(2024, 1, 1, tzinfo=timezone.utc)
    builder = x509.CertificateBuilder(
        name, name, key.public_key(), 1, start, start + timedelta(days=3650)
    )
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


RSA_CERTIFICATE, EC_CERTIFICATE = certify(RSA), certify(SENDGRID_KEY)

BOUNCE = {
    "email": "ada@example.org",
    "event": "bounce",
    "type": "bounce",
    "status": "5.1.1",
    "reason": "550 5.1.1 unknown",
    "timestamp": NOW - 60,
}
POSTMARK = {
    "RecordType": "Bounce",
    "Type": "HardBounce",
    "Email": "ada@example.org",
    "ID": 7,
    "Details": "smtp;550 5.1.1 unknown",
    "BouncedAt": "2012-02-15T11:59:00Z",
}
SES = {
    "notificationType": "Bounce",
    "bounce": {
        "bounceType": "Permanent",
        "feedbackId": "f1",
        "timestamp": "2012-02-15T11:59:00.000Z",
        "bouncedRecipients": [
            {"emailAddress": "ada@example.org", "diagnosticCode": "smtp; 550 5.1.1 no"}
        ],
    },
}


@pytest.fixture(name="app")
def _app(url: str, clock: FixedClock, tmp_path: Path, monkeypatch) -> Iterator[Flask]:
    """An application with a source of each kind, and control endpoints off."""
    app = make_app(url, clock)
    emulator: Emulator = app.extensions[EXTENSION]
    emulator.storage.accounts.add("acme")
    (tmp_path / "key").write_text(f"{MAILGUN_KEY}\n")
    monkeypatch.setenv("SES_TOKEN", "s3cret")
    for fields in (
        {"kind": "mail", "token": "s3cret"},
        {"kind": "mailgun", "key_file": str(tmp_path / "key")},
        {"kind": "postmark", "token": "s3cret"},
        {"kind": "sendgrid", "key": PUBLIC_KEY},
        {"kind": "ses", "token_variable": "SES_TOKEN"},
    ):
        seed = read_source({"name": fields["kind"], "owner": "acme", **fields})
        hashed = seeding.hash_token(emulator.storage, emulator.authenticator, seed)
        seeding.apply_source(emulator.storage, hashed)
    yield app
    emulator.storage.close()


@pytest.fixture(name="storage")
def _storage(app: Flask):
    return app.extensions[EXTENSION].storage


def listed(app: Flask) -> list[str]:
    storage = app.extensions[EXTENSION].storage
    bounce_list = storage.accounts.get("acme").bounce_list
    found = storage.bounces.find_brief(bounce_list, BounceQuery())
    return [row[0] for rows in found for row in rows]


def source(app: Flask, name: str) -> Source:
    return app.extensions[EXTENSION].storage.sources.get(name)


def sign(body: bytes, timestamp: str = "1329307200") -> dict[str, str]:
    signature = SENDGRID_KEY.sign(timestamp.encode() + body, ec.ECDSA(hashes.SHA256()))
    return {SIGNATURE: base64.b64encode(signature).decode(), TIMESTAMP: timestamp}


def post_sendgrid(client: FlaskClient, *events: object):
    body = json.dumps(events).encode() + b"\r\n"
    return client.post("/_sources/sendgrid", data=body, headers=sign(body))


def mailgun_body(token: str, timestamp: int = NOW, **changes: object) -> bytes:
    digest = hmac.new(
        MAILGUN_KEY.encode(), f"{timestamp}{token}".encode(), hashlib.sha256
    ).hexdigest()
    signature = {"timestamp": f"{timestamp}", "token": token, "signature": digest}
    event = {
        "event": "failed",
        "severity": "permanent",
        "reason": "bounce",
        "recipient": "ada@example.org",
        "timestamp": NOW - 60,
        "delivery-status": {"code": 550, "message": "5.1.1 unknown"},
        **changes,
    }
    return json.dumps({"signature": signature, "event-data": event}).encode()


#: A request of each kind: the body and the header fields.
REQUESTS = {
    "mail": (EXIM, TOKEN),
    "mailgun": (mailgun_body("t" * 50), {}),
    "postmark": (json.dumps(POSTMARK).encode(), TOKEN),
    "sendgrid": (json.dumps([BOUNCE]).encode(), sign(json.dumps([BOUNCE]).encode())),
    "ses": (json.dumps(SES).encode(), TOKEN),
}


def test_every_kind_has_a_request():
    assert set(REQUESTS) == set(KINDS) == set(kinds.KINDS)


@pytest.mark.parametrize("kind", KINDS)
def test_event_is_listed_once(app: Flask, kind: str):
    client, (body, headers) = app.test_client(), REQUESTS[kind]
    first, again = (
        client.post(f"/_sources/{kind}", data=body, headers=headers) for _ in range(2)
    )

    assert (first.status_code, first.json["listed"]) == (200, 1)
    assert again.json == {"listed": 0, "known": 1, "ignored": 0, "skipped": 0}
    assert len(listed(app)) == 1
    found = source(app, kind)
    assert found.counts == SourceCounts(listed=1, known=1)
    assert (found.last_event, found.last_problem) == (NOW, None)


@pytest.mark.parametrize("kind", KINDS)
def test_content_type_does_not_matter(app: Flask, kind: str):
    body, headers = REQUESTS[kind]
    for content_type in ("", "text/plain", "application/json"):
        answer = app.test_client().post(
            f"/_sources/{kind}", data=body, headers=headers, content_type=content_type
        )
        assert answer.json["listed"] + answer.json["known"] == 1


@pytest.mark.parametrize("kind", KINDS)
def test_probe_by_any_method_succeeds_without_effect(app: Flask, kind: str):
    body, headers = REQUESTS[kind]
    for method in ("GET", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE"):
        answer = app.test_client().open(
            f"/_sources/{kind}", method=method, data=body, headers=headers
        )
        assert answer.status_code == 200
        if method != "HEAD":
            assert answer.json == {"source": kind, "kind": kind}
    assert (listed(app), source(app, kind).counts) == ([], SourceCounts())


@pytest.mark.parametrize("method", ["GET", "POST", "PUT"])
def test_unknown_source_is_not_found(app: Flask, storage, method: str):
    storage.sources.add("bounces receive acme", "acme", "mail", SourceSettings())
    client = app.test_client()
    for name in ("absent", "MAIL", "bounces receive acme"):
        answer = client.open(f"/_sources/{name}", method=method, headers=TOKEN)
        assert answer.status_code == 404
        assert answer.json == {"error": f"there is no source {name!r}"}


REFUSALS = [
    ("mail", EXIM, {}, 401, "the Authorization header is missing"),
    ("mail", EXIM, {"Authorization": "Bearer wr0ng"}, 401, "the token is wrong"),
    ("mail", EXIM, {"Authorization": "Basic \xff"}, 401, "is not valid base64"),
    ("mail", EXIM, {"Authorization": "Basic Ojr/"}, 401, "the token is wrong"),
    ("ses", b"{}", {"Authorization": "Bearer wr0ng"}, 401, "the token is wrong"),
    ("ses", b"{", TOKEN, 400, "the body is not valid JSON"),
    ("postmark", b"[]", TOKEN, 400, "must be a JSON object"),
    ("sendgrid", b"[]", {}, 401, "the signature or its timestamp is missing"),
    ("sendgrid", b"[]", sign(b"[ ]"), 401, "does not match"),
    ("sendgrid", b"[", sign(b"["), 400, "the body is not valid JSON"),
    ("sendgrid", b"[]", sign(b"[]", f"{NOW - 172_801}"), 401, "older than 48 hours"),
    ("mailgun", b"{}", {}, 406, "the signature, its token or its timestamp"),
    ("mailgun", b"{", {}, 406, "the body is not valid JSON"),
    ("mailgun", mailgun_body("t", NOW - 172_801), {}, 406, "older than 48 hours"),
    (
        "mailgun",
        mailgun_body("t").replace(b"1329307200", b"1329307201"),
        {},
        406,
        "not",
    ),
]


@pytest.mark.parametrize(
    ("kind", "body", "headers", "status", "reason"),
    REFUSALS,
    ids=[f"{kind}-{status}-{i}" for i, (kind, _, _, status, _) in enumerate(REFUSALS)],
)
def test_refused_request_is_counted_with_its_reason(
    app: Flask, caplog, kind, body, headers, status, reason
):
    with caplog.at_level(logging.WARNING):
        answer = app.test_client().post(f"/_sources/{kind}", data=body, headers=headers)
    assert answer.status_code == status
    assert reason in answer.json["error"]
    assert ("WWW-Authenticate" in answer.headers) is (status == 401)
    found = source(app, kind)
    assert found.counts == SourceCounts(refused=1)
    assert (found.last_problem, found.last_event) == (NOW, None)
    assert found.problem == answer.json["error"]
    assert f"source {kind}: refused: {found.problem}" in caplog.text
    assert "s3cret" not in caplog.text
    assert listed(app) == []


def test_unverified_request_is_not_parsed(app: Flask, monkeypatch):
    def fail(*_: object) -> None:
        raise AssertionError

    for kind in ("mail", "postmark", "sendgrid", "ses"):
        unparsed = kinds.Kind(kinds.KINDS[kind].verify, fail)
        monkeypatch.setitem(kinds.KINDS, kind, unparsed)
        answer = app.test_client().post(f"/_sources/{kind}", data=b"{" * 9)
        assert answer.status_code == 401


def test_elements_are_skipped_and_logged(app: Flask, caplog):
    events = [7, {"event": "bounce"}, BOUNCE, {"email": "x@y", "event": "open"}]
    with caplog.at_level(logging.WARNING):
        answer = post_sendgrid(app.test_client(), *events)
    assert answer.json == {"listed": 1, "known": 0, "ignored": 1, "skipped": 2}
    assert "source sendgrid: event 0: must be an object" in caplog.text
    found = source(app, "sendgrid")
    assert found.problem == "event 0: must be an object"
    assert (found.last_event, found.last_problem) == (NOW, NOW)


def test_log_of_a_request_is_bounded(app: Flask, caplog):
    with caplog.at_level(logging.WARNING):
        post_sendgrid(app.test_client(), *range(100))
    assert len(caplog.records) == views.MAX_LOGGED


@pytest.mark.parametrize(
    ("changes", "counter"),
    [
        ({"type": "blocked"}, "ignored"),
        ({"type": "expired"}, "ignored"),
        ({"event": "deferred"}, "ignored"),
        ({"event": "spamreport"}, "ignored"),
        ({"status": "4.2.2", "reason": "452 4.2.2 full"}, "listed"),
    ],
)
def test_only_given_up_failures_are_listed(app: Flask, changes: dict, counter: str):
    answer = post_sendgrid(app.test_client(), {**BOUNCE, **changes})
    assert answer.json[counter] == 1
    assert len(listed(app)) == (counter == "listed")


def test_drop_of_a_listed_address_keeps_its_bounce(app: Flask, storage):
    client = app.test_client()
    post_sendgrid(client, BOUNCE)
    drop = {"email": "ada@example.org", "event": "dropped", "reason": "Bounced Address"}
    assert post_sendgrid(client, {**drop, "timestamp": NOW}).json["known"] == 1
    other = {**drop, "email": "bob@example.org", "timestamp": NOW}
    assert post_sendgrid(client, other).json["listed"] == 1


def test_captured_signature_of_mailgun_carries_no_other_event(app: Flask):
    client = app.test_client()
    client.post("/_sources/mailgun", data=mailgun_body("t", event="delivered"))
    answer = client.post("/_sources/mailgun", data=mailgun_body("t"))
    assert answer.json == {"listed": 0, "known": 1, "ignored": 0, "skipped": 0}
    assert client.post("/_sources/mailgun", data=mailgun_body("u")).json["listed"] == 1


def test_subscription_is_confirmed_by_a_person(app: Flask):
    client = app.test_client()
    url = "https://sns.eu-west-1.amazonaws.com/?Action=ConfirmSubscription&Token=1"
    subscription = {"Type": "SubscriptionConfirmation", "SubscribeURL": url}
    client.post("/_sources/ses", json=subscription, headers=TOKEN)
    assert source(app, "ses").confirm_url == url

    client.post("/_sources/ses", json=SES, headers=TOKEN)
    assert source(app, "ses").confirm_url == ""


def test_deletion_holds_against_a_repeat(app: Flask, clock: FixedClock, storage):
    client = app.test_client()
    post_sendgrid(client, BOUNCE)
    bounce_list = storage.accounts.get("acme").bounce_list
    storage.bounces.delete(bounce_list, BounceQuery(), clock=clock)
    clock.instant = NOW + 3600
    repeat = {**BOUNCE, "reason": "a new wording"}

    assert post_sendgrid(client, BOUNCE, repeat).json["known"] == 2
    assert post_sendgrid(client, {**BOUNCE, "timestamp": NOW + 1}).json["listed"] == 1


@pytest.mark.parametrize("shown", [-(10**6), 10**6], ids=["behind", "ahead"])
@pytest.mark.parametrize("kind", ["sendgrid", "mailgun"])
def test_replay_after_a_change_of_the_clock_has_no_effect(
    app: Flask, clock: FixedClock, storage, kind: str, shown: int
):
    """Keys of events, like ages of signatures, are kept by the system's time."""
    client, (body, headers) = app.test_client(), REQUESTS[kind]

    def post():
        clock.instant += 1
        return client.post(f"/_sources/{kind}", data=body, headers=headers).json

    assert post()["listed"] == 1
    bounce_list = storage.accounts.get("acme").bounce_list
    storage.bounces.delete(bounce_list, BounceQuery(), clock=clock)
    shared = SharedClock(storage.clock, clock)
    replace(app.extensions[EXTENSION], clock=shared).attach(app)
    Control(app.extensions[EXTENSION]).freeze(NOW + shown)
    assert [post()["known"], post()["known"]] == [1, 1]
    assert listed(app) == []


@pytest.mark.parametrize(
    ("kind", "break_", "reason"),
    [
        ("mailgun", lambda path: path.unlink(), "No such file or directory"),
        ("mailgun", lambda path: path.write_text(" \n"), "the file is empty"),
        ("mailgun", lambda path: path.write_bytes(b"\xff"), "not UTF-8"),
        ("mailgun", lambda path: (path.unlink(), path.mkdir()), "not a file"),
        *(
            (
                "mailgun",
                lambda path, name=name: (path.unlink(), path.symlink_to(name)),
                "belongs to the database itself",
            )
            for name in ("bounces.sqlite3", "bounces.sqlite3-wal")
        ),
    ],
)
def test_unreadable_secret_asks_for_a_repeat(
    app: Flask, tmp_path: Path, kind: str, break_, reason: str
):
    break_(tmp_path / "key")
    body, headers = REQUESTS[kind]
    answer = app.test_client().post(f"/_sources/{kind}", data=body, headers=headers)
    assert (answer.status_code, answer.json) == (503, NOT_READY)
    found = source(app, kind)
    assert found.counts.refused == 1
    assert reason in found.problem


def test_unset_variable_asks_for_a_repeat(app: Flask, caplog, monkeypatch):
    """The log has the reason, but not the response: a stranger can send the request."""
    monkeypatch.delenv("SES_TOKEN")
    answer = app.test_client().post("/_sources/ses", json=SES, headers=TOKEN)
    assert (answer.status_code, answer.json) == (503, NOT_READY)
    problem = "the variable SES_TOKEN with the token is not set"
    assert source(app, "ses").problem == problem
    assert f"source ses: refused: {problem}" in caplog.text


@pytest.mark.parametrize(
    ("kind", "secret", "problem"),
    [
        ("sendgrid", b"AAAA", "public key is invalid"),
        ("sendgrid", RSA_KEY, "public key is not an elliptic curve key"),
        ("sendgrid", b"\xff", "the variable WEBHOOK_KEY with the key is not UTF-8"),
        ("mailgun", b"\xff", "the variable WEBHOOK_KEY with the key is not UTF-8"),
        ("ses", b"no PEM", "the certificate is invalid"),
        ("ses", EC_CERTIFICATE, "the certificate has no RSA key"),
    ],
)
def test_invalid_secret_asks_for_a_repeat(
    app: Flask, storage, tmp_path, monkeypatch, kind: str, secret: bytes, problem: str
):
    """The sender is not at fault, and the response does not describe the secret."""
    (tmp_path / "certificate").write_bytes(secret)
    monkeypatch.setenv("WEBHOOK_KEY", os.fsdecode(secret))
    settings = SourceSettings(key_variable="WEBHOOK_KEY")
    if kind == "ses":
        settings = SourceSettings(certificate_file=str(tmp_path / "certificate"))
    storage.sources.add("invalid", "acme", kind, settings)
    body = REQUESTS[kind][0]
    answer = app.test_client().post(
        "/_sources/invalid", data=body, headers=sign(body) if kind == "sendgrid" else {}
    )
    assert (answer.status_code, answer.json) == (503, NOT_READY)
    assert problem in source(app, "invalid").problem


@pytest.mark.parametrize("kind", ["mailgun", "ses", "ses-certificate"])
@pytest.mark.parametrize("text", [r'"\ud800"', '"\ud800"'], ids=["escaped", "encoded"])
def test_half_of_a_character_is_no_server_error(
    app: Flask, storage, tmp_path, kind: str, text: str
):
    """Such text comes from an escape in JSON, or from bytes that are not UTF-8."""
    (tmp_path / "certificate").write_bytes(RSA_CERTIFICATE)
    settings = SourceSettings(certificate_file=str(tmp_path / "certificate"))
    storage.sources.add("ses-certificate", "acme", "ses", settings)
    body = (
        '{"signature": {"timestamp": TEXT, "token": TEXT, "signature": "%s"},'
        ' "Type": "SubscriptionConfirmation", "Message": TEXT, "Signature": "",'
        ' "SubscribeURL": "https://sns.x.amazonaws.com/\\ud800"}' % ("0" * 64)
    ).replace("TEXT", text)
    answer = app.test_client().post(
        f"/_sources/{kind}", data=body.encode(errors="surrogatepass"), headers=TOKEN
    )
    expected = {"mailgun": 406, "ses": 200, "ses-certificate": 401}
    assert answer.status_code == expected[kind]


def test_missing_library_asks_for_a_repeat(app: Flask, monkeypatch):
    def verify(*_: object) -> None:
        raise ModuleNotFoundError(name="cryptography")

    kind = kinds.Kind(verify, kinds.KINDS["sendgrid"].parse)
    monkeypatch.setitem(kinds.KINDS, "sendgrid", kind)
    answer = post_sendgrid(app.test_client(), BOUNCE)
    assert (answer.status_code, answer.json) == (503, NOT_READY)
    problem = source(app, "sendgrid").problem
    assert "pip install cryptography" in problem


@pytest.mark.parametrize("method", ["receive", "get", "refuse"])
def test_database_failure_asks_for_a_repeat(app: Flask, monkeypatch, method: str):
    def fail(*_: object, **__: object) -> None:
        raise StorageError("disk full: secret path")

    monkeypatch.setattr(SourceStore, method, fail)
    headers = {} if method == "refuse" else TOKEN
    answer = app.test_client().post("/_sources/mail", data=EXIM, headers=headers)
    assert answer.status_code == (401 if method == "refuse" else 503)
    assert "secret path" not in answer.text


def test_absent_owner_asks_for_a_repeat(app: Flask, storage):
    storage.engine.execute("UPDATE source SET owner = 'gone' WHERE name = 'mail'")
    answer = app.test_client().post("/_sources/mail", data=EXIM, headers=TOKEN)
    assert (answer.status_code, answer.json) == (503, NOT_READY)
    assert source(app, "mail").problem == "there is no account or domain 'gone'"


@pytest.mark.parametrize(
    ("kind", "most"),
    [
        ("mail", kinds.MAX_BODY),
        ("postmark", kinds.MAX_BODY),
        ("sendgrid", kinds.MAX_BATCH_BODY),
        ("mailgun", kinds.MAX_UNVERIFIED_BODY),
        ("ses", kinds.MAX_UNVERIFIED_BODY),
    ],
)
def test_large_body_is_refused(app: Flask, kind: str, most: int):
    """The limit is lower for bodies that are parsed before they are verified."""
    client = app.test_client()
    for size, statuses in ((most, {400, 401, 406}), (most + 1, {413})):
        answer = client.post(f"/_sources/{kind}", data=b"x" * size)
        assert answer.status_code in statuses
    assert answer.json == {"error": f"the body exceeds {most} bytes"}


def test_batch_is_stored_in_one_transaction(app: Flask, monkeypatch):
    def fail(*_: object, **__: object) -> None:
        raise StorageError("away")

    monkeypatch.setattr(SourceStore, "record", fail)
    assert post_sendgrid(app.test_client(), BOUNCE).status_code == 503
    assert listed(app) == []
    monkeypatch.undo()
    assert post_sendgrid(app.test_client(), BOUNCE).json["listed"] == 1


def test_verified_token_is_cached(app: Flask, monkeypatch):
    client = app.test_client()
    client.post("/_sources/mail", data=EXIM, headers=TOKEN)
    monkeypatch.setattr(auth, "check_password_hash", None)
    assert client.post("/_sources/mail", data=EXIM, headers=TOKEN).status_code == 200


@pytest.mark.parametrize("name", ["mail", "ses"])
def test_wrong_tokens_are_limited(app: Flask, name: str):
    """Whether the database has a hash of the token, or a variable has the token."""
    client = app.test_client()

    def call(token: str) -> int:
        headers = {"Authorization": f"Bearer {token}"}
        return client.post(f"/_sources/{name}", data=b"{}", headers=headers).status_code

    statuses = [call(f"wrong {n}") for n in range(MAX_ATTEMPTS)]
    assert set(statuses) == {401}
    assert {call("another"), call("s3cret")} == {429}


def test_control_endpoints_do_not_log_events(url: str, clock: FixedClock):
    app = make_app(url, clock, CONTROL="on")
    client = app.test_client()
    client.post("/_sources/absent", data=b"x")
    assert client.get("/_emulator/requests/count").json == {"count": 0}
    app.extensions[EXTENSION].storage.close()
