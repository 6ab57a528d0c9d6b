"""The in-process mock: Requests and HTTPX against the vendors' hosts."""

import asyncio
import os
import subprocess
import sys
import threading
import unittest
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import httpx
import pytest
import requests
import responses
import urllib3
from clients import CLIENTS, CONTEXT, HTTPX, api_key, get_async
from flask import Blueprint
from mailgun.client import Client
from requests.adapters import HTTPAdapter
from urllib3.util import Retry
from werkzeug.wrappers import Response

from sendgrid_bounces.app import DIALECTS
from sendgrid_bounces.core.errors import ParametersError
from sendgrid_bounces.core.requests import RequestInfo
from sendgrid_bounces.storage.bounces import BounceStore
from sendgrid_bounces.testing import EmulatorServer, interception, mock_bounces
from sendgrid_bounces.testing.app import TestApp
from sendgrid_bounces.web.dialect import Dialect

#: The intercepted methods, before interception: (class, name, method).
ORIGINALS = [
    (owner, name, getattr(owner, name))
    for owner, name in (
        (HTTPAdapter, "send"),
        *((package.HTTPTransport, "handle_request") for package in HTTPX.values()),
        *(
            (package.AsyncHTTPTransport, "handle_async_request")
            for package in HTTPX.values()
        ),
    )
]


@pytest.fixture(autouse=True)
def _methods_are_restored():
    """Check after each test that no HTTP library is patched."""
    yield
    assert all(getattr(owner, name) is method for owner, name, method in ORIGINALS)


@pytest.fixture(name="get", params=CLIENTS)
def _get(request):
    return CLIENTS[request.param]


@pytest.mark.parametrize("host", ["api.sendgrid.com", "API.eu.sendgrid.com:443"])
def test_other_call_of_sendgrid_gets_its_error(get, host: str) -> None:
    """The host decides, since both vendors have paths that begin with ``/v3/``."""
    with mock_bounces() as account:
        sent = get(f"https://{host}/v3/mail/send")
        (logged,) = account.control.requests(1)
        mailgun = get("https://api.mailgun.net/v3/mail/send")

    error = '{"errors":[{"field":null,"message":"resource not found"}]}'
    assert (sent.status_code, sent.text) == (404, error)
    assert logged.dialect == "sendgrid.v3"
    assert "field" not in mailgun.text


@pytest.mark.parametrize(
    "host", ["sendgrid.com", "api.sendgrid.com", "WWW.sendgrid.com"]
)
def test_sendgrid_hosts_are_intercepted(get, host: str) -> None:
    """Letter case and scheme do not matter."""
    with mock_bounces() as account:
        account.add("a@example.com", status="5.1.1")
        for scheme in ("https", "http"):
            url = f"{scheme}://{host}/api/bounces.get.json"
            answer = get(url, params=api_key(account))
            assert answer.json() == [
                {"status": "5.1.1", "reason": "", "email": "a@example.com"}
            ]
            assert answer.headers["Content-Type"] == "application/json"


def test_url_with_credentials_is_intercepted(get) -> None:
    """Mailgun's documentation once had credentials in its URLs."""
    with mock_bounces(api_key="s3cret") as account:
        path = f"/v3/{account.domain}/bounces"
        for host in ("api:s3cret@api.mailgun.net", "api:s3cret@api.mailgun.net:443"):
            answer = get(f"https://{host}{path}")
            assert answer.status_code == 200
            first = answer.json()["paging"]["first"]
            assert first.startswith(f"https://api.mailgun.net{path}")


@pytest.mark.parametrize("host", ["api.mailgun.net", "api.eu.mailgun.net"])
def test_mailgun_hosts_are_intercepted(get, host: str) -> None:
    """Paging links have the requested host."""
    with mock_bounces() as account:
        url = f"https://{host}/v3/{account.domain}/bounces"
        answer = get(url, auth=("api", account.api_key))
        assert answer.json()["items"] == []
        assert answer.json()["paging"]["first"].startswith(url)
        assert get(url, auth=("api", "wrong")).status_code == 401


def test_mailgun_sdk_is_intercepted() -> None:
    """It needs no configuration, and may use HTTPX 2."""
    with mock_bounces() as account:
        client = Client(auth=("api", account.api_key))
        answer = client.bounces.create(
            data={"address": "a@example.com", "code": 451}, domain=account.domain
        )
        assert answer.status_code == 200
        assert [bounce.code for bounce in account.bounces()] == ["451"]


