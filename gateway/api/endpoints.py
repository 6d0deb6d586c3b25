"""Endpoints: where events are sent. Made, changed, tried, paused and removed while the gateway runs.

A client acts within its domain, and only on endpoints that it could have made itself: it never has more sent than it may see.
"""

from datetime import datetime
from typing import Annotated, Any

import msgspec
from litestar import Request, Response, delete, get, patch, post, put
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody

from gateway import access, settings
from gateway.access import Viewer
from gateway.api import answers, endpoint_forms
from gateway.api.answers import After, Fields, Limit, Page
from gateway.api.endpoint_forms import EndpointAsked, EndpointMade, EndpointSeen, Name
from gateway.api.problems import Problem, not_found
from gateway.api.turns import WAITS
from gateway.book import Entry, need_rotatable
from gateway.clock import moment
from gateway.desk import subscribers
from gateway.desk.resources import Desk
from gateway.desk.subscribers import Standing
from gateway.errors import ConfigError, Stale
from gateway.subscription import Proof
from gateway.trial import trial

_READ = {"scope": "endpoints:read"}
_WRITE = {"scope": "endpoints:write"}
_LONGEST_OVERLAP = 30 * 86_400
_EXCERPT = 1024


class Rotation(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How to rotate."""

    overlap: Annotated[
        float, msgspec.Meta(ge=0, le=_LONGEST_OVERLAP, description="Seconds that the old one signs too.")
    ] = 86_400.0
    asymmetric: Annotated[bool, msgspec.Meta(description="A key pair (Ed25519, `v1a`) instead of a secret.")] = False


class Rotated(msgspec.Struct, frozen=True, kw_only=True):
    """`secret` is shown this once; of a key pair there is only `public_key` to know. What was there before signs too until `old_sign_until`."""

    secret: str | None
    public_key: str | None
    version: int
    old_sign_until: datetime | None


class Tested(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one signed `operator.test` event. `status` is the endpoint's answer, else `error` says what went wrong, and `ours` whether on
    the gateway's own side. `response` is the beginning of what came back."""

    event: str
    ok: bool
    status: int | None
    error: str | None
    ours: bool
    seconds: float
    response: str


# ------------------------------------------------------------------ looking
@get("/endpoints", opt=_READ)
async def endpoints(
    viewer: NamedDependency[Viewer],
    desk: NamedDependency[Desk],
    limit: Limit = 50,
    after: After = None,
    fields: Fields = None,
) -> Page[EndpointSeen]:
    """Endpoints within your domain, by name; those of the gateway's config too."""
    place = answers.place(after, str)
    left = [one for one in await subscribers.seen(desk, viewer) if place is None or one.endpoint.name > place[0]]
    items = [answers.sparse(endpoint_forms.shown(one), fields, key="name") for one in left[:limit]]
    return answers.page(items, answers.cursor(left[limit - 1].endpoint.name) if len(left) > limit else None)


@get("/endpoints/{name:str}", opt=_READ)
async def endpoint(
    viewer: NamedDependency[Viewer], desk: NamedDependency[Desk], name: FromPath[str]
) -> Response[EndpointSeen]:
    """One endpoint with every setting. Its entity tag is what a change has to name."""
    return _tagged(await _need(desk, viewer, name))


@get("/endpoints/{name:str}/health", opt=_READ)
async def health(viewer: NamedDependency[Viewer], desk: NamedDependency[Desk], name: FromPath[str]) -> Standing:
    """How it is: since when it fails and why, what waits for it, and whether its circuit is open."""
    return await subscribers.standing(desk, (await _need(desk, viewer, name)).endpoint)


# ------------------------------------------------------------------ making and changing
@post("/endpoints", opt={**_WRITE, "body": EndpointAsked})
async def make(
    viewer: NamedDependency[Viewer],
    client: NamedDependency[access.Client],
    desk: NamedDependency[Desk],
    data: JSONBody[dict[str, Any]],
) -> Response[EndpointMade]:
    """Make an endpoint. Its secret is in the answer this once. Events are sent to it from within a second on."""
    asked = dict(data)
    name = answers.fit(asked.pop("name", None), Name, "body.name")
    one = endpoint_forms.asked(asked)
    _need_fit(desk, viewer, client, one)
    endpoint_forms.need_sound(name, one, Proof())
    endpoint_forms.need_quick(one)
    if any(entry.endpoint.name == name for entry in await desk.book.entries()):
        raise Problem(
            409,
            "endpoint.taken",
            "there is an endpoint of this name already",
            place="body.name",
            remedy="choose another",
        )
    await desk.did(viewer, "make", f"endpoint/{name}", **endpoint_forms.facts(one))
    await desk.belongings.keep(name, client.id)
    try:
        made = await desk.book.make(name, one)
    except ConfigError as error:
        raise endpoint_forms.invalid(error) from error
    entry = await desk.book.entry(name)
    return _tagged(entry, status=201, location=f"/api/v1/endpoints/{name}", shown_once=made.text or None)


@put("/endpoints/{name:str}", opt={**_WRITE, "body": settings.Endpoint})
async def replace(
    request: Request[Any, Any, Any],
    viewer: NamedDependency[Viewer],
    client: NamedDependency[access.Client],
    desk: NamedDependency[Desk],
    name: FromPath[str],
    data: JSONBody[dict[str, Any]],
) -> Response[EndpointSeen]:
    """Replace every setting of an endpoint; what is left out gets its default. Secrets that are not given stay."""
    entry = await _need(desk, viewer, name)
    return await _change(desk, viewer, client, entry, data, data, before=answers.version_of(request))


@patch("/endpoints/{name:str}", opt={**_WRITE, "body": settings.Endpoint})
async def change(
    request: Request[Any, Any, Any],
    viewer: NamedDependency[Viewer],
    client: NamedDependency[access.Client],
    desk: NamedDependency[Desk],
    name: FromPath[str],
    data: JSONBody[dict[str, Any]],
) -> Response[EndpointSeen]:
    """Change some settings (JSON merge patch, RFC 7396): null sets one back to its default."""
    entry = await _need(desk, viewer, name)
    now = endpoint_forms.bare(entry.settings)
    both = endpoint_forms.merged(now, data)
    return await _change(desk, viewer, client, entry, data, both, before=answers.version_of(request))


@delete("/endpoints/{name:str}", opt=_WRITE, status_code=204)
async def remove(
    request: Request[Any, Any, Any],
    viewer: NamedDependency[Viewer],
    client: NamedDependency[access.Client],
    desk: NamedDependency[Desk],
    name: FromPath[str],
) -> None:
    """Remove an endpoint for good. What still waits for it is cancelled."""
    entry = await _need(desk, viewer, name)
    _need_fit(desk, viewer, client, entry.settings)
    _need_made(entry)
    before = answers.version_of(request)
    _need_current(entry, before)
    await desk.did(viewer, "remove", f"endpoint/{name}")
    try:
        await desk.book.remove(name, before=before)
    except Stale as error:
        raise answers.changed() from error


async def _change(
    desk: Desk,
    viewer: Viewer,
    client: access.Client,
    entry: Entry,
    said: dict[str, Any],
    asked: dict[str, Any],
    *,
    before: int,
) -> Response[EndpointSeen]:
    name = entry.endpoint.name
    _need_fit(desk, viewer, client, entry.settings)
    _need_made(entry)
    _need_current(entry, before)
    one = endpoint_forms.asked(endpoint_forms.unmasked(asked, entry.settings))
    _need_fit(desk, viewer, client, one)
    endpoint_forms.need_resaid(said, one, entry)
    endpoint_forms.need_sound(name, one, Proof(secrets=entry.endpoint.secrets, password=entry.endpoint.auth.password))
    endpoint_forms.need_quick(one)
    await desk.did(viewer, "change", f"endpoint/{name}", **endpoint_forms.facts(one))
    try:
        await desk.book.change(name, one, before=before)
    except Stale as error:
        raise answers.changed() from error
    except ConfigError as error:
        raise endpoint_forms.invalid(error) from error
    return _tagged(await desk.book.entry(name))


# ------------------------------------------------------------------ acting
@post("/endpoints/{name:str}/secret:rotate", opt=_WRITE, status_code=200)
async def rotate(
    viewer: NamedDependency[Viewer],
    client: NamedDependency[access.Client],
    desk: NamedDependency[Desk],
    name: FromPath[str],
    data: JSONBody[Rotation | None] = None,
) -> Rotated:
    """Make a new secret, or a new key pair. It signs first from now on; what was there before signs too for the overlap."""
    how = data or Rotation()
    entry = await _touch(desk, viewer, client, name)
    try:
        need_rotatable(name, entry.settings, asymmetric=how.asymmetric)
        await desk.did(viewer, "rotate", f"endpoint/{name}", what="key pair" if how.asymmetric else "secret")
        shown = await desk.book.rotate(name, overlap=how.overlap, asymmetric=how.asymmetric)
    except ConfigError as error:
        raise _conflict(error) from error
    until = (await desk.book.entry(name)).until
    return Rotated(
        secret=None if how.asymmetric else shown.text,
        public_key=shown.text if how.asymmetric else None,
        version=shown.version,
        old_sign_until=moment(until) if until else None,
    )


@post("/endpoints/{name:str}/test", opt={**_WRITE, WAITS: True}, status_code=200)
async def test(
    viewer: NamedDependency[Viewer],
    client: NamedDependency[access.Client],
    desk: NamedDependency[Desk],
    name: FromPath[str],
) -> Tested:
    """Send one signed `operator.test` event now and say what came back, also for an endpoint that is paused. It is never tried again."""
    entry = await _touch(desk, viewer, client, name)
    await desk.did(viewer, "test", f"endpoint/{name}")
    try:
        found = await trial(entry.endpoint, desk.clock)
    except ConfigError as error:
        raise _conflict(error) from error
    tried = found.tried
    return Tested(
        event=found.id,
        ok=tried.ok,
        status=tried.status,
        error=tried.error,
        ours=tried.ours,
        seconds=round(found.took, 3),
        response=tried.response[:_EXCERPT].decode(errors="replace"),
    )


@post("/endpoints/{name:str}/enable", opt=_WRITE, status_code=200)
async def enable(
    viewer: NamedDependency[Viewer],
    client: NamedDependency[access.Client],
    desk: NamedDependency[Desk],
    name: FromPath[str],
) -> Standing:
    """Let a disabled endpoint receive again, from now on. What it missed can be replayed."""
    _ = await _touch(desk, viewer, client, name)
    if name in await desk.records.disabled():
        await desk.did(viewer, "enable", f"endpoint/{name}")
        await desk.records.enable(name, now=desk.clock.now())
    return await subscribers.standing(desk, (await desk.book.entry(name)).endpoint)


@post("/endpoints/{name:str}/pause", opt=_WRITE, status_code=200)
async def pause(
    viewer: NamedDependency[Viewer],
    client: NamedDependency[access.Client],
    desk: NamedDependency[Desk],
    name: FromPath[str],
) -> Standing:
    """Send nothing until it is resumed; what comes meanwhile waits."""
    if not (await _touch(desk, viewer, client, name)).endpoint.paused:
        await desk.did(viewer, "pause", f"endpoint/{name}")
        await desk.book.pause(name)
    return await subscribers.standing(desk, (await desk.book.entry(name)).endpoint)


@post("/endpoints/{name:str}/resume", opt=_WRITE, status_code=200)
async def resume(
    viewer: NamedDependency[Viewer],
    client: NamedDependency[access.Client],
    desk: NamedDependency[Desk],
    name: FromPath[str],
) -> Standing:
    """Send what waited, and what comes."""
    if (await _touch(desk, viewer, client, name)).endpoint.paused:
        await desk.did(viewer, "resume", f"endpoint/{name}")
        await desk.book.resume(name)
    return await subscribers.standing(desk, (await desk.book.entry(name)).endpoint)


# ------------------------------------------------------------------ what is needed
async def _need(desk: Desk, viewer: Viewer, name: str) -> Entry:
    entry = await subscribers.one(desk, viewer, name)
    if entry is None:
        raise not_found("endpoint")
    return entry


async def _touch(desk: Desk, viewer: Viewer, client: access.Client, name: str) -> Entry:
    entry = await _need(desk, viewer, name)
    _need_fit(desk, viewer, client, entry.settings)
    return entry


def _need_fit(desk: Desk, viewer: Viewer, client: access.Client, one: settings.Endpoint) -> None:
    if why := subscribers.overreach(client, viewer, one, desk.clock.now()):
        raise Problem(
            403, "client.overreach", why, remedy="ask for less, or ask the gateway's operator to widen this client"
        )


def _need_made(entry: Entry) -> None:
    if not entry.made:
        raise Problem(
            409,
            "endpoint.of_config",
            f"{entry.endpoint.name} stands in the gateway's config",
            remedy="ask the gateway's operator to change it there, or make an endpoint of your own",
        )


def _need_current(entry: Entry, before: int) -> None:
    if entry.version != before:
        raise answers.changed()


def _conflict(error: ConfigError) -> Problem:
    return Problem(409, "endpoint.not_possible", error.detail, place=error.place, remedy=error.remedy)


def _tagged(entry: Entry, *, status: int = 200, location: str = "", **more: Any) -> Response[Any]:
    headers = {"etag": f'"{entry.version}"', "cache-control": "no-store"}
    if location:
        headers["location"] = location
    return Response({**endpoint_forms.shown(entry), **more}, status_code=status, headers=headers)


ROUTES = (endpoints, endpoint, health, make, replace, change, remove, rotate, test, enable, pause, resume)
