"""Jobs: imports, exports and replays while they run, and for a week after; each client sees its own."""

from typing import Annotated, Any

import msgspec
from litestar import Request, Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath

from gateway import access
from gateway.api import answers
from gateway.api.answers import After, Limit, Page
from gateway.api.problems import Problem, not_found
from gateway.clock import text
from gateway.desk import exports, imports
from gateway.desk.jobs import Job, State
from gateway.desk.labour import Labour
from gateway.pipeline.bring import Fate

Result = Annotated[
    dict[str, int],
    msgspec.Meta(description="What it came to so far: `accepted`, `duplicate`, `refused` rows; `deliveries` made or revived."),
]  # fmt: skip


class JobSeen(msgspec.Struct, frozen=True, kw_only=True):
    """A job. `done` of `total` rows, records or events (`total` null: not known yet); `fault` says why it failed. `rows` leads to what was not
    taken in of an import, `content` to what an export made, until `until`."""

    id: str
    kind: str
    state: State
    created: str
    updated: str
    done: int
    total: int | None
    result: Result
    fault: str | None
    rows: str | None
    content: str | None
    until: str | None


class RowSeen(msgspec.Struct, frozen=True, kw_only=True):
    """A row that was not taken in, by its number in the body from 1 on. `detail` says why it was refused, without quoting it."""

    row: int
    outcome: Fate
    field: str
    detail: str


@get("/jobs")
async def jobs(
    client: NamedDependency[access.Client], labour: NamedDependency[Labour], limit: Limit = 50, after: After = None
) -> Page[JobSeen]:
    """Your client's jobs, oldest first. 400 for a cursor of another list."""
    place = answers.place(after, str)
    mine = [job for job, _ in await labour.jobs.all(client.id) if place is None or job.id > place[0]]
    more = answers.cursor(mine[limit - 1].id) if len(mine) > limit else None
    return answers.page([shown(job) for job in mine[:limit]], more)


@get("/jobs/{name:str}")
async def job(
    request: Request[Any, Any, Any],
    client: NamedDependency[access.Client],
    labour: NamedDependency[Labour],
    name: FromPath[str],
) -> Response[JobSeen]:
    """One job (`job_…`): ask again every second or two until its state is done, failed or cancelled. 404 for one of another client."""
    return answers.tagged(request, shown(await need(labour, client, name)))


@post("/jobs/{name:str}/cancel", status_code=200)
async def cancel(
    client: NamedDependency[access.Client], labour: NamedDependency[Labour], name: FromPath[str]
) -> JobSeen:
    """End a job before its next step. What it did stays done; one that has ended stays as it ended. 409 when it moved on at this very moment:
    repeat it. 404 for one of another client."""
    return msgspec.convert(shown(await labour.jobs.cancel(await need(labour, client, name))), JobSeen)


@get("/jobs/{name:str}/rows")
async def rows(
    client: NamedDependency[access.Client],
    labour: NamedDependency[Labour],
    name: FromPath[str],
    limit: Limit = 100,
    after: After = None,
) -> Page[RowSeen]:
    """Rows of an import that were refused, and why, or known already, in their order; kept for a day. While it runs there may be more to come
    behind the last page. 404 for one of another client, and for what is no import."""
    found = await need(labour, client, name)
    if found.kind != imports.KIND:
        raise not_found("import")
    place = answers.place(after, int)
    items, more = await labour.imports.rows(found, after=place[0] if place else 0, limit=limit)
    seen = [{"row": one.row, "outcome": one.fate.value, "field": one.field, "detail": one.detail} for one in items]
    return answers.page(seen, answers.cursor(more) if more else None)


async def need(labour: Labour, client: access.Client, name: str) -> Job:
    """The client's own job. Problem 404 for any other."""
    found = await labour.jobs.get(name, client.id)
    if found is None:
        raise not_found("job")
    return found


async def need_room(labour: Labour, client: access.Client, kind: str) -> None:
    """Problem 429 when a client has asked for so much that others, or the disk, would suffer."""
    if not await labour.jobs.room(client.id, kind):
        raise Problem(
            429, "job.too_many", "this client has too many jobs open, or made too many today", remedy="wait for them, or cancel some",
            headers={"retry-after": "60"},
        )  # fmt: skip


def begun(made: Job) -> Response[Any]:
    """202 with the job, and where it stands."""
    return Response(shown(made), status_code=202, headers={"location": f"/api/v1/jobs/{made.id}"})


def shown(one: Job) -> dict[str, Any]:
    """As plain data."""
    done = one.kind == exports.KIND and one.state is State.DONE
    kept = done or one.kind == imports.KIND
    return {
        "id": one.id, "kind": one.kind, "state": one.state.value, "created": text(one.created), "updated": text(one.updated),
        "done": one.done, "total": one.total, "result": {name: count for name, count in one.counts.items() if name != "pieces"},
        "fault": one.fault or None, "rows": f"/api/v1/jobs/{one.id}/rows" if one.kind == imports.KIND else None,
        "content": f"/api/v1/exports/{one.id}/content" if done else None, "until": text(one.ends) if kept else None,
    }  # fmt: skip


ROUTES = (jobs, job, cancel, rows)
"""Every handler of this resource."""
