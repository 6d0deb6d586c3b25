"""Operator events: published like all others, dense per subject, told once."""

import asyncio
from pathlib import Path
from typing import Any

import msgspec

from gateway.clock import TurnedClock
from gateway.pipeline.operators import VALUE_TAMPERED, Operators
from gateway.pipeline.route import Router
from gateway.store import DeliveryState
from gateway.stores.sqlite import SqliteStore, open_store
from tests.unit.deliver_kit import endpoint


def with_store(folder: Path, body: Any) -> None:
    """Run ``body(records, clock)``."""

    async def run() -> None:
        clock = TurnedClock()
        records = open_store(folder / "store.db", clock=clock)
        await body(records, clock)
        await records.close()

    asyncio.run(run())


def test_an_operator_event_goes_to_whom_asked_for_operators_and_to_nobody_else(tmp_path: Path) -> None:
    """``*`` means what happened to customers and orders."""

    async def body(records: SqliteStore, clock: TurnedClock) -> None:
        router = Router([endpoint("crm"), endpoint("ops", events=("operator.*",))])
        operators = Operators(records=records, router=router, clock=clock)
        assert await operators.tell(VALUE_TAMPERED, "vault", {"record": "cus_1", "percent": 50, "cause": None}) == 1
        (event,) = await records.events()
        document = msgspec.json.decode(event.body)
        assert document["id"] == event.id
        assert document["type"] == event.type == "operator.value_tampered"
        assert (document["subject"], document["sequence"]) == (event.subject, event.sequence) == ("vault", 1)
        assert document["data"] == {"record": "cus_1", "percent": 50, "cause": None}
        assert [one.endpoint for one in await records.deliveries(state=DeliveryState.DUE)] == ["ops"]

    with_store(tmp_path, body)


def test_sequences_are_dense_for_each_subject_also_after_a_restart(tmp_path: Path) -> None:
    """A subscriber can tell a gap from none."""

    async def body(records: SqliteStore, clock: TurnedClock) -> None:
        for _ in range(2):
            operators = Operators(records=records, router=Router([]), clock=clock)
            for about in ("endpoint/crm", "endpoint/erp", "endpoint/crm"):
                clock.turn(1)
                _ = await operators.tell("endpoint_failing", about, {})
        told = [(one.subject, one.sequence) for one in await records.events()]
        assert [number for about, number in told if about == "endpoint/crm"] == [1, 2, 3, 4]
        assert [number for about, number in told if about == "endpoint/erp"] == [1, 2]

    with_store(tmp_path, body)


def test_what_was_told_once_is_not_told_again_by_anybody(tmp_path: Path) -> None:
    """Two processes, or one before and after a crash; the next event has the next number."""

    async def body(records: SqliteStore, clock: TurnedClock) -> None:
        for _ in range(2):
            operators = Operators(records=records, router=Router([]), clock=clock)
            assert await operators.tell("endpoint_failing", "endpoint/crm", {}, once="1/50") == 1
            assert await operators.tell("endpoint_failing", "endpoint/crm", {}, once="1/50") == 1
        assert await operators.tell("endpoint_failing", "endpoint/crm", {}, once="1/70") == 2
        assert [one.sequence for one in await records.events()] == [1, 2]

    with_store(tmp_path, body)


def test_a_sequence_goes_on_from_what_is_remembered_when_events_were_purged(tmp_path: Path) -> None:
    """``above`` is what somebody kept beside the events."""

    async def body(records: SqliteStore, clock: TurnedClock) -> None:
        operators = Operators(records=records, router=Router([]), clock=clock)
        assert await operators.tell("endpoint_failing", "endpoint/crm", {}, above=7) == 8
        assert await operators.tell("endpoint_failing", "endpoint/crm", {}, above=7) == 9

    with_store(tmp_path, body)
