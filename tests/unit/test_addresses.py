"""The syntax of e-mail addresses."""

import pytest
from conftest import measured_memory
from hypothesis import example, given
from hypothesis import strategies as st

from sendgrid_bounces.core.addresses import _PLAIN, _is_address, is_address


@pytest.mark.slow
@given(st.from_regex(_PLAIN, fullmatch=True))
@example("a@" + "b" * 63)
def test_addresses_of_the_quick_pattern_are_addresses(text):
    assert _is_address(text)


@pytest.mark.parametrize(
    "text",
    [
        "ann@example.com",
        "a.b+c@example.co.uk",
        "o'hara!#$%&*/=?^`{|}~-_@example.com",
        "bob@valid-mailgun-domain",
        "bob@my_host.example.com",
        "root@localhost",
        "ann@1.example",
        "ann@xn--bcher-kva.example",
        "änn@bücher.example",
        "用户@例子.广告",
        '"ann b"@example.com',
        '"a@b"@example.com',
        r'"a\"b\\"@example.com',
        '""@example.com',
        "ann@[192.0.2.1]",
        "ann@[IPv6:2001:db8::1]",
        "ann@" + "a" * 63 + ".example",
    ],
)
def test_addresses_are_recognized(text):
    assert is_address(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "@",
        "ann",
        "ann@",
        "@example.com",
        "a@b@example.com",
        "a b@example.com",
        "a\0@example.com",
        "ann@example.com\n",
        "ann@exa mple.com",
        ".ann@example.com",
        "ann.@example.com",
        "a..b@example.com",
        "ann@example.com.",
        "ann@.example.com",
        "ann@example..com",
        "ann@-example.com",
        "ann@example-.com",
        "ann@" + "a" * 64 + ".example",
        "Ann <ann@example.com>",
        "ann@example.com,bob@example.com",
        '"ann@example.com',
        'ann"@example.com',
        '"a"b"@example.com',
        '"ann\\"@example.com',
        '"@example.com',
        "ann@[192.0.2.256]",
        "ann@[2001:db8::1]",
        "ann@[IPv6:192.0.2.1]",
        "ann@[192.0.2.1",
        "än\u00a0n@example.com",
        "än\ud800n@example.com",
        "ä?@b?.example",
    ],
)
def test_other_text_is_not_an_address(text):
    assert not is_address(text)


def test_long_text_takes_little_memory():
    """The pattern would keep each of its labels."""
    text = "a@b" + ".b" * 100_000
    with measured_memory() as memory:
        assert not is_address(text)
    assert memory.peak < 100_000
