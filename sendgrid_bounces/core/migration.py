"""The migration of logged calls to a dialect's successor: which requests replace them.

The data is a table of the dialect, its :class:`Migration`.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from sendgrid_bounces.core.requests import LoggedRequest


@dataclass(frozen=True, slots=True)
class SeenCall:
    """A distinct call in the request log.

    :param format: the suffix of the path, such as ``json``.
    :param parameters: the sorted names, without credentials; ``email[]`` stands for
        several addresses.
    :param type: the value of ``type``, which selects a list; empty without one.
    """

    dialect: str
    operation: str
    format: str
    parameters: tuple[str, ...]
    type: str = ""

    def has_parameters(self, when: Sequence[str], unless: Sequence[str]) -> bool:
        """Return whether the call has any of *when*, if given, and none of *unless*."""
        given = {*self.parameters}
        return (not when or not given.isdisjoint(when)) and given.isdisjoint(unless)


@dataclass(frozen=True, slots=True)
class Trap:
    """A difference that breaks a program if it is not considered.

    It applies to the calls that meet all conditions; an empty one is always met.

    :param when: any of these parameters is present.
    :param unless: none of these parameters is present.
    """

    name: str
    text: str
    operations: tuple[str, ...] = ()
    when: tuple[str, ...] = ()
    unless: tuple[str, ...] = ()
    formats: tuple[str, ...] = ()
    dialects: tuple[str, ...] = ()

    def applies_to(self, call: SeenCall) -> bool:
        """Return whether the trap applies to *call*."""
        return (
            (not self.operations or call.operation in self.operations)
            and (not self.formats or call.format in self.formats)
            and (not self.dialects or call.dialect in self.dialects)
            and call.has_parameters(self.when, self.unless)
        )


@dataclass(frozen=True, slots=True)
class Step:
    """A request of the successor.

    :param path: it contains ``{list}``.
    :param is_page: whether the request reads a page, and has a query string.
    """

    method: str
    path: str
    body: str = ""
    is_page: bool = False


@dataclass(frozen=True, slots=True)
class Successor:
    """The requests that replace a call, for each list that it is about.

    :param when: any of these parameters is present.
    :param unless: none of these parameters is present.
    :param note: how to use the requests.
    """

    operation: str
    steps: tuple[Step, ...]
    note: str
    when: tuple[str, ...] = ()
    unless: tuple[str, ...] = ()

    def replaces(self, call: SeenCall) -> bool:
        """Return whether the requests replace *call*."""
        is_named = call.operation == self.operation
        return is_named and call.has_parameters(self.when, self.unless)


@dataclass(frozen=True, slots=True)
class Migration:
    """The successor of a dialect, as tables.

    :param lists: the value of ``type`` -> the names of the successor's lists.
    :param query: parameter -> the part of the query string that replaces it.
    :param page: the beginning of a page's query string.
    :param successors: the first that replaces a call counts.
    :param headers: of all requests.
    :param customer_header: of the requests for a reseller's customer.
    :param hidden: parameters that are not reported, such as credentials.
    """

    lists: Mapping[str, tuple[str, ...]]
    query: Mapping[str, str]
    page: str
    successors: tuple[Successor, ...]
    traps: tuple[Trap, ...]
    headers: tuple[str, ...]
    customer_header: str
    hidden: frozenset[str]


@dataclass(frozen=True, slots=True)
class MigratedCall:
    """A distinct call, how often it was seen, and how to replace it.

    :param requests: curl commands. Variables of the shell stand for all values.
    """

    call: SeenCall
    count: int
    requests: tuple[str, ...]
    note: str
    traps: tuple[Trap, ...]


@dataclass(frozen=True, slots=True)
class MigrationReport:
    """The distinct calls in the request log, with their replacements.

    :param unknown: logged requests that name no known operation.
    """

    calls: tuple[MigratedCall, ...]
    unknown: int


def report_migration(
    entries: Iterable[tuple[LoggedRequest, Migration]],
) -> MigrationReport:
    """Return the report about *entries*, each with the table of its dialect."""
    counts: Counter[SeenCall] = Counter()
    tables: dict[str, Migration] = {}
    unknown = 0
    for entry, table in entries:
        if entry.operation is None:
            unknown += 1
            continue
        tables[entry.dialect] = table
        counts[_seen_call(entry, entry.operation, table)] += 1
    return MigrationReport(
        tuple(
            migrate(call, counts[call], tables[call.dialect])
            for call in sorted(counts, key=_order)
        ),
        unknown,
    )


def migrate(call: SeenCall, count: int, table: Migration) -> MigratedCall:
    """Return *call*, seen *count* times, with its replacement in *table*."""
    successor = next(found for found in table.successors if found.replaces(call))
    return MigratedCall(
        call,
        count,
        tuple(
            _curl(step, name, call, table)
            for step in successor.steps
            for name in table.lists.get(call.type, table.lists[""])
        ),
        successor.note,
        tuple(trap for trap in table.traps if trap.applies_to(call)),
    )


def _order(call: SeenCall) -> tuple[str, str, tuple[str, ...], str, str]:
    return call.dialect, call.operation, call.parameters, call.type, call.format


def _seen_call(entry: LoggedRequest, operation: str, table: Migration) -> SeenCall:
    names = {name for name in entry.parameters if not name.startswith("email")}
    addresses = [
        value
        for name, values in entry.parameters.items()
        if name.partition("[")[0] == "email"
        for value in ([values] if isinstance(values, str) else values)
    ]
    if addresses:
        names.add("email" if len(addresses) == 1 else "email[]")
    type_ = entry.parameters.get("type", "")
    type_ = type_.lower() if isinstance(type_, str) else ""
    return SeenCall(
        entry.dialect,
        operation,
        entry.path.rpartition(".")[2],
        tuple(sorted(names - table.hidden)),
        type_ if type_ in table.lists else "",
    )


def _curl(step: Step, list_: str, call: SeenCall, table: Migration) -> str:
    """Return the curl command of *step* on a list."""
    path = step.path.replace("{list}", list_)
    if step.is_page:
        given = [part for name, part in table.query.items() if name in call.parameters]
        path += f"?{'&'.join(dict.fromkeys([table.page, *given]))}"
    headers = [*table.headers]
    if "user" in call.parameters:
        headers.append(table.customer_header)
    words = ["curl"]
    if step.method != "GET":
        words += ["-X", step.method]
    words += [f'-H "{header}"' for header in headers]
    if step.body:
        quoted = step.body.replace('"', '\\"')
        words += ['-H "Content-Type: application/json"', f'-d "{quoted}"']
    return " ".join([*words, f'"$API_URL{path}"'])
