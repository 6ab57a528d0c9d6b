"""``Dockerfile`` and ``compose.yaml``, checked without a container engine."""

import re
import shlex

import yaml
from live import ROOT

from sendgrid_bounces.cli import main
from sendgrid_bounces.config import SETTINGS

DOCKERFILE = (ROOT / "Dockerfile").read_text()
COMPOSE = yaml.safe_load((ROOT / "compose.yaml").read_text())


def test_image_is_slim_and_unprivileged() -> None:
    """It has a supported Python, its own user and no other system packages."""
    assert re.match(r"FROM python:3\.1[0-3]-slim\n", DOCKERFILE)
    assert "USER bounces" in DOCKERFILE
    assert "apt-get" not in DOCKERFILE
    assert "curl" not in DOCKERFILE


def test_image_runs_commands_of_the_package() -> None:
    """The server and the health check are commands of sendgrid-bounces."""
    for line in re.findall(r"^(?:    )?CMD (\[.*\])$", DOCKERFILE, re.MULTILINE):
        program, command = yaml.safe_load(line)
        assert program == "sendgrid-bounces"
        assert command in main.commands
    assert DOCKERFILE.count("CMD [") == 2


def test_copied_files_exist() -> None:
    """The package is part of the build context."""
    for line in re.findall(r"^COPY (.*)$", DOCKERFILE, re.MULTILINE):
        *sources, _target = shlex.split(line)
        assert all((ROOT / source).exists() for source in sources)
    ignored = (ROOT / ".dockerignore").read_text().split()
    assert "sendgrid_bounces" not in ignored


def test_variables_are_settings() -> None:
    """The image and the composition name existing settings only."""
    known = {setting.variable for setting in SETTINGS}
    environment = COMPOSE["services"]["bounces"]["environment"]

    assert set(re.findall(r"SENDGRID_BOUNCES_\w+", DOCKERFILE)) <= known
    assert set(environment) <= known


def test_composition_connects_its_services() -> None:
    """The emulator waits for the database in its URL."""
    services = COMPOSE["services"]
    url = services["bounces"]["environment"]["SENDGRID_BOUNCES_DATABASE_URL"]
    database = services["mariadb"]["environment"]
    assert url == "mysql://{}:{}@mariadb/{}".format(
        *(database[f"MARIADB_{name}"] for name in ("USER", "PASSWORD", "DATABASE"))
    )
    assert services["bounces"]["depends_on"] == {
        "mariadb": {"condition": "service_healthy"}
    }
