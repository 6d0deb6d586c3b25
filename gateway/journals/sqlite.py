"""The journal in one SQLite file, for the profile that needs no servers.

WAL with ``synchronous=FULL``: a COMMIT returns after ``fsync``. Whatever arrives while one commit is under way goes into the next one
as a group, so that the cost of ``fsync`` is spread and no caller waits for more than two. One thread writes, one reads; several
processes may append to one file. Each lane is a table, so that a cursor's read is a range scan; AUTOINCREMENT keeps a position from
being given twice, even after a purge. There is one shard per lane.
"""

import asyncio
import functools
import itertools
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

from gateway.clock import Clock
from gateway.errors import ConfigError, JournalError
from gateway.journal import Copy, Draft, Entry, Receipt
from gateway.journals.clerk import Clerk
from gateway.journals.sqlite_file import COLUMNS, NAMES, PATIENCE, begin, connect, patiently
from gateway.model.lane import Lane

T = TypeVar("T")

REMEMBERED = 16_384
"""How many written (account, dedupe) a door remembers, about 6 MiB."""

_SHARD = 0
_PURGE = 512
_USUAL = 32
_LARGE = (64, 128)
_Key = tuple[str, bytes]


def _insert(lane: Lane, rows: int) -> str:
    places = f"({', '.join('?' * len(COLUMNS))})"
    return f"INSERT INTO {lane.value} ({NAMES}) VALUES {', '.join([places] * rows)}"  # noqa: S608 - names of ours only


# One for every size that a group usually has: each statement lets go of the interpreter, and has to win it back from the loop. Larger groups
# are put together, so that what stays prepared is bounded.
_INSERTS = {lane.value: {rows: _insert(lane, rows) for rows in (*range(1, _USUAL + 1), *_LARGE)} for lane in Lane}


class _Group:
    """What one commit writes, and who waits for it."""

    __slots__ = ("keys", "values", "waiters")

    def __init__(self) -> None:
        # By lane, all columns of all rows one behind the other, as the statements take them.
        self.values: dict[str, list[Any]] = {}
        self.keys: set[_Key] = set()
        self.waiters: list[asyncio.Future[None]] = []

    def add(self, draft: Draft) -> None:
        # The lane's text: an enum's members are hashed by a function of Python's.
        lane = draft.lane._value_
        values = self.values.get(lane)
        if values is None:
            values = self.values[lane] = []
        values += (
            draft.id, draft.account, draft.topic, draft.dedupe, draft.partition, draft.received_at, draft.payload,
        )  # fmt: skip


