"""The dashboard's pages through Flask's client: contents, safety, bad input."""

import ast
import hmac
import re
import shlex
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from html import unescape
from html.parser import HTMLParser
from io import BytesIO
from itertools import chain, pairwise
from pathlib import Path
from threading import Barrier, BrokenBarrierError
from urllib.parse import quote, unquote, urlencode

import pytest
from conftest import NOW, FixedClock, bounce, make_app, measured_memory
from flask.testing import FlaskClient
from werkzeug.test import create_environ, run_wsgi_app

from sendgrid_bounces.control import api, sessions
from sendgrid_bounces.control.service import Control
from sendgrid_bounces.control.sessions import LIFETIME, is_valid_cookie, issue_cookie
from sendgrid_bounces.core.attempts import MAX_TOKENS
from sendgrid_bounces.core.bounces import BounceType
from sendgrid_bounces.core.errors import StorageError
from sendgrid_bounces.core.histograms import create_histogram, last_days
from sendgrid_bounces.core.sources import SourceSettings
from sendgrid_bounces.core.timezones import DAY
from sendgrid_bounces.emulator import EXTENSION
from sendgrid_bounces.pages import (
    faults,
    overview,
    reading,
    routes,
    totals,
    transfer,
    web,
)
from sendgrid_bounces.pages.bodies import show_hex, show_pretty
from sendgrid_bounces.pages.chart import draw_chart
from sendgrid_bounces.pages.snippets import as_curl, as_pytest
from sendgrid_bounces.pages.web import NOTICES, STATIC
from sendgrid_bounces.redaction import MASK
from sendgrid_bounces.schemas import imports
from sendgrid_bounces.schemas.faults import FAULT_RULE
from sendgrid_bounces.storage import bounces as storage_bounces
from sendgrid_bounces.storage.accounts import AccountStore
from sendgrid_bounces.storage.bounce_counts import BounceCounts

BROWSER = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
FORM = "application/x-www-form-urlencoded"
IMPORT = "bounces/import?owner=acme"
ORIGIN = {"Origin": "http://localhost"}
TOKEN = "t0ken"

PAGES = [
    "/_emulator/",
    "/_emulator/ui/bounces?owner=acme",
    "/_emulator/ui/requests",
    "/_emulator/ui/faults",
    "/_emulator/ui/state",
    "/_emulator/ui/console",
    "/_emulator/ui/sources",
    "/_emulator/ui/migration",
]


@pytest.fixture(name="make")
def _make(url: str, clock: FixedClock) -> Iterator:
    apps = []

    def make(**config: str) -> FlaskClient:
        app = make_app(url, clock, **{"CONTROL": "on", **config})
        apps.append(app)
        return app.test_client()

    yield make
    for app in apps:
        app.extensions[EXTENSION].storage.close()


@pytest.fixture(name="browser")
def _browser(make) -> FlaskClient:
    """A client with an account `acme`."""
    client = make()
    client.environ_base["HTTP_ACCEPT"] = BROWSER["Accept"]
    _storage(client).accounts.add("acme")
    return client


def _storage(client: FlaskClient):
    return client.application.extensions[EXTENSION].storage


def _add(client: FlaskClient, *bounces, owner: str = "acme") -> None:
    storage = _storage(client)
    storage.bounces.put(storage.accounts.get(owner).bounce_list, bounces)


