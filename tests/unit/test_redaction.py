"""Redaction of credentials, by their form, by the name before them, and by value."""

import base64
import json
import time
from pathlib import Path

import pytest
from conftest import measured_memory
from hypothesis import given
from hypothesis import strategies as st

from sendgrid_bounces import control
from sendgrid_bounces.app import DIALECTS
from sendgrid_bounces.redaction import (
    MAX_TEXT,
    Redactor,
    _redact_values,
    find_credentials,
    find_secrets,
    is_printable_name,
    is_secret,
    redact_name,
)

REDACTOR = Redactor(dialect.key_pattern for dialect in DIALECTS)
SECRET = "Zq7Xw2Kp9LmT4"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("/api/bounces.get.json", "/api/bounces.get.json"),
        ("/v3/example.com/bounces/monkey@example.com", "/v3/example.com/bounces/monkey@example.com"),
        ("550 5.1.1 no such user", "550 5.1.1 no such user"),
        ("/x.json&api_user=a&api_key=hunter2", "/x.json&api_user=a&api_key=***"),
        ("/x.json;api_key=hunter2;limit=1", "/x.json;api_key=***;limit=1"),
        ("a&password%3Dhunter2", "a&password%3D***"),
        ("a&password%25253Dhunter2", "a&password%25253D***"),
        ("next%3Dkey%3Dhunter2/x", "next%3Dkey%3D***/x"),
        ("url=key=hunter2", "url=key=***"),
        ("to http://bob:two words@h/ by a@x", "to http://***@h/ by a@x"),
        ("http://h/ by a@x", "http://h/ by a@x"),
        ("user[key]=hunter2&a=b", "user[key]=***&a=b"),
        ("api_key[]: hunter2", "api_key[]: ***"),
        ("api_key=&a=b", "api_key=&a=b"),
        ('{"a": 1, "api_key": "hunter2", "b": 2}', '{"a": 1, "api_key": *** "b": 2}'),
        (r'{\"api_key\" : \"hunter2\"}', r'{\"api_key\" : ***'),
        ('["api_key", "b"]', '["api_key", "b"]'),
        ("Bearer hunter2", "Bearer ***"),
        ("x-basic  hunter2/ab+cd== more", "x-basic  *** more"),
        ("Basic aHVudGVyMg==", "Basic ***"),
        ("monobasic hunter2", "monobasic hunter2"),
        ("/v3/key-3ax6xnjp29jd6fds4gc373sgvjxteol0/x", "/v3/***/x"),
        ("0123456789abcdef0123456789abcdef-01234567-89abcdef", "***"),
        ("SG.abcdefghijklmnopqrstuv.abcdefghijklmnopqrstuv", "***"),
        ("known-secret and Known-Secret", "*** and ***"),
        ("KNOWN-SECRET.example", "***.example"),
        ("a\u0130b known-secret", "a\u0130b ***"),
        ("GROSSES-GEHEIMNIS", "***"),
        ("short", "short"),
        ("x" * MAX_TEXT, "x" * MAX_TEXT),
        ("x" * 5_000, "x" * (MAX_TEXT - 1) + "…"),
        ("x" * (MAX_TEXT - 8) + "known-secret", "x" * (MAX_TEXT - 8) + "***"),
    ],
)  # fmt: skip
def test_credentials_in_text_are_redacted(text: str, expected: str) -> None:
    """Other text is unchanged, and long text is truncated."""
    redactor = REDACTOR.with_secrets(["known-secret", "short", "gro\xdfes-geheimnis"])
    assert redactor.redact(text) == expected


@pytest.mark.parametrize("before", range(400, 1_010, 3))
def test_credential_at_the_cut_is_redacted(before: int) -> None:
    """Truncation never leaves the beginning of a credential."""
    key = "SG.abcdefghijklmnopqrstuv.abcdefghijklmnopqrstuv"
    text = f"{f'{key} ' * 9:x<{before}} {key} {SECRET}"

    shown = REDACTOR.with_secrets([SECRET]).redact(f"{text} {text}")
    assert "SG." not in shown
    assert SECRET[:4] not in shown


def test_key_pattern_is_an_argument() -> None:
    """A redactor knows the keys of its dialects only."""
    key = "SG.abcdefghijklmnopqrstuv.abcdefghijklmnopqrstuv"
    redactor = Redactor(["", r"\btoy-[0-9]{4}", r"\btoy-[0-9]{4}"])
    assert redactor.redact(f"TOY-1234 {key}") == f"*** {key}"
    assert redactor.redact_known("api_key=toy-1234x") == "api_key=***x"


