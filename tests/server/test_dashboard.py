"""The dashboard in a real browser: Debian's Chromium, driven by Playwright."""

from __future__ import annotations  # Playwright's classes may be missing

import json
import os
import re
import shutil
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from live import ROOT, Live, named, serving

try:
    from axe_playwright_python.sync_playwright import Axe
    from playwright.sync_api import Browser, Page, expect, sync_playwright
except ImportError:  # the extra `browser` is missing
    Axe = None

CHROMIUM = shutil.which("chromium")

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser")]

SCREENSHOT = ROOT / "docs" / "_static" / "dashboard.png"
LOGIN = "api_user=demo&api_key=demo"
FAULT = {"operation": "count", "account": "acme", "status": 503, "retry_after": 30}

#: The rules of the Web Content Accessibility Guidelines 2.2 AA, and good practice.
AXE = {
    "runOnly": [
        *("wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"),
        "best-practice",
    ],
    "resultTypes": ["violations"],
}

#: The rules that depend on colours only.
COLOURS = {
    "runOnly": {"type": "rule", "values": ["color-contrast", "link-in-text-block"]},
    "resultTypes": ["violations"],
}

#: Each page, and a text on it.
PAGES = {
    "overview": ("", "Last requests"),
    "bounces": ("ui/bounces?owner=demo", "rawest@gmail.co"),
    "bounce": ("ui/bounces/one?owner=demo&email=info@bnl.co.uk", "Relaying denied"),
    "search": ("ui/bounces?owner=demo&prefix=s&match=contains", "shown, by address"),
    "new bounce": ("ui/bounces/new?owner=demo", "Add a bounce to demo"),
    "import": ("ui/bounces/import?owner=demo", "Import into demo"),
    "new account": ("ui/accounts/new", "Add an account"),
    "new domain": ("ui/domains/new", "Add a Mailgun domain"),
    "accounts": ("?name=samples", "samples.mailgun.org"),
    "bad range": ("?days=x", "must be one of 30"),
    "no bounces": ("ui/bounces?owner=empty", "No bounces yet"),
    "bad filter": ("ui/bounces?owner=demo&type=x&since=7", "must be a date"),
    "deletion": ("ui/bounces/delete?owner=demo&email=rawest@gmail.co", "Cancel"),
    "removal of everything": ("ui/reset?to=empty", "Type remove to confirm"),
    "replay": ("ui/requests/LAST/replay", "Send this request again?"),
    "requests": ("ui/requests", "sendgrid.direct"),
    "one request": ("ui/requests/LAST", "Make a fault rule of this"),
    "bytes": ("ui/requests/LAST?view=hex", "00000000  7b"),
    "bad view": ("ui/requests/LAST?view=x", "must be one of raw"),
    "faults": ("ui/faults?status=503", "New fault rule"),
    "state": ("ui/state", "Snapshots"),
    "sources": ("ui/sources", "No sources"),
    "console": ("ui/console", "bounces.get.json"),
    "migration": ("ui/migration", "sendgrid.direct get.json"),
    "missing": ("ui/nothing", "Go to the overview"),
}

#: Ways of looking at a page: options of the browser context, and the rules to check.
LOOKS: dict[str, tuple[dict, dict | None]] = {
    "light": ({"color_scheme": "light"}, AXE),
    "dark": ({"color_scheme": "dark"}, COLOURS),
    "narrow": ({"viewport": {"width": 320, "height": 800}}, AXE),
    "no script": ({"java_script_enabled": False}, None),
    "forced colours": ({"forced_colors": "active"}, COLOURS),
}


@dataclass
class Dashboard:
    """A page of the browser, and what went wrong on it."""

    live: Live
    page: Page
    complaints: list[str] = field(default_factory=list)

    def open(self, path: str = "") -> Page:
        """Open a page of the dashboard."""
        self.page.goto(f"{self.live.url}/_emulator/{path}")
        return self.page


def _watch(dashboard: Dashboard) -> None:
    """Note script errors, violations of the policy and requests to other hosts."""
    page, complaints = dashboard.page, dashboard.complaints
    page.on("pageerror", lambda error: complaints.append(str(error)))

    def hear(message) -> None:
        if message.type == "error" and "the server responded" not in message.text:
            complaints.append(message.text)

    def see(request) -> None:
        if not request.url.startswith((dashboard.live.url, "data:,")):
            complaints.append(request.url)

    page.on("console", hear)
    page.on("request", see)


