"""The figures as a table, as JSON and as a chart."""

from typing import Any

from measures import Row

VERDICTS = {True: "holds", False: "MISSED", None: "(no target)"}


def table(rows: list[Row], facts: dict[str, str]) -> str:
    """Return the rows as a table in reStructuredText, with the machine above it."""
    lines = [", ".join(f"{name} {value}" for name, value in facts.items()) + ".", ""]
    cells = [("measure", "against", "result", "spread", "target", "")]
    cells += [_cells(row) for row in rows]
    widths = [max(len(line[i]) for line in cells) for i in range(len(cells[0]))]
    rule = "  ".join("=" * max(width, 2) for width in widths)
    for number, line in enumerate(cells):
        if number < 2:  # above and below the heads
            lines.append(rule)
        text = "  ".join(
            (cell or "\\").ljust(w) for cell, w in zip(line, widths, strict=True)
        )
        lines.append(text.rstrip())
    return "\n".join([*lines, rule, ""])


def as_mapping(row: Row) -> dict[str, Any]:
    """Return a row for the JSON file."""
    return {
        "measure": row.measure,
        "baseline": row.baseline,
        "unit": row.unit,
        "result": row.result,
        "figures": row.figures,
        "target": row.target,
        "least": row.least,
        "holds": row.holds,
        "notes": row.notes,
    }


def draw(rows: list[Row], facts: dict[str, str], path: str) -> None:
    """Draw the result of each row with a target, relative to the target."""
    from matplotlib import pyplot  # of the extra `bench`

    pyplot.rcParams["svg.fonttype"] = "none"  # text stays text
    pyplot.rcParams["svg.hashsalt"] = "sendgrid-bounces"
    shown = [row for row in rows if row.target][::-1]
    shares = [_share(row, row.result) for row in shown]
    figure, axes = pyplot.subplots(figsize=(13, 0.34 * len(shown) + 1.6))
    colours = ["tab:green" if row.holds else "tab:red" for row in shown]
    places = range(len(shown))
    axes.barh(places, shares, color=colours, height=0.6)
    for place, row in enumerate(shown):
        ends = [_share(row, figure) for figure in row.figures]
        axes.plot([min(ends), max(ends)], [place, place], color="black", lw=1)
        axes.text(
            max(*ends, shares[place]) + 0.02,
            place,
            _figure(row.result, row.unit),
            va="center",
            fontsize=8,
        )
    axes.axvline(1, color="black", lw=1, ls="--")
    axes.set_yticks(list(places), [_label(row) for row in shown], fontsize=8)
    widest = max(_share(row, figure) for row in shown for figure in row.figures)
    axes.set_xlim(0, max(1.35, widest + 0.15))
    axes.set_xlabel("result relative to the target (black: spread of the rounds)")
    axes.set_title(f"{facts['processor']}, {facts['day']}", fontsize=9)
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None} if path.endswith(".svg") else None)


def _share(row: Row, figure: float) -> float:
    """Return *figure* relative to the target; at most 1 if it meets the target."""
    assert row.target is not None
    return row.target / figure if row.least else figure / row.target


def _label(row: Row) -> str:
    return f"{row.measure} (against {row.baseline})" if row.baseline else row.measure


def _cells(row: Row) -> tuple[str, ...]:
    spread = f"{_figure(min(row.figures), '')} to {_figure(max(row.figures), row.unit)}"
    sign = ">=" if row.least else "<="
    target = f"{sign} {_figure(row.target, row.unit)}" if row.target is not None else ""
    median = _figure(row.result, row.unit)
    return row.measure, row.baseline, median, spread, target, VERDICTS[row.holds]


def _figure(number: float, unit: str) -> str:
    digits = 2 if unit in ("x", "") and number < 10 else 1
    return f"{number:.{digits}f} {unit}".rstrip()
