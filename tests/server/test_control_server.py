"""Control of real servers: seen by all workers, and only there where it is safe."""

import json
import urllib.error
import urllib.request
from contextlib import ExitStack
from pathlib import Path

import pytest
from live import TIMEOUT, Live, gunicorn, kill, named, serving

pytestmark = pytest.mark.server

TOKEN = "t0ken-of-the-test"
CREDENTIALS = "api_user=acme&api_key=s3cret"
COUNT = f"/api/bounces.count.json?{CREDENTIALS}"
ADD = "/v2/mg.example.com/bounces"

#: Connections that are made to meet each of two workers.
CONNECTIONS = 24


def call(
    live: Live, method: str, target: str, body: object = None, **headers: str
) -> tuple[int, dict]:
    """Make a call on a connection of its own; return its status and answer."""
    request = urllib.request.Request(  # noqa: S310 - http, always
        live.url + target,
        method=method,
        headers=headers,
        data=None if body is None else json.dumps(body).encode(),
    )
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT) as answer:  # noqa: S310
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read())


@pytest.fixture(name="seed")
def _seed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A seed file, by its name in the folder that servers are started in."""
    bounces = [{"email": f"{n}@example.com"} for n in range(3)]
    account = {"username": "acme", "api_key": "s3cret", "bounces": bounces}
    (tmp_path / "seed.json").write_text(json.dumps({"accounts": [account]}))
    monkeypatch.chdir(tmp_path)
    return "seed.json"


def _change_and_look(first: Live, others: list[Live]) -> None:
    """Do everything at *first*; look on many connections to *others*."""

    def everywhere(target: str) -> dict:
        answers = [call(live, "GET", target)[1] for live in others * CONNECTIONS]
        for answer in answers:
            if answer.get("frozen") is False:
                del answer["now"]  # it runs
        assert all(answer == answers[0] for answer in answers)
        return answers[0]

    frozen = {"now": "2012-02-15T12:00:00Z", "frozen": True}
    order = {"action": "freeze", "instant": frozen["now"]}
    assert call(first, "PUT", "/_emulator/clock", order) == (200, frozen)
    assert everywhere("/_emulator/clock") == frozen
    call(first, "PUT", "/_emulator/snapshots/before")
    assert len(everywhere("/_emulator/snapshots")["snapshots"]) == 1
    call(first, "POST", "/_emulator/reset?to=empty")
    assert "error" in everywhere(COUNT)["message"]
    assert everywhere("/_emulator/clock") == {"frozen": False}
    call(first, "POST", "/_emulator/snapshots/before/restore")
    assert everywhere(COUNT) == {"count": "3"}
    assert everywhere("/_emulator/clock") == frozen
    more = {"accounts": [{"username": "acme", "bounces": [{"email": "x@example.com"}]}]}
    call(first, "POST", "/_emulator/seed", more)
    assert everywhere(COUNT) == {"count": "4"}
    call(first, "POST", "/_emulator/reset")
    assert everywhere(COUNT) == {"count": "3"}


def test_all_workers_see_it(database_url: str, seed: str) -> None:
    """Whichever answers."""
    with serving("--database", database_url, "--seed", seed, "--workers", "2") as live:
        _change_and_look(live, [live])
        _out, err = kill(live.process)
    assert err == ""


def test_all_servers_see_it(database_url: str, seed: str) -> None:
    """And each of them can change it."""
    arguments = ("--database", database_url, "--seed", seed, "--workers", "1")
    with ExitStack() as stack:
        one, two = (stack.enter_context(serving(*arguments)) for _ in range(2))
        _change_and_look(one, [two])
        _change_and_look(two, [one])


def test_every_worker_can_reset(url: str, seed: str, tmp_path: Path) -> None:
    """They all know the seed files, which are read anew."""
    with serving("--database", url, "--seed", seed, "--workers", "2") as live:
        for number in range(CONNECTIONS):
            account = {"username": f"acme{number}"}
            (tmp_path / seed).write_text(json.dumps({"accounts": [account]}))
            status, counts = call(live, "POST", "/_emulator/reset")
            assert (status, counts["accounts"], counts["bounces"]) == (200, 1, 0)


def test_a_token_reaches_the_workers_and_nobody_else(url: str) -> None:
    """It is not printed, and in no argument."""
    with serving(
        "--database", url, "--workers", "2", SENDGRID_BOUNCES_CONTROL_TOKEN=TOKEN
    ) as live:
        for _ in range(CONNECTIONS):
            assert call(live, "GET", "/_emulator/clock")[0] == 401
            header = {"Authorization": f"Bearer {TOKEN}"}
            assert call(live, "GET", "/_emulator/clock", **header)[0] == 200
        pid = live.process.pid
        command = Path(f"/proc/{pid}/cmdline").read_text()
        out, err = kill(live.process)
    assert TOKEN not in out + err + command


def test_serve_can_be_told(url: str) -> None:
    """--control off, and the variable."""
    with serving("--database", url, "--control", "off") as live:
        assert call(live, "GET", "/_emulator/clock")[0] == 404
        assert call(live, "GET", "/_emulator/health")[0] == 200
    with serving("--database", url, SENDGRID_BOUNCES_CONTROL="off") as live:
        assert call(live, "POST", "/_emulator/reset")[0] == 404


@pytest.mark.parametrize("control", ["auto", "on"])
def test_gunicorn_has_control_endpoints_with_a_token(
    url: str, seed: str, tmp_path: Path, control: str
) -> None:
    """A reset loads the seed files, although the workers did not load them."""
    variables = named(
        DATABASE_URL=url,
        SEED=str(tmp_path / seed),
        CONTROL=control,
        CONTROL_TOKEN=TOKEN,
    )
    header = {"Authorization": f"Bearer {TOKEN}"}
    with gunicorn("wsgi:app", "-w", "2", **variables) as live:
        assert live.when_up(COUNT) == '{"count": "3"}'
        assert call(live, "POST", "/_emulator/reset")[0] == 401
        for _ in range(CONNECTIONS):
            assert live.get(f"/api/bounces.delete.json?{CREDENTIALS}")
            status, counts = call(live, "POST", "/_emulator/reset", **header)
            assert (status, counts["bounces"]) == (200, 3)
        out, err = kill(live.process)
    assert TOKEN not in out + err


def test_gunicorn_without_a_token_has_no_control_endpoints(url: str) -> None:
    """Gunicorn can listen anywhere, whatever the setting HOST says."""
    with gunicorn("wsgi:app", "-w", "1", **named(DATABASE_URL=url)) as live:
        assert live.when_up("/_emulator/health")
        assert call(live, "POST", "/_emulator/reset")[0] == 404
