"""TLS contexts of the server and of the health check."""

import ssl
from pathlib import Path
from typing import NoReturn

from sendgrid_bounces.core.errors import BounceError


class CertificateError(BounceError):
    """A certificate or its private key cannot be used."""


def server_context(certificate: str, key: str) -> ssl.SSLContext | None:
    """Return an SSL context with a certificate and its key; None if both are empty.

    :param certificate: a PEM file with the certificate, and the intermediate
        certificates if there are any.
    :param key: a PEM file with the unencrypted private key.
    :raises CertificateError: if a file is missing, unreadable or invalid, or the key
        does not match the certificate.
    """
    if not certificate and not key:
        return None
    if not key:
        raise CertificateError("'ssl_cert' requires 'ssl_key'")
    if not certificate:
        raise CertificateError("'ssl_key' requires 'ssl_cert'")
    for path in (certificate, key):
        _check_readable(path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)

    def refuse_password() -> NoReturn:
        raise CertificateError(f"{key}: the private key must not be encrypted")

    try:
        context.load_cert_chain(certificate, key, refuse_password)
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            raise CertificateError(
                f"{key}: the private key does not match the certificate {certificate}"
            ) from None
        raise CertificateError(
            f"{certificate} and {key}: must contain a certificate and its private key "
            "in PEM format"
        ) from None
    return context


def client_context(certificate: str) -> ssl.SSLContext:
    """Return an SSL context that trusts exactly *certificate*, for any host name.

    :raises CertificateError: if the file is unreadable or invalid.
    """
    _check_readable(certificate)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    try:
        context.load_verify_locations(certificate)
    except ssl.SSLError:
        raise CertificateError(
            f"{certificate}: must contain a certificate in PEM format"
        ) from None
    return context


def _check_readable(path: str) -> None:
    try:
        file = Path(path)
        if file.exists() and not (file.is_file() or file.is_dir()):  # it could block
            raise CertificateError(f"cannot read {path}: not a regular file")
        file.read_bytes()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise CertificateError(f"cannot read {path}: {reason}") from None
