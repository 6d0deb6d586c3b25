"""What the alert rules look at, gathered from figures, records, the board and the shelves."""

import asyncio
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from gateway import access, audit, shelf, snapshot, store
from gateway.clock import SECOND, Clock
from gateway.desk import hearing
from gateway.desk.alerts import Ending, Seen, Silent, Unpolled
from gateway.desk.clients import Clients
from gateway.desk.figures import Figures
from gateway.desk.hearing import Heard
from gateway.desk.users import Users
from gateway.errors import GatewayError, Stale

HEARD = "alerts_heard"
_LANES = ("live", "bulk")
_LOOK_BACK = 120
_VERIFY_EVERY = 3600.0
_NOTE_EVERY = 60 * SECOND
_OF_RECORDS = frozenset({"dead", "actions", "disabled", "failing"})
_OF_WORKER = frozenset({"token", "circuit", "partner", "deliveries", "unpolled"})
_json = msgspec.json.Encoder()
_heard = msgspec.json.Decoder(Heard)


class Sources(msgspec.Struct, frozen=True, kw_only=True):
    """``parts`` tells of each part of the house that is not well, why; ``folder`` is where data lies; ``silence`` is decided per account in seconds, 0 for never mind."""

    clock: Clock
    records: store.Store
    documents: shelf.Shelf
    board: snapshot.Board
    trail: audit.Trail
    figures: Figures
    clients: Clients
    users: Users
    parts: Callable[[], Mapping[str, str]]
    accounts: Sequence[str]
    folder: Path
    silence: Mapping[str, float] = {}


