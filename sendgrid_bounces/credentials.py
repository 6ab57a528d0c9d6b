"""Credentials: how API keys are kept, and how a caller proves to be an account."""

import hashlib
import hmac
import secrets
import threading

from werkzeug.security import check_password_hash, generate_password_hash

from sendgrid_bounces.core.accounts import Account
from sendgrid_bounces.core.errors import (
    CredentialsError,
    NameTakenError,
    ParametersError,
)
from sendgrid_bounces.storage.accounts import AccountStore

#: How many verified credentials are remembered before they are forgotten.
REMEMBERED = 10_000


class Credentials:
    """The keys of the accounts in one database.

    A key is stored as a salted slow hash only. Checking one costs tens of
    milliseconds and megabytes, so they are checked one at a time, and what was
    verified is remembered in the process, under a secret of its own, until the key
    changes.

    :param method: how new keys are hashed, in Werkzeug's notation.
    :param accept_any: whether any name and key will do: unknown accounts are made.
    :raises ParametersError: if there is no such method.
    """

    def __init__(
        self,
        accounts: AccountStore,
        method: str = "scrypt",
        *,
        accept_any: bool = False,
    ) -> None:
        self._accounts = accounts
        self._method = method
        self._accept_any = accept_any
        self._secret = secrets.token_bytes(32)
        self._verified: dict[str, bytes] = {}
        self._one_at_a_time = threading.Lock()
        try:
            self._decoy = self.hash(secrets.token_hex())
        except ValueError as error:
            raise ParametersError([("KEY_HASH", str(error))]) from None

    def hash(self, key: str) -> str:
        """Return *key* as it is stored.

        :raises ParametersError: if it can be no key.
        """
        if not key or "\0" in key:
            raise ParametersError([("api_key", "must not be empty, or contain NUL")])
        return generate_password_hash(key, self._method)

    def matches(self, account: Account, key: str) -> bool:
        """Return whether *key* is the account's, in a time that tells nothing."""
        digest = hashlib.blake2b(key.encode(), key=self._secret).digest()
        remembered = self._verified.get(account.key_hash)
        if remembered is not None and hmac.compare_digest(remembered, digest):
            return True
        with self._one_at_a_time:
            matches = check_password_hash(account.key_hash or self._decoy, key)
        if not matches or not account.key_hash:
            return False
        if len(self._verified) >= REMEMBERED:
            self._verified.clear()
        self._verified[account.key_hash] = digest
        return True

    def authenticate(self, username: str, key: str) -> Account:
        """Return the account that *username* and *key* belong to.

        :raises CredentialsError: if there is none. An unknown name takes as long as
            a wrong key.
        """
        if not username or not key or "\0" in key:
            # HMAC, inside the hashes, takes NULs at a key's end for nothing.
            raise CredentialsError
        account = self._accounts.find(username)
        if self._accept_any:
            return account or self._make(username, key)
        if account is None:
            with self._one_at_a_time:
                check_password_hash(self._decoy, key)
            raise CredentialsError
        if not self.matches(account, key):
            raise CredentialsError
        return account

    def _make(self, username: str, key: str) -> Account:
        try:
            account = self._accounts.add(username)
        except NameTakenError:  # another request was faster
            return self._accounts.get(username)
        except ParametersError:
            raise CredentialsError from None
        self._accounts.change(account, key_hash=self.hash(key))
        return self._accounts.get(username)
