"""Pages that keep themselves up to date: one stream of server-sent events a page, carrying only the parts that changed."""

import re
from collections.abc import AsyncIterator, Sequence
from typing import Any

import msgspec
from litestar import Request, get
from litestar.di import NamedDependency
from litestar.exceptions import NotFoundException
from litestar.response import ServerSentEvent, ServerSentEventMessage

from gateway.console import frame
from gateway.desk.resources import Desk
from gateway.errors import GatewayError

EVERY = 2.0
# A proxy that cuts idle connections must see something; and a signed-out browser must notice within this time.
_LONGEST = 120.0


class Lives:
    """Which parts a path has: regular expressions of paths, first match wins."""

    def __init__(self, known: Sequence[tuple[str, frame.Parts]]) -> None:
        self._known = [(re.compile(f"{path}\\Z"), parts) for path, parts in known]

    def find(self, path: str) -> frame.Parts | None:
        """The parts of the page at ``path``, or None for a page that stands still."""
        return next((parts for pattern, parts in self._known if pattern.match(path)), None)


@get("/live")
async def live(
    request: Request[Any, Any, Any], desk: NamedDependency[Desk], lives: NamedDependency[Lives]
) -> ServerSentEvent:
    """``?at=<path of the page>`` and the page's own query beside it."""
    seat = frame.seat_of(request)
    at = request.query_params.get("at", "")
    parts = lives.find(at)
    if parts is None:
        raise NotFoundException("this page has nothing that changes by itself")
    query = {name: value for name, value in seat.query.items() if name != "at"}
    return ServerSentEvent(_changes(msgspec.structs.replace(seat, path=at, query=query), desk, parts))


async def _changes(seat: frame.Seat, desk: Desk, parts: frame.Parts) -> AsyncIterator[ServerSentEventMessage]:
    shown: dict[str, str] = {}
    end = desk.clock.monotonic() + _LONGEST
    while desk.clock.monotonic() < end:
        try:
            fresh = await parts(seat, desk)
        except GatewayError:
            # The page stays as it is; the script says that it is behind.
            yield ServerSentEventMessage(event="behind", data="1")
            fresh = shown
        changed = {name: html for name, html in fresh.items() if shown.get(name) != html}
        yield ServerSentEventMessage(event="parts", data=msgspec.json.encode(changed).decode())
        shown = fresh
        await desk.clock.sleep(EVERY)
