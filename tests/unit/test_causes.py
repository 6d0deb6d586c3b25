"""Dead letters in bulk: ten thousand of one cause are counted, tried again and dropped in few steps, each within the viewer's units."""

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from gateway import access, journal, store
from gateway.clock import derived_id
from gateway.desk import causes, dead
from gateway.desk.causes import Chosen
from gateway.model.lane import Lane
from tests.api.kit import House, told

ALL = access.Viewer(actor="console:ops", scopes=frozenset(access.SCOPES), grants=access.LEAST)
EAST = msgspec.structs.replace(ALL, domain=frozenset({"east"}))
MANY = 10_000


def _group(account: str = "members", **fields: str) -> Chosen:
    return Chosen(**{"kind": "entry", "of": f"{account}/row", "stage": "map", "cause": "test", **fields})


async def _buried(house: House, count: int, *, account: str = "members", gone: int = 0, **fields: Any) -> list[str]:
    """So many letters, the entries of the newest ``gone`` of which the journal holds no more; their entries, oldest first."""
    ground, now = house.ground, house.ground.clock.now()
    names = [derived_id("ent", now + number, account, str(number)) for number in range(count)]
    drafts = [
        journal.Draft(
            id=name, account=account, topic="row", lane=Lane.LIVE, dedupe=name.encode(), partition=b"p", received_at=now,
            payload=ground.vault.seal(b"{}", name.encode()),
        )
        for name in names[: count - gone]
    ]  # fmt: skip
    await ground.log.append(drafts)
    given = {"stage": "map", "cause": "test", "detail": "", "topic": "row", **fields}
    letters = [
        store.DeadLetter(
            id=derived_id("ded", now + number, account, str(number), given["stage"]), entry=name, account=account, at=now + number, **given
        )
        for number, name in enumerate(names)
    ]  # fmt: skip
    for start in range(0, count, 1000):
        await ground.records.bury(letters[start : start + 1000])
    return names


async def _bulk(house: House) -> list[journal.Entry]:
    read, after = [], 0
    while page := await house.ground.log.read(Lane.LIVE, 0, after, 1000):
        read, after = [*read, *page], page[-1].position
    return read


def test_ten_thousand_letters_are_one_group_and_are_tried_again_a_thousand_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The oldest first, in their order; a handful of commits for each go, whatever the journal holds no more, and what cannot be tried stays."""

    async def story(house: House) -> None:
        names = await _buried(house, MANY, gone=1500)
        await _buried(house, 3, stage="fetch")
        (letters, _) = await causes.groups(house.desk, ALL)
        assert (letters.count, letters.cause, letters.of) == (MANY, "test", "members/row")
        plan = await causes.plan(house.desk, ALL, _group())
        assert (plan.total, plan.gone, plan.fetch) == (MANY, causes.MOST, 0)

        commits: list[int] = []
        repeat = house.ground.log.repeat

        async def counted(copies: Any) -> set[str]:
            commits.append(len(copies))
            return await repeat(copies)

        monkeypatch.setattr(house.ground.log, "repeat", counted)
        done = await causes.retry(house.desk, ALL, _group())
        assert (done.done, done.left, len(commits)) == (causes.MOST, MANY - causes.MOST, 4)
        written = (await _bulk(house))[MANY - 1500 + 3 :]
        # Each copy is of its letter's entry, and they stand in the letters' order.
        assert [one.dedupe for one in written] == [name.encode() for name in names[: causes.MOST]]
        for _ in range(8):
            done = await causes.retry(house.desk, ALL, _group())
        assert done.left == 1500
        done = await causes.retry(house.desk, ALL, _group())
        assert (done.done, done.left) == (0, 1500)
        done = await causes.retry(house.desk, ALL, _group(stage="fetch"))
        assert (done.done, done.left) == (0, 3)

    told(tmp_path, story)


def test_letters_that_cannot_be_tried_do_not_stand_before_those_that_can(tmp_path: Path) -> None:
    """More than one go's worth of the oldest are gone: the first go passes them over."""

    async def story(house: House) -> None:
        names = await _buried(house, 30)
        for name in names[:20]:
            entry = await house.ground.log.find(name)
            assert entry is not None
            marker = house.ground.vault.seal(journal.ERASED, name.encode())
            await house.ground.log.replace([(name, entry.payload, marker)])
        done = await causes.retry(house.desk, ALL, _group())
        assert (done.done, done.left) == (10, 20)
        assert (await causes.plan(house.desk, ALL, _group())).gone == 20

    told(tmp_path, story)


def test_ten_thousand_letters_are_dropped_with_the_reason(tmp_path: Path) -> None:
    """All of a group and nothing of another."""

    async def story(house: House) -> None:
        await _buried(house, MANY, gone=MANY)
        await _buried(house, 5, account="orders")
        done = await causes.drop(house.desk, ALL, _group(), "test data")
        assert (done.done, done.left) == (MANY, 0)
        (left,) = await causes.groups(house.desk, ALL)
        assert (left.of, left.count) == ("orders/row", 5)
        (one,) = await house.ground.records.dead_letters(state="dropped", limit=1)
        assert one.detail.endswith("dropped: test data")

    told(tmp_path, story)


def test_nothing_outside_of_the_viewers_units_is_seen_tried_or_dropped(tmp_path: Path) -> None:
    """Neither by the group nor by an id that somebody guessed, at the console or over the API."""

    async def story(house: House) -> None:
        await _buried(house, 3)
        await _buried(house, 2, account="east")
        assert [(one.of, one.count) for one in await causes.groups(house.desk, EAST)] == [("east/row", 2)]
        foreign = (await causes.letters_of(house.desk, ALL, _group()))[0].id
        for chosen in (_group(), _group(id=foreign), _group("east", id=foreign)):
            assert await causes.letters_of(house.desk, EAST, chosen) == []
            assert (await causes.retry(house.desk, EAST, chosen)).done == 0
            assert (await causes.drop(house.desk, EAST, chosen, "no reason")).done == 0
        own = (await causes.letters_of(house.desk, EAST, _group("east")))[0].id
        for settle in (
            dead.retry(house.desk, EAST, [foreign, own]),
            dead.drop(house.desk, EAST, [foreign, own], "mine"),
        ):
            (other, mine) = await settle
            assert not other.done
        assert not mine.done, "it was tried again already"
        assert (await causes.plan(house.desk, ALL, _group())).total == 3
        acts = [link.act for link in await house.desk.trail.acts(limit=100)]
        assert [(one.verb, one.object) for one in acts] == [("retry", own)]

    told(tmp_path, story)


def test_single_letters_have_an_outcome_each_whatever_becomes_of_the_others(tmp_path: Path) -> None:
    """One is done, one is gone, one is a re-read, one was never there; one that is named twice is told twice and done once."""

    async def story(house: House) -> None:
        await _buried(house, 2, gone=1)
        await _buried(house, 1, stage="fetch")
        letters = {(one.stage, one.at): one.id for one in await house.ground.records.dead_letters(limit=10)}
        ((_, fetch), (_, fine), (_, gone)) = sorted(letters.items())
        told_ = await dead.retry(house.desk, ALL, [fine, gone, fetch, "ded_nothing", fine])
        assert [one.done for one in told_] == [True, False, False, False, True], json.dumps(
            [one.detail for one in told_]
        )
        assert ["journal.keep" in told_[1].detail, "re-read" in told_[2].detail] == [True, True]
        acts = [link.act.object for link in await house.desk.trail.acts(verb="retry")]
        assert sorted(acts) == sorted([fine, gone, fetch])
        assert len(await _bulk(house)) == 3

    told(tmp_path, story)
