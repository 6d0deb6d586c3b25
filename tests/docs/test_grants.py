"""The guide on grants: its table is what masking and pseudonyms do, and its reader opens what the gateway seals."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from gateway import grant, masking, vault
from gateway.grant import Grant, Reader
from gateway.model import customer, order
from gateway.model.values import Address, ContactKind, ContactPoint, Sensitivity
from gateway.pseudonym import Pseudonyms
from gateway.vaults.file import open_vault

GUIDE = (Path(__file__).parents[2] / "docs/guides/grants.md").read_text(encoding="utf-8")
ROWS = re.findall(r"^\| (\w+) `(\w+)` \| (.+?) \| (.+?) \| (.+?) \| (.+?) \|$", GUIDE, re.MULTILINE)
BLOCKS = re.findall(r"^```python\n(.*?)^```$", GUIDE, re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize(("name", "field", "value", "mask", "token", "nothing"), ROWS, ids=[row[2] for row in ROWS])
def test_table_shows_what_is_shown(name: str, field: str, value: str, mask: str, token: str, nothing: str) -> None:
    """Row by row."""
    assert (masking.mask(value, Sensitivity(name), field) or "–") == mask
    assert nothing == "–"
    shown = Pseudonyms(b"0123456789abcdef").of(value)
    assert token in (shown, "tok_…")


def test_table_has_every_class() -> None:
    """And more than one row for those that mask in several ways."""
    assert len(ROWS) == 11
    assert {row[0] for row in ROWS} == {one.value for one in grant.CLASSES}


def test_reader_in_the_guide_puts_back_what_was_sealed(tmp_path: Path) -> None:
    """With a key made as the guide says; the event is then the one that ``clear`` shows."""
    maker, reader = BLOCKS
    made: dict[str, Any] = {}
    exec(compile(maker, "grants.md", "exec"), made)
    world: dict[str, Any] = {}
    exec(compile(reader, "grants.md", "exec"), world)
    world["KEY"] = made["key"]
    keys = open_vault(tmp_path / "keys.json")
    person = customer.Customer(name="张三", contacts=(ContactPoint(kind=ContactKind.PHONE, value="+8613800138000"),))
    bought = order.Order(
        ship_to=Address(line="文三路1号"), ship_to_name="张三", lines=(order.Line(line_no="1", service="心内科"),)
    )
    data = {"order": vault.body(bought, "ord_1", keys), "customer": vault.body(person, "cus_1", keys), "changed": []}
    event = {"id": "evt_1", "type": "order.created", "data": data}

    def shown(how: str) -> dict[str, Any]:
        treatments = dict.fromkeys(grant.CLASSES, how)
        who = Grant(who="endpoint:bi", treatments=treatments, recipient=made["for_us"])
        return grant.show(event, Reader(who, keys), keys)

    assert "张三" not in json.dumps(shown("seal"), ensure_ascii=False)
    assert world["unsealed"](shown("seal")) == shown("clear")
    assert world["unsealed"](shown("drop")) == shown("drop")
