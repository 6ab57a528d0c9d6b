"""SendGrid v3: the isolation of customers, limits, and Mailgun under the same path."""

import base64
import json
import logging
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import pytest
from conftest import NOW, FixedClock, copy_database, make_app
from flask.testing import FlaskClient
from test_reseller import NAMES, TREE

from sendgrid_bounces.emulator import EXTENSION
from sendgrid_bounces.storage.database import Storage

PATH = "/v3/suppression/bounces"
FORBIDDEN = b'{"errors":[{"field":null,"message":"access forbidden"}]}'
MAILGUN = {"Authorization": f"Basic {base64.b64encode(b'api:key of one').decode()}"}


def _account(name: str, **more) -> dict:
    bounces = [
        {"email": f"{name}@example.com"},
        {"email": "shared@example.com"},
        {"email": "other@example.com"},
        {"email": "last@example.com"},
    ]
    return {"username": name, "api_key": f"key of {name}", "bounces": bounces, **more}


@pytest.fixture(name="tree_file", scope="module")
def _tree_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database file with the resellers of `TREE`, to be copied."""
    accounts = [
        _account(
            reseller,
            customers=[_account(name) for name in customers],
            domains=[{"name": "suppressions.example.com"}] if reseller == "one" else [],
        )
        for reseller, customers in TREE.items()
        if reseller
    ]
    seed = tmp_path_factory.mktemp("tree") / "tree.json"
    seed.write_text(json.dumps({"accounts": [*accounts, _account("plain")]}))
    file = seed.with_suffix(".sqlite3")
    app = make_app(f"sqlite:///{file}", FixedClock(), SEED=str(seed))
    app.extensions[EXTENSION].storage.close()
    return file


@pytest.fixture(name="tree")
def _tree(
    url: str, clock: FixedClock, tmp_path: Path, tree_file: Path
) -> Iterator[FlaskClient]:
    """A client of an application with the resellers of `TREE`, and control."""
    copy_database(tree_file, tmp_path)
    app = make_app(url, clock, CONTROL="on")
    yield app.test_client()
    app.extensions[EXTENSION].storage.close()


def _headers(key: str, user: str | None = None) -> dict[str, str]:
    bearer = {"Authorization": f"Bearer key of {key}", "Accept": "*/*"}
    return bearer if user is None else {**bearer, "On-Behalf-Of": user}


def _lists(client: FlaskClient) -> dict[str, str]:
    """Return the list of each account, with its own key."""
    names = [name for name in NAMES if name != "nobody"]
    return {name: client.get(PATH, headers=_headers(name)).text for name in names}


@pytest.mark.slow
@pytest.mark.parametrize(("caller", "user"), list(product(NAMES[:-1], NAMES)))
def test_reseller_reaches_only_its_customers(tree, caller: str, user: str) -> None:
    """All pairs of caller and customer, with every call."""
    before = _lists(tree)
    headers = _headers(caller, user)
    listed = tree.get(PATH, headers=headers)
    found = tree.get(f"{PATH}/shared@example.com", headers=headers)
    counted = tree.get("/v3/suppressions/bounces/classifications", headers=headers)
    one = tree.delete(f"{PATH}/shared@example.com", headers=headers)
    several = tree.delete(PATH, headers=headers, json={"emails": ["other@example.com"]})
    after = _lists(tree)
    everything = tree.delete(PATH, headers=headers, json={"delete_all": True})
    responses = (listed, found, counted, one, several, everything)

    if user in TREE.get(caller, ()):
        assert [row["email"] for row in listed.json] == [
            *sorted([f"{user}@example.com", "last@example.com", "other@example.com"]),
            "shared@example.com",
        ]
        assert [row["email"] for row in found.json] == ["shared@example.com"]
        assert [r.status_code for r in responses] == [200, 200, 200, 204, 204, 204]
        assert {name for name in before if before[name] != after[name]} == {user}
        left = _lists(tree)
        assert left == {**before, user: "[]"}
    else:
        assert {(r.status_code, r.data) for r in responses} == {(403, FORBIDDEN)}
        assert before == _lists(tree)


def test_queries_do_not_depend_on_the_customer(tree, monkeypatch) -> None:
    """Otherwise the response time would reveal the accounts of other resellers."""
    engine = tree.application.extensions[EXTENSION].storage.engine
    tree.get(PATH, headers=_headers("one"))
    queries: list[str] = []
    fetch = engine.fetch
    monkeypatch.setattr(
        engine,
        "fetch",
        lambda sql, values=(): queries.append(sql) or fetch(sql, values),
    )
    made = []
    for user in ("c", "one", "plain", "nobody"):
        queries.clear()
        tree.get(PATH, headers=_headers("one", user))
        made.append([*queries])
    assert made.count(made[0]) == 4


@pytest.mark.parametrize("size", [1024 * 1024, 1024 * 1024 + 1])
def test_huge_body_is_413(tree, size: int) -> None:
    """One MiB is the limit, and nothing is deleted beyond it."""
    head, tail = b'{"emails":["plain@example.com","', b'"]}'
    body = head + b"x" * (size - len(head) - len(tail)) + tail
    response = tree.delete(PATH, headers=_headers("plain"), data=body)
    if size > 1024 * 1024:
        assert response.status_code == 413
        assert response.data == (
            b'{"errors":[{"field":null,"message":"request entity too large"}]}'
        )
    else:
        assert response.status_code == 204
    left = tree.get(f"{PATH}/plain@example.com", headers=_headers("plain")).json
    assert len(left) == (response.status_code == 413)


def test_many_addresses_are_deleted_at_once(tree) -> None:
    """More than one statement takes; all in one transaction."""
    emails = [f"absent{n}@example.com" for n in range(1_203)]
    response = tree.delete(
        PATH, headers=_headers("plain"), json={"emails": [*emails, "LAST@example.com"]}
    )
    assert response.status_code == 204
    assert len(tree.get(PATH, headers=_headers("plain")).json) == 3


def test_rate_limit_has_the_headers_of_v3(tree, clock: FixedClock) -> None:
    """Reset is an instant, and there is no Retry-After, unlike in the other dialects."""
    tree.post("/_emulator/faults", json={"limit": 1, "window_seconds": 60})
    statuses = [tree.get(PATH, headers=_headers("plain")).status_code for _ in range(2)]
    assert statuses == [200, 429]
    clock.instant += 20
    response = tree.get(PATH, headers=_headers("plain"))
    headers = {k: v for k, v in response.headers if k.startswith(("X-Rate", "Retry"))}
    assert headers == {
        "X-RateLimit-Limit": "1",
        "X-RateLimit-Remaining": "0",
        "X-RateLimit-Reset": str(NOW + 60),
    }
    assert response.data == (
        b'{"errors":[{"field":null,"message":"too many requests"}]}'
    )
    assert response.content_type == "application/json"
    assert "Retry-After" in tree.get("/v3/suppressions.example.com/bounces").headers


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 406, 429, 500, 503, 504])
def test_injected_error_has_the_form_of_v3(tree, status: int) -> None:
    tree.post("/_emulator/faults", json={"status": status, "dialect": "sendgrid.v3"})
    response = tree.get(PATH, headers=_headers("plain"))
    assert response.status_code == status
    if status == 406:
        assert response.data.startswith(b"<html>\r\n<head><title>406 Not Acceptable")
    else:
        assert [*response.json["errors"][0]] == ["field", "message"]


def test_request_log_has_operation_and_account(tree) -> None:
    """The key is found in no field."""
    tree.get(f"{PATH}?limit=3", headers=_headers("one", "a"))
    tree.delete(PATH, headers=_headers("one", "a"), json={"emails": ["a@example.com"]})
    tree.get("/v3/suppression")
    text = tree.get("/_emulator/requests").text
    entries = json.loads(text)["requests"]
    assert [
        (e["dialect"], e["operation"], e["account"], e["rows"]) for e in entries
    ] == [
        ("sendgrid.v3", "list", "one", None),
        ("sendgrid.v3", "delete_many", "one", 1),
        ("sendgrid.v3", None, None, None),
    ]
    assert "key of" not in text


def test_mailgun_domain_with_a_similar_name_is_mailguns(tree) -> None:
    """It is read, written and deleted by Mailgun's calls."""
    path = "/v3/suppressions.example.com/bounces"
    added = tree.post(path, headers=MAILGUN, data={"address": "m@example.com"})
    assert added.status_code == 200
    listed = tree.get(path, headers=MAILGUN).json["items"]
    assert [item["address"] for item in listed] == ["m@example.com"]
    assert tree.delete(f"{path}/m@example.com", headers=MAILGUN).status_code == 200


