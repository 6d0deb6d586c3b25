"""What a reader sees of a body under each treatment, and which grants are refused."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway import grant, vault
from gateway.errors import ConfigError, Erased, Tampered
from gateway.grant import Grant, Reader
from gateway.model import customer, order
from gateway.model.order import Line
from gateway.model.values import Address, ContactKind, ContactPoint, Region, Sensitivity
from gateway.vault import Vault
from gateway.vaults.file import open_vault
from tests.unit.test_recipient import P256, RSA, opened, public_jwk

KEY = json.dumps(public_jwk(P256))
ADDRESS = Address(
    region=Region(code="330106", province="浙江省", city="杭州市", district="西湖区"),
    line="文三路1号",
    postcode="310012",
)
CUSTOMER = customer.Customer(
    name="张三",
    birthday="1988-08-18",
    contacts=(
        ContactPoint(kind=ContactKind.PHONE, value="+8613800138000"),
        ContactPoint(kind=ContactKind.ADDRESS, address=ADDRESS),
        ContactPoint(kind=ContactKind.ADDRESS, value="浙江省杭州市西湖区文三路1号"),
    ),
    deceased="N",
)
ORDER = order.Order(
    account="shop",
    ship_to=ADDRESS,
    ship_to_name="张三",
    ship_to_phone="13800138000",
    buyer_note="好的",
    lines=(Line(line_no="1", title="杯子"), Line(line_no="2", service="心内科")),
)


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Vault]:
    yield open_vault(tmp_path_factory.mktemp("vault") / "keys.json")


def reader(keys: Vault, how: str, who: str = "endpoint:crm", recipient: str = KEY) -> Reader:
    return Reader(Grant(who=who, treatments=dict.fromkeys(grant.CLASSES, how), recipient=recipient), keys)


def event(keys: Vault) -> dict[str, Any]:
    """One event that holds two records of one person."""
    data = {"order": vault.body(ORDER, "ord_1", keys), "customer": vault.body(CUSTOMER, "cus_1", keys), "changed": []}
    return {"id": "evt_1", "type": "order.created", "data": data}


def points(shown: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = shown["data"]["customer"]["contacts"]
    return found


def test_masked_address_still_shows_its_district(keys: Vault) -> None:
    """As fields, which are public, and out of one text; street and door are gone in both."""
    shown = grant.show(event(keys), reader(keys, "mask"), keys)
    region = {"code": "330106", "province": "浙江省", "city": "杭州市", "district": "西湖区"}
    assert shown["data"]["order"]["ship_to"] == {"region": region, "postcode": "3***"}
    assert points(shown)[1]["address"]["region"] == region
    assert points(shown)[2]["value"] == "浙江省杭州市西湖区***"
    assert "文三路" not in json.dumps(shown, ensure_ascii=False)


def test_same_phone_has_one_pseudonym_in_a_customer_and_an_order(keys: Vault) -> None:
    """Joins across records and fields work at one endpoint."""
    shown = grant.show(event(keys), reader(keys, "token"), keys)
    assert shown["data"]["order"]["ship_to_phone"] == points(shown)[0]["value"]
    assert shown["data"]["order"]["ship_to_name"] == shown["data"]["customer"]["name"]
    assert shown["data"]["order"]["ship_to_phone"].startswith("tok_")
    again = grant.show(vault.body(CUSTOMER, "cus_2", keys), reader(keys, "token"), keys, "cus_2")
    assert again["contacts"][0]["value"] == points(shown)[0]["value"]


def test_pseudonyms_of_two_endpoints_cannot_be_joined(keys: Vault) -> None:
    """Nothing that one of them holds is held by the other."""
    one, other = (set(_texts(grant.show(event(keys), reader(keys, "token", who), keys))) for who in ("a", "b"))
    assert {text for text in one & other if text.startswith("tok_")} == set()
    assert any(text.startswith("tok_") for text in one)


def test_pseudonym_of_what_few_values_are_in_says_nothing_of_other_records(keys: Vault) -> None:
    """Two patients with the same clinical value, birthday or message do not look alike; one record keeps its pseudonym."""
    sees = reader(keys, "token")
    one, again, other = (
        grant.show(vault.body(CUSTOMER, name, keys), sees, keys, name) for name in ("cus_1", "cus_1", "cus_2")
    )
    assert one["deceased"] == again["deceased"] != other["deceased"]
    assert one["birthday"] == again["birthday"] != other["birthday"]
    assert one["name"] == other["name"]


def test_sealed_values_stand_in_one_jwe_by_their_pointers(keys: Vault) -> None:
    """For the endpoint's key alone; in their places there is nothing."""
    shown = grant.show(event(keys), reader(keys, "seal"), keys)
    _, plain = opened(shown.pop("sealed"), P256)
    assert json.loads(plain) == {
        "/data/order/lines/1/service": "心内科",
        "/data/order/ship_to/line": "文三路1号",
        "/data/order/ship_to/postcode": "310012",
        "/data/order/ship_to_name": "张三",
        "/data/order/ship_to_phone": "13800138000",
        "/data/order/buyer_note": "好的",
        "/data/customer/name": "张三",
        "/data/customer/birthday": "1988-08-18",
        "/data/customer/deceased": "N",
        "/data/customer/contacts/0/value": "+8613800138000",
        "/data/customer/contacts/1/address/line": "文三路1号",
        "/data/customer/contacts/1/address/postcode": "310012",
        "/data/customer/contacts/2/value": "浙江省杭州市西湖区文三路1号",
    }
    bare = grant.show(event(keys), reader(keys, "drop"), keys)
    assert bare.pop("withheld") == ["contact", "health", "identity"]
    assert shown == bare
    assert "张三" not in json.dumps(shown, ensure_ascii=False)


