"""The recorder of case files."""

import sys
from pathlib import Path

import pytest
from case_files import read_cases
from conftest import CASES

from sendgrid_bounces.testing import EmulatorServer
from tools import record

FILE = CASES / "sendgrid" / "delete.http"


def _run(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    monkeypatch.setattr(sys, "argv", ["record", *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        record.main()
    return ended.value.code


@pytest.mark.slow
def test_case_files_equal_their_recordings(monkeypatch, capsys) -> None:
    """Over a socket, too, every response is that of its case."""
    assert _run(monkeypatch, *sorted(CASES.glob("*/*.http"))) == 0
    assert capsys.readouterr().out == ""


@pytest.mark.slow
def test_update_writes_missing_responses(monkeypatch, tmp_path: Path, capsys) -> None:
    """A status without headers and body is enough; a difference is exit code 1."""
    content = FILE.read_bytes().decode()
    (case, *_) = read_cases(FILE)
    ((request, response), *_) = case.exchanges
    file = tmp_path / "new.http"
    file.write_text(
        f"### New\ninferred: a test\n>>> {request.first}\n<<< 500\n\n", newline=""
    )
    assert _run(monkeypatch, file) == 1
    assert f"+<<< {response.first}" in capsys.readouterr().out
    assert "<<< 500" in file.read_text()

    with EmulatorServer() as server:
        assert _run(monkeypatch, "--update", "--server", server.url, file) == 0
    (new,) = read_cases(file)
    assert new.exchanges[0][1].body == response.body
    assert response.body.decode() in content
