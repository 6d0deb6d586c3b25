"""Nothing acknowledged is lost and nothing is applied twice, whatever is killed, whenever."""

import os
import random
import signal
import time
from collections import defaultdict
from contextlib import suppress
from typing import Any

import pytest

from tests.e2e import house as houses
from tests.e2e.house import Answer, Gateway, Got, House, Receiver, endpoint
from tests.faults import rounds, traffic
from tests.faults.traffic import Partner

QUICK = ["0s", *["200ms"] * 12]


def moody(event: dict[str, Any], before: int) -> Answer:
    """Fails one event in eight, once: retries belong to the traffic."""
    return (500, {}) if not before and int(event["id"][-1], 16) in (3, 11) else (204, {})


@pytest.mark.slow
@pytest.mark.timeout(rounds.DEADLINE)
def test_whatever_is_killed_what_was_acknowledged_is_delivered_once_and_in_order(house: House) -> None:
    """Doors, worker and supervisor are killed -9 at random moments under mixed traffic; everything acknowledged arrives."""
    dice = random.Random(rounds.SEED)
    receiver = house.receiver(moody)
    (mllp,) = houses.free_ports(1)
    gateway = house.gateway(
        {
            "accounts": {
                "erp": houses.orders(),
                "corp": {
                    "connector": "wecom",
                    "corp_id": traffic.CORP,
                    "token": traffic.TOKEN,
                    "encoding_aes_key": traffic.KEY,
                },
                "his": {"connector": "hl7", "listen": f"127.0.0.1:{mllp}"},
            },
            "endpoints": {"main": endpoint(receiver, retries=QUICK, timeout="5s", grants={"identity": "clear"})},
            "http": {"workers": 2},
        }
    )
    hospital = traffic.Hospital(mllp)
    shops = [Partner(traffic.erp(house.client(gateway), "erp", name)).start() for name in ("A", "B")]
    corp = Partner(traffic.corp(house.client(gateway), "corp")).start()
    his = Partner(hospital.things()).start()
    for _ in range(rounds.ROUNDS):
        time.sleep(dice.uniform(0.2, 1.2))
        _kill(gateway, dice.choice(("door-0", "door-1", "worker", "worker", "supervisor")))
    partners = (*shops, corp, his)
    before = [len(partner.acked) for partner in partners]
    houses.eventually(
        lambda: all(len(partner.acked) > max(count, 5) for partner, count in zip(partners, before, strict=True)),
        within=45.0,
        what="the traffic goes on after the last kill",
    )
    for partner in partners:
        partner.finish()
    hospital.close()

    acked = [name for shop in shops for name in shop.acked]
    houses.eventually(
        lambda: not any(_missing(receiver, acked, corp.acked, his.acked)),
        within=60.0,
        what=lambda: f"{_missing(receiver, acked, corp.acked, his.acked)}; log: {gateway.tail()}",
    )
    _until_quiet(gateway)
    assert receiver.forged == []
    assert gateway.health()["parts"]["worker"]["counts"].get("dead_letters", 0) == 0
    _no_event_has_two_bodies(receiver)
    _sequences_are_dense_and_in_order(receiver)
    _nothing_was_applied_twice(receiver)
    code, took = gateway.stop()
    assert (code, took < 20.0) == (0, True)


def _kill(gateway: Gateway, role: str) -> None:
    if role == "supervisor":
        assert gateway.process is not None
        gateway.process.kill()
        gateway.process.wait()
        _begin_again(gateway)
        return
    child = gateway.children().get(role)
    if child is not None and houses.running(child):
        # One whose supervisor was killed may leave by itself at this moment.
        with suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)


def _begin_again(gateway: Gateway) -> None:
    """Start it as a service manager does: once more when it ends, as it does while the door of before still listens for the hospital."""

    def begun() -> bool:
        if gateway.process is None or gateway.process.poll() is not None:
            gateway.start(ready=False)
        return len(gateway.facts("supervisor.started")) > known

    known = len(gateway.facts("supervisor.started"))
    houses.eventually(begun, within=45.0, what="a new supervisor")


def _until_quiet(gateway: Gateway) -> None:
    """Everything is projected and no delivery is open, by two reports of every process in a row."""

    def quiet() -> bool:
        if not gateway.ready():
            return False
        counts = gateway.health()["parts"]["worker"]["counts"]
        open_ones = sum(int(counts.get(f"deliveries.{state}", 0)) for state in ("due", "leased", "waiting"))
        return open_ones == 0 and gateway.metric("gateway_backlog") == 0

    for _ in range(2):
        gateway.report()
        houses.eventually(quiet, within=60.0, what=lambda: f"quiet; log: {gateway.tail()}")


def _missing(receiver: Receiver, orders: list[str], corp: list[str], his: list[str]) -> tuple[set[str], ...]:
    """What was acknowledged and did not arrive, by kind."""
    accepted = receiver.accepted()
    told = {f"{_order(got)['external_id']}:{_order(got)['raw_status']}" for got in accepted if _order(got)}
    began = {got.data["relationship"].get("channel_state") for got in accepted if got.type == "relationship.started"}
    named = {got.data["customer"].get("name") for got in accepted if got.type.startswith("customer.")}
    return set(orders) - told, set(corp) - began, set(his) - named


def _no_event_has_two_bodies(receiver: Receiver) -> None:
    bodies: dict[str, set[bytes]] = defaultdict(set)
    for got in receiver.got:
        bodies[got.id].add(got.body)
    assert [name for name, those in bodies.items() if len(those) > 1] == []


def _sequences_are_dense_and_in_order(receiver: Receiver) -> None:
    subjects: dict[str, list[int]] = defaultdict(list)
    for got in receiver.accepted():
        subjects[got.subject].append(got.sequence)
    wrong = {name: those for name, those in subjects.items() if those != list(range(1, len(those) + 1))}
    assert wrong == {}


def _nothing_was_applied_twice(receiver: Receiver) -> None:
    said: dict[str, list[str]] = defaultdict(list)
    for got in receiver.accepted():
        if _order(got):
            said[_order(got)["external_id"]].append(_order(got)["raw_status"])
    wrong = {name: those for name, those in said.items() if those != list(traffic.STATUSES[: len(those)])}
    assert wrong == {}
    started = [got.data["relationship"]["channel_state"] for got in receiver.of("relationship.started")]
    assert len(started) == len(set(started))


def _order(got: Got) -> dict[str, Any]:
    order: dict[str, Any] = got.data.get("order", {})
    return order