@pytest.fixture(name="elsewhere", scope="module")
def _elsewhere():
    with EmulatorServer() as server:
        yield server.url


def test_other_hosts_are_not_intercepted(get, elsewhere: str) -> None:
    """A vendor's URL in the path of another host does not matter."""
    with mock_bounces():
        assert get(f"{elsewhere}/_emulator/health").json()["status"] == "ok"
        assert get(f"{elsewhere}/https://sendgrid.com/").status_code == 404


def test_intercepted_hosts_are_an_argument(get) -> None:
    """Any WSGI application can answer for any hosts."""
    with interception.intercept(Response("toy"), ("api.toy.example", "toy.example")):
        for host in ("api.toy.example", "TOY.example.:8000"):
            assert get(f"https://{host}/bounces").text == "toy"


@pytest.fixture(name="toy")
def _toy() -> Dialect:
    """A dialect with one route."""
    blueprint = Blueprint("toy", __name__)
    blueprint.get("/toy/ping")(lambda: "pong")
    return Dialect(
        name="toy.v1",
        blueprint=blueprint,
        owns=("/toy/",),
        operations=("ping",),
        render_error=lambda status, *_: Response(status=status),
        read_request_info=lambda: RequestInfo("toy.v1", "GET", "/toy/ping", "ping"),
        hosts=("api.toy.example",),
        key_pattern=r"\btoy-[0-9]{4}",
    )


def test_hosts_and_keys_of_an_added_dialect_are_known(toy: Dialect) -> None:
    """Its host is intercepted, and its keys are redacted in the request log."""
    test_app = TestApp(dialects=(*DIALECTS, toy))
    with closing(test_app), interception.intercept(test_app, test_app.hosts):
        assert (
            requests.get("https://api.toy.example/toy/ping?q=toy-1234").text == "pong"
        )
        (entry,) = test_app.control.requests()
        assert (entry.dialect, entry.operation) == ("toy.v1", "ping")
        assert entry.parameters == {"q": "***"}


@pytest.mark.parametrize(
    "url",
    ["https://sendgrid.com.example.invalid/", "https://sendgrid.community.invalid/"],
)
def test_similar_hosts_are_not_intercepted(get, url: str) -> None:
    """The request fails, since the host does not exist."""
    with (
        mock_bounces(),
        pytest.raises(
            (requests.ConnectionError, *(p.ConnectError for p in HTTPX.values()))
        ),
    ):
        get(url)


def test_unknown_method_does_not_reach_the_vendor() -> None:
    """Requests raises an error, and HTTPX receives a 405."""
    with mock_bounces():
        with pytest.raises(requests.ConnectionError, match="Responses"):
            requests.request("BREW", "https://sendgrid.com/api/bounces.get.json")
        answer = httpx.request("BREW", "https://sendgrid.com/api/bounces.get.json")
        assert answer.status_code == 405


def test_existing_clients_are_intercepted() -> None:
    """A client may be created before the mock, and closed after it."""
    with (
        httpx.Client(timeout=5, verify=CONTEXT) as client,
        requests.Session() as session,
    ):
        with mock_bounces() as account:
            url = f"{account.url}/api/bounces.count.json"
            assert client.get(url, params=api_key(account)).json() == {"count": "0"}
            assert session.get(url, params=api_key(account)).json() == {"count": "0"}
            inside = httpx.Client(base_url=account.url, verify=CONTEXT)
            assert inside.get("/api/nothing").status_code == 404
        inside.close()


def test_custom_transport_is_not_intercepted() -> None:
    """HTTPX's own mock transport keeps working."""
    transport = httpx.MockTransport(lambda _: httpx.Response(418))
    with mock_bounces(), httpx.Client(transport=transport) as client:
        assert client.get("https://sendgrid.com/").status_code == 418


def test_mocks_of_responses_can_be_nested() -> None:
    """An outer mock receives requests to other hosts; an inner mock takes precedence."""
    with responses.RequestsMock() as outer:
        outer.get("https://example.com/", body="outer")
        with mock_bounces() as account:
            assert requests.get("https://example.com/").text == "outer"
            assert requests.get(f"{account.url}/api/x").status_code == 404
            with responses.RequestsMock() as inner:
                inner.get(f"{account.url}/api/x", body="inner")
                assert requests.get(f"{account.url}/api/x").text == "inner"


@mock_bounces()
def test_decorated_function_needs_no_parameter() -> None:
    """The test account is then unused."""
    answer = requests.get("https://sendgrid.com/api/bounces.get.json")
    assert answer.status_code == 403