@pytest.fixture(name="chromium", scope="module")
def _chromium() -> Iterator[Browser]:
    if Axe is None or CHROMIUM is None:
        assert "CI" not in os.environ, "CI must have chromium and the extra `browser`"
        pytest.skip("needs chromium and the extra `browser`")
    with sync_playwright() as playwright:
        options = ["--no-sandbox", "--disable-dev-shm-usage"]
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=options)
        yield browser
        browser.close()


@pytest.fixture(name="server", scope="module")
def _server() -> Iterator[Live]:
    with serving("--demo", "--workers", "1") as live:
        yield live


@pytest.fixture(name="live")
def _live(server: Live) -> Live:
    """The server with the demo, an account `acme`, a fault rule and some requests."""
    _send(server, "/_emulator/reset", "POST")
    _send(server, "/_emulator/accounts", "POST", {"name": "empty"})
    _send(server, "/_emulator/accounts", "POST", {"name": "acme"})
    _send(server, "/_emulator/faults", "POST", FAULT)
    _send(server, "/_emulator/snapshots/before", "PUT")
    clock = {"action": "freeze", "instant": "2012-06-15T12:00:00Z"}
    _send(server, "/_emulator/clock", "PUT", clock)
    server.get(f"/api/bounces.get.json?{LOGIN}&type=hard")
    server.get(f"/api/bounces.count.json?{LOGIN}")
    return server


@pytest.fixture(name="look")
def _look(live: Live, chromium: Browser) -> Iterator[Callable[..., Dashboard]]:
    """Opens browser contexts; in the end nothing may have gone wrong in them."""
    dashboards: list[Dashboard] = []

    def look(**options) -> Dashboard:
        context = chromium.new_context(**options)
        context.set_default_timeout(10_000)
        context.grant_permissions(["clipboard-read", "clipboard-write"])
        dashboard = Dashboard(live, context.new_page())
        _watch(dashboard)
        dashboards.append(dashboard)
        return dashboard

    yield look
    for dashboard in dashboards:
        dashboard.page.context.close()
        assert dashboard.complaints == []


def _send(live: Live, path: str, method: str = "GET", data: object = None):
    body = None if data is None else json.dumps(data).encode()
    url = live.url + path
    request = urllib.request.Request(url, body, method=method)  # noqa: S310 - http
    with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310 - http
        return json.loads(answer.read())


def _last_id(live: Live) -> int:
    return _send(live, "/_emulator/requests?limit=1")["requests"][0]["id"]


@pytest.mark.parametrize("name", LOOKS)
def test_pages_are_accessible_and_fit(look, live: Live, name: str) -> None:
    options, rules = LOOKS[name]
    dashboard = look(**options)
    for title, (path, text) in PAGES.items():
        page = dashboard.open(path.replace("LAST", str(_last_id(live))))
        expect(page.locator("main").get_by_text(text).first).to_be_attached()
        if rules is None:
            continue
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), (
            title
        )
        _check_accessibility(page, rules)


def _check_accessibility(page: Page, rules: dict = AXE) -> None:
    result = Axe().run(page, options=rules)
    assert result.violations_count == 0, result.generate_report()


def test_browser_is_sent_to_the_overview(look, live: Live) -> None:
    page = look().page
    page.goto(live.url)

    assert page.url == f"{live.url}/_emulator/"
    page.goto(f"{live.url}/_emulator")
    assert page.url == f"{live.url}/_emulator/"


