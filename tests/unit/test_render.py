"""One event for many endpoints: what is shared, what is not, and how long anything opened is kept."""

import json
from typing import Any

import msgspec
import pytest

from gateway import grant, vault
from gateway.clock import TurnedClock
from gateway.destination import Endpoint
from gateway.errors import Erased, Tampered
from gateway.model import customer
from gateway.model.values import ContactKind, ContactPoint
from gateway.pipeline.render import Renderer
from gateway.store import EventRow
from gateway.vault import Vault
from gateway.vaults.file import open_vault
from tests.unit.test_recipient import P256, X25519, opened, public_jwk

PERSON = customer.Customer(name="张三", contacts=(ContactPoint(kind=ContactKind.PHONE, value="+8613800138000"),))


class Counted:
    """A vault that counts what it opens, and has erased what it is told to."""

    def __init__(self, inner: Vault) -> None:
        self._inner = inner
        self.opens = 0
        self.erased: set[str] = set()
        self.blind = inner.blind

    def open_text(self, token: str, context: str) -> str:
        self.opens += 1
        if context.partition("/")[0] in self.erased:
            raise Erased("gone")
        return self._inner.open_text(token, context)


@pytest.fixture(scope="module")
def inner(tmp_path_factory: pytest.TempPathFactory) -> Vault:
    return open_vault(tmp_path_factory.mktemp("vault") / "keys.json")


@pytest.fixture
def keys(inner: Vault) -> Any:
    return Counted(inner)


def event(inner: Vault, number: int = 1) -> EventRow:
    name = f"cus_{number}"
    document = {"id": f"evt_{number}", "data": {"customer": vault.body(PERSON, name, inner), "changed": []}}
    return EventRow(
        id=f"evt_{number}", type="customer.created", subject=name, sequence=1, at=1, account="shop", entry="ent_1", unit=None,
        body=msgspec.json.encode(document),
    )  # fmt: skip


def end(name: str, how: str = "mask", recipient: str = "", **more: str) -> Endpoint:
    grants = {one: more.get(one.value, how) for one in grant.CLASSES}
    return Endpoint(name=name, url="https://x.example", grants=grants, recipient=recipient, schedule=(0.0,))


def test_endpoints_with_equal_grants_get_the_same_bytes(inner: Vault, keys: Any) -> None:
    """Rendered once."""
    renderer, row = Renderer(keys), event(inner)
    first = renderer.render(row, end("a"))
    assert renderer.render(row, end("b")) is first
    assert keys.opens == 2
    assert json.loads(first)["data"]["customer"]["name"] == "张*"


def test_field_that_several_may_see_is_opened_once(inner: Vault, keys: Any) -> None:
    """However differently they see it."""
    renderer, row = Renderer(keys), event(inner)
    key = json.dumps(public_jwk(P256))
    for one in (end("a", "clear"), end("b", "mask"), end("c", "token"), end("d", "seal", key), end("e", "drop")):
        renderer.render(row, one)
    assert keys.opens == 2


def test_pseudonyms_and_seals_are_each_endpoints_own(inner: Vault, keys: Any) -> None:
    """Equal grants do not make two endpoints one."""
    renderer, row = Renderer(keys), event(inner)
    one, other = (json.loads(renderer.render(row, end(name, "token"))) for name in ("a", "b"))
    assert one["data"]["customer"]["name"] != other["data"]["customer"]["name"]
    for name, key in (("c", P256), ("d", X25519)):
        sealed = json.loads(renderer.render(row, end(name, "seal", json.dumps(public_jwk(key)))))["sealed"]
        assert json.loads(opened(sealed, key)[1])["/data/customer/name"] == "张三"


def test_changed_grant_holds_from_the_next_rendering(inner: Vault, keys: Any) -> None:
    """An endpoint that was changed while we run does not get what it was granted before."""
    renderer, row = Renderer(keys), event(inner)
    assert "张三" in renderer.render(row, end("a", "clear")).decode()
    assert "张三" not in renderer.render(row, end("a", "drop")).decode()


def test_what_was_opened_is_used_for_two_seconds(inner: Vault, keys: Any) -> None:
    """A retry opens anew, and so finds out that somebody was erased."""
    clock = TurnedClock()
    renderer, row = Renderer(keys, clock=clock), event(inner)
    assert "张三" in renderer.render(row, end("a", "clear")).decode()
    keys.erased.add("cus_1")
    clock.turn(1.9)
    assert "张三" in renderer.render(row, end("a", "clear")).decode()
    clock.turn(0.2)
    shown = json.loads(renderer.render(row, end("a", "clear")))
    assert shown["erased"] == ["contact", "identity"]
    assert "value" not in shown["data"]["customer"]["contacts"][0]


def test_nothing_opened_is_held_after_its_time_or_a_rest(inner: Vault, keys: Any) -> None:
    """Later events push out those whose time is over, and no more than ``keep`` are ever held."""
    clock = TurnedClock()
    renderer = Renderer(keys, keep=3, clock=clock)
    for number in range(1, 6):
        renderer.render(event(inner, number), end("a", "clear"))
    assert list(renderer._held) == ["evt_3", "evt_4", "evt_5"]
    clock.turn(2.0)
    renderer.render(event(inner, 6), end("a", "clear"))
    assert list(renderer._held) == ["evt_6"]
    renderer.rest()
    assert list(renderer._held) == ["evt_6"]
    clock.turn(2.0)
    renderer.rest()
    assert not renderer._held


def test_event_that_was_sealed_anew_or_altered_is_read_anew(inner: Vault, keys: Any) -> None:
    """What is held belongs to those bytes."""
    renderer, row = Renderer(keys), event(inner)
    renderer.render(row, end("a", "clear"))
    moved = msgspec.structs.replace(row, body=event(inner, 2).body.replace(b"cus_2", b"cus_1"))
    with pytest.raises(Tampered):
        renderer.render(moved, end("a", "clear"))


def test_class_withheld_from_one_endpoint_reaches_another(inner: Vault, keys: Any) -> None:
    """An event whose subject carries a class that an endpoint may not have is rendered without it, and says so."""
    renderer, row = Renderer(keys), event(inner)
    less = json.loads(renderer.render(row, end("a", "clear", contact="drop")))
    more = json.loads(renderer.render(row, end("b", "clear")))
    assert less["withheld"] == ["contact"]
    assert "value" not in less["data"]["customer"]["contacts"][0]
    assert "withheld" not in more
    assert more["data"]["customer"]["contacts"][0]["value"] == "+8613800138000"
