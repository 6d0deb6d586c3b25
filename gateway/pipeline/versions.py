"""Versions of a mapping that people store at run time, beside the one that is shipped as a file.

A version's text never changes: whoever edits stores another. Which one is in force stands in one small document for each mapping, its
**standing**, so that a change of mind is one write: two people cannot half-promote. The shipped file is number 0 and always there.

========= =====================================================================================
draft     stored; nothing reads with it
canary    reads a share of the entries, by their partition keys, beside the one that is live
live      reads the others (or all)
retired   was one of those, or was given up. The last three that were live are a click away
========= =====================================================================================
"""

from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from pathlib import Path
from typing import Any

import msgspec

import mappings
from gateway import mapping, shelf
from gateway.clock import Clock
from gateway.errors import ConfigError, Stale

VERSIONS = "mappings"
STANDINGS = "standings"
SHIPPED = 0
KEPT_LIVE = 3
KEPT = 50
SHARES = range(1, 51)
"""Percent of the entries that a canary may have."""

_json = msgspec.json.Encoder()
_TRIES = 5

Line = tuple[str, str]
"""Connector and stem."""


class State(Enum):
    """See the module."""

    DRAFT = "draft"
    CANARY = "canary"
    LIVE = "live"
    RETIRED = "retired"


class Version(msgspec.Struct, frozen=True, kw_only=True):
    """``declared`` is the ``version`` that the text states (0 where it cannot be read), ``base`` the name of the version it was edited from.
    ``faults`` is what the check and the golden cases said when it was stored; with any it can be neither canary nor live."""

    connector: str
    stem: str
    number: int
    text: str
    declared: int = 0
    by: str
    at: int
    note: str = ""
    base: str = ""
    cases: int = 0
    faults: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """``feed/order@3.7``: what events carry. A shipped one has no second number."""
        return f"{self.connector}/{self.stem}@{self.declared}.{self.number}"


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """Which versions of one mapping are in force, by number. ``canary`` 0 is none; ``since`` is when it began. ``past`` were live before, the
    last one first. ``why`` says what the last change was and ``by`` whose."""

    connector: str
    stem: str
    live: int = SHIPPED
    canary: int = 0
    share: int = 10
    since: int = 0
    past: tuple[int, ...] = ()
    retired: tuple[int, ...] = ()
    by: str = ""
    at: int = 0
    why: str = ""

    def state(self, number: int) -> State:
        """Where a version stands."""
        if number == self.live:
            return State.LIVE
        if number == self.canary and number:
            return State.CANARY
        return State.RETIRED if number in (*self.past, *self.retired) or number == SHIPPED else State.DRAFT


# ---------------------------------------------------------------------- decisions
def trying(standing: Standing, number: int, share: int, now: int) -> Standing:
    """Give a version a share of the entries; another canary ends. The same one again changes its share and goes on counting."""
    if share not in SHARES:
        raise ConfigError(f"a canary gets 1 to 50 percent, not {share}", place="share", remedy="10 is a good start")
    if number in (standing.live, SHIPPED):
        raise ConfigError("this version is live: a canary is another one", remedy="choose a draft")
    if number == standing.canary:
        return msgspec.structs.replace(standing, share=share, why="share")
    left = _withdrawn(standing)
    return msgspec.structs.replace(
        left, canary=number, share=share, since=now, why="canary", retired=_without(left.retired, number)
    )


def promoted(standing: Standing, number: int) -> Standing:
    """A version is live for all entries. What was live is remembered first; any other canary ends."""
    if number == standing.live:
        raise ConfigError("this version is live already")
    left = standing if standing.canary == number else _withdrawn(standing)
    past = (standing.live, *_without(standing.past, standing.live, number))
    return msgspec.structs.replace(
        left, live=number, canary=0, since=0, why="promoted", past=past[:KEPT_LIVE],
        retired=(*_without(left.retired, number, *past), *past[KEPT_LIVE:]),
    )  # fmt: skip


def withdrawn(standing: Standing, why: str = "withdrawn") -> Standing:
    """End the canary: all entries are read by what is live."""
    if not standing.canary:
        raise ConfigError("no canary is running", place=f"{standing.connector}/{standing.stem}")
    return msgspec.structs.replace(_withdrawn(standing), why=why)


def rolled_back(standing: Standing, number: int | None = None) -> Standing:
    """What was live before is live again: the last one, or another that is remembered. A canary ends too."""
    if not standing.past:
        raise ConfigError("nothing was live before this", place=f"{standing.connector}/{standing.stem}")
    wanted = standing.past[0] if number is None else number
    if wanted not in standing.past:
        raise ConfigError(f"version {wanted} is not one of the last three that were live", remedy="promote it instead")
    return msgspec.structs.replace(promoted(standing, wanted), why="rolled_back")


def given_up(standing: Standing, number: int) -> Standing:
    """Retire a draft, or a canary."""
    if number in (standing.live, SHIPPED):
        raise ConfigError("the live version cannot be retired", remedy="promote another, or roll back")
    left = _withdrawn(standing) if number == standing.canary else standing
    past = _without(left.past, number)
    return msgspec.structs.replace(left, past=past, why="retired", retired=(*_without(left.retired, number), number))


def _withdrawn(standing: Standing) -> Standing:
    if not standing.canary:
        return standing
    retired = (*_without(standing.retired, standing.canary), standing.canary)
    return msgspec.structs.replace(standing, canary=0, since=0, retired=retired)


def _without(numbers: Sequence[int], *gone: int) -> tuple[int, ...]:
    return tuple(one for one in numbers if one not in gone)


