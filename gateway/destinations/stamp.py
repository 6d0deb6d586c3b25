"""The Standard Webhooks signature of one event where a protocol has fields or headers for it."""

from gateway.clock import SECOND
from gateway.destination import Endpoint, Message
from gateway.destinations import sign
from gateway.model.mac import Mac


class Stamp:
    """Signs with every secret and key of an endpoint. ConfigError for one that is none."""

    def __init__(self, end: Endpoint) -> None:
        place = f"endpoints.{end.name}"
        self._macs = [Mac(sign.key_of(one, place=f"{place}.secret")) for one in end.secrets]
        self._keys = [sign.private_key_of(one, place=f"{place}.private_key") for one in end.keys]

    def of(self, message: Message, now: int) -> tuple[str, str] | None:
        """Timestamp (unix seconds) and signature over ``id.timestamp.body``; None for an endpoint that has nothing to sign with."""
        if not self._macs and not self._keys:
            return None
        seconds = now // SECOND
        return str(seconds), sign.signature(self._macs, message.id, seconds, message.body, self._keys)
