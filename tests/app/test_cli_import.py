"""The options of imports, and warnings about implausible bounces."""

import json

import pytest

from sendgrid_bounces.app import check_seed_files
from sendgrid_bounces.config import load_config

ROWS = "email,status,code\nann@example.com,5.1.1,\nnobody,banana,99\n"
WARNINGS = [
    "Warning: {file}, line 3, email: is not an e-mail address (got 'nobody')",
    (
        "Warning: {file}, line 3, status: is neither a status such as 5.1.1 nor a reply "
        "code such as 550 (got 'banana')"
    ),
    "Warning: {file}, line 3, code: is not a reply code such as 550 (got '99')",
]


@pytest.fixture(name="file")
def _file(tmp_path):
    path = tmp_path / "b.csv"
    path.write_text(ROWS)
    return path


def emails(acme) -> list[str]:
    listed = json.loads(acme("bounces", "list", "acme", "--json").stdout)
    return [bounce["email"] for bounce in listed["bounces"]]


def test_implausible_bounces_are_imported_with_warnings(acme, file) -> None:
    imported = acme("bounces", "import", "acme", str(file))

    assert imported.stdout == "imported 2 bounces\n"
    assert imported.stderr.splitlines() == [line.format(file=file) for line in WARNINGS]
    assert len(emails(acme)) == 2


def test_strict_import_rejects_implausible_bounces(acme, file) -> None:
    refused = acme("bounces", "import", "acme", str(file), "--strict", code=1)

    assert "line 3, email: is not an e-mail address (got 'nobody')" in refused.stderr
    assert emails(acme) == []


def test_strict_import_skips_implausible_bounces(acme, file) -> None:
    options = ("--strict", "--skip-invalid", "--json")
    imported = acme("bounces", "import", "acme", str(file), *options)

    assert json.loads(imported.stdout) == {"stored": 1, "skipped": 1, "dry_run": False}
    assert imported.stderr.startswith(f"Warning: skipped {file}, line 3, email: ")
    assert emails(acme) == ["ann@example.com"]


def test_dry_run_stores_nothing(acme, file) -> None:
    result = acme("bounces", "import", "acme", str(file), "--dry-run")

    assert result.stdout == "would import 2 bounces\n"
    assert emails(acme) == []


def test_further_warnings_are_counted(acme, tmp_path) -> None:
    file = tmp_path / "b.txt"
    file.write_text("\n".join(f"user{n}" for n in range(1_500)))

    imported = acme("bounces", "import", "acme", str(file))
    assert imported.stdout == "imported 1,500 bounces\n"
    assert len(imported.stderr.splitlines()) == 11
    assert imported.stderr.endswith("Warning: 1,490 more warnings\n")


def test_encoding_can_be_named(acme, tmp_path) -> None:
    file = tmp_path / "b.csv"
    file.write_bytes("email;reason\nann@example.com;gelöscht\n".encode("cp1252"))

    refused = acme("bounces", "import", "acme", str(file), code=1)
    assert "b.csv, line 2: not UTF-8 text; name its encoding with --encoding" in (
        refused.stderr
    )
    acme("bounces", "import", "acme", str(file), "--encoding", "cp1252")
    assert "gelöscht" in acme("bounces", "list", "acme").stdout


def test_text_of_a_spreadsheet_in_utf_16_is_imported(acme, tmp_path) -> None:
    file = tmp_path / "b.tsv"
    file.write_bytes("email\treason\r\nann@example.com\tgelöscht\r\n".encode("utf-16"))
    acme("bounces", "import", "acme", str(file), "--encoding", "utf-16")

    assert "gelöscht" in acme("bounces", "list", "acme").stdout
    assert (
        "must be utf-8 text"
        in (
            acme("bounces", "import", "acme", str(file), "--encoding", "utf-8", code=1)
        ).stderr
    )


@pytest.mark.parametrize(
    "name", ["klingon", "rot13", "base64", "idna", "Punycode", "utf-7", ""]
)
def test_unknown_encoding_is_a_usage_error(acme, file, name) -> None:
    options = ("--encoding", name or "\0")
    refused = acme("bounces", "import", "acme", str(file), *options, code=2)

    assert "unsupported encoding" in refused.stderr


