"""Pseudonyms: equal for what means the same, and telling nothing else."""

import re
from typing import Annotated, Any, get_args

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway import pseudonym
from gateway.model import appointment, customer, interaction, order, organisation, relationship, stock
from gateway.model.values import Sensitivity
from gateway.pseudonym import Pseudonyms

ONE, OTHER = Pseudonyms(b"1" * 16), Pseudonyms(b"2" * 16)

SAME = [
    ("+8613800138000", "13800138000"),
    ("+86 138-0013-8000", "13800138000"),
    ("008613800138000", "13800138000"),
    ("１３８００１３８０００", "13800138000"),
    ("Zhang.San@Example.com", " zhang.san@example.com "),
    ("11010519491231002x", "11010519491231002X"),
    ("6222 0200 0000 0000 000", "6222020000000000000"),
    ("Zhang  San", "zhang san"),
]


@pytest.mark.parametrize(("one", "other"), SAME)
def test_two_spellings_of_one_value_have_one_pseudonym(one: str, other: str) -> None:
    """A phone of a customer and of an order join, however either source wrote it."""
    assert ONE.of(one) == ONE.of(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [("13800138000", "13800138001"), ("1988-08-18", "19880818"), ("+14155552671", "4155552671"), ("张三", "张三丰")],
)
def test_two_values_have_two_pseudonyms(one: str, other: str) -> None:
    """What is not the same joins nothing."""
    assert ONE.of(one) != ONE.of(other)


def test_pseudonym_is_an_agreed_text() -> None:
    """Golden: an endpoint's tables hold it for years."""
    assert ONE.of("13800138000") == "tok_lzouwonwzrmvxzzh5t5zcvgauq"
    assert re.fullmatch(r"tok_[a-z2-7]{26}", ONE.of("张三"))


def test_two_readers_cannot_compare() -> None:
    """Another key, another text."""
    assert ONE.of("13800138000") != OTHER.of("13800138000")


def test_salt_tells_equal_values_apart() -> None:
    """And does not run into the text."""
    assert len({ONE.of("y"), ONE.of("y", "cus_1"), ONE.of("y", "cus_2"), ONE.of("cus_1\ny")}) == 4


@settings(database=None, deadline=None)
@given(st.text())
def test_any_text_has_a_pseudonym(text: str) -> None:
    """Also the empty one, and lone surrogates aside every other."""
    if not any(0xD800 <= ord(each) < 0xE000 for each in text):
        assert re.fullmatch(r"tok_[a-z2-7]{26}", ONE.of(text))


# Every sealed field of the model: whether a pseudonym of it joins records. A new one needs a decision here.
JOINS = {
    "identity": {"name", "nickname", "national_id", "ship_to_name"},
    "contact": {"value", "raw", "line", "postcode", "ship_to_phone", "mobile", "email"},
    "finance": {"payer"},
}
ALONE = {
    "identity": {"birthday"},
    "contact": {"body", "buyer_note", "remark"},
    "health": {"deceased", "service", "clinical", "reason"},
}


def sealed_fields(kind: Any, field: str = "") -> set[tuple[str, str]]:
    """(class, last name) of everything that is sealed in a type."""
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return {one for each in msgspec.structs.fields(kind) for one in sealed_fields(each.type, each.encode_name)}
    if isinstance(kind, type(Annotated[str, ""])):
        found = [
            part.extra["sensitivity"].value
            for part in kind.__metadata__
            if isinstance(part, msgspec.Meta) and part.extra
        ]
        return {(one, field) for one in found}
    return {one for part in get_args(kind) for one in sealed_fields(part, field)}


def test_every_sealed_field_of_the_model_joins_or_stands_alone_on_purpose() -> None:
    """Clinical values, birthdays and free text have a pseudonym per record; identifiers have one for all."""
    records = (
        appointment.Appointment, customer.Customer, interaction.Interaction, order.Order, organisation.Unit,
        organisation.Staff, relationship.Relationship, stock.StockLevel,
    )  # fmt: skip
    found = {one for record in records for one in sealed_fields(record)}
    known = {(name, field) for table in (JOINS, ALONE) for name, fields in table.items() for field in fields}
    assert found == known
    for name, field in found:
        assert pseudonym.alone(Sensitivity(name), field) == (field in ALONE.get(name, ())), (name, field)
