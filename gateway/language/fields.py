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


class Tail(NamedTuple):
    """What becomes of null, "" and nothing; ``quiet`` when nothing says nothing."""

    settle: Callable[[Any], Any]
    quiet: bool


class Field(NamedTuple):
    """A compiled field. A ``constant`` one says nothing about the data; a ``written`` one is that value whatever the data.

    What ``take`` gets lies under the one ``key`` of the data, else where ``walk`` leads, else is the data itself. A ``quiet`` field has nothing to
    say where that is ``UNSET``, and a ``plain`` one says a text just as it stands: then ``take`` need not be asked.
    """

    take: Read
    constant: bool = False
    written: Any = UNSET
    key: str | None = None
    walk: paths.Walk | None = None
    quiet: bool = False
    plain: bool = False

    @property
    def read(self) -> Read:
        """The field by itself, from the data at hand."""
        take, key, walk = self.take, self.key, self.walk
        if key is not None:
            return lambda data, run: take(data.get(key, UNSET) if type(data) is dict else UNSET, run)
        return (lambda data, run: take(walk(data), run)) if walk else take


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
        return _field([source(piece)], steps.natural(piece, target), _tail(piece, {}, target), piece.place, plan)
    keys = piece.keys(_KEYS)
    given = [name for name in SOURCES if name in keys]
    if len(given) > 1 or not (given or "call" in keys):
        raise piece.fault(f"one source is needed ({', '.join(SOURCES)} or call), not {len(given)}")
    if given == ["const"] and not {"as", "table", "call"} & keys.keys():
        return written(_constant(keys, target))
    step = steps.between(piece, keys, target, plan)
    field = _field(of_keys(keys), step, _tail(piece, keys, target), piece.place, plan)
    beside = keys.get("currency") or keys.get("unit")
    if beside:
        return Field(_beside(field.read, source(beside)), constant=given == ["const"])
    return field._replace(constant=given == ["const"])


def written(value: Any) -> Field:
    """A field that is the same whatever the data."""
    return Field(lambda _data, _run: value, constant=True, written=value)


def _constant(keys: Mapping[str, Piece], target: Target) -> Any:
    value = steps.constant(keys["const"], target)
    for name in keys.keys() - {"const"}:
        raise keys[name].fault("a constant needs nothing else")
    return value


def _beside(read: Read, other: Source) -> Read:
    def both(data: Any, run: Run) -> Any:
        found = other.read(data, run)
        run.extra = None if found is UNSET else found
        return read(data, run)

    return both


# ------------------------------------------------------------------ reading
def _field(sources: Sequence[Source], step: Step, tail: Tail, place: str, plan: Plan) -> Field:
    """Of the sources the first that says something; ``tail`` decides when none does."""
    one = sources[0]
    if len(sources) > 1 or plan.noted or one.walk is None:
        return Field(_reader_of_many(sources, step, tail, place, noted=plan.noted))
    take = _taker_with_run(step, tail, place) if step.needs_run else _taker(step, tail, place)
    plain = step.apply is converters.text
    return Field(take, key=one.key, walk=one.walk, quiet=tail.quiet, plain=plain)


# These two differ by the run alone: a call more is a third of what a field costs.
def _taker(step: Step, tail: Tail, place: str) -> Read:
    apply, settle = step.apply, tail.settle

    def take(value: Any, _run: Run) -> Any:
        if value is not UNSET and value is not None and (type(value) is not str or value):
            try:
                value = apply(value)
            except Refusal as refusal:
                raise ValueRefused(str(refusal), place=place) from None
            if value is not UNSET and value is not None and (type(value) is not str or value):
                return value
        return settle(value)

    return take


def _taker_with_run(step: Step, tail: Tail, place: str) -> Read:
    apply, settle = step.apply, tail.settle

    def take(value: Any, run: Run) -> Any:
        if value is not UNSET and value is not None and (type(value) is not str or value):
            try:
                value = apply(value, run)
            except Refusal as refusal:
                raise ValueRefused(str(refusal), place=place) from None
            if value is not UNSET and value is not None and (type(value) is not str or value):
                return value
        return settle(value)

    return take


def _reader_of_many(sources: Sequence[Source], step: Step, tail: Tail, place: str, *, noted: bool) -> Read:
    apply, needs_run = step
    settle = tail.settle
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
        return settle(best)

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

    def settle(value: Any) -> Any:
        erased = value is None or (empty and value is not UNSET)
        if erased and target.nullable and not required:
            return None
        if required and missing is UNSET:
            raise ValueRefused("a value is required and not there", place=place)
        return missing

    return Tail(settle, quiet=missing is UNSET and not required)


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
    field: Field


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
        return Part(target.name, compile_field(whole[0], target, below))
    if target.kind is Kind.PAIRS:
        return _pairs(target, group, below)
    if target.of is None or target.kind in (Kind.ENUM, Kind.STRUCTS):
        raise group[0][1].fault(f"{target.name} is {target.kind.value} and has no fields of its own")
    return _inner(target, group, below)


