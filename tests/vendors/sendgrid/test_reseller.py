"""Resellers: they reach their own customers only, and errors do not reveal more."""

import json
import os
import subprocess
import sys
from itertools import product

import pytest
from conftest import make_app
from live import ROOT, TIMEOUT, serving

from sendgrid_bounces.emulator import EXTENSION

#: Resellers with their customers, and (None) accounts that are neither.
TREE = {"one": ["a", "b"], "two": ["c"], "three": [], None: ["plain"]}
NAMES = ["one", "two", "three", "a", "b", "c", "plain", "nobody"]
UNKNOWN = b'{"error":{"code":400,"message":"User does not exist"}}'
NOT_AUTHORIZED = b'{"error":{"code":401,"message":"Permission denied, not authorized"}}'


def _account(name: str, **more) -> dict:
    bounces = [{"email": f"{name}@example.com"}, {"email": "shared@example.com"}]
    return {"username": name, "api_key": f"key of {name}", "bounces": bounces, **more}


@pytest.fixture(name="client")
def _client(url, clock, tmp_path):
    """A client of an application with `TREE`."""
    accounts = [
        _account(reseller, customers=[_account(name) for name in customers])
        for reseller, customers in TREE.items()
        if reseller
    ]
    seed = tmp_path / "tree.json"
    seed.write_text(json.dumps({"accounts": [*accounts, _account("plain")]}))
    app = make_app(url, clock, SEED=str(seed))
    yield app.test_client()
    app.extensions[EXTENSION].storage.close()


def _manage(client, caller: str, user: str, **parameters) -> bytes:
    form = {"method": "bounces", "user": user, **parameters}
    authenticator = {"api_user": caller, "api_key": f"key of {caller}"}
    return client.post(
        "/apiv2/reseller.manage.json", data={**authenticator, **form}
    ).data


def _lists(client) -> dict[str, str]:
    """Return the list of each account, with its own credentials."""
    return {
        name: client.get(
            "/api/bounces.get.json",
            query_string={"api_user": name, "api_key": f"key of {name}"},
        ).text
        for name in NAMES
        if name != "nobody"
    }


@pytest.mark.parametrize(("caller", "user"), list(product(NAMES[:-1], NAMES)))
def test_reseller_reaches_only_its_customers(client, caller: str, user: str) -> None:
    """All pairs of caller and user."""
    before = _lists(client)
    listed = _manage(client, caller, user, task="get")
    deleted = _manage(client, caller, user, task="delete", email="shared@example.com")
    after = _lists(client)

    if user in TREE.get(caller, ()):
        assert [row["email"] for row in json.loads(listed)] == [
            f"{user}@example.com",
            "shared@example.com",
        ]
        assert json.loads(deleted) == {"message": "success"}
        assert {name for name in before if before[name] != after[name]} == {user}
    else:
        refusal = UNKNOWN if caller in TREE else NOT_AUTHORIZED
        assert (listed, deleted) == (refusal, refusal)
        assert before == after


def test_queries_do_not_depend_on_the_user(client, monkeypatch) -> None:
    """Otherwise the response time would reveal the accounts of other resellers."""
    engine = client.application.extensions[EXTENSION].storage.engine
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
        _manage(client, "one", user, task="get")
        made.append(list(queries))

    assert made.count(made[0]) == 4
    assert len(made[0]) == 2  # the caller and the user


@pytest.mark.server
def test_cleanup_example(tmp_path) -> None:
    """It deletes exactly the old soft bounces."""
    seed = tmp_path / "seed.yaml"
    seed.write_text(
        """
        accounts:
          - username: acme
            api_key: s3cret
            customers:
              - username: customer@example.com
                bounces:
                  - {email: old-soft@x, status: 4.2.2, created: 2011-09-16 22:02:19}
                  - {email: old-hard@x, status: 5.1.1, created: 2011-09-16 22:02:19}
                  - {email: new-soft@x, status: 4.2.2}
              - {username: other@example.com}
        """
    )
    database = f"sqlite:///{tmp_path}/b.sqlite3"
    with serving("--database", database, "--seed", str(seed)) as live:
        ended = subprocess.run(
            [
                sys.executable,
                str(ROOT / "examples/nightly_cleanup.py"),
                *(live.url, "customer@example.com", "other@example.com", "nobody"),
            ],
            env={**os.environ, "API_USER": "acme", "API_KEY": "s3cret"},
            capture_output=True,
            text=True,
            timeout=TIMEOUT,
            check=False,
        )
        left = live.get(
            "/apiv2/customer.bounces.json?api_user=acme&api_key=s3cret"
            "&task=get&user=customer@example.com"
        )

    assert (ended.returncode, ended.stdout, ended.stderr) == (
        1,
        (
            "customer@example.com: soft bounces deleted: 1\n"
            "other@example.com: soft bounces deleted: 0\n"
        ),
        "nobody: User does not exist\n",
    )
    assert [row["email"] for row in json.loads(left)] == ["old-hard@x", "new-soft@x"]


@pytest.mark.parametrize(
    ("arguments", "variables"),
    [
        (["http://127.0.0.1:1"], {"API_USER": "acme", "API_KEY": "s3cret"}),
        (["http://127.0.0.1:1", "customer@example.com"], {"API_USER": "acme"}),
    ],
)
def test_script_of_a_reseller_needs_customers_and_credentials(
    arguments: list[str], variables: dict[str, str]
) -> None:
    ended = subprocess.run(
        [sys.executable, str(ROOT / "examples/nightly_cleanup.py"), *arguments],
        env=variables,
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=False,
    )

    assert (ended.returncode, ended.stdout) == (1, "")
    assert "Usage: nightly_cleanup.py BASE_URL CUSTOMER..." in ended.stderr
    assert "Traceback" not in ended.stderr