@pytest.mark.parametrize("name", ["suppression", "suppressions", "Suppression"])
def test_reserved_domain_warns(tree, name: str, caplog) -> None:
    """It is created, but its paths are SendGrid's."""
    with caplog.at_level(logging.WARNING):
        added = tree.post("/_emulator/domains", json={"name": name, "account": "one"})
    assert added.status_code == 201
    assert [record.getMessage() for record in caplog.records] == [
        f"domain {name.lower()!r} cannot be reached: its paths belong to another API"
    ]
    path = f"/v3/{name.lower()}/bounces"
    for method in ("GET", "POST", "DELETE"):
        response = tree.open(
            path, method=method, headers=MAILGUN, data={"address": "x@example.com"}
        )
        assert response.status_code in (401, 404, 405, 406)
        assert response.content_type in ("application/json", "text/html")
    caplog.clear()
    tree.post("/_emulator/domains", json={"name": "fine.example", "account": "one"})
    assert caplog.records == []


def test_seeding_a_reserved_domain_warns(tree, caplog) -> None:
    seed = "accounts: [{username: x, api_key: x, domains: [{name: suppression}]}]"
    with caplog.at_level(logging.WARNING):
        tree.post("/_emulator/seed", data=seed, content_type="application/yaml")
        tree.post("/_emulator/seed", data=seed, content_type="application/yaml")
    assert len(caplog.records) == 1


def test_any_key_creates_no_mailgun_domain(url: str, clock: FixedClock) -> None:
    """With AUTH=any, an unknown key belongs to the account ``apikey``."""
    app = make_app(url, clock, AUTH="any")
    storage: Storage = app.extensions[EXTENSION].storage
    client = app.test_client()
    for method in ("GET", "POST", "DELETE"):
        client.open(PATH, method=method, headers=MAILGUN, data={"address": "x@x"})
    assert storage.accounts.all() == []
    assert client.get(PATH, headers=_headers("x")).json == []
    assert [account.username for account in storage.accounts.all()] == ["apikey"]
    assert storage.accounts.domains() == []
    storage.close()