def test_sealed_item_of_a_list_leaves_null_so_that_pointers_hold(keys: Vault) -> None:
    """A dropped one goes with its place, since nothing points to it."""
    body = {
        "names": [{"$sealed": keys.seal_text(name, "cus_1/names", Sensitivity.IDENTITY)} for name in ("张三", "李四")]
    }
    sealed = grant.show(body, reader(keys, "seal"), keys, "cus_1")
    assert sealed["names"] == [None, None]
    assert json.loads(opened(sealed["sealed"], P256)[1]) == {"/names/0": "张三", "/names/1": "李四"}
    assert grant.show(body, reader(keys, "drop"), keys, "cus_1")["names"] == []


def test_each_class_has_its_own_treatment(keys: Vault) -> None:
    """Clear, pseudonym, sealed and dropped in one event; what is withheld is named, what is sealed is not."""
    treatments = {
        Sensitivity.IDENTITY: "seal", Sensitivity.CONTACT: "token", Sensitivity.HEALTH: "drop", Sensitivity.FINANCE: "clear",
    }  # fmt: skip
    shown = grant.show(event(keys), Reader(Grant(who="x", treatments=treatments, recipient=KEY), keys), keys)
    assert shown["withheld"] == ["health"]
    assert set(json.loads(opened(shown["sealed"], P256)[1])) == {
        "/data/order/ship_to_name", "/data/customer/name", "/data/customer/birthday",
    }  # fmt: skip
    assert shown["data"]["order"]["lines"][1] == {"line_no": "2"}


def test_class_that_a_grant_does_not_name_is_dropped(keys: Vault) -> None:
    """Less, when in doubt."""
    shown = grant.show(event(keys), Reader(Grant(who="x", treatments={}), keys), keys)
    assert shown["withheld"] == ["contact", "health", "identity"]
    assert "name" not in shown["data"]["customer"]


class _Partly:
    """A vault from which one record was erased. It counts what it opens."""

    def __init__(self, inner: Vault, erased: str = "") -> None:
        self._inner = inner
        self._erased = erased
        self.opens: list[str] = []
        self.blind = inner.blind

    def open_text(self, token: str, context: str) -> str:
        self.opens.append(context)
        if self._erased and context.startswith(self._erased):
            raise Erased("gone")
        return self._inner.open_text(token, context)


@pytest.mark.parametrize("how", ["clear", "mask", "token", "seal"])
def test_erased_value_is_absent_under_every_treatment_and_its_class_named(keys: Vault, how: str) -> None:
    """It is not withheld from anybody: it is no more."""
    gone: Any = _Partly(keys, "cus_1/")
    shown = grant.show(event(keys), reader(keys, how), gone)
    assert shown["erased"] == ["contact", "health", "identity"]
    assert "withheld" not in shown
    assert shown["data"]["customer"] == {
        "id": "cus_1",
        "contacts": shown["data"]["customer"]["contacts"],
        "state": "active",
    }
    assert all("value" not in point for point in points(shown))
    assert ("sealed" in shown) == (how == "seal")
    if how == "seal":
        assert not any("customer" in pointer for pointer in json.loads(opened(shown["sealed"], P256)[1]))


