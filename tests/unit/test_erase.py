"""Forgetting one customer: what goes, what stays, and that a crash anywhere leaves what a second run completes."""

import re
from pathlib import Path
from typing import Any

import msgspec
import pytest

from gateway import book, journal, store
from gateway.errors import Erased, GatewayError, StoreError
from gateway.model.lane import Lane
from gateway.pipeline import rewrite
from gateway.pipeline.about import Unknown
from gateway.pipeline.erase import Eraser, Forgotten
from gateway.pipeline.read import Reader
from gateway.pipeline.route import Router
from gateway.processes import Ground
from gateway.vaults.file import open_vault
from tests.unit.test_settle import Desk, member, order, told

MARKED = ("王小明明", "13800138000", "王小二二", "13900139000", "南京西路八百八十八号")
TOKEN = re.compile(rb"k\d+[a-z]*\.(?:identity|contact|health|finance)\.[A-Za-z0-9_-]+")


def eraser(ground: Ground, **other: Any) -> Eraser:
    """As the command makes it."""
    parts: dict[str, Any] = {
        "log": ground.log,
        "records": ground.records,
        "vault": ground.vault,
        "clock": ground.clock,
        "router": Router(book.configured(ground.tree, ground.vault)),
        "reader": Reader(accounts=ground.accounts, vault=ground.vault, clock=ground.clock),
        "trail": ground.trail,
    }
    return Eraser(**{**parts, **other})


async def forget(desk: Desk, customer: str) -> Forgotten:
    """Erase, for a reason."""
    return await eraser(desk.ground).erase(customer, actor="cli:wang", reason="工单 42")


async def customer_of(desk: Desk, number: str) -> str:
    """Whose order it is."""
    found = await desk.customer_of(number)
    assert found is not None
    return found


def person(code: str, at: int, *, name: str = MARKED[0], phone: str = MARKED[1]) -> dict[str, Any]:
    """A member whose values are looked for afterwards."""
    return {**member(code, at), "name": name, "phone": phone, "address": f"上海市静安区{MARKED[4]}"}


async def entries(desk: Desk) -> list[journal.Entry]:
    """The whole journal."""
    return [entry for lane in Lane for entry in await desk.ground.log.read(lane, 0, 0, 10_000)]


async def payloads(desk: Desk) -> list[bytes]:
    """What the whole journal opens to."""
    vault = desk.ground.vault
    return [vault.open(entry.payload, entry.id.encode()) for entry in await entries(desk)]


async def tokens(desk: Desk, names: set[str]) -> dict[str, str]:
    """Every sealed text of these records, by context: of rows, versions and identities."""
    found: dict[str, str] = {}

    def walk(node: Any, place: str) -> None:
        if isinstance(node, list):
            for item in node:
                walk(item, place)
        elif isinstance(node, dict) and "$sealed" in node:
            found[place] = node["$sealed"]
        elif isinstance(node, dict):
            for name, value in node.items():
                walk(value, f"{place}.{name}" if "/" in place and not place.endswith("/") else f"{place}{name}")

    for name in names:
        for row in await desk.ground.records.records_of(name):
            walk(msgspec.json.decode(row.body), f"{row.id}/")
    for owner, edges in (await desk.ground.records.look(store.Wants(edges_of=sorted(names)))).edges_of.items():
        found |= {f"{owner}/identities.value": edge.value for edge in edges}
    return found


async def shown(desk: Desk) -> bytes:
    """Everything that anybody with the keys could still open or read, events and answers included."""
    records, vault = desk.ground.records, desk.ground.vault
    seen = [*await payloads(desk)]
    for table in store.SEALED_TABLES:
        for key, body in await records.bodies(table, limit=10_000):
            seen.append(body)
            seen += _opened(vault, key, body)
    return b"\n".join(seen)


def _opened(vault: Any, key: str, body: bytes) -> list[bytes]:
    """The tokens of a body, opened under every context they could have."""
    ids = {match.decode() for match in re.findall(rb"[a-z]{3}_[0-9a-f]{32}", body)} | {key.partition("/")[0]}
    paths = ("name", "contacts.value", "contacts.address.detail", "contacts.address.name", "identities.value", "buyer")
    found = []
    for token in re.findall(TOKEN, body):
        for context in (f"{name}/{path}" for name in ids for path in paths):
            try:
                found.append(vault.open_text(token.decode(), context).encode())
            except GatewayError:
                continue
    return found


