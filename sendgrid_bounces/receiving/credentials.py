"""Load the secrets of a source from its settings, from files and from variables."""

import os
from pathlib import Path

from sendgrid_bounces.auth import Authenticator
from sendgrid_bounces.core.sources import SourceSettings
from sendgrid_bounces.sources.verification import SecretError, Secrets
from sendgrid_bounces.storage.engine import Engine

#: Bytes of a file that are read.
MAX_FILE = 64 * 1024


def load_secrets(
    settings: SourceSettings, authenticator: Authenticator, engine: Engine
) -> Secrets:
    """Return the secrets of a source. Files and variables are read on each call.

    :param engine: its own files are not read: closing one would end the locks that
        SQLite has on it.
    :raises SecretError: if one cannot be read, or is empty.
    """
    for path in settings.files.values():
        if Path(path).is_file() and engine.is_stored_in(Path(path)):
            raise SecretError(f"{path} belongs to the database itself")
    key = settings.key or _read("key", settings.key_file, settings.key_variable)
    token = _read("token", settings.token_file, settings.token_variable)
    token_hash = settings.token_hash

    def is_token(text: str) -> bool:
        if not _is_text(text):
            return False
        if token_hash:
            return authenticator.verify_hash(token_hash, text, token_hash)
        return authenticator.verify_token(token, text)

    certificate = _read_file("certificate", settings.certificate_file)
    has_token = bool(token_hash or token)
    return Secrets(key, is_token if has_token else None, certificate, settings.topics)


def _read(what: str, file: str, variable: str) -> str:
    """Return the secret in *file* or else in *variable*; empty if neither is set."""
    if file:
        try:
            return _read_file(what, file).decode().strip()
        except UnicodeDecodeError:
            raise SecretError(f"cannot read the {what} in {file}: not UTF-8") from None
    secret = os.environ.get(variable, "").strip() if variable else ""
    if variable and not secret:
        raise SecretError(f"the variable {variable} with the {what} is not set")
    if not _is_text(secret):
        raise SecretError(f"the variable {variable} with the {what} is not UTF-8")
    return secret


def _read_file(what: str, path: str) -> bytes:
    """Return the content of *path*; empty for no path."""
    if not path:
        return b""
    try:
        if Path(path).exists() and not Path(path).is_file():  # a pipe could block
            raise SecretError(f"cannot read the {what} in {path}: not a file")
        with Path(path).open("rb") as file:
            content = file.read(MAX_FILE)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise SecretError(f"cannot read the {what} in {path}: {reason}") from None
    if not content.strip():
        raise SecretError(f"cannot read the {what} in {path}: the file is empty")
    return content


def _is_text(text: str) -> bool:
    """Return whether *text* can be encoded, which a password need not be."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
