"""Sealing anew: after it everything opens with the current key alone, whoever wrote meanwhile; what was erased or altered is left and told."""

import asyncio
import json
import sqlite3
from collections import Counter
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import pytest

from gateway import book, store, vaults
from gateway.action import Action
from gateway.clock import SECOND
from gateway.commands import upkeep
from gateway.errors import ConfigError
from gateway.model.values import Sensitivity
from gateway.pipeline import act_body
from gateway.pipeline.alarm import Alarm
from gateway.pipeline.operators import Operators
from gateway.pipeline.reseal import Resealed, Resealer
from gateway.pipeline.route import Router
from gateway.store import SEALED_TABLES
from tests.unit.test_commands_trace import run
from tests.unit.test_erase import entries, forget
from tests.unit.test_settle import Desk, member, order, told


async def reseal(desk: Desk, **parts: Any) -> Resealed:
    """As the command does it, secrets of records included."""
    ground = desk.ground
    given: dict[str, Any] = {"log": ground.log, "records": ground.records, "vault": ground.vault}
    done = await Resealer(**{**given, **parts}).run()
    ground.vault.renew()
    return done


def rotate(desk: Desk, tmp_path: Path) -> str:
    """A new key, which every process follows."""
    new = vaults.rotate(vaults.Way(path=tmp_path / "keys.json"))
    desk.ground.vault.refresh()
    return new


async def bodies(desk: Desk) -> dict[str, list[tuple[str, bytes]]]:
    """Everything sealed, by table; the journal is one of them."""
    found = {table: list(await desk.ground.records.bodies(table, limit=100_000)) for table in SEALED_TABLES}
    return {**found, "journal": [(entry.id, entry.payload) for entry in await entries(desk)]}


async def sealed_by(desk: Desk) -> dict[str, set[str]]:
    """The ids of the keys that each table needs."""
    found: dict[str, set[str]] = {}
    for table, rows in (await bodies(desk)).items():
        names = {name for _, body in rows for name in _names(body)}
        found[table] = {name.rstrip("agr") for name in names}
    return found


def _names(body: bytes) -> Iterable[str]:
    if body[:1] == b"\x01":
        return [body[2 : 2 + body[1]].decode()]
    tokens = _tokens(json.loads(body)) if body[:1] == b"{" else [body.decode()]
    return [one.partition(".")[0] for one in tokens]


def _tokens(node: Any) -> list[str]:
    if isinstance(node, dict):
        return [node["$sealed"]] if "$sealed" in node else [one for part in node.values() for one in _tokens(part)]
    return [one for part in node for one in _tokens(part)] if isinstance(node, list) else []


async def _put_by_hand(desk: Desk, number: int) -> None:
    """What no feed makes: a refused request, an errand, an endpoint's secrets, an answer, something asked of a partner."""
    records, vault, now = desk.ground.records, desk.ground.vault, desk.ground.clock.now()
    name = f"rej_{number}"
    refused = store.Reject(
        id=name, account="members", reason="signature", detail="", peer="", size=1, at=now, body=vault.seal(b"x", name.encode())
    )  # fmt: skip
    await records.reject([refused], keep=100)
    key = vault.seal_text(f"id{number}", "errand/members/customer", Sensitivity.CONTACT)
    await records.apply(
        store.Batch(errands=[store.Errand(account="members", topic="customer", hash=bytes([number]), key=key, due=now)])
    )
    name = f"end{number}"
    secrets = vault.seal(b"{}", f"endpoint/{name}".encode())
    await records.book(
        store.Booked(name=name, version=1, document=b"", secrets=secrets, paused=False, updated=now), before=0
    )
    name, customer = f"act_{number}", (await records.rows("customer", limit=1))[0].id if number > 1 else None
    asked = act_body.asked({"remark": f"张三{number}"}, name, customer, vault)
    vault.keep()
    await records.commission(
        Action(
            id=name, account="members", action="remark", client="cli", customer=customer, key=None, subject=name.encode(), harmless=True, due=now,
            expires=now + SECOND, created=now, updated=now, body=asked,
        )
    )  # fmt: skip
    (one,) = await records.claim(now=now + SECOND, lease=now + 2 * SECOND, claim="c", limit=1, retries=False)
    name = f"att_{number}"
    attempt = store.Attempt(
        id=name, delivery=one.delivery.id, endpoint="crm", event=one.event.id, at=now, took=1, status=500, error=None,
        response=vault.seal(b"no", name.encode()),
    )  # fmt: skip
    state = store.DeliveryState.DONE
    await records.finish(
        [store.Result(delivery=one.delivery.id, claim="c", state=state, due=now, tries=1, attempt=attempt)]
    )


