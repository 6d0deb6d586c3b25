"""Operator events: what the people who run this gateway should hear, as events like all others. They never hold personal data."""

from collections.abc import Callable, Mapping

import msgspec

from gateway import store
from gateway.clock import Clock, derived_id, new_id, text
from gateway.errors import Stale
from gateway.model.event import SCHEMA
from gateway.pipeline.route import Router

ENDPOINT_FAILING = "endpoint_failing"
ENDPOINT_DISABLED = "endpoint_disabled"
ENDPOINT_ENABLED = "endpoint_enabled"
VALUE_TAMPERED = "value_tampered"
TYPES = tuple(f"operator.{kind}" for kind in (ENDPOINT_FAILING, ENDPOINT_DISABLED, ENDPOINT_ENABLED, VALUE_TAMPERED))
"""What an endpoint may ask for, beside the events of ``gateway.model.event``."""

Facts = Mapping[str, str | int | None]

_json = msgspec.json.Encoder()
_PAGE = 1000


def of_endpoint(name: str) -> str:
    """What an event about an endpoint is about."""
    return f"endpoint/{name}"


class Operators:
    """Publishes ``operator.<kind>`` to every endpoint that asked for it by name or as ``operator.*``. Works in any process."""

    def __init__(
        self, *, records: store.Store, router: Router, clock: Clock, wake: Callable[[], None] | None = None
    ) -> None:
        self._store = records
        self._router = router
        self._clock = clock
        self._wake = wake
        self._told: dict[str, int] = {}

    async def tell(self, kind: str, about: str, facts: Facts, *, above: int = 0, once: str = "") -> int:
        """Publish; returns the event's ``sequence``, which is one more than the last about the same subject and greater than ``above``.

        ``about`` is the subject (``endpoint/<name>``, ``vault``), ``facts`` become the event's data. What was told with the same ``once`` about
        the same subject is not told again, also by another process. StoreError when it could not be written.
        """
        now = self._clock.now()
        sequence = max(above, await self._last(about)) + 1
        event = _event(kind, about, facts, sequence=sequence, now=now, once=once)
        batch = store.Batch(events=[event], deliveries=self._router.deliveries(event, now=now))
        try:
            await self._store.apply(batch)
        except Stale:
            # Only its own id can be in the way: somebody told this already, and has used up a number.
            self._told.pop(about, None)
            return max(above, await self._last(about))
        self._told[about] = sequence
        if self._wake is not None:
            self._wake()
        return sequence

    async def _last(self, about: str) -> int:
        """The sequence of the last event about a subject, as far as events are kept."""
        if about in self._told:
            return self._told[about]
        last, after = 0, 0
        while page := await self._store.events(after=after, limit=_PAGE, subject=about):
            last, after = max(last, page[-1].sequence), page[-1].number
        self._told[about] = last
        return last


def _event(kind: str, about: str, facts: Facts, *, sequence: int, now: int, once: str) -> store.EventRow:
    name = derived_id("evt", 0, kind, about, once) if once else new_id("evt", now)
    document = {
        "id": name,
        "type": f"operator.{kind}",
        "timestamp": text(now),
        "schema": SCHEMA,
        "subject": about,
        "sequence": sequence,
        "source": {"account": "", "connector": "", "entry": "", "mapping": ""},
        "data": dict(facts),
    }
    return store.EventRow(
        id=name, type=f"operator.{kind}", subject=about, sequence=sequence, at=now, account="", entry="", unit=None,
        body=_json.encode(document),
    )  # fmt: skip
