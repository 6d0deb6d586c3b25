"""Endpoints that are polled: who may fetch, and what they are handed."""

import msgspec

from gateway import access, store
from gateway.book import Entry
from gateway.clock import SECOND, Clock, new_id
from gateway.desk import subscribers
from gateway.desk.watch import Watch
from gateway.destination import Kind
from gateway.pipeline.render import Renderer
from gateway.pipeline.route import matches
from gateway.vault import Vault

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

    def __init__(self, records: store.Store, vault: Vault, clock: Clock, watch: Watch) -> None:
        self._store = records
        self._clock = clock
        self._watch = watch
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
        bodies = [msgspec.Raw(self._render.render(one.event, entry.endpoint)) for one in served.items]
        self._render.rest()
        return Handed(page=served.page, items=bodies, more=len(bodies) == limit)

    async def _serve(self, name: str, limit: int) -> store.Served:
        now = self._clock.now()
        return await self._store.serve(name, page=new_id("pge", now), limit=limit, until=now + _OURS)

    async def _wait(self, entry: Entry, newest: int, seconds: float) -> None:
        patterns = entry.endpoint.events

        def meant(row: store.EventRow) -> bool:
            return any(matches(pattern, row.type) for pattern in patterns)

        await self._watch.wait(newest, meant, seconds=seconds, most=1)
