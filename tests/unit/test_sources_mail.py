"""Bounce mails: one for each mail system and quirk, options, and hostile mails."""

import encodings
import json
import re
import time
from datetime import datetime, timezone
from email.utils import format_datetime
from io import BytesIO
from itertools import product
from pathlib import Path

import pytest
from conftest import measured_memory
from hypothesis import given
from hypothesis import strategies as st

from benchmarks import mail_recall
from sendgrid_bounces.sources.events import Permanence
from sendgrid_bounces.sources.mail import (
    MAX_RECIPIENTS,
    compile_verp,
    flufl,
    read_mail,
    reader,
    split_mails,
    text,
)
from sendgrid_bounces.sources.mail.addresses import find_addresses, read_recipient
from sendgrid_bounces.sources.mail.message import parse, strip_tags
from sendgrid_bounces.sources.mail.reader import UNREADABLE
from sendgrid_bounces.sources.status import choose_status, find_code, find_status

FOLDER = Path(__file__).parent.parent / "mails"
EXPECTED = json.loads((FOLDER / "EXPECTED.json").read_text("utf-8"))
NOW = 1_717_408_801  # 2024-06-03 10:00:01 UTC

HEAD = b"From: MAILER-DAEMON@mx.example.com\nTo: news@example.com\nSubject: failure notice\n"


def read(name: str, **options):
    return read_mail((FOLDER / name).read_bytes(), NOW, **options)


@pytest.fixture(params=["with flufl.bounce", "without flufl.bounce"])
def library(request, monkeypatch) -> None:
    """Run a test with flufl.bounce and without it."""
    if request.param == "without flufl.bounce":
        monkeypatch.setattr(flufl, "is_installed", lambda: False)
    elif not flufl.is_installed():
        pytest.skip("flufl.bounce is not installed")


def test_every_mail_is_expected():
    assert {path.name for path in FOLDER.glob("*.eml")} == set(EXPECTED)


@pytest.mark.usefixtures("library")
@pytest.mark.parametrize("name", EXPECTED)
def test_mail(name: str):
    batch = read(name)
    bounces = EXPECTED[name]["bounces"]
    assert {e.email for e in batch.events} == {bounce["email"] for bounce in bounces}
    assert not batch.skipped
    for event, bounce in zip(batch.events, bounces, strict=True):
        assert event.email == bounce["email"]
        assert bounce.get("status", event.status) == event.status
        assert bounce.get("code", event.code) == event.code
        assert event.is_listed is not bounce.get("temporary", False)
        assert event.guessed is not bool({"status", "code"} & bounce.keys())
    if not bounces:
        assert batch.ignored == {EXPECTED[name]["ignored"]: 1}


@pytest.mark.parametrize("line_end", [b"\r\n", b"\r"])
@pytest.mark.parametrize("name", EXPECTED)
def test_line_ends_make_no_difference(name: str, line_end: bytes):
    raw = (FOLDER / name).read_bytes()
    other = read_mail(raw.replace(b"\n", line_end), NOW)
    assert [e.email for e in other.events] == [e.email for e in read(name).events]


def test_recall_is_measured(tmp_path, capsys):
    assert mail_recall.main([str(FOLDER)]) == 0
    assert "recipients of all mails            100.0%" in capsys.readouterr().out
    (tmp_path / "a.eml").write_bytes((FOLDER / "exim.eml").read_bytes())
    (tmp_path / "EXPECTED.json").write_text(json.dumps({"a.eml": {"bounces": []}}))
    assert mail_recall.main([str(tmp_path), "--misses"]) == 1
    assert "listed: a.eml ike@example.org" in capsys.readouterr().out


def test_failures_of_class_4_are_temporary():
    hard, soft = read("postfix.eml").events
    assert (hard.permanence, soft.permanence) == (
        Permanence.PERMANENT,
        Permanence.TEMPORARY,
    )


def test_delays_are_not_listed():
    (event,) = read("postfix-delayed.eml").events
    assert (event.permanence, event.note) == (Permanence.NOT_LISTED, "delayed")


@pytest.mark.parametrize(
    ("text", "permanence"),
    [
        ("User unknown", Permanence.PERMANENT),
        ("Mailbox is full", Permanence.TEMPORARY),
        ("Account is over quota", Permanence.TEMPORARY),
        ("Connection timed out", Permanence.TEMPORARY),
        ("Host not found", Permanence.PERMANENT),
    ],
)
def test_class_of_a_text_without_codes_is_guessed(text: str, permanence: Permanence):
    (event,) = read_mail(HEAD + f"\n<a@example.org>:\n{text}\n".encode(), NOW).events
    assert event.permanence is permanence
    assert event.guessed


