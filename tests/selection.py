"""Report the tests that the default marker expression left out."""

from collections import Counter

import pytest

#: The markers that ``addopts`` in setup.cfg deselects, rarest requirement first.
MARKERS = ("cluster", "mysql", "browser", "docs", "server", "slow")

_KEY = "left_out"


class LeftOut:
    """Pytest plugin: count the deselected tests by marker and print one line.

    With pytest-xdist the workers deselect and the controller prints.
    """

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()

    def pytest_deselected(self, items: list[pytest.Item]) -> None:
        """Count each test under the first of `MARKERS` that it has."""
        for item in items:
            if not item.config.option.keyword:
                markers = (name for name in MARKERS if item.get_closest_marker(name))
                self._counts.update([*markers][:1])

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Hand the counts of a worker to the controller."""
        if hasattr(session.config, "workeroutput"):
            session.config.workeroutput[_KEY] = dict(self._counts)

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: object) -> None:
        """Take the counts of a worker; all workers deselect the same tests."""
        counts = getattr(node, "workeroutput", {}).get(_KEY)
        if counts is not None:
            self._counts = Counter(counts)

    def pytest_terminal_summary(
        self, terminalreporter: pytest.TerminalReporter
    ) -> None:
        """Print the line."""
        if self._counts:
            parts = [f"{self._counts[m]} {m}" for m in MARKERS if self._counts[m]]
            terminalreporter.write_line(
                f"left out: {', '.join(parts)} (run all tests with -m '')"
            )
