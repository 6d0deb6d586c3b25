"""Which addresses a webhook may go to."""

import asyncio
import socket
from typing import Any

import pytest

from gateway.clock import TurnedClock
from gateway.destinations.address import Unfit, Vetted, Vetter, special

SPECIAL = [
    "0.0.0.0", "10.0.0.1", "100.64.0.1", "100.127.255.254", "127.0.0.1", "127.8.8.8", "169.254.169.254", "172.16.0.1",
    "172.31.255.255", "192.0.0.1", "192.0.2.1", "192.168.1.1", "198.18.0.1", "198.51.100.7", "203.0.113.9", "224.0.0.1",
    "239.255.255.250", "240.0.0.1", "255.255.255.255", "100.100.100.200",
    "::", "::1", "::127.0.0.1", "::8.8.8.8", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254", "::ffff:a00:1",
    "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::1", "2002:7f00:1::", "2002:a00:1::1", "2002:a9fe:a9fe::", "2001:0:7f00:1::",
    "2001:db8::1", "fc00::1", "fd12:3456::1", "fd00:ec2::254", "fe80::1", "fec0::1", "ff02::1", "100::1",
]  # fmt: skip
PUBLIC = [
    "8.8.8.8",
    "1.1.1.1",
    "100.63.255.255",
    "100.128.0.1",
    "172.15.0.1",
    "172.32.0.1",
    "223.5.5.5",
    "2400:3200::1",
    "2606:4700::1111",
]


@pytest.mark.parametrize("address", SPECIAL)
def test_private_and_special_addresses_are_told_in_every_dress(address: str) -> None:
    """Loopback, private, CGNAT, link-local, metadata, documentation, multicast; mapped, compatible, 6to4, NAT64, Teredo."""
    assert special(address)


@pytest.mark.parametrize("address", [*PUBLIC, "::ffff:8.8.8.8", "64:ff9b::808:808", "2002:808:808::1"])
def test_public_addresses_may_be_posted_to(address: str) -> None:
    """Also through a translation that leads to a public one."""
    assert not special(address)


def vet(url: str, *, private: bool = False, vetter: Vetter | None = None) -> Vetted | Unfit:
    """Once, with the system's own resolver."""
    return asyncio.run((vetter or Vetter(TurnedClock())).vet(url, allow_private=private))


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "2130706433",
        "0x7f000001",
        "0177.0.0.1",
        "127.1",
        "localhost",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "0",
        "169.254.169.254",
    ],
)
def test_a_host_is_judged_by_what_it_resolves_to(host: str) -> None:
    """Decimal, octal, hexadecimal and short forms are only names of an address."""
    answer = vet(f"http://{host}/hooks")
    assert isinstance(answer, Unfit), answer
    assert answer.error in ("address", "dns")


def test_loopback_is_fit_where_that_is_meant() -> None:
    """And the vetted address is the one to connect to."""
    assert vet("http://127.0.0.1:8001/hooks", private=True) == Vetted("127.0.0.1", 8001, "127.0.0.1")
    assert vet("https://127.0.0.1/hooks", private=True) == Vetted("127.0.0.1", 443, "127.0.0.1")


def test_a_name_that_is_none_is_unfit() -> None:
    """With a word for it that is not the address's."""
    answer = vet("http://nowhere.invalid/hooks")
    assert isinstance(answer, Unfit)
    assert answer.error == "dns"
    assert isinstance(vet(f"http://{'a' * 300}.example/"), Unfit)


def resolving(monkeypatch: pytest.MonkeyPatch, answers: list[list[str]]) -> None:
    """Scripted DNS: one list of addresses per question."""

    def look(_host: str, port: int, *_: Any, **__: Any) -> list[Any]:
        found = answers.pop(0) if len(answers) > 1 else answers[0]
        return [
            (socket.AF_INET6 if ":" in one else socket.AF_INET, socket.SOCK_STREAM, 6, "", (one, port)) for one in found
        ]

    monkeypatch.setattr(socket, "getaddrinfo", look)


def test_one_private_answer_among_public_ones_makes_a_name_unfit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise the second answer would slip through."""
    resolving(monkeypatch, [["8.8.8.8", "10.0.0.1"]])
    answer = vet("https://crm.example/hooks")
    assert isinstance(answer, Unfit)
    assert answer.error == "address"
    assert "10.0.0.1" not in answer.detail


def test_a_name_that_turns_private_is_unfit_from_the_next_look_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """An answer is remembered for half a minute, and what is connected to is what was vetted."""
    resolving(monkeypatch, [["8.8.8.8"], ["127.0.0.1"]])
    clock = TurnedClock()
    vetter = Vetter(clock)
    assert vet("https://crm.example/hooks", vetter=vetter) == Vetted("crm.example", 443, "8.8.8.8")
    clock.turn(29)
    assert vet("https://crm.example/hooks", vetter=vetter) == Vetted("crm.example", 443, "8.8.8.8")
    clock.turn(2)
    assert isinstance(vet("https://crm.example/hooks", vetter=vetter), Unfit)
