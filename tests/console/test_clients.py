"""The page of partners' programs, without a browser."""

import re
from pathlib import Path

import pytest

from tests.api.kit import House, told
from tests.console.test_entrance import signed_in


@pytest.mark.parametrize(
    ("scope", "status"), [("imports:write", 200), ("actions:write", 200), ("orders:read", 409)]
)  # fmt: skip
def test_account_is_given_with_a_scope_that_uses_it(tmp_path: Path, scope: str, status: int) -> None:
    """To bring records in or to act; one who only reads has no use for it, and is told."""

    async def story(house: House) -> None:
        async with house.anybody() as client:
            await signed_in(house, client)
            csrf = re.findall(r'name="csrf" value="([^"]+)"', (await client.get("/console/clients")).text)[0]
            asked = {"csrf": csrf, "act": "make", "name": "bridge", f"scope.{scope}": "1", "account.orders": "1"}
            assert (await client.post("/console/clients", data=asked)).status_code == status
        assert [one.accounts for one, _ in await house.desk.clients.all()] == ([("orders",)] if status == 200 else [])

    told(tmp_path, story)
