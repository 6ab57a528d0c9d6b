"""The double in process: calls to the vendors' hosts, answered without a socket."""

import functools
import inspect
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from threading import Lock, get_ident
from typing import Any

from sendgrid_bounces.testing.accounts import TestAccount, check_options
from sendgrid_bounces.testing.app import TestApp
from sendgrid_bounces.testing.interception import intercept

#: What a double in process says its URL is; all the vendors' hosts reach it.
URL = "https://sendgrid.com"

#: What is over before it is used: it would not be answered any more.
UNSUITABLE = (inspect.isclass, inspect.isgeneratorfunction, inspect.isasyncgenfunction)

#: The parameter that a decorated function gets the double in.
PARAMETER = "sendgrid_bounces"


class _Shared:
    """The one application of this process, there as long as somebody mocks.

    What is intercepted are the classes of libraries, for all threads. So whoever mocks
    at the same time, in another thread or around another one, shares an application,
    in which each has an account of its own.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._users = 0
        self._emulation: TestApp | None = None
        self._intercepting: AbstractContextManager[None] | None = None

    @contextmanager
    def test_app(self) -> Iterator[TestApp]:
        """Yield the application: the first one makes it, and the last one ends it."""
        with self._lock:
            if self._emulation is None or self._intercepting is None:
                self._emulation = TestApp()
                self._intercepting = intercept(self._emulation)
                try:
                    self._intercepting.__enter__()
                except BaseException:
                    self._emulation.close()
                    self._emulation = self._intercepting = None
                    raise
            self._users += 1
            test_app = self._emulation
        try:
            yield test_app
        finally:
            with self._lock:
                self._users -= 1
                if not self._users:
                    intercepting_, self._intercepting = self._intercepting, None
                    self._emulation = None
                    intercepting_.__exit__(None, None, None)
                    test_app.close()


_SHARED = _Shared()


class mock_bounces:  # noqa: N801 - used like a function
    """Answer the calls of Requests and HTTPX to SendGrid's and Mailgun's hosts.

    It is a context manager, which gives a :class:`Double`, and a decorator of functions
    and methods, also ``async`` ones: one with a parameter ``sendgrid_bounces`` gets the
    double in it. Calls to other hosts go there.

    :param options: as :class:`Double` takes them: profile, seed, username, api_key,
        domain.
    """

    def __new__(
        cls, function: Callable[..., Any] | None = None, /, **options: Any
    ) -> Any:
        """Return *function* decorated, where ``@mock_bounces`` has no parentheses."""
        if function is not None and not callable(function):
            raise TypeError("mock_bounces() takes its arguments by name")
        if function is not None:
            return cls(**options)(function)
        return super().__new__(cls)

    def __init__(
        self, _function: Callable[..., Any] | None = None, /, **options: Any
    ) -> None:
        check_options(options, "mock_bounces()")
        self._options = options
        self._open: dict[int, list[AbstractContextManager[TestAccount]]] = {}

    def __enter__(self) -> TestAccount:
        """Begin to answer."""
        context = self._mocking()
        double = context.__enter__()
        self._open.setdefault(get_ident(), []).append(context)
        return double

    def __exit__(self, *raised: Any) -> None:
        """Leave the hosts to themselves, and raise what went wrong in the emulator."""
        self._open[get_ident()].pop().__exit__(*raised)

    def __call__(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return *function*, which is answered as long as it runs."""
        if any(is_wrong(function) for is_wrong in UNSUITABLE):
            raise TypeError("mock_bounces() decorates functions and methods: use with")
        signature = inspect.signature(function)
        takes_double = PARAMETER in signature.parameters

        def arguments(double: TestAccount) -> dict[str, TestAccount]:
            return {PARAMETER: double} if takes_double else {}

        if inspect.iscoroutinefunction(function):

            @functools.wraps(function)
            async def wrapped(*args: Any, **options: Any) -> Any:
                with self._mocking() as double:
                    return await function(*args, **options, **arguments(double))

        else:

            @functools.wraps(function)
            def wrapped(*args: Any, **options: Any) -> Any:
                with self._mocking() as double:
                    return function(*args, **options, **arguments(double))

        # Without the double, for which pytest would look for a fixture.
        parameters = [p for p in signature.parameters.values() if p.name != PARAMETER]
        wrapped.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined] # of a function it is one
        return wrapped

    @contextmanager
    def _mocking(self) -> Iterator[TestAccount]:
        with (
            _SHARED.test_app() as test_app,
            TestAccount(test_app, URL, **self._options) as double,
        ):
            yield double
