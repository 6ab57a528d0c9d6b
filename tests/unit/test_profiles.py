"""Profiles: presets, and profiles that are composed of points."""

from itertools import product

import pytest
import requests

from sendgrid_bounces.config import load_config
from sendgrid_bounces.core.errors import ParametersError
from sendgrid_bounces.core.profiles import POINTS, parse_profile, recorded_points
from sendgrid_bounces.testing import mock_bounces

MIXED = {"count": "integer", "content_type": "application/json"}


@pytest.mark.parametrize(
    ("value", "profile"),
    [
        ("documented", "documented"),
        ("recorded", "recorded"),
        ({}, "documented"),
        (MIXED, "documented+count"),
        ("count=integer,content_type=application/json", "documented+count"),
        ("count = integer", "documented+count"),
        ("documented+count", "documented+count"),
        ("documented+type+count", "documented+count+type"),
        ({"preset": "recorded"}, "recorded"),
        ({"preset": "recorded", "count": "string"}, "documented+errors+delete+type"),
        ("preset=recorded,bare_delete=all", "documented+count+errors+type"),
    ],
)
def test_profiles_have_a_shortest_form(value, profile) -> None:
    assert parse_profile(value) == profile


def test_every_profile_fits_into_its_column() -> None:
    names = {
        parse_profile(dict(zip(POINTS, values, strict=True)))
        for values in product(*((p.documented, p.recorded) for p in POINTS.values()))
    }
    assert len(names) == 16
    assert {parse_profile(name) for name in names} == names
    assert len({recorded_points(name) for name in names}) == 16
    assert max(map(len, names)) <= 32


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("", "profile: must be documented, recorded, or points such as"),
        ("modern", "profile: must be documented, recorded, or points.*=.*got .modern"),
        ("recorded+count", "profile: must be documented, recorded, or points such as"),
        ("documented+", "profile: must be"),
        (5, "profile: must be"),
        (
            {"counts": "integer"},
            "profile: unknown point .got .counts.. .did you mean count",
        ),
        ({"x": "integer"}, "profile: unknown point .got .x.. .known: preset, count"),
        ({"count": "float"}, "profile.count: must be string or integer .got .float"),
        ({"count": []}, "profile.count: must be string or integer"),
        ({"preset": "modern"}, "profile.preset: must be documented or recorded"),
        ("count=", "profile.count: must be string or integer"),
    ],
)
def test_invalid_profiles_are_rejected(value, message) -> None:
    with pytest.raises(ParametersError, match=message):
        parse_profile(value)


def test_composed_profile_of_a_test_account() -> None:
    """An integer count in a body of type application/json."""
    with mock_bounces(profile=MIXED) as account:
        answer = requests.get(
            "https://sendgrid.com/api/bounces.count.json",
            params={"api_user": account.username, "api_key": account.api_key},
        )
    assert (answer.json(), answer.headers["Content-Type"]) == (
        {"count": 0},
        "application/json",
    )


def test_composed_profile_in_settings(tmp_path) -> None:
    file = tmp_path / "settings.yaml"
    file.write_text("profile: {count: integer, content_type: application/json}")

    assert load_config({}, {}, str(file)).profile == "documented+count"
    for variable in ("count=integer", "documented+count"):
        assert (
            load_config({"PROFILE": variable}, {}, None).profile == "documented+count"
        )
    with pytest.raises(
        ParametersError, match="must be documented, recorded, or points"
    ):
        load_config({"PROFILE": "modern"}, {}, None)


def test_composed_profile_in_a_seed_and_a_command(acme, tmp_path) -> None:
    seed = tmp_path / "s.yaml"
    seed.write_text(
        "accounts: [{username: x, profile: {count: integer, errors: first}}]"
    )
    acme("seed", str(seed))
    assert "documented+count+errors" in acme("account", "show", "x").stdout

    acme("account", "set", "acme", "--profile", "count=integer")
    assert "documented+count" in acme("account", "list").stdout
    refused = acme("account", "set", "acme", "--profile", "count=float", code=2)
    assert "count: must be string or integer" in refused.stderr
    seed.write_text("accounts: [{username: x, profile: {count: float}}]")
    refused = acme("seed", str(seed), code=1)
    assert "accounts[0].profile: count must be string or integer" in refused.stderr


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/api/bounces.get.json?api_user=nobody&api_key=x", "403 Forbidden"),
        ("/api/bounces.count.json", "403 Forbidden"),
        ("/api/bounces.get.nothing", "404 Not Found"),
        ("/v3/mg.example.com/bounces", "401 Unauthorized"),
        ("/nothing", "404 Not Found"),
        ("/_emulator/nothing", "404 Not Found"),
    ],
)
def test_reason_phrases_are_those_of_the_standard(app, path, status) -> None:
    """Werkzeug's own are in capitals."""
    assert app.test_client().get(path).status == status
