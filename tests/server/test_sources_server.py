"""Real bounces reach the list of a running server: piped mails and signed webhooks."""

import base64
import http.client
import json
import subprocess
import threading
import time
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import QUICK_HASH
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from live import COMMAND, TIMEOUT, Live, named, serving

from sendgrid_bounces.cli.remote import RemoteControl
from sendgrid_bounces.sources.sendgrid import SIGNATURE, TIMESTAMP

pytestmark = pytest.mark.server

EXIM = (Path(__file__).parent.parent / "mails" / "exim.eml").read_bytes()
CALL = "api_user=acme&api_key=s3cret"
XML = f"/api/bounces.get.xml?{CALL}"
COUNT = f"/api/bounces.count.json?{CALL}"
DELETE = f"/api/bounces.delete.json?{CALL}&email=ada@example.org"
NOON = 1_329_307_200

KEY = ec.generate_private_key(ec.SECP256R1())
PUBLIC_KEY = base64.b64encode(
    KEY.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
).decode()
SEED = {
    "accounts": [{"username": "acme", "api_key": "s3cret"}],
    "sources": [
        {"name": "hook", "owner": "acme", "kind": "sendgrid", "key": PUBLIC_KEY}
    ],
}


@pytest.fixture(name="live")
def _live(database_url: str, tmp_path: Path) -> Iterator[Live]:
    """A server with two workers, an account and a signed webhook."""
    (tmp_path / "seed.json").write_text(json.dumps(SEED))
    seed = str(tmp_path / "seed.json")
    with serving("--database", database_url, "--seed", seed) as live:
        yield live


def run(*args: str, stdin: bytes = b"", **settings: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [*COMMAND, *args],
        input=stdin,
        capture_output=True,
        env=named(KEY_HASH=QUICK_HASH, **settings),
        timeout=TIMEOUT,
        check=False,
    )


def event(**changes: object) -> dict[str, object]:
    known = {"email": "ada@example.org", "event": "bounce", "type": "bounce"}
    facts = {"status": "5.1.1", "reason": "550 no", "timestamp": NOON}
    return {**known, **facts, **changes}


def post(live: Live, *events: object, signed: float = 0) -> tuple[int, dict]:
    body, moment = json.dumps(events).encode() + b"\r\n", f"{signed or time.time():.0f}"
    signature = KEY.sign(moment.encode() + body, ec.ECDSA(hashes.SHA256()))
    headers = {SIGNATURE: base64.b64encode(signature).decode(), TIMESTAMP: moment}
    connection = http.client.HTTPConnection(*live.address, timeout=TIMEOUT)
    try:
        connection.request("POST", "/_sources/hook", body, headers)
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())
    finally:
        connection.close()


def emails(live: Live) -> list[str]:
    root = ET.fromstring(live.get(XML))
    return [element.text or "" for element in root.iter("email")]


def test_piped_mail_and_signed_webhook_reach_the_list(
    live: Live, database_url: str
) -> None:
    ended = run("bounces", "receive", "acme", stdin=EXIM, DATABASE_URL=database_url)
    assert (ended.returncode, ended.stderr) == (0, b"")
    assert emails(live) == ["ike@example.org"]

    assert post(live, event(timestamp=NOON + 10**9))[0] == 200
    assert sorted(emails(live)) == ["ada@example.org", "ike@example.org"]


def test_46_repeats_within_30_hours_leave_one_row_until_it_is_deleted(
    live: Live,
) -> None:
    """The clock of the emulator advances by 40 minutes before each repeat."""
    control = RemoteControl(live.url)
    control.freeze(NOON)
    assert post(live, event())[1]["listed"] == 1
    for repeat in range(1, 46):
        control.advance(40 * 60)
        answer = post(live, event(sg_event_id=f"{repeat}"))
        assert answer == (200, {"listed": 0, "known": 1, "ignored": 0, "skipped": 0})
        assert emails(live) == (["ada@example.org"] if repeat < 20 else [])
        if repeat == 19:
            assert "success" in live.get(DELETE)
    assert post(live, event(timestamp=NOON + 29 * 3600))[1]["listed"] == 1
    assert emails(live) == ["ada@example.org"]


def test_age_of_a_signature_is_compared_with_the_system_time(live: Live) -> None:
    """The emulator's clock shows the time of the signature."""
    RemoteControl(live.url).freeze(NOON)
    assert post(live, event(), signed=NOON)[0] == 401
    assert post(live, event())[1]["listed"] == 1


def test_parallel_posts_of_the_same_events_list_them_once(live: Live) -> None:
    """SendGrid posts from several servers at once; two workers answer."""
    events = [event(email=f"{number}@example.org") for number in range(200)]
    answers: list[tuple[int, dict]] = []

    def send() -> None:
        answers.extend(post(live, *events) for _ in range(5))

    threads = [threading.Thread(target=send) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert [status for status, _ in answers] == [200] * 30
    assert sum(answer["listed"] for _, answer in answers) == 200
    assert live.get(COUNT) == '{"count": "200"}'
    (source,) = RemoteControl(live.url).sources()
    assert (source.counts.listed, source.counts.known) == (200, 29 * 200)


def test_mail_is_tried_again_while_the_database_is_away(tmp_path: Path) -> None:
    absent = f"sqlite:///{tmp_path / 'absent.sqlite3'}"
    ended = run("bounces", "receive", "acme", stdin=EXIM, DATABASE_URL=absent)
    assert ended.returncode == 75
    assert ended.stderr.count(b"\n") == 1
    away = "mysql://root@127.0.0.1:1/bounces"
    ended = run("bounces", "receive", "acme", stdin=EXIM, DATABASE_URL=away)
    assert ended.returncode == 75


def test_closed_output_does_not_fail_the_mail(database_url: str, live: Live) -> None:
    """A mail system that reads no output must not return the mail."""
    pipe = subprocess.Popen(
        [*COMMAND, "bounces", "receive", "acme"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=named(DATABASE_URL=database_url),
    )
    pipe.stdout.close()
    pipe.stderr.close()
    pipe.stdin.write(EXIM)
    pipe.stdin.close()
    assert pipe.wait(TIMEOUT) == 0
    assert emails(live) == ["ike@example.org"]
