"""The journal in one SQLite file."""

import asyncio
import random
import resource
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import msgspec
import pytest

from gateway.clock import SystemClock, TurnedClock
from gateway.errors import ConfigError, JournalError
from gateway.journal import Journal
from gateway.journals.sqlite import SqliteJournal, open_journal
from gateway.model.lane import Lane
from tests.contract.journal import JournalContract, draft, everything, ids

APPENDER = """
import asyncio, sys
from pathlib import Path
from gateway.clock import SystemClock
from gateway.journals.sqlite import open_journal
from tests.contract.journal import draft

async def main(path, start, count):
    log = open_journal(Path(path), clock=SystemClock())
    async def caller(first):
        for n in range(first, start + count, 8):
            (receipt,) = await log.append([draft(n, partition=str(start).encode())])
            sys.stdout.write(receipt.id + "\\n")
            sys.stdout.flush()
    await asyncio.gather(*(caller(start + k) for k in range(8)))
    await log.close()

asyncio.run(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
"""


def appender(path: Path, start: int, count: int) -> subprocess.Popen[str]:
    """Another process that appends and prints each id after its receipt."""
    root = Path(__file__).parents[2]
    command = [sys.executable, "-c", APPENDER, str(path), str(start), str(count)]
    return subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE, text=True)


def stored(path: Path) -> list[str]:
    """The ids in the live lane, as a fresh journal reads them."""

    async def main() -> list[str]:
        log = open_journal(path, clock=TurnedClock())
        try:
            return ids(await everything(log))
        finally:
            await log.close()

    return asyncio.run(main())


def commits(path: Path) -> int:
    """Commit marks in the write-ahead log: frames whose header states the database's size (SQLite file format §4.1)."""
    log = Path(f"{path}-wal").read_bytes()
    page = int.from_bytes(log[8:12], "big")
    heads = (log[at : at + 24] for at in range(32, len(log), 24 + page))
    return sum(1 for head in heads if head[4:8] != b"\0\0\0\0" and head[8:16] == log[16:24])


