"""What a person settles: pairs that are merged or kept apart, and a listener's certificate."""

import asyncio
import datetime
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from gateway import app, book, settings, store
from gateway.connector import Request
from gateway.errors import ConfigError, GatewayError
from gateway.ingress import tls_of
from gateway.model.lane import Lane
from gateway.model.secret import Secret
from gateway.pipeline.project import Projector
from gateway.pipeline.read import Reader
from gateway.pipeline.receive import Gate, RejectLog
from gateway.pipeline.route import Router
from gateway.pipeline.settle import Settler
from gateway.processes import Ground, receiver_of


class Desk:
    """A gateway without processes: what is said is projected at once."""

    def __init__(self, ground: Ground) -> None:
        self.ground = ground
        router = Router(book.configured(ground.tree, ground.vault))
        self._receiver = receiver_of(
            ground, gate=Gate(bulk_most=9, live_most=9), rejects=RejectLog(), wake=lambda: None
        )
        self._projector = Projector(
            reader=Reader(accounts=ground.accounts, vault=ground.vault, clock=ground.clock), log=ground.log, records=ground.records,
            vault=ground.vault, clock=ground.clock, meters=ground.meters, router=router, room=lambda: 0, newborn=lambda _: None,
            claim="test", errands=lambda: None,
        )  # fmt: skip
        self.settler = Settler(
            log=ground.log, records=ground.records, vault=ground.vault, clock=ground.clock, router=router
        )

    async def say(self, account: str, row: dict[str, Any]) -> None:
        request = Request(
            body=msgspec.json.encode(row),
            headers={"content-type": "application/json"},
            peer="127.0.0.1",
            received_at=self.ground.clock.now(),
        )
        reply = await self._receiver.accept(account, request)
        assert reply.status == 202, reply.body
        while await self._projector.step(Lane.LIVE, 0):
            pass

    async def types(self) -> list[str]:
        return [event.type for event in await self.ground.records.events(limit=1000)]

    async def customer_of(self, order: str) -> str | None:
        rows = await self.ground.records.rows("order", limit=100)
        return next(row.customer for row in rows if msgspec.json.decode(row.body)["external_id"] == order)


def told(tmp_path: Path, story: Callable[[Desk], Awaitable[None]]) -> None:
    """Run a story on a gateway with a members and an orders feed of one system."""
    accounts = {
        name: {"connector": "feed", "auth": "none-on-loopback", "mapping": f"feed/{stem}", "system": "erp"}
        for name, stem in (("members", "customer"), ("orders", "order"))
    }
    tree = settings.Settings(
        gateway=settings.Gateway(data_dir=tmp_path),
        accounts=accounts,
        endpoints={"crm": settings.Endpoint(url="http://127.0.0.1:9/")},
    )

    async def run() -> None:
        ground = app.open_ground(tree)
        try:
            await story(Desk(ground))
        finally:
            await ground.close()

    asyncio.run(run())


def member(code: str, at: int) -> dict[str, Any]:
    """Two members with one unverified phone."""
    return {
        "customer_code": code,
        "name": f"会员{code}",
        "phone": "13800138000",
        "updated_at": f"2026-11-11 00:00:0{at}",
    }


def order(number: str, code: str) -> dict[str, Any]:
    """A paid order of a member."""
    return {
        "order_no": number,
        "customer_code": code,
        "status": "paid",
        "total": "10.00",
        "paid": "10.00",
        "updated_at": "2026-11-11 08:00:00",
    }


async def _pair(desk: Desk) -> store.Candidate:
    await desk.say("members", member("C1", 1))
    await desk.say("members", member("C2", 2))
    await desk.say("orders", order("B1", "C2"))
    (pair,) = await desk.ground.records.candidates()
    return pair


def test_a_pair_that_a_person_merges_is_one_until_it_is_undone(tmp_path: Path) -> None:
    """The older id survives, the order follows, subscribers hear of both steps, and undoing gives everything back."""

    async def story(desk: Desk) -> None:
        pair = await _pair(desk)
        survivor = await desk.settler.merge(pair)
        assert survivor == min(pair.a, pair.b)
        assert await desk.customer_of("B1") == survivor
        assert await desk.ground.records.candidates() == []

        await desk.say("orders", order("B2", "C2"))
        assert await desk.customer_of("B2") == survivor

        (merge,) = await desk.ground.records.merges(survivor)
        await desk.settler.unmerge(merge)
        assert await desk.customer_of("B1") == merge.loser
        await desk.say("orders", order("B3", "C2"))
        assert await desk.customer_of("B3") == merge.loser
        types = await desk.types()
        assert (types.count("customer.merged"), types.count("customer.unmerged")) == (1, 2)
        heard = await desk.ground.records.deliveries(limit=1000)
        assert len(heard) == len(types)

    told(tmp_path, story)


def test_a_pair_that_a_person_parts_stays_two(tmp_path: Path) -> None:
    """It is closed, and what they share opens it no more."""

    async def story(desk: Desk) -> None:
        pair = await _pair(desk)
        await desk.settler.part(pair)
        await desk.say("members", {**member("C2", 3), "name": "会员二"})
        assert await desk.ground.records.candidates() == []
        assert [one.id for one in await desk.ground.records.candidates(state="rejected")] == [pair.id]
        assert len(await desk.ground.records.rows("customer", limit=9)) == 2

    told(tmp_path, story)


def test_a_pair_that_is_settled_already_is_said_to_be(tmp_path: Path) -> None:
    """Two people at two screens cannot merge one pair twice."""

    async def story(desk: Desk) -> None:
        pair = await _pair(desk)
        await desk.settler.merge(pair)
        with pytest.raises(GatewayError, match="no customer of its own"):
            await desk.settler.merge(pair)

    told(tmp_path, story)


def _certificate(folder: Path) -> tuple[Path, str]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "his.example")])
    now = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
    built = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number(1)
    signed = built.not_valid_before(now).not_valid_after(now + datetime.timedelta(days=3650)).sign(key, hashes.SHA256())
    path = folder / "his.pem"
    path.write_bytes(signed.public_bytes(serialization.Encoding.PEM))
    plain = serialization.NoEncryption()
    return path, key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain).decode()


def test_a_listener_takes_its_key_as_the_secret_says_it(tmp_path: Path) -> None:
    """`tls_key = "file:/key.pem"` is resolved to PEM text before the listener sees it."""
    path, key = _certificate(tmp_path)

    assert tls_of(SimpleNamespace(tls_cert=str(path), tls_key=Secret(key)), "his") is not None
    assert tls_of(SimpleNamespace(tls_cert=None, tls_key=None), "his") is None


def test_a_key_that_does_not_fit_is_named(tmp_path: Path) -> None:
    """The account and the option stand in the error."""
    path, _ = _certificate(tmp_path)
    (tmp_path / "other").mkdir()
    other = _certificate(tmp_path / "other")

    with pytest.raises(ConfigError, match=r"accounts\.his\.tls_cert"):
        tls_of(SimpleNamespace(tls_cert=str(path), tls_key=Secret(other[1])), "his")