def test_transcript_of_another_attempt_does_not_change_the_class():
    raw = (FOLDER / "courier.eml").read_bytes().replace(b"550 5.1.1 <", b"554 <")
    raw = raw.replace(b"<<< 554", b"451 4.4.1 reply: read error\n<<< 554")
    (event,) = read_mail(raw, NOW).events
    assert (event.status, event.code) == ("5.0.0", "554")


def test_reason_is_the_diagnostic_without_its_type():
    reasons = [event.reason for event in read("postfix.eml").events]
    assert reasons[1] == "452 4.2.2 <bob@example.net>: Mailbox full"


def test_reason_of_free_text_follows_the_address():
    (event,) = read("gmail.eml").events
    assert event.reason.startswith(
        "Technical details of permanent failure: Google tried"
    )


def test_original_and_final_recipient():
    assert read("sendmail-alias.eml").events[0].email == "gwen@example.net"
    assert (
        read("sendmail-alias.eml", recipient="final").events[0].email
        == "gwen.old@internal.example.net"
    )


@pytest.mark.parametrize(
    ("offset", "is_taken"),
    [
        (0, True),
        (-7 * 86_400, True),
        (7 * 86_400, True),
        (-8 * 86_400, False),
        (8 * 86_400, False),
    ],
)
def test_date_near_the_receipt_is_taken(offset: int, is_taken: bool):
    date = format_datetime(datetime.fromtimestamp(NOW + offset, timezone.utc))
    (event,) = read_mail(
        f"Date: {date}\n".encode() + HEAD + b"\n<a@example.org>: 550 no\n", NOW
    ).events
    assert event.created == (NOW + offset if is_taken else NOW)


@pytest.mark.parametrize("zone", [" -0000", "", " GMT"])
def test_date_without_a_zone_is_utc(zone: str, monkeypatch: pytest.MonkeyPatch):
    mail = f"Date: Mon, 03 Jun 2024 09:00:01{zone}\n".encode() + HEAD
    monkeypatch.setenv("TZ", "America/New_York")
    time.tzset()
    try:
        (event,) = read_mail(mail + b"\n<a@example.org>: 550 no\n", NOW).events
    finally:
        monkeypatch.undo()
        time.tzset()
    assert event.created == NOW - 3_600


def test_key_is_of_message_and_recipient():
    first, second = read("postfix.eml").events
    assert first.key == "mail <20240603100001.4VtAb02@mx.example.com> ada@example.net"
    assert first.key != second.key
    assert read("postfix.eml").events[0].key == first.key


def test_key_without_message_id_is_of_the_bytes():
    keys = {
        read_mail(HEAD + b"\n<a@example.org>: 550 no" + end, NOW).events[0].key
        for end in (b"", b".", b".")
    }
    assert len(keys) == 2


class TestVerp:
    MAIL = (
        b"Delivered-To: bounces+ada.x=sub.example.org@lists.example.com\n"
        + HEAD
        + b"\n550 5.1.1 no such user\n"
    )

    def test_address_in_the_envelope(self):
        verp = compile_verp("bounces+{local}={domain}@lists.example.com")
        (event,) = read_mail(self.MAIL, NOW, verp=verp).events
        assert (event.email, event.status) == ("ada.x@sub.example.org", "5.1.1")

    @pytest.mark.parametrize(
        "pattern",
        [
            "bounces+{local}={domain}@example.com",
            "b-{local}={domain}@lists.example.com",
        ],
    )
    def test_other_address_is_not_taken(self, pattern: str):
        assert not read_mail(self.MAIL, NOW, verp=compile_verp(pattern)).events

    def test_automatic_reply_is_not_a_bounce(self):
        mail = b"Auto-Submitted: auto-replied\n" + self.MAIL.replace(
            b"MAILER-DAEMON", b"jack"
        )
        assert read_mail(
            mail, NOW, verp=compile_verp("bounces+{local}={domain}@lists.example.com")
        ).ignored == {"vacation": 1}

    @pytest.mark.parametrize(
        "pattern",
        [
            "",
            "bounces@example.com",
            "{local}@example.com",
            "{local}={domain}",
            "{local}{local}@{domain}",
        ],
    )
    def test_pattern_without_its_parts_is_rejected(self, pattern: str):
        with pytest.raises(ValueError, match="must be an address with"):
            compile_verp(pattern)


def test_mbox_is_split():
    mails = [
        b"From a@b.example Mon Jun  3 10:00:01 2024\n" + (FOLDER / name).read_bytes()
        for name in ("exim.eml", "qmail.eml")
    ]
    found = [
        read_mail(mail, NOW).events[0].email
        for mail in split_mails(BytesIO(b"\n".join(mails)))
    ]
    assert found == ["ike@example.org", "leo@example.org"]
    assert [*split_mails(BytesIO(mails[0][42:]))] == [mails[0][42:]]


