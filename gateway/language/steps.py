"""How a raw value of a mapping becomes a canonical one: call, then converters, then table, compiled into one function.

Whether the end fits the canonical field is settled here, when the mapping is read.
"""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, NamedTuple

import msgspec
from msgspec import UNSET

from gateway import clock
from gateway.language import converters, paths, times
from gateway.language.converters import Refusal
from gateway.language.mapfile import Piece, nearest
from gateway.language.targets import Kind, Target
from gateway.model.record import Coded
from gateway.model.values import Gender


class Run:
    """What one run of a mapping carries along: its context, the whole data, and what it finds on the way.

    ``unknowns`` are pairs of field and raw value; ``raw`` is what the last noted field (a source time) was read from; ``extra`` is the
    currency or unit that stands beside the value at hand.
    """

    __slots__ = ("context", "extra", "raw", "root", "unknowns", "zone")

    def __init__(self, root: Any, context: Any) -> None:
        self.root = root
        self.context = context
        self.zone: str = context.zone
        self.unknowns: list[tuple[str, str]] = []
        self.raw: Any = None
        self.extra: Any = None


class Step(NamedTuple):
    """``apply`` takes the value, and the Run too where it ``needs_run``. It raises Refusal; ``UNSET`` ends the way."""

    apply: Callable[..., Any]
    needs_run: bool = False


class Names(msgspec.Struct, frozen=True, kw_only=True):
    """What a mapping may name besides converters: tables (its own and shared ones) and the connector's functions."""

    connector: str
    calls: Mapping[str, Callable[..., Any]]
    tables: Mapping[str, Piece]


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """How a field is asked for. ``name`` is what an unknown value is counted under; ``own`` reads lent phone numbers as absent;
    ``noted`` leaves the raw value in ``Run.raw``."""

    names: Names
    name: str
    own: bool = False
    noted: bool = False


class Converter(NamedTuple):
    """``convert`` takes the raw value, and the zone where ``zoned``."""

    convert: Callable[..., Any]
    yields: Kind
    zoned: bool = False


CONVERTERS: Mapping[str, Converter] = {
    "text": Converter(converters.text, Kind.TEXT),
    "strip": Converter(converters.strip, Kind.TEXT),
    "lower": Converter(converters.lower, Kind.TEXT),
    "upper": Converter(converters.upper, Kind.TEXT),
    "unmasked": Converter(converters.unmasked, Kind.TEXT),
    "int": Converter(converters.whole, Kind.INT),
    "bool": Converter(converters.truth, Kind.BOOL),
    "decimal": Converter(converters.decimal, Kind.TEXT),
    "yuan": Converter(converters.yuan, Kind.MONEY),
    "fen": Converter(converters.fen, Kind.MONEY),
    "time": Converter(times.time, Kind.TIME, zoned=True),
    "time_s": Converter(times.time_s, Kind.TIME),
    "time_ms": Converter(times.time_ms, Kind.TIME),
    "date": Converter(times.date, Kind.TEXT),
    "phone": Converter(converters.phone, Kind.TEXT),
    "privacy": Converter(converters.privacy, Kind.BOOL),
    "email": Converter(converters.email, Kind.TEXT),
    "quantity": Converter(converters.quantity, Kind.QUANTITY),
    "region": Converter(converters.region, Kind.REGION),
    "gender": Converter(converters.text, Kind.ENUM),
    "list": Converter(converters.split, Kind.TEXTS),
    "json": Converter(converters.json, Kind.ANY),
}

NATURAL: Mapping[Kind, Callable[[Any], Any]] = {
    Kind.TEXT: converters.text,
    Kind.INT: converters.whole,
    Kind.BOOL: converters.truth,
    Kind.TEXTS: converters.texts,
    Kind.PAIRS: converters.pairs,
}
ADVICE: Mapping[Kind, str] = {
    Kind.TIME: "say as: time, time_s or time_ms",
    Kind.MONEY: "say as: yuan or fen",
    Kind.QUANTITY: "say as: quantity",
    Kind.REGION: "say as: region",
    Kind.ENUM: "name a table",
    Kind.CODED: "name a table",
    Kind.STRUCT: "name its fields with a dot, or a call",
    Kind.STRUCTS: "say each and fields, or a call",
}
# What has one spelling may stand in a text field, such as an entry of attrs.
_SPOKEN: Mapping[Kind, Callable[[Any], str]] = {
    Kind.INT: converters.text,
    Kind.BOOL: converters.text,
    Kind.TIME: lambda when: clock.text(clock.instant(when)),
}
_MISTAKES = (ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RecursionError)


def between(piece: Piece, keys: Mapping[str, Piece], target: Target, plan: Plan) -> Step:
    """What lies between the source and ``target``: call, then converters, then table. MappingError when it does not lead there."""
    way = _joined(_way(piece, keys, target, plan))
    return _called(keys["call"], plan.names, way) if "call" in keys else way


