"""Profiles: the differences between SendGrid's documentation and the recorded service.

``documented`` follows the documentation word for word; ``recorded`` follows responses
that clients recorded between 2011 and 2015. Only the direct calls have this choice; the
dispatcher's documentation and recordings agree.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from sendgrid_bounces.core.profiles import recorded_points
from sendgrid_bounces.dialects.sendgrid.documents import Count, ErrorList
from sendgrid_bounces.dialects.sendgrid.serializers import (
    DIRECT_LISTING,
    JSON_HEADERS,
    JSON_VALUES,
    RESELLER_LISTING,
    XML,
    XML_ELEMENTS,
    XML_HEADERS,
    JSONSerializer,
    XMLSerializer,
)


@dataclass(frozen=True, slots=True)
class Profile:
    """The behavior of a SendGrid account.

    :param serializers: by the suffix of the path.
    :param bare_delete_means_all: whether a delete without parameters deletes the list.
    """

    serializers: Mapping[str, JSONSerializer | XMLSerializer]
    bare_delete_means_all: bool


def _count_text(document: Count) -> object:
    return {"count": str(document.count)}


def _first_error(document: ErrorList) -> object:
    return {"error": document.errors[0]}


def _first_error_element(document: ErrorList) -> tuple[str, str]:
    return XML_ELEMENTS[ErrorList](ErrorList(document.errors[:1]))


#: Wire: the content type and the next header are recorded. The last header is our own:
#: a browser that opens the URL must not run what a stranger wrote into a bounce.
HTML_HEADERS = {
    "Content-Type": "text/html",
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; sandbox",
}


@cache
def find_profile(name: str) -> Profile:
    """Return the behavior of the profile *name*.

    Wire: SendGrid Web API v2, Bounces, has the count as a string. Captures of 2012 and
    2014 have an integer; a delete without parameters is an error since January 2014.
    That an error response contains only the first of several messages is inferred.
    """
    points = recorded_points(name)
    values, elements, headers = dict(JSON_VALUES), dict(XML_ELEMENTS), JSON_HEADERS
    if "count" not in points:
        values[Count] = _count_text
    if "errors" in points:
        values[ErrorList], elements[ErrorList] = _first_error, _first_error_element
    if "type" in points:
        headers = HTML_HEADERS
    return Profile(
        serializers={
            "json": JSONSerializer((", ", ": "), DIRECT_LISTING, values, headers),
            "xml": XMLSerializer(elements, XML_HEADERS),
        },
        bare_delete_means_all="delete" not in points,
    )


RESELLER_PROFILE = Profile(
    serializers={
        "json": JSONSerializer(
            (",", ":"), RESELLER_LISTING, JSON_VALUES, JSON_HEADERS, slash="\\/"
        ),
        "xml": XML,
    },
    bare_delete_means_all=False,
)
