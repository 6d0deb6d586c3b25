"""Standard Webhooks signatures: the specification's vectors, and its own library as the receiver."""

import base64
import json
from datetime import UTC, datetime, timedelta

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook, WebhookVerificationError

from gateway.destinations import sign
from gateway.errors import ConfigError
from gateway.model.mac import Mac
from gateway.model.secret import Secret

# From the libraries' own tests: python, go, java and the others share the first; the second is Rust's.
VECTORS = [
    (
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}',
        "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    ),
    (
        "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD", "msg_27UH4WbU6Z5A5EzD8u03UvzRbpk", 1649367553,
        b'{"email":"test@example.com","username":"test_user"}', "v1,tZ1I4/hDygAJgO5TYxiSd6Sd0kDW6hPenDe+bTa3Kkw=",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("secret", "message", "at", "body", "expected"), VECTORS)
def test_the_known_answers(secret: str, message: str, at: int, body: bytes, expected: str) -> None:
    """Byte for byte."""
    assert sign.signature([Mac(sign.key_of(Secret(secret)))], message, at, body) == expected


def headers(keys: list[bytes], message: str, at: int, body: bytes) -> dict[str, str]:
    """As an attempt carries them."""
    signature = sign.signature([Mac(key) for key in keys], message, at, body)
    return {"webhook-id": message, "webhook-timestamp": str(at), "webhook-signature": signature}


@given(st.binary(min_size=24, max_size=64), st.dictionaries(st.text(), st.text()))
def test_the_specifications_library_verifies_what_we_sign(random: bytes, event: dict[str, str]) -> None:
    """With any secret we could make and any body we could send; one changed byte and it does not."""
    secret = sign.secret_of(random)
    assert sign.key_of(Secret(secret)) == random
    at, body = int(datetime.now(UTC).timestamp()), json.dumps(event).encode()
    sent = headers([random], "evt_1", at, body)
    assert Webhook(secret).verify(body, sent) == event
    with pytest.raises(WebhookVerificationError):
        Webhook(secret).verify(body + b" ", sent)
    with pytest.raises(WebhookVerificationError):
        Webhook(secret).verify(body, {**sent, "webhook-id": "evt_2"})


def test_while_a_secret_rotates_holders_of_either_verify() -> None:
    """Both sign, separated by a space, the newest first."""
    new, old = b"n" * 32, b"o" * 32
    at, body = int(datetime.now(UTC).timestamp()), b"{}"
    sent = headers([new, old], "evt_1", at, body)
    assert sent["webhook-signature"].count("v1,") == 2
    for random in (new, old):
        assert Webhook(sign.secret_of(random)).verify(body, sent) == {}
    with pytest.raises(WebhookVerificationError):
        Webhook(sign.secret_of(b"x" * 32)).verify(body, sent)


def test_an_old_attempt_is_not_accepted_for_a_new_one() -> None:
    """The timestamp is part of what is signed, and the library gives it five minutes."""
    at = int((datetime.now(UTC) - timedelta(minutes=6)).timestamp())
    with pytest.raises(WebhookVerificationError):
        Webhook(sign.secret_of(b"k" * 32)).verify(b"{}", headers([b"k" * 32], "evt_1", at, b"{}"))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "whsec_",
        "whsec_" + "A" * 30,
        "whsec_" + "A" * 88,
        "whsec_not base64!",
        "whsec_é" + "A" * 40,
        "whsk_" + "A" * 40,
    ],
)
def test_what_is_no_secret_is_refused_with_its_place(text: str) -> None:
    """24 to 64 bytes of base64; the secret itself is not in the error."""
    with pytest.raises(ConfigError, match=r"endpoints\.crm\.secret") as caught:
        sign.key_of(Secret(text), place="endpoints.crm.secret")
    assert text == "" or text.removeprefix("whsec_") == "" or text not in str(caught.value)


def test_a_secret_may_come_without_its_prefix_or_padding() -> None:
    """As the reference libraries take it."""
    random = b"r" * 25
    text = sign.secret_of(random).removeprefix("whsec_")
    assert sign.key_of(Secret(text)) == sign.key_of(Secret(text.rstrip("="))) == random


# ------------------------------------------------------------------ v1a
PRIVATE = "whsk_6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbfVKIDij2HKpMKkioLlX0dRqSKJp4AJ6p9lMicMFs6Kvg=="
PUBLIC = "whpk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4="


