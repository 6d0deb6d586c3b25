"""Commands that show what is dead, refused and on its way, and that send it again."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from gateway import app, settings
from gateway.cli import main_app
from gateway.clock import SECOND, new_id
from gateway.errors import ConfigError
from gateway.pipeline.route import Router
from gateway.processes import Ground
from gateway.store import Attempt, Batch, DeadLetter, DeliveryState, EventRow, Reject, Result

Capture = pytest.CaptureFixture[str]
PHONE = "13800138000"


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A gateway with two subscribers."""
    file = tmp_path / "config.toml"
    text = f'[gateway]\ndata_dir = "{tmp_path / "data"}"\n'
    for name in ("crm", "bi"):
        text += f'[endpoints.{name}]\nurl = "https://{name}.example/hooks"\nsecret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"\n'
    file.write_text(text, encoding="utf-8")
    return file


def run(config: Path, *words: str) -> Any:
    """The exit code of one command."""
    return main_app([*words, "--config", str(config)], exit_on_error=False, result_action="return_value")


def listed(config: Path, capsys: Capture, *words: str) -> list[dict[str, Any]]:
    """What a command lists."""
    capsys.readouterr()
    assert run(config, *words, "--json") == 0
    found: list[dict[str, Any]] = json.loads(capsys.readouterr().out)
    return found


def on_ground(config: Path, work: Callable[[Ground], Awaitable[None]]) -> None:
    """Do something inside, as the running gateway would."""

    async def within() -> None:
        ground = app.open_ground(settings.load(config, environ={}))
        try:
            await work(ground)
        finally:
            await ground.close()

    asyncio.run(within())


async def two_events(ground: Ground) -> None:
    """Of one order, at noon and a second later; ``crm`` has both, at ``bi`` both died of 500 with an answer."""
    at = ground.clock.now() - 10 * SECOND
    events = [
        EventRow(
            id=f"evt_{number}", type="order.paid", subject="ord_1", sequence=number, at=at + number * SECOND, account="shop",
            entry="ent_1", unit=None, body=b"{}",
        )
        for number in (1, 2)
    ]  # fmt: skip
    router = Router(await ground.book.endpoints())
    made = [one for event in events for one in router.deliveries(event, now=at)]
    await ground.records.apply(Batch(events=events, deliveries=made))
    while held := await ground.records.claim(now=at + SECOND, lease=at + SECOND, claim="me", limit=9, retries=False):
        await ground.records.finish([_ended(ground, one.delivery.id, one.delivery.endpoint, at) for one in held])


def _ended(ground: Ground, delivery: str, endpoint: str, at: int) -> Result:
    ok = endpoint == "crm"
    name = new_id("att", at)
    said = ground.vault.seal(f'{{"error": "{PHONE}"}}'.encode(), name.encode())
    tried = Attempt(
        id=name, delivery=delivery, endpoint=endpoint, event="evt_1", at=at, took=2500, status=204 if ok else 500, error=None,
        response=None if ok else said,
    )  # fmt: skip
    state = DeliveryState.DONE if ok else DeliveryState.DEAD
    cause = None if ok else "http 500"
    return Result(delivery=delivery, claim="me", state=state, due=at, tries=1, attempt=tried, cause=cause)


def test_dry_run_shows_counts_and_sends_nothing(config: Path, capsys: Capture) -> None:
    """As a table of endpoints; nothing is on record either, for nothing was done."""
    on_ground(config, two_events)
    (bi, crm) = listed(config, capsys, "replay", "--since", "1h", "--dry-run")
    assert bi == {"endpoint": "bi", "send": 2, "missing": 0, "failed": 2, "done": 0, "open": 0, "state": "active"}
    assert (crm["send"], crm["done"]) == (0, 2)
    assert len(listed(config, capsys, "deliveries", "list", "--state", "dead")) == 2
    assert listed(config, capsys, "audit", "list", "--verb", "replay") == []


def test_replay_sends_what_was_counted_and_is_on_record(config: Path, capsys: Capture) -> None:
    """To one endpoint, by id, and once: the second time there is nothing to do."""
    on_ground(config, two_events)
    words = ("replay", "--event", "evt_1", "--endpoint", "bi", "--yes")
    (count,) = listed(config, capsys, *words)
    assert (count["endpoint"], count["send"]) == ("bi", 1)
    assert [one["event"] for one in listed(config, capsys, "deliveries", "list", "--state", "due")] == ["evt_1"]
    (again,) = listed(config, capsys, *words)
    assert (again["send"], again["open"]) == (0, 1)
    (act,) = listed(config, capsys, "audit", "list", "--verb", "replay")
    assert (act["object"], act["detail"]) == ("bi", {"events": 1, "deliveries": 1, "again": 0})


@pytest.mark.parametrize(
    "words",
    [
        ("replay",),
        ("replay", "--since", "yesterday"),
        ("replay", "--since", "2026-11-11T00:00:00"),
        ("replay", "--since", "1h", "--endpoint", "nobody"),
        ("replay", "--since", "1h"),
        ("replay", "entries"),
        ("dead", "retry"),
        ("dead", "retry", "ded_9"),
        ("rejects", "show", "rej_9"),
        ("rejects", "show", ""),
        ("deliveries", "show", "dlv_9"),
    ],
)  # fmt: skip
def test_what_cannot_be_meant_is_refused_and_nothing_is_done(
    config: Path, capsys: Capture, words: tuple[str, ...]
) -> None:
    """Nothing named, no instant, no such thing, or nobody there to ask."""
    on_ground(config, two_events)
    with pytest.raises(ConfigError) as caught:
        run(config, *words)
    assert caught.value.remedy
    assert len(listed(config, capsys, "deliveries", "list", "--state", "dead")) == 2
    assert listed(config, capsys, "audit", "list") == []


