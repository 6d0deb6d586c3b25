"""Signing in: password, then the second factor, which is enrolled the first time."""

from typing import Any
from urllib.parse import urlsplit

import segno
from litestar import Request, Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath
from litestar.response import Redirect

from gateway import limiter
from gateway.console import frame
from gateway.desk import factors
from gateway.desk.resources import Desk
from gateway.desk.users import Entered

_OPEN = {frame.OPEN: True}
_MOST = 8192
# Guessing is slowed by address before a password is even hashed.
_TRIES = limiter.Rate(0.5, 10.0)
# A browser that is known has a pace of its own: whoever shares its address, or its proxy's, cannot use it up.
_OWN_TRIES = limiter.Rate(1 / 60, 5.0)
# Strangers must not fill the trail: beyond this their tries are counted in the user's lock only.
_TOLD = limiter.Rate(0.1, 200.0)


@get("/enter", opt=_OPEN)
async def enter(request: Request[Any, Any, Any], desk: NamedDependency[Desk]) -> Response[Any]:
    """The form; to the overview for who is in already."""
    if (entered := _entered(request)) and entered.session.verified:
        return Redirect("/console")
    return _not_in(request, desk, status=200, anybody=await desk.users.any())


@post("/enter", opt=_OPEN, status_code=200, request_max_body_size=_MOST)
async def entering(request: Request[Any, Any, Any], desk: NamedDependency[Desk]) -> Response[Any]:
    """Name and password. The answer is the same for whatever was wrong."""
    fields = await frame.fields(request)
    name, device = fields.get("name", ""), request.cookies.get(frame.DEVICE, "")
    peer = request.client.host if request.client else ""
    if not await _paced(desk, peer, name, device):
        return _not_in(request, desk, status=429, anybody=True)
    found = await desk.users.enter(name, fields.get("password", ""), peer=peer, device=device)
    if found is None:
        # Nobody is known by what a stranger types, least of all by a password that went into the wrong field.
        about = f"user/{name}" if await desk.users.there(name) else "user/?"
        await _tell(desk, "sign_in_refused", about)
        return _not_in(request, desk, status=401, anybody=True)
    return _with_cookie(request, Redirect(f"/console/second?next={_next(request)}"), found)


async def _paced(desk: Desk, peer: str, name: str, device: str) -> bool:
    known = desk.users.devices.knows(name, device)
    key, rate = (f"console:device:{device[:32]}", _OWN_TRIES) if known else (f"console:{peer}", _TRIES)
    return isinstance(await desk.limits.take(key, rate), limiter.Granted)


async def _tell(desk: Desk, verb: str, about: str) -> None:
    """On the trail, by nobody."""
    if isinstance(await desk.limits.take("console:told", _TOLD), limiter.Granted):
        await desk.trail.record([desk.act("console:", verb, about)])


def _not_in(request: Request[Any, Any, Any], desk: Desk, *, status: int, anybody: bool) -> Response[Any]:
    return frame.page(
        request, "enter.html", now=desk.clock.now(), status=status, said=_SAID.get(status, ""), anybody=anybody, next=_next(request)
    )  # fmt: skip


_SAID = {401: "enter_wrong", 429: "enter_often"}


@get("/second", opt=_OPEN)
async def second(request: Request[Any, Any, Any], desk: NamedDependency[Desk]) -> Response[Any]:
    """The code; or the picture to scan for who has no second factor yet."""
    entered = _entered(request)
    if entered is None:
        return Redirect("/console/enter")
    if entered.session.verified:
        return Redirect("/console")
    return _second(request, desk, entered, wrong=False)


