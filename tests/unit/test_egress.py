"""Faults of this machine's own way out, under real conditions: no descriptors, no route, no ports. None is told as the endpoint's."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]

# In a process of its own: what is taken away here is taken away for good.
PROGRAM = """
import asyncio, json, os, resource, socket, sys
from gateway.clock import SystemClock
from gateway.destination import Endpoint, Message
from gateway.destinations import open_destination
from gateway.destinations.address import Vetter
from gateway.model.secret import Secret

async def answer(reader, writer):
    await reader.readuntil(b"\\r\\n\\r\\n")
    writer.write(b"HTTP/1.1 204 No Content\\r\\nconnection: close\\r\\n\\r\\n")
    writer.close()

async def main():
    url, holding = "http://127.0.0.1:9/hooks", []
    if "serve" in sys.argv:
        server = await asyncio.start_server(answer, "127.0.0.1", 39000 if "ports" in sys.argv else 0)
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/hooks"
    if "url" in sys.argv:
        url = sys.argv[sys.argv.index("url") + 1]
    end = Endpoint(name="crm", url=url, secrets=(Secret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"),), grants={}, schedule=(0.0,),
                   timeout=30.0, allow_private=True)
    clock = SystemClock()
    way = open_destination(end, clock=clock, vetter=Vetter(clock))
    if "descriptors" in sys.argv:
        # The client and the loop have what they need; the next socket is one too many.
        await way.send([Message(id="evt_0", type="order.paid", subject="ord_1", at=0, body=b"{}")], now=clock.now())
        if "warm" not in sys.argv:
            await way.close()
            way = open_destination(end, clock=clock, vetter=Vetter(clock))
        resource.setrlimit(resource.RLIMIT_NOFILE, (3, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    if "ports" in sys.argv:
        target = (url.split("/")[2].split(":")[0], int(url.split("/")[2].split(":")[1]))
        holding.append(socket.create_connection(target))
    tried = await way.send([Message(id="evt_1", type="order.paid", subject="ord_1", at=0, body=b"{}")], now=clock.now())
    if "descriptors" in sys.argv:
        resource.setrlimit(resource.RLIMIT_NOFILE, (256, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    await way.close()
    print(json.dumps({"status": tried.status, "error": tried.error, "ours": tried.ours, "said": tried.response.decode()}), flush=True)
    # The client's threads may still be giving back what they borrowed, which an interpreter that is going away does not survive.
    os._exit(0)

asyncio.run(main())
"""


def said(*words: str, inside: tuple[str, ...] = ()) -> dict[str, Any]:
    """What a send came to under these conditions; ``inside`` is what the process is started through."""
    ran = subprocess.run(
        [*inside, sys.executable, "-c", PROGRAM, *words],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert ran.returncode == 0, ran.stderr
    found: dict[str, Any] = json.loads(ran.stdout)
    return found


@pytest.mark.parametrize("client", ["warm", "new"])
def test_a_process_without_descriptors_does_not_blame_the_endpoint(client: str) -> None:
    """EMFILE, for a client at work and for one that has yet to read this machine's certificates; the send before showed that all is well."""
    found = said("serve", "descriptors", client)
    assert (found["status"], found["error"], found["ours"]) == (None, "resources", True), found


def test_a_healthy_way_out_is_the_measure() -> None:
    """The same program with nothing taken away delivers; and nobody listening is the endpoint's own affair."""
    assert said("serve")["status"] == 204
    refused = said()
    assert (refused["error"], refused["ours"]) == ("connect", False)


def alone(*preparing: str) -> tuple[str, ...]:
    """A network of its own, prepared by shell words, or a skip where this system gives none."""
    if shutil.which("unshare") is None:
        pytest.skip("no unshare on this system: a network without a route cannot be made")
    words = ("unshare", "--user", "--map-root-user", "--net", "sh", "-c", "; ".join([*preparing, 'exec "$@"']), "sh")
    if os.geteuid() == 0:
        words = ("unshare", "--net", *words[4:])
    if subprocess.run([*words, "true"], capture_output=True, check=False, timeout=20).returncode != 0:
        pytest.skip("this system lets nobody make a network of their own")
    return words


@pytest.mark.parametrize("url", ["http://192.0.2.7/hooks", "http://[2001:db8::7]/hooks", "http://127.0.0.1/hooks"])
def test_a_machine_without_a_route_does_not_blame_the_endpoint(url: str) -> None:
    """ENETUNREACH: in a network of its own, where even loopback is down, nothing leaves."""
    found = said("url", url, inside=alone())
    assert (found["error"], found["ours"]) == ("route", True), found


def test_a_route_that_says_unreachable_is_ours_too() -> None:
    """EHOSTUNREACH from this machine's own table. From a network it would mean that the endpoint's host is down."""
    if shutil.which("ip") is None:
        pytest.skip("no ip command: routes cannot be set")
    found = said(
        "url", "http://192.0.2.7/hooks", inside=alone("ip link set lo up", "ip route add unreachable 192.0.2.0/24")
    )
    assert (found["error"], found["ours"]) == ("route", True), found


def test_a_machine_without_free_ports_does_not_blame_the_endpoint() -> None:
    """EADDRNOTAVAIL: the only port there is leads to the same address already."""
    if shutil.which("ip") is None:
        pytest.skip("no ip command: loopback cannot be set up in a network of its own")
    inside = alone(
        "ip link set lo up", "echo '41000 41000' > /proc/sys/net/ipv4/ip_local_port_range 2>/dev/null || true"
    )
    range_is = subprocess.run(
        [*inside, "cat", "/proc/sys/net/ipv4/ip_local_port_range"],
        capture_output=True,
        text=True,
        check=True,
        timeout=20,
    )
    if range_is.stdout.split() != ["41000", "41000"]:
        pytest.skip("this system does not let the range of ports be set")
    found = said("serve", "ports", inside=inside)
    assert (found["error"], found["ours"]) == ("resources", True), found
