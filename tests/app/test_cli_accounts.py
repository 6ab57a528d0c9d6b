"""Commands for accounts and domains."""

import json
from contextlib import closing

import pytest

from sendgrid_bounces.cli import accounts
from sendgrid_bounces.cli.contents import count_owned
from sendgrid_bounces.control.documents import AccountReport
from sendgrid_bounces.core.errors import UnknownNameError
from sendgrid_bounces.storage.database import open_storage


def test_accounts_are_added_listed_and_removed(run) -> None:
    """Customers are listed below their resellers."""
    run("account", "add", "acme", "--profile", "recorded", stdin="k\n")
    run("account", "add", "c@x", "--customer-of", "acme", stdin="k\n")
    run("account", "add", "late", "--timezone", "Asia/Tokyo", stdin="k\n")
    run("domain", "add", "late.example", "late")
    run("bounces", "add", "c@x", "a@example.com")

    assert run("account", "list").stdout.splitlines() == [
        "account  profile     time zone   domains  bounces",
        "acme     recorded    UTC               0        0",
        "  c@x    (server's)  UTC               0        1",
        "late     (server's)  Asia/Tokyo        1        0",
    ]
    removed = run("account", "remove", "acme", "--yes").stdout
    assert removed == "removed acme and 1 customer\n"
    assert len(run("account", "list").stdout.splitlines()) == 2


def test_account_is_shown_with_all_that_belongs_to_it(acme) -> None:
    """As text and as JSON."""
    acme("account", "add", "c@x", "--customer-of", "acme", stdin="k\n")
    acme("domain", "add", "own.example", "acme")
    acme("domain", "add", "shared.example", "acme", "--share-list")
    acme("bounces", "add", "acme", "a@x")

    assert acme("account", "show", "acme").stdout.splitlines() == [
        "account      acme",
        "profile      (server's)",
        "time zone    UTC",
        "customer of  -",
        "bounces      1",
        "customers    c@x",
        "domains      own.example (0 bounces)",
        "             shared.example (shares the bounces of the account)",
    ]
    shown = json.loads(acme("account", "show", "c@x", "--json").stdout)
    assert shown["reseller"] == "acme"
    assert shown["customers"] == shown["domains"] == []
    listed = json.loads(acme("account", "list", "--json").stdout)["accounts"]
    assert [found["name"] for found in listed] == ["acme", "c@x"]
    assert listed[1] == shown


def test_account_is_changed(acme) -> None:
    """Each option changes one field."""
    assert acme("account", "set", "acme", "--profile", "recorded").stdout == (
        "changed acme\n"
    )
    acme("account", "set", "acme", "--timezone", "Asia/Tokyo")
    shown = json.loads(acme("account", "show", "acme", "--json").stdout)
    assert (shown["profile"], shown["timezone"]) == ("recorded", "Asia/Tokyo")
    acme("account", "set", "acme", "--profile", "server")
    shown = json.loads(acme("account", "show", "acme", "--json").stdout)
    assert (shown["profile"], shown["timezone"]) == (None, "Asia/Tokyo")

    for args, code, message in (
        (("acme",), 2, "nothing to change"),
        (("acme", "--timezone", "Mars"), 2, "--timezone: unknown time zone 'Mars'"),
        (("nobody", "--timezone", "UTC"), 1, "there is no account 'nobody'"),
        (("acme", "--profile", "other"), 2, "must be documented, recorded, or"),
    ):
        assert message in acme("account", "set", *args, code=code).stderr


def test_customers_have_no_customers(acme) -> None:
    """As with the vendor: a reseller's customers are not resellers."""
    acme("account", "add", "customer", "--customer-of", "acme", stdin="k\n")
    refused = acme(
        *("account", "add", "third", "--customer-of", "customer"), stdin="k\n", code=1
    )
    assert "account 'customer' is a customer" in refused.stderr
    assert "third" not in acme("account", "list").stdout


def test_removal_asks_with_numbers(acme, decline) -> None:
    """Everything that is removed with the account is counted."""
    for name in ("one", "two"):
        acme("account", "add", name, "--customer-of", "acme", stdin="k\n")
    acme("domain", "add", "own.example", "acme")
    acme("domain", "add", "shared.example", "acme", "--share-list")
    for owner in ("acme", "two", "own.example"):
        acme("bounces", "add", owner, "a@x")

    for args, question in (
        (("account", "remove", "acme"), "acme, 2 customers, 2 domains and 3 bounces"),
        (("account", "remove", "one"), "one and 0 bounces"),
        (("domain", "remove", "own.example"), "own.example and 1 bounce"),
        (("domain", "remove", "shared.example"), "shared.example and 0 bounces"),
    ):
        for answer in ("n\n", "\n"):
            asked = decline(*args, answer=answer).stdout
            assert asked.startswith(f"Remove {question}? [y/N]")
    assert acme("account", "list").stdout.count("\n") == 4
    assert "removed acme and 2 customers\n" in (
        acme("account", "remove", "acme", stdin="y\n").stdout
    )


