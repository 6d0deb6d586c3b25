"""The served application from outside: hooks, API and pages over a real socket, and the process of its own."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from gateway.clock import SystemClock
from gateway.errors import ConfigError
from scrm.app import create_app
from tests.e2e.house import eventually
from tests.scrm import samples
from tests.scrm.conftest import Served
from tests.scrm.samples import LI, ORDER, SHADOW, ZHANG, event
from tests.servers.process import answers, free_port


def test_a_signed_event_is_taken_once_and_a_retry_is_thanked_too(served: Served) -> None:
    """204 both times, one event kept."""
    one = event("order.created", ORDER, 1, "11-11 00:00", order=samples.order(), customer={"id": ZHANG})
    assert [served.post(one).status_code for _ in range(2)] == [204, 204]
    stats = served.get("/api/stats")
    assert (stats["events"], stats["duplicates"], stats["orders"]) == (1, 1, 1)


def test_the_old_secret_is_still_taken_while_it_rotates(served: Served) -> None:
    """The independent library signs with the secret of yesterday."""
    one = event("order.created", ORDER, 1, "11-11 00:00", order=samples.order())
    body = samples.raw(one)
    answer = served.client.post("/hooks", content=body, headers=served.headers(one["id"], body, samples.OLD_SECRET))
    assert answer.status_code == 204


def test_a_forgery_is_refused_without_a_hint_and_leaves_nothing(served: Served) -> None:
    """Problem details that say the same whatever was wrong with it."""
    one = event("order.created", ORDER, 1, "11-11 00:00", order=samples.order())
    forged = served.post(one, **{"webhook-signature": "v1," + "A" * 43 + "="})
    assert forged.status_code == 401 and forged.headers["content-type"].startswith("application/problem+json")
    assert forged.json()["code"] == "webhook.signature"
    assert served.post(one, **{"webhook-signature": "garbage"}).status_code == 400
    assert served.client.post("/hooks", content=b"{}").status_code == 400
    served_at = served.headers(one["id"], samples.raw(one))
    served.clock.turn(301)
    stale = served.client.post("/hooks", content=samples.raw(one), headers=served_at)
    assert (stale.status_code, stale.json()["code"]) == (401, "webhook.stale")
    assert served.get("/api/stats")["events"] == 0


def test_a_signed_body_that_is_no_event_is_a_problem_of_the_sender(served: Served) -> None:
    """400 with the tree's own code; over a mebibyte it is 413."""
    answer = served.client.post("/hooks", content=b"[1]", headers=served.headers("evt_1", b"[1]"))
    assert (answer.status_code, answer.json()["code"]) == (400, "payload.malformed")
    big = b"x" * 1_100_000
    assert served.client.post("/hooks", content=big, headers=served.headers("evt_1", big)).status_code == 413


def test_the_api_tells_what_was_told(told: Served) -> None:
    """List, customer under either id, order, timeline page by page, totals."""
    listed = told.get("/api/customers", query="138 0013 8000")
    assert [row["id"] for row in listed["items"]] == [ZHANG] and listed["next"] is None
    one = told.get(f"/api/customers/{SHADOW}")
    assert (one["id"], one["merged"], one["customer"]["name"]) == (ZHANG, [SHADOW], "张三")
    assert one["sums"] == [{"currency": "CNY", "paid": 156250, "refunded": 9900, "orders": 2}]
    order = told.get(f"/api/orders/{ORDER}")
    assert (order["customer"], order["sequence"], order["order"]["fulfilment"]) == (ZHANG, 3, "shipped")
    first = told.get(f"/api/customers/{ZHANG}/timeline", limit=4)
    rest = told.get(f"/api/customers/{ZHANG}/timeline", limit=50, after=first["next"])
    times = [moment["at"] for moment in first["items"] + rest["items"]]
    assert len(times) == 10 and times == sorted(times, reverse=True) and rest["next"] is None
    assert told.get(f"/api/customers/{LI}")["customer"]["contacts"][0]["value"] == "138****8001"
    assert told.get("/api/stats")["customers"] == 3


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/api/customers/cus_none", 404), ("/api/customers/cus_none/timeline", 404), ("/api/orders/ord_none", 404), ("/api/nothing", 404),
        ("/api/customers?limit=0", 400), ("/api/customers?limit=x", 400), ("/api/customers?after=zzz", 400),
        (f"/api/customers/{ZHANG}/timeline?after=1-abc", 400),
    ],
)  # fmt: skip
def test_what_the_api_refuses_is_a_problem_document(told: Served, path: str, status: int) -> None:
    """RFC 9457, with status and code in the body."""
    answer = told.client.get(path)
    assert answer.status_code == status and answer.headers["content-type"].startswith("application/problem+json")
    assert answer.json()["status"] == status and answer.json()["code"]


