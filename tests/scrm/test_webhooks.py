"""Verification of Standard Webhooks 1.0: published vectors, the independent library as signer, and what must be refused."""

from datetime import UTC, datetime

import pytest
from standardwebhooks import Webhook

from gateway.clock import SECOND
from gateway.errors import ConfigError
from scrm import webhooks
from scrm.webhooks import Reason, Refused, Verified
from tests.scrm.samples import OLD_SECRET, SECRET

VECTORS = [
    (
        SECRET,
        "msg_p5jXN8AQM9LWM0D4loKWxJek",
        1614265330,
        b'{"test": 2432232314}',
        "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    ),
    (
        OLD_SECRET,
        "msg_27UH4WbU6Z5A5EzD8u03UvzRbpk",
        1649367553,
        b'{"email":"test@example.com","username":"test_user"}',
        "v1,tZ1I4/hDygAJgO5TYxiSd6Sd0kDW6hPenDe+bTa3Kkw=",
    ),
]
NAME, SENT, BODY, GOOD = VECTORS[0][1:]


def check(
    signature: str = GOOD,
    *,
    name: str = NAME,
    sent: int | str = SENT,
    body: bytes = BODY,
    off: int = 0,
    secrets: tuple[str, ...] = (SECRET,),
):
    """Verify the first vector with something changed, ``off`` seconds after it was sent."""
    headers = {"webhook-id": name, "webhook-timestamp": str(sent), "webhook-signature": signature}
    return webhooks.verify(headers, body, keys=[webhooks.key(secret) for secret in secrets], now=(SENT + off) * SECOND)


@pytest.mark.parametrize(("secret", "name", "sent", "body", "signature"), VECTORS)
def test_a_published_vector_is_verified(secret: str, name: str, sent: int, body: bytes, signature: str) -> None:
    """The vectors of the specification's own libraries hold."""
    headers = {"webhook-id": name, "webhook-timestamp": str(sent), "webhook-signature": signature}
    assert webhooks.verify(headers, body, keys=[webhooks.key(secret)], now=sent * SECOND) == Verified(name, sent)


def test_what_the_independent_library_signs_is_verified() -> None:
    """A signature made by somebody else's code over Chinese text is accepted."""
    body = '{"name":"张三"}'.encode()
    signature = Webhook(SECRET).sign(NAME, datetime.fromtimestamp(SENT, UTC), body.decode())
    assert check(signature, body=body) == Verified(NAME, SENT)


@pytest.mark.parametrize(
    "signature",
    [
        GOOD[:-3] + "A=",
        "v1,",
        "v2," + GOOD[3:],
        "v1a," + GOOD[3:],
        "v1,Ceo5qEr07ixe2NLpvHk3FH9bwy/WavXrAFQ/9tdO6mc=",
        "v1,%%%%",
    ],
)
def test_a_signature_that_does_not_match_is_refused(signature: str) -> None:
    """Altered, truncated, of another scheme, of another key, or no base64: none is believed."""
    assert check(signature) == Refused(Reason.SIGNATURE)


@pytest.mark.parametrize(
    "signature", [GOOD + " v1", "g0hM9SsE", ",", "v1;abc", " ", GOOD + " v1,é", " ".join([GOOD] * 17)]
)
def test_an_entry_that_is_none_refuses_the_delivery(signature: str) -> None:
    """Where a library would raise, we refuse, even beside a good signature."""
    assert check(signature) == Refused(Reason.MALFORMED)


def test_one_good_signature_among_others_is_enough() -> None:
    """A sender that rotates its secret signs with both; unknown schemes are passed over."""
    assert check(f"v1,Ceo5qEr07ixe2NLpvHk3FH9bwy/WavXrAFQ/9tdO6mc= v2,abc {GOOD} v1,zzz=") == Verified(NAME, SENT)


def test_the_old_secret_still_opens_while_it_rotates() -> None:
    """Several secrets are tried, in any order; without the right one nothing opens."""
    assert isinstance(check(secrets=(OLD_SECRET, SECRET)), Verified)
    assert check(secrets=(OLD_SECRET,)) == Refused(Reason.SIGNATURE)


@pytest.mark.parametrize("off", [-300, 300])
def test_a_delivery_at_the_edge_of_five_minutes_is_verified(off: int) -> None:
    """The tolerance is inclusive on both sides."""
    assert isinstance(check(off=off), Verified)


@pytest.mark.parametrize("off", [-301, 301])
def test_a_delivery_out_of_its_time_is_refused(off: int) -> None:
    """A recorded delivery cannot be played again later, nor dated ahead."""
    assert check(off=off) == Refused(Reason.STALE)


@pytest.mark.parametrize("sent", ["", "abc", "1614265330.5", "-1614265330", "٣٣", "9" * 40, "0x10"])
def test_a_timestamp_that_is_no_number_is_refused(sent: str) -> None:
    """Never an exception, whatever stands there."""
    assert isinstance(check(sent=sent), Refused)


@pytest.mark.parametrize("name", ["a.b", "a b", "ü", "x" * 129])
def test_an_id_with_a_dot_or_worse_is_refused(name: str) -> None:
    """A dot would let the border between id and timestamp be moved."""
    assert check(name=name) == Refused(Reason.MALFORMED)


def test_a_changed_body_is_refused() -> None:
    """One byte is enough."""
    assert check(body=BODY + b" ") == Refused(Reason.SIGNATURE)


def test_missing_headers_are_refused() -> None:
    """Without the three headers there is nothing to verify."""
    assert webhooks.verify({}, BODY, keys=[b"k"], now=0) == Refused(Reason.MISSING)


def test_a_secret_without_prefix_or_padding_is_read_and_an_empty_one_is_not() -> None:
    """As people paste them; an empty key would accept what anybody signs."""
    assert webhooks.key("whsec_" + "QUJD") == b"ABC"
    assert webhooks.key("QUI") == b"AB"
    for bad in ("", "whsec_", "whsec_!!!"):
        with pytest.raises(ConfigError):
            webhooks.key(bad)
