"""What a subscriber asks for: each combination that could not work is refused at once, with its place."""

from pathlib import Path
from typing import Any

import msgspec
import pytest
from joserfc.jwk import ECKey

from gateway import settings, subscription
from gateway.destination import Endpoint, Kind
from gateway.destinations import sign
from gateway.errors import ConfigError
from gateway.model.secret import Secret
from gateway.model.values import Sensitivity
from gateway.subscription import Proof

SECRET = Secret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
KEY = Secret(sign.private_of(bytes(32)))
PASSWORD = Secret("s3cret")
HOOK: dict[str, Any] = {"url": "https://crm.example/hooks"}
TOPIC: dict[str, Any] = {"kind": "kafka", "url": "kafka://broker.example:9092/events"}
MAIL: dict[str, Any] = {
    "kind": "email",
    "url": "smtp://mail.example:587",
    "to": ["ops@crm.example"],
    "sender": "gateway@crm.example",
}


def endpoint(proof: Proof | None = None, /, **knobs: Any) -> Endpoint:
    """One endpoint of these settings, as TOML has them."""
    one = settings.convert(knobs, settings.Endpoint, "endpoints.crm")
    return subscription.endpoint_of("crm", one, proof or Proof(secrets=(SECRET,)))


BARE = Proof()
SIGNED = Proof(secrets=(SECRET,))
WITH_PASSWORD = Proof(secrets=(SECRET,), password=PASSWORD)
BARE_PASSWORD = Proof(password=PASSWORD)