def _way(piece: Piece, keys: Mapping[str, Piece], target: Target, plan: Plan) -> list[Step]:
    way: list[Step] = []
    kind: Kind | None = None
    if "as" in keys:
        kind = _chain(keys, way, plan)
    elif "context" in keys and keys["context"].text() == "received_at":
        kind = Kind.TIME
    _check_extras(keys)
    if "table" in keys:
        return [*way, _table(keys["table"], target, plan)]
    if kind is Kind.ENUM and target.of is Gender:
        # Its converter only makes sure of a text, as the table does.
        return [*way[:-1], _gender(plan.name)]
    if kind is None and "call" in keys:
        return [_fit(target)]
    if kind in (None, Kind.ANY):
        return [*way, natural(piece, target)]
    if target.kind is Kind.TEXT and kind in _SPOKEN:
        return [*way, Step(_SPOKEN[kind])]
    if kind is not target.kind or kind is Kind.ENUM:
        raise keys.get("as", piece).fault(
            f"{target.name} is {target.kind.value}, this gives {kind.value}", ADVICE.get(target.kind, "")
        )
    return way


def natural(piece: Piece, target: Target) -> Step:
    """How a bare path is read into ``target``; where there are several ways one must be named."""
    if target.kind not in NATURAL:
        raise piece.fault(f"{target.name} is {target.kind.value}", ADVICE.get(target.kind, ""))
    return Step(NATURAL[target.kind])


def _joined(way: list[Step]) -> Step:
    """One step for many. Nothing there in between ends it early."""
    if len(way) == 1:
        return way[0]
    if not any(step.needs_run for step in way):
        return Step(_in_turn([step.apply for step in way]))

    def apply(value: Any, run: Run) -> Any:
        for function, needs_run in way:
            value = function(value, run) if needs_run else function(value)
            if value is UNSET or value is None or (type(value) is str and not value):
                break
        return value

    return Step(apply, needs_run=True)


def _in_turn(functions: list[Callable[[Any], Any]]) -> Callable[[Any], Any]:
    def apply(value: Any) -> Any:
        for function in functions:
            value = function(value)
            if value is UNSET or value is None or (type(value) is str and not value):
                break
        return value

    return apply


# ------------------------------------------------------------------ converters
def _chain(keys: Mapping[str, Piece], way: list[Step], plan: Plan) -> Kind:
    """Append the converters of ``as``; returns what the last one yields."""
    pieces = _named(keys)
    if not pieces:
        raise keys["as"].fault("a converter is needed here")
    kind = Kind.ANY
    for piece in pieces:
        name = piece.choice(CONVERTERS)
        if kind not in (Kind.ANY, Kind.TEXT):
            raise piece.fault(f"{name} cannot follow: what comes before gives {kind.value}")
        way.append(_converter(name, keys, plan))
        kind = CONVERTERS[name].yields
        if name == "json" and "then" in keys:
            way.append(path_step(keys["then"]))
    return kind


def _named(keys: Mapping[str, Piece]) -> list[Piece]:
    if "as" not in keys:
        return []
    return keys["as"].members() if keys["as"].is_list else [keys["as"]]


def _check_extras(keys: Mapping[str, Piece]) -> None:
    named = {piece.text() for piece in _named(keys)}
    for extra, users in (("then", {"json"}), ("currency", {"yuan", "fen"}), ("unit", {"quantity"})):
        if extra in keys and not named & users:
            raise keys[extra].fault(f"{extra!r} goes with as: {' or '.join(sorted(users))}")


def _converter(name: str, keys: Mapping[str, Piece], plan: Plan) -> Step:
    convert: Callable[..., Any] = converters.own_phone if name == "phone" and plan.own else CONVERTERS[name].convert
    if CONVERTERS[name].zoned:
        return Step(lambda value, run: convert(value, run.zone), needs_run=True)
    if name in ("yuan", "fen") and "currency" in keys:
        return Step(
            lambda value, run: convert(value, converters.currency(run.extra) if run.extra else "CNY"), needs_run=True
        )
    if name == "quantity" and "unit" in keys:
        return Step(lambda value, run: convert(value, converters.text(run.extra) if run.extra else ""), needs_run=True)
    return Step(convert)


def path_step(piece: Piece) -> Step:
    """A JMESPath on the value at hand."""
    try:
        walk = paths.compile_path(piece.text()).walk
    except paths.PathFault as fault:
        raise piece.fault(str(fault)) from None

    def apply(value: Any) -> Any:
        try:
            return walk(value)
        except paths.PathFault as fault:
            raise Refusal(str(fault)) from None

    return Step(apply)


