"""Addresses of servers."""

import ipaddress

#: The address to connect to if a server listens on all addresses.
_REACHABLE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - compared, not bound


def reachable(host: str) -> str:
    """Return *host*, or a loopback address if it stands for all addresses."""
    return _REACHABLE.get(host, host)


def is_loopback(host: str) -> bool:
    """Return whether only this machine can connect to *host*."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"
