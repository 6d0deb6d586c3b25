"""The audit trail read backwards, and decisions that would lock everybody out."""

from pathlib import Path

import pytest

from gateway import access, audit
from gateway.desk import acts, stewards
from gateway.desk.acts import Wanted
from gateway.desk.users import Role
from gateway.errors import ConfigError
from tests.api.kit import House, told

NOBODY = access.Viewer(actor="console:ops", scopes=frozenset(), grants=access.LEAST)


def test_newest_come_first_in_pages_without_gap_or_repetition(tmp_path: Path) -> None:
    """Over more acts than one step looks at; filtered or not."""

    async def story(house: House) -> None:
        trail, clock = house.ground.trail, house.ground.clock
        await trail.record(
            [
                audit.Act(at=clock.now(), actor=f"cli:{n % 3}", verb="look", object=str(n), detail={})
                for n in range(1, 4501)
            ]
        )
        seen: list[int] = []
        before: int | None = None
        while True:
            page = await acts.newest(trail, Wanted(), before=before, limit=700)
            seen += [one.number for one in page.links]
            before = page.before
            if before is None:
                break
        assert seen == list(range(4500, 0, -1))
        some = await acts.newest(trail, Wanted(actor="cli:1"), before=None, limit=1000)
        assert [one.number for one in some.links] == list(range(4498, 4498 - 3000, -3))
        rest = await acts.newest(trail, Wanted(actor="cli:1"), before=some.before, limit=1000)
        assert len(rest.links) == 500
        assert rest.before is None
        assert (await acts.newest(trail, Wanted(object="7"), before=None, limit=5)).links[0].act.object == "7"

    told(tmp_path, story)


def test_last_admin_stays(tmp_path: Path) -> None:
    """Until there is another one who can sign in."""

    async def story(house: House) -> None:
        await house.desk.users.make("one", Role.ADMIN, "correct horse battery")
        await house.desk.users.make("two", Role.ADMIN, "correct horse battery")
        await stewards.need_another_admin(house.desk, "one")
        await house.desk.users.change("two", disabled=True)
        with pytest.raises(ConfigError, match="last admin"):
            await stewards.need_another_admin(house.desk, "one")
        await stewards.need_another_admin(house.desk, "two")

    told(tmp_path, story)


def test_rotation_makes_a_key_and_counts_what_needs_the_one_before(tmp_path: Path) -> None:
    """This process seals with the new one at once."""

    async def story(house: House) -> None:
        await house.say("members", {"customer_code": "C1", "name": "张三", "updated_at": "2026-11-11 00:00:01"})
        made = await stewards.rotate(house.desk)
        listed = await stewards.keys(house.desk)
        assert [(one.id, one.current) for one in listed] == [("k1", False), (made, True)]
        needs = await stewards.needs(house.desk)
        assert needs.figures["k1"] > 0
        assert "张三" not in str(needs)

    told(tmp_path, story)


def test_walk_tells_the_head_or_what_is_wrong(tmp_path: Path) -> None:
    """As `gateway audit verify` does."""

    async def story(house: House) -> None:
        await house.desk.did(NOBODY, "look", "one")
        said = await stewards.verify(house.desk)
        head = await house.ground.trail.head()
        assert head is not None
        assert said.lines[0].detail == f"1:{head.mac.hex()}"

    told(tmp_path, story)
