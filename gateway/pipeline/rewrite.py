"""Writing entries down once more, so that they are projected with today's mappings.

The version rule makes it harmless: what a newer entry said since stands, and what comes to the same changes nothing and publishes nothing.
Whoever has it done is on record: the caller leaves the trace (audit verb ``replay``) between ``plan`` and ``run``.
"""

from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence

import msgspec

from gateway import journal, store
from gateway.clock import Clock, made_at, new_id
from gateway.errors import Erased, JournalError
from gateway.model.lane import Lane
from gateway.vault import Vault

_PAGE = 500
_TRIES = 8


class Entries(msgspec.Struct, frozen=True, kw_only=True):
    """Which entries somebody means: all conditions that are set. ``since`` ≤ instant of receipt < ``until``."""

    ids: Sequence[str] = ()
    account: str | None = None
    since: int | None = None
    until: int | None = None


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """How many entries are meant, by (account, topic), and up to which position of each lane and shard."""

    meant: Entries
    counts: Mapping[tuple[str, str], int]
    upto: Mapping[tuple[Lane, int], int]

    @property
    def total(self) -> int:
        """Of all accounts and topics."""
        return sum(self.counts.values())


class Rewriter:
    """Projects entries again that the journal still holds and that were applied. They go by the bulk lane, behind what partners say now."""

    def __init__(self, *, log: journal.Journal, records: store.Store, vault: Vault, clock: Clock) -> None:
        self._journal = log
        self._store = records
        self._vault = vault
        self._clock = clock

    async def plan(self, meant: Entries) -> Plan:
        """Count, and change nothing."""
        upto = await self._store.cursors()
        counts: Counter[tuple[str, str]] = Counter()
        async for page in self._pages(meant, upto):
            counts.update((entry.account, entry.topic) for entry in page)
        return Plan(meant=meant, counts=dict(sorted(counts.items())), upto=upto)

    async def run(self, plan: Plan, *, told: Callable[[int], None] = lambda _: None) -> int:
        """Do what was planned; how many were written. ``told`` hears the number so far after every step. A run that was cut off is done again."""
        written = 0
        async for page in self._pages(plan.meant, plan.upto):
            written += await self._again(page)
            told(written)
        return written

    async def _again(self, page: Sequence[journal.Entry]) -> int:
        """An entry that is erased meanwhile must not live on in its copy; one that was sealed anew is repeated as it is now."""
        written = 0
        left = page
        for _ in range(_TRIES):
            copies = [copy for entry in left if (copy := self._copy(entry)) is not None]
            if not copies:
                return written
            done = await self._journal.repeat(copies)
            written += len(done)
            found = [await self._journal.find(one.of) for one in copies if one.draft.id not in done]
            left = [entry for entry in found if entry is not None]
        if left:
            raise JournalError(
                "entries kept changing while they were repeated",
                place=left[0].id,
                remedy="try again when nothing is sealed anew",
            )
        return written

    async def _pages(
        self, meant: Entries, upto: Mapping[tuple[Lane, int], int]
    ) -> AsyncIterator[Sequence[journal.Entry]]:
        if meant.ids:
            found = [await self._journal.find(name) for name in dict.fromkeys(meant.ids)]
            yield [entry for entry in found if entry is not None and _wanted(entry, meant)]
            return
        for (lane, shard), end in upto.items():
            after = 0
            while after < end and (page := await self._journal.read(lane, shard, after, _PAGE)):
                after = page[-1].position
                if some := [entry for entry in page if entry.position <= end and _original(entry, meant)]:
                    yield some

    def _copy(self, entry: journal.Entry) -> journal.Copy | None:
        try:
            draft = copy(entry, self._vault, now=self._clock.now())
        except Erased:
            return None
        # The first one's key is taken: by it this would be the same thing said again.
        fresh = msgspec.structs.replace(draft, lane=Lane.BULK, dedupe=self._vault.blind("replay", draft.id))
        return journal.Copy(of=entry.id, payload=entry.payload, draft=fresh)


def _wanted(entry: journal.Entry, meant: Entries) -> bool:
    return (
        (meant.account is None or entry.account == meant.account)
        and (meant.since is None or entry.received_at >= meant.since)
        and (meant.until is None or entry.received_at < meant.until)
    )


def _original(entry: journal.Entry, meant: Entries) -> bool:
    # A copy is younger than its receipt; it is passed over, or every replay of one range would double the next.
    return made_at(entry.id) <= entry.received_at and _wanted(entry, meant)


def copy(entry: journal.Entry, vault: Vault, *, now: int) -> journal.Draft:
    """The same words under a new id, as received when they were. Erased when they were erased, VaultError when they cannot be opened."""
    name = new_id("ent", now)
    payload = vault.open(entry.payload, entry.id.encode())
    if payload == journal.ERASED:
        raise Erased("the entry was erased with its customer", place=entry.id, remedy="drop the dead letter")
    return journal.Draft(
        id=name,
        account=entry.account,
        topic=entry.topic,
        lane=entry.lane,
        dedupe=entry.dedupe,
        partition=entry.partition,
        received_at=entry.received_at,
        payload=vault.seal(payload, name.encode()),
    )
