"""``source``: sources are added, listed, tested, seeded and reset."""

import json
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result
from conftest import NOW, FixedClock, make_app
from flask.testing import FlaskClient
from test_source_endpoints import PUBLIC_KEY, REQUESTS, TOKEN, mailgun_body

from sendgrid_bounces.cli import captures, main
from sendgrid_bounces.core.errors import ParametersError
from sendgrid_bounces.core.sources import SourceCounts, SourceSettings
from sendgrid_bounces.emulator import EXTENSION
from sendgrid_bounces.schemas.sources import read_source
from sendgrid_bounces.storage.database import open_storage

Run = Callable[..., Result]

MAIL = {"name": "mx", "owner": "acme", "kind": "mail", "token": "s3cret"}


@pytest.fixture(name="run")
def _run(url: str, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Return a function that runs a command on a database with the account acme."""
    with closing(open_storage(url)) as storage:
        storage.accounts.add("acme")
    monkeypatch.setenv("SENDGRID_BOUNCES_DATABASE_URL", url)

    def run(*args: str, stdin: bytes | str = "", code: int = 0) -> Result:
        result = CliRunner().invoke(main, args, input=stdin)
        assert result.exit_code == code, result.output
        return result

    return run


def test_source_is_added_with_a_hashed_token(run: Run, url: str):
    answer = run("source", "add", "mx", "acme", "--kind", "mail", stdin="s3cret\n")
    assert answer.stdout == "added mx, which receives events at /_sources/mx\n"
    with closing(open_storage(url)) as storage:
        ((settings,),) = storage.engine.fetch("SELECT settings FROM source")
    assert json.loads(settings).keys() == {"token_hash"}
    assert "s3cret" not in settings


def test_public_key_is_prompted_for_in_one_line(run: Run):
    run("source", "add", "sg", "acme", "--kind", "sendgrid", stdin=f"{PUBLIC_KEY}\n")
    (found,) = json.loads(run("source", "list", "--json").stdout)["sources"]
    assert (found["kind"], found["verified_by"]) == ("sendgrid", ["key"])


def test_public_key_can_be_a_file_in_pem(run: Run, tmp_path: Path):
    file = tmp_path / "key.pem"
    file.write_text(
        f"-----BEGIN PUBLIC KEY-----\n{PUBLIC_KEY[:64]}\n{PUBLIC_KEY[64:]}\n"
        "-----END PUBLIC KEY-----\n"
    )
    path = str(file)
    run("source", "add", "sg", "acme", "--kind", "sendgrid", "--key-file", path)
    body, headers = REQUESTS["sendgrid"]
    request = tmp_path / "request"
    request.write_bytes(_request(body, headers))
    assert run("source", "test", "sg", str(request)).stdout.splitlines() == [
        "verified by key_file",
        "listed ada@example.org 5.1.1 550",
    ]


def test_missing_file_is_reported_without_its_name(run: Run):
    """A user can give the key in the place of the file's name."""
    options = ("--kind", "mailgun", "--key-file", "mailgun-signing-key")
    answer = run("source", "add", "mg", "acme", *options, code=2)
    assert (
        answer.stderr == "Error: --key-file: is not a file that the server can read\n"
    )


def test_list_shows_activity_and_problems(run: Run, url: str, clock: FixedClock):
    run("source", "add", "mx", "acme", "--kind", "mail", stdin="s3cret\n")
    app = make_app(url, clock)
    client = app.test_client()
    body, headers = REQUESTS["mail"]
    for sent in (headers, headers, {}):
        client.post("/_sources/mx", data=body, headers=sent)
    app.extensions[EXTENSION].storage.close()

    moment = "2012-02-15T12:00:00Z"
    reason = "the Authorization header is missing or has another scheme"
    assert run("source", "list").stdout.splitlines() == [
        "source  kind  owner  listed  known  ignored  skipped  refused  last event",
        f"mx      mail  acme        1      1        0        0        1  {moment}",
        f"mx: latest problem at {moment}: {reason}",
    ]


def test_list_shows_the_subscription_to_confirm(run: Run, url: str, clock: FixedClock):
    run("source", "add", "ses", "acme", "--kind", "ses", stdin="s3cret\n")
    app = make_app(url, clock)
    link = "https://sns.eu-west-1.amazonaws.com/?Token=1"
    subscription = {"Type": "SubscriptionConfirmation", "SubscribeURL": link}
    app.test_client().post("/_sources/ses", json=subscription, headers=TOKEN)
    app.extensions[EXTENSION].storage.close()
    assert run("source", "list").stdout.splitlines()[-1] == (
        f"ses: open this URL to confirm the subscription: {link}"
    )


def test_mails_of_the_command_are_listed_as_a_source(run: Run):
    run("bounces", "receive", "acme", stdin=REQUESTS["mail"][0])
    (found,) = json.loads(run("source", "list", "--json").stdout)["sources"]
    assert (found["name"], found["path"], found["listed"]) == (
        "bounces receive acme",
        None,
        1,
    )
    name = "bounces receive acme"
    question = f"would remove the source {name} of acme (1 event listed); confirm with"
    assert question in run("source", "remove", name, code=2).stderr
    run("source", "remove", name, "--yes")


def _request(body: bytes, headers: dict[str, str], end: str = "\r\n") -> bytes:
    lines = ["POST /_sources/x HTTP/1.1", *(f"{k}: {v}" for k, v in headers.items())]
    return f"{end.join([*lines, '', ''])}".encode("latin-1") + body


class TestCapturedRequests:
    @pytest.mark.parametrize("end", ["\n", "\r\n"])
    def test_request_is_verified(self, run: Run, end: str):
        run("source", "add", "mx", "acme", "--kind", "mail", stdin="s3cret\n")
        raw = _request(*REQUESTS["mail"], end)
        answer = run("source", "test", "mx", "-", stdin=raw)
        assert answer.stdout.splitlines() == [
            "verified by token",
            "listed ike@example.org 5.1.1 550",
        ]
        assert run("bounces", "list", "acme").stdout.count("\n") == 1
        assert "0        0  -" in run("source", "list").stdout

    def test_refusal_is_an_error_with_its_reason(self, run: Run):
        run("source", "add", "mx", "acme", "--kind", "mail", stdin="0ther\n")
        raw = _request(*REQUESTS["mail"])
        answer = run("source", "test", "mx", "-", stdin=raw, code=1)
        assert answer.stderr == "Error: refused: the token is wrong\n"

    def test_old_signature_is_verified(self, run: Run, tmp_path: Path):
        file = tmp_path / "key"
        file.write_text("mailgun-signing-key")
        options = ("--kind", "mailgun", "--key-file", str(file))
        run("source", "add", "mg", "acme", *options)
        raw = _request(mailgun_body("t", NOW - 10**8), {})
        answer = run("source", "test", "mg", "-", stdin=raw)
        assert "listed ada@example.org 5.1.1 550" in answer.stdout

    def test_all_that_a_request_holds_is_shown(self, run: Run):
        run("source", "add", "ses", "acme", "--kind", "ses", stdin="s3cret\n")
        link = "https://sns.eu-west-1.amazonaws.com/?Token=1"
        for message, line in (
            (
                {"Type": "SubscriptionConfirmation", "SubscribeURL": link},
                f"open this URL to confirm the subscription: {link}",
            ),
            ({"notificationType": "Complaint"}, "ignored 1 (Complaint)"),
            (
                {"notificationType": "Bounce", "bounce": {"bouncedRecipients": [7]}},
                "skipped bouncedRecipients: must contain objects",
            ),
            (
                {
                    "notificationType": "Bounce",
                    "bounce": {
                        "bounceType": "Transient",
                        "bouncedRecipients": [{"emailAddress": "a@x.org"}],
                    },
                },
                "ignored a@x.org 4.0.0 (transient)",
            ),
        ):
            raw = _request(json.dumps(message).encode(), TOKEN)
            answer = run("source", "test", "ses", "-", stdin=raw)
            assert answer.stdout.splitlines()[-1] == line

    def test_file_without_a_body_is_an_error(self):
        with pytest.raises(click.ClickException, match="no empty line"):
            captures.split_request(b"POST / HTTP/1.1\r\nHost: x\r\n")

    @pytest.mark.parametrize("start", [b"", b"POST / HTTP/1.1\r\n"])
    def test_request_line_is_optional(self, start: bytes):
        raw = start + b"X-A: 1\r\nX-B: 2\r\n\r\n\nbody\r\n"
        assert captures.split_request(raw) == (
            {"X-A": "1", "X-B": "2"},
            b"\nbody\r\n",
        )

    def test_unknown_source_is_an_error(self, run: Run):
        answer = run("source", "test", "mx", "-", stdin=b"\n\n", code=1)
        assert answer.stderr == "Error: there is no source 'mx'\n"

    def test_server_cannot_test(self, run: Run):
        flags = ("--url", "http://127.0.0.1:1", "source", "test", "mx", "-")
        assert "source test works on a database" in run(*flags, code=2).stderr


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"name": "a b"}, "name: must be 1 to 64 of the characters"),
        ({"name": ".."}, "name: must be 1 to 64 of the characters"),
        ({"name": "x\n"}, "name: must be 1 to 64 of the characters"),
        ({"owner": ""}, "owner: must be 1 to 255 printable characters"),
        ({"kind": "brevo"}, "kind: must be one of mail, mailgun"),
        ({"token": ""}, "token: must be 1 to 256 visible ASCII"),
        ({"token": "two words"}, "token: must be 1 to 256 visible ASCII"),
        ({"token_variable": "T"}, "token_variable: cannot be combined with token"),
        ({"key": "x"}, "key: kind mail has no such field (known: token"),
        ({"topics": []}, "topics: kind mail has no such field"),
        ({"kind": "mailgun"}, "token: kind mailgun has no such field"),
        ({"kind": "sendgrid", "key": "x"}, "key: must be the public key"),
        ({"kind": "ses", "topics": "arn"}, "topics: must be a list"),
        ({"token": None}, "token: must not be null"),
        ({"secret": "x"}, "secret: unknown field (known: name"),
    ],
)
def test_invalid_source_is_rejected(changes: dict, problem: str):
    with pytest.raises(ParametersError) as raised:
        read_source({**MAIL, **changes})
    assert str(raised.value).startswith(problem)
    assert "s3cret" not in str(raised.value)


