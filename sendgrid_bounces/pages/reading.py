"""Read accounts, bounces and their numbers for the pages."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import chain

from sendgrid_bounces.core.accounts import Account, Domain
from sendgrid_bounces.core.bounces import Bounce, BouncePage, BounceQuery, Position
from sendgrid_bounces.core.errors import ParametersError
from sendgrid_bounces.storage.bounces import BounceTuple, as_bounce
from sendgrid_bounces.storage.database import Storage

#: Bounces on a page.
PAGE_SIZE = 50

#: Seconds after which a search stops.
SEARCH_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Node:
    """An account or a domain in the tree of accounts.

    :param bounces: the number of bounces; None for a domain on the account's list.
    """

    name: str
    kind: str
    bounces: int | None
    children: "tuple[Node, ...]" = ()


@dataclass(frozen=True, slots=True)
class Rows:
    """A page of bounces, and the parameters of the URLs of the neighbouring pages.

    :param previous: None on the first page.
    :param next: None on the last page.
    :param searched: the bounces that a search has looked at, if it stopped early.
    """

    bounces: tuple[Bounce, ...]
    previous: Mapping[str, str] | None = None
    next: Mapping[str, str] | None = None
    searched: int | None = None


@dataclass(slots=True)
class _Tree:
    """The accounts and domains by owner."""

    counts: Mapping[int, int]
    customers: dict[int | None, list[Account]] = field(
        default_factory=lambda: defaultdict(list)
    )
    domains: dict[int, list[Domain]] = field(default_factory=lambda: defaultdict(list))

    def nodes(self, owner: int | None) -> Iterator[Node]:
        for account in self.customers[owner]:
            kind = "reseller" if account.is_reseller else "account"
            yield Node(
                account.username,
                "customer" if account.reseller else kind,
                self.counts.get(account.bounce_list, 0),
                (*self.nodes(account.id), *map(self.domain, self.domains[account.id])),
            )

    def domain(self, domain: Domain) -> Node:
        is_shared = domain.bounce_list == domain.account.bounce_list
        bounces = None if is_shared else self.counts.get(domain.bounce_list, 0)
        return Node(domain.name, "domain", bounces)


def read_tree(
    storage: Storage, counts: Mapping[int, int], name: str = ""
) -> tuple[Node, ...]:
    """Return the accounts without a reseller, with customers and domains below them.

    :param counts: the length of each list that is not empty.
    :param name: a part of the names to return, with the nodes above and below them.
    """
    tree = _Tree(counts)
    for account in storage.accounts.all():
        tree.customers[account.reseller].append(account)
    for domain in storage.accounts.domains():
        tree.domains[domain.account.id].append(domain)
    return tuple(_matching(tree.nodes(None), name.casefold()))


def _matching(nodes: Iterable[Node], name: str) -> Iterator[Node]:
    for node in nodes:
        if name in node.name.casefold():
            yield node
        elif children := tuple(_matching(node.children, name)):
            yield replace(node, children=children)


def read_by_time(
    storage: Storage, bounce_list: int, query: BounceQuery, older: str, newer: str
) -> Rows:
    """Return a page of the bounces that match, newest first.

    :param older: the cursor after which the page begins; empty for the first page.
    :param newer: the cursor before which the page ends; empty for the first page.
    :raises ParametersError: if a cursor is invalid.
    """
    found = storage.bounces.find(
        bounce_list,
        query,
        PAGE_SIZE + 1,
        after=_parse_cursor("older", older) or _parse_cursor("newer", newer),
        newest_first=not newer or bool(older),
    )
    rows = [*chain.from_iterable(found)]
    is_backwards = bool(newer and not older)
    return _slice(
        rows,
        is_backwards=is_backwards,
        is_first=not older and not newer,
        names=("newer", "older"),
        cursor=lambda row: str(Position(*row[-2:])),
    )


def read_by_address(
    storage: Storage, bounce_list: int, query: BounceQuery, page: BouncePage
) -> Rows:
    """Return a page of the bounces that match, in the order of their addresses."""
    rows = storage.bounces.page(bounce_list, page, PAGE_SIZE + 1, query)
    if page.backwards:
        rows = rows[::-1]
    return _slice(
        rows,
        is_backwards=page.backwards,
        is_first=page.pivot is None,
        names=("before", "after"),
        cursor=lambda row: str(row[0]),
    )


def read_by_search(
    storage: Storage, bounce_list: int, query: BounceQuery, after: str | None
) -> Rows:
    """Return a page of the bounces that a search finds, in the order of addresses.

    The search ends after a second; the next page is then the rest of the list.

    :param after: the address after which the page begins.
    """
    found = storage.bounces.search(
        bounce_list, query, PAGE_SIZE + 1, after, SEARCH_SECONDS
    )
    stopped_at = found.stopped_at
    if stopped_at is None:
        return _slice(
            found.rows,
            is_backwards=False,
            is_first=True,  # a search has no way back
            names=("before", "after"),
            cursor=lambda row: str(row[0]),
        )
    return Rows(
        tuple(map(as_bounce, found.rows)),
        next={"after": stopped_at},
        searched=storage.bounces.count_up_to(bounce_list, stopped_at),
    )


def _slice(
    rows: list[BounceTuple],
    *,
    is_backwards: bool,
    is_first: bool,
    names: tuple[str, str],
    cursor: Callable[[BounceTuple], str],
) -> Rows:
    """Return at most :data:`PAGE_SIZE` of *rows* and the neighbouring pages.

    :param rows: one more than a page, if there are as many; the first is next to the
        page that the reader comes from.
    """
    has_more, rows = len(rows) > PAGE_SIZE, rows[:PAGE_SIZE]
    if is_backwards:
        rows = rows[::-1]
    if not rows:
        return Rows(())
    has_previous = has_more if is_backwards else not is_first
    has_next = is_backwards or has_more
    return Rows(
        tuple(map(as_bounce, rows)),
        {names[0]: cursor(rows[0])} if has_previous else None,
        {names[1]: cursor(rows[-1])} if has_next else None,
    )


def _parse_cursor(name: str, text: str) -> Position | None:
    if not text:
        return None
    try:
        return Position.parse(text)
    except ValueError:
        problem = "must be the position of a row, as in the links of a page"
        raise ParametersError([(name, problem)]) from None
