"""Tenants: with its own key, no account reaches the list of another one."""

import pytest
from conftest import bounce
from flask import Flask

from sendgrid_bounces.core.bounces import BounceQuery
from sendgrid_bounces.emulator import EXTENSION

#: The address on the list of the account "theirs".
SECRET = "private@theirs.example"

KEYS = {"mine": "mine-s3cret", "theirs": "theirs-s3cret"}

#: Requests of the account "mine" for the list of the account "theirs".
REQUESTS = [
    (method, path.format(me="api_user=mine", key="api_key=mine-s3cret"))
    for method, path in (
        ("GET", "/api/bounces.get.json?api_user=theirs&{key}"),
        ("GET", "/api/bounces.count.xml?api_user=theirs&{key}"),
        ("GET", "/api/bounces.delete.json?api_user=theirs&{key}&delete_all=1"),
        ("GET", "/api/user.bounces.json?{me}&{key}&user=theirs&task=get"),
        ("POST", "/api/user.bounces.json?{me}&{key}&user=theirs&task=delete"),
        ("GET", "/apiv2/customer.bounces.json?{me}&{key}&user=theirs&task=get"),
        ("GET", "/apiv2/reseller.manage.json?{me}&{key}&method=bounces&task=get&user=theirs"),
        ("GET", "/v2/theirs.example/bounces"),
        ("POST", "/v2/theirs.example/bounces?address=new@x.example"),
        ("DELETE", f"/v2/theirs.example/bounces/{SECRET}"),
        ("GET", "/v3/theirs.example/bounces"),
        ("GET", f"/v3/theirs.example/bounces/{SECRET}"),
        ("POST", "/v3/theirs.example/bounces?address=new@x.example"),
        ("DELETE", f"/v3/theirs.example/bounces/{SECRET}"),
        ("DELETE", "/v3/theirs.example/bounces"),
    )
]  # fmt: skip

#: Requests that work on the list of the caller, whatever they name.
OWN = [
    ("GET", "/v3/suppression/bounces"),
    ("GET", f"/v3/suppression/bounces/{SECRET}"),
    ("DELETE", f"/v3/suppression/bounces/{SECRET}"),
]


@pytest.fixture(name="tenants")
def _tenants(app: Flask) -> Flask:
    """An application with two accounts, of which one has an address on its list."""
    emulator = app.extensions[EXTENSION]
    accounts = emulator.storage.accounts
    for name, key in KEYS.items():
        account = accounts.add(name, **emulator.authenticator.hash_key(key))
        accounts.add_domain(f"{name}.example", account, shares_list=True)
    emulator.storage.bounces.put(
        accounts.get("theirs").bounce_list, [bounce(SECRET, reason="private")]
    )
    return app


def _bearer(name: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {KEYS[name]}", "Accept": "application/json"}


def _addresses(app: Flask, name: str) -> list[str]:
    storage = app.extensions[EXTENSION].storage
    found = storage.bounces.find(storage.accounts.get(name).bounce_list, BounceQuery())
    return [row[0] for rows in found for row in rows]


@pytest.mark.parametrize(("method", "path"), [*REQUESTS, *OWN])
def test_list_of_another_account_is_out_of_reach(tenants, method, path) -> None:
    """The response discloses nothing of the list, and the list is unchanged."""
    is_bearer = path.startswith("/v3/suppression")
    headers = _bearer("mine") if is_bearer else {}
    auth = None if is_bearer or "api_key=" in path else ("api", KEYS["mine"])
    answer = tenants.test_client().open(path, method=method, headers=headers, auth=auth)

    assert "private" not in answer.text
    if (method, path) in OWN:
        assert answer.status_code in (200, 404)
    else:
        assert answer.status_code >= 400 or "error" in answer.text
    assert _addresses(tenants, "theirs") == [SECRET]
    assert _addresses(tenants, "mine") == []


@pytest.mark.parametrize(
    "path",
    [
        "/api/bounces.get.json?api_user=theirs&api_key=theirs-s3cret",
        "/v3/theirs.example/bounces",
        "/v3/suppression/bounces",
    ],
)
def test_owner_reaches_the_list(tenants, path) -> None:
    """With the same requests and the right key."""
    headers, auth = _bearer("theirs"), None
    if "theirs" in path:
        headers, auth = {}, ("api", KEYS["theirs"])
    answer = tenants.test_client().get(path, headers=headers, auth=auth)
    assert SECRET in answer.text
