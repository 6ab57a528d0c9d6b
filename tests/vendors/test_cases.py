"""The wire: every case is replayed, and must come out to the byte."""

from pathlib import Path

import pytest
from case_files import PROVENANCES, Case, Message, read_cases
from conftest import CASES
from flask.testing import FlaskClient

PARAMETERS = [
    pytest.param(case, id=f"{path.parent.name} {path.stem}: {case.title}")
    for path in sorted(CASES.glob("*/*.http"))
    for case in read_cases(path)
]


@pytest.mark.parametrize("case", PARAMETERS)
def test_case(client: FlaskClient, case: Case) -> None:
    """What a vendor's clients send is answered as the case says."""
    assert case.exchanges
    for request, expected in case.exchanges:
        answer = _send(client, request)

        assert (expected.first, expected.body.decode()) == (
            str(answer.status_code),
            answer.data.decode(),
        ), request.first
        for name, value in expected.headers.items():
            assert value == answer.headers.get(name, ""), (request.first, name)
        if not request.first.startswith("HEAD "):
            assert str(len(answer.data)) == answer.headers["Content-Length"]


@pytest.mark.parametrize("path", sorted(CASES.glob("*/*.http")), ids=lambda p: p.name)
def test_every_case_says_how_it_is_known(path: Path) -> None:
    """A case without provenance is only what the code happens to do."""
    cases = list(read_cases(path))

    assert cases
    for case in cases:
        render, _, source = case.provenance.partition(": ")
        assert render in PROVENANCES, case.title
        assert source, case.title
        for _request, answer in case.exchanges:
            assert "Content-Type" in answer.headers, case.title


def _send(client: FlaskClient, request: Message):
    method, target = request.first.split(" ", 1)
    headers = {"Content-Length": "0", **request.headers}
    if request.body:
        headers["Content-Length"] = str(len(request.body))
    return client.open(target, method=method, headers=headers, data=request.body)
