"""Certificates: those that a server shows, and those that a client of it trusts."""

import ssl
from pathlib import Path
from typing import NoReturn

from sendgrid_bounces.core.errors import BounceError


class CertificateError(BounceError):
    """A certificate or its key cannot be used."""


def server_context(certificate: str, key: str) -> ssl.SSLContext | None:
    """Return what a server speaks TLS with; None if neither file is named.

    :param certificate: a file in PEM, which can hold those of the issuers, too.
    :raises CertificateError: if they are not both there, readable, and a pair.
    """
    if not certificate and not key:
        return None
    if not certificate or not key:
        raise CertificateError(
            "a certificate and its key go together: give both --ssl-cert and --ssl-key"
        )
    for path in (certificate, key):
        _check_readable(path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)

    def render_http_error() -> NoReturn:
        raise CertificateError(f"the key in {key} is encrypted: give one that is not")

    try:
        context.load_cert_chain(certificate, key, render_http_error)
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            raise CertificateError(
                f"the key in {key} is not that of the certificate in {certificate}"
            ) from None
        raise CertificateError(
            f"{certificate} and {key} must hold a certificate and its key, in PEM"
        ) from None
    return context


def client_context(certificate: str) -> ssl.SSLContext:
    """Return what a client trusts the server with that shows *certificate*.

    It may have any name: the certificate itself is known.

    :raises CertificateError: if the file holds none.
    """
    _check_readable(certificate)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    try:
        context.load_verify_locations(certificate)
    except ssl.SSLError:
        raise CertificateError(f"{certificate} holds no certificate in PEM") from None
    return context


def _check_readable(path: str) -> None:
    try:
        Path(path).read_bytes()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise CertificateError(f"cannot read {path}: {reason}") from None
