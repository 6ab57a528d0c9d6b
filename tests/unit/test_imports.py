"""Files of bounces in the shapes in which this program and vendors export them."""

import io
import json
from itertools import chain, repeat

import pytest
from conftest import NOW, measured_memory
from hypothesis import given
from hypothesis import strategies as st

from sendgrid_bounces.control.documents import render_bounce
from sendgrid_bounces.core.bounces import Bounce
from sendgrid_bounces.core.errors import ParametersError
from sendgrid_bounces.core.timezones import TimeZone
from sendgrid_bounces.schemas import imports, json_stream
from sendgrid_bounces.schemas.bounces import FIELDS, read_record
from sendgrid_bounces.schemas.imports import (
    ImportOptions,
    find_records,
    read_bounces,
)

CREATED = 1443651125
ANN = Bounce("ann@example.com", "5.1.1", "550", "550 no such user", CREATED)
BOB = Bounce("bob@example.com", "4.2.2", "452", "452 mailbox full", NOW)
MAIL_ANN = Bounce("ann@example.com", "550", "550", "no such user", CREATED)
OPTIONS = ImportOptions(TimeZone("Asia/Tokyo"), NOW)

#: Each shape: format, content and bounces.
SHAPES = {
    "SendGrid's CSV": (
        "csv",
        (
            "status,reason,email,created\n"
            "5.1.1,550 no such user,ann@example.com,1443651125\n"
            "4.2.2,452 mailbox full,bob@example.com,1329307200\n"
        ),
        [ANN, BOB],
    ),
    "SendGrid's JSON": (
        "json",
        (
            '[{"created": 1443651125, "email": "ann@example.com", "reason": "550 no such user",'
            ' "status": "5.1.1"}]'
        ),
        [ANN],
    ),
    "SendGrid's JSON of v2": (
        "json",
        (
            '[{"status":"5.1.1","created":"2015-10-01 07:12:05","reason":"550 no such user",'
            '"email":"ann@example.com"}]'
        ),
        [ANN],
    ),
    "Mailgun's CSV": (
        "csv",
        (
            "address,code,error,created_at\r\n"
            'ann@example.com,550,no such user,"Wed, 30 Sep 2015 22:12:05 UTC"\r\n'
        ),
        [MAIL_ANN],
    ),
    "Mailgun's JSON of v3": (
        "json",
        (
            '{"items": [{"address": "ann@example.com", "code": "550", "error": "no such user",'
            ' "created_at": "Wed, 30 Sep 2015 22:12:05 UTC"}],\n "paging": {"first": "x", "n": []}}'
        ),
        [MAIL_ANN],
    ),
    "Mailgun's JSON of v2": (
        "json",
        (
            '{"total_count": 1, "items": [{"address": "ann@example.com", "code": "550",'
            ' "error": "no such user", "created_at": "Wed, 30 Sep 2015 22:12:05 GMT"}]}'
        ),
        [MAIL_ANN],
    ),
    "a control response": (
        "json",
        (
            '{"bounces": [{"email": "ann@example.com", "status": "5.1.1", "code": "550",'
            ' "reason": "550 no such user", "created": "2015-09-30T22:12:05Z",'
            ' "reported": false}], "next": null}'
        ),
        [ANN],
    ),
    "a list of addresses": (
        "text",
        "ann@example.com\n\n  bob@example.com \r\n",
        [
            Bounce("ann@example.com", "", "550", "", NOW),
            Bounce("bob@example.com", "", "550", "", NOW),
        ],
    ),
    "names in any letter case": (
        "csv",
        "EMAIL, Status ,Reason,CREATED\nann@example.com,5.1.1,550 no such user,1443651125\n",
        [ANN],
    ),
    "names in any letter case in JSON": (
        "json",
        (
            '[{"Address": "ann@example.com", "Code": "550", "Error": "no such user",'
            ' "Created At": 1443651125}]'
        ),
        [MAIL_ANN],
    ),
    "semicolons": (
        "csv",
        "email;status;reason;created\nann@example.com;5.1.1;550 no such user;1443651125\n",
        [ANN],
    ),
    "tabs": (
        "csv",
        (
            '"email"\tstatus\treason\tcreated\n'
            "ann@example.com\t5.1.1\t550 no such user\t2015-10-01 07:12:05\n"
        ),
        [ANN],
    ),
    "blank cells at the end": (
        "csv",
        (
            "email,status,reason,created,,\n"
            "ann@example.com,5.1.1,550 no such user,1443651125,,\n"
            "bob@example.com,4.2.2,452 mailbox full\n,,,,,\n \n"
        ),
        [ANN, BOB],
    ),
    "blanks around cells": (
        "csv",
        (
            "email,status,code,reason,created\n"
            " ann@example.com , 5.1.1, 550 , a reason  , 1443651125 \n"
        ),
        [Bounce("ann@example.com", "5.1.1", "550", " a reason  ", CREATED)],
    ),
    "blanks around texts in JSON": (
        "json",
        '[{"email": "ann@example.com ", "status": " 5.1.1", "reason": " a "}]',
        [Bounce("ann@example.com", "5.1.1", "550", " a ", NOW)],
    ),
    "null": (
        "json",
        (
            '[{"email": "ann@example.com", "status": null, "code": null, "reason": null,'
            ' "created": null, "reported": null}]'
        ),
        [Bounce("ann@example.com", "", "550", "", NOW)],
    ),
    "year 1": (
        "csv",
        "email,created\nann@example.com,0001-01-01T00:00:00Z\n",
        [Bounce("ann@example.com", "", "550", "", NOW)],
    ),
    "an empty array": ("json", "[]", []),
    "an empty list": ("text", "", []),
    "a header alone": ("csv", "email\n", []),
}


