"""Strict requests: bodies of several media types, parsed completely or rejected."""

import gc
import re
import weakref
from contextlib import closing, suppress
from urllib.parse import parse_qsl, unquote

import hypothesis
import pytest
from conftest import bounce, make_app
from flask.testing import FlaskClient
from hypothesis import strategies as st
from werkzeug.datastructures import Headers
from werkzeug.sansio.multipart import MultipartDecoder

from sendgrid_bounces.core.errors import RequestError
from sendgrid_bounces.core.forms import MAX_BOUNDARY
from sendgrid_bounces.dialects.sendgrid.params import MAX_BODY, MAX_EMAILS
from sendgrid_bounces.emulator import EXTENSION
from sendgrid_bounces.web import requests
from sendgrid_bounces.web.requests import MAX_PARAMETERS, StrictRequest

#: One of a hundred boundaries of Werkzeug's test client is longer than RFC 2046 allows.
WERKZEUG_BOUNDARY = (
    "=---------------WerkzeugFormPart_1795792145.38238620.0050575911125910755"
)

ACME = {"api_user": "acme", "api_key": "s3cret"}
DELETE, COUNT = "/api/bounces.delete.json", "/api/bounces.count.json"
URLENCODED = "application/x-www-form-urlencoded"


def _count(client: FlaskClient) -> str:
    return client.get(COUNT, query_string=ACME).json["count"]


def _post_parts(client: FlaskClient, body: bytes) -> int:
    """Return the status of a call with *body*, a form with the boundary ``xx``."""
    kind = "multipart/form-data; boundary=xx"
    answer = client.post(COUNT, query_string=ACME, data=body, content_type=kind)
    return answer.status_code


@hypothesis.given(st.text("ab=&%+;[]2cC3Aé \0"))
def test_query_string_is_parsed_as_by_the_standard_library(query: str) -> None:
    """With blank values, and an error for an escape that is not UTF-8."""
    request = StrictRequest({"QUERY_STRING": query.encode().decode("latin-1")})
    try:
        expected = parse_qsl(query, keep_blank_values=True, errors="strict")
    except UnicodeDecodeError:
        with pytest.raises(RequestError):
            request.read_query()
    else:
        assert request.read_query() == expected


def test_multipart_form_is_parsed(client: FlaskClient) -> None:
    """The curl extension of PHP sends arrays in this form."""
    answer = client.post(
        DELETE,
        data={**ACME, "email": "c.case@example.com"},
        content_type="multipart/form-data",
    )

    assert answer.json == {"message": "success"}
    assert _count(client) == "3"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"--xx",
        b'--xx\r\nContent-Disposition: form-data; name="email"\r\n\r\na@example.com',
        b'--xx\r\nContent-Disposition: form-data; name="email"\r\n\r\n\xff\r\n--xx--\r\n',
        b"email=a@example.com",
        b"--xx\r\nContent-Disposition: form-data\r\n\r\na@example.com\r\n--xx--\r\n",
        b'--xx\r\nContent-Disposition: form-data; name=""\r\n\r\na@x\r\n--xx--\r\n',
        b'--xx\r\nContent-Disposition: form-data; name="email"; filename="x"\r\n\r\na@x\r\n--xx--\r\n',
        b"--xx--\r\n",
        b'--xx--\r\n--xx\r\nContent-Disposition: form-data; name="email"\r\n\r\na@x\r\n--xx--\r\n',
        b'--xx\r\nContent-Disposition: form-data; name="a"\r\n\r\nb\r\n' * 2_001
        + b"--xx--\r\n",
    ],
)
def test_malformed_multipart_form_deletes_nothing(client, body: bytes) -> None:
    """It must not be mistaken for a request without parameters."""
    for content_type in ("multipart/form-data; boundary=xx", "multipart/form-data"):
        answer = client.post(
            DELETE, query_string=ACME, data=body or b"x", content_type=content_type
        )

        assert answer.status_code == 400
    assert _count(client) == "4"