@pytest.mark.parametrize("line_end", [b"\n", b"\r\n"])
def test_mails_of_an_mbox_keep_their_lines(line_end: bytes):
    start = b"From a@b.example Mon Jun  3 10:00:01 2024\n"
    mails = [
        b"A: 1\n\nFrom here on\n\nFrom now, in 2024\nit ends.\n",
        b"B: 2\n\n>From x\nFrom a@b.example Mon Jun  3 10:00:01 2024\n",
        b"C: 3\n\n\n",
        b"D: 4\n\n" + start,
    ]
    mbox = b"\n".join(start + mail for mail in mails)
    expected = [mail.replace(b"\n", line_end) for mail in mails]
    for end in (b"", b"\n"):
        file = BytesIO((mbox + end).replace(b"\n", line_end))
        assert [*split_mails(file)] == expected


@pytest.mark.parametrize("raw", [b"", b"\n", b"From x", b"From x\n", b"a\n\n"])
def test_file_of_one_mail_is_not_split(raw: bytes):
    assert [*split_mails(BytesIO(raw))] == [b"" if raw[:1] == b"F" else raw]


@pytest.mark.parametrize("start", [b"", b"From a@b Mon Jun  3 10:00:01 2024\n"])
def test_beginning_of_a_long_mail_is_kept(monkeypatch, start: bytes):
    """Each of its lines would take dozens of times its memory."""
    monkeypatch.setattr(reader, "MAX_BYTES", 1_000)
    lines = [start, b"A: 1\n", *[b"a\n"] * 5_000, b"\n", start or b"\n", b"B: 2\n"]
    first, *others = split_mails(filter(None, lines))
    assert first.rstrip() == b"A: 1\n" + b"a\n" * 497 + b"a"
    assert others == ([b"B: 2\n"] if start else [])


@pytest.mark.slow
def test_long_mail_takes_little_memory():
    file = BytesIO(b"a\n" * 5_000_000)
    with measured_memory() as memory:
        assert sum(1 for _ in split_mails(file)) == 1
    assert memory.peak < 10_000_000


@pytest.mark.parametrize(
    "text",
    [
        "I could not find the price list. Ask bob@example.org, he cannot help either.",
        "> Final-Recipient: rfc822; bob@example.org\n> Action: failed\n> Status: 5.1.1\n",
        'SES wrote {"notificationType":"Bounce"} about bob@example.org: error 550',
    ],
)
def test_mail_of_a_person_is_not_a_bounce(text: str):
    mail = f"From: Mia <mia@example.org>\nSubject: Re: problem\nReturn-Path: <mia@example.org>\n\n{text}"
    assert read_mail(mail.encode(), NOW).ignored == {"not a bounce": 1}


def test_sender_is_never_the_recipient():
    text = b"\nMessage from news@example.com could not be delivered. Ask postmaster@mx.example.com.\n"
    batch = read_mail(HEAD + text, NOW)
    assert not batch.events
    assert batch.skipped == ("a bounce mail without a recipient",)


@pytest.mark.parametrize(
    ("value", "email"),
    [
        ("rfc822; a@example.com", "a@example.com"),
        ("RFC822;<a@example.com>", "a@example.com"),
        ("rfc/822;a@example.com", "a@example.com"),
        ("utf-8; \u00e4@example.com", "\u00e4@example.com"),
        ("a@example.com (comment)", "a@example.com"),
        ("rfc822; <@gw.example.com,@gw2.example.com:a@example.com>", "a@example.com"),
        ("rfc822; =?utf-8?q?a=40example=2Ecom?=", "a@example.com"),
        ("rfc822; a..b.@example.co.jp", "a..b.@example.co.jp"),
        ("x400; /S=a/@example.com", ""),
        ("rfc822; /var/mail/a", ""),
        ("rfc822; |/bin/filter a@example.com", ""),
        ("rfc822; dav...@example.com", ""),
        ("rfc822; a", ""),
        ("", ""),
    ],
)
def test_recipient_field(value: str, email: str):
    assert read_recipient(value) == email


@pytest.mark.parametrize(
    ("text", "status", "code"),
    [
        ("550 5.1.1 no", "5.1.1", "550"),
        ("550-5.7.26 no", "5.7.26", "550"),
        ("no such user (#5.1.1)", "5.1.1", ""),
        ("ERROR_CODE :550, ERROR_CODE :5.1.1", "5.1.1", "550"),
        ("5.0.0, then 5.2.2", "5.2.2", ""),
        ("250 2.1.5 Ok", "", ""),
        ("host [192.0.2.55] 10.5.5.5", "", ""),
        ("version 5.5.1960.3 v4.4.4", "", ""),
        ("port 25:550, 450 bytes, 4500, 5.5", "", ""),
        ("call (480) 624-2500", "", ""),
    ],
)
def test_codes_in_text(text: str, status: str, code: str):
    assert (find_status(text), find_code(text) if "480" not in text else "") == (
        status,
        code,
    )


