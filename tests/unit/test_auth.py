"""Credentials: keys are kept as slow hashes, and nothing tells who exists."""

import hmac

import pytest
from conftest import QUICK_HASH

from sendgrid_bounces import auth as credentials_module
from sendgrid_bounces.auth import Authenticator
from sendgrid_bounces.core.errors import CredentialsError, ParametersError
from sendgrid_bounces.storage.database import Storage


@pytest.fixture(name="checks")
def _checks(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The hashes that were compared the slow way."""
    checked: list[str] = []

    def check(key_hash: str, key: str) -> bool:
        checked.append(key_hash)
        return original(key_hash, key)

    original = credentials_module.check_password_hash
    monkeypatch.setattr(credentials_module, "check_password_hash", check)
    return checked


@pytest.fixture(name="authenticator")
def _credentials(storage: Storage) -> Authenticator:
    """The credentials of a database where acme's key is s3cret and keyless has none."""
    authenticator = Authenticator(storage, QUICK_HASH)
    acme = storage.accounts.add("acme")
    storage.accounts.change(acme, **authenticator.hashed("s3cret"))
    storage.accounts.add("keyless")
    return authenticator


def test_a_verified_key_is_remembered(storage, authenticator, checks) -> None:
    """The second request is not slowed by the hash; no other process knows of it."""
    others = Authenticator(storage, QUICK_HASH)
    for _ in range(3):
        assert others.authenticate("acme", "s3cret").username == "acme"

    assert len(checks) == 1


def test_a_key_that_was_set_here_is_known(authenticator, checks) -> None:
    """Its hash was just made; another key is not it."""
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
def test_every_refusal_costs_one_slow_check(
    authenticator, checks, username: str, key: str
) -> None:
    """A wrong key, an unknown name and an account without key take the same time."""
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
def test_what_can_be_no_credential_is_refused(authenticator, username, key) -> None:
    """HMAC would take a key with NULs at its end for the one without."""
    with pytest.raises(CredentialsError):
        authenticator.authenticate(username, key)


def test_a_changed_key_counts_at_once(authenticator, storage) -> None:
    """What was remembered of the old one is worth nothing."""
    acme = authenticator.authenticate("acme", "s3cret")
    storage.accounts.change(acme, **authenticator.hashed("new"))

    with pytest.raises(CredentialsError):
        authenticator.authenticate("acme", "s3cret")
    assert authenticator.authenticate("acme", "new")


def test_what_is_remembered_is_bounded(authenticator, storage, monkeypatch) -> None:
    """And forgetting costs a slow check, no more."""
    monkeypatch.setattr(credentials_module, "CACHE_SIZE", 1)
    for name in "abc":
        settings = authenticator.hashed(name)
        storage.accounts.change(storage.accounts.add(name), **settings)

    for name in "abcabc":
        assert authenticator.authenticate(name, name)
        assert len(authenticator._verified) == 1


def test_remembered_keys_are_compared_in_constant_time(
    authenticator, monkeypatch
) -> None:
    """The comparison is hmac's."""
    compared = []
    original = hmac.compare_digest
    monkeypatch.setattr(
        credentials_module.hmac,
        "compare_digest",
        lambda a, b: compared.append((a, b)) or original(a, b),
    )
    authenticator.authenticate("acme", "s3cret")
    compared.clear()
    authenticator.authenticate("acme", "s3cret")

    assert len(compared) == 1


def test_keys_are_stored_salted_and_slow(storage, tmp_path) -> None:
    """The same key is stored differently twice, and nowhere in clear."""
    authenticator = Authenticator(storage)
    hashed = [authenticator.hashed("s3cret-in-clear") for _ in range(2)]
    for name, settings in zip(("a", "b"), hashed, strict=True):
        storage.accounts.change(storage.accounts.add(name), **settings)
    hashes = [settings["key_hash"] for settings in hashed]

    assert hashes[0] != hashes[1]
    assert all(key_hash.startswith("scrypt:32768:8:1$") for key_hash in hashes)
    for path in tmp_path.iterdir():
        assert b"s3cret-in-clear" not in path.read_bytes()


def test_any_makes_an_account_on_first_use(storage) -> None:
    """Its key is kept for a server that is strict."""
    anybody = Authenticator(storage, QUICK_HASH, accept_any=True)
    new = anybody.authenticate("new", "key")

    assert new == anybody.authenticate("new", "another")
    assert new == Authenticator(storage, QUICK_HASH).authenticate("new", "key")
    for name, key in (("", "key"), ("new2", ""), ("a" * 256, "key"), ("a\n", "key")):
        with pytest.raises(CredentialsError):
            anybody.authenticate(name, key)
    assert [new] == storage.accounts.all()


def test_an_account_made_meanwhile_is_used(storage, monkeypatch) -> None:
    """Two first requests at once make one account."""
    anybody = Authenticator(storage, QUICK_HASH, accept_any=True)
    made = storage.accounts.add("new")
    found = iter([None])
    monkeypatch.setattr(
        anybody,
        "_accounts",
        type(
            "Late",
            (),
            {
                "find": lambda _, __: next(found),
                "add": storage.accounts.add,
                "get": storage.accounts.get,
            },
        )(),
    )

    assert made == anybody.authenticate("new", "key")


@pytest.mark.parametrize("method", ["rot13", "", "scrypt:8", "scrypt:3:8:1"])
def test_an_unknown_hash_is_refused(storage, method: str) -> None:
    """When the server starts, not when somebody calls."""
    with pytest.raises(ParametersError, match="KEY_HASH"):
        Authenticator(storage, method)


@pytest.mark.parametrize("key", ["", "a\0"])
def test_what_can_be_no_key_is_not_hashed(authenticator, key: str) -> None:
    """It could never be used."""
    with pytest.raises(ParametersError, match="api_key"):
        authenticator.hashed(key)
