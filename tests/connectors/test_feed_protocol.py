"""Who may feed: the four proofs, tried by signers we did not write."""

import base64
import hashlib
import hmac
from datetime import UTC, datetime

import pytest
from standardwebhooks import Webhook

from connectors.feed import CARD
from connectors.feed.options import FeedOptions
from gateway.clock import SECOND
from gateway.connector import Accepted, Account, Connector, Reason, Refused, Request, Secret
from gateway.errors import ConfigError

NOW = 1_794_326_400
KEY = base64.b64encode(b"thirty-two bytes of a secret key").decode()
OTHER_KEY = base64.b64encode(b"another key of thirty-two bytes!").decode()
BODY = '{"customer_code": "C1", "name": "张三"}'.encode()


def opened(*, tolerance: float | None = 600.0, **options: str) -> Connector:
    secret = Secret(options.pop("secret", ""))
    account = Account(
        name="erp",
        connector="feed",
        options=FeedOptions(mapping="feed/customer", secret=secret, **options),
        tolerance=tolerance,
    )
    return CARD.open(account, None)


def webhook(key: str = KEY, *, at: int = NOW, message: str = "msg_1", body: bytes = BODY) -> dict[str, str]:
    signature = Webhook(key).sign(message, datetime.fromtimestamp(at, UTC), body.decode())
    return {"webhook-id": message, "webhook-timestamp": str(at), "webhook-signature": signature}


def outcome(
    connector: Connector,
    headers: dict[str, str],
    *,
    body: bytes = BODY,
    peer: str = "203.0.113.9",
    method: str = "POST",
):
    return connector.receive(
        Request(method=method, headers=headers, body=body, peer=peer, received_at=NOW * SECOND + 250_000)
    )


def refused_for(found) -> Reason:
    assert isinstance(found, Refused)
    return found.reason


# ------------------------------------------------------------------ standard-webhooks
def test_the_standard_librarys_signature_is_accepted() -> None:
    """A signature by the independent library opens the door, with the prefix and without."""
    for secret in (f"whsec_{KEY}", KEY, f"whsec_{KEY}".rstrip("=")):
        assert isinstance(outcome(opened(secret=secret), webhook()), Accepted)


def test_one_of_several_signatures_is_enough() -> None:
    """A sender that is rotating its secret sends two; entries of other versions and broken ones are passed over."""
    headers = webhook()
    for others in ("v1,bm90IHRoaXM=", "v1a,ed25519", "v1", ",", "v1,,,", "é", "v1,\udc80"):
        found = outcome(opened(secret=KEY), headers | {"webhook-signature": f"{others} {headers['webhook-signature']}"})
        assert isinstance(found, Accepted), others


def test_two_secrets_are_both_good_while_one_replaces_the_other() -> None:
    """The account lists old and new; either signs."""
    connector = opened(secret=f"whsec_{OTHER_KEY} whsec_{KEY}")
    assert isinstance(outcome(connector, webhook()), Accepted)
    assert isinstance(outcome(connector, webhook(OTHER_KEY)), Accepted)


@pytest.mark.parametrize(
    "signature", ["v1,", "v1", "", "v1,####", "v1,\x00", "v2,abc", " ", "v1,bm90IHRoaXM=", "é,ü", "\udcff"]
)
def test_a_malformed_signature_is_refused_and_raises_nothing(signature: str) -> None:
    """What the reference library raises on is a refusal here."""
    found = outcome(opened(secret=KEY), webhook() | {"webhook-signature": signature})
    assert refused_for(found) in (Reason.SIGNATURE, Reason.CREDENTIALS)
    assert found.reply.status == 401


def test_another_body_another_id_or_another_key_is_refused() -> None:
    """Everything that is signed is checked."""
    connector = opened(secret=KEY)
    assert refused_for(outcome(connector, webhook(), body=BODY + b" ")) is Reason.SIGNATURE
    assert refused_for(outcome(connector, webhook() | {"webhook-id": "msg_2"})) is Reason.SIGNATURE
    assert refused_for(outcome(connector, webhook(OTHER_KEY))) is Reason.SIGNATURE
    assert refused_for(outcome(connector, webhook() | {"webhook-timestamp": str(NOW + 1)})) is Reason.SIGNATURE


@pytest.mark.parametrize(("shift", "accepted"), [(-600, True), (599, True), (-599, True), (-601, False), (602, False)])
def test_a_timestamp_outside_the_tolerance_is_stale_both_ways(shift: int, accepted: bool) -> None:
    """Ten minutes old or ten minutes ahead is the end of it."""
    found = outcome(opened(secret=KEY), webhook(at=NOW + (shift if shift > 0 else shift + 1)))
    assert isinstance(found, Accepted) if accepted else refused_for(found) is Reason.STALE


def test_tolerance_off_takes_an_old_capture() -> None:
    """With ``off`` only the signature counts, so that a capture can be replayed."""
    assert isinstance(outcome(opened(secret=KEY, tolerance=None), webhook(at=NOW - 10_000_000)), Accepted)


@pytest.mark.parametrize("timestamp", ["", "x", "-5", "1e9", "٣٤", "9" * 400, "1.5"])
def test_a_timestamp_that_is_no_number_of_seconds_is_refused(timestamp: str) -> None:
    """Also digits of other scripts and numbers without end."""
    found = outcome(opened(secret=KEY, tolerance=None), webhook() | {"webhook-timestamp": timestamp})
    assert refused_for(found) in (Reason.SIGNATURE, Reason.CREDENTIALS)