@pytest.mark.parametrize(
    ("field", "diagnostic", "code", "chosen"),
    [
        ("5.1.1", "5.7.1", "550", "5.1.1"),
        ("5.0.0", "5.1.1", "550", "5.1.1"),
        ("5.1.0", "5.1.1", "550", "5.1.1"),
        ("5.1.0", "4.2.2", "550", "5.1.0"),
        ("4.4.7", "4.7.1", "450", "4.7.1"),
        ("4.4.7", "", "", "4.4.7"),
        ("5.0.0", "", "450", "4.0.0"),
        ("", "5.1.1", "", "5.1.1"),
        ("", "", "550", ""),
    ],
)
def test_more_specific_status_is_chosen(
    field: str, diagnostic: str, code: str, chosen: str
):
    assert choose_status(field, diagnostic, code) == chosen


def nested(depth: int) -> bytes:
    parts = (
        b"Content-Type: multipart/mixed; boundary=b%d\n\n--b%d\n" % (n, n)
        for n in range(depth)
    )
    return HEAD + b"".join(parts)


#: Lines of opening tags without a closing tag.
OPENINGS = (b"<style " * 570 + b"\n") * 17

HOSTILE = {
    "one letter": HEAD + b"\n" + b"a" * 2_000_000,
    "no header": b"a" * 2_000_000,
    "at signs": HEAD + b"\n" + b"a@" * 1_000_000,
    "line ends": HEAD + b"\n" + b"\n" * 2_000_000,
    "blanks": HEAD + b"\n" + b" " * 2_000_000,
    "words": HEAD + b"\n" + b"user not " * 200_000,
    "codes": HEAD + b"\n" + b"5.5." * 500_000,
    "tags": HEAD + b"Content-Type: text/html\n\n" + b"<style>" * 300_000,
    "openings": HEAD + b"Content-Type: text/html\n\n" + OPENINGS,
    "parts of HTML": HEAD
    + b"Content-Type: multipart/mixed; boundary=b\n\n"
    + (b"--b\nContent-Type: text/html\n\n" + OPENINGS) * 15,
    "addresses": (b"Cc: " + b"a@b.c," * 660 + b"\n") * 240 + HEAD + b"\n failed",
    "group": b"To: a:b\n"
    + (b": " + b"b," * 1_990 + b"\n").join([b"To", b"Cc", b"Sender", b"Reply-To"] * 10)
    + b": b\n"
    + HEAD
    + b"\n@ failed",
    "comments": b"To: " + b"(" * 500_000 + b"\n" + HEAD + b"\n@ failed",
    "encoded words": b"Subject: " + b"=?utf-8?q?a?= " * 100_000 + b"\n" + HEAD,
    "parts": HEAD
    + b"Content-Type: multipart/mixed; boundary=b\n\n"
    + b"--b\n\n" * 300_000,
    "depth 1000": nested(1000),
    "depth 20000": nested(20_000),
    "JSON": HEAD + b'\n{"notificationType":' + b"[" * 500_000,
    "parameters": HEAD + b'Content-Type: text/plain; a="' + b'\\";' * 100_000,
    "numbered parameters": HEAD + b"Content-Type: text/plain; " + b"a*0=b; " * 100_000,
    "punycode words": HEAD.rstrip()
    + b"\nContent-Type: multipart/report; boundary=b\n\n"
    + b"--b\nContent-Type: message/delivery-status\n\n"
    + (b"Final-Recipient:=?punycode?q?a-" + b"4ca" * 300 + b"?=\n") * 60
    + b"--b--\n",
    "reports": HEAD.rstrip()
    + b"\nContent-Type: multipart/report; boundary=b\n\nfailed\n"
    + (
        b"--b\nContent-Type: message/delivery-status\n\n"
        + b"Final-Recipient: rfc822; x\n" * 2_000
    )
    * 9
    + b"--b--\n",
    "punycode": HEAD
    + b"Content-Type: text/plain; charset=punycode\n\na-"
    + b"b" * 10**6,
    "base64": HEAD + b"Content-Transfer-Encoding: base64\n\n" + b"YWFh" * 500_000,
    "commas": HEAD + b"\n" + b"," * 1_000 + b"@" * 1_900 + b"\n",
    "folded parameters": HEAD
    + b'Content-Type: multipart/report; x="\n'
    + (b" " + b";" * 3_900 + b"\n") * 15
    + b"\n550 user unknown\n",
    "parameters of a report": HEAD
    + b"Content-Type: multipart/report; boundary=b\n\n--b\n"
    + b"Content-Type: message/delivery-status\n\nReporting-MTA: dns; x\n\n"
    + b'Action: failed\nFinal-Recipient: x; "\n'
    + (b" " + b";" * 3_900 + b"\n") * 15
    + b"\n--b--\n",
}