class _Checker(HTMLParser):
    """Collects the identifiers, labels and inline code of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.references: set[str] = set()
        self.inline: list[str] = []
        self.urls: list[str] = []

    def handle_starttag(self, tag: str, attributes: list) -> None:
        for name, value in attributes:
            if name == "id":
                self.ids.append(value)
            if name in ("for", "aria-labelledby", "aria-describedby"):
                self.references.update(value.split())
            if name == "style" or name.startswith("on"):
                self.inline.append(f"{tag} {name}")
            if name in ("src", "href", "action"):
                self.urls.append(value)
        if tag == "style" or (tag == "script" and "src" not in dict(attributes)):
            self.inline.append(tag)


@pytest.mark.parametrize("path", PAGES)
def test_pages_have_no_inline_code_and_no_foreign_url(browser, path: str) -> None:
    _add(browser, bounce())
    answer = browser.get(path)
    checker = _Checker()
    checker.feed(answer.text)

    assert answer.status_code == 200
    assert checker.inline == []
    assert checker.references <= {*checker.ids}
    assert all(url.startswith(("/", "#", "?", "data:,")) for url in checker.urls)
    policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Cache-Control"] == "no-store"


def test_api_clients_keep_the_answers_of_the_vendor(make) -> None:
    for config in ({}, {"CONTROL": "off"}):
        answer = make(**config).get("/")
        assert (answer.status_code, answer.json) == (404, {"error": "404 Not Found"})


def test_browsers_are_redirected_to_the_overview(browser) -> None:
    answer = browser.get("/")

    assert (answer.status_code, answer.location) == (303, "/_emulator/")
    fetched = browser.get("/", headers={"Sec-Fetch-Mode": "cors"})
    assert fetched.status_code == 404
    assert browser.post("/").status_code == 404


def test_there_are_no_pages_without_control(make) -> None:
    client = make(CONTROL="off")

    for path in ["/", *PAGES, "/_emulator/ui/login"]:
        assert client.get(path, headers=BROWSER).status_code == 404


@pytest.mark.parametrize(("control", "loads"), [("off", False), ("on", True)])
def test_pages_are_loaded_only_with_control(
    url: str, control: str, loads: bool
) -> None:
    script = (
        "import sys; from sendgrid_bounces.app import create_app; "
        "create_app({'DATABASE_URL': sys.argv[1], 'CONTROL': sys.argv[2]}); "
        "print('sendgrid_bounces.pages' in sys.modules, 'yaml' in sys.modules)"
    )
    output = subprocess.check_output(
        [sys.executable, "-c", script, url, control], text=True
    )

    assert output == f"{loads} False\n"


def test_first_page_finds_compiled_templates_and_numbers(browser, monkeypatch) -> None:
    """The server does so in the background, when a worker accepts requests."""
    monkeypatch.setattr(totals, "MOST_COUNTED", 0)
    _add(browser, bounce())
    app = browser.application
    for thread in routes.warm_up(app):
        thread.join()

    def fail(*_: object) -> None:
        raise AssertionError

    monkeypatch.setattr(app.jinja_env, "compile", fail)
    monkeypatch.setattr(BounceCounts, "of_types", fail)
    for path in PAGES[:2]:
        assert browser.get(path).status_code == 200, path


def test_warming_up_survives_a_failing_database(browser, monkeypatch) -> None:
    def fail(*_: object) -> None:
        raise StorageError("closed")

    monkeypatch.setattr(BounceCounts, "of_types", fail)
    for thread in routes.warm_up(browser.application):
        thread.join()
    monkeypatch.undo()
    assert browser.get(PAGES[0]).status_code == 200


def test_static_files_are_cached_by_their_contents(browser) -> None:
    page = browser.get("/_emulator/").text
    urls = re.findall(r'"(/_emulator/static/[^"]+)"', page)

    assert len(urls) == 2
    for url in urls:
        answer = browser.get(url)
        assert answer.status_code == 200
        assert "immutable" in answer.headers["Cache-Control"]
        assert browser.get(url.replace("/static/", "/static/x")).status_code == 404


def test_static_files_stay_short() -> None:
    lines = {path.name: len(path.read_text().splitlines()) for path in STATIC.iterdir()}

    assert lines.keys() == {"emulator.css", "emulator.js"}
    assert lines["emulator.css"] <= 250
    assert lines["emulator.js"] <= 150


def test_reasons_and_names_are_escaped(browser) -> None:
    _storage(browser).accounts.add('<i>"&')
    _add(browser, bounce("<b>@x", reason="<img src=x onerror=alert(1)>"))

    text = browser.get(PAGES[1]).text
    assert "&lt;img src=x onerror=alert(1)&gt;" in text
    assert "<img" not in text
    assert "<b>@x" not in text
    assert "<i>" not in browser.get("/_emulator/").text


def test_pages_are_not_in_the_request_log(browser) -> None:
    for path in [*PAGES, "/"]:
        browser.get(path)

    assert browser.get("/_emulator/requests").json == {"requests": []}


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/_emulator/ui/nothing", 404),
        ("/_emulator/ui/bounces?owner=nobody", 404),
        ("/_emulator/ui/bounces", 400),
        ("/_emulator/ui/console?call=nothing", 404),
        ("/_emulator/ui/requests/77", 404),
        (f"/_emulator/ui/requests/rows?after={'9' * 40}", 400),
    ],
)
def test_errors_are_pages_with_a_way_back(browser, path: str, status: int) -> None:
    answer = browser.get(path)

    assert answer.status_code == status
    assert 'href="/_emulator/">Go to the overview' in answer.text
    assert "endpoint" not in answer.text


def test_form_has_the_limit_of_the_endpoints(browser, monkeypatch) -> None:
    monkeypatch.setattr(api, "MAX_BODY", 1_000)
    form = {"action": "load", "source": "#" * 2_000}
    answer = browser.post("/_emulator/ui/seed", data=form, headers=ORIGIN)

    assert answer.status_code == 413
    assert "the body exceeds 1000 bytes" in answer.text


@pytest.mark.parametrize(
    "path",
    ["", "ui/requests", "ui/sources", "ui/console", "ui/migration", "ui/faults"],
)
def test_host_may_be_invalid_in_idna(browser, path: str) -> None:
    """The application is called without the test client, which fails for such a host."""
    environ = create_environ(f"/_emulator/{path}", headers=BROWSER)
    environ["HTTP_HOST"] = "xn--a"
    _, status, _ = run_wsgi_app(browser.application, environ)
    assert status == "200 OK"


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
def test_foreign_pages_cannot_change_anything(browser, method: str) -> None:
    _add(browser, bounce())
    answer = browser.open(
        "/_emulator/ui/reset",
        method=method,
        data={"to": "empty", "word": "remove"},
        headers={"Origin": "http://evil.example"},
    )

    assert answer.status_code in (403, 404, 405)
    assert browser.get("/_emulator/ui/bounces?owner=acme").status_code == 200


# --- Login ------------------------------------------------------------------------


def test_login_sets_a_strict_cookie(make) -> None:
    client = make(CONTROL_TOKEN=TOKEN)
    page = "/_emulator/ui/faults?status=503"
    asked = client.get(page, headers=BROWSER)
    assert asked.status_code == 303
    assert (
        asked.location == "/_emulator/ui/login?next=/_emulator/ui/faults?status%3D503"
    )
    assert client.get(asked.location).status_code == 200

    wrong = client.post(asked.location, data={"token": "x"})
    assert (wrong.status_code, "Set-Cookie" in wrong.headers) == (401, False)

    form = {"token": TOKEN, "next": page}
    right = client.post("/_emulator/ui/login", data=form)
    assert (right.status_code, right.location) == (303, page)
    cookie = right.headers["Set-Cookie"]
    assert TOKEN not in cookie
    for part in ("HttpOnly", "SameSite=Strict", "Path=/_emulator"):
        assert part in cookie
    assert client.get(page).status_code == 200
    assert client.get("/_emulator/clock").status_code == 200

    foreign = {"Origin": "http://evil.example"}
    assert client.post("/_emulator/ui/logout", headers=foreign).status_code == 403
    assert client.get(page, headers=BROWSER).status_code == 200
    client.post("/_emulator/ui/logout", headers=ORIGIN)
    assert client.get(page, headers=BROWSER).status_code == 303


def test_wrong_logins_are_limited(make) -> None:
    """A session that exists stays valid."""
    client, login = make(CONTROL_TOKEN=TOKEN), "/_emulator/ui/login"
    client.post(login, data={"token": TOKEN})
    new = client.application.test_client()
    for n in range(MAX_TOKENS):
        assert new.post(login, data={"token": f"t{n}"}).status_code == 401

    for token in ("t", TOKEN):
        refused = new.post(login, data={"token": token})
        assert refused.status_code == 429
        assert "too many wrong tokens" in refused.text
        assert "Set-Cookie" not in refused.headers
    bearer = {"Authorization": f"Bearer {TOKEN}"}
    assert new.get(login, headers=bearer).status_code == 429
    assert new.get("/_emulator/clock", headers=bearer).status_code == 429
    assert client.get("/_emulator/clock").status_code == 200
    assert client.get("/_emulator/", headers=BROWSER).status_code == 200


@pytest.mark.parametrize(
    "target", ["http://evil.example/", "//evil.example", "/x", "/_emulator/\r\nX: y"]
)
def test_login_leads_to_pages_only(make, target: str) -> None:
    client = make(CONTROL_TOKEN=TOKEN)
    answer = client.post("/_emulator/ui/login", data={"token": TOKEN, "next": target})

    assert answer.location == "/_emulator/"


def test_form_has_a_limit_before_the_login(make, monkeypatch) -> None:
    client = make(CONTROL_TOKEN=TOKEN)
    monkeypatch.setattr(web, "MAX_FORM", 1_000)
    for size, status, text in (
        (1_001, 413, "exceeds 1000 bytes"),
        (1_000, 401, "wrong"),
    ):
        data = b"token=".ljust(size, b"x")
        response = client.post("/_emulator/ui/login", data=data, content_type=FORM)

        assert response.status_code == status
        assert text in response.text


@pytest.mark.slow
def test_form_before_the_login_takes_little_memory(make) -> None:
    """Each escape would take 180 times its memory."""
    client = make(CONTROL_TOKEN=TOKEN)
    data = b"token=".ljust(1_000_000, b"%")
    client.post("/_emulator/ui/login", data=data, content_type=FORM)
    with measured_memory() as memory:
        response = client.post("/_emulator/ui/login", data=data, content_type=FORM)

    assert response.status_code == 401
    assert memory.peak < 30_000_000


def test_form_with_parts_is_refused_before_the_login(make) -> None:
    """Header fields of parts take long to parse."""
    client = make(CONTROL_TOKEN=TOKEN)
    data = {"token": (BytesIO(TOKEN.encode()), "upload")}
    response = client.post("/_emulator/ui/login", data=data)

    assert response.status_code == 415
    assert "must be URL-encoded" in response.text


@pytest.mark.parametrize(
    ("path", "content_type"),
    [
        *((path, FORM) for path in ("login", "seed", IMPORT, "faults", "console")),
        *((path, "multipart/form-data; boundary=x") for path in ("seed", IMPORT)),
    ],
)
def test_form_that_ends_early_is_refused(browser, path: str, content_type: str) -> None:
    class Broken(BytesIO):
        def readinto(self, _buffer: object) -> int:
            raise TimeoutError

    response = browser.post(
        f"/_emulator/ui/{path}",
        input_stream=Broken(b"token=abc"),
        content_type=content_type,
        headers=ORIGIN,
    )
    assert response.status_code == 400
    assert "cannot be read" in response.text


def test_cookie_is_bound_to_the_token_and_expires() -> None:
    clock = FixedClock()
    value = issue_cookie(TOKEN, "salt", clock)

    assert is_valid_cookie(value, TOKEN, "salt", clock)
    assert not is_valid_cookie(value, "other", "salt", clock)
    assert not is_valid_cookie(value, TOKEN, "other", clock)
    assert not is_valid_cookie(value[:-1] + "x", TOKEN, "salt", clock)
    signature = value.partition(".")[2]
    assert not is_valid_cookie(f"{NOW * 2}.{signature}", TOKEN, "salt", clock)
    for text in ("", ".", "é.é", "x.y", f".{signature}", f"{'9' * 5_000}.{signature}"):
        assert not is_valid_cookie(text, TOKEN, "salt", clock)
    clock.instant += LIFETIME
    assert not is_valid_cookie(value, TOKEN, "salt", clock)


@pytest.mark.parametrize("expiry", ["abc", "1e9", "", "9" * 5_000, "99999999999"])
def test_cookie_with_an_odd_expiry_is_invalid(expiry: str) -> None:
    """Even with the signature that it would have."""
    value = f"{expiry}.{sessions._sign(TOKEN, 'salt', expiry)}"

    assert not is_valid_cookie(value, TOKEN, "salt", FixedClock())


def test_token_cannot_be_guessed_by_cookies(make) -> None:
    """The signature of a cookie needs a secret of the database."""
    locked, expiry = make(CONTROL_TOKEN=TOKEN), int(time.time()) + 3_600
    message = f"dashboard session until {expiry}".encode()
    for salt in (b"", b" ", b" salt"):
        signature = hmac.new(TOKEN.encode(), message + salt, "sha256").hexdigest()
        locked.set_cookie(sessions.COOKIE, f"{expiry}.{signature}")
        assert locked.get("/_emulator/accounts").status_code == 401


# --- Overview ---------------------------------------------------------------------


def test_overview_says_what_to_do_without_accounts(make) -> None:
    text = make().get("/_emulator/", headers=BROWSER).text

    hints = ("No accounts yet", "No bounces yet", "No requests yet", "Load the demo")
    for hint in hints:
        assert hint in text


def test_login_without_a_database_has_a_reason(make, monkeypatch) -> None:
    def fail(_: object) -> str:
        raise StorageError("away")

    browser = make(CONTROL_TOKEN="t0ken")
    monkeypatch.setattr(AccountStore, "read_key_salt", fail)
    browser.set_cookie(sessions.COOKIE, f"1800000000.{'a' * 64}", path="/_emulator")
    for method, path in (("GET", "login"), ("POST", "login"), ("POST", "logout")):
        call = {"method": method, "data": {"token": "t0ken"}, "headers": ORIGIN}
        answer = browser.open(f"/_emulator/ui/{path}", **call)
        assert answer.status_code == 503
        assert "The database " in answer.text


def test_demo_is_loaded_into_an_empty_database(make) -> None:
    client = make()
    form = {"action": "demo"}
    answer = client.post("/_emulator/ui/seed", data=form, headers=ORIGIN)
    text = client.get(answer.location, headers=BROWSER).text

    assert "The seed was loaded." in text
    assert ">demo</a>" in text


def test_accounts_are_filtered_by_name(browser, monkeypatch) -> None:
    storage = _storage(browser)
    agency = storage.accounts.add("agency")
    storage.accounts.add("client@agency", agency)
    storage.accounts.add_domain("mg.example", agency)

    def names(query: str) -> list[str]:
        text = browser.get(f"/_emulator/?{query}").text
        return re.findall(r'<a href="/_emulator/ui/bounces\?owner=[^"]*">([^<]+)', text)

    assert names("") == ["acme", "agency", "client@agency", "mg.example"]
    assert names("name=EXAMPLE") == ["agency", "mg.example"]
    assert names("name=client") == ["agency", "client@agency"]
    assert "No name matches" in browser.get("/_emulator/?name=x%25").text
    monkeypatch.setattr(overview, "MAX_ACCOUNTS", 1)
    assert names("") == ["acme"]
    assert "1 more account: filter by name" in browser.get("/_emulator/").text


def test_domain_is_added(browser) -> None:
    def send(**form: str):
        return browser.post("/_emulator/ui/domains", data=form, headers=ORIGIN)

    answer = send(name="mg.example", account="acme")
    assert answer.status_code == 303
    assert "The domain was saved." in browser.get(answer.location).text
    _storage(browser).accounts.add("other")
    for form, problem in (
        ({"name": "mg.example", "account": "nobody"}, "account-problem"),
        ({"account": "acme"}, "name-problem"),
        ({"name": "mg.example", "account": "other"}, "name-problem"),
    ):
        answer = send(**form)
        assert answer.status_code == 400
        assert f'id="{problem}"' in answer.text


def test_banner_advances_the_clock(browser) -> None:
    freeze = {"action": "freeze", "instant": "2012-02-15T12:00:00Z"}
    browser.put("/_emulator/clock", json=freeze)
    assert browser.get("/_emulator/ui/state").text.count('name="advance"') == 2
    form = {"advance": "P1D"}
    browser.post("/_emulator/ui/clock", data=form, headers=ORIGIN)

    assert browser.get("/_emulator/clock").json["now"] == "2012-02-16T12:00:00Z"


def test_new_rule_is_shown_as_commands(browser) -> None:
    text = unescape(browser.get("/_emulator/ui/faults?account=it's&status=503").text)
    rule = '{"account": "it\'s", "status": 503}'
    assert rule in text
    quoted = shlex.quote(rule)
    assert f"sendgrid-bounces fault add {quoted}" in text
    assert f"curl --json {quoted} http://localhost/_emulator/faults" in text


def test_overview_shows_accounts_and_banners(browser) -> None:
    storage = _storage(browser)
    owner = storage.accounts.add("agency")
    storage.accounts.add("client@agency", owner)
    storage.accounts.add_domain("mg.example", owner)
    storage.accounts.add_domain("shared.example", owner, shares_list=True)
    _add(browser, bounce("a@x"), bounce("b@x", status="4.2.2"), owner="agency")
    browser.put("/_emulator/clock", json={"action": "freeze"})
    browser.post("/_emulator/faults", json={"status": 503})

    text = browser.get("/_emulator/").text
    for part in ("agency", "client@agency", "mg.example", "shared list", "reseller"):
        assert part in text
    assert "Clock frozen" in text
    assert "1 fault rule</strong> active" in text
    assert text.count("<rect") == 2
    assert "2012-02-15: 1 hard" in text


@pytest.mark.parametrize("days", ["30", "90", "365", "all"])
def test_chart_covers_the_range_up_to_the_newest_bounce(browser, days: str) -> None:
    _add(browser, bounce("a@x"), bounce("b@x", created=NOW - 40 * 366 * DAY))
    text = browser.get(f"/_emulator/?days={days}").text

    assert text.count("<rect") == (2 if days == "all" else 1)


def test_unknown_range_has_its_message(browser) -> None:
    _add(browser, bounce())
    answer = browser.get("/_emulator/?days=x")

    assert answer.status_code == 400
    assert "days: must be one of 30, 90, 365, all" in answer.text


@pytest.mark.parametrize("days", ["30", "365", "all"])
def test_chart_has_a_json_twin(browser, days: str) -> None:
    """The twin has the numbers of the table."""
    _add(browser, bounce("a@x"), bounce("b@x", created=NOW - 40 * DAY, status="4.2.2"))
    text = browser.get(f"/_emulator/?days={days}").text
    (url,) = re.findall(r'href="(/_emulator/bounces/histogram[^"]*)"', text)
    twin = browser.get(url).json
    found = [each for each in twin["intervals"] if each["hard"] + each["soft"]]

    assert twin["days"] == {"30": 1, "365": 5, "all": 1}[days]
    assert found[-1]["last"] == "2012-02-15"
    assert (found[-1]["hard"], found[-1]["soft"]) == (1, 0)
    assert [each["soft"] for each in found] == ([0] if days == "30" else [1, 0])
    for each in found:
        label = each["first"]
        if twin["days"] > 1:
            label += f" to {each['last']}"
        assert f"<td>{label}</td>" in text
    wrong = browser.get("/_emulator/bounces/histogram?days=7")
    assert wrong.json["error"] == "days: must be one of 30, 90, 365, all (got '7')"


def test_all_days_of_a_histogram_begin_with_the_epoch(browser) -> None:
    """The oldest bounce can be from the instant 0."""
    _add(browser, bounce("a@x", created=0), bounce("b@x"))
    twin = browser.get("/_emulator/bounces/histogram?days=all").json

    assert twin["intervals"][0]["first"] <= "1970-01-01"
    assert sum(each["hard"] for each in twin["intervals"]) == 2


def test_chart_of_nothing_has_a_json_twin(browser) -> None:
    twin = browser.get("/_emulator/bounces/histogram").json

    assert twin == {"days": 1, "intervals": []}


@pytest.mark.parametrize(
    "path",
    [
        *PAGES,
        "/_emulator/ui/bounces/new?owner=acme",
        "/_emulator/ui/bounces/one?owner=acme&email=a@example.com",
        "/_emulator/ui/bounces/import?owner=acme",
        "/_emulator/ui/bounces/clear?owner=acme",
        "/_emulator/ui/bounces/delete?owner=acme&email=a@example.com",
        "/_emulator/ui/accounts/new",
        "/_emulator/ui/domains/new",
        "/_emulator/ui/faults/1/remove",
        "/_emulator/ui/faults/clear",
        "/_emulator/ui/snapshots/remove?name=one",
        "/_emulator/ui/snapshots/restore?name=one",
        "/_emulator/ui/requests/1",
        "/_emulator/ui/requests/1/replay",
        "/_emulator/ui/requests/clear",
        "/_emulator/ui/reset?to=empty",
    ],
)
def test_every_page_has_a_json_twin(browser, path: str) -> None:
    _add(browser, bounce())
    browser.post("/_emulator/faults", json={"operation": "get", "status": 503})
    browser.put("/_emulator/snapshots/one")
    browser.get("/api/bounces.count.json?api_user=acme&api_key=x")
    page = browser.get(path)
    (twins,) = re.findall(r"<span>JSON: (.*)</span>", page.text)

    assert page.status_code == 200
    for url in re.findall(r'href="([^"]+)"', twins):
        answer = browser.get(
            url.replace("&amp;", "&"), headers={"Sec-Fetch-Mode": "cors"}
        )
        assert answer.status_code == 200, url
        assert answer.is_json


def test_bars_are_stacked_inside_the_chart() -> None:
    span = last_days(90, NOW)
    counts = [
        (0, BounceType.HARD, 3),
        (0, BounceType.SOFT, 1),
        (89, BounceType.OTHER, 5),
    ]
    histogram = create_histogram(span, counts)
    chart = draw_chart(histogram)

    assert (len(histogram.intervals), histogram.total) == (90, 9)
    assert histogram.intervals[-1].label == "2012-02-15"
    hard, soft, other = chart.bars
    assert soft.y + soft.height == pytest.approx(hard.y)
    assert hard.y + hard.height == pytest.approx(chart.bottom)
    assert other.x + other.width <= chart.width
    assert [tick.label for tick in chart.y_ticks] == ["0", "3", "6"]


@pytest.mark.parametrize(
    ("number", "labels"),
    [
        (900, ["0", "500", "1k"]),
        (30_000, ["0", "20k", "40k"]),
        (10**6, ["0", "500k", "1M"]),
    ],
)
def test_labels_of_large_numbers_are_short(number: int, labels: list[str]) -> None:
    counts = [(0, BounceType.HARD, number)]
    chart = draw_chart(create_histogram(last_days(30, NOW), counts))

    assert [tick.label for tick in chart.y_ticks] == labels


def test_account_is_added(browser) -> None:
    form = {"name": "new one", "api_key": "k"}
    answer = browser.post("/_emulator/ui/accounts", data=form, headers=ORIGIN)

    assert answer.status_code == 303
    assert "The account was saved." in browser.get(answer.location).text
    assert _storage(browser).accounts.get("new one").key_hash


@pytest.mark.parametrize(
    ("name", "message"),
    [("acme", "name: "), ("", "name: required"), ("x" * 300, "name: ")],
)
def test_bad_account_has_its_message_beside_the_field(
    browser, name: str, message: str
) -> None:
    answer = browser.post("/_emulator/ui/accounts", data={"name": name}, headers=ORIGIN)

    assert answer.status_code == 400
    assert f'id="name-problem" role="alert">{message}' in answer.text


# --- Bounces ----------------------------------------------------------------------


def _addresses(text: str) -> list[str]:
    return re.findall(r'<td class="address"><a [^>]*>([^<]*)', text)


def _follow(client: FlaskClient, text: str, relation: str) -> str:
    (url,) = re.findall(rf'rel="{relation}" href="([^"]+)"', text)
    return client.get(url.replace("&amp;", "&")).text


@pytest.mark.parametrize("prefix", ["", "u"])
def test_pages_of_bounces_lead_to_each_other(browser, prefix: str) -> None:
    found = [bounce(f"u{i:03}@x.com", created=NOW - i // 3) for i in range(120)]
    _add(browser, *found)
    first = browser.get(f"{PAGES[1]}&prefix={prefix}").text
    second = _follow(browser, first, "next")
    third = _follow(browser, second, "next")

    pages = [_addresses(text) for text in (first, second, third)]
    assert [len(page) for page in pages] == [50, 50, 20]
    assert sorted(chain.from_iterable(pages)) == [each.email for each in found]
    assert 'rel="next"' not in third
    assert 'rel="prev"' not in first
    back = _follow(browser, third, "prev")
    assert _addresses(back) == pages[1]
    assert _addresses(_follow(browser, back, "prev")) == pages[0]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("type=soft", ["b@y"]),
        ("prefix=A", ["a@x"]),
        ("prefix=z", []),
        ("since=2012-02-15", ["c@x", "a@x"]),
        ("until=2012-02-14", ["b@y"]),
        ("prefix=b&type=hard", []),
        ("prefix=c&since=2012-02-15&until=2012-02-15", ["c@x"]),
    ],
)
def test_bounces_are_filtered(browser, query: str, expected: list) -> None:
    _add(
        browser,
        bounce("a@x"),
        bounce("b@y", status="4.2.2", created=NOW - DAY),
        bounce("c@x"),
    )

    assert _addresses(browser.get(f"{PAGES[1]}&{query}").text) == expected


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("type=x", "type: must be one of hard, soft, other"),
        ("since=7", "since: must be a date such as 2012-02-15"),
        ("until=9999-12-31", "until: must be a date"),
        ("since=20120215", "since: must be a date"),
        ("older=x", "older: must be the position of a row"),
        ("older=1.2", "older: must be the position of a row"),
        (f"newer=1-{'9' * 40}", "newer: must be the position of a row"),
    ],
)
def test_bad_filters_have_their_message(browser, query: str, message: str) -> None:
    answer = browser.get(f"{PAGES[1]}&{query}")

    assert answer.status_code == 400
    assert message in answer.text


def test_bounce_is_shown_in_full(browser) -> None:
    reason = "long " * 100 + "<end>"
    _add(browser, bounce("A@x", reason=reason), bounce("b@x"))
    (url, *_) = re.findall(
        r'href="(/_emulator/ui/bounces/one[^"]+)">A@x', browser.get(PAGES[1]).text
    )
    text = unescape(browser.get(url.replace("&amp;", "&")).text)

    assert text.count(reason) == 2  # as a field and in JSON
    assert '"email": "A@x"' in text
    assert "bounces/delete?owner=acme&email=A@x" in text
    gone = browser.get("/_emulator/ui/bounces/one?owner=acme&email=c@x")
    assert gone.status_code == 404


def test_bounces_are_added_and_deleted(browser) -> None:
    def send(**form: str):
        return browser.post(PAGES[1], data=form, headers=ORIGIN)

    assert send(action="add", email="a@x", status="5.1.1").status_code == 303
    assert send(action="add", email="b@x", created="never").status_code == 400
    assert send(action="delete", email="b@x").status_code == 404
    assert _addresses(browser.get(PAGES[1]).text) == ["a@x"]
    assert send(action="delete", email="a@x").status_code == 303
    send(action="add", email="a@x")
    assert send(action="clear").status_code == 303
    assert "No bounces yet" in browser.get(PAGES[1]).text


def test_addresses_are_searched(browser) -> None:
    _add(browser, bounce("a@x.com"), bounce("b@x.org"), bounce("xa@y.com"))

    def find(text: str, match: str = "contains") -> list[str]:
        page = browser.get(f"{PAGES[1]}&prefix={text}&match={match}").text
        return _addresses(page)

    assert find("x.") == ["a@x.com", "b@x.org"]
    assert find("A@") == ["a@x.com", "xa@y.com"]
    assert find("a", "start") == ["a@x.com"]
    assert find("?@*.com", "start") == ["a@x.com"]
    assert find("zz") == []
    assert browser.get(f"{PAGES[1]}&prefix=a&match=x").status_code == 400
    assert browser.get(f"{PAGES[1]}&prefix={'a' * 501}").status_code == 400


def test_search_stops_and_goes_on(browser, monkeypatch) -> None:
    monkeypatch.setattr(storage_bounces, "SEARCH_SIZE", 30)
    monkeypatch.setattr(reading, "SEARCH_SECONDS", 0.0)
    found = [bounce(f"u{i:03}@x{i % 40}.com") for i in range(125)]
    _add(browser, *found)
    text = browser.get(f"{PAGES[1]}&prefix=@x39&match=contains").text

    assert _addresses(text) == []
    assert "Searched 24 % of the list." in text
    second = _follow(browser, text, "next")
    assert _addresses(second) == ["u039@x39.com"]
    assert "Searched 48 % of the list." in second
    third = _follow(browser, second, "next")
    assert _addresses(third) == ["u079@x39.com"]
    fourth = _follow(browser, third, "next")
    assert _addresses(fourth) == ["u119@x39.com"]
    last = _follow(browser, fourth, "next")
    assert "No bounce matches" in last
    assert "Searched" not in last
    assert "Go on" not in last


def test_pages_of_a_search_follow_each_other(browser) -> None:
    found = [bounce(f"u{i:03}@x.com") for i in range(120)]
    _add(browser, *found)
    text = browser.get(f"{PAGES[1]}&prefix=@x&match=contains").text
    addresses = _addresses(text)
    while 'rel="next"' in text:
        text = _follow(browser, text, "next")
        addresses += _addresses(text)

    assert addresses == [each.email for each in found]


def test_exact_count_is_shown_on_request(browser) -> None:
    _add(browser, *(bounce(f"u{i:03}@x{i % 2}.com") for i in range(120)))
    text = browser.get(f"{PAGES[1]}&prefix=@x1&match=contains").text
    (url,) = re.findall(r'href="([^"]+count=exact[^"]*)"', text)

    assert "60 bounces match" in browser.get(url.replace("&amp;", "&")).text
    assert "120 bounces in all" in browser.get(f"{PAGES[1]}&count=exact").text


def test_filters_have_a_json_twin(browser) -> None:
    _add(
        browser,
        bounce("a@x.com"),
        bounce("b@x.com", status="4.2.2"),
        bounce("c@x.com", created=NOW - DAY),
    )
    query = "prefix=x.com&match=contains&type=hard&since=2012-02-15"
    text = browser.get(f"{PAGES[1]}&{query}").text
    twin, count = re.findall(r'href="(/_emulator/bounces[^"]+)"', text)

    assert _addresses(text) == ["a@x.com"]
    listed = browser.get(twin.replace("&amp;", "&")).json["bounces"]
    assert [each["email"] for each in listed] == ["a@x.com"]
    assert browser.get(count.replace("&amp;", "&")).json == {"count": 1}


def test_long_list_has_a_kept_total(browser, monkeypatch) -> None:
    monkeypatch.setattr(totals, "MOST_COUNTED", 3)
    storage, now = _storage(browser), FixedClock()
    numbers = totals.Totals(storage, lambda: now.instant)
    key = storage.accounts.get("acme").bounce_list
    _add(browser, *(bounce(f"{i}@x") for i in range(3)))
    assert numbers.of_list(key) == totals.Total(3)
    _add(browser, bounce("3@x"))
    assert numbers.of_list(key) == totals.Total(4, is_exact=False)
    assert sum(numbers.of_types()[key].values()) == 4
    assert numbers.of_types()[key][BounceType.HARD] == 4
    _add(browser, bounce("4@x"))
    assert numbers.of_list(key).number == 4
    assert sum(numbers.of_types()[key].values()) == 4

    now.instant += 5
    assert numbers.of_list(key).number == 5
    _add(browser, bounce("5@x"))
    numbers.clear()
    assert sum(numbers.of_types()[key].values()) == 6
    assert "about 6 bounces " in browser.get(PAGES[1]).text


def test_simultaneous_pages_count_once(browser, monkeypatch) -> None:
    monkeypatch.setattr(totals, "MOST_COUNTED", 0)
    _add(browser, bounce())
    numbers, barrier, calls = totals.Totals(_storage(browser)), Barrier(3), []
    count = BounceCounts.of_types

    def count_slowly(store):
        calls.append(1)
        with suppress(BrokenBarrierError):
            barrier.wait(0.2)  # another thread would count, too
        return count(store)

    monkeypatch.setattr(BounceCounts, "of_types", count_slowly)
    with ThreadPoolExecutor(3) as pool:
        found = [*pool.map(lambda _: numbers.of_types(), range(3))]
    assert found[0] == found[1] == found[2]
    assert len(calls) == 1


def test_change_on_a_page_is_counted_at_once(browser, monkeypatch) -> None:
    monkeypatch.setattr(totals, "MOST_COUNTED", 0)
    _add(browser, bounce("a@x"))
    assert "about 1 bounce " in browser.get(PAGES[1]).text
    form = {"action": "add", "email": "b@x"}
    answer = browser.post(PAGES[1], data=form, headers=ORIGIN)

    assert "about 2 bounces " in browser.get(answer.location).text


def test_deletion_takes_a_snapshot(browser) -> None:
    _add(browser, bounce())
    form = {"action": "clear", "snapshot": "yes"}
    browser.post(PAGES[1], data=form, headers=ORIGIN)

    (snapshot,) = browser.get("/_emulator/snapshots").json["snapshots"]
    assert (snapshot["name"], snapshot["bounces"]) == ("before-deletion", 1)


@pytest.mark.parametrize(
    ("path", "form"),
    [
        (PAGES[1], {"action": "delete", "email": "unknown@x"}),
        (PAGES[1].replace("acme", "unknown"), {"action": "clear"}),
        ("/_emulator/ui/snapshots", {"action": "restore", "name": "unknown"}),
    ],
)
def test_refused_change_replaces_no_snapshot(browser, path: str, form: dict) -> None:
    """It can have the only copy of an earlier state."""
    data = {**form, "snapshot": "yes"}
    assert browser.post(path, data=data, headers=ORIGIN).status_code == 404
    assert browser.get("/_emulator/snapshots").json["snapshots"] == []


def test_bad_bounce_has_its_message_beside_the_field(browser) -> None:
    form = {"action": "add", "email": "<b@x", "created": "never"}
    answer = browser.post(PAGES[1], data=form, headers=ORIGIN)

    assert answer.status_code == 400
    assert 'id="created-problem"' in answer.text
    assert 'value="&lt;b@x"' in answer.text


# --- Import and export ------------------------------------------------------------

IMPORT = "/_emulator/ui/bounces/import?owner=acme"


def _import(client: FlaskClient, name: str, content: bytes, **form: str):
    data = {"file": (BytesIO(content), name), **form}
    return client.post(IMPORT, data=data, headers=ORIGIN)


@pytest.mark.parametrize(
    ("name", "content", "form"),
    [
        ("a.csv", b"email,status\na@x,5.1.1\nb@x,4.2.2\n", {}),
        ("a.TSV", b"address\tcode\na@x\t550\nb@x\t450\n", {}),
        ("a.json", b'[{"email": "a@x"}, {"email": "b@x"}]', {}),
        ("a.dat", b"a@x\nb@x\n", {"format": "text"}),
        ("a.csv", b"email,name\na@x,A\nb@x,B\n", {"ignores_unknown": "yes"}),
        ("a.csv", "email\na@x\nb@x\n".encode("utf-16"), {"encoding": "utf-16"}),
    ],
)
def test_file_is_imported(browser, name: str, content: bytes, form: dict) -> None:
    answer = _import(browser, name, content, **form)

    assert answer.status_code == 303
    page = browser.get(answer.location).text
    assert "The bounces were imported." in page
    assert sorted(_addresses(page)) == ["a@x", "b@x"]


@pytest.mark.parametrize(
    ("name", "content", "form", "message"),
    [
        (
            "a.csv",
            b"email,created\na@x,\nb@x,<never>\n",
            {},
            "file: a.csv, line 3, created: ",
        ),
        ("a.csv", b"email,created\na@x,never\n", {}, "never"),
        ("<b>.csv", b"email,created\na@x,never\n", {}, "&lt;b&gt;.csv, line 2"),
        ("a.json", b'[{"email": "a@x"}, 7]', {}, "[1] (line 1): must be a mapping"),
        ("a.csv", b"name\n", {}, "line 1: missing column"),
        ("a.csv", b"email\n\xff@x\n", {}, "line 2: not UTF-8 text"),
        ("a.csv", b"email\n\xff@x\n", {"encoding": "ascii"}, "must be ascii text"),
        ("a.csv", b"email\n", {"encoding": "x"}, "unsupported encoding"),
        ("a.csv", b"email\n", {"encoding": "IDNA"}, "unsupported encoding"),
        ("a.csv", b"email\n", {"encoding": "UTF_7"}, "unsupported encoding"),
        ("a.csv", b"email\n", {"encoding": "unicode_escape"}, "unsupported encoding"),
        ("a.csv", b"email\n", {"encoding": "base64"}, "unsupported encoding"),
        ("a.dat", b"", {}, "unknown file format"),
        ("", b"", {}, "file: choose a file"),
    ],
)
def test_bad_file_has_its_message_and_stores_nothing(
    browser, name: str, content: bytes, form: dict, message: str
) -> None:
    answer = _import(browser, name, content, **form)

    assert answer.status_code == 400
    assert message in answer.text
    assert 'aria-describedby="file-problem"' in answer.text
    assert "No bounces yet" in browser.get(PAGES[1]).text


def test_uploads_may_be_larger_than_other_forms(browser, monkeypatch) -> None:
    monkeypatch.setattr(web, "MAX_FORM", 5)
    assert _import(browser, "a.csv", b"email\na@x\n").status_code == 303
    seed = {"source": "accounts: [{username: acme}]", "action": "check"}
    assert browser.post("/_emulator/ui/seed", data=seed).status_code == 200
    assert browser.post("/_emulator/ui/reset", data={"to": "seed"}).status_code == 413


def test_file_of_many_rows_is_refused(browser, monkeypatch) -> None:
    monkeypatch.setattr(imports, "MAX_ROWS", 2)
    assert _import(browser, "a.txt", b"a@x\nb@x\n").status_code == 303
    answer = _import(browser, "a.txt", b"c@x\nd@x\ne@x\n")
    assert answer.status_code == 400
    assert "more than 1,000,000 rows; use the command" in answer.text
    page = browser.get(PAGES[1]).text
    assert "b@x" in page
    assert "c@x" not in page


def test_large_file_is_refused(browser, monkeypatch) -> None:
    monkeypatch.setattr(transfer, "MAX_FILE", 1_000)
    answer = _import(browser, "a.csv", b"email\n" + b"a" * 100_000)

    assert answer.status_code == 400
    assert "file: the form is larger than 25 MiB" in answer.text


@pytest.mark.parametrize("kind", ["csv", "json"])
def test_export_has_the_bounces_of_the_filter(browser, kind: str) -> None:
    _add(
        browser,
        bounce("a@x", reason="=1, or\n2"),
        bounce("b@y", status="4.2.2"),
    )
    text = browser.get(f"{PAGES[1]}&type=hard").text
    (url,) = re.findall(rf'href="([^"]+format={kind}[^"]*)"', text)
    answer = browser.get(url.replace("&amp;", "&"))

    assert answer.headers["Content-Disposition"] == f"attachment; filename=acme.{kind}"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert "b@y" not in answer.text
    browser.post(PAGES[1], data={"action": "clear"}, headers=ORIGIN)
    assert _import(browser, f"a.{kind}", answer.data).status_code == 303
    again = browser.get(url.replace("&amp;", "&"))
    assert again.data == answer.data


@pytest.mark.parametrize(
    ("owner", "attachment"),
    [
        ('a"b', 'filename="a\\"b.csv"'),
        ("é", "filename*=UTF-8''%C3%A9.csv"),
        ("☃/x", "filename*=UTF-8''%E2%98%83%2Fx.csv"),
    ],
)
def test_export_has_a_header_in_ascii(browser, owner: str, attachment: str) -> None:
    """Servers refuse to send a header field beyond Latin-1."""
    _storage(browser).accounts.add(owner)
    answer = browser.get(
        "/_emulator/ui/bounces/export", query_string={"owner": owner, "format": "csv"}
    )
    header = answer.headers["Content-Disposition"]
    assert header == f"attachment; {attachment}"


def test_export_of_a_failing_database_has_its_status(browser, monkeypatch) -> None:
    """After the first records, the response ends early, with a line in the log."""
    storage = browser.application.extensions[EXTENSION].storage
    rows = [bounce(f"{n}@x", created=n) for n in range(600)]
    storage.bounces.put(storage.accounts.get("acme").bounce_list, rows)
    fetch, number = storage.engine.fetch, 0

    def fail(text: str, values: Sequence[object] = ()) -> list:
        nonlocal number
        number += 'FROM "bounce"' in text
        if number >= failing:
            raise StorageError("gone")
        return fetch(text, values)

    monkeypatch.setattr(storage.engine, "fetch", fail)
    url = "/_emulator/ui/bounces/export?owner=acme"
    failing = 1
    assert browser.get(url).status_code == 503
    number, failing = 0, 2
    server_end, client_end = socket.socketpair()
    with server_end, client_end:
        answer = browser.get(url, environ_overrides={"gunicorn.socket": server_end})
        assert (answer.status_code, answer.text.count("\n")) == (200, 500)
        assert client_end.recv(1) == b""


def test_import_without_a_temporary_folder_has_its_status(browser, monkeypatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", "/nowhere")
    answer = _import(browser, "a.csv", b"email\na@x\n")
    assert answer.status_code == 503
    assert "cannot write to the folder for temporary files: No such file" in answer.text


def test_export_needs_a_known_format_and_owner(browser) -> None:
    url = "/_emulator/ui/bounces/export"
    assert browser.get(f"{url}?owner=acme&format=x").status_code == 400
    assert browser.get(f"{url}?owner=acme&type=x").status_code == 400
    assert browser.get(f"{url}?owner=nobody").status_code == 404


# --- Faults, clock and state ------------------------------------------------------


def test_fault_rules_are_added_and_removed(browser) -> None:
    form = {"action": "add", "operation": "count", "status": "503", "times": "2"}
    browser.post("/_emulator/ui/faults", data=form, headers=ORIGIN)
    (fault,) = browser.get("/_emulator/faults").json["faults"]
    assert fault["rule"] == {"operation": "count", "status": 503, "times": 2}

    remove = {"action": "remove", "id": str(fault["id"])}
    browser.post("/_emulator/ui/faults", data=remove, headers=ORIGIN)
    assert "No fault rules" in browser.get("/_emulator/ui/faults").text
    for id_ in (str(fault["id"]), "x", "9" * 40, "9" * 5_000):
        remove = {"action": "remove", "id": id_}
        answer = browser.post("/_emulator/ui/faults", data=remove, headers=ORIGIN)
        assert answer.status_code == 404


def test_form_has_every_field_of_a_fault_rule() -> None:
    parts = (*faults.CONDITIONS, *faults.SCHEDULE, *faults.EFFECTS)
    assert sorted(parts) == sorted(FAULT_RULE.fields)


@pytest.mark.parametrize(
    ("form", "message"),
    [
        ({"status": "200"}, "status: must be an integer from 400 to 599"),
        ({"status": "x"}, "status: must be an integer from 400 to 599"),
        ({"operation": "x", "status": "500"}, "operation: must be one of"),
        ({}, "must have an effect"),
    ],
)
def test_bad_fault_rules_have_their_message(browser, form: dict, message: str) -> None:
    answer = browser.post(
        "/_emulator/ui/faults", data={"action": "add", **form}, headers=ORIGIN
    )

    assert answer.status_code == 400
    assert message in answer.text


def test_every_preset_is_a_valid_rule(browser) -> None:
    text = browser.get("/_emulator/ui/faults").text
    presets = re.findall(r'href="/_emulator/ui/faults\?([^"#]+)#', text)

    assert len(presets) == 5
    for preset in presets:
        data = f"action=add&{preset.replace('&amp;', '&')}"
        kind = "application/x-www-form-urlencoded"
        answer = browser.post(
            "/_emulator/ui/faults", data=data, content_type=kind, headers=ORIGIN
        )
        assert answer.status_code == 303, preset


def test_clock_is_frozen_advanced_and_reset(browser) -> None:
    def send(**form: str) -> int:
        path = "/_emulator/ui/clock"
        return browser.post(path, data=form, headers=ORIGIN).status_code

    assert send(action="freeze", instant="2012-02-15T12:00:00Z") == 303
    assert send(action="advance", duration="PT1H") == 303
    assert browser.get("/_emulator/clock").json["now"] == "2012-02-15T13:00:00Z"
    assert send(action="freeze", instant="x") == 400
    assert send(action="advance", duration="x") == 400
    assert send(action="reset") == 303
    assert browser.get("/_emulator/clock").json["frozen"] is False


def test_seeds_are_checked_and_loaded(browser) -> None:
    def send(action: str, source: str):
        data = {"action": action, "source": source}
        return browser.post("/_emulator/ui/seed", data=data, headers=ORIGIN)

    seed = "accounts:\r\n- username: new\r\n  bounces:\r\n  - email: a@x\r\n"
    assert "Valid: 1 account, 1 bounce, 0 fault rules" in send("check", seed).text
    assert _storage(browser).accounts.find("new") is None
    wrong = send("load", "accounts:\n- name: x\n")
    assert wrong.status_code == 400
    assert "accounts[0].username: required" in wrong.text
    assert "- name: x" in wrong.text
    assert send("load", seed).status_code == 303
    assert _storage(browser).accounts.find("new")


def test_seed_file_that_is_not_utf8_is_rejected(browser) -> None:
    def send(action: str, source: bytes):
        data = {"action": action, "file": (BytesIO(source), "seed.yaml")}
        return browser.post("/_emulator/ui/seed", data=data, headers=ORIGIN)

    seed = "accounts:\n- username: Empf\u00e4nger\n"
    for action in ("check", "load"):
        answer = send(action, seed.encode("latin-1"))
        assert answer.status_code == 400
        assert "not UTF-8 text" in answer.text
    assert send("load", seed.encode("utf-8-sig")).status_code == 303
    assert _storage(browser).accounts.find("Empf\u00e4nger")


def test_snapshots_are_saved_restored_and_removed(browser) -> None:
    def send(name: str, action: str, **form: str) -> int:
        data = {"name": name, "action": action, **form}
        path = "/_emulator/ui/snapshots"
        return browser.post(path, data=data, headers=ORIGIN).status_code

    assert send("one", "save") == 303
    assert send("not a name", "save") == 400
    _add(browser, bounce())
    assert send("one", "restore", snapshot="yes") == 303
    assert "No bounces yet" in browser.get(PAGES[1]).text
    assert send("one", "remove") == 303
    assert send("one", "remove") == 404
    assert send("before-restore", "restore", snapshot="yes") == 303
    assert _addresses(browser.get(PAGES[1]).text) == ["a@example.com"]


def test_reset_takes_a_snapshot(browser) -> None:
    def send(**form: str) -> int:
        path = "/_emulator/ui/reset"
        return browser.post(path, data=form, headers=ORIGIN).status_code

    _add(browser, bounce())
    assert send(to="empty", word="x") == 400
    assert send() == 400
    assert send(to="empty", word="remove", snapshot="yes") == 303
    (snapshot,) = browser.get("/_emulator/snapshots").json["snapshots"]
    assert (snapshot["name"], snapshot["bounces"]) == ("before-reset", 1)
    assert _storage(browser).accounts.all() == []


# --- Questions --------------------------------------------------------------------


def _links(text: str) -> list[str]:
    """Return the URLs of the questions on a page."""
    found = re.findall(r'<a class="button [^"]*" href="([^"]+)" data-ask', text)
    return [url.replace("&amp;", "&") for url in found]


@pytest.fixture(name="full")
def _full(browser) -> FlaskClient:
    """A client with bounces, fault rules, a snapshot and a logged request."""
    _add(browser, bounce("a@x"), bounce("b@x"))
    browser.post("/_emulator/faults", json={"operation": "count", "status": 503})
    browser.post("/_emulator/faults", json={"latency_ms": 1})
    browser.put("/_emulator/snapshots/one")
    browser.get("/api/bounces.count.json?api_user=acme&api_key=x")
    return browser


@pytest.mark.parametrize(
    ("path", "button", "parts"),
    [
        (PAGES[1], "Delete 2 bounces", ["Deletes all 2 bounces of acme."]),
        (PAGES[1], "Delete 1 bounce", ["b@x?", "Deletes 1 of the 2 bounces of acme."]),
        (PAGES[2], "Clear 1 logged request", ["Removes 1 logged request."]),
        (
            PAGES[3],
            "Remove 1 fault rule",
            [
                "Remove fault rule 1?",
                "{&#34;operation&#34;: &#34;count&#34;, &#34;status&#34;: 503}",
                "matched 1 request, and triggered for 1.",
            ],
        ),
        (PAGES[3], "Remove 2 fault rules", ["Removes 2 fault rules"]),
        (
            PAGES[4],
            "Restore",
            ["Restore one?", "by 1 account, 0 domains and 2 bounces."],
        ),
        (PAGES[4], "Remove 1 snapshot", ["Its 1 account, 0 domains and 2 bounces"]),
        (
            PAGES[4],
            "Remove everything",
            ["1 account, 0 domains, 2 bounces, 2 fault rules and 1 logged request"],
        ),
    ],
)
def test_destructive_button_asks_with_counts(
    full, path: str, button: str, parts: list[str]
) -> None:
    """The question is a page, and for the script the contents of a dialog."""
    questions = {url: full.get(url) for url in _links(full.get(path).text)}
    wanted = f">{button}</button>"
    url = next(url for url, page in questions.items() if wanted in page.text)
    page = questions[url]
    fragment = full.get(url, headers={"X-Fragment": "1"}).text

    assert page.status_code == 200
    assert "<!doctype html>" in page.text
    assert "<!doctype html>" not in fragment
    for text in (page.text, fragment):
        assert all(part in text for part in parts)
        assert re.search(r'<a class="button" href="[^"]+" [^>]*autofocus>Cancel', text)


def test_nothing_is_removed_without_a_question(full) -> None:
    """Each form of a page with a dangerous button is that of a question."""
    dangerous = re.compile(r'<button class="[^"]*danger')
    for path in PAGES:
        assert not dangerous.search(full.get(path).text), path


def test_restoration_offers_a_snapshot_first(full) -> None:
    for url in _links(full.get(PAGES[4]).text):
        text = full.get(url).text
        is_removal = "/snapshots/remove" in url
        assert ('name="snapshot"' in text) != is_removal, url


def test_snapshot_is_replaced_after_a_question(full) -> None:
    def send(action: str):
        data = {"name": "one", "action": action}
        return full.post("/_emulator/ui/snapshots", data=data, headers=ORIGIN)

    _add(full, bounce("c@x"))
    question = send("save").text
    assert "Replace the snapshot one?" in question
    assert "It has 1 account, 0 domains and 2 bounces" in question
    assert full.get("/_emulator/snapshots").json["snapshots"][0]["bounces"] == 2
    assert send("replace").status_code == 303
    assert full.get("/_emulator/snapshots").json["snapshots"][0]["bounces"] == 3


def test_unconfirmed_removal_of_everything_asks_again(full) -> None:
    form = {"to": "empty", "word": "x"}
    answer = full.post("/_emulator/ui/reset", data=form, headers=ORIGIN)

    assert answer.status_code == 400
    assert 'id="word-problem"' in answer.text
    assert full.get("/_emulator/ui/reset?to=x").status_code == 400


@pytest.mark.parametrize(
    "path",
    [
        "faults/77/remove",
        "snapshots/remove?name=x",
        "snapshots/restore?name=x",
        "requests/77/replay",
        "bounces/clear?owner=nobody",
    ],
)
def test_question_about_something_gone_is_404(full, path: str) -> None:
    assert full.get(f"/_emulator/ui/{path}").status_code == 404


def test_sources_show_what_arrived_and_what_went_wrong(browser) -> None:
    assert "No sources" in browser.get("/_emulator/ui/sources").text
    store = _storage(browser).sources
    store.add("postfix", "acme", "mail", SourceSettings())
    store.refuse("postfix", "the token is <wrong>", NOW)

    text = browser.get("/_emulator/ui/sources").text
    assert "POST http://localhost/_sources/postfix" in text
    assert "nothing yet" in text
    assert "the token is &lt;wrong&gt;" in text
    assert '<td class="number" data-label="refused">1</td>' in text


# --- Console ----------------------------------------------------------------------


def test_console_makes_calls(controlled_client) -> None:
    call = "GET /api/bounces.count.json"
    page = controlled_client.get(f"/_emulator/ui/console?call={call}").text
    for field in ("auth_user", "auth_key", "start_date"):
        assert f'name="{field}"' in page
    form = {"call": call, "auth_user": "acme", "auth_key": "wrong"}
    answer = controlled_client.post("/_emulator/ui/console", data=form, headers=ORIGIN)

    assert "403 Forbidden" in answer.text
    assert 'value="wrong"' not in answer.text
    log = controlled_client.get("/_emulator/requests").json["requests"]
    assert [entry["operation"] for entry in log] == ["count"]


@pytest.mark.parametrize("end", ["\n", "\r"])
@pytest.mark.parametrize("field", ["auth_key", "on-behalf-of"])
def test_console_refuses_line_breaks_in_headers(
    controlled_client, field: str, end: str
) -> None:
    form = {"call": "GET /v3/suppression/bounces", field: f"a{end}X: b"}
    answer = controlled_client.post("/_emulator/ui/console", data=form, headers=ORIGIN)

    assert answer.status_code == 400
    assert "line break" in answer.text


@pytest.fixture(name="vendors")
def _vendors(browser) -> FlaskClient:
    """A client with three bounces of each of an account, a customer and a domain."""
    customer = {"username": "client", "api_key": "c"}
    agency = {
        "username": "agency",
        "api_key": "s3cret",
        "customers": [customer],
        "domains": [{"name": "mg.example"}],
    }
    Control(browser.application.extensions[EXTENSION]).seed({"accounts": [agency]})
    storage = _storage(browser)
    for name in ("agency", "client", "mg.example"):
        key = storage.accounts.named_list(name).id
        found = [bounce("a@x"), bounce("b@x"), bounce("c@x", status="4.2.2")]
        storage.bounces.put(key, found)
    return browser


def _call(client: FlaskClient, call: str, **form: str):
    """Send the form of a call in the console, with the right credentials."""
    data = {"call": call, "auth_user": "agency", "auth_key": "s3cret", **form}
    return client.post("/_emulator/ui/console", data=data, headers=ORIGIN)


def test_console_keeps_the_beginning_of_a_long_response(vendors) -> None:
    """Memory does not depend on the length of a list."""
    agency = _storage(vendors).accounts.get("agency")
    rows = (bounce(f"{n}@x", reason="x" * 2_000) for n in range(10_000))
    _storage(vendors).bounces.put(agency.bounce_list, rows)
    _call(vendors, "GET /api/bounces.get.json", limit="1")
    with measured_memory() as memory:
        answer = _call(vendors, "GET /api/bounces.get.json")

    assert answer.status_code == 200
    (size,) = re.findall("ms · ([0-9,]+) bytes<", answer.text)
    assert int(size.replace(",", "")) > 20_000_000
    assert memory.peak < 10_000_000


SEVERAL = [
    ("GET /api/bounces.delete.json", {"delete_all": "1"}, "all 3 bounces of agency"),
    ("POST /api/bounces.delete.xml", {"type": "hard"}, "2 of the 3 bounces of agency"),
    (
        "DELETE /v3/suppression/bounces",
        {"json": '{"delete_all": true}'},
        "2 of the 3 bounces of agency",
    ),
    (
        "DELETE /v3/suppression/bounces",
        {"json": '{"emails": ["a@x", "b@x"]}'},
        "2 of the 3 bounces of agency",
    ),
    (
        "DELETE /v3/{domain}/bounces",
        {"domain": "mg.example"},
        "all 3 bounces of mg.example",
    ),
]


@pytest.mark.parametrize(("call", "form", "text"), SEVERAL)
def test_console_asks_before_several_bounces_are_deleted(
    vendors, call: str, form: dict, text: str
) -> None:
    def count() -> int:
        return _storage(vendors).contents.counts().bounces

    answer = _call(vendors, call, **form)
    assert f"Deletes {text}." in answer.text
    assert 's3cret"' not in answer.text
    assert count() == 9
    assert vendors.get("/_emulator/requests").json == {"requests": []}

    answer = _call(vendors, call, **form, confirmed="yes", snapshot="yes")
    assert "Deletes" not in answer.text
    assert count() < 9
    (snapshot,) = vendors.get("/_emulator/snapshots").json["snapshots"]
    assert (snapshot["name"], snapshot["bounces"]) == ("before-call", 9)


@pytest.mark.parametrize(
    ("call", "form"),
    [
        ("GET /api/bounces.delete.json", {"email": "a@x"}),
        ("GET /api/bounces.delete.json", {"email": "nobody@x"}),
        ("GET /api/bounces.delete.json", {"delete_all": "1", "auth_key": "wrong"}),
        ("GET /api/bounces.get.json", {}),
        (
            "GET /api/user.bounces.json",
            {"task": "delete", "user": "client", "email": "a@x"},
        ),
        ("DELETE /v3/suppression/bounces/{email}", {"email": "a@x"}),
        ("DELETE /v3/suppression/bounces", {"json": '{"emails": ["a@x"]}'}),
        ("DELETE /v3/suppression/bounces", {"json": "{"}),
        (
            "DELETE /v3/{domain}/bounces/{address}",
            {"domain": "mg.example", "address": "a@x"},
        ),
        ("POST /v3/{domain}/bounces", {"domain": "mg.example", "address": "new@x.com"}),
    ],
)
def test_console_makes_other_calls_at_once(vendors, call: str, form: dict) -> None:
    vendors.post("/_emulator/faults", json={"latency_ms": 1})
    fragment = vendors.post(
        "/_emulator/ui/console",
        data={"call": call, "auth_user": "agency", "auth_key": "s3cret", **form},
        headers={**ORIGIN, "X-Fragment": "1"},
    )
    assert (fragment.status_code, fragment.text) == (204, "")
    answer = _call(vendors, call, **form)

    assert "Make this call?" not in answer.text
    (entry,) = vendors.get("/_emulator/requests").json["requests"]
    (fault,) = vendors.get("/_emulator/faults").json["faults"]
    assert fault["matched"] == 1
    assert f'href="/_emulator/ui/requests/{entry["id"]}"' in answer.text
    assert "curl" in answer.text


def test_console_asks_in_a_dialog(vendors) -> None:
    call = "GET /api/bounces.delete.json"
    fragment = vendors.post(
        "/_emulator/ui/console",
        data={
            "call": call,
            "auth_user": "agency",
            "auth_key": "s3cret",
            "delete_all": "1",
        },
        headers={**ORIGIN, "X-Fragment": "1"},
    )

    assert fragment.status_code == 200
    assert "<!doctype html>" not in fragment.text
    assert 'form="call-form" name="confirmed" value="yes">Delete 3 bounces' in (
        fragment.text
    )


def test_migration_report_shows_requests_and_differences(browser) -> None:
    assert "No calls of SendGrid v2 yet" in browser.get("/_emulator/ui/migration").text
    browser.get("/api/bounces.get.json?api_user=acme&api_key=s3cret&type=hard")

    text = browser.get("/_emulator/ui/migration").text
    assert "sendgrid.direct get.json" in text
    assert "type=hard" in text
    assert "/v3/suppression/bounces" in text
    assert "s3cret" not in text


def test_every_notice_is_used() -> None:
    source = "".join(
        path.read_text() for path in STATIC.parent.glob("*.py") if path.name != "web.py"
    )

    assert [name for name in NOTICES if f'"{name}"' not in source] == []


# --- A request as a curl command and as a test ------------------------------------

CALLS = [
    ("GET", "/api/bounces.count.json?api_user=acme&api_key=s3cret&type=hard", {}, 200),
    ("GET", "/api/bounces.get.json?api_user=acme&api_key=wrong", {}, 403),
    ("POST", "/api/bounces.delete.json", {"email": "it's@x.com \"{}$(id)"}, 200),
    ("GET", "/v3/mg.example/bounces", {}, 200),
    ("DELETE", "/v3/mg.example/bounces/a@x.com", {}, 200),
    ("GET", "/v3/mg.example/bounces/a%2Bb%25%7Bc%7D@x.com", {}, 200),
    ("GET", "/v3/suppression/bounces", {}, 200),
]


@pytest.fixture(name="log")
def _log(make) -> list:
    """The entries of :data:`CALLS`, of a call with a fault and of a dropped call."""
    client = make()
    seed = {
        "username": "acme",
        "api_key": "s3cret",
        "domains": [{"name": "mg.example"}],
    }
    control = Control(client.application.extensions[EXTENSION])
    control.seed({"accounts": [seed]})
    control.put_bounces("mg.example", [bounce("a+b%{c}@x.com")])
    for method, path, form, _status in CALLS:
        headers = {"Accept": "*/*"}
        if "/v3/suppression" in path:
            headers["Authorization"] = "Bearer s3cret"
        auth = ("api", "s3cret") if "mg.example" in path else None
        if form:
            form = {"api_user": "acme", "api_key": "s3cret", **form}
        client.open(path, method=method, data=form, headers=headers, auth=auth)
    control.add_fault({"status": 503, "times": 1})
    client.get(CALLS[0][1])
    control.add_fault({"drop_connection": "before", "times": 1})
    with pytest.raises(ConnectionError):
        client.get(CALLS[0][1])
    return control.requests()


def _replay(client: FlaskClient, entry, key: str):
    """Replay a request, and return the page, and the new entry of the log."""
    url = f"/_emulator/ui/requests/{entry.id}/replay"
    answer = client.post(url, data={"key": key}, headers=ORIGIN)
    page = client.get(answer.location) if answer.status_code == 303 else answer
    control = Control(client.application.extensions[EXTENSION])
    return page, control.requests()[-1]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (
            '[{"a":1.0,"b":[],"c":{}},"\\u00e9, {x}"]',
            '[\n  {\n    "a": 1.0,\n    "b": [],\n    "c": {}\n  },\n  "\\u00e9, {x}"\n]',
        ),
        (' {"a": "cut \\" he', '{\n  "a": "cut \\" he'),
        ("{} ]}", "{}\n]\n}"),
        (
            '<?xml version="1.0"?>\n<r><b at="x">t &lt; u</b><c/><d></d><e><f>cut',
            """<?xml version="1.0"?>
