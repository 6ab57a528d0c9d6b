"""Authentication: hashing, verifying and caching API keys."""

import hashlib
import hmac
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import Any

from werkzeug.security import check_password_hash, generate_password_hash

from sendgrid_bounces.core.accounts import (
    DEFAULT_COSTS,
    KEY_RULE,
    Account,
    Domain,
    ScryptCosts,
)
from sendgrid_bounces.core.attempts import FailedAttempts, HashQueue, make_room
from sendgrid_bounces.core.errors import (
    AccountLimitError,
    CredentialsError,
    NameTakenError,
    ParametersError,
    UnknownNameError,
)
from sendgrid_bounces.storage.database import Storage

#: Verified keys in the cache, which is cleared when it is full.
CACHE_SIZE = 10_000

#: Accounts in the database above which no account is created on its first use.
MAX_ACCOUNTS = 10_000

#: The costs of a key tag. They never change: stored tags would not match.
TAG_COSTS: ScryptCosts = (2**12, 8, 1)

#: The user name of callers that have an API key only.
API_KEY_USER = "apikey"


class Authenticator:
    """Verifies the API keys of the accounts in one database.

    A key is stored as a salted scrypt hash. Verifying a key takes tens of milliseconds
    and megabytes, so keys are verified one at a time, and verified keys are cached in
    the process under a random secret, until the key of the account changes. Wrong keys
    are limited, by the name they are for and by the client that sends them.

    :param accept_any: whether every key is valid, and unknown accounts are created,
        up to :data:`MAX_ACCOUNTS`.
    :param client: returns the client of the current request; an empty text outside of
        requests, whose keys are not limited.
    :param most_waiting: keys of a client that may be verified or wait for it.
    :param tag_costs: the costs of key tags, for a database that no other process uses;
        by default :data:`TAG_COSTS`.
    :raises ParametersError: if scrypt does not accept *costs*.
    """

    def __init__(
        self,
        storage: Storage,
        costs: ScryptCosts = DEFAULT_COSTS,
        *,
        accept_any: bool = False,
        client: Callable[[], str] = str,
        most_waiting: int = 1,
        tag_costs: ScryptCosts | None = None,
    ) -> None:
        self._costs = costs
        self._tag_costs = tag_costs or TAG_COSTS
        self._accounts = storage.accounts
        self._read_tag_salt = storage.accounts.read_key_salt
        self._accept_any = accept_any
        self._secret = secrets.token_bytes(32)
        self._verified: dict[str, bytes] = {}
        self._tags: dict[tuple[str, bytes], int] = {}
        #: Wrong keys that share the tag of an account.
        self._mismatches: dict[bytes, None] = {}
        #: Clients, each with the digest of a right key that it has sent.
        self._callers: dict[tuple[str, bytes], None] = {}
        self._client = client
        self._failed = FailedAttempts()
        self._hashing = HashQueue(most_waiting)
        if costs != DEFAULT_COSTS:
            self._check_costs()

    def hash_key(self, key: str) -> dict[str, Any]:
        """Return the columns of an account that store *key*, and the salt of its tag.

        :raises ParametersError: if *key* is empty or contains NUL.
        """
        if not key or "\0" in key:
            raise ParametersError([("api_key", KEY_RULE)])
        with self._hashing.turn():
            salt = self._read_tag_salt()
            key_hash, tag = self._hash(key), self._tag(key, salt)
        self._cache(key_hash, self._digest(key))
        return {"key_hash": key_hash, "key_tag": tag, "key_salt": salt}

    def verify_hash(self, key_hash: str, key: str, name: str = "") -> bool:
        """Return whether *key_hash* is a hash of *key*; False for an empty hash.

        An empty hash takes as long as a wrong key.

        :param name: the name that the client gave.
        :raises TooManyAttemptsError: if it has sent too many wrong keys for this name,
            and never this key, or several for any names, and another key is being
            verified.
        """
        digest = self._digest(key)
        if self._failed.counts:
            self._check_client(name, digest)
        if self._is_cached(key_hash, digest):
            caller = self._client(), digest
            if caller not in self._callers:  # mostly, it is
                self._remember(caller)
            return True
        attempt = self._attempt(name, key_hash, key)
        if self._failed.is_known(attempt):
            return False
        with self._limited(attempt, name):
            if self._failed.is_known(attempt):
                return False
            # Another thread may have been first.
            if not self._is_cached(key_hash, digest):
                if not self._compare(key_hash, key):
                    self._failed.add(self._client(), self._digest(name), attempt)
                    return False
                self._cache(key_hash, digest)
        self._remember((self._client(), digest))
        return True

    def verify_token(self, secret: str, token: str) -> bool:
        """Return whether *token* is *secret*, which is known in clear text.

        :raises TooManyAttemptsError: if the client has sent too many wrong tokens, and
            never this token.
        """
        digest, name = self._digest(token), self._digest(secret)
        self._check_client(secret, digest)
        if hmac.compare_digest(digest, name):
            self._remember((self._client(), digest))
            return True
        attempt = self._attempt(secret, "", token)
        if not self._failed.is_known(attempt):
            self._failed.add(self._client(), name, attempt)
        return False

    def forget_attempts(self) -> None:
        """Forget all wrong keys."""
        self._failed = FailedAttempts()

    def matches(self, key_hash: str, key: str) -> bool:
        """Return whether *key_hash* is a hash of *key*, for a trusted caller.

        A wrong key does not count as an attempt.
        """
        digest = self._digest(key)
        if self._is_cached(key_hash, digest):
            return True
        with self._hashing.turn():
            is_right = self._compare(key_hash, key)
        if is_right:
            self._cache(key_hash, digest)
        return is_right

    def authenticate(self, username: str, key: str) -> Account:
        """Return the account of *username*.

        :raises CredentialsError: if the account does not exist, or has another key.
        :raises AccountLimitError: if an account would be created beyond the limit.
        """
        if not username or not key:
            raise CredentialsError
        account = self._accounts.find(username)
        if self._accept_any:
            return account or self._create(username, key)
        key_hash = account.key_hash if account else ""
        if not self.verify_hash(key_hash, key, username) or account is None:
            raise CredentialsError
        return account

    def authenticate_key(self, key: str) -> Account:
        """Return the account with the API key *key*.

        If any key is accepted, an unknown one belongs to the account
        :data:`API_KEY_USER`, which is created on first use.

        :raises CredentialsError: if no account, or more than one, has this key.
        """
        if not key or "\0" in key:
            raise CredentialsError
        found = self._find_by_key(key)
        if self._accept_any and not found:
            account = self._accounts.find(API_KEY_USER)
            return account or self._create(API_KEY_USER, key)
        if len(found) != 1:
            raise CredentialsError
        return found[0]

    def authenticate_domain(self, name: str, key: str) -> Domain:
        """Return the domain *name*, if *key* is the key of its account.

        :raises CredentialsError: if no account has the key.
        :raises UnknownNameError: if the domain does not exist, or belongs to an account
            with another key.
        """
        if not key:
            raise CredentialsError
        domain = self._accounts.find_domain(name)
        if self._accept_any:
            return domain or self._create_domain(name, key)
        key_hash = domain.account.key_hash if domain else ""
        folded = name.lower()  # letter case allows no further attempts
        if self.verify_hash(key_hash, key, folded) and domain:
            return domain
        if not self._find_by_key(key):
            raise CredentialsError
        attempt = self._attempt(folded, key_hash, key)
        self._failed.forgive(self._client(), self._digest(folded), attempt)
        raise UnknownNameError("domain", name)

    def _find_by_key(self, key: str) -> list[Account]:
        """Return the accounts with the API key *key*."""
        digest = self._digest(key)
        if self._failed.counts:
            self._check_client("", digest)
        salt = self._read_tag_salt()
        tag = self._tags.get((salt, digest))
        is_new = tag is None
        if tag is None:
            with self._limited(digest):
                tag = self._tags.get((salt, digest))  # another thread may be first
                tag = self._tag(key, salt) if tag is None else tag
            make_room(self._tags, CACHE_SIZE)
            self._tags[salt, digest] = tag
        accounts = self._accounts.with_tag(tag)
        found = [a for a in accounts if self._has_key(a, key, digest)]
        if not found and self._read_tag_salt() != salt:  # a restore came in between
            return self._find_by_key(key)
        if is_new and not found and not self._accept_any:
            self._failed.add(self._client(), self._digest(""), digest)
        return found

    def _has_key(self, account: Account, key: str, digest: bytes) -> bool:
        """Return whether *key* is that of *account*, which has the tag of it.

        Otherwise, the key may be the right one of another account with this tag, so
        that this is no attempt.
        """
        key_hash = account.key_hash
        if not self._is_cached(key_hash, digest):
            attempt = self._attempt("", key_hash, key)
            if attempt in self._mismatches:
                return False
            with self._limited(attempt):
                is_right = self._compare(key_hash, key)
            if not is_right:
                make_room(self._mismatches, CACHE_SIZE)
                self._mismatches[attempt] = None
                return False
            self._cache(key_hash, digest)
        self._remember((self._client(), digest))
        return True

    @contextmanager
    def _limited(self, attempt: bytes, name: str = "") -> Iterator[None]:
        """Compute a slow hash in the block, if the client may make another attempt."""
        client = self._client()
        if client:
            self._failed.check(client, self._digest(name))
        is_suspect = self._failed.is_suspect(client)
        with self._hashing.turn(client, attempt, is_suspect=is_suspect):
            yield

    def _check_client(self, name: str, digest: bytes) -> None:
        """Check that the client may use a key for *name*; a known caller always may.

        This comes before all that depends on whether the key is right: a right key
        would stand out among refused guesses, by its response or its time.

        :param digest: that of the key.
        """
        client = self._client()
        if client and (client, digest) not in self._callers:
            self._failed.check(client, self._digest(name))

    def _remember(self, caller: tuple[str, bytes]) -> None:
        """Let a client use a right key even beyond the limit on wrong keys."""
        if caller not in self._callers:
            make_room(self._callers, CACHE_SIZE)
            self._callers[caller] = None

    def _compare(self, key_hash: str, key: str) -> bool:
        """Return whether *key_hash* is a hash of *key*, always at the same cost."""
        try:
            is_equal = check_password_hash(key_hash or self._decoy, key)
        except (AttributeError, ValueError):  # a damaged row
            is_equal = False
        # HMAC, inside scrypt, ignores NULs at the end of a key.
        return is_equal and bool(key_hash) and "\0" not in key

    def _attempt(self, name: str, key_hash: str, key: str) -> bytes:
        """Return the fast keyed hash of an attempt with *key* for *name*."""
        return self._digest(f"{name}\0{key_hash}\0{key}")

    def _digest(self, key: str) -> bytes:
        """Return the fast keyed hash of *key* that the cache holds."""
        return hashlib.blake2b(key.encode(), key=self._secret).digest()

    def _is_cached(self, key_hash: str, digest: bytes) -> bool:
        cached = self._verified.get(key_hash)
        return cached is not None and hmac.compare_digest(cached, digest)

    def _cache(self, key_hash: str, digest: bytes) -> None:
        make_room(self._verified, CACHE_SIZE)
        self._verified[key_hash] = digest

    def _create(self, username: str, key: str) -> Account:
        """Create an account on its first use."""
        if self._accounts.count() >= MAX_ACCOUNTS:
            raise AccountLimitError(
                f"account {username!r} is unknown, and was not created: the database "
                f"has {MAX_ACCOUNTS:,} accounts, the maximum with --auth any (remove "
                "some, or add this one with sendgrid-bounces account add)"
            )
        try:
            return self._accounts.add(username, **self.hash_key(key))
        except NameTakenError:  # a concurrent request has created the account
            try:
                return self._accounts.get(username)
            except UnknownNameError:  # the name is that of a domain with sources
                raise CredentialsError from None
        except ParametersError:
            raise CredentialsError from None

    def _create_domain(self, name: str, key: str) -> Domain:
        """Create a domain, and an account of the same name, on its first use."""
        name = name.lower()
        account = self._accounts.find(name) or self._create(name, key)
        try:
            return self._accounts.transact(
                lambda: self._accounts.add_domain(
                    name, self._accounts.get(account.username), shares_list=True
                )
            )
        except NameTakenError:  # a concurrent request has added the domain
            domain = self._accounts.find_domain(name)
            if domain is None:
                raise CredentialsError from None
            return domain
        except ParametersError:
            raise CredentialsError from None

    @cached_property
    def _decoy(self) -> str:
        """A hash that matches no key; computed on first use, since hashing is slow."""
        return self._hash(secrets.token_hex())

    def _check_costs(self) -> None:
        try:
            self._hash("")
        except (ValueError, OverflowError) as error:
            raise ParametersError([("KEY_HASH", str(error))]) from None

    def _hash(self, key: str) -> str:
        n, r, p = self._costs
        return generate_password_hash(key, f"scrypt:{n}:{r}:{p}")

    def _tag(self, key: str, salt: str) -> int:
        """Return 16 bits of a hash of *key* with *salt*, the same for all accounts.

        The tag finds accounts by their key alone, at the cost of one more hash. A tag
        is too short to disclose anything useful about the key.
        """
        n, r, p = self._tag_costs
        digest = hashlib.scrypt(key.encode(), salt=salt.encode(), n=n, r=r, p=p)
        return int.from_bytes(digest[:2], "big")
