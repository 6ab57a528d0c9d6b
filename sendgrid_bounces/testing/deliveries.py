"""Payloads of sources, delivered without HTTP."""

import json
from email.message import EmailMessage
from typing import Any

from sendgrid_bounces.core.bounces import Bounce
from sendgrid_bounces.core.errors import ParametersError
from sendgrid_bounces.emulator import Emulator
from sendgrid_bounces.receiving import delivery
from sendgrid_bounces.sources.kinds import KINDS
from sendgrid_bounces.sources.verification import PayloadError


def deliver(emulator: Emulator, owner: str, kind: str, payload: Any) -> list[Bounce]:
    """Deliver *payload* to the list of *owner*, and return the bounces that it added.

    :raises ParametersError: if *kind* or *payload* is invalid.
    """
    if kind not in KINDS:
        raise ParametersError([("kind", f"must be one of {', '.join(KINDS)}")])
    now, storage = emulator.clock.now(), emulator.storage
    try:
        body = _encode(payload)
    except (TypeError, ValueError, RecursionError) as error:
        raise ParametersError([("payload", f"cannot be sent: {error}")]) from None
    try:
        batch = KINDS[kind].parse(body, {}, now)
    except PayloadError as error:
        raise ParametersError([("payload", str(error))]) from None
    source = delivery.open_source(storage, f"deliver {kind} {owner}", owner, kind)
    system = emulator.clock.system.now()
    receipt = delivery.deliver(storage, source, batch, now, system)
    return [delivery.as_bounce(event) for event in receipt.listed]


def _encode(payload: Any) -> bytes:
    match payload:
        case bytes():
            return payload
        case str():
            return payload.encode()
        case EmailMessage():
            return payload.as_bytes()
    return json.dumps(payload).encode()
