"""An event as one endpoint may see it."""

from collections import OrderedDict

import msgspec

from gateway.clock import Clock, SystemClock
from gateway.destination import Endpoint
from gateway.grant import Body, Grant, Reader
from gateway.places import Finder
from gateway.store import EventRow
from gateway.vault import Vault

# An event's deliveries leave within about this of each other, in seconds. A retry, and whatever is sent after somebody was erased, opens anew.
_LIFE = 2.0


class _Held(msgspec.Struct):
    """An event that is being sent, with what was opened of it and what was made of it."""

    raw: bytes
    until: float
    body: Body
    rendered: dict[tuple[str, ...], bytes]


class Renderer:
    """Renders events for endpoints. An event is read once, each field of it is opened once for all who may have it, and endpoints that see the
    same of everything get the same bytes.

    What was opened is used for two seconds, for ``keep`` events at most. Then the next rendering lets go of it, or ``rest``.
    """

    def __init__(self, vault: Vault, keep: int = 256, clock: Clock | None = None) -> None:
        self._vault = vault
        self._keep = keep
        self._now = (clock or SystemClock()).monotonic
        # A plain dict would walk past all that was deleted before its first.
        self._held: OrderedDict[str, _Held] = OrderedDict()
        self._readers: dict[str, tuple[Endpoint, Reader]] = {}
        self._finders: dict[str, Finder] = {}

    def render(self, event: EventRow, end: Endpoint) -> bytes:
        """The body to post. VaultError when a key is gone or a sealed value was altered; ConfigError when the endpoint's own key is no key."""
        reader = self._reader(end)
        held = self._event(event)
        known = held.rendered.get(reader.sight)
        if known is None:
            known = held.rendered[reader.sight] = held.body.shown(reader)
        return known

    def ready(self, event: EventRow, end: Endpoint) -> bytes | None:
        """The body that ``render`` would give at once; None where it would have to make it."""
        held = self._held.get(event.id)
        if held is None or held.raw != event.body or self._now() >= held.until:
            return None
        return held.rendered.get(self._reader(end).sight)

    def rest(self) -> None:
        """Let go of what was opened and is not used any more: for whoever has nothing to render."""
        self._forget(self._now(), self._keep)

    def _event(self, event: EventRow) -> _Held:
        now = self._now()
        held = self._held.get(event.id)
        if held is not None and now < held.until and held.raw == event.body:
            return held
        self._held.pop(event.id, None)
        self._forget(now, self._keep - 1)
        finder = self._finders.get(event.type)
        if finder is None:
            finder = self._finders[event.type] = Finder()
        held = _Held(event.body, now + _LIFE, Body(finder.find(event.body), self._vault), {})
        self._held[event.id] = held
        return held

    def _forget(self, now: float, most: int) -> None:
        # The oldest stand first.
        while self._held:
            if len(self._held) <= most and now < next(iter(self._held.values())).until:
                return
            self._held.popitem(last=False)

    def _reader(self, end: Endpoint) -> Reader:
        known = self._readers.get(end.name)
        if known is not None and known[0] is end:
            return known[1]
        wanted = grant_of(end)
        reader = known[1] if known is not None and known[1].grant == wanted else Reader(wanted, self._vault)
        self._readers[end.name] = (end, reader)
        return reader


def grant_of(end: Endpoint) -> Grant:
    """What an endpoint was granted."""
    return Grant(who=f"endpoint:{end.name}", treatments=end.grants, recipient=end.recipient)