@pytest.mark.parametrize(
    ("kind", "needed"),
    [
        ("mail", "token or token_file or token_variable"),
        ("mailgun", "key_file or key_variable"),
        ("sendgrid", "key or key_file or key_variable or token or token_file"),
        ("ses", "token or token_file or token_variable or certificate_file"),
    ],
)
def test_source_needs_a_secret(kind: str, needed: str):
    with pytest.raises(ParametersError, match=f"kind {kind} requires {needed}"):
        read_source({"name": "x", "owner": "acme", "kind": kind})


SEED = {
    "accounts": [
        {"username": "acme", "domains": [{"name": "mg.example.com"}]},
        {"username": "other"},
    ],
    "sources": [
        MAIL,
        {**MAIL, "name": "mg", "owner": "MG.example.com"},
        {**MAIL, "name": "other", "owner": "other"},
    ],
}


class TestSeeds:
    @pytest.fixture(name="client")
    def _client(self, url: str, clock: FixedClock, tmp_path: Path):
        file = tmp_path / "seed.json"
        file.write_text(json.dumps(SEED))
        app = make_app(url, clock, CONTROL="on", SEED=str(file))
        yield app.test_client()
        app.extensions[EXTENSION].storage.close()

    def sources(self, client: FlaskClient) -> dict[str, int]:
        found = client.get("/_emulator/sources").json["sources"]
        return {each["name"]: each["listed"] for each in found}

    def test_sources_of_a_seed_receive_events(self, client: FlaskClient):
        body, headers = REQUESTS["mail"]
        for name in ("mx", "mg"):
            answer = client.post(f"/_sources/{name}", data=body, headers=headers)
            assert answer.json["listed"] == 1
        assert self.sources(client) == {"mg": 1, "mx": 1, "other": 0}

    def test_loading_again_changes_nothing(self, client: FlaskClient):
        storage = client.application.extensions[EXTENSION].storage
        storage.sources.record("mx", SourceCounts(listed=3), NOW)
        before = storage.sources.all()
        assert client.post("/_emulator/seed", json=SEED).status_code == 200
        assert storage.sources.all() == before

    def test_new_token_replaces_the_old_one(self, client: FlaskClient):
        changed = {**SEED, "sources": [{**MAIL, "token": "n3w"}]}
        client.post("/_emulator/seed", json=changed)
        body, headers = REQUESTS["mail"]
        post = {"data": body, "headers": headers}
        assert client.post("/_sources/mx", **post).status_code == 401

    @pytest.mark.parametrize("change", [{"owner": "other"}, {"kind": "postmark"}])
    def test_source_cannot_change_hands(self, client: FlaskClient, change: dict):
        seed = {**SEED, "sources": [{**MAIL, **change}]}
        answer = client.post("/_emulator/seed", json=seed)
        assert (answer.status_code, answer.json["error"]) == (
            409,
            "source 'mx' already exists with another owner or kind",
        )

    def test_problems_have_their_place(self, client: FlaskClient):
        sources = [MAIL, {**MAIL, "kind": "ses", "key": "x"}, MAIL]
        answer = client.post("/_emulator/seed", json={**SEED, "sources": sources})
        known = "token, token_file, token_variable, certificate_file, topics"
        assert answer.json["errors"] == [
            f"sources[1].key: kind ses has no such field (known: {known})",
            "sources[2].name: duplicate source 'mx'",
        ]

    def test_owner_must_exist(self, client: FlaskClient):
        seed = {**SEED, "sources": [{**MAIL, "name": "x", "owner": "nobody"}]}
        assert client.post("/_emulator/seed", json=seed).status_code == 404

    def test_source_of_an_account_with_a_slash_is_removed(self, client: FlaskClient):
        storage = client.application.extensions[EXTENSION].storage
        name = "bounces receive a/b"
        storage.sources.add(name, "acme", "mail", SourceSettings())
        assert client.delete(f"/_emulator/sources/{name}").status_code == 200
        assert name not in self.sources(client)

    def test_reset_restores_the_sources_of_the_seed(self, client: FlaskClient):
        client.post("/_emulator/sources", json={**MAIL, "name": "more"})
        client.delete("/_emulator/sources/mx")
        client.post("/_emulator/reset")
        assert self.sources(client) == {"mg": 0, "mx": 0, "other": 0}
        client.post("/_emulator/reset?to=empty")
        assert self.sources(client) == {}

    def test_reset_of_an_account_restores_its_sources(self, client: FlaskClient):
        body, headers = REQUESTS["mail"]
        for name in ("mx", "mg", "other"):
            client.post(f"/_sources/{name}", data=body, headers=headers)
        for name, owner in (("more", "acme"), ("domains", "mg.example.com")):
            extra = {**MAIL, "name": name, "owner": owner}
            assert client.post("/_emulator/sources", json=extra).status_code == 201
        client.delete("/_emulator/sources/mg")
        client.post("/_emulator/reset?account=acme")
        assert self.sources(client) == {"mg": 0, "mx": 0, "other": 1}

        client.post("/_emulator/reset?account=acme&to=empty")
        assert self.sources(client) == {"other": 1}
        client.post("/_emulator/reset?account=acme")
        assert self.sources(client) == {"mg": 0, "mx": 0, "other": 1}


def test_secrets_are_not_disclosed_by_control_endpoints(url: str, clock: FixedClock):
    app = make_app(url, clock, CONTROL="on")
    app.extensions[EXTENSION].storage.accounts.add("acme")
    client = app.test_client()
    added = client.post("/_emulator/sources", json=MAIL)
    assert added.status_code == 201
    assert added.json["verified_by"] == ["token"]
    listed = client.get("/_emulator/sources")
    assert listed.json == {"sources": [added.json], "pulls": []}
    assert "scrypt" not in listed.text
    app.extensions[EXTENSION].storage.close()
