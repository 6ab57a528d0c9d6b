"""The page about times and durations."""

import re
from pathlib import Path

from sendgrid_bounces.core.times import (
    DURATION_FORMS,
    TIME_FORMS,
    parse_duration,
    parse_instant,
)

PAGE = Path(__file__).parents[2] / "docs/reference/times.rst"


def test_page_lists_every_form_with_valid_examples() -> None:
    _, times, durations = re.split("list-table::", PAGE.read_text())
    for form in TIME_FORMS:
        assert form.name.split(":")[0] in times, form.name
        assert f"``{form.example}``" in times
    for example in re.findall("``(.*?)``", times.split("A time without")[0]):
        parse_instant(example)
    for example in DURATION_FORMS:
        assert f"``{example}``" in durations
    for row in durations.split("     - ")[1:]:
        for example in re.findall("``(.*?)``", re.split(r"\n   \* -|\n\n", row)[0]):
            parse_duration(example)
