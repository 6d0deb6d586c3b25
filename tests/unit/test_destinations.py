"""What the ways that speak through a library have in common."""

import asyncio
import errno
import socket
import ssl
import subprocess
import sys

import pytest

from gateway.destination import Message, Tried
from gateway.destinations import digest, faults
from gateway.destinations.address import Vetted
from gateway.destinations.chosen import Chosen
from tests.house.tree import ROOT
from tests.unit.leaping import leap

LIBRARIES = ("aiokafka", "aiosmtplib", "redis")


@pytest.mark.parametrize(
    ("error", "word", "ours"),
    [
        (ConnectionRefusedError(errno.ECONNREFUSED, "no"), "connect", False),
        (OSError(errno.EHOSTUNREACH, "no"), "connect", False),
        (ConnectionResetError(errno.ECONNRESET, "no"), "network", False),
        (asyncio.IncompleteReadError(b"", 4), "network", False),
        (TimeoutError(), "timeout", False),
        (ssl.SSLCertVerificationError("no"), "tls", False),
        (socket.gaierror(socket.EAI_NONAME, "no"), "dns", False),
        (OSError(errno.ENETUNREACH, "no"), "route", True),
        (OSError(errno.EMFILE, "no"), "resources", True),
        (OSError(errno.EADDRNOTAVAIL, "no"), "resources", True),
        (KeyError("what"), "network", False),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else str(value),
)
def test_fault_is_named_by_what_lies_beneath_it(error: BaseException, word: str, ours: bool) -> None:
    """Also where the library wrapped it, twice; a fault on our side of the wire is marked as ours."""
    try:
        try:
            raise error
        except BaseException as inner:
            raise ConnectionError("the library's own") from inner
    except ConnectionError as outer:
        tried = faults.of(outer)
    assert (tried.error, tried.ours) == (word, ours)
    assert tried.response == b"the library's own"


def test_second_address_is_taken_when_nobody_is_at_the_first() -> None:
    """And kept while it is among the fit ones."""
    where, chosen = Vetted("host", 1, "192.0.2.1", ("192.0.2.2",)), Chosen()
    assert chosen.of(where) == "192.0.2.1"
    chosen.avoid(where)
    assert chosen.of(where) == "192.0.2.2"
    assert chosen.of(Vetted("host", 1, "192.0.2.3", ("192.0.2.2",))) == "192.0.2.2"
    assert chosen.of(Vetted("host", 1, "192.0.2.3")) == "192.0.2.3"


def test_send_that_ignores_being_given_up_does_not_hold_the_deliverer() -> None:
    """A library that will not let go is left behind after a moment."""

    async def stubborn() -> Tried:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(5)
        return Tried(status=200)

    async def main() -> None:
        loop = asyncio.get_running_loop()
        began = loop.time()
        assert await faults.Sends().within(0.05, stubborn()) == Tried(error="timeout")
        assert loop.time() - began == pytest.approx(0.05 + faults.GRACE)

    leap(main())


def test_gateway_without_such_endpoints_loads_none_of_their_libraries() -> None:
    """They cost more memory and time than all that posts webhooks."""
    code = f"import sys, gateway.cli; assert not [name for name in {LIBRARIES!r} if name in sys.modules]"
    ran = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert (ran.returncode, ran.stderr) == (0, "")


def test_subject_of_a_digest_names_three_types_at_most() -> None:
    """The most frequent first, then by name."""
    kinds = ["order.paid"] * 3 + ["b"] * 2 + ["a"] * 2 + ["z"]
    batch = [Message(id=str(number), type=kind, subject="s", at=0, body=b"{}") for number, kind in enumerate(kinds)]
    assert digest.subject(batch) == "8 条事件 / 8 events: order.paid ×3, a ×2, b ×2 …"
    assert digest.subject(batch[:1]) == "1 条事件 / 1 event: order.paid ×1"
