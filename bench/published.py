"""Events as the projection publishes them, without a journal or a store: prepared messages decoded, mapped, identified and applied in memory."""

from collections.abc import Sequence
from typing import Any

from bench import made
from connectors.registry import CARDS
from gateway import configure
from gateway.clock import SystemClock
from gateway.connector import Account, Tools
from gateway.mapping import Context
from gateway.model.secret import Secret
from gateway.pipeline.world import Cause, World, claims_of
from gateway.store import EventRow, Found
from gateway.vault import Vault

_AT = 1_790_000_000_000_000


def orders(vault: Vault, count: int) -> list[EventRow]:
    """``order.paid`` of an ERP: three lines, money, a customer with a phone."""
    options = {"mapping": "feed/order", "secret": Secret(made.SECRET)}
    return _of_type("order.paid", _publish(vault, "feed", "order", options, made.Orders(count).bodies(count)))


def people(vault: Vault, count: int) -> list[EventRow]:
    """``customer.created`` of a hospital's admission, about all of which is somebody's own: names, number, birthday, address, phones, e-mail."""
    bodies = [made.adt(number, number) for number in range(count)]
    return _of_type("customer.created", _publish(vault, "hl7", "adt", {"listen": "127.0.0.1:2575"}, bodies))


def _publish(vault: Vault, name: str, topic: str, options: dict[str, Any], bodies: Sequence[bytes]) -> list[EventRow]:
    card = CARDS[name]
    account = Account(name=name, connector=name, options=card.options(**options))
    connector = card.open(account, Tools(clock=SystemClock(), call=_nobody, token=_nobody))
    stem = card.topic(topic).mapping
    program = configure.load_mapping(None, card, stem)
    context = Context(account=name, zone=account.zone, received_at=_AT, options=configure.facts_of(account))
    world = World(Found(seen=set(), edges={}, rows={}, by_id={}, edges_of={}), vault)
    for number, body in enumerate(bodies):
        cause = Cause(
            entry=f"ent_{number}", account=name, connector=name, mapping=program.name, stem=stem, at=_AT, unit=None
        )
        for place, said in enumerate(program.run(connector.decode(topic, body).data, context)):
            world.apply(said, claims_of(vault, said), cause, place)
    return world.events


def _of_type(kind: str, events: Sequence[EventRow]) -> list[EventRow]:
    found = [event for event in events if event.type == kind]
    assert found, f"no {kind} among {len(events)} events"
    return found


async def _nobody(*_args: Any, **_named: Any) -> Any:
    raise AssertionError("mapping calls nobody")
