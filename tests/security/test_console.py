"""The console as an attacker sees it: what partners say becomes no markup and no formula, looking changes nothing, and masks are not undone by asking."""

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from gateway import access
from gateway.console import app, export, frame
from gateway.desk import probes
from gateway.desk.cells import disarmed
from gateway.desk.users import SESSIONS, Role
from tests.api.kit import CLEAR, House, member, order, told
from tests.console.test_entrance import PASSWORD, signed_in

EVIL = "\"'><img src=x onerror=alert(1)><script>alert(2)</script>{{1337*7331}}"
CLASS = {"contact": access.Lent(how="mask"), "identity": access.Lent(how="clear")}


class Reader(HTMLParser):
    """What a browser would run."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.links: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note whatever runs, and where one can go."""
        said = dict(attrs)
        runs = [name for name in said if name.startswith("on")] + [
            one for one in said.values() if (one or "").startswith("javascript:")
        ]
        if runs or (tag == "script" and "src" not in said) or (tag == "img" and said.get("src") == "x"):
            self.found.append(f"<{tag} {said}>")
        if tag == "a" and (said.get("href") or "").startswith("/console"):
            self.links.add(str(said["href"]))


async def _hostile(house: House) -> None:
    """Everything a partner can put words into; an order that cannot be read, and one with a state that no table knows."""
    await house.rollout.open()
    await house.say("members", member("M1", name=EVIL, tags=[EVIL], address=EVIL, store=EVIL))
    await house.say("members", {**member("M2"), "email": f"a{EVIL}@x.example"})
    lines = [{"line_no": EVIL, "sku": EVIL, "title": EVIL, "quantity": "1", "price": "10.00"}]
    await house.say("orders", order(EVIL, "M1", status=EVIL, lines=lines, store=EVIL))
    await house.say("orders", order("O2", "M1", paid=EVIL))
    await house.rollout.save()


async def _pages(client: httpx.AsyncClient) -> Iterator[tuple[str, httpx.Response]]:
    """Every page that links lead to, two clicks deep."""
    todo, seen = ["/console"], set[str]()
    answers = []
    for _ in range(120):
        if not todo:
            break
        path = todo.pop(0)
        answer = await client.get(path)
        answers.append((path, answer))
        if "html" not in answer.headers.get("content-type", ""):
            continue
        reader = Reader()
        reader.feed(answer.text)
        fresh = sorted(
            link for link in reader.links if link not in seen and "/static/" not in link and "format=csv" not in link
        )
        seen |= set(fresh)
        todo += fresh
    return iter(answers)


def test_nothing_a_partner_says_runs_on_any_page(tmp_path: Path) -> None:
    """Names, tags, numbers, states, titles and faults, seen by somebody who sees all of them in the clear."""

    async def story(house: House) -> None:
        await _hostile(house)
        async with house.anybody() as client:
            await signed_in(house, client)
            await house.desk.users.change("ops", grants=CLEAR)
            pages = list(await _pages(client))
            asked = [(path, text) for text in (EVIL, "O2", "M1") for path in ("/console/flow", "/console/customers")]
            pages += [(f"{path}?q=", await client.get(path, params={"q": text})) for path, text in asked]
            pages.append(("nowhere", await client.get(f"/console/customers/{EVIL.replace('/', '')}")))
            assert len(pages) > 30
            for path, answer in pages:
                assert answer.status_code < 500, path
                reader = Reader()
                reader.feed(answer.text)
                assert not reader.found, (path, reader.found)
                assert str(1337 * 7331) not in answer.text, path
            shown = [path for path, answer in pages if "onerror" in answer.text]
            assert shown, "the words must be shown somewhere, or nothing was proved"

    told(tmp_path, story)


def test_looking_changes_nothing(tmp_path: Path) -> None:
    """No page decides anything by being opened: what is kept is what was kept, and the trail knows of looks only."""

    async def story(house: House) -> None:
        await _hostile(house)
        shelves = ("users", "clients", "alerts", "silences", "versions", "standings", "jobs", "tickets", "queue")

        async def kept() -> list[tuple[str, str, int]]:
            found = [one for name in shelves for one in await house.desk.shelf.documents(name)]
            return [(one.shelf, one.key, one.version) for one in found]

        async with house.anybody() as client:
            await signed_in(house, client)
            before = await kept()
            for _ in await _pages(client):
                pass
            assert await kept() == before
        verbs = {link.act.verb for link in await house.ground.trail.acts(limit=1000)}
        assert verbs <= {"sign_in", "read", "export", "lookup"}

    told(tmp_path, story)


@pytest.mark.parametrize(
    "text", ["=1+1", "+1", "-1+1", "@SUM(A1)", "＝1+1", "＠x", "\t=1", "\n=1", "  =1+1", "\u3000=1", "%0A=1"]
)
def test_no_cell_is_a_formula(text: str) -> None:
    """In the wide forms of Chinese and Japanese spreadsheets neither, nor behind blanks."""
    assert disarmed(text).startswith("'")
    assert export.cell(text).startswith("'")


