"""The HTTP clients that the mock is tested with."""

import asyncio
import ssl
from functools import partial

import httpx
import requests

try:  # used by Mailgun's SDK, and not available for every Python
    import httpx2
except ImportError:
    httpx2 = None

#: The installed packages with the API of HTTPX, by name.
HTTPX = {
    name: package for name, package in (("httpx", httpx), ("httpx2", httpx2)) if package
}

#: HTTPX loads the trusted certificates for each client; that takes 20 ms.
CONTEXT = ssl.create_default_context()


async def get_async(package, url: str, **options):
    """Send a GET request with the asynchronous client of *package*."""
    async with package.AsyncClient(verify=CONTEXT) as client:
        return await client.get(url, **options)


def _get_in_session(url: str, **options):
    with requests.Session() as session:
        return session.get(url, **options)


#: A function that sends a GET request, for each client.
CLIENTS = {
    "requests": requests.get,
    "requests.Session": _get_in_session,
    **{name: partial(package.get, verify=CONTEXT) for name, package in HTTPX.items()},
    **{
        f"{name} async": lambda url, package=package, **options: asyncio.run(
            get_async(package, url, **options)
        )
        for name, package in HTTPX.items()
    },
}


def api_key(account) -> dict[str, str]:
    """Return the parameters that authenticate a call of SendGrid v2."""
    return {"api_user": account.username, "api_key": account.api_key}