def test_everything_works_without_a_mouse(look) -> None:
    page = look().open("ui/requests")
    page.keyboard.press("Tab")
    expect(page.get_by_text("Skip to the content")).to_be_focused()
    page.keyboard.press("?")
    expect(page.locator("#shortcuts")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator("#shortcuts")).to_be_hidden()

    page.keyboard.press("j")
    page.keyboard.press("j")
    page.keyboard.press("k")
    expect(page.locator("tr[aria-selected=true]")).to_have_count(1)
    page.keyboard.press("Enter")
    page.wait_for_url("**/ui/requests/*")
    expect(page.locator("#details-title")).to_contain_text("/api/bounces.count.json")
    page.keyboard.press("Escape")
    page.wait_for_url("**/ui/requests")

    page.keyboard.press("p")
    expect(page.locator("#live")).to_have_text("Paused")
    page.keyboard.press("p")
    expect(page.locator("#live")).to_have_text("Live")

    page.keyboard.press("/")
    expect(page.locator("#account")).to_be_focused()
    page.keyboard.type("nobody?jk")
    page.keyboard.press("Enter")
    page.wait_for_url("**account=nobody*")
    expect(page.get_by_text("No request matches")).to_be_visible()


def test_new_requests_appear_and_keep_the_scroll_position(look, live: Live) -> None:
    for _ in range(60):
        live.get(f"/api/bounces.count.json?{LOGIN}")
    page = look().open("ui/requests")
    row = page.locator("tbody[data-rows] tr").nth(30)
    row.scroll_into_view_if_needed()
    page.mouse.wheel(0, 200)
    page.wait_for_timeout(200)
    first = page.locator(
        f"a[href$='/{row.locator('a').get_attribute('href').rpartition('/')[2]}']"
    )
    top = first.bounding_box()["y"]

    for _ in range(500):
        live.get(f"/api/bounces.count.json?{LOGIN}&type=soft")
    newest = _last_id(live)
    page.wait_for_selector(f"tbody a[href$='/{newest}']", state="attached")
    assert page.locator("tbody[data-rows] tr").count() <= 200
    if first.count():
        assert abs(first.bounding_box()["y"] - top) < 40
    assert page.evaluate("scrollY") > 80


def test_pause_stops_the_updates(look, live: Live) -> None:
    page = look().open("ui/requests")
    page.locator("#live").click()
    rows = page.locator("tbody[data-rows] tr").count()
    live.get(f"/api/bounces.count.json?{LOGIN}")
    page.wait_for_timeout(2_200)
    assert page.locator("tbody[data-rows] tr").count() == rows
    page.locator("#live").click()
    expect(page.locator("tbody[data-rows] tr")).to_have_count(rows + 1)


def test_two_tabs_show_the_same(look, live: Live) -> None:
    one, two = look().open("ui/requests"), look().open("ui/faults")
    live.get(f"/api/bounces.count.json?{LOGIN}")
    newest = _last_id(live)
    one.wait_for_selector(f"tbody a[href$='/{newest}']")

    two.get_by_role("button", name="Run the clock").first.click()
    expect(two.get_by_text("The clock shows the system time.")).to_be_visible()
    expect(one.get_by_text("Clock frozen")).to_have_count(0)


def test_reason_is_text(look, live: Live) -> None:
    reason = "<img src=x onerror=document.title='broken'><script>alert(1)</script>"
    bounce = {"email": "<b>@x.com", "reason": reason}
    _send(live, "/_emulator/bounces?owner=acme", "POST", bounce)
    page = look().open("ui/bounces?owner=acme")

    expect(page.get_by_text(reason)).to_be_visible()
    assert page.locator("main img, main script").count() == 0
    assert "broken" not in page.title()


def test_list_is_searched_and_counted(look, live: Live) -> None:
    bounces = [{"email": f"u{i}@x{i % 2}.com"} for i in range(120)]
    _send(live, "/_emulator/bounces?owner=acme", "POST", bounces)
    page = look().open("ui/bounces?owner=acme")
    page.keyboard.press("/")
    page.keyboard.type("@X1")
    page.get_by_label("contains (slow)").check()
    page.keyboard.press("Enter")
    page.wait_for_url("**match=contains*")
    expect(page.locator("tbody tr")).to_have_count(50)
    page.get_by_role("link", name="Exact count").click()
    expect(page.get_by_text("60 bounces match")).to_be_visible()
    page.get_by_role("link", name="Next").click()
    expect(page.locator("tbody tr")).to_have_count(10)