@pytest.mark.parametrize("end", [b"\r\n", b"\n"])
def test_length_of_the_head_of_a_part_is_limited(client, end: bytes) -> None:
    """Each line would take dozens of times its memory. A long value is accepted."""
    first = b'preamble--xx\nContent-Disposition: form-data; name="email"\n\n\n--xx\n'
    head = b'Content-Disposition: form-data; name="x"\n' + b"a: b\n" * 4_000
    value = b"Content-Disposition: form-data; name=x\n\n" + b"--xx y\n" * 4_000
    for start, part, status in (
        (b"preamble--xx\n", head, 400),
        (first, head, 400),
        (first, value, 200),
    ):
        body = (start + part + b"\n\n--xx--\n").replace(b"\n", end)
        assert _post_parts(client, body) == status
    assert _count(client) == "4"


FORM_TOKENS = [
    b"--xx",
    b"--",
    b"\r\n",
    b"\r",
    b"\n",
    b" ",
    b"\x0b",
    b"a:b",
    b'name="x"',
]
FORM_TOKENS += [b"Content-Disposition: form-data; ", b"\r\n\r\n", b"--xx\r\n"]


@hypothesis.given(st.lists(st.sampled_from(FORM_TOKENS), max_size=30).map(b"".join))
@hypothesis.example(b"--xx\r\n\n" + b"a:b\n" * 20 + b"\r\n\r\nx\r\n--xx--\r\n")
@hypothesis.example(
    b"--xx\r\n%s\r\n\r\n" % FORM_TOKENS[9]
    + b"x--xx\r\n\r\n" * 6
    + b"\r\n--xx\r\n%s\r\n\r\n\r\n--xx--" % (b"a:b\n" * 20)
)
def test_no_longer_head_of_a_part_reaches_the_parser(body: bytes) -> None:
    """The limit and Werkzeug agree on the place where a head begins."""
    limit, lengths = 50, [0]
    parse = MultipartDecoder._parse_headers

    def record(decoder: MultipartDecoder, head: bytes) -> Headers:
        lengths.append(len(head))
        return parse(decoder, head)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(requests, "MAX_PART_HEAD", limit)
        patch.setattr(requests, "MAX_PARAMETERS", 5)
        patch.setattr(MultipartDecoder, "_parse_headers", record)
        with suppress(ValueError):
            requests._parse_multipart(body, {"boundary": "xx"})

    assert max(lengths) <= limit


def test_length_of_the_heads_of_all_parts_is_limited(client) -> None:
    """They take long to parse, before the caller is known."""
    head = b'Content-Disposition: form-data; name="x"; ' + b";" * 3_000
    field = b'Content-Disposition: form-data; name="x"\r\nContent-Type: text/plain'
    for part, number, status in (
        (head, 100, 400),
        (head, 50, 200),
        (field, 1_990, 200),
    ):
        body = b"--xx\r\n%s\r\n\r\na@example.com\r\n" % part * number + b"--xx--\r\n"
        assert _post_parts(client, body) == status


@pytest.mark.parametrize(
    ("boundary", "status"),
    [
        ("=" + "x" * MAX_BOUNDARY, 200),
        ("=" + "x" * (MAX_BOUNDARY + 1), 400),
        ("*=''%0A", 400),
        (WERKZEUG_BOUNDARY, 200),
    ],
)
def test_length_of_the_boundary_is_limited(client, boundary: str, status: int) -> None:
    """A parser compares all of it at each byte: 8 seconds for a megabyte."""
    _, _, line = unquote(boundary).rpartition("=")
    answer = client.post(
        COUNT,
        query_string=ACME,
        data=f"--{line}\r\nContent-Disposition: form-data; name=x\r\n\r\n1\r\n--{line}--",
        content_type=f"multipart/form-data; boundary{boundary}",
    )

    assert answer.status_code == status


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"a=b&" * 3_000, URLENCODED),
        (b"a=\xff", URLENCODED),
        (b"--xx", "multipart/form-data; boundary=xx"),
        (b"{}", "application/json"),
        (b"a" * (MAX_BODY + 1), URLENCODED),
    ],
)
def test_refused_request_needs_no_garbage_collector(url, clock, body, kind) -> None:
    """The collector would leave the bodies of a hundred requests in memory for a while."""
    seen = []

    class Watched(StrictRequest):
        def __init__(self, *arguments, **options) -> None:
            super().__init__(*arguments, **options)
            seen.append(weakref.ref(self))

    app = make_app(url, clock, CONTROL="on")
    app.request_class = Watched
    client = app.test_client()
    client.get(COUNT)
    gc.collect()
    gc.disable()
    try:
        for _ in range(3):
            for path in (COUNT, "/v3/x.example/bounces"):
                answer = client.post(path, data=body, content_type=kind)
                assert answer.status_code in (400, 401, 403, 413, 415)
                answer.close()
                del answer
        alive = [request for request in seen[:-1] if request() is not None]
    finally:
        gc.enable()
    app.extensions[EXTENSION].storage.close()
    assert alive == []


