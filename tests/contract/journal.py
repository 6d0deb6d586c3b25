"""What every journal keeps. A way inherits ``JournalContract`` and says how to open one."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import msgspec
import pytest

from gateway import journal
from gateway.clock import SECOND
from gateway.errors import JournalError
from gateway.model.lane import Lane

START = 1_760_000_000 * SECOND

Scenario = Callable[[journal.Journal], Awaitable[None]]


def draft(
    number: int, *, lane: Lane = Lane.LIVE, account: str = "shop", partition: bytes = b"one", at: int = START
) -> journal.Draft:
    """A draft that differs from every other number's."""
    return journal.Draft(
        id=f"ent_{number:032x}",
        account=account,
        topic="trade",
        lane=lane,
        dedupe=number.to_bytes(16, "big"),
        partition=partition.ljust(16, b"\0"),
        received_at=at,
        payload=b"\0sealed\xff" * (1 + number % 5),
    )


async def everything(log: journal.Journal, lane: Lane = Lane.LIVE, *, limit: int = 100) -> list[journal.Entry]:
    """All entries of a lane, read by cursor shard after shard."""
    found: list[journal.Entry] = []
    for shard in log.shards(lane):
        after = 0
        while page := await log.read(lane, shard, after, limit):
            found.extend(page)
            after = page[-1].position
    return found


async def applied(log: journal.Journal) -> dict[tuple[Lane, int], int]:
    """Cursors at the end of everything."""
    ends: dict[tuple[Lane, int], int] = {}
    for lane in Lane:
        for shard in log.shards(lane):
            page = await log.read(lane, shard, 0, 10_000)
            ends[lane, shard] = page[-1].position if page else 0
    return ends


def ids(entries: Sequence[journal.Entry | journal.Receipt | journal.Draft]) -> list[str]:
    """Their ids, in order."""
    return [entry.id for entry in entries]


