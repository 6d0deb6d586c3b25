"""Events: the feed to poll in the place of webhooks, and what is due to an endpoint that is polled."""

from typing import Annotated, Any

import msgspec
from litestar import Response, get
from litestar.di import NamedDependency
from litestar.params import FromPath, QueryParameter

from gateway import access
from gateway.access import Viewer
from gateway.api import answers
from gateway.api.answers import Limit
from gateway.api.problems import Problem, not_found
from gateway.api.signature import REFUSES
from gateway.api.turns import WAITS
from gateway.desk import feed as feeds
from gateway.desk import polling, subscribers
from gateway.desk.feed import Asked, Feed
from gateway.desk.polling import Polling
from gateway.desk.resources import Desk
from gateway.model import event
from gateway.pipeline import operators

_SCOPE = {"scope": "events:read"}
_NOW = "now"
Wait = Annotated[
    int, QueryParameter(ge=0, le=30, description="Seconds to wait when there is nothing; the answer comes with the first event.")
]  # fmt: skip


class EventSeen(event.Event, frozen=True, kw_only=True):
    """An event as a webhook would carry it for this client. `withheld` are the classes of which something was left out; `erased` those of which
    something cannot be read by anybody any more; `sealed` is a compact JWE of what an endpoint that is polled has sealed to its own key."""

    withheld: tuple[str, ...] = ()
    erased: tuple[str, ...] = ()
    sealed: str = ""


class Feeding(msgspec.Struct, frozen=True, kw_only=True):
    """A stretch of the feed. `next` is always there: keep it, and ask with it as `after`. `more` says that there is more to be had at once."""

    items: tuple[EventSeen, ...]
    next: str
    more: bool


class Handing(msgspec.Struct, frozen=True, kw_only=True):
    """What is due to the endpoint, in line. Asking with `next` as `after` acknowledges `items`; until then they come again. `more` says that
    there is more to be had at once."""

    items: tuple[EventSeen, ...]
    next: str
    more: bool


@get("/events", opt={**_SCOPE, REFUSES: (410,), WAITS: True})
async def events(
    viewer: NamedDependency[Viewer],
    feed: NamedDependency[Feed],
    after: Annotated[
        str | None,
        QueryParameter(
            description="The `next` of the answer before; `now` for what is yet to happen; without it the oldest that is kept.",
            max_length=400,
        ),
    ] = None,
    limit: Limit = 100,
    types: Annotated[
        str, QueryParameter(description="Types, comma-separated: `order.paid`, `order.*`, `*`.", max_length=1000)
    ] = "*",
    subject: Annotated[
        str | None, QueryParameter(description="Only about this record (our id).", max_length=100)
    ] = None,
    wait: Wait = 0,
) -> Response[Feeding]:
    """What happened, in the order in which it was written down; nothing is missed and nothing comes twice while you go on from `next`.

    To follow it: ask with `wait=30`, work on `items`, keep `next`, and ask again with it as `after`. With nothing new the answer comes when the
    wait is over, empty, and with a `next` all the same. `operator.*` is told to whoever has the scope ops:read, when asked for by name.

    410 when your `after` is older than what is kept: read what you missed from the lists by `updated_since`, and begin again without `after`.
    """
    asked = Asked(types=_types(types, viewer), subject=subject)
    page = await feed.page(viewer, asked, after=await _place(after, feed), limit=limit, wait=wait)
    if page is None:
        raise Problem(
            410,
            "request.cursor_gone",
            "events behind this cursor are kept no longer",
            place="query.after",
            remedy="read what you missed from the lists by updated_since, and begin again without after",
        )
    return _fresh({"items": page.items, "next": answers.cursor(page.number), "more": page.more})


def _types(text: str, viewer: Viewer) -> frozenset[str]:
    asked = [one.strip() for one in text.split(",") if one.strip()]
    for one in asked:
        if not feeds.names([one]):
            raise Problem(
                400,
                "request.invalid",
                f"no event type is called {one[:60]!r}",
                place="query.types",
                remedy=", ".join((*event.TYPES, *operators.TYPES)),
            )
    found = feeds.names(asked or ["*"])
    if feeds.of_operators(found) and not viewer.may("ops:read"):
        raise Problem(
            403, "client.scope", "operator events need the scope ops:read", place="query.types", remedy="ask the gateway's operator for it"
        )  # fmt: skip
    return found


async def _place(after: str | None, feed: Feed) -> int | None:
    if after == _NOW:
        return await feed.newest()
    place = answers.place(after, int)
    number: int | None = place[0] if place else None
    return number


@get("/endpoints/{name:str}/events", opt={**_SCOPE, REFUSES: (409,), WAITS: True})
async def fetch(
    viewer: NamedDependency[Viewer],
    client: NamedDependency[access.Client],
    desk: NamedDependency[Desk],
    handing: NamedDependency[Polling],
    name: FromPath[str],
    after: Annotated[
        str | None,
        QueryParameter(description="The `next` of the answer before: what that held is acknowledged.", max_length=400),
    ] = None,
    limit: Limit = 100,
    wait: Wait = 0,
) -> Response[Handing]:
    """What is due to an endpoint of kind `poll`: its types, unit and filter, under its grants, at least once and in order for each record.

    Work on `items`, and ask with `next` as `after`: that acknowledges them. Without it, or with an older one, what was not acknowledged comes
    again, also after a restart on either side; tell repetitions by their `id`. Two who ask at once get the same.

    403 when the endpoint names another client, names none and you lack endpoints:write, or may see more than you. 409 while it is paused or
    disabled.
    """
    entry = await subscribers.one(desk, viewer, name)
    if entry is None:
        raise not_found("endpoint")
    if refusal := polling.refusal(client, viewer, entry, desk.clock.now()):
        raise Problem(403, "client.overreach", refusal, remedy="ask the gateway's operator")
    await _need_on(desk, name, paused=entry.endpoint.paused)
    place = answers.place(after, str)
    handed = await handing.fetch(entry, acknowledged=place[0] if place else "", limit=limit, wait=wait)
    page = handed.page or (place[0] if place else "")
    return _fresh({"items": handed.items, "next": answers.cursor(page), "more": handed.more})


async def _need_on(desk: Desk, name: str, *, paused: bool) -> None:
    state = "paused" if paused else "disabled" if name in await desk.records.disabled() else ""
    if state:
        raise Problem(
            409, "endpoint.silent", f"the endpoint is {state}: nothing is handed over", remedy=f"POST /api/v1/endpoints/{name}/enable"
        )  # fmt: skip


def _fresh(body: dict[str, Any]) -> Response[Any]:
    return Response(msgspec.json.encode(body), media_type="application/json", headers={"cache-control": "no-store"})


ROUTES = (events, fetch)
"""Every handler of this resource."""
