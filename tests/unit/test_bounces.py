"""A bounce: its type, its key, and what is derived when a vendor lacks a fact."""

import pytest
from conftest import bounce
from hypothesis import given
from hypothesis import strategies as st

from sendgrid_bounces.core.bounces import BounceType, classify, fold
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
def test_the_first_digit_is_the_type(status: str, expected: BounceType) -> None:
    """RFC 3463: class 5 is permanent, class 4 is transient."""
    assert expected is classify(status)


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
    ],
)
def test_what_is_absent_is_derived(
    status: str, code: str, reason: str, expected: tuple[str, str]
) -> None:
    """Status from code; code from the reason, or else from the class."""
    checked = bounce(status=status, code=code, reason=reason)

    assert expected == (checked.status, checked.code)


@pytest.mark.parametrize(
    ("facts", "name"),
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
def test_what_cannot_be_stored_is_refused(facts: dict, name: str) -> None:
    """The fault names the field."""
    with pytest.raises(ParametersError) as raised:
        bounce(**facts)

    assert [name] == [fault[0] for fault in raised.value.problems]


@given(st.text(), st.text())
def test_the_key_of_a_beginning_begins_the_key(start: str, rest: str) -> None:
    """So a prefix can be looked for among keys."""
    assert fold(start + rest).startswith(fold(start))


@given(st.text())
def test_letter_case_does_not_change_the_key(text: str) -> None:
    """A key is its own key."""
    assert fold(text) == fold(fold(text))


def test_letters_that_differ_keep_their_keys_apart() -> None:
    """Different mailboxes do not meet in one key."""
    keys = [fold(f"{name}@x.de") for name in ("STRASSE", "Stra\u00dfe", "strasse ")]

    assert keys == ["strasse@x.de", "stra\u00dfe@x.de", "strasse @x.de"]
