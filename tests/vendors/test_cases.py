"""All cases are replayed, and every response matches byte for byte."""

from pathlib import Path

import pytest
from case_files import (
    PROVENANCES,
    Case,
    join_cases,
    read_cases,
    replay,
    split_cases,
)
from conftest import CASES
from flask.testing import FlaskClient

PARAMETERS = [
    pytest.param(case, id=f"{path.parent.name} {path.stem}: {case.title}")
    for path in sorted(CASES.glob("*/*.http"))
    for case in read_cases(path)
]


@pytest.mark.parametrize("case", PARAMETERS)
def test_case(client: FlaskClient, case: Case) -> None:
    """The case runs on every database engine."""
    replay(client, case)


@pytest.mark.parametrize("path", sorted(CASES.glob("*/*.http")), ids=lambda p: p.name)
def test_every_case_has_a_provenance(path: Path) -> None:
    """Without a source, a case would only repeat the behavior of the code."""
    cases = list(read_cases(path))

    assert cases
    for case in cases:
        provenance, _, source = case.provenance.partition(": ")
        assert provenance in PROVENANCES, case.title
        assert source, case.title
        for _request, response in case.exchanges:
            assert "Content-Type" in response.headers, case.title


@pytest.mark.parametrize("path", sorted(CASES.glob("*/*.http")), ids=lambda p: p.name)
def test_files_are_joined_as_they_were_split(path: Path) -> None:
    """Recording a file changes nothing but its responses."""
    content = path.read_bytes().decode()
    assert join_cases(*split_cases(content)) == content


def test_requests_have_the_headers_of_their_file(tmp_path: Path) -> None:
    """A request overrides or omits them."""
    file = tmp_path / "cases.http"
    file.write_text(
        "A: 1\nB: 2\n\n### Title\ninferred: x\n"
        ">>> GET /\nB: 3\nC:\n\nbody\n<<< 200\n>>> GET /\nA:\n<<< 200\nD:\n\n"
    )
    (case,) = read_cases(file)
    requests = [request.headers for request, _ in case.exchanges]
    assert requests == [{"A": "1", "B": "3", "C": ""}, {"B": "2"}]
    assert case.exchanges[0][0].body == b"body"
    assert case.exchanges[1][1].headers == {"D": ""}
