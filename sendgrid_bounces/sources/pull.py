"""Read the suppressions of a live SendGrid account over its v3 API, by GET only.

A period is read in windows, each of which is complete or marked as incomplete: pages
are found by offset, so rows that vanish between two pages move the later rows.
"""

import json
import socket
import statistics
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.cookiejar import CookieJar
from typing import TYPE_CHECKING, Any

from sendgrid_bounces.core.bounces import MAX_LENGTHS, Bounce, fold
from sendgrid_bounces.core.errors import BounceError, ParametersError
from sendgrid_bounces.core.hosts import is_loopback
from sendgrid_bounces.core.json_limits import MAX_VALUES, has_too_many_values

if TYPE_CHECKING:
    import httpx
    import tenacity

API_URL = "https://api.sendgrid.com"

#: The lists of the API that rows are read from.
LISTS = ("bounces", "blocks")

#: Rows per page, the maximum of the API. Consecutive pages overlap by one row.
PAGE = 500

#: Pages after which a window is divided, and after which a window of one second is
#: given up.
MAX_PAGES, MAX_PAGES_OF_A_SECOND = 20, 2_000

#: Reads of a window whose rows move, after which the window counts as incomplete.
MAX_READS = 5

#: Attempts of a request, and the shortest and longest pause between two, in seconds.
MAX_ATTEMPTS = 10
MIN_PAUSE, MAX_PAUSE = 0.5, 60.0

#: The longest wait for a rate limit, and the assumed difference of the clocks, in
#: seconds.
MAX_LIMIT_PAUSE, CLOCK_SKEW = 600, 1

#: The maximum size of a page in bytes.
MAX_BODY = 16 * 1024 * 1024

#: Bytes of the reasons in a window, which is in memory as a whole.
MAX_TEXT = 256 * 1024 * 1024

#: Seconds for a part of a response, and for all of it.
TIMEOUT, MAX_SECONDS = 30, 300

#: The problem of a status that repeating the request does not mend.
FATAL: Mapping[int, str] = {
    401: "the API key is missing or unknown",
    403: "the API key needs the scope suppression.bounces.read",
    404: "the API URL is wrong, or the API does not exist there",
    406: "the API rejects the Accept header",
}


#: Client errors that a later attempt may not meet: a timeout and a rate limit.
RETRYABLE = (408, 429)


class PullError(BounceError):
    """The account cannot be read."""


class _RetryableError(Exception):
    """An attempt failed, and a later one may succeed.

    :param wait: seconds until the next attempt; None for the usual pause.
    """

    def __init__(self, problem: str, wait: float | None = None) -> None:
        super().__init__(problem)
        self.wait = wait


class _TooManyPagesError(Exception):
    """A window has to be divided at *instant*."""

    def __init__(self, instant: int) -> None:
        super().__init__(instant)
        self.instant = instant


class _MovingError(Exception):
    """The rows of a window moved while its pages were read."""


@dataclass(frozen=True, slots=True)
class Window:
    """A period with the bounces in it.

    :param start: the first instant.
    :param end: the last instant.
    :param bounces: by folded address.
    :param is_complete: whether the window has no other bounces.
    """

    start: int
    end: int
    bounces: Mapping[str, Bounce]
    is_complete: bool


class _Deadline:
    """A limit on the time of a request, which ends the connection.

    The timeouts of HTTPX are for one read each: a server can send the head of a
    response byte by byte, or interim responses without end.
    """

    def __init__(self) -> None:
        self.is_over = False
        self._socket: socket.socket | None = None

    @contextmanager
    def limit(self, seconds: float) -> Iterator[None]:
        """Disconnect if the block takes longer."""
        self.is_over = False
        timer = threading.Timer(seconds, self._end)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()

    def check(self) -> None:
        """Check that the latest block has ended in time.

        :raises _RetryableError: if not.
        """
        if self.is_over:
            problem = f"the response takes more than {MAX_SECONDS} seconds"
            raise _RetryableError(problem)

    def trace(self, event: str, details: Mapping[str, Any]) -> None:
        """Note the socket of a new connection, for HTTPX's extension ``trace``."""
        if event.endswith(("connect_tcp.complete", "start_tls.complete")):
            self._socket = details["return_value"].get_extra_info("socket")
            if self.is_over:
                self._end()

    def _end(self) -> None:
        self.is_over = True
        if self._socket is not None:
            with suppress(OSError):  # it is closed
                socket.socket.shutdown(self._socket, socket.SHUT_RDWR)


class _NoCookies(CookieJar):
    """Ignores the cookies of responses."""

    def extract_cookies(self, *_: Any) -> None:
        """Parse no header fields: Python's parser prints a traceback of some."""


