"""Health and metrics: ``/health/ready``, ``/health`` and ``/metrics``. The door itself answers ``/health/live``."""

from collections.abc import Callable
from typing import Any

from litestar import Response, get
from litestar.status_codes import HTTP_200_OK, HTTP_503_SERVICE_UNAVAILABLE

from gateway import snapshot
from gateway.clock import Clock
from gateway.snapshot import Part

Parts = Callable[[], list[Part]]


def handlers(*, parts: Parts, board: snapshot.Board, clock: Clock) -> list[Any]:
    """The routes. ``parts`` looks at every part and must be quick."""

    @get("/health/ready", sync_to_thread=False, include_in_schema=False)
    def ready() -> Response[dict[str, Any]]:
        return _health([part for part in parts() if not part.ok], short=True)

    @get("/health", sync_to_thread=False, include_in_schema=False)
    def health() -> Response[dict[str, Any]]:
        return _health(parts(), short=False)

    @get("/metrics", sync_to_thread=False, include_in_schema=False)
    def metrics() -> Response[bytes]:
        fresh = [one for one in board.all() if clock.now() - one.at < snapshot.STALE]
        return Response(snapshot.joined_metrics(fresh), media_type="text/plain; version=0.0.4; charset=utf-8")

    return [ready, health, metrics]


def _health(parts: list[Part], *, short: bool) -> Response[dict[str, Any]]:
    ok = all(part.ok for part in parts)
    body: dict[str, Any] = {"status": "ok" if ok else "degraded"}
    if parts and (not short or not ok):
        body["parts"] = {part.name: {"ok": part.ok, "reason": part.reason, **part.facts} for part in parts}
    return Response(body, status_code=HTTP_200_OK if ok else HTTP_503_SERVICE_UNAVAILABLE)