def test_ordinary_cells_stay() -> None:
    """Names, times and JSON are what they were."""
    assert [disarmed(one) for one in ("张三", "2026-11-11", "[1]", "{}", "")] == ["张三", "2026-11-11", "[1]", "{}", ""]


@pytest.mark.parametrize("how", ["mask", "token", "drop"])
def test_mask_is_not_undone_by_trying_numbers_out(tmp_path: Path, how: str) -> None:
    """A hundred and twenty lookups, then three a minute; none at all where nothing is seen; each is on the trail, without the number."""

    async def story(house: House) -> None:
        await house.say("members", member("M1", phone="13800138001"))
        limits = house.desk.limits
        async with house.caller(grants={"contact": access.Lent(how=how)}) as client:

            async def ask(number: int) -> httpx.Response:
                return await client.post("/api/v1/customers:lookup", json={"phone": f"138{number:04d}8001"})

            first = await ask(13)
            if how == "drop":
                assert (first.status_code, first.json()["code"]) == (403, "lookup.withheld")
                return
            assert first.status_code == 200
            assert len(first.json()["items"]) == 1
            (actor,) = {link.act.actor for link in await house.ground.trail.acts(verb="lookup")}
            await limits.take(f"lookup:{actor}", probes._PACE, 119.0)
            late = await ask(14)
            assert (late.status_code, late.json()["code"]) == (429, "lookup.pace")
            assert int(late.headers["retry-after"]) > 1
            known = await client.post(
                "/api/v1/customers:lookup", json={"namespace": "erp.customer_code", "scope": "erp", "value": "M1"}
            )
            assert known.status_code == 200
            assert "138" not in str(await house.ground.trail.acts(verb="lookup"))

    told(tmp_path, story)


def test_search_box_is_paced_as_the_api_is(tmp_path: Path) -> None:
    """On the pages of customers and of flow; somebody who sees phones in the clear is not held up."""

    async def story(house: House) -> None:
        await house.say("members", member("M1", phone="13800138001"))
        async with house.anybody() as client:
            await signed_in(house, client, Role.OPERATOR)
            asked = {"q": "13800138001"}
            assert "cus_" in (await client.get("/console/customers", params=asked)).text
            await house.desk.limits.take("lookup:console:ops", probes._PACE, 119.0)
            assert (await client.get("/console/customers", params=asked)).status_code == 429
            assert "cus_" not in (await client.get("/console/flow", params=asked)).text
            await house.desk.users.change("ops", grants={"contact": access.Lent(how="drop")})
            assert (await client.get("/console/customers", params=asked)).status_code == 403
            await house.desk.users.change("ops", grants={"contact": access.Lent(how="clear")})
            assert (await client.get("/console/customers", params=asked)).status_code == 200

    told(tmp_path, story)


async def _csrf(client: httpx.AsyncClient) -> str:
    found = re.search(r'name="csrf" value="([^"]+)"', (await client.get("/console")).text)
    assert found
    return found[1]


def test_operator_cannot_ask_a_dead_letter_questions_by_a_mapping_of_their_own(tmp_path: Path) -> None:
    """``when: starts_with(phone, '138')`` would read a sealed phone digit by digit, through nothing but counts."""

    async def story(house: House) -> None:
        await _hostile(house)
        (letter, *_) = await house.ground.records.dead_letters(limit=5)
        given = {"kind": "entry", "id": letter.id, "of": "", "stage": "", "cause": "", "text": "version: 3\n"}
        async with house.anybody() as client:
            await signed_in(house, client, Role.OPERATOR)
            data = {"csrf": await _csrf(client), **given}
            assert (await client.post("/console/dead/try", data=data)).status_code == 403
            assert (await client.post("/console/dead/try", data={**data, "text": ""})).status_code == 200
            await house.desk.users.change("ops", role=Role.ADMIN)
            assert (await client.post("/console/dead/try", data=data)).status_code == 200

    told(tmp_path, story)


def test_trying_an_account_elsewhere_takes_no_secret_along(tmp_path: Path) -> None:
    """The form keeps what was entered before; pointed at another address it has to be entered again, and nothing is sent."""
    corp = {
        "connector": "wecom", "corp_id": "ww1", "agent_id": "1", "token": "tok", "encoding_aes_key": "a" * 43, "secret": "app-secret",
        "api_base": "http://127.0.0.1:9",
    }  # fmt: skip

    async def story(house: House) -> None:
        async with house.anybody() as client:
            await signed_in(house, client)
            data = {"csrf": await _csrf(client), "corp_id": "ww1", "agent_id": "1", "api_base": "http://127.0.0.1:7"}
            page = (await client.post("/console/connectors/corp/form", data=data)).text
            assert "api_base is another than the account has: enter" in page
            assert 'data-part="platform"' not in page
            again = {**data, "token": "tok", "encoding_aes_key": "a" * 43, "secret": "app-secret"}
            page = (await client.post("/console/connectors/corp/form", data=again)).text
            assert "is another than the account has" not in page
            assert "app-secret" not in page

    told(tmp_path, story, accounts={"corp": corp})


