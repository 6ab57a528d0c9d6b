"""Verify a request to a source, then read it."""

from collections.abc import Mapping

from sendgrid_bounces.auth import Authenticator
from sendgrid_bounces.core.sources import Source
from sendgrid_bounces.receiving.credentials import SecretError, load_secrets
from sendgrid_bounces.sources.events import Batch
from sendgrid_bounces.sources.kinds import KINDS


def read_request(
    source: Source,
    authenticator: Authenticator,
    headers: Mapping[str, str],
    body: bytes,
    now: int,
    *,
    checks_age: bool = True,
) -> Batch:
    """Return the events of a request, which is verified before it is read.

    :param checks_age: whether to reject an old signature.
    :raises SignatureError: if the request is not authentic.
    :raises PayloadError: if the body as a whole cannot be read.
    :raises SecretError: if a secret or a library that verifies it is missing.
    """
    kind = KINDS[source.kind]
    secrets = load_secrets(source.settings, authenticator)
    try:
        kind.verify(body, headers, secrets, now if checks_age else 0)
    except ModuleNotFoundError as error:
        raise SecretError(
            f"{error.name} is not installed: pip install 'sendgrid-bounces[webhooks]'"
        ) from None
    return kind.parse(body, headers, now)