def read(file_format: str, content: str, options: ImportOptions = OPTIONS) -> list:
    return list(read_bounces(io.StringIO(content, newline=""), file_format, options))


@pytest.mark.parametrize("text", ['{%s, "bounces": []}', '{"bounces": [], %s}'])
def test_members_beside_the_array_are_limited(text: str) -> None:
    """They are no rows, of which there is a limit."""
    rest = ", ".join('"a": 0' for _ in range(json_stream.MAX_MEMBERS - 1))
    assert read("json", text % rest) == []
    with pytest.raises(
        ParametersError, match="line 1: invalid JSON: more than 1,000 m"
    ):
        read("json", text % f'{rest}, "b": 0')


def test_rendered_record_is_read_unchanged() -> None:
    """An export has every field of a record."""
    given = Bounce("Ann@example.com", "5.1.1", "552", "no", CREATED, reported=True)
    record = render_bounce(given)

    assert [*record] == [*FIELDS]
    assert read_record(record, TimeZone("Asia/Tokyo"), NOW) == given


@pytest.mark.parametrize("name", SHAPES)
def test_each_shape_is_read(name: str) -> None:
    file_format, content, bounces = SHAPES[name]

    assert read(file_format, content) == bounces


@pytest.mark.parametrize("form", ["2012-02-15T12:00:00Z", "2012-02-15 21:00:00", "1329307200",
                                  "Wed, 15 Feb 2012 12:00:00 GMT"])  # fmt: skip
def test_each_form_of_a_time_is_read_in_each_format(form: str) -> None:
    rows = read("csv", f'email,created\nann@example.com,"{form}"\n')
    records = read("json", json.dumps([{"email": "ann@example.com", "created": form}]))

    assert [bounce.created for bounce in rows + records] == [NOW, NOW]


def test_unknown_columns_are_named_or_skipped() -> None:
    content = "email,Colour,status,size\nann@example.com,red,5.1.1,2\n"
    record = (
        '[{"email": "ann@example.com", "colour": "red", "status": "5.1.1", "size": 2}]'
    )
    ignoring = ImportOptions(TimeZone(), NOW, ignores_unknown=True)

    for file_format, text, place in (
        ("csv", content, "line 1"),
        ("json", record, r"\[0\] \(line 1\)"),
    ):
        with pytest.raises(
            ParametersError, match=f"^{place}: unknown .* '[Cc]olour', 'size'"
        ):
            read(file_format, text)
        assert [bounce.status for bounce in read(file_format, text, ignoring)] == [
            "5.1.1"
        ]


@pytest.mark.parametrize(
    ("file_format", "content", "message"),
    [
        ("csv", "email,created\n\na@x,never\n", "line 3, created: must be a time such as"),
        ("csv", "email,created\na@x,never\n", r"\(got 'never'\)"),
        ("csv", "email,address\na@x,b@x\n", "line 1: unknown column 'address'"),
        ("csv", "email,IP,Sub User\n", "line 1: unknown columns 'IP', 'Sub User'; valid"),
        ("json", '[{"Address": "a@x", "MessageHash": 1}]', "unknown field 'MessageHash'"),
        ("csv", "address,email\na@x,b@x\n", "line 1: unknown column 'address'"),
        ("csv", "email" + ",x" * 100, "line 1: more than 100 columns"),
        ("json", json.dumps([{"email": "a@x", **dict.fromkeys(map(str, range(100)))}]), "line 1.: more than 100 fields"),
        ("csv", "email\na@x\n\udcff@x\n", "line 3: not UTF-8 text; .* --encoding"),
        ("json", '[\n{"email":\n "\udcff"}]', "line 3: not UTF-8 text; .* --encoding"),
        ("text", f"a@x\n{'b' * 1_048_577}", "line 2: a line of more than 1,048,576"),
        ("text", "a@x\n\udcff@x\n", "line 2: not UTF-8 text; .* --encoding"),
        ("json", '[{"email": null}]', r"\[0\] \(line 1\), email: must not be null"),
        ("json", '[{"email": "a@x"},\n{"email": "b@x", "created": true}]',
         r"\[1\] \(line 2\), created: must be a time"),
        ("json", '[{"email": "a@x", "created": "x"}]', r"created: must be .* \(got 'x'\)"),
        ("json", '[{"email": "a@x"}\n{"email": "b@x"}]', "line 2: invalid JSON: expected ','"),
        ("json", '[{"email": "a@x"}', "line 1: invalid JSON: expected ','"),
        ("json", '[{"email": "a@x"}] 1', "line 1: invalid JSON: extra data"),
        ("json", '{"items": [] 1', "line 1: invalid JSON: expected ',' or '}'"),
        ("json", '{"items" []}', "line 1: invalid JSON: expected ':'"),
        ("json", '[{"email": "a@x", "email": "b@x"}]', "line 1: duplicate key 'email'"),
        ("json", '{"items": 1, "a": [1]}', "must be an array"),
        ("json", '{"items": [], "items": []}', "line 1: invalid JSON: a second array"),
        ("json", '{"items": [], "bounces": [1]}', "line 1: invalid JSON: a second array"),
        ("json", '"text"', "must be an array"),
        ("json", "", "must be an array"),
        ("json", "nonsense", "line 1: invalid JSON"),
    ],
)  # fmt: skip
def test_error_names_line_column_and_value(file_format, content, message) -> None:
    with pytest.raises(ParametersError, match=message):
        read(file_format, content)


