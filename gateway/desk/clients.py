"""Partners' clients: made, changed and recognised. Each is a document on the shelf ``clients``; its secret is kept as a keyed hash."""

from collections.abc import Awaitable, Callable, Sequence

import msgspec

from gateway import access, settings, shelf
from gateway.clock import SECOND, Clock, new_id, random_bytes
from gateway.desk import tokens
from gateway.errors import ConfigError
from gateway.vault import Vault

SHELF = "clients"
_FRESH = 2.0
_json = msgspec.json.Encoder()
_client = msgspec.json.Decoder(access.Client)

Below = Callable[[str], frozenset[str]]
"""A unit and every unit below it."""


class Made(msgspec.Struct, frozen=True, kw_only=True):
    """A new secret, shown once: ``secret`` for OAuth, ``key`` as an API key."""

    client: access.Client
    secret: str
    key: str


class Clients:
    """What one process knows of clients is at most two seconds old."""

    def __init__(self, *, documents: shelf.Shelf, vault: Vault, clock: Clock, below: Below) -> None:
        self._shelf = documents
        self._clock = clock
        self._below = below
        self._tokens = tokens.Tokens(vault)
        self._known: dict[str, tuple[float, access.Client | None]] = {}

    async def all(self) -> list[tuple[access.Client, int]]:
        """Every client with its version, by id."""
        kept = await self._shelf.documents(SHELF)
        return [(_client.decode(one.body), one.version) for one in kept]

    async def get(self, name: str) -> access.Client | None:
        """By id, as of now or two seconds ago."""
        known = self._known.get(name)
        now = self._clock.monotonic()
        if known and now - known[0] < _FRESH:
            return known[1]
        kept = await self._shelf.document(SHELF, name)
        found = _client.decode(kept.body) if kept else None
        if len(self._known) > 10_000:
            self._known.clear()
        self._known[name] = (now, found)
        return found

    # ------------------------------------------------------------------ recognising
    async def recognise(self, bearer: str) -> tuple[access.Client, access.Viewer] | None:
        """Whose token or API key this is, and what that comes down to; None when it is not known, altered, or ran out."""
        if bearer.startswith(tokens.KEY):
            parts = tokens.parts_of(bearer)
            client = await self.checked(*parts) if parts else None
            return (client, self._viewer(client, client.scopes)) if client else None
        now = self._clock.now()
        told = self._tokens.read(bearer, now=now)
        client = await self.get(told.client) if told else None
        if told is None or client is None or client.epoch != told.epoch or not access.in_force(client, now):
            return None
        return client, self._viewer(client, told.scopes)

    def issued(self, bearer: str) -> bool:
        """Whether this is a token of ours, be it at its end."""
        return not bearer.startswith(tokens.KEY) and self._tokens.ours(bearer)

    async def viewer(self, name: str) -> access.Viewer | None:
        """What a client with all its scopes comes down to now; None when there is none, or it may not act any more."""
        client = await self.get(name)
        if client is None or not access.in_force(client, self._clock.now()):
            return None
        return self._viewer(client, client.scopes)

    async def checked(self, name: str, secret: str) -> access.Client | None:
        """The client, if this is one of its secrets and it may act."""
        now = self._clock.now()
        client = await self.get(name)
        hashed = self._tokens.hashed(name, secret)
        if client is None or not access.in_force(client, now) or not access.accepted(client, hashed, now):
            return None
        return client

    def token(self, client: access.Client, scopes: Sequence[str]) -> str:
        """An access token for those of ``scopes`` that the client has."""
        return self._tokens.issue(client, tuple(scopes), now=self._clock.now())

    def _viewer(self, client: access.Client, scopes: Sequence[str]) -> access.Viewer:
        return access.Viewer(
            actor=f"client:{client.id}",
            # A scope that was taken away since the token was issued is gone.
            scopes=frozenset(scopes).intersection(client.scopes),
            grants=access.grants_of(client.grants, self._clock.now()),
            domain=self._below(client.unit) if client.unit else None,
        )

    # ------------------------------------------------------------------ deciding
    async def make(self, client: access.Client) -> Made:
        """Keep a new client (its ``id`` and ``secrets`` are made here). ConfigError for a scope or grant that there is not."""
        need(client)
        now = self._clock.now()
        fresh = msgspec.structs.replace(client, id=new_id("cli", now), created=now)
        return await self._with_secret(fresh, before=0, keep=())

    async def rotate(self, name: str, *, overlap: float) -> Made:
        """A new secret; the present ones are taken for ``overlap`` seconds more. Tokens that were issued stay."""
        kept = await self._need(name)
        client = _client.decode(kept.body)
        until = self._clock.now() + int(overlap * SECOND)
        keep = tuple(
            msgspec.structs.replace(one, until=min(until, one.until or until)) for one in client.secrets if overlap > 0
        )
        return await self._with_secret(client, before=kept.version, keep=keep)

    async def change(self, client: access.Client, *, before: int) -> int:
        """Replace everything but secrets. Returns the new version; Stale when ``before`` is not the version kept."""
        need(client)
        kept = await self._need(client.id)
        secrets = _client.decode(kept.body).secrets
        await self._keep(msgspec.structs.replace(client, secrets=secrets), before=before)
        return before + 1

    async def revoke(self, name: str) -> None:
        """End its tokens and secrets now; what it did stays on the trail."""
        kept = await self._need(name)
        client = _client.decode(kept.body)
        await self._keep(
            msgspec.structs.replace(client, disabled=True, secrets=(), epoch=client.epoch + 1), before=kept.version
        )

    async def _need(self, name: str) -> shelf.Document:
        kept = await self._shelf.document(SHELF, name)
        if kept is None:
            raise ConfigError(f"no client {name}", remedy="gateway clients list")
        return kept

    async def _with_secret(self, client: access.Client, *, before: int, keep: tuple[access.Secret, ...]) -> Made:
        secret = tokens.SECRET + random_bytes(24).hex()
        hashed = access.Secret(hash=self._tokens.hashed(client.id, secret))
        client = msgspec.structs.replace(client, secrets=(hashed, *keep))
        await self._keep(client, before=before)
        return Made(client=client, secret=secret, key=tokens.key_of(client.id, secret))

    async def _keep(self, client: access.Client, *, before: int) -> None:
        document = shelf.Document(
            shelf=SHELF, key=client.id, version=before + 1, body=_json.encode(client), updated=self._clock.now()
        )
        await self._shelf.file(document, before=before)
        self._known.pop(client.id, None)


def need(client: access.Client) -> None:
    """ConfigError when a scope, a class or a treatment is not one there is, or health is lent without a reason."""
    for scope in client.scopes:
        if scope not in access.SCOPES:
            raise settings.unknown_key(scope, access.SCOPES, place="scopes")
    classes = {one.value for one in access.LEAST}
    for name, lent in client.grants.items():
        if name not in classes:
            raise settings.unknown_key(name, sorted(classes), place=f"grants.{name}")
        if lent.how not in ("clear", "mask", "token", "drop"):
            raise ConfigError(
                f"{lent.how!r} is no treatment", place=f"grants.{name}", remedy="clear, mask, token or drop"
            )
        if name == "health" and lent.how != "drop" and not lent.reason.strip():
            raise ConfigError("health data needs a reason", place="grants.health.reason", remedy="say why")
    if client.rate <= 0 or client.burst < 1:
        raise ConfigError("a client needs a pace above zero", place="rate", remedy="rate = 20, burst = 100")


Recognise = Callable[[str], Awaitable[tuple[access.Client, access.Viewer] | None]]
