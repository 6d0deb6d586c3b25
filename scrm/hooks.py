"""The one way in: ``POST /hooks``, Standard Webhooks."""

from typing import Any

import msgspec
from litestar import Request, Response, post
from litestar.di import NamedDependency

from gateway.clock import Clock
from scrm import problems, webhooks
from scrm.inbox import Inbox

MOST_BYTES = 1_048_576


class Gate(msgspec.Struct, frozen=True):
    """Who may deliver: the keys of today, and of yesterday while they rotate."""

    keys: tuple[bytes, ...]
    clock: Clock


@post("/hooks", status_code=200)
async def receive(
    request: Request[Any, Any, Any], gate: NamedDependency[Gate], inbox: NamedDependency[Inbox]
) -> Response[Any]:
    """204 once the event is on disk, or already was; 400 and 401 for what is none of ours; 503 when it could not be kept."""
    body = await request.body()
    verdict = webhooks.verify(request.headers, body, keys=gate.keys, now=gate.clock.now())
    if isinstance(verdict, webhooks.Refused):
        known = verdict.reason in (webhooks.Reason.SIGNATURE, webhooks.Reason.STALE)
        return problems.problem(
            401 if known else 400, f"webhook.{verdict.reason.value}", "this delivery was not accepted"
        )
    await inbox.take(verdict.id, body)
    return Response(None, status_code=204)
