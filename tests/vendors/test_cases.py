"""All cases are replayed, and every response matches byte for byte."""

from pathlib import Path

import pytest
from case_files import PROVENANCES, Case, read_cases, replay
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
