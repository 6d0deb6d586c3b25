"""Records as sealed bodies, and what may be seen of them."""

from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from typing import Annotated, Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import UNSET, UnsetType

from gateway import grant, vault
from gateway.errors import Tampered
from gateway.model import appointment, customer, interaction, order, organisation, relationship, stock
from gateway.model.record import Coded, Record
from gateway.model.values import (
    HEALTH,
    IDENTITY,
    Address,
    ContactKind,
    ContactPoint,
    HealthText,
    IdentityText,
    Money,
    Quantity,
    Region,
    Sensitivity,
    Value,
)  # fmt: skip
from gateway.vaults.file import open_vault
from gateway.vaults.sealing import Sealing

SHANGHAI = timezone(timedelta(hours=8))
ALL = [
    appointment.Appointment, customer.Customer, interaction.Interaction, order.Order, organisation.Unit, organisation.Staff,
    relationship.Relationship, stock.StockLevel,
]  # fmt: skip

ORDER = order.Order(
    account="tmall-main",
    external_id="T1",
    updated_at=datetime(2026, 11, 11, 8, 1, 23, tzinfo=SHANGHAI),
    paid_at=None,
    lifecycle=order.Lifecycle.CONFIRMED,
    money=order.Breakdown(payable=Money(amount=990), paid=None),
    lines=(
        order.Line(line_no="1", title="T-shirt", quantity=Quantity(value="1.5")),
        order.Line(line_no="2", service="心内科", status=Coded(value="unknown", raw="X")),
        order.Line(line_no="3", service="心内科"),
    ),
    payments=(order.PaymentPart(external_id="p1", at=datetime(2026, 11, 11, tzinfo=SHANGHAI), payer="6222"),),
    ship_to=Address(region=Region(province="浙江省"), line="文三路1号", postcode="310012"),
    ship_to_name="张三",
    ship_to_phone="+8613800138000",
    flags=("sum_mismatch",),
    attrs={"channel": "live"},
)
CUSTOMER = customer.Customer(
    name="张三",
    birthday="1988-08-18",
    contacts=(
        ContactPoint(kind=ContactKind.PHONE, value="+8613800138000", verified=True),
        ContactPoint(kind=ContactKind.EMAIL, value="zhang@x.com"),
        ContactPoint(kind=ContactKind.ADDRESS, address=Address(line="文三路1号")),
    ),
    deceased=None,
)


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Sealing:
    return open_vault(tmp_path_factory.mktemp("vault") / "keys.json")


