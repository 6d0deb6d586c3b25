"""The trail in one SQLite file, with its anchor in a file beside it.

``mac_n`` is the keyed hash of ``mac_(n-1)``, the number and the act, so that whoever has no key can neither change an act nor take one out of
the middle. The hash is 16 bytes of ``Vault.blind``: forging one is a guess of 1 in 2¹²⁸, and that two acts may collide after 2⁶⁴ of them helps
nobody who cannot compute it. Acts cut off at the end are missed by the anchor, which is replaced after each commit: a crash in
between leaves the chain ahead of its anchor, never behind it. Acts that were cut off leave a gap in the numbers for good, because the next
act is numbered after what the anchor knows.

What this cannot tell: that somebody put an old file and its old anchor back together, and anything that somebody did who holds the key. For
that the head has to be noted elsewhere: ``gateway audit verify`` prints it, and the log carries it daily.
"""

import asyncio
import hmac
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from gateway.audit import Act, Fault, Link
from gateway.audits.anchor import Anchor, Keyed, Mark
from gateway.clock import Clock
from gateway.errors import StoreError

T = TypeVar("T")

ANCHOR_LOST = "anchor.lost"
"""The act by which a trail says that its anchor was gone when it was written on: what was cut off before it cannot be told."""

_PATIENCE = 10.0
_VERSION = 1
_COLUMNS = "number, at, actor, verb, object, detail, mac"
_SCHEMA = """CREATE TABLE acts (
    number INTEGER PRIMARY KEY, at INTEGER NOT NULL, actor TEXT NOT NULL, verb TEXT NOT NULL, object TEXT NOT NULL,
    detail TEXT NOT NULL, mac BLOB NOT NULL)"""
_INSERT = f"INSERT INTO acts ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?)"  # noqa: S608
_NEWEST = f"SELECT {_COLUMNS} FROM acts ORDER BY number DESC LIMIT 1"  # noqa: S608 - names of ours only
_ALL = f"SELECT {_COLUMNS} FROM acts ORDER BY number"  # noqa: S608
_SOME = f"""SELECT {_COLUMNS} FROM acts WHERE number > :after AND (:actor IS NULL OR actor = :actor)
    AND (:verb IS NULL OR verb = :verb) AND (:object IS NULL OR object = :object) ORDER BY number LIMIT :limit"""  # noqa: S608
_detail = msgspec.json.Decoder(dict[str, str | int])

_Kept = tuple[Any, ...]


