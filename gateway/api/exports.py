"""Exports: records or events as a file, as your client may see them, made by a job and kept for a day."""

from datetime import datetime
from typing import Annotated, Literal

import msgspec
from litestar import Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody
from litestar.response import Stream

from gateway import access
from gateway.access import Viewer
from gateway.api import answers, jobs
from gateway.api.jobs import JobSeen
from gateway.api.problems import Problem, not_found
from gateway.api.signature import GIVES, REFUSES
from gateway.clock import new_id
from gateway.desk import exports
from gateway.desk import feed as feeds
from gateway.desk.exports import EVENTS, SCOPES, Question
from gateway.desk.jobs import State
from gateway.desk.labour import Labour
from gateway.desk.resources import Desk

_SCOPE = {"scope": "exports:read"}
_MEDIA = {"ndjson": "application/x-ndjson", "csv": "text/csv; charset=utf-8"}
What = Literal[
    "customers", "orders", "appointments", "interactions", "relationships", "units", "staff", "stock", "events"
]
Text = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]


class ExportAsked(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What to take out. `account`, `unit` and `updated_since` narrow records; `types` (patterns such as `order.*`) and `since` narrow events."""

    what: What
    format: Literal["ndjson", "csv"] = "ndjson"
    account: Text | None = None
    unit: Text | None = None
    updated_since: datetime | None = None
    types: Annotated[tuple[Text, ...], msgspec.Meta(min_length=1, max_length=50)] | None = None
    since: datetime | None = None


@post("/exports", opt=_SCOPE, status_code=202)
async def begin(
    viewer: NamedDependency[Viewer],
    client: NamedDependency[access.Client],
    desk: NamedDependency[Desk],
    labour: NamedDependency[Labour],
    data: JSONBody[ExportAsked],
) -> Response[JobSeen]:
    """Take records or events out, under your grants and within your domain. Follow the job; when it is done, `content` is there for a day, sealed
    while it is kept. It is on the audit trail.

    Each record comes once; one that changes meanwhile as it was when its page was read. CSV has a column for each field; those whose heading ends
    in `:json` hold JSON. 400 for conditions that do not go together, 403 without the scope that reading the same over the API needs.
    """
    _need(viewer, data.what)
    question = _question(data, client, viewer)
    await jobs.need_room(labour, client, exports.KIND)
    name = new_id("job", desk.clock.now())
    await desk.did(viewer, "export", name, what=data.what, format=data.format)
    return jobs.begun(await labour.exports.begin(client, question, job=name))


def _need(viewer: Viewer, what: str) -> None:
    scope = SCOPES[what][1]
    if not viewer.may(scope):
        raise Problem(
            403, "client.scope", f"this needs the scope {scope} too", remedy="ask the gateway's operator for it"
        )


def _question(data: ExportAsked, client: access.Client, viewer: Viewer) -> Question:
    alien = ("account", "unit", "updated_since") if data.what == EVENTS else ("types", "since")
    for name in alien:
        if getattr(data, name) is not None:
            raise Problem(
                400, "request.invalid", f"means nothing for {data.what}", place=f"body.{name}", remedy="take it away"
            )
    types = feeds.names(data.types or ("*",))
    if not types or (feeds.of_operators(types) and not viewer.may("ops:read")):
        raise Problem(
            400, "request.invalid", "no event types that this client may read are called so", place="body.types"
        )
    return Question(
        what=data.what, form=data.format, account=data.account, unit=data.unit, updated_since=answers.since(data.updated_since),
        types=tuple(sorted(types)) if data.what == EVENTS else (), since=answers.since(data.since), sight=exports.sight(client, viewer),
    )  # fmt: skip


@get("/exports/{name:str}/content", opt={**_SCOPE, REFUSES: (409, 410), GIVES: ("application/x-ndjson", "text/csv")})
async def content(
    viewer: NamedDependency[Viewer],
    client: NamedDependency[access.Client],
    desk: NamedDependency[Desk],
    labour: NamedDependency[Labour],
    name: FromPath[str],
) -> Stream:
    """What an export made, streamed: one JSON object a line, or CSV in UTF-8 with a mark.

    404 for one of another client, and for what is no export; 409 while it is not done, and when your grants have changed since you asked; 410 when
    its day is over.
    """
    made = await jobs.need(labour, client, name)
    if made.kind != exports.KIND:
        raise not_found("export")
    if made.state is not State.DONE:
        raise Problem(409, "export.not_done", f"the export is {made.state.value}", remedy=f"follow /api/v1/jobs/{name}")
    if desk.clock.now() >= made.ends:
        raise Problem(
            410, "export.gone", "what the export made was kept for a day", remedy="POST /api/v1/exports again"
        )
    question = exports.question_of(made)
    # Another token of the same client may have asked for it, and this scope may have been taken away since.
    _need(viewer, question.what)
    if question.sight != exports.sight(client, viewer):
        raise Problem(
            409, "export.grants_changed", "what this client may see has changed since it asked", remedy="POST /api/v1/exports again"
        )  # fmt: skip
    await desk.did(viewer, "download", name, what=question.what)
    headers = {
        "cache-control": "no-store",
        "content-disposition": f'attachment; filename="{question.what}.{question.form}"',
    }
    return Stream(labour.exports.content(made), media_type=_MEDIA[question.form], headers=headers)


ROUTES = (begin, content)
"""Every handler of this resource."""
