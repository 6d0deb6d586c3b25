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
from gateway.api import answers
from gateway.api.answers import After, Fields, Limit, Page
from gateway.api.problems import Problem, not_found
from gateway.api.turns import WAITS
from gateway.book import Entry, need_rotatable
from gateway.clock import moment, text
from gateway.desk import subscribers
from gateway.desk.resources import Desk
from gateway.desk.subscribers import Standing
from gateway.errors import ConfigError, Stale
from gateway.model.secret import MASK
from gateway.subscription import Proof, faults, read
from gateway.trial import trial

_READ = {"scope": "endpoints:read"}
_WRITE = {"scope": "endpoints:write"}
_LONGEST_OVERLAP = 30 * 86_400
_SECRETS = ("secret", "previous_secret", "private_key")
_HELD = (*_SECRETS, "password")
_EXCERPT = 1024

Name = Annotated[str, msgspec.Meta(pattern="^[a-z0-9][a-z0-9_-]{0,62}$", description="Unique among all endpoints.")]


class EndpointAsked(settings.Endpoint, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A new endpoint. Times are in seconds. Without a `secret` of its own a webhook gets one."""

    name: Name


class EndpointSeen(settings.Endpoint, frozen=True, kw_only=True):
    """An endpoint. `version` is its entity tag; `made` says whether it was made at run time, else it stands in the gateway's config and is
    changed there. Values of `headers` are masked: send the mask back and they stay as they are. `public_keys` verify `v1a` signatures; `secrets`
    is how many sign now, and `old_sign_until` when the last replaced one falls away."""

    name: str
    version: int = 0
    made: bool = True
    paused: bool = False
    public_keys: tuple[str, ...] = ()
    secrets: int = 0
    old_sign_until: datetime | None = None


class EndpointMade(EndpointSeen, frozen=True, kw_only=True):
    """`shown_once` is the secret that was made; null where there was one, or none is needed. Nobody can read it again."""

    shown_once: str | None


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
    items = [answers.sparse(_shown(one), fields, key="name") for one in left[:limit]]
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
    one = _asked(asked)
    _need_fit(desk, viewer, client, one)
    _need_sound(name, one, Proof())
    if any(entry.endpoint.name == name for entry in await desk.book.entries()):
        raise Problem(
            409,
            "endpoint.taken",
            "there is an endpoint of this name already",
            place="body.name",
            remedy="choose another",
        )
    await desk.did(viewer, "make", f"endpoint/{name}", **_facts(one))
    try:
        made = await desk.book.make(name, one)
    except ConfigError as error:
        raise _invalid(error) from error
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
    return await _change(desk, viewer, client, entry, data, before=answers.version_of(request))


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
    now = _bare(entry.settings)
    return await _change(desk, viewer, client, entry, _merged(now, data), before=answers.version_of(request))


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
    desk: Desk, viewer: Viewer, client: access.Client, entry: Entry, asked: dict[str, Any], *, before: int
) -> Response[EndpointSeen]:
    name = entry.endpoint.name
    _need_fit(desk, viewer, client, entry.settings)
    _need_made(entry)
    _need_current(entry, before)
    one = _asked(_unmasked(asked, entry.settings))
    _need_fit(desk, viewer, client, one)
    _need_sound(name, one, Proof(secrets=entry.endpoint.secrets, password=entry.endpoint.auth.password))
    await desk.did(viewer, "change", f"endpoint/{name}", **_facts(one))
    try:
        await desk.book.change(name, one, before=before)
    except Stale as error:
        raise answers.changed() from error
    except ConfigError as error:
        raise _invalid(error) from error
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


def _need_sound(name: str, one: settings.Endpoint, proof: Proof) -> None:
    """Before anything is written down about it."""
    given = tuple(secret for secret in (one.secret, one.previous_secret) if secret is not None)
    proof = Proof(secrets=given or proof.secrets, password=one.auth.password or proof.password)
    for fault in faults(name, one, proof):
        raise _invalid(fault)


def _asked(document: dict[str, Any]) -> settings.Endpoint:
    """Settings from outside, each of exactly its own type. Problem 400 names the field, 403 for what only the config may say."""
    plain = answers.fit(document, settings.Endpoint, "body")
    if plain.allow_private:
        raise Problem(
            403,
            "client.overreach",
            "private addresses are for endpoints of the gateway's config",
            place="body.allow_private",
        )
    try:
        return read(document, place="body")
    except ConfigError as error:
        raise _invalid(error) from error


def _invalid(error: ConfigError) -> Problem:
    _, _, field = error.place.partition(".") if error.place.startswith("endpoints.") else ("", "", error.place)
    _, _, field = field.partition(".") if error.place.startswith("endpoints.") else ("", "", field)
    place = f"body.{field}" if error.place.startswith("endpoints.") and field else error.place.replace(": ", ".")
    return Problem(400, "endpoint.invalid", error.detail, place=place or "body", remedy=error.remedy)


def _conflict(error: ConfigError) -> Problem:
    return Problem(409, "endpoint.not_possible", error.detail, place=error.place, remedy=error.remedy)


# ------------------------------------------------------------------ what is shown
def _tagged(entry: Entry, *, status: int = 200, location: str = "", **more: Any) -> Response[Any]:
    headers = {"etag": f'"{entry.version}"', "cache-control": "no-store"}
    if location:
        headers["location"] = location
    return Response({**_shown(entry), **more}, status_code=status, headers=headers)


def _shown(entry: Entry) -> dict[str, Any]:
    plain = settings.shown(entry.settings)
    plain = {name: value for name, value in plain.items() if name not in _SECRETS}
    plain["auth"] = {name: value for name, value in plain["auth"].items() if name != "password"}
    # What is sent along is often a key.
    plain["headers"] = dict.fromkeys(plain["headers"], MASK)
    return {
        "name": entry.endpoint.name,
        "version": entry.version,
        "made": entry.made,
        "paused": entry.endpoint.paused,
        "public_keys": list(entry.publics),
        "secrets": len(entry.endpoint.secrets),
        "old_sign_until": text(entry.until) if entry.until else None,
        **plain,
    }


def _bare(one: settings.Endpoint) -> dict[str, Any]:
    """The settings as they could be sent again."""
    plain = {name: value for name, value in settings.shown(one).items() if name not in _SECRETS}
    plain["auth"] = {name: value for name, value in plain["auth"].items() if name != "password"}
    return plain


def _merged(now: dict[str, Any], asked: dict[str, Any]) -> dict[str, Any]:
    """RFC 7396. A null for what there is not stays, so that it is refused like any other unknown member."""
    merged = dict(now)
    for name, value in asked.items():
        if isinstance(value, dict):
            inner = merged.get(name)
            merged[name] = _merged(inner if isinstance(inner, dict) else {}, value)
        elif value is None and (name in now or name in _HELD):
            merged.pop(name, None)
        else:
            merged[name] = value
    return merged


def _unmasked(asked: dict[str, Any], one: settings.Endpoint) -> dict[str, Any]:
    headers = asked.get("headers")
    if not isinstance(headers, dict):
        return asked
    kept = {name: one.headers.get(name, value) if value == MASK else value for name, value in headers.items()}
    return {**asked, "headers": kept}


def _facts(one: settings.Endpoint) -> dict[str, str | int]:
    """For the trail: what is sent to whom, without whatever an address or a header may hold."""
    grants = " ".join(f"{sensitivity.value}={getattr(one.grants, sensitivity.value)}" for sensitivity in access.LEAST)
    return {"kind": one.kind, "events": " ".join(one.events)[:200], "grants": grants, "unit": one.unit or ""}


ROUTES = (endpoints, endpoint, health, make, replace, change, remove, rotate, test, enable, pause, resume)