class SqliteTrail:
    """See ``gateway.audit.Trail``. Nothing is opened before it is first used. One thread writes; each question has a connection of its own."""

    def __init__(self, path: Path, anchor: Path, *, keyed: Keyed, clock: Clock) -> None:
        self._path = path
        self._anchor = Anchor(anchor, keyed)
        self._keyed = keyed
        self._clock = clock
        self._db: sqlite3.Connection | None = None
        self._writer = ThreadPoolExecutor(1, "audit")
        self._waiting: list[Act] = []
        self._next: asyncio.Task[None] | None = None
        self._one = asyncio.Lock()

    async def record(self, acts: Sequence[Act]) -> None:
        """See ``Trail.record``. Callers that meet share one commit."""
        if not acts:
            return
        self._waiting.extend(acts)
        if self._next is None:
            self._next = asyncio.get_running_loop().create_task(self._write())
        # A caller that is cancelled must not take the others' commit with it.
        await asyncio.shield(self._next)

    async def _write(self) -> None:
        async with self._one:
            acts, self._waiting, self._next = self._waiting, [], None
            await self._run(lambda: self._record(acts))

    async def acts(
        self,
        *,
        after: int = 0,
        limit: int = 100,
        actor: str | None = None,
        verb: str | None = None,
        object: str | None = None,
    ) -> Sequence[Link]:
        """See ``Trail.acts``."""
        wanted = {"after": after, "limit": limit, "actor": actor, "verb": verb, "object": object}
        return await self._ask(lambda db: [self._link(row) for row in db.execute(_SOME, wanted)])

    async def head(self) -> Link | None:
        """See ``Trail.head``."""
        row = await self._ask(lambda db: db.execute(_NEWEST).fetchone())
        return self._link(row) if row else None

    async def verify(self) -> Sequence[Fault]:
        """See ``Trail.verify``."""
        return await self._ask(lambda db: list(self._faults(db)))

    async def close(self) -> None:
        """See ``Trail.close``."""
        if self._next is not None:
            await self._next
        async with self._one:
            if self._db is not None:
                await asyncio.get_running_loop().run_in_executor(self._writer, self._db.close)
                self._db = None
        self._writer.shutdown()

    # ------------------------------------------------------------------ writing
    def _record(self, acts: Sequence[Act]) -> None:
        db = self._opened()
        with self._transaction(db):
            last = self._mark(db)
            noted = self._anchor.read()
            if noted is None:
                acts = [_lost(acts[0].at), *acts]
            elif noted.number > last.number:
                # What was cut off stays a gap: its numbers are not given again, and the chain goes on from where it truly was.
                last = noted
            for act in acts:
                last = self._append(db, act, last)
        # A lock of its own, so that of two processes the later anchor is the one that stays.
        with self._transaction(db):
            self._anchor.write(self._mark(db))

    def _append(self, db: sqlite3.Connection, act: Act, last: Mark) -> Mark:
        detail = msgspec.json.encode(act.detail, order="sorted").decode()
        said = (act.at, act.actor, act.verb, act.object, detail)
        mark = Mark(number=last.number + 1, mac=self._mac(last.mac, last.number + 1, said))
        db.execute(_INSERT, (mark.number, *said, mark.mac))
        return mark

    def _mac(self, before: bytes, number: int, said: Sequence[Any]) -> bytes:
        return self._keyed("audit.act", before.hex(), str(number), *map(str, said))

    def _mark(self, db: sqlite3.Connection) -> Mark:
        row = db.execute(_NEWEST).fetchone()
        return Mark(number=row[0], mac=row[-1]) if row else Mark()

    # ------------------------------------------------------------------ verifying
    def _faults(self, db: sqlite3.Connection) -> Iterator[Fault]:
        # The anchor before the chain: what is written meanwhile then puts the chain ahead, which is no fault.
        noted = self._anchor.read()
        upto, mac = 0, b""
        for number, *said, kept in db.execute(_ALL):
            if number > upto + 1:
                yield Fault(number=upto + 1, kind="missing", detail=f"{_span(upto + 1, number - 1)} taken out")
            elif not _same(kept, self._mac(mac, number, said)):
                yield Fault(number=number, kind="edited", detail="this act is not the one that was recorded here")
            elif noted and number == noted.number and kept != noted.mac:
                yield Fault(number=number, kind="edited", detail="the anchor noted another act here")
            if said[2] == ANCHOR_LOST:
                yield Fault(
                    number=number, kind="truncated", detail="the anchor was gone here: acts may have been cut off"
                )
            upto, mac = number, kept if isinstance(kept, bytes) else b""
        yield from _cut(upto, noted)

    def _link(self, row: _Kept) -> Link:
        number, at, actor, verb, object_, detail, mac = row
        try:
            act = Act(at=at, actor=actor, verb=verb, object=object_, detail=_detail.decode(detail))
        except (msgspec.MsgspecError, TypeError) as fault:
            raise StoreError(
                f"act {number} cannot be read", place=str(self._path), remedy="gateway audit verify"
            ) from fault
        return Link(number=number, act=act, mac=mac)

    # ------------------------------------------------------------------ the file
    async def _run(self, work: Callable[[], T]) -> T:
        with self._translated():
            return await asyncio.get_running_loop().run_in_executor(self._writer, work)

    async def _ask(self, question: Callable[[sqlite3.Connection], T]) -> T:
        # A reader can only join a log that a writer has made.
        await self._run(self._opened)
        with self._translated():
            return await asyncio.to_thread(self._asked, question)

    def _asked(self, question: Callable[[sqlite3.Connection], T]) -> T:
        name = f"{self._path.absolute().as_uri()}?mode=ro"
        with closing(sqlite3.connect(name, timeout=_PATIENCE, isolation_level=None, uri=True)) as db:
            # Bytes that are no text any more are an edited act, and no reason to stop.
            db.text_factory = _text
            db.execute("BEGIN")
            return question(db)

    def _opened(self) -> sqlite3.Connection:
        if self._db is None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._path.touch(mode=0o600)
            db = sqlite3.connect(self._path, timeout=0.25, isolation_level=None, check_same_thread=False)
            try:
                self._prepare(db)
            except BaseException:
                db.close()
                raise
            self._db = db
        return self._db

    def _prepare(self, db: sqlite3.Connection) -> None:
        self._patiently(lambda: db.execute("PRAGMA journal_mode = WAL"))
        db.execute("PRAGMA synchronous = FULL")
        with self._transaction(db):
            version = db.execute("PRAGMA user_version").fetchone()[0]
            if version not in (0, _VERSION):
                raise StoreError(f"the trail is of version {version}, this gateway knows {_VERSION}")
            if version == 0:
                db.execute(_SCHEMA)
                db.execute(f"PRAGMA user_version = {_VERSION}")
                # An anchor without its trail stays: the trail was taken away, and that is to be told.
                if self._anchor.read() is None:
                    self._anchor.write(Mark())

    @contextmanager
    def _transaction(self, db: sqlite3.Connection) -> Iterator[None]:
        self._patiently(lambda: db.execute("BEGIN IMMEDIATE"))
        try:
            yield
            db.execute("COMMIT")
        finally:
            if db.in_transaction:
                db.execute("ROLLBACK")

    def _patiently(self, work: Callable[[], Any]) -> None:
        until = self._clock.monotonic() + _PATIENCE
        while True:
            try:
                work()
                return
            except sqlite3.OperationalError as fault:
                if fault.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or self._clock.monotonic() > until:
                    raise

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as fault:
            raise StoreError(
                f"the audit trail cannot be used: {fault}",
                place=str(self._path),
                remedy="see that the disk has room and the file is ours; until then nothing that must be traced is done",
            ) from fault


def _lost(at: int) -> Act:
    return Act(at=at, actor="gateway", verb=ANCHOR_LOST, object="audit.anchor")


def _cut(upto: int, noted: Mark | None) -> Iterator[Fault]:
    if noted is None:
        yield Fault(
            number=upto + 1, kind="truncated", detail="the anchor is gone or not ours: acts may have been cut off"
        )
    elif noted.number > upto:
        yield Fault(number=upto + 1, kind="truncated", detail=f"{_span(upto + 1, noted.number)} cut off")


def _span(first: int, last: int) -> str:
    return f"act {first} was" if first == last else f"acts {first} to {last} were"


def _same(kept: object, true: bytes) -> bool:
    return isinstance(kept, bytes) and hmac.compare_digest(kept, true)


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "replace")


def open_trail(path: Path, *, keyed: Keyed, clock: Clock) -> SqliteTrail:
    """The trail in ``path`` with its anchor beside it (``audit.db``, ``audit.anchor``). Nothing is touched until it is used."""
    return SqliteTrail(path, path.with_suffix(".anchor"), keyed=keyed, clock=clock)
