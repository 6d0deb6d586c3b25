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
from gateway.desk.resources import Desk
from gateway.desk.users import Entered, uri_of

_OPEN = {frame.OPEN: True}
# Guessing is slowed by address before a password is even hashed.
_TRIES = limiter.Rate(0.5, 10.0)


@get("/enter", opt=_OPEN)
async def enter(request: Request[Any, Any, Any], desk: NamedDependency[Desk]) -> Response[Any]:
    """The form; to the overview for who is in already."""
    if (entered := _entered(request)) and entered.session.verified:
        return Redirect("/console")
    return frame.page(
        request, "enter.html", now=desk.clock.now(), wrong=False, anybody=await desk.users.any(), next=_next(request)
    )


@post("/enter", opt=_OPEN, status_code=200)
async def entering(request: Request[Any, Any, Any], desk: NamedDependency[Desk]) -> Response[Any]:
    """Name and password. The answer is the same for whatever was wrong."""
    fields = {name: str(value) for name, value in (await request.form()).items()}
    peer = request.client.host if request.client else ""
    paced = await desk.limits.take(f"console:{peer}", _TRIES)
    found = None
    if isinstance(paced, limiter.Granted):
        found = await desk.users.enter(fields.get("name", ""), fields.get("password", ""), peer=peer)
    if found is None:
        await desk.trail.record([desk.act(f"console:{fields.get('name', '')[:40]}", "sign_in_refused", "console")])
        return frame.page(
            request, "enter.html", now=desk.clock.now(), status=401, wrong=True, anybody=True, next=_next(request)
        )
    return _with_cookie(request, Redirect(f"/console/second?next={_next(request)}"), found)


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
        secret = secret or desk.users.offer()
        uri = uri_of(secret, entered.user.name, "SCRM gateway")
        context.update(secret=secret, picture=segno.make(uri, error="m").svg_data_uri(scale=4, border=3, light="#fff"))
    return frame.page(request, "second.html", now=desk.clock.now(), status=401 if wrong else 200, **context)


@post("/second", opt=_OPEN, status_code=200)
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
        await desk.trail.record([desk.act(f"console:{entered.user.name}", "second_factor_refused", "console")])
        return _second(request, desk, entered, wrong=True, secret=secret)
    await desk.users.leave(request.cookies.get(frame.COOKIE, ""))
    await desk.trail.record([desk.act(f"console:{found.user.name}", "sign_in", "console")])
    return _with_cookie(request, Redirect(_next(request)), found)


@get("/ticket/{text:str}", opt=_OPEN)
async def ticket(request: Request[Any, Any, Any], desk: NamedDependency[Desk], text: FromPath[str]) -> Response[Any]:
    """A link that `gateway users ticket` showed: good once."""
    peer = request.client.host if request.client else ""
    paced = await desk.limits.take(f"console:{peer}", _TRIES)
    found = await desk.users.redeem(text, peer=peer) if isinstance(paced, limiter.Granted) else None
    if found is None:
        await desk.trail.record([desk.act("console:", "ticket_refused", "console")])
        return Redirect("/console/enter")
    await desk.trail.record([desk.act(f"console:{found.user.name}", "sign_in", "console", by="ticket")])
    return _with_cookie(request, Redirect("/console"), found)


@post("/leave", opt=_OPEN, status_code=200)
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
        frame.COOKIE,
        entered.cookie,
        path="/console",
        httponly=True,
        samesite="strict",
        secure=request.url.scheme == "https" or request.headers.get("x-forwarded-proto") == "https",
    )
    return answer