def test_a_forger_learns_nothing_from_the_answer() -> None:
    """Missing, stale and wrong are one answer."""
    connector = opened(secret=KEY)
    headers = webhook(at=NOW - 5000), webhook(OTHER_KEY), {}
    assert len({outcome(connector, one).reply.body for one in headers}) == 1


# ------------------------------------------------------------------ hmac, bearer, none-on-loopback
@pytest.mark.parametrize("shape", ["{}", "sha256={}", "SHA256={}"])
def test_a_hex_hmac_of_the_body_is_accepted(shape: str) -> None:
    """With or without the prefix, in either case."""
    digest = hmac.new(b"s3cret", BODY, hashlib.sha256).hexdigest()
    connector = opened(auth="hmac", secret="s3cret")
    assert isinstance(outcome(connector, {"x-signature": shape.format(digest)}), Accepted)
    assert isinstance(outcome(connector, {"x-signature": shape.format(digest.upper())}), Accepted)


@pytest.mark.parametrize("signature", ["", "sha256=", "00", "sha1=abc", "é", "\udc80"])
def test_another_hmac_is_refused(signature: str) -> None:
    """No digest, a short one, one in another alphabet."""
    found = outcome(opened(auth="hmac", secret="s3cret"), {"x-signature": signature})
    assert refused_for(found) in (Reason.SIGNATURE, Reason.CREDENTIALS)


def test_a_bearer_key_is_accepted_and_another_is_not() -> None:
    """The scheme is read in either case; everything else is not the key."""
    connector = opened(auth="bearer", secret="s3cret")
    assert isinstance(outcome(connector, {"authorization": "Bearer s3cret"}), Accepted)
    assert isinstance(outcome(connector, {"authorization": "bearer s3cret"}), Accepted)
    for text in ("", "Bearer", "Bearer ", "Basic s3cret", "s3cret", "Bearer s3cre", "Bearer s3crets", "Bearer \udc80"):
        assert refused_for(outcome(connector, {"authorization": text})) in (Reason.SIGNATURE, Reason.CREDENTIALS)


@pytest.mark.parametrize(
    ("peer", "accepted"),
    [
        ("127.0.0.1", True),
        ("127.8.9.1", True),
        ("::1", True),
        ("::ffff:127.0.0.1", True),
        ("[::1]:5000", True),
        ("127.0.0.1:80", True),
    ]
    + [
        (peer, False)
        for peer in ("10.0.0.1", "203.0.113.9", "", "localhost", "file", "127.0.0.1.example", "::2", "[", "1")
    ],
)
def test_without_a_proof_only_this_machine_may_feed(peer: str, accepted: bool) -> None:
    """Addresses are read, names are not looked up."""
    found = outcome(opened(auth="none-on-loopback"), {}, peer=peer)
    assert isinstance(found, Accepted) if accepted else refused_for(found) is Reason.PEER


@pytest.mark.parametrize("header", ["x-forwarded-for", "forwarded", "x-real-ip", "origin"])
def test_a_proxied_or_a_browsers_request_is_not_from_this_machine(header: str) -> None:
    """Behind a proxy everybody's peer is the loopback, and any web page can make a browser post there."""
    found = outcome(opened(auth="none-on-loopback"), {header: "203.0.113.9"}, peer="127.0.0.1")
    assert refused_for(found) is Reason.PEER


# ------------------------------------------------------------------ opening
@pytest.mark.parametrize("auth", ["standard-webhooks", "hmac", "bearer"])
@pytest.mark.parametrize("secret", ["", "  "])
def test_an_empty_secret_does_not_open(auth: str, secret: str) -> None:
    """An account that anybody could sign for is a fault of the config."""
    with pytest.raises(ConfigError, match="secret"):
        opened(auth=auth, secret=secret)


@pytest.mark.parametrize("secret", ["whsec_", "whsec_!!!!", "whsec_===="])
def test_a_secret_that_is_not_base64_does_not_open(secret: str) -> None:
    """Found when the account is opened, not at the first request; the secret is not in the text."""
    with pytest.raises(ConfigError) as raised:
        opened(secret=secret)
    assert "accounts.erp.secret" in str(raised.value)
    assert "!!!!" not in str(raised.value)


def test_only_a_post_is_taken() -> None:
    """A GET is answered with what is allowed."""
    found = outcome(opened(secret=KEY), webhook(), method="GET")
    assert refused_for(found) is Reason.METHOD
    assert ("allow", "POST") in found.reply.headers


def test_a_file_is_taken_only_from_the_files_door() -> None:
    """The method alone, which anybody can write over HTTP, opens nothing; nor does a directory nobody asked to watch."""
    watching = opened(secret=KEY, watch="drop")
    assert isinstance(outcome(watching, {}, peer="file", method="FILE"), Accepted)
    assert refused_for(outcome(watching, {}, peer="127.0.0.1", method="FILE")) is Reason.METHOD
    assert refused_for(outcome(opened(secret=KEY), {}, peer="file", method="FILE")) is Reason.METHOD
    assert refused_for(outcome(watching, {}, peer="file", method="POST")) is Reason.CREDENTIALS
