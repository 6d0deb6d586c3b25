"""Sealing anew: whatever lies sealed under a key that is not current any more is opened and sealed with the current one.

What is written anyway is sealed with the current key anyway (``pipeline/renew.py``); this walks the rest, table by table and then the journal,
in small steps beside a running gateway. A body is put only where it still is what was read, so nothing that somebody else wrote meanwhile is
undone; such a row is looked at again. Nothing is remembered: a run that was cut off is done again, and passes what is current already
without opening it. What was erased stays as it is, and what was altered is told and left alone.
"""

import asyncio
import re
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from gateway import journal, places, store
from gateway.errors import Erased, KeyMissing, Tampered
from gateway.model.lane import Lane
from gateway.model.values import Sensitivity
from gateway.pipeline.about import Tell
from gateway.pipeline.alarm import Alarm
from gateway.store import SEALED_TABLES
from gateway.vault import Vault

_STEP = 200
_PASSES = 5
_TOKEN = re.compile(rb'\{"\$sealed":"([^".]+)\.([^".]+)\.[^"]*"\}')
_KEY = re.compile(r"k\d+")
_decode = msgspec.json.Decoder(dict[str, Any]).decode
_encode = msgspec.json.Encoder().encode

Swap = tuple[str, bytes, bytes]
Way = Callable[[str, bytes], bytes]
"""A body's key and the body: the body as the current key seals it, or itself."""


class Resealed(msgspec.Struct, kw_only=True):
    """What came of it. ``bodies`` were sealed anew; ``erased``, ``altered`` and ``lost`` (their key is gone) values were left as they are.
    ``older`` counts the values that still need a key that is not current, by key id."""

    seen: int = 0
    bodies: int = 0
    erased: int = 0
    altered: int = 0
    lost: int = 0
    older: Counter[str] = msgspec.field(default_factory=Counter)


def _silent(_what: str, _done: int, _total: int) -> None:
    return


class Resealer:
    """See the module. ``alarm`` hears of altered values."""

    def __init__(self, *, log: journal.Journal, records: store.Store, vault: Vault, alarm: Alarm | None = None) -> None:
        self._journal = log
        self._store = records
        self._vault = vault
        self._alarm = alarm

    async def count(self, tell: Tell = _silent) -> Resealed:
        """What needs a key that is not current; nothing is changed."""
        return await self._pass(tell, change=False)

    async def run(self, tell: Tell = _silent) -> Resealed:
        """Seal everything anew; done over while workers that had not yet taken up the current key wrote behind it, a few times at most."""
        done, bodies = await self._pass(tell, change=True), 0
        for _ in range(_PASSES):
            bodies += done.bodies
            if not done.older:
                break
            done = await self._pass(tell, change=True)
        done.bodies = bodies
        return done

    async def _pass(self, tell: Tell, *, change: bool) -> Resealed:
        anew = _Anew(self._vault, change=change)
        for table in SEALED_TABLES:
            await self._table(table, anew, tell)
        for lane in Lane:
            for shard in self._journal.shards(lane):
                await self._lane(lane, shard, anew, tell)
        return anew.done

    async def _table(self, table: str, anew: "_Anew", tell: Tell) -> None:
        after, seen = "", 0
        while page := await self._store.bodies(table, after=after, limit=_STEP):
            swaps = await self._page(page, anew.way_of(table), anew.done)
            if swaps:
                # Texts from before records had secrets of their own get one by this.
                await asyncio.to_thread(self._vault.keep)
                anew.done.bodies += await self._store.rebody(table, swaps)
            after, seen = page[-1][0], seen + len(page)
            anew.done.seen += len(page)
            tell(table, seen, seen + (_STEP if len(page) == _STEP else 0))

    async def _lane(self, lane: Lane, shard: int, anew: "_Anew", tell: Tell) -> None:
        total, _ = await self._journal.depth(lane, shard, 0)
        after = seen = 0
        while page := await self._journal.read(lane, shard, after, _STEP):
            swaps = await self._page([(entry.id, entry.payload) for entry in page], anew.payload, anew.done)
            if swaps:
                anew.done.bodies += await self._journal.replace(swaps)
            after, seen = page[-1].position, seen + len(page)
            anew.done.seen += len(page)
            tell(f"journal, {lane.value}", seen, max(total, seen))

    async def _page(self, page: Sequence[tuple[str, bytes]], way: Way, done: Resealed) -> list[Swap]:
        swaps: list[Swap] = []
        for key, body in page:
            try:
                new = way(key, body)
            except Tampered as error:
                done.altered += 1
                if self._alarm is not None:
                    await self._alarm.altered(error, stage="reseal", where=key)
            except KeyMissing:
                done.lost += 1
            else:
                if new != body:
                    swaps.append((key, body, new))
        return swaps


