"""Verify a request to a source, then read it."""

from collections.abc import Mapping

from sendgrid_bounces.core.sources import Source
from sendgrid_bounces.emulator import Emulator
from sendgrid_bounces.receiving.credentials import load_secrets
from sendgrid_bounces.sources.events import Batch
from sendgrid_bounces.sources.kinds import KINDS
from sendgrid_bounces.sources.verification import SecretError


def read_request(
    source: Source,
    emulator: Emulator,
    headers: Mapping[str, str],
    body: bytes,
    now: int,
    system: int,
) -> Batch:
    """Return the events of a request, which is verified before it is read.

    :param now: the instant of events without a time.
    :param system: the system time, for the age of the signature; 0 accepts every age.
    :raises SignatureError: if the request is not authentic.
    :raises PayloadError: if the body as a whole cannot be read.
    :raises SecretError: if a secret or a library that verifies it is missing, or the
        secret is invalid.
    """
    kind = KINDS[source.kind]
    secrets = load_secrets(
        source.settings, emulator.authenticator, emulator.storage.engine
    )
    try:
        kind.verify(body, headers, secrets, system)
    except ModuleNotFoundError as error:
        raise SecretError(
            f"{error.name} is not installed: pip install cryptography"
        ) from None
    return kind.parse(body, headers, now)
