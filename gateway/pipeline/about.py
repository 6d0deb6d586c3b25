"""Everything that is kept about one customer: who they were before they were one, their records, identities, events and entries."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence

import msgspec

from gateway import journal, store
from gateway.errors import GatewayError
from gateway.model.lane import Lane
from gateway.pipeline.read import Read, Reader
from gateway.pipeline.world import record_key
from gateway.vault import Vault

_PAGE = 500

Tell = Callable[[str, int, int], None]
"""Told how far something long has come: what is being done, how much of it, and of how much."""


class Unknown(GatewayError):
    """There is no such customer."""

    code = "customer.unknown"


class About(msgspec.Struct, frozen=True, kw_only=True):
    """``who`` stands for all of ``customers``, who were merged into it; ``rows`` are theirs and those of what points at them, by id.

    ``merges`` made them one, or did so for a while. ``held`` are the blind indexes that name nobody else.
    """

    who: str
    customers: frozenset[str]
    rows: Mapping[str, store.Row]
    edges: Sequence[store.Edge]
    held: frozenset[bytes]
    merges: Sequence[store.Merge]

    def parted(self) -> list[tuple[str, store.Span]]:
        """Customers who were one with these for a while, and when: what was said of them then may have come from these."""
        found = []
        for merge in self.merges:
            if merge.undone_at is not None:
                found += [
                    (other, store.Span(subject=other, since=merge.at, until=merge.undone_at + 1))
                    for other in (merge.survivor, merge.loser)
                    if other not in self.customers
                ]
        return found


async def about(records: store.Store, customer: str) -> About:
    """As of now. Unknown when there is no such customer."""
    customers, merges = await _one_with(records, customer)
    rows = {row.id: row for name in customers for row in await records.records_of(name)}
    known = rows.get(customer)
    if known is None or known.kind != "customer":
        raise Unknown(f"no customer {customer}", remedy="give the id of a customer, cus_…")
    losers = {merge.loser for merge in merges if merge.undone_at is None}
    edges = (await records.look(store.Wants(edges_of=sorted(customers)))).edges_of
    held = [edge for edges_of in edges.values() for edge in edges_of]
    shared = (await records.look(store.Wants(keys=[edge.key for edge in held]))).edges
    return About(
        who=next((name for name in sorted(customers) if name not in losers), customer),
        customers=frozenset(customers),
        rows=rows,
        edges=held,
        held=frozenset(key for key, all_ in shared.items() if all(one.customer in customers for one in all_)),
        merges=merges,
    )


async def _one_with(records: store.Store, customer: str) -> tuple[set[str], list[store.Merge]]:
    found: set[str] = set()
    merges: dict[str, store.Merge] = {}
    waiting = [customer]
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        found.add(name)
        for merge in await records.merges(name):
            merges[merge.id] = merge
            if merge.undone_at is None:
                waiting += [merge.survivor, merge.loser]
    return found, list(merges.values())


async def events(records: store.Store, span: store.Span) -> AsyncIterator[Sequence[store.EventRow]]:
    """The events that are meant, page by page."""
    after = 0
    while page := await records.span(span, after=after, limit=_PAGE):
        yield page
        after = page[-1].number


class Search:
    """Finds what the journal holds about somebody, whatever it led to: every entry is read again. Goes on where it stood."""

    def __init__(self, *, log: journal.Journal, reader: Reader, vault: Vault) -> None:
        self._journal = log
        self._reader = reader
        self._vault = vault
        self._at: dict[tuple[Lane, int], int] = {}
        self.unread = 0
        """Entries that could not be read any more, and may name anybody."""

    async def pages(self, whose: About, tell: Tell) -> AsyncIterator[Sequence[journal.Entry]]:
        """Entries that name this person or a record of theirs, up to the journal's end as it stands now."""
        keys = frozenset(row.key for row in whose.rows.values())
        for lane in Lane:
            for shard in self._journal.shards(lane):
                at = self._at.get((lane, shard), 0)
                total, _ = await self._journal.depth(lane, shard, at)
                done = 0
                while done < total and (page := await self._journal.read(lane, shard, at, _PAGE)):
                    done, at = done + len(page), page[-1].position
                    yield await asyncio.to_thread(self._among, page, whose.held, keys)
                    self._at[lane, shard] = at
                    tell(f"journal, {lane.value}", done, total)

    def _among(
        self, page: Sequence[journal.Entry], held: frozenset[bytes], keys: frozenset[bytes]
    ) -> list[journal.Entry]:
        reads = [self._reader.read(entry) for entry in page]
        self.unread += sum(read.dead is not None for read in reads)
        return [read.entry for read in reads if self._names(read, held, keys)]

    def _names(self, read: Read, held: frozenset[bytes], keys: frozenset[bytes]) -> bool:
        if any(claim.key in held for claims in read.claims for claim in claims):
            return True
        return any(
            record_key(self._vault, one.kind, read.entry.account, getattr(one.record, "external_id", "")) in keys
            for one in read.said
            if one.kind != "customer"
        )
