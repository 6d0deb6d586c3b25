"""Signing in as an attacker sees it: guessing at once, locking others out, learning names, and leaving traces in somebody else's."""

import asyncio
import re
from pathlib import Path

import httpx
import pyotp
import pytest

from gateway import limiter
from gateway.clock import SECOND
from gateway.console import entrance, frame
from gateway.desk.users import DECOYS, SESSIONS, USERS, Role
from tests.api.kit import House, told
from tests.console.test_entrance import PASSWORD, signed_in


def _field(page: str, name: str) -> str:
    found = re.search(rf'name="{name}" value="([^"]+)"', page)
    assert found, name
    return found[1]


@pytest.fixture(autouse=True)
def _no_refill(monkeypatch: pytest.MonkeyPatch) -> None:
    """However slow the machine, what a bucket holds is what it held."""
    for name, held in (("_TRIES", 10.0), ("_OWN_TRIES", 5.0), ("_TOLD", 12.0)):
        monkeypatch.setattr(entrance, name, limiter.Rate(0.0, held))


async def _enter(client: httpx.AsyncClient, name: str, password: str) -> httpx.Response:
    return await client.post("/console/enter", data={"name": name, "password": password})


def test_of_many_guesses_at_once_no_more_are_looked_at_than_one_after_the_other(tmp_path: Path) -> None:
    """Each is counted before it is looked at: the right one among the last of twelve comes too late."""

    async def story(house: House) -> None:
        users = house.desk.users
        await users.make("ops", Role.ADMIN, PASSWORD)
        guesses = [f"wrong password {n}" for n in range(11)]
        found = await asyncio.gather(*(users.enter("ops", one, peer="") for one in [*guesses, PASSWORD]))
        assert found == [None] * 12
        (user,) = await users.all()
        assert user.wrong == 5
        assert user.locked_until > house.ground.clock.now()

    told(tmp_path, story)


