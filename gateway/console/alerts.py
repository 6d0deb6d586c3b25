"""What is wrong, since when, who was told, who silenced it; and whether the channels work."""

from typing import Any

from litestar import Request, Response, get, post
from litestar.di import NamedDependency
from litestar.response import Redirect

from gateway.clock import SECOND
from gateway.console import export, frame
from gateway.desk import notices
from gateway.desk.alerts import Alert
from gateway.desk.resources import Desk

_OPERATOR = {frame.ROLE: "operator"}
HOURS = (1, 4, 24, 72, 168)
_COLUMNS = ("kind", "about", "title", "level", "began", "ended")


async def parts(seat: frame.Seat, desk: Desk) -> dict[str, str]:
    """What goes on, and what did lately."""
    now = desk.clock.now()
    kept = await desk.alarms.all()
    silences = {one.key: one for one in await desk.alarms.silences()}
    going = [_shown(seat, one) for one in kept if one.ended is None]
    return {
        "going": frame.fragment(
            "parts/alerts_going.html", seat, now, going=going, silences=silences, hours=HOURS, channels=desk.alarms.channels
        ),
        "recent": frame.fragment("parts/alerts_recent.html", seat, now, recent=_recent(seat, kept)),
    }  # fmt: skip


@get("/alerts")
async def alerts(request: Request[Any, Any, Any], desk: NamedDependency[Desk]) -> Response[Any]:
    """The page."""
    seat = frame.seat_of(request)
    if seat.query.get("format") == "csv":
        rows = _recent(seat, await desk.alarms.all())
        await desk.did(seat.viewer, "export", "alerts", rows=len(rows))
        return export.csv("alerts", _COLUMNS, rows)
    habits = await desk.alarms.habits()
    return frame.page(
        request,
        "alerts.html",
        now=desk.clock.now(),
        here="alerts",
        parts=await parts(seat, desk),
        channels=desk.alarms.channels,
        tested=await desk.alarms.tested(seat.query.get("tested", "")) if seat.query.get("tested") else [],
        limits=desk.alarms.limits,
        habits=[(one.account.name, habits.get(one.account.name)) for one in desk.accounts.all()],
    )


@post("/alerts/silence", opt=_OPERATOR, status_code=200)
async def silence(request: Request[Any, Any, Any], desk: NamedDependency[Desk]) -> Response[Any]:
    """Say nothing of one alert until then."""
    fields = await frame.form(request)
    hours = fields.get("hours", "")
    await desk.alarms.silence(
        frame.seat_of(request).viewer,
        fields.get("key", ""),
        owner=fields.get("owner", ""),
        reason=fields.get("reason", ""),
        seconds=3600.0 * int(hours) if hours.isascii() and hours.isdigit() and len(hours) < 5 else 0.0,
    )
    return Redirect("/console/alerts", status_code=303)


@post("/alerts/speak", opt=_OPERATOR, status_code=200)
async def speak(request: Request[Any, Any, Any], desk: NamedDependency[Desk]) -> Response[Any]:
    """End a silence."""
    fields = await frame.form(request)
    await desk.alarms.speak(frame.seat_of(request).viewer, fields.get("key", ""))
    return Redirect("/console/alerts", status_code=303)


@post("/alerts/test", opt=_OPERATOR, status_code=200)
async def test(request: Request[Any, Any, Any], desk: NamedDependency[Desk]) -> Response[Any]:
    """A test through every channel; the page shows what came of it."""
    await frame.form(request)
    name = await desk.alarms.test(frame.seat_of(request).viewer)
    return Redirect(f"/console/alerts?tested={name}", status_code=303)


def _shown(seat: frame.Seat, one: Alert) -> dict[str, Any]:
    return {
        "alert": one,
        "title": notices.title_of(one, seat.lang),
        "remedy": notices.remedy_of(one.found.kind, seat.lang),
    }


def _recent(seat: frame.Seat, kept: list[Alert]) -> list[dict[str, Any]]:
    rows = []
    for one in kept:
        title = notices.title_of(one, seat.lang)
        spans = [(one.since, one.ended), *((span.since, span.ended) for span in one.past)]
        rows += [
            {
                "kind": one.found.kind, "about": one.found.about, "title": title, "level": one.found.level, "link": one.found.link,
                "began": since, "ended": ended, "minutes": round((ended - since) / SECOND / 60, 1),
            }
            for since, ended in spans
            if ended is not None
        ]  # fmt: skip
    return sorted(rows, key=lambda row: -row["began"])
