"""Flow of one thing: whatever somebody has in hand, every hop of it on one page, and at the top where it stands and what to do."""

from collections.abc import Sequence
from typing import Any

import msgspec
from litestar import Request, Response, get, post
from litestar.di import NamedDependency
from litestar.exceptions import NotFoundException
from litestar.response import Redirect

from gateway import journal
from gateway.console import frame
from gateway.desk import flow as tracing
from gateway.desk import seek, stands
from gateway.desk.flow import Journey
from gateway.desk.mappings import Look
from gateway.desk.resources import Desk
from gateway.destination import Kind
from gateway.errors import GatewayError
from gateway.model.lane import Lane
from gateway.pipeline.read import source_of

_ADMIN = {frame.ROLE: "admin"}
_LONGEST = 200
_SHOWN = 64 * 1024


class Trace(msgspec.Struct, frozen=True, kw_only=True):
    """What the page shows: journeys newest first, ``top`` where they stand; ``below`` goes on further back."""

    aim: seek.Aim
    journeys: Sequence[Journey]
    each: dict[str, list[stands.Stand]]
    top: list[stands.Stand]
    below: int | None = None


async def parts(seat: frame.Seat, desk: Desk) -> dict[str, str]:
    """The whole trace, as long as the query names one thing."""
    trace = await _trace(seat, desk, seat.query.get("q", ""))
    return {} if trace is None else _fragments(seat, desk, trace)


@get("/flow")
async def flow(request: Request[Any, Any, Any], desk: NamedDependency[Desk]) -> Response[Any]:
    """Without a question the hint; with one thing its trace; with several the choice."""
    seat = frame.seat_of(request)
    asked = seat.query.get("q", "").strip()[:_LONGEST]
    trace = await _trace(seat, desk, asked) if asked else None
    if trace is not None:
        return await _traced(request, seat, desk, trace)
    things = await seek.seek(desk, seat.viewer, asked) if asked else []
    if len(things) == 1:
        # A phone that somebody searched by does not stay in the address and the title.
        kept = None if things[0].by == "identity" else asked
        return Redirect(seat.link("/console/flow", q=things[0].id, asked=kept), status_code=302)
    return frame.page(request, "flow_search.html", now=desk.clock.now(), here="flow", asked=asked, things=things)


async def _traced(request: Request[Any, Any, Any], seat: frame.Seat, desk: Desk, trace: Trace) -> Response[str]:
    opened = seat.query.get("open", "")
    if not opened and trace.journeys and len(trace.journeys) == 1:
        opened = trace.journeys[0].id
    said, why = await look(seat, desk, opened) if opened not in ("", "none") else (None, "")
    return frame.page(
        request,
        "flow.html",
        now=desk.clock.now(),
        here="flow",
        asked=seat.query.get("asked") or trace.aim.focus,
        trace=trace,
        parts=_fragments(seat, desk, trace),
        look=said,
        why=why,
        opened=opened,
    )


def _fragments(seat: frame.Seat, desk: Desk, trace: Trace) -> dict[str, str]:
    now = desk.clock.now()
    given = {"trace": trace, "hops": tracing.hops, "delivered": tracing.delivered, "span": span}
    return {
        "stands": frame.fragment("parts/flow_stands.html", seat, now, **given),
        "journeys": frame.fragment("parts/flow_journeys.html", seat, now, **given),
    }


async def _trace(seat: frame.Seat, desk: Desk, name: str) -> Trace | None:
    aim = await seek.aim(desk, seat.viewer, name)
    if aim is None:
        return None
    below: int | None = None
    if aim.row is not None:
        asked = seat.query.get("below", "")
        start = int(asked) if asked.isascii() and asked.isdigit() else None
        found, below = await tracing.of_record(desk, seat.viewer, aim.row, below=start)
    else:
        one = await tracing.of_entry(desk, seat.viewer, aim.entry, event=aim.event)
        found = [one] if one is not None else []
    if not found and aim.row is None:
        return None
    outside = await _outside(desk, found)
    said = {one.id: stands.stands(one, outside) for one in found}
    return Trace(aim=aim, journeys=found, each=said, top=stands.top(list(said.values())), below=below)


async def _outside(desk: Desk, journeys: Sequence[Journey]) -> stands.Outside:
    ends = await desk.book.endpoints()
    waits = any(one.verdict is tracing.Verdict.WAITING for one in journeys)
    return stands.Outside(
        now=desk.clock.now(),
        disabled=await desk.records.disabled(),
        paused={end.name for end in ends if end.paused},
        polled={end.name for end in ends if end.kind is Kind.POLL},
        backlog=await _backlog(desk) if waits else 0,
    )


async def _backlog(desk: Desk) -> int:
    cursors = await desk.records.cursors()
    depths = [
        await desk.log.depth(lane, shard, cursors.get((lane, shard), 0))
        for lane in Lane
        for shard in desk.log.shards(lane)
    ]
    return sum(behind for behind, _ in depths)


# ---------------------------------------------------------------------- what was said
async def look(seat: frame.Seat, desk: Desk, name: str) -> tuple[Look | None, str]:
    """The entry's words as mapped by what reads it now, under the viewer's grants; or why they cannot be shown."""
    entry = await _entry(seat, desk, name)
    if entry is None:
        return None, seat.t("fl_raw_gone")
    try:
        source = source_of(entry, desk.accounts, desk.vault)
        if not source.stem:
            return None, seat.t("fs_asked")
        connector = source.opened.card.name
        standing = await desk.mappings.versions.standing(connector, source.stem)
        live = await desk.mappings.version(connector, source.stem, standing.live)
        return desk.mappings.on_entry(entry, [live], seat.viewer), ""
    except GatewayError as error:
        return None, error.detail


async def _entry(seat: frame.Seat, desk: Desk, name: str) -> journal.Entry | None:
    entry = await desk.log.find(name) if name.startswith("ent_") else None
    return entry if entry is not None and tracing.within(desk, seat.viewer, entry.account) else None


@post("/flow/raw", opt=_ADMIN, status_code=200)
async def raw(request: Request[Any, Any, Any], desk: NamedDependency[Desk]) -> Response[Any]:
    """An entry's own bytes, for an admin; that they were looked at is recorded before they are shown."""
    fields = await frame.form(request)
    seat = frame.seat_of(request)
    entry = await _entry(seat, desk, fields.get("entry", ""))
    if entry is None:
        raise NotFoundException(seat.t("fl_raw_gone"))
    await desk.did(seat.viewer, "read_raw", entry.id, account=entry.account)
    payload = desk.vault.open(entry.payload, entry.id.encode())
    text = "" if payload == journal.ERASED else payload[:_SHOWN].decode(errors="replace")
    return frame.page(
        request,
        "raw.html",
        now=desk.clock.now(),
        here="flow",
        back=f"/console/flow?q={entry.id}",
        name=entry.id,
        text=text,
        cut=_SHOWN if len(payload) > _SHOWN else 0,
        erased=payload == journal.ERASED,
    )


def span(micros: int) -> str:
    """``0.8 ms``, ``12 ms``, ``3.4 s``, ``5 min``, ``2 h``, ``3 d``."""
    if micros < 10_000:
        return f"{micros / 1000:.1f} ms"
    if micros < 1_000_000:
        return f"{micros // 1000} ms"
    seconds = micros / 1_000_000
    for unit, size, most in (("s", 1, 120), ("min", 60, 7200), ("h", 3600, 172_800)):
        if seconds < most:
            return f"{seconds / size:.1f} {unit}" if seconds < 10 * size else f"{seconds / size:.0f} {unit}"
    return f"{seconds / 86_400:.0f} d"