def test_unknown_columns_can_be_ignored(acme, tmp_path) -> None:
    file = tmp_path / "b.csv"
    file.write_text("email,colour\nann@example.com,red\n")

    refused = acme("bounces", "import", "acme", str(file), code=1)
    assert "b.csv, line 1: unknown column 'colour'" in refused.stderr
    acme("bounces", "import", "acme", str(file), "--ignore-unknown")
    assert emails(acme) == ["ann@example.com"]


def test_missing_status_and_code_come_from_the_reason(acme, tmp_path) -> None:
    acme("bounces", "add", "acme", "one@example.com", "--reason", "452 mailbox full")
    file = tmp_path / "list.csv"
    file.write_text("email,reason\ntwo@example.com,452 mailbox full\nthree@x.org,\n")
    acme("bounces", "import", "acme", str(file))

    listed = json.loads(acme("bounces", "list", "acme", "--json").stdout)["bounces"]
    assert {b["email"]: (b["status"], b["code"]) for b in listed} == {
        "one@example.com": ("452", "452"),
        "two@example.com": ("452", "452"),
        "three@x.org": ("550", "550"),
    }


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("nobody",), "EMAIL: is not an e-mail address (got 'nobody')"),
        (
            ("a@example.com", "--status", "banana"),
            "--status: is neither a status such as",
        ),
        (("a@example.com", "--code", "99"), "--code: is not a reply code such as 550"),
        (("a@example.com", "--status", "999"), "--status: is neither a status such"),
    ],
)
def test_implausible_bounce_is_added_with_a_warning(acme, arguments, message) -> None:
    refused = acme("bounces", "add", "acme", *arguments, "--strict", code=2)
    assert message in refused.stderr
    assert emails(acme) == []

    added = acme("bounces", "add", "acme", *arguments)
    assert added.stderr.startswith(f"Warning: {message}")
    assert emails(acme) == [arguments[0]]


@pytest.mark.parametrize(
    "status", ["5.1.1", "4.0.0", "5.7.606", "550", "421", "605", ""]
)
def test_plausible_status_has_no_warning(acme, status) -> None:
    added = acme("bounces", "add", "acme", "a@example.com", "--status", status)

    assert added.stderr == ""


def test_blanks_around_an_added_address_are_removed(acme) -> None:
    acme("bounces", "add", "acme", " a@example.com ", "--status", " 5.1.1")

    assert emails(acme) == ["a@example.com"]
    listed = acme("bounces", "list", "acme", "--type", "hard").stdout
    assert "a@example.com" in listed


SEED = (
    "accounts: [{username: new, bounces: [{email: nobody}, {email: a@example.com, "
    "status: banana}]}]"
)


def test_implausible_bounces_of_a_seed_are_reported(acme, tmp_path) -> None:
    path = tmp_path / "s.yaml"
    path.write_text(SEED)

    refused = acme("seed", str(path), "--strict", code=1)
    assert "s.yaml: accounts[0].bounces[0].email: is not an e-mail" in refused.stderr
    acme("account", "show", "new", code=1)

    loaded = acme("seed", str(path))
    assert loaded.stderr.splitlines() == [
        f"Warning: {path}: accounts[0].bounces[0].email: {WARNINGS[0].split(': ')[2]}",
        f"Warning: {path}: accounts[0].bounces[1].status: {WARNINGS[1].split(': ')[2]}",
    ]
    assert "2" in acme("account", "show", "new").stdout


def test_serve_checks_seed_files_for_implausible_bounces(tmp_path) -> None:
    path = tmp_path / "s.yaml"
    path.write_text(SEED)
    config = load_config({"SEED": (str(path),)}, {}, None)

    assert [place for place, _ in check_seed_files(config)] == [
        f"{path}: accounts[0].bounces[0].email",
        f"{path}: accounts[0].bounces[1].status",
    ]