@mock_bounces
def test_decorator_needs_no_parentheses(tmp_path, sendgrid_bounces) -> None:
    """Without parentheses there are no options."""
    assert tmp_path.is_dir()
    url = "https://sendgrid.com/api/bounces.count.json"
    assert requests.get(url, api_key(sendgrid_bounces)).json() == {"count": "0"}


@mock_bounces(profile="recorded", username="acme", api_key="s3cret")
def test_decorated_test_receives_the_account_and_fixtures(
    tmp_path, sendgrid_bounces
) -> None:
    """The parameter sendgrid_bounces is not the fixture of the same name."""
    assert tmp_path.is_dir()
    assert sendgrid_bounces.username == "acme"
    url = "https://sendgrid.com/api/bounces.count.json?api_user=acme&api_key=s3cret"
    assert requests.get(url).json() == {"count": 0}


def test_asynchronous_function_can_be_decorated() -> None:
    """The mock stays active until the coroutine ends."""

    @mock_bounces()
    async def count(url: str, sendgrid_bounces) -> str:
        await asyncio.sleep(0)
        answer = await get_async(httpx, url, params=api_key(sendgrid_bounces))
        return answer.text

    assert asyncio.iscoroutinefunction(count)
    url = "https://sendgrid.com/api/bounces.count.json"
    assert asyncio.run(count(url)) == '{"count": "0"}'


class TestUnittest(unittest.TestCase):
    @mock_bounces()
    def test_method_can_be_decorated(self, sendgrid_bounces) -> None:
        """Each call has a new test account."""
        assert sendgrid_bounces.bounces() == []
        sendgrid_bounces.add("a@example.com")


class TestAsyncUnittest(unittest.IsolatedAsyncioTestCase):
    @mock_bounces()
    async def test_asynchronous_method_can_be_decorated(self, sendgrid_bounces) -> None:
        """IsolatedAsyncioTestCase runs it in an event loop."""
        answer = await get_async(httpx, f"{sendgrid_bounces.url}/api/nothing")
        assert answer.status_code == 404


def test_classes_and_generators_cannot_be_decorated() -> None:
    """The mock would end before their body runs."""

    def fixture():
        yield

    async def async_fixture():
        yield

    for unsupported in (fixture, async_fixture, TestUnittest):
        with pytest.raises(TypeError, match="cannot decorate a class or a generator"):
            mock_bounces()(unsupported)


def test_mocks_can_be_nested() -> None:
    """Each use of one object has its own account until it ends."""
    mocking = mock_bounces()
    with mocking as outer:
        with mocking as inner:
            inner.add("a@example.com")
            url = "https://sendgrid.com/api/bounces.count.json"
            assert requests.get(url, params=api_key(inner)).json() == {"count": "1"}
            assert requests.get(url, params=api_key(outer)).json() == {"count": "0"}
        assert requests.get(url, params=api_key(outer)).json() == {"count": "0"}
        assert requests.get(url, params=api_key(inner)).status_code == 403


def test_threads_can_mock_concurrently() -> None:
    """Each thread has its own list until it ends."""
    barrier = threading.Barrier(4)

    def run(number: int) -> list[int]:
        counts = []
        with mock_bounces() as account:
            barrier.wait()
            for n in range(number + 1):
                account.add(f"{n}@example.com")
                url = "https://sendgrid.com/api/bounces.count.json"
                count = httpx.get(url, params=api_key(account), verify=CONTEXT).json()[
                    "count"
                ]
                counts.append((n, int(count)))
        return counts

    with ThreadPoolExecutor(4) as pool:
        for counts in pool.map(run, range(4)):
            assert all(n + 1 == count for n, count in counts)


def test_one_object_can_be_used_by_several_threads() -> None:
    """Leaving the context in one thread keeps the account of another thread."""
    mocking, entered, left = mock_bounces(), threading.Barrier(2), threading.Event()

    def first() -> None:
        with mocking:
            entered.wait()
        left.set()

    with ThreadPoolExecutor(1) as pool:
        ended = pool.submit(first)
        with mocking as account:
            entered.wait()
            assert left.wait(30)
            assert account.bounces() == []
        ended.result()