async def busy_day(desk: Desk, tmp_path: Path) -> str:
    """Something in every table, by three keys in turn; the fourth is current and has sealed nothing. Returns its id."""
    for number in range(1, 4):
        await desk.say("members", {**member(f"C{number}", number), "phone": "13800138000"})
        await desk.say("orders", order(f"B{number}", f"C{number}"))
        await _put_by_hand(desk, number)
        if number == 2:
            (pair, *_) = await desk.ground.records.candidates()
            await desk.settler.merge(pair)
        if number < 3:
            rotate(desk, tmp_path)
    late = {**order("B1", "C1"), "total": "11.00", "updated_at": "2026-11-10 08:00:00"}
    await desk.say("orders", late)
    customer = (await desk.ground.records.rows("customer", limit=1))[0].id
    await desk.ground.records.apply(
        store.Batch(
            superseded=[store.Superseded(record=customer, entry="ent_0", at=1, received=1, body=await _version(desk, customer))]
        )
    )  # fmt: skip
    return rotate(desk, tmp_path)


async def _version(desk: Desk, customer: str) -> bytes:
    name = desk.ground.vault.seal_text("张三", f"{customer}/name", Sensitivity.IDENTITY)
    desk.ground.vault.keep()
    return msgspec.json.encode({"id": customer, "name": {"$sealed": name}})


def test_everything_opens_with_the_current_key_alone(tmp_path: Path) -> None:
    """Every table and the journal, sealed by three keys: after one run the older keys can go, and all is what it was."""

    async def story(desk: Desk) -> None:
        current = await busy_day(desk, tmp_path)
        before = await sealed_by(desk)
        assert [table for table, keys in before.items() if not keys - {current}] == []
        done = await reseal(desk)
        assert {table: keys for table, keys in (await sealed_by(desk)).items() if keys != {current}} == {}
        assert (done.altered, done.lost, done.older) == (0, 0, Counter())
        assert done.bodies >= 30
        keys = vaults.Way(path=tmp_path / "keys.json")
        for old in ("k1", "k2", "k3"):
            vaults.retire(keys, old)
        alone = vaults.open_vault(keys)
        vaults.rotate(keys)
        alone.refresh()
        counted = await Resealer(log=desk.ground.log, records=desk.ground.records, vault=alone).count()
        assert (counted.lost, counted.altered) == (0, 0)
        assert set(counted.older) == {current}
        asked = (await desk.ground.records.known_actions(["act_1", "act_3"])).values()
        assert [act_body.parameters(one, alone) for one in asked] == [{"remark": "张三1"}, {"remark": "张三3"}]
        payloads = [alone.open(entry.payload, entry.id.encode()) for entry in await entries(desk)]
        assert any("张三".encode() in payload or "会员C1".encode() in payload for payload in payloads)

    told(tmp_path, story)


def test_counting_changes_nothing_and_tells_what_needs_which_key(tmp_path: Path) -> None:
    """What is asked before a key is retired."""

    async def story(desk: Desk) -> None:
        await busy_day(desk, tmp_path)
        before = await bodies(desk)
        counted = await Resealer(log=desk.ground.log, records=desk.ground.records, vault=desk.ground.vault).count()
        assert set(counted.older) == {"k1", "k2", "k3"}
        assert await bodies(desk) == before

    told(tmp_path, story)


