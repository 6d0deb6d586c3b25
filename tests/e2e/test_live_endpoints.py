"""Endpoints added, paused, rotated, resumed and removed under load, without a restart and without losing or doubling anything."""

import asyncio
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

import httpx
import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from gateway import app, settings
from gateway.book import Book
from tests.e2e import house as houses
from tests.e2e.house import Gateway, House, Receiver, eventually, order, orders

T = TypeVar("T")


class AnyOf:
    """Verifies by any of several secrets. ``used`` are those that fitted, by event."""

    def __init__(self) -> None:
        self.hooks: dict[str, Webhook] = {}
        self.used: dict[str, str] = {}

    def learn(self, secret: str) -> None:
        """One more."""
        self.hooks[secret] = Webhook(secret)

    def verify(self, body: bytes, headers: Mapping[str, str]) -> Any:
        """By the newest first."""
        for secret, hook in reversed(self.hooks.items()):
            try:
                event = hook.verify(body, dict(headers))
            except WebhookVerificationError:
                continue
            self.used[headers["webhook-id"]] = secret
            return event
        raise WebhookVerificationError("none of them")


def feeding(client: httpx.Client, stop: threading.Event, acked: list[str]) -> None:
    """Post orders one after the other."""
    number = 0
    while not stop.is_set():
        number += 1
        body = houses.json.dumps([order(f"L{number}")]).encode()
        if client.post("/in/erp", content=body, headers=houses.signed(body)).status_code == 202:
            acked.append(f"L{number}")


def decided(gateway: Gateway, what: Callable[[Book], Any]) -> Any:
    """What a partner would decide through the API, in a process of its own."""

    async def run() -> Any:
        ground = app.open_ground(settings.load(gateway.file, environ={}))
        try:
            return await what(ground.book)
        finally:
            await ground.close()

    return asyncio.run(run())


def numbers(receiver: Receiver) -> list[str]:
    """Orders that were accepted, in order of arrival; retries of one event count once."""
    return [str(got.data["order"]["external_id"]) for got in receiver.of("order.paid")]


def rotated(gateway: Gateway, name: str) -> str:
    """A new secret, as the command shows it."""
    code, said = gateway.command("endpoints", "rotate", name, "--overlap", "0s")
    found = re.search(r"whsec_\S+", said)
    assert code == 0 and found, said
    return found[0]


@contextmanager
def taken_up(gateway: Gateway) -> Iterator[None]:
    """Until the worker goes by what is decided in the block."""
    known = len(gateway.facts("worker.endpoints_changed"))
    yield
    eventually(lambda: len(gateway.facts("worker.endpoints_changed")) > known, what="the worker takes it up")


def at_rest(gateway: Gateway, name: str) -> bool:
    """Whether nothing is under way to an endpoint that is paused."""
    one = gateway.health()["parts"]["worker"]["endpoints"][name]
    return bool(one["state"] == "paused" and one["under_way"] == 0)


@pytest.mark.slow
def test_endpoints_change_under_load_and_nothing_is_lost_or_doubled(house: House) -> None:
    """Each decision takes effect within seconds; every acknowledged order arrives once wherever it should."""
    crm, late = house.receiver(), house.receiver()
    ours = AnyOf()
    crm._hook = ours  # type: ignore[assignment]
    gateway = house.gateway(
        {
            "accounts": {"erp": orders()},
            "endpoints": {"crm": {"url": crm.url, "allow_private": True, "events": ["order.*"]}},
        },
    )
    with taken_up(gateway):
        ours.learn(rotated(gateway, "crm"))
    stop, acked = threading.Event(), list[str]()
    thread = threading.Thread(target=feeding, args=(house.client(gateway), stop, acked))
    thread.start()
    crm.wait(20)

    # Paused: what comes waits.
    assert gateway.command("endpoints", "pause", "crm")[0] == 0
    eventually(lambda: at_rest(gateway, "crm"), what="nothing more is on its way")
    heard, fed = len(crm.got), len(acked)
    # Added, meanwhile.
    late_settings = settings.convert(
        {"url": late.url, "allow_private": True, "events": ["order.*"], "secret": houses.SECRET}, settings.Endpoint, ""
    )
    made = decided(gateway, lambda book: book.make("late", late_settings))
    late.wait(10)
    eventually(lambda: len(acked) > fed, what="the door goes on")
    assert len(crm.got) == heard

    # Rotated while it is paused, then resumed: only the new secret signs.
    second = rotated(gateway, "crm")
    ours.learn(second)
    assert gateway.command("endpoints", "resume", "crm")[0] == 0
    eventually(lambda: second in ours.used.values(), what="the new secret signs")
    crm.wait(len(crm.accepted()) + 20)
    stop.set()
    thread.join()
    eventually(lambda: len(numbers(crm)) >= len(acked), within=60.0, what="all arrive")
    assert sorted(numbers(crm)) == sorted(acked)
    assert len({got.id for got in crm.got}) == len(crm.got), "none was sent twice"
    assert crm.forged == []
    # Everything from some order on; which of those that left together came first is anybody's guess.
    gateway.report()
    eventually(lambda: gateway.metric("gateway_deliveries") == 0, what="nothing is left to deliver")
    assert sorted(numbers(late)) == sorted(acked[-len(numbers(late)) :])

    # Removed: it hears no more, the other goes on.
    with taken_up(gateway):
        decided(gateway, lambda book: book.remove("late", before=made.version))
    before = len(late.got)
    gateway.feed("erp", [order("AFTER")])
    eventually(lambda: "AFTER" in numbers(crm))
    assert len(late.got) == before
    assert gateway.stop()[0] == 0
