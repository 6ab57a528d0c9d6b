"""Profiles: where SendGrid's documentation and the recorded service disagree.

``documented`` is the documentation word for word; ``recorded`` is what clients wrote
down of the service between 2011 and 2015. Only the direct calls have a choice of them;
the dispatcher's documentation and recordings agree.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from sendgrid_bounces.dialects.sendgrid.documents import (
    Count,
    Document,
    ErrorList,
    ErrorText,
)


@dataclass(frozen=True, slots=True)
class Profile:
    """How a face behaves.

    :param count: makes the document of a number.
    :param errors: makes the document of one or more errors.
    :param bare_delete_means_all: whether a delete without parameters deletes all.
    :param json_headers: what JSON is labelled with.
    """

    count: Callable[[int], Document]
    errors: Callable[[Sequence[str]], Document]
    bare_delete_means_all: bool
    json_headers: dict[str, str] = field(hash=False)


PROFILES: Mapping[str, Profile] = {
    # Wire: SendGrid Web API v2, Bounces. The count is a string there.
    "documented": Profile(
        count=lambda number: Count(str(number)),
        errors=lambda errors: ErrorList(tuple(errors)),
        bare_delete_means_all=True,
        json_headers={"Content-Type": "application/json"},
    ),
    # Wire: captures of 2012 and 2014 have an integer; since January 2014 a delete
    # without parameters is refused. Of several errors the first is told (inferred).
    "recorded": Profile(
        count=Count,
        errors=lambda errors: ErrorText(errors[0]),
        bare_delete_means_all=False,
        json_headers={
            "Content-Type": "text/html",
            "X-Content-Type-Options": "nosniff",
        },
    ),
}

RESELLER_PROFILE = Profile(
    count=Count,
    errors=lambda errors: ErrorList(tuple(errors)),
    bare_delete_means_all=False,
    json_headers={"Content-Type": "application/json"},
)
