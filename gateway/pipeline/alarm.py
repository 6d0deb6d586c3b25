"""A sealed value that was altered: somebody wrote where only we write. Told in the log, on a metric and to operators; never the value."""

import structlog

from gateway.errors import GatewayError, Tampered
from gateway.meters import Meters
from gateway.pipeline import operators
from gateway.pipeline.operators import Operators

_log = structlog.get_logger()


class Alarm:
    """Tells of each place once."""

    def __init__(self, operators: Operators, meters: Meters) -> None:
        self._operators = operators
        self._meters = meters

    async def altered(self, error: Tampered, *, stage: str, where: str, **facts: str) -> None:
        """Tell of it, however often it is met only once. ``stage`` is who met it (deliver, project, reseal, erase, read, api, console, poll), ``where`` the id of what it stood
        in, ``facts`` further ids. A field is named by its record and its path. Never raises a GatewayError."""
        record, _, field = error.place.partition("/")
        told = {
            "stage": stage,
            "where": where,
            **({"record": record} if record else {}),
            **({"field": field} if field else {}),
            **facts,
        }
        self._meters.tampered.labels(stage).inc()
        _log.error("vault.value_tampered", **told)
        try:
            await self._operators.tell(operators.VALUE_TAMPERED, "vault", told, once=error.place or where)
        except GatewayError as fault:
            _log.error("vault.alarm_failed", code=fault.code, detail=fault.detail, **told)
