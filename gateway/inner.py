"""Everything a door serves beside ``/in``: health and metrics, the partner API, the console; one application on one port."""

from typing import Any

from litestar import Litestar
from litestar.datastructures import MutableScopeHeaders
from litestar.exceptions import HTTPException

from gateway.api import app as api
from gateway.api import ops, problems
from gateway.api.callers import Numbering
from gateway.api.requests import uncut
from gateway.clock import Clock
from gateway.console.app import create_router
from gateway.desk.resources import Desk
from gateway.errors import GatewayError, Tampered


class Inner(Litestar):
    """An application in which every request has its id before anything else is looked at, so that a path nobody knows is told with one too."""

    def __init__(self, clock: Clock, handlers: list[Any], **given: Any) -> None:
        self._numbering = Numbering(clock)
        super().__init__(handlers, **given)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await super().__call__(scope, receive, send)
            return
        scope.setdefault("state", {})
        if scope["method"] == "OPTIONS":
            send = self._allowing(scope, send)
        await self._numbering.handle(scope, uncut(receive), send, super().__call__)

    def _allowing(self, scope: Any, send: Any) -> Any:
        """Where a path has several handlers, the framework's own answer to OPTIONS names the methods of the first only."""

        async def allow(message: Any) -> None:
            if message["type"] == "http.response.start" and message["status"] == 204:
                template = scope.get("path_template", "")
                methods = {
                    one
                    for route in self.routes
                    if route.path_format == template
                    for one in getattr(route, "methods", ())
                }
                MutableScopeHeaders.from_message(message)["allow"] = ", ".join(sorted(methods))
            await send(message)

        return allow


def create_app(desk: Desk) -> Inner:
    """See the module."""
    handlers: list[Any] = [
        *ops.handlers(parts=desk.parts, board=desk.board, clock=desk.clock),
        *api.handlers(desk),
        create_router(desk),
    ]
    return Inner(
        desk.clock,
        handlers,
        exception_handlers={
            Tampered: problems.of_altered(desk.witness),
            GatewayError: problems.of_ours,
            HTTPException: problems.of_http,
            500: problems.of_a_bug,
        },
        openapi_config=None,
        # Litestar would otherwise take over the logging of the process that mounts us.
        logging_config=None,
    )
