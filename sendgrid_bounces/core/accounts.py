"""Accounts, domains and the bounce lists that they name."""

from dataclasses import dataclass

#: The costs of scrypt: N, r and p.
ScryptCosts = tuple[int, int, int]
DEFAULT_COSTS: ScryptCosts = (2**15, 8, 1)

#: The maximum length of an account or domain name in characters.
MAX_NAME = 255
NAME_RULE = f"must be 1 to {MAX_NAME} printable characters"
DOMAIN_RULE = f"{NAME_RULE}, without a slash"
KEY_RULE = "must not be empty or contain NUL"


@dataclass(frozen=True, slots=True)
class Account:
    """A customer of a mail service, or of a reseller.

    :param key_hash: the salted slow hash of the API key; empty without a key.
    :param key_tag: a few bits of another hash of the key, to find the account by key.
    :param profile: text as in ``core.profiles``; None for the server's default.
    :param timezone: IANA name of the zone in which its days begin.
    :param bounce_list: the identifier of its list.
    :param reseller: the identifier of the account's reseller.
    """

    id: int
    username: str
    key_hash: str
    key_tag: int | None
    profile: str | None
    timezone: str
    bounce_list: int
    is_reseller: bool
    reseller: int | None


@dataclass(frozen=True, slots=True)
class Domain:
    """A sending domain.

    :param account: the owner.
    :param bounce_list: the identifier of its list, which may be that of the account.
    """

    name: str
    account: Account
    bounce_list: int


@dataclass(frozen=True, slots=True)
class BounceList:
    """A bounce list, found by the name of an account or a domain.

    :param timezone: the zone of the account.
    :param owner: the account or domain, as it is stored.
    """

    id: int
    timezone: str
    owner: str


def is_domain_name(text: str) -> bool:
    """Return whether *text* is a valid domain, which is a segment of a path."""
    return is_name(text) and "/" not in text


def is_name(text: str) -> bool:
    """Return whether *text* is a valid name of an account."""
    return 0 < len(text) <= MAX_NAME and text.isprintable()
