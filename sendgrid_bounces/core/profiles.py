"""Profiles: the points in which a documentation and the recorded service differ.

A profile is text: ``documented``, ``recorded``, or ``documented`` with the points that
follow the recordings, such as ``documented+count+type``.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sendgrid_bounces.core.errors import ParametersError
from sendgrid_bounces.core.messages import got, suggest

#: The presets.
DOCUMENTED, RECORDED = PROFILES = ("documented", "recorded")

PRESET = "preset"


@dataclass(frozen=True, slots=True)
class Point:
    """A point in which profiles differ.

    :param name: its name in the text of a profile.
    :param documented: its value in each preset, in a mapping.
    """

    name: str
    documented: str
    recorded: str


#: The points, by their key in a mapping.
POINTS: Mapping[str, Point] = {
    "count": Point("count", "string", "integer"),
    "errors": Point("errors", "list", "first"),
    "bare_delete": Point("delete", "all", "error"),
    "content_type": Point("type", "application/json", "text/html"),
}

_NAMES = tuple(point.name for point in POINTS.values())

PROFILE_RULE = (
    f"must be {DOCUMENTED}, {RECORDED}, or points such as "
    "count=integer,content_type=application/json"
)


def parse_profile(value: object) -> str:
    """Return the profile of *value*: text, or a mapping of points.

    :raises ParametersError: if it is neither.
    """
    if isinstance(value, Mapping):
        return _compose(value)
    if not isinstance(value, str):
        raise _invalid(PROFILE_RULE)
    if "=" in value:
        pairs = [part.partition("=") for part in value.split(",")]
        return _compose({name.strip(): text.strip() for name, _, text in pairs})
    preset, *names = value.split("+")
    if preset == DOCUMENTED and set(names) <= set(_NAMES):
        return _render(set(names))
    if value != RECORDED:
        raise _invalid(f"{PROFILE_RULE}{got(value)}")
    return value


def recorded_points(profile: str) -> frozenset[str]:
    """Return the names of the points in which a valid *profile* follows recordings."""
    if profile == RECORDED:
        return frozenset(_NAMES)
    return frozenset(profile.split("+")[1:])


def _compose(values: Mapping[Any, Any]) -> str:
    """Return the profile of a mapping; the preset has the points that are missing."""
    rest = dict(values)
    preset = rest.pop(PRESET, DOCUMENTED)
    if preset not in PROFILES:
        raise _invalid(f"must be {' or '.join(PROFILES)}{got(preset)}", PRESET)
    names = set(recorded_points(preset))
    for key, value in rest.items():
        point = POINTS.get(key)
        if point is None:
            hint = suggest(str(key), (PRESET, *POINTS))
            raise _invalid(f"unknown point{got(key)} ({hint})")
        if value not in (point.documented, point.recorded):
            rule = f"must be {point.documented} or {point.recorded}"
            raise _invalid(f"{rule}{got(value)}", key)
        names.discard(point.name)
        if value == point.recorded:
            names.add(point.name)
    return _render(names)


def _render(names: set[str]) -> str:
    if names == set(_NAMES):
        return RECORDED
    return "+".join((DOCUMENTED, *(name for name in _NAMES if name in names)))


def _invalid(message: str, key: str = "") -> ParametersError:
    return ParametersError([(f"profile.{key}" if key else "profile", message)])