@contextmanager
def files_at_most(size: int) -> Iterator[None]:
    """No file may grow past ``size`` bytes: writing fails as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


class HurriedClock(TurnedClock):
    """Every look at it costs six seconds."""

    def monotonic(self) -> float:
        self.turn(6)
        return super().monotonic()


class TestSqliteJournal(JournalContract):
    async def open(self, place: Path) -> Journal:
        return open_journal(place / "journal.db", clock=TurnedClock())


def test_callers_at_once_share_a_commit(tmp_path: Path) -> None:
    """Sixty-four callers cost a handful of fsyncs, not sixty-four."""
    path = tmp_path / "journal.db"

    async def main() -> None:
        log = open_journal(path, clock=TurnedClock())
        before = commits(path)
        await asyncio.gather(*(log.append([draft(n)]) for n in range(64)))
        assert 1 <= commits(path) - before <= 2
        await log.close()

    asyncio.run(main())


@pytest.mark.parametrize(("group", "statements"), [(1, 1), (31, 1), (45, 4), (300, 6)])
def test_group_of_usual_size_is_one_statement(tmp_path: Path, group: int, statements: int) -> None:
    """A larger one is put together within one transaction; all of it is there, in its order."""
    path = tmp_path / "journal.db"
    asked: list[str] = []

    async def main() -> None:
        log = open_journal(path, clock=TurnedClock())
        log._write_db.set_trace_callback(asked.append)
        await asyncio.gather(*(log.append([draft(n)]) for n in range(group)))
        assert len(asked) == statements
        assert ids(await everything(log)) == [draft(n).id for n in range(group)]
        await log.close()

    asyncio.run(main())


def test_call_into_both_lanes_that_fails_leaves_neither(tmp_path: Path) -> None:
    """Two statements are one transaction: a disk that is full in the second of them undoes the first."""
    path = tmp_path / "journal.db"

    async def main() -> None:
        log = open_journal(path, clock=TurnedClock())
        await log.append([draft(1)])
        big = msgspec.structs.replace(draft(3, lane=Lane.BULK), payload=b"x" * (8 << 20))
        with files_at_most(Path(f"{path}-wal").stat().st_size + (1 << 20)), pytest.raises(JournalError):
            await log.append([draft(2), big])
        assert ids(await everything(log)) == [draft(1).id]
        assert ids(await everything(log, Lane.BULK)) == []
        assert [r.known for r in await log.append([draft(2), big])] == [False, False]
        await log.close()

    asyncio.run(main())


def test_transaction_left_open_acknowledges_nothing(tmp_path: Path) -> None:
    """What would be written into it and never committed is refused; then it is undone, and the journal goes on."""
    path = tmp_path / "journal.db"

    async def main() -> None:
        log = open_journal(path, clock=TurnedClock())
        log._write_db.execute("BEGIN")
        with pytest.raises(JournalError):
            await log.append([draft(1)])
        assert [r.known for r in await log.append([draft(1)])] == [False]
        assert ids(await everything(log)) == [draft(1).id]
        await log.close()

    asyncio.run(main())


@pytest.mark.parametrize("size", [40, 3000, 40_000], ids=["short", "a page", "overflowing"])
def test_replaced_payload_is_in_no_file_after_scrubbing(tmp_path: Path, size: int) -> None:
    """Neither in the database, nor in what its pages freed, nor in the log."""
    path = tmp_path / "journal.db"
    secrets = [f"<{n}-13800138000->".encode() * (size // 16) for n in range(20)]

    async def main() -> None:
        log = open_journal(path, clock=SystemClock())
        drafts = [msgspec.structs.replace(draft(n), payload=secret) for n, secret in enumerate(secrets)]
        await log.append(drafts)
        assert await log.replace([(one.id, one.payload, b"gone") for one in drafts[::2]]) == 10
        assert await log.scrub()
        content = b"".join(file.read_bytes() for file in tmp_path.iterdir())
        assert [b"<%d-1380" % n in content for n in range(20)] == [n % 2 == 1 for n in range(20)]
        await log.close()

    asyncio.run(main())


def test_scrubbing_beside_a_reader_says_that_it_is_not_done(tmp_path: Path) -> None:
    """A snapshot that somebody holds keeps the log; nobody is told otherwise."""
    path = tmp_path / "journal.db"

    class Hasty(SystemClock):
        def monotonic(self) -> float:
            return super().monotonic() * 1000

    async def main() -> None:
        log = open_journal(path, clock=Hasty())
        await log.append([draft(1)])
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN")
            other.execute("SELECT * FROM live").fetchall()
            await log.replace([(draft(1).id, draft(1).payload, b"gone")])
            assert not await log.scrub()
        assert await log.scrub()
        await log.close()

    asyncio.run(main())


def test_commit_waits_for_the_disk(tmp_path: Path) -> None:
    """The writing connection runs with synchronous = FULL (2), and the log is a write-ahead log."""

    async def main() -> None:
        log = open_journal(tmp_path / "journal.db", clock=TurnedClock())
        assert log._write_db.execute("PRAGMA synchronous").fetchone() == (2,)
        assert log._write_db.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        await log.close()

    asyncio.run(main())


def test_full_disk_tells_every_caller_and_remembers_nothing(tmp_path: Path) -> None:
    """All callers of the failed commit get JournalError, duplicates too; with room again the same entries are written as new."""
    path = tmp_path / "journal.db"

    async def main() -> None:
        log = open_journal(path, clock=TurnedClock())
        await log.append([draft(1)])
        with files_at_most(Path(f"{path}-wal").stat().st_size):
            calls = [log.append([draft(n)]) for n in (2, 3, 2, 1)]
            *failed, known = await asyncio.gather(*calls, return_exceptions=True)
        assert [type(outcome) for outcome in failed] == [JournalError] * 3
        assert len({id(outcome) for outcome in failed}) == 3
        assert [r.known for r in known] == [True]
        assert ids(await everything(log)) == [draft(1).id]
        receipts = await log.append([draft(2), draft(3)])
        assert [r.known for r in receipts] == [False, False]
        assert ids(await everything(log)) == [draft(n).id for n in (1, 2, 3)]
        await log.close()

    asyncio.run(main())


def test_call_with_a_duplicate_under_way_fails_with_either_commit(tmp_path: Path) -> None:
    """A call is acknowledged only when the entry it repeats is durable as well as its own."""
    path = tmp_path / "journal.db"

    async def main() -> None:
        log = open_journal(path, clock=TurnedClock())
        await log.append([draft(1)])
        with files_at_most(Path(f"{path}-wal").stat().st_size):
            first = asyncio.create_task(log.append([draft(2)]))
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            with pytest.raises(JournalError):
                await log.append([draft(2), draft(3)])
            with pytest.raises(JournalError):
                await first
        await log.close()

    asyncio.run(main())


@pytest.mark.parametrize("garbage", [False, True], ids=["cut", "garbage"])
def test_torn_tail_leaves_a_prefix_with_all_that_was_acknowledged(tmp_path: Path, garbage: bool) -> None:
    """Wherever the log's tail is lost, the rest is what was written first, whole, and every receipt given before that point holds."""
    path = tmp_path / "journal.db"
    marks: list[tuple[int, int]] = []

    async def main() -> None:
        log = open_journal(path, clock=TurnedClock())
        for n in range(0, 60, 3):
            await log.append([draft(n), draft(n + 1), draft(n + 2)])
            marks.append((Path(f"{path}-wal").stat().st_size, n + 3))
        # Copied while open: closing would fold the log away.
        shutil.copy(path, tmp_path / "copy")
        shutil.copy(f"{path}-wal", tmp_path / "copy-wal")
        await log.close()

    asyncio.run(main())
    whole = (tmp_path / "copy-wal").read_bytes()
    dice = random.Random(20261111)
    for number in range(25):
        cut = dice.randrange(marks[0][0], len(whole) + 1)
        torn = tmp_path / f"torn{number}.db"
        shutil.copy(tmp_path / "copy", torn)
        tail = dice.randbytes(len(whole) - cut) if garbage else b""
        Path(f"{torn}-wal").write_bytes(whole[:cut] + tail)
        left = stored(torn)
        assert left == [draft(n).id for n in range(len(left))]
        assert len(left) % 3 == 0
        assert len(left) >= max(acknowledged for size, acknowledged in marks if size <= cut)


