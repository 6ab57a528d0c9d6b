"""Verification of webhook requests: signatures, tokens, and one changed byte."""

import base64
import hashlib
import hmac
import json
import time
from datetime import datetime, timedelta, timezone
from functools import partial
from urllib.parse import unquote_plus, unquote_to_bytes, urlencode

import pytest
from conftest import measured_memory
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from sendgrid_bounces.core import forms
from sendgrid_bounces.core.forms import decode_form_text
from sendgrid_bounces.core.json_limits import MAX_VALUES
from sendgrid_bounces.sources import mailgun, postmark, sendgrid, ses
from sendgrid_bounces.sources.kinds import KINDS
from sendgrid_bounces.sources.verification import (
    PayloadError,
    SecretError,
    Secrets,
    SignatureError,
    find_header,
    is_same,
)

# The published test vector of SendGrid's Python library (test/unit/test_eventwebhook.py).
KEY = (
    "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE83T4O/n84iotIvIW4mdBgQ/7dAfSmpqIM8kF9mN1flpV"
    "KS3GRqe62gw+2fNNRaINXvVpiglSI8eNEc6wEA3F+g=="
)
OTHER_KEY = (
    "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEqTxd43gyp8IOEto2LdIfjRQrIbsd4SXZkLW6jDutdhXS"
    "JCWHw8REntlo7aNDthvj+y7GjUuFDb/R1NGe1OPzpA=="
)
HEADERS = {
    "X-Twilio-Email-Event-Webhook-Signature": (
        "MEUCIGHQVtGj+Y3LkG9fLcxf3qfI10QysgDWmMOVmxG0u6ZUAiEAyBiXDWzM+uOe5W0JuG+luQAbPIqHh89M15TluLtEZtM="
    ),
    "X-Twilio-Email-Event-Webhook-Timestamp": "1600112502",
}
BODY = (
    b'[{"email":"hello@world.com","event":"dropped","reason":"Bounced Address",'
    b'"sg_event_id":"ZHJvcC0xMDk5NDkxOS1MUnpYbF9OSFN0T0doUTRrb2ZTbV9BLTA",'
    b'"sg_message_id":"LRzXl_NHStOGhQ4kofSm_A.filterdrecv-p3mdw1-756b745b58-kmzbl-18-5F5FC76C-9.0",'
    b'"smtp-id":"<LRzXl_NHStOGhQ4kofSm_A@ismtpd0039p1iad1.sendgrid.net>","timestamp":1600112492}]\r\n'
)
SIGNATURE, TIMESTAMP = HEADERS
IS_TOKEN = partial(is_same, expected="s3cret")
NOW = 1_329_300_000


