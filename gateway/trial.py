"""One event sent to an endpoint now, to see what it makes of it: signed like any other, written down nowhere, tried once."""

import msgspec

from gateway.clock import SECOND, Clock, new_id, text
from gateway.destination import Endpoint, Kind, Message, Tried
from gateway.destinations import open_destination
from gateway.destinations.address import Vetter
from gateway.errors import ConfigError
from gateway.model.event import SCHEMA

TYPE = "operator.test"


class Trial(msgspec.Struct, frozen=True, kw_only=True):
    """``id`` is the event's; ``took`` in seconds."""

    id: str
    tried: Tried
    took: float


async def trial(end: Endpoint, clock: Clock) -> Trial:
    """What became of it, also for an endpoint that is paused or disabled. ConfigError for one that polls, or cannot be opened."""
    if end.kind is Kind.POLL:
        raise ConfigError("polls the events feed: nothing is sent to it", place=f"endpoints.{end.name}")
    way = open_destination(end, clock=clock, vetter=Vetter(clock))
    now, began = clock.now(), clock.monotonic()
    message = _message(end.name, now)
    try:
        tried = await way.send([message], now=now)
    finally:
        await way.close()
    return Trial(id=message.id, tried=tried, took=clock.monotonic() - began)


def _message(name: str, now: int) -> Message:
    subject, event = f"endpoint/{name}", new_id("evt", now)
    document = {
        "id": event,
        "type": TYPE,
        "timestamp": text(now),
        "schema": SCHEMA,
        "subject": subject,
        "sequence": now // SECOND,
        "source": {"account": "", "connector": "", "entry": "", "mapping": ""},
        "data": {"endpoint": name},
    }
    return Message(id=event, type=TYPE, subject=subject, at=now, body=msgspec.json.encode(document))