def tokens(node: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Every (path, token) of a body."""
    if vault.is_token(node):
        yield path, node[vault.SEALED]
    elif isinstance(node, dict):
        for name, value in node.items():
            yield from tokens(value, f"{path}.{name}".lstrip("."))
    elif isinstance(node, list):
        for item in node:
            yield from tokens(item, path)


def reveal(body: dict[str, Any], record: str | None, keys: Any, **how: str) -> dict[str, Any]:
    """As somebody sees it who has everything in the clear but what ``how`` says of a class."""
    treatments = {one: how.get(one.value, grant.CLEAR) for one in grant.CLASSES}
    return grant.show(body, grant.Reader(grant.Grant(who="somebody", treatments=treatments), keys), keys, record)


def test_order_becomes_plain_data_with_its_sensitive_texts_sealed(keys: Sealing) -> None:
    """The whole body, piece by piece."""
    body = vault.body(ORDER, "ord_1", keys)

    def sealed(text: str, path: str, sensitivity: Sensitivity) -> dict[str, str]:
        return {"$sealed": keys.seal_text(text, f"ord_1/{path}", sensitivity)}

    assert body == {
        "id": "ord_1",
        "account": "tmall-main",
        "external_id": "T1",
        "updated_at": "2026-11-11T00:01:23.000000Z",
        "paid_at": None,
        "lifecycle": "confirmed",
        "money": {"payable": {"amount": 990, "currency": "CNY"}},
        "lines": [
            {"line_no": "1", "title": "T-shirt", "quantity": {"value": "1.5", "unit": ""}},
            {
                "line_no": "2",
                "service": sealed("心内科", "lines.service", Sensitivity.HEALTH),
                "status": {"value": "unknown", "raw": "X"},
            },
            {"line_no": "3", "service": sealed("心内科", "lines.service", Sensitivity.HEALTH)},
        ],
        "payments": [
            {
                "external_id": "p1",
                "at": "2026-11-10T16:00:00.000000Z",
                "payer": sealed("6222", "payments.payer", Sensitivity.FINANCE),
            }
        ],
        "ship_to": {
            "region": {"province": "浙江省"},
            "line": sealed("文三路1号", "ship_to.line", Sensitivity.CONTACT),
            "postcode": sealed("310012", "ship_to.postcode", Sensitivity.CONTACT),
        },
        "ship_to_name": sealed("张三", "ship_to_name", Sensitivity.IDENTITY),
        "ship_to_phone": sealed("+8613800138000", "ship_to_phone", Sensitivity.CONTACT),
        "flags": ["sum_mismatch"],
        "attrs": {"channel": "live"},
    }


def test_null_erases_and_unset_is_silent(keys: Sealing) -> None:
    """A record's None is said; a small value's None is its default and left out; other defaults are spoken."""
    body = vault.body(CUSTOMER, "cus_1", keys)
    assert body["deceased"] is None
    assert "nickname" not in body
    assert body["state"] == "active"
    assert "merged_into" not in body
    email = body["contacts"][1]
    assert email["verified"] is False
    assert email["is_privacy_number"] is False
    assert "use" not in email


def test_bodies_of_equal_records_are_equal(keys: Sealing) -> None:
    """And a changed field shows without opening anything; so does nothing else."""
    before = vault.body(ORDER, "ord_1", keys)
    assert vault.body(msgspec.structs.replace(ORDER), "ord_1", keys) == before
    after = vault.body(msgspec.structs.replace(ORDER, ship_to_name="李四"), "ord_1", keys)
    assert [name for name in before if before[name] != after[name]] == ["ship_to_name"]


def test_token_moved_to_another_record_or_field_is_tampered(keys: Sealing) -> None:
    """Nobody with a pen in the database can read a name through another record, or through a field with a wider grant."""
    body, _ = vault.body(ORDER, "ord_1", keys), vault.body(ORDER, "ord_2", keys)
    moved = {**body, "buyer_note": body["ship_to_phone"]}
    for wrong, record in ((moved, "ord_1"), (body, "ord_2")):
        with pytest.raises(Tampered):
            reveal(wrong, record, keys)


@pytest.mark.parametrize(
    "fake", ["", "k1", "k1.secret.AAAA", "k1.public.AAAA", "k1.contact", 7, None, ["k1"]], ids=repr
)
def test_token_of_another_form_is_tampered(keys: Sealing, fake: object) -> None:
    """Whatever stands in its place."""
    with pytest.raises(Tampered):
        reveal({"name": {"$sealed": fake}}, "cus_1", keys)


@pytest.mark.parametrize("record", [ORDER, CUSTOMER], ids=["order", "customer"])
def test_body_opened_in_the_clear_reads_back_as_the_record(keys: Sealing, record: Record) -> None:
    """Nothing is lost on the way to the store and back."""
    body = msgspec.json.decode(msgspec.json.encode(vault.body(record, "rec_1", keys)))
    opened = reveal(body, "rec_1", keys)
    assert opened.keys() == body.keys()
    assert msgspec.convert(opened, type(record)) == msgspec.structs.replace(record, id="rec_1")


def test_masked_body_shows_what_masking_leaves(keys: Sealing) -> None:
    """An address line goes without the class counting as withheld."""
    masked = reveal(vault.body(CUSTOMER, "cus_1", keys), "cus_1", keys, identity="mask", contact="mask")
    assert masked["name"] == "张*"
    assert masked["birthday"] == "1988"
    assert [point.get("value") for point in masked["contacts"]] == ["138****8000", "z***@x.com", None]
    assert masked["contacts"][2]["address"] == {}
    assert "withheld" not in masked


def test_dropped_class_takes_its_keys_and_is_named(keys: Sealing) -> None:
    """Items of a list stay, so that counts and order are kept; other classes are untouched."""
    body = vault.body(ORDER, "ord_1", keys)
    shown = reveal(body, "ord_1", keys, health="drop")
    assert [sorted(line) for line in shown["lines"]] == [
        ["line_no", "quantity", "title"],
        ["line_no", "status"],
        ["line_no"],
    ]
    assert shown["ship_to_name"] == "张三"
    assert shown["withheld"] == ["health"]
    assert "withheld" not in reveal(vault.body(CUSTOMER, "cus_1", keys), "cus_1", keys, health="drop")


def test_revealing_leaves_the_body_as_it_was(keys: Sealing) -> None:
    """One body serves many endpoints."""
    body = vault.body(ORDER, "ord_1", keys)
    copy = msgspec.json.decode(msgspec.json.encode(body))
    reveal(body, "ord_1", keys, identity="drop", contact="mask")
    assert body == copy


def test_unknown_treatment_reveals_nothing(keys: Sealing) -> None:
    """A grant that this version does not know is an error, not a clear text."""
    with pytest.raises(ValueError, match="no such treatment"):
        reveal(vault.body(ORDER, "ord_1", keys), "ord_1", keys, identity="blur")


def test_event_opens_each_record_with_its_own_id(keys: Sealing) -> None:
    """Two records in one event, one of them nested in a list; ids of other things do not count."""
    event = {
        "id": "evt_1",
        "subject": "ord_1",
        "data": {
            "order": {**vault.body(ORDER, "ord_1", keys), "attrs": {"id": "77"}},
            "customer": vault.body(CUSTOMER, "cus_1", keys),
            "others": [vault.body(CUSTOMER, "cus_2", keys)],
            "changed": ["payment"],
        },
    }
    shown = reveal(event, None, keys)
    assert shown["data"]["order"]["ship_to"]["line"] == "文三路1号"
    assert shown["data"]["customer"]["contacts"][0]["value"] == "+8613800138000"
    assert shown["data"]["others"][0]["name"] == "张三"
    assert shown["data"]["changed"] == ["payment"]
    assert shown.keys() == event.keys()


def test_record_swapped_under_another_id_in_an_event_is_tampered(keys: Sealing) -> None:
    """The enclosing record's id is part of the seal."""
    event = {"id": "evt_1", "data": {"customer": {**vault.body(CUSTOMER, "cus_1", keys), "id": "cus_2"}}}
    with pytest.raises(Tampered):
        reveal(event, None, keys)


def test_partners_own_sealed_key_is_not_taken_for_a_token(keys: Sealing) -> None:
    """A feed cannot plant something in public attributes that every reader would choke on."""
    body = vault.body(customer.Customer(attrs={"$sealed": "k1.contact.AAAA", "a": "b"}), "cus_1", keys)
    assert body["attrs"] == {"_$sealed": "k1.contact.AAAA", "a": "b"}
    assert reveal(body, "cus_1", keys)["attrs"] == body["attrs"]


@pytest.mark.parametrize("record", ALL, ids=lambda record: record.__name__)
def test_every_sensitive_text_of_the_model_is_sealed(record: type[Record], keys: Sealing) -> None:
    """Filled with a marker in every text field of every level, a body shows it only where the type is public."""
    filled = msgspec.convert(_filled(msgspec.inspect.type_info(record)), record)
    body = vault.body(filled, "rec_1", keys)
    sealed = dict(tokens(body))
    assert set(sealed) == set(_sensitive(msgspec.inspect.type_info(record)))
    for path, token in sealed.items():
        assert keys.open_text(token, f"rec_1/{path}") == "marker"


def _filled(kind: msgspec.inspect.Type) -> Any:
    """Data with every field of a type, and ``marker`` for every text."""
    match kind:
        case msgspec.inspect.Metadata(type=inner):
            return _filled(inner)
        case msgspec.inspect.UnionType(types=kinds):
            return _filled(next(part for part in kinds if not isinstance(part, msgspec.inspect.NoneType)))
        case msgspec.inspect.StructType(fields=fields):
            return {field.name: _filled(field.type) for field in fields}
        case msgspec.inspect.VarTupleType(item_type=item):
            return [_filled(item)]
        case msgspec.inspect.DictType(value_type=item):
            return {"key": _filled(item)}
        case msgspec.inspect.EnumType(cls=choices):
            return next(iter(choices)).value
        case msgspec.inspect.DateTimeType():
            return "2026-11-11T00:00:00Z"
        case _:
            return {msgspec.inspect.StrType: "marker", msgspec.inspect.IntType: 1, msgspec.inspect.BoolType: True}[
                type(kind)
            ]


def _sensitive(kind: msgspec.inspect.Type, path: str = "", sensitive: bool = False) -> Iterator[str]:
    """Paths of the texts that a type marks, read from the type without the plan under test."""
    if isinstance(kind, msgspec.inspect.Metadata):
        yield from _sensitive(kind.type, path, "sensitivity" in (kind.extra or {}))
    elif isinstance(kind, msgspec.inspect.UnionType):
        for part in kind.types:
            yield from _sensitive(part, path, sensitive)
    elif isinstance(kind, msgspec.inspect.StructType):
        for field in kind.fields:
            yield from _sensitive(field.type, f"{path}.{field.name}".lstrip("."), sensitive)
    elif isinstance(kind, msgspec.inspect.VarTupleType):
        yield from _sensitive(kind.item_type, path, sensitive)
    elif isinstance(kind, msgspec.inspect.DictType):
        yield from _sensitive(kind.value_type, f"{path}.key", sensitive)
    elif sensitive:
        yield path


class Nested(Value, frozen=True, kw_only=True):
    secret: IdentityText | None = None


class Strange(Record, frozen=True, kw_only=True):
    """Shapes that the model does not have yet."""

    names: tuple[IdentityText, ...] | UnsetType = UNSET
    marked: Annotated[tuple[str, ...], HEALTH] | UnsetType = UNSET
    answers: dict[str, HealthText | None] | UnsetType = UNSET
    nested: tuple[tuple[Nested, ...], ...] | UnsetType = UNSET


def test_sealed_lists_and_maps_keep_their_shape(keys: Sealing) -> None:
    """Texts in lists and maps are sealed one by one, a map's under its key; a dropped text leaves its list."""
    record = Strange(
        names=("张三", "李四"),
        marked=("a",),
        answers={"allergy": "青霉素", "none": None},
        nested=((Nested(secret="x"), Nested()), ()),
    )
    body = vault.body(record, "str_1", keys)
    assert [path for path, _ in tokens(body)] == ["names", "names", "marked", "answers.allergy", "nested.secret"]
    opened = reveal(body, "str_1", keys)
    assert msgspec.convert(opened, Strange) == msgspec.structs.replace(record, id="str_1")
    shown = reveal(body, "str_1", keys, identity="drop", health="drop")
    assert shown.pop("withheld") == ["health", "identity"]
    assert shown == {"id": "str_1", "names": [], "marked": [], "answers": {"none": None}, "nested": [[{}, {}], []]}


class SealedNumber(Record, frozen=True, kw_only=True):
    age: Annotated[int, IDENTITY] | UnsetType = UNSET


class SealedUnion(Record, frozen=True, kw_only=True):
    either: IdentityText | int | UnsetType = UNSET


class SealedPair(Record, frozen=True, kw_only=True):
    pair: tuple[IdentityText, int] | UnsetType = UNSET


class SealedMap(Record, frozen=True, kw_only=True):
    people: dict[str, Nested] | UnsetType = UNSET


@pytest.mark.parametrize(
    "record",
    [SealedNumber(age=7), SealedUnion(either=7), SealedPair(pair=("a", 1)), SealedMap(people={})],
    ids=lambda r: type(r).__name__,
)
def test_type_that_cannot_be_sealed_is_refused(record: Record, keys: Sealing) -> None:
    """Not silently stored in the clear."""
    with pytest.raises(TypeError):
        vault.body(record, "rec_1", keys)


@settings(database=None, deadline=None)
@given(st.text(st.characters(exclude_categories=["Cs"])), st.text(st.characters(exclude_categories=["Cs"])))
def test_any_text_survives_sealing(name: str, key: str) -> None:
    """Also as the key of a map."""
    record = Strange(names=(name,), answers={key: name})
    body = vault.body(record, "str_1", SHARED)
    assert msgspec.convert(reveal(body, "str_1", SHARED), Strange).names == (name,)


class _Plain:
    """A vault that hides nothing: the property above is about paths, not about ciphers."""

    def seal_text(self, value: str, context: str, sensitivity: Sensitivity) -> str:
        return f"k1.{sensitivity.value}.{f'{context}|{value}'.encode().hex()}"

    def open_text(self, token: str, context: str) -> str:
        plain = bytes.fromhex(token.split(".")[2]).decode()
        assert plain.startswith(f"{context}|")
        return plain[len(context) + 1 :]


SHARED: Any = _Plain()
