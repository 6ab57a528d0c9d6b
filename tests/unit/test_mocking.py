"""The double in process: calls of Requests and HTTPX to the vendors' hosts."""

import asyncio
import io
import threading
import unittest
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager

import httpx
import pytest
import requests
import responses
import urllib3
from mailgun.client import Client
from requests.adapters import HTTPAdapter
from urllib3.util import Retry

from sendgrid_bounces.core.errors import ParametersError
from sendgrid_bounces.storage.bounces import BounceStore
from sendgrid_bounces.testing import EmulatorServer, interception, mock_bounces

try:  # Mailgun's SDK uses it, where there is one for this Python
    import httpx2
except ImportError:
    httpx2 = None

#: The packages of this shape.
HTTPX = {
    name: package for name, package in (("httpx", httpx), ("httpx2", httpx2)) if package
}

#: What is intercepted, as it is when nothing is.
UNTOUCHED = [
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
def _all_is_put_back():
    """No test leaves a library changed."""
    yield
    assert all(getattr(owner, name) is was for owner, name, was in UNTOUCHED)


async def _get_async(package, url: str, **options):
    async with package.AsyncClient() as client:
        return await client.get(url, **options)


def _get_in_session(url: str, **options):
    with requests.Session() as session:
        return session.get(url, **options)


#: A call of GET by each of the clients.
CLIENTS = {
    "requests": requests.get,
    "requests.Session": _get_in_session,
    **{name: package.get for name, package in HTTPX.items()},
    **{
        f"{name} async": lambda url, package=package, **options: asyncio.run(
            _get_async(package, url, **options)
        )
        for name, package in HTTPX.items()
    },
}


@pytest.fixture(name="get", params=CLIENTS)
def _get(request):
    return CLIENTS[request.param]


def _key(double) -> dict[str, str]:
    return {"api_user": double.username, "api_key": double.api_key}


@pytest.mark.parametrize(
    "host", ["sendgrid.com", "api.sendgrid.com", "WWW.sendgrid.com"]
)
def test_sendgrids_hosts_are_answered(get, host: str) -> None:
    """In whatever letter case, over TLS or not."""
    with mock_bounces() as double:
        double.add("a@example.com", status="5.1.1")
        for scheme in ("https", "http"):
            url = f"{scheme}://{host}/api/bounces.get.json"
            answer = get(url, params=_key(double))
            assert answer.json() == [
                {"status": "5.1.1", "reason": "", "email": "a@example.com"}
            ]
            assert answer.headers["Content-Type"] == "application/json"


def test_credentials_in_the_url_do_not_lead_out(get) -> None:
    """As Mailgun's documentation once had them: nothing reaches the vendor."""
    with mock_bounces(api_key="s3cret") as double:
        path = f"/v3/{double.domain}/bounces"
        for host in ("api:s3cret@api.mailgun.net", "api:s3cret@api.mailgun.net:443"):
            answer = get(f"https://{host}{path}")
            assert answer.status_code == 200
            first = answer.json()["paging"]["first"]
            assert first.startswith(f"https://api.mailgun.net{path}")


@pytest.mark.parametrize("host", ["api.mailgun.net", "api.eu.mailgun.net"])
def test_mailguns_hosts_are_answered(get, host: str) -> None:
    """With links to themselves."""
    with mock_bounces() as double:
        url = f"https://{host}/v3/{double.domain}/bounces"
        answer = get(url, auth=("api", double.api_key))
        assert answer.json()["items"] == []
        assert answer.json()["paging"]["first"].startswith(url)
        assert get(url, auth=("api", "wrong")).status_code == 401


def test_mailguns_sdk_is_answered() -> None:
    """It has its own HTTPX, and is told nothing."""
    with mock_bounces() as double:
        client = Client(auth=("api", double.api_key))
        answer = client.bounces.create(
            data={"address": "a@example.com", "code": 451}, domain=double.domain
        )
        assert answer.status_code == 200
        assert [bounce.code for bounce in double.bounces()] == ["451"]


@pytest.fixture(name="elsewhere", scope="module")
def _elsewhere():
    with EmulatorServer() as server:
        yield server.url


def test_the_rest_of_the_world_is_what_it_was(get, elsewhere: str) -> None:
    """A real server, at a host of another name."""
    with mock_bounces():
        assert get(f"{elsewhere}/_emulator/health").json()["status"] == "ok"
        assert get(f"{elsewhere}/https://sendgrid.com/").status_code == 404


@pytest.mark.parametrize(
    "url",
    ["https://sendgrid.com.example.invalid/", "https://sendgrid.community.invalid/"],
)
def test_a_host_of_a_similar_name_is_another_one(get, url: str) -> None:
    """It is not answered, but asked: it is not there."""
    with (
        mock_bounces(),
        pytest.raises(
            (requests.ConnectionError, *(p.ConnectError for p in HTTPX.values()))
        ),
    ):
        get(url)


def test_an_unusual_verb_does_not_reach_the_vendor() -> None:
    """Whatever it is, it does not leave this process."""
    with mock_bounces():
        with pytest.raises(requests.ConnectionError, match="Responses"):
            requests.request("BREW", "https://sendgrid.com/api/bounces.get.json")
        answer = httpx.request("BREW", "https://sendgrid.com/api/bounces.get.json")
        assert answer.status_code == 405


def test_clients_from_before_and_for_longer() -> None:
    """A client made before is answered inside, and none afterwards."""
    with httpx.Client(timeout=5) as client, requests.Session() as session:
        with mock_bounces() as double:
            url = f"{double.url}/api/bounces.count.json"
            assert client.get(url, params=_key(double)).json() == {"count": "0"}
            assert session.get(url, params=_key(double)).json() == {"count": "0"}
            inside = httpx.Client(base_url=double.url)
            assert inside.get("/api/nothing").status_code == 404
        inside.close()


def test_a_client_with_a_transport_of_its_own_keeps_it() -> None:
    """Somebody else's mock is left alone."""
    transport = httpx.MockTransport(lambda _: httpx.Response(418))
    with mock_bounces(), httpx.Client(transport=transport) as client:
        assert client.get("https://sendgrid.com/").status_code == 418


def test_other_mocks_around_it_and_inside_it() -> None:
    """What is not ours goes to the mock around; a mock inside wins."""
    with responses.RequestsMock() as around:
        around.get("https://example.com/", body="around")
        with mock_bounces() as double:
            assert requests.get("https://example.com/").text == "around"
            assert requests.get(f"{double.url}/api/x").status_code == 404
            with responses.RequestsMock() as inside:
                inside.get(f"{double.url}/api/x", body="inside")
                assert requests.get(f"{double.url}/api/x").text == "inside"


@mock_bounces()
def test_a_decorated_test_is_answered() -> None:
    """It need not take the double."""
    answer = requests.get("https://sendgrid.com/api/bounces.get.json")
    assert answer.status_code == 403


@mock_bounces
def test_a_decorator_needs_no_parentheses(tmp_path, sendgrid_bounces) -> None:
    """If there is nothing to say in them."""
    assert tmp_path.is_dir()
    url = "https://sendgrid.com/api/bounces.count.json"
    assert requests.get(url, _key(sendgrid_bounces)).json() == {"count": "0"}


@mock_bounces(profile="recorded", username="acme", api_key="s3cret")
def test_a_decorated_test_gets_the_double_and_fixtures(
    tmp_path, sendgrid_bounces
) -> None:
    """As it would get the fixture of this name."""
    assert tmp_path.is_dir()
    assert sendgrid_bounces.username == "acme"
    url = "https://sendgrid.com/api/bounces.count.json?api_user=acme&api_key=s3cret"
    assert requests.get(url).json() == {"count": 0}


def test_asynchronous_functions_are_decorated() -> None:
    """They are answered until they end, not only until they are called."""

    @mock_bounces()
    async def count(url: str, sendgrid_bounces) -> str:
        await asyncio.sleep(0)
        answer = await _get_async(httpx, url, params=_key(sendgrid_bounces))
        return answer.text

    assert asyncio.iscoroutinefunction(count)
    url = "https://sendgrid.com/api/bounces.count.json"
    assert asyncio.run(count(url)) == '{"count": "0"}'


class TestUnittest(unittest.TestCase):
    @mock_bounces()
    def test_a_method(self, sendgrid_bounces) -> None:
        """Of unittest's own classes; each call has a new double."""
        assert sendgrid_bounces.bounces() == []
        sendgrid_bounces.add("a@example.com")


class TestAsyncUnittest(unittest.IsolatedAsyncioTestCase):
    @mock_bounces()
    async def test_an_asynchronous_method(self, sendgrid_bounces) -> None:
        """Of unittest's own classes."""
        answer = await _get_async(httpx, f"{sendgrid_bounces.url}/api/nothing")
        assert answer.status_code == 404


def test_what_cannot_be_decorated_is_told() -> None:
    """A class, or a fixture that yields, would be left before it begins."""

    def fixture():
        yield

    async def async_fixture():
        yield

    for wrong in (fixture, async_fixture, TestUnittest):
        with pytest.raises(TypeError, match="decorates functions and methods"):
            mock_bounces()(wrong)


def test_one_inside_another_and_one_object_twice() -> None:
    """Each has an account of its own, and both are answered until the outer one ends."""
    mocking = mock_bounces()
    with mocking as outer:
        with mocking as inner:
            inner.add("a@example.com")
            url = "https://sendgrid.com/api/bounces.count.json"
            assert requests.get(url, params=_key(inner)).json() == {"count": "1"}
            assert requests.get(url, params=_key(outer)).json() == {"count": "0"}
        assert requests.get(url, params=_key(outer)).json() == {"count": "0"}
        assert requests.get(url, params=_key(inner)).status_code == 403


def test_threads_that_mock_at_the_same_time() -> None:
    """In whatever order they end: each sees its own list."""
    barrier = threading.Barrier(4)

    def one(number: int) -> list[int]:
        counts = []
        with mock_bounces() as double:
            barrier.wait()
            for n in range(number + 1):
                double.add(f"{n}@example.com")
                url = "https://sendgrid.com/api/bounces.count.json"
                count = httpx.get(url, params=_key(double)).json()["count"]
                counts.append((n, int(count)))
        return counts

    with ThreadPoolExecutor(4) as pool:
        for counts in pool.map(one, range(4)):
            assert all(n + 1 == count for n, count in counts)


def test_one_object_in_several_threads() -> None:
    """Whoever leaves it leaves what it has entered itself."""
    mocking, entered, left = mock_bounces(), threading.Barrier(2), threading.Event()

    def first() -> None:
        with mocking:
            entered.wait()
        left.set()

    with ThreadPoolExecutor(1) as pool:
        ended = pool.submit(first)
        with mocking as double:
            entered.wait()
            assert left.wait(30)
            assert double.bounces() == []
        ended.result()


def test_control_is_there_in_process() -> None:
    """Though the vendors' names are public."""
    with mock_bounces() as double:
        double.add("a@example.com")
        answer = requests.post(f"{double.url}/_emulator/reset", timeout=30)
        assert answer.json()["bounces"] == 0


def test_a_time_out_may_be_urllib3s() -> None:
    """Requests takes it, too."""
    with mock_bounces() as double:
        for patience in (urllib3.Timeout(30), urllib3.Timeout(connect=1), (1, None)):
            url = f"{double.url}/api/bounces.count.json"
            answer = requests.get(url, _key(double), timeout=patience)
            assert answer.json() == {"count": "0"}


@pytest.mark.parametrize("given", [{"usrname": "x"}, {"database": "x"}])
def test_an_option_that_there_is_not_is_told_at_once(given: dict) -> None:
    """Where it is given, with those that there are."""
    with pytest.raises(TypeError, match="takes profile, seed, username"):
        mock_bounces(**given)
    with pytest.raises(TypeError, match="by name"):
        mock_bounces("recorded")


def test_a_mistake_in_the_emulator_is_raised(monkeypatch) -> None:
    """Where the context ends; its client hears of a 500."""
    monkeypatch.setattr(BounceStore, "count", lambda *_: 1 // 0)
    with pytest.raises(ZeroDivisionError), mock_bounces() as double:  # noqa: PT012
        url = f"{double.url}/api/bounces.count.json"
        assert requests.get(url, params=_key(double)).status_code == 500


def test_what_fails_inside_is_put_back() -> None:
    """And a wrong option, too."""
    with pytest.raises(KeyError), mock_bounces():
        raise KeyError
    with pytest.raises(ParametersError), mock_bounces(profile="x"):
        pass


@pytest.mark.parametrize(
    ("installed", "words"),
    [((), "neither is installed"), (("requests",), "pip install 'sendgrid-bounces")],
)
def test_a_library_that_is_missing_is_told(monkeypatch, installed, words) -> None:
    """With what to do."""
    monkeypatch.setitem(__import__("sys").modules, "responses", None)
    monkeypatch.setattr(interception, "find_spec", lambda name: name in installed)
    with pytest.raises(RuntimeError, match=words), mock_bounces():
        pass


#: How each client says what went wrong with the connection.
DROPPED = {
    "requests": requests.ConnectionError,
    **{name: package.RemoteProtocolError for name, package in HTTPX.items()},
}
CUT = {**DROPPED, "requests": requests.exceptions.ChunkedEncodingError}
LATE = {
    "requests": requests.ReadTimeout,
    **{name: package.ReadTimeout for name, package in HTTPX.items()},
}


@pytest.mark.parametrize("real", [True, False], ids=["real", "in process"])
@pytest.mark.parametrize("name", CLIENTS)
def test_faults_are_those_of_a_network(name: str, real: bool) -> None:
    """The exceptions that a client sees are those that a real server makes it see."""
    get = CLIENTS[name]
    package = name.split(".")[0].split(" ")[0]
    with ExitStack() as stack:
        if real:
            double = stack.enter_context(EmulatorServer()).double()
            stack.enter_context(double)
        else:
            double = stack.enter_context(mock_bounces())
        for n in range(2):
            double.add(f"{n}@example.com", reason="r" * 1_000)
        url = f"{double.url}/api/bounces.get.json"
        double.fail_next(503, 2, retry_after=7)
        for _ in range(2):
            answer = get(url, params=_key(double), timeout=10)
            assert (answer.status_code, answer.headers["Retry-After"]) == (503, "7")
        for errors, effect, timeout in (
            (DROPPED, {"drop_connection": True}, 10),
            (DROPPED, {"drop_connection": "after"}, 10),
            (CUT, {"truncate": True}, 10),
            (CUT, {"truncate": 0}, 10),
            (LATE, {"latency_ms": 400}, 0.2),
        ):
            double.fail_next(**effect)
            with pytest.raises(errors[package]):
                get(url, params=_key(double), timeout=timeout)
            assert len(get(url, params=_key(double), timeout=10).json()) == 2
        double.fail_next(malformed=True)
        with pytest.raises(ValueError, match="line|Unterminated|char"):
            get(url, params=_key(double)).json()


def test_retries_are_the_clients_own() -> None:
    """Requests tries again what it is told to try again."""
    session = requests.Session()
    retry = Retry(total=2, status_forcelist=[403], raise_on_status=False)
    session.mount("https://", HTTPAdapter(max_retries=retry))
    with mock_bounces():
        assert (
            session.get("https://sendgrid.com/api/bounces.get.json").status_code == 403
        )


#: A request of each kind that reaches the application differently.
REQUESTS = {
    "query": {
        "params": [("email[]", "a@x.com"), ("email[]", "b+c@x.com"), ("ä", "ü €")]
    },
    "form": {"data": [("email", "ä@x.com"), ("email", "b c@x.com")]},
    "multipart": {"files": {"file": ("bounces.csv", b"address\r\na@\xff\x00")}},
    "basic": {"auth": ("us:er", "pä:ss")},
    "json": {"json": [{"address": "ü@x.com"}]},
    "bytes": {"data": b"\x00\xff\r\n"},
    "stream": {"data": io.BytesIO(b"x" * 100_000)},
    "headers": {"headers": {"X-Own": "a, b", "Accept": "*/*", "User-Agent": "t"}},
    "nothing": {},
}

#: What may differ: where it is, and the connection.
DIFFERENT = {
    *("SERVER_NAME", "SERVER_PORT", "SERVER_SOFTWARE", "HTTP_HOST", "REMOTE_PORT"),
    *("REMOTE_ADDR", "HTTP_CONNECTION"),
}


class _Recorder:
    """A WSGI application that keeps what arrives."""

    def __init__(self, app) -> None:
        self.app = app
        self.seen: list[dict] = []

    def __call__(self, environ, start_response):
        length = environ.get("CONTENT_LENGTH")
        body = environ["wsgi.input"].read(*([int(length)] if length else []))
        if not length and "HTTP_TRANSFER_ENCODING" not in environ:
            body = b""
        facts = {k: v for k, v in environ.items() if k.isupper() and k not in DIFFERENT}
        self.seen.append({**facts, "body": body})
        start_response(
            "200 OK",
            [
                ("Content-Type", "text/plain"),
                ("Set-Cookie", "a=b"),
                ("Set-Cookie", "c=d"),
                ("Content-Length", "2"),
            ],
        )
        return [b"ok"]


@contextmanager
def _recorded(monkeypatch, real: bool):
    """Yield (base URL, what arrives there), at a real server or in process."""
    recorder = _Recorder(None)
    monkeypatch.setattr(
        "sendgrid_bounces.testing.app.TestApp.__call__", recorder.__call__
    )
    if real:
        with EmulatorServer() as server:
            yield server.url, recorder.seen
    else:
        with mock_bounces():
            yield "http://sendgrid.com", recorder.seen


def _send(kind: str, client, url: str):
    options = dict(REQUESTS[kind])
    if kind == "stream":
        pieces = [b"x" * 10_000] * 10
        options = {"data" if client is requests else "content": iter(pieces)}
    elif client is not requests and kind == "bytes":
        options = {"content": options["data"]}
    elif client is not requests and kind == "form":
        options = {"data": {"email": [value for _, value in options["data"]]}}
    if kind == "multipart":
        boundary = {"Content-Type": "multipart/form-data; boundary=xx"}
        options = (
            {**options, "headers": boundary} if client is not requests else options
        )
    return client.post(url, **options)


@pytest.mark.parametrize("kind", REQUESTS)
@pytest.mark.parametrize(
    "client", [requests, *HTTPX.values()], ids=["requests", *HTTPX]
)
def test_what_arrives_is_what_would_arrive(monkeypatch, kind: str, client) -> None:
    """To the byte: path, query, headers and body, and the answer's headers."""
    path = "/v3/d/bounces/%61%2Fb+c%C3%A4;x=1//~'!"
    arrived, heard = [], []
    monkeypatch.setattr(
        "requests.models.encode_multipart_formdata",
        lambda fields: _multipart(fields),
        raising=False,
    )
    for real in (True, False):
        with _recorded(monkeypatch, real) as (base, seen):
            answer = _send(kind, client, base + path)
            arrived += seen
            heard.append(
                (
                    answer.status_code,
                    answer.content,
                    answer.headers["Set-Cookie"],
                    dict(answer.cookies),
                )
            )

    assert arrived[0] == arrived[1]
    assert arrived[0]["RAW_URI"].startswith("/v3/d/bounces/")
    assert heard[0] == heard[1]


def _multipart(fields):
    from urllib3.filepost import encode_multipart_formdata

    return encode_multipart_formdata(fields, boundary="xx")
