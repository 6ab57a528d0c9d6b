"""Mailgun: the official SDK, size limits, and atomic batches and imports."""

import base64
import errno
import http.client
import json
import os
import re
import socket
import time
from collections import deque
from contextlib import closing, suppress
from io import BytesIO
from pathlib import Path

import pytest
from conftest import NOW, make_app, measured_memory
from flask.testing import FlaskClient
from hypothesis import given
from hypothesis import strategies as st
from live import Live, serving
from mailgun.client import Client

from sendgrid_bounces import dialects
from sendgrid_bounces.core.bounces import EARLIEST, LATEST, BounceQuery
from sendgrid_bounces.core.errors import ParametersError
from sendgrid_bounces.core.forms import MAX_BOUNDARY
from sendgrid_bounces.dialects.mailgun import documents, serializers
from sendgrid_bounces.dialects.mailgun.dates import parse_date, render_date
from sendgrid_bounces.dialects.mailgun.documents import Slice
from sendgrid_bounces.dialects.mailgun.params import (
    MAX_COLUMNS,
    RECORD_V3,
    read_csv,
    read_form,
    read_record,
)
from sendgrid_bounces.dialects.mailgun.serializers import v2_item, v2_json, v2_slice
from sendgrid_bounces.dialects.mailgun.web import MAX_FILE
from sendgrid_bounces.emulator import EXTENSION
from sendgrid_bounces.storage.database import open_storage
from sendgrid_bounces.web.requests import StrictRequest

KEY = "key-3ax6xnjp29jd6fds4gc373sgvjxteol0"
DOMAIN = "mg.example.com"
BOUNCES = f"/v3/{DOMAIN}/bounces"


def _basic(key: str) -> dict[str, str]:
    encoded = base64.b64encode(f"api:{key}".encode()).decode()
    return {"Authorization": f"Basic {encoded}"}


@pytest.fixture(name="live")
def _live(url: str, tmp_path: Path):
    """A server with one domain."""
    seed = tmp_path / "seed.yaml"
    seed.write_text(
        f"accounts: [{{username: acme, api_key: {KEY}, domains: [{{name: {DOMAIN}}}]}}]"
    )
    with serving("--database", url, "--seed", str(seed)) as live:
        yield live


@pytest.mark.server
def test_official_sdk_runs_unmodified(live: Live, tmp_path: Path) -> None:
    """Add, list, page, get, delete, import and clear."""
    with closing(Client(auth=("api", KEY), api_url=live.url)) as client:
        added = client.bounces.create(
            data={"address": "bob+tag@example.com", "code": 451, "error": "full"},
            domain=DOMAIN,
        )
        assert added.json() == {
            "message": "Address has been added to the bounces table",
            "address": "bob+tag@example.com",
        }
        batch = [{"address": f"u{n:03}@example.com", "code": "550"} for n in range(25)]
        added = client.bounces.create(
            data=json.dumps(batch),
            domain=DOMAIN,
            headers={"Content-Type": "application/json"},
        )
        assert added.json() == {
            "message": "25 addresses have been added to the bounces table"
        }

        seen, page = [], client.bounces.get(domain=DOMAIN, filters={"limit": 10}).json()
        while page["items"]:
            seen += [item["address"] for item in page["items"]]
            pivot = re.search(r"address=([^&]+)", page["paging"]["next"])[1]
            filters = {"page": "next", "address": seen[-1], "limit": 10}
            assert pivot == seen[-1].replace("+", "%2B").replace("@", "%40")
            page = client.bounces.get(domain=DOMAIN, filters=filters).json()
        assert seen == ["bob+tag@example.com", *(r["address"] for r in batch)]

        one = client.bounces.get(domain=DOMAIN, bounce_address="bob+tag@example.com")
        assert (one.json()["code"], one.json()["error"]) == ("451", "full")
        gone = client.bounces.delete(domain=DOMAIN, bounce_address="u003@example.com")
        assert gone.json()["message"] == "Bounced address has been removed"
        gone = client.bounces.get(domain=DOMAIN, bounce_address="u003@example.com")
        assert gone.status_code == 404

        file = tmp_path / "bounces.csv"
        file.write_text("address,code,error,created_at\nnew@example.com,550,,\n")
        with file.open("rb") as open_database:
            imported = client.bounces_import.create(
                domain=DOMAIN, files={"file": open_database}
            )
        assert imported.status_code == 202
        assert (
            client.bounces.get(domain=DOMAIN, bounce_address="new@example.com").json()[
                "code"
            ]
            == "550"
        )

        client.bounces.delete(domain=DOMAIN)
        assert client.bounces.get(domain=DOMAIN).json()["items"] == []


