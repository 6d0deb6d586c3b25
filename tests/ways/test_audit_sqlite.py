"""The trail in one SQLite file, and everything that somebody with a shell can do to it."""

import asyncio
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import pytest

from gateway.audits.sqlite import ANCHOR_LOST, SqliteTrail, open_trail
from gateway.clock import SystemClock
from gateway.errors import StoreError
from gateway.vaults.file import open_vault
from tests.contract.audit import TrailContract, act

WRITER = """
import asyncio, sys
from pathlib import Path
from tests.contract.audit import act
from tests.ways.test_audit_sqlite import opened

async def main(place, start, count):
    trail = opened(Path(place))
    for n in range(start, start + count):
        await trail.record([act(n)])
        sys.stdout.write(f"{n}\\n")
        sys.stdout.flush()
    await trail.close()

asyncio.run(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
"""


def opened(place: Path) -> SqliteTrail:
    """The trail of a folder, keyed by the vault beside it."""
    return open_trail(place / "audit.db", keyed=open_vault(place / "keys.json").blind, clock=SystemClock())


def tamper(place: Path, *statements: str) -> None:
    """What the ``sqlite3`` program would do."""
    with closing(sqlite3.connect(place / "audit.db")) as db:
        for statement in statements:
            db.execute(statement)
        db.commit()


def writer(place: Path, start: int, count: int) -> subprocess.Popen[str]:
    """Another process that records acts and prints each once it is durable."""
    command = [sys.executable, "-c", WRITER, str(place), str(start), str(count)]
    return subprocess.Popen(command, cwd=Path(__file__).parents[2], stdout=subprocess.PIPE, text=True)


