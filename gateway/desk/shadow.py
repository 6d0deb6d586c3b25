"""Shadow runs: a changed mapping against the newest entries of the journal, before it reads anything for real.

A run is a document on the shelf ``shadows``, with a ticket on ``shadow_queue`` until somebody takes it: whoever asks files them, the first door works them off one
at a time, any door shows them. Entries are opened and mapped in a thread, two at a time with pauses far longer than the work, so that the door keeps answering. What is kept
are counts, names of fields and entry ids; values are made anew for whoever looks, under their grants.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import msgspec
import structlog

from gateway import journal, mapping, shelf, store
from gateway.clock import SECOND, Clock, new_id
from gateway.desk.mappings import Mappings, name_of
from gateway.errors import ConfigError, GatewayError, Stale, StoreError
from gateway.pipeline import backwards, contrast
from gateway.pipeline.accounts import Accounts
from gateway.pipeline.ledger import Tally
from gateway.pipeline.read import Source, source_of
from gateway.vault import Vault

SHELF = "shadows"
QUEUE = "shadow_queue"
MOST = range(1, 5001)
_KEEP = 7 * 86_400 * SECOND
_SILENT = 15 * SECOND
_TELL = 0.5
_CHUNK = 2
REST = 4.0
"""A pause of four times what a step took, waiting included: the busier the door, the longer the pauses."""

_SCAN = 100_000
_OPENED = 4
_LISTED = 100
_json = msgspec.json.Encoder()
_log = structlog.get_logger()


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """One run. ``state`` is waiting, running, done or failed; ``read`` entries of ``most`` were compared, ``skipped`` could not be opened or
    belong to another mapping. ``before`` and ``after`` are versions by number, with their names."""

    id: str
    connector: str
    stem: str
    before: int
    after: int
    names: tuple[str, str]
    most: int
    by: str
    at: int
    state: str = "waiting"
    read: int = 0
    skipped: int = 0
    seconds: float = 0.0
    oldest: int | None = None
    fault: str = ""
    tally: Tally = msgspec.field(default_factory=Tally)

    @property
    def share(self) -> int:
        """Percent done."""
        return 100 if self.state == "done" else min(99, self.read * 100 // max(1, self.most))


_run = msgspec.json.Decoder(Run)


def _key(run: Run) -> str:
    return f"{run.connector}/{run.stem}/{run.id}"


class Comparer(msgspec.Struct, kw_only=True):
    """Counts what two programs make of entries. Belongs to one thread at a time."""

    stem: str
    before: mapping.Program
    after: mapping.Program
    accounts: Accounts
    vault: Vault
    tally: Tally = msgspec.field(default_factory=Tally)
    skipped: int = 0
    oldest: int | None = None
    moved: set[int] = msgspec.field(default_factory=set)

    def take(self, entries: Sequence[journal.Entry]) -> None:
        """Count some entries; what cannot be opened is skipped."""
        for entry in entries:
            source = self._source(entry)
            if source is None:
                self.skipped += 1
                continue
            found = contrast.contrast(_outcome(self.before, source), _outcome(self.after, source))
            self.tally.add(entry.id, entry.account, found, self.moved)
            self.oldest = min(self.oldest or entry.received_at, entry.received_at)

    def _source(self, entry: journal.Entry) -> Source | None:
        try:
            source = source_of(entry, self.accounts, self.vault)
        except GatewayError:
            return None
        return source if source.stem == self.stem else None


def _outcome(program: mapping.Program, source: Source) -> contrast.Outcome:
    try:
        return contrast.Outcome(said=program.run(source.data, source.context))
    except GatewayError as error:
        return contrast.Outcome(fault=f"{error.code} {error}")


class Journal(msgspec.Struct, frozen=True, kw_only=True):
    """Where entries are read from."""

    log: journal.Journal
    records: store.Store
    accounts: Accounts
    vault: Vault
    clock: Clock


async def compare(
    source: Journal,
    connector: str,
    comparer: Comparer,
    *,
    most: int,
    told: Callable[[], Awaitable[None]],
    rest: float = REST,
) -> None:
    """Hand ``comparer`` the newest ``most`` applied entries of the mapping. ``told`` hears of every step; ``rest`` is the pause after one, by the
    time it took. JournalError or StoreError ends it."""
    names = {
        one.account.name
        for one in source.accounts.all()
        if one.card.name == connector and comparer.stem in one.programs
    }
    upto = await source.records.cursors()
    async for page in backwards.newest(source.log, upto, lambda entry: entry.account in names, scan=_SCAN):
        for start in range(0, len(page), _CHUNK):
            left = most - comparer.tally.entries
            if left <= 0 or comparer.tally.entries + comparer.skipped >= most * _OPENED:
                return
            began = source.clock.monotonic()
            await asyncio.to_thread(comparer.take, page[start : start + min(_CHUNK, left)])
            await source.clock.sleep(rest * (source.clock.monotonic() - began))
            await told()


class Shadows:
    """Runs, asked for by anybody and worked off by one."""

    def __init__(self, *, mappings: Mappings, source: Journal, documents: shelf.Shelf) -> None:
        self._mappings = mappings
        self._source = source
        self._clock = source.clock
        self._shelf = documents
        self._asked = asyncio.Event()

    async def ask(self, connector: str, stem: str, number: int, *, most: int, by: str) -> Run:
        """File a run of a version against the one that is live. ConfigError when it cannot be compiled, or ``most`` is beyond bounds."""
        if most not in MOST:
            raise ConfigError(f"1 to {MOST[-1]} entries", place="last", remedy="500 is a good start")
        standing = await self._mappings.versions.standing(connector, stem)
        before = await self._mappings.version(connector, stem, standing.live)
        after = await self._mappings.version(connector, stem, number)
        await asyncio.to_thread(self._mappings.program, after)
        now = self._clock.now()
        run = Run(
            id=new_id("shd", now), connector=connector, stem=stem, before=before.number, after=number, most=most, by=by,
            names=(name_of(before), name_of(after)), at=now,
        )  # fmt: skip
        await self._shelf.file(self._document(run, 1), before=0)
        ticket = shelf.Document(shelf=QUEUE, key=run.id, version=1, body=_key(run).encode(), updated=now)
        await self._shelf.file(ticket, before=0)
        self._asked.set()
        return run

    async def get(self, connector: str, stem: str, name: str) -> Run | None:
        """One run by its id. One that nobody went on with is told as failed."""
        kept = await self._shelf.document(SHELF, f"{connector}/{stem}/{name}")
        return self._fresh(kept) if kept else None

    async def of(self, connector: str, stem: str, *, limit: int = 10) -> list[Run]:
        """A mapping's runs of the last days, the newest first."""
        prefix = f"{connector}/{stem}/"
        kept = await self._shelf.documents(SHELF, after=prefix, limit=_LISTED)
        return [self._fresh(one) for one in reversed(kept) if one.key.startswith(prefix)][:limit]

    def _fresh(self, kept: shelf.Document) -> Run:
        run = _run.decode(kept.body)
        if run.state == "running" and self._clock.now() - kept.updated > _SILENT:
            return msgspec.structs.replace(run, state="failed", fault="the gateway was restarted meanwhile")
        return run

    def _document(self, run: Run, version: int) -> shelf.Document:
        now = self._clock.now()
        return shelf.Document(
            shelf=SHELF, key=_key(run), version=version, body=_json.encode(run), updated=now, expires=now + _KEEP
        )

    # ------------------------------------------------------------------ working
    async def run(self) -> None:
        """Work off what is asked for, until cancelled."""
        while True:
            self._asked.clear()
            try:
                while await self.step():
                    pass
            except StoreError as error:
                _log.error("shadow.unavailable", detail=error.detail)
            try:
                async with asyncio.timeout(1.0):
                    await self._asked.wait()
            except TimeoutError:
                continue

    async def step(self) -> bool:
        """The oldest run that waits, to its end. False when none does."""
        waiting = await self._shelf.documents(QUEUE, limit=1)
        if not waiting:
            return False
        try:
            # Whoever takes the ticket away has the run.
            await self._shelf.unfile(QUEUE, waiting[0].key, before=waiting[0].version)
        except Stale:
            return True
        kept = await self._shelf.document(SHELF, waiting[0].body.decode())
        if kept is not None:
            await self._work(_run.decode(kept.body), kept.version)
        return True

    async def _work(self, run: Run, version: int) -> None:
        work = _Work(self, run, version)
        try:
            await work.put(state="running")
            # A fault of ours on one entry must end the run, not the door: it is looked at, not thrown.
            job = asyncio.ensure_future(work.do(self._mappings, self._source))
            try:
                await asyncio.wait([job])
            finally:
                job.cancel()
            fault = job.exception()
            if fault is None:
                await work.put(state="done")
                return
            _log.error("shadow.failed", run=run.id, cause=type(fault).__name__, exc_info=fault)
            await work.put(state="failed", fault=str(fault) if isinstance(fault, GatewayError) else "see the log")
        except Stale:
            # Somebody else wrote it: there is nobody to tell.
            return

    async def replace(self, run: Run, *, before: int) -> None:
        """File a run as it is now. Stale when somebody else did."""
        await self._shelf.file(self._document(run, before + 1), before=before)