def _upload(client: FlaskClient, content: bytes) -> tuple[int, dict]:
    answer = client.post(
        "/v3/empty.example.com/bounces/import",
        headers={
            **_basic(KEY),
            "Content-Type": "multipart/form-data; boundary=xx",
        },
        data=b'--xx\r\nContent-Disposition: form-data; name="file"; filename="b.csv"'
        b"\r\n\r\n" + content + b"\r\n--xx--\r\n",
    )
    return answer.status_code, answer.json


def _rows(size: int) -> bytes:
    """Return a CSV file of exactly *size* bytes."""
    lines, length = [b"address,error\n"], 14
    while size - length > 400:
        lines.append(b"user%09d@example.com,%s\n" % (len(lines), b"x" * 180))
        length += len(lines[-1])
    last = b"last@example.com,"
    lines.append(last + b"y" * (size - length - len(last)))
    return b"".join(lines)


@pytest.mark.slow
def test_file_of_25_mb_is_accepted_and_a_larger_one_is_rejected(app, client) -> None:
    """The file is on disk while it is read."""
    storage = app.extensions[EXTENSION].storage
    bounce_list = storage.accounts.find_domain("empty.example.com").bounce_list
    content = _rows(MAX_FILE)

    assert _upload(client, content + b"y") == (
        413,
        {"message": "The request is too large"},
    )
    assert storage.bounces.count(bounce_list, BounceQuery()) == 0
    assert _upload(client, content)[0] == 202
    assert storage.bounces.count(bounce_list, BounceQuery()) == content.count(b"\n")


@pytest.mark.parametrize("head", [b"; a" * 50_000, b""])
def test_header_fields_of_an_upload_are_limited(client, head: bytes) -> None:
    """They take long to parse: a part may have few, and a body few parts."""
    part = b'--xx\r\nContent-Disposition: form-data; name="x"'
    answer = client.post(
        "/v3/empty.example.com/bounces/import",
        headers={
            **_basic(KEY),
            "Content-Type": "multipart/form-data; boundary=xx",
        },
        data=(part + head + b"\r\n\r\na\r\n") * 21 + b"--xx--\r\n",
    )

    assert answer.status_code == 413


@pytest.mark.parametrize("path", ["", "/import"])
def test_boundary_of_a_form_is_limited(client, path: str) -> None:
    """A parser compares all of it at each byte."""
    line = "x" * (MAX_BOUNDARY + 1)
    answer = client.post(
        f"/v3/empty.example.com/bounces{path}",
        headers={
            **_basic(KEY),
            "Content-Type": f"multipart/form-data; boundary={line}",
        },
        data=f"--{line}\r\nContent-Disposition: form-data; name=address\r\n\r\na@x\r\n"
        f"--{line}--\r\n",
    )

    assert answer.status_code == 400
    assert "the form has no valid boundary" in answer.json["message"]


@pytest.mark.server
def test_too_large_content_length_is_rejected_early(live: Live) -> None:
    """The response comes before the body is sent."""
    connection = http.client.HTTPConnection(
        live.url.removeprefix("http://"), timeout=20
    )
    connection.putrequest("POST", f"{BOUNCES}/import")
    for name, value in {
        **_basic(KEY),
        "Content-Type": "multipart/form-data; boundary=xx",
        "Content-Length": str(10**9),
    }.items():
        connection.putheader(name, value)
    connection.endheaders()
    answer = connection.getresponse()

    assert answer.status == 413
    assert answer.getheader("Content-Type") == "application/json; charset=utf-8"
    connection.close()


