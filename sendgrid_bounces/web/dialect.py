"""The description of a dialect: one API version of a vendor."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from flask import Blueprint

from sendgrid_bounces.core.requests import RequestInfo
from sendgrid_bounces.redaction import Redactor
from sendgrid_bounces.web.responses import ErrorRenderer

if TYPE_CHECKING:
    from sendgrid_bounces.core.migration import Migration


@dataclass(frozen=True, slots=True)
class Dialect:
    """An API version: its routes, and the data that the other layers need about it.

    :param name: vendor and API version, such as ``mailgun.v3``.
    :param owns: prefixes of the dialect's paths. Routing errors never reach a
        blueprint, so the application compares them with every dialect in turn.
    :param owns_at_hosts: further prefixes, of requests to the dialect's own hosts.
    :param operations: the names that fault rules and the request log use.
    :param render_error: renders routing errors and injected faults.
    :param read_request_info: describes the current request; never raises.
    :param hosts: the vendor's host names, which the in-process mock intercepts.
    :param key_pattern: regular expression of the vendor's API keys, for redaction;
        empty if the keys have no recognizable form.
    :param key_hints: speed up the search for keys: see :class:`.Redactor`.
    :param sends_retry_after: whether a response that a rate limit causes has the header
        ``Retry-After``.
    :param reserved_domains: domains that cannot be reached, since the dialect owns
        their paths.
    :param verifies_account: whether the account in the info of a request is that of the
        API key, instead of a claim.
    :param read_migration: returns the requests of a successor that replace the
        dialect's calls.
    """

    name: str
    blueprint: Blueprint
    owns: tuple[str, ...]
    operations: tuple[str, ...]
    render_error: ErrorRenderer
    read_request_info: Callable[[], RequestInfo]
    hosts: tuple[str, ...] = ()
    key_pattern: str = ""
    key_hints: tuple[str, ...] = ()
    sends_retry_after: bool = True
    owns_at_hosts: tuple[str, ...] = ()
    reserved_domains: tuple[str, ...] = ()
    verifies_account: bool = False
    read_migration: "Callable[[], Migration] | None" = None


def create_redactor(dialects: Iterable[Dialect]) -> Redactor:
    """Return a redactor of the keys of all *dialects*."""
    known = [dialect for dialect in dialects if dialect.key_pattern]
    hints = [hint for dialect in known for hint in dialect.key_hints]
    has_hints = all(dialect.key_hints for dialect in known)
    patterns = [dialect.key_pattern for dialect in known]
    return Redactor(patterns, key_hints=hints if has_hints else None)


def find_owner(
    dialects: Iterable[Dialect], path: str, host: str = ""
) -> Dialect | None:
    """Return the first dialect that owns *path* at *host*, or the folder of this path.

    :param host: the header field ``Host``.
    """
    folder, name = f"{path}/", host.partition(":")[0].lower()
    for dialect in dialects:
        at_host = dialect.owns_at_hosts if name in dialect.hosts else ()
        if folder.startswith((*dialect.owns, *at_host)):
            return dialect
    return None