class TestSendGrid:
    def test_published_vector_verifies(self):
        sendgrid.verify(BODY, HEADERS, Secrets(key=KEY), NOW)

    def test_header_names_have_any_case(self):
        sendgrid.verify(
            BODY,
            {name.lower(): value for name, value in HEADERS.items()},
            Secrets(key=KEY),
            NOW,
        )

    @given(position=st.integers(0, len(BODY) - 1), change=st.integers(1, 255))
    def test_one_changed_byte_fails(self, position: int, change: int):
        body = bytearray(BODY)
        body[position] ^= change
        with pytest.raises(SignatureError, match="does not match"):
            sendgrid.verify(bytes(body), HEADERS, Secrets(key=KEY), NOW)

    @pytest.mark.parametrize(
        "body",
        [b"", BODY[:-2], BODY.rstrip() + b"\n", json.dumps(json.loads(BODY)).encode()],
    )
    def test_only_the_raw_body_verifies(self, body: bytes):
        with pytest.raises(SignatureError, match="does not match"):
            sendgrid.verify(body, HEADERS, Secrets(key=KEY), NOW)

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({TIMESTAMP: "1600112503"}, "does not match"),
            ({TIMESTAMP: ""}, "is missing"),
            ({SIGNATURE: ""}, "is missing"),
            ({SIGNATURE: "!"}, "not valid base64"),
            ({SIGNATURE: "\u00e9"}, "not valid base64"),
            ({SIGNATURE: base64.b64encode(b"no DER").decode()}, "does not match"),
        ],
    )
    def test_other_headers_fail(self, changes: dict[str, str], message: str):
        with pytest.raises(SignatureError, match=message):
            sendgrid.verify(BODY, HEADERS | changes, Secrets(key=KEY), NOW)

    def test_other_key_fails(self):
        with pytest.raises(SignatureError, match="does not match"):
            sendgrid.verify(BODY, HEADERS, Secrets(key=OTHER_KEY), NOW)

    @pytest.mark.parametrize("key", ["!", base64.b64encode(b"no key").decode()])
    def test_invalid_key_is_an_invalid_secret(self, key: str):
        with pytest.raises(SecretError, match="public key is invalid"):
            sendgrid.verify(BODY, HEADERS, Secrets(key=key), NOW)

    def test_rsa_key_is_an_invalid_secret(self):
        key = rsa.generate_private_key(65537, 2048).public_key()
        der = key.public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        with pytest.raises(SecretError, match="not an elliptic curve key"):
            sendgrid.verify(
                BODY, HEADERS, Secrets(key=base64.b64encode(der).decode()), NOW
            )

    def test_own_signature_verifies(self):
        key = ec.generate_private_key(ec.SECP256R1())
        der = key.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        signature = base64.b64encode(
            key.sign(b"1329300000" + b"\xff\x00", ec.ECDSA(hashes.SHA256()))
        ).decode()
        headers = {SIGNATURE: signature, TIMESTAMP: "1329300000"}
        sendgrid.verify(
            b"\xff\x00", headers, Secrets(key=base64.b64encode(der).decode()), NOW
        )

    def test_signature_of_48_hours_is_accepted_and_an_older_one_is_not(self):
        signed = int(HEADERS[TIMESTAMP])
        sendgrid.verify(BODY, HEADERS, Secrets(key=KEY), signed + 48 * 3600)
        with pytest.raises(SignatureError, match="older than 48 hours"):
            sendgrid.verify(BODY, HEADERS, Secrets(key=KEY), signed + 48 * 3600 + 1)

    def test_bytes_do_not_move_between_timestamp_and_body(self):
        """The signed text is the same."""
        headers = {**HEADERS, TIMESTAMP: HEADERS[TIMESTAMP] + BODY[:1].decode()}
        with pytest.raises(SignatureError, match="older than 48 hours"):
            sendgrid.verify(BODY[1:], headers, Secrets(key=KEY), 0)

    def test_key_and_token_must_both_match(self):
        secrets = Secrets(key=KEY, token=IS_TOKEN)
        sendgrid.verify(
            BODY, HEADERS | {"Authorization": "Bearer s3cret"}, secrets, NOW
        )
        with pytest.raises(SignatureError):
            sendgrid.verify(BODY, HEADERS, secrets, NOW)
        with pytest.raises(SignatureError):
            sendgrid.verify(BODY, {"Authorization": "Bearer s3cret"}, secrets, NOW)


def basic(text: str) -> str:
    return "Basic " + base64.b64encode(text.encode()).decode()