def test_import_of_two_files_stores_nothing(app, client) -> None:
    """The second would be left out."""
    files = [(BytesIO(b"address\n%d@example.com\n" % n), f"{n}.csv") for n in range(2)]
    answer = client.post(
        "/v3/empty.example.com/bounces/import",
        headers=_basic(KEY),
        data={"file": files},
    )
    assert answer.status_code == 400
    assert "more than one file" in answer.json["message"]
    storage = app.extensions[EXTENSION].storage
    bounce_list = storage.accounts.find_domain("empty.example.com").bounce_list
    assert storage.bounces.count(bounce_list, BounceQuery()) == 0


def test_import_with_an_invalid_last_row_stores_nothing(app, client) -> None:
    """The error names the row."""
    storage = app.extensions[EXTENSION].storage
    rows = b"".join(b"u%d@example.com\n" % n for n in range(5_000))

    assert _upload(client, b"address\n" + rows + b"nobody\n") == (
        400,
        {"message": "row 5002: Invalid format for parameter address: nobody"},
    )
    bounce_list = storage.accounts.find_domain("empty.example.com").bounce_list
    assert storage.bounces.count(bounce_list, BounceQuery()) == 0


@pytest.mark.parametrize(
    "address", ["bob@valid-mailgun-domain", "bob@my_host.example.com", "bob@localhost"]
)
def test_domain_of_an_address_is_lenient(client, address) -> None:
    """The tests of client libraries use such addresses; in each kind of request."""
    path, key = "/v3/empty.example.com/bounces", _basic(KEY)
    answers = [
        client.post(path, data={"address": address}, headers=key),
        client.post(path, json=[{"address": address}], headers=key),
    ]

    assert [answer.status_code for answer in answers] == [200, 200]
    assert _upload(client, f"address\n{address}\n".encode())[0] == 202
    assert client.get(f"{path}/{address}", headers=key).status_code == 200


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"address\na@example.com\n\xff@example.com\n", "while reading csv: not UTF-8"),
        (b'address\n"a@example.com\n', "line 2: unexpected end of data"),
        (b'address,error\na@example.com,"x" y\n', "line 2: ',' expected after '\"'"),
        (
            b"address,error\na@example.com," + b"x" * 200_000,
            "line 2: field larger than",
        ),
        (b"address,error\na@example.com," + b"x" * 70_000, "row 2: Invalid format for"),
        (
            b"address" + b",x" * MAX_COLUMNS,
            f"while reading csv header: more than {MAX_COLUMNS} columns",
        ),
        (b"address\n" + b"\n" * 1_000_001, "while reading csv: more than 1000000 rows"),
    ],
)
def test_malformed_file_is_rejected(client, content, message) -> None:
    """The error has a position and a reason."""
    status, answer = _upload(client, content)

    assert status == 400
    assert answer["message"].startswith(message)


@pytest.mark.parametrize(
    "content",
    [
        b"address" + b"," * 500_000 + b"\n" + b"a@example.com\n" * 35_000,
        b"address\n" + (b"a@example.com" + b"," * 999 + b"\n") * 1_000,
        b"address\n" + b"\n" * 1_000_000,
        b"address\na@" + b"b." * 500_000,
        b'address\n"' + b'""' * 500_000,
    ],
    ids=["columns", "cells", "blanks", "labels", "quotes"],
)
def test_time_to_read_a_file_is_bounded_by_its_size(content) -> None:
    """A megabyte of the most expensive content takes less than a second."""
    started = time.process_time()
    with suppress(ParametersError):
        deque(read_csv(content.splitlines(keepends=True), NOW), maxlen=0)

    assert time.process_time() - started < 1