class SqliteJournal:
    """See ``gateway.journal.Journal``. Belongs to one event loop at a time.

    ``known`` covers what this process wrote lately or is writing; a duplicate of something under way waits for the same commit.
    """

    def __init__(self, path: Path, clock: Clock, *, remember: int = REMEMBERED) -> None:
        self._path = path
        self._clock = clock
        self._remember = remember
        self._known: dict[_Key, str] = {}
        # What the next commit writes, and what the present one does.
        self._open, self._flying = _Group(), _Group()
        self._busy = False
        self._closed = False
        self._idle: asyncio.Future[None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._write_db = connect(path, clock)
        self._read_db = sqlite3.connect(
            f"{path.absolute().as_uri()}?mode=ro", uri=True, check_same_thread=False, isolation_level=None
        )
        self._writer, self._reader = Clerk("journal-writer"), Clerk("journal-reader")

    async def append(self, drafts: Sequence[Draft]) -> Sequence[Receipt]:
        """See ``Journal.append``."""
        if self._closed:
            raise JournalError("the journal is closed", place=str(self._path))
        self._loop = asyncio.get_running_loop()
        if len(drafts) == 1:
            receipt, group = self._accept(drafts[0])
            if group is not None:
                await self._joined(group)
            return [receipt]
        accepted = [self._accept(draft) for draft in drafts]
        groups = {group for _, group in accepted if group is not None}
        await asyncio.gather(*[self._joined(group) for group in groups])
        return [receipt for receipt, _ in accepted]

    async def repeat(self, copies: Sequence[Copy]) -> set[str]:
        """See ``Journal.repeat``."""
        return await self._run(self._writer, lambda: _repeat(self._write_db, self._clock, copies))

    def shards(self, lane: Lane) -> Sequence[int]:  # noqa: ARG002 - every lane has the one shard
        """See ``Journal.shards``."""
        return (_SHARD,)

    async def read(self, lane: Lane, shard: int, after: int, limit: int) -> Sequence[Entry]:  # noqa: ARG002
        """See ``Journal.read``."""
        return await self._ask(lambda db: _read(db, lane, after, limit))

    async def find(self, entry: str) -> Entry | None:
        """See ``Journal.find``."""
        return await self._ask(lambda db: _find(db, entry))

    async def depth(self, lane: Lane, shard: int, after: int) -> tuple[int, int | None]:  # noqa: ARG002
        """See ``Journal.depth``. Takes no longer for a long backlog; exact unless ``after`` lies below what a purge went through."""
        return await self._ask(lambda db: _depth(db, lane, after))

    async def replace(self, payloads: Sequence[tuple[str, bytes, bytes]]) -> int:
        """See ``Journal.replace``."""
        return await self._run(self._writer, lambda: _replace(self._write_db, self._clock, payloads))

    async def scrub(self) -> bool:
        """See ``Journal.scrub``. Waits a few seconds for readers and other writers."""
        return await self._run(self._writer, lambda: _scrub(self._write_db, self._clock))

    async def purge(self, before: int, applied: dict[tuple[Lane, int], int]) -> int:
        """See ``Journal.purge``. Goes from the oldest position up, in short transactions between appends, and stops where nothing is
        old enough: entries behind ``_PURGE`` younger ones stay until those have aged."""
        total = 0
        for (lane, _), upto in applied.items():
            forget = functools.partial(_forget, self._write_db, self._clock, lane, before, upto)
            while gone := await self._run(self._writer, forget):
                total += gone
        return total

    async def close(self) -> None:
        """See ``Journal.close``."""
        if self._closed:
            return
        self._closed = True
        self._loop = asyncio.get_running_loop()
        if self._busy:
            self._idle = self._loop.create_future()
            await self._idle
        await self._loop.run_in_executor(self._reader, self._read_db.close)
        # The last connection to close folds the log into the database.
        await self._loop.run_in_executor(self._writer, self._write_db.close)
        self._reader.shutdown()
        self._writer.shutdown()

    # ------------------------------------------------------------------ in the loop
    def _accept(self, draft: Draft) -> tuple[Receipt, _Group | None]:
        """With the group whose commit makes it durable; None when it is."""
        key = (draft.account, draft.dedupe)
        earlier = self._known.get(key)
        if earlier is None:
            self._known[key] = draft.id
            group = self._open
            group.keys.add(key)
            group.add(draft)
            return Receipt(id=draft.id, known=False), group
        # Now the one that was met last, and so the last one to be forgotten.
        self._known[key] = self._known.pop(key)
        under_way = [group for group in (self._flying, self._open) if key in group.keys]
        return Receipt(id=earlier, known=True), under_way[0] if under_way else None

    def _joined(self, group: _Group) -> "asyncio.Future[None]":
        """Done with the group's commit."""
        assert self._loop is not None
        if not self._busy:
            self._busy = True
            # One turn of the loop later, so that everything that became ready with this caller shares the commit.
            self._loop.call_soon(self._hand_over)
        # One of its own per caller: a caller that is cancelled must not take the others' commit with it.
        wait = self._loop.create_future()
        group.waiters.append(wait)
        return wait

    def _hand_over(self) -> None:
        group = self._flying = self._open
        self._open = _Group()
        self._writer.hand(functools.partial(self._write_down, group))

    def _committed(self, group: _Group, fault: BaseException | None) -> None:
        self._settle(group, fault)
        if self._open.values:
            assert self._loop is not None
            # Those who were just told are about to append again; they come along.
            self._loop.call_soon(self._hand_over)
            return
        self._busy = False
        if self._idle is not None and not self._idle.done():
            self._idle.set_result(None)

    def _settle(self, group: _Group, fault: BaseException | None) -> None:
        if self._flying is group:
            self._flying = _Group()
        if fault is not None:
            for key in group.keys:
                self._known.pop(key, None)
        elif (extra := len(self._known) - len(self._open.keys) - self._remember) > 0:
            for key in list(itertools.islice(self._known, extra)):
                del self._known[key]
        for waiter in group.waiters:
            if waiter.done():
                continue
            if fault is None:
                waiter.set_result(None)
            else:
                waiter.set_exception(self._fault(fault))

    # ------------------------------------------------------------------ in the threads
    def _write_down(self, group: _Group) -> None:
        fault: BaseException | None = None
        try:
            self._commit(group.values)
        except BaseException as error:
            # Whatever it is, those who wait must hear of it.
            fault = error
        assert self._loop is not None
        try:
            self._loop.call_soon_threadsafe(self._committed, group, fault)
        except RuntimeError:
            # The loop was closed over the commit, and all who waited in it are gone.
            self._busy = False
            self._settle(group, fault)

    def _commit(self, lanes: dict[str, list[Any]]) -> None:
        db = self._write_db
        inserts = [insert for lane, values in lanes.items() for insert in _inserts(lane, values)]
        # One commits by itself, which spares two more statements; not within what an undoing that failed has left open.
        if len(inserts) == 1 and not db.in_transaction:
            patiently(lambda: db.execute(*inserts[0]), self._clock)
            return
        try:
            begin(db, self._clock)
            for insert in inserts:
                db.execute(*insert)
            db.execute("COMMIT")
        finally:
            if db.in_transaction:
                db.execute("ROLLBACK")

    async def _ask(self, question: Callable[[sqlite3.Connection], T]) -> T:
        return await self._run(self._reader, lambda: question(self._read_db))

    async def _run(self, thread: Clerk, work: Callable[[], T]) -> T:
        if self._closed:
            raise JournalError("the journal is closed", place=str(self._path))
        try:
            return await asyncio.get_running_loop().run_in_executor(thread, work)
        except sqlite3.Error as fault:
            raise self._fault(fault) from fault

    def _fault(self, fault: BaseException) -> JournalError:
        failure = JournalError(f"the journal cannot be used: {fault}", place=str(self._path))
        failure.__cause__ = fault
        return failure


def open_journal(path: Path, *, clock: Clock) -> SqliteJournal:
    """The journal in ``path``, made (mode 0600, with its folders) when there is none. ConfigError when the file cannot be a journal.

    ``clock`` bounds how long a commit waits for other processes.
    """
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o600)
        return SqliteJournal(path, clock)
    except OSError as fault:
        raise ConfigError(f"the journal cannot be made: {fault.strerror}", place=str(path)) from fault
    except sqlite3.Error as fault:
        raise ConfigError(f"the journal cannot be opened: {fault}", place=str(path)) from fault


