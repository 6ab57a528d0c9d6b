"""Sources of bounce events: their kinds, settings and counters."""

import operator
from collections.abc import Mapping
from dataclasses import asdict, astuple, dataclass, field, fields
from typing import Any

from sendgrid_bounces.core.bounces import Bounce
from sendgrid_bounces.core.names import SLUG

#: Seconds that the key of an event and a deletion are kept. Providers repeat an
#: event for a day and more.
RETENTION = 48 * 60 * 60

#: The maximum length of the name of a source in characters. The name of an endpoint is
#: a :data:`~sendgrid_bounces.core.names.SLUG`.
MAX_SOURCE_NAME = 300

#: The path above the endpoints of all sources.
SOURCES_PATH = "/_sources"


@dataclass(frozen=True, slots=True)
class ReceivedBounce:
    """A bounce that a source reports.

    :param key: identifies the event among its repeats; empty if nothing does.
    :param only_if_unknown: whether an existing bounce of the address is the better
        record.
    """

    bounce: Bounce
    key: str
    only_if_unknown: bool = False


#: The fields of the settings that are paths of files.
FILE_FIELDS = ("key_file", "token_file", "certificate_file")


@dataclass(frozen=True, slots=True)
class SourceSettings:
    """How a source verifies requests. Empty fields do not apply.

    :param key: a public key; signing keys that are secret stay in a file or variable.
    :param key_file: the absolute path of a file with the key.
    :param key_variable: the environment variable with the key.
    :param token_hash: the salted slow hash of the token.
    :param token_file: the absolute path of a file with the token.
    :param token_variable: the environment variable with the token.
    :param certificate_file: the absolute path of a certificate in PEM.
    :param topics: the topics that are accepted; none accepts all.
    """

    key: str = ""
    key_file: str = ""
    key_variable: str = ""
    token_hash: str = field(default="", repr=False)
    token_file: str = ""
    token_variable: str = ""
    certificate_file: str = ""
    topics: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Return the fields that are not empty, by name."""
        return {name: value for name, value in asdict(self).items() if value}

    @property
    def files(self) -> dict[str, str]:
        """The paths of files that are not empty, by the names of their fields."""
        paths = {name: getattr(self, name) for name in FILE_FIELDS}
        return {name: path for name, path in paths.items() if path}

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the fields that are not empty, as in a seed file."""
        return tuple("token" if n == "token_hash" else n for n in self.as_dict())


@dataclass(frozen=True, slots=True)
class SourceCounts:
    """Numbers of events, and of requests or mails for *refused*.

    :param listed: added to the list, or replaced there.
    :param known: repeats, events older than the bounce on the list, and events from
        before their address was deleted.
    :param ignored: not about a failed delivery, or not to be listed.
    :param skipped: not readable.
    :param refused: requests that were not verified or not readable as a whole.
    """

    listed: int = 0
    known: int = 0
    ignored: int = 0
    skipped: int = 0
    refused: int = 0

    def __add__(self, other: "SourceCounts") -> "SourceCounts":
        """Return the sums."""
        return SourceCounts(*map(operator.add, astuple(self), astuple(other)))


@dataclass(frozen=True, slots=True)
class SourceSummary:
    """All sources together.

    :param refused: requests that were not accepted.
    :param last_event: the instant of the last accepted request or mail.
    """

    number: int
    refused: int
    last_event: int | None


COUNTERS = tuple(field.name for field in fields(SourceCounts))


@dataclass(frozen=True, slots=True)
class Source:
    """A source of bounces for the list of *owner*.

    :param owner: the name of an account or of a domain.
    :param counts: of all events so far.
    :param last_event: the instant of the last verified request, or of the last mail.
    :param last_problem: the instant of the last refusal or unreadable element.
    :param problem: its reason.
    :param confirm_url: the URL that confirms a subscription, until it is confirmed.
    """

    id: int
    name: str
    owner: str
    kind: str
    settings: SourceSettings
    counts: SourceCounts
    last_event: int | None
    last_problem: int | None
    problem: str
    confirm_url: str

    @property
    def path(self) -> str | None:
        """The path of the endpoint; None if mails are piped into a command."""
        if not SLUG.fullmatch(self.name):
            return None
        return f"{SOURCES_PATH}/{self.name}"


def pipe_name(owner: str) -> str:
    """Return the name of the source of mails that ``bounces receive`` reads."""
    return f"bounces receive {owner}"


def read_settings(values: Mapping[str, Any]) -> SourceSettings:
    """Return the settings that :meth:`SourceSettings.as_dict` returned as *values*."""
    return SourceSettings(**{**values, "topics": tuple(values.get("topics", ()))})
