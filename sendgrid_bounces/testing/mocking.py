"""The in-process mock: requests to the vendors' hosts, answered without a socket."""

import asyncio
import functools
import inspect
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from threading import Lock, get_ident
from typing import Any

from sendgrid_bounces.testing.accounts import TestAccount, check_options
from sendgrid_bounces.testing.app import TestApp
from sendgrid_bounces.testing.errors import report_arguments
from sendgrid_bounces.testing.interception import intercept

#: The base URL of a test account; the other vendors' hosts work as well.
URL = "https://sendgrid.com"

#: Kinds of callables whose body would run after the mock has ended.
UNSUPPORTED = (
    inspect.isclass,
    inspect.isgeneratorfunction,
    inspect.isasyncgenfunction,
)

#: The parameter in which a decorated function receives the test account.
PARAMETER = "sendgrid_bounces"


class _SharedApp:
    """The application of all mocks of this process that are active at the same time.

    Interception patches classes of the HTTP libraries, which affects all threads. So
    nested and concurrent mocks share one application, each with its own account.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._users = 0
        self._test_app: TestApp | None = None
        self._resources = ExitStack()

    @contextmanager
    def use(self) -> Iterator[TestApp]:
        """Yield the application, which lives from its first to its last user."""
        with self._lock:
            if self._test_app is None:
                self._test_app = self._open()
            self._users += 1
            test_app = self._test_app
        try:
            yield test_app
        finally:
            with self._lock:
                self._users -= 1
                if not self._users:
                    self._test_app = None
                    self._resources.close()

    def _open(self) -> TestApp:
        with ExitStack() as stack:
            test_app = TestApp()
            stack.callback(test_app.close)
            stack.enter_context(intercept(test_app, test_app.hosts))
            self._resources = stack.pop_all()
        return test_app


_SHARED_APP = _SharedApp()


def _caller() -> object:
    """Return the current task of an event loop, or else the current thread."""
    try:
        task = asyncio.current_task()
    except RuntimeError:  # no event loop runs in this thread
        task = None
    return task or get_ident()


class mock_bounces:  # noqa: N801 - used like a function
    """Answer the requests of Requests and HTTPX to SendGrid's and Mailgun's hosts.

    Use it as a context manager, which returns a :class:`TestAccount`, or as a decorator
    of functions and methods, ``async`` ones included; a parameter ``sendgrid_bounces``
    receives the test account. Requests to other hosts are sent as usual.

    :param options: the options of :class:`TestAccount`: profile, seed, username,
        api_key, domain.
    """

    def __new__(
        cls, function: Callable[..., Any] | None = None, /, **options: Any
    ) -> Any:
        """Return *function* decorated, for ``@mock_bounces`` without parentheses."""
        if function is not None and not callable(function):
            raise TypeError("mock_bounces() takes keyword arguments only")
        if function is not None:
            return cls(**options)(function)
        return super().__new__(cls)

    def __init__(
        self, _function: Callable[..., Any] | None = None, /, **options: Any
    ) -> None:
        check_options(options, "mock_bounces()")
        self._options = options
        #: The contexts that are entered, each after the task or thread that did it.
        self._entered: list[tuple[object, AbstractContextManager[TestAccount]]] = []
        self._lock = Lock()

    @report_arguments
    def __enter__(self) -> TestAccount:
        """Start answering requests, and return the test account."""
        context = self._mock()
        test_account = context.__enter__()
        with self._lock:
            self._entered.append((_caller(), context))
        return test_account

    def __exit__(self, *raised: Any) -> None:
        """Stop answering requests, and raise unexpected exceptions of the emulator.

        The context that ends is the last one of the same task or thread; or else of
        any, since a framework may run both ends in different threads.
        """
        caller = _caller()
        with self._lock:
            own = [entry for entry in self._entered if entry[0] == caller]
            entry = (own or self._entered)[-1]
            self._entered.remove(entry)
        _, context = entry
        context.__exit__(*raised)

    def __call__(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return *function* wrapped so that the mock is active while it runs."""
        if any(is_kind(function) for is_kind in UNSUPPORTED):
            raise TypeError(
                "mock_bounces() cannot decorate a class or a generator: use it as a "
                "context manager"
            )
        signature = inspect.signature(function)
        takes_account = PARAMETER in signature.parameters

        def extra(test_account: TestAccount) -> dict[str, TestAccount]:
            return {PARAMETER: test_account} if takes_account else {}

        if inspect.iscoroutinefunction(function):

            @functools.wraps(function)
            async def wrapper(*args: Any, **options: Any) -> Any:
                with self._mock() as test_account:
                    return await function(*args, **options, **extra(test_account))

        else:

            @functools.wraps(function)
            def wrapper(*args: Any, **options: Any) -> Any:
                with self._mock() as test_account:
                    return function(*args, **options, **extra(test_account))

        # Pytest would take the parameter for the fixture of the same name.
        parameters = [p for p in signature.parameters.values() if p.name != PARAMETER]
        wrapper.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined] # read by inspect.signature
        return wrapper

    @contextmanager
    def _mock(self) -> Iterator[TestAccount]:
        with (
            _SHARED_APP.use() as test_app,
            TestAccount(test_app, URL, **self._options) as test_account,
        ):
            yield test_account
