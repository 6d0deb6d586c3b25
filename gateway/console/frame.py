"""What all pages share: who sits there, the language, the template, the parts that change by themselves, and the headers that keep a page ours."""

import hashlib
import hmac
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import jinja2
import msgspec
from litestar import Request, Response
from litestar.connection import ASGIConnection
from litestar.exceptions import HTTPException
from litestar.handlers import BaseRouteHandler
from litestar.types import Guard
from markupsafe import Markup, escape

from gateway import access
from gateway.clock import SECOND, instant, moment
from gateway.console import words
from gateway.desk.resources import Desk
from gateway.desk.users import Entered, Users

HERE = Path(__file__).parent
STATIC = HERE / "static"
COOKIE = "gateway_console"
DEVICE = "gateway_device"
"""The cookie of a browser in which somebody came in with both factors."""
OPEN = "open"
"""A handler's ``opt`` that needs nobody to be signed in."""
ROLE = "role"
"""A handler's ``opt``: the least role; viewer when absent."""
WHOLE = "whole"
"""A handler's ``opt``: it concerns the whole house, and is not for somebody of one org unit."""
QUIET = "quiet"
"""A handler's ``opt``: a browser asks by itself, which is no use of the session."""

# Nothing but what we ship; no inline script or style, no frame, no form elsewhere. A page that shows people must not leak them.
POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; connect-src 'self'; font-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    # Not "no-referrer": a form's own origin would then be told as null, and could not be known from another site's.
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cache-control": "no-store",
}


async def dressed(answer: Response[Any]) -> Response[Any]:
    """Whatever a handler answers, a redirect with a cookie included, carries the headers of a page."""
    for name, value in HEADERS.items():
        answer.headers.setdefault(name, value)
    return answer


async def sniffless(answer: Response[Any]) -> Response[Any]:
    """What a file of ours is, its type says."""
    answer.headers.setdefault("x-content-type-options", "nosniff")
    return answer


class Seat(msgspec.Struct, frozen=True, kw_only=True):
    """One request of somebody signed in (or, on the way in, of nobody yet)."""

    lang: str
    path: str
    query: Mapping[str, str]
    viewer: access.Viewer
    user: str = ""
    role: str = ""
    csrf: str = ""
    zone: str = "Asia/Shanghai"

    def t(self, key: str, **values: object) -> str:
        """The words for a key in this seat's language."""
        return words.say(key, self.lang, **values)

    def may(self, role: str) -> bool:
        """Whether the person has at least this role."""
        return self.viewer.may(role)

    def link(self, path: str = "", **changes: str | int | None) -> str:
        """This page, or another, with query parameters changed; None takes one away."""
        kept = dict(self.query) if not path else {}
        kept.update({name: str(value) for name, value in changes.items() if value is not None})
        left = {name: value for name, value in kept.items() if name not in changes or changes[name] is not None}
        return f"{path or self.path}?{urlencode(left)}" if left else (path or self.path)


Parts = Callable[[Seat, Desk], Awaitable[dict[str, str]]]
"""The parts of a page that change by themselves, as HTML, by the id of the element they fill."""


class SignIn(HTTPException):
    """Somebody has to sign in first; ``step`` is the path that does it."""

    def __init__(self, step: str) -> None:
        super().__init__("sign in first", status_code=401)
        self.step = step


def watch(users: Users) -> Guard:
    """Nobody comes in without a verified session, and nothing is changed from another site.

    Sets ``entered`` and ``viewer`` in the state. SignIn when there is no session, 403 when the role is too low.
    """

    async def guard(connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler) -> None:
        if connection.scope.get("method") == "POST" and not _same_site(connection):
            raise HTTPException("this form was sent from elsewhere", status_code=403)
        cookie = connection.cookies.get(COOKIE, "")
        entered = await users.recall(cookie, touch=not handler.opt.get(QUIET)) if cookie else None
        connection.scope["state"]["entered"] = entered
        if handler.opt.get(OPEN):
            return
        if entered is None:
            raise SignIn("/console/enter")
        if not entered.session.verified:
            raise SignIn("/console/second")
        viewer = users.viewer(entered.user)
        connection.scope["state"]["viewer"] = viewer
        if not allowed(handler.opt, viewer):
            raise HTTPException("your role does not allow this", status_code=403)

    return guard


def allowed(opt: Mapping[str, Any], viewer: access.Viewer) -> bool:
    """Whether what says this of itself is for the viewer."""
    return viewer.may(opt.get(ROLE, "viewer")) and not (opt.get(WHOLE) and viewer.domain is not None)


def _same_site(connection: ASGIConnection[Any, Any, Any, Any]) -> bool:
    origin = connection.headers.get("origin", "")
    return not origin or urlsplit(origin).netloc == connection.headers.get("host", "")


NOBODY = access.Viewer(actor="nobody", scopes=frozenset(), grants=access.LEAST)


def seat_of(request: Request[Any, Any, Any]) -> Seat:
    """Who sits there."""
    state = request.scope["state"]
    entered: Entered | None = state.get("entered")
    return Seat(
        lang=lang_of(request),
        path=request.url.path,
        query={name: value for name, value in request.query_params.items() if name != "lang"},
        viewer=state.get("viewer", NOBODY),
        user=entered.user.name if entered else "",
        role=entered.user.role.value if entered else "",
        csrf=entered.session.csrf if entered else "",
    )