def test_killed_process_leaves_everything_it_acknowledged(tmp_path: Path) -> None:
    """kill -9 in the middle of appending: each id whose receipt was printed is in the log, once."""
    path = tmp_path / "journal.db"
    process = appender(path, 0, 100_000)
    assert process.stdout is not None
    printed = [process.stdout.readline().strip() for _ in range(400)]
    process.send_signal(signal.SIGKILL)
    # The last line may be cut short by the kill.
    printed += [line for line in process.stdout.read().split("\n") if len(line) == 36]
    process.stdout.close()
    process.wait()
    left = stored(path)
    assert set(printed) <= set(left)
    assert len(left) == len(set(left))


def test_three_processes_append_to_one_file(tmp_path: Path) -> None:
    """None is told that the file is busy; each one's entries are all there."""
    path = tmp_path / "journal.db"
    processes = [appender(path, start, 400) for start in (0, 1000, 2000)]
    for process in processes:
        out, _ = process.communicate()
        assert process.returncode == 0
        assert len(out.split()) == 400
    assert sorted(stored(path)) == [draft(start + n).id for start in (0, 1000, 2000) for n in range(400)]


def test_busy_file_is_waited_for(tmp_path: Path) -> None:
    """Another process's long transaction delays a commit and does not fail it."""
    path = tmp_path / "journal.db"

    async def main() -> None:
        log = open_journal(path, clock=SystemClock())
        other = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        other.execute("BEGIN IMMEDIATE")
        timer = threading.Timer(0.1, other.execute, ["ROLLBACK"])
        timer.start()
        assert ids(await log.append([draft(1)])) == [draft(1).id]
        timer.join()
        other.close()
        await log.close()

    asyncio.run(main())