@pytest.mark.slow
@pytest.mark.usefixtures("library")
@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_mail_is_read_in_bounded_time(name: str):
    start = time.process_time()
    assert not read_mail(HOSTILE[name], NOW).events
    assert time.process_time() - start < 1


def test_report_before_a_long_mail_of_many_parts_is_read():
    """Such as a returned digest: only its end is not parsed."""
    part = (
        "Content-Type: multipart/alternative; boundary=c{0}\n\n--c{0}\n\nhi\n--c{0}--\n"
    )
    parts = "".join("--b\n" + part.format(n) for n in range(60))
    long = "x\n" * 19_000
    mail = (
        "From: MAILER-DAEMON@x.example\n"
        "Content-Type: multipart/report; boundary=a\n\n--a\n\nIt failed.\n--a\n"
        "Content-Type: message/delivery-status\n\nReporting-MTA: dns; x\n\n"
        "Final-Recipient: rfc822; joe@example.com\nAction: failed\nStatus: 5.1.1\n\n--a\n"
        f"Content-Type: multipart/mixed; boundary=b\n\n{parts}--b\n\n{long}"
    )
    found = read_mail(mail.encode(), NOW)
    assert [event.email for event in found.events] == ["joe@example.com"]


@pytest.mark.parametrize("form", ["report", "header"])
def test_recipients_that_are_not_read_are_reported(form: str):
    """Mail systems write one report for all recipients."""
    emails = [f"u{n}@example.com" for n in range(150)]
    mail = HEAD.decode()
    if form == "header":
        mail += f"X-Failed-Recipients: {', '.join(emails)}\n\nIt failed.\n"
    else:
        fields = "Final-Recipient: rfc822; {}\nAction: failed\nStatus: 5.1.1\n\n"
        mail += "Content-Type: multipart/report; boundary=b\n\n--b\n"
        mail += "Content-Type: message/delivery-status\n\nReporting-MTA: dns; x\n\n"
        mail += "".join(map(fields.format, emails)) + "--b--\n"
    found = read_mail(mail.encode(), NOW)
    assert [event.email for event in found.events] == emails[:100]
    assert found.skipped == ("a bounce mail with more than 100 recipients",)


@pytest.mark.slow
@pytest.mark.usefixtures("library")
@pytest.mark.parametrize("form", ["header", "line", "text"])
def test_no_part_of_an_address_is_listed(form: str):
    """A bound on the text may lie in one."""
    domain = "department.customer.example"
    for padding in range(0, 40, 3):
        mail = HEAD.decode()
        if form == "header":
            emails = (f"user{n}@{domain}" for n in range(3_000))
            mail += f"X-Failed-Recipients: {'x' * padding}@{domain},\n "
            mail += ",\n ".join(emails) + "\n\nIt failed.\n"
        elif form == "line":
            mail += "\n   ----- Failed addresses follow: -----\n"
            mail += f"{'x ' * 105}{'x' * padding} ada@{domain}\n" * 2
        else:
            mail += "\nThese addresses failed:\n" + "x" * padding + "\n"
            mail += f"<user@{domain}>: 550 5.1.1 unknown user\n" * 1_200
        events = read_mail(mail.encode(), NOW).events
        assert all(event.email.endswith(f"@{domain}") for event in events)


def test_text_about_a_delivered_recipient_belongs_to_no_other():
    mail = HEAD.decode() + "Content-Type: multipart/report; boundary=b\n\n--b\n\n"
    mail += "<bad@z.example>: could not be delivered\n<good@z.example>: relayed\n--b\n"
    mail += "Content-Type: message/delivery-status\n\nReporting-MTA: dns; x\n\n"
    for name, action in (("bad", "failed"), ("good", "relayed")):
        mail += f"Final-Recipient: rfc822; {name}@z.example\nAction: {action}\n\n"
    (event,) = read_mail(f"{mail}--b--\n".encode(), NOW).events
    assert (event.email, event.reason) == ("bad@z.example", "could not be delivered")


@pytest.mark.usefixtures("library")
def test_beginning_of_a_long_line_is_read():
    """Text in Japanese has no blanks."""
    text = "<bob@z.example>" + "\u5b9b\u5148\u4e0d\u660e" * 1_500
    (event,) = read_mail(HEAD + b"\n" + text.encode(), NOW).events
    assert event.email == "bob@z.example"


def test_last_line_without_a_line_end_is_read_by_flufl():
    mail = (
        HEAD + b"\n   ----- The following addresses had permanent fatal errors -----\n"
    )
    assert flufl.find_with_flufl(mail + b"<bob@z.example>")[0] == ["bob@z.example"]