async def a_letter(ground: Ground) -> None:
    """An entry that could not be mapped."""
    letter = DeadLetter(
        id="ded_1", entry="ent_9", account="shop", topic="trade", stage="map", cause="payload.value", detail="no zone", at=ground.clock.now()
    )  # fmt: skip
    await ground.records.bury([letter])


def test_dead_letters_are_entries_and_deliveries(config: Path, capsys: Capture) -> None:
    """Each with what it is about, why, and what came back last; grouped by cause on request."""
    on_ground(config, two_events)
    on_ground(config, a_letter)
    rows = listed(config, capsys, "dead", "list")
    assert [(one["stage"], one["of"], one["what"], one["cause"], one["status"]) for one in rows] == [
        ("map", "shop/trade", "ent_9", "payload.value", ""),
        ("delivery", "bi", "evt_1", "http 500", "500"),
        ("delivery", "bi", "evt_2", "http 500", "500"),
    ]
    groups = listed(config, capsys, "dead", "list", "--group")
    assert [(one["stage"], one["of"], one["cause"], one["count"]) for one in groups] == [
        ("delivery", "bi", "http 500", 2), ("map", "shop/trade", "payload.value", 1),
    ]  # fmt: skip
    assert all(one["first"] <= one["last"] for one in groups)
    assert len(listed(config, capsys, "dead", "list", "--endpoint", "crm")) == 0


def test_dead_deliveries_are_retried_and_dropped(config: Path, capsys: Capture) -> None:
    """One by id with a reason, the rest by endpoint; both are on record."""
    on_ground(config, two_events)
    on_ground(config, a_letter)
    first, second = (one["id"] for one in listed(config, capsys, "dead", "list", "--endpoint", "bi"))
    assert run(config, "dead", "drop", first, "--reason", "sold") == 0
    assert run(config, "dead", "retry", "--all", "--endpoint", "bi") == 0
    rows = {one["id"]: one for one in listed(config, capsys, "deliveries", "list", "--endpoint", "bi")}
    assert (rows[first]["state"], rows[first]["cause"]) == ("cancelled", "dropped: sold")
    assert (rows[second]["state"], rows[second]["tries"]) == ("due", 0)
    assert [one["id"] for one in listed(config, capsys, "dead", "list")] == ["ded_1"]
    assert run(config, "dead", "drop", "ded_1", "--reason", "test data") == 0
    assert listed(config, capsys, "dead", "list") == []
    acts = listed(config, capsys, "audit", "list")
    assert [(one["verb"], one["object"]) for one in acts] == [("drop", first), ("retry", "bi"), ("drop", "ded_1")]


def test_attempts_show_no_answer_unless_it_is_opened_on_record(config: Path, capsys: Capture) -> None:
    """What an endpoint answered may hold what it was told."""
    on_ground(config, two_events)
    (dead, _) = listed(config, capsys, "dead", "list")
    (tried,) = listed(config, capsys, "deliveries", "show", dead["id"])
    assert (tried["status"], tried["took_ms"], PHONE in json.dumps(tried)) == (500, 2, False)
    assert listed(config, capsys, "audit", "list") == []
    (tried,) = listed(config, capsys, "deliveries", "show", dead["id"], "--open")
    assert PHONE in tried["answer"]
    (act,) = listed(config, capsys, "audit", "list")
    assert (act["verb"], act["object"]) == ("read", dead["id"])


def test_rejects_show_why_and_not_what_unless_it_is_opened_on_record(config: Path, capsys: Capture) -> None:
    """The newest, newest last."""
    names: list[str] = []

    async def refuse(ground: Ground) -> None:
        now = ground.clock.now()
        for number in range(3):
            name = new_id("rej", now + number * SECOND)
            names.append(name)
            body = ground.vault.seal(f"phone={PHONE}".encode(), name.encode()) if number else None
            refused = Reject(
                id=name, account="shop", reason="signature", detail="the signature is another", peer="192.0.2.1", size=17, at=now, body=body
            )  # fmt: skip
            await ground.records.reject([refused], keep=9)

    on_ground(config, refuse)
    rows = listed(config, capsys, "rejects", "list", "--limit", "2")
    assert [one["id"] for one in rows] == names[1:]
    assert (rows[0]["reason"], rows[0]["size"], rows[0]["peer"]) == ("signature", 17, "192.0.2.1")
    (shown,) = listed(config, capsys, "rejects", "show", names[1])
    assert shown["body"] and PHONE not in json.dumps(shown)
    (opened,) = listed(config, capsys, "rejects", "show", names[1], "--open")
    assert opened["body"] == f"phone={PHONE}"
    assert listed(config, capsys, "rejects", "show", names[0])[0]["body"] == ""
    assert [(one["verb"], one["object"]) for one in listed(config, capsys, "audit", "list")] == [("read", names[1])]
