"""One field of a mapping, compiled: from its YAML to a closure that reads it.

A closure returns the canonical value, ``None`` (erase) or ``UNSET`` (the source does not say), or raises ValueRefused with the field's place.
Everything that can be wrong with the YAML is found here, before anything runs.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec
from msgspec import UNSET

from gateway.errors import ValueRefused
from gateway.language import converters, paths, steps, targets
from gateway.language.converters import Refusal
from gateway.language.mapfile import Piece, nearest
from gateway.language.sources import SOURCES, Read, Source, of_keys, source
from gateway.language.steps import Plan, Run, Step
from gateway.language.targets import Kind, Target

Tail = Callable[[Any], Any]


class Field(NamedTuple):
    """A compiled field. A ``constant`` one says nothing about the data."""

    read: Read
    constant: bool = False


_KEYS = (*SOURCES, "call", "as", "then", "table", "currency", "unit", "default", "required", "empty")
_MEMBER_KEYS = ("each", "when", "fields")
_LIST_KEYS = (*_MEMBER_KEYS, "required")


# ------------------------------------------------------------------ one field
def compile_field(piece: Piece, target: Target, plan: Plan) -> Field:
    """A field of any kind. MappingError when it does not fit ``target``."""
    if target.kind is Kind.STRUCTS and (
        piece.is_list or (piece.is_map and {"each", "fields"} & {name for name, _ in piece.items()})
    ):
        return _compile_list(piece, target, plan)
    if not piece.is_map:
        step = steps.natural(piece, target)
        return Field(_reader([source(piece)], step, _tail(piece, {}, target), piece.place, plan))
    keys = piece.keys(_KEYS)
    given = [name for name in SOURCES if name in keys]
    if len(given) > 1 or not (given or "call" in keys):
        raise piece.fault(f"one source is needed ({', '.join(SOURCES)} or call), not {len(given)}")
    if given == ["const"] and not {"as", "table", "call"} & keys.keys():
        return _constant(keys, target)
    step = steps.between(piece, keys, target, plan)
    read = _reader(of_keys(keys), step, _tail(piece, keys, target), piece.place, plan)
    beside = keys.get("currency") or keys.get("unit")
    return Field(_beside(read, source(beside)) if beside else read, constant=given == ["const"])


def _constant(keys: Mapping[str, Piece], target: Target) -> Field:
    value = steps.constant(keys["const"], target)
    for name in keys.keys() - {"const"}:
        raise keys[name].fault("a constant needs nothing else")
    return Field(lambda _data, _run: value, constant=True)


def _beside(read: Read, other: Source) -> Read:
    def both(data: Any, run: Run) -> Any:
        found = other.read(data, run)
        run.extra = None if found is UNSET else found
        return read(data, run)

    return both


# ------------------------------------------------------------------ reading
def _reader(sources: Sequence[Source], step: Step, tail: Tail, place: str, plan: Plan) -> Read:
    """Of the sources the first that says something; ``tail`` decides when none does."""
    one = sources[0]
    if len(sources) > 1 or plan.noted or one.walk is None:
        return _reader_of_many(sources, step, tail, place, noted=plan.noted)
    if step.needs_run:
        return _reader_with_run(one.walk, one.key, step, tail=tail, place=place)
    general = _reader_of_one(one.walk, one.key, step, tail=tail, place=place)
    return _reader_of_text(one.key, tail, general) if one.key and step.apply is converters.text else general


def _reader_of_text(key: str, tail: Tail, general: Read) -> Read:
    """Half of all fields are a text under one key: nothing is to be done for those."""

    def read(data: Any, run: Run) -> Any:
        value = data.get(key, UNSET) if type(data) is dict else UNSET
        if type(value) is str and value:
            return value
        return tail(value) if value is UNSET else general(data, run)

    return read


# These two differ by the run alone, and take a path of one key in their own hands: a call more is a third of what a field costs.
def _reader_of_one(walk: paths.Walk, key: str | None, step: Step, *, tail: Tail, place: str) -> Read:
    apply = step.apply

    def read(data: Any, _run: Run) -> Any:
        value = data.get(key, UNSET) if key is not None and type(data) is dict else walk(data)
        if value is not UNSET and value is not None and (type(value) is not str or value):
            try:
                value = apply(value)
            except Refusal as refusal:
                raise ValueRefused(str(refusal), place=place) from None
            if value is not UNSET and value is not None and (type(value) is not str or value):
                return value
        return tail(value)

    return read


def _reader_with_run(walk: paths.Walk, key: str | None, step: Step, *, tail: Tail, place: str) -> Read:
    apply = step.apply

    def read(data: Any, run: Run) -> Any:
        value = data.get(key, UNSET) if key is not None and type(data) is dict else walk(data)
        if value is not UNSET and value is not None and (type(value) is not str or value):
            try:
                value = apply(value, run)
            except Refusal as refusal:
                raise ValueRefused(str(refusal), place=place) from None
            if value is not UNSET and value is not None and (type(value) is not str or value):
                return value
        return tail(value)

    return read


def _reader_of_many(sources: Sequence[Source], step: Step, tail: Tail, place: str, *, noted: bool) -> Read:
    apply, needs_run = step
    looks = tuple(sources)

    def read(data: Any, run: Run) -> Any:
        best: Any = UNSET
        for look, walk, key in looks:
            if key is not None and type(data) is dict:
                raw = value = data.get(key, UNSET)
            else:
                raw = value = walk(data) if walk else look(data, run)
            if value is not UNSET and value is not None and (type(value) is not str or value):
                try:
                    value = apply(value, run) if needs_run else apply(value)
                except Refusal as refusal:
                    raise ValueRefused(str(refusal), place=place) from None
                if value is not UNSET and value is not None and (type(value) is not str or value):
                    run.raw = raw if noted else run.raw
                    return value
            best = value if best is UNSET else best
        return tail(best)

    return read


def _tail(piece: Piece, keys: Mapping[str, Piece], target: Target) -> Tail:
    """What becomes of null, "" and nothing: erase, default, refuse or leave unsaid, in this order."""
    empty = _empty_erases(keys, target)
    missing: Any = UNSET
    if "default" in keys:
        missing = steps.constant(keys["default"], target)
    required = "required" in keys and keys["required"].truth()
    required = required or (target.required and missing is UNSET)
    place = piece.place

    def tail(value: Any) -> Any:
        erased = value is None or (empty and value is not UNSET)
        if erased and target.nullable and not required:
            return None
        if required and missing is UNSET:
            raise ValueRefused("a value is required and not there", place=place)
        return missing

    return tail


def _empty_erases(keys: Mapping[str, Piece], target: Target) -> bool:
    if "empty" not in keys:
        return False
    keys["empty"].choice(("erase",))
    if not target.nullable:
        raise keys["empty"].fault(f"{target.name} cannot be erased")
    return True


# ------------------------------------------------------------------ objects
class Part(NamedTuple):
    """A field of an object, under its canonical name."""

    name: str
    read: Read
    constant: bool


def compile_parts(
    piece: Piece, struct: type[msgspec.Struct], plan: Plan, *, filled: frozenset[str] = frozenset(), key: str = ""
) -> tuple[Part, ...]:
    """The fields of an object by canonical name; a dotted name builds the object inside.

    ``filled`` fields are not for mappings to say; the one named ``key``, where there is one, is needed in every object.
    """
    known = dict(targets.of_struct(struct))
    if key in known:
        known[key] = msgspec.structs.replace(known[key], required=True)
    parts = _parts(list(piece.items()), known, plan, filled)
    given = {part.name for part in parts}
    for target in known.values():
        if target.required and target.name not in given:
            raise piece.fault(f"{target.name!r} is missing here")
    return parts


def _parts(
    entries: Sequence[tuple[str, Piece]], known: Mapping[str, Target], plan: Plan, filled: frozenset[str] = frozenset()
) -> tuple[Part, ...]:
    groups: dict[str, list[tuple[str, Piece]]] = {}
    for name, piece in entries:
        head, _, rest = name.partition(".")
        if head not in known or head in filled:
            fields = known.keys() - filled
            raise piece.fault(
                f"{head!r} is filled by the gateway" if head in filled else f"unknown field {head!r}",
                nearest(head, fields),
            )
        groups.setdefault(head, []).append((rest, piece))
    return tuple(_part(known[name], group, plan) for name, group in groups.items())


def _part(target: Target, group: Sequence[tuple[str, Piece]], plan: Plan) -> Part:
    below = msgspec.structs.replace(plan, name=f"{plan.name}.{target.name}".lstrip("."))
    whole = [piece for rest, piece in group if not rest]
    if whole and len(group) > 1:
        raise whole[0].fault(f"{target.name} is given whole and in parts")
    if whole:
        field = compile_field(whole[0], target, below)
        return Part(target.name, field.read, field.constant)
    if target.kind is Kind.PAIRS:
        return _pairs(target, group, below)
    if target.of is None or target.kind in (Kind.ENUM, Kind.STRUCTS):
        raise group[0][1].fault(f"{target.name} is {target.kind.value} and has no fields of its own")
    return _inner(target, group, below)


def _pairs(target: Target, group: Sequence[tuple[str, Piece]], plan: Plan) -> Part:
    text = Target(name=target.name, kind=Kind.TEXT, type=str | None, nullable=True)
    fields = [(name, compile_field(piece, text, plan)) for name, piece in group]

    def read(data: Any, run: Run) -> Any:
        found = {name: field.read(data, run) for name, field in fields}
        return {name: value for name, value in found.items() if value is not UNSET and value is not None} or UNSET

    return Part(target.name, read, all(field.constant for _, field in fields))


def _inner(target: Target, group: Sequence[tuple[str, Piece]], plan: Plan) -> Part:
    # An inner object without its required field is not there; in a list that is a refusal.
    known = {
        name: msgspec.structs.replace(inner, required=False) for name, inner in targets.of_struct(target.of).items()
    }
    parts = _parts(group, known, plan)
    needed = _needed(target.of, parts, group[0][1])
    build, nullable = target.of, target.nullable
    constant = all(part.constant for part in parts)

    def read(data: Any, run: Run) -> Any:
        kwargs, there = _gather(parts, data, run)
        if (there or constant) and needed <= kwargs.keys():
            return build(**kwargs)
        return None if nullable and kwargs and all(value is None for value in kwargs.values()) else UNSET

    return Part(target.name, read, constant)


def _needed(struct: type[msgspec.Struct], parts: Sequence[Part], piece: Piece) -> frozenset[str]:
    needed = frozenset(target.name for target in targets.of_struct(struct).values() if target.required)
    for name in needed - {part.name for part in parts}:
        raise piece.fault(f"{name!r} is missing beside this")
    return needed


def _gather(parts: Sequence[Part], data: Any, run: Run) -> tuple[dict[str, Any], bool]:
    """What the parts say, and whether any but constants says something."""
    kwargs: dict[str, Any] = {}
    there = False
    for name, read, constant in parts:
        value = read(data, run)
        if value is not UNSET:
            kwargs[name] = value
            if value is not None and not constant:
                there = True
    return kwargs, there


# ------------------------------------------------------------------ lists of objects
def _compile_list(piece: Piece, target: Target, plan: Plan) -> Field:
    if piece.is_list:
        reads = [_compile_items(member, target, plan, _MEMBER_KEYS) for member in piece.members()]
        return Field(lambda data, run: _chained(reads, data, run))
    items = _compile_items(piece, target, plan, _LIST_KEYS)
    keys = dict(piece.items())
    tail = _tail(piece, {name: keys[name] for name in ("required",) if name in keys}, target)

    def read(data: Any, run: Run) -> Any:
        found = items(data, run)
        return tail(found) if found is UNSET or found is None else tuple(found)

    return Field(read)


def _chained(reads: Sequence[Read], data: Any, run: Run) -> Any:
    found: list[Any] = []
    for read in reads:
        items = read(data, run)
        if items is not UNSET and items is not None:
            found += items
    return tuple(found) if found else UNSET


def _compile_items(piece: Piece, target: Target, plan: Plan, known: Sequence[str]) -> Read:
    keys = piece.keys(known, required=("fields",))
    make = maker(compile_parts(keys["fields"], target.of, plan), target.of)
    when = source(keys["when"]).read if "when" in keys else None
    each = source(keys["each"]).read if "each" in keys else None

    def read(data: Any, run: Run) -> Any:
        items = members(each(data, run)) if each else [data]
        if items is UNSET or items is None:
            return items
        found = []
        for item in items:
            if when is None or paths.holds(when(item, run)):
                made = make(item, run)
                if made is not UNSET:
                    found.append(made)
        return found

    return read


def members(found: Any) -> Any:
    """A list without its nulls; one value is a list of one, "" none. ``UNSET`` and None as they are."""
    if found is UNSET or found is None:
        return found
    if type(found) is list:
        return [item for item in found if item is not None]
    return UNSET if found == "" else [found]


def maker(parts: Sequence[Part], struct: type[msgspec.Struct]) -> Read:
    """What builds the object, or is ``UNSET`` when nothing but constants is there."""

    constant = all(part.constant for part in parts)

    def make(data: Any, run: Run) -> Any:
        kwargs, there = _gather(parts, data, run)
        return struct(**kwargs) if there or constant else UNSET

    return make