def test_sealing_anew_beside_a_projector_loses_nothing(tmp_path: Path) -> None:
    """Records are rewritten under its hands, and by its hands under the projector's: all are current in the end, and say the last word."""

    async def story(desk: Desk) -> None:
        for number in range(20):
            await desk.say("members", {**member(f"C{number}", 1), "phone": f"138001380{number:02}"})
        current = rotate(desk, tmp_path)

        async def talk() -> None:
            for number in range(20):
                name = f"新名{number}"
                await desk.say("members", {**member(f"C{number}", 5), "phone": f"138001380{number:02}", "name": name})

        done, _ = await asyncio.gather(reseal(desk), talk())
        await reseal(desk)
        assert done.lost == 0
        assert {keys for keys in map(frozenset, (await sealed_by(desk)).values()) if keys} == {frozenset({current})}
        rows = await desk.ground.records.rows("customer", limit=99)
        tokens = {row.id: msgspec.json.decode(row.body)["name"]["$sealed"] for row in rows}
        names = {desk.ground.vault.open_text(token, f"{name}/name") for name, token in tokens.items()}
        assert names == {f"新名{number}" for number in range(20)}

    told(tmp_path, story)


def test_a_run_that_was_cut_off_is_done_again(tmp_path: Path) -> None:
    """Nothing is remembered but what was put."""

    class Cut(BaseException):
        pass

    class Dying:
        def __init__(self, part: store.Store) -> None:
            self._part = part
            self._left = 2

        def __getattr__(self, name: str) -> Any:
            return getattr(self._part, name)

        async def rebody(self, table: str, swaps: Any) -> int:
            self._left -= 1
            if not self._left:
                raise Cut
            return await self._part.rebody(table, swaps)

    async def story(desk: Desk) -> None:
        current = await busy_day(desk, tmp_path)
        with pytest.raises(Cut):
            await reseal(desk, records=Dying(desk.ground.records))
        await reseal(desk)
        assert set().union(*(await sealed_by(desk)).values()) == {current}

    told(tmp_path, story)


def test_what_was_erased_stays_erased(tmp_path: Path) -> None:
    """An entry that was erased is sealed anew as erased, and a token that nobody can open is left where it is."""

    async def story(desk: Desk) -> None:
        await desk.say("members", member("C1", 1))
        await desk.say("members", {**member("C2", 2), "phone": "13900139000"})
        first, second = await desk.ground.records.rows("customer", limit=9)
        await forget(desk, first.id)
        # As an older copy of the store would have it: the secret is gone, the tokens are there.
        desk.ground.vault.forget([second.id])
        current = rotate(desk, tmp_path)
        done = await reseal(desk)
        assert done.erased >= 2
        assert done.older == Counter()
        assert (await sealed_by(desk))["journal"] == {current}
        vaults.retire(vaults.Way(path=tmp_path / "keys.json"), "k1")
        alone = vaults.open_vault(vaults.Way(path=tmp_path / "keys.json"))
        counted = await Resealer(log=desk.ground.log, records=desk.ground.records, vault=alone).count()
        assert (counted.lost, counted.erased) == (0, done.erased)

    told(tmp_path, story)


def test_an_altered_value_is_told_with_its_place_and_left_alone(tmp_path: Path) -> None:
    """The record and the path of the field, never the value; the rest is sealed anew."""

    async def story(desk: Desk) -> None:
        await desk.say("members", {**member("C1", 1), "phone": "13800138000"})
        await desk.say("members", {**member("C2", 2), "phone": "13900139000"})
        (row, _) = await desk.ground.records.rows("customer", limit=9)
        token = msgspec.json.decode(row.body)["name"]["$sealed"]
        forged = token[:-1] + ("A" if token[-1] != "A" else "Q")
        with closing(sqlite3.connect(tmp_path / "store.db")) as db:
            body = row.body.replace(token.encode(), forged.encode())
            db.execute("UPDATE records SET body = ? WHERE id = ?", (body, row.id))
            db.commit()
        rotate(desk, tmp_path)
        ground = desk.ground
        router = Router([*book.configured(ground.tree, ground.vault)])
        alarm = Alarm(Operators(records=ground.records, router=router, clock=ground.clock), ground.meters)
        done = await reseal(desk, alarm=alarm)
        assert done.altered == 1
        (event,) = [one for one in await ground.records.events(limit=99) if one.type == "operator.value_tampered"]
        said = msgspec.json.decode(event.body)["data"]
        assert said == {"stage": "reseal", "where": row.id, "record": row.id, "field": "name"}
        assert ground.meters.registry.get_sample_value("gateway_tampered_values_total", {"stage": "reseal"})
        assert (await reseal(desk, alarm=alarm)).altered == 1
        assert len([one for one in await ground.records.events(limit=99) if one.type == event.type]) == 1

    told(tmp_path, story)


