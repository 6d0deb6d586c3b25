"""Mappings as people meet them: what each reads with, how a text is checked, what it makes of a sample or an entry, and the decisions on versions.

A text is checked like a file: it compiles against its connector's card, declares known identities and options, and the shipped golden
cases hold. Only such a version can be a canary or live; it is checked again at that moment, since code and cases may have changed.
"""

import asyncio
import difflib
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from gateway import access, cases, journal, mapping, settings
from gateway.connector import Card
from gateway.desk import samples, veil
from gateway.errors import ConfigError, GatewayError, MappingError, PayloadError
from gateway.language import mapfile
from gateway.pipeline import contrast, versions
from gateway.pipeline.accounts import Accounts, Opened
from gateway.pipeline.ledger import Ledgers
from gateway.pipeline.read import Source, source_of
from gateway.pipeline.versions import SHIPPED, Line, Standing, Version, Versions
from gateway.vault import Vault

LONGEST = 200_000
"""Characters of a text; the longest shipped one has a tenth of that."""

_PLACE = re.compile(r"(?:^|[ /])[\w./-]+\.yaml:(\d+)(?::([^\s:]+))?")


class Fault(msgspec.Struct, frozen=True, kw_only=True):
    """What is wrong, with the line of the text it concerns (0 for none) and the field."""

    line: int
    field: str
    detail: str
    level: str = "bad"


class Checked(msgspec.Struct, frozen=True, kw_only=True):
    """A checked text. ``declared`` is its ``version``; ``results`` are the golden cases', empty where it does not compile."""

    declared: int = 0
    fault: Fault | None = None
    results: Sequence[cases.Result] = ()

    @property
    def faults(self) -> tuple[str, ...]:
        """Everything that stands in the way, as texts."""
        own = (f"{self.fault.line}:{self.fault.field}: {self.fault.detail}",) if self.fault else ()
        return own + tuple(f"{one.name}: {'; '.join(one.faults)}" for one in self.results if one.faults)


class Look(msgspec.Struct, frozen=True, kw_only=True):
    """One event's words beside what versions make of them, as somebody may see it. ``columns`` are the versions' names; ``rows`` have one text a
    column, None where the version did not say it. ``marks`` are what the last version stumbled over."""

    source: str
    columns: tuple[str, ...]
    rows: tuple[veil.Row, ...]
    marks: tuple[Fault, ...] = ()
    faults: tuple[str, ...] = ()
    account: str = ""
    topic: str = ""
    at: int | None = None