def test_form_that_does_not_parse_is_parsed_once(url, clock, monkeypatch) -> None:
    """The request log and the view share the error."""
    parse, calls = requests._parse_multipart, []
    monkeypatch.setitem(
        requests.FORMS,
        "multipart/form-data",
        lambda *arguments: calls.append(1) or parse(*arguments),
    )
    app = make_app(url, clock, CONTROL="on")
    with closing(app.extensions[EXTENSION].storage):
        for path in (COUNT, "/v3/mail.example.com/bounces"):
            calls.clear()
            answer = app.test_client().post(
                path, data=b"x", content_type="multipart/form-data; boundary=xx"
            )

            assert answer.status_code in {400, 401}
            assert len(calls) == 1


def test_incomplete_body_deletes_nothing(client) -> None:
    """A lost filter would delete more."""
    answer = client.post(
        DELETE,
        query_string=ACME,
        data=b"ema",
        content_type=URLENCODED,
        environ_overrides={"CONTENT_LENGTH": "20"},
    )

    assert answer.status_code == 400
    assert _count(client) == "4"


@pytest.mark.parametrize("suffix", ["json", "xml"])
def test_body_over_the_limit_is_rejected(client, suffix: str) -> None:
    """In the vendor's format; a body of exactly the limit is accepted."""
    path = f"/api/bounces.count.{suffix}"
    room = MAX_BODY - len("api_user=acme&api_key=s3cret&x=")
    for size, expected in ((room, 200), (room + 1, 413)):
        answer = client.post(path, data={**ACME, "x": "y" * size})

        assert expected == answer.status_code
        assert b"html" not in answer.data
    assert f"larger than {MAX_BODY} bytes" in answer.text


def test_number_of_parameters_is_limited(client) -> None:
    """Parsing stops at `MAX_PARAMETERS`."""
    answer = client.post(
        DELETE,
        query_string=ACME,
        data="&".join(["a=1"] * (MAX_PARAMETERS + 1)),
        content_type=URLENCODED,
    )

    assert answer.status_code == 400
    assert _count(client) == "4"


def test_number_of_addresses_is_limited(client) -> None:
    """A call with exactly `MAX_EMAILS` addresses is accepted."""
    emails = [f"{number}@example.com" for number in range(MAX_EMAILS)]
    for given, expected in ((emails, 200), ([*emails, "a@example.com"], 400)):
        answer = client.post(COUNT, data={**ACME, "email[]": given})

        assert expected == answer.status_code
    assert _count(client) == "4"


def test_long_list_is_streamed(app, client) -> None:
    """The response has all rows and no Content-Length."""
    storage = app.extensions[EXTENSION].storage
    empty = storage.accounts.get("empty").bounce_list
    storage.bounces.put(empty, [bounce(f"{i}@x", created=i) for i in range(1_000)])
    authenticator = {**ACME, "api_user": "empty"}

    answer = client.get("/api/bounces.get.json", query_string=authenticator)
    xml = client.get("/api/bounces.get.xml", query_string=authenticator)

    assert "Content-Length" not in answer.headers
    assert [f"{i}@x" for i in range(1_000)] == [row["email"] for row in answer.json]
    assert xml.text.count("</bounce>") == 1_000


@pytest.mark.parametrize("path", ["/", "/favicon.ico", "/api", "/v9/x", "/%ff", "//x"])
def test_path_without_owner_is_not_found(client, path: str) -> None:
    """The error is JSON, not HTML."""
    answer = client.get(path)

    assert answer.status_code == 404
    assert answer.content_type == "application/json"


