"""What canonical fields are made of, as far as a mapping must know: read once from the model's own types."""

import functools
from enum import Enum
from typing import Any

import msgspec
from msgspec import inspect

from gateway.model.record import Coded
from gateway.model.values import Money, Quantity, Region


class Kind(Enum):
    """What a value is. ``ANY`` only occurs between two converters."""

    TEXT = "a text"
    INT = "a whole number"
    BOOL = "a yes or no"
    TIME = "a time"
    MONEY = "an amount of money"
    QUANTITY = "a quantity"
    REGION = "a region"
    CODED = "a coded value"
    ENUM = "one of an enum"
    TEXTS = "a list of texts"
    PAIRS = "an object of texts"
    STRUCT = "an object"
    STRUCTS = "a list of objects"
    ANY = "anything"


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """One field. ``of`` is the enum or struct (of a list: of its members); ``nullable`` says that null erases; ``required`` that there is no
    object without it."""

    name: str
    kind: Kind
    type: Any
    of: Any = None
    nullable: bool = False
    required: bool = False


_SPECIAL = {Money: Kind.MONEY, Quantity: Kind.QUANTITY, Region: Kind.REGION, Coded: Kind.CODED}
_SIMPLE = {
    inspect.StrType: Kind.TEXT,
    inspect.IntType: Kind.INT,
    inspect.BoolType: Kind.BOOL,
    inspect.DateTimeType: Kind.TIME,
    inspect.DictType: Kind.PAIRS,
}


@functools.cache
def of_struct(struct: type[msgspec.Struct]) -> dict[str, Target]:
    """The fields of a struct by name."""
    info = inspect.type_info(struct)
    assert isinstance(info, inspect.StructType)
    types = {field.name: field.type for field in msgspec.structs.fields(struct)}
    return {
        field.name: _target(field.name, field.type, types[field.name], required=field.required) for field in info.fields
    }


def _target(name: str, info: inspect.Type, declared: Any, *, required: bool) -> Target:
    options = info.types if isinstance(info, inspect.UnionType) else (info,)
    nullable = any(isinstance(option, inspect.NoneType) for option in options)
    (inner,) = [_bare(option) for option in options if not isinstance(option, inspect.NoneType)]
    kind, of = _kind(inner)
    return Target(name=name, kind=kind, type=declared, of=of, nullable=nullable, required=required)


def _bare(info: inspect.Type) -> inspect.Type:
    return _bare(info.type) if isinstance(info, inspect.Metadata) else info


def _kind(info: inspect.Type) -> tuple[Kind, Any]:
    if type(info) in _SIMPLE:
        return _SIMPLE[type(info)], None
    if isinstance(info, inspect.EnumType):
        return Kind.ENUM, info.cls
    if isinstance(info, inspect.StructType):
        return _SPECIAL.get(info.cls, Kind.STRUCT), info.cls
    assert isinstance(info, inspect.VarTupleType), info
    member = _bare(info.item_type)
    return (Kind.STRUCTS, member.cls) if isinstance(member, inspect.StructType) else (Kind.TEXTS, None)
