"""SendGrid v3 with the clients that programs use, and beside v2 on the same list."""

import json
import os
from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from urllib.parse import quote

import pytest
import requests
from clients import CLIENTS

from sendgrid_bounces.testing import EmulatorServer, TestAccount, mock_bounces

try:
    import sendgrid
    from python_http_client.exceptions import (
        BadRequestsError,
        NotFoundError,
        UnauthorizedError,
    )
except ImportError:  # pragma: no cover - the extra "test" installs it
    assert "CI" not in os.environ, "CI must have the package sendgrid"
    pytest.skip("the package sendgrid is not installed", allow_module_level=True)

HOSTS = ("api.sendgrid.com", "api.eu.sendgrid.com")
PATH = "/v3/suppression/bounces"


@pytest.fixture(name="server", scope="module")
def _server() -> Iterator[EmulatorServer]:
    with EmulatorServer() as server:
        yield server


@pytest.fixture(name="account")
def _account(server: EmulatorServer) -> Iterator[TestAccount]:
    with server.double() as account:
        yield account


@pytest.fixture(name="sdk")
def _sdk(account: TestAccount):
    """SendGrid's Python SDK, as its documentation configures it for another host."""
    return sendgrid.SendGridAPIClient(account.api_key, host=account.url)


def _bearer(account: TestAccount) -> dict[str, str]:
    return {"Authorization": f"Bearer {account.api_key}"}


@pytest.mark.parametrize("host", HOSTS)
@pytest.mark.parametrize("client", CLIENTS)
def test_hosts_of_v3_are_intercepted(host: str, client: str) -> None:
    """The key of the test account is the Bearer key."""
    with mock_bounces() as account, mock_bounces() as other:
        account.add("a@example.com")
        other.add("b@example.com")
        response = CLIENTS[client](f"https://{host}{PATH}", headers=_bearer(account))
        assert [row["email"] for row in response.json()] == ["a@example.com"]


def test_each_test_account_has_its_own_key(server: EmulatorServer) -> None:
    """Open and closed accounts of one server share nothing."""
    with server.double() as first, server.double() as second:
        assert first.api_key != second.api_key
        for account in (first, second):
            account.add(f"{account.username}@example.com")
        for account in (first, second):
            listed = requests.get(account.url + PATH, headers=_bearer(account))
            assert [row["email"] for row in listed.json()] == [
                f"{account.username}@example.com"
            ]
    closed = requests.get(server.url + PATH, headers=_bearer(first))
    assert closed.status_code == 401


def test_accounts_with_the_same_key_are_ambiguous(server: EmulatorServer) -> None:
    with server.double(api_key="same") as first, server.double(api_key="same"):
        listed = requests.get(server.url + PATH, headers=_bearer(first))
        assert listed.status_code == 401


def test_key_of_a_seeded_account_is_found(server: EmulatorServer) -> None:
    seed = "accounts: [{username: acme, api_key: k, bounces: [{email: a@x}]}]"
    with server.double(seed=seed):
        listed = requests.get(server.url + PATH, headers={"Authorization": "Bearer k"})
        assert [row["email"] for row in listed.json()] == ["a@x"]


def test_python_sdk(account: TestAccount, sdk) -> None:
    """It sends the address raw, ``+`` included, and raises on 404."""
    for email in ("a+b@example.com", "c@example.com", "d@example.com"):
        account.add(email, status="5.1.1")
    bounces = sdk.client.suppression.bounces

    rows = json.loads(bounces.get(query_params={"limit": 2}).body)
    assert [sorted(row) for row in rows] == [
        ["created", "email", "reason", "status"]
    ] * 2
    (row,) = json.loads(bounces._("a+b@example.com").get().body)
    assert row["email"] == "a+b@example.com"
    assert bounces._("nobody@example.com").get().body == b"[]"

    deleted = bounces._("a+b@example.com").delete()
    assert (deleted.status_code, deleted.body) == (204, b"")
    with pytest.raises(NotFoundError):
        bounces._("a+b@example.com").delete()
    assert bounces.delete(request_body={"emails": ["x@x", "c@example.com"]}).body == b""
    assert bounces.delete(request_body={"delete_all": True}).status_code == 204
    assert account.bounces() == []


def test_python_sdk_example_of_2016_deletes_nothing(account: TestAccount, sdk) -> None:
    """The SDK's own example sends both keys."""
    account.add("example1@example.com")
    with pytest.raises(BadRequestsError) as caught:
        sdk.client.suppression.bounces.delete(
            request_body={"delete_all": True, "emails": ["example1@example.com"]}
        )
    assert caught.value.to_dict == {
        "errors": [
            {"field": None, "message": "emails and delete_all cannot both be set"}
        ]
    }
    assert len(account.bounces()) == 1


def test_python_sdk_with_a_wrong_key(account: TestAccount) -> None:
    wrong = sendgrid.SendGridAPIClient("SG.wrong", host=account.url)
    with pytest.raises(UnauthorizedError):
        wrong.client.suppression.bounces.get()


