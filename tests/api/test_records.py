"""The smaller records over the API: each list and each reading under scopes, grants, domains and conditions."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from gateway import access
from gateway.clock import SECOND
from gateway.model.appointment import Appointment, Status
from gateway.model.interaction import Direction, Interaction, Type
from gateway.model.organisation import Staff, Unit
from gateway.model.record import Record
from gateway.model.relationship import Relationship, State
from gateway.model.stock import StockLevel
from gateway.model.values import Quantity
from tests.api.kit import CLEAR, House, told

AT = datetime(2026, 11, 11, 8, tzinfo=UTC)

# Path → kind, scope, two records of which a condition finds the second, and that condition.
CASES: dict[str, tuple[str, str, Record, Record, dict[str, str]]] = {
    "appointments": (
        "appointment", "appointments:read",
        Appointment(account="his", external_id="A1", service="心内科", start=AT, status=Status.BOOKED),
        Appointment(account="his", external_id="A2", service="牙科", start=AT, status=Status.ARRIVED),
        {"status": "arrived"},
    ),
    "interactions": (
        "interaction", "records:read",
        Interaction(account="his", external_id="I1", type=Type.FOLLOW, direction=Direction.IN, occurred_at=AT),
        Interaction(account="his", external_id="I2", type=Type.MESSAGE, direction=Direction.IN, body="你好", occurred_at=AT),
        {"type": "message"},
    ),
    "relationships": (
        "relationship", "records:read",
        Relationship(account="his", external_id="R1", staff="zhang", state=State.ACTIVE, remark="老客"),
        Relationship(account="his", external_id="R2", staff="li", state=State.BLOCKED),
        {"state": "blocked", "staff": "li"},
    ),
    "units": (
        "unit", "records:read",
        Unit(account="his", external_id="HQ", name="总部"), Unit(account="his", external_id="SH-1", name="门店", parent="HQ"),
        {"parent": "HQ"},
    ),
    "staff": (
        "staff", "records:read",
        Staff(account="his", external_id="zhang", name="张三", mobile="+8613800138000", active=True),
        Staff(account="his", external_id="li", name="李四", active=False),
        {"active": "false"},
    ),
    "stock": (
        "stock", "records:read",
        StockLevel(account="his", external_id="a@1", sku="a", location="1", on_hand=Quantity(value="2"), as_of=AT),
        StockLevel(account="his", external_id="b@1", sku="b", location="1", on_hand=Quantity(value="3"), as_of=AT),
        {"sku": "b"},
    ),
}  # fmt: skip
EACH = pytest.mark.parametrize("path", CASES)


@EACH
def test_record_is_listed_found_and_read(tmp_path: Path, path: str) -> None:
    """By condition, by the partner's own number, changed since an instant, by our id with an entity tag; and by its scope only."""
    kind, scope, first, second, condition = CASES[path]

    async def story(house: House) -> None:
        await house.keep(kind, first)
        name = await house.keep(kind, second, updated=house.ground.clock.now() + SECOND)
        async with house.caller(scopes=(scope,)) as client:

            async def listed(**params: Any) -> list[str]:
                answer = await client.get(f"/api/v1/{path}", params=params)
                assert answer.status_code == 200, answer.text
                return [one["id"] for one in answer.json()["items"]]

            assert len(await listed()) == 2
            assert await listed(**condition) == [name]
            number = second.external_id  # type: ignore[attr-defined]
            assert await listed(account="his", external_id=number) == [name]
            assert await listed(account="his", external_id=number, updated_since="2999-01-01T00:00:00Z") == []
            assert await listed(account="other") == []
            one = (await client.get(f"/api/v1/{path}/{name}")).json()
            assert await listed(updated_since=one["seen_at"]) == [name]
            answer = await client.get(f"/api/v1/{path}/{name}")
            again = await client.get(f"/api/v1/{path}/{name}", headers={"if-none-match": answer.headers["etag"]})
            assert again.status_code == 304
            assert answer.json()["external_id"] == number
        async with house.caller(scopes=("customers:read",)) as client:
            assert (await client.get(f"/api/v1/{path}")).status_code == 403
            assert (await client.get(f"/api/v1/{path}/{name}")).status_code == 403

    told(tmp_path, story)


@EACH
def test_record_of_another_unit_is_as_if_it_were_not_there(tmp_path: Path, path: str) -> None:
    """In the list, by id and by number."""
    kind, _, first, second, _ = CASES[path]

    async def story(house: House) -> None:
        other = await house.keep(kind, first, unit="west")
        own = await house.keep(kind, second, unit="east")
        async with house.caller(unit="east") as client:
            assert [one["id"] for one in (await client.get(f"/api/v1/{path}")).json()["items"]] == [own]
            assert (await client.get(f"/api/v1/{path}/{other}")).status_code == 404
            number = first.external_id  # type: ignore[attr-defined]
            sought = await client.get(f"/api/v1/{path}", params={"account": "his", "external_id": number})
            assert sought.json()["items"] == []

    told(tmp_path, story)


def test_fields_of_each_class_come_as_granted(tmp_path: Path) -> None:
    """Clinical fields are left out and said to be; a colleague's name is masked; both are clear where that was granted."""

    async def story(house: House) -> None:
        appointment = await house.keep("appointment", CASES["appointments"][2])
        colleague = await house.keep("staff", CASES["staff"][2])
        async with house.caller() as client:
            seen = (await client.get(f"/api/v1/appointments/{appointment}")).json()
            assert "service" not in seen and seen["withheld"] == ["health"]
            seen = (await client.get(f"/api/v1/staff/{colleague}")).json()
            assert (seen["name"], seen["mobile"]) == ("张*", "138****8000")
        async with house.caller(grants=CLEAR) as client:
            assert (await client.get(f"/api/v1/appointments/{appointment}")).json()["service"] == "心内科"
            assert (await client.get(f"/api/v1/staff/{colleague}")).json()["mobile"] == "+8613800138000"
        async with house.caller(grants={"identity": access.Lent(how="drop")}) as client:
            assert "name" not in (await client.get(f"/api/v1/staff/{colleague}")).json()

    told(tmp_path, story)


def test_refusals_say_what_is_wrong(tmp_path: Path) -> None:
    """A cursor of another list, an instant without its zone, a state that there is not, an id of another kind."""

    async def story(house: House) -> None:
        name = await house.keep("staff", CASES["staff"][2])
        async with house.caller() as client:
            for path in (
                "/api/v1/stock?after=nonsense", "/api/v1/stock?updated_since=2026-11-11T00:00:00", "/api/v1/relationships?state=vague"
            ):  # fmt: skip
                refused = await client.get(path)
                assert refused.status_code == 400, path
                assert refused.headers["content-type"] == "application/problem+json"
                assert refused.json()["code"].startswith("request.")
            assert (await client.get(f"/api/v1/units/{name}")).status_code == 404

    told(tmp_path, story)
