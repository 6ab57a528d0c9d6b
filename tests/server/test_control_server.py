"""Control endpoints of real servers: shared by all workers, protected by a token."""

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

#: Connections after which each of two workers has very probably served one.
CONNECTIONS = 24


def call(
    live: Live, method: str, target: str, body: object = None, **headers: str
) -> tuple[int, dict]:
    """Make a request on a new connection; return the status and the JSON response."""
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
    """The name of a seed file in the working directory."""
    bounces = [{"email": f"{n}@example.com"} for n in range(3)]
    account = {"username": "acme", "api_key": "s3cret", "bounces": bounces}
    (tmp_path / "seed.json").write_text(json.dumps({"accounts": [account]}))
    monkeypatch.chdir(tmp_path)
    return "seed.json"


def _check_sharing(first: Live, others: list[Live]) -> None:
    """Check that connections to all servers see the changes through *first*."""

    def everywhere(target: str) -> dict:
        responses = [call(live, "GET", target)[1] for live in others * CONNECTIONS]
        for response in responses:
            if response.get("frozen") is False:
                del response["now"]  # the clock runs
        assert all(response == responses[0] for response in responses)
        return responses[0]

    frozen = {"now": "2012-02-15T12:00:00Z", "frozen": True}
    change = {"action": "freeze", "instant": frozen["now"]}
    assert call(first, "PUT", "/_emulator/clock", change) == (200, frozen)
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


def test_changes_are_visible_to_all_workers(database_url: str, seed: str) -> None:
    """One worker makes each change, and both read the result."""
    with serving("--database", database_url, "--seed", seed, "--workers", "2") as live:
        _check_sharing(live, [live])
        _out, err = kill(live.process)
    lines = err.splitlines()
    assert [line.partition(" ")[0] for line in lines] == ["Using", "Dashboard:"]


def test_changes_are_visible_to_all_servers(database_url: str, seed: str) -> None:
    """Two servers share one database."""
    arguments = ("--database", database_url, "--seed", seed, "--workers", "1")
    with ExitStack() as stack:
        one, two = (stack.enter_context(serving(*arguments)) for _ in range(2))
        _check_sharing(one, [two])
        _check_sharing(two, [one])


def test_every_worker_can_reset(url: str, seed: str, tmp_path: Path) -> None:
    """A reset reads the seed files from disk."""
    with serving("--database", url, "--seed", seed, "--workers", "2") as live:
        for number in range(CONNECTIONS):
            account = {"username": f"acme{number}"}
            (tmp_path / seed).write_text(json.dumps({"accounts": [account]}))
            status, counts = call(live, "POST", "/_emulator/reset")
            assert (status, counts["accounts"], counts["bounces"]) == (200, 1, 0)


def test_token_is_kept_secret(url: str) -> None:
    """The token is absent from the output and from the command line."""
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


def test_serve_without_control_endpoints(url: str) -> None:
    """Both the option and the environment variable work."""
    with serving("--database", url, "--control", "off") as live:
        assert call(live, "GET", "/_emulator/clock")[0] == 404
        assert call(live, "GET", "/_emulator/health")[0] == 200
    with serving("--database", url, SENDGRID_BOUNCES_CONTROL="off") as live:
        assert call(live, "POST", "/_emulator/reset")[0] == 404


@pytest.mark.parametrize("control", ["auto", "on"])
def test_gunicorn_has_control_endpoints_with_a_token(
    url: str, seed: str, tmp_path: Path, control: str
) -> None:
    """A reset loads the seed files, although the parent process loaded the first time."""
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
    """Gunicorn ignores the setting HOST and could listen on any address."""
    with gunicorn("wsgi:app", "-w", "1", **named(DATABASE_URL=url)) as live:
        assert live.when_up("/_emulator/health")
        assert call(live, "POST", "/_emulator/reset")[0] == 404


def test_clients_do_not_set_the_path_of_the_application() -> None:
    """Gunicorn would take a header SCRIPT_NAME of this machine for a proxy's."""
    with serving("--demo") as live:
        status, health = call(
            live, "GET", "/_emulator/health", SCRIPT_NAME="/_emulator"
        )

    assert (status, health["status"]) == (200, "ok")