WRONG: dict[str, tuple[Proof, dict[str, Any], str]] = {
    "a webhook without an address": (SIGNED, {}, "endpoints.crm.url"),
    "a webhook to a topic": (SIGNED, {"url": "kafka://h/t"}, "endpoints.crm.url"),
    "an address with a password in it": (SIGNED, {"url": "https://u:p@crm.example/"}, "endpoints.crm.url"),
    "a host in disguise": (SIGNED, {"url": "https://2130706433/"}, "endpoints.crm.url"),
    "a topic without an address": (BARE, {"kind": "kafka"}, "endpoints.crm.url"),
    "a topic without a topic": (BARE, {"kind": "kafka", "url": "kafka://h:9092"}, "endpoints.crm.url"),
    "a stream at a web address": (BARE, {"kind": "redis", "url": "https://h/0/s"}, "endpoints.crm.url"),
    "a poll with an address": (BARE, {"kind": "poll", **HOOK}, "endpoints.crm.url"),
    "no events": (SIGNED, {**HOOK, "events": []}, "endpoints.crm.events"),
    "a type that is none": (SIGNED, {**HOOK, "events": ["order.payed"]}, "endpoints.crm.events"),
    "a filter that is no expression": (SIGNED, {**HOOK, "filter": "data.order ==="}, "endpoints.crm.filter"),
    "a batch of none": (SIGNED, {**HOOK, "batch": 0}, "endpoints.crm.batch"),
    "a batch of too many": (SIGNED, {**HOOK, "batch": 101}, "endpoints.crm.batch"),
    "a linger without a batch": (SIGNED, {**HOOK, "linger": "5s"}, "endpoints.crm.linger"),
    "a burst without a rate": (SIGNED, {**HOOK, "burst": 5}, "endpoints.crm.burst"),
    "a rate below nothing": (SIGNED, {**HOOK, "rate": -1}, "endpoints.crm.rate"),
    "no concurrency": (SIGNED, {**HOOK, "concurrency": 0}, "endpoints.crm.concurrency"),
    "no time": (SIGNED, {**HOOK, "timeout": 0}, "endpoints.crm.timeout"),
    "a mail to nobody": (BARE, {**MAIL, "to": []}, "endpoints.crm.to"),
    "a mail from nobody": (BARE, {**MAIL, "sender": ""}, "endpoints.crm.sender"),
    "a mailbox that is none": (BARE, {**MAIL, "to": ["ops"]}, "endpoints.crm"),
    "a mailbox that breaks the line": (BARE, {**MAIL, "to": ["a@b\r\nbcc: c@d"]}, "endpoints.crm"),
    "a webhook with a mailbox": (SIGNED, {**HOOK, "to": ["ops@crm.example"]}, "endpoints.crm"),
    "a mail that is signed": (SIGNED, MAIL, "endpoints.crm"),
    "a topic with headers": (BARE, {**TOPIC, "headers": {"x": "y"}}, "endpoints.crm.headers"),
    "a secret that is none": (Proof(secrets=(Secret("whsec_x"),)), HOOK, "endpoints.crm.secret"),
    "a key that is none": (Proof(secrets=(SECRET,), keys=(Secret("whsk_x"),)), HOOK, "endpoints.crm.private_key"),
    "a header of ours": (SIGNED, {**HOOK, "headers": {"Webhook-Id": "1"}}, "endpoints.crm.headers.Webhook-Id"),
    "a length of its own": (SIGNED, {**HOOK, "headers": {"content-length": "1"}}, "endpoints.crm.headers.content-length"),
    "a header twice": (SIGNED, {**HOOK, "headers": {"X-A": "1", "x-a": "2"}}, "endpoints.crm.headers.x-a"),
    "a header that auth sets": (
        WITH_PASSWORD,
        {**HOOK, "headers": {"authorization": "x"}, "auth": {"kind": "bearer"}},
        "endpoints.crm.headers.authorization",
    ),
    "health without a reason": (SIGNED, {**HOOK, "grants": {"health": "clear"}}, "endpoints.crm.grants.reason"),
    "a seal without a recipient": (SIGNED, {**HOOK, "grants": {"contact": "seal"}}, "endpoints.crm.grants.recipient"),
    "a recipient for nothing": (SIGNED, {**HOOK, "grants": {"recipient": "{}"}}, "endpoints.crm.grants.recipient"),
    "basic without a user": (WITH_PASSWORD, {**HOOK, "auth": {"kind": "basic"}}, "endpoints.crm.auth.username"),
    "basic without a password": (SIGNED, {**HOOK, "auth": {"kind": "basic", "username": "u"}}, "endpoints.crm.auth.password"),
    "bearer without a token": (SIGNED, {**HOOK, "auth": {"kind": "bearer"}}, "endpoints.crm.auth.password"),
    "bearer with a user": (
        WITH_PASSWORD,
        {**HOOK, "auth": {"kind": "bearer", "username": "u"}},
        "endpoints.crm.auth.username",
    ),
    "a password for nothing": (WITH_PASSWORD, HOOK, "endpoints.crm.auth.password"),
    "oauth2 without a token address": (
        WITH_PASSWORD,
        {**HOOK, "auth": {"kind": "oauth2", "client_id": "c"}},
        "endpoints.crm.auth.token_url",
    ),
    "oauth2 at a strange address": (
        WITH_PASSWORD,
        {**HOOK, "auth": {"kind": "oauth2", "client_id": "c", "token_url": "ftp://auth.example"}},
        "endpoints.crm.auth.token_url",
    ),
    "oauth2 without a client": (
        WITH_PASSWORD,
        {**HOOK, "auth": {"kind": "oauth2", "token_url": "https://auth.example/token"}},
        "endpoints.crm.auth.client_id",
    ),
    "mtls without a certificate": (WITH_PASSWORD, {**HOOK, "auth": {"kind": "mtls"}}, "endpoints.crm.auth.certificate"),
    "mtls without a key": (SIGNED, {**HOOK, "auth": {"kind": "mtls", "certificate": "c.pem"}}, "endpoints.crm.auth.password"),
    "mtls without TLS": (
        WITH_PASSWORD,
        {"url": "http://crm.example/", "auth": {"kind": "mtls", "certificate": "c.pem"}},
        "endpoints.crm.auth",
    ),
    "an authority without TLS": (SIGNED, {"url": "http://crm.example/", "auth": {"authority": "a.pem"}}, "endpoints.crm.auth"),
    "a bearer token for a topic": (BARE_PASSWORD, {**TOPIC, "auth": {"kind": "bearer"}}, "endpoints.crm.auth.kind"),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_what_does_not_fit_together_is_refused_with_its_place(name: str) -> None:
    """And the secrets are not in the error."""
    proof, knobs, place = WRONG[name]
    with pytest.raises(ConfigError) as caught:
        endpoint(proof, **knobs)
    assert caught.value.place == place
    assert "s3cret" not in str(caught.value)
    assert "MfKQ9r8G" not in str(caught.value)


def test_everything_that_is_wrong_is_told_at_once() -> None:
    """Who mends a config does not want to be told one fault a start."""
    one = settings.convert(
        {"url": "ftp://x", "batch": 0, "events": ["nothing.such"], "grants": {"health": "clear"}}, settings.Endpoint, ""
    )
    places = {error.place for error in subscription.faults("crm", one, SIGNED)}
    assert {f"endpoints.crm.{knob}" for knob in ("url", "batch", "events", "grants.reason")} <= places


def test_a_plain_webhook_takes_the_defaults() -> None:
    """Standard Webhooks' schedule, grants that lean to less."""
    end = endpoint(**HOOK)
    assert (end.kind, end.batch, end.linger, end.disable_after) == (Kind.WEBHOOK, 1, 0.0, 432_000.0)
    assert (len(end.schedule), end.timeout, end.auth.kind) == (10, 15.0, "none")
    assert end.grants == {
        Sensitivity.IDENTITY: "mask",
        Sensitivity.CONTACT: "mask",
        Sensitivity.HEALTH: "drop",
        Sensitivity.FINANCE: "drop",
    }


def test_every_knob_reaches_the_endpoint() -> None:
    """Nothing is accepted and not read."""
    end = endpoint(
        WITH_PASSWORD,
        **HOOK,
        events=["order.*", "customer.merged"],
        unit="unt_1",
        filter="type == 'order.paid'",
        rate=5,
        burst=9,
        batch=50,
        linger="3s",
        disable_after="2d",
        ordered="none",
        timeout="4s",
        concurrency=3,
        retries=["0s", "9s"],
        allow_private=True,
        headers={"x-tenant": "t1"},
        auth={"kind": "basic", "username": "u"},
        grants={"identity": "clear", "health": "mask", "reason": "care"},
    )
    assert (end.unit, end.filter, end.rate, end.burst) == ("unt_1", "type == 'order.paid'", 5.0, 9.0)
    assert (end.batch, end.linger, end.disable_after, end.ordered) == (50, 3.0, 172_800.0, False)
    assert (end.timeout, end.concurrency, end.schedule, end.allow_private) == (4.0, 3, (0.0, 9.0), True)
    assert (end.headers, end.auth.username, end.auth.password) == ((("x-tenant", "t1"),), "u", PASSWORD)
    assert end.grants[Sensitivity.HEALTH] == "mask"


def test_a_mailbox_gets_a_digest_of_a_quarter_of_an_hour() -> None:
    """Unless it asks for less; and each event by itself would be a flood."""
    end = endpoint(BARE, **MAIL)
    assert (end.batch, end.linger) == (100, 900.0)
    asked = endpoint(BARE, **MAIL, batch=20, linger="1m")
    assert (asked.batch, asked.linger) == (20, 60.0)


def test_a_server_password_of_redis_is_nobodys() -> None:
    """Everywhere else a password without a name is half a credential."""
    end = endpoint(BARE_PASSWORD, kind="redis", url="redis://cache.example/0/events", auth={"kind": "basic"})
    assert (end.auth.username, end.auth.password) == ("", PASSWORD)


def test_topics_and_streams_may_be_signed() -> None:
    """With secrets and keys, as webhooks are."""
    for url in ("kafka://broker.example/events", "redis://cache.example/0/events"):
        end = endpoint(Proof(secrets=(SECRET,), keys=(KEY,)), kind=url.partition(":")[0], url=url)
        assert (end.secrets, end.keys) == ((SECRET,), (KEY,))


def test_a_recipient_may_lie_in_a_file(tmp_path: Path) -> None:
    """And one that is not there is told before anything starts."""
    jwk = tmp_path / "crm.jwk"
    grants = {"contact": "seal", "recipient": f"file:{jwk}"}
    with pytest.raises(ConfigError, match=r"grants\.recipient"):
        endpoint(**HOOK, grants=grants)
    jwk.write_bytes(msgspec.json.encode(ECKey.generate_key("P-256").as_dict(private=False)))
    assert endpoint(**HOOK, grants=grants).recipient == jwk.read_text()


def test_a_partner_cannot_refer_to_what_is_ours() -> None:
    """The environment, files and sealed secrets are for whoever writes the config."""
    for reference in ("env:HOME", "file:/etc/passwd", "sealed:k1.finance.AAAA"):
        with pytest.raises(ConfigError, match="this machine"):
            subscription.read({**HOOK, "secret": reference}, place="body")
        with pytest.raises(ConfigError, match="this machine"):
            subscription.read({**HOOK, "auth": {"kind": "bearer", "password": reference}}, place="body")
    assert subscription.read(HOOK, place="body").url == HOOK["url"]
