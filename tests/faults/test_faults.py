"""Disks that fill up, files that are torn, senders who forge: the door answers, and nothing acknowledged is lost."""

import http.client
import os
import resource
import secrets
import signal
import statistics
import threading
import time
from pathlib import Path

import pytest

from tests.e2e import house as houses
from tests.e2e.house import House, endpoint, eventually, order, orders


def told(receiver: houses.Receiver) -> set[str]:
    """The orders that arrived."""
    return {got.data["order"]["external_id"] for got in receiver.accepted() if "order" in got.data}


@pytest.mark.parametrize("room", ["the journal is full", "nothing can be written"])
def test_a_full_disk_is_answered_503_and_all_is_well_when_there_is_room_again(house: House, room: str) -> None:
    """The process that writes the journal may write no further: senders are told to come again, and nothing needs an operator."""
    receiver = house.receiver()
    gateway = house.gateway({"accounts": {"erp": orders()}, "endpoints": {"main": endpoint(receiver)}})
    assert gateway.feed("erp", order("SO-1")).status_code == 202
    receiver.wait(2)
    door = gateway.children()["door-0"]
    largest = (gateway.data / "journal.db-wal").stat().st_size if room == "the journal is full" else 1
    resource.prlimit(door, resource.RLIMIT_FSIZE, (largest, resource.RLIM_INFINITY))
    answers = [gateway.feed("erp", order(f"SO-{number}")) for number in range(2, 6)]
    assert {one.status_code for one in answers} == {503}
    assert all(int(one.headers["retry-after"]) > 0 for one in answers)
    time.sleep(1.5)
    assert houses.running(door)
    assert gateway.http.get("/health/live").status_code == 200

    resource.prlimit(door, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    for number in range(2, 6):
        assert gateway.feed("erp", order(f"SO-{number}")).status_code == 202
    eventually(lambda: told(receiver) == {f"SO-{number}" for number in range(1, 6)})
    eventually(gateway.ready)
    assert gateway.children()["door-0"] == door, "the same process went on"


def test_a_torn_tail_of_the_journal_costs_nothing_that_was_acknowledged(house: House) -> None:
    """A power cut in the middle of a write leaves half a frame behind; what was acknowledged before it is delivered."""
    receiver = house.receiver()
    gateway = house.gateway({"accounts": {"erp": orders()}, "endpoints": {"main": endpoint(receiver)}})
    # A stopped worker leaves everything in the journal.
    os.kill(gateway.children()["worker"], signal.SIGSTOP)
    for number in range(20):
        assert gateway.feed("erp", order(f"SO-{number}")).status_code == 202
    gateway.kill_all()
    for name in ("journal.db-wal", "store.db-wal"):
        with (gateway.data / name).open("ab") as file:
            file.write(secrets.token_bytes(2100))
    gateway.start()
    eventually(lambda: told(receiver) == {f"SO-{number}" for number in range(20)})
    assert gateway.feed("erp", order("SO-20")).status_code == 202
    eventually(lambda: "SO-20" in told(receiver))


@pytest.mark.slow
def test_a_forged_burst_delays_no_good_request_and_takes_no_memory(house: House) -> None:
    """Thousands of bad signatures as fast as they can be sent: good requests between them are answered, rejects are bounded."""
    receiver = house.receiver()
    config = {"accounts": {"erp": orders()}, "endpoints": {"main": endpoint(receiver)}, "store": {"rejects": 500}}
    gateway = house.gateway(config)
    gateway.feed("erp", order("SO-0"))
    door = gateway.children()["door-0"]
    before, done = memory_of(door), threading.Event()
    body = houses.json.dumps(order("FORGED", note="x" * 2000)).encode()
    codes: list[int] = []

    def forge() -> None:
        line = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=30)
        wrong = houses.signed(body, secret=houses.SECRET)
        for _ in range(750):
            line.request("POST", "/in/erp", body, wrong)
            answer = line.getresponse()
            answer.read()
            codes.append(answer.status)
        line.close()

    def wait_for(forgers: list[threading.Thread]) -> None:
        for one in forgers:
            one.join()
        done.set()

    forgers = [threading.Thread(target=forge) for _ in range(4)]
    for one in forgers:
        one.start()
    waiter = threading.Thread(target=wait_for, args=(forgers,))
    waiter.start()
    waits, number = list[float](), 0
    while not done.is_set():
        number += 1
        began = time.monotonic()
        assert gateway.feed("erp", order(f"SO-{number}")).status_code == 202
        waits.append(time.monotonic() - began)
        time.sleep(0.01)
    waiter.join()
    assert (len(codes), set(codes)) == (3000, {401})
    # One in ten may meet a machine that stands still; behind three thousand forged ones all of them would wait.
    assert statistics.quantiles(waits, n=10)[8] < 1.0
    eventually(lambda: told(receiver) == {f"SO-{one}" for one in range(number + 1)}, within=30.0)
    assert memory_of(door) - before < 64 << 20
    eventually(lambda: gateway.metric("gateway_refused_total", account="erp", reason="signature") == 3000)
    eventually(lambda: 0 < gateway.health()["parts"]["worker"]["counts"]["rejects"] <= 500)


def memory_of(pid: int) -> int:
    """Resident bytes."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * resource.getpagesize()
