"""Authentication: hashed keys, the cache, and equal times for all failures."""

import hmac

import pytest
from conftest import QUICK_COSTS

from sendgrid_bounces import auth
from sendgrid_bounces.auth import Authenticator
from sendgrid_bounces.core.errors import CredentialsError, ParametersError
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

    for _ in range(2):
        with pytest.raises(CredentialsError):
            authenticator.authenticate(username, key)
    assert len(checks) == 2


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