@pytest.mark.parametrize(
    "path",
    [
        *("/api/bounces.get.json", "/apiv2/reseller.manage.xml", "/v2/x/bounces"),
        *("/v3/x/bounces", "/_emulator/health"),
    ],
)
def test_database_failure_is_503(path: str, app, client, monkeypatch, caplog) -> None:
    """The cause is in the log, not in the response."""
    from sendgrid_bounces.core.errors import StorageError

    def fail(*_: object) -> None:
        raise StorageError("disk full at /secret/place")

    monkeypatch.setattr(app.extensions[EXTENSION].storage.engine, "fetch", fail)
    answer = client.get(path, query_string=ACME, auth=("api", "key-s3cret"))

    assert answer.status_code == 503
    assert re.search("unavailable|the database does not answer", answer.text)
    assert "/secret/place" not in answer.text
    assert f"GET {path!r} failed: disk full at /secret/place" in caplog.text
    assert "s3cret" not in caplog.text


def test_unexpected_exception_is_500_in_the_vendors_format(app, monkeypatch) -> None:
    """The response contains no traceback."""
    from sendgrid_bounces.dialects.sendgrid import direct

    app.testing = False
    monkeypatch.setitem(direct.OPERATIONS, "count", lambda _call: 1 / 0)
    answer = app.test_client().get("/api/bounces.count.xml", query_string=ACME)

    assert answer.status_code == 500
    assert "<message>error: internal error</message>" in answer.text


def test_two_applications_share_no_state(app, client, tmp_path, clock) -> None:
    """State is in the application, not in a module."""
    other = make_app(f"sqlite:///{tmp_path}/other.sqlite3", clock, AUTH="any")
    answer = other.test_client().get(COUNT, query_string=ACME)
    other.extensions[EXTENSION].storage.close()

    assert answer.json == {"count": "0"}
    assert _count(client) == "4"


def test_json_with_the_type_of_a_page_runs_no_script(url, clock) -> None:
    """A browser that opens the URL would run it in the origin of the dashboard."""
    app = make_app(url, clock, PROFILE="recorded", AUTH="any")
    with app.test_client() as client:
        added = client.post(
            "/v3/acme/bounces",
            data={"address": "a@example.com", "error": "<script>"},
            auth=("api", "k"),
        )
        assert added.status_code == 200
        for name, text in (("acme", "<script>"), ("", "error")):
            query = {"api_user": name, "api_key": "k"}
            answer = client.get("/api/bounces.get.json", query_string=query)
            assert text in answer.text
            assert answer.content_type == "text/html"
            policy = answer.headers["Content-Security-Policy"]
            assert policy == "default-src 'none'; sandbox"
    app.extensions[EXTENSION].storage.close()


def test_account_profile_overrides_the_servers(seeded, clock) -> None:
    """Unknown callers get the profile of the server."""
    app = make_app(f"sqlite:///{seeded}", clock, PROFILE="recorded")
    client = app.test_client()
    answers = [
        client.get(COUNT, query_string={**ACME, "api_user": name}).text
        for name in ("acme", "recorded", "nobody")
    ]
    app.extensions[EXTENSION].storage.close()

    assert answers == [
        '{"count": 4}',
        '{"count": 4}',
        '{"error": "Bad username / password"}',
    ]


@pytest.mark.parametrize(
    ("path", "fields"),
    [
        ("/api/bounces.count.json?api_user=second&api_key=k", {}),
        ("/v3/suppression/bounces", {"Authorization": "Bearer other"}),
        ("/v3/second.example/bounces", {"Authorization": "Basic YXBpOms="}),
    ],
)
def test_number_of_created_accounts_is_limited(
    tmp_path, clock, monkeypatch, path: str, fields: dict[str, str]
) -> None:
    """With ``--auth any``, a client could otherwise fill the disk."""
    from sendgrid_bounces import auth

    monkeypatch.setattr(auth, "MAX_ACCOUNTS", 1)
    app = make_app(f"sqlite:///{tmp_path}/any.sqlite3", clock, AUTH="any")
    client = app.test_client()
    first = client.get(COUNT, query_string={"api_user": "first", "api_key": "k"})
    refused = client.get(path, headers={"Accept": "application/json", **fields})
    again = client.get(COUNT, query_string={"api_user": "first", "api_key": "k"})
    names = [a.username for a in app.extensions[EXTENSION].storage.accounts.all()]
    app.extensions[EXTENSION].storage.close()

    assert (first.json, again.json) == ({"count": "0"}, {"count": "0"})
    assert (refused.status_code, names) == (400, ["first"])
    assert "the database has 1 accounts, the maximum" in refused.text
