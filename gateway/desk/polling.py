"""Endpoints that are polled: who may fetch, and what they are handed."""

import msgspec
import structlog

from gateway import access, store
from gateway.book import Entry
from gateway.clock import SECOND, Clock, new_id
from gateway.desk import subscribers
from gateway.desk.watch import Watch
from gateway.desk.witness import Witness
from gateway.destination import Kind
from gateway.errors import GatewayError, Tampered, VaultDown
from gateway.pipeline.render import Renderer
from gateway.pipeline.route import matches
from gateway.vault import Vault

_log = structlog.get_logger()

# Nobody is to claim what is being fetched; should the endpoint become a webhook, it is sent within this.
_OURS = 3600 * SECOND


class Handed(msgspec.Struct, frozen=True, kw_only=True):
    """Events as the endpoint may see them, each a JSON object. ``page`` is what acknowledges them; empty when there is nothing."""

    page: str
    items: list[msgspec.Raw]
    more: bool


def refusal(client: access.Client, viewer: access.Viewer, entry: Entry, now: int) -> str:
    """Why this client may not fetch from an endpoint, in a sentence; empty when it may.

    Fetching acknowledges: it is for the client that the endpoint names, else for those who could also remove it.
    """
    if entry.endpoint.kind is not Kind.POLL:
        return "events are sent to this endpoint; nobody fetches them"
    if entry.settings.client and entry.settings.client != client.id:
        return "this endpoint is for another client"
    if not entry.settings.client and not viewer.may("endpoints:write"):
        return "this endpoint names no client: fetching from it needs the scope endpoints:write"
    return subscribers.overreach(client, viewer, entry.settings, now)


class Polling:
    """Hands over what is due to an endpoint, in the order it stands in line, until it is acknowledged."""

    def __init__(self, records: store.Store, vault: Vault, clock: Clock, watch: Watch, witness: Witness) -> None:
        self._store = records
        self._clock = clock
        self._watch = watch
        self._witness = witness
        self._render = Renderer(vault, clock=clock)

    async def fetch(self, entry: Entry, *, acknowledged: str, limit: int, wait: float) -> Handed:
        """What was handed over under ``acknowledged`` is done, and the next comes; with nothing there, what comes within ``wait`` seconds."""
        name, now = entry.endpoint.name, self._clock.now()
        if acknowledged:
            await self._store.acknowledge(name, acknowledged, now=now)
        # Asked first: what is written between the two is found by the one or the other.
        newest = (await self._store.reach()).newest
        served = await self._serve(name, limit)
        if not served.items and wait:
            await self._wait(entry, newest, wait)
            served = await self._serve(name, limit)
        bodies = await self._bodies(entry, served)
        while served.items and not bodies:
            served = await self._serve(name, limit)
            bodies = await self._bodies(entry, served)
        self._render.rest()
        return Handed(page=served.page, items=bodies, more=len(served.items) == limit)

    async def _bodies(self, entry: Entry, served: store.Served) -> list[msgspec.Raw]:
        """VaultDown when nothing can be opened now. What never can be is dead, as if it were to be sent: it must not hold up the line."""
        bodies = []
        for one in served.items:
            try:
                bodies.append(msgspec.Raw(self._render.render(one.event, entry.endpoint)))
            except VaultDown:
                raise
            except GatewayError as error:
                await self._spoil(one, served.page, error)
        return bodies

    async def _spoil(self, one: store.Claimed, page: str, error: GatewayError) -> None:
        name, delivery = one.delivery.endpoint, one.delivery.id
        _log.error("poll.render_failed", delivery=delivery, code=error.code)
        await self._store.spoil(name, page, [delivery], cause=f"{error.code}: {error.detail}")
        if isinstance(error, Tampered):
            facts = {"subject": one.event.subject, "delivery": delivery, "endpoint": name}
            await self._witness.altered(error, stage="poll", where=one.event.id, **facts)

    async def _serve(self, name: str, limit: int) -> store.Served:
        now = self._clock.now()
        return await self._store.serve(name, page=new_id("pge", now), limit=limit, until=now + _OURS)

    async def _wait(self, entry: Entry, newest: int, seconds: float) -> None:
        patterns = entry.endpoint.events

        def meant(row: store.EventRow) -> bool:
            return any(matches(pattern, row.type) for pattern in patterns)

        await self._watch.wait(newest, meant, seconds=seconds, most=1)
