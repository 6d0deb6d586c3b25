"""Our types as JSON Schemas: sensitivity marked per field, times and durations as what they are on the wire."""

import types
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import cache
from typing import Annotated, Any, Union, get_args, get_origin

import msgspec
from msgspec import NODEFAULT, Meta

from gateway import settings
from gateway.model.secret import Secret

Shape = dict[str, Any]
SENSITIVITY = "x-sensitivity"
_NOT_SHOWN = frozenset({"provenance"})


def shapes(kinds: Sequence[Any]) -> tuple[list[Shape], dict[str, Shape]]:
    """A schema for each of ``kinds``, in their order, and the components they refer to by name."""
    made, components = msgspec.json.schema_components(
        [plainly(kind) for kind in kinds], ref_template="#/components/schemas/{name}"
    )
    for one in components.values():
        one.pop("title", None)
        if "description" in one:
            one["description"] = prose(one["description"])
    # Two enums of one name are told apart by their modules: CustomerState, RelationshipState.
    text = msgspec.json.encode([list(made), components]).decode()
    for name in components:
        if "." in name:
            module, own = name.split(".")[-2:]
            text = text.replace(f'/{name}"', f'/{module.capitalize()}{own}"').replace(
                f'"{name}":', f'"{module.capitalize()}{own}":'
            )
    shapes, named = msgspec.json.decode(text)
    return shapes, named


def prose(text: str | None) -> str:
    """A docstring as one paragraph, code in single ticks."""
    return " ".join((text or "").replace("``", "`").split())


def plainly(kind: Any) -> Any:
    """The type as it is written in JSON, in terms that a schema can be made of."""
    if kind is datetime:
        return Annotated[datetime, Meta(tz=True)]
    if kind is settings.Duration:
        return Annotated[float, Meta(ge=0)]
    if kind is Secret:
        return Annotated[str, Meta(extra_json_schema={"writeOnly": True})]
    origin, args = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return Annotated[(plainly(args[0]), *(_meta(part) for part in args[1:]))]
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return _struct(kind, kind.__name__)
    if isinstance(origin, type) and issubclass(origin, msgspec.Struct):
        return _struct(kind, "".join(part.__name__ for part in args) + origin.__name__)
    if origin in (Union, types.UnionType):
        return Union[tuple(plainly(part) for part in args)]  # noqa: UP007 - the parts are only known here
    if origin in (tuple, list, dict, Sequence, Mapping):
        return origin[tuple(part if part is ... else plainly(part) for part in args)]
    return kind


def _meta(meta: Any) -> Any:
    found = (meta.extra or {}).get("sensitivity") if isinstance(meta, Meta) else None
    return Meta(extra_json_schema={SENSITIVITY: found.value}) if found else meta


@cache
def _struct(kind: Any, name: str) -> type[msgspec.Struct]:
    origin = get_origin(kind) or kind
    fields = [
        _field(one) for one in msgspec.structs.fields(kind) if one.encode_name not in _NOT_SHOWN
    ]  # fmt: skip
    made = msgspec.defstruct(
        name, fields, kw_only=True, forbid_unknown_fields=origin.__struct_config__.forbid_unknown_fields
    )
    made.__doc__ = origin.__doc__
    return made


def _field(one: msgspec.structs.FieldInfo) -> Any:
    kind = plainly(one.type)
    if one.default_factory is not NODEFAULT:
        return one.encode_name, kind, msgspec.field(default_factory=one.default_factory)
    if one.default is NODEFAULT:
        return one.encode_name, kind
    # Seconds, and whole groups of settings, as they are written.
    default = float(one.default) if isinstance(one.default, settings.Duration) else one.default
    if isinstance(default, msgspec.Struct):
        return one.encode_name, kind, msgspec.field(default_factory=dict)
    return one.encode_name, kind, default