@pytest.mark.parametrize("script", [True, False])
def test_file_is_exported_and_imported(
    look, live: Live, tmp_path: Path, script: bool
) -> None:
    page = look(java_script_enabled=script).open("ui/bounces?owner=demo&type=hard")
    with page.expect_download() as download:
        page.get_by_role("link", name="Export CSV").click()
    path = tmp_path / download.value.suggested_filename
    download.value.save_as(path)

    page.goto(f"{live.url}/_emulator/ui/bounces?owner=acme")
    page.get_by_role("link", name="Import…").click()
    page.get_by_label("File").set_input_files(path)
    page.get_by_role("button", name="Import").click()
    expect(page.get_by_text("The bounces were imported.")).to_be_visible()
    hard = _send(live, "/_emulator/bounces/count?owner=demo&type=hard")
    assert _send(live, "/_emulator/bounces/count?owner=acme") == hard

    bad = tmp_path / "bad.csv"
    bad.write_text("email,created\na@x.com,never\n")
    page.get_by_role("link", name="Import…").click()
    page.get_by_label("File").set_input_files(bad)
    page.get_by_role("button", name="Import").click()
    expect(page.locator("#file-problem")).to_contain_text("bad.csv, line 2, created")
    if script:
        _check_accessibility(page)


def test_deletion_offers_a_snapshot(look, live: Live) -> None:
    page = look().open("ui/bounces?owner=demo")
    page.get_by_role("link", name="Delete all…").click()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_role("link", name="Cancel")).to_be_focused()
    _check_accessibility(page)
    dialog.get_by_role("button", name="Delete 6 bounces").click()
    expect(page.get_by_text("No bounces yet")).to_be_visible()
    page.goto(f"{live.url}/_emulator/ui/state")
    expect(page.get_by_role("cell", name="before-deletion", exact=True)).to_be_visible()


def test_destructive_button_asks_and_focuses_cancel(look, live: Live) -> None:
    page = look().open("ui/state")
    page.get_by_role("link", name="Remove everything…").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("12 bounces, 1 fault rule")
    expect(dialog.get_by_role("link", name="Cancel")).to_be_focused()
    remove = dialog.get_by_role("button", name="Remove everything")
    remove.click()
    expect(dialog.get_by_role("textbox")).to_be_focused()  # the word is missing
    _check_accessibility(page)

    dialog.get_by_role("textbox").fill("remove")
    remove.click()
    expect(page.get_by_text("The state was reset.")).to_be_visible()
    expect(page.get_by_role("cell", name="before-reset", exact=True)).to_be_visible()
    assert _send(live, "/_emulator/accounts") == {"accounts": []}


def test_cancel_changes_nothing(look, live: Live) -> None:
    page = look().open("ui/faults")
    page.get_by_role("link", name="Remove… rule").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text('"account": "acme"')
    page.keyboard.press("Enter")
    expect(dialog).to_have_count(0)
    page.get_by_role("link", name="Remove… rule").click()
    expect(dialog).to_contain_text('"account": "acme"')
    page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)
    assert len(_send(live, "/_emulator/faults")["faults"]) == 1

    page.get_by_role("link", name="Remove… rule").click()
    dialog.get_by_role("button", name="Remove 1 fault rule").click()
    expect(page.get_by_text("The fault rule was removed.")).to_be_visible()
    assert _send(live, "/_emulator/faults") == {"faults": []}


def test_forms_work_without_a_script(look, live: Live) -> None:
    page = look(java_script_enabled=False).open("ui/state")
    page.get_by_role("link", name="Remove everything…").click()
    page.wait_for_url("**/ui/reset?to=empty")
    expect(page.get_by_role("link", name="Cancel")).to_be_focused()
    page.locator("input[name=word]").fill("remove")
    page.get_by_role("button", name="Remove everything").click()

    expect(page.get_by_text("The state was reset.")).to_be_visible()
    assert _send(live, "/_emulator/accounts") == {"accounts": []}


def test_request_becomes_a_curl_command_a_test_and_a_fault_rule(
    look, live: Live
) -> None:
    live.get(f"/api/bounces.get.json?{LOGIN}&type=soft")
    page = look().open(f"ui/requests/{_last_id(live)}")
    curl = page.locator("#curl").inner_text()
    assert "type=soft" in curl
    assert "$API_KEY" in curl
    assert "sendgrid_bounces" in page.locator("#pytest").inner_text()
    page.locator("button[data-copy='#curl']").click()
    assert page.evaluate("navigator.clipboard.readText()") == curl

    page.get_by_role("link", name="Make a fault rule of this").click()
    page.locator("#status").fill("500")
    page.get_by_role("button", name="Add fault rule").click()
    expect(page.get_by_text("The fault rule was added.")).to_be_visible()
    rule = _send(live, "/_emulator/faults")["faults"][-1]["rule"]
    assert rule == {
        "dialect": "sendgrid.direct",
        "operation": "get",
        "account": "demo",
        "path": "/api/bounces.get.json",
        "status": 500,
    }


