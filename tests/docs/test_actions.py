"""The guide to actions: its program has a platform do something, on a gateway as it is really run."""

import re
from pathlib import Path
from typing import Any

import httpx

from tests.api.served import served
from tests.e2e.house import eventually

GUIDE = Path(__file__).parents[2] / "docs" / "guides" / "actions.md"


def test_program_of_the_guide_tags_a_customer(tmp_path: Path) -> None:
    """Found by our id in the corp's system; repeated under its key it is one action, and its end is told."""
    source = re.search(r"```python\n(.*?)```", GUIDE.read_text(encoding="utf-8"), re.DOTALL)
    assert source is not None
    world: dict[str, Any] = {}
    exec(compile(source[1], str(GUIDE), "exec"), world)
    with served(tmp_path) as one:
        platform = one.platform
        known = platform._corp.known
        external = next(name for name in known if platform._corp.member_of(name) == "zhangsan")
        headers = {"authorization": f"Bearer {one.made['api_key']}"}
        with httpx.Client(base_url=one.url, headers=headers, trust_env=False, timeout=20.0) as api:
            look = {"namespace": "wecom.external_userid", "scope": "ww0123456789abcdef", "value": external}

            def found() -> list[dict[str, Any]]:
                items: list[dict[str, Any]] = api.post("/api/v1/customers:lookup", json=look).json()["items"]
                return items

            # The daily reconciliation brings the corp's customers in.
            customer = eventually(found, within=30.0, what="the corp's customers are known")[0]["id"]
            first = world["tag"](api, customer, ["etVIP"], "k1")
            assert world["tag"](api, customer, ["etVIP"], "k1") == first
            eventually(lambda: api.get(f"/api/v1/actions/{first}").json()["state"] == "done", within=30.0)
            assert platform.deeds.tags[("zhangsan", external)] == {"etVIP"}
            events = api.get("/api/v1/events", params={"types": "action.*"}).json()["items"]
            assert [(event["type"], event["subject"]) for event in events] == [("action.completed", first)]
            assert events[0]["data"]["action"]["customer"] == customer