class TestToken:
    @pytest.mark.parametrize(
        "authorization",
        ["Bearer s3cret", "bearer  s3cret", basic("user:s3cret"), basic(":s3cret")],
    )
    def test_right_token_verifies(self, authorization: str):
        postmark.verify(
            b"", {"authorization": authorization}, Secrets(token=IS_TOKEN), NOW
        )

    @pytest.mark.parametrize(
        "authorization",
        [
            "",
            "s3cret",
            "Bearer",
            "Bearer s3cre",
            "Bearer s3cret2",
            "Digest s3cret",
            basic("s3cret"),
            "Basic !",
            "Bearer \udc80",
        ],
    )
    def test_other_token_fails(self, authorization: str):
        with pytest.raises(SignatureError):
            postmark.verify(
                b"",
                {"Authorization": authorization},
                Secrets(token=IS_TOKEN),
                NOW,
            )

    @pytest.mark.parametrize("kind", KINDS)
    def test_source_without_secrets_accepts_nothing(self, kind: str):
        with pytest.raises(SignatureError, match="no secret"):
            KINDS[kind].verify(b"{}", {"Authorization": "Bearer "}, Secrets(), NOW)

    def test_secrets_have_no_representation(self):
        assert "s3cret" not in repr(Secrets(key="s3cret"))


def signed(key: str, **changes: str) -> dict[str, str]:
    fields = {"timestamp": "1329300000", "token": "t" * 50}
    digest = hmac.new(
        key.encode(), (fields["timestamp"] + fields["token"]).encode(), hashlib.sha256
    )
    return fields | {"signature": digest.hexdigest()} | changes


URLENCODED = "application/x-www-form-urlencoded"