def test_redaction_takes_linear_time() -> None:
    """Text that provokes backtracking takes no longer than other text."""
    pieces = (
        *("key", "key=", "a-", "SG.", "key-", "%25", "a%25", "%3d", "key %25", " "),
        *(
            'key"',
            "key\\",
            "key\\ ",
            "\\",
            "basic",
            "basic ",
            "key= ",
            "0123456789abcdef0123456789abcdef-",
            ".",
            "[",
        ),
    )
    start = time.process_time()
    for piece in pieces:
        REDACTOR.redact_known(_redact_values(piece * 20_000))
    assert time.process_time() - start < 2


def test_large_request_is_redacted_quickly() -> None:
    """The numbers of texts, parameters and secrets are limited."""
    redactor = REDACTOR.with_secrets(f"secret{number}" for number in range(50_000))
    start = time.process_time()
    assert redactor.redact_parameters([("x", "y" * 2 * MAX_TEXT)] * 2_000)
    assert time.process_time() - start < 2


@given(
    st.text("aAbßİK.", max_size=30),
    st.lists(st.text("aAbßİK.", min_size=6, max_size=8), min_size=1, max_size=3),
)
def test_known_credentials_are_removed_in_any_case(text: str, secrets: list) -> None:
    """A letter can be several in another case."""
    redactor = Redactor(secrets=secrets)
    shown = redactor.redact_known(f"<{text}{secrets[0].swapcase()}>")

    folded = {secret.casefold() for secret in secrets}
    assert not any(secret in shown.casefold() for secret in folded)


def test_names_of_users_are_no_credentials() -> None:
    """Neither are the words of a header field that do not look like keys."""
    encoded = base64.b64encode(b"someone-2012@customer.example.com:k3y-of-it").decode()
    found = find_credentials(f"Basic {encoded}")
    assert "k3y-of-it" in found
    assert not [
        text for text in found if text.startswith("someone") and ":" not in text
    ]
    encoded = base64.b64encode(b"marketing-department-01:secret12").decode()
    assert "marketing-department-01" not in find_credentials(f"Basic {encoded}")
    assert find_credentials("Bearer production") == ["production"]
    assert find_credentials("an old key") == ["old key", "an old key"]
    assert find_credentials("") == [""]
    encoded = base64.b64encode(b"part:s3cret:").decode()
    assert "part:s3cret" in find_credentials(f"Basic {encoded}")


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1"])
def test_basic_credentials_are_found_in_each_encoding(encoding: str) -> None:
    """Some clients send Latin-1, and some the alphabet of Base64 for URLs."""
    for key in ("schlüssel", ">>>???>>>ü~"):
        encoded = base64.urlsafe_b64encode(f"api:{key}".encode(encoding)).decode()
        assert key in find_credentials(f"Basic {encoded}")


@pytest.mark.parametrize(
    "field",
    ["Basic {}==", "Basic {}?", "Basic{}", "bAsIc  {} x", "Basic eDp5,Basic {}"],
)
def test_key_in_malformed_basic_credentials_is_found(field: str) -> None:
    for key in ("s3cret", "s3cret-k", "s3cret-ke"):
        encoded = base64.b64encode(f"api:{key}".encode()).decode()
        assert key in find_credentials(field.format(encoded))
    assert "s3cret-key" in find_credentials("Bearers3cret-key")


@pytest.mark.parametrize(
    "text", ["{}\n", "{}\r\n", " {} ", "'{}'", '"{}"', "<{}>", "{}\0", "{}%0A", "{}:"]
)
def test_what_surrounds_a_key_by_mistake_is_no_part_of_it(text: str) -> None:
    """The same key without it can be at another place of the request."""
    given = text.format("s3cret-key")
    for credentials in (f"api:{given}", f"alice:{given}", given, f'"api:{given}"'):
        encoded = base64.b64encode(credentials.encode()).decode()
        assert "s3cret-key" in find_credentials(f"Basic {encoded}")
    assert "s3cret-key" in find_credentials(f"Bearer {given}")
    assert "s3cret-key" in find_secrets([("api_key", given)])


@pytest.mark.parametrize("key", ["liberta-città", "Åå-Åkey-Å", "\u0420-key-\u0420"])
@pytest.mark.parametrize("field", ["Bearer {}", "{}"])
def test_key_that_ends_with_a_blank_of_latin_1_is_found(field: str, key: str) -> None:
    """As WSGI servers decode the last byte of its UTF-8."""
    found = find_credentials(field.format(key.encode().decode("latin-1")))
    assert REDACTOR.with_secrets(found).redact_text(f"x {key} y") == "x *** y"


def test_known_credential_is_redacted_without_its_escapes() -> None:
    """A client can have percent-encoded it twice."""
    redactor = Redactor(secrets=["a%2522b%25C3%25A9c"])
    assert redactor.redact_text('x a"béc y') == "x *** y"


def test_known_credential_is_redacted_in_html() -> None:
    redactor = Redactor(secrets=['it\'s "it"'])
    assert redactor.redact_text("x it&#x27;s &quot;it&quot; y") == "x *** y"