class _Work:
    """One run under way."""

    def __init__(self, shadows: Shadows, run: Run, version: int) -> None:
        self._shadows = shadows
        self._run = run
        self._version = version
        self._comparer: Comparer | None = None
        self._began = self._told = 0.0
        self._clock: Clock | None = None

    async def do(self, mappings: Mappings, source: Journal) -> None:
        run, self._clock = self._run, source.clock
        self._began = self._told = source.clock.monotonic()
        sides = [await mappings.version(run.connector, run.stem, number) for number in (run.before, run.after)]
        before, after = [await asyncio.to_thread(mappings.program, one) for one in sides]
        self._comparer = Comparer(
            stem=run.stem, before=before, after=after, accounts=source.accounts, vault=source.vault
        )
        await compare(source, run.connector, self._comparer, most=run.most, told=self._tell)

    async def _tell(self) -> None:
        assert self._clock is not None
        if self._clock.monotonic() - self._told >= _TELL:
            self._told = self._clock.monotonic()
            await self.put(state="running")

    async def put(self, **changes: str) -> None:
        if self._comparer is not None and self._clock is not None:
            found = self._comparer
            self._run = msgspec.structs.replace(
                self._run, tally=found.tally, read=found.tally.entries, skipped=found.skipped, oldest=found.oldest,
                seconds=round(self._clock.monotonic() - self._began, 2),
            )  # fmt: skip
        self._run = msgspec.structs.replace(self._run, **changes)
        await self._shadows.replace(self._run, before=self._version)
        self._version += 1
