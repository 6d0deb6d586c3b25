"""Mappings: what each reads with and stumbles over, its source beside its result, its versions, shadow runs and canaries."""

from collections.abc import Iterable
from typing import Any

import msgspec
from litestar import Request, Response, get
from litestar.di import NamedDependency
from litestar.exceptions import NotFoundException
from litestar.params import FromPath

from gateway import masking
from gateway.console import export, frame
from gateway.desk import mappings as desk_mappings
from gateway.desk.mappings import Fault, Look, name_of
from gateway.desk.resources import Desk
from gateway.errors import GatewayError, PayloadError
from gateway.pipeline import backwards
from gateway.pipeline.contrast import Kind
from gateway.pipeline.ledger import Ledger, Seen, Tally
from gateway.pipeline.versions import SHIPPED, Line, Standing, State, Version
from gateway.store import DeadLetter

TABS = ("seen", "result", "cases", "versions", "edit", "shadow", "canary")
PATH = "/console/mappings"
_LETTERS = 500
_RECENT = 15
_SCAN = 3000
_KINDS = ("new_error", "new_unknown", "differs", "fixed_error", "fixed_unknown", "both_fail", "same")
_LEVEL = {"new_error": "bad", "new_unknown": "warn", "differs": "busy", "fixed_error": "good", "fixed_unknown": "good"}


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One mapping of the list."""

    key: str
    accounts: str
    live: str
    canary: str
    share: int
    per_minute: float
    unknown: int
    errors: int
    refused: str
    broke: bool


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """Where a mapping stands: its versions by number (the shipped one is 0), what was counted, and the letters it could not read."""

    connector: str
    stem: str
    standing: Standing
    versions: dict[int, Version]
    ledger: Ledger
    letters: list[DeadLetter]

    @property
    def key(self) -> str:
        """``feed/order``."""
        return f"{self.connector}/{self.stem}"

    @property
    def path(self) -> str:
        """Of its page."""
        return f"{PATH}/{self.key}"

    def name(self, number: int) -> str:
        """As events name it; the bare number of one that was forgotten."""
        return name_of(self.versions[number]) if number in self.versions else f"{self.key}/{number}"

    def state(self, number: int) -> State:
        """Where a version stands."""
        return self.standing.state(number)

    @property
    def fit(self) -> list[Version]:
        """Versions that may be tried: stored, not live, without a known fault."""
        return [
            one for number, one in self.versions.items() if number != self.standing.live and number and not one.faults
        ]


# ---------------------------------------------------------------------- the list
async def list_parts(seat: frame.Seat, desk: Desk) -> dict[str, str]:
    """The table."""
    return {"maps": frame.fragment("parts/mappings.html", seat, desk.clock.now(), rows=await _rows(desk))}


@get("/mappings")
async def mappings(request: Request[Any, Any, Any], desk: NamedDependency[Desk]) -> Response[Any]:
    """The page; ``?format=csv`` for a spreadsheet."""
    seat = frame.seat_of(request)
    if seat.query.get("format") == "csv":
        columns = ("key", "accounts", "live", "canary", "share", "per_minute", "unknown", "errors")
        return export.csv("mappings", columns, [msgspec.structs.asdict(one) for one in await _rows(desk)])
    return frame.page(
        request, "mappings.html", now=desk.clock.now(), parts=await list_parts(seat, desk), here="mappings"
    )


async def _rows(desk: Desk) -> list[Row]:
    maps = desk.mappings
    standings, ledgers = await maps.versions.standings(), await maps.ledgers.all()
    letters = await desk.records.dead_letters(limit=_LETTERS)
    found = []
    for line, opened in maps.lines().items():
        standing = standings.get(line) or Standing(connector=line[0], stem=line[1])
        names = {number: await _name(desk, line, number) for number in (standing.live, standing.canary)}
        ledger = ledgers.get(line) or Ledger(connector=line[0], stem=line[1])
        accounts = [one.account.name for one in opened]
        key = "/".join(line)
        found.append(
            Row(
                key=key, accounts=", ".join(accounts), live=names[standing.live], share=standing.share,
                canary=names[standing.canary] if standing.canary else "", unknown=sum(one.count for one in ledger.unknowns),
                per_minute=round(desk.figures.rate("gateway_mapped_total", seconds=60, mapping=key) * 60, 1),
                errors=len(_of(letters, line, accounts)), refused=ledger.refused, broke=standing.why == "broke",
            )
        )  # fmt: skip
    return found


async def _name(desk: Desk, line: Line, number: int) -> str:
    if number == SHIPPED:
        return name_of(desk.mappings.shipped(*line))
    found = await desk.mappings.versions.get(*line, number)
    return found.name if found else f"{'/'.join(line)}/{number}"


def _of(letters: Iterable[DeadLetter], line: Line, accounts: list[str]) -> list[DeadLetter]:
    """Those that this mapping could not read: their detail names its text."""
    place = f"{'/'.join(line)}.yaml:"
    return [one for one in letters if one.stage == "map" and one.account in accounts and place in one.detail]


# ---------------------------------------------------------------------- one of them
async def place_of(desk: Desk, connector: str, stem: str) -> Place:
    """Everything that the page of one mapping shows of its standing. 404 when no account reads with it."""
    lines = desk.mappings.lines()
    line = (connector, stem)
    if line not in lines:
        raise NotFoundException("no account reads with this mapping")
    stored = await desk.mappings.versions.all(connector, stem)
    known = {one.number: one for one in [*stored, desk.mappings.shipped(connector, stem)]}
    letters = await desk.records.dead_letters(limit=_LETTERS)
    return Place(
        connector=connector, stem=stem, standing=await desk.mappings.versions.standing(connector, stem), versions=known,
        ledger=await desk.mappings.ledgers.get(connector, stem),
        letters=_of(letters, line, [one.account.name for one in lines[line]]),
    )  # fmt: skip


async def parts(seat: frame.Seat, desk: Desk) -> dict[str, str]:
    """How it stands, and what changes on the chosen tab."""
    _, connector, stem = seat.path.rsplit("/", 2)
    place, now = await place_of(desk, connector, stem), desk.clock.now()
    given: dict[str, Any] = {"place": place, "tab": tab_of(seat)}
    rate = desk.figures.rate("gateway_mapped_total", seconds=60, mapping=place.key) * 60
    found = {"standing": frame.fragment("parts/mapping_standing.html", seat, now, rate=rate, **given)}
    match tab_of(seat):
        case "seen":
            unknowns = sorted(place.ledger.unknowns, key=lambda one: -one.count)
            rows = [(one, raw_of(one)) for one in unknowns]
            causes = _causes(place.letters)
            found["seen"] = frame.fragment("parts/mapping_seen.html", seat, now, unknowns=rows, causes=causes, **given)
        case "shadow":
            runs = await desk.shadows.of(connector, stem)
            run = next((one for one in runs if one.id == seat.query.get("run")), runs[0] if runs else None)
            found["shadow"] = frame.fragment(
                "parts/mapping_shadow.html", seat, now, runs=runs, run=run, **_told(run.tally if run else None, desk, seat), **given
            )  # fmt: skip
        case "canary":
            tally = place.ledger.trial
            found["canary"] = frame.fragment(
                "parts/mapping_canary.html", seat, now, **_told(tally, desk, seat), **given
            )
    return found


def tab_of(seat: frame.Seat) -> str:
    """The chosen tab."""
    asked = seat.query.get("tab", "")
    return asked if asked in TABS else TABS[0]


def raw_of(seen: Seen) -> str:
    """A raw value as it may be shown: it should be a code, and what looks like a way to reach somebody is masked."""
    digits = sum(letter.isdigit() for letter in seen.raw)
    return masking.contact(seen.raw) if digits >= 7 or "@" in seen.raw else seen.raw


def _causes(letters: Iterable[DeadLetter]) -> list[tuple[str, int, int]]:
    """Details with how many letters and the last instant, most first."""
    counts: dict[str, list[int]] = {}
    for one in letters:
        counts.setdefault(one.detail, []).append(one.at)
    return sorted(((detail, len(ats), max(ats)) for detail, ats in counts.items()), key=lambda one: -one[1])


def _told(tally: Tally | None, desk: Desk, seat: frame.Seat) -> dict[str, Any]:
    """What was counted, made ready for the page."""
    tally = tally or Tally()
    kinds = [(kind, tally.kinds.get(kind, 0), _LEVEL.get(kind, "")) for kind in _KINDS]
    moves = [(*key.split(" "), count) for key, count in _most(tally.moves)]
    errors = tally.of(Kind.NEW_ERROR)
    # The rule of three: with none among n, 3/n bounds the true rate with 95 % confidence (Hanley & Lippman-Hand 1983).
    bound = 300 / tally.entries if tally.entries and not errors else None
    visible = {one.account.name for one in desk.accounts.all() if seat.viewer.sees(one.account.unit)}
    return {
        "tally": tally, "kinds": kinds, "moves": moves, "fields": _most(tally.fields)[:20], "faults": _most(tally.faults)[:10],
        "errors": errors, "percent": errors * 100 / tally.entries if tally.entries else 0.0, "bound": bound,
        "samples": [one for one in reversed(tally.samples) if one.account in visible], "levels": _LEVEL,
    }  # fmt: skip


def _most(counts: dict[str, int]) -> list[tuple[str, int]]:
    return sorted(counts.items(), key=lambda one: (-one[1], one[0]))


@get("/mappings/{connector:str}/{stem:str}")
async def one(
    request: Request[Any, Any, Any], desk: NamedDependency[Desk], connector: FromPath[str], stem: FromPath[str]
) -> Response[Any]:
    """The page of one mapping; ``?tab=`` chooses what stands below."""
    seat = frame.seat_of(request)
    place = await place_of(desk, connector, stem)
    tab = tab_of(seat)
    if tab == "seen" and seat.query.get("format") == "csv":
        rows = [{**msgspec.structs.asdict(seen), "raw": raw_of(seen)} for seen in place.ledger.unknowns]
        await desk.did(seat.viewer, "export", f"mapping/{connector}/{stem}", rows=len(rows))
        return export.csv(f"{connector}-{stem}-unknown", ("field", "raw", "count", "entry"), rows)
    given = await _TABS[tab](seat, desk, place) if tab in _TABS else {}
    return answer(request, desk, place, await parts(seat, desk), tab=tab, **given)


def answer(
    request: Request[Any, Any, Any], desk: Desk, place: Place, shown: dict[str, str], *, tab: str, **given: Any
) -> Response[Any]:
    """The page with what its tab needs."""
    seat = frame.seat_of(request)
    return frame.page(
        request, "mapping.html", now=desk.clock.now(), parts=shown, here="mappings", place=place, tab=tab, tabs=TABS,
        did=seat.query.get("did", ""), version=_chosen(seat, place), **given,
    )  # fmt: skip


def _chosen(seat: frame.Seat, place: Place) -> Version:
    """``?version=``, else the one that is live; the shipped one where that was forgotten."""
    asked = seat.query.get("version", "")
    number = int(asked) if asked.isdecimal() else place.standing.live
    return place.versions.get(number) or place.versions[SHIPPED]


# ---------------------------------------------------------------------- tabs that stand still
async def _result(seat: frame.Seat, desk: Desk, place: Place) -> dict[str, Any]:
    version = _chosen(seat, place)
    against = place.versions.get(int(seat.query["against"])) if seat.query.get("against", "").isdecimal() else None
    sides = [against, version] if against and against.number != version.number else [version]
    samples = desk.mappings.samples(place.connector, place.stem)
    entry, sample = seat.query.get("entry", "").strip(), seat.query.get("sample", "")
    look: Look | None = None
    wrong = ""
    try:
        if entry:
            look = await _entry(seat, desk, entry, sides)
        elif sample or samples:
            look = desk.mappings.on_sample(sample or samples[0], sides)
    except GatewayError as error:
        wrong = error.detail
    return {
        "samples": samples, "sample": sample or (samples[0] if samples else ""), "entry": entry, "look": look, "wrong": wrong,
        "lines": lines_of(version.text, look.marks if look else ()), "recent": await _recent(seat, desk, place),
    }  # fmt: skip


async def _entry(seat: frame.Seat, desk: Desk, name: str, sides: list[Version]) -> Look:
    found = await desk.log.find(name)
    if found is None:
        raise PayloadError("the journal does not hold this entry any more")
    await desk.did(seat.viewer, "read", found.id, account=found.account)
    return desk.mappings.on_entry(found, sides, seat.viewer)


async def _recent(seat: frame.Seat, desk: Desk, place: Place) -> list[Any]:
    """The newest entries of the accounts that read with it."""
    names = {
        one.account.name
        for one in desk.mappings.lines()[place.connector, place.stem]
        if seat.viewer.sees(one.account.unit)
    }
    found: list[Any] = []
    upto = await desk.records.cursors()
    async for page in backwards.newest(desk.log, upto, lambda entry: entry.account in names, scan=_SCAN):
        found += page
        if len(found) >= _RECENT:
            break
    return found[:_RECENT]


async def _cases(seat: frame.Seat, desk: Desk, place: Place) -> dict[str, Any]:
    return {"checked": await desk.mappings.cases_of(_chosen(seat, place))}


async def _versions(seat: frame.Seat, desk: Desk, place: Place) -> dict[str, Any]:
    del desk
    newer = _chosen(seat, place) if seat.query.get("version") else next(iter(place.versions.values()))
    asked = seat.query.get("with", "")
    older = place.versions.get(int(asked)) if asked.isdecimal() else place.versions.get(place.standing.live)
    pair = (older, newer) if older and older.number != newer.number else None
    return {"pair": pair, "diff": desk_mappings.diff(*pair) if pair else []}


async def _edit(seat: frame.Seat, desk: Desk, place: Place) -> dict[str, Any]:
    del desk
    version = _chosen(seat, place)
    field, raw = seat.query.get("field", ""), seat.query.get("raw", "")
    hint = desk_mappings.table_of(version.text, field) if field else None
    return {
        "text": version.text, "note": "", "checked": None, "lines": [], "hint": (field, raw, *hint) if hint else None,
    }  # fmt: skip


_TABS = {"result": _result, "cases": _cases, "versions": _versions, "edit": _edit}


def lines_of(text: str, marks: Iterable[Fault]) -> list[tuple[int, str, list[Fault]]]:
    """Lines from 1, each with what is marked there."""
    by_line: dict[int, list[Fault]] = {}
    for mark in marks:
        by_line.setdefault(mark.line, []).append(mark)
    return [(number, line, by_line.get(number, [])) for number, line in enumerate(text.splitlines(), 1)]