def test_stranger_cannot_lock_out_a_browser_that_is_known(tmp_path: Path) -> None:
    """Wrong tries lock the name for strangers, and use up their address's pace; who was in before comes in."""

    async def story(house: House) -> None:
        async with house.anybody() as own, house.anybody() as stranger:
            secret = await signed_in(house, own)
            for n in range(12):
                await _enter(stranger, "ops", f"wrong password {n}")
            assert (await _enter(stranger, "ops", PASSWORD)).status_code == 429
            answer = await _enter(own, "ops", PASSWORD)
            assert answer.headers["location"].startswith("/console/second")
            page = (await own.get("/console/second")).text
            code = pyotp.TOTP(secret).at(house.ground.clock.now() // SECOND + 30)
            shown = await own.post("/console/second", data={"csrf": _field(page, "csrf"), "code": code})
            assert shown.headers["location"] == "/console"

    told(tmp_path, story)


def test_known_browser_is_known_for_its_own_user_and_has_a_pace(tmp_path: Path) -> None:
    """The cookie of one name opens no way to guess at another's, and none to guess without end."""

    async def story(house: House) -> None:
        users = house.desk.users
        async with house.anybody() as client:
            await signed_in(house, client)
            device = client.cookies[frame.DEVICE]
            assert users.devices.knows("ops", device)
            assert not users.devices.knows("root", device)
            assert not users.devices.knows("ops", device[:-1] + ("0" if device[-1] != "0" else "1"))
            answers = [(await _enter(client, "ops", "wrong password !")).status_code for _ in range(7)]
            assert answers == [401] * 5 + [429] * 2

    told(tmp_path, story)


def test_unknown_and_locked_names_cost_the_same_steps_as_known_ones(tmp_path: Path) -> None:
    """A write to disk is slow enough to be measured from outside: there is one whatever the name is."""

    async def story(house: House) -> None:
        users = house.desk.users
        await users.make("ops", Role.ADMIN, PASSWORD)
        await users.make("held", Role.ADMIN, PASSWORD)
        await users.change("held", locked_until=house.ground.clock.now() + 60 * SECOND)

        async def writes() -> int:
            kept = [*await house.desk.shelf.documents(USERS), *await house.desk.shelf.documents(DECOYS)]
            return sum(one.version for one in kept)

        for name in ("ops", "nobody", "held"):
            before = await writes()
            assert await users.enter(name, "wrong password !", peer="") is None
            assert await writes() == before + 1, name

    told(tmp_path, story)


def test_refused_sign_in_is_told_of_nobody_and_holds_nothing_that_was_typed(tmp_path: Path) -> None:
    """A password that slipped into the field for the name stays out of the trail, and so does another's name as the actor."""

    async def story(house: House) -> None:
        await house.desk.users.make("ops", Role.ADMIN, PASSWORD)
        async with house.anybody() as client:
            await _enter(client, "S3cret-in-the-wrong-field", "x")
            await _enter(client, "ops", "wrong password !")
        acts = [link.act for link in await house.ground.trail.acts(verb="sign_in_refused")]
        assert [(act.actor, act.object) for act in acts] == [("console:", "user/?"), ("console:", "user/ops")]

    told(tmp_path, story)


def test_paced_tries_are_not_written_down_and_strangers_do_not_fill_the_trail(tmp_path: Path) -> None:
    """Somebody who hammers at the door fills neither the trail nor the processor."""

    async def story(house: House) -> None:
        async with house.anybody() as client:
            answers = [(await _enter(client, "ops", "x")).status_code for _ in range(30)]
            assert answers == [401] * 10 + [429] * 20
            for _ in range(5):
                assert (await client.get("/console/ticket/none")).status_code == 302
        assert len(await house.ground.trail.acts(limit=1000)) == 12

    told(tmp_path, story)


def test_reset_ends_what_began_by_the_old_password(tmp_path: Path) -> None:
    """Whoever is half in with a stolen password must not enrol a second factor of their own once it was reset."""

    async def story(house: House) -> None:
        users = house.desk.users
        await users.make("ops", Role.ADMIN, PASSWORD)
        half = await users.enter("ops", PASSWORD, peer="")
        assert half is not None
        kept = await house.desk.shelf.documents(SESSIONS)
        await users.reset("ops", "another password")
        assert await users.recall(half.cookie) is None
        # As if it had been begun while the reset went on.
        await house.desk.shelf.file(kept[0], before=0)
        assert await users.recall(half.cookie) is None

    told(tmp_path, story)


def test_enabling_a_disabled_user_does_not_bring_sessions_back(tmp_path: Path) -> None:
    """Who was thrown out signs in again."""

    async def story(house: House) -> None:
        async with house.anybody() as client:
            await signed_in(house, client)
            await house.desk.users.change("ops", disabled=True)
            await house.desk.users.enable("ops")
            assert (await client.get("/console")).status_code == 302

    told(tmp_path, story)


def test_nonsense_for_a_second_factor_is_a_wrong_code(tmp_path: Path) -> None:
    """The secret comes back from a browser: what is none that was offered is refused, and raises nothing."""

    async def story(house: House) -> None:
        await house.desk.users.make("ops", Role.ADMIN, PASSWORD)
        async with house.anybody() as client:
            await _enter(client, "ops", PASSWORD)
            csrf = _field((await client.get("/console/second")).text, "csrf")
            for secret in ("", "!", "A", "张", "A" * 31, "A" * 4000):
                answer = await client.post("/console/second", data={"secret": secret, "csrf": csrf, "code": "123456"})
                assert answer.status_code == 401, secret

    told(tmp_path, story)


def test_codes_at_once_count_as_one_and_lock_like_any(tmp_path: Path) -> None:
    """A thousand codes sent at once are one guess; five guesses lock, whatever session they come by."""

    async def story(house: House) -> None:
        users = house.desk.users
        async with house.anybody() as client:
            secret = await signed_in(house, client)
        right = pyotp.TOTP(secret).at(house.ground.clock.now() // SECOND + 30)
        wrong = f"{(int(right) + 1) % 1_000_000:06d}"
        for _ in range(5):
            half = await users.enter("ops", PASSWORD, peer="")
            assert half is not None
            assert await asyncio.gather(*(users.show(half, wrong) for _ in range(5))) == [None] * 5
        half = await users.enter("ops", PASSWORD, peer="")
        assert half is not None
        assert await users.show(half, right) is None

    told(tmp_path, story)


def test_form_of_a_megabyte_is_not_read(tmp_path: Path) -> None:
    """Nobody hashes what nobody types."""

    async def story(house: House) -> None:
        async with house.anybody() as client:
            assert (await _enter(client, "ops", "x" * 1_000_000)).status_code == 413

    told(tmp_path, story)
