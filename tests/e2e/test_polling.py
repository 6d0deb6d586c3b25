"""Who polls misses nothing: through the door's restart and the whole gateway's, with the deliverer at work beside."""

import json
import threading
import time
from contextlib import suppress
from typing import Any

import httpx
import pytest

from tests.e2e.house import Gateway, House, eventually, order, orders

POLL = {"kind": "poll", "events": ["order.*"]}


def key_of(gateway: Gateway) -> dict[str, str]:
    """The headers of a client that may poll."""
    code, said = gateway.command(
        "clients", "make", "erp", "--scope", "events:read", "--scope", "endpoints:write", "--rate", "500", "--json"
    )
    assert code == 0, said
    return {"authorization": f"Bearer {json.loads(said)['api_key']}"}


class Poller:
    """An ERP that fetches without pause, and asks again for whatever it got no answer to."""

    def __init__(self, http: httpx.Client, headers: dict[str, str]) -> None:
        self.events: list[dict[str, Any]] = []
        self._http, self._headers = http, headers
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        after: str | None = None
        while not self._stop.is_set():
            params = {"wait": "25", "limit": "7", **({"after": after} if after else {})}
            try:
                answer = self._http.get("/api/v1/endpoints/erp/events", params=params, headers=self._headers)
            except httpx.HTTPError:
                time.sleep(0.05)
                continue
            if answer.status_code == 200:
                page = answer.json()
                self.events += page["items"]
                after = page["next"]

    def numbers(self) -> set[str]:
        """The orders that were heard of."""
        return {one["data"]["order"]["external_id"] for one in list(self.events)}

    def close(self, gateway: Gateway) -> None:
        """No more. A poll that waits is answered at once when there is something to tell."""
        self._stop.set()
        with suppress(httpx.HTTPError):
            gateway.feed("erp", order("S-LAST"))
        self._thread.join()


@pytest.mark.slow
def test_every_order_is_fetched_through_kills_of_everything(house: House) -> None:
    """Door, worker and supervisor are killed while orders come in: what was acknowledged to the shop reaches whoever polls, in order."""
    gateway = house.gateway({"accounts": {"erp": orders()}, "endpoints": {"erp": POLL}})
    poller = Poller(house.client(gateway), key_of(gateway))
    acked: list[str] = []
    try:
        for number in range(60):
            if number in (15, 30):
                gateway.kill("door-0" if number == 15 else "worker")
            if number == 45:
                code, took = gateway.stop()
                # Less than the eight seconds for which a door waits for what is under way.
                assert code == 0 and took < 7.5, "whoever waits for an event does not hold up the end"
                gateway.start()
            name = f"S{number % 20}"
            row = order(name, updated_at=f"2026-11-11 00:00:{number:02d}", total=f"{number}.00")
            try:
                if gateway.feed("erp", row, message=f"msg_{number}").status_code == 202:
                    acked.append(name)
            except httpx.HTTPError:
                time.sleep(0.2)
        eventually(lambda: set(acked) <= poller.numbers(), within=30.0, what="everything acknowledged is fetched")
        first: dict[str, list[int]] = {}
        for one in poller.events:
            known = first.setdefault(one["subject"], [])
            known += [one["sequence"]] if one["sequence"] not in known else []
        assert all(known == list(range(1, len(known) + 1)) for known in first.values())
        eventually(lambda: gateway.metric("gateway_deliveries", state="due") == 0, what="all of it is done")
    finally:
        poller.close(gateway)