class TestSqliteTrail(TrailContract):
    """See ``TrailContract``."""

    def open(self, place: Path) -> SqliteTrail:
        """See ``TrailContract.open``."""
        return opened(place)

    def edit(self, place: Path, number: int) -> None:
        """See ``TrailContract.edit``."""
        tamper(place, f"UPDATE acts SET actor = 'cli:somebody' WHERE number = {number}")

    def remove(self, place: Path, numbers: Sequence[int]) -> None:
        """See ``TrailContract.remove``."""
        tamper(place, *(f"DELETE FROM acts WHERE number = {number}" for number in numbers))

    def swap(self, place: Path, first: int, second: int) -> None:
        """See ``TrailContract.swap``."""
        moves = ((first, -1), (second, first), (-1, second))
        tamper(place, *(f"UPDATE acts SET number = {new} WHERE number = {old}" for old, new in moves))

    def forge(self, place: Path, like: int) -> None:
        """See ``TrailContract.forge``."""
        columns = "at, actor, verb, object, detail, mac"
        tamper(
            place,
            f"INSERT INTO acts (number, {columns}) SELECT (SELECT max(number) FROM acts) + 1, {columns} FROM acts WHERE number = {like}",
        )

    @pytest.mark.parametrize(
        "change",
        [
            "at = at + 1", "verb = 'read'", "object = 'cus_0'", "detail = '{}'", "detail = '{\"records\": 2}'", "mac = zeroblob(16)",
            "mac = 'text'", "mac = x''", "actor = x'ff'", "actor = CAST(x'ff' AS TEXT)", "detail = 'no json'",
        ],
    )  # fmt: skip
    def test_any_changed_column_is_told(self, place: Path, change: str) -> None:
        """Whatever it is changed to, a value of another type or bytes that are no text included."""
        self.write(place, 1, 3, 5)
        tamper(place, f"UPDATE acts SET {change} WHERE number = 2")
        assert (2, "edited") in self.faults(place)

    def test_number_that_was_never_given_is_told(self, place: Path) -> None:
        """An act slipped in before the first."""
        self.write(place, 1, 2)
        tamper(place, "INSERT INTO acts SELECT 0, at, actor, verb, object, detail, mac FROM acts WHERE number = 1")
        assert (0, "edited") in self.faults(place)

    def test_listing_an_edited_act_names_the_remedy(self, place: Path) -> None:
        """What cannot be read any more is an error of ours and no crash."""
        self.write(place, 1)
        tamper(place, "UPDATE acts SET detail = 'no json'")
        with pytest.raises(StoreError, match="gateway audit verify"):
            self.all(place)

    def test_removed_database_is_told(self, place: Path) -> None:
        """The anchor remembers that there was one."""
        self.write(place, 1, 2, 3)
        for file in place.glob("audit.db*"):
            file.unlink()
        assert self.faults(place) == [(1, "truncated")]

    def test_removed_anchor_is_told_now_and_for_ever(self, place: Path) -> None:
        """The next act makes a new anchor, and says in the trail itself that the old one was gone."""
        self.write(place, 1, 2)
        (place / "audit.anchor").unlink()
        assert self.faults(place) == [(3, "truncated")]
        self.write(place, 3)
        assert [link.act.verb for link in self.all(place)] == ["erase", "read", ANCHOR_LOST, "erase"]
        assert self.faults(place) == [(3, "truncated")]

    def test_forged_anchor_is_no_anchor(self, place: Path) -> None:
        """Without the key nobody can note a lower number."""
        self.write(place, 1, 2, 3)
        anchor = place / "audit.anchor"
        anchor.write_text(anchor.read_text().replace('"number":3', '"number":2'))
        self.remove(place, [3])
        assert self.faults(place) == [(3, "truncated")]

    def test_older_database_under_the_newer_anchor_is_told(self, place: Path) -> None:
        """Putting yesterday's file back loses today's acts, and shows."""
        self.write(place, 1, 2)
        shutil.copy(place / "audit.db", place / "old.db")
        self.write(place, 3)
        shutil.copy(place / "old.db", place / "audit.db")
        assert self.faults(place) == [(3, "truncated")]

    def test_crash_before_the_anchor_leaves_a_whole_trail(self, place: Path) -> None:
        """The chain may be ahead of its anchor, and the next act takes the anchor along."""
        self.write(place, 1)
        shutil.copy(place / "audit.anchor", place / "old.anchor")
        self.write(place, 2)
        shutil.copy(place / "old.anchor", place / "audit.anchor")
        assert self.faults(place) == []
        self.write(place, 3)
        assert '"number":3' in (place / "audit.anchor").read_text()
        assert self.faults(place) == []

    def test_another_key_makes_another_chain(self, place: Path) -> None:
        """A trail that was copied to where another key is held does not verify there."""
        self.write(place, 1)
        (place / "keys.json").unlink()
        assert (1, "edited") in self.faults(place)

    def test_files_are_ours_alone(self, place: Path) -> None:
        """Who did what to whom is nobody else's to read."""
        self.write(place, 1)
        assert {file.stat().st_mode & 0o077 for file in place.glob("audit.*")} == {0}

    def test_processes_that_write_at_once_leave_one_dense_chain(self, place: Path) -> None:
        """Three of them, thirty acts each."""
        opened(place)
        others = [writer(place, start, 30) for start in (0, 100, 200)]
        for other in others:
            other.communicate(timeout=60)
            assert other.returncode == 0
        assert [link.number for link in self.all(place)] == list(range(1, 91))
        assert self.faults(place) == []
        assert '"number":90' in (place / "audit.anchor").read_text()

    def test_killed_writer_leaves_what_it_said_was_durable(self, place: Path) -> None:
        """An act whose recording returned is there after a kill, and the chain is whole."""
        other = writer(place, 0, 100_000)
        assert other.stdout is not None
        told = [int(other.stdout.readline()) for _ in range(20)]
        other.kill()
        told += [int(line) for line in other.communicate()[0].splitlines()]
        assert {act(n).object for n in told} <= {link.act.object for link in self.all(place)}
        assert self.faults(place) == []

    def test_act_on_a_full_disk_is_an_error(self, place: Path) -> None:
        """A folder that cannot be written to: whoever must be traced is told before anything is done."""
        self.write(place, 1)
        tamper(place, "CREATE TRIGGER full BEFORE INSERT ON acts BEGIN SELECT RAISE(FAIL, 'disk full'); END")
        with pytest.raises(StoreError):
            self.write(place, 2)

    def test_anchor_that_cannot_be_written_is_an_error(self, place: Path) -> None:
        """Then the act may stand in the trail although it was not done, never the other way round."""
        self.write(place, 1)
        (place / "audit.anchor").unlink()
        (place / "audit.anchor").mkdir()
        with pytest.raises(StoreError):
            self.write(place, 2)

    def test_ten_thousand_acts_verify_quickly(self, place: Path) -> None:
        """Walking the chain takes microseconds an act, of the processor's time: how long it waits for its turn is the machine's affair."""

        async def main() -> None:
            trail = opened(place)
            for start in range(0, 10_000, 1000):
                await trail.record([act(n) for n in range(start, start + 1000)])
            began = time.process_time()
            assert list(await trail.verify()) == []
            assert time.process_time() - began < 2.0
            await trail.close()

        asyncio.run(main())
