"""One person of a shop asks to be forgotten: known by WeCom and by the ERP, told to a subscriber and to the SCRM core."""

import json
import re
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest

from connectors.wecom import fake as wecom
from gateway.clock import SystemClock
from gateway.errors import GatewayError
from gateway.journals.sqlite import open_journal
from gateway.model.lane import Lane
from gateway.vaults.file import open_vault
from tests.e2e import house
from tests.e2e.house import Gateway, House, Loop, Receiver, endpoint
from tests.e2e.test_partners import SEED, WECOM, added, callback

NAME, STREET, CODE, MAIL = "慕容复姓标记", "标记路一百零一号", "CODE-MARKED-77", "marked.mail@example.com"
TOKEN = re.compile(rb"k\d+[a-z]*\.(?:identity|contact|health|finance)\.[A-Za-z0-9_-]+")


@dataclass
class Shop:
    """A gateway with WeCom and an ERP, and whom it tells. ``marks`` are what must be nowhere in the end."""

    gateway: Gateway
    receiver: Receiver
    loop: Loop
    scrm: httpx.Client
    scrm_folder: Path
    userid: str
    phone: str
    marks: tuple[str, ...]


@pytest.fixture
def shop(shared: House, tmp_path: Path) -> Iterator[Shop]:
    receiver, loop = shared.receiver(), shared.loop()
    api = loop.run(wecom.serve_api(host="127.0.0.1", port=0, options=dict(WECOM), seed=SEED))
    (port,) = house.free_ports(1)
    folder = tmp_path / "scrm"
    command = [sys.executable, "-m", "scrm", "--secret", house.SECRET, "--data", str(folder), "--port", str(port)]
    core = subprocess.Popen(command, cwd=house.ROOT)
    shared.beside(core.kill)
    # What it cannot be told at first is tried again after five seconds, and then after five minutes.
    house.eventually(lambda: _listens(port), within=45.0, what="the SCRM core listens")
    clear = {"identity": "clear", "contact": "clear"}
    gateway = shared.gateway(
        {
            "accounts": {
                "corp": {"connector": "wecom", "api_base": api.url, **WECOM},
                "crm": house.customers(system="erp"),
                "erp": house.orders(system="erp"),
            },
            "endpoints": {
                "main": endpoint(receiver, grants=clear),
                "scrm": {
                    "url": f"http://127.0.0.1:{port}/hooks",
                    "secret": house.SECRET,
                    "allow_private": True,
                    "grants": clear,
                },
            },
        }
    )
    userid, phone = _with_phone(wecom.Corp(SEED))
    profile = wecom.Corp(SEED).profile(userid)
    marks = (NAME, STREET, CODE, MAIL, phone, userid, profile["unionid"])
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client:
        yield Shop(gateway, receiver, loop, client, folder, userid, phone, marks)
    core.terminate()
    core.wait()
    assert receiver.forged == []
    assert gateway.stop()[0] == 0
    loop.run(api.close())


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _with_phone(corp: wecom.Corp) -> tuple[str, str]:
    """A customer of the corp whose member noted a phone."""
    for number in range(900, 1000):
        name = corp.customer(number)
        for follower in corp.followers(name, 0):
            if follower["remark_mobiles"]:
                return name, follower["remark_mobiles"][0]
    raise AssertionError("nobody has a phone")


def _come_in(shop: Shop) -> str:
    """Both sides of the person come in and are made one; the id of whom they are."""
    assert callback(SimpleNamespace(gateway=shop.gateway), added(shop.userid, int(time.time()))).status_code == 200  # type: ignore[arg-type]
    # With a phone: WeCom's API was asked who this is.
    shop.receiver.wait(1, "relationship.started")
    house.eventually(lambda: [got for got in shop.receiver.of("customer.updated") if shop.phone in got.body.decode()])
    row = {"customer_code": CODE, "name": NAME, "phone": shop.phone, "email": MAIL, "address": STREET}
    assert shop.gateway.feed("crm", row).status_code == 202
    assert shop.gateway.feed("erp", house.order("SO-1", customer_code=CODE, phone=shop.phone)).status_code == 202
    (paid,) = shop.receiver.wait(1, "order.paid")

    def matches() -> list[dict[str, Any]]:
        code, text = shop.gateway.command("matches", "list", "--json")
        assert code == 0, text
        found: list[dict[str, Any]] = json.loads(text)
        return found

    (pair, *_) = house.eventually(matches, what="a match candidate")
    assert paid.data["customer"]["id"] in (pair["a"], pair["b"])
    assert shop.gateway.command("matches", "merge", pair["id"])[0] == 0
    (merged,) = shop.receiver.wait(1, "customer.merged")
    house.eventually(lambda: _known(shop, merged.subject), what="the SCRM knows the person")
    return merged.subject


def _known(shop: Shop, name: str) -> dict[str, Any] | None:
    with suppress(httpx.HTTPError):
        answer = shop.scrm.get(f"/api/customers/{name}")
        found: dict[str, Any] = answer.json()
        return found if answer.status_code == 200 else None
    return None