def test_import_stops_when_the_client_disconnects(app, client, monkeypatch) -> None:
    """A small file is stored, since the client may only have closed its half."""
    monkeypatch.setattr("sendgrid_bounces.web.requests.CHECK_INTERVAL", 10)
    server_end, client_end = socket.socketpair()
    client_end.close()
    storage = app.extensions[EXTENSION].storage
    bounce_list = storage.accounts.find_domain("empty.example.com").bounce_list
    with server_end:
        for rows, status, stored in ((10, 202, 10), (12, 400, 10)):
            lines = b"".join(b"u%d@example.com\n" % n for n in range(rows - 1))
            answer = client.post(
                "/v3/empty.example.com/bounces/import",
                data={"file": (BytesIO(b"address\n" + lines), "b.csv")},
                headers=_basic(KEY),
                environ_overrides={"gunicorn.socket": server_end},
            )
            found = storage.bounces.count(bounce_list, BounceQuery())
            assert (answer.status_code, found) == (status, stored - 1)


def test_batch_of_1000_is_accepted_and_a_larger_one_is_rejected(app, client) -> None:
    """Wire: Mailgun API reference, "Batch size should be less than 1000"."""
    storage = app.extensions[EXTENSION].storage
    bounce_list = storage.accounts.find_domain("empty.example.com").bounce_list
    records = [{"address": f"u{n}@example.com"} for n in range(1_001)]
    for batch, expected in (
        (records, (400, "Batch size should be less than 1000", 0)),
        (
            records[:-1],
            (200, "1000 addresses have been added to the bounces table", 1_000),
        ),
    ):
        answer = client.post(
            "/v3/empty.example.com/bounces", json=batch, headers=_basic(KEY)
        )
        stored = storage.bounces.count(bounce_list, BounceQuery())
        assert (answer.status_code, answer.json["message"], stored) == expected


@pytest.mark.parametrize(
    ("content_type", "body", "status"),
    [
        ("application/x-www-form-urlencoded", b"a=&" * 330_000, 400),
        ("application/x-www-form-urlencoded", b"&" * 1_000_000, 400),
        (
            "application/x-www-form-urlencoded",
            b"address=%F0%9F%98%80+" + b"a" * 1_000_000,
            400,
        ),
        ("application/json", b"[" + b'{"":0},' * 850_000 + b"0]", 400),
        ("application/json", b"[" + b"{}," * 249_000 + b"{}]", 400),
    ],
    ids=["fields", "empty fields", "long field", "records", "empty records"],
)
def test_memory_for_a_body_is_bounded(
    app, client, content_type: str, body: bytes, status: int
) -> None:
    """The number of values is known before they are parsed."""
    with measured_memory() as memory:
        answer = client.post(
            "/v3/empty.example.com/bounces",
            data=body,
            content_type=content_type,
            headers=_basic(KEY),
        )

    assert answer.status_code == status
    assert memory.peak < 50_000_000


class FullFile(BytesIO):
    """A file on a full disk."""

    def write(self, _data) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_full_folder_for_temporary_files_is_no_fault_of_the_client(
    client, monkeypatch, caplog
) -> None:
    """Werkzeug stores a large file there."""
    monkeypatch.setattr(StrictRequest, "_get_file_stream", lambda *_, **__: FullFile())
    status, answer = _upload(client, b"address\na@example.com\n")
    assert (status, answer["message"]) == (
        503,
        "The service is temporarily unavailable",
    )
    assert "cannot write to the folder for temporary files: No space" in caplog.text


@pytest.mark.slow
def test_memory_for_a_row_is_bounded(client) -> None:
    """A row has several lines if a cell has a line end."""
    rows = (
        b'a@example.com,"' + b'a\n","' * 1_500_000 + b'"',
        b"a@example.com" + b",ab" * 2_500_000,
        "😀".encode() + b"a" * 8_000_000,
    )
    for head, line in ((b"address,code\n", 2), (b"", 1)):
        for row in rows:
            with measured_memory() as memory:
                status, answer = _upload(client, head + row)

            message = f"line {line}: a row of more than 1,048,576 characters"
            assert (status, answer["message"]) == (400, message)
            assert memory.peak < 50_000_000


