"""The migration from v2 to v3: the requests that replace a call, and its traps."""

from sendgrid_bounces.core.migration import Migration, Step, Successor, Trap
from sendgrid_bounces.dialects.sendgrid.params import CREDENTIALS

_LIST = "/v3/suppression/{list}"
_ONE = f"{_LIST}/$EMAIL"
_EMAILS = '{"emails": ["$EMAIL"]}'

_ADDRESS = ("email", "email[]")
_DAYS = ("days", "start_date", "end_date")
_FILTERS = (*_DAYS, "type")

_READ_PAGES = Step("GET", _LIST, is_page=True)
_READ_ONE = Step("GET", _ONE)
_DELETE_ONE = Step("DELETE", _ONE)
_DELETE_SEVERAL = Step("DELETE", _LIST, _EMAILS)
_DELETE_ALL = Step("DELETE", _LIST, '{"delete_all": true}')

SUCCESSORS = (
    Successor(
        "get",
        (_READ_ONE,),
        "One request for each address; apply the other filters to the rows.",
        when=_ADDRESS,
    ),
    Successor(
        "get",
        (_READ_PAGES,),
        "Increase offset by 500 until a page has fewer than 500 rows.",
    ),
    Successor(
        "count",
        (_READ_ONE,),
        "One request for each address; count the rows.",
        when=_ADDRESS,
    ),
    Successor(
        "count",
        (_READ_PAGES,),
        "Increase offset by 500 until a page has fewer than 500 rows; count the rows.",
    ),
    Successor(
        "delete",
        (_DELETE_ONE,),
        "404 means that the address is not on the list; treat it as success.",
        when=("email",),
        unless=_FILTERS,
    ),
    Successor(
        "delete",
        (_DELETE_SEVERAL,),
        "All addresses in one body.",
        when=("email[]",),
        unless=_FILTERS,
    ),
    Successor(
        "delete",
        (_READ_ONE, _DELETE_SEVERAL),
        "Read each address, apply the filters to the rows, then delete the addresses "
        "of the remaining rows.",
        when=_ADDRESS,
    ),
    Successor(
        "delete",
        (_READ_PAGES, _DELETE_SEVERAL),
        "Read all pages, apply the filters to the rows, then delete the addresses of "
        "the remaining rows.",
        when=_FILTERS,
    ),
    Successor(
        "delete",
        (_DELETE_ALL,),
        "This deletes everything on the list.",
    ),
)

TRAPS = (
    Trap(
        "credentials",
        "The API key is a Bearer token in the header Authorization. User name and "
        "password are refused, as are credentials in the query string or in a form.",
    ),
    Trap(
        "accept",
        "A request for bounces without the header Accept is 406. Python's urllib and "
        "Node's http.request send none.",
    ),
    Trap(
        "errors",
        "An error has its own HTTP status, and the body "
        '{"errors": [{"field": ..., "message": ...}]}.',
    ),
    Trap("xml", "There is no XML: responses are JSON.", formats=("xml",)),
    Trap(
        "customer",
        "The parameter user becomes the header on-behalf-of. An error, which has "
        "status 200 in v2, has its own status.",
        dialects=("sendgrid.reseller",),
    ),
    Trap(
        "no type filter",
        "There is no type filter. Soft bounces are in blocks; bounces has all others, "
        "so compare status where the class matters.",
        when=("type",),
    ),
    Trap(
        "two lists",
        "Without a type, the call is about two lists: soft bounces are in blocks, all "
        "others in bounces.",
        unless=("type",),
    ),
    Trap(
        "500 rows",
        "A page has at most 500 rows, and nothing in the response shows that there are "
        "more. A limit above 500 is an error here; the service may reduce it silently.",
        operations=("get", "count"),
        unless=_ADDRESS,
    ),
    Trap(
        "order",
        "Rows come newest first instead of oldest first. SendGrid documents no order.",
        operations=("get",),
        unless=_ADDRESS,
    ),
    Trap(
        "limit and offset",
        "In v2, limit and offset apply to the matching rows of both lists together, "
        "oldest first; in v3, to each list, newest first. Read all pages, put all rows "
        "in the order of created, then apply offset and limit.",
        operations=("get",),
        when=("limit", "offset"),
        unless=_ADDRESS,
    ),
    Trap(
        "created",
        "created is always present, as an integer in epoch seconds, instead of text in "
        "the account's time zone.",
        operations=("get",),
        when=("date",),
    ),
    Trap(
        "days",
        "There are no days: start_time and end_time are inclusive epoch seconds. The "
        "caller computes them in the account's time zone: the last day ends at "
        "23:59:59, and a day with a clock change has 23 or 25 hours.",
        when=_DAYS,
    ),
    Trap(
        "prefix",
        "?email= finds all addresses that begin with the text, and % matches any text. "
        "Name the address in the path.",
        operations=("get", "count"),
        when=_ADDRESS,
    ),
    Trap(
        "several addresses",
        "A request for several addresses does not exist: send one for each.",
        operations=("get", "count"),
        when=("email[]",),
    ),
    Trap(
        "no count",
        "There is no count: read all pages and count the rows.",
        operations=("count",),
    ),
    Trap(
        "404",
        "Deleting an absent address returns 404, which HTTP libraries raise as an "
        "error, instead of 200 with Email does not exist.",
        operations=("delete",),
        when=("email",),
        unless=_FILTERS,
    ),
    Trap(
        "204",
        "To delete several addresses is 204, also if all of them are absent.",
        operations=("delete",),
        when=("email[]", *_FILTERS),
    ),
    Trap(
        "no filtered delete",
        "A DELETE has no filters: those in the query string are ignored.",
        operations=("delete",),
        when=_FILTERS,
    ),
    Trap(
        "body",
        "The body of a DELETE is JSON. Some HTTP libraries and proxies drop it; such a "
        "request is 400 here.",
        operations=("delete",),
        when=("email[]", "delete_all", *_FILTERS),
    ),
    Trap(
        "both keys",
        "emails and delete_all in one body are an error, even if delete_all is false.",
        operations=("delete",),
        when=("email[]", "delete_all", *_FILTERS),
    ),
    Trap(
        "bare delete",
        "A delete without parameters clears the list in v2's documented profile only. "
        "In v3, a DELETE without a body is an error here.",
        operations=("delete",),
        unless=(*_ADDRESS, *_FILTERS, "delete_all"),
    ),
)

#: The migration of v2's direct calls and of its reseller calls.
TO_V3 = Migration(
    lists={"": ("bounces", "blocks"), "hard": ("bounces",), "soft": ("blocks",)},
    query={
        "days": "start_time=$START_TIME",
        "start_date": "start_time=$START_TIME",
        "end_date": "end_time=$END_TIME",
    },
    page="limit=500&offset=0",
    successors=SUCCESSORS,
    traps=TRAPS,
    headers=("Authorization: Bearer $API_KEY", "Accept: application/json"),
    customer_header="on-behalf-of: $CUSTOMER",
    hidden=frozenset({*CREDENTIALS, "method", "task"}),
)
