"""An export over a real socket: it streams to its end, and whoever leaves in the middle takes nobody along."""

import json

from tests.e2e.house import Gateway, House, customers, eventually

PEOPLE = 3000


def key_of(gateway: Gateway) -> dict[str, str]:
    """The headers of a client that may take customers out."""
    scopes = [word for scope in ("exports:read", "customers:read") for word in ("--scope", scope)]
    code, said = gateway.command("clients", "make", "bi", *scopes, "--rate", "500", "--burst", "500", "--json")
    assert code == 0, said
    return {"authorization": f"Bearer {json.loads(said)['api_key']}"}


def test_file_arrives_whole_whoever_leaves_in_the_middle(house: House) -> None:
    """Each record once; ten others who break off leave a door that answers."""
    gateway = house.gateway({"accounts": {"crm": customers()}})
    headers = key_of(gateway)
    rows = [{"customer_code": f"C{n}", "name": f"会员{n}", "updated_at": "2026-11-11 08:00:00"} for n in range(PEOPLE)]
    assert gateway.feed("crm", rows).json()["accepted"] == PEOPLE
    eventually(lambda: gateway.metric("gateway_projected_total", account="crm") == PEOPLE, within=30.0)
    http = house.client(gateway)
    job = http.post("/api/v1/exports", json={"what": "customers"}, headers=headers).json()

    def ended() -> bool:
        found = http.get(f"/api/v1/jobs/{job['id']}", headers=headers).json()
        assert found["state"] != "failed", found
        return bool(found["state"] == "done")

    eventually(ended, within=30.0, what="the export is made")
    path = f"/api/v1/exports/{job['id']}/content"
    for _ in range(10):
        with http.stream("GET", path, headers=headers) as answer:
            next(answer.iter_bytes(1000))
    answer = http.get(path, headers=headers)
    assert len({json.loads(line)["id"] for line in answer.text.splitlines()}) == PEOPLE
    assert http.get("/health/live").status_code == 200