class Lookout:
    """Keeps what has to be remembered between two looks: counters, habits of accounts, when the audit trail was walked."""

    def __init__(self, sources: Sources) -> None:
        self._from = sources
        self._clock = sources.clock
        self._counted: dict[str, dict[str, float]] = {}
        self._habits: dict[str, Heard] = {}
        self._versions: dict[str, int] = {}
        self._noted: dict[str, int] = {}
        self._unknown: dict[str, int] = {}
        self._altered: int | None = None
        self._broken = ""
        self._verified: float | None = None

    async def look(self) -> Seen:
        """As of now. What cannot be read is blind, not well."""
        blind: set[str] = set()
        said = await self._records(blind)
        worker = self._worker(blind)
        await self._listen()
        await self._verify()
        figures = self._from.figures
        unknown = self._rises("gateway_unknown_values_total", "account")
        self._unknown.update(dict.fromkeys(unknown, self._clock.now()))
        if self._rises("gateway_tampered_values_total", "stage"):
            self._altered = self._clock.now()
        accounts = worker.get("accounts", {})
        return Seen(
            now=self._clock.now(),
            depths={lane: figures.levels("gateway_backlog", lane=lane)[-_LOOK_BACK:] for lane in _LANES},
            ages={lane: figures.total("gateway_backlog_age_seconds", lane=lane) for lane in _LANES},
            deliveries=int(figures.total("gateway_deliveries", state="due")),
            silent={name: self._silent(name) for name in self._from.accounts if name in self._habits},
            tokens={name: one["token_fault"] for name, one in accounts.items() if one.get("token_fault")},
            partners=[name for name, one in accounts.items() if one.get("breaker") == "open"],
            unpolled={
                name: _unpolled(one) for name, one in worker.get("endpoints", {}).items() if "unpolled_since" in one
            },
            circuits=[name for name, one in worker.get("endpoints", {}).items() if one.get("circuit") == "open"],
            endings=await self._endings(blind),
            unknown=self._unknown,
            altered=self._altered,
            broken=self._broken,
            parts=self._from.parts(),
            free=await asyncio.to_thread(_free, self._from.folder),
            blind=frozenset(blind),
            **said,
        )

    def usual(self, name: str, heard: Heard) -> float | None:
        """The silence of an account (seconds) that is nothing unusual now."""
        return hearing.patience(heard, self._clock.now(), self._from.silence.get(name))

    def _silent(self, name: str) -> Silent:
        heard = self._habits[name]
        return Silent(since=(self._clock.now() - heard.last) / SECOND, patience=self.usual(name, heard))

    async def _records(self, blind: set[str]) -> dict[str, Any]:
        records = self._from.records
        try:
            counts, disabled, health = await records.counts(), await records.disabled(), await records.health()
        except GatewayError:
            blind |= _OF_RECORDS
            return {}
        return {
            "dead": int(counts.get("dead_letters", 0)) + int(counts.get("deliveries.dead", 0)),
            "actions": int(counts.get("actions_unknown", 0)),
            "disabled": disabled,
            "failing": {name: one.cause or "?" for name, one in health.items() if one.failing_since is not None},
        }

    def _worker(self, blind: set[str]) -> dict[str, Any]:
        now = self._clock.now()
        said = [one for one in self._from.board.all() if one.role == "worker" and now - one.at < snapshot.STALE]
        if not said:
            blind |= _OF_WORKER
        return said[0].parts if said else {}

    async def _endings(self, blind: set[str]) -> list[Ending]:
        found: list[Ending] = []
        try:
            clients, users = await self._from.clients.all(), await self._from.users.all()
        except GatewayError:
            blind |= {"grant", "client"}
            return []
        for client, _ in clients:
            if client.disabled:
                continue
            if client.until is not None:
                found.append(Ending(who=client.name, what="", until=client.until))
            found += _lent(client.name, client.grants)
        for user in users:
            found += [] if user.disabled else _lent(user.name, user.grants)
        return found

    # ------------------------------------------------------------------ what happens now and then
    def _rises(self, name: str, label: str) -> dict[str, float]:
        """By how much each counter grew since the last look. What a process counted before we came is not news."""
        now = self._from.figures.by(name, label)
        before = self._counted.get(name)
        if self._from.figures.latest() is not None:
            self._counted[name] = now
        if before is None:
            return {}
        return {key: value - before.get(key, 0.0) for key, value in now.items() if value > before.get(key, 0.0)}

    async def _listen(self) -> None:
        if not self._versions:
            for one in await self._from.documents.documents(HEARD):
                self._habits[one.key], self._versions[one.key] = _heard.decode(one.body), one.version
        now = self._clock.now()
        came = self._rises("gateway_accepted_total", "account")
        # Whoever spoke before we came, and is not known from earlier, is heard now.
        spoke = self._counted.get("gateway_accepted_total", {})
        came.update({name: count for name, count in spoke.items() if count and name not in self._habits})
        for name, count in came.items():
            self._habits[name] = hearing.hear(self._habits.get(name), int(count), now)
            if now - self._noted.get(name, 0) >= _NOTE_EVERY:
                await self._note(name, now)

    async def _note(self, name: str, now: int) -> None:
        before = self._versions.get(name, 0)
        document = shelf.Document(
            shelf=HEARD, key=name, version=before + 1, body=_json.encode(self._habits[name]), updated=now
        )
        try:
            await self._from.documents.file(document, before=before)
            self._versions[name] = before + 1
        except Stale:
            # Another door 0 is just taking over: it hears the same.
            kept = await self._from.documents.document(HEARD, name)
            self._versions[name] = kept.version if kept else 0
        self._noted[name] = now

    async def _verify(self) -> None:
        mono = self._clock.monotonic()
        if self._verified is not None and mono - self._verified < _VERIFY_EVERY:
            return
        self._verified = mono
        faults = await self._from.trail.verify()
        self._broken = f"#{faults[0].number} {faults[0].kind}" if faults else ""


def _unpolled(part: Mapping[str, Any]) -> Unpolled:
    return Unpolled(since=part["unpolled_since"], waiting=part["waiting"], oldest=part["oldest"])


def _lent(who: str, grants: Mapping[str, access.Lent]) -> list[Ending]:
    return [
        Ending(who=who, what=name, until=lent.until)
        for name, lent in grants.items()
        if lent.until is not None and lent.how != "drop"
    ]


def _free(folder: Path) -> float:
    usage = shutil.disk_usage(folder)
    return usage.free / usage.total if usage.total else 1.0