class Mappings:
    """Of the configured accounts. ``own`` is the user's folder."""

    def __init__(self, *, accounts: Accounts, kept: Versions, ledgers: Ledgers, vault: Vault, own: Path | None) -> None:
        self._accounts = accounts
        self._vault = vault
        self._own = own
        self._samples: dict[Line, list[str]] = {}
        self.versions = kept
        self.ledgers = ledgers

    def lines(self) -> dict[Line, list[Opened]]:
        """Every mapping that an account reads with, and those accounts."""
        found: dict[Line, list[Opened]] = {}
        for opened in self._accounts.all():
            # An account that names its mapping reads with no other.
            for stem in opened.card.stems(opened.account.options) or opened.programs:
                found.setdefault((opened.card.name, stem), []).append(opened)
        return dict(sorted(found.items()))

    def need(self, connector: str, stem: str) -> Opened:
        """An account that reads with it. ConfigError when none does."""
        known = self.lines()
        if (connector, stem) not in known:
            raise settings.unknown_key(f"{connector}/{stem}", ["/".join(line) for line in known], place="mapping")
        return known[connector, stem][0]

    def folder(self, connector: str, stem: str) -> Path:
        """Where its file, cases and shared tables are."""
        return versions.folder_of(self._own, connector, stem)

    def shipped(self, connector: str, stem: str) -> Version:
        """The file, as version 0."""
        folder, opened = self.folder(connector, stem), self.need(connector, stem)
        text = (folder / connector / f"{stem}.yaml").read_text(encoding="utf-8")
        declared = int(opened.programs[stem].name.rpartition("@")[2])
        return Version(connector=connector, stem=stem, number=SHIPPED, text=text, declared=declared, by="", at=0)

    async def version(self, connector: str, stem: str, number: int) -> Version:
        """A stored one, or the shipped file. ConfigError when there is none."""
        if number == SHIPPED:
            return self.shipped(connector, stem)
        return await self.versions.need(connector, stem, number)

    def program(self, version: Version) -> mapping.Program:
        """Compiled. MappingError names place and fault."""
        opened = self.need(version.connector, version.stem)
        if version.number == SHIPPED:
            return opened.programs[version.stem]
        return versions.compiled(version, self.folder(version.connector, version.stem), opened.card.calls)

    # ------------------------------------------------------------------ checking
    async def check(self, connector: str, stem: str, text: str) -> Checked:
        """Compile and run the golden cases, off the loop."""
        card = self.need(connector, stem).card
        return await asyncio.to_thread(self._check, card, stem, text)

    def _check(self, card: Card, stem: str, text: str) -> Checked:
        folder, place = self.folder(card.name, stem), f"{card.name}/{stem}.yaml"
        if len(text) > LONGEST:
            return Checked(fault=Fault(line=0, field="", detail=f"longer than {LONGEST} characters"))
        try:
            program = mapping.compile_text(text, place=place, calls=card.calls, tables=mapping.Tables(folder))
            cases.check_names(mapfile.read(text, place), card)
        except MappingError as error:
            return Checked(fault=fault_of(error))
        declared = int(program.name.rpartition("@")[2])
        try:
            return Checked(declared=declared, results=cases.run_on(program, folder, card, stem))
        except MappingError as error:
            # The cases themselves cannot be read: nobody can say that they hold.
            return Checked(declared=declared, fault=Fault(line=0, field="", detail=str(error)))

    async def cases_of(self, version: Version) -> Checked:
        """The golden cases by one version."""
        return await self.check(version.connector, version.stem, version.text)

    # ------------------------------------------------------------------ deciding
    async def add(self, connector: str, stem: str, text: str, *, by: str, note: str = "", base: str = "") -> Version:
        """Store a text as a draft, whatever the check says of it. ConfigError for one that is too long."""
        if len(text) > LONGEST:
            raise ConfigError(f"a mapping has at most {LONGEST} characters", place=f"{connector}/{stem}")
        text = text.replace("\r\n", "\n")
        checked = await self.check(connector, stem, text)
        version = Version(
            connector=connector, stem=stem, number=0, text=text, declared=checked.declared, by=by, at=0, note=note[:200],
            base=base, cases=len(checked.results), faults=checked.faults,
        )  # fmt: skip
        return await self.versions.add(version)

    async def fit(self, connector: str, stem: str, number: int) -> Version:
        """The version, if it may read entries. MappingError with the first thing that is in the way."""
        version = await self.version(connector, stem, number)
        if number == SHIPPED:
            return version
        checked = await self.check(connector, stem, version.text)
        if checked.faults:
            raise MappingError(
                checked.faults[0], place=version.name, remedy="mend it in a new draft; its golden cases must hold"
            )
        return version

    async def canary(self, connector: str, stem: str, number: int, share: int, *, by: str) -> Standing:
        """Give a version a share of the entries."""
        await self.fit(connector, stem, number)
        return (await self.versions.decide(connector, stem, lambda now, at: versions.trying(now, number, share, at), by=by))[1]  # fmt: skip

    async def promote(self, connector: str, stem: str, number: int, *, by: str) -> Standing:
        """Let a version read all entries."""
        await self.fit(connector, stem, number)
        return (await self.versions.decide(connector, stem, lambda now, _: versions.promoted(now, number), by=by))[1]

    async def withdraw(self, connector: str, stem: str, *, by: str) -> Standing:
        """End the canary."""
        return (await self.versions.decide(connector, stem, lambda now, _: versions.withdrawn(now), by=by))[1]

    async def roll_back(self, connector: str, stem: str, number: int | None, *, by: str) -> Standing:
        """Let what was live before read again; it was fit once, and is not asked for its cases at such a moment."""
        return (await self.versions.decide(connector, stem, lambda now, _: versions.rolled_back(now, number), by=by))[1]

    async def retire(self, connector: str, stem: str, number: int, *, by: str) -> Standing:
        """Give a draft or a canary up."""
        await self.version(connector, stem, number)
        return (await self.versions.decide(connector, stem, lambda now, _: versions.given_up(now, number), by=by))[1]

    # ------------------------------------------------------------------ looking
    def samples(self, connector: str, stem: str) -> list[str]:
        """The names of samples that it reads."""
        line = (connector, stem)
        if line not in self._samples:
            self._samples[line] = samples.names(self.need(connector, stem).card, stem)
        return self._samples[line]

    def on_sample(self, name: str, by: Sequence[Version]) -> Look:
        """What versions make of a sample. Samples are made up: nothing of them is hidden."""
        last = by[-1]
        card = self.need(last.connector, last.stem).card
        found = samples.read(card, name, last.stem)
        if not found:
            raise PayloadError("nothing in it is for this mapping", place=name)
        source = Source(self.need(last.connector, last.stem), found[0].stem, found[0].data, found[0].context)
        clear = dict.fromkeys(access.LEAST, "clear")
        looked = self._look(source, by, clear)
        return msgspec.structs.replace(looked, account=card.name, topic=name)

    def on_entry(self, entry: journal.Entry, by: Sequence[Version], viewer: access.Viewer) -> Look:
        """What versions make of an entry, each value as the viewer may see it. PayloadError when it lies outside of the viewer's domain or is
        read by another mapping; GatewayError when it cannot be opened."""
        opened = self._accounts.need(entry.account)
        if not viewer.sees(opened.account.unit):
            raise PayloadError("no such entry", place=entry.id)
        source = source_of(entry, self._accounts, self._vault)
        if source.stem != by[-1].stem or opened.card.name != by[-1].connector:
            raise PayloadError(f"this entry is read by {opened.card.name}/{source.stem or '-'}", place=entry.id)
        looked = self._look(source, by, viewer.grants)
        return msgspec.structs.replace(looked, account=entry.account, topic=entry.topic, at=entry.received_at)

    def _look(self, source: Source, by: Sequence[Version], grants: veil.Grants) -> Look:
        outcomes = [self._outcome(one, source) for one in by]
        said = [contrast.facets(one.said) for one, _ in outcomes]
        last, fault = outcomes[-1]
        return Look(
            source=veil.source(source.data, said, grants),
            columns=tuple(name_of(one) for one in by),
            rows=veil.rows(said, grants),
            marks=tuple(_marks(by[-1].text, last, fault)),
            faults=tuple(one.fault for one, _ in outcomes),
        )

    def _outcome(self, version: Version, source: Source) -> tuple[contrast.Outcome, GatewayError | None]:
        try:
            return contrast.Outcome(said=self.program(version).run(source.data, source.context)), None
        except GatewayError as error:
            return contrast.Outcome(fault=f"{error.code} {error}"), error