class TestMailgun:
    def test_json_verifies(self):
        mailgun.verify(
            json.dumps({"signature": signed("k"), "event-data": {}}).encode(),
            {},
            Secrets(key="k"),
            NOW,
        )

    def test_form_verifies(self):
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        mailgun.verify(urlencode(signed("k")).encode(), headers, Secrets(key="k"), NOW)

    @pytest.mark.parametrize(
        "changes",
        [
            {"timestamp": "1329300001"},
            {"token": "u" * 50},
            {"signature": "0" * 64},
            {"signature": ""},
            {"token": ""},
            {"signature": "\u00e9" * 64},
        ],
    )
    def test_changed_field_fails(self, changes: dict[str, str]):
        body = json.dumps({"signature": signed("k", **changes)}).encode()
        with pytest.raises(SignatureError):
            mailgun.verify(body, {}, Secrets(key="k"), NOW)

    @pytest.mark.parametrize("age", [0, -(10**6), 48 * 3600])
    def test_recent_signature_verifies(self, age: int):
        body = json.dumps({"signature": signed("k")}).encode()
        mailgun.verify(body, {}, Secrets(key="k"), NOW + age)

    @pytest.mark.parametrize("age", [48 * 3600 + 1, 10**9])
    def test_old_signature_fails(self, age: int):
        body = json.dumps({"signature": signed("k")}).encode()
        with pytest.raises(SignatureError, match="older than 48 hours"):
            mailgun.verify(body, {}, Secrets(key="k"), NOW + age)

    @pytest.mark.parametrize("timestamp", ["-1", "1e12", "now", "\u0661\u00b2"])
    def test_timestamp_must_be_a_number(self, timestamp: str):
        text = timestamp + "t" * 50
        digest = hmac.new(b"k", text.encode(), hashlib.sha256).hexdigest()
        fields = signed("k", timestamp=timestamp, signature=digest)
        body = json.dumps({"signature": fields}).encode()
        with pytest.raises(SignatureError, match="older than 48 hours"):
            mailgun.verify(body, {}, Secrets(key="k"), 0)

    @pytest.mark.parametrize("length", [9, 11])
    def test_digits_do_not_move_between_timestamp_and_token(self, length: int):
        """The signed text is the same, but the token is new and the age another."""
        fields = signed("k", token="7" * 50)
        digest = hmac.new(
            b"k", (fields["timestamp"] + fields["token"]).encode(), hashlib.sha256
        ).hexdigest()
        both = fields["timestamp"] + fields["token"]
        moved = {
            "timestamp": both[:length],
            "token": both[length:],
            "signature": digest,
        }
        with pytest.raises(SignatureError, match="older than 48 hours"):
            mailgun.verify(
                json.dumps({"signature": moved}).encode(), {}, Secrets(key="k"), 0
            )

    def test_hostile_form_is_read_in_bounded_time(self):
        """The form is read before it is verified."""
        body = b'--B\r\nContent-Disposition: form-data; name="%b"\r\n\r\nx\r\n--B--'
        headers = {"Content-Type": "multipart/form-data; boundary=B"}
        start = time.process_time()
        with pytest.raises(SignatureError, match="missing"):
            mailgun.verify(body % (b'\\";' * 100_000), headers, Secrets(key="k"), NOW)
        assert time.process_time() - start < 1

    def test_parameters_of_a_form_are_read_in_bounded_time(self):
        part = b"--B\r\nContent-Disposition: form-data%b\r\n\r\nx\r\n" % (b";" * 950)
        headers = {"Content-Type": "multipart/form-data; boundary=B"}
        start = time.process_time()
        with pytest.raises(SignatureError, match="missing"):
            mailgun.verify(part * 999, headers, Secrets(key="k"), NOW)
        assert time.process_time() - start < 1

    @pytest.mark.parametrize(
        "parameters",
        [
            "; name=%s",
            ";name = %s; a=b",
            '; NAME="%s"',
            ';\r\n name="%s"',
            '; filename="\\"; name=a"; name="%s"',
        ],
    )
    def test_name_of_a_part_is_read(self, parameters: str):
        parts = [
            f"--B\r\ncontent-disposition: form-data{parameters % name}\r\n\r\n{value}\r\n"
            for name, value in signed("k").items()
        ]
        headers = {"Content-Type": "multipart/form-data; boundary=B"}
        body = ("".join(parts) + "--B--").encode()
        mailgun.verify(body, headers, Secrets(key="k"), NOW)

    @pytest.mark.parametrize("end", ["\r\n", "\n"])
    @pytest.mark.parametrize("epilogue", ["--", "-- \t", ""])
    def test_multipart_form_verifies(self, end: str, epilogue: str):
        """The first value of a field counts, and the last of the signature."""
        pairs = [("event", "bounced"), ("recipient", "ada@example.org")]
        pairs += [("token", "of the mail"), ("notes", f"a{end}--Bo{end}{end}b")]
        pairs += [*signed("k").items(), ("event", "of the mail")]
        parts = [
            f'--B{end}Content-Disposition: form-data; name="{name}"{end}{end}{value}{end}'
            for name, value in pairs
        ]
        parts.insert(3, f"--B{end}{end}without a name{end}")
        body = f"preamble{end}{''.join(parts)}--B{epilogue}{end}".encode()
        headers = {"Content-Type": 'multipart/form-data; boundary="B"'}
        mailgun.verify(body, headers, Secrets(key="k"), NOW)
        (event,) = mailgun.parse(body, headers, NOW).events
        assert (event.email, event.key) == ("ada@example.org", f"mailgun {'t' * 50}")

    @pytest.mark.parametrize(
        ("content_type", "body", "problem"),
        [
            ("multipart/form-data", b"--\n\n", "has no valid boundary"),
            (
                f"multipart/form-data; boundary={'B' * 101}",
                b"--%s\n\n" % (b"B" * 101),
                "has no valid boundary",
            ),
            ("multipart/form-data; boundary=B", b"--B\n\n" * 1_002, "more than 1000"),
            ("multipart/form-data; boundary*=a; boundary*0=b", b"x", "cannot be read"),
            (URLENCODED, b"a&" * 1_001, "more than 1000"),
        ],
    )
    def test_unreadable_form_fails(self, content_type: str, body: bytes, problem: str):
        headers = {"Content-Type": content_type}
        with pytest.raises(PayloadError, match=problem):
            mailgun.verify(body, headers, Secrets(key="k"), NOW)

    def test_parts_do_not_nest(self):
        """Each line of nested parts is compared with the boundaries of all of them."""
        nested = b"--A\nContent-Type: multipart/mixed; boundary=B\n\n"
        fields = b"".join(
            b'--B\nContent-Disposition: form-data; name="%s"\n\n%s\n'
            % (name.encode(), value.encode())
            for name, value in signed("k").items()
        )
        headers = {"Content-Type": "multipart/form-data; boundary=A"}
        with pytest.raises(SignatureError, match="missing"):
            mailgun.verify(nested + fields, headers, Secrets(key="k"), NOW)

    def test_other_key_fails(self):
        with pytest.raises(SignatureError, match="does not match"):
            mailgun.verify(
                json.dumps({"signature": signed("k")}).encode(),
                {},
                Secrets(key="l"),
                NOW,
            )


