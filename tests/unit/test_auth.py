"""Authentication: hashed keys, the cache, and equal times for all failures."""

import hmac
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from conftest import QUICK_COSTS

from sendgrid_bounces import auth
from sendgrid_bounces.auth import Authenticator
from sendgrid_bounces.core import attempts
from sendgrid_bounces.core.accounts import Account
from sendgrid_bounces.core.attempts import MAX_ATTEMPTS, HashQueue, client_at
from sendgrid_bounces.core.errors import (
    CredentialsError,
    ParametersError,
    TooManyAttemptsError,
    UnknownNameError,
)
from sendgrid_bounces.core.sources import SourceSettings
from sendgrid_bounces.storage.database import Storage


@pytest.fixture(name="checks")
def _checks(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The hashes that were verified with scrypt."""
    checked: list[str] = []

    def check(key_hash: str, key: str) -> bool:
        checked.append(key_hash)
        return original(key_hash, key)

    original = auth.check_password_hash
    monkeypatch.setattr(auth, "check_password_hash", check)
    return checked


@pytest.fixture(name="authenticator")
def _authenticator(storage: Storage) -> Authenticator:
    """An authenticator for the accounts acme, with key s3cret, and keyless."""
    authenticator = Authenticator(storage, QUICK_COSTS)
    acme = storage.accounts.add("acme")
    storage.accounts.change(acme, **authenticator.hash_key("s3cret"))
    storage.accounts.add("keyless")
    return authenticator


def test_verified_key_is_cached(storage, authenticator, checks) -> None:
    """Each authenticator has a cache of its own."""
    other = Authenticator(storage, QUICK_COSTS)
    for _ in range(3):
        assert other.authenticate("acme", "s3cret").username == "acme"

    assert len(checks) == 1


def test_simultaneous_requests_verify_a_key_once(storage, checks) -> None:
    """The other threads wait for the result of the first."""
    authenticator = Authenticator(storage, QUICK_COSTS)
    storage.accounts.add("acme", **authenticator.hash_key("s3cret"))
    authenticator = Authenticator(storage, QUICK_COSTS)
    start = threading.Barrier(8)

    def log_in() -> None:
        start.wait(10)
        authenticator.authenticate("acme", "s3cret")

    threads = [threading.Thread(target=log_in) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert len(checks) == 1


def test_hashed_key_is_cached(authenticator, checks) -> None:
    """The first request with the key needs no verification."""
    assert authenticator.authenticate("acme", "s3cret").username == "acme"
    assert checks == []
    with pytest.raises(CredentialsError):
        authenticator.authenticate("acme", "wrong")


@pytest.mark.parametrize(
    ("username", "key"),
    [
        ("acme", "wrong"),
        ("acme", "s3cret "),
        ("acme", "S3CRET"),
        ("nobody", "s3cret"),
        ("keyless", "s3cret"),
    ],
)
def test_every_failure_verifies_one_hash(
    authenticator, checks, username: str, key: str
) -> None:
    """A wrong key, an unknown account and an account without a key take equal time."""
    authenticator.authenticate("acme", "s3cret")
    checks.clear()

    for end in ("", "!"):
        with pytest.raises(CredentialsError):
            authenticator.authenticate(username, key + end)
    assert len(checks) == 2


def test_wrong_key_is_cached_for_the_name_only(authenticator, storage, checks) -> None:
    """Another name takes as long as the first; a changed key is verified."""
    for name in ("nobody", "nobody", "keyless", "somebody"):
        with pytest.raises(CredentialsError):
            authenticator.authenticate(name, "s3cret")
    assert len(checks) == 3

    keyless = storage.accounts.get("keyless")
    storage.accounts.change(
        keyless, **Authenticator(storage, QUICK_COSTS).hash_key("k")
    )
    with pytest.raises(CredentialsError):
        authenticator.authenticate("keyless", "s3cret")
    assert authenticator.authenticate("keyless", "k")
    assert len(checks) == 5


@pytest.fixture(name="limited")
def _limited(storage: Storage, authenticator: Authenticator) -> Authenticator:
    """An authenticator that serves a client, which has logged in once."""
    limited = Authenticator(storage, QUICK_COSTS, client=lambda: "127.0.0.1")
    limited.authenticate("acme", "s3cret")
    return limited


def _guess(authenticator: Authenticator, name: str, number: int) -> None:
    for n in range(number):
        with pytest.raises(CredentialsError):
            authenticator.authenticate(name, f"wrong {n}")


def test_wrong_keys_are_limited_by_name_and_client(limited, monkeypatch) -> None:
    """A verified key remains valid, and other names and other clients can log in."""
    for _ in range(2):  # a repeated key counts once
        _guess(limited, "acme", MAX_ATTEMPTS - 1)
    with pytest.raises(CredentialsError):
        limited.authenticate("acme", "the last one")
    with pytest.raises(TooManyAttemptsError):
        limited.authenticate("acme", "another")
    assert limited.authenticate("acme", "s3cret")
    _guess(limited, "nobody", 1)

    monkeypatch.setattr(limited, "_client", lambda: "192.0.2.1")
    _guess(limited, "acme", 1)
    monkeypatch.setattr(limited, "_client", lambda: "127.0.0.1")
    monkeypatch.setattr(attempts, "WINDOW", 0)
    _guess(limited, "acme", 1)


@pytest.mark.parametrize(
    ("name", "call"),
    [
        ("acme", lambda auth, key: auth.authenticate("acme", key)),
        ("", lambda auth, key: auth.authenticate_key(key)),
        ("mg.example", lambda auth, key: auth.authenticate_domain("mg.example", key)),
        ("token", lambda auth, key: auth.verify_token("s3cret", key)),
    ],
    ids=["user", "key", "domain", "token"],
)
def test_right_key_does_not_stand_out_among_refused_guesses(
    storage, limited, monkeypatch, name: str, call: Callable[[Authenticator, str], Any]
) -> None:
    """The time of the response does not show it. Clients that have used it may go on."""
    storage.accounts.add_domain("mg.example", storage.accounts.get("acme"))
    for client in ("127.0.0.1", "198.51.100.7"):  # the second one's key is in the cache
        monkeypatch.setattr(limited, "_client", lambda known=client: known)
        assert call(limited, "s3cret")

    def guess() -> None:
        for n in range(MAX_ATTEMPTS):
            with suppress(CredentialsError):
                assert not call(limited, f"wrong {limited._client()} {n}")

    monkeypatch.setattr(limited, "_client", lambda: "192.0.2.1")
    guess()
    work: dict[str, list[str]] = {"another": [], "s3cret": []}
    for owner, method in (
        (limited, "_is_cached"),
        (limited, "_attempt"),
        (storage.accounts, "with_tag"),
    ):
        monkeypatch.setattr(owner, method, lambda *_, m=method: work[key].append(m))
    for key in work:
        with pytest.raises(TooManyAttemptsError):
            call(limited, key)
    assert work["another"] == work["s3cret"]  # so it takes as long
    monkeypatch.undo()
    for client in ("127.0.0.1", "198.51.100.7"):
        monkeypatch.setattr(limited, "_client", lambda known=client: known)
        guess()
        assert call(limited, "s3cret")


def test_wrong_keys_without_a_name_are_limited(limited) -> None:
    """Calls of SendGrid v3 have an API key only, those of Mailgun a domain."""
    for n in range(MAX_ATTEMPTS):
        with pytest.raises(CredentialsError):
            limited.authenticate_key(f"wrong {n}")
    with pytest.raises(TooManyAttemptsError):
        limited.authenticate_key("another")
    assert limited.authenticate("acme", "s3cret")


@pytest.mark.parametrize(
    "damaged", ["x", "scrypt:1:1$x", "scrypt:8:8:1$", "$$", "a$b$c"]
)
def test_damaged_hash_is_of_no_key(limited, storage, damaged: str) -> None:
    """SQLite has no checksums, so a failing disk can change it."""
    storage.accounts.change(storage.accounts.get("acme"), key_hash=damaged)
    with pytest.raises(CredentialsError):
        limited.authenticate("acme", "s3cret")


def test_key_of_two_accounts_is_refused_at_once(limited, storage) -> None:
    """So does a process that has verified the key for the first account."""
    assert limited.authenticate_key("s3cret").username == "acme"
    storage.accounts.add("second", **limited.hash_key("s3cret"))
    with pytest.raises(CredentialsError):
        limited.authenticate_key("s3cret")
    storage.accounts.remove("acme")
    assert limited.authenticate_key("s3cret").username == "second"


def test_right_keys_with_the_same_tag_are_no_attempts(
    storage, limited, checks, monkeypatch
) -> None:
    """Of some hundred accounts, two have the same tag by chance."""
    monkeypatch.setattr(limited, "_tag", lambda *_: 7)
    for name in ("one", "two", "three"):
        storage.accounts.add(name, **limited.hash_key(f"key of {name}"))
    limited._verified.clear()
    monkeypatch.setattr(attempts, "CACHE_SECONDS", 0)
    for _ in range(MAX_ATTEMPTS):
        for name in ("one", "two", "three"):
            assert limited.authenticate_key(f"key of {name}").username == name
    assert limited._failed.counts == {}
    assert len(checks) == 9


@pytest.mark.parametrize("key", ["wrong", "s3cret\0", ""])
def test_keys_of_trusted_callers_are_no_attempts(limited, storage, key: str) -> None:
    """They never count, and never match an empty hash."""
    key_hash = storage.accounts.get("acme").key_hash
    for _ in range(MAX_ATTEMPTS + 1):
        assert not limited.matches(key_hash, key)
        assert not limited.matches("", key)
    assert limited.matches(key_hash, "s3cret")
    _guess(limited, "nobody", 1)
    assert not limited._failed.is_suspect("127.0.0.1")


def test_unknown_domains_are_no_attempts(limited) -> None:
    """The key is valid."""
    for n in range(2 * MAX_ATTEMPTS):
        with pytest.raises(UnknownNameError):
            limited.authenticate_domain(f"{n % 3}.example.com", "s3cret")
    assert not limited._failed.is_suspect("127.0.0.1")


@pytest.mark.parametrize("own_key", [None, "s3cret"], ids=["letter case", "own key"])
def test_keys_of_a_domain_are_limited(
    storage, limited, checks, own_key: str | None
) -> None:
    """Neither letter case nor a key of another account allows more attempts."""
    hashed = Authenticator(storage, QUICK_COSTS).hash_key("hidden")
    owner = storage.accounts.add("owner", **hashed)
    storage.accounts.add_domain("e" * 60 + ".com", owner)
    for n in range(2 * MAX_ATTEMPTS):
        name = "e" * 60 if own_key else "e" * n + "E" + "e" * (59 - n)
        for key in filter(None, (f"wrong {n}", own_key)):
            with suppress(CredentialsError, TooManyAttemptsError, UnknownNameError):
                limited.authenticate_domain(f"{name}.com", key)
    assert checks.count(owner.key_hash) <= MAX_ATTEMPTS + 1
    with pytest.raises(TooManyAttemptsError):
        limited.authenticate_domain("e" * 60 + ".com", "hidden")


def test_guesses_take_bounded_memory(limited, monkeypatch) -> None:
    """The counts are dropped when there are too many."""
    monkeypatch.setattr(attempts, "MAX_ENTRIES", 10)
    for n in range(30):
        _guess(limited, f"name{n}", 1)
    assert len(limited._failed._known) <= 10
    assert len(limited._failed.counts) <= 11
    assert len(limited._failed._added) <= 10


@pytest.mark.parametrize(
    ("address", "client"),
    [
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
        ("2001:db8:1:2::7", "2001:db8:1:2::"),
        ("2001:db8:1:3::7", "2001:db8:1:3::"),
        ("fe80::1%eth0", "fe80::"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("192.0.2.7", "192.0.2.7"),
        ("unknown", "unknown"),
        ("\0any-name", "unknown"),
        ("/run/client.sock", "unknown"),
    ],
)
def test_client_is_a_network_of_ipv6_addresses(address: str, client: str) -> None:
    """A host can use all addresses with the same 64 bits, or names on a Unix socket."""
    assert client_at(address) == client


@pytest.mark.parametrize(
    ("client", "attempt", "is_suspect", "is_refused"),
    [
        ("b", b"1", True, True),
        ("a", b"1", True, True),
        ("b", b"1", False, False),
        ("a", b"1", False, False),
        ("a", b"3", False, True),
        ("", b"", False, False),
    ],
    ids=[
        "suspect",
        "suspect with the same key",
        "another client",
        "same key",
        "another key",
        "no client",
    ],
)
def test_few_keys_wait_for_hashes(
    client: str, attempt: bytes, is_suspect: bool, is_refused: bool
) -> None:
    """Suspect clients never wait, other clients with two keys at most."""
    queue, ended = HashQueue(2), threading.Event()

    def work(client: str, attempt: bytes) -> None:
        with queue.turn(client, attempt):
            ended.wait(10)

    def start(count: int, *arguments: object) -> threading.Thread:
        thread = threading.Thread(target=work, args=arguments)
        thread.start()
        while queue._waiting.total() < count:
            time.sleep(0.001)
        return thread

    threads = [start(1, "a", b"1"), start(2, "a", b"2")]
    if is_refused:
        with (
            pytest.raises(TooManyAttemptsError),
            queue.turn(client, attempt, is_suspect=is_suspect),
        ):
            pass
    else:
        threads.append(start(3, client, attempt))
    ended.set()
    for thread in threads:
        thread.join(10)
    with queue.turn("b", b"3", is_suspect=True):
        pass
    assert not queue._waiting


def test_keys_of_many_clients_leave_threads_to_others() -> None:
    """A flood may come from many addresses. Work that must be done is not refused."""
    queue, ended = HashQueue(4), threading.Event()

    def work(client: str) -> None:
        with queue.turn(client, b"1"):
            ended.wait(10)

    threads = []
    for client in ("a", "b", "c", "d", "e", "a", ""):
        threads.append(threading.Thread(target=work, args=(client,)))
        threads[-1].start()
        while queue._waiting.total() < len(threads):
            time.sleep(0.001)
    with pytest.raises(TooManyAttemptsError), queue.turn("f", b"1"):
        pass
    ended.set()
    for thread in threads:
        thread.join(10)
    with queue.turn("f", b"1"):
        pass


def test_a_wrong_key_is_hashed_once_for_all_threads(storage, monkeypatch) -> None:
    """Otherwise one key on many connections would occupy all threads."""
    authenticator = Authenticator(storage, QUICK_COSTS, client=lambda: "192.0.2.1")
    hashed, begun = [], threading.Event()

    def check(*pair: str) -> bool:
        hashed.append(pair)
        begun.wait(10)
        return False

    monkeypatch.setattr(auth, "check_password_hash", check)

    def work() -> None:
        with pytest.raises(CredentialsError):
            authenticator.authenticate("nobody", "wrong")

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    while authenticator._hashing._waiting.total() < len(threads):
        time.sleep(0.001)
    begun.set()
    for thread in threads:
        thread.join(10)

    assert len(hashed) == 1


def test_client_with_the_fewest_keys_is_next() -> None:
    """The first key of a client does not wait for all keys of another."""
    queue, ended, order = HashQueue(8), threading.Event(), []

    def work(client: str, attempt: bytes) -> None:
        with queue.turn(client, attempt):
            ended.wait(10)
            order.append(attempt)

    threads = []
    for client, attempt in [("a", b"1"), ("a", b"2"), ("a", b"3"), ("b", b"4")]:
        threads.append(threading.Thread(target=work, args=(client, attempt)))
        threads[-1].start()
        while queue._waiting.total() < len(threads):
            time.sleep(0.001)
    while len(queue._tickets) < 3:
        time.sleep(0.001)
    ended.set()
    for thread in threads:
        thread.join(10)

    assert order == [b"1", b"4", b"2", b"3"]


@pytest.mark.parametrize(
    ("username", "key"),
    [("", "s3cret"), ("acme", ""), ("acme", "s3cret\0"), ("keyless", "")],
)
def test_invalid_credentials_are_rejected(authenticator, username, key) -> None:
    """HMAC ignores NULs at the end of a key."""
    with pytest.raises(CredentialsError):
        authenticator.authenticate(username, key)


def test_changed_key_is_effective_immediately(authenticator, storage) -> None:
    """The old key in the cache no longer matches."""
    acme = authenticator.authenticate("acme", "s3cret")
    storage.accounts.change(acme, **authenticator.hash_key("new"))

    with pytest.raises(CredentialsError):
        authenticator.authenticate("acme", "s3cret")
    assert authenticator.authenticate("acme", "new")


def test_full_cache_is_cleared(authenticator, storage, monkeypatch) -> None:
    """A key that is no longer cached is verified again."""
    monkeypatch.setattr(auth, "CACHE_SIZE", 1)
    for name in "abc":
        settings = authenticator.hash_key(name)
        storage.accounts.change(storage.accounts.add(name), **settings)

    for name in "abcabc":
        assert authenticator.authenticate(name, name)
        assert len(authenticator._verified) == 1


def test_cached_keys_are_compared_in_constant_time(authenticator, monkeypatch) -> None:
    """The comparison uses hmac.compare_digest()."""
    compared = []
    original = hmac.compare_digest
    monkeypatch.setattr(
        auth.hmac,
        "compare_digest",
        lambda a, b: compared.append((a, b)) or original(a, b),
    )
    authenticator.authenticate("acme", "s3cret")
    compared.clear()
    authenticator.authenticate("acme", "s3cret")

    assert len(compared) == 1


def test_keys_are_stored_as_salted_hashes(storage, tmp_path) -> None:
    """Two hashes of a key differ, and no file contains the key."""
    authenticator = Authenticator(storage)
    hashed = [authenticator.hash_key("s3cret-in-clear") for _ in range(2)]
    for name, settings in zip(("a", "b"), hashed, strict=True):
        storage.accounts.change(storage.accounts.add(name), **settings)
    hashes = [settings["key_hash"] for settings in hashed]

    assert hashes[0] != hashes[1]
    assert all(key_hash.startswith("scrypt:32768:8:1$") for key_hash in hashes)
    for path in tmp_path.iterdir():
        assert b"s3cret-in-clear" not in path.read_bytes()


def test_restore_between_the_salt_and_the_account_is_noticed(
    storage, monkeypatch
) -> None:
    """The restored accounts have other tags for the same keys."""
    authenticator = Authenticator(storage, QUICK_COSTS)
    account = storage.accounts.add("acme", **authenticator.hash_key("s3cret"))
    find = storage.accounts.with_tag

    def restore(tag: int) -> list[Account]:
        monkeypatch.setattr(storage.accounts, "with_tag", find)
        storage.engine.execute("UPDATE about SET key_salt = 'another'")
        storage.accounts.change(account, **authenticator.hash_key("s3cret"))
        return find(tag)

    monkeypatch.setattr(storage.accounts, "with_tag", restore)
    assert authenticator.authenticate_key("s3cret").username == "acme"


def test_any_creates_an_account_on_first_use(storage) -> None:
    """The key is stored, and valid for a server that checks keys."""
    lenient = Authenticator(storage, QUICK_COSTS, accept_any=True)
    new = lenient.authenticate("new", "key")

    assert new == lenient.authenticate("new", "another")
    assert new == Authenticator(storage, QUICK_COSTS).authenticate("new", "key")
    for name, key in (("", "key"), ("new2", ""), ("a" * 256, "key"), ("a\n", "key")):
        with pytest.raises(CredentialsError):
            lenient.authenticate(name, key)
    assert [new] == storage.accounts.all()


def test_any_key_is_no_wrong_key(storage) -> None:
    """A client may send any number of keys, which belong to one account."""
    lenient = Authenticator(
        storage, QUICK_COSTS, accept_any=True, client=lambda: "127.0.0.1"
    )
    accounts = {lenient.authenticate_key(f"SG.{n}").username for n in range(50)}
    assert accounts == {auth.API_KEY_USER}


def test_domain_that_another_request_adds_is_used(storage, monkeypatch) -> None:
    """While the key is hashed, an account can get the domain of a first request."""
    lenient = Authenticator(storage, QUICK_COSTS, accept_any=True)
    other = storage.accounts.add("other")
    hash_key = lenient.hash_key

    def hash_slowly(key: str) -> dict:
        storage.accounts.add_domain("new.example", other)
        return hash_key(key)

    monkeypatch.setattr(lenient, "hash_key", hash_slowly)
    assert lenient.authenticate_domain("new.example", "key").account == other


def test_any_creates_no_account_that_would_get_the_sources_of_a_domain(storage) -> None:
    owner = storage.accounts.add("owner")
    storage.accounts.add_domain("owned.example", owner)
    storage.sources.add("hook", "owned.example", "sendgrid", SourceSettings())
    lenient = Authenticator(storage, QUICK_COSTS, accept_any=True)
    with pytest.raises(CredentialsError):
        lenient.authenticate("owned.example", "key")
    assert [owner] == storage.accounts.all()


def test_concurrently_created_account_is_used(storage, monkeypatch) -> None:
    """Two concurrent first requests create one account."""
    lenient = Authenticator(storage, QUICK_COSTS, accept_any=True)
    created = storage.accounts.add("new")
    found = iter([None])
    monkeypatch.setattr(
        lenient,
        "_accounts",
        type(
            "Late",
            (),
            {
                "count": lambda _: 0,
                "find": lambda _, __: next(found),
                "add": storage.accounts.add,
                "get": storage.accounts.get,
            },
        )(),
    )

    assert created == lenient.authenticate("new", "key")


@pytest.mark.parametrize("costs", [(3, 8, 1), (2**30, 8, 1), (16, 2**30, 2**30)])
def test_unusable_costs_are_rejected(storage, costs: tuple[int, int, int]) -> None:
    """The error is raised when the server starts, before the first request."""
    with pytest.raises(ParametersError, match="KEY_HASH"):
        Authenticator(storage, costs)


@pytest.mark.parametrize("key", ["", "a\0"])
def test_invalid_key_is_not_hashed(authenticator, key: str) -> None:
    """A request could never contain such a key."""
    with pytest.raises(ParametersError, match="api_key"):
        authenticator.hash_key(key)
