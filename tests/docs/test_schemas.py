"""Schemas that subscribers rely on: what breaks a reader is caught, what does not is let through."""

import copy
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from docs.generate import __main__ as generate
from docs.generate import schemas
from gateway.model.event import Event
from gateway.pipeline import operators, vigil

Schema = dict[str, Any]


def order() -> Schema:
    """A fresh copy of the order's schema."""
    return copy.deepcopy(schemas.all_schemas()["order"])


def test_today_s_model_breaks_no_reader_of_the_committed_schemas() -> None:
    """The copies under docs/reference/schemas are what subscribers were given."""
    assert generate.broken() == []


def _remove_field(new: Schema) -> None:
    del new["$defs"]["Order"]["properties"]["placed_at"]


def _remove_inner_field(new: Schema) -> None:
    del new["$defs"]["Line"]["properties"]["sku"]


def _change_type(new: Schema) -> None:
    new["$defs"]["Money"]["properties"]["amount"]["type"] = "string"


def _allow_null(new: Schema) -> None:
    new["$defs"]["Line"]["properties"]["line_no"] = {"anyOf": [{"type": "string"}, {"type": "null"}]}


def _remove_enum_value(new: Schema) -> None:
    new["$defs"]["Payment"]["enum"].remove("voided")


def _stop_requiring(new: Schema) -> None:
    new["$defs"]["Money"]["required"].remove("amount")


def _change_item(new: Schema) -> None:
    new["$defs"]["Order"]["properties"]["flags"]["items"]["type"] = "integer"


def _remove_definition(new: Schema) -> None:
    del new["$defs"]["Shipment"]


@pytest.mark.parametrize(
    "hurt",
    [
        _remove_field, _remove_inner_field, _change_type, _allow_null, _remove_enum_value, _stop_requiring, _change_item,
        _remove_definition,
    ],
    ids=lambda hurt: hurt.__name__.strip("_"),
)  # fmt: skip
def test_a_change_that_breaks_a_reader_is_named(hurt: Callable[[Schema], None]) -> None:
    """A removed field, a changed type, a removed enum value and their like are found at any depth."""
    new = order()
    hurt(new)
    assert len(schemas.breaks(order(), new)) == 1


def _add_field(new: Schema) -> None:
    new["$defs"]["Order"]["properties"]["gift"] = {"type": "boolean"}


def _add_enum_value(new: Schema) -> None:
    new["$defs"]["Payment"]["enum"].append("escrow")


def _drop_null(new: Schema) -> None:
    new["$defs"]["Order"]["properties"]["channel"] = {"type": "string"}


def _reword(new: Schema) -> None:
    new["$defs"]["Order"]["description"] = "other words"


@pytest.mark.parametrize(
    "grow", [_add_field, _add_enum_value, _drop_null, _reword], ids=lambda grow: grow.__name__.strip("_")
)
def test_growth_breaks_nobody(grow: Callable[[Schema], None]) -> None:
    """Readers ignore what they do not know, so that additions are free."""
    new = order()
    grow(new)
    assert schemas.breaks(order(), new) == []


def test_a_sensitive_field_says_so() -> None:
    """The class stands in the schema, where a subscriber's own masking can read it."""
    shape = schemas.all_schemas()["customer"]["$defs"]["Customer"]["properties"]
    assert shape["name"]["x-sensitivity"] == "identity"
    assert shape["deceased"]["x-sensitivity"] == "health"
    assert "x-sensitivity" not in shape["gender"]


def test_operator_events_have_a_schema_that_knows_every_type_and_fact() -> None:
    """With an example that keeps to it."""
    operator = schemas.all_schemas()["operator"]
    shape = operator["$defs"]["Event"]["properties"]
    assert shape["type"]["enum"] == list(operators.TYPES)
    (example,) = operator["examples"]
    assert msgspec.convert(example, Event).type in operators.TYPES
    assert example["data"].keys() <= shape["data"]["properties"].keys()
    # Whatever the gateway tells is described.
    told = {
        "endpoint",
        *vigil._facts(vigil.Pulse("x"), 50),
        "stage",
        "where",
        "record",
        "field",
        "subject",
        "delivery",
        "request",
    }
    assert told == shape["data"]["properties"].keys()
