"""The start of a server leaves out what its first requests do not need."""

import subprocess
import sys
from pathlib import Path

import pytest
from werkzeug.routing import Map, Rule

from sendgrid_bounces.web.routing import Route

#: Modules that take long to load.
HEAVY = ("lxml", "sendgrid_bounces.control.service", "sendgrid_bounces.core.migration")


@pytest.mark.slow
def test_server_without_control_endpoints_loads_no_heavy_module(tmp_path: Path) -> None:
    code = (
        "import sys; from sendgrid_bounces.app import create_app\n"
        f"app = create_app({{'DATABASE_URL': 'sqlite:///{tmp_path}/a.sqlite3'}})\n"
        "assert app.test_client().get('/_emulator/health').status_code == 200\n"
        f"print([name for name in {HEAVY} if name in sys.modules])"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert ended.stdout == "[]\n"


def test_urls_are_built_by_code_that_is_compiled_once(monkeypatch) -> None:
    compiled = []
    compile_builder = Rule._compile_builder

    def count(rule: Rule, append_unknown: bool) -> object:
        compiled.append(append_unknown)
        return compile_builder(rule, append_unknown)

    monkeypatch.setattr(Rule, "_compile_builder", count)
    routes = Map([Route("/bounces/<int:number>", endpoint="bounce")])
    urls = routes.bind("localhost")

    assert urls.match("/bounces/1") == ("bounce", {"number": 1})
    assert compiled == []
    assert urls.build("bounce", {"number": 2, "page": 3}) == "/bounces/2?page=3"
    assert urls.build("bounce", {"number": 4}) == "/bounces/4"
    assert compiled == [True]
