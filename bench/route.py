"""Routing: from an event to its deliveries for fifty endpoints, in process; plain, narrowed by unit, and filtered.

An event is converted for CEL once, however many filters ask about it.
"""

import time
from collections.abc import Sequence
from typing import Any

import msgspec

from bench import figure, published, report, running
from bench.figure import Figure, Scale
from gateway.destination import Endpoint
from gateway.pipeline.route import Router
from gateway.pipeline.units import Units
from gateway.store import EventRow, Row
from gateway.vaults.file import open_vault

_MANY = 50
_FILTER = "data.order.money.paid.amount > 100000"


def measure(scale: Scale) -> Sequence[Figure]:
    """Microseconds an event, and how many times as much as without units and filters."""
    with running.folder() as data:
        events = published.orders(open_vault(data / "keys.json"), scale.count(200, least=32))
    ways = _ways()
    rounds = []
    for number in range(-1, scale.rounds):
        if number >= 0:
            figure.say(f"route: round {number + 1}")
        names = list(ways) if number % 2 else list(reversed(ways))
        rounds.append(
            {name: _micros(ways[name], events, 1 if number < 0 else scale.count(10, least=1)) for name in names}
        )
    plain = [one["plain"] for one in rounds[1:]]

    def beside(name: str, called: str, says: str, *, floor: float | None = None, aim: float | None = None) -> Figure:
        pairs = list(zip((one[name] for one in rounds[1:]), plain, strict=True))
        return figure.ratio(called, says, "µs", pairs, against="the same without", floor=floor, aim=aim, best="low")

    return [
        figure.plain("route", f"One event to {_MANY} endpoints that asked for its type.", "µs", plain),
        beside("units", "route by unit", f"Each of the {_MANY} with a unit that the event is in.", floor=1.5, aim=1.2),
        beside("one", "route with a filter", f"One of the {_MANY} with a filter, which does not hold.", floor=2.0, aim=1.5),
        beside("many", "route with many filters", f"Each of the {_MANY} with a filter, which do not hold."),
    ]  # fmt: skip


def _ways() -> dict[str, Router]:
    plain = [_endpoint(number) for number in range(_MANY)]
    one = [_endpoint(0, filter=_FILTER), *plain[1:]]
    units = Units()
    units.learn([_unit(f"SH-{number:03d}", "EAST") for number in range(200)] + [_unit("EAST", "HQ")])
    return {
        "plain": Router(plain),
        "units": Router([_endpoint(number, unit="HQ") for number in range(_MANY)], units=units),
        "one": Router(one),
        "many": Router([_endpoint(number, filter=_FILTER) for number in range(_MANY)]),
    }


def _endpoint(number: int, **more: Any) -> Endpoint:
    return Endpoint(name=f"sink{number}", url="http://127.0.0.1/", grants={}, schedule=(0.0,), **more)


def _unit(code: str, parent: str) -> Row:
    return Row(
        id=f"unt_{code}", kind="unit", key=b"", account="org", customer=None, unit=code, at=0, version=None, sequence=1, created=0, updated=0,
        body=msgspec.json.encode({"external_id": code, "parent": parent}),
    )  # fmt: skip


def _micros(router: Router, events: Sequence[EventRow], times: int) -> float:
    began = time.perf_counter()
    for _ in range(times):
        for event in events:
            router.deliveries(event, now=1)
    return (time.perf_counter() - began) / (times * len(events)) * 1e6


if __name__ == "__main__":
    report.main(measure)
