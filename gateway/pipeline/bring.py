"""Rows that somebody whom the gateway knows brings for an account: each is tried before it is written down, so that its sender hears now what
a person would otherwise find among the dead letters.

They go the way of a push: the journal first, then everything else. A row that is brought twice is written down once.
"""

from collections.abc import Awaitable, Callable, Sequence
from enum import Enum

import msgspec

from gateway import journal, store
from gateway.clock import Clock
from gateway.connector import Line
from gateway.errors import GatewayError, Verdict
from gateway.model.lane import Lane
from gateway.pipeline.accounts import Opened
from gateway.pipeline.read import Reader
from gateway.pipeline.receive import Receiver

# A row is read in a quarter of a millisecond: whoever waits for the loop waits no longer than for so many.
_SLICE = 20


class Crowded(GatewayError):
    """The backlog is deep; what can wait is to come later."""

    code = "gateway.crowded"
    verdict = Verdict.LATER


class Fate(Enum):
    """What became of a row: written down, known already, or refused."""

    ACCEPTED = "accepted"
    DUPLICATE = "duplicate"
    REFUSED = "refused"


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """One row's fate. ``field`` and ``detail`` say why it was refused, without quoting it."""

    row: int
    fate: Fate
    field: str = ""
    detail: str = ""


class Bringer:
    """Takes lines in. ``follow`` takes up which mappings are live."""

    def __init__(
        self,
        *,
        receiver: Receiver,
        reader: Reader,
        records: store.Store,
        clock: Clock,
        follow: Callable[[], Awaitable[None]],
    ) -> None:
        self._receiver = receiver
        self._reader = reader
        self._store = records
        self._clock = clock
        self._follow = follow

    async def bring(self, opened: Opened, lines: Sequence[Line]) -> list[Told]:
        """The fate of each, in their order. What is accepted is durable when this returns. Crowded, JournalError and StoreError leave it to be
        done again, which changes nothing that was done."""
        if self._receiver.crowded(Lane.BULK):
            raise Crowded("the backlog is deep", remedy="it goes on by itself")
        await self._follow()
        drafts = {line.row: self._receiver.draft(opened, line.event) for line in lines if line.event is not None}
        asked = [(draft.account, draft.dedupe) for draft in drafts.values()]
        known = (await self._store.look(store.Wants(seen=asked))).seen
        fates = [await self._fate(line, drafts.get(line.row), known, at) for at, line in enumerate(lines)]
        good = [drafts[one.row] for one in fates if one.fate is Fate.ACCEPTED]
        receipts = await self._receiver.append(opened, good) if good else ()
        twice = {draft.id for draft, receipt in zip(good, receipts, strict=True) if receipt.known}
        return [_doubled(one) if one.row in drafts and drafts[one.row].id in twice else one for one in fates]

    async def _fate(self, line: Line, draft: journal.Draft | None, known: set[tuple[str, bytes]], at: int) -> Told:
        if draft is None:
            return Told(row=line.row, fate=Fate.REFUSED, field=line.field, detail=line.detail)
        if (draft.account, draft.dedupe) in known:
            return Told(row=line.row, fate=Fate.DUPLICATE)
        if at % _SLICE == 0:
            await self._clock.sleep(0)
        entry = journal.Entry(position=0, **msgspec.structs.asdict(draft))
        dead = self._reader.read(entry).dead
        if dead is None:
            return Told(row=line.row, fate=Fate.ACCEPTED)
        return Told(row=line.row, fate=Fate.REFUSED, detail=dead.detail)


def _doubled(one: Told) -> Told:
    return msgspec.structs.replace(one, fate=Fate.DUPLICATE)
