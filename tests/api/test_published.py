"""What partners read by: the schemas of records and of the API's answers. A change that breaks a reader is found here, and needs a decision.

``python -m tests.api.test_published`` writes the golden files anew, after that decision.
"""

import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

from docs.generate.schemas import breaks
from gateway.api import app
from gateway.desk import schemas
from tests.api.kit import House, told

GOLDEN = Path(__file__).parent / "schemas"


def answers() -> dict[str, Any]:
    """The types of the API's answers and bodies, as the OpenAPI document has them."""
    return {"$defs": app.described()["components"]["schemas"]}


def golden() -> dict[str, dict[str, Any]]:
    """What was promised, by the file's name."""
    return {path.stem: msgspec.json.decode(path.read_bytes()) for path in sorted(GOLDEN.glob("*.json"))}


def today() -> dict[str, dict[str, Any]]:
    """What is answered now."""
    return {**schemas.published(), "answers": answers()}


@pytest.mark.parametrize("name", sorted(today()))
def test_no_reader_is_broken(name: str) -> None:
    """Nothing that was promised is gone or has another type; what was added is no matter."""
    assert name in golden(), "a new schema: python -m tests.api.test_published"
    assert breaks(golden()[name], today()[name]) == []


def test_check_finds_what_would_break_a_reader() -> None:
    """A field that goes, an enum that loses a value, a list that becomes a text."""
    before = answers()
    for hurt in ("CustomerSeen", "OrderSeen"):
        after = msgspec.json.decode(msgspec.json.encode(before))
        after["$defs"][hurt]["properties"].pop("id")
        assert breaks(before, after) == [f"{hurt}.id: the field is gone"]
    after = msgspec.json.decode(msgspec.json.encode(before))
    after["$defs"]["Payment"]["enum"].remove("voided")
    assert len(breaks(before, after)) == 1


def test_schemas_are_listed_and_read_by_any_client(tmp_path: Path) -> None:
    """With or without the ending, by which they refer to each other; an unchanged one is not sent again."""

    async def story(house: House) -> None:
        async with house.caller(scopes=("orders:read",)) as client:
            listed = (await client.get("/api/v1/schemas")).json()["items"]
            assert {one["name"] for one in listed} == {*schemas.RECORDS, "event", "operator"}
            for one in listed:
                answer = await client.get(one["href"])
                assert answer.json()["$schema"].endswith("2020-12/schema")
            bare = await client.get("/api/v1/schemas/order")
            assert bare.json()["$defs"]["Order"]["properties"]["ship_to_name"]["x-sensitivity"] == "identity"
            again = await client.get("/api/v1/schemas/order", headers={"if-none-match": bare.headers["etag"]})
            assert again.status_code == 304
            assert (await client.get("/api/v1/schemas/nothing")).status_code == 404

    told(tmp_path, story)


if __name__ == "__main__":
    GOLDEN.mkdir(exist_ok=True)
    for written, schema in today().items():
        text = msgspec.json.format(msgspec.json.encode(schema), indent=2).decode() + "\n"
        (GOLDEN / f"{written}.json").write_text(text, encoding="utf-8")
    sys.exit(0)
