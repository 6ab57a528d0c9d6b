"""``Dockerfile`` and ``compose.yaml``, checked without a container engine."""

import re
import shlex
from configparser import ConfigParser

import click
import yaml
from blocks import DOCS
from live import ROOT

from sendgrid_bounces.cli import main
from sendgrid_bounces.config import SETTINGS

DOCKERFILE = (ROOT / "Dockerfile").read_text()
#: The extras that commands in the image need.
EXTRAS = ["mysql", "pull", "webhooks", "mail"]
COMPOSE = yaml.safe_load((ROOT / "compose.yaml").read_text())


def test_image_is_slim_and_unprivileged() -> None:
    """It has an exact version of Python, its own user and no other system packages."""
    base = r"^FROM python:3\.1[0-3]\.\d+-slim-bookworm(@sha256:[0-9a-f]{64})?$"
    assert re.search(base, DOCKERFILE, re.MULTILINE)
    assert "USER bounces" in DOCKERFILE
    assert "apt-get" not in DOCKERFILE
    assert "curl" not in DOCKERFILE


def test_packages_of_the_image_are_pinned_with_hashes() -> None:
    """The image has the requirements of the package and of the extras of a server."""
    assert "--require-hashes -r /src/requirements.txt" in DOCKERFILE
    assert DOCKERFILE.count("pip install") == 2
    assert "--no-deps /src" in DOCKERFILE
    text = (ROOT / "requirements.txt").read_text().replace("\\\n", "")
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    pinned = {re.match(r"[\w-]+(?===\d)", line)[0] for line in lines}
    assert all("--hash=sha256:" in line for line in lines)

    setup = ConfigParser()
    setup.read(ROOT / "setup.cfg")
    needed = setup["options"]["install_requires"].split()
    for extra in EXTRAS:
        needed += setup["options.extras_require"][extra].split()
    names = {re.match(r"[\w.-]+", each)[0].lower() for each in needed}
    assert {name.replace(".", "-") for name in names} <= pinned
    assert re.findall(r"--extra (\w+)", text) == EXTRAS


def test_guide_names_the_extras_of_the_image() -> None:
    guide = " ".join((DOCS / "how-to" / "containers.rst").read_text().split())
    *first, last = (f"``{extra}``" for extra in EXTRAS)

    assert f"The image has the extras {', '.join(first)} and {last}." in guide


def test_image_runs_commands_of_the_package() -> None:
    """The server and the health check are commands of sendgrid-bounces."""
    for line in re.findall(r"^(?:    )?CMD (\[.*\])$", DOCKERFILE, re.MULTILINE):
        program, command = yaml.safe_load(line)
        assert program == "sendgrid-bounces"
        assert command in main.list_commands(click.Context(main))
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
