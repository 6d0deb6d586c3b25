"""``Idempotency-Key`` on POST (draft-ietf-httpapi-idempotency-key-header): a repeated request is answered as the first was, and done once.

The key belongs to the client and covers method, path, query and body: the same key with another request is refused. An answer is kept, sealed,
for a day. While the first is under way a repetition is told to wait, whichever process it reaches.

An answer shows what the caller might do and see when it was made. It is told again only to a caller of whom the same still holds: not to a token
with fewer scopes, nor after a grant ran out. What only reads (``opt`` ``safe``) may be repeated without a key, and nothing of it is kept.
"""

import hashlib
from typing import Any

import msgspec
from litestar import Request
from litestar.types import ASGIApp, Message, Receive, Scope, Send

from gateway import access
from gateway.api import callers
from gateway.api.problems import Problem
from gateway.clock import SECOND, Clock
from gateway.errors import Stale
from gateway.shelf import Document, Shelf
from gateway.vault import Vault

SHELF = "idempotency"
KEPT = 86_400 * SECOND
# Whoever began and died is out of the way after this; nothing takes longer, a test of an endpoint two minutes at most.
_UNDER_WAY = 180 * SECOND
_LONGEST_KEY = 255
SAFE = "safe"
"""A handler's ``opt``: it changes nothing, whatever its method."""
# Refused for what the caller may do, or for what passes by itself: nothing was done, and the same key may try again.
_PASSING = (401, 403, 409, 429)
_json = msgspec.json.Encoder()


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What was asked and what the caller might do and see, each as a hash, and what was answered: empty while it is under way."""

    asked: bytes
    rights: bytes = b""
    status: int = 0
    headers: tuple[tuple[bytes, bytes], ...] = ()
    body: bytes = b""


_answer = msgspec.json.Decoder(Answer)


class Idempotent(callers.Layer):
    """See the module. Stands behind ``Recognising``."""

    def __init__(self, shelf: Shelf, vault: Vault, clock: Clock) -> None:
        self._shelf = shelf
        self._vault = vault
        self._clock = clock

    async def handle(self, scope: Scope, receive: Receive, send: Send, next_app: ASGIApp) -> None:
        """Serve one request."""
        if not _kept(scope):
            await next_app(scope, receive, send)
            return
        key = callers.header(scope, b"idempotency-key")
        if not 0 < len(key) <= _LONGEST_KEY:
            raise Problem(
                400, "request.idempotency_key", "the key is not of 1 to 255 characters", place="header.idempotency-key"
            )
        body = await Request[Any, Any, Any](scope, receive).body()
        meant = Answer(asked=_asked(scope, body), rights=_rights(scope))
        name = self._name(scope, key)
        kept = await self._shelf.document(SHELF, name)
        if kept is not None:
            await self._repeat(self._opened(kept), meant, send)
            return
        await self._begin(name, meant)
        # The body is read: whoever asks for it behind us is given the same.
        await self._first(scope, receive, send, next_app, name=name, meant=meant)

    def _name(self, scope: Scope, key: str) -> str:
        client: access.Client = scope["state"]["client"]
        return self._vault.blind("idempotency", client.id, key).hex()

    async def _begin(self, name: str, meant: Answer) -> None:
        try:
            await self._keep(name, meant, before=0, life=_UNDER_WAY)
        except Stale as error:
            raise _under_way() from error

    async def _repeat(self, first: Answer, meant: Answer, send: Send) -> None:
        if first.asked != meant.asked:
            raise _refused("this key was used for another request", "use a fresh key")
        if first.rights != meant.rights:
            raise _refused(
                "this key was used when the caller might do or see something else",
                "look whether it was done, and use a fresh key where it was not",
            )
        if not first.status:
            raise _under_way()
        headers = [*first.headers, (b"idempotent-replayed", b"true")]
        await send({"type": "http.response.start", "status": first.status, "headers": headers})
        await send({"type": "http.response.body", "body": first.body, "more_body": False})

    async def _first(
        self, scope: Scope, receive: Receive, send: Send, next_app: ASGIApp, *, name: str, meant: Answer
    ) -> None:
        told: dict[str, Any] = {"status": 0, "headers": (), "body": b""}
        ended = False

        async def noted(message: Message) -> None:
            nonlocal ended
            if message["type"] == "http.response.start":
                told.update(status=message["status"], headers=_own(message["headers"]))
            elif message["type"] == "http.response.body":
                told["body"] += message.get("body", b"")
                if not message.get("more_body", False):
                    await self._end(name, msgspec.structs.replace(meant, **told))
                    ended = True
            await send(message)

        try:
            await next_app(scope, receive, noted)
        except BaseException:
            # Nothing was answered, so the same key may try again at once. An answer that was made and could not be sent is kept.
            if not ended:
                await self._shelf.unfile(SHELF, name, before=1)
            raise

    async def _end(self, name: str, answer: Answer) -> None:
        if answer.status >= 500 or answer.status in _PASSING:
            await self._shelf.unfile(SHELF, name, before=1)
        else:
            await self._keep(name, answer, before=1, life=KEPT)

    async def _keep(self, name: str, answer: Answer, *, before: int, life: int) -> None:
        now = self._clock.now()
        sealed = self._vault.seal(_json.encode(answer), name.encode())
        document = Document(shelf=SHELF, key=name, version=before + 1, body=sealed, updated=now, expires=now + life)
        await self._shelf.file(document, before=before)

    def _opened(self, kept: Document) -> Answer:
        return _answer.decode(self._vault.open(kept.body, kept.key.encode()))


def _kept(scope: Scope) -> bool:
    handler = scope["route_handler"]
    named = any(name == b"idempotency-key" for name, _ in scope["headers"])
    return named and scope.get("method") == "POST" and not handler.opt.get(SAFE)


def _refused(detail: str, remedy: str) -> Problem:
    return Problem(422, "request.idempotency_key", detail, place="header.idempotency-key", remedy=remedy)


def _under_way() -> Problem:
    return Problem(
        409,
        "request.under_way",
        "the first request with this key is still under way",
        remedy="repeat it in a second",
        headers={"retry-after": "1"},
    )


def _asked(scope: Scope, body: bytes) -> bytes:
    digest = hashlib.blake2b(digest_size=32)
    for part in (str(scope.get("method")).encode(), scope["path"].encode(), scope["query_string"], body):
        digest.update(len(part).to_bytes(8, "big") + part)
    return digest.digest()


def _rights(scope: Scope) -> bytes:
    viewer: access.Viewer = scope["state"]["viewer"]
    client: access.Client = scope["state"]["client"]
    grants = {sensitivity.value: how for sensitivity, how in viewer.grants.items()}
    said = _json.encode([sorted(viewer.scopes), grants, client.unit])
    return hashlib.blake2b(said, digest_size=16).digest()


def _own(headers: Any) -> tuple[tuple[bytes, bytes], ...]:
    """What belongs to the answer; what belongs to a single request (its id, its pace) is made anew."""
    kept = (b"content-type", b"etag", b"location", b"content-length")
    return tuple((name, value) for name, value in headers if name.lower() in kept)
