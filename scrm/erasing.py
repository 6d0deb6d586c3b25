"""What is left of a record once its person has asked to be forgotten: the fields that are public by their type. Pure."""

from collections.abc import Mapping
from functools import cache
from typing import Any

import msgspec
from msgspec import inspect


def public(kind: type[msgspec.Struct], body: Mapping[str, Any]) -> dict[str, Any]:
    """``body`` (plain data of a ``kind``) without any text that carries a sensitivity class, at any depth, and without free attributes."""
    return dict(_kept(_info(kind), dict(body)) or {})


@cache
def _info(kind: type[msgspec.Struct]) -> inspect.Type:
    return inspect.type_info(kind)


_GONE = object()


def _kept(info: inspect.Type, value: Any) -> Any:
    if isinstance(info, inspect.Metadata):
        return _GONE if "sensitivity" in (info.extra or {}) else _kept(info.type, value)
    if isinstance(info, inspect.UnionType):
        return _of_union(info, value)
    if isinstance(info, inspect.StructType) and isinstance(value, Mapping):
        parts = {f.encode_name: _kept(f.type, value[f.encode_name]) for f in info.fields if f.encode_name in value}
        return {name: part for name, part in parts.items() if part is not _GONE}
    if isinstance(info, inspect.VarTupleType) and isinstance(value, list | tuple):
        parts_of = [_kept(info.item_type, item) for item in value]
        return [part for part in parts_of if part is not _GONE]
    # Free attributes say nothing about how sensitive they are.
    return _GONE if isinstance(info, inspect.DictType) else value


def _of_union(info: inspect.UnionType, value: Any) -> Any:
    if value is None:
        return None
    for option in info.types:
        if not isinstance(option, inspect.NoneType):
            return _kept(option, value)
    return _GONE
