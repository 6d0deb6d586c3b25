"""What a mapping is seen to do: values that no table knows, and how a canary compares. Written by the worker, read by the console.

A comparison is paired: each of the canary's entries is read by the version that is live too, so that both answer for the same words. The rates of two groups
of entries would differ by who happens to be in them. Names of fields are kept, never values; raw unknown values are kept sealed.
"""

import zlib
from collections.abc import Sequence

import msgspec

from gateway import shelf
from gateway.clock import Clock
from gateway.errors import Stale, VaultError
from gateway.pipeline.contrast import Contrast, Kind
from gateway.pipeline.versions import Line
from gateway.vault import Vault

SHELF = "ledgers"
FEWEST = 3
SHARE = 0.01
"""A canary is rolled back when it fails on at least FEWEST entries that the live version reads, and on more than SHARE of its entries."""

_RAW = 60
_MOST_RAW = 100
_MOST_FIELDS = 200
_MOST_SAMPLES = 12
_MOST_MOVED = 20_000
_json = msgspec.json.Encoder()


class Seen(msgspec.Struct, kw_only=True):
    """A raw value that no table knows: how often, when last, and in which entry."""

    field: str
    raw: str
    count: int = 0
    at: int = 0
    entry: str = ""


class Sample(msgspec.Struct, frozen=True, kw_only=True):
    """One entry that came out otherwise: the fields, or the fault."""

    entry: str
    account: str
    kind: str
    fields: tuple[str, ...] = ()
    fault: str = ""


class Tally(msgspec.Struct, kw_only=True):
    """Contrasts counted. ``kinds`` by kind of contrast, ``fields`` by facet, ``moves`` by ``axis before after``, ``faults`` by fault; ``moved``
    are the records whose status would be another. ``samples`` are the newest of each kind."""

    entries: int = 0
    kinds: dict[str, int] = {}
    fields: dict[str, int] = {}
    moves: dict[str, int] = {}
    faults: dict[str, int] = {}
    moved: int = 0
    samples: list[Sample] = []

    def of(self, kind: Kind) -> int:
        """How many entries came to this."""
        return self.kinds.get(kind.value, 0)

    def add(self, entry: str, account: str, found: Contrast, known: set[int]) -> None:
        """Count one entry. ``known`` holds the records that were counted as moved; it is the caller's and grows to a bound."""
        kind = found.kind.value
        self.entries += 1
        _more(self.kinds, kind)
        for field in found.fields:
            _more(self.fields, field)
        for move in found.moves:
            _more(self.moves, f"{move.axis} {move.before or '-'} {move.after or '-'}")
        records = {zlib.crc32(f"{account}/{move.record}".encode()) for move in found.moves} - known
        self.moved += len(records)
        if len(known) < _MOST_MOVED:
            known |= records
        if found.fault:
            _more(self.faults, found.fault)
        if found.kind is not Kind.SAME:
            self._keep(Sample(entry=entry, account=account, kind=kind, fields=found.fields[:40], fault=found.fault))

    def _keep(self, sample: Sample) -> None:
        alike = [one for one in self.samples if one.kind == sample.kind]
        if len(alike) >= _MOST_SAMPLES:
            self.samples.remove(alike[0])
        self.samples.append(sample)


def _more(counts: dict[str, int], key: str) -> None:
    if key in counts or len(counts) < _MOST_FIELDS:
        counts[key] = counts.get(key, 0) + 1


def broken(tally: Tally) -> bool:
    """Whether a canary must be rolled back without asking."""
    errors = tally.of(Kind.NEW_ERROR)
    return errors >= FEWEST and errors > tally.entries * SHARE


class Ledger(msgspec.Struct, kw_only=True):
    """Of one mapping. ``live`` and ``canary`` are the versions it counts for: another one begins anew. ``refused`` says why the worker does not
    read with what was decided."""

    connector: str
    stem: str
    live: int = 0
    canary: int = 0
    since: int = 0
    unknowns: list[Seen] = []
    trial: Tally = msgspec.field(default_factory=Tally)
    refused: str = ""

    def meet(self, live: int, canary: int, since: int) -> bool:
        """Count for these versions from now on; whether anything was begun anew."""
        if (self.live, self.canary, self.since) == (live, canary, since):
            return False
        if self.live != live:
            self.unknowns = []
        if (self.canary, self.since) != (canary, since) and canary:
            # What an ended canary came to stays to be looked at until the next one begins.
            self.trial = Tally()
        self.live, self.canary, self.since = live, canary, since
        return True

    def unknown(self, field: str, raw: str, *, at: int, entry: str) -> None:
        """Count a raw value; of very many different ones of a field only their number."""
        raw = raw[:_RAW]
        known = next((one for one in self.unknowns if one.field == field and one.raw == raw), None)
        if known is None and len(self.unknowns) >= _MOST_RAW:
            raw = "…"
            known = next((one for one in self.unknowns if one.field == field and one.raw == raw), None)
        if known is None:
            known = Seen(field=field, raw=raw)
            self.unknowns.append(known)
        known.count += 1
        known.at, known.entry = at, entry


_decode = msgspec.json.Decoder(Ledger).decode


class Ledgers:
    """Ledgers on the shelf, sealed: a raw value is a partner's word, whatever it holds."""

    def __init__(self, documents: shelf.Shelf, vault: Vault, clock: Clock) -> None:
        self._shelf = documents
        self._vault = vault
        self._clock = clock

    async def all(self) -> dict[Line, Ledger]:
        """Of every mapping that was counted for. One that cannot be opened is begun anew."""
        found: dict[Line, Ledger] = {}
        for one in await self._shelf.documents(SHELF):
            if (ledger := self._opened(one)) is not None:
                found[ledger.connector, ledger.stem] = ledger
        return found

    async def get(self, connector: str, stem: str) -> Ledger:
        """Of one mapping; empty where nothing was counted."""
        kept = await self._shelf.document(SHELF, f"{connector}/{stem}")
        found = self._opened(kept) if kept else None
        return found or Ledger(connector=connector, stem=stem)

    async def save(self, ledgers: Sequence[Ledger]) -> None:
        """Replace what is there: one process counts."""
        for ledger in ledgers:
            key = f"{ledger.connector}/{ledger.stem}"
            kept = await self._shelf.document(SHELF, key)
            before = kept.version if kept else 0
            body = self._vault.seal(_json.encode(ledger), f"{SHELF}/{key}".encode())
            document = shelf.Document(
                shelf=SHELF, key=key, version=before + 1, body=body, updated=self._clock.now()
            )  # fmt: skip
            try:
                await self._shelf.file(document, before=before)
            except Stale:
                # A worker that is being replaced wrote last; the next round has it.
                continue

    def _opened(self, kept: shelf.Document) -> Ledger | None:
        try:
            return _decode(self._vault.open(kept.body, f"{SHELF}/{kept.key}".encode()))
        except (VaultError, msgspec.DecodeError):
            return None
