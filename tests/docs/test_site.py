"""The site builds without warnings and contains every setting and public member."""

import html
import re
import subprocess
import sys
from pathlib import Path

import pytest
from blocks import DOCS
from live import ROOT, TIMEOUT

from sendgrid_bounces.config import SETTINGS
from sendgrid_bounces.testing import EmulatorServer, TestAccount

pytest.importorskip("sphinx", reason="needs the extra `docs`")
pytestmark = pytest.mark.docs


@pytest.fixture(name="site", scope="module")
def _site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    ended = subprocess.run(
        [sys.executable, "-m", "sphinx", "-W", "-n", "-q", DOCS, folder],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=TIMEOUT * 6,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    return folder


def _text(site: Path, page: str) -> str:
    markup = (site / page).read_text(encoding="utf-8")
    return html.unescape(re.sub("<[^>]+>", "", markup))


def test_every_page_is_in_a_table_of_contents(site: Path) -> None:
    pages = [
        page.relative_to(DOCS).with_suffix(".html") for page in DOCS.rglob("*.rst")
    ]
    pages = [page for page in pages if not page.name.startswith("performance-")]
    home = (site / "index.html").read_text(encoding="utf-8")

    assert [page for page in pages if f'href="{page.as_posix()}"' not in home] == [
        Path("index.html")
    ]


def test_every_setting_is_rendered_with_its_default(site: Path) -> None:
    text = _text(site, "reference/settings.html")

    for setting in SETTINGS:
        assert setting.variable in text
        assert setting.default in text


@pytest.mark.parametrize("class_", [TestAccount, EmulatorServer])
def test_every_public_member_is_rendered(site: Path, class_: type) -> None:
    markup = (site / "reference" / "testing.html").read_text(encoding="utf-8")

    for name in vars(class_):
        if not name.startswith("_"):
            assert f'id="sendgrid_bounces.testing.{class_.__name__}.{name}"' in markup


def test_no_page_loads_anything_from_elsewhere(site: Path) -> None:
    for page in site.rglob("*.html"):
        markup = page.read_text(encoding="utf-8")
        assert not re.search(r'<(?:script|link|img)[^>]+(?:src|href)="https?:', markup)


def test_the_manual_page_has_every_command(tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "sphinx", "-W", "-q", "-b", "man", DOCS, tmp_path],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=TIMEOUT * 6,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    page = (tmp_path / "sendgrid-bounces.1").read_text(encoding="utf-8")
    for command in ("bounces", "clock", "completion", "serve"):
        assert command in page