def test_an_altered_entry_is_a_dead_letter_and_an_alarm(tmp_path: Path) -> None:
    """A payload that somebody changed before it was projected."""

    async def story(desk: Desk) -> None:
        ground = desk.ground
        operators = Operators(records=ground.records, router=Router([]), clock=ground.clock)
        desk._projector._alarm = Alarm(operators, ground.meters)
        append = ground.log.append

        async def altered(drafts: Any) -> Any:
            return await append([msgspec.structs.replace(one, payload=one.payload[:-1] + b"x") for one in drafts])

        ground.log.append = altered  # type: ignore[method-assign]
        await desk.say("members", member("C1", 1))
        (letter,) = await ground.records.dead_letters()
        assert letter.cause == "vault.tampered"
        (event,) = await ground.records.events(limit=9)
        said = msgspec.json.decode(event.body)["data"]
        assert said["stage"] == "project"
        assert said["where"] == letter.entry

    told(tmp_path, story)


# ---------------------------------------------------------------------- the commands
@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A gateway whose first key sealed a secret of the config."""
    file = tmp_path / "config.toml"
    file.write_text(f'[gateway]\ndata_dir = "{tmp_path / "data"}"\n', encoding="utf-8")
    assert run(file, "keys", "init") == 0
    return file


def _resealed(config: Path, capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    capsys.readouterr()
    assert run(config, "keys", "reseal", "--json") == 0
    (row,) = json.loads(capsys.readouterr().out)
    return dict(row)


def test_resealing_tells_which_keys_can_go_and_retiring_takes_them(
    config: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The older of two; the current one never, and none before running processes had time to follow."""
    run(config, "keys", "rotate")
    assert _resealed(config, capsys)["no longer needed"] == ["k1"]
    with pytest.raises(ConfigError, match="younger than a minute"):
        run(config, "keys", "retire", "k1")
    monkeypatch.setattr(upkeep, "_SETTLED", 0)
    with pytest.raises(ConfigError, match="sealed with now"):
        run(config, "keys", "retire", "k2")
    assert run(config, "keys", "retire", "k1") == 0
    assert run(config, "audit", "verify") == 0
    capsys.readouterr()
    run(config, "keys", "list", "--json")
    assert [one["id"] for one in json.loads(capsys.readouterr().out)] == ["k2"]


def test_a_key_that_the_config_needs_is_not_retired(
    config: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What stands as sealed:… there nobody else can seal anew."""
    vault = vaults.open_vault(vaults.Way(path=config.parent / "data" / "keys.json"))
    token = vault.seal_text("s3cret", "config/secret", Sensitivity.FINANCE)
    with config.open("a", encoding="utf-8") as file:
        file.write(
            f'[accounts.erp]\nconnector = "feed"\nmapping = "feed/order"\nauth = "bearer"\nsecret = "sealed:{token}"\n'
        )
    run(config, "keys", "rotate")
    monkeypatch.setattr(upkeep, "_SETTLED", 0)
    assert _resealed(config, capsys)["no longer needed"] == []
    with pytest.raises(ConfigError, match="needed by a sealed"):
        run(config, "keys", "retire", "k1")


def test_a_key_that_something_needs_is_not_retired(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One refused request is enough."""
    monkeypatch.setattr(upkeep, "_SETTLED", 0)
    vault = vaults.open_vault(vaults.Way(path=config.parent / "data" / "keys.json"))
    run(config, "db", "migrate")
    with closing(sqlite3.connect(config.parent / "data" / "store.db")) as db:
        db.execute(
            "INSERT INTO rejects VALUES ('rej_1', 'a', 'signature', '', '', 1, 1, ?)", (vault.seal(b"x", b"rej_1"),)
        )
        db.commit()
    run(config, "keys", "rotate")
    with pytest.raises(ConfigError, match="1 values need k1"):
        run(config, "keys", "retire", "k1")
    assert run(config, "keys", "reseal") == 0
    assert run(config, "keys", "retire", "k1") == 0
