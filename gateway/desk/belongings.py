"""What clients leave behind: endpoints that a client made, or that only it may fetch from, end with it, and what it asked of partners and nobody
began is not done.

Once for each ending, whoever decided it and from wherever: an endpoint that a person enables again afterwards stays so.
"""

import contextlib
from collections import defaultdict

import msgspec
import structlog

from gateway import access, shelf, store
from gateway.action import State, Wanted
from gateway.book import Book, Entry
from gateway.clock import SECOND, Clock, text
from gateway.desk.clients import Clients
from gateway.errors import GatewayError, Stale
from gateway.pipeline import operators
from gateway.pipeline.accounts import Accounts
from gateway.pipeline.act_end import ActSettler, Ends
from gateway.pipeline.operators import Operators
from gateway.pipeline.route import Router

_log = structlog.get_logger()
OWNERS = "endpoint_owners"
ENDINGS = "client_endings"
EVERY = 30.0
_STEP = 200
# Doors know a client for two seconds after it ended, and may write something down for it yet: it is looked for in every round until then.
_ECHO = 600 * SECOND
_json = msgspec.json.Encoder()


class Owner(msgspec.Struct, frozen=True, kw_only=True):
    """The client that made an endpoint."""

    client: str


class Ending(msgspec.Struct, frozen=True, kw_only=True):
    """An ending of a client that was seen to. One that is given a new end and reaches that ends once more."""

    disabled: bool
    until: int | None


_owner = msgspec.json.Decoder(Owner)
_ending = msgspec.json.Decoder(Ending)


class Belongings(msgspec.Struct, frozen=True, kw_only=True):
    """Whose an endpoint is: its ``client`` where it names one, else who made it over the API. Endpoints of the config that name nobody are the house's."""

    documents: shelf.Shelf
    records: store.Store
    book: Book
    clients: Clients
    accounts: Accounts
    clock: Clock

    async def keep(self, endpoint: str, client: str) -> None:
        """``client`` is about to make this endpoint."""
        before = await self.documents.document(OWNERS, endpoint)
        version = before.version if before else 0
        body = _json.encode(Owner(client=client))
        await self.documents.file(_document(OWNERS, endpoint, version + 1, body, self.clock.now()), before=version)

    async def of_all(self) -> dict[str, list[str]]:
        """Endpoints by the id of their client."""
        made = {one.key: _owner.decode(one.body).client for one in await self.documents.documents(OWNERS)}
        found: dict[str, list[str]] = defaultdict(list)
        for entry in await self.book.entries():
            if owner := _owner_of(entry, made):
                found[owner].append(entry.endpoint.name)
        return {client: sorted(names) for client, names in found.items()}

    async def round(self) -> None:
        """See to every client that ended since the last round."""
        now = self.clock.now()
        ended = [one for one, _ in await self.clients.all() if not access.in_force(one, now)]
        if not ended:
            return
        seen_to = {one.key: one for one in await self.documents.documents(ENDINGS)}
        fresh = [one for one in ended if one.id not in seen_to or _ending.decode(seen_to[one.id].body) != _ends(one)]
        for client in ended:
            if client not in fresh and now - seen_to[client.id].updated < _ECHO:
                await self._recall(client)
        if not fresh:
            return
        theirs = await self.of_all()
        for client in fresh:
            await self._end(client, theirs.get(client.id, []), seen_to.get(client.id))

    async def run(self) -> None:
        """Until cancelled. A round that fails is tried again."""
        while True:
            try:
                await self.round()
            except GatewayError as error:
                _log.error("clients.round_failed", detail=str(error))
            await self.clock.sleep(EVERY)

    async def _end(self, client: access.Client, names: list[str], before: shelf.Document | None) -> None:
        off = await self.records.disabled()
        cause = _cause(client)
        for name in names:
            if name not in off:
                await self._tell(name, cause, once=f"{client.id}/{client.until}/{client.disabled}")
                await self.records.disable(name, cause=cause, now=self.clock.now())
                _log.warning("deliver.endpoint_disabled", endpoint=name, cause=cause)
        await self._recall(client)
        version = before.version if before else 0
        document = _document(ENDINGS, client.id, version + 1, _json.encode(_ends(client)), self.clock.now())
        try:
            await self.documents.file(document, before=version)
        except Stale:
            # Another process saw to it at the same moment: what was done twice came to the same.
            return

    async def _recall(self, client: access.Client) -> None:
        """Whoever has its key must not go on acting through us. What is under way ends as it ends."""
        cause = _cause(client)
        wanted = Wanted(client=client.id, state=State.WAITING)
        if not await self.records.actions(wanted, limit=1):
            return
        router = Router(await self.book.endpoints())
        await router.units.load(self.records)
        hand = ActSettler(records=self.records, clock=self.clock, ends=Ends(self.accounts, router))
        count = 0
        while waiting := await self.records.actions(wanted, limit=_STEP):
            for one in waiting:
                with contextlib.suppress(Stale):
                    await hand.drop(one, cause)
            count += len(waiting)
        _log.warning("actions.recalled", client=client.id, actions=count, cause=cause)

    async def _tell(self, name: str, cause: str, *, once: str) -> None:
        health = (await self.records.health()).get(name)
        teller = Operators(records=self.records, router=Router(await self.book.endpoints()), clock=self.clock)
        told = {"endpoint": name, "failing_since": None, "cause": cause}
        above = health.sequence if health else 0
        await teller.tell(operators.ENDPOINT_DISABLED, operators.of_endpoint(name), told, above=above, once=once)


def _owner_of(entry: Entry, made: dict[str, str]) -> str:
    return entry.settings.client or (made.get(entry.endpoint.name, "") if entry.made else "")


def _cause(client: access.Client) -> str:
    return f"its client {client.id} " + ("was revoked" if client.disabled else f"ended at {text(client.until or 0)}")


def _ends(client: access.Client) -> Ending:
    return Ending(disabled=client.disabled, until=client.until)


def _document(name: str, key: str, version: int, body: bytes, now: int) -> shelf.Document:
    return shelf.Document(shelf=name, key=key, version=version, body=body, updated=now)