def _content(folder: Path) -> bytes:
    return b"\n".join(house.contents(folder).values())


def _payloads(shop: Shop) -> list[tuple[str, bytes]]:
    """What the journal holds, sealed, by entry."""

    async def read() -> list[tuple[str, bytes]]:
        log = open_journal(shop.gateway.data / "journal.db", clock=SystemClock())
        try:
            return [(one.id, one.payload) for lane in Lane for one in await log.read(lane, 0, 0, 10_000)]
        finally:
            await log.close()

    return shop.loop.run(read())


def test_a_person_who_asks_for_it_is_forgotten_everywhere_and_the_shop_goes_on(shop: Shop) -> None:
    """Nothing of the marked values can be read, found or opened: in no file of the gateway, and in none of the SCRM core's."""
    who = _come_in(shop)
    vault = open_vault(shop.gateway.data / "keys.json")
    before = _payloads(shop)
    marked = {
        entry: payload
        for entry, payload in before
        if any(mark.encode() in vault.open(payload, entry.encode()) for mark in shop.marks)
    }
    assert len(marked) >= 4
    ids = _records(shop, who)
    tokens = _tokens(shop, ids)
    assert {NAME, shop.userid, CODE} <= set(_opened(vault, tokens, ids, shop.marks))
    assert NAME.encode() in _content(shop.scrm_folder)

    code, text = shop.gateway.command("erase", who, "--reason", "工单 42", "--yes", "--json")
    assert code == 0, text
    assert json.loads(text)[0]["clean"] is True

    (told,) = shop.receiver.wait(1, "customer.erased")
    assert told.subject == who
    assert told.data["customer"] == {"id": who, "state": "erased"}
    house.eventually(lambda: _erased(shop, who), what="the SCRM has forgotten")
    content = _content(shop.gateway.data)
    assert [mark for mark in shop.marks if mark.encode() in content] == []
    assert [entry for entry, payload in marked.items() if payload[len(payload) // 2 :][:24] in content] == []
    assert _opened(open_vault(shop.gateway.data / "keys.json"), tokens | _tokens(shop, ids), ids, shop.marks) == []
    for entry, payload in _payloads(shop):
        opened = vault.open(payload, entry.encode())
        assert [mark for mark in shop.marks if mark.encode() in opened] == []
    house.eventually(lambda: [mark for mark in shop.marks if mark.encode() in _content(shop.scrm_folder)] == [])

    assert shop.gateway.command("audit", "verify")[0] == 0
    code, text = shop.gateway.command("audit", "list", "--object", who, "--json")
    assert [act["verb"] for act in json.loads(text)] == ["erase", "erased"]
    _goes_on(shop, who)


def _goes_on(shop: Shop, who: str) -> None:
    """The same person comes again, as somebody new; others were never touched."""
    assert shop.gateway.feed("erp", house.order("SO-2", customer_code=CODE)).status_code == 202
    assert shop.gateway.feed("erp", house.order("SO-3", customer_code="C-OTHER")).status_code == 202
    again = [got for got in shop.receiver.wait(3, "order.paid") if got.data["order"]["external_id"] == "SO-2"]
    assert again[0].data["customer"]["id"] != who
    assert shop.gateway.metric("gateway_dead_letters_total") == 0


def _erased(shop: Shop, who: str) -> bool:
    found = _known(shop, who)
    return found is not None and "erased" in json.dumps(found)


def _records(shop: Shop, who: str) -> set[str]:
    """The person's ids: of whom they are, whom they were, and of everything that is theirs."""
    with closing(sqlite3.connect(shop.gateway.data / "store.db")) as db:
        losers = {row[0] for row in db.execute("SELECT loser FROM merges WHERE survivor = ?", (who,))}
        theirs = {row[0] for row in db.execute("SELECT id FROM records WHERE customer = ?", (who,))}
    return {who, *losers, *theirs}


def _tokens(shop: Shop, ids: set[str]) -> set[str]:
    """Every sealed text that any table keeps in a row that names one of them."""
    found: set[str] = set()
    with closing(sqlite3.connect(shop.gateway.data / "store.db")) as db:
        for table in ("records", "events", "merges", "superseded", "edges"):
            for row in db.execute(f"SELECT * FROM {table}"):
                text = b" ".join(one if isinstance(one, bytes) else str(one).encode() for one in row)
                if any(name.encode() in text for name in ids):
                    found |= {token.decode() for token in re.findall(TOKEN, text)}
    return found


def _opened(vault: Any, tokens: set[str], ids: set[str], marks: tuple[str, ...]) -> list[str]:
    """The marks among what these tokens open to under any of their records and paths."""
    paths = ("name", "nickname", "remark", "contacts.value", "contacts.address.detail", "identities.value")
    found = []
    for token, name, path in product(tokens, ids, paths):
        try:
            text = vault.open_text(token, f"{name}/{path}")
        except GatewayError:
            continue
        found += [mark for mark in marks if mark in text]
    return found
