"""The assertions of a test account."""

import threading

import pytest
import requests

from sendgrid_bounces.core.errors import ParametersError
from sendgrid_bounces.testing import mock_bounces

URL = "https://sendgrid.com/api/bounces"


def _call(account, operation: str, **parameters: str) -> requests.Response:
    credentials = {"api_user": account.username, "api_key": account.api_key}
    return requests.get(
        f"{URL}.{operation}.json", params={**credentials, **parameters}, timeout=5
    )


def test_matching_request_is_found() -> None:
    with mock_bounces() as account:
        account.add("a@example.com")
        _call(account, "delete", email="A@example.com")
        _call(account, "get")

        account.assert_called()
        account.assert_called(operation="delete", email="a@example.com", times=1)
        account.assert_called(dialect="sendgrid", times=2)
        account.assert_called(dialect="sendgrid.direct", status=200, times=2)
        account.assert_not_called(operation="count")
        account.assert_not_called(email="b@example.com")
        assert account.last_request.operation == "get"


def test_address_in_a_path_is_found() -> None:
    with mock_bounces() as account:
        requests.get(
            f"https://api.mailgun.net/v3/{account.domain}/bounces/a%2Bb@example.com",
            auth=("api", account.api_key),
            timeout=5,
        )

        account.assert_called(operation="find", email="a+b@example.com", status=404)


def test_failed_assertion_lists_near_misses_without_keys() -> None:
    with mock_bounces(api_key="very-secret-key") as account:
        _call(account, "delete", email="b@example.com")

        with pytest.raises(AssertionError) as raised:
            account.assert_called(operation="delete", email="a@example.com")
        text = str(raised.value)
        assert (
            "expected a request with operation='delete', email='a@example.com'" in text
        )
        assert "got 0 of 1" in text
        assert "/api/bounces.delete.json" in text
        assert "<- email=b@example.com" in text
        assert "very-secret-key" not in text
        with pytest.raises(AssertionError, match="3 times, got 1 of 1"):
            account.assert_called(operation="delete", times=3)
        with pytest.raises(AssertionError, match="1 time, got 0 of 1"):
            account.assert_called(operation="get", times=1)
        with pytest.raises(AssertionError, match="expected no request"):
            account.assert_not_called(operation="delete")


def test_unknown_condition_is_rejected() -> None:
    with mock_bounces() as account:
        for check in (
            account.assert_called,
            account.assert_not_called,
            account.wait_for,
        ):
            with pytest.raises(
                TypeError, match=r"'oparation' \(did you mean operation"
            ):
                check(oparation="get")
            with pytest.raises(TypeError, match="'x' .valid conditions: id, received"):
                check(x="get")


@pytest.mark.parametrize(
    ("conditions", "message"),
    [
        ({"operation": "delet"}, "operation: must be one of .*got 'delet'"),
        ({"dialect": "mailgn"}, "dialect: must be one of .*got 'mailgn'"),
        ({"dialect": "mailgun", "operation": "count"}, "operation: must be one of"),
        ({"email": None}, "email: must be text"),
        ({"email": 5}, "email: must be text .got 5"),
        ({"operation": ["get"]}, "operation: must be text"),
    ],
)
def test_condition_that_no_request_can_match_is_rejected(conditions, message) -> None:
    """Such a condition would make assert_not_called() pass always."""
    with mock_bounces() as account:
        for check in (
            account.assert_called,
            account.assert_not_called,
            account.wait_for,
        ):
            with pytest.raises(ParametersError, match=message):
                check(**conditions)


def test_last_request_is_none_before_the_first() -> None:
    with mock_bounces() as account:
        assert account.last_request is None
        with pytest.raises(AssertionError, match="no requests"):
            account.assert_called()


def test_repr_counts_bounces_and_requests() -> None:
    with mock_bounces(username="acme", api_key="very-secret-key") as account:
        account.add("a@example.com")
        _call(account, "get")

        assert repr(account) == (
            "<TestAccount 'acme' at https://sendgrid.com: 1 bounce, 1 request>"
        )
        account.control.reset()
        assert repr(account) == "<TestAccount 'acme', removed by a reset>"
    assert repr(account) == "<TestAccount 'acme', closed>"


def test_fault_that_never_triggered_fails_the_test() -> None:
    @mock_bounces
    def test(sendgrid_bounces) -> None:
        sendgrid_bounces.fail_next(503, operation="delete")
        _call(sendgrid_bounces, "get")

    with pytest.raises(AssertionError, match="a fault never triggered") as raised:
        test()

    assert '"operation": "delete"' in str(raised.value)
    assert "/api/bounces.get.json" in str(raised.value)


def test_unused_fault_can_be_ignored() -> None:
    with mock_bounces(unused_faults="ignore") as account:
        account.fail_next(503)
    with (
        pytest.raises(ParametersError, match="unused_faults: must be error or ignore"),
        mock_bounces(unused_faults="warn"),
    ):
        pass


def test_used_fault_passes() -> None:
    with mock_bounces() as account:
        account.fail_next(503)
        assert _call(account, "get").status_code == 503


def test_rate_limit_that_was_not_exceeded_is_used() -> None:
    """A request has matched it."""
    with mock_bounces() as account:
        account.fail_next(limit=10, window_seconds=60)
        assert _call(account, "get").status_code == 200


def test_failure_of_the_block_takes_precedence_over_an_unused_fault() -> None:
    @mock_bounces
    def test(sendgrid_bounces) -> None:
        sendgrid_bounces.fail_next(503)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        test()


def test_wait_for_returns_requests_of_other_threads() -> None:
    with mock_bounces() as account:
        thread = threading.Thread(target=_call, args=(account, "count"))
        thread.start()
        found = account.wait_for(operation="count")
        thread.join()

        assert [request.operation for request in found] == ["count"]
        with pytest.raises(AssertionError, match="expected 2 requests .* got 1"):
            account.wait_for(operation="count", count=2, timeout=0.05)
        with pytest.raises(AssertionError, match="within nan s, got 1"):
            account.wait_for(operation="count", count=2, timeout=float("nan"))
