"""What two versions of a mapping make of the same words, field by field. Pure: nothing is sealed, stored or published.

A **facet** is one field of what an entry asserts, with its sensitivity class: ``order.lifecycle``, ``order.lines[0].price.amount``,
``order.identities[phone].value``, ``order.customer.name``. What is kept of a contrast names fields, never values.
"""

import functools
from collections.abc import Iterator, Sequence
from datetime import datetime
from enum import Enum
from typing import Any

import msgspec
from msgspec import UNSET, inspect

from gateway import clock, mapping
from gateway.model.values import Sensitivity

STATUSES = {
    "order": ("lifecycle", "payment", "fulfilment", "aftersale"),
    "appointment": ("status",),
    "relationship": ("state",),
}
"""The fields that say how far a record has come, by kind."""


class Kind(Enum):
    """What comes of an entry when the other version reads it; the first that holds."""

    NEW_ERROR = "new_error"
    FIXED_ERROR = "fixed_error"
    BOTH_FAIL = "both_fail"
    NEW_UNKNOWN = "new_unknown"
    FIXED_UNKNOWN = "fixed_unknown"
    DIFFERS = "differs"
    SAME = "same"


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What one version made of an entry: records, or a fault (code, then place and detail; no value)."""

    said: Sequence[mapping.Mapped] = ()
    fault: str = ""

    @property
    def unknowns(self) -> set[tuple[str, str]]:
        """Fields and raw values that no table knew."""
        return {(unknown.field, unknown.raw) for one in self.said for unknown in one.unknowns}


class Move(msgspec.Struct, frozen=True, kw_only=True):
    """One record that would stand elsewhere: ``axis`` is kind and field, the states are canonical words, "" for unsaid."""

    record: str
    axis: str
    before: str
    after: str


class Contrast(msgspec.Struct, frozen=True, kw_only=True):
    """``fields`` are the facets that differ, by name. ``fault`` is the newer version's."""

    kind: Kind
    fields: tuple[str, ...] = ()
    moves: tuple[Move, ...] = ()
    fault: str = ""


class Facet(msgspec.Struct, frozen=True, kw_only=True):
    """A text, a number, a truth value, or None where the source erases."""

    value: str | int | bool | None
    sensitivity: Sensitivity = Sensitivity.PUBLIC


def contrast(before: Outcome, after: Outcome) -> Contrast:
    """How the outcomes differ."""
    if before.fault or after.fault:
        return failed(before, after)
    old, new = facets(before.said), facets(after.said)
    fields = tuple(sorted(name for name in old.keys() | new.keys() if old.get(name) != new.get(name)))
    if after.unknowns - before.unknowns:
        kind = Kind.NEW_UNKNOWN
    elif before.unknowns - after.unknowns:
        kind = Kind.FIXED_UNKNOWN
    else:
        kind = Kind.DIFFERS if fields else Kind.SAME
    return Contrast(kind=kind, fields=fields, moves=tuple(_moves(before.said, after.said)) if fields else ())


def failed(before: Outcome, after: Outcome) -> Contrast:
    """As ``contrast``, where one of the two is a fault: nothing of a record is looked at."""
    if not before.fault:
        return Contrast(kind=Kind.NEW_ERROR, fault=after.fault)
    return Contrast(kind=Kind.BOTH_FAIL if after.fault else Kind.FIXED_ERROR, fault=after.fault)


def _moves(before: Sequence[mapping.Mapped], after: Sequence[mapping.Mapped]) -> Iterator[Move]:
    known = {_of(one): one for one in before}
    for one in after:
        other = known.get(_of(one))
        for field in STATUSES.get(one.kind, ()) if other else ():
            states = [_word(getattr(said.record, field, UNSET)) for said in (other, one) if said]
            if states[0] != states[1]:
                yield Move(record=":".join(_of(one)), axis=f"{one.kind}.{field}", before=states[0], after=states[1])


def _of(one: mapping.Mapped) -> tuple[str, str]:
    return one.kind, str(getattr(one.record, "external_id", ""))


def _word(value: Any) -> str:
    return str(value.value) if isinstance(value, Enum) else ""


# ---------------------------------------------------------------------- facets
def facets(said: Sequence[mapping.Mapped]) -> dict[str, Facet]:
    """Every field that was said, by name."""
    found: dict[str, Facet] = {}
    counts: dict[str, int] = {}
    for one in said:
        number = counts[one.kind] = counts.get(one.kind, 0) + 1
        _one(one, one.kind if number == 1 else f"{one.kind}#{number}", found)
    return found


def _one(one: mapping.Mapped, name: str, found: dict[str, Facet]) -> None:
    _struct(one.record, name, found)
    for at, claim in enumerate(one.identities):
        place = f"{name}.identities[{claim.namespace}]"
        place = f"{place}#{at}" if f"{place}.value" in found else place
        found[f"{place}.value"] = Facet(value=claim.value, sensitivity=Sensitivity.CONTACT)
        for flag in ("scope", "verified", "retired"):
            found[f"{place}.{flag}"] = Facet(value=getattr(claim, flag))
    if one.customer is not None:
        _struct(one.customer, f"{name}.customer", found)
    if one.source_time is not None:
        found[f"{name}.time"] = Facet(value=clock.text(one.source_time))
    if one.source_version is not None:
        found[f"{name}.version"] = Facet(value=one.source_version)


def _struct(value: msgspec.Struct, place: str, found: dict[str, Facet]) -> None:
    for name, sensitivity in _classes(type(value)):
        part = getattr(value, name)
        # What only the pipeline fills in says nothing about a mapping.
        if part is not UNSET and not (name == "id" and not part):
            _value(part, f"{place}.{name}", sensitivity, found)


def _value(value: Any, place: str, sensitivity: Sensitivity, found: dict[str, Facet]) -> None:
    if isinstance(value, msgspec.Struct):
        _struct(value, place, found)
    elif isinstance(value, (tuple, list)):
        for at, item in enumerate(value):
            _value(item, f"{place}[{at}]", sensitivity, found)
    elif isinstance(value, dict):
        for key, item in value.items():
            _value(item, f"{place}.{key}", sensitivity, found)
    else:
        found[place] = Facet(value=_plain(value), sensitivity=sensitivity)


def _plain(value: Any) -> str | int | bool | None:
    if isinstance(value, Enum):
        return str(value.value)
    if isinstance(value, datetime):
        return clock.text_of(value)
    return value if value is None or isinstance(value, (str, int)) else str(value)


@functools.cache
def _classes(struct: type) -> tuple[tuple[str, Sensitivity], ...]:
    info = inspect.type_info(struct)
    assert isinstance(info, inspect.StructType)
    return tuple((field.name, _class(field.type) or Sensitivity.PUBLIC) for field in info.fields)


def _class(kind: inspect.Type) -> Sensitivity | None:
    """The class that the type of a text carries, however deep in a union or a list it stands."""
    match kind:
        case inspect.Metadata(type=below, extra=extra):
            said: Sensitivity | None = (extra or {}).get("sensitivity")
            return said or _class(below)
        case inspect.UnionType(types=kinds):
            return next((found for one in kinds if (found := _class(one))), None)
        case inspect.VarTupleType(item_type=item) | inspect.ListType(item_type=item):
            return _class(item)
        case inspect.DictType(value_type=item):
            return _class(item)
        case _:
            return None