def test_python_sdk_of_a_reseller(server: EmulatorServer) -> None:
    """``impersonate_subuser`` sends On-Behalf-Of."""
    seed = """
    accounts:
      - username: parent
        api_key: parent key
        customers: [{username: customer, bounces: [{email: sub@example.com}]}]
    """
    with server.double(seed=seed) as account:
        sdk = sendgrid.SendGridAPIClient(
            "parent key", host=account.url, impersonate_subuser="customer"
        )
        (row,) = json.loads(sdk.client.suppression.bounces.get().body)
        assert row["email"] == "sub@example.com"


class V2:
    """The calls of an old program."""

    def __init__(self, url: str, username: str, key: str) -> None:
        self._url = url
        self._key = {"api_user": username, "api_key": key}

    def _call(self, task: str, **parameters):
        url = f"{self._url}/api/bounces.{task}.json"
        response = requests.post(url, data={**self._key, **parameters})
        response.raise_for_status()
        return response.json()

    def all(self, type_: str) -> dict[str, tuple[str, str, int]]:
        rows = self._call("get", date=1, type=type_)
        zone = timezone.utc  # the zone of the account
        return {
            row["email"]: (
                row["status"],
                row["reason"],
                int(
                    datetime.strptime(row["created"], "%Y-%m-%d %H:%M:%S")
                    .replace(tzinfo=zone)
                    .timestamp()
                ),
            )
            for row in rows
        }

    def count(self) -> int:
        return int(self._call("count")["count"])

    def has(self, email: str) -> bool:
        return bool(self._call("get", email=email))

    def since(self, first: str) -> set[str]:
        rows = self._call("get", start_date=first)
        return {row["email"] for row in rows}

    def delete(self, email: str) -> bool:
        return self._call("delete", email=email) == {"message": "success"}


class V3:
    """The same program after its migration: it pages, filters, and expects 404."""

    LISTS = {"hard": "bounces", "soft": "blocks"}

    def __init__(self, url: str, key: str) -> None:
        self._url = f"{url}/v3/suppression"
        self._session = requests.Session()
        self._session.headers["Authorization"] = f"Bearer {key}"

    def _pages(self, name: str, **parameters) -> Iterator[dict]:
        offset, page = 0, [{}] * 500
        while len(page) == 500:
            query = {"limit": 500, "offset": offset, **parameters}
            response = self._session.get(f"{self._url}/{name}", params=query)
            response.raise_for_status()
            page = response.json()
            yield from page
            offset += 500

    def all(self, type_: str) -> dict[str, tuple[str, str, int]]:
        return {
            row["email"]: (row["status"], row["reason"], row["created"])
            for row in self._pages(self.LISTS[type_])
        }

    def count(self) -> int:
        return sum(1 for name in self.LISTS.values() for _ in self._pages(name))

    def has(self, email: str) -> bool:
        paths = [f"{name}/{quote(email, safe='')}" for name in self.LISTS.values()]
        return any(self._session.get(f"{self._url}/{path}").json() for path in paths)

    def since(self, first: str) -> set[str]:
        day = datetime.fromisoformat(first).replace(tzinfo=timezone.utc)
        start = int(day.timestamp())
        return {
            row["email"]
            for name in self.LISTS.values()
            for row in self._pages(name, start_time=start)
        }

    def delete(self, email: str) -> bool:
        statuses = {
            self._session.delete(
                f"{self._url}/{name}/{quote(email, safe='')}"
            ).status_code
            for name in self.LISTS.values()
        }
        assert statuses <= {204, 404}
        return 204 in statuses


@pytest.mark.parametrize("rows", [12, 1203])
def test_old_and_new_programs_agree(server: EmulatorServer, rows: int) -> None:
    """V2 and v3 on one list give the same answers, also beyond the page of 500.

    The differences that the new program makes up for: soft bounces are in ``blocks``;
    ``created`` is in epoch seconds; there is no count; a page has at most 500 rows; days
    are computed by the caller; deleting an absent address is 404.
    """
    bounces = [
        {
            "email": f"user+{n}@example.com",
            "status": "4.2.2" if n % 3 == 0 else "5.1.1",
            "reason": f"{n} <é> & /",
            "created": f"2012-02-{1 + n % 28:02} 10:{n % 60:02}:00",
        }
        for n in range(rows)
    ]
    seed = {"accounts": [{"username": "acme", "api_key": "k", "bounces": bounces}]}
    with server.double(seed=seed):
        old, new = V2(server.url, "acme", "k"), V3(server.url, "k")
        _agree(old, new, lambda api: api.count())
        for type_ in V3.LISTS:
            _agree(old, new, lambda api, type_=type_: api.all(type_))
        _agree(old, new, lambda api: api.since("2012-02-10"))
        for email in ("user+3@example.com", "user+4@example.com", "user+4@example.co"):
            _agree(old, new, lambda api, email=email: api.has(email))
        assert old.delete("user+3@example.com")
        assert new.delete("user+4@example.com")
        for email in ("user+3@example.com", "user+4@example.com"):
            _agree(old, new, lambda api, email=email: api.has(email))
            _agree(old, new, lambda api, email=email: api.delete(email))
        _agree(old, new, lambda api: api.count())
        assert new.count() == rows - 2


def _agree(old: V2, new: V3, call: Callable[[V2 | V3], object]) -> None:
    assert call(old) == call(new)
