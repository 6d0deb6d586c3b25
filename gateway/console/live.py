"""Pages that keep themselves up to date: one stream of server-sent events a page, carrying only the parts that changed.

A stream shows what its page would show to whoever asks at that moment: it ends with the session, and needs the page's own role.
"""

import re
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from typing import Any
from urllib.parse import unquote

import msgspec
from litestar import Request, get
from litestar.di import NamedDependency
from litestar.exceptions import HTTPException, NotFoundException, PermissionDeniedException, TooManyRequestsException
from litestar.handlers import HTTPRouteHandler
from litestar.response import ServerSentEvent, ServerSentEventMessage

from gateway import access
from gateway.console import frame
from gateway.desk.resources import Desk
from gateway.errors import GatewayError, Tampered

EVERY = 2.0
# A proxy that cuts idle connections must see something.
_LONGEST = 120.0
# Each is rendered anew every two seconds; nobody looks at more.
_MOST = 20


class Lives:
    """Which parts a path has (regular expressions of paths, first match wins), and what role its page needs."""

    def __init__(self, known: Sequence[tuple[str, frame.Parts]], pages: Sequence[HTTPRouteHandler]) -> None:
        self._known = [(re.compile(f"{path}\\Z"), parts) for path, parts in known]
        self.open: Counter[str] = Counter()
        # What a form answers with may be a page too; where somebody can look first, looking decides.
        self._looks, self._acts = (
            [(_pattern(path), page.opt) for page in pages for path in page.paths if method in page.http_methods]
            for method in ("GET", "POST")
        )

    def find(self, path: str) -> frame.Parts | None:
        """The parts of the page at ``path``, or None for a page that stands still."""
        return next((parts for pattern, parts in self._known if pattern.match(path)), None)

    def allow(self, path: str, viewer: access.Viewer) -> bool:
        """Whether the page at ``path`` is there for this viewer."""
        asked = [opt for pattern, opt in self._looks if pattern.match(path)]
        asked = asked or [opt for pattern, opt in self._acts if pattern.match(path)]
        return bool(asked) and all(frame.allowed(opt, viewer) for opt in asked)


def _pattern(path: str) -> re.Pattern[str]:
    """Of the addresses that a handler's path stands for."""
    return re.compile(f"/console{re.sub(r'{[^}]+}', '[^/]+', path).rstrip('/')}\\Z")


@get("/live", opt={frame.QUIET: True})
async def live(
    request: Request[Any, Any, Any], desk: NamedDependency[Desk], lives: NamedDependency[Lives]
) -> ServerSentEvent:
    """``?at=<path of the page>`` and the page's own query beside it."""
    seat = frame.seat_of(request)
    # As the browser has it in its address; names may be Chinese.
    at = unquote(request.query_params.get("at", ""))
    if lives.find(at) is None:
        raise NotFoundException("this page has nothing that changes by itself")
    if not lives.allow(at, seat.viewer):
        raise PermissionDeniedException("your role does not allow this")
    if lives.open[seat.user] >= _MOST:
        raise TooManyRequestsException("too many pages of yours are open")
    query = {name: value for name, value in seat.query.items() if name != "at"}
    seat = msgspec.structs.replace(seat, path=at, query=query)
    return ServerSentEvent(_counted(seat, desk, lives, request.cookies.get(frame.COOKIE, "")))


async def _counted(seat: frame.Seat, desk: Desk, lives: Lives, cookie: str) -> AsyncIterator[ServerSentEventMessage]:
    lives.open[seat.user] += 1
    try:
        async for message in _changes(seat, desk, lives, cookie):
            yield message
    finally:
        lives.open[seat.user] -= 1


async def _changes(seat: frame.Seat, desk: Desk, lives: Lives, cookie: str) -> AsyncIterator[ServerSentEventMessage]:
    shown: dict[str, str] = {}
    parts = lives.find(seat.path)
    end = desk.clock.monotonic() + _LONGEST
    while parts is not None and desk.clock.monotonic() < end and not desk.watch.closed:
        try:
            now_seated = await _seated(seat, desk, lives, cookie)
            if now_seated is None:
                return
            seat = now_seated
            fresh = await parts(seat, desk)
        except GatewayError as error:
            if isinstance(error, Tampered):
                await desk.witness.altered(error, stage="console")
            # The page stays as it is; the script says that it is behind.
            yield ServerSentEventMessage(event="behind", data="1")
            fresh = shown
        except HTTPException:
            # What the page was about is there no more.
            return
        changed = {name: html for name, html in fresh.items() if shown.get(name) != html}
        yield ServerSentEventMessage(event="parts", data=msgspec.json.encode(changed).decode())
        shown = fresh
        # A stream that is cut off when its door leaves is a fault to a browser; one that has ended is asked for again.
        await desk.watch.rest(EVERY)


async def _seated(seat: frame.Seat, desk: Desk, lives: Lives, cookie: str) -> frame.Seat | None:
    """Whoever sits there now, with what they may see now; None for nobody, or nobody who may."""
    entered = await desk.users.recall(cookie, touch=False)
    if entered is None or not entered.session.verified:
        return None
    viewer = desk.users.viewer(entered.user)
    if not lives.allow(seat.path, viewer):
        return None
    return msgspec.structs.replace(seat, viewer=viewer, role=entered.user.role.value)
