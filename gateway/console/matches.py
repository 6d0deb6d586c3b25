"""Customers who may be one: side by side, with what speaks for it; merge, keep apart for ever, undo."""

from typing import Any

from litestar import Request, Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath
from litestar.response import Redirect

from gateway.console import frame
from gateway.desk.matching import Matching
from gateway.desk.resources import Desk

_SHOWN = 20
_OPERATOR = {frame.ROLE: "operator"}


async def parts(seat: frame.Seat, desk: Desk) -> dict[str, str]:
    """The pairs of the chosen state."""
    state = _state(seat)
    pairs = await Matching(desk).pairs(seat.viewer, state=state, limit=_SHOWN)
    return {"pairs": frame.fragment("parts/pairs.html", seat, desk.clock.now(), pairs=pairs, state=state)}


@get("/matches")
async def matches(request: Request[Any, Any, Any], desk: NamedDependency[Desk]) -> Response[str]:
    """The page."""
    seat = frame.seat_of(request)
    return frame.page(
        request,
        "matches.html",
        now=desk.clock.now(),
        parts=await parts(seat, desk),
        here="matches",
        state=_state(seat),
        settled=seat.query.get("settled", ""),
    )


@post("/matches/{name:str}/merge", opt=_OPERATOR, status_code=200)
async def merge(request: Request[Any, Any, Any], desk: NamedDependency[Desk], name: FromPath[str]) -> Response[Any]:
    """Make them one; the survivor's page shows how to undo it."""
    await frame.form(request)
    survivor = await Matching(desk).merge(frame.seat_of(request).viewer, name)
    return Redirect(f"/console/customers/{survivor}?settled=merged", status_code=303)


@post("/matches/{name:str}/reject", opt=_OPERATOR, status_code=200)
async def reject(request: Request[Any, Any, Any], desk: NamedDependency[Desk], name: FromPath[str]) -> Response[Any]:
    """Keep them apart, whatever they come to share."""
    await frame.form(request)
    await Matching(desk).reject(frame.seat_of(request).viewer, name)
    return Redirect("/console/matches?settled=rejected", status_code=303)


@post("/customers/{name:str}/unmerge", opt=_OPERATOR, status_code=200)
async def unmerge(request: Request[Any, Any, Any], desk: NamedDependency[Desk], name: FromPath[str]) -> Response[Any]:
    """Give both back what was theirs."""
    fields = await frame.form(request)
    await Matching(desk).undo(frame.seat_of(request).viewer, name, fields.get("merge", ""))
    return Redirect(f"/console/customers/{name}?settled=unmerged", status_code=303)


def _state(seat: frame.Seat) -> str:
    asked = seat.query.get("state", "open")
    return asked if asked in ("open", "merged", "rejected") else "open"
