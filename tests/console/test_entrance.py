"""Signing in: two factors, lock-out, sessions that end, and forms that only the console's own pages may send."""

import re
from pathlib import Path

import httpx
import pyotp

from gateway.clock import SECOND, TurnedClock
from gateway.desk.factors import lock_of
from gateway.desk.users import Role
from tests.api.kit import House, told

PASSWORD = "correct horse battery"


async def _enter(client: httpx.AsyncClient, password: str = PASSWORD) -> httpx.Response:
    return await client.post("/console/enter", data={"name": "ops", "password": password})


def _field(page: str, name: str) -> str:
    found = re.search(rf'name="{name}" value="([^"]+)"', page)
    assert found, name
    return found[1]


async def signed_in(house: House, client: httpx.AsyncClient, role: Role = Role.ADMIN, name: str = "ops") -> str:
    """Go through both factors for the first time. Returns the TOTP secret."""
    await house.desk.users.make(name, role, PASSWORD)
    client.headers["accept-language"] = "en"
    await client.post("/console/enter", data={"name": name, "password": PASSWORD})
    page = (await client.get("/console/second")).text
    secret = _field(page, "secret")
    code = pyotp.TOTP(secret).at(house.ground.clock.now() // SECOND)
    answer = await client.post("/console/second", data={"secret": secret, "csrf": _field(page, "csrf"), "code": code})
    assert answer.status_code == 302, answer.text
    return secret


def test_nobody_sees_a_page_without_both_factors(tmp_path: Path) -> None:
    """The password alone leads to the second factor and to nothing else."""

    async def story(house: House) -> None:
        await house.desk.users.make("ops", Role.ADMIN, PASSWORD)
        async with house.anybody() as client:
            assert (await client.get("/console")).headers["location"].startswith("/console/enter")
            assert (await _enter(client)).headers["location"].startswith("/console/second")
            assert (await client.get("/console")).headers["location"].startswith("/console/second")
            assert (await client.get("/console/live", params={"at": "/console"})).status_code == 401
        async with house.anybody() as client:
            await signed_in(house, client, name="other")
            page = await client.get("/console")
            assert page.status_code == 200
            assert "All is well" in page.text

    told(tmp_path, story)


def test_code_is_good_once(tmp_path: Path) -> None:
    """Somebody who looked over a shoulder cannot use it again."""

    async def story(house: House) -> None:
        async with house.anybody() as client:
            secret = await signed_in(house, client)
            code = pyotp.TOTP(secret).at(house.ground.clock.now() // SECOND)
        async with house.anybody() as client:
            await _enter(client)
            page = (await client.get("/console/second")).text
            again = await client.post("/console/second", data={"csrf": _field(page, "csrf"), "code": code})
            assert again.status_code == 401

    # Half a minute later it would be another code.
    told(tmp_path, story, clock=TurnedClock())


def test_wrong_passwords_lock_and_say_no_more_than_that_something_was_wrong(tmp_path: Path) -> None:
    """The right password is refused while the lock holds; an unknown name gets the same page."""

    async def story(house: House) -> None:
        await house.desk.users.make("ops", Role.VIEWER, PASSWORD)
        async with house.anybody() as client:
            pages = {(await _enter(client, f"wrong password {n}")).text for n in range(5)}
            assert len(pages) == 1
            assert (await _enter(client)).status_code == 401
            unknown = await client.post("/console/enter", data={"name": "nobody", "password": PASSWORD})
            assert unknown.text in pages
        acts = await house.ground.trail.acts(verb="sign_in_refused")
        assert len(acts) == 7

    told(tmp_path, story)


def test_lock_grows_and_has_an_end() -> None:
    """Nothing for four tries, a minute for five, an hour at most."""
    assert [lock_of(n) for n in (4, 5, 6, 7, 30)] == [0, 60, 120, 240, 3600]


def test_every_form_needs_the_sessions_own_token_and_its_own_site(tmp_path: Path) -> None:
    """Over all routes that change something, those of pages to come included."""

    async def story(house: House) -> None:
        paths = [
            route.path
            for route in house.app.routes
            if route.path.startswith("/console") and "POST" in (getattr(route, "methods", None) or ())
        ]
        assert "/console/leave" in paths
        async with house.anybody() as client:
            await signed_in(house, client)
            for path in paths:
                if path in ("/console/enter",):
                    continue
                at = re.sub(r"\{[^}]+\}", "x", path)
                assert (await client.post(at, data={"csrf": "0" * 48})).status_code == 403, path
                foreign = await client.post(at, data={}, headers={"origin": "https://evil.example"})
                assert foreign.status_code == 403, path

    told(tmp_path, story)


def test_session_ends_by_leaving_and_when_the_user_is_disabled(tmp_path: Path) -> None:
    """The cookie is worth nothing afterwards."""

    async def story(house: House) -> None:
        async with house.anybody() as client:
            await signed_in(house, client)
            page = (await client.get("/console")).text
            cookie = client.cookies["gateway_console"]
            await client.post("/console/leave", data={"csrf": _field(page, "csrf")})
            back = await client.get("/console", headers={"cookie": f"gateway_console={cookie}"})
            assert back.status_code == 302
        async with house.anybody() as client:
            await signed_in(house, client, name="two")
            await house.desk.users.change("two", disabled=True)
            assert (await client.get("/console")).status_code == 302

    told(tmp_path, story)


def test_every_answer_carries_the_policy(tmp_path: Path) -> None:
    """No inline script or style could run even if one slipped in; and no template has one."""

    async def story(house: House) -> None:
        async with house.anybody() as client:
            answer = await client.get("/console/enter")
            assert "script-src 'self'" in answer.headers["content-security-policy"]
            assert answer.headers["cache-control"] == "no-store"

    told(tmp_path, story)
    from_templates = [
        path.name
        for path in Path("gateway/console/templates").rglob("*.html")
        if re.search(r"<script(?! src)|<style| style=|javascript:| on\w+=", path.read_text(encoding="utf-8"))
    ]
    assert not from_templates


def test_where_to_go_next_is_a_page_of_ours(tmp_path: Path) -> None:
    """A link cannot send somebody who signs in elsewhere."""

    async def story(house: House) -> None:
        await house.desk.users.make("ops", Role.ADMIN, PASSWORD)
        async with house.anybody() as client:
            for bad in ("https://evil.example", "//evil.example/console", "/console/../x\\y", "/elsewhere"):
                answer = await client.post(
                    "/console/enter", params={"next": bad}, data={"name": "ops", "password": PASSWORD}
                )
                assert answer.headers["location"] in ("/console/second?next=/console",), bad

    told(tmp_path, story)


def test_ticket_lets_in_once_and_not_a_disabled_user(tmp_path: Path) -> None:
    """The link of the command line; used again it leads to the form."""

    async def story(house: House) -> None:
        await house.desk.users.make("ops", Role.ADMIN, PASSWORD)
        text = await house.desk.users.ticket("ops")
        async with house.anybody() as client:
            assert (await client.get(f"/console/ticket/{text}")).headers["location"] == "/console"
            assert (await client.get("/console")).status_code == 200
        async with house.anybody() as client:
            assert (await client.get(f"/console/ticket/{text}")).headers["location"] == "/console/enter"
            assert (await client.get("/console")).status_code == 302
            late = await house.desk.users.ticket("ops")
            await house.desk.users.change("ops", disabled=True)
            assert (await client.get(f"/console/ticket/{late}")).headers["location"] == "/console/enter"
        (act,) = await house.ground.trail.acts(verb="sign_in")
        assert act.act.detail == {"by": "ticket"}

    told(tmp_path, story)
