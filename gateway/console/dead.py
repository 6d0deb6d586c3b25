"""Dead letters by cause: look at one, try a mapping on all of them, try them again or drop them; and what was refused at the doors."""

from collections.abc import Sequence
from typing import Any

import msgspec
from litestar import Request, Response, get, post
from litestar.di import NamedDependency
from litestar.exceptions import NotFoundException, PermissionDeniedException
from litestar.response import Redirect

from gateway import access, store
from gateway.clock import text
from gateway.console import export, flow, frame
from gateway.desk import causes, refused
from gateway.desk.causes import Chosen, Plan, Tried
from gateway.desk.mappings import Look, name_of
from gateway.desk.resources import Desk
from gateway.errors import ConfigError, MappingError
from gateway.pipeline.versions import SHIPPED, Version

_OPERATOR = {frame.ROLE: "operator"}
_ADMIN = {frame.ROLE: "admin"}
_LISTED = 50
_ROWS = 100
_OWN = 1_000_000
"""The number of a text that is tried and not stored."""
_REASONS = range(3, 201)
_HOURS = (1, 24, 168)


class Shown(msgspec.Struct, frozen=True, kw_only=True):
    """One group as its page shows it. ``versions`` are (number, name, state) of the mapping that reads these entries."""

    chosen: Chosen
    plan: Plan
    letters: Sequence[store.DeadLetter]
    deliveries: Sequence[store.Delivery]
    line: tuple[str, str] | None
    versions: Sequence[tuple[int, str, str]]


# ---------------------------------------------------------------------- the list
async def parts(seat: frame.Seat, desk: Desk) -> dict[str, str]:
    """The groups."""
    found = await causes.groups(desk, seat.viewer)
    return {"groups": frame.fragment("parts/dead_groups.html", seat, desk.clock.now(), groups=found)}


@get("/dead")
async def dead(request: Request[Any, Any, Any], desk: NamedDependency[Desk]) -> Response[Any]:
    """Groups, the most first."""
    seat = frame.seat_of(request)
    if seat.query.get("format") == "csv":
        found = await causes.groups(desk, seat.viewer)
        await desk.did(seat.viewer, "export", "dead-letters", rows=len(found))
        rows = [{**msgspec.structs.asdict(one), "first": text(one.first), "last": text(one.last)} for one in found]
        return export.csv("dead-letters", ("kind", "of", "stage", "cause", "count", "first", "last", "detail"), rows)
    return frame.page(
        request,
        "dead.html",
        now=desk.clock.now(),
        here="dead",
        parts=await parts(seat, desk),
        did=seat.query.get("did", ""),
        count=seat.query.get("count", ""),
        left=seat.query.get("left", ""),
    )


# ---------------------------------------------------------------------- one group
@get("/dead/group")
async def group(request: Request[Any, Any, Any], desk: NamedDependency[Desk]) -> Response[Any]:
    """One cause: what trying again would come to, and one of them as it was said."""
    seat = frame.seat_of(request)
    return await _page(request, desk, await _shown(seat, desk, _chosen(seat.query)))


@post("/dead/try", opt=_OPERATOR, status_code=200)
async def attempt(request: Request[Any, Any, Any], desk: NamedDependency[Desk]) -> Response[Any]:
    """Run a version, or a text of one's own, on the group's entries; nothing is written."""
    fields = await frame.form(request)
    seat = frame.seat_of(request)
    shown = await _shown(seat, desk, _chosen(fields))
    if shown.line is None:
        raise ConfigError(seat.t("dl_no_line"))
    own = fields.get("text", "").replace("\r\n", "\n").strip()
    # A text of one's own may ask an entry any question: whether a phone begins with 138, say. Admins decide on mappings.
    if own and not seat.may("admin"):
        raise PermissionDeniedException(seat.t("dl_own_admins"))
    await desk.did(seat.viewer, "mapping_try", "/".join(shown.line), entries=len(shown.letters))
    try:
        version = await _version(desk, shown.line, fields.get("version", ""), own, seat.viewer)
        program = desk.mappings.program(version)
    except MappingError as error:
        return await _page(request, desk, shown, fault=str(error), own=own)
    label = seat.t("dl_own") if version.number == _OWN else name_of(version)
    tried = await causes.attempt(desk, shown.letters, program, stem=shown.line[1], version=label)
    return await _page(request, desk, shown, tried=tried, own=own, number=version.number)


async def _version(desk: Desk, line: tuple[str, str], number: str, own: str, viewer: access.Viewer) -> Version:
    connector, stem = line
    if own:
        return Version(connector=connector, stem=stem, number=_OWN, text=own, by=viewer.actor, at=desk.clock.now())
    if not number.isascii() or not number.isdigit():
        standing = await desk.mappings.versions.standing(connector, stem)
        return await desk.mappings.version(connector, stem, standing.live)
    return await desk.mappings.version(connector, stem, int(number))


@post("/dead/retry", opt=_OPERATOR, status_code=200)
async def retry(request: Request[Any, Any, Any], desk: NamedDependency[Desk]) -> Response[Any]:
    """Try them again with today's mappings."""
    fields = await frame.form(request)
    seat, chosen = frame.seat_of(request), _chosen(fields)
    plan = await causes.plan(desk, seat.viewer, chosen)
    await desk.did(seat.viewer, "retry", _about(chosen), cause=chosen.cause, stage=chosen.stage, count=plan.ready)
    return _back(seat, "retried", await causes.retry(desk, seat.viewer, chosen))


