"""What subscribers can do to us, and what it does to the others."""

import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest

from tests.e2e import house
from tests.e2e.house import Answer, Gateway, House, Receiver, endpoint

QUICK = ["0s", "300ms", "300ms", "300ms", "300ms", "300ms"]


@dataclass
class Street:
    """One gateway and subscribers of every temper."""

    gateway: Gateway
    live: Receiver
    moody: Receiver
    silent: Receiver
    gone: Receiver
    moved: Receiver
    later: Receiver
    dated: Receiver


def moody(event: dict[str, Any], before: int) -> Answer:
    """500 to the first attempts of every other event."""
    return (500, {}) if before < 2 and int(event["sequence"]) % 2 else (204, {})


def silent(_event: dict[str, Any], _before: int) -> Answer:
    """Answers after any deadline."""
    time.sleep(2.0)
    return 204, {}


def later(_event: dict[str, Any], before: int) -> Answer:
    """Wants two seconds of peace, once."""
    return (503, {"retry-after": "2"}) if not before else (204, {})


PEACE: dict[str, float] = {}
"""Until when ``dated`` wants it, by event, as ``time.monotonic`` tells it."""


def dated(event: dict[str, Any], before: int) -> Answer:
    """Wants peace until a date, once."""
    if before:
        return 204, {}
    now = datetime.now(UTC)
    until = (now + timedelta(seconds=3)).replace(microsecond=0)
    PEACE[event["id"]] = time.monotonic() + (until - now).total_seconds()
    return 503, {"retry-after": format_datetime(until, usegmt=True)}


@pytest.fixture(scope="module")
def street(shared: House) -> Iterator[Street]:
    live, gone = shared.receiver(), shared.receiver(lambda _event, _before: (410, {}))
    moved = shared.receiver(lambda _event, _before: (302, {"location": live.url}))
    one = {"moody": shared.receiver(moody), "silent": shared.receiver(silent)}
    two = {"later": shared.receiver(later), "dated": shared.receiver(dated)}
    paid = ["order.paid"]
    gateway = shared.gateway(
        {
            "accounts": {"erp": house.orders()},
            "endpoints": {
                "live": endpoint(live),
                "moody": endpoint(one["moody"], retries=QUICK, events=["order.*"]),
                "silent": endpoint(one["silent"], retries=QUICK, timeout="500ms", concurrency=4),
                "gone": endpoint(gone, retries=QUICK, events=paid),
                "moved": endpoint(moved, retries=["0s", "200ms"], events=paid),
                "later": endpoint(two["later"], retries=QUICK, events=paid),
                "dated": endpoint(two["dated"], retries=QUICK, events=paid),
                "private": {"url": live.url, "secret": house.SECRET, "events": paid, "retries": ["0s"]},
                "nobody": {
                    "url": "http://127.0.0.1:9/hooks",
                    "secret": house.SECRET,
                    "allow_private": True,
                    "retries": ["0s", "1h"],
                },
            },
        }
    )
    yield Street(gateway, live, gone=gone, moved=moved, **one, **two)
    receivers = (live, gone, moved, *one.values(), *two.values())
    assert [one.forged for one in receivers if one.forged] == []


def test_events_of_one_subject_arrive_in_order_though_first_attempts_fail(street: Street) -> None:
    """A failed one holds back its own subject until it is through, and no other."""
    numbers = [f"OR-{number}" for number in range(8)]
    for minute, status in enumerate(("created", "paid", "shipped", "completed")):
        street.gateway.feed("erp", [house.order(number, status, minute) for number in numbers])

    def through() -> bool:
        return len([got for got in street.moody.accepted() if got.data["order"]["external_id"] in numbers]) == 32

    # So many first attempts fail together that the circuit may open on the way, and its rests add up; this is about order.
    house.eventually(through, within=45.0, what="every event reaches the moody one")
    for number in numbers:
        mine = [got for got in street.moody.got if got.data["order"]["external_id"] == number]
        assert [got.sequence for got in mine] == [1, 1, 1, 2, 3, 3, 3, 4]
        assert len({got.body for got in mine}) == 4, "a retry carries the same bytes under the same id"


def test_a_silent_and_a_dead_endpoint_do_not_delay_a_live_one(street: Street) -> None:
    """The live one hears within moments while the others use up their deadlines."""
    waits = []
    for number in range(20):
        began = time.monotonic()
        street.gateway.feed("erp", house.order(f"LV-{number}"))
        house.eventually(lambda number=number: arrived(street.live, f"LV-{number}"))
        waits.append(time.monotonic() - began)
    # Behind the silent one each of them would wait for a deadline more than the one before; a moment at which everything stands still hits few.
    assert statistics.median(waits) < 1.0, waits
    house.eventually(lambda: street.gateway.metric("gateway_attempts_total", endpoint="silent", outcome="timeout"))
    house.eventually(lambda: street.gateway.metric("gateway_attempts_total", endpoint="nobody", outcome="connect"))


def test_410_disables_the_endpoint(street: Street) -> None:
    """After one 410 nothing more is tried."""
    street.gateway.feed("erp", house.order("GN-1"))
    house.eventually(lambda: street.gone.got)
    house.eventually(lambda: how(street, "gone") == ("disabled", 0), what="it is disabled, and nothing is under way")
    tried = len(street.gone.got)
    street.gateway.feed("erp", house.order("GN-2"))
    house.eventually(lambda: arrived(street.live, "GN-2"))
    time.sleep(0.5)
    assert len(street.gone.got) == tried


def test_a_redirect_is_a_failure_and_is_not_followed(street: Street) -> None:
    """3xx is tried again and then given up; the place it points at hears nothing from it."""
    street.gateway.feed("erp", house.order("MV-1"))

    def tries() -> list[house.Got]:
        return [got for got in street.moved.got if number_of(got) == "MV-1"]

    house.eventually(lambda: len(tries()) == 2)
    house.eventually(lambda: arrived(street.live, "MV-1"))
    time.sleep(0.5)
    assert len(tries()) == 2
    assert len([got for got in street.live.got if number_of(got) == "MV-1" and got.type == "order.paid"]) == 1


def test_retry_after_is_honoured_in_both_forms(street: Street) -> None:
    """Seconds and a date both extend the schedule's 300 ms."""
    street.gateway.feed("erp", house.order("LT-1"))
    for receiver in (street.later, street.dated):
        house.eventually(lambda receiver=receiver: arrived(receiver, "LT-1"))
        first, second = [got for got in receiver.got if number_of(got) == "LT-1"][:2]
        assert (first.status, second.status) == (503, 204)
        until = PEACE[first.id] if receiver is street.dated else first.at + 2.0
        assert second.at >= until - 0.1


def test_a_private_address_is_not_posted_to_unless_that_is_meant(street: Street) -> None:
    """Loopback is refused for an endpoint that does not say allow_private."""
    street.gateway.feed("erp", house.order("PR-1"))
    house.eventually(lambda: street.gateway.metric("gateway_attempts_total", endpoint="private", outcome="address"))
    assert street.gateway.metric("gateway_attempts_total", endpoint="private", outcome="ok") == 0


def how(street: Street, name: str) -> tuple[str, int]:
    """What an endpoint does, and how much is under way to it."""
    one = street.gateway.health()["parts"]["worker"]["endpoints"][name]
    return one["state"], one["under_way"]


def number_of(got: house.Got) -> str:
    """Which order an event is about."""
    return str(got.data.get("order", {}).get("external_id"))


def arrived(receiver: Receiver, number: str) -> bool:
    """Whether an event of this order was accepted."""
    return any(number_of(got) == number for got in receiver.accepted())