def test_credential_of_many_spellings_is_one() -> None:
    """It does not make the whole entry unreadable."""
    key = 'p+ä"&xyz1'
    encoded = base64.b64encode(f"api:{key}".encode()).decode()
    redactor = REDACTOR.with_secrets(find_credentials(f"Basic {encoded}"))
    shown = redactor.redact_request([("a", "b"), ("c", key)], ["/v3/x"], "")
    assert shown == ({"a": "b", "c": "***"}, ["/v3/x"], "")


def test_text_around_credentials_stays() -> None:
    """Also if a letter before it is several in another case."""
    redactor = Redactor(secrets=["abcdef", "defghi", "abcdef-long", "straße"])

    shown = redactor.redact("ß<abcdefghi> ABCDEF-LONG abcdefABCDEF STRASSE!")
    assert shown == "ß<***> *** ****** ***!"


def test_request_with_many_credentials_is_masked_quickly() -> None:
    """The time does not depend on the number of values that look like credentials."""
    pairs = [(f"v{n}", "x" * (1_000 - n)) for n in range(95)]
    pairs += [(f"key{n}", "x" * (6 + n)) for n in range(995)]
    started = time.process_time()
    redactor = REDACTOR.with_secrets(find_secrets(pairs))
    parameters, texts, body = redactor.redact_request(pairs, ["POST", "/x"], "{}")
    assert time.process_time() - started < 2

    assert parameters.keys() == {"***"}
    assert set(parameters["***"]) == {"***"}
    assert (texts, body) == (["***", "***"], "***")


def test_many_encoded_words_are_redacted_quickly() -> None:
    """They are decoded together; those of a text with a credential are masked."""
    started = time.process_time()
    for _ in range(300):
        assert REDACTOR.redact("key " + "% " * 498).startswith("key %")
    assert time.process_time() - started < 1
    assert REDACTOR.redact_text("%6bey%3Dhunter2" + " %41" * 98) == "***" + " %41" * 98
    assert REDACTOR.redact_text("%6bey%3Dhunter2" + " %41" * 99) == "***"


def test_long_credentials_take_little_memory() -> None:
    """No text that is searched is as long."""
    secret = "\U0001f600" + "\0" * 1_000_000
    with measured_memory() as memory:
        redactor = REDACTOR.with_secrets([secret, SECRET])
    assert memory.peak < 100_000
    assert redactor.redact(f"{SECRET} a") == "*** a"


def test_a_long_name_is_masked_quickly() -> None:
    name = "a" * 8_000_000
    started = time.process_time()
    assert find_secrets([(name, "")]) == [name]
    assert redact_name(name, "") == "***"
    assert time.process_time() - started < 1


@pytest.mark.parametrize(
    "name",
    ["api_key", "API_KEY", "apikey", "api-key", "api_key[]", "key", "password", "pass",
     "client_secret", "access_token", "authorization", "pwd", "api_kye", "api_ke",
     "api_kexy", "apikye", "aip_key", "confirm_paswsord", "scret", "tokne"],
)  # fmt: skip
def test_parameters_are_redacted_by_name(name: str) -> None:
    """Letter case does not matter, and an empty value is kept."""
    expected = {name: ["***", ""]}
    assert REDACTOR.redact_parameters([(name, "x"), (name, "")]) == expected


def test_names_of_other_parameters_are_not_secret() -> None:
    """No parameter of a vendor or of the control endpoints looks like a typing error."""
    documented = json.loads(
        Path(control.__file__).with_name("openapi.json").read_text()
    )
    calls = [call for path in documented["paths"].values() for call in path.values()]
    declared = [*documented["components"].get("parameters", {}).values()]
    declared += [each for call in calls for each in call.get("parameters", ())]
    names = {each["name"] for each in declared if "name" in each}
    assert len(names) > 20
    assert {name for name in names if is_secret(name)} <= {"api_key"}


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("api_keyhunter2", "", "api_key***"),
        ("api_keyaHVudGVyMg", "==", "api_key***"),
        ("API-KEY[]hunter2", "", "API-KEY[]***"),
        ("passwordhunter2", "", "password***"),
        ("Zq7Xw2Kp9LmT4", "", "***"),
        ("ZqXwKpLmTzqxwkplmtzq", "=", "***"),
        ("api_key", "", "api_key"),
        ("delete_all", "", "delete_all"),
        ("days2", "", "days2"),
        ("Zq7Xw2Kp9LmT4", "1", "Zq7Xw2Kp9LmT4"),
    ],
)
def test_credential_in_a_name_is_redacted(name: str, value: str, expected: str) -> None:
    """A request that lacks an "=" has its key in a name without a value."""
    assert redact_name(name, value) == expected
    shown = REDACTOR.redact_request([(name, value)], ["/x"], "")[0]
    assert list(shown) == [expected]


