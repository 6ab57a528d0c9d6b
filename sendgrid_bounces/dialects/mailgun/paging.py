"""The URLs of v3's pages."""

from urllib.parse import quote_plus

from sendgrid_bounces.dialects.mailgun.params import PageParams
from sendgrid_bounces.dialects.mailgun.serializers import Item


def paging(base: str, params: PageParams, items: list[Item]) -> dict[str, str]:
    """Return the URLs of the pages around *items*, in the order they are told.

    :param base: the URL of the list, absolute.

    Wire: all four are always there, and absolute; around an empty page all four are
    the first page's, so that clients stop at empty items, not at a missing URL.
    """
    rest = f"limit={params.limit}&term={quote_plus(params.term)}"
    first = f"{base}?{rest}"
    if not items:
        return dict.fromkeys(("first", "last", "next", "previous"), first)

    def beside(page: str, item: Item) -> str:
        address = quote_plus(str(item["address"]))
        return f"{base}?page={page}&address={address}&{rest}"

    return {
        "first": first,
        "last": f"{base}?page=last&{rest}",
        "next": beside("next", items[-1]),
        "previous": beside("previous", items[0]),
    }
