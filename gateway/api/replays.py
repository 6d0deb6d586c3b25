"""Replays: events sent again to today's endpoints: counted first, then done by a job."""

from datetime import datetime
from typing import Annotated, Any

import msgspec
from litestar import post
from litestar.di import NamedDependency
from litestar.params import JSONBody

from gateway import access, store
from gateway.access import Viewer
from gateway.api import answers, jobs
from gateway.api.jobs import JobSeen
from gateway.api.problems import Problem, not_found
from gateway.api.signature import REFUSES
from gateway.clock import new_id
from gateway.desk import feed as feeds
from gateway.desk import subscribers
from gateway.desk.labour import Labour
from gateway.desk.resources import Desk
from gateway.pipeline.replay import Held, Plan

Text = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]


class ReplayAsked(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which events, by all conditions that are set, at least one; and to whom. `again` sends them to those who had them too; by default only those
    get them who lack them. With `dry_run`, which is the default, they are counted and nothing else."""

    ids: Annotated[tuple[Text, ...], msgspec.Meta(max_length=500)] = ()
    since: datetime | None = None
    until: datetime | None = None
    subject: Text | None = None
    types: Annotated[tuple[Text, ...], msgspec.Meta(max_length=50)] = ()
    account: Text | None = None
    endpoint: Text | None = None
    again: bool = False
    dry_run: bool = True


class Counted(msgspec.Struct, frozen=True, kw_only=True):
    """What it comes to for one endpoint. `missing` were never made, `failed` are dead, disabled or cancelled, `done` arrived, `open` are on their
    way; `sends` is how many would be made or revived. What is `held` `paused` waits; to a `disabled` one nothing is sent."""

    endpoint: str
    held: Held
    missing: int
    failed: int
    done: int
    open: int
    sends: int


class ReplaySeen(msgspec.Struct, frozen=True, kw_only=True):
    """What was counted, and the job that does it; null for a dry run."""

    events: int
    sends: int
    endpoints: tuple[Counted, ...]
    job: JobSeen | None


@post("/replays", opt={"scope": "ops:write", REFUSES: (404,)}, status_code=200)
async def replay(
    viewer: NamedDependency[Viewer],
    client: NamedDependency[access.Client],
    desk: NamedDependency[Desk],
    labour: NamedDependency[Labour],
    data: JSONBody[ReplayAsked],
) -> ReplaySeen:
    """Count what sending these events again comes to, and with `dry_run` false let a job do it: each with the id it had, so that who has it knows
    it, in order within a record. What happens after the count is no part of it. It is on the audit trail.

    400 without any condition or for a type that there is not; 403 for all endpoints while your client is of a unit; 404 for an endpoint that
    there is not or that is not yours; 422 when counting alone takes longer than 20 seconds.
    """
    await _need_endpoint(desk, viewer, data.endpoint)
    plan = await labour.replays.plan(_span(data), endpoint=data.endpoint, again=data.again)
    if plan is None:
        raise Problem(422, "replay.too_many", "counting them takes too long", remedy="narrow it by since and until")
    made = None
    if not data.dry_run:
        name = new_id("job", desk.clock.now())
        await desk.did(
            viewer, "replay", name, endpoint=data.endpoint or "*", events=plan.events, deliveries=plan.total, again=int(data.again)
        )  # fmt: skip
        made = await labour.replays.begin(client.id, plan, job=name)
    return _seen(plan, jobs.shown(made) if made else None, own=viewer.domain is not None)


async def _need_endpoint(desk: Desk, viewer: Viewer, endpoint: str | None) -> None:
    if endpoint is None and viewer.domain is not None:
        raise Problem(
            403, "client.overreach", "a client of a unit replays to one endpoint of its own", place="body.endpoint", remedy="name one"
        )  # fmt: skip
    if endpoint is not None and await subscribers.one(desk, viewer, endpoint) is None:
        raise not_found("endpoint")


def _span(data: ReplayAsked) -> store.Span:
    for one in data.types:
        if not feeds.names([one]):
            raise Problem(400, "request.invalid", f"no event type is called {one[:60]!r}", place="body.types")
    since, until = answers.since(data.since), answers.since(data.until)
    if not (data.ids or data.types or data.subject or data.account or since is not None or until is not None):
        raise Problem(
            400, "request.invalid", "which events?", place="body", remedy="give ids, or a condition such as since"
        )
    types = tuple(sorted(feeds.names(data.types))) if data.types else ()
    return store.Span(ids=data.ids, since=since, until=until, subject=data.subject, types=types, account=data.account)


def _seen(plan: Plan, job: dict[str, Any] | None, *, own: bool) -> ReplaySeen:
    """``own``: only what its own endpoint is meant to have is counted, or the number would tell of other units' events."""
    events = sum(one.missing + one.failed + one.done + one.open for one in plan.counts) if own else plan.events
    endpoints = [
        {
            "endpoint": one.endpoint, "held": one.held.value, "missing": one.missing, "failed": one.failed, "done": one.done,
            "open": one.open, "sends": plan.sends(one),
        }
        for one in plan.counts
    ]  # fmt: skip
    said = {"events": events, "sends": plan.total, "endpoints": endpoints, "job": job}
    return msgspec.convert(said, ReplaySeen)


ROUTES = (replay,)
"""Every handler of this resource."""