# ---------------------------------------------------------------------- SQL
def _inserts(lane: str, values: list[Any]) -> Iterator[tuple[str, list[Any]]]:
    """Statements that write the rows in their order, each with what it takes."""
    width, done = len(COLUMNS), 0
    while left := len(values) // width - done:
        size = left if left <= _USUAL else min(_LARGE[-1], 1 << left.bit_length() - 1)
        yield _INSERTS[lane][size], values[done * width : (done + size) * width]
        done += size


def _entry(lane: Lane, row: tuple[Any, ...]) -> Entry:
    position, entry, account, topic, dedupe, partition, received_at, payload = row
    return Entry(
        position=position, id=entry, account=account, topic=topic, lane=lane, dedupe=dedupe, partition=partition,
        received_at=received_at, payload=payload,
    )  # fmt: skip


def _read(db: sqlite3.Connection, lane: Lane, after: int, limit: int) -> list[Entry]:
    sql = f"SELECT position, {NAMES} FROM {lane.value} WHERE position > ? ORDER BY position LIMIT ?"  # noqa: S608
    return [_entry(lane, row) for row in db.execute(sql, (after, limit)).fetchall()]


def _find(db: sqlite3.Connection, entry: str) -> Entry | None:
    for lane in Lane:
        sql = f"SELECT position, {NAMES} FROM {lane.value} WHERE id = ? ORDER BY position LIMIT 1"  # noqa: S608
        if row := db.execute(sql, (entry,)).fetchone():
            return _entry(lane, row)
    return None


def _depth(db: sqlite3.Connection, lane: Lane, after: int) -> tuple[int, int | None]:
    # Positions are dense above the purge: counting them by subtraction spares reading the backlog.
    oldest = f"SELECT position, received_at FROM {lane.value} WHERE position > ? ORDER BY position LIMIT 1"  # noqa: S608
    newest = f"SELECT max(position) FROM {lane.value}"  # noqa: S608
    first = db.execute(oldest, (after,)).fetchone()
    if first is None:
        return 0, None
    return db.execute(newest).fetchone()[0] - first[0] + 1, first[1]


def _replace(db: sqlite3.Connection, clock: Clock, payloads: Sequence[tuple[str, bytes, bytes]]) -> int:
    done = 0
    try:
        begin(db, clock)
        for entry, old, new in payloads:
            for lane in Lane:
                sql = f"UPDATE {lane.value} SET payload = ? WHERE id = ? AND payload = ?"  # noqa: S608
                done += db.execute(sql, (new, entry, old)).rowcount
        db.execute("COMMIT")
    finally:
        if db.in_transaction:
            db.execute("ROLLBACK")
    return done


def _repeat(db: sqlite3.Connection, clock: Clock, copies: Sequence[Copy]) -> set[str]:
    written: set[str] = set()
    try:
        begin(db, clock)
        for one in copies:
            if any(
                db.execute(f"SELECT 1 FROM {lane.value} WHERE id = ? AND payload = ?", (one.of, one.payload)).fetchone()  # noqa: S608
                for lane in Lane
            ):
                group = _Group()
                group.add(one.draft)
                for lane_name, values in group.values.items():
                    for insert in _inserts(lane_name, values):
                        db.execute(*insert)
                written.add(one.draft.id)
        db.execute("COMMIT")
    finally:
        if db.in_transaction:
            db.execute("ROLLBACK")
    return written


def _scrub(db: sqlite3.Connection, clock: Clock) -> bool:
    until = clock.monotonic() + PATIENCE
    while db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]:
        if clock.monotonic() > until:
            return False
    return True


def _forget(db: sqlite3.Connection, clock: Clock, lane: Lane, before: int, upto: int) -> int:
    oldest = f"SELECT position FROM {lane.value} WHERE position <= ? ORDER BY position LIMIT ?"  # noqa: S608
    sql = f"DELETE FROM {lane.value} WHERE position IN ({oldest}) AND received_at < ?"  # noqa: S608
    return patiently(lambda: db.execute(sql, (upto, _PURGE, before)).rowcount, clock)