@pytest.fixture(scope="module")
def sns_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, 2048)


@pytest.fixture(scope="module")
def certificate(sns_key: rsa.RSAPrivateKey) -> bytes:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "sns.example.com")])
    now = datetime(2024, 1, 1, tzinfo=timezone.utc)
    builder = x509.CertificateBuilder(
        name, name, sns_key.public_key(), 1, now, now + timedelta(days=3650)
    )
    return builder.sign(sns_key, hashes.SHA256()).public_bytes(
        serialization.Encoding.PEM
    )


TOPIC = "arn:aws:sns:us-east-1:123456789012:bounces"


class TestSes:
    def envelope(
        self, key: rsa.RSAPrivateKey, version: str = "2", **changes: str
    ) -> dict[str, str]:
        """Return an envelope with a signature over the documented text of a notification."""
        fields = {
            "Type": "Notification",
            "MessageId": "1",
            "TopicArn": TOPIC,
            "Subject": "Bounce",
            "Message": "{}",
            "Timestamp": "2012-02-15T10:00:00.000Z",
            "SignatureVersion": version,
        }
        text = (
            f"Message\n{{}}\nMessageId\n1\nSubject\nBounce\nTimestamp\n{fields['Timestamp']}\n"
            f"TopicArn\n{TOPIC}\nType\nNotification\n"
        )
        algorithm = hashes.SHA1() if version == "1" else hashes.SHA256()  # noqa: S303 - version 1 of SNS
        signature = key.sign(text.encode(), padding.PKCS1v15(), algorithm)
        return fields | {"Signature": base64.b64encode(signature).decode()} | changes

    @pytest.mark.parametrize("version", ["1", "2"])
    def test_signature_verifies(self, sns_key, certificate, version: str):
        body = json.dumps(self.envelope(sns_key, version)).encode()
        ses.verify(body, {}, Secrets(certificate=certificate), NOW)

    @pytest.mark.parametrize(
        "changes",
        [
            {"Message": "{ }"},
            {"Type": "SubscriptionConfirmation"},
            {"Signature": ""},
            {"Signature": "!"},
            {"SignatureVersion": "1"},
        ],
    )
    def test_changed_field_fails(self, sns_key, certificate, changes: dict[str, str]):
        body = json.dumps(self.envelope(sns_key, **changes)).encode()
        with pytest.raises(SignatureError):
            ses.verify(body, {}, Secrets(certificate=certificate), NOW)

    @pytest.mark.parametrize("field", ["Type", "Subject"])
    def test_part_of_a_message_does_not_become_the_topic(
        self, sns_key, certificate, field: str
    ):
        """SNS signs the messages of all customers, and quotes nothing."""
        time, other = "2012-02-15T10:00:00.000Z", "arn:aws:sns:us-east-1:6:other"
        end = f"Timestamp\n{time}\nTopicArn\n{other}\nType\nNotification"
        forged = {
            "Message": "hello",
            "MessageId": "1",
            "Subject": "s",
            "Timestamp": time,
            "TopicArn": TOPIC,
            "Type": f"Notification\nMessageId\n2\n{end}",
        }
        if field == "Subject":
            forged |= {"Type": "Notification", "Subject": f"s\n{end}"}
        signature = sns_key.sign(
            ses.signed_text(forged), padding.PKCS1v15(), hashes.SHA256()
        )
        forged |= {
            "SignatureVersion": "2",
            "Signature": base64.b64encode(signature).decode(),
        }
        secrets = Secrets(certificate=certificate, topics=(TOPIC,))
        with pytest.raises(SignatureError, match="type of a signed|has a line end"):
            ses.verify(json.dumps(forged).encode(), {}, secrets, NOW)

    def test_message_of_48_hours_is_accepted_and_an_older_one_is_not(
        self, sns_key, certificate
    ):
        """A repeat has the timestamp of the first attempt."""
        body = json.dumps(self.envelope(sns_key)).encode()
        ses.verify(body, {}, Secrets(certificate=certificate), NOW + 48 * 3600)
        with pytest.raises(SignatureError, match="older than 48 hours"):
            ses.verify(body, {}, Secrets(certificate=certificate), NOW + 48 * 3600 + 1)

    def test_invalid_certificate_is_an_invalid_secret(self, sns_key):
        body = json.dumps(self.envelope(sns_key)).encode()
        with pytest.raises(SecretError, match="certificate"):
            ses.verify(body, {}, Secrets(certificate=b"no PEM"), NOW)

    def test_token_and_topic(self):
        headers = {"Authorization": basic("aws:s3cret")}
        body = json.dumps({"TopicArn": TOPIC}).encode()
        ses.verify(body, headers, Secrets(token=IS_TOKEN), NOW)
        ses.verify(body, headers, Secrets(token=IS_TOKEN, topics=(TOPIC,)), NOW)
        with pytest.raises(SignatureError, match="topic"):
            ses.verify(
                body,
                headers,
                Secrets(token=IS_TOKEN, topics=("arn:other",)),
                NOW,
            )

    def test_subscription_confirmation_is_signed_with_its_url(self):
        fields = {
            "Type": "SubscriptionConfirmation",
            "SubscribeURL": "https://x",
            "Token": "t",
            "Message": "m",
        }
        assert b"SubscribeURL\nhttps://x\nTimestamp\n\nToken\nt\n" in ses.signed_text(
            fields
        )