<r>
  <b at="x">t &lt; u</b>
  <c/>
  <d></d>
  <e>
    <f>
      cut""",
        ),
        ("<r></r></r>", "<r></r>\n</r>"),
        ("Mailgun Magnificent API", "Mailgun Magnificent API"),
        ("", ""),
    ],
)
def test_body_is_indented(body: str, expected: str) -> None:
    assert show_pretty(body) == expected


def test_bytes_of_a_body_are_shown() -> None:
    assert show_hex("") == ""
    assert show_hex("{\"a\": 'é'}\n-17 bytes").splitlines() == [
        "00000000  7b 22 61 22 3a 20 27 c3 a9 27 7d 0a 2d 31 37 20  {\"a\": '..'}.-17 ",
        f"00000010  {'62 79 74 65 73':<47}  bytes",
    ]


def test_response_is_shown_raw_indented_and_as_bytes(make, log: list) -> None:
    client = make()
    path = f"/_emulator/ui/requests/{log[0].id}"
    text = client.get(f"{path}?account=acme").text
    links = re.findall(r'href="([^"]+)#response-title"( aria-current="true")?', text)

    assert [bool(current) for _, current in links] == [True, False, False]
    raw, pretty, dump = (client.get(url.replace("&amp;", "&")).text for url, _ in links)
    assert "{&#34;count&#34;: " in raw
    assert "{\n  &#34;count&#34;: " in pretty
    assert "00000000  7b 22 63 6f" in dump
    wrong = client.get(f"{path}?view=x")
    assert wrong.status_code == 400
    assert "view: must be one of raw, pretty, hex" in wrong.text


def test_requests_are_replayed(make, log: list) -> None:
    client = make()
    for entry in log[: len(CALLS)]:
        page, again = _replay(client, entry, "s3cret")
        assert "The request was sent again" in page.text
        assert f"#{again.id} {entry.method}" in page.text
        for field in ("dialect", "operation", "account", "domain", "path", "method"):
            assert getattr(again, field) == getattr(entry, field), field
        assert again.parameters == entry.parameters
        had_wrong_key = "wrong" in str(CALLS[log.index(entry)])
        assert again.status == (200 if had_wrong_key else entry.status)
        assert again.user_agent.endswith(f"replay of request {entry.id}")
        assert "s3cret" not in page.text


def test_replay_sends_the_key_where_it_was(make, log: list) -> None:
    client = make()
    client.get("/api/bounces.count.json", auth=("acme", "s3cret"))
    control = Control(client.application.extensions[EXTENSION])
    control.put_bounces("mg.example", [bounce("a+b?@x.com")])
    path = "/v3/mg.example/bounces/a%2Bb%3F@x.com"
    assert client.get(path, auth=("api", "s3cret")).status_code == 200
    client.get("/api/bounces.count.json?api_user=acme&api_key=s3cret&x=1&x=2")
    entries = control.requests()[-3:]

    for entry in entries:
        _, again = _replay(client, entry, "s3cret")
        assert (again.status, again.path) == (entry.status, entry.path)
        assert again.parameters == entry.parameters
        _, again = _replay(client, entry, "")
        assert again.status in (401, 403)


def test_replay_of_a_change_takes_a_snapshot(make, log: list) -> None:
    client = make()
    control = Control(client.application.extensions[EXTENSION])
    control.put_bounces("acme", [bounce("b@x.com"), bounce("c@x.com")])
    login = "api_user=acme&api_key=s3cret"
    client.get(f"/api/bounces.delete.json?{login}&email=b@x.com")
    (entry,) = control.requests(1)
    url = f"/_emulator/ui/requests/{entry.id}"
    assert "It changed 1 row the first time." in client.get(f"{url}/replay").text
    read = client.get(f"/_emulator/ui/requests/{log[0].id}/replay").text
    assert "It changed" not in read
    assert "before-replay" not in read

    form = {"key": "s3cret", "snapshot": "yes"}
    client.post(f"{url}/replay", data=form, headers=ORIGIN)
    (snapshot,) = control.snapshots()
    assert (snapshot.name, snapshot.bounces) == ("before-replay", 2)


def test_fault_rules_apply_to_a_replay(make, log: list) -> None:
    client = make()
    control = Control(client.application.extensions[EXTENSION])
    control.add_fault({"drop_connection": "before", "times": 1})
    page, again = _replay(client, log[0], "s3cret")

    assert page.status_code == 200
    assert again.status is None
    assert "connection dropped" in page.text


@pytest.mark.parametrize(
    ("method", "path", "options", "reason"),
    [
        ("DELETE", "/v3/suppression/bounces", {"json": {"delete_all": True}}, "its body"),
        ("POST", "/v3/mg.example/bounces", {"json": [{"address": "a@x"}]}, "bodies in JSON"),
        ("GET", f"/api/bounces.get.json?email={'x' * 501}", {}, "all of its parameters"),
        ("GET", f"/v3/mg.example/bounces/{'x' * 600}", {}, "all of its parameters"),
        ("GET", "/api/bounces.get.json?api_key=s3cret&email=s3cret@x", {}, "a value is masked"),
        ("GET", "/api/bounces.get.json?" + "a=b&" * 100, {}, "all of its parameters"),
    ],
)  # fmt: skip
def test_incomplete_request_is_not_replayed(
    make, log: list, method: str, path: str, options: dict, reason: str
) -> None:
    client = make()
    client.open(path, method=method, auth=("api", "s3cret"), **options)
    (entry,) = Control(client.application.extensions[EXTENSION]).requests(1)

    page = client.get(f"/_emulator/ui/requests/{entry.id}").text
    assert "No replay: " in page
    assert reason in page
    assert "Replay…" not in page
    answer, last = _replay(client, entry, "s3cret")
    assert answer.status_code == 409
    assert reason in answer.text
    assert last == entry


@pytest.mark.parametrize(
    ("path", "options"),
    [
        ("/api/bounces.delete.json?api_user=acme&api_key=s3cret", {"json": {"email": "a@x"}}),
        ("/api/bounces.delete.json?api_user=acme&api_key=s3cret", {"data": b"email=\xff"}),
        ("/api/bounces.delete.json?api_user=acme&api_key=s3cret&" + "a=1&" * 120, {}),
        ("/v3/a/%2e%2e/%2e%2e/_emulator/reset", {}),
        ("/v3/a/%2e/bounces", {}),
    ],
    ids=["JSON", "not UTF-8", "cut", "reset", "dot"],
)  # fmt: skip
def test_request_that_could_do_more_has_no_commands(make, path, options) -> None:
    """Its parameters are unknown, or clients would resolve its path."""
    client = make()
    client.post(path, **options)
    (entry,) = Control(client.application.extensions[EXTENSION]).requests()
    page = client.get(f"/_emulator/ui/requests/{entry.id}").text
    assert "No replay: " in page
    assert "pytest" not in page
    assert "curl" not in page


def test_request_with_a_wrong_value_has_commands(make) -> None:
    """Its parameters are in the log, and it deletes nothing."""
    client = make(AUTH="any")
    for path, form in (
        ("/api/bounces.get.json", {"limit": "abc"}),
        ("/v3/mg.example/bounces", {"address": "nonsense"}),
    ):
        data = {"api_user": "acme", "api_key": "s3cret", **form}
        assert client.post(path, data=data, auth=("api", "key")).status_code == 400
        (*_, entry) = Control(client.application.extensions[EXTENSION]).requests()
        page = client.get(f"/_emulator/ui/requests/{entry.id}").text
        assert "No replay: " not in page
        assert "curl" in page


def test_curl_command_sends_the_names_of_the_request(make) -> None:
    """curl encodes values only, and reads a file for some names."""
    client = make()
    names = ["a&delete_all", "a@/etc/hosts", "b=c", "x%41", "", "email[]", "ü"]
    pairs = urlencode([(name, "v w") for name in names])
    client.get(f"/api/bounces.delete.json?{pairs}")
    (entry,) = Control(client.application.extensions[EXTENSION]).requests()
    command = as_curl(entry, "http://localhost").replace("\\\n", "")
    sent = []
    for option, text in pairwise(shlex.split(command)):
        if option in ("--data", "--data-urlencode"):
            name, _, value = text.partition("=")
            is_encoded = option == "--data"
            sent.append((unquote(name), unquote(value) if is_encoded else value))
    assert sent == [(name, "v w") for name in names]


def test_unknown_request_is_not_replayed(browser) -> None:
    url = "/_emulator/ui/requests/77/replay"
    assert browser.post(url, headers=ORIGIN).status_code == 404
    foreign = {"Origin": "http://evil.example"}
    assert browser.post(url, headers=foreign).status_code == 403


def test_curl_command_has_no_credential_and_is_quoted(log: list) -> None:
    commands = [as_curl(entry, "http://localhost") for entry in log]

    for command, (_, path, form, _) in zip(commands, CALLS, strict=False):
        words = shlex.split(command.replace("\\\n", ""))
        assert words[-1] == "http://localhost" + path.partition("?")[0]
        assert "s3cret" not in command
        assert "$API_KEY" in command
        for name, value in form.items():
            assert f"{name}={value}" in words


@pytest.mark.skipif(not shutil.which("sh"), reason="requires a shell")
def test_curl_command_runs_no_parameter(make) -> None:
    client = make()
    names = ["$(echo a)", "`echo b`", '"; echo c; "', "it's", "api_key"]
    client.get("/api/bounces.get.json", query_string=dict.fromkeys(names, MASK))
    control = Control(client.application.extensions[EXTENSION])
    (entry,) = control.requests()
    script = (
        f"curl() {{ printf '%s\\n' \"$@\"; }}\n{as_curl(entry, 'http://localhost')}"
    )
    ended = subprocess.run(
        ["sh", "-c", script],
        env={"API_KEY": "s3cret"},
        capture_output=True,
        text=True,
        check=True,
    )

    lines = ended.stdout.splitlines()
    encoded = [quote(name, safe="") for name in names]
    assert lines[2:-1:2] == [f"{name}=s3cret" for name in encoded]


def test_curl_command_has_no_control_characters(make) -> None:
    """A terminal obeys them when the command is pasted."""
    client = make()
    pairs = "a%03=b%03%0atouch%20x%0a&c=d%E2%80%AE&e=f&%15%0atouch%20x%0a%23key=g"
    client.get(f"/api/bounces.get.json?{pairs}")
    (entry,) = Control(client.application.extensions[EXTENSION]).requests()

    command = as_curl(entry, "http://localhost").replace(" \\\n  ", " ")
    assert command.isprintable()
    assert "--data a%03=b%03%0Atouch%20x%0A --data c=d%E2%80%AE " in command
    assert "--data-urlencode e=f " in command
    assert """--data-urlencode %15%0Atouch%20x%0A%23key="$API_KEY" """ in command


def test_generated_test_has_no_control_characters(make) -> None:
    client = make()
    text = "a\x7f\x9b\u2028\u202e\U000e0001😀"
    client.get("/api/bounces.get.json", query_string={"email": text})
    (entry,) = Control(client.application.extensions[EXTENSION]).requests()

    test = as_pytest(entry)
    assert test.replace("\n", "").isprintable()
    calls = [node for node in ast.walk(ast.parse(test)) if isinstance(node, ast.Call)]
    (params,) = (
        word.value for call in calls for word in call.keywords if word.arg == "params"
    )
    assert ast.literal_eval(params) == [("email", text)]


@pytest.mark.slow
def test_tests_of_requests_pass(log: list, tmp_path: Path) -> None:
    for number, entry in enumerate(log):
        path = tmp_path / f"test_{number}.py"
        path.write_text(as_pytest(entry), encoding="utf-8")
    ended = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", tmp_path],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )

    assert f"{len(CALLS) + 2} passed" in ended.stdout, ended.stdout
