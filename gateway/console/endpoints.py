"""Endpoints: how each one is, what waits for it, its last attempts with what was sent and answered, what it may see; and acting on it."""

from typing import Any

import msgspec
from litestar import Request, Response, get, post
from litestar.di import NamedDependency
from litestar.exceptions import NotFoundException, PermissionDeniedException
from litestar.params import FromPath
from litestar.response import Redirect

from gateway import access, store
from gateway.book import Entry, need_rotatable
from gateway.clock import SECOND, instant, text
from gateway.console import export, flow, frame
from gateway.desk import outbox, outlets, subscribers
from gateway.desk.reading import Reading
from gateway.desk.resources import Desk
from gateway.desk.subscribers import Standing
from gateway.errors import ConfigError
from gateway.pipeline.replay import Plan
from gateway.trial import Trial, trial

_OPERATOR = {frame.ROLE: "operator"}
_OVERLAP = 86_400.0
_SINCE = {"1h": 3600, "6h": 6 * 3600, "24h": 86_400, "72h": 3 * 86_400, "168h": 7 * 86_400}
_EXCERPT = 2048


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One endpoint of the list. ``state`` is active, failing, paused or disabled."""

    entry: Entry
    standing: Standing
    state: str
    pace: outlets.Pace
    oldest: int | None


async def _row(desk: Desk, entry: Entry, standing: Standing) -> Row:
    failing = standing.state == "active" and standing.failing_since is not None
    name = entry.endpoint.name
    return Row(
        entry=entry,
        standing=standing,
        state="failing" if failing else standing.state,
        pace=outlets.pace(desk, name),
        oldest=await outlets.oldest(desk, name),
    )


async def _rows(seat: frame.Seat, desk: Desk) -> list[Row]:
    seen = await subscribers.seen(desk, seat.viewer)
    found = await subscribers.standings(desk, [entry.endpoint for entry in seen])
    return [await _row(desk, entry, one) for entry, one in zip(seen, found, strict=True)]


# ---------------------------------------------------------------------- the list
async def parts(seat: frame.Seat, desk: Desk) -> dict[str, str]:
    """The table."""
    rows = await _rows(seat, desk)
    return {
        "endpoints": frame.fragment(
            "parts/endpoints.html", seat, desk.clock.now(), rows=rows, span=flow.span, micros=instant
        )
    }


@get("/endpoints")
async def endpoints(request: Request[Any, Any, Any], desk: NamedDependency[Desk]) -> Response[Any]:
    """Every endpoint within the domain."""
    seat = frame.seat_of(request)
    if seat.query.get("format") == "csv":
        rows = await _rows(seat, desk)
        await desk.did(seat.viewer, "export", "endpoints", rows=len(rows))
        columns = ("name", "kind", "state", "backlog", "dead", "success", "circuit", "failing_since", "cause")
        return export.csv("endpoints", columns, [_plain(row) for row in rows])
    return frame.page(request, "endpoints.html", now=desk.clock.now(), here="endpoints", parts=await parts(seat, desk))


def _plain(row: Row) -> dict[str, Any]:
    one = row.standing
    return {
        "name": one.name, "kind": row.entry.endpoint.kind.value, "state": row.state, "backlog": one.backlog, "dead": one.dead,
        "success": "" if row.pace.share is None else f"{row.pace.share:.3f}", "circuit": one.circuit,
        "failing_since": text(instant(one.failing_since)) if one.failing_since else "", "cause": one.disabled_because or one.cause,
    }  # fmt: skip


# ---------------------------------------------------------------------- one
async def one_parts(seat: frame.Seat, desk: Desk) -> dict[str, str]:
    """How it is now, and what it was sent last."""
    entry = await subscribers.one(desk, seat.viewer, seat.path.rpartition("/")[2])
    if entry is None:
        return {}
    name, now = entry.endpoint.name, desk.clock.now()
    row = await _row(desk, entry, await subscribers.standing(desk, entry.endpoint))
    given = {"row": row, "span": flow.span, "micros": instant}
    return {
        "standing": frame.fragment("parts/endpoint_standing.html", seat, now, **given),
        "troubled": frame.fragment(
            "parts/endpoint_sent.html",
            seat,
            now,
            sent=await outlets.troubled(desk, name),
            span=flow.span,
            key="troubled",
        ),
        "newest": frame.fragment(
            "parts/endpoint_sent.html", seat, now, sent=await outlets.newest(desk, name), span=flow.span, key="newest"
        ),
    }


@get("/endpoints/{name:str}")
async def endpoint(request: Request[Any, Any, Any], desk: NamedDependency[Desk], name: FromPath[str]) -> Response[Any]:
    """One endpoint. ``?since=`` counts what a replay would send."""
    seat = frame.seat_of(request)
    entry = await _need(seat, desk, name)
    since = seat.query.get("since", "")
    plan = await _plan(desk, name, since) if since in _SINCE else None
    return await _page(request, desk, entry, since=since, plan=plan)


async def _page(
    request: Request[Any, Any, Any],
    desk: Desk,
    entry: Entry,
    *,
    since: str = "",
    plan: Plan | None = None,
    tried: Trial | None = None,
    secret: str = "",
) -> Response[Any]:
    seat = frame.seat_of(request)
    standing = await subscribers.standing(desk, entry.endpoint)
    return frame.page(
        request, "endpoint.html", now=desk.clock.now(), here="endpoints", entry=entry, end=entry.endpoint, state=standing.state,
        parts=await one_parts(seat, desk), plan=plan, since=since, choices=tuple(_SINCE), tried=tried, secret=secret,
        classes=tuple(access.LEAST), reason=entry.settings.grants.reason, did=seat.query.get("did", ""), count=seat.query.get("count", ""),
        excerpt=tried.tried.response[:_EXCERPT].decode(errors="replace") if tried else "", rotatable=_rotatable(entry), most=outlets.MOST, span=flow.span,
    )  # fmt: skip


def _rotatable(entry: Entry) -> str:
    """Why its secret cannot be rotated here; empty when it can."""
    try:
        need_rotatable(entry.endpoint.name, entry.settings, asymmetric=False)
    except ConfigError as error:
        return f"{error.detail}. {error.remedy}".strip()
    return ""


async def _need(seat: frame.Seat, desk: Desk, name: str) -> Entry:
    entry = await subscribers.one(desk, seat.viewer, name)
    if entry is None:
        raise NotFoundException(seat.t("ep_unknown"))
    return entry


async def _plan(desk: Desk, name: str, since: str) -> Plan:
    span = store.Span(since=desk.clock.now() - _SINCE[since] * SECOND)
    return await (await outlets.replayer(desk)).plan(span, endpoint=name)


# ---------------------------------------------------------------------- acting
@post("/endpoints/{name:str}/{verb:str}", opt=_OPERATOR, status_code=200)
async def act(
    request: Request[Any, Any, Any], desk: NamedDependency[Desk], name: FromPath[str], verb: FromPath[str]
) -> Response[Any]:
    """Pause, resume or enable it."""
    await frame.form(request)
    seat = frame.seat_of(request)
    await _need(seat, desk, name)
    acts = {"pause": desk.book.pause, "resume": desk.book.resume}
    if verb not in (*acts, "enable"):
        raise NotFoundException(seat.t("ep_unknown"))
    await desk.did(seat.viewer, verb, f"endpoint/{name}")
    if verb == "enable":
        await desk.records.enable(name, now=desk.clock.now())
    else:
        await acts[verb](name)
    return Redirect(f"/console/endpoints/{name}?did={verb}", status_code=303)


@post("/endpoints/{name:str}", opt=_OPERATOR, status_code=200)
async def answered(request: Request[Any, Any, Any], desk: NamedDependency[Desk], name: FromPath[str]) -> Response[Any]:
    """What is answered on the page itself: a test, or for an admin a new secret."""
    fields = await frame.form(request)
    seat = frame.seat_of(request)
    entry = await _need(seat, desk, name)
    if fields.get("act") == "test":
        await desk.did(seat.viewer, "test", f"endpoint/{name}")
        return await _page(request, desk, entry, tried=await trial(entry.endpoint, desk.clock))
    if not seat.may("admin"):
        raise PermissionDeniedException("your role does not allow this")
    need_rotatable(name, entry.settings, asymmetric=False)
    await desk.did(seat.viewer, "rotate", f"endpoint/{name}", what="secret")
    # Shown on this page once; the old one signs beside it for a day.
    shown = await desk.book.rotate(name, overlap=_OVERLAP)
    return await _page(request, desk, await desk.book.entry(name), secret=shown.text)


@post("/endpoints/{name:str}/replay", opt=_OPERATOR, status_code=200)
async def replay(request: Request[Any, Any, Any], desk: NamedDependency[Desk], name: FromPath[str]) -> Response[Any]:
    """Send what it missed, as counted before."""
    fields = await frame.form(request)
    seat = frame.seat_of(request)
    await _need(seat, desk, name)
    since = fields.get("since", "")
    if since not in _SINCE:
        raise ConfigError(seat.t("ep_since_needed"))
    plan = await _plan(desk, name, since)
    if plan.total > outlets.MOST:
        raise ConfigError(seat.t("ep_too_many", n=plan.total), remedy=f"gateway replay --endpoint {name}")
    await desk.did(seat.viewer, "replay", f"endpoint/{name}", since=since, deliveries=plan.total)
    done = await (await outlets.replayer(desk)).run(plan)
    return Redirect(f"/console/endpoints/{name}?did=replayed&count={done}", status_code=303)


# ---------------------------------------------------------------------- one delivery
async def delivery_parts(seat: frame.Seat, desk: Desk) -> dict[str, str]:
    """Its attempts."""
    found = await outbox.one(desk, seat.viewer, seat.path.rpartition("/")[2])
    if found is None:
        return {}
    entry = await subscribers.one(desk, seat.viewer, found.endpoint)
    given = {
        "sent": await outlets.sent(desk, found),
        "end": entry.endpoint if entry else None,
        "sent_with": outlets.sent_with,
        "span": flow.span,
    }
    return {"attempts": frame.fragment("parts/attempts.html", seat, desk.clock.now(), **given)}


@get("/endpoints/{name:str}/deliveries/{delivery:str}")
async def delivery(
    request: Request[Any, Any, Any], desk: NamedDependency[Desk], name: FromPath[str], delivery: FromPath[str]
) -> Response[Any]:
    """One delivery: what was sent, how often, and what came back."""
    seat = frame.seat_of(request)
    found = await outbox.one(desk, seat.viewer, delivery)
    if found is None or found.endpoint != name:
        raise NotFoundException(seat.t("ep_no_delivery"))
    rows = await desk.records.span(store.Span(ids=[found.event]), limit=1)
    event = rows[0] if rows and seat.viewer.sees(rows[0].unit) else None
    body = Reading(desk.records, desk.vault, desk.witness).event(event, seat.viewer) if event else None
    return frame.page(
        request, "delivery.html", now=desk.clock.now(), here="endpoints", parts=await delivery_parts(seat, desk), one=found, event=event,
        body=msgspec.json.format(msgspec.json.encode(body), indent=2).decode() if body else "",
    )  # fmt: skip


@post("/endpoints/{name:str}/answer", opt=_OPERATOR, status_code=200)
async def answer(request: Request[Any, Any, Any], desk: NamedDependency[Desk], name: FromPath[str]) -> Response[Any]:
    """What an endpoint answered, for an operator; it may repeat what it was sent, so that looking at it is recorded."""
    fields = await frame.form(request)
    seat = frame.seat_of(request)
    found = await outbox.one(desk, seat.viewer, fields.get("delivery", ""))
    tried = await desk.records.attempts(found.id) if found is not None and found.endpoint == name else ()
    attempt = next((one for one in tried if one.id == fields.get("attempt")), None)
    if found is None or attempt is None or attempt.response is None:
        raise NotFoundException(seat.t("ep_no_answer"))
    # It may repeat in the clear what the viewer sees masked.
    if not seat.may("admin") and not await outbox.readable(desk, seat.viewer, found):
        raise PermissionDeniedException(seat.t("ep_answer_admins"))
    await desk.did(seat.viewer, "read_answer", found.id, attempt=attempt.id)
    said = desk.vault.open(attempt.response, attempt.id.encode()).decode(errors="replace")
    back = f"/console/endpoints/{name}/deliveries/{found.id}"
    return frame.page(
        request, "raw.html", now=desk.clock.now(), here="endpoints", back=back, name=attempt.id, text=said, cut=0, erased=False
    )  # fmt: skip


PAGES = (endpoints, endpoint, act, answered, replay, delivery, answer)
LIVE = (
    ("/console/endpoints", parts),
    ("/console/endpoints/[^/]+", one_parts),
    ("/console/endpoints/[^/]+/deliveries/[^/]+", delivery_parts),
)
