"""Imports: many rows of customers, orders or units at once, taken in by a job with a result for each row."""

from typing import Annotated, Any

from litestar import Request, Response, post
from litestar.di import NamedDependency
from litestar.params import QueryParameter

from gateway import access
from gateway.access import Viewer
from gateway.api import jobs
from gateway.api.jobs import JobSeen
from gateway.api.problems import Problem
from gateway.api.signature import TAKES
from gateway.connector import Reason, Refused
from gateway.desk import imports
from gateway.desk.labour import Labour
from gateway.desk.resources import Desk

MOST = 8 * 1024 * 1024
"""Bytes of one import."""

_TAKES = ("application/x-ndjson", "text/csv", "application/json")
_STATUS = {Reason.TOO_LARGE: 413, Reason.UNSUPPORTED: 415}


@post("/imports", opt={"scope": "imports:write", TAKES: _TAKES}, status_code=202, request_max_body_size=MOST)
async def begin(
    request: Request[Any, Any, Any],
    viewer: NamedDependency[Viewer],
    client: NamedDependency[access.Client],
    desk: NamedDependency[Desk],
    labour: NamedDependency[Labour],
    account: Annotated[
        str | None, QueryParameter(description="The feed account that the rows are for; needed.", max_length=100)
    ] = None,
) -> Response[JobSeen]:
    """Bring up to 10,000 rows (8 MiB) as NDJSON, CSV or a JSON array, with the names that the account's mapping reads; headings of CSV that end in
    `:json` hold JSON. A bad row never hides a good one.

    The rows go the way of a push: written to the journal first, so that nothing is lost or applied twice, and the same rows brought again
    change nothing. Each is tried with the live mapping before it is written down. Follow the job; its `rows` tell what was refused, and why.

    400 for a body that cannot be read, 403 for an account that is no feed or not one that your client may write to, 413 for more than fits.
    """
    opened = labour.imports.account(client, account or "")
    if opened is None:
        raise Problem(
            403, "import.account", "this client may not bring anything into such an account", place="query.account",
            remedy=f"may: {', '.join(client.accounts) or 'none; ask the operator'}",
        )  # fmt: skip
    await jobs.need_room(labour, client, imports.KIND)
    content_type = request.headers.get("content-type", "")
    lines = await labour.imports.take_apart(opened, await request.body(), {"content-type": content_type})
    if isinstance(lines, Refused):
        raise Problem(_STATUS.get(lines.reason, 400), "import.unreadable", lines.detail, place="body")
    name = labour.imports.name()
    await desk.did(viewer, "import", name, account=opened.account.name, rows=len(lines))
    return jobs.begun(await labour.imports.begin(client, opened, lines, job=name))


ROUTES = (begin,)
"""Every handler of this resource."""
