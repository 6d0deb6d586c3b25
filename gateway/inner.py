"""Everything a door serves beside ``/in``: health and metrics, the partner API, the console; one application on one port."""

from typing import Any

from litestar import Litestar
from litestar.exceptions import HTTPException

from gateway.api import app as api
from gateway.api import ops, problems
from gateway.api.callers import Numbering
from gateway.console.app import create_router
from gateway.desk.resources import Desk
from gateway.errors import GatewayError


def create_app(desk: Desk) -> Litestar:
    """See the module."""
    handlers: list[Any] = [
        *ops.handlers(parts=desk.parts, board=desk.board, clock=desk.clock),
        *api.handlers(desk),
        create_router(desk),
    ]
    return Litestar(
        handlers,
        middleware=[Numbering(desk.clock)],
        exception_handlers={GatewayError: problems.of_ours, HTTPException: problems.of_http, 500: problems.of_a_bug},
        openapi_config=None,
        # Litestar would otherwise take over the logging of the process that mounts us.
        logging_config=None,
    )
