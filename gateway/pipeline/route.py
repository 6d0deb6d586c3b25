"""Who may know: from an event's type to the endpoints that asked for it."""

from collections.abc import Sequence

from gateway.clock import derived_id
from gateway.destination import Endpoint
from gateway.store import Delivery, EventRow


def matches(pattern: str, kind: str) -> bool:
    """Whether an event type is meant by a pattern."""
    if pattern in ("*", kind):
        return True
    return pattern.endswith(".*") and kind.startswith(pattern[:-1])


class Router:
    """Matches once per type and remembers."""

    def __init__(self, endpoints: Sequence[Endpoint]) -> None:
        self._endpoints = tuple(endpoints)
        self._by_type: dict[str, tuple[Endpoint, ...]] = {}

    def match(self, kind: str) -> tuple[Endpoint, ...]:
        """The endpoints that asked for this type, in the order of the config."""
        found = self._by_type.get(kind)
        if found is None:
            found = tuple(end for end in self._endpoints if any(matches(pattern, kind) for pattern in end.events))
            self._by_type[kind] = found
        return found

    def deliveries(self, event: EventRow, *, now: int) -> list[Delivery]:
        """One due delivery per endpoint, with the same ids whenever the same event is routed."""
        return [
            Delivery(
                id=derived_id("dlv", event.at, event.id, end.name),
                event=event.id,
                endpoint=end.name,
                subject=event.subject if end.ordered else None,
                due=now,
                created=now,
            )
            for end in self.match(event.type)
        ]