def test_one_object_can_be_used_by_several_tasks() -> None:
    """Each leaves its own context, in any order."""
    mock = mock_bounces()

    async def use(begin: float, end: float) -> bool:
        await asyncio.sleep(begin)
        with mock as account:
            await asyncio.sleep(end)
            account.add("a@example.com")
            return [bounce.email for bounce in account.bounces()] == ["a@example.com"]

    async def main() -> list[bool]:
        return await asyncio.gather(use(0, 0.02), use(0.01, 0.05), use(0, 0.04))

    assert asyncio.run(main()) == [True] * 3


def test_mock_can_end_in_another_thread() -> None:
    """Frameworks run the ends of a fixture in a pool of threads."""
    mock = mock_bounces()
    with ThreadPoolExecutor(1) as pool:
        pool.submit(mock.__enter__).result()
    with ThreadPoolExecutor(1) as pool:
        pool.submit(mock.__exit__, None, None, None).result()


FORK = """
import os, sys
from sendgrid_bounces.testing import EmulatorServer, mock_bounces
if sys.argv[1] == "mock":
    opened = mock_bounces()
    account = opened.__enter__()
else:
    opened = EmulatorServer().start()
    account = opened.double()
if not os.fork():
    if sys.argv[2] == "close":
        account.close()
        opened.__exit__(None, None, None)
    sys.exit(3)
assert os.waitstatus_to_exitcode(os.wait()[1]) == 3
account.add("a@example.com")
assert len(account.bounces()) == 1
account.close()
opened.__exit__(None, None, None)
"""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork()")
@pytest.mark.parametrize("end", ["close", "exit"])
@pytest.mark.parametrize("kind", ["mock", "server"])
def test_end_of_a_forked_process_changes_nothing(kind: str, end: str) -> None:
    """The code under test may be a server with several processes."""
    subprocess.run([sys.executable, "-c", FORK, kind, end], check=True, timeout=60)


def test_control_endpoints_answer_in_process() -> None:
    """They reject public host names only on a network."""
    with mock_bounces() as account:
        account.add("a@example.com")
        answer = requests.post(f"{account.url}/_emulator/reset", timeout=30)
        assert answer.json()["bounces"] == 0


def test_every_form_of_timeout_is_accepted() -> None:
    """Requests takes numbers, pairs and urllib3.Timeout."""
    with mock_bounces() as account:
        for timeout in (urllib3.Timeout(30), urllib3.Timeout(connect=1), (1, None), 9):
            url = f"{account.url}/api/bounces.count.json"
            answer = requests.get(url, api_key(account), timeout=timeout)
            assert answer.json() == {"count": "0"}


@pytest.mark.parametrize("given", [{"usrname": "x"}, {"database": "x"}])
def test_unknown_option_is_an_error(given: dict) -> None:
    """The error is raised at once, with a similar name or the valid arguments."""
    with pytest.raises(TypeError, match=r"did you mean username|valid arguments: prof"):
        mock_bounces(**given)
    with pytest.raises(TypeError, match="keyword arguments only"):
        mock_bounces("recorded")


def test_exception_in_the_emulator_is_raised(monkeypatch) -> None:
    """The context raises it when it ends; the client receives a 500."""
    monkeypatch.setattr(BounceStore, "count", lambda *_: 1 // 0)
    with pytest.raises(ZeroDivisionError), mock_bounces() as account:  # noqa: PT012
        url = f"{account.url}/api/bounces.count.json"
        assert requests.get(url, params=api_key(account)).status_code == 500


def test_interception_ends_after_an_exception() -> None:
    """An invalid option, too, leaves the HTTP libraries unpatched."""
    with pytest.raises(KeyError), mock_bounces():
        raise KeyError
    with pytest.raises(ParametersError), mock_bounces(profile="x"):
        pass


@pytest.mark.parametrize(
    ("installed", "message"),
    [((), "neither is installed"), (("requests",), "pip install responses")],
)
def test_missing_library_is_an_error(monkeypatch, installed, message) -> None:
    """The error says how to fix it."""
    monkeypatch.setitem(__import__("sys").modules, "responses", None)
    monkeypatch.setattr(interception, "find_spec", lambda name: name in installed)
    with pytest.raises(RuntimeError, match=message), mock_bounces():
        pass


def test_retries_of_requests_are_limited() -> None:
    """A session with retries returns the last response when they are used up."""
    session = requests.Session()
    retry = Retry(total=2, status_forcelist=[403], raise_on_status=False)
    session.mount("https://", HTTPAdapter(max_retries=retry))
    with mock_bounces():
        assert (
            session.get("https://sendgrid.com/api/bounces.get.json").status_code == 403
        )
