"""A gateway as it is really run, with people, orders and subscribers in it, and a partner's client as `gateway clients make` gives it."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from connectors.wecom import fake as wecom
from gateway import access
from tests.e2e import house as houses
from tests.e2e.house import Gateway, House, Receiver, built

WECOM = {
    "corp_id": "ww0123456789abcdef", "agent_id": "1000002", "token": "testtoken", "secret": "corp-secret",
    "encoding_aes_key": "kWxPEV2UEDyxWpmPdKC3F4dgPDmOvfKX1HGnEUDS1aR",
}  # fmt: skip
SCOPES = [word for scope in access.SCOPES for word in ("--scope", scope)]


class Served:
    """One running gateway. ``made`` is the client's id, secret and key."""

    def __init__(self, house: House, *, rate: int = 5000) -> None:
        self.receiver: Receiver = house.receiver()
        self.corp = house.loop()
        self.platform = self.corp.run(wecom.serve_api(host="127.0.0.1", port=0, options=WECOM, seed=7))
        house.beside(lambda: self.corp.run(self.platform.close()))
        corp = {"connector": "wecom", "api_base": self.platform.url, **WECOM}
        self.gateway: Gateway = house.gateway(
            {
                "accounts": {"crm": houses.customers(), "erp": houses.orders(), "corp-wecom": corp},
                "endpoints": {"crm": houses.endpoint(self.receiver), "poll": {"kind": "poll"}},
                # Whoever tries every operation without a right key is one address here.
                "http": {"guesses": 0},
            },
            start=False,
        )
        self.made = self.client(
            "erp",
            "--rate",
            str(rate),
            "--burst",
            str(2 * rate),
            "--account",
            "crm",
            "--account",
            "erp",
            "--account",
            "corp-wecom",
        )
        self.gateway.start()
        people = [
            {"customer_code": f"C{n}", "name": name, "phone": f"1380013800{n}", "updated_at": "2026-11-11 08:00:00"}
            for n, name in enumerate(("张三", "李四", "王五"))
        ]
        assert self.gateway.feed("crm", people).json()["accepted"] == 3
        rows = [houses.order(f"SO-{n}", customer_code=f"C{n}", minute=n) for n in range(3)]
        assert self.gateway.feed("erp", rows).json()["accepted"] == 3
        self.receiver.wait(3, "order.paid")
        self._trouble()

    def _trouble(self) -> None:
        """Something for whoever has to decide: somebody else with the phone of C0, and a push that nobody signed."""
        twin = {"customer_code": "C9", "name": "张三", "phone": "13800138000", "updated_at": "2026-11-11 09:00:00"}
        assert self.gateway.feed("crm", [twin]).json()["accepted"] == 1
        assert self.gateway.feed("erp", [], secret=houses.SECRET).status_code == 401

    def client(self, name: str, *words: str) -> dict[str, Any]:
        """A client with every scope."""
        code, said = self.gateway.command("clients", "make", name, *SCOPES, *words, "--json")
        assert code == 0, said
        made: dict[str, Any] = json.loads(said)
        return made

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.gateway.port}"


@contextmanager
def served(folder: Path, **fields: Any) -> Iterator[Served]:
    """Running inside."""
    for house in built(folder):
        yield Served(house, **fields)
