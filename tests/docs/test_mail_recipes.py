"""The recipes for mail systems: their commands list the recipient of a bounce mail."""

import re
import shlex
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from blocks import DOCS, blocks_of
from click.testing import CliRunner
from live import TIMEOUT

from sendgrid_bounces.cli import main
from sendgrid_bounces.storage.database import open_storage
from sendgrid_bounces.testing import EmulatorServer

PAGE = DOCS / "how-to" / "bounce-mails.rst"
TEXTS = [block.text for block in blocks_of(PAGE, "text") if not block.name]
MAIL = next(block.text for block in blocks_of(PAGE) if block.name == "bounce.eml")

#: The commands of the recipes, without the quotes of the mail systems' files.
COMMANDS = [
    match[1]
    for text in TEXTS
    for match in re.finditer(r"sendgrid-bounces (bounces receive [^\"\n]+)", text)
]


def test_page_has_recipes_for_several_mail_systems() -> None:
    assert len(COMMANDS) == 6
    for name in ("Postfix", "Sendmail", "Exim", "qmail", ".forward"):
        assert name in PAGE.read_text()


@pytest.mark.parametrize("command", COMMANDS)
def test_recipe_lists_the_recipient(command: str, tmp_path: Path, url: str) -> None:
    with closing(open_storage(url)) as storage:
        storage.accounts.add("acme")
    settings, folder = tmp_path / "settings.yaml", tmp_path / "Maildir"
    settings.write_text(f'{{"database_url": "{url}"}}')
    for name in ("new", "cur"):
        (folder / name).mkdir(parents=True)
    (folder / "new" / "1").write_text(MAIL)
    command = command.replace("/etc/sendgrid-bounces.yaml", str(settings))
    command = command.replace("~/Maildir", str(folder))
    environment = {} if "--config" in command else {"SENDGRID_BOUNCES_CONFIG": settings}
    variables = {name: str(value) for name, value in environment.items()}

    result = CliRunner(env=variables).invoke(main, shlex.split(command), input=MAIL)
    assert result.exit_code == 0, result.output
    assert "listed ada@example.org 5.1.1 550" in result.stdout


@pytest.fixture(name="server")
def _server() -> Iterator[EmulatorServer]:
    accounts = [{"username": "acme", "api_key": "s3cret"}]
    sources = [{"name": "mx", "owner": "acme", "kind": "mail", "token": "t0ken"}]
    with EmulatorServer(seed={"accounts": accounts, "sources": sources}) as server:
        yield server


@pytest.mark.docs
def test_recipe_with_curl_lists_the_recipient_or_asks_for_another_attempt(
    server: EmulatorServer, tmp_path: Path
) -> None:
    (recipe,) = (re.findall(r'"\|(curl .*)"', "\n".join(TEXTS))) or [""]
    options = tmp_path / "bounces.curl"
    options.write_text(next(text for text in TEXTS if text.startswith("user = ")))
    recipe = recipe.replace("/etc/bounces.curl", str(options))
    for url, code in ((server.url, 0), ("http://127.0.0.1:1", 75)):
        ended = subprocess.run(
            ["/bin/sh", "-c", recipe.replace("http://127.0.0.1:8000", url)],
            input=MAIL.encode(),
            capture_output=True,
            timeout=TIMEOUT,
            check=False,
        )
        assert ended.returncode == code
    assert server.control.count_bounces("acme").count == 1