@pytest.mark.parametrize("kind", ["mailgun", "ses"])
@pytest.mark.parametrize("value", ["[]", "{}", "0"])
def test_number_of_values_is_bounded(kind: str, value: str, certificate):
    """Both kinds are parsed before they are verified."""
    body = f'{{"a": [{",".join([value] * (MAX_VALUES + 1))}]}}'.encode()
    with pytest.raises(PayloadError, match="more than 500000 values"):
        KINDS[kind].verify(body, {}, Secrets("k", certificate=certificate), NOW)


@pytest.mark.parametrize("value", ["%41" * 100_000, "%C3%A9" * 50_000, "a" * 300_000])
def test_form_is_decoded_in_bounded_memory(value: str):
    """Whatever is between two escapes takes memory."""
    encoded = value.encode()
    with measured_memory() as memory:
        decoded = decode_form_text(encoded)
    assert decoded.decode() == unquote_plus(value)
    assert memory.peak < 30 * len(encoded)


@pytest.mark.parametrize("piece", ["%", "%zz", "%%41", "%41"])
def test_form_with_many_escapes_is_decoded_quickly(piece: str):
    """The standard library takes 0.6 s of CPU time for each MB of percent signs."""
    started = time.process_time()
    decode_form_text((piece * 8_000_000)[:8_000_000].encode())
    assert time.process_time() - started < 2.5


@given(st.text("%+4a1C3A9zé"), st.integers(3, 9))
def test_form_text_is_decoded_as_by_the_standard_library(text: str, piece: int):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(forms, "PIECE", piece)
        expected = unquote_to_bytes(text.replace("+", " ").encode())
        assert decode_form_text(text.encode()) == expected


def test_missing_header_is_empty():
    assert find_header({"A": "1"}, "b") == ""
