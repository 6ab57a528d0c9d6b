"""Accounts: who may ask, and whose bounce list is meant."""

from dataclasses import dataclass

#: The profiles: the vendor's behaviour as documented, or as recorded from the service.
PROFILES = ("documented", "recorded")

#: The costs of scrypt: N, r and p.
ScryptCosts = tuple[int, int, int]
DEFAULT_COSTS: ScryptCosts = (2**15, 8, 1)

#: Longest name of an account or a domain, in characters.
MAX_NAME = 255
NAME_RULE = f"must be 1 to {MAX_NAME} printable characters"
DOMAIN_RULE = f"{NAME_RULE}, without a slash"


@dataclass(frozen=True, slots=True)
class Account:
    """A customer of a mail service, or of one of its resellers.

    :param key_hash: the API key as a salted slow hash; empty if it has none.
    :param key_tag: a small part of another hash of it, by which the account is found.
    :param profile: which of the vendor's behaviours it sees; None for the server's.
    :param timezone: IANA name of the zone in which its days begin.
    :param bounce_list: the identifier of its list.
    :param reseller: the identifier of the account whose customer this is.
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

    :param account: whose it is.
    :param bounce_list: the identifier of its list, which can be the account's.
    """

    name: str
    account: Account
    bounce_list: int


@dataclass(frozen=True, slots=True)
class BounceList:
    """A bounce list, as one of its names finds it.

    :param timezone: the zone of the account that the name is of.
    """

    id: int
    timezone: str


def is_domain_name(text: str) -> bool:
    """Return whether *text* can be the name of a domain: a part of a path."""
    return is_name(text) and "/" not in text


def is_name(text: str) -> bool:
    """Return whether *text* can be the name of an account or a domain."""
    return 0 < len(text) <= MAX_NAME and text.isprintable()