@pytest.mark.parametrize("script", [True, False])
def test_response_has_views(look, live: Live, script: bool) -> None:
    live.get(f"/api/bounces.get.xml?{LOGIN}&type=soft")
    page = look(java_script_enabled=script).open(f"ui/requests/{_last_id(live)}")
    page.get_by_role("link", name="pretty").click()
    expect(page.locator("#response")).to_contain_text("<bounces>\n  <bounce>\n    <")
    page.get_by_role("link", name="hex").click()
    expect(page.locator("#response")).to_contain_text("00000000  3c 3f 78 6d 6c")
    page.get_by_role("link", name="raw").click()
    expect(page.locator("#response")).to_contain_text("<bounces><bounce><")


@pytest.mark.parametrize("script", [True, False])
def test_request_is_replayed_with_a_key(look, live: Live, script: bool) -> None:
    with suppress(urllib.error.HTTPError):
        live.get("/api/bounces.count.json?api_user=demo&api_key=wrong&type=soft")
    page = look(java_script_enabled=script).open(f"ui/requests/{_last_id(live)}")
    expect(
        page.get_by_text("account 'demo' exists; the API key is wrong")
    ).to_be_visible()
    page.get_by_role("link", name="Replay…").click()
    form = page.get_by_role("dialog")
    if script:
        _check_accessibility(page)
    else:
        page.wait_for_url("**/replay")
        form = page.locator("main form")
    form.locator("input[name=key]").fill("demo")
    form.locator("button.main").click()

    expect(page.get_by_text("The request was sent again")).to_be_visible()
    expect(page.locator("#response")).to_contain_text("count")
    entry = _send(live, f"/_emulator/requests/{_last_id(live)}")
    assert (entry["status"], entry["parameters"]["type"]) == (200, "soft")


def test_bad_fault_rule_has_its_message_beside_the_field(look) -> None:
    page = look().open("ui/faults?status=200")
    page.get_by_role("button", name="Add fault rule").click()

    field = page.locator("#status")
    expect(field).to_have_attribute("aria-invalid", "true")
    expect(page.locator("#status-problem")).to_contain_text("from 400 to 599")
    expect(field).to_have_value("200")


def test_console_makes_a_call(look) -> None:
    page = look().open("ui/console")
    page.get_by_label("api_user").fill("demo")
    page.get_by_label("api_key").fill("demo")
    page.get_by_role("button", name="Send").click()

    expect(page.locator("#answer-body")).to_contain_text("esting@sendgrid.ne")
    expect(page.locator("#curl")).to_contain_text("$API_KEY")


@pytest.mark.parametrize("script", [True, False])
def test_console_asks_before_it_deletes_a_list(look, live: Live, script: bool) -> None:
    def fill() -> None:
        page.get_by_label("api_user").fill("demo")
        page.get_by_label("api_key").fill("demo")

    call = "GET /api/bounces.delete.json"
    page = look(java_script_enabled=script).open(f"ui/console?call={call}")
    fill()
    page.get_by_label("delete_all").select_option("1")
    page.get_by_role("button", name="Send").click()
    expect(page.get_by_text("Deletes all 6 bounces of demo.")).to_be_visible()
    expect(page.get_by_role("link", name="Cancel")).to_be_focused()
    if script:
        _check_accessibility(page)
        page.keyboard.press("Enter")
        expect(page.get_by_role("dialog")).to_have_count(0)
        page.get_by_role("button", name="Send").click()
    else:
        fill()
    assert _send(live, "/_emulator/bounces/count?owner=demo") == {"count": 6}
    page.get_by_role("button", name="Delete 6 bounces").click()

    expect(page.locator("#answer-body")).to_contain_text("success")
    assert _send(live, "/_emulator/bounces/count?owner=demo") == {"count": 0}
    snapshots = _send(live, "/_emulator/snapshots")["snapshots"]
    assert "before-call" in [each["name"] for each in snapshots]