def test_every_answer_forbids_foreign_scripts_and_keeping(told: Served) -> None:
    """Pages, errors and API alike; only styles may be cached."""
    for path in ("/", f"/customers/{ZHANG}", "/customers/none", "/api/stats", "/static/scrm.css"):
        headers = told.client.get(path).headers
        assert (
            "default-src 'none'" in headers["content-security-policy"]
            and "unsafe" not in headers["content-security-policy"]
        )
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cache-control"] == ("public, max-age=86400" if "static" in path else "no-store")


def test_the_page_of_a_merged_id_leads_to_the_survivor_in_the_same_language(told: Served) -> None:
    """A bookmark from before the merge still works."""
    answer = told.client.get(f"/customers/{SHADOW}?lang=en")
    assert (answer.status_code, answer.headers["location"]) == (302, f"/customers/{ZHANG}?lang=en")


def test_a_page_that_is_not_there_says_so_in_words(told: Served) -> None:
    """In the browser's language, with a way back; a broken cursor simply starts again."""
    answer = told.client.get("/customers/cus_none", headers={"accept-language": "en"})
    assert answer.status_code == 404 and "No such customer" in answer.text and "Back to customers" in answer.text
    assert told.client.get("/nothing", headers={"accept-language": "zh"}).text.count("没有这个页面") == 2
    assert told.client.get("/?after=zzz").status_code == 302


def test_what_partners_wrote_is_never_markup(served: Served) -> None:
    """A name, a title and an order number with tags in them are shown as text."""
    evil = "<script>alert(1)</script>\"'>"
    body = samples.order(lines=[{"line_no": "1", "title": evil}], external_id=evil, channel=evil)
    served.post(
        event(
            "customer.created",
            ZHANG,
            1,
            "11-11 00:00",
            customer=samples.customer(tags=[evil], nickname=evil) | {"name": evil},
        )
    )
    served.post(event("order.created", ORDER, 1, "11-11 00:00", order=body, customer={"id": ZHANG}))
    for path in ("/", f"/customers/{ZHANG}", f"/?query={evil}"):
        text = served.client.get(path).text
        assert "<script>alert" not in text and "&lt;script&gt;alert" in text


def test_no_secret_at_all_is_refused_before_serving(tmp_path: Path) -> None:
    """An open inbox would believe anybody."""
    with pytest.raises(ConfigError):
        create_app(path=tmp_path / "scrm.db", secrets=[], clock=SystemClock())


def test_the_process_of_its_own_serves_and_ends_cleanly_on_sigterm(tmp_path: Path) -> None:
    """The secret may come from the environment; the exit code is 0 and the file is whole."""
    port = free_port()
    command = [sys.executable, "-m", "scrm", "--data", str(tmp_path), "--port", str(port)]
    process = subprocess.Popen(
        command, env=os.environ | {"SCRM_SECRET": samples.SECRET}, stderr=subprocess.PIPE, text=True
    )
    try:
        eventually(lambda: answers(port), what="the port is open", within=30.0)
        with httpx.Client(timeout=20, trust_env=False) as client:
            assert client.get(f"http://127.0.0.1:{port}/api/stats").json()["events"] == 0
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=30)
    finally:
        process.kill()
    assert (process.returncode, errors) == (0, "")
    assert (tmp_path / "scrm.db").exists()


def test_a_secret_that_is_none_is_told_and_not_shown(tmp_path: Path) -> None:
    """One sentence, what to do, exit code 1."""
    command = [sys.executable, "-m", "scrm", "--data", str(tmp_path), "--secret", "whsec_hush!hush"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1 and "not base64" in done.stderr and "hush" not in done.stderr