def test_delivered_recipients_hide_no_failed_one():
    """Not even after 64 KiB of them."""
    fields = "Final-Recipient: rfc822; u{}@example.com\nAction: {}\nStatus: {}\n"
    fields += "Diagnostic-Code: smtp; 250 " + "x" * 500 + "\n\n"
    reports = [fields.format(n, "delivered", "2.0.0") for n in range(200)]
    reports.append(fields.format(200, "failed", "5.1.1"))
    mail = HEAD.decode() + "Content-Type: multipart/report; boundary=b\n\n--b\n"
    mail += "Content-Type: message/delivery-status\n\nReporting-MTA: dns; x\n\n"
    found = read_mail(f"{mail}{''.join(reports)}--b--\n".encode(), NOW)
    assert [event.email for event in found.events] == ["u200@example.com"]
    assert found.skipped == ()


def _report(*recipients: str) -> bytes:
    mail = HEAD.decode() + "Content-Type: multipart/report; boundary=b\n\n--b\n"
    mail += "Content-Type: message/delivery-status\n\nReporting-MTA: dns; x\n\n"
    blocks = "\n\n".join(recipients)
    return f"{mail}{blocks}\n\n--b--\n".encode()


@pytest.mark.parametrize(
    "recipient",
    [
        'rfc822; "john doe"@example.org',
        "x400; /G=Ada",
        "rfc822; |/usr/bin/x",
        "local; a",
    ],
)
def test_recipient_that_cannot_be_read_is_reported(recipient: str):
    """Beside other recipients, too; and a delivered one is no loss."""
    good = "Final-Recipient: rfc822; good@example.org\nAction: failed"
    fields = f"Final-Recipient: {recipient}\nAction: "
    found = read_mail(_report(f"{fields}failed", good), NOW)
    assert [event.email for event in found.events] == ["good@example.org"]
    assert found.skipped == (UNREADABLE,)
    assert read_mail(_report(f"{fields}relayed", good), NOW).skipped == ()


@pytest.mark.parametrize("actions", [("delayed", "failed"), ("failed", "delayed")])
def test_failure_counts_more_than_a_delay(actions):
    """A list can have several recipients behind one address."""
    fields = (
        "Original-Recipient: rfc822; list@example.org\nAction: {0}\nStatus: {1}.0.0"
    )
    blocks = [fields.format(each, 4 if each == "delayed" else 5) for each in actions]
    (event,) = read_mail(_report(*blocks), NOW).events
    assert event.is_listed


@pytest.mark.slow
def test_names_of_unknown_charsets_are_not_imported():
    """Each attempt takes as long as reading a hundred bytes."""
    names = ("".join(letters) for letters in product("abcdefghijklmnopq", repeat=4))
    blocks = []
    for _ in range(900):
        words = " ".join(f"=?{next(names)}?q??=" for _ in range(80))
        blocks.append(f"Final-Recipient: rfc822; {words}\nAction: failed\n\n")
    mail = HEAD.decode() + "Content-Type: multipart/report; boundary=b\n\n--b\n"
    mail += "Content-Type: message/delivery-status\n\nReporting-MTA: dns; x\n\n"
    raw = f"{mail}{''.join(blocks)}--b--\n".encode()
    start = time.process_time()
    read_mail(raw, NOW)
    assert time.process_time() - start < 1


def test_addresses_are_read_from_a_limited_text():
    """The standard library takes milliseconds for a field of hostile text."""
    names = ("From", "To", "Cc", "Sender", "Reply-To", "Return-Path")
    fields = [f"{name}: a{n}@{name}.example\n" for name in names for n in range(20)]
    assert len(parse("".join(fields).encode()).addresses(*names)) == 60
    long = [f"{name}: {'@' * 3_990}\n" for name in names[:5] for n in range(20)]
    mail = parse("".join([*long, "Return-Path: a@x.example\n"]).encode())
    assert mail.addresses("Return-Path") == {"a@x.example"}
    assert mail.addresses(*names) == set()


def test_names_of_unknown_charsets_are_forgotten():
    """The standard library keeps each of them."""
    head = HEAD.rstrip() + b"\nContent-Type: multipart/report; boundary=b\n\n"
    head += b"--b\nContent-Type: message/delivery-status\n\n"
    line = b"Final-Recipient: =?x%d?q?a@example.com?=\n"
    for number in range(3):
        lines = b"".join(line % (number * 900 + n) for n in range(900))
        assert read_mail(head + lines + b"--b--\n", NOW).events
    assert len(encodings._cache) < 2_200


