"""Warnings of test accounts about implausible bounces."""

import pytest

from sendgrid_bounces.core.errors import ParametersError
from sendgrid_bounces.testing import mock_bounces

IMPLAUSIBLE = [
    ({"email": "nobody"}, "email: is not an e-mail address"),
    ({"email": "a@example.com", "status": "banana"}, "status: is neither a status"),
    ({"email": "a@example.com", "code": 99}, "code: is not a reply code"),
]


@pytest.mark.parametrize(("bounce", "message"), IMPLAUSIBLE)
def test_add_warns_about_an_implausible_bounce(bounce, message) -> None:
    with mock_bounces() as account:
        with pytest.warns(UserWarning, match=message) as caught:
            account.add(**bounce)
        assert len(account.bounces()) == 1
        assert caught[0].filename == __file__


@pytest.mark.parametrize(("bounce", "message"), IMPLAUSIBLE)
def test_strict_add_rejects_an_implausible_bounce(bounce, message) -> None:
    with mock_bounces() as account:
        with pytest.raises(ParametersError, match=message):
            account.add(**bounce, strict=True)
        assert account.bounces() == []


@pytest.mark.parametrize(("bounce", "message"), IMPLAUSIBLE)
def test_seed_of_a_test_account_warns(bounce, message) -> None:
    seed = {"accounts": [{"username": "other", "bounces": [bounce]}]}

    with (
        pytest.warns(UserWarning, match=rf"accounts\[0\].bounces\[0\].{message}"),
        mock_bounces(seed=seed),
    ):
        pass


def test_message_repeats_an_address_but_no_key() -> None:
    with mock_bounces() as account:
        with pytest.warns(UserWarning, match="got 'a b@mail.of.some.example.com'"):
            account.add("a b@mail.of.some.example.com")
        with pytest.warns(UserWarning, match="is not an e-mail address$"):
            account.add("key-3ax6xnjp29jd6fds4gc373sgvjxteol0")


@pytest.mark.parametrize(
    "created", ["", "0001-01-01T00:00:00Z", "0001-01-01", -62_135_596_800]
)
def test_time_that_means_no_date_is_that_of_the_clock(created) -> None:
    with mock_bounces() as account:
        now = account.freeze("2012-02-15 12:00:00")
        assert account.add("a@example.com", created=created).created == now


def test_invalid_time_of_a_bounce_is_named() -> None:
    with mock_bounces() as account:
        for created in ("never", "2012-02-30 12:00:00 UTC"):
            with pytest.raises(ParametersError, match=f"created: .*got '{created}'"):
                account.add("a@example.com", created=created)
