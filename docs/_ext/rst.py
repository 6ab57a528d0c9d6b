"""Text in reStructuredText, from Python values."""

from collections.abc import Iterable, Iterator, Sequence


def list_table(rows: Iterable[Sequence[str]], widths: Sequence[int] = ()) -> str:
    """Return a list table; the first row is its head."""
    options = ["   :header-rows: 1", "   :class: small"]
    if widths:
        options.append(f"   :widths: {' '.join(map(str, widths))}")
    lines = [".. list-table::", *options, "", *_cells(rows)]
    return "\n".join(lines) + "\n\n"


def heading(text: str, underline: str) -> str:
    """Return a section title."""
    return f"{text}\n{underline * len(text)}\n\n"


def _cells(rows: Iterable[Sequence[str]]) -> Iterator[str]:
    for row in rows:
        for number, cell in enumerate(row):
            yield f"   {'* -' if number == 0 else '  -'} {cell}".rstrip()