@pytest.mark.slow
@pytest.mark.usefixtures("library")
@pytest.mark.parametrize(
    "piece", [b"exceed", b"success", b"deliver", b"=_", b"-", b"x "]
)
def test_text_of_a_report_is_searched_in_bounded_time(piece: bytes):
    """Its words tell whether the failure may pass."""
    line = piece * (3_900 // len(piece)) + b"\n"
    start = time.process_time()
    found = read_mail(HEAD + b"\nu@example.com unknown user\n" + line * 250, NOW)

    assert [event.email for event in found.events] == ["u@example.com"]
    assert time.process_time() - start < 1


@pytest.mark.slow
@pytest.mark.usefixtures("library")
@pytest.mark.parametrize("piece", [b"exceed", b"disk ", b"5.0.0 ", b"x"])
def test_text_after_many_recipients_is_read_in_bounded_time(piece: bytes):
    """All are on one line, so that the text belongs to each."""
    emails = b", ".join(b"u%d@example.com" % number for number in range(100))
    line = piece * (3_900 // len(piece)) + b"\n"
    start = time.process_time()
    events = read_mail(
        b"X-Failed-Recipients: " + emails + b"\n" + HEAD + b"\n" + emails + line * 16,
        NOW,
    ).events

    assert len(events) == 100
    assert time.process_time() - start < 2


def test_passage_of_many_recipients_is_read_once(monkeypatch):
    """It takes milliseconds."""
    read_texts = []
    monkeypatch.setattr(text, "guess_status", lambda t: read_texts.append(t) or "5.0.0")
    emails = b", ".join(b"u%d@example.com" % number for number in range(100))
    raw = b"X-Failed-Recipients: " + emails + b"\n" + HEAD + b"\n" + b"disk " * 800
    assert len(read_mail(raw, NOW).events) == 100
    assert len(read_texts) == 1


@pytest.mark.slow
@pytest.mark.usefixtures("library")
def test_like_recipients_are_found_in_bounded_time():
    """They share long beginnings with each other, and with the text after them."""
    letters = "bcdefghijk"
    emails = [f"{'a' * 85}{x}{y}@a.aa" for x in letters for y in letters]
    fields = "\nAction: failed\nStatus: 5.0.0\n\n"
    report = "".join(f"Final-Recipient: rfc822;{e}{fields}" for e in emails)
    text = "".join(f"{e} failed\n" for e in emails) + ("a" * 3_990 + "\n") * 5
    mail = (
        "From: MAILER-DAEMON@example.com\nContent-Type: multipart/report; boundary=b\n\n"
        f"--b\nContent-Type: text/plain\n\n{text}\n--b\n"
        f"Content-Type: message/delivery-status\n\nReporting-MTA: dns; x\n\n{report}--b--\n"
    )
    start = time.process_time()
    assert len(read_mail(mail.encode(), NOW).events) == 100
    assert time.process_time() - start < 1


def test_recipients_of_a_notification_in_a_mail_are_limited():
    recipients = [{"emailAddress": f"u{n}@example.com"} for n in range(101)]
    bounce = {"bounceType": "Permanent", "bouncedRecipients": recipients}
    text = json.dumps({"notificationType": "Bounce", "bounce": bounce})
    found = read_mail(HEAD + b"\n" + text.encode(), NOW)
    assert len(found.events) == 100
    assert found.skipped == ("bouncedRecipients: has more than 100 recipients",)


@pytest.mark.usefixtures("library")
def test_text_of_many_recipients_is_read_in_bounded_time():
    """The text is searched for the address of each recipient."""
    lines = b"".join(b"u%d@example.com unknown user\n" % n for n in range(100))
    other = (b"Content-Type: text/plain\n\n" + b"some text\n" * 6_000 + b"--b\n") * 15
    head = HEAD + b"Content-Type: multipart/mixed; boundary=b\n\n--b\n\n"
    start = time.process_time()
    events = read_mail(head + lines + b"--b\n" + other, NOW).events

    assert len(events) == 100
    assert time.process_time() - start < 1


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ("a<style>b</style>c", "a c"),
        ("a<STYLE x>b</Script>c<script>d</script>", "a c "),
        ("a<style><script>b</script>c</style>d", "a c d"),
        ("a<styles>b</style>c", "a b c"),
        ("a<style>b", "a b"),
        ("a<style>" + "b" * 20_001 + "</style>", "a " + "b" * 20_001 + " "),
        ("<b>a</b><br>&lt;<a@b.example>", " a \n<<a@b.example>"),
    ],
)
def test_tags_are_stripped(html: str, text: str):
    assert strip_tags(html) == text