def test_redirects_and_files_carry_the_headers_of_pages(tmp_path: Path) -> None:
    """The answer that sets a session's cookie is kept by no proxy, and an export by no cache."""

    async def story(house: House) -> None:
        await house.desk.users.make("ops", Role.ADMIN, PASSWORD)
        async with house.anybody() as client:
            ticket = await client.get(f"/console/ticket/{await house.desk.users.ticket('ops')}")
            table = await client.get("/console/customers", params={"format": "csv"})
            for answer in (ticket, table, await client.get("/console")):
                assert {name: answer.headers[name] for name in frame.HEADERS} == frame.HEADERS

    told(tmp_path, story)


@pytest.mark.parametrize(
    ("sent", "secure"),
    [({}, False), ({"x-forwarded-proto": "https"}, True), ({"x-forwarded-proto": "https, http"}, True)],
)
def test_cookies_are_for_tls_alone_where_the_browser_uses_it(
    tmp_path: Path, sent: dict[str, str], secure: bool
) -> None:
    """Also behind a proxy that ends TLS, or two of them; never readable by scripts, never sent along from elsewhere."""

    async def story(house: House) -> None:
        await house.desk.users.make("ops", Role.ADMIN, PASSWORD)
        async with house.anybody() as client:
            answer = await client.get(f"/console/ticket/{await house.desk.users.ticket('ops')}", headers=sent)
            cookies = answer.headers.get_list("set-cookie")
            assert len(cookies) == 2
            for one in cookies:
                assert ("Secure" in one) is secure
                assert "HttpOnly" in one
                assert "SameSite=strict" in one.replace("Strict", "strict")
                assert "Path=/console" in one

    told(tmp_path, story)


def test_path_that_somebody_was_sent_to_makes_no_header(tmp_path: Path) -> None:
    """Line ends and other hosts in an address stay out of where the door sends people."""

    async def story(house: House) -> None:
        await house.desk.users.make("ops", Role.ADMIN, PASSWORD)
        async with house.anybody() as client:
            for path in (
                "/console/customers/a%0d%0aset-cookie:%20a=b",
                "/console/customers/a%26next=%2f%2fevil",
                "/console/orders/%2f%2fevil.example",
            ):
                there = (await client.get(path)).headers.get("location", "")
                assert not set(there) & set("\r\n\\")
                assert there == "" or there.startswith("/console/")
            for asked in ("/console/\r\nset-cookie: a=b", "/console/\t/evil", "/console/..//evil.example"):
                answer = await client.post(
                    "/console/enter", params={"next": asked}, data={"name": "ops", "password": PASSWORD}
                )
                there = answer.headers["location"]
                assert not set(there) & set("\r\n\t")
                assert there.startswith("/console/")

    told(tmp_path, story)


def test_form_of_many_megabytes_is_not_read(tmp_path: Path) -> None:
    """On every form of the console."""

    async def story(house: House) -> None:
        async with house.anybody() as client:
            await signed_in(house, client)
            paths = [
                route.path
                for route in house.app.routes
                if route.path.startswith("/console") and "POST" in (getattr(route, "methods", None) or ())
            ]
            for path in paths:
                at = re.sub(r"\{[^}]+\}", "x", path)
                answer = await client.post(at, data={"csrf": "x", "text": "y" * (app._MOST + 1)})
                assert answer.status_code == 413, path
        assert len(await house.desk.shelf.documents(SESSIONS)) == 1

    told(tmp_path, story)


def test_every_act_of_the_console_needs_more_than_a_viewer(tmp_path: Path) -> None:
    """Over all forms, those of pages to come included: signing in and out is all that a viewer posts."""

    async def story(house: House) -> None:
        async with house.anybody() as client:
            await signed_in(house, client, Role.VIEWER)
            csrf = await _csrf(client)
            paths = {
                route.path
                for route in house.app.routes
                if route.path.startswith("/console") and "POST" in (getattr(route, "methods", None) or ())
            }
            for path in sorted(paths - {"/console/enter", "/console/second", "/console/leave"}):
                at = re.sub(r"\{[^}]+\}", "x", path)
                assert (await client.post(at, data={"csrf": csrf})).status_code == 403, path

    told(tmp_path, story)


def test_details_of_the_trail_hold_no_words_of_partners(tmp_path: Path) -> None:
    """Whatever was opened, searched and exported: the trail has ids and counts."""

    async def story(house: House) -> None:
        await house.say("members", member("M1", name="王小明", phone="13912345678"))
        async with house.anybody() as client:
            await signed_in(house, client)
            for path, asked in (
                ("customers", {"q": "13912345678"}),
                ("customers", {"format": "csv"}),
                ("flow", {"q": "13912345678"}),
            ):
                await client.get(f"/console/{path}", params=asked)
            async with house.caller(grants=CLASS) as caller:
                await caller.post("/api/v1/customers:lookup", json={"phone": "13912345678"})
        acts: list[Any] = [link.act for link in await house.ground.trail.acts(limit=1000)]
        assert {"lookup", "export"} <= {act.verb for act in acts}
        said = msgspec.json.encode(acts).decode()
        assert "13912345678" not in said
        assert "王" not in said

    told(tmp_path, story)