# ---------------------------------------------------------------------- compiling
def folder_of(own: Path | None, connector: str, stem: str) -> Path:
    """The folder whose file, cases and shared tables a mapping lives by: the user's own where it has the file, else the built-in one."""
    return own if own is not None and (own / connector / f"{stem}.yaml").exists() else mappings.FOLDER


def place_of(number: int, connector: str, stem: str) -> str:
    """How faults name a stored version's text."""
    return f"stored/{number}/{connector}/{stem}.yaml"


def compiled(version: Version, folder: Path, calls: Mapping[str, Callable[..., Any]]) -> mapping.Program:
    """A stored version, under its own name. MappingError names its number, line and field."""
    place = place_of(version.number, version.connector, version.stem)
    program = mapping.compile_text(version.text, place=place, calls=calls, tables=mapping.Tables(folder))
    return msgspec.structs.replace(program, name=version.name)


# ---------------------------------------------------------------------- keeping
_version = msgspec.json.Decoder(Version)
_standing = msgspec.json.Decoder(Standing)


class Versions:
    """Versions and standings on the shelf. StoreError when it cannot be reached."""

    def __init__(self, documents: shelf.Shelf, clock: Clock) -> None:
        self._shelf = documents
        self._clock = clock

    async def standings(self) -> dict[Line, Standing]:
        """Of every mapping for which something was decided."""
        kept = [_standing.decode(one.body) for one in await self._shelf.documents(STANDINGS)]
        return {(one.connector, one.stem): one for one in kept}

    async def standing(self, connector: str, stem: str) -> Standing:
        """Of one mapping; the shipped file is live where nothing was decided."""
        kept = await self._shelf.document(STANDINGS, f"{connector}/{stem}")
        return _standing.decode(kept.body) if kept else Standing(connector=connector, stem=stem)

    async def all(self, connector: str, stem: str) -> list[Version]:
        """Of one mapping, the newest first."""
        return [_version.decode(one.body) for one in reversed(await self._documents(connector, stem))]

    async def get(self, connector: str, stem: str, number: int) -> Version | None:
        """One by its number."""
        kept = await self._shelf.document(VERSIONS, _key(connector, stem, number))
        return _version.decode(kept.body) if kept else None

    async def need(self, connector: str, stem: str, number: int) -> Version:
        """ConfigError when there is none."""
        found = await self.get(connector, stem, number)
        if found is None:
            raise ConfigError(
                f"{connector}/{stem} has no stored version {number}",
                remedy=f"gateway mapping versions {connector}/{stem}",
            )
        return found

    async def add(self, version: Version) -> Version:
        """Store a version under the next number."""
        for _ in range(_TRIES):
            known = await self._documents(version.connector, version.stem)
            number = _version.decode(known[-1].body).number + 1 if known else 1
            fresh = msgspec.structs.replace(version, number=number, at=self._clock.now())
            document = shelf.Document(
                shelf=VERSIONS, key=_key(fresh.connector, fresh.stem, number), version=1, body=_json.encode(fresh),
                updated=fresh.at,
            )  # fmt: skip
            try:
                await self._shelf.file(document, before=0)
            except Stale:
                continue
            await self._forget_old(fresh, known)
            return fresh
        raise Stale("others store versions of this at the same time", place=f"{version.connector}/{version.stem}")

    async def decide(
        self, connector: str, stem: str, change: Callable[[Standing, int], Standing], *, by: str
    ) -> tuple[Standing, Standing]:
        """Change a standing; ``change`` is handed it and the instant. What it was, and what it is. ConfigError as ``change`` says; Stale when somebody else decided meanwhile."""
        key = f"{connector}/{stem}"
        kept = await self._shelf.document(STANDINGS, key)
        old = _standing.decode(kept.body) if kept else Standing(connector=connector, stem=stem)
        now = self._clock.now()
        new = msgspec.structs.replace(change(old, now), by=by, at=now)
        before = kept.version if kept else 0
        document = shelf.Document(shelf=STANDINGS, key=key, version=before + 1, body=_json.encode(new), updated=now)
        await self._shelf.file(document, before=before)
        return old, new

    async def _documents(self, connector: str, stem: str) -> list[shelf.Document]:
        prefix = f"{connector}/{stem}/"
        kept = await self._shelf.documents(VERSIONS, after=prefix, limit=2 * KEPT)
        return [one for one in kept if one.key.startswith(prefix)]

    async def _forget_old(self, fresh: Version, known: Sequence[shelf.Document]) -> None:
        standing = await self.standing(fresh.connector, fresh.stem)
        held = {standing.live, standing.canary, *standing.past}
        spare = [one for one in known if _version.decode(one.body).number not in held]
        for one in spare[: max(0, len(known) + 1 - KEPT)]:
            await self._shelf.unfile(VERSIONS, one.key, before=one.version)


def _key(connector: str, stem: str, number: int) -> str:
    # Padded, so that keys sort as numbers do.
    return f"{connector}/{stem}/{number:06}"


def named(name: str) -> tuple[str, str, int | None]:
    """``feed/order@3.7`` or ``feed/order/7`` → (feed, order, 7); ``feed/order`` and a shipped name have no number. ConfigError otherwise."""
    line, _, number = name.partition("@")
    if number:
        number = number.partition(".")[2] or str(SHIPPED)
    else:
        parts = line.split("/")
        line, number = "/".join(parts[:2]), "/".join(parts[2:])
    connector, _, stem = line.partition("/")
    if not connector or not stem or (number and not number.isdecimal()):
        raise ConfigError(f"{name!r} names no mapping", remedy="feed/order, feed/order@3.7 or feed/order/7")
    return connector, stem, int(number) if number else None