def test_file_busy_for_too_long_fails_the_commit(tmp_path: Path) -> None:
    """After ten seconds of the clock the callers are told, and may try again."""
    path = tmp_path / "journal.db"

    async def main() -> None:
        log = open_journal(path, clock=HurriedClock())
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(JournalError, match="locked"):
            await log.append([draft(1)])
        other.execute("ROLLBACK")
        other.close()
        assert [r.known for r in await log.append([draft(1)])] == [False]
        await log.close()

    asyncio.run(main())


def test_memory_of_duplicates_is_bounded(tmp_path: Path) -> None:
    """With room for two keys the third forgets the first, which is then written again for the store to decide."""

    async def main() -> None:
        log = SqliteJournal(tmp_path / "journal.db", TurnedClock(), remember=2)
        for n in (1, 2, 3):
            await log.append([draft(n)])
        assert [r.known for r in await log.append([draft(3), draft(1)])] == [True, False]
        await log.close()

    asyncio.run(main())


def test_journal_serves_one_loop_after_another(tmp_path: Path) -> None:
    """A loop that ended in the middle of a commit leaves a journal that the next loop can use."""
    log = open_journal(tmp_path / "journal.db", clock=TurnedClock())

    async def leave_early() -> None:
        left = asyncio.create_task(log.append([draft(1)]))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert not left.done()

    async def go_on() -> None:
        receipts = await log.append([draft(1), draft(2)])
        assert ids(receipts) == [draft(1).id, draft(2).id]
        assert ids(await everything(log)) == [draft(1).id, draft(2).id]
        await log.close()

    asyncio.run(leave_early())
    asyncio.run(go_on())


def test_new_journal_is_for_its_owner_only(tmp_path: Path) -> None:
    """Folders are made; file and log are 0600."""
    path = tmp_path / "a" / "b" / "journal.db"

    async def main() -> None:
        log = open_journal(path, clock=TurnedClock())
        await log.append([draft(1)])
        assert [p.stat().st_mode & 0o777 for p in sorted(path.parent.iterdir())] == [0o600] * 3
        await log.close()

    asyncio.run(main())


def test_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    """ConfigError names the file; nothing of it is overwritten."""
    path = tmp_path / "journal.db"
    path.write_bytes(b"not a database, and long enough to be taken for one" * 100)
    with pytest.raises(ConfigError, match="not a database") as caught:
        open_journal(path, clock=TurnedClock())
    assert caught.value.place == str(path)
    assert path.read_bytes().startswith(b"not a database")


def test_journal_of_a_later_version_is_refused(tmp_path: Path) -> None:
    """An older gateway does not write into a newer one's file."""
    path = tmp_path / "journal.db"
    db = sqlite3.connect(path)
    db.execute("PRAGMA user_version = 9")
    db.close()
    with pytest.raises(ConfigError, match="version 9"):
        open_journal(path, clock=TurnedClock())


def test_folder_that_cannot_be_made_is_a_config_error(tmp_path: Path) -> None:
    """A file where the folder should be is named as such."""
    (tmp_path / "data").write_text("")
    with pytest.raises(ConfigError, match="cannot be made"):
        open_journal(tmp_path / "data" / "journal.db", clock=TurnedClock())


def test_no_question_scans_a_lane(tmp_path: Path) -> None:
    """Whatever the journal asks of a deep lane goes by position or by id, and sorts nothing."""
    asked: list[str] = []

    async def main() -> None:
        log = open_journal(tmp_path / "journal.db", clock=TurnedClock())
        await log.append([draft(1)])
        for db in (log._read_db, log._write_db):
            db.set_trace_callback(asked.append)
        await log.read(Lane.LIVE, 0, 5, 9)
        await log.find("ent_unknown")
        await log.depth(Lane.LIVE, 0, 0)
        await log.purge(1, {(Lane.LIVE, 0): 1})
        plans = [log._read_db.execute(f"EXPLAIN QUERY PLAN {question}").fetchall() for question in asked[:6]]
        steps = [row[3] for plan in plans for row in plan]
        assert len(steps) >= 6
        assert [step for step in steps if step.startswith("SCAN") or "TEMP B-TREE" in step] == []
        await log.close()

    asyncio.run(main())
