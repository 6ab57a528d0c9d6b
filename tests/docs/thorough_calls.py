"""Five times as many calls as test_openapi_calls.py, and each boundary of parameters."""

from calls import (
    DOCUMENT,
    RECORDED_CONFIG,
    THOROUGH,
    THOROUGH_CONFIG,
    check_documented,
    check_recorded,
    documented_application,  # noqa: F401 - a fixture
    load,
    outcomes_by_operation,  # noqa: F401 - a fixture
    recorded_application,  # noqa: F401 - a fixture
    with_html_read,
)

documented = load(DOCUMENT, THOROUGH_CONFIG)
recorded = load(
    with_html_read(DOCUMENT), {**RECORDED_CONFIG, "generation": THOROUGH}
).include(path_regex="^/api/bounces")


@documented.parametrize()
def test_documented(case, documented_app, outcomes) -> None:
    """Status, media type and body are described; none is an internal error."""
    check_documented(case, documented_app, outcomes)


@recorded.parametrize()
def test_recorded(case, recorded_app) -> None:
    """JSON labelled text/html has the described schema."""
    check_recorded(case, recorded_app)