class _Anew:
    """Bodies as the current key seals them, one way for each table; without ``change`` they stay and are only counted."""

    def __init__(self, vault: Vault, *, change: bool) -> None:
        self._vault = vault
        self._change = change
        self.done = Resealed()

    def way_of(self, table: str) -> Way:
        ways: dict[str, Way] = {
            "records": self.record, "events": self.event, "superseded": self.record, "merges": self.merge, "edges": self.edge,
            "attempts": self.payload, "rejects": self.payload, "errands": self.errand, "booked": self.booked,
            "actions": self.event,
        }  # fmt: skip
        return ways[table]

    def payload(self, key: str, body: bytes) -> bytes:
        return self._sealed(key.rpartition("/")[2], body)

    def booked(self, key: str, body: bytes) -> bytes:
        return self._sealed(f"endpoint/{key}", body)

    def edge(self, key: str, body: bytes) -> bytes:
        return self._text(body.decode(), f"{key.partition('/')[0]}/identities.value").encode()

    def errand(self, key: str, body: bytes) -> bytes:
        return self._text(body.decode(), f"errand/{key.rpartition('/')[0]}").encode()

    def record(self, key: str, body: bytes) -> bytes:
        return self._filled(body, key.partition("/")[0]) if self._has_older(body) else body

    def event(self, _key: str, body: bytes) -> bytes:
        return self._filled(body, None) if self._has_older(body) else body

    def merge(self, _key: str, body: bytes) -> bytes:
        if not self._has_older(body):
            return body
        return _encode({name: self._part(part) for name, part in _decode(body).items()})

    def _part(self, part: Any) -> Any:
        return msgspec.Raw(self._filled(_encode(part), part["id"])) if isinstance(part, dict) else part

    def _has_older(self, body: bytes) -> bool:
        # A body names few keys, however many tokens it has.
        seals = {f"{key.decode()}.{kind.decode()}." for key, kind in _TOKEN.findall(body)}
        return not all(self._vault.current(seal) for seal in seals)

    def _filled(self, body: bytes, record: str | None) -> bytes:
        found = places.find(_decode(body), record)
        tokens = [self._text(spot.token, spot.context) for spot in found.spots]
        return found.filled([b'{"$sealed":"%s"}' % token.encode() for token in tokens])

    def _text(self, token: str, context: str) -> str:
        if self._vault.current(token):
            return token
        try:
            text = self._vault.open_text(token, context)
        except Erased:
            self.done.erased += 1
            return token
        self.done.older[_id_of(token)] += 1
        return self._vault.seal_text(text, context, Sensitivity(token.split(".")[1])) if self._change else token

    def _sealed(self, context: str, body: bytes) -> bytes:
        if self._vault.current_payload(body):
            return body
        payload = self._vault.open(body, context.encode())
        self.done.older[_id_of(body[2 : 2 + body[1]].decode("ascii", "replace"))] += 1
        return self._vault.seal(payload, context.encode()) if self._change else body


def _id_of(name: str) -> str:
    """The key's id, without what tells suite and kind."""
    found = _KEY.match(name)
    return found[0] if found else name
