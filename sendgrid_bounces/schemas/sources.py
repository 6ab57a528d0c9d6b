"""The schema of a source in seed files, requests and commands."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from marshmallow import ValidationError, validate

from sendgrid_bounces.core.accounts import NAME_RULE, is_name
from sendgrid_bounces.core.errors import ParametersError
from sendgrid_bounces.core.names import SLUG, SLUG_RULE
from sendgrid_bounces.core.sources import FILE_FIELDS, SourceSettings
from sendgrid_bounces.schemas.base import (
    List,
    Problem,
    StrictSchema,
    Text,
    length,
    load,
    one_of,
)
from sendgrid_bounces.sources import KINDS

MAX_PATH, MAX_TOPICS = 1_000, 100

KEY = ("key", "key_file", "key_variable")
TOKEN = ("token", "token_file", "token_variable")
CERTIFICATE = ("certificate_file",)
TOPICS = ("topics",)

#: The fields of each kind, of which a source needs one.
VERIFIED_BY: Mapping[str, tuple[tuple[str, ...], ...]] = {
    "mail": (TOKEN,),
    "mailgun": (KEY[1:],),  # a secret that must stay readable is not stored
    "postmark": (TOKEN,),
    "sendgrid": (KEY, TOKEN),
    "ses": (TOKEN, CERTIFICATE),
}

#: Further fields of a kind.
OPTIONAL = {"ses": TOPICS}

_PATH = length(1, MAX_PATH)
_NAME = validate.Regexp(f"{SLUG.pattern}\\Z", error=SLUG_RULE)
_VARIABLE = validate.Regexp(
    r"[A-Za-z_][A-Za-z0-9_]{0,254}\Z", error="must be the name of a variable"
)


def _check_owner(text: str) -> None:
    if not is_name(text):
        raise ValidationError(NAME_RULE)


class SourceSchema(StrictSchema):
    """A source of bounces."""

    name = Text(
        required=True,
        validate=_NAME,
        metadata={"description": "The last segment of the path of its endpoint."},
    )
    owner = Text(
        required=True,
        validate=_check_owner,
        metadata={"description": "The account, or else the domain, to list for."},
    )
    kind = Text(required=True, validate=one_of(KINDS))
    key = Text(
        validate=length(1, 4_096),
        metadata={"description": "SendGrid: the public verification key."},
    )
    key_file = Text(
        validate=_PATH, metadata={"description": "A file with the key, on the server."}
    )
    key_variable = Text(
        validate=_VARIABLE,
        metadata={"description": "The server's environment variable with the key."},
    )
    token = Text(
        validate=validate.Regexp(
            "[!-~]{1,256}\\Z", error="must be 1 to 256 visible ASCII characters"
        ),
        metadata={"description": "Bearer token or password; stored as a salted hash."},
    )
    token_file = Text(
        validate=_PATH,
        metadata={"description": "A file with the token, on the server."},
    )
    token_variable = Text(
        validate=_VARIABLE,
        metadata={"description": "The server's environment variable with the token."},
    )
    certificate_file = Text(
        validate=_PATH,
        metadata={"description": "SES: a file with the certificate of Amazon SNS."},
    )
    topics = List(
        Text(validate=length(1, 300)),
        validate=validate.Length(max=MAX_TOPICS, error=f"at most {MAX_TOPICS} topics"),
        metadata={"description": "SES: the ARNs of the topics; all if absent."},
    )


SOURCE = SourceSchema()


@dataclass(frozen=True, slots=True)
class SourceSeed:
    """A source to add.

    :param token: not hashed yet; empty without a token, or with one stored elsewhere.
    """

    name: str
    owner: str
    kind: str
    settings: SourceSettings
    token: str


def read_source(raw: Any) -> SourceSeed:
    """Return the source of a mapping; paths can be relative to the working folder.

    :raises ParametersError: with the problem of each invalid field.
    """
    values = load(SOURCE, raw)
    if problems := [*_problems(values)]:
        raise ParametersError(problems)
    settings: dict[str, Any] = {
        name: values[name]
        for name in ("key_variable", "token_variable")
        if name in values
    }
    for name in FILE_FIELDS:
        if name in values:
            settings[name] = str(Path(values[name]).absolute())
    if "key" in values:
        settings["key"] = _read_key(values["key"])
    settings["topics"] = tuple(values.get("topics", ()))
    return SourceSeed(
        values["name"],
        values["owner"],
        values["kind"],
        SourceSettings(**settings),
        values.get("token", ""),
    )


def allowed_fields(kind: str) -> tuple[str, ...]:
    """Return the names of the fields that verify requests of *kind*."""
    groups = VERIFIED_BY[kind]
    return (*(name for group in groups for name in group), *OPTIONAL.get(kind, ()))


def _problems(values: Mapping[str, Any]) -> Iterator[Problem]:
    """Yield the problems of fields that do not fit the kind, or each other."""
    kind = values["kind"]
    allowed = allowed_fields(kind)
    given = [name for name in (*KEY, *TOKEN, *CERTIFICATE, *TOPICS) if name in values]
    for name in given:
        if name not in allowed:
            yield name, f"kind {kind} has no such field (known: {', '.join(allowed)})"
    for group in VERIFIED_BY[kind]:
        first, *more = [name for name in group if name in values] or [""]
        for name in more:
            yield name, f"cannot be combined with {first}"
    needed = [name for group in VERIFIED_BY[kind] for name in group]
    if not {*needed} & {*given}:
        yield "", f"kind {kind} requires {' or '.join(needed)}"


def _read_key(text: str) -> str:
    """Return a public key.

    :raises ParametersError: if it is not a key on an elliptic curve.
    """
    from sendgrid_bounces.sources.sendgrid import load_key  # often not needed
    from sendgrid_bounces.sources.verification import SecretError

    try:
        load_key(text)
    except SecretError:
        problem = "must be the public key that SendGrid shows (base64)"
        raise ParametersError([("key", problem)]) from None
    except ModuleNotFoundError:
        problem = "requires cryptography: pip install cryptography"
        raise ParametersError([("key", problem)]) from None
    return text.strip()
