"""Credentials: how API keys are kept, and how a caller proves to be an account."""

import hashlib
import hmac
import re
import secrets
import threading
from functools import cached_property
from typing import Any

from werkzeug.security import check_password_hash, generate_password_hash

from sendgrid_bounces.core.accounts import Account, Domain
from sendgrid_bounces.core.errors import (
    CredentialsError,
    NameTakenError,
    ParametersError,
    UnknownNameError,
)
from sendgrid_bounces.storage.database import Storage

#: How many verified credentials are remembered before they are forgotten.
CACHE_SIZE = 10_000

#: What scrypt costs if nothing else is said: N, r, p.
DEFAULT_COSTS = (2**15, 8, 1)

#: What a tag costs, always: else it would not be found again.
TAG_COSTS = (2**12, 8, 1)

_METHOD = re.compile("scrypt(?::([0-9]+):([0-9]+):([0-9]+))?")


class Authenticator:
    """The keys of the accounts in one database.

    A key is stored as a salted slow hash only. Checking one costs tens of
    milliseconds and megabytes, so they are checked one at a time, and what was
    verified is remembered in the process, under a secret of its own, until the key
    changes.

    :param method: scrypt and its costs, in Werkzeug's notation.
    :param accept_any: whether any name and key will do: unknown accounts are made.
    :raises ParametersError: if there is no such method.
    """

    def __init__(
        self, storage: Storage, method: str = "scrypt", *, accept_any: bool = False
    ) -> None:
        match = _METHOD.fullmatch(method)
        if match is None:
            raise ParametersError([("KEY_HASH", "must be scrypt, or scrypt:N:r:p")])
        self._costs = tuple(
            int(cost or default)
            for cost, default in zip(match.groups(), DEFAULT_COSTS, strict=True)
        )
        self._accounts = storage.accounts
        self._tag_salt = storage.key_salt.encode()
        self._accept_any = accept_any
        self._secret = secrets.token_bytes(32)
        self._verified: dict[str, bytes] = {}
        self._one_at_a_time = threading.RLock()
        if self._costs != DEFAULT_COSTS:
            self._try_costs()

    def hashed(self, key: str) -> dict[str, Any]:
        """Return what an account stores of *key*, by the names of its settings.

        :raises ParametersError: if it can be no key.
        """
        if not key or "\0" in key:
            raise ParametersError([("api_key", "must not be empty, or contain NUL")])
        key_hash = self._hash(key)
        self._cache(key_hash, self._digest(key))
        return {"key_hash": key_hash, "key_tag": self._tag(key)}

    def matches(self, account: Account | None, key: str) -> bool:
        """Return whether *key* is the account's.

        No account, or one without a key, takes as long as a wrong key.
        """
        key_hash = account.key_hash if account else ""
        digest = self._digest(key)
        cached = self._verified.get(key_hash)
        if cached is not None and hmac.compare_digest(cached, digest):
            return True
        # HMAC, inside the hash, takes NULs at a key's end for nothing.
        with self._one_at_a_time:
            matches = check_password_hash(key_hash or self._decoy, key)
        if not matches or not key_hash or "\0" in key:
            return False
        self._cache(key_hash, digest)
        return True

    def authenticate(self, username: str, key: str) -> Account:
        """Return the account that *username* and *key* belong to.

        :raises CredentialsError: if there is none.
        """
        if not username or not key:
            raise CredentialsError
        account = self._accounts.find(username)
        if self._accept_any:
            return account or self._create(username, key)
        if not self.matches(account, key) or account is None:
            raise CredentialsError
        return account

    def authenticate_domain(self, name: str, key: str) -> Domain:
        """Return the domain of this name, if *key* is that of the account it is of.

        :raises CredentialsError: if *key* is no account's.
        :raises UnknownNameError: if it is another account's than the domain's.
        """
        if not key:
            raise CredentialsError
        domain = self._accounts.find_domain(name)
        if self._accept_any:
            return domain or self._create_domain(name, key)
        if self.matches(domain.account if domain else None, key) and domain:
            return domain
        with self._one_at_a_time:
            tag = self._tag(key)
        if not any(self.matches(found, key) for found in self._accounts.with_tag(tag)):
            raise CredentialsError
        raise UnknownNameError("domain", name)

    def _digest(self, key: str) -> bytes:
        """Return what is remembered of *key*."""
        return hashlib.blake2b(key.encode(), key=self._secret).digest()

    def _cache(self, key_hash: str, digest: bytes) -> None:
        if len(self._verified) >= CACHE_SIZE:
            self._verified.clear()
        self._verified[key_hash] = digest

    def _create(self, username: str, key: str) -> Account:
        try:
            return self._accounts.add(username, **self.hashed(key))
        except NameTakenError:  # another request was faster
            return self._accounts.get(username)
        except ParametersError:
            raise CredentialsError from None

    def _create_domain(self, name: str, key: str) -> Domain:
        name = name.lower()
        account = self._accounts.find(name) or self._create(name, key)
        try:
            return self._accounts.add_domain(name, account, shares_list=True)
        except ParametersError:
            raise CredentialsError from None

    @cached_property
    def _decoy(self) -> str:
        """The hash of a key that nobody has, made when it is needed: it takes time."""
        return self._hash(secrets.token_hex())

    def _try_costs(self) -> None:
        try:
            self._hash("")
        except (ValueError, OverflowError) as error:
            raise ParametersError([("KEY_HASH", str(error))]) from None

    def _hash(self, key: str) -> str:
        n, r, p = self._costs
        with self._one_at_a_time:
            return generate_password_hash(key, f"scrypt:{n}:{r}:{p}")

    def _tag(self, key: str) -> int:
        """Return 16 bits of a slow hash that is salted alike for all accounts.

        So an account is found by its key alone, at the cost of one hash more, and the
        tag tells nothing of use about the key.
        """
        n, r, p = TAG_COSTS
        digest = hashlib.scrypt(key.encode(), salt=self._tag_salt, n=n, r=r, p=p)
        return int.from_bytes(digest[:2], "big")