@pytest.mark.parametrize(
    "command",
    [
        ("account", "remove", "acme"),
        ("domain", "remove", "mg.example"),
        ("bounces", "clear", "acme"),
        ("fault", "clear"),
        ("reset",),
        ("snapshot", "restore", "before"),
    ],
    ids=" ".join,
)
def test_removal_needs_a_terminal_or_consent(acme, command) -> None:
    """Without a terminal, the exit code is that of a usage error."""
    acme("domain", "add", "mg.example", "acme")
    acme("fault", "add", "--status", "503")
    acme("snapshot", "save", "before")

    refused = acme(*command, code=2)
    assert refused.stderr.startswith("Error: would remove ")
    assert "--yes" in refused.stderr
    acme(*command, "--yes")


@pytest.mark.parametrize(
    ("command", "kind"),
    [
        (("account", "remove", "x"), "account"),
        (("domain", "remove", "x"), "domain"),
        (("bounces", "clear", "x"), "account or domain"),
        (("snapshot", "restore", "x"), "snapshot"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else None,
)
def test_name_is_checked_before_the_question(run, terminal, command, kind) -> None:
    """An unknown name is an error, not a question."""
    refused = run(*command, code=1)
    assert f"there is no {kind} 'x'" in refused.stderr
    assert refused.stdout == ""


def test_key_is_read_from_stdin_and_stored_as_a_hash(acme, tmp_path) -> None:
    """An empty key is rejected, and the account is not added."""
    acme("account", "set-key", "acme", stdin="another-s3cret\r\n")

    assert b"s3cret" not in (tmp_path / "bounces.sqlite3").read_bytes()
    for args in (("account", "add", "b"), ("account", "set-key", "acme")):
        refused = acme(*args, stdin="\n", code=1)
        assert "api_key" in refused.stderr
        refused = acme(*args, code=2)
        assert "no API key on standard input (such as: echo KEY | " in refused.stderr
    assert "b" not in acme("account", "list").stdout.split()


def test_key_is_set_on_the_named_account_only(acme, url, monkeypatch) -> None:
    """An account that is removed while its key is typed does not affect another one."""

    def read_secret(_: str) -> str:
        with closing(open_storage(url)) as storage:
            storage.accounts.remove("acme")
            storage.accounts.add("other", key_hash="others")
        return "late"

    monkeypatch.setattr(accounts, "read_secret", read_secret)
    assert "no account 'acme'" in acme("account", "set-key", "acme", code=1).stderr
    with closing(open_storage(url)) as storage:
        assert storage.accounts.get("other").key_hash == "others"


def test_account_that_another_command_removes_is_reported() -> None:
    """A hostile server may also describe accounts that are customers of each other."""
    first = AccountReport("a", None, "UTC", "b", 1, ("b", "gone"), ())
    second = AccountReport("b", None, "UTC", "a", 2, ("a",), ())
    owned = count_owned([first, second], "a")
    assert owned == {"customer": 1, "domain": 0, "bounce": 3}
    with pytest.raises(UnknownNameError, match="there is no account 'gone'"):
        count_owned([first, second], "gone")


def test_unusual_names_of_domains_are_added_with_a_warning(acme) -> None:
    """They are probably mistyped."""
    assert acme("domain", "add", "mg.example.com", "acme").stderr == ""
    added = acme("domain", "add", "a@b.example", "acme")
    assert added.stderr == "Warning: a@b.example is not a domain name\n"
    added = acme("domain", "add", "acme", "acme")
    assert added.stderr.startswith("Warning: acme is an account, too; as OWNER, ")


def test_domains_are_added_listed_and_removed(acme) -> None:
    """A domain has its own list or shares the list of the account."""
    acme("domain", "add", "Own.example", "acme")
    acme("domain", "add", "shared.example", "acme", "--share-list")
    acme("bounces", "add", "own.example", "a@x")
    acme("bounces", "add", "acme", "b@x")

    assert acme("domain", "list").stdout.splitlines() == [
        "domain          account  list     bounces",
        "own.example     acme     own            1",
        "shared.example  acme     account        1",
    ]
    listed = json.loads(acme("domain", "list", "--json").stdout)["domains"]
    shown = json.loads(acme("domain", "show", "own.example", "--json").stdout)
    assert listed[0] == shown
    assert "own.example" in acme("domain", "show", "OWN.example").stdout
    acme("domain", "remove", "own.example", "--yes")
    acme("domain", "remove", "SHARED.example", "--yes")
    assert "b@x" in acme("bounces", "list", "acme").stdout
    for args, message in (
        (("remove", "own.example"), "there is no domain 'own.example'"),
        (("show", "own.example"), "there is no domain 'own.example'"),
        (("add", "a/b", "acme"), "domain: must be"),
        (("add", "x.example", "nobody"), "there is no account 'nobody'"),
    ):
        assert message in acme("domain", *args, code=1).stderr