@post("/dead/drop", opt=_OPERATOR, status_code=200)
async def drop(request: Request[Any, Any, Any], desk: NamedDependency[Desk]) -> Response[Any]:
    """Close them for good, with a reason that is kept."""
    fields = await frame.form(request)
    seat, chosen = frame.seat_of(request), _chosen(fields)
    reason = fields.get("reason", "").strip()
    if len(reason) not in _REASONS:
        raise ConfigError(seat.t("dl_reason_needed"))
    plan = await causes.plan(desk, seat.viewer, chosen)
    await desk.did(
        seat.viewer, "drop", _about(chosen), cause=chosen.cause, stage=chosen.stage, count=plan.total, reason=reason
    )
    return _back(seat, "dropped", await causes.drop(desk, seat.viewer, chosen, reason))


def _chosen(fields: Any) -> Chosen:
    return Chosen(**{name: fields.get(name, "") for name in ("kind", "of", "stage", "cause", "id")})


def _about(chosen: Chosen) -> str:
    return chosen.id or chosen.of


def _back(seat: frame.Seat, did: str, done: causes.Outcome) -> Response[Any]:
    return Redirect(seat.link("/console/dead", did=did, count=done.done, left=done.left), status_code=303)


async def _shown(seat: frame.Seat, desk: Desk, chosen: Chosen) -> Shown:
    letters = await causes.letters_of(desk, seat.viewer, chosen)
    deliveries = await causes.deliveries_of(desk, seat.viewer, chosen)
    if not letters and not deliveries:
        raise NotFoundException(seat.t("dl_settled"))
    line = await causes.line_of(desk, letters) if letters else None
    return Shown(
        chosen=chosen,
        plan=await causes.plan(desk, seat.viewer, chosen),
        letters=letters,
        deliveries=deliveries,
        line=line,
        versions=await _versions(desk, *line) if line else (),
    )


async def _versions(desk: Desk, connector: str, stem: str) -> list[tuple[int, str, str]]:
    """The live one first, then what was stored, the newest first, then the shipped file."""
    standing = await desk.mappings.versions.standing(connector, stem)
    stored = [*await desk.mappings.versions.all(connector, stem), await desk.mappings.version(connector, stem, SHIPPED)]
    known = [(one.number, name_of(one), standing.state(one.number).value) for one in stored]
    return sorted(known, key=lambda one: one[0] != standing.live)


async def _page(
    request: Request[Any, Any, Any],
    desk: Desk,
    shown: Shown,
    *,
    tried: Tried | None = None,
    fault: str = "",
    own: str = "",
    number: int | None = None,
) -> Response[Any]:
    seat = frame.seat_of(request)
    look: Look | None = None
    why = ""
    if shown.letters and shown.letters[0].stage != "fetch":
        look, why = await flow.look(seat, desk, shown.letters[0].entry)
    return frame.page(
        request, "dead_group.html", now=desk.clock.now(), here="dead", shown=shown, listed=_LISTED, look=look, why=why, tried=tried,
        fault=fault, own=own, number=number,
    )  # fmt: skip


# ---------------------------------------------------------------------- rejects
async def reject_parts(seat: frame.Seat, desk: Desk) -> dict[str, str]:
    """What was refused in the chosen time."""
    hours = _hours(seat)
    found, whole = await refused.since(desk, seat.viewer, at=desk.clock.now() - hours * refused.DAY // 24)
    given = {"groups": refused.grouped(found), "rows": found[::-1][:_ROWS], "whole": whole, "total": len(found)}
    return {"rejects": frame.fragment("parts/rejects.html", seat, desk.clock.now(), **given)}


@get("/dead/rejects")
async def rejects(request: Request[Any, Any, Any], desk: NamedDependency[Desk]) -> Response[Any]:
    """By account and reason; from whom and how large, never what was in them."""
    seat = frame.seat_of(request)
    hours = _hours(seat)
    if seat.query.get("format") == "csv":
        found, _ = await refused.since(desk, seat.viewer, at=desk.clock.now() - hours * refused.DAY // 24)
        await desk.did(seat.viewer, "export", "rejects", rows=len(found))
        rows = [{**msgspec.structs.asdict(one), "at": text(one.at)} for one in found]
        return export.csv("rejects", ("id", "at", "account", "reason", "detail", "peer", "size"), rows)
    return frame.page(
        request, "rejects.html", now=desk.clock.now(), here="dead", parts=await reject_parts(seat, desk), hours=hours, choices=_HOURS
    )  # fmt: skip


def _hours(seat: frame.Seat) -> int:
    asked = seat.query.get("hours", "24")
    return int(asked) if asked in {str(one) for one in _HOURS} else 24


@post("/dead/rejects/raw", opt=_ADMIN, status_code=200)
async def raw(request: Request[Any, Any, Any], desk: NamedDependency[Desk]) -> Response[Any]:
    """The first bytes of a refused request, for an admin; that they were looked at is recorded before they are shown."""
    fields = await frame.form(request)
    seat = frame.seat_of(request)
    one = await refused.one(desk, seat.viewer, fields.get("reject", ""))
    if one is None or one.body is None:
        raise NotFoundException(seat.t("rj_gone"))
    await desk.did(seat.viewer, "read_raw", one.id, account=one.account)
    body = desk.vault.open(one.body, one.id.encode())
    return frame.page(
        request, "raw.html", now=desk.clock.now(), here="dead", back="/console/dead/rejects", name=one.id,
        text=body.decode(errors="replace"), cut=len(body) if one.size > len(body) else 0, erased=False,
    )  # fmt: skip


PAGES = (dead, group, attempt, retry, drop, rejects, raw)
LIVE = (("/console/dead", parts), ("/console/dead/rejects", reject_parts))
