"""Text in reStructuredText, from Python values."""

from collections.abc import Iterable, Iterator, Sequence


def list_table(
    head: Sequence[str],
    rows: Sequence[Sequence[str]],
    widths: Sequence[int] = (),
    style: str = "",
) -> str:
    """Return a list table without the columns that are empty in all *rows*."""
    used = [i for i in range(len(head)) if any(row[i] for row in rows)]
    options = ["   :header-rows: 1"]
    if style:
        options.append(f"   :class: {style}")
    if widths:
        options.append(f"   :widths: {' '.join(str(widths[i]) for i in used)}")
    cells = ([row[i] for i in used] for row in (head, *rows))
    lines = [".. list-table::", *options, "", *_cells(cells)]
    return "\n".join(lines) + "\n\n"


def heading(text: str, underline: str) -> str:
    """Return a section title."""
    return f"{text}\n{underline * len(text)}\n\n"


def _cells(rows: Iterable[Sequence[str]]) -> Iterator[str]:
    for row in rows:
        for number, cell in enumerate(row):
            yield f"   {'* -' if number == 0 else '  -'} {cell}".rstrip()
