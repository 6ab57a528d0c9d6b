"""What every dialect owes: it is wired, it owns its paths, and it words every error."""

import importlib
import pkgutil

import pytest

from sendgrid_bounces import dialects
from sendgrid_bounces.app import DIALECTS
from sendgrid_bounces.core import errors

IDS = [dialect.name for dialect in DIALECTS]


def _modules(name: str) -> list[str]:
    package = importlib.import_module(name)
    return [found.name for found in pkgutil.walk_packages(package.__path__, f"{name}.")]


def test_every_dialect_is_wired() -> None:
    """A module that declares one and is not in the application is forgotten."""
    declared = [
        module.DIALECT
        for name in _modules(dialects.__name__)
        if hasattr(module := importlib.import_module(name), "DIALECT")
    ]

    assert {dialect.name for dialect in declared} == set(IDS)


def test_every_route_lies_in_its_dialects_space(app) -> None:
    """So what the router refuses is worded by whoever would have answered."""
    blueprints = {dialect.blueprint.name: dialect for dialect in DIALECTS}
    for rule in app.url_map.iter_rules():
        if rule.rule.startswith("/_emulator/"):
            continue  # the emulator's own, where no vendor has a path
        owner = next(dialect for dialect in DIALECTS if dialect.owns(rule.rule))
        assert owner is blueprints[rule.endpoint.partition(".")[0]], rule.rule


@pytest.mark.parametrize("dialect", DIALECTS, ids=IDS)
@pytest.mark.parametrize("status", [400, 404, 405, 413, 418, 500])
def test_every_refusal_has_words(app, dialect, status: int) -> None:
    """Whatever the status, and never HTML."""
    with app.test_request_context():
        for path in ("/x.json", "/x.xml", "/x"):
            response = dialect.render_error(status, path)
            assert response.status_code == status
            assert response.data
            assert b"<html" not in response.data.lower()


@pytest.mark.parametrize("dialect", DIALECTS, ids=IDS)
def test_every_error_has_words(dialect) -> None:
    """Also those that nobody thought of: they are some BounceError."""
    table = importlib.import_module(dialect.blueprint.import_name).ERRORS

    assert errors.BounceError in table
    assert {
        errors.CredentialsError,
        errors.ParametersError,
        errors.RequestError,
        errors.StorageError,
    } <= set(table)
