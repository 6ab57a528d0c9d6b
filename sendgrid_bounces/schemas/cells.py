"""The cells of CSV files: the same rules for imports over HTTP and from files."""

from collections.abc import Sequence

from sendgrid_bounces.core.errors import ParametersError

#: Most columns of a file.
MAX_COLUMNS = 100


def clean_cells(cells: Sequence[str], width: int) -> list[str]:
    """Return the first *width* cells without blanks around them.

    :raises ParametersError: if there are more cells, unless they are blank.
    """
    cleaned = list(map(str.strip, cells))
    if any(cleaned[width:]):
        raise ParametersError([("", "more cells than the header")])
    return cleaned[:width]
