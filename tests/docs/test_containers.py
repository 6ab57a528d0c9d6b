"""The container files, as far as they can be checked without a container engine."""

import re
import shlex

import yaml
from live import ROOT

from sendgrid_bounces.cli import main
from sendgrid_bounces.config import SETTINGS

DOCKERFILE = (ROOT / "Dockerfile").read_text()
COMPOSE = yaml.safe_load((ROOT / "compose.yaml").read_text())


def test_the_image_is_slim_and_not_roots() -> None:
    """A supported Python, a user of its own, and nothing installed but Python packages."""
    assert re.match(r"FROM python:3\.1[0-3]-slim\n", DOCKERFILE)
    assert "USER bounces" in DOCKERFILE
    assert "apt-get" not in DOCKERFILE
    assert "curl" not in DOCKERFILE


def test_its_commands_are_ours() -> None:
    """The health check is the command line's."""
    for line in re.findall(r"^(?:    )?CMD (\[.*\])$", DOCKERFILE, re.MULTILINE):
        program, command = yaml.safe_load(line)
        assert program == "sendgrid-bounces"
        assert command in main.commands
    assert DOCKERFILE.count("CMD [") == 2


def test_what_it_copies_is_there() -> None:
    """From the folder that it is built in."""
    for line in re.findall(r"^COPY (.*)$", DOCKERFILE, re.MULTILINE):
        *sources, _target = shlex.split(line)
        assert all((ROOT / source).exists() for source in sources)
    ignored = (ROOT / ".dockerignore").read_text().split()
    assert "sendgrid_bounces" not in ignored


def test_all_settings_are_settings() -> None:
    """In the image and in the composition."""
    known = {setting.variable for setting in SETTINGS}
    environment = COMPOSE["services"]["bounces"]["environment"]

    assert set(re.findall(r"SENDGRID_BOUNCES_\w+", DOCKERFILE)) <= known
    assert set(environment) <= known


def test_the_composition_fits_together() -> None:
    """The emulator waits for the database that its URL names."""
    services = COMPOSE["services"]
    url = services["bounces"]["environment"]["SENDGRID_BOUNCES_DATABASE_URL"]
    database = services["mariadb"]["environment"]
    assert url == "mysql://{}:{}@mariadb/{}".format(
        *(database[f"MARIADB_{name}"] for name in ("USER", "PASSWORD", "DATABASE"))
    )
    assert services["bounces"]["depends_on"] == {
        "mariadb": {"condition": "service_healthy"}
    }
