"""Which version of a mapping reads an entry: what is live, or the canary for its share, taken up while the worker runs.

A canary's entry is read by both. Where the canary fails and the live version does not, the live one's answer is used: a trial never makes a
dead letter, and a version that cannot even be compiled changes nothing.
"""

import asyncio
import zlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import structlog

from gateway import mapping
from gateway.clock import Clock
from gateway.errors import ConfigError
from gateway.pipeline.accounts import Accounts
from gateway.pipeline.contrast import Contrast
from gateway.pipeline.ledger import Ledger, Ledgers, Tally, broken
from gateway.pipeline.versions import SHIPPED, Line, Standing, Version, Versions, compiled, folder_of, withdrawn

_log = structlog.get_logger()
ACTOR = "gateway"


class Force(msgspec.Struct, frozen=True, kw_only=True):
    """What reads the entries of one mapping. ``live`` None is the shipped program. ``upto`` of 10,000 slots belong to the canary."""

    standing: Standing
    live: mapping.Program | None = None
    canary: mapping.Program | None = None
    upto: int = 0


class Broken(msgspec.Struct, frozen=True, kw_only=True):
    """A canary that failed too often, with what it came to."""

    line: Line
    number: int
    tally: Tally


def slot(partition: bytes, number: int) -> int:
    """Where a partition key falls among 10,000. Each canary has other keys; raising its share adds to those it has."""
    return zlib.crc32(partition, number) % 10_000


class Rollout:
    """See the module. ``own`` is the user's folder of mappings."""

    def __init__(
        self, *, accounts: Accounts, versions: Versions, ledgers: Ledgers, clock: Clock, own: Path | None
    ) -> None:
        self._accounts = accounts
        self._versions = versions
        self._ledgers = ledgers
        self._clock = clock
        self._own = own
        self._force: Mapping[Line, Force] = {}
        self._books: dict[Line, Ledger] = {}
        self._dirty: set[Line] = set()
        self._moved: dict[Line, set[int]] = {}
        self.broken: list[Broken] = []
        """Canaries that were stopped; whoever made that durable takes them out."""
        self._programs: dict[tuple[Line, int], mapping.Program] = {}

    # ------------------------------------------------------------------ asked for every entry
    def program(self, connector: str, stem: str, shipped: mapping.Program) -> mapping.Program:
        """What is live."""
        force = self._force.get((connector, stem))
        return force.live or shipped if force else shipped

    def trial(self, connector: str, stem: str, partition: bytes) -> mapping.Program | None:
        """The canary, where it gets the entries of this partition key."""
        force = self._force.get((connector, stem))
        if force is None or force.canary is None or slot(partition, force.standing.canary) >= force.upto:
            return None
        return force.canary

    # ------------------------------------------------------------------ counting
    def unknown(self, line: Line, unknowns: Sequence[mapping.Unknown], *, entry: str) -> None:
        """Count raw values."""
        book = self._book(line)
        for one in unknowns:
            book.unknown(one.field, one.raw, at=self._clock.now(), entry=entry)

    def compared(self, line: Line, program: str, found: Contrast, *, entry: str, account: str) -> None:
        """Count one of a canary's entries; a canary that fails too often gets none from now on."""
        force = self._force.get(line)
        # An entry that was read before the canary ended must not count for the next one.
        if force is None or force.canary is None or force.canary.name != program:
            return
        tally = self._book(line).trial
        tally.add(entry, account, found, self._moved.setdefault(line, set()))
        if broken(tally):
            self._force = {**self._force, line: msgspec.structs.replace(force, canary=None)}
            self.broken.append(Broken(line=line, number=force.standing.canary, tally=tally))

    def _book(self, line: Line) -> Ledger:
        self._dirty.add(line)
        book = self._books.get(line)
        if book is None:
            book = self._books[line] = Ledger(connector=line[0], stem=line[1])
        return book

    # ------------------------------------------------------------------ following
    async def open(self) -> None:
        """Take up what was counted and decided before. To be called before the first entry is read."""
        self._books = await self._ledgers.all()
        await self.follow()

    async def follow(self) -> bool:
        """Take up what was decided since; whether anything was. StoreError leaves everything as it is."""
        standings = await self._versions.standings()
        changed = [line for line, one in standings.items() if not self._has(line, one)]
        if not changed:
            return False
        fresh = {line: await self._prepared(standings[line]) for line in changed}
        self._force = {**self._force, **fresh}
        for line, force in fresh.items():
            self._meet(line, force)
        return True

    def _has(self, line: Line, standing: Standing) -> bool:
        force = self._force.get(line)
        return force is not None and force.standing == standing

    def _meet(self, line: Line, force: Force) -> None:
        standing = force.standing
        if self._book(line).meet(standing.live, standing.canary, standing.since):
            self._moved.pop(line, None)
            _log.info(
                "mapping.changed", mapping="/".join(line), live=standing.live, canary=standing.canary, share=standing.share
            )  # fmt: skip

    async def _prepared(self, standing: Standing) -> Force:
        line = (standing.connector, standing.stem)
        book = self._book(line)
        book.refused = ""
        live = await self._live(standing, book)
        canary = await self._compiled(line, standing.canary, book) if standing.canary else None
        return Force(standing=standing, live=live, canary=canary, upto=standing.share * 100)

    async def _live(self, standing: Standing, book: Ledger) -> mapping.Program | None:
        """The live version; what was running, what was live before, or the shipped one where it cannot be used."""
        line = (standing.connector, standing.stem)
        if standing.live == SHIPPED:
            return None
        found = await self._compiled(line, standing.live, book)
        if found is not None:
            return found
        if line in self._force:
            return self._force[line].live
        for number in standing.past:
            if number == SHIPPED:
                return None
            if (found := await self._compiled(line, number, book)) is not None:
                return found
        return None

    async def _compiled(self, line: Line, number: int, book: Ledger) -> mapping.Program | None:
        known = self._programs.get((line, number))
        if known is not None:
            return known
        try:
            version = await self._versions.need(*line, number)
            program = await asyncio.to_thread(self._compile, version)
        except ConfigError as error:
            book.refused = str(error)
            _log.error("mapping.refused", mapping="/".join(line), number=number, detail=str(error))
            return None
        self._programs[line, number] = program
        return program

    def _compile(self, version: Version) -> mapping.Program:
        folder = folder_of(self._own, version.connector, version.stem)
        return compiled(version, folder, self._calls(version.connector))

    def _calls(self, connector: str) -> Mapping[str, Callable[..., Any]]:
        return next((one.card.calls for one in self._accounts.all() if one.card.name == connector), {})

    # ------------------------------------------------------------------ keeping
    async def save(self) -> None:
        """Keep what was counted since."""
        dirty, self._dirty = self._dirty, set()
        await self._ledgers.save([self._books[line] for line in dirty])

    async def end(self, one: Broken) -> None:
        """Make durable that a canary was stopped, unless somebody decided otherwise meanwhile."""
        standing = await self._versions.standing(*one.line)
        if standing.canary == one.number:
            await self._versions.decide(*one.line, lambda now, _: withdrawn(now, "broke"), by=ACTOR)
        self.broken.remove(one)