class Reader:
    """Reads the lists of one account.

    :param api_url: scheme and host of the API, with ``http`` on this machine only;
        redirects are not followed.
    :param key: the API key, which no message contains.
    :param sleep: pauses between attempts; a test replaces it.
    :param transport: sends the requests; a test replaces it.
    """

    def __init__(
        self,
        key: str,
        api_url: str = API_URL,
        *,
        sleep: Callable[[float], None] = time.sleep,
        transport: "httpx.BaseTransport | None" = None,
    ) -> None:
        try:
            import httpx
            import tenacity
        except ImportError:
            raise PullError(
                "bounces pull needs two packages: pip install httpx tenacity"
            ) from None
        if not key or not key.isascii() or not key.isprintable() or " " in key:
            raise PullError("the API key must be visible ASCII characters")
        self._deadline = _Deadline()
        #: Errors whose texts quote the response, which can repeat the key.
        self._quoting_errors = (
            httpx.ProtocolError,
            httpx.DecodingError,
            httpx.InvalidURL,  # of a redirect, which httpx parses
            ValueError,  # of a host name there
        )
        self._errors = (httpx.TransportError, httpx.StreamError, *self._quoting_errors)
        try:
            self._client = httpx.Client(
                base_url=httpx.URL(api_url),
                headers={
                    "Authorization": f"Bearer {key}",
                    "Accept": "application/json",
                    "Accept-Encoding": "identity",
                    "User-Agent": "sendgrid-bounces",
                },
                cookies=_NoCookies(),
                follow_redirects=False,
                timeout=TIMEOUT,
                trust_env=False,
                transport=transport,
            )
            self._client.base_url.host.encode("idna")
        except (httpx.InvalidURL, TypeError, UnicodeError) as error:
            raise PullError(f"the API URL is invalid: {error}") from None
        if not self._client.base_url.host.strip("[]"):
            raise PullError("the API URL has no host")
        if not _is_safe(self._client.base_url):
            raise PullError(
                "the API URL must begin with https:// (or http://, on this machine)"
            )
        self._attempts = tenacity.Retrying(
            retry=tenacity.retry_if_exception_type(_RetryableError),
            stop=tenacity.stop_after_attempt(MAX_ATTEMPTS),
            wait=_pause(tenacity),
            sleep=sleep,
            reraise=True,
        )

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def read(self, name: str, start: int, end: int) -> Iterator[Window]:
        """Yield the windows of the list *name* between two instants, inclusive.

        :raises PullError: if the account cannot be read.
        """
        periods = [(start, end)] if start <= end else []
        while periods:
            first, last = periods.pop()
            try:
                yield self._read_window(name, first, last)
            except _TooManyPagesError as error:
                periods += [(error.instant, last), (first, error.instant - 1)]

    def _read_window(self, name: str, start: int, end: int) -> Window:
        rows: dict[str, Bounce] = {}
        for _ in range(MAX_READS):
            length = 0
            try:
                for bounce in self._read_rows(name, start, end):
                    _add(rows, bounce)
                    length += sys.getsizeof(bounce.reason)
                    if length > MAX_TEXT:
                        raise PullError(f"too much text between {start} and {end}")
            except _MovingError:
                continue
            return Window(start, end, rows, is_complete=True)
        return Window(start, end, rows, is_complete=False)

    def _read_rows(self, name: str, start: int, end: int) -> Iterator[Bounce]:
        """Yield the bounces of all pages.

        :raises _TooManyPagesError: if the window should be divided.
        :raises _MovingError: if a page does not begin with the last row of the
            previous page.
        """
        instants: list[int] = []
        before: Sequence[Bounce] = ()
        for number in range(MAX_PAGES_OF_A_SECOND):
            page = self._fetch(name, start, end, number * (PAGE - 1))
            if before and page == before:
                raise PullError("the server ignores the parameter offset")
            yield from page
            if before and (not page or page[0] != before[-1]):
                raise _MovingError
            if len(page) < PAGE:
                return
            before = page
            instants += [bounce.created for bounce in page]
            if number + 1 >= MAX_PAGES and start < end:
                middle = int(statistics.median(instants))
                raise _TooManyPagesError(min(max(middle, start + 1), end))
        raise PullError(f"more than {MAX_PAGES_OF_A_SECOND} pages at {start}")

    def _fetch(self, name: str, start: int, end: int, offset: int) -> list[Bounce]:
        """Return the bounces of one page."""
        query = {"start_time": start, "end_time": end, "limit": PAGE, "offset": offset}
        try:
            rows = self._attempts(self._request, f"/v3/suppression/{name}", query)
        except _RetryableError as error:
            raise PullError(f"{error}, after {MAX_ATTEMPTS} attempts") from None
        if not isinstance(rows, list):
            raise PullError("the response is not a JSON array")
        if len(rows) > PAGE:
            raise PullError("the server ignores the parameter limit")
        bounces = [_read_row(row) for row in rows]
        if any(not start <= bounce.created <= end for bounce in bounces):
            raise PullError("the server ignores the parameters start_time and end_time")
        return bounces

    def _request(self, path: str, query: Mapping[str, int]) -> Any:
        """Return the JSON of a response.

        :raises _RetryableError: if a later attempt may succeed.
        :raises PullError: if it would not.
        """
        options = {"trace": self._deadline.trace}
        try:
            with (
                self._deadline.limit(MAX_SECONDS),
                self._client.stream(
                    "GET", path, params=dict(query), extensions=options
                ) as response,
            ):
                body = _read_body(response)
        except self._errors as error:
            self._deadline.check()
            reason = str(error) or type(error).__name__
            if isinstance(error, self._quoting_errors):
                reason = "the response is not valid HTTP, or ends early"
            raise _RetryableError(f"the connection failed: {reason}") from None
        self._deadline.check()  # a body can end with the connection
        _check_status(response)
        if has_too_many_values(body):
            raise PullError(f"a page has more than {MAX_VALUES} values")
        try:
            return json.loads(body)
        except (ValueError, RecursionError):
            raise _RetryableError("the response is not JSON") from None


