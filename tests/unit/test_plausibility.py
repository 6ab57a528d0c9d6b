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
