"""The rows of CSV files: the same rules for imports over HTTP and from files."""

import csv
from collections.abc import Iterable, Iterator, Sequence

from sendgrid_bounces.core.errors import ParametersError

#: Most columns of a file.
MAX_COLUMNS = 100

#: Most characters of a row, which can have several lines. A cell takes dozens of times
#: its length in memory.
MAX_ROW = 1_048_576


def read_rows(
    lines: Iterable[str], *, separator: str = ",", skips_blanks: bool = False
) -> Iterator[tuple[int, list[str]]]:
    """Yield the cells of each row, after the number of its last line.

    :param skips_blanks: whether blanks after a separator do not belong to the cell.
    :raises ParametersError: if a row is not CSV, or longer than :data:`MAX_ROW`.
    """
    start, length = 1, 0

    def bounded() -> Iterator[str]:
        nonlocal length
        for line in lines:
            length += len(line)
            if length > MAX_ROW:
                problem = f"a row of more than {MAX_ROW:,} characters"
                raise ParametersError([(f"line {start}", problem)])
            yield line

    rows = csv.reader(
        bounded(), strict=True, delimiter=separator, skipinitialspace=skips_blanks
    )
    try:
        for cells in rows:
            yield rows.line_num, cells
            start, length = rows.line_num + 1, 0
    except csv.Error as error:
        raise ParametersError([(f"line {rows.line_num}", str(error))]) from None


def clean_cells(cells: Sequence[str], width: int) -> list[str]:
    """Return the first *width* cells without blanks around them.

    :raises ParametersError: if there are more cells, unless they are blank.
    """
    cleaned = list(map(str.strip, cells))
    if any(cleaned[width:]):
        raise ParametersError([("", "more cells than the header")])
    return cleaned[:width]
