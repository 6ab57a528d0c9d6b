"""SQL texts of the stores, compiled when they are first used."""

from collections.abc import Callable
from typing import Any, Generic, TypeVar

from sendgrid_bounces.storage.engine import Engine

Text = TypeVar("Text")


class Compiled(Generic[Text]):
    """An attribute of a store class: SQL that is compiled once for each product.

    A statement takes longer to build than to run, and a command runs only a few
    statements. A store finds the text among its own attributes after the first use.

    :param compile_with: returns the text, or several, for the product of an engine.
    """

    def __init__(self, compile_with: Callable[[Engine], Text]) -> None:
        self._compile_with = compile_with
        self._texts: dict[type[Engine], Text] = {}

    def __set_name__(self, owner: type, name: str) -> None:
        """Store the name of the attribute."""
        self._name = name

    def __get__(self, store: Any, owner: type | None = None) -> Text:
        """Return the text for the engine of *store*."""
        engine: Engine = store._engine  # noqa: SLF001 - each store has one
        text = self._texts.get(type(engine))
        if text is None:
            text = self._texts[type(engine)] = self._compile_with(engine)
        store.__dict__[self._name] = text
        return text