def _pairs(target: Target, group: Sequence[tuple[str, Piece]], plan: Plan) -> Part:
    text = Target(name=target.name, kind=Kind.TEXT, type=str | None, nullable=True)
    parts = [Part(name, compile_field(piece, text, plan)) for name, piece in group]
    gather = gatherer(parts)

    def read(data: Any, run: Run) -> Any:
        found, _there = gather(data, run)
        return {name: found[name] for name, _ in parts if found.get(name) is not None} or UNSET

    return Part(target.name, Field(read, constant=_constants(parts)))


def _inner(target: Target, group: Sequence[tuple[str, Piece]], plan: Plan) -> Part:
    # An inner object without its required field is not there; in a list that is a refusal.
    known = {
        name: msgspec.structs.replace(inner, required=False) for name, inner in targets.of_struct(target.of).items()
    }
    parts = _parts(group, known, plan)
    needed = _needed(target.of, parts, group[0][1])
    build, nullable, gather = target.of, target.nullable, gatherer(parts)
    constant = _constants(parts)

    def read(data: Any, run: Run) -> Any:
        kwargs, there = gather(data, run)
        if (there or constant) and needed <= kwargs.keys():
            return build(**kwargs)
        return None if nullable and kwargs and all(value is None for value in kwargs.values()) else UNSET

    return Part(target.name, Field(read, constant=constant))


def _needed(struct: type[msgspec.Struct], parts: Sequence[Part], piece: Piece) -> frozenset[str]:
    needed = frozenset(target.name for target in targets.of_struct(struct).values() if target.required)
    for name in needed - {part.name for part in parts}:
        raise piece.fault(f"{name!r} is missing beside this")
    return needed


def _constants(parts: Sequence[Part]) -> bool:
    return all(part.field.constant for part in parts)


def gatherer(parts: Sequence[Part]) -> Callable[[Any, Run], tuple[dict[str, Any], bool]]:
    """What asks the parts, in their order: what they say by name, and whether any but constants says something."""
    fixed = {name: field.written for name, field in parts if field.written is not UNSET}
    asked = tuple((name, *field) for name, field in parts if field.written is UNSET)

    def gather(data: Any, run: Run) -> tuple[dict[str, Any], bool]:
        kwargs = fixed.copy()
        there = False
        known = data if type(data) is dict else _NOTHING
        for name, take, constant, _written, key, walk, quiet, plain in asked:
            value = known.get(key, UNSET) if key is not None else walk(data) if walk is not None else data
            if value is UNSET and quiet:
                continue
            # Half of all fields are texts that stay as they are: nothing is to be asked for those.
            if not plain or type(value) is not str or not value:
                value = take(value, run)
            if value is not UNSET:
                kwargs[name] = value
                there = there or not (constant or value is None)
        return kwargs, there

    return gather


_NOTHING: dict[str, Any] = {}


# ------------------------------------------------------------------ lists of objects
def _compile_list(piece: Piece, target: Target, plan: Plan) -> Field:
    if piece.is_list:
        reads = [_compile_items(member, target, plan, _MEMBER_KEYS) for member in piece.members()]
        return Field(lambda data, run: _chained(reads, data, run))
    items = _compile_items(piece, target, plan, _LIST_KEYS)
    keys = dict(piece.items())
    settle = _tail(piece, {name: keys[name] for name in ("required",) if name in keys}, target).settle

    def read(data: Any, run: Run) -> Any:
        found = items(data, run)
        return settle(found) if found is UNSET or found is None else tuple(found)

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
    parts, build = compile_parts(keys["fields"], target.of, plan), target.of
    gather, constant = gatherer(parts), _constants(parts)
    when = source(keys["when"]).read if "when" in keys else None
    each = source(keys["each"]).read if "each" in keys else None

    def read(data: Any, run: Run) -> Any:
        items = members(each(data, run)) if each else [data]
        if items is UNSET or items is None:
            return items
        found = []
        for item in items:
            if when is None or paths.holds(when(item, run)):
                kwargs, there = gather(item, run)
                if there or constant:
                    found.append(build(**kwargs))
        return found

    return read


def members(found: Any) -> Any:
    """A list without its nulls; one value is a list of one, "" none. ``UNSET`` and None as they are."""
    if found is UNSET or found is None:
        return found
    if type(found) is list:
        return [item for item in found if item is not None] if None in found else found
    return UNSET if found == "" else [found]


def maker(parts: Sequence[Part], struct: type[msgspec.Struct]) -> Read:
    """What builds the object, or is ``UNSET`` when nothing but constants is there."""
    gather, constant = gatherer(parts), _constants(parts)

    def make(data: Any, run: Run) -> Any:
        kwargs, there = gather(data, run)
        return struct(**kwargs) if there or constant else UNSET

    return make
