"""Copy the bounces of a live account into a list, window by window."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

from sendgrid_bounces.core.bounces import BounceType
from sendgrid_bounces.core.clock import Clock
from sendgrid_bounces.core.errors import BounceError, ConflictError
from sendgrid_bounces.core.pulls import UNFINISHED, Pull, WindowResult
from sendgrid_bounces.sources.pull import Reader, Window
from sendgrid_bounces.storage.database import Storage

SERVICE = "sendgrid"

#: Seconds by which a pull overlaps the previous pull, since rows can appear late.
OVERLAP = 60 * 60

#: Called after each window with the seconds that were read, and the seconds of the
#: period.
Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Options:
    """The extent of a pull.

    :param since: the first instant; None continues after the latest pull.
    :param has_blocks: whether to read the blocks, too.
    :param is_full: whether to read everything and to remove bounces that are gone.
    :param is_dry_run: whether to change nothing.
    """

    since: int | None = None
    has_blocks: bool = False
    is_full: bool = False
    is_dry_run: bool = False


def pull(
    storage: Storage,
    owner: str,
    reader: Reader,
    options: Options,
    clock: Clock,
    progress: Progress,
) -> Pull:
    """Pull the bounces of an account into the list of *owner*, and record the result.

    :param clock: that of the list. The times of the account, and of the pull, are those
        of the clock's ``system``.
    :raises UnknownNameError: if *owner* does not exist.
    :raises BounceError: if the pull fails; its complete windows are stored.
    :raises ConflictError: if the list was reset, restored or removed meanwhile.
    """
    end = clock.system.now()

    def begin() -> tuple[int, Pull, Pull]:
        named = storage.accounts.named_list(owner)
        last = storage.pulls.find(named.owner) or Pull(named.owner, SERVICE)
        begun = replace(last, failed=end, problem=UNFINISHED)
        if not options.is_dry_run:
            storage.pulls.record(begun)  # from now on, deletions are recorded
        return named.id, last, begun

    # In one transaction: a reset while it waits would remove the latest pull.
    bounce_list, last, begun = (
        begin() if options.is_dry_run else storage.accounts.transact(begin)
    )
    start, result = _start(last, options), WindowResult()
    try:
        for window, present in _windows(reader, options, start, end):
            excluded = None if options.has_blocks else BounceType.SOFT
            if options.is_dry_run:
                result += WindowResult(rows=len(window.bounces))
            else:
                result += storage.pulls.apply(
                    bounce_list,
                    window.start,
                    window.end,
                    window.bounces,
                    clock,
                    present=present,
                    excluded_type=excluded,
                )
            progress(window.end - start, end - start)
    except BounceError as error:
        if not options.is_dry_run:
            failed = replace(last, failed=clock.system.now(), problem=str(error))
            _finish(storage, begun, failed)
        raise
    done = Pull(
        last.owner,
        SERVICE,
        finished=clock.system.now(),
        start=start,
        end=end,
        rows=result.rows,
        changed=result.changed,
        removed=result.removed,
    )
    if not options.is_dry_run and not _finish(storage, begun, done):
        raise ConflictError(
            f"the list of {last.owner!r} was reset, restored or removed during the "
            "pull, or another pull began: run it again"
        )
    return done


def _finish(storage: Storage, begun: Pull, record: Pull) -> bool:
    """Store *record*, unless what the pull has stored may be gone.

    A reset, a restore or a removal changes the record *begun* of the running pull.
    """

    def finish() -> bool:
        if storage.pulls.find(begun.owner) != begun:
            return False
        storage.pulls.record(record)
        return True

    return storage.accounts.transact(finish)


def _start(last: Pull, options: Options) -> int:
    """Return the first instant to read."""
    if options.since is not None:
        return options.since
    if options.is_full or last.end is None:
        return 0
    return max(last.end - OVERLAP, 0)


def _windows(
    reader: Reader, options: Options, start: int, end: int
) -> Iterator[tuple[Window, set[str] | None]]:
    """Yield each window with its bounces, and the addresses that may stay there.

    The addresses are None unless bounces are to be removed and the window is complete.
    """
    for window in reader.read("bounces", start, end):
        parts: Iterable[Window] = [window]
        if options.has_blocks:
            blocks = reader.read("blocks", window.start, window.end)
            parts = (_with_blocks(window, each) for each in blocks)
        for part in parts:
            is_final = options.is_full and part.is_complete
            yield part, {*part.bounces} if is_final else None


def _with_blocks(window: Window, blocks: Window) -> Window:
    """Return *blocks*, a part of *window*, with the bounces of the same time."""
    bounces = {
        email: bounce
        for email, bounce in window.bounces.items()
        if blocks.start <= bounce.created <= blocks.end
    }
    return replace(
        blocks,
        bounces={**blocks.bounces, **bounces},
        is_complete=window.is_complete and blocks.is_complete,
    )