@pytest.mark.usefixtures("library")
def test_recipients_are_bounded():
    lines = b"".join(b"<u%d@example.com>: 550 no\n" % n for n in range(5000))
    blocks = b"".join(
        b"Final-Recipient: rfc822;u%d@example.com\nAction: failed\n\n" % n
        for n in range(5000)
    )
    report = (
        HEAD
        + b"Content-Type: multipart/report; boundary=b\n\n--b\nContent-Type: message/delivery-status\n\n"
        + blocks
    )
    assert len(read_mail(HEAD + b"\n" + lines, NOW).events) == MAX_RECIPIENTS
    assert len(read_mail(report, NOW).events) == MAX_RECIPIENTS


def test_deep_mail_is_unreadable():
    assert read_mail(nested(30), NOW).skipped == (
        "unreadable mail: the parts are nested too deeply",
    )


@pytest.mark.parametrize(
    "field",
    [
        b"application/pdf; x*=a; x*0=b",
        b"text/html; charset*=a; charset*0=b",
        b"text/html; charset*=a\0b'x'y",
    ],
)
def test_mail_that_the_standard_library_cannot_read_is_skipped(field: bytes):
    """It raises TypeError, or ValueError, when a parameter is read."""
    mail = b"Content-Type: " + field + b"\nSubject: Failure\n\nu@example.com failed"
    (problem,) = read_mail(mail, NOW).skipped
    assert problem.startswith("unreadable mail: the MIME structure is broken: ")


def test_parts_beyond_the_limit_are_not_read():
    """Parts of HTML are read after the other parts."""
    mail = HEAD + b"Content-Type: multipart/mixed; boundary=B\n\n"
    mail += b"--B\nContent-Type: application/pdf\n\nx\n" * 101
    mail += b"--B\n" + nested(30).removeprefix(HEAD)
    problem = "a bounce mail without a recipient"
    assert read_mail(mail, NOW).skipped == (problem,)


@pytest.mark.usefixtures("library")
@pytest.mark.parametrize(
    ("charset", "half"), [(b"utf-7", b"+2AA-"), (b"unicode_escape", b"\\ud800")]
)
def test_half_a_character_is_not_kept(charset: bytes, half: bytes):
    """Some charsets decode to text that cannot be encoded."""
    text = b"<u@example.com>: 550 5.1.1 unknown user " + half
    head = b"Message-ID: <a@b>\n" + HEAD
    kind = b"Content-Type: text/plain; charset=" + charset + b"\n\n"
    (event,) = read_mail(head + kind + text, NOW).events
    assert event.reason == "550 5.1.1 unknown user"

    kind = b"Content-Type: message/rfc822; charset=" + charset + b"\n\n"
    wrapped = head + b"Content-Type: multipart/mixed; boundary=B\n\n"
    wrapped += b"--B\n" + kind + head + b"\n" + text + b"\n--B--\n"
    (event,) = read_mail(wrapped, NOW).events
    assert event.reason.startswith("550 5.1.1 unknown user")
    assert event.reason.isprintable()


def test_returned_mail_beyond_the_limit_does_not_hide_the_report():
    raw = (
        (FOLDER / "postfix.eml")
        .read_bytes()
        .replace(b"Subject: May", b"Subject: May\n\n" + b"a" * 3_000_000)
    )
    assert [event.email for event in read_mail(raw, NOW).events] == [
        "ada@example.net",
        "bob@example.net",
    ]


SAMPLES = [(FOLDER / name).read_bytes() for name in EXPECTED]
PIECES = st.lists(
    st.sampled_from(
        [
            *(line + b"\n" for sample in SAMPLES[::5] for line in sample.split(b"\n")[:60:3]),
            b"\n", b"--b\n", b"Content-Type: multipart/report; boundary=b\n", b"Content-Type: message/delivery-status\n",
            b"Content-Type: text/plain; charset=nonsense\n", b"Final-Recipient: ", b"a@example.com", b"=?x?q?", b"\xff\x00",
        ]
    ),
    max_size=30,
).map(b"".join)  # fmt: skip


@given(raw=st.binary(max_size=400) | PIECES)
def test_any_bytes_are_read(raw: bytes):
    batch = read_mail(raw, NOW)
    assert len(batch.events) <= MAX_RECIPIENTS
    assert batch.events or batch.ignored or batch.skipped


@given(
    sample=st.sampled_from(SAMPLES),
    position=st.integers(0),
    length=st.integers(0, 60),
    junk=st.binary(max_size=9),
)
def test_damaged_mails_are_read(sample: bytes, position: int, length: int, junk: bytes):
    position %= len(sample)
    batch = read_mail(sample[:position] + junk + sample[position + length :], NOW)
    assert all(
        re.fullmatch(r"[245]\.\d{1,3}\.\d{1,3}", event.status) for event in batch.events
    )


@given(text=st.text(alphabet="a@.<>'\"=+-_ \u00e9", max_size=60))
def test_found_addresses_have_their_form(text: str):
    assert all(email.count("@") == 1 and "." in email for email in find_addresses(text))