@pytest.mark.parametrize(
    ("path", "content_type", "limit"),
    [
        ("/v3/empty.example.com/bounces", "application/json", 8 * 1024 * 1024),
        (
            "/v3/empty.example.com/bounces",
            "application/x-www-form-urlencoded",
            1024 * 1024,
        ),
        (
            "/v2/empty.example.com/bounces",
            "application/x-www-form-urlencoded",
            1024 * 1024,
        ),
    ],
)
def test_body_over_the_limit_is_413_in_json(
    client, path: str, content_type: str, limit: int
) -> None:
    """Forms and batches, in both versions."""
    for size, status in ((limit, 400), (limit + 1, 413)):
        answer = client.post(
            path, data=b"a" * size, content_type=content_type, headers=_basic(KEY)
        )
        assert answer.status_code == status
    assert answer.json == {"message": "The request is too large"}


def test_domain_is_created_on_first_use(url, clock) -> None:
    """With an account of the same name, which SendGrid's calls can use."""
    app = make_app(url, clock, AUTH="any")
    client = app.test_client()
    answers = [
        client.get(BOUNCES, headers=_basic("")).status_code,
        client.post(
            BOUNCES, data={"address": "a@example.com"}, headers=_basic("one")
        ).status_code,
        client.get(f"{BOUNCES}/a@example.com", headers=_basic("two")).status_code,
        client.get("/v2/a%0Ab/bounces", headers=_basic("two")).status_code,
    ]
    seen = client.get(f"/api/bounces.count.json?api_user={DOMAIN}&api_key=three").json
    app.extensions[EXTENSION].storage.close()

    assert answers == [401, 200, 200, 401]
    assert seen == {"count": "1"}


def test_letter_case_of_a_new_domain_is_ignored(url, clock) -> None:
    """The account that is created for a domain has its name in lower case."""
    app = make_app(url, clock, AUTH="any")
    client = app.test_client()
    names = ("Mixed.Example.com", "mixed.example.com", "MIXED.example.com")
    for number, name in enumerate(names):
        address = {"address": f"{number}@example.com"}
        added = client.post(f"/v3/{name}/bounces", data=address, headers=_basic("k"))
        assert added.status_code == 200
    counted = client.get(
        "/api/bounces.count.json?api_user=mixed.example.com&api_key=k"
    ).json
    app.extensions[EXTENSION].storage.close()

    assert counted == {"count": "3"}


@pytest.mark.parametrize("name", ["a%25b", "%C3%A9.com", "%22x%22"])
def test_paging_urls_are_encoded(url, clock, name: str) -> None:
    """They have the path and the host of the request."""
    app = make_app(url, clock, AUTH="any")
    client = app.test_client()
    paging = client.get(f"/v3/{name}/bounces", headers=_basic("k")).json["paging"]
    hostless = client.get(
        f"/v3/{name}/bounces", headers={**_basic("k"), "Host": 'evil"x'}
    )
    app.extensions[EXTENSION].storage.close()

    assert paging["first"] == f"http://localhost/v3/{name}/bounces?limit=100&term="
    assert hostless.status_code == 400


def test_batch_with_long_errors_is_accepted(client) -> None:
    """1000 records of four kilobytes each."""
    batch = [
        {"address": f"u{n}@example.com", "error": "x" * 4_000} for n in range(1_000)
    ]
    answer = client.post(
        "/v3/empty.example.com/bounces", json=batch, headers=_basic(KEY)
    )

    assert answer.status_code == 200


def test_wrong_key_costs_few_hashes(client, app, monkeypatch) -> None:
    """It is not compared with the key of every account."""
    from sendgrid_bounces import auth

    checked: list[str] = []
    original = auth.check_password_hash
    monkeypatch.setattr(
        auth,
        "check_password_hash",
        lambda key_hash, key: checked.append(key_hash) or original(key_hash, key),
    )
    for domain in ("samples.mailgun.org", "unknown.example.com"):
        checked.clear()
        answer = client.get(f"/v3/{domain}/bounces", headers=_basic("wrong"))
        assert answer.status_code == 401
        assert len(checked) == 1, domain
    assert len(app.extensions[EXTENSION].storage.accounts.all()) > 10


TEXT = st.text(st.characters(exclude_categories=["Cs"]))
ROWS = st.lists(
    st.tuples(TEXT, TEXT, TEXT, TEXT, st.integers(0, 2**31), st.booleans(), st.just(1))
)


