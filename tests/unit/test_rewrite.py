"""Projecting entries again: what a better mapping makes of them arrives, and nothing else changes."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import msgspec

import mappings
from gateway import app, journal, settings
from gateway.model.lane import Lane
from gateway.pipeline.rewrite import Entries, Rewriter
from tests.unit.test_settle import Desk, member, order
from tests.unit.test_settle import told as on_desk


def rewriter(desk: Desk) -> Rewriter:
    """On the desk's gateway."""
    ground = desk.ground
    return Rewriter(log=ground.log, records=ground.records, vault=ground.vault, clock=ground.clock)


async def entries(desk: Desk, lane: Lane) -> list[journal.Entry]:
    """Everything that was written down in a lane."""
    return list(await desk.ground.log.read(lane, 0, 0, 1000))


async def project(desk: Desk) -> None:
    """As the worker does."""
    while await desk._projector.step(Lane.BULK, 0):
        pass


def test_entries_that_are_projected_again_change_nothing_while_the_mapping_is_the_same(tmp_path: Path) -> None:
    """No event, no record, no sequence: the version rule sees that nothing is new."""

    async def story(desk: Desk) -> None:
        for at in (1, 2):
            await desk.say("members", member("C1", at))
        await desk.say("orders", order("B1", "C1"))
        records = desk.ground.records
        before = [await records.events(), await records.rows("order", limit=9), await records.rows("customer", limit=9)]
        plan = await rewriter(desk).plan(Entries())
        assert plan.counts == {("members", "customer"): 2, ("orders", "order"): 1}
        assert await rewriter(desk).run(plan) == plan.total == 3
        await project(desk)
        assert len(await entries(desk, Lane.BULK)) == 3
        assert [
            await records.events(),
            await records.rows("order", limit=9),
            await records.rows("customer", limit=9),
        ] == before
        assert await records.dead_letters() == []

    on_desk(tmp_path, story)


def test_entries_are_projected_with_todays_mapping(tmp_path: Path) -> None:
    """What the old one read wrongly arrives mended, as an event of the record it belongs to."""
    own = tmp_path / "own"
    tree = settings.Settings(
        gateway=settings.Gateway(data_dir=tmp_path, mappings=own),
        accounts={
            "orders": {"connector": "feed", "auth": "none-on-loopback", "mapping": "feed/order", "system": "erp"}
        },
    )

    async def on(story: Callable[[Desk], Awaitable[None]]) -> None:
        ground = app.open_ground(tree)
        try:
            await story(Desk(ground))
        finally:
            await ground.close()

    async def wrongly(desk: Desk) -> None:
        await desk.say("orders", order("B1", "C1"))
        (row,) = await desk.ground.records.rows("order", limit=9)
        assert msgspec.json.decode(row.body)["channel"] == "fax"

    async def mended(desk: Desk) -> None:
        plan = await rewriter(desk).plan(Entries(account="orders"))
        assert await rewriter(desk).run(plan) == 1
        await project(desk)
        (row,) = await desk.ground.records.rows("order", limit=9)
        assert msgspec.json.decode(row.body)["channel"] == "feed"
        events = await desk.ground.records.events()
        assert [(one.subject, one.sequence) for one in events if one.subject == row.id] == [(row.id, 1), (row.id, 2)]

    text = (mappings.FOLDER / "feed" / "order.yaml").read_text(encoding="utf-8")
    (own / "feed").mkdir(parents=True)
    (own / "feed" / "order.yaml").write_text(text.replace("const: feed", "const: fax"), encoding="utf-8")
    asyncio.run(on(wrongly))
    (own / "feed" / "order.yaml").write_text(text, encoding="utf-8")
    asyncio.run(on(mended))


def test_only_what_is_meant_is_written_again(tmp_path: Path) -> None:
    """By id, by account, by when it was received; and never what was itself written again."""

    async def story(desk: Desk) -> None:
        for at in (1, 2, 3):
            await desk.say("members", member("C1", at))
        await desk.say("orders", order("B1", "C1"))
        said = await entries(desk, Lane.LIVE)
        again = rewriter(desk)
        since, until = said[1].received_at, said[2].received_at
        assert (await again.plan(Entries(account="orders"))).total == 1
        assert (await again.plan(Entries(since=since, until=until))).total == 1
        assert (await again.plan(Entries(ids=[said[0].id, "ent_gone"]))).total == 1
        assert (await again.plan(Entries(ids=[said[0].id], account="orders"))).total == 0
        for _ in range(2):
            assert await again.run(await again.plan(Entries(account="members"))) == 3
            await project(desk)
        assert (await again.plan(Entries())).total == 4

    on_desk(tmp_path, story)


def test_what_is_erased_while_it_is_repeated_leaves_no_copy(tmp_path: Path) -> None:
    """The entry was read, and is erased before its copy is written; what is sealed anew meanwhile is repeated all the same."""

    async def story(desk: Desk) -> None:
        await desk.say("members", member("C1", 1))
        await desk.say("orders", order("B1", "C1"))
        log, vault = desk.ground.log, desk.ground.vault
        (gone, anew) = await entries(desk, Lane.LIVE)
        meant, repeat = Entries(), log.repeat

        async def late(copies: Sequence[journal.Copy]) -> set[str]:
            log.repeat = repeat  # type: ignore[method-assign]
            same = vault.seal(vault.open(anew.payload, anew.id.encode()), anew.id.encode())
            marker = vault.seal(journal.ERASED, gone.id.encode())
            assert await log.replace([(gone.id, gone.payload, marker), (anew.id, anew.payload, same)]) == 2
            return await repeat(copies)

        again = rewriter(desk)
        plan = await again.plan(meant)
        log.repeat = late  # type: ignore[method-assign]
        assert await again.run(plan) == 1
        assert [one.account for one in await entries(desk, Lane.BULK)] == ["orders"]

    on_desk(tmp_path, story)


def test_what_was_erased_is_not_written_again(tmp_path: Path) -> None:
    """Its place in the journal says so and nothing else; the entries around it go."""

    async def story(desk: Desk) -> None:
        await desk.say("members", member("C1", 1))
        await desk.say("orders", order("B1", "C1"))
        (gone, _) = await entries(desk, Lane.LIVE)
        marker = desk.ground.vault.seal(journal.ERASED, gone.id.encode())
        assert await desk.ground.log.replace([(gone.id, gone.payload, marker)]) == 1
        again = rewriter(desk)
        assert await again.run(await again.plan(Entries())) == 1
        assert [one.account for one in await entries(desk, Lane.BULK)] == ["orders"]

    on_desk(tmp_path, story)