def lang_of(request: Request[Any, Any, Any]) -> str:
    """``?lang=``, else the cookie, else what the browser prefers: zh or en."""
    asked = request.query_params.get("lang") or request.cookies.get("lang", "")
    if asked in words.LANGUAGES:
        return asked
    return "zh" if "zh" in request.headers.get("accept-language", "zh").lower() else "en"


async def form(request: Request[Any, Any, Any]) -> dict[str, str]:
    """The posted fields. 403 unless the session's own token came with them."""
    posted = await fields(request)
    entered: Entered | None = request.scope["state"].get("entered")
    given = posted.pop("csrf", "") or request.headers.get("x-csrf", "")
    if entered is None or not hmac.compare_digest(given.encode(), entered.session.csrf.encode()):
        raise HTTPException("this form is stale: reload the page and send it again", status_code=403)
    return posted


async def fields(request: Request[Any, Any, Any]) -> dict[str, str]:
    """The posted fields that are text, of whoever posted them."""
    return {name: value for name, value in (await request.form()).items() if isinstance(value, str)}


def over_tls(request: Request[Any, Any, Any]) -> bool:
    """Whether the browser reached us over TLS, be it through a proxy."""
    told = request.headers.get("x-forwarded-proto", "").partition(",")[0].strip().lower()
    return request.url.scheme == "https" or told == "https"


# ---------------------------------------------------------------------- rendering
def _version() -> str:
    digest = hashlib.blake2b(digest_size=4)
    for file in sorted(STATIC.rglob("*")):
        if file.is_file():
            digest.update(file.read_bytes())
    return digest.hexdigest()


_env = jinja2.Environment(
    loader=jinja2.FileSystemLoader(HERE / "templates"),
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_env.globals["version"] = _version()


def _ago(instant: int | None, now: int, seat: Seat) -> str:
    """``3 min ago`` and the like; an em dash for never."""
    if instant is None:
        return "—"
    seconds = max(0, now - instant) // SECOND
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= size:
            return seat.t(f"ago_{unit}", n=seconds // size)
    return seat.t("ago_s", n=seconds)


def lasting(seconds: float, seat: Seat) -> str:
    """``3 d 4 h``, ``12 min``, ``40 s``: the two largest parts."""
    left = int(max(0, seconds))
    found: list[str] = []
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1)):
        if left >= size and len(found) < 2:
            found.append(seat.t(f"last_{unit}", n=left // size))
            left %= size
    return " ".join(found) or seat.t("last_s", n=0)


def _when(instant: int | None, seat: Seat) -> str:
    """Local time to the second."""
    return "—" if instant is None else local(instant, seat).strftime("%Y-%m-%d %H:%M:%S")


def local(instant: int, seat: Seat) -> datetime:
    """An instant in the seat's zone."""
    return moment(instant).astimezone(words.zone(seat.zone))


def _compact(value: float | int | None) -> str:
    """``1,234``, ``12.3k``, ``4.5M``; an em dash for nothing."""
    if value is None:
        return "—"
    for size, letter in ((1_000_000, "M"), (10_000, "k")):
        if abs(value) >= size:
            return f"{value / (1000 if letter == 'k' else size):.1f}{letter}"
    return f"{value:,.0f}" if float(value).is_integer() or abs(value) >= 100 else f"{value:.1f}"


_env.filters.update(compact=_compact)
_env.filters["json"] = lambda value: Markup(  # noqa: S704 - escaped for an attribute just here
    escape(msgspec.json.encode(value).decode())
)


def fragment(template: str, seat: Seat, now: int, **context: Any) -> str:
    """One part as HTML."""
    return _env.get_template(template).render(_given(seat, now), **context)


def _given(seat: Seat, now: int) -> dict[str, Any]:
    return {
        "seat": seat,
        "t": seat.t,
        "now": now,
        "ago": lambda instant: _ago(instant, now, seat),
        "when": lambda instant: _when(instant, seat),
        "told": lambda said: _when(instant(datetime.fromisoformat(said)), seat),
        "lasting": lambda seconds: lasting(seconds, seat),
    }


# Page, path, and the least role: what somebody may not open is not offered.
NAV = (
    ("overview", "/console", "viewer"),
    ("connectors", "/console/connectors", "viewer"),
    ("flow", "/console/flow", "viewer"),
    ("dead", "/console/dead", "viewer"),
    ("endpoints", "/console/endpoints", "viewer"),
    ("mappings", "/console/mappings", "viewer"),
    ("matches", "/console/matches", "viewer"),
    ("customers", "/console/customers", "viewer"),
    ("alerts", "/console/alerts", "viewer"),
    ("audit", "/console/audit", "operator"),
    ("settings", "/console/settings", "operator"),
)


def page(
    request: Request[Any, Any, Any],
    template: str,
    *,
    now: int,
    status: int = 200,
    parts: Mapping[str, str] | None = None,
    **context: Any,
) -> Response[str]:
    """A whole page. ``parts`` are placed as they are: they were rendered by ``fragment``."""
    seat = seat_of(request)
    placed = {name: Markup(html) for name, html in (parts or {}).items()}  # noqa: S704 - made by our own templates
    given = {"here": "", "nav": NAV, "status": status, **_given(seat, now), **context}
    html = _env.get_template(template).render(given, parts=placed)
    answer = Response(html, status_code=status, media_type="text/html; charset=utf-8", headers=HEADERS)
    if (asked := request.query_params.get("lang")) and asked in words.LANGUAGES:
        answer.set_cookie("lang", asked, max_age=31_536_000, samesite="strict", path="/console")
    return answer
