"""The newest entries of a journal, read with nothing but its promise: windows of positions, from a cursor down."""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence

from gateway import journal
from gateway.model.lane import Lane

_WINDOW = 200


async def newest(
    log: journal.Journal,
    upto: Mapping[tuple[Lane, int], int],
    wanted: Callable[[journal.Entry], bool],
    *,
    scan: int,
) -> AsyncIterator[Sequence[journal.Entry]]:
    """Pages of entries that are ``wanted``, at or below the ``upto`` positions, each page newest first. Ends when ``scan`` entries were looked
    at, or at the oldest. Of several lanes and shards a window of each is read in turn, so that no busy one hides the others."""
    ends = dict(upto)
    looked = 0
    while ends and looked < scan:
        for (lane, shard), end in list(ends.items()):
            # No more than so many positions lie in a window: what a limit leaves out lies above it.
            page = await log.read(lane, shard, max(0, end - _WINDOW), _WINDOW)
            inside = [entry for entry in page if entry.position <= end]
            looked += len(inside)
            # An empty window is what a purge left: below it there is nothing.
            if not inside or end <= _WINDOW:
                del ends[lane, shard]
            else:
                ends[lane, shard] = end - _WINDOW
            if found := [entry for entry in reversed(inside) if wanted(entry)]:
                yield found