def test_reduced_motion_has_no_animation(look) -> None:
    page = look(reduced_motion="reduce").open("ui/requests")
    script = """() => {
      const row = document.querySelector("tbody tr");
      row.classList.add("new");
      return getComputedStyle(row).animationName;
    }"""

    assert page.evaluate(script) == "none"


def test_login(chromium: Browser) -> None:
    with serving("--demo", **named(CONTROL_TOKEN="t0ken")) as live:
        page = chromium.new_page()
        page.goto(f"{live.url}/_emulator/ui/state")
        assert page.url == f"{live.url}/_emulator/ui/login?next=/_emulator/ui/state"
        _check_accessibility(page)
        page.get_by_label("Control token").fill("wrong")
        page.keyboard.press("Enter")
        expect(page.get_by_text("The token is wrong.")).to_be_visible()
        page.get_by_label("Control token").fill("t0ken")
        page.keyboard.press("Enter")
        page.wait_for_url("**/ui/state")
        (cookie,) = page.context.cookies()
        assert (cookie["httpOnly"], cookie["sameSite"]) == (True, "Strict")
        for _ in range(6):  # either worker accepts it
            page.reload()
            expect(page.get_by_role("heading", name="Snapshots")).to_be_visible()
        page.get_by_role("button", name="Log out").click()
        expect(page.get_by_role("heading", name="Log in")).to_be_visible()
        page.close()


@pytest.mark.parametrize(
    "rows", [20_000, pytest.param(1_000_000, marks=pytest.mark.slow)]
)
def test_long_list_is_shown_at_once(
    chromium: Browser, tmp_path: Path, rows: int
) -> None:
    from sendgrid_bounces.core.bounces import Bounce
    from sendgrid_bounces.storage.database import open_storage

    url = f"sqlite:///{tmp_path / 'long.sqlite3'}"
    storage = open_storage(f"{url}?synchronous=off")
    bounces = (
        Bounce(f"user{i}@example{i % 97}.com", "5.1.1", "550", "no", 1_300_000_000 + i)
        for i in range(rows)
    )
    storage.bounces.put(storage.accounts.add("long").bounce_list, bounces)
    few = [Bounce(f"u{i}@x.example", "5.1.1", "550", "no", i) for i in range(60)]
    storage.bounces.put(storage.accounts.add("short").bounce_list, few)
    storage.close()
    with serving("--workers", "1", "--database", url) as live:
        page = chromium.new_page()
        home = f"{live.url}/_emulator/ui/bounces?owner=long"
        for query in ("", "&prefix=user77", "&type=hard", "&until=2011-03-14"):
            short = _first_paint(page, home.replace("long", "short"))
            assert _first_paint(page, home + query) < 3 * short, query
        page.goto(home)
        page.get_by_role("link", name="Older").click()
        page.wait_for_url("**older=*")
        expect(page.get_by_text(f"user{rows - 51}@").first).to_be_visible()
        assert _first_paint(page, page.url) < 3 * short
        page.close()


def _first_paint(page: Page, url: str) -> float:
    """Return the milliseconds until the page is painted, the least of some attempts."""
    times = []
    for _ in range(6):
        page.goto(url)
        script = "performance.getEntriesByName('first-paint')[0]?.startTime"
        while (painted := page.evaluate(script)) is None:
            page.wait_for_timeout(20)
        times.append(painted)
    return min(times)


def test_screenshot_of_the_readme(look, live: Live) -> None:
    """Take the screenshot anew with SENDGRID_BOUNCES_TEST_SCREENSHOT=1."""
    assert re.search(
        r"image:: docs/_static/dashboard.png", (ROOT / "README.rst").read_text()
    )
    if "SENDGRID_BOUNCES_TEST_SCREENSHOT" in os.environ:
        page = look(viewport={"width": 1060, "height": 660}).open("?days=365")
        page.wait_for_timeout(500)
        page.screenshot(path=SCREENSHOT)

    head = SCREENSHOT.read_bytes()[:24]
    assert head.startswith(b"\x89PNG")
    assert SCREENSHOT.stat().st_size < 150_000