@given(st.integers(0, 10**9), ROWS, st.integers(1, 3))
def test_v2_stream_equals_json_dumps(total, rows, size) -> None:
    """For any number of batches."""
    batches = (rows[i : i + size] for i in range(0, len(rows), size))
    whole = {"total_count": total, "items": [v2_item(row) for row in rows]}

    assert b"".join(v2_slice(Slice(total, batches))) == b"".join(v2_json(whole))


def _outcome(read, *arguments) -> object:
    try:
        return read(*arguments)
    except ParametersError as error:
        return str(error)


@given(
    st.dictionaries(
        st.sampled_from(["address", "code", "error", "created_at", "other"]),
        st.sampled_from(
            ["", "a@example.com", "550", "Thu, 13 Oct 2011 18:02:00 GMT", "x" * 70_000]
        )
        | st.text(),
    )
)
def test_forms_and_records_are_parsed_alike(record: dict[str, str]) -> None:
    """Batches have a faster parser than forms."""
    assert _outcome(read_form, RECORD_V3, record, NOW) == _outcome(
        read_record, record, NOW
    )


@given(st.integers(EARLIEST, LATEST))
def test_rendered_date_is_parsed_to_the_same_instant(instant: int) -> None:
    """Since 1900."""
    text = render_date(instant)
    if instant >= -2_208_988_800:  # 1900
        assert parse_date(text) == parse_date(text.replace("GMT", "UTC")) == instant


@given(st.text())
def test_any_text_is_a_date_or_a_value_error(text: str) -> None:
    """Other exceptions would become an internal error."""
    try:
        parsed = parse_date(text)
    except ValueError:
        return
    assert parsed is None or EARLIEST <= parsed <= LATEST


def test_long_list_of_v2_is_streamed(app, client) -> None:
    """With limit and skip."""
    storage = app.extensions[EXTENSION].storage
    bounce_list = storage.accounts.find_domain("empty.example.com").bounce_list
    from conftest import bounce

    storage.bounces.put(
        bounce_list, [bounce(f"{n}@x", created=NOW - n) for n in range(1_000)]
    )
    answer = client.get(
        "/v2/empty.example.com/bounces?limit=900&skip=50", headers=_basic(KEY)
    )

    assert answer.json["total_count"] == 1_000
    assert [item["address"] for item in answer.json["items"]] == [
        f"{n}@x" for n in range(50, 950)
    ]


def test_core_and_storage_name_no_vendor() -> None:
    """A new vendor changes neither of them."""
    package = Path(dialects.__file__).parent.parent
    for layer in ("core", "storage"):
        for path in (package / layer).glob("*.py"):
            text = path.read_text().lower().replace("sendgrid_bounces", "")
            text = text.replace("sendgrid-bounces", "")
            assert "mailgun" not in text, path
            assert "sendgrid" not in text, path


@pytest.mark.server
def test_imported_bounces_are_visible_to_other_connections(
    live: Live, url: str
) -> None:
    """The import is committed before the response is sent."""
    body = (
        b'--xx\r\nContent-Disposition: form-data; name="file"; filename="b.csv"\r\n\r\n'
        b"address\nlate@example.com\r\n--xx--\r\n"
    )
    connection = http.client.HTTPConnection(live.url.removeprefix("http://"))
    headers = {**_basic(KEY), "Content-Type": "multipart/form-data; boundary=xx"}
    connection.request("POST", f"{BOUNCES}/import", body, headers)
    assert connection.getresponse().status == 202
    connection.close()

    with closing(open_storage(url)) as storage:
        bounce_list = storage.accounts.find_domain(DOMAIN).bounce_list
        assert storage.bounces.count(bounce_list, BounceQuery()) == 1


def test_v3_has_a_form_for_every_document() -> None:
    """Except the list of v2; an absent form would be an internal error."""
    known = {
        found
        for found in vars(documents).values()
        if isinstance(found, type) and issubclass(found, documents.Document)
    } - {documents.Document, Slice}

    assert known == {*serializers.V3.forms, *serializers.TEXT}
