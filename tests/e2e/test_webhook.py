"""What only a webhook does, over real sockets: batches, signatures of both kinds, and where it does not go."""

import base64

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from standardwebhooks import Webhook as Verifier

from gateway.clock import SystemClock
from gateway.destinations import sign
from gateway.destinations.address import Vetter
from gateway.destinations.webhook import Webhook, envelope
from gateway.errors import ConfigError
from gateway.model.secret import Secret
from tests.e2e.site import KEY, OK, SECRET, Asked, Site, endpoint, message, resolving, run, send


# ------------------------------------------------------------------ what is sent
def test_one_event_travels_as_itself_and_several_in_an_envelope() -> None:
    """With its own id, or with one made of theirs; signed by secret and key alike, and verified by who has only the public halves."""

    async def work() -> None:
        async with Site(lambda _: OK) as site:
            end = endpoint(site.url(), keys=(Secret(KEY),), batch=100)
            assert (await send(end, message(1))).ok
            assert (await send(end, message(1), message(2), message(3))).ok
            alone, batch = site.asked
        assert (alone.headers["webhook-id"], alone.body) == ("evt_1", message(1).body)
        found = Verifier(SECRET).verify(batch.body, batch.headers)
        assert (found["type"], [one["id"] for one in found["data"]]) == ("batch", ["evt_1", "evt_2", "evt_3"])
        assert found["timestamp"] == "2025-10-09T08:53:20.000003Z"
        assert batch.headers["webhook-id"].startswith("bat_")
        for asked in (alone, batch):
            assert asked.headers["content-type"] == "application/json"
            verify_v1a(asked)

    run(work)


def verify_v1a(asked: Asked) -> None:
    """As a subscriber without our code does it."""
    public = Ed25519PublicKey.from_public_bytes(base64.b64decode(sign.public_of(Secret(KEY)).removeprefix("whpk_")))
    entries = [one.partition(",") for one in asked.headers["webhook-signature"].split(" ")]
    (signature,) = [base64.b64decode(text) for version, _, text in entries if version == "v1a"]
    signed = f"{asked.headers['webhook-id']}.{asked.headers['webhook-timestamp']}.".encode() + asked.body
    public.verify(signature, signed)


def test_the_same_events_make_the_same_envelope() -> None:
    """A batch that is tried again is recognised; others, or another order, are another one."""
    one = envelope([message(1), message(2)])
    assert one == envelope([message(1), message(2)])
    names = {
        envelope(some)[0] for some in ([message(1), message(2)], [message(2), message(1)], [message(1), message(3)])
    }
    assert len(names) == 3


def test_what_a_subscriber_wants_along_goes_along_and_replaces_nothing_of_ours() -> None:
    """Even where somebody let such a header through."""

    async def work() -> None:
        async with Site(lambda _: OK) as site:
            headers = (("X-Tenant", "t1"), ("Content-Type", "text/plain"), ("webhook-id", "forged"))
            assert (await send(endpoint(site.url(), headers=headers))).ok
            (asked,) = site.asked
        assert (asked.headers["x-tenant"], asked.headers["content-type"], asked.headers["webhook-id"]) == (
            "t1",
            "application/json",
            "evt_1",
        )

    run(work)


def test_nothing_is_sent_unsigned() -> None:
    """An endpoint without a secret is no endpoint yet."""
    with pytest.raises(ConfigError, match="nothing to sign with"):
        Webhook(endpoint("https://crm.example/", secrets=()), clock=SystemClock(), vetter=Vetter(SystemClock()))


# ------------------------------------------------------------------ where we do not go
def test_a_redirect_is_an_answer_and_no_way_to_go() -> None:
    """Whatever its status: the place it names, on this machine as so often, is not asked."""

    async def work() -> None:
        async with Site(lambda _: OK) as inner:
            for status in (301, 302, 303, 307, 308):
                async with Site(lambda _, status=status: (status, {"location": inner.url()}, b"over there")) as site:
                    tried = await send(endpoint(site.url()))
                assert (tried.status, tried.ok, tried.response) == (status, False, b"over there")
            assert inner.asked == []

    run(work)


def test_what_was_vetted_is_what_is_connected_to(monkeypatch: pytest.MonkeyPatch) -> None:
    """The name is looked up once, by us; a second answer, which is the trick of rebinding, is never asked for."""

    async def work() -> None:
        asked = resolving(monkeypatch, [["127.0.0.1"], ["127.0.0.2"]])
        async with Site(lambda _: OK) as site:
            assert (await send(endpoint(site.url("crm.example")))).ok
            (got,) = site.asked
        assert got.headers["host"] == f"crm.example:{site.port}"
        assert asked == ["crm.example"]

    run(work)


def test_a_name_with_one_dead_host_of_two_is_delivered_to_by_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """The attempt that found it dead failed; the next takes the other address, and stays with it."""

    async def work() -> None:
        resolving(monkeypatch, [["127.0.0.3", "127.0.0.1"]])
        clock = SystemClock()
        async with Site(lambda _: OK) as site:
            way = Webhook(endpoint(site.url("crm.example")), clock=clock, vetter=Vetter(clock))
            tries = [await way.send([message(number)], now=clock.now()) for number in range(4)]
            await way.close()
        assert [tried.error or tried.status for tried in tries] == ["connect", 204, 204, 204]

    run(work)
