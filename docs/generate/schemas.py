"""The canonical model as a page and as JSON Schemas, and which changes of a schema break a reader."""

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, get_args, get_origin

import msgspec
from msgspec import Meta, UnsetType

from docs.generate import text
from gateway.model import (
    appointment,
    customer,
    event,
    identity,
    interaction,
    order,
    organisation,
    relationship,
    stock,
    values,
)
from gateway.model.record import Coded, Record
from gateway.settings import bare

RECORDS: Mapping[str, type[Record]] = {
    "customer": customer.Customer,
    "order": order.Order,
    "interaction": interaction.Interaction,
    "appointment": appointment.Appointment,
    "relationship": relationship.Relationship,
    "staff": organisation.Staff,
    "unit": organisation.Unit,
    "stock": stock.StockLevel,
}
_PARTS = (
    values.ContactPoint, values.Address, values.Region, values.Money, values.Quantity, Coded, order.Breakdown, order.Line, order.PaymentPart,
    order.Shipment, order.AftersaleCase,
)  # fmt: skip
# Kept with the record and never published.
_INSIDE = ("provenance",)
_Schema = dict[str, Any]


def all_schemas() -> dict[str, _Schema]:
    """File name without its ending → JSON Schema 2020-12."""
    return {name: _record(kind) for name, kind in RECORDS.items()} | {"event": _event()}


def _record(struct: type[Record]) -> _Schema:
    schema = msgspec.json.schema(struct)
    for part in (struct, *_PARTS):
        found = schema["$defs"].get(part.__name__)
        if found is not None:
            _describe(found["properties"], part)
    if struct is customer.Customer:
        schema["$defs"]["Customer"]["properties"]["identities"] = _identities()
    for name in _INSIDE:
        schema["$defs"][struct.__name__]["properties"].pop(name, None)
    return _headed(schema)


def _identities() -> _Schema:
    """What a customer's event adds when keys became known: they are kept beside the record, not in it."""
    text_, yes = {"type": "string"}, {"type": "boolean"}
    value = {**text_, "x-sensitivity": "contact"}
    strength = {"enum": sorted(one.value for one in identity.Strength)}
    shape = {"namespace": text_, "scope": text_, "value": value, "strength": strength, "verified": yes, "live": yes}
    return {
        "type": "array",
        "description": "The identities that are new with this event.",
        "items": {"type": "object", "properties": shape},
    }


def _event() -> _Schema:
    schema = msgspec.json.schema(event.Event)
    shape = schema["$defs"]["Event"]["properties"]
    shape["type"] = {"enum": list(event.TYPES)}
    shape["timestamp"]["format"] = "date-time"
    shape["data"] = {
        "type": "object",
        "description": "The record under its kind, the customer it belongs to, and the names of the fields that moved.",
        "properties": {name: {"$ref": f"{name}.json"} for name in RECORDS}
        | {
            "merged": {"type": "object", "properties": {"id": {"type": "string"}}},
            "other": {"type": "object", "properties": {"id": {"type": "string"}}},
            "changed": {"type": "array", "items": {"type": "string"}},
        },
        "required": ["changed"],
    }
    classes = {"enum": sorted(one.value for one in values.Sensitivity if one is not values.Sensitivity.PUBLIC)}
    shape["withheld"] = {
        "type": "array",
        "items": classes,
        "description": "Classes of which this endpoint's grants dropped something.",
    }
    shape["erased"] = {
        "type": "array",
        "items": classes,
        "description": "Classes of which something cannot be opened any more by anybody: its record was erased.",
    }
    shape["sealed"] = {
        "type": "string",
        "description": "A compact JWE to this endpoint's own key: a JSON object of the sealed values by their JSON Pointers (RFC 6901).",
    }
    return _headed(schema)


def _headed(schema: _Schema) -> _Schema:
    for part in schema["$defs"].values():
        part["description"] = text.plain(part.get("description"))
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "x-schema": event.SCHEMA, **schema}


def _describe(properties: _Schema, struct: type[msgspec.Struct]) -> None:
    for field in text.fields(struct):
        shape = properties[field.encode_name]
        if (found := class_of(field.type)) != "public":
            shape["x-sensitivity"] = found
        if "datetime" in str(field.type):
            shape["format"] = "date-time"


def class_of(kind: Any) -> str:
    """The sensitivity class in a field's type."""
    if get_origin(kind) is Annotated:
        for part in get_args(kind):
            if isinstance(part, Meta) and part.extra and "sensitivity" in part.extra:
                return str(part.extra["sensitivity"].value)
    return next((found for part in get_args(kind) if (found := class_of(part)) != "public"), "public")


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
    parts += ["# Parts of records\n", *(_struct(kind.__name__, kind) for kind in _PARTS)]
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
        if field.name not in _INSIDE
    ]
    return (
        f"## {title}\n\n{text.plain(struct.__doc__)}\n\n{text.table(('field', 'is', 'class', 'can be erased'), rows)}"
    )


def _may_be(wanted: type, kind: Any) -> bool:
    unwrapped = bare(kind)
    return unwrapped is wanted or (wanted in get_args(unwrapped) and UnsetType in get_args(unwrapped))


# ---------------------------------------------------------------------- compatibility
def breaks(old: _Schema, new: _Schema) -> list[str]:
    """What a reader written against ``old`` would trip over in ``new``: a field that is gone, a type that changed, an enum value that is gone.

    New fields, new enum values, new definitions and descriptions break nobody: readers are told to ignore what they do not know.
    """
    definitions = (old.get("$defs", {}), new.get("$defs", {}))
    return list(_compare(old, new, "", definitions))


def _compare(old: _Schema, new: _Schema, place: str, definitions: tuple[_Schema, _Schema]) -> Iterator[str]:
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


def _types(schema: _Schema) -> set[str]:
    """The JSON types, and definitions, that a value may have; empty for anything."""
    if "anyOf" in schema:
        return {kind for part in schema["anyOf"] for kind in _types(part)}
    if "$ref" in schema:
        return {str(schema["$ref"])}
    if "enum" in schema:
        return {"enum"}
    kind = schema.get("type")
    return {kind} if isinstance(kind, str) else set(kind or ())
