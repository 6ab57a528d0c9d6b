"""The code paths of common requests stay short."""

from pathlib import Path

from benchmarks.paths import measure

#: Own calls, own files and SQL statements of each request, at most. Raising a number
#: needs a reason.
MAXIMA = {
    "bounces.get.xml?start_date=": (43, 12, 2),
    "the same, control endpoints on": (77, 17, 4),
    # A write is counted while it waits for other writes, and its failures are counted,
    # so that the health check reports them. It checks that no newer
    # release has upgraded the schema, and that no file was removed; another statement
    # changes the version of the rules. The number of names in a mapping is checked before
    # marshmallow reports each.
    "POST a fault rule": (53, 13, 6),
    # The rule for addresses is the package's own, and core.times has all forms of times.
    # The characters of a row are counted before the csv module reads it. A write ends
    # with a check that its list was not removed meanwhile.
    "upload a CSV file of one row": (75, 20, 6),
    # Lists and mappings of a seed are checked for their number of problems and names;
    # accounts change one transaction after the other, with the salt of their keys.
    "load a seed file": (117, 18, 11),
}


def test_paths_are_no_longer_than_allowed(tmp_path: Path) -> None:
    """Each layer that a request passes through adds to all numbers."""
    lengths = {
        name: (len(path.calls), len(path.files), path.statements)
        for name, path in measure(str(tmp_path))
    }

    assert lengths.keys() == MAXIMA.keys()
    for name, length in lengths.items():
        assert all(map(int.__le__, length, MAXIMA[name])), (name, length)