def test_document_has_one_array() -> None:
    """The second would be left out."""
    assert find_records({"items": [1], "bounces": 2}) == [1]
    with pytest.raises(ParametersError, match="must have one of items, bounces"):
        find_records({"items": [1], "bounces": [2]})


def test_invalid_bounces_are_skipped_and_reported() -> None:
    errors: list[str] = []
    options = ImportOptions(
        TimeZone(), NOW, on_invalid=lambda error: errors.append(str(error))
    )
    content = "email,created\na@x,\nb@x,never\nc@x,1,too,many\n,1\nd@x,1\n"

    found = read("csv", content, options)
    assert [bounce.email for bounce in found] == ["a@x", "d@x"]
    assert [error.partition(" must")[0] for error in errors] == [
        "line 3, created:",
        "line 4: more cells than the header",
        "line 5, email: required",
    ]


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@pytest.mark.slow
@given(st.lists(VALUES), st.integers(1, 7), st.sampled_from([None, 1]))
def test_json_is_read_in_chunks_of_any_size(values, size: int, indent) -> None:
    """Also a value that a chunk ends in."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_stream, "CHUNK", size)
        for document in (values, {"n": 12, "items": values, "x": [3]}):
            file = io.StringIO(json.dumps(document, indent=indent))
            text = json_stream.JSONStream(file, ["items"])
            text.enter_array()
            assert list(text.elements()) == values


class EndlessFile(io.TextIOBase):
    """A file that is generated while it is read."""

    def __init__(self, lines) -> None:
        self._lines = iter(lines)

    def __iter__(self):
        return self._lines

    def readline(self, _size: int = -1) -> str:
        return next(self._lines, "")

    def read(self, _size: int = -1) -> str:
        return next(self._lines, "")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("file_format", "first", "line"),
    [
        (
            "csv",
            "status,reason,email,created\n",
            "5.1.1,full,ann@example.com,1443651125\n",
        ),
        ("json", "[1", ', {"email": "ann@example.com", "created": 1443651125}' * 100),
        ("text", "bob@example.com\n", "ann@example.com\n"),
    ],
)
def test_memory_does_not_depend_on_the_size_of_a_file(file_format, first, line) -> None:
    lines = chain([first], repeat(line, 30_000 if file_format != "json" else 300))
    if file_format == "json":
        lines = chain(lines, "]")
    options = ImportOptions(TimeZone(), NOW, on_invalid=lambda _: None)
    read(*SHAPES["SendGrid's JSON"][:2])  # fill the caches
    with measured_memory() as memory:
        number = sum(1 for _ in read_bounces(EndlessFile(lines), file_format, options))

    assert number >= 30_000
    assert memory.peak < 2_000_000


@pytest.mark.parametrize("content", ['"a\n",' * 300_000, "a," * 600_000])
def test_row_without_end_is_rejected(content: str) -> None:
    """Its cells would take dozens of times the memory of the file."""
    with pytest.raises(ParametersError, match="line 2: a row of more than 1,048,576"):
        read("csv", f"email\n{content}")


@pytest.mark.parametrize(("file_format", "first"), [("csv", "email"), ("text", "b@x")])
def test_number_of_blank_rows_is_limited(monkeypatch, file_format, first: str) -> None:
    """They take as long as filled rows: some megabytes took half a minute."""
    monkeypatch.setattr(imports, "MAX_BLANK_ROWS", 3)
    content = f"{first}\n\n \n\na@x\n"
    assert read(file_format, content)[-1].email == "a@x"
    with pytest.raises(ParametersError, match="line 6: more than 3 blank rows"):
        read(file_format, f"{content}\n")


@pytest.mark.parametrize("content", ["[" * 2_000_000, '["' + "x" * 3_000_000])
def test_value_without_end_is_rejected_early(content: str) -> None:
    """Each attempt to parse it reads twice as much."""
    with pytest.raises(ParametersError, match="line 1: invalid JSON"):
        read("json", content)