def _is_safe(url: "httpx.URL") -> bool:
    """Return whether no other machine can read what is sent to *url*."""
    is_local = is_loopback(url.host.strip("[]"))
    return url.scheme == "https" or (url.scheme == "http" and is_local)


def _read_body(response: "httpx.Response") -> bytearray:
    """Return the body of *response*.

    :raises PullError: if it has another form or is too large.
    """
    if response.is_redirect:
        raise PullError("the API redirects to another address")
    if response.headers.get("Content-Encoding", "identity") != "identity":
        raise PullError("the response is compressed")  # to any size
    body = bytearray()
    for chunk in response.iter_bytes():
        body += chunk
        if len(body) > MAX_BODY:
            raise PullError(f"a page is larger than {MAX_BODY} bytes")
    return body


def _check_status(response: "httpx.Response") -> None:
    """Raise unless *response* is a success.

    :raises _RetryableError: if a later attempt may succeed.
    :raises PullError: if it would not.
    """
    status = response.status_code
    if status in FATAL:
        raise PullError(f"{status}: {FATAL[status]}")
    if status in RETRYABLE or status >= 500:  # noqa: PLR2004 - server errors
        raise _RetryableError(f"the API answers {status}", _limit_pause(response))
    if status != 200:  # noqa: PLR2004 - the only success of a GET here
        raise PullError(f"the API answers {status}")


def _add(rows: dict[str, Bounce], bounce: Bounce) -> None:
    """Add *bounce*, unless *rows* has a later one of the same address."""
    key = fold(bounce.email)
    known = rows.get(key)
    if known is None or known.created <= bounce.created:
        rows[key] = bounce


def _read_row(row: Any) -> Bounce:
    """Return the bounce of a row.

    :raises PullError: if a field is missing or invalid.
    """
    if not isinstance(row, dict):
        raise PullError("a row is not a JSON object")
    email, created = row.get("email"), row.get("created")
    reason, status = row.get("reason") or "", row.get("status") or ""
    texts = (email, reason, status)
    if not all(isinstance(text, str) for text in texts) or type(created) is not int:
        raise PullError("a row has no valid email, created, reason and status")
    email, status, reason = map(_without_surrogates, (email, status, reason))
    reason = reason[: MAX_LENGTHS["reason"]]
    try:
        return Bounce(email, status, "", reason, created, reported=True)
    except ParametersError as error:
        raise PullError(f"the row created at {created} is invalid: {error}") from None


def _without_surrogates(text: Any) -> str:
    """Return *text*, which may end within a character if the API has cut it."""
    return str(text).encode(errors="replace").decode()


def _limit_pause(response: "httpx.Response") -> float | None:
    """Return the seconds until a rate limit ends; None if there is no limit.

    Wire: ``X-RateLimit-Reset`` is an instant in Unix time, not a delay.
    """
    reset = response.headers.get("X-RateLimit-Reset", "")
    if response.status_code != 429 or not reset.isascii() or not reset.isdigit():  # noqa: PLR2004 - Too Many Requests
        return None
    wait = int(reset[:12]) - time.time() + CLOCK_SKEW
    return min(max(wait, CLOCK_SKEW), MAX_LIMIT_PAUSE)


def _pause(tenacity: Any) -> "Callable[[tenacity.RetryCallState], float]":
    """Return the function that decides the pause before the next attempt."""
    usual = tenacity.wait_random_exponential(multiplier=MIN_PAUSE, max=MAX_PAUSE)

    def pause(state: "tenacity.RetryCallState") -> float:
        error = state.outcome.exception() if state.outcome else None
        wait = getattr(error, "wait", None)
        return float(usual(state) if wait is None else wait)

    return pause