def test_credential_in_a_name_is_redacted_elsewhere() -> None:
    """The rest of the name is a known credential."""
    assert find_secrets([("api_keyhunter2", ""), ("Zq7Xw2", ""), ("a", "")]) == [
        "hunter2",
        "Zq7Xw2",
    ]


@pytest.mark.parametrize("key", ["s3cretpass", "Xk9pwd4ZqLm7", "9fKey2hT7bW4zQ1x"])
def test_lone_key_that_contains_a_name_is_masked_whole(key: str) -> None:
    assert find_secrets([(key, "")]) == [key]
    assert redact_name(key, "") == "***"


@pytest.mark.parametrize(
    "value",
    [
        "{}\n",
        "{}\0",
        "\x7f{}",
        " {}",
        '"{}"',
        "Bearer {}",
        "'{}' ",
        "={}",
        "=={}",
        ": {}",
    ],
)
def test_credential_with_other_characters_is_known_without_them(value: str) -> None:
    """The client can have the bare credential elsewhere in the request."""
    assert "Zq7Xw2Kp9" in find_secrets([("api_key", value.format("Zq7Xw2Kp9"))])


def test_credential_after_another_sign_is_known() -> None:
    """The client has encoded or mistyped the sign between name and value."""
    for sign in "=:":
        assert find_secrets([(f"api_key{sign}Zq7Xw2Kp9", "")]) == ["Zq7Xw2Kp9"]


def test_long_names_are_secret() -> None:
    """Their values are redacted, since no operation reads such a name."""
    name = "x" * 101
    assert REDACTOR.redact_request([(name, "y")], ["/x"], "")[0] == {name: "***"}


def test_number_of_parameters_is_limited() -> None:
    """The first hundred are kept; the values of a repeated name are a list."""
    pairs = [(f"p{i % 50}", str(i)) for i in range(2_000)]

    kept = REDACTOR.redact_parameters(pairs)
    assert len(kept) == 50
    assert kept["p7"] == ["7", "57"]


def test_length_of_parameters_is_limited() -> None:
    """The ring of the request log has a thousand of them."""
    pairs = [(f"p{n}", "x" * 10_000) for n in range(100)]
    parameters, _, _ = REDACTOR.redact_request(pairs, ["GET"], "")
    assert len(parameters) == 17
    assert parameters["p15"] == "x" * 499 + "…"
    assert parameters["…"] == "…"

    pairs = [(f"p{n:02}", "x" * 78) for n in range(100)]
    parameters, _, _ = REDACTOR.redact_request(pairs, ["GET"], "")
    assert parameters == dict(pairs)


@pytest.mark.parametrize(("length", "number"), [(500, 19), (500, 3), (100, 18)])
def test_nearly_found_credentials_are_redacted_quickly(length, number) -> None:
    """Each credential differs from the text by one letter."""
    half = "a" * (length // 2)
    pairs = [(f"key{n}", f"{half}{chr(98 + n)}{half}") for n in range(number)]
    pairs += [("keyz", "zzzzzz"), *[("p", f"%252525{'a' * 980} %25257Azzzzz")] * 80]
    started = time.process_time()
    for _ in range(5):
        redactor = REDACTOR.with_secrets(find_secrets(pairs))
        parameters, _, _ = redactor.redact_request(pairs, ["GET"], "")
    assert time.process_time() - started < 1
    assert "zzzzzz" not in str(parameters)


@pytest.mark.parametrize(
    ("name", "expected"),
    [("username", True), ("api-key", True), ("api_key:hunter2", False), ("", False),
     ("x" * 41, False), (5, True), ("a b", False)],
)  # fmt: skip
def test_printable_names_contain_no_credential(name: object, expected: bool) -> None:
    """A name with other characters may be a name and its value."""
    assert is_printable_name(name) is expected


@pytest.mark.parametrize(
    "key", ['abc"def"ghi77', "back\\slash\\1", "p\u00e4ssw\u00f6rt<&>"]
)
def test_every_spelling_of_a_known_secret_is_redacted(key: str) -> None:
    """JSON and XML escape characters, and header fields are decoded as Latin-1."""
    undecoded = key.encode().decode("latin-1")
    spellings = [key, undecoded, key.replace("&", "&amp;").replace("<", "&lt;")]
    spellings[2] = spellings[2].replace(">", "&gt;")
    for ascii_ in (True, False):
        spellings += [
            json.dumps(text, ensure_ascii=ascii_) for text in (key, undecoded)
        ]
    for secret in (key, undecoded):
        redactor = REDACTOR.with_secrets([secret])
        for text in spellings:
            assert redactor.redact(f"a {text} b") in ("a *** b", 'a "***" b')
            response = redactor.redact_request([("a", "b")], [text], text)
            assert {response[2], *response[1]} <= {"***", '"***"'}
