"""What must be readable nowhere: not in a file of the data folder, not in the log, not on a page."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from hl7.client import MLLPClient

from tests.e2e import house
from tests.e2e.house import Gateway, House, endpoint
from tests.e2e.marks import found

PHONE, MAIL, NAME, CODE, PATIENT = (
    "13912345678",
    "marked.mail@example.com",
    "慕容复姓标记",
    "CODE-MARKED-77",
    "PID-MARKED-88",
)
STREET = "标记路一百零一号"
MARKS = (PHONE, "+8613912345678", MAIL, NAME, CODE, PATIENT, STREET)
SECRETS = (
    house.SECRET,
    house.FEED_SECRET,
    house.SECRET.removeprefix("whsec_"),
    house.FEED_SECRET.removeprefix("whsec_"),
)


@pytest.fixture(scope="module")
def used(shared: House) -> Iterator[Gateway]:
    """A gateway that has heard marked values by every kind of door, well and badly, and told nobody of them in the clear."""
    receiver = shared.receiver(lambda _event, before: (500, {}) if not before else (204, {}))
    (mllp,) = house.free_ports(1)
    clear = {"identity": "clear", "contact": "clear"}
    gateway = shared.gateway(
        {
            "accounts": {
                "crm": house.customers(secret="env:FEED_SECRET"),
                "erp": house.orders(secret="env:FEED_SECRET"),
                "his": {"connector": "hl7", "listen": f"127.0.0.1:{mllp}"},
            },
            "endpoints": {"main": endpoint(receiver, secret="env:HOOK_SECRET", retries=["0s", "200ms"], grants=clear)},
        },
        environ={"FEED_SECRET": house.FEED_SECRET, "HOOK_SECRET": house.SECRET},
    )
    row = {
        "customer_code": CODE,
        "name": NAME,
        "phone": PHONE,
        "email": MAIL,
        "address": STREET,
        "birthday": "1988-08-18",
    }
    assert gateway.feed("crm", row).status_code == 202
    assert gateway.feed("erp", house.order("SO-1", customer_code=CODE, phone=PHONE)).status_code == 202
    # Refused, and so kept as rejects: a forged one, a broken one, one that no mapping reads.
    marked = f'{{"customer_code": "{CODE}", "name": "{NAME}", "phone": "{PHONE}"'.encode()
    assert gateway.http.post("/in/crm", content=marked + b"}").status_code == 401
    assert gateway.feed("crm", marked).status_code == 400
    assert gateway.feed("crm", {**row, "birthday": f"born {PHONE}"}).status_code == 202
    assert gateway.feed("erp", house.order("SO-2", "待审核", phone=PHONE)).status_code == 202
    with MLLPClient("127.0.0.1", mllp) as client:
        header = "MSH|^~\\&|HIS|SHDYYY|SCRM|GW|20260111120000||ADT^A28^ADT_A05|M1|P|2.5||||||GB 18030-2000"
        person = f"PID|1||{PATIENT}^^^SHDYYY^MR||{NAME}||19880818|F|||{STREET}^^杭州市||{PHONE}^PRN^CP"
        client.send_message(f"{header}\rEVN|A28|20260111115900\r{person}\r".encode("gb18030"))
        client.send_message(f"MSH|broken {NAME} {PHONE}".encode("gb18030"))
    receiver.wait(5, within=20.0)
    house.eventually(
        lambda: any(PHONE.encode() in got.body for got in receiver.accepted()),
        what="the marks went all the way through",
    )
    house.eventually(lambda: gateway.health()["parts"]["worker"]["counts"]["rejects"] >= 2)
    # What they say of themselves is searched too.
    gateway.report()
    return gateway


def test_no_file_of_the_data_folder_shows_what_was_said(used: Gateway) -> None:
    """Databases, write-ahead logs and snapshots hold no phone, name, address, mail or partner's id in any encoding."""
    files = used.files()
    assert {"journal.db", "store.db", "keys.json"} <= files.keys()
    assert any(name.endswith("-wal") for name in files), "the logs are searched as well"
    assert found(MARKS, files.items()) == []


def test_no_file_of_the_data_folder_is_for_others_to_read(used: Gateway) -> None:
    """Keys and databases are the owner's alone."""
    for name in ("keys.json", "journal.db", "store.db"):
        assert (used.data / name).stat().st_mode & 0o077 == 0, name


def test_the_log_holds_neither_a_payload_nor_a_secret(used: Gateway) -> None:
    """Every line is one JSON object with a constant event name; none of them holds what a partner said, or a secret."""
    lines = used.lines()
    assert all({"event", "level", "timestamp"} <= line.keys() for line in lines)
    assert found((*MARKS, *SECRETS), [("log", used.log.read_bytes())]) == []


def test_health_metrics_and_dead_letters_hold_neither(used: Gateway) -> None:
    """What an operator looks at names accounts, stages and causes, and nobody."""
    pages = [used.http.get(path).content for path in ("/health", "/health/ready", "/metrics")]
    pages.append(used.command("dead", "list", "--json")[1].encode())
    pages.append(used.command("config", "show")[1].encode())
    assert found((*MARKS, *SECRETS), [("page", page) for page in pages]) == []


def test_snapshots_of_the_processes_lie_in_the_data_folder(used: Gateway) -> None:
    """They are among what is searched."""
    assert {path.name for path in Path(used.data / "run").iterdir()} >= {"door-0.json", "worker.json"}
