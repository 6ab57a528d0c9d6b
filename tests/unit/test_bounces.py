"""Bounces: their types, their keys, and derived fields."""

import pytest
from conftest import bounce, measured_memory
from hypothesis import given
from hypothesis import strategies as st

from sendgrid_bounces.core.bounces import (
    EARLIEST,
    LATEST,
    BounceType,
    Position,
    classify,
    fold,
)
from sendgrid_bounces.core.errors import ParametersError


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ("5.1.1", BounceType.HARD),
        ("550", BounceType.HARD),
        ("4.0.0", BounceType.SOFT),
        ("421", BounceType.SOFT),
        ("2.0.0", BounceType.OTHER),
        ("777", BounceType.OTHER),
        ("", BounceType.OTHER),
    ],
)
def test_first_digit_determines_the_type(status: str, expected: BounceType) -> None:
    """In RFC 3463 class 5 is permanent and class 4 is transient."""
    assert expected is classify(status)


@pytest.mark.parametrize("created", [EARLIEST, -1, 0, LATEST])
def test_position_is_read_from_its_text(created: int) -> None:
    position = Position(created, 10**18 - 1)
    assert Position.parse(str(position)) == position


@pytest.mark.parametrize(
    "text", ["", "1", "1-", "1--2", "1.2", "1-2 ", "1-" + "9" * 19]
)
def test_text_of_another_form_is_not_a_position(text: str) -> None:
    with pytest.raises(ValueError, match="must be CREATED-ID"):
        Position.parse(text)


@pytest.mark.parametrize(
    ("status", "code", "reason", "expected"),
    [
        ("", "550", "", ("550", "550")),
        ("", "777", "554 no", ("777", "777")),
        ("5.1.1", "", "554 5.7.1 no", ("5.1.1", "554")),
        ("5.1.1", "", "host said: 554", ("5.1.1", "550")),
        ("5.1.1", "", "5500 times", ("5.1.1", "550")),
        ("4.2.2", "", "", ("4.2.2", "450")),
        ("2.0.0", "", "", ("2.0.0", "550")),
        ("554", "", "", ("554", "554")),
        ("5.1.1", "451", "552", ("5.1.1", "451")),
        ("5.1.1", "", "220 ready", ("5.1.1", "550")),
        ("", "", "452 mailbox full", ("452", "452")),
        ("", "", "no such user", ("550", "550")),
        ("", "", "4.2.2 mailbox full", ("450", "450")),
        ("", "", "4.2.2.1 is an address", ("550", "550")),
    ],
)
def test_missing_fields_are_derived(
    status: str, code: str, reason: str, expected: tuple[str, str]
) -> None:
    """The status is the code; the code comes from the reason, the status or its class."""
    checked = bounce(status=status, code=code, reason=reason)

    assert expected == (checked.status, checked.code)


@pytest.mark.parametrize(
    ("fields", "name"),
    [
        ({"email": ""}, "email"),
        ({"email": "a\0@example.com"}, "email"),
        ({"email": "a" * 321}, "email"),
        ({"email": "\ud800@example.com"}, "email"),
        ({"reason": "\udfff"}, "reason"),
        ({"reason": "x" * 65_536}, "reason"),
        ({"status": "5" * 33}, "status"),
        ({"code": "5" * 33}, "code"),
        ({"created": 10**15}, "created"),
        ({"created": -(10**15)}, "created"),
    ],
)
def test_invalid_fields_are_rejected(fields: dict, name: str) -> None:
    """The problem names the field."""
    with pytest.raises(ParametersError) as raised:
        bounce(**fields)

    assert [name] == [path for path, _ in raised.value.problems]


@given(st.text(), st.text())
def test_key_of_a_prefix_is_a_prefix_of_the_key(start: str, rest: str) -> None:
    """Prefix queries search keys."""
    assert fold(start + rest).startswith(fold(start))


@given(st.text())
def test_keys_are_their_own_keys(text: str) -> None:
    """Folding is idempotent."""
    assert fold(text) == fold(fold(text))


def test_different_letters_have_different_keys() -> None:
    """Different mailboxes never share a key."""
    keys = [fold(f"{name}@x.de") for name in ("STRASSE", "Stra\u00dfe", "strasse ")]

    assert keys == ["strasse@x.de", "stra\u00dfe@x.de", "strasse @x.de"]


@pytest.mark.slow
@pytest.mark.parametrize("letter", ["a", "\u00c9", "\u0130"])
def test_long_text_is_folded_in_bounded_memory(letter: str) -> None:
    """A stranger can send a million characters as an address."""
    text = letter * 1_000_000 + "\U0001f600"
    with measured_memory() as memory:
        folded = fold(text)

    assert folded == letter.lower() * 1_000_000 + "\U0001f600"
    assert memory.peak < 20_000_000
