"""What is decided on the page of a mapping: each act is on the trail before it is done, and in force within two seconds."""

from typing import Any

from litestar import Request, Response, post
from litestar.di import NamedDependency
from litestar.params import FromPath
from litestar.response import Redirect

from gateway.console import frame
from gateway.console import mappings as pages
from gateway.desk.resources import Desk
from gateway.errors import ConfigError

_OPERATOR = {frame.ROLE: "operator", frame.WHOLE: True}
_ADMIN = {frame.ROLE: "admin", frame.WHOLE: True}
_LAST = 500


@post("/mappings/{connector:str}/{stem:str}", opt=_OPERATOR, status_code=200)
async def check(
    request: Request[Any, Any, Any], desk: NamedDependency[Desk], connector: FromPath[str], stem: FromPath[str]
) -> Response[Any]:
    """Say what is wrong with a text; nothing is stored."""
    fields = await frame.form(request)
    place = await pages.place_of(desk, connector, stem)
    text = fields.get("text", "").replace("\r\n", "\n")
    checked = await desk.mappings.check(connector, stem, text)
    marks = [checked.fault] if checked.fault else []
    seat = frame.seat_of(request)
    shown = {
        "standing": frame.fragment(
            "parts/mapping_standing.html", seat, desk.clock.now(), place=place, tab="edit", rate=None
        )
    }
    return pages.answer(
        request, desk, place, shown, tab="edit", text=text, note=fields.get("note", ""), checked=checked, hint=None,
        lines=pages.lines_of(text, marks) if marks else [],
    )  # fmt: skip


@post("/mappings/{connector:str}/{stem:str}/save", opt=_ADMIN, status_code=200)
async def save(
    request: Request[Any, Any, Any], desk: NamedDependency[Desk], connector: FromPath[str], stem: FromPath[str]
) -> Response[Any]:
    """Store a text as a draft."""
    fields = await frame.form(request)
    desk.mappings.need(connector, stem)
    viewer = frame.seat_of(request).viewer
    await desk.did(viewer, "mapping_store", f"{connector}/{stem}")
    stored = await desk.mappings.add(
        connector, stem, fields.get("text", ""), by=viewer.actor, note=fields.get("note", ""),
        base=fields.get("base", "")[:100],
    )  # fmt: skip
    return _back(connector, stem, tab="versions", version=stored.number, did="saved")


@post("/mappings/{connector:str}/{stem:str}/shadow", opt=_OPERATOR, status_code=200)
async def shadow(
    request: Request[Any, Any, Any], desk: NamedDependency[Desk], connector: FromPath[str], stem: FromPath[str]
) -> Response[Any]:
    """Ask for a shadow run."""
    fields = await frame.form(request)
    viewer, number = frame.seat_of(request).viewer, _number(fields, "version")
    desk.mappings.need(connector, stem)
    most = _number(fields, "last") if fields.get("last") else _LAST
    await desk.did(viewer, "mapping_shadow", f"{connector}/{stem}/{number}", entries=most)
    run = await desk.shadows.ask(connector, stem, number, most=most, by=viewer.actor)
    return _back(connector, stem, tab="shadow", run=run.id)


@post("/mappings/{connector:str}/{stem:str}/canary", opt=_ADMIN, status_code=200)
async def canary(
    request: Request[Any, Any, Any], desk: NamedDependency[Desk], connector: FromPath[str], stem: FromPath[str]
) -> Response[Any]:
    """Give a version a share, or another share."""
    fields = await frame.form(request)
    viewer, number, share = frame.seat_of(request).viewer, _number(fields, "version"), _number(fields, "share")
    await desk.did(viewer, "mapping_canary", f"{connector}/{stem}/{number}", share=share)
    await desk.mappings.canary(connector, stem, number, share, by=viewer.actor)
    return _back(connector, stem, tab="canary", did="canary")


@post("/mappings/{connector:str}/{stem:str}/promote", opt=_ADMIN, status_code=200)
async def promote(
    request: Request[Any, Any, Any], desk: NamedDependency[Desk], connector: FromPath[str], stem: FromPath[str]
) -> Response[Any]:
    """Let a version read everything."""
    fields = await frame.form(request)
    viewer, number = frame.seat_of(request).viewer, _number(fields, "version")
    await desk.did(viewer, "mapping_promote", f"{connector}/{stem}/{number}")
    await desk.mappings.promote(connector, stem, number, by=viewer.actor)
    return _back(connector, stem, tab="versions", did="promoted")


@post("/mappings/{connector:str}/{stem:str}/withdraw", opt=_OPERATOR, status_code=200)
async def withdraw(
    request: Request[Any, Any, Any], desk: NamedDependency[Desk], connector: FromPath[str], stem: FromPath[str]
) -> Response[Any]:
    """End the canary."""
    await frame.form(request)
    viewer = frame.seat_of(request).viewer
    await desk.did(viewer, "mapping_withdraw", f"{connector}/{stem}")
    await desk.mappings.withdraw(connector, stem, by=viewer.actor)
    return _back(connector, stem, tab="canary", did="withdrawn")


@post("/mappings/{connector:str}/{stem:str}/rollback", opt=_OPERATOR, status_code=200)
async def rollback(
    request: Request[Any, Any, Any], desk: NamedDependency[Desk], connector: FromPath[str], stem: FromPath[str]
) -> Response[Any]:
    """Let one of the last three that were live read again."""
    fields = await frame.form(request)
    viewer = frame.seat_of(request).viewer
    number = _number(fields, "version") if fields.get("version") else None
    await desk.did(viewer, "mapping_rollback", f"{connector}/{stem}", to="" if number is None else number)
    await desk.mappings.roll_back(connector, stem, number, by=viewer.actor)
    return _back(connector, stem, tab="versions", did="rolled_back")


@post("/mappings/{connector:str}/{stem:str}/retire", opt=_ADMIN, status_code=200)
async def retire(
    request: Request[Any, Any, Any], desk: NamedDependency[Desk], connector: FromPath[str], stem: FromPath[str]
) -> Response[Any]:
    """Give a draft up."""
    fields = await frame.form(request)
    viewer, number = frame.seat_of(request).viewer, _number(fields, "version")
    await desk.did(viewer, "mapping_retire", f"{connector}/{stem}/{number}")
    await desk.mappings.retire(connector, stem, number, by=viewer.actor)
    return _back(connector, stem, tab="versions", did="retired")


ACTS = (check, save, shadow, canary, promote, withdraw, rollback, retire)
"""Every handler here."""


def _number(fields: dict[str, str], name: str) -> int:
    text = fields.get(name, "")
    if not text.isdecimal() or len(text) > 9:
        raise ConfigError(f"{name} is a whole number", place=name)
    return int(text)


def _back(connector: str, stem: str, **query: str | int) -> Redirect:
    asked = "&".join(f"{name}={value}" for name, value in query.items())
    return Redirect(f"{pages.PATH}/{connector}/{stem}?{asked}", status_code=303)