def test_what_is_dropped_is_not_opened(keys: Vault) -> None:
    """So an endpoint that may see nothing goes on while a key is out of reach, or a value was altered."""
    counted: Any = _Partly(keys)
    assert grant.show(event(keys), reader(keys, "drop"), counted)["withheld"] == ["contact", "health", "identity"]
    assert counted.opens == []


def test_altered_value_stops_those_who_may_see_it(keys: Vault) -> None:
    """Under every treatment that opens it."""
    body = vault.body(CUSTOMER, "cus_1", keys)
    body["name"] = vault.body(CUSTOMER, "cus_2", keys)["name"]
    for how in ("clear", "mask", "token", "seal"):
        with pytest.raises(Tampered):
            grant.show(body, reader(keys, how), keys, "cus_1")


def test_grant_of_nobody_or_with_an_unknown_treatment_reveals_nothing(keys: Vault) -> None:
    """An error of the caller, before anything is opened."""
    with pytest.raises(ValueError, match="belongs to somebody"):
        Reader(Grant(who="", treatments={}), keys)
    with pytest.raises(ValueError, match="no such treatment: blur"):
        reader(keys, "blur")
    with pytest.raises(ConfigError, match="nobody to seal for"):
        reader(keys, "seal", recipient="")


def _texts(node: Any) -> Iterator[str]:
    if isinstance(node, str):
        yield node
    elif isinstance(node, dict):
        for value in node.values():
            yield from _texts(value)
    elif isinstance(node, list):
        for item in node:
            yield from _texts(item)


# ---------------------------------------------------------------------- checked
LEAST = {
    Sensitivity.IDENTITY: "mask",
    Sensitivity.CONTACT: "mask",
    Sensitivity.HEALTH: "drop",
    Sensitivity.FINANCE: "drop",
}
PLACE = "endpoints.crm.grants"


def checked(*, reason: str = "", recipient: str = "", **how: str) -> str:
    treatments = {one: how.get(one.value, least) for one, least in LEAST.items()}
    return grant.checked(treatments, reason=reason, recipient=recipient, place=PLACE)


@pytest.mark.parametrize("how", ["clear", "mask", "token", "seal"])
@pytest.mark.parametrize("reason", ["", "  "])
def test_health_without_a_reason_is_refused(how: str, reason: str) -> None:
    """Under every treatment that shows something of it."""
    with pytest.raises(ConfigError, match="without a reason") as refused:
        checked(health=how, reason=reason, recipient=KEY)
    assert refused.value.place == "endpoints.crm.grants.reason"
    assert refused.value.remedy


def test_recipient_is_read_from_its_file(tmp_path: Path) -> None:
    """The key itself goes on; a file that is not there is told."""
    file = tmp_path / "key.json"
    file.write_text(f"{KEY}\n")
    assert checked(identity="seal", recipient=f"file:{file}") == KEY
    with pytest.raises(ConfigError, match="cannot be read: No such file"):
        checked(identity="seal", recipient=f"file:{tmp_path}/other.json")


def test_seal_without_a_usable_recipient_is_refused() -> None:
    """And so is a recipient that could never be sealed to, even while nothing is."""
    for how, recipient in (("seal", ""), ("seal", "{}"), ("mask", "{}")):
        with pytest.raises(ConfigError) as refused:
            checked(contact=how, recipient=recipient)
        assert refused.value.place == "endpoints.crm.grants.recipient"


def test_grant_with_reason_and_recipient_is_fit() -> None:
    """As it stands in a config."""
    assert checked(health="seal", reason="随访", recipient=json.dumps(public_jwk(RSA))) == json.dumps(public_jwk(RSA))
    assert checked() == ""


def test_unknown_treatment_is_refused_by_its_class() -> None:
    """For grants that come from elsewhere than the config."""
    with pytest.raises(ConfigError, match="'blur' is no treatment") as refused:
        checked(finance="blur")
    assert refused.value.place == "endpoints.crm.grants.finance"
