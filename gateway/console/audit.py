"""Who did what, newest first, and whether the chain is whole."""

from typing import Any

from litestar import Request, Response, get, post
from litestar.di import NamedDependency
from litestar.response import Redirect

from gateway.clock import text
from gateway.console import export, frame
from gateway.desk import acts, stewards
from gateway.desk.resources import Desk

_OPERATOR = {frame.ROLE: "operator", frame.WHOLE: True}
_PAGE = 100
_EXPORTED = 10_000
_COLUMNS = ("number", "at", "actor", "verb", "object", "detail")


async def parts(seat: frame.Seat, desk: Desk) -> dict[str, str]:
    """What the last walk over the chain found."""
    check = await desk.checks.last("audit")
    return {"verified": frame.fragment("parts/audit_check.html", seat, desk.clock.now(), check=check)}


@get("/audit", opt=_OPERATOR)
async def audit(request: Request[Any, Any, Any], desk: NamedDependency[Desk]) -> Response[Any]:
    """The page."""
    seat = frame.seat_of(request)
    wanted = acts.Wanted(**{name: seat.query.get(name, "").strip() or None for name in ("actor", "verb", "object")})
    asked = seat.query.get("before", "")
    before = int(asked) if asked.isascii() and asked.isdigit() and len(asked) < 16 else None
    if seat.query.get("format") == "csv":
        found = await acts.newest(desk.trail, wanted, before=before, limit=_EXPORTED)
        await desk.did(seat.viewer, "export", "audit", rows=len(found.links))
        rows = [
            {
                "number": one.number, "at": text(one.act.at), "actor": one.act.actor, "verb": one.act.verb, "object": one.act.object,
                "detail": one.act.detail,
            }
            for one in found.links
        ]  # fmt: skip
        return export.csv("audit", _COLUMNS, rows)
    found = await acts.newest(desk.trail, wanted, before=before, limit=_PAGE)
    return frame.page(
        request, "audit.html", now=desk.clock.now(), here="audit", parts=await parts(seat, desk), found=found, wanted=wanted, paged=before is not None
    )  # fmt: skip


@post("/audit", opt=_OPERATOR, status_code=200)
async def verify(request: Request[Any, Any, Any], desk: NamedDependency[Desk]) -> Response[Any]:
    """Walk the chain beside everything else."""
    await frame.form(request)
    viewer = frame.seat_of(request).viewer
    await desk.did(viewer, "verify", "audit")
    await desk.checks.begin("audit", viewer.actor, stewards.verify(desk))
    return Redirect("/console/audit", status_code=303)