def name_of(version: Version) -> str:
    """As events name it."""
    if version.number == SHIPPED:
        return f"{version.connector}/{version.stem}@{version.declared}"
    return version.name


def fault_of(error: GatewayError) -> Fault:
    """A fault with its line, from the place it names or, for an error's text, the place in it."""
    found = _PLACE.search(error.place)
    detail = f"{error.detail} ({error.remedy})" if error.remedy else error.detail
    if not found:
        return Fault(line=0, field="", detail=detail)
    return Fault(line=int(found[1]), field=found[2] or "", detail=detail)


def _marks(text: str, outcome: contrast.Outcome, error: GatewayError | None) -> Iterator[Fault]:
    """Where in the text a value was refused, or a table did not know one."""
    if error is not None:
        yield fault_of(error)
        return
    places = _places(text)
    for field, raw in sorted(outcome.unknowns):
        line = next((at for name, at in places if name.rpartition("fields.")[2] == field), 0)
        yield Fault(line=line, field=field, detail=raw, level="warn")


def _places(text: str) -> list[tuple[str, int]]:
    try:
        return [(piece.field, _line(piece)) for piece in _walk(mapfile.read(text, "text.yaml"))]
    except MappingError:
        return []


def _line(piece: mapfile.Piece) -> int:
    return int(piece.place.split(":")[1])


def _walk(piece: mapfile.Piece) -> Iterator[mapfile.Piece]:
    yield piece
    below = [one for _, one in piece.items()] if piece.is_map else piece.members() if piece.is_list else []
    for one in below:
        yield from _walk(one)


def diff(before: Version, after: Version) -> list[tuple[str, str]]:
    """A unified diff as (class, line): class added, removed, at or ""."""
    lines = difflib.unified_diff(
        before.text.splitlines(), after.text.splitlines(), name_of(before), name_of(after), lineterm="", n=3
    )
    return [(_class_of(number, line), line) for number, line in enumerate(lines)]


def _class_of(number: int, line: str) -> str:
    if number < 2 or line.startswith("@@"):
        return "at"
    return {"+": "added", "-": "removed"}.get(line[:1], "")


def table_of(text: str, field: str) -> tuple[str, int] | None:
    """The table that a field of a mapping is read by, and the line where it begins; line 0 for one that is shared. None without one."""
    places = dict(_places(text))
    for name in places:
        if name.endswith(f"fields.{field}.table"):
            table = _value_at(text, name)
            return table, places.get(f"tables.{table}", 0)
    return None


def _value_at(text: str, field: str) -> str:
    return next(piece.text() for piece in _walk(mapfile.read(text, "text.yaml")) if piece.field == field)