def test_the_known_answer_of_a_key_pair() -> None:
    """Byte for byte, from the tests of a sender that has long signed so; the public half is the one that was published."""
    key = sign.private_key_of(Secret(PRIVATE))
    assert sign.signature([], *VECTORS[0][1:4], [key]) == (
        "v1a,hnO3f9T8Ytu9HwrXslvumlUpqtNVqkhqw/enGzPCXe5BdqzCInXqYXFymVJaA7AZdpXwVLPo3mNl8EM+m7TBAg=="
    )
    assert sign.public_of(Secret(PRIVATE)) == PUBLIC


@given(st.binary(min_size=32, max_size=32), st.binary(max_size=300))
def test_whoever_has_the_public_key_verifies_and_nobody_else(seed: bytes, body: bytes) -> None:
    """As a subscriber does it: base64, Ed25519, `id.timestamp.body`. One changed byte and it does not."""
    private = Secret(sign.private_of(seed))
    public = Ed25519PublicKey.from_public_bytes(base64.b64decode(sign.public_of(private).removeprefix("whpk_")))
    header = sign.signature([], "evt_1", 1700000000, body, [sign.private_key_of(private)])
    version, _, text = header.partition(",")
    assert version == "v1a"
    public.verify(base64.b64decode(text), b"evt_1.1700000000." + body)
    with pytest.raises(InvalidSignature):
        public.verify(base64.b64decode(text), b"evt_2.1700000000." + body)


def test_a_receiver_of_one_kind_skips_the_other() -> None:
    """Secrets first, then keys, one space between; the specification's library takes what it knows."""
    at, body, secret = int(datetime.now(UTC).timestamp()), b'{"a": 1}', b"s" * 32
    keys = [sign.private_key_of(Secret(sign.private_of(bytes([number] * 32)))) for number in (1, 2)]
    header = sign.signature([Mac(secret), Mac(b"o" * 32)], "evt_1", at, body, keys)
    assert [entry.partition(",")[0] for entry in header.split(" ")] == ["v1", "v1", "v1a", "v1a"]
    sent = {"webhook-id": "evt_1", "webhook-timestamp": str(at), "webhook-signature": header}
    assert Webhook(sign.secret_of(secret)).verify(body, sent) == {"a": 1}


# What the reference libraries refuse of the first vector, and what they accept beside it.
FOREIGN = "v1,Ceo5qEr07ixe2NLpvHk3FH9bwy/WavXrAFQ/9tdO6mc= v2,Ceo5qEr07ixe2NLpvHk3FH9bwy/WavXrAFQ/9tdO6mc="


@pytest.mark.parametrize(
    ("header", "good"),
    [
        ("{}", True),
        (FOREIGN + " {}", True),
        ("{} " + FOREIGN, True),
        (FOREIGN, False),
        ("v1,", False),
        ("v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OA=", False),
    ],
)
def test_what_the_librarys_receivers_take_and_refuse(header: str, good: bool) -> None:
    """Our signature in company, and others' without it."""
    secret, message, _, body, _ = VECTORS[0]
    at = int(datetime.now(UTC).timestamp())
    ours = sign.signature([Mac(sign.key_of(Secret(secret)))], message, at, body)
    sent = {"webhook-id": message, "webhook-timestamp": str(at), "webhook-signature": header.format(ours)}
    if good:
        assert Webhook(secret).verify(body, sent) == json.loads(body)
    else:
        with pytest.raises(WebhookVerificationError):
            Webhook(secret).verify(body, sent)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "whsk_",
        PUBLIC,
        PRIVATE.removeprefix("whsk_"),
        "whsk_" + base64.b64encode(bytes(32)).decode(),
        "whsk_" + base64.b64encode(bytes(64)).decode(),
        "whsk_not base64!",
        PRIVATE.replace("whsk_", "whsec_"),
    ],
)
def test_what_is_no_key_is_refused_with_its_place(text: str) -> None:
    """Seed and public key that belong together; the key itself is not in the error."""
    with pytest.raises(ConfigError, match=r"endpoints\.crm\.private_key") as caught:
        sign.private_key_of(Secret(text), place="endpoints.crm.private_key")
    assert len(text) < 10 or text not in str(caught.value)
