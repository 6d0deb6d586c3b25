"""The canonical model as a page and as JSON Schemas, and which changes of a schema break a reader."""

from collections.abc import Iterator
from typing import Any, get_args

import msgspec
from msgspec import UnsetType

from docs.generate import text
from gateway.desk.schemas import INSIDE, PARTS, RECORDS, Schema, all_schemas, class_of
from gateway.settings import bare

__all__ = ["all_schemas", "breaks", "class_of", "page"]


# ---------------------------------------------------------------------- model.md
def page() -> str:
    """docs/reference/model.md."""
    intro = (
        "Every field carries a sensitivity class in its type. Classes decide what is sealed at rest, what an endpoint's grants let through, and how a masked"
        " value looks. An optional field has three states: not there (the source never said), `null` (erased), a value. Times are UTC with microseconds and `Z`;"
        " money is whole minor units. JSON Schemas: [schemas/](schemas/).\n"
    )
    parts = [text.NOTE, "# Canonical model\n", intro]
    parts += [_struct(f"{kind.__name__} (`{name}`)", kind) for name, kind in RECORDS.items()]
    parts += ["# Parts of records\n", *(_struct(kind.__name__, kind) for kind in PARTS)]
    return "\n".join(parts)


def _struct(title: str, struct: type[msgspec.Struct]) -> str:
    rows = [
        [
            f"`{field.encode_name}`",
            text.type_text(field.type),
            class_of(field.type),
            "yes" if _may_be(type(None), field.type) else "",
        ]
        for field in text.fields(struct)
        if field.name not in INSIDE
    ]
    return (
        f"## {title}\n\n{text.plain(struct.__doc__)}\n\n{text.table(('field', 'is', 'class', 'can be erased'), rows)}"
    )


def _may_be(wanted: type, kind: Any) -> bool:
    unwrapped = bare(kind)
    return unwrapped is wanted or (wanted in get_args(unwrapped) and UnsetType in get_args(unwrapped))


# ---------------------------------------------------------------------- compatibility
def breaks(old: Schema, new: Schema) -> list[str]:
    """What a reader written against ``old`` would trip over in ``new``: a field that is gone, a type that changed, an enum value that is gone.

    New fields, new enum values, new definitions and descriptions break nobody: readers are told to ignore what they do not know.
    """
    definitions = (old.get("$defs", {}), new.get("$defs", {}))
    return list(_compare(old, new, "", definitions))


def _compare(old: Schema, new: Schema, place: str, definitions: tuple[Schema, Schema]) -> Iterator[str]:
    if old.get("$ref") != new.get("$ref") and "$ref" in old:
        yield f"{place or 'schema'}: was {old['$ref']}, is {new.get('$ref', 'something else')}"
        return
    for name, before in old.get("$defs", {}).items():
        after = definitions[1].get(name)
        if after is None:
            yield f"{name}: the definition is gone"
        else:
            yield from _compare(before, after, name, definitions)
    if not _types(old) >= _types(new):
        yield f"{place}: was {'/'.join(sorted(_types(old)))}, is {'/'.join(sorted(_types(new)))}"
    gone = set(map(str, old.get("enum", ()))) - set(map(str, new.get("enum", ())))
    if gone:
        yield f"{place}: no longer {', '.join(sorted(gone))}"
    for name, before in old.get("properties", {}).items():
        after = new.get("properties", {}).get(name)
        if after is None:
            yield f"{place}.{name}: the field is gone"
        else:
            yield from _compare(before, after, f"{place}.{name}", definitions)
    if "items" in old and "items" in new:
        yield from _compare(old["items"], new["items"], f"{place}[]", definitions)
    yield from (
        f"{place}.{name}: was always there, is no longer required"
        for name in sorted(set(old.get("required", ())) - set(new.get("required", ())))
    )


def _types(schema: Schema) -> set[str]:
    """The JSON types, and definitions, that a value may have; empty for anything."""
    if "anyOf" in schema:
        return {kind for part in schema["anyOf"] for kind in _types(part)}
    if "$ref" in schema:
        return {str(schema["$ref"])}
    if "enum" in schema:
        return {"enum"}
    kind = schema.get("type")
    return {kind} if isinstance(kind, str) else set(kind or ())