# ------------------------------------------------------------------ tables
def _table(piece: Piece, target: Target, plan: Plan) -> Step:
    name = piece.text()
    table = plan.names.tables.get(name)
    if table is None:
        raise piece.fault(f"there is no table {name!r}", nearest(name, plan.names.tables))
    if target.kind is Kind.CODED:
        return _coded(table, plan.name)
    if target.kind not in (Kind.ENUM, Kind.TEXT, Kind.BOOL, Kind.INT):
        raise piece.fault(f"{target.name} is {target.kind.value}, which no table gives", ADVICE.get(target.kind, ""))
    rows = {raw: UNSET if row.value() is None else constant(row, target) for raw, row in table.items()}
    return _lookup(rows, _unknown(target), plan.name)


def _lookup(rows: dict[str, Any], unknown: Any, name: str) -> Step:
    others = "*" in rows
    star = rows.pop("*", UNSET)

    def apply(value: Any, run: Run) -> Any:
        raw = value if type(value) is str else converters.text(value)
        found = rows.get(raw)
        if found is not None:
            return found
        raw = raw.strip()
        if raw in rows or others or not raw:
            return rows.get(raw, star)
        if unknown is UNSET:
            raise Refusal("a value that the table does not know, and the field has no unknown")
        run.unknowns.append((name, raw))
        return unknown

    return Step(apply, needs_run=True)


def _coded(table: Piece, name: str) -> Step:
    values = {raw: None if row.value() is None else row.text() for raw, row in table.items()}
    look = _lookup({raw: UNSET if value is None else value for raw, value in values.items()}, "unknown", name).apply
    ready = {raw: Coded(value=value, raw=raw) for raw, value in values.items() if value is not None and raw != "*"}

    def apply(value: Any, run: Run) -> Any:
        raw = value if type(value) is str else converters.text(value)
        if raw in ready:
            return ready[raw]
        found = look(raw, run)
        return UNSET if found is UNSET else Coded(value=found, raw=raw.strip())

    return Step(apply, needs_run=True)


def _gender(name: str) -> Step:
    look = _lookup(dict(converters.GENDERS), Gender.UNKNOWN, name).apply
    ready = {spelling: gender for word, gender in converters.GENDERS.items() for spelling in (word, word.upper())}

    def apply(value: Any, run: Run) -> Any:
        raw = value if type(value) is str else converters.text(value)
        return ready.get(raw) or look(raw.strip().lower(), run)

    return Step(apply, needs_run=True)


def _unknown(target: Target) -> Any:
    """What a value outside the table becomes; UNSET where the field has no word for it."""
    if target.kind is Kind.TEXT:
        return "unknown"
    if target.kind is Kind.ENUM:
        return next((member for member in target.of if member.value == "unknown"), UNSET)
    return UNSET


def constant(piece: Piece, target: Target) -> Any:
    """A value written in the mapping itself, as ``target`` has it."""
    value = piece.value()
    if value is None:
        if not target.nullable:
            raise piece.fault(f"{target.name} cannot be erased")
        return None
    if target.kind is Kind.TEXTS and piece.is_list:
        return tuple(member.text() for member in piece.members())
    if target.kind is Kind.TEXT:
        # As written: 0012 and 1.50 keep their digits.
        return piece.text()
    if target.kind is Kind.ENUM:
        return target.of(piece.choice(member.value for member in target.of))
    if target.kind is Kind.CODED:
        return Coded(value=piece.text())
    try:
        return natural(piece, target).apply(value)
    except Refusal as refusal:
        raise piece.fault(str(refusal)) from None


# ------------------------------------------------------------------ functions of the connector
def _called(piece: Piece, names: Names, way: Step) -> Step:
    name = piece.text()
    short = name.removeprefix(f"{names.connector}.")
    function = names.calls.get(name) or names.calls.get(short)
    if function is None:
        known = (call if "." in call else f"{names.connector}.{call}" for call in names.calls)
        raise piece.fault(f"there is no function {name!r}", nearest(name, known))
    onward, needs_run = way

    def apply(value: Any, run: Run) -> Any:
        try:
            value = function(value, run.context)
        # Whatever a partner's data makes of it, one entry is refused and the others go on.
        except _MISTAKES as mistake:
            raise Refusal(f"{name} raised {type(mistake).__name__}") from None
        if value is UNSET or value is None or (type(value) is str and not value):
            return value
        return onward(value, run) if needs_run else onward(value)

    return Step(apply, needs_run=True)


def _fit(target: Target) -> Step:
    """What a function returned, made to fit: texts become members of an enum, dicts structs."""
    members: Mapping[str, Any] = {member.value: member for member in target.of} if target.kind is Kind.ENUM else {}

    def apply(value: Any) -> Any:
        if value is UNSET or value is None or value.__class__ is target.of:
            return value
        if type(value) is str:
            if not value or target.kind is Kind.TEXT:
                return value
            if value in members:
                return members[value]
        try:
            fitting = msgspec.convert(value, target.type)
        except msgspec.ValidationError:
            raise Refusal(f"the function's value is not {target.kind.value}") from None
        if isinstance(fitting, datetime) and fitting.tzinfo is None:
            raise Refusal("the function's value is a time without a zone")
        return fitting

    return Step(apply)