async def _nothing_left(desk: Desk, customers: set[str]) -> None:
    """What must hold after an erasure, however it came about."""
    records = desk.ground.records
    left = await shown(desk)
    assert [mark for mark in MARKED if mark.encode() in left] == []
    for name in customers:
        for row in await records.records_of(name):
            body = msgspec.json.decode(row.body)
            assert b"$sealed" not in row.body
            assert row.kind != "customer" or body["state"] == "erased"
    assert not any((await records.look(store.Wants(edges_of=sorted(customers)))).edges_of.values())
    assert [event.type for event in await records.events(limit=1000)].count("customer.erased") == 1


def test_everything_about_a_customer_goes_and_their_orders_still_add_up(tmp_path: Path) -> None:
    """Rows keep state and amounts; nothing sealed is left, in no table, event, answer or entry; subscribers are told, and so is the trail."""

    async def story(desk: Desk) -> None:
        await desk.say("members", person("C1", 1))
        await desk.say("orders", {**order("B1", "C1"), "phone": MARKED[1]})
        name = await customer_of(desk, "B1")
        sealed = await tokens(desk, {name})
        assert any(context.endswith("/name") for context in sealed)
        assert MARKED[0].encode() in await shown(desk)

        done = await forget(desk, name)

        assert (done.who, done.customers, done.records, done.clean) == (name, 1, {"order": 1}, True)
        assert done.entries == 2
        assert done.secrets == 1
        await _nothing_left(desk, {name})
        vault = open_vault(tmp_path / "keys.json")
        for context, token in sealed.items():
            with pytest.raises(Erased):
                vault.open_text(token, context)
        (row,) = await desk.ground.records.rows("order", limit=9)
        body = msgspec.json.decode(row.body)
        assert (body["external_id"], body["payment"], body["money"]["paid"]["amount"]) == ("B1", "paid", 1000)
        event = (await desk.ground.records.events(limit=1000))[-1]
        assert msgspec.json.decode(event.body)["data"] == {
            "customer": {"id": name, "state": "erased"},
            "merged": [],
            "changed": [],
        }
        assert len(await desk.ground.records.deliveries(event=event.id)) == 1
        acts = [link.act for link in await desk.ground.trail.acts()]
        assert [(act.actor, act.verb, act.object) for act in acts] == [
            ("cli:wang", verb, name) for verb in ("erase", "erased")
        ]

    told(tmp_path, story)


