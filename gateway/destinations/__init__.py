"""Ways of delivering: one module for each kind of endpoint."""

import importlib
from types import ModuleType
from typing import Any

from gateway.clock import Clock
from gateway.destination import Destination, Endpoint, Kind
from gateway.destinations.address import Vetter
from gateway.destinations.webhook import Webhook
from gateway.errors import ConfigError


def open_destination(end: Endpoint, *, clock: Clock, vetter: Vetter) -> Destination:
    """The way that ``end`` speaks; nothing is connected yet. ConfigError when it cannot be used, and for one that is polled."""
    if end.kind is Kind.WEBHOOK:
        return Webhook(end, clock=clock, vetter=vetter)
    opened: Destination = _module(end.kind).open(end, clock=clock, vetter=vetter)
    return opened


def open_mailbox(end: Endpoint, *, vetter: Vetter, compose: Any) -> Destination:
    """A mailbox whose letters ``compose`` writes (see ``email.Compose``). ConfigError when it cannot be used."""
    opened: Destination = _module(Kind.EMAIL).Mailbox(end, vetter, compose)
    return opened


def _module(kind: Kind) -> ModuleType:
    # Clients of brokers cost more to load than the whole of what posts webhooks, and most gateways have none.
    match kind:
        case Kind.KAFKA:
            return importlib.import_module("gateway.destinations.kafka")
        case Kind.REDIS:
            return importlib.import_module("gateway.destinations.redis")
        case Kind.EMAIL:
            return importlib.import_module("gateway.destinations.email")
        case _:
            raise ConfigError(f"nothing is sent to an endpoint of kind {kind.value}")