def _second(
    request: Request[Any, Any, Any], desk: Desk, entered: Entered, *, wrong: bool, secret: str = ""
) -> Response[Any]:
    context: dict[str, Any] = {"wrong": wrong, "next": _next(request), "secret": "", "picture": ""}
    if not entered.user.totp:
        secret = secret if factors.offered(secret) else factors.offer()
        uri = factors.uri_of(secret, entered.user.name, "SCRM gateway")
        context.update(secret=secret, picture=segno.make(uri, error="m").svg_data_uri(scale=4, border=3, light="#fff"))
    return frame.page(request, "second.html", now=desk.clock.now(), status=401 if wrong else 200, **context)


@post("/second", opt=_OPEN, status_code=200, request_max_body_size=_MOST)
async def showing(request: Request[Any, Any, Any], desk: NamedDependency[Desk]) -> Response[Any]:
    """The code. On the first time it also proves that the authenticator was set up."""
    entered = _entered(request)
    if entered is None:
        return Redirect("/console/enter")
    fields = await frame.form(request)
    code, secret = fields.get("code", "").replace(" ", ""), fields.get("secret", "")
    if entered.user.totp:
        found = await desk.users.show(entered, code)
    else:
        found = await desk.users.enrol(entered, secret, code)
    if found is None:
        await _tell(desk, "second_factor_refused", f"user/{entered.user.name}")
        return _second(request, desk, entered, wrong=True, secret=secret)
    await desk.users.leave(request.cookies.get(frame.COOKIE, ""))
    await desk.trail.record([desk.act(f"console:{found.user.name}", "sign_in", "console")])
    return _known(request, desk, _with_cookie(request, Redirect(_next(request)), found), found)


@get("/ticket/{text:str}", opt=_OPEN)
async def ticket(request: Request[Any, Any, Any], desk: NamedDependency[Desk], text: FromPath[str]) -> Response[Any]:
    """A link that `gateway users ticket` showed: good once."""
    peer = request.client.host if request.client else ""
    # Not paced: nobody guesses one, and whoever shares an address with an attacker may have no other way in.
    found = await desk.users.redeem(text, peer=peer)
    if found is None:
        await _tell(desk, "ticket_refused", "console")
        return Redirect("/console/enter")
    await desk.trail.record([desk.act(f"console:{found.user.name}", "sign_in", "console", by="ticket")])
    return _known(request, desk, _with_cookie(request, Redirect("/console"), found), found)


@post("/leave", opt=_OPEN, status_code=200, request_max_body_size=_MOST)
async def leave(request: Request[Any, Any, Any], desk: NamedDependency[Desk]) -> Response[Any]:
    """End the session."""
    await frame.form(request)
    await desk.users.leave(request.cookies.get(frame.COOKIE, ""))
    answer = Redirect("/console/enter")
    answer.delete_cookie(frame.COOKIE, path="/console")
    return answer


def _entered(request: Request[Any, Any, Any]) -> Entered | None:
    found: Entered | None = request.scope["state"].get("entered")
    return found


def _next(request: Request[Any, Any, Any]) -> str:
    """Where to go afterwards: a page of the console and nowhere else."""
    asked = request.query_params.get("next", "")
    parts = urlsplit(asked)
    fit = not parts.netloc and not parts.scheme and (asked == "/console" or asked.startswith("/console/"))
    return asked if fit and "\\" not in asked else "/console"


def _with_cookie(request: Request[Any, Any, Any], answer: Response[Any], entered: Entered) -> Response[Any]:
    answer.set_cookie(
        frame.COOKIE, entered.cookie, path="/console", httponly=True, samesite="strict", secure=frame.over_tls(request)
    )  # fmt: skip
    return answer


def _known(request: Request[Any, Any, Any], desk: Desk, answer: Response[Any], entered: Entered) -> Response[Any]:
    """This browser is where they came in with all they have: strangers do not lock it out."""
    if not desk.users.devices.knows(entered.user.name, request.cookies.get(frame.DEVICE, "")):
        answer.set_cookie(
            frame.DEVICE, desk.users.devices.made(entered.user.name), path="/console", max_age=15_552_000, httponly=True,
            samesite="strict", secure=frame.over_tls(request),
        )  # fmt: skip
    return answer