def test_nothing_of_the_values_is_in_any_file_afterwards(tmp_path: Path) -> None:
    """Neither a sealed payload of the journal nor a plain value, in databases, logs and freed pages."""

    async def story(desk: Desk) -> None:
        for minute in range(6):
            await desk.say("members", {**person("C1", minute), "tags": [f"标签{minute}"]})
        await desk.say("orders", order("B1", "C1"))
        # The middle of each: a page may split a payload, but not all of its middles.
        middles = [entry.payload[len(entry.payload) // 2 :][:24] for entry in await entries(desk)]
        await forget(desk, await customer_of(desk, "B1"))
        content = b"".join(file.read_bytes() for file in tmp_path.rglob("*") if file.is_file())
        assert [middle for middle in middles if middle in content] == []
        assert [mark for mark in (*MARKED, "标签") if mark.encode() in content] == []

    told(tmp_path, story)


def test_what_endpoints_answered_goes_too(tmp_path: Path) -> None:
    """An answer may echo what was sent; it lies under a key that nobody destroys. The attempt itself stays."""

    async def story(desk: Desk) -> None:
        records, vault = desk.ground.records, desk.ground.vault
        await desk.say("members", person("C1", 1))
        now = desk.ground.clock.now()
        (one,) = await records.claim(now=now, lease=now + 9_000_000, claim="c", limit=1, retries=False)
        attempt = store.Attempt(
            id="att_1", delivery=one.delivery.id, endpoint="crm", event=one.event.id, at=now, took=1, status=500, error=None,
            response=vault.seal(f"no room for {MARKED[0]}".encode(), b"att_1"),
        )  # fmt: skip
        state = store.DeliveryState.DEAD
        await records.finish(
            [store.Result(delivery=one.delivery.id, claim="c", state=state, due=now, tries=1, attempt=attempt)]
        )
        done = await forget(desk, one.event.subject)
        assert done.answers == 1
        (kept,) = await records.attempts(one.delivery.id)
        assert (kept.status, kept.response) == (500, b"")

    told(tmp_path, story)


def test_an_altered_entry_is_told_and_erased_all_the_same(tmp_path: Path) -> None:
    """Somebody changed it; what can still be done about it is done."""

    class Heard:
        def __init__(self) -> None:
            self.places: list[str] = []

        async def altered(self, _error: object, *, stage: str, where: str) -> None:
            self.places.append(f"{stage} {where}")

    async def story(desk: Desk) -> None:
        await desk.say("members", person("C1", 1))
        (entry,) = await entries(desk)
        await desk.ground.log.replace([(entry.id, entry.payload, entry.payload[:-1] + b"x")])
        (row,) = await desk.ground.records.rows("customer", limit=9)
        heard = Heard()
        await eraser(desk.ground, alarm=heard).erase(row.id, actor="cli:wang", reason="")
        assert heard.places == [f"erase {entry.id}"]
        assert await payloads(desk) == [journal.ERASED]

    told(tmp_path, story)


def test_those_who_became_one_are_forgotten_together(tmp_path: Path) -> None:
    """By any of their ids; both sides of the merge, and what it kept to be undone by."""

    async def story(desk: Desk) -> None:
        await desk.say("members", person("C1", 1))
        await desk.say("members", person("C2", 2, name=MARKED[2]))
        await desk.say("orders", order("B1", "C2"))
        (pair,) = await desk.ground.records.candidates()
        survivor = await desk.settler.merge(pair)
        (merge,) = await desk.ground.records.merges(survivor)

        done = await forget(desk, merge.loser)

        assert (done.who, done.customers) == (survivor, 2)
        await _nothing_left(desk, {merge.survivor, merge.loser})
        (merge,) = await desk.ground.records.merges(survivor)
        with pytest.raises(Erased, match="erased"):
            await desk.settler.unmerge(merge)

    told(tmp_path, story)


def test_what_another_said_while_they_were_one_goes_too(tmp_path: Path) -> None:
    """Two who were parted again: the events of the time in between showed one with the name of the other."""

    async def story(desk: Desk) -> None:
        await desk.say("members", person("C1", 1, name="陈老五五", phone=MARKED[1]))
        await desk.say("members", person("C2", 2, name=MARKED[2]))
        (pair,) = await desk.ground.records.candidates()
        survivor = await desk.settler.merge(pair)
        await desk.say("orders", order("B1", "C1"))
        (merge,) = await desk.ground.records.merges(survivor)
        await desk.settler.unmerge(merge)

        await forget(desk, merge.loser)

        left = await shown(desk)
        assert MARKED[2].encode() not in left
        (kept,) = [row for row in await desk.ground.records.rows("customer", limit=9) if row.id == merge.survivor]
        name = msgspec.json.decode(kept.body)["name"]["$sealed"]
        assert desk.ground.vault.open_text(name, f"{kept.id}/name") == "陈老五五"

    told(tmp_path, story)


def test_what_comes_in_later_makes_a_new_customer(tmp_path: Path) -> None:
    """The same code and phone; an order that was theirs becomes the new one's with its next word."""

    async def story(desk: Desk) -> None:
        await desk.say("members", person("C1", 1))
        await desk.say("orders", order("B1", "C1"))
        old = await customer_of(desk, "B1")
        await forget(desk, old)
        await desk.say("members", person("C1", 5))
        await desk.say("orders", {**order("B1", "C1"), "status": "shipped", "updated_at": "2026-11-11 09:00:00"})
        new = await customer_of(desk, "B1")
        assert new != old
        (row,) = [one for one in await desk.ground.records.records_of(new) if one.kind == "customer"]
        name = msgspec.json.decode(row.body)["name"]["$sealed"]
        assert desk.ground.vault.open_text(name, f"{new}/name") == MARKED[0]

    told(tmp_path, story)


def test_entries_that_led_to_nothing_are_found_too(tmp_path: Path) -> None:
    """What a partner repeated, and what still waits to be projected, holds the same values; projecting it changes nothing."""

    async def story(desk: Desk) -> None:
        await desk.say("members", person("C1", 1))
        (first,) = await entries(desk)
        again = [
            journal.Draft(
                id=f"ent_{n:032x}", account=first.account, topic=first.topic, lane=first.lane, dedupe=bytes([n]) * 16,
                partition=first.partition, received_at=first.received_at,
                payload=desk.ground.vault.seal((await payloads(desk))[0], f"ent_{n:032x}".encode()),
            )
            for n in (1, 2)
        ]  # fmt: skip
        await desk.ground.log.append(again)
        (row,) = await desk.ground.records.rows("customer", limit=9)
        done = await forget(desk, row.id)
        assert done.entries == 3
        assert set(await payloads(desk)) == {journal.ERASED}
        await desk.say("members", member("C9", 9))
        assert len(await desk.ground.records.rows("customer", limit=9)) == 2
        assert await desk.ground.records.dead_letters() == []

    told(tmp_path, story)


def test_what_is_repeated_while_the_last_search_goes_on_is_found_too(tmp_path: Path) -> None:
    """Something about the person comes in, and is repeated behind the end of what is being searched: the journal is searched until there is none."""

    async def story(desk: Desk) -> None:
        await desk.say("members", person("C1", 1))
        (first,) = await entries(desk)
        (row,) = await desk.ground.records.rows("customer", limit=9)
        log, depth, asked = desk.ground.log, desk.ground.log.depth, []
        said, copy = (rewrite.copy(first, desk.ground.vault, now=desk.ground.clock.now()) for _ in range(2))

        async def measured(lane: Lane, shard: int, after: int) -> tuple[int, int | None]:
            asked.append(lane)
            if len(asked) == len(Lane) + 1:
                await log.append([msgspec.structs.replace(said, dedupe=b"another")])
            found = await depth(lane, shard, after)
            if len(asked) == 2 * len(Lane):
                await log.append([msgspec.structs.replace(copy, lane=lane, dedupe=b"a third")])
            return found

        log.depth = measured  # type: ignore[method-assign]
        await forget(desk, row.id)
        assert len(asked) > 2 * len(Lane)
        assert await payloads(desk) == [journal.ERASED] * 3

    told(tmp_path, story)


def test_somebody_else_with_the_same_phone_keeps_what_is_theirs(tmp_path: Path) -> None:
    """A shared phone names nobody: the other's record, identities and entries stay."""

    async def story(desk: Desk) -> None:
        await desk.say("members", person("C1", 1))
        await desk.say("members", person("C2", 2, name="赵六六六"))
        first, second = await desk.ground.records.rows("customer", limit=9)
        await forget(desk, first.id)
        opened = await payloads(desk)
        assert opened[0] == journal.ERASED
        assert "赵六六六".encode() in opened[1]
        found = (await desk.ground.records.look(store.Wants(edges_of=[second.id]))).edges_of[second.id]
        assert {edge.namespace for edge in found} >= {"phone"}
        assert await desk.ground.records.candidates() == []

    told(tmp_path, story)


def test_a_dead_letter_of_theirs_cannot_be_retried(tmp_path: Path) -> None:
    """Its entry is gone, and the error says with whom."""

    async def story(desk: Desk) -> None:
        await desk.say("members", person("C1", 1))
        (entry,) = await entries(desk)
        letter = store.DeadLetter(
            id="ded_1", entry=entry.id, account="members", topic="row", stage="map", cause="test", detail="", at=1
        )
        await desk.ground.records.bury([letter])
        (row,) = await desk.ground.records.rows("customer", limit=9)
        await forget(desk, row.id)
        (fault,) = (await desk.settler.retry([letter])).values()
        assert isinstance(fault, Erased)

    told(tmp_path, story)


def test_planning_counts_and_changes_nothing(tmp_path: Path) -> None:
    """What a person is shown before they say yes."""

    async def story(desk: Desk) -> None:
        await desk.say("members", person("C1", 1))
        await desk.say("orders", order("B1", "C1"))
        before = await shown(desk)
        plan = await eraser(desk.ground).plan(await customer_of(desk, "B1"))
        assert (plan.customers, plan.records, plan.events, plan.entries) == (1, {"order": 1}, 2, 2)
        assert plan.identities >= 1
        assert await shown(desk) == before
        assert await desk.ground.trail.head() is None

    told(tmp_path, story)


def test_nobody_and_no_customer_are_said_to_be_unknown(tmp_path: Path) -> None:
    """An order's id is no customer's; nothing is recorded of it."""

    async def story(desk: Desk) -> None:
        await desk.say("orders", order("B1", "C1"))
        (row,) = await desk.ground.records.rows("order", limit=9)
        for name in (row.id, "cus_nobody"):
            with pytest.raises(Unknown):
                await forget(desk, name)
        assert await desk.ground.trail.head() is None

    told(tmp_path, story)


def test_what_cannot_be_recorded_is_not_erased(tmp_path: Path) -> None:
    """The trail comes first."""

    class Full:
        async def record(self, _acts: object) -> None:
            raise StoreError("disk full")

    async def story(desk: Desk) -> None:
        await desk.say("members", person("C1", 1))
        (row,) = await desk.ground.records.rows("customer", limit=9)
        with pytest.raises(StoreError):
            await eraser(desk.ground, trail=Full()).erase(row.id, actor="cli:wang", reason="")
        assert MARKED[0].encode() in await shown(desk)

    told(tmp_path, story)


def test_a_batch_that_had_looked_the_customer_up_is_done_over(tmp_path: Path) -> None:
    """A worker in the middle of an order of theirs, said before the erasure: it reads again, and finds nothing to say."""

    async def story(desk: Desk) -> None:
        await desk.say("members", person("C1", 1))
        (row,) = await desk.ground.records.rows("customer", limit=9)
        apply = desk.ground.records.apply
        erased: list[Forgotten] = []

        async def late(batch: store.Batch) -> set[str]:
            if batch.after is not None and not erased:
                erased.append(Forgotten(who=""))
                erased[0] = await forget(desk, row.id)
            return await apply(batch)

        desk.ground.records.apply = late  # type: ignore[method-assign]
        await desk.say("orders", order("B1", "C1"))
        assert erased[0].who == row.id
        assert await desk.ground.records.rows("order", limit=9) == []
        assert [one.kind for one in await desk.ground.records.records_of(row.id)] == ["customer"]

    told(tmp_path, story)


class _Crash(BaseException):
    """A kill."""


class _Brittle:
    """A part of the gateway that dies at the ``at``-th call of all."""

    def __init__(self, part: Any, calls: list[str], at: int) -> None:
        self._part, self._calls, self._at = part, calls, at

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._part, name)
        if name not in ("apply", "rebody", "replace", "forget", "scrub", "record"):
            return found

        def called(*given: Any, **named: Any) -> Any:
            self._calls.append(name)
            if len(self._calls) == self._at:
                raise _Crash(name)
            return found(*given, **named)

        return called


def _crashing(ground: Ground, calls: list[str], at: int) -> Eraser:
    brittle = {name: _Brittle(part, calls, at) for name, part in (("log", ground.log), ("records", ground.records), ("vault", ground.vault), ("trail", ground.trail))}  # fmt: skip
    return eraser(ground, **brittle)


async def _two_in_one(desk: Desk) -> str:
    await desk.say("members", person("C1", 1))
    await desk.say("members", person("C2", 2, name=MARKED[2]))
    await desk.say("orders", order("B1", "C2"))
    (pair,) = await desk.ground.records.candidates()
    return await desk.settler.merge(pair)


def _steps(tmp_path: Path) -> list[str]:
    calls: list[str] = []

    async def story(desk: Desk) -> None:
        await _crashing(desk.ground, calls, -1).erase(await _two_in_one(desk), actor="cli:wang", reason="")

    told(tmp_path, story)
    return calls


def test_a_crash_anywhere_leaves_what_a_second_run_completes(tmp_path: Path) -> None:
    """Before each write in turn: the gateway dies, and erasing again ends where one run would have."""
    calls = _steps(tmp_path / "whole")
    assert {"apply", "rebody", "replace", "forget", "scrub", "record"} <= set(calls)
    for at in range(1, len(calls) + 1):

        async def story(desk: Desk, at: int = at) -> None:
            survivor = await _two_in_one(desk)
            with pytest.raises(_Crash):
                await _crashing(desk.ground, [], at).erase(survivor, actor="cli:wang", reason="")
            done = await forget(desk, survivor)
            assert done.clean
            people = {row.id for row in await desk.ground.records.rows("customer", limit=9)}
            await _nothing_left(desk, people)

        told(tmp_path / str(at), story)