class JournalContract:
    """The promise of ``gateway.journal.Journal``."""

    many_doors = True
    """Whether several journals of one place may append at the same time."""

    async def open(self, place: Path) -> journal.Journal:
        """Open the journal that lives in ``place``; a second call opens the same log."""
        raise NotImplementedError

    @pytest.fixture
    def place(self, tmp_path: Path) -> Path:
        return tmp_path

    def run(self, place: Path, scenario: Scenario) -> None:
        async def main() -> None:
            log = await self.open(place)
            try:
                await scenario(log)
            finally:
                await log.close()

        asyncio.run(main())

    def test_appended_entry_is_read_back_whole(self, place: Path) -> None:
        """Every field of a draft stands in the entry, bytes included."""

        async def scenario(log: journal.Journal) -> None:
            wrote = draft(7, lane=Lane.BULK)
            receipts = await log.append([wrote])
            assert receipts == [journal.Receipt(id=wrote.id, known=False)]
            (entry,) = await everything(log, Lane.BULK)
            assert {**msgspec.structs.asdict(wrote), "position": entry.position} == msgspec.structs.asdict(entry)

        self.run(place, scenario)

    def test_nothing_appended_gives_no_receipts(self, place: Path) -> None:
        """An empty call returns at once."""

        async def scenario(log: journal.Journal) -> None:
            assert list(await log.append([])) == []
            assert await everything(log) == []

        self.run(place, scenario)

    def test_one_call_with_many_drafts_keeps_receipts_and_entries_in_order(self, place: Path) -> None:
        """A thousand drafts of both lanes come back in the order of the call."""

        async def scenario(log: journal.Journal) -> None:
            drafts = [draft(n, lane=Lane.BULK if n % 3 == 0 else Lane.LIVE) for n in range(1, 1001)]
            assert ids(await log.append(drafts)) == ids(drafts)
            for lane in Lane:
                assert ids(await everything(log, lane)) == [d.id for d in drafts if d.lane is lane]

        self.run(place, scenario)

    def test_concurrent_appends_are_all_durable_once(self, place: Path) -> None:
        """Two hundred callers at once: each gets its own receipt, and each entry stands once."""

        async def scenario(log: journal.Journal) -> None:
            calls = await asyncio.gather(*(log.append([draft(n)]) for n in range(200)))
            assert [call[0].id for call in calls] == [draft(n).id for n in range(200)]
            assert sorted(ids(await everything(log))) == [draft(n).id for n in range(200)]

        self.run(place, scenario)

    def test_appends_of_one_partition_keep_their_order(self, place: Path) -> None:
        """What was appended later in one partition has the higher position, in the same shard."""

        async def scenario(log: journal.Journal) -> None:
            for n in range(20):
                await asyncio.gather(
                    log.append([draft(n, partition=b"mine")]), log.append([draft(100 + n, partition=b"other")])
                )
            mine = [entry for entry in await everything(log) if entry.partition.startswith(b"mine")]
            assert ids(mine) == [draft(n).id for n in range(20)]
            assert [e.position for e in mine] == sorted({e.position for e in mine})

        self.run(place, scenario)

    def test_one_partition_falls_into_one_shard(self, place: Path) -> None:
        """A reader that follows one shard sees all of a partition that it sees any of."""

        async def scenario(log: journal.Journal) -> None:
            await log.append([draft(n, partition=bytes([65 + n % 8])) for n in range(64)])
            homes: dict[bytes, set[int]] = {}
            for shard in log.shards(Lane.LIVE):
                for entry in await log.read(Lane.LIVE, shard, 0, 100):
                    homes.setdefault(entry.partition, set()).add(shard)
            assert len(homes) == 8
            assert all(len(shards) == 1 for shards in homes.values())

        self.run(place, scenario)

    def test_cursor_reads_continue_without_gap_or_repeat(self, place: Path) -> None:
        """Pages of three add up to the whole, and the end is empty."""

        async def scenario(log: journal.Journal) -> None:
            await log.append([draft(n) for n in range(10)])
            assert ids(await everything(log, limit=3)) == ids(await everything(log))
            ends = await applied(log)
            for shard in log.shards(Lane.LIVE):
                assert list(await log.read(Lane.LIVE, shard, ends[Lane.LIVE, shard], 10)) == []

        self.run(place, scenario)

    def test_same_key_after_the_commit_is_known_and_not_written_again(self, place: Path) -> None:
        """A duplicate gets the first entry's id."""

        async def scenario(log: journal.Journal) -> None:
            await log.append([draft(1)])
            again = msgspec.structs.replace(draft(1), id="ent_again")
            assert await log.append([again, draft(2)]) == [
                journal.Receipt(id=draft(1).id, known=True),
                journal.Receipt(id=draft(2).id, known=False),
            ]
            assert ids(await everything(log)) == [draft(1).id, draft(2).id]

        self.run(place, scenario)

    def test_what_is_to_be_written_again_is_written_though_its_key_is_known(self, place: Path) -> None:
        """A retried dead letter stands a second time under its own id; what a sender repeats is still known by the first."""

        async def scenario(log: journal.Journal) -> None:
            await log.append([draft(1)])
            again = msgspec.structs.replace(draft(1), id="ent_again")
            copy = journal.Copy(of=draft(1).id, payload=draft(1).payload, draft=again)
            assert await log.repeat([copy]) == {"ent_again"}
            assert ids(await everything(log)) == [draft(1).id, "ent_again"]
            repeated = msgspec.structs.replace(draft(1), id="ent_repeated")
            assert await log.append([repeated]) == [journal.Receipt(id=draft(1).id, known=True)]

        self.run(place, scenario)

    def test_what_was_replaced_or_is_gone_is_not_written_again(self, place: Path) -> None:
        """An entry that was erased after somebody read it does not live on in a copy; the others of the call are written."""

        async def scenario(log: journal.Journal) -> None:
            await log.append([draft(1), draft(2)])
            copies = [
                journal.Copy(of=one.id, payload=one.payload, draft=msgspec.structs.replace(one, id=f"{one.id}_again"))
                for one in (draft(1), draft(2), draft(3))
            ]  # fmt: skip
            await log.replace([(draft(1).id, draft(1).payload, b"erased")])
            assert await log.repeat(copies) == {f"{draft(2).id}_again"}
            assert ids(await everything(log)) == [draft(1).id, draft(2).id, f"{draft(2).id}_again"]

        self.run(place, scenario)

    def test_same_key_while_the_commit_is_under_way_shares_it(self, place: Path) -> None:
        """A burst of one event: one entry, one fresh receipt, all with its id, and all of them durable."""

        async def scenario(log: journal.Journal) -> None:
            copies = [msgspec.structs.replace(draft(1), id=f"ent_{n}") for n in range(30)]
            tasks = [asyncio.create_task(log.append([copy])) for copy in copies[:15]]
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            receipts = [
                r for call in await asyncio.gather(*tasks, *(log.append([c]) for c in copies[15:])) for r in call
            ]
            (entry,) = await everything(log)
            assert {receipt.id for receipt in receipts} == {entry.id}
            assert [receipt.known for receipt in receipts].count(False) == 1

        self.run(place, scenario)

    def test_same_key_twice_in_one_call_is_written_once(self, place: Path) -> None:
        """The second of two equal rows of a file is a duplicate of the first."""

        async def scenario(log: journal.Journal) -> None:
            receipts = await log.append([draft(1), msgspec.structs.replace(draft(1), id="ent_again")])
            assert [(r.id, r.known) for r in receipts] == [(draft(1).id, False), (draft(1).id, True)]
            assert len(await everything(log)) == 1

        self.run(place, scenario)

    def test_same_key_of_another_account_is_another_event(self, place: Path) -> None:
        """Accounts do not see each other's duplicates."""

        async def scenario(log: journal.Journal) -> None:
            other = msgspec.structs.replace(draft(1), id="ent_other", account="other shop")
            receipts = await log.append([draft(1)]), await log.append([other])
            assert [r.known for call in receipts for r in call] == [False, False]
            assert len(await everything(log)) == 2

        self.run(place, scenario)

    def test_lanes_are_read_apart(self, place: Path) -> None:
        """A deep bulk lane is not in the way of the live one."""

        async def scenario(log: journal.Journal) -> None:
            await log.append([draft(n, lane=Lane.BULK) for n in range(50)])
            await log.append([draft(99)])
            assert ids(await everything(log, Lane.LIVE)) == [draft(99).id]
            assert len(await everything(log, Lane.BULK)) == 50

        self.run(place, scenario)

    def test_acknowledged_entries_outlive_the_journal(self, place: Path) -> None:
        """Closing and opening again changes no entry and no position."""
        before: list[journal.Entry] = []

        async def write(log: journal.Journal) -> None:
            await log.append([draft(n) for n in range(5)])
            before.extend(await everything(log))

        async def look(log: journal.Journal) -> None:
            assert await everything(log) == before
            await log.append([draft(5)])
            assert ids(await everything(log)) == [draft(n).id for n in range(6)]

        self.run(place, write)
        self.run(place, look)

    def test_close_finishes_what_was_appended(self, place: Path) -> None:
        """A caller whose commit is under way at closing time still gets its receipt, and its entry is there."""

        async def close_early(log: journal.Journal) -> None:
            calls = [asyncio.create_task(log.append([draft(n)])) for n in range(10)]
            await asyncio.sleep(0)
            await log.close()
            assert ids([r for call in await asyncio.gather(*calls) for r in call]) == [draft(n).id for n in range(10)]

        async def look(log: journal.Journal) -> None:
            assert len(await everything(log)) == 10

        self.run(place, close_early)
        self.run(place, look)

    def test_append_after_close_is_refused(self, place: Path) -> None:
        """A closed journal acknowledges nothing, and closing twice is harmless."""

        async def scenario(log: journal.Journal) -> None:
            await log.close()
            with pytest.raises(JournalError):
                await log.append([draft(1)])

        self.run(place, scenario)

    def test_cancelled_caller_takes_nobody_with_it(self, place: Path) -> None:
        """A client that hangs up while its commit is under way does not spoil the commit of the others."""

        async def scenario(log: journal.Journal) -> None:
            gone = asyncio.create_task(log.append([draft(1)]))
            stays = asyncio.create_task(log.append([draft(2)]))
            await asyncio.sleep(0)
            gone.cancel()
            assert ids(await stays) == [draft(2).id]
            with pytest.raises(asyncio.CancelledError):
                await gone
            assert [(r.id, r.known) for r in await log.append([draft(2), draft(3)])] == [
                (draft(2).id, True),
                (draft(3).id, False),
            ]

        self.run(place, scenario)

    def test_find_gives_one_entry_by_its_id(self, place: Path) -> None:
        """In any lane; None for an id nobody wrote."""

        async def scenario(log: journal.Journal) -> None:
            await log.append([draft(1), draft(2, lane=Lane.BULK)])
            assert await log.find(draft(2).id) == (await everything(log, Lane.BULK))[0]
            assert await log.find("ent_unknown") is None

        self.run(place, scenario)

    def test_replaced_payload_stands_in_the_entry_and_nothing_else_changes(self, place: Path) -> None:
        """An entry that was erased or sealed anew keeps its place, its name and its key."""

        async def scenario(log: journal.Journal) -> None:
            await log.append([draft(1), draft(2), draft(3, lane=Lane.BULK)])
            before = [*await everything(log), *await everything(log, Lane.BULK)]
            swaps = [(draft(n).id, draft(n).payload, b"other") for n in (1, 3)]
            assert await log.replace(swaps) == 2
            after = [*await everything(log), *await everything(log, Lane.BULK)]
            assert [entry.payload for entry in after] == [b"other", draft(2).payload, b"other"]
            assert [msgspec.structs.replace(e, payload=b"") for e in after] == [
                msgspec.structs.replace(e, payload=b"") for e in before
            ]

        self.run(place, scenario)

    def test_payload_that_is_no_longer_what_it_was_is_left_alone(self, place: Path) -> None:
        """Whoever seals anew cannot bring back what was erased meanwhile."""

        async def scenario(log: journal.Journal) -> None:
            await log.append([draft(1)])
            assert await log.replace([(draft(1).id, draft(1).payload, b"erased")]) == 1
            assert await log.replace([(draft(1).id, draft(1).payload, b"anew")]) == 0
            assert await log.replace([("ent_unknown", b"", b"anew")]) == 0
            assert [entry.payload for entry in await everything(log)] == [b"erased"]

        self.run(place, scenario)

    def test_scrubbing_loses_nothing(self, place: Path) -> None:
        """With entries before and after it."""

        async def scenario(log: journal.Journal) -> None:
            await log.append([draft(1)])
            assert await log.scrub()
            await log.append([draft(2)])
            assert ids(await everything(log)) == [draft(1).id, draft(2).id]

        self.run(place, scenario)

    def test_depth_counts_what_lies_behind_the_cursor(self, place: Path) -> None:
        """With the time of the oldest of it; nothing and None at the end."""

        async def scenario(log: journal.Journal) -> None:
            for n in range(4):
                await log.append([draft(n, at=START + n)])
            second = (await everything(log))[1]
            (shard,) = [s for s in log.shards(Lane.LIVE) if await log.read(Lane.LIVE, s, 0, 1)]
            assert await log.depth(Lane.LIVE, shard, 0) == (4, START)
            assert await log.depth(Lane.LIVE, shard, second.position) == (2, START + 2)
            assert await log.depth(Lane.LIVE, shard, (await applied(log))[Lane.LIVE, shard]) == (0, None)
            assert await log.depth(Lane.BULK, log.shards(Lane.BULK)[0], 0) == (0, None)

        self.run(place, scenario)

    def test_purge_forgets_only_what_is_old_and_applied(self, place: Path) -> None:
        """An entry stays while it is young, and while it is not applied, however old."""

        async def scenario(log: journal.Journal) -> None:
            await log.append([draft(n, at=START + n) for n in range(6)])
            entries = await everything(log)
            home = {(Lane.LIVE, shard): entries[3].position for shard in log.shards(Lane.LIVE)}
            assert await log.purge(START + 2, home) == 2
            assert ids(await everything(log)) == [draft(n).id for n in range(2, 6)]
            assert await log.purge(START + 100, home) == 2
            assert ids(await everything(log)) == [draft(n).id for n in range(4, 6)]
            assert await log.find(draft(0).id) is None
            assert await log.purge(START + 100, {}) == 0

        self.run(place, scenario)

    def test_purge_of_thousands_is_complete(self, place: Path) -> None:
        """However many are old, none of them stays."""

        async def scenario(log: journal.Journal) -> None:
            await log.append([draft(n) for n in range(3000)])
            assert await log.purge(START + 1, await applied(log)) == 3000
            assert await everything(log) == []

        self.run(place, scenario)

    def test_position_is_not_given_twice_after_a_purge(self, place: Path) -> None:
        """A cursor that stands past a purged entry still sees the next one, also after a restart."""
        last: list[int] = []

        async def purge_all(log: journal.Journal) -> None:
            await log.append([draft(n) for n in range(3)])
            last.append(max(entry.position for entry in await everything(log)))
            await log.purge(START + 1, await applied(log))

        async def append_more(log: journal.Journal) -> None:
            await log.append([draft(10)])
            assert (await everything(log))[0].position > last[0]

        self.run(place, purge_all)
        self.run(place, append_more)

    def test_two_doors_append_to_one_log(self, place: Path) -> None:
        """What two journals of one place append at the same time is all there, each partition in its order, for either reader."""
        if not self.many_doors:
            pytest.skip("this way serves one door")

        async def scenario(log: journal.Journal) -> None:
            other = await self.open(place)

            async def door(mine: journal.Journal, start: int, partition: bytes) -> None:
                for n in range(start, start + 40, 2):
                    await mine.append([draft(n, partition=partition), draft(n + 1, partition=partition)])

            await asyncio.gather(door(log, 0, b"a"), door(other, 1000, b"b"))
            seen = await everything(log)
            assert seen == await everything(other)
            for partition, start in ((b"a", 0), (b"b", 1000)):
                assert ids([e for e in seen if e.partition.startswith(partition)]) == [
                    draft(n).id for n in range(start, start + 40)
                ]
            await other.close()

        self.run(place, scenario)
