"""An event as one endpoint may see it."""

from typing import Any

import msgspec

from gateway.destination import Endpoint
from gateway.grant import reveal_event
from gateway.model.values import Sensitivity
from gateway.store import EventRow
from gateway.vault import Vault

_json = msgspec.json.Encoder()
_CLASSES = tuple(one for one in Sensitivity if one is not Sensitivity.PUBLIC)
_event = msgspec.json.Decoder(dict[str, Any])


class Renderer:
    """An event as one endpoint may see it. Endpoints with equal grants share the work."""

    def __init__(self, vault: Vault, keep: int = 1024) -> None:
        self._vault = vault
        self._keep = keep
        self._done: dict[tuple[str, tuple[str, ...]], bytes] = {}
        self._grants: dict[str, tuple[str, ...]] = {}

    def render(self, event: EventRow, end: Endpoint) -> bytes:
        """The body to post. VaultError when a key is gone or a sealed value was altered."""
        grants = self._grants.get(end.name)
        if grants is None:
            grants = self._grants[end.name] = tuple(end.grants[one] for one in _CLASSES)
        key = (event.id, grants)
        known = self._done.get(key)
        if known is None:
            shown, withheld = reveal_event(_event.decode(event.body), self._vault, end.grants.__getitem__)
            if withheld:
                shown["withheld"] = sorted(one.value for one in withheld)
            known = _json.encode(shown)
            if len(self._done) >= self._keep:
                self._done.pop(next(iter(self._done)))
            self._done[key] = known
        return known
