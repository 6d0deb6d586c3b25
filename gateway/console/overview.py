"""Is it well? And if not, what is wrong now, in words, each with its remedy."""

from typing import Any

import msgspec
from litestar import Request, Response, get
from litestar.di import NamedDependency

from gateway.console import frame
from gateway.console.words import overview as words
from gateway.desk import troubles
from gateway.desk.resources import Desk


class Gauge(msgspec.Struct, frozen=True, kw_only=True):
    """One figure with its recent past. ``points`` is what the chart draws: times and one series or two."""

    key: str
    value: str
    unit: str = ""
    notes: tuple[str, ...] = ()
    points: tuple[list[Any], ...] = ()


async def parts(seat: frame.Seat, desk: Desk) -> dict[str, str]:
    """The verdict, the figures and what is wrong."""
    now = desk.clock.now()
    counts = await desk.records.counts()
    wrong = await troubles.now(desk, counts)
    return {
        "verdict": frame.fragment("parts/verdict.html", seat, now, wrong=wrong),
        "gauges": frame.fragment("parts/gauges.html", seat, now, gauges=_gauges(seat, desk)),
        "wrong": frame.fragment("parts/wrong.html", seat, now, wrong=wrong),
        "counts": frame.fragment(
            "parts/counts.html", seat, now, counts=[(name, counts[name]) for name in words.COUNTS if name in counts]
        ),
    }


@get("/")
async def overview(request: Request[Any, Any, Any], desk: NamedDependency[Desk]) -> Response[str]:
    """The page."""
    seat = frame.seat_of(request)
    return frame.page(request, "overview.html", now=desk.clock.now(), parts=await parts(seat, desk), here="overview")


def _gauges(seat: frame.Seat, desk: Desk) -> list[Gauge]:
    figures = desk.figures
    times = figures.times()
    return [
        Gauge(
            key="ov_accepted",
            value=_rate(figures.rate("gateway_accepted_total")),
            points=(times, figures.rates("gateway_accepted_total")),
        ),
        Gauge(
            key="ov_delivered",
            value=_rate(figures.rate("gateway_attempts_total", outcome="ok")),
            points=(times, figures.rates("gateway_attempts_total", outcome="ok")),
        ),
        _lane(seat, desk, "live", "ov_lane_live"),
        _lane(seat, desk, "bulk", "ov_lane_bulk"),
        _times(seat, desk, "ov_ack", "gateway_ack_seconds"),
        _times(seat, desk, "ov_e2e", "gateway_end_to_end_seconds"),
    ]


def _lane(seat: frame.Seat, desk: Desk, lane: str, key: str) -> Gauge:
    age = desk.figures.total("gateway_backlog_age_seconds", lane=lane)
    return Gauge(
        key=key,
        value=f"{desk.figures.total('gateway_backlog', lane=lane):,.0f}",
        notes=(seat.t("ov_oldest", age=f"{age:.0f}"),),
        points=(desk.figures.times(), desk.figures.levels("gateway_backlog", lane=lane)),
    )


def _times(seat: frame.Seat, desk: Desk, key: str, name: str) -> Gauge:
    middle, slow = (desk.figures.quantile(name, share) for share in (0.5, 0.99))
    if middle is None or slow is None:
        return Gauge(key=key, value="—", notes=(seat.t("ov_no_samples"),))
    return Gauge(
        key=key,
        value=_ms(middle),
        unit="ms",
        notes=(seat.t("ov_p99", ms=_ms(slow)),),
        points=(desk.figures.times(), desk.figures.quantiles(name, 0.5), desk.figures.quantiles(name, 0.99)),
    )


def _rate(value: float) -> str:
    return f"{value:,.1f}" if value < 100 else f"{value:,.0f}"


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:.1f}" if seconds < 0.1 else f"{seconds * 1000:,.0f}"
