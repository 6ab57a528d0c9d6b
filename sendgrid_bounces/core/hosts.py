"""Addresses of servers."""

import ipaddress


def is_loopback(host: str) -> bool:
    """Return whether only this machine can connect to *host*."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"
