"""The canonical model as JSON Schemas (2020-12), made from its structs: what subscribers and partners are given to read by."""

from collections.abc import Mapping
from functools import cache
from typing import Annotated, Any, get_args, get_origin

import msgspec
from msgspec import Meta

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
from gateway.pipeline import operators

Schema = dict[str, Any]

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
PARTS: tuple[type[msgspec.Struct], ...] = (
    values.ContactPoint, values.Address, values.Region, values.Money, values.Quantity, Coded, order.Breakdown, order.Line, order.PaymentPart,
    order.Shipment, order.AftersaleCase,
)  # fmt: skip
INSIDE = ("provenance",)
"""Kept with the record and never published."""


def all_schemas() -> dict[str, Schema]:
    """File name without its ending → JSON Schema 2020-12."""
    return {name: _record(kind) for name, kind in RECORDS.items()} | {"event": _event(), "operator": _operator()}


def _record(struct: type[Record]) -> Schema:
    schema = msgspec.json.schema(struct)
    for part in (struct, *PARTS):
        found = schema["$defs"].get(part.__name__)
        if found is not None:
            _describe(found["properties"], part)
    if struct is customer.Customer:
        schema["$defs"]["Customer"]["properties"]["identities"] = _identities()
    for name in INSIDE:
        schema["$defs"][struct.__name__]["properties"].pop(name, None)
    return _headed(schema)


def _identities() -> Schema:
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


def _event() -> Schema:
    schema = msgspec.json.schema(event.Event)
    shape = schema["$defs"]["Event"]["properties"]
    shape["type"] = {"enum": list(event.TYPES)}
    shape["timestamp"]["format"] = "date-time"
    shape["data"] = {
        "type": "object",
        "description": "The record under its kind, the customer it belongs to, and the names of the fields that moved.",
        "properties": {name: {"$ref": f"{name}.json"} for name in RECORDS}
        | {
            "action": _action(),
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


def _operator() -> Schema:
    """Events about the gateway itself, for whoever asks for ``operator.*``."""
    schema = msgspec.json.schema(event.Event)
    shape = schema["$defs"]["Event"]["properties"]
    shape["type"] = {"enum": list(operators.TYPES)}
    shape["timestamp"]["format"] = "date-time"
    shape["data"] = {
        "type": "object",
        "description": "What happened, by the names that its type has; never a value of anybody.",
        "properties": {name: {**kind, "description": said} for name, (kind, said) in _OPERATOR_DATA.items()},
    }
    schema["examples"] = [OPERATOR_EXAMPLE]
    return _headed(schema)


_TEXT, _NULLABLE = {"type": "string"}, {"type": ["string", "null"]}
_OPERATOR_DATA: Mapping[str, tuple[Schema, str]] = {
    "endpoint": (_TEXT, "The endpoint it is about, or at which it was met."),
    "percent": ({"type": "integer"}, "How much of its `disable_after` the endpoint has used up: 50, 70, 90 or 100."),
    "failing_since": ({**_NULLABLE, "format": "date-time"}, "The first failure after which nothing succeeded, or since when nobody polls."),
    "cause": (_NULLABLE, "Why: the last failure's word, or why it was disabled."),
    "stage": (_TEXT, "Who met an altered value: deliver, project, reseal, erase, read, api, console or poll."),
    "where": (_TEXT, "The id of what the altered value stood in: an event, an entry, a record."),
    "record": (_TEXT, "The record whose value was altered."),
    "field": (_TEXT, "The path of the altered value in its record."),
    "subject": (_TEXT, "The record that the event with the altered value is about."),
    "delivery": (_TEXT, "The delivery that is dead for it."),
    "request": (_TEXT, "The request of the partner API that met it."),
}  # fmt: skip
OPERATOR_EXAMPLE: Schema = {
    "id": "evt_0199c0c0000070008000000000000007", "type": "operator.endpoint_failing", "timestamp": "2026-11-11T00:01:23.000000Z", "schema": 1,
    "subject": "endpoint/crm", "sequence": 3, "source": {"account": "", "connector": "", "entry": "", "mapping": ""},
    "data": {"endpoint": "crm", "percent": 50, "failing_since": "2026-11-08T12:01:23.000000Z", "cause": "http 503"},
}  # fmt: skip


def _action() -> Schema:
    """What an event tells of an action's end."""
    text_ = {"type": "string"}
    shape = {
        "id": text_,
        "account": text_,
        "action": text_,
        "state": text_,
        "tries": {"type": "integer"},
        "customer": text_,
        "cause": text_,
    }
    return {
        "type": "object",
        "description": "What a partner was asked to do, and what came of it; `cause` is the code of why not.",
        "properties": shape,
    }


def _headed(schema: Schema) -> Schema:
    for part in schema["$defs"].values():
        part["description"] = _plain(part.get("description"))
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "x-schema": event.SCHEMA, **schema}


def _describe(properties: Schema, struct: type[msgspec.Struct]) -> None:
    for field in msgspec.structs.fields(struct):
        shape = properties[field.encode_name]
        if (found := class_of(field.type)) != "public":
            shape["x-sensitivity"] = found
        if "datetime" in str(field.type):
            shape["format"] = "date-time"


def _plain(docstring: str | None) -> str:
    return " ".join((docstring or "").replace("``", "`").split())


def class_of(kind: Any) -> str:
    """The sensitivity class in a field's type."""
    if get_origin(kind) is Annotated:
        for part in get_args(kind):
            if isinstance(part, Meta) and part.extra and "sensitivity" in part.extra:
                return str(part.extra["sensitivity"].value)
    return next((found for part in get_args(kind) if (found := class_of(part)) != "public"), "public")


@cache
def published() -> Mapping[str, Schema]:
    """``all_schemas``, made once."""
    return all_schemas()
