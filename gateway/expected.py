"""What a golden case expects against what came out: only what is named is compared."""

from collections.abc import Sequence
from datetime import datetime
from enum import Enum
from typing import Any

import msgspec
from msgspec import UNSET

from gateway import clock, mapping
from gateway.language.mapfile import Piece

_KEYS = ("record", "fields", "unset", "identities", "customer", "time", "version", "unknowns")
_UNKNOWN_KEYS = ("field", "raw")


def check(expect: Piece) -> None:
    """MappingError when ``expect`` is not in the form of a case."""
    for piece in expect.members():
        keys = piece.keys(_KEYS, required=("record",))
        keys["record"].choice(mapping.RECORDS)


def differences(expect: Piece, found: Sequence[mapping.Mapped]) -> list[str]:
    """One sentence for each thing that is not as expected, with its place."""
    check(expect)
    wanted = expect.members()
    if len(wanted) != len(found):
        kinds = ", ".join(mapped.kind for mapped in found) or "none"
        return [f"{expect.place}: {len(wanted)} records expected, not {len(found)} ({kinds})"]
    return [fault for piece, mapped in zip(wanted, found, strict=True) for fault in _record(piece, mapped)]


def _record(piece: Piece, mapped: mapping.Mapped) -> list[str]:
    keys = piece.keys(_KEYS)
    if keys["record"].text() != mapped.kind:
        return [f"{keys['record'].place}: a {mapped.kind} came out"]
    faults = _named(keys["fields"], mapped.record) if "fields" in keys else []
    faults += [
        f"{name.place}: unset was expected, not {_shown(actual)}"
        for name in (keys["unset"].members() if "unset" in keys else [])
        if (actual := _reach(mapped.record, name.text())) is not UNSET
    ]
    if "customer" in keys:
        faults += _value(keys["customer"], mapped.customer)
    if "identities" in keys:
        faults += _value(keys["identities"], mapped.identities)
    if "time" in keys:
        faults += _value(keys["time"], None if mapped.source_time is None else clock.moment(mapped.source_time))
    if "version" in keys:
        faults += _value(keys["version"], mapped.source_version)
    return faults + (_unknowns(keys["unknowns"], mapped) if "unknowns" in keys else [])


def _unknowns(piece: Piece, mapped: mapping.Mapped) -> list[str]:
    wanted = [member.keys(_UNKNOWN_KEYS) if member.is_map else {"field": member} for member in piece.members()]
    plain = [{name: value.text() for name, value in keys.items()} for keys in wanted]
    found = [{"field": unknown.field, "raw": unknown.raw} for unknown in mapped.unknowns]
    same = len(plain) == len(found) and all(want.items() <= got.items() for want, got in zip(plain, found, strict=True))
    return [] if same else [f"{piece.place}: {plain} expected, not {found}"]


def _named(piece: Piece, actual: Any) -> list[str]:
    return [fault for name, below in piece.items() for fault in _value(below, _reach(actual, name))]


def _reach(actual: Any, name: str) -> Any:
    """Follow a dotted name through structs, maps and (by number) lists; UNSET where there is nothing."""
    for part in name.split("."):
        if isinstance(actual, dict):
            actual = actual.get(part, UNSET)
        elif isinstance(actual, tuple) and part.isdigit():
            actual = actual[int(part)] if int(part) < len(actual) else UNSET
        else:
            actual = getattr(actual, part, UNSET)
    return actual


def _value(piece: Piece, actual: Any) -> list[str]:
    if piece.is_map and isinstance(actual, msgspec.Struct | dict):
        return _named(piece, actual)
    if piece.is_list and isinstance(actual, tuple):
        return _members(piece, actual)
    wanted = piece.value()
    if _equal(wanted, actual):
        return []
    return [f"{piece.place}: {_shown(wanted)} expected, not {_shown(actual)}"]


def _members(piece: Piece, actual: tuple[Any, ...]) -> list[str]:
    wanted = piece.members()
    if len(wanted) != len(actual):
        return [f"{piece.place}: {len(wanted)} expected, not {len(actual)}: {_shown(actual)}"]
    return [fault for below, member in zip(wanted, actual, strict=True) for fault in _value(below, member)]


def _equal(wanted: Any, actual: Any) -> bool:
    if isinstance(actual, Enum):
        return bool(wanted == actual.value)
    if isinstance(actual, datetime):
        return _moment(wanted) == actual
    return type(wanted) is type(actual) and wanted == actual


def _moment(wanted: Any) -> datetime | None:
    try:
        return clock.moment(clock.parse(str(wanted)))
    except ValueError:
        return None


def _shown(value: Any) -> str:
    if value is UNSET:
        return "unset"
    if isinstance(value, datetime):
        return clock.text(clock.instant(value))
    return msgspec.json.encode(value).decode()
