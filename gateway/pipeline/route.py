"""Who may know: from an event's type, unit and content to the endpoints that asked for it."""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import NamedTuple

import structlog

from gateway import clock
from gateway.clock import derived_id
from gateway.destination import Endpoint
from gateway.meters import Meters
from gateway.pipeline import filters
from gateway.pipeline.units import Units
from gateway.store import Delivery, EventRow

_log = structlog.get_logger()
_OPERATOR = "operator."
_PATIENCE = 3


def matches(pattern: str, kind: str) -> bool:
    """Whether an event type is meant by a pattern. ``*`` alone means what happened to customers and orders, never the gateway's own ``operator.*``."""
    if pattern == kind:
        return True
    if pattern == "*":
        return not kind.startswith(_OPERATOR)
    return pattern.endswith(".*") and kind.startswith(pattern[:-1])


class _Asked(NamedTuple):
    """Who asked for a type: whether any of them narrows it, and what their filters can see."""

    ends: tuple[Endpoint, ...]
    narrowed: bool
    reaches: frozenset[filters.Path]


class Router:
    """Matches once per type and remembers; unit and filter are looked at only where an endpoint has one.

    ConfigError when a filter cannot be used. A filter that cannot be asked about an event (a field is not there) does not match: it is counted,
    and logged once. So is one that took long three times, until endpoints change. ``units`` is the tree that is looked at; whoever has a store
    loads it. ``worked`` tells the seconds that this thread has worked.
    """

    def __init__(
        self,
        endpoints: Sequence[Endpoint],
        *,
        units: Units | None = None,
        meters: Meters | None = None,
        worked: Callable[[], float] = clock.worked,
    ) -> None:
        self.units = units or Units()
        self._meters = meters
        self._worked = worked
        self._failed: set[tuple[str, str]] = set()
        self.replace(endpoints)

    def replace(self, endpoints: Sequence[Endpoint]) -> None:
        """Match these from the next event on. ConfigError changes nothing."""
        programs = {end.name: filters.Filter(end.filter, place=filter_of(end.name)) for end in endpoints if end.filter}
        self._endpoints = tuple(endpoints)
        self._filters = programs
        self._slow: Counter[str] = Counter()
        self._by_type: dict[str, _Asked] = {}

    def match(self, kind: str) -> tuple[Endpoint, ...]:
        """The endpoints that asked for this type, in the order of the config."""
        return self._of_type(kind).ends

    def deliveries(self, event: EventRow, *, now: int) -> list[Delivery]:
        """One due delivery per endpoint, with the same ids whenever the same event is routed."""
        asked = self._of_type(event.type)
        ends = self._narrowed(asked, event) if asked.narrowed else asked.ends
        return [
            Delivery(
                id=derived_id("dlv", event.at, event.id, end.name),
                event=event.id,
                endpoint=end.name,
                subject=event.subject if end.ordered else None,
                due=now,
                created=now,
            )
            for end in ends
        ]

    def _of_type(self, kind: str) -> _Asked:
        found = self._by_type.get(kind)
        if found is None:
            ends = tuple(end for end in self._endpoints if any(matches(pattern, kind) for pattern in end.events))
            reaches = frozenset(path for end in ends if end.filter for path in self._filters[end.name].reaches)
            narrowed = any(end.unit is not None or end.filter for end in ends)
            found = self._by_type[kind] = _Asked(ends, narrowed, reaches)
        return found

    def _narrowed(self, asked: _Asked, event: EventRow) -> Sequence[Endpoint]:
        within = self.units.tree.within
        ends = [end for end in asked.ends if end.unit is None or within(event.unit, end.unit)]
        if not any(end.filter for end in ends):
            return ends
        context = filters.context_of(event.body, asked.reaches)
        return [end for end in ends if not end.filter or self._holds(end, context)]

    def _asked(self, name: str, context: filters.Context) -> bool | filters.Unclear:
        """A filter that keeps holding up all others is asked no more, until endpoints change."""
        if self._slow[name] >= _PATIENCE:
            return filters.Unclear("too_slow")
        began = self._worked()
        found = self._filters[name].holds(context)
        if self._worked() - began > filters.SLOW:
            self._slow[name] += 1
            _log.error("route.filter_slow", endpoint=name, seconds=round(self._worked() - began, 3))
        return found

    def _holds(self, end: Endpoint, context: filters.Context) -> bool:
        found = self._asked(end.name, context)
        if isinstance(found, bool):
            return found
        if self._meters is not None:
            self._meters.filter_faults.labels(end.name).inc()
        if (end.name, end.filter) not in self._failed:
            self._failed.add((end.name, end.filter))
            _log.warning("route.filter_failed", endpoint=end.name, cause=found.cause)
        return False


def filter_of(name: str) -> str:
    """Where an endpoint's filter stands in the config."""
    return f"endpoints.{name}.filter"
