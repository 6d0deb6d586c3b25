"""What a page streams is for whoever may see the page at that moment."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from gateway import access
from gateway.clock import SECOND
from gateway.console import app, frame, live
from gateway.desk.users import IDLE, Role
from gateway.errors import ConfigError
from tests.api.kit import House, told
from tests.console.test_entrance import signed_in


async def _none(_seat: frame.Seat, _desk: Any) -> dict[str, str]:
    return {"some": "<p>here</p>"}


async def _stream(house: House, cookie: str, at: str = "/console") -> AsyncIterator[Any]:
    entered = await house.desk.users.recall(cookie)
    assert entered is not None
    viewer = house.desk.users.viewer(entered.user)
    seat = frame.Seat(lang="en", path=at, query={}, viewer=viewer)
    lives = live.Lives([(at, _none)], app.PAGES)
    return live._changes(seat, house.desk, lives, cookie)


@pytest.mark.parametrize("end", ["leave", "disable", "demote"])
def test_stream_ends_with_the_session_and_with_the_role(tmp_path: Path, end: str) -> None:
    """Not within two minutes: before the next part is sent."""

    async def story(house: House) -> None:
        users = house.desk.users
        async with house.anybody() as client:
            await signed_in(house, client, Role.OPERATOR)
            cookie = client.cookies[frame.COOKIE]
        stream = await _stream(house, cookie, "/console/audit")
        assert "here" in (await anext(stream)).data
        match end:
            case "leave":
                await users.leave(cookie)
            case "disable":
                await users.change("ops", disabled=True)
            case _:
                await users.change("ops", role=Role.VIEWER)
        with pytest.raises(StopAsyncIteration):
            await anext(stream)

    told(tmp_path, story)


def test_stream_ends_at_once_when_its_door_leaves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However long it would rest before it looks again."""
    monkeypatch.setattr(live, "EVERY", 3600.0)

    async def story(house: House) -> None:
        async with house.anybody() as client:
            await signed_in(house, client)
            cookie = client.cookies[frame.COOKIE]
        stream = await _stream(house, cookie)
        assert "here" in (await anext(stream)).data
        left = asyncio.ensure_future(anext(stream, None))
        await asyncio.sleep(0)
        assert not left.done()
        house.desk.watch.close()
        async with asyncio.timeout(20):
            assert await left is None

    told(tmp_path, story)


def test_viewer_gets_no_stream_of_a_page_that_is_not_theirs(tmp_path: Path) -> None:
    """Over every page that streams: whoever is refused the page is refused its parts."""

    async def story(house: House) -> None:
        async with house.anybody() as client:
            await signed_in(house, client, Role.VIEWER)
            refused = []
            for pattern, _ in app.LIVE:
                path = pattern.replace("[^/]+", "x")
                page = await client.get(path)
                if page.status_code == 403:
                    refused.append(path)
                    assert (await client.get("/console/live", params={"at": path})).status_code == 403, path
            assert "/console/audit" in refused

    told(tmp_path, story)


def test_nobody_has_more_streams_than_anybody_looks_at(tmp_path: Path) -> None:
    """Each costs a rendering every two seconds; what ended makes room."""

    async def story(house: House) -> None:
        async with house.anybody() as client:
            await signed_in(house, client)
            cookie = client.cookies[frame.COOKIE]
        entered = await house.desk.users.recall(cookie)
        assert entered is not None
        viewer = house.desk.users.viewer(entered.user)
        seat = frame.Seat(lang="en", path="/console", query={}, viewer=viewer, user="ops")
        lives = live.Lives([("/console", _none)], app.PAGES)
        streams = [live._counted(seat, house.desk, lives, cookie) for _ in range(3)]
        for stream in streams:
            await anext(stream)
        assert lives.open["ops"] == 3
        for stream in streams:
            await stream.aclose()  # type: ignore[attr-defined]
        assert lives.open["ops"] == 0

    told(tmp_path, story)


def test_name_that_no_file_has_is_not_found(tmp_path: Path) -> None:
    """Nobody fills the log with traces by asking for files; and none outside of the folder is there."""

    async def story(house: House) -> None:
        async with house.anybody() as client:
            for name in ("a%00b", "a" * 5000, "..%2f..%2fframe.py", "%2e%2e/frame.py", "vendor"):
                assert (await client.get(f"/console/static/{name}")).status_code == 404, name[:20]
            style = await client.get("/console/static/console.css")
            assert (style.status_code, style.headers["x-content-type-options"]) == (200, "nosniff")

    told(tmp_path, story)


def test_page_that_a_form_answered_with_streams_at_its_own_address() -> None:
    """A test of an endpoint is answered at an address that nobody can look at; its stream is for whoever may send the form."""
    lives = live.Lives(app.LIVE, app.PAGES)
    for role, allowed in ((Role.VIEWER, False), (Role.OPERATOR, True)):
        viewer = access.Viewer(actor="", grants={}, scopes=frozenset(("viewer", role.value)))
        assert lives.allow("/console/endpoints/crm/test", viewer) is allowed
        assert not lives.allow("/console/elsewhere", viewer)


def test_somebody_of_one_unit_does_not_decide_for_the_whole_house(tmp_path: Path) -> None:
    """Mappings, keys, users, clients and the trail are no unit's: neither page, nor form, nor stream; and nobody of a unit is an admin."""

    async def story(house: House) -> None:
        users = house.desk.users
        async with house.anybody() as client:
            await signed_in(house, client, Role.OPERATOR)
            await users.change("ops", unit="east")
            for path in ("/console/audit", "/console/settings", "/console/settings/effective"):
                assert (await client.get(path)).status_code == 403, path
            assert (await client.get("/console/live", params={"at": "/console/audit"})).status_code == 403
            for act in ("rollback", "withdraw", "shadow"):
                assert (await client.post(f"/console/mappings/feed/order/{act}", data={})).status_code == 403, act
            assert (await client.get("/console")).status_code == 200
        with pytest.raises(ConfigError):
            await users.change("ops", role=Role.ADMIN)
        with pytest.raises(ConfigError):
            await users.make("boss", Role.ADMIN, "a password of some length", unit="east")

    told(tmp_path, story)


def test_open_page_does_not_keep_a_session_that_nobody_uses(tmp_path: Path) -> None:
    """A screen that somebody walked away from signs itself out, though its page goes on asking."""

    async def story(house: House) -> None:
        users = house.desk.users
        async with house.anybody() as client:
            await signed_in(house, client)
            cookie = client.cookies[frame.COOKIE]
        began = users._clock.now()
        for minutes in (10, 20, 29):
            users._clock = _At(began + minutes * 60 * SECOND)
            assert await users.recall(cookie, touch=False) is not None
        users._clock = _At(began + IDLE + 1)
        assert await users.recall(cookie, touch=False) is None
        assert live.live.opt[frame.QUIET]

    told(tmp_path, story)


class _At:
    def __init__(self, now: int) -> None:
        self._now = now

    def now(self) -> int:
        """The instant."""
        return self._now
