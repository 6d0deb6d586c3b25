"""TMC frames and TOP signatures against known answers, and what each error code becomes."""

import json
import struct
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.taobao import protocol
from connectors.taobao.protocol import Failure, Format, Frame, MessageType, Typed
from gateway.errors import PartnerDenied, PartnerDown, PartnerError, PartnerQuota, PayloadError, Verdict

VECTORS = {one["kind"]: one for one in json.loads((Path(__file__).parent / "vectors/taobao.json").read_text())}


def by_hand(kind: int, token: str | None, fields: list[list[Any]]) -> bytes:
    """An encoder written from the vectors alone: texts as format 1, numbers as one byte of format 2."""

    def counted(text: str) -> bytes:
        return len(text.encode()).to_bytes(4, "little") + text.encode()

    out = bytes([2, kind])
    if token:
        out += b"\x05\x00" + counted(token)
    for name, value in fields:
        out += b"\x01\x00" + counted(name)
        out += b"\x01" + counted(value) if isinstance(value, str) else b"\x02" + bytes([value])
    return out + b"\x00\x00"


# ------------------------------------------------------------------ known answers
def test_a_request_is_signed_like_the_published_example() -> None:
    """The official MD5 example."""
    one = VECTORS["request_sign_md5"]
    assert protocol.top_sign(one["inputs"]["secret"], one["inputs"]["params"]) == one["expected"]["sign"]


def test_a_connect_is_signed_like_the_published_client_does() -> None:
    """The value that the public client computes for a made-up secret."""
    given_ = VECTORS["connect_sign_md5"]["inputs"]
    sign = protocol.connect_sign(given_["app_key"], given_["app_secret"], given_["group_name"], given_["timestamp_ms"])
    assert sign == VECTORS["connect_sign_md5"]["expected"]["sign"]


def test_a_connect_frame_is_the_published_one_byte_for_byte() -> None:
    """Header types, widths and counted strings as the public client writes them."""
    one = VECTORS["frame_connect"]
    fields = {name: protocol.string(value) for name, value in one["inputs"]["fields"]}
    raw = protocol.encode(Frame(type=MessageType.CONNECT, fields=fields))
    assert raw.hex() == one["expected"]["hex"]
    assert raw == by_hand(0, None, one["inputs"]["fields"])


def test_our_own_connect_has_the_fields_of_the_published_frame_in_its_order() -> None:
    """Same names, same signature; only what identifies the client differs."""
    key = VECTORS["connect_sign_md5"]["inputs"]
    frame = protocol.connect(
        key["app_key"], key["app_secret"], key["group_name"], timestamp=key["timestamp_ms"], address="10.0.0.1"
    )
    known = dict(VECTORS["frame_connect"]["inputs"]["fields"])
    assert list(frame.fields) == list(known)
    assert {name: frame.text(name) for name in known} == {**known, "sdk": "scrm-gateway"}


def test_a_pull_request_is_the_published_frame_byte_for_byte() -> None:
    """Token first, then the kind as one byte."""
    one = VECTORS["frame_pull"]
    raw = protocol.encode(protocol.pull_request(one["inputs"]["token"]))
    assert raw.hex() == one["expected"]["hex"]
    assert raw == by_hand(2, "tok-1", one["inputs"]["fields"])


@pytest.mark.parametrize("kind", ["frame_connect", "frame_pull"])
def test_a_published_frame_is_read_back(kind: str) -> None:
    """The decoder agrees with the same bytes."""
    one = VECTORS[kind]
    frame = protocol.decode(bytes.fromhex(one["expected"]["hex"]))
    assert frame.type == one["inputs"]["message_type"]
    assert frame.token == one["inputs"]["token"]
    assert [(name, typed.value) for name, typed in frame.fields.items()] == [tuple(x) for x in one["inputs"]["fields"]]


def test_a_confirm_repeats_the_id_as_eight_bytes() -> None:
    """The platform looks the message up by the same integer type."""
    raw = protocol.encode(protocol.confirm("tok-1", Typed(Format.INT64, 7_300_000_000_000_000_001)))
    expected = by_hand(2, "tok-1", [["__kind", 2]])[:-2]
    expected += b"\x01\x00" + b"\x02\x00\x00\x00id" + b"\x05" + struct.pack("<q", 7_300_000_000_000_000_001)
    assert raw == expected + b"\x00\x00"


# ------------------------------------------------------------------ frames
_WIDTHS = {Format.BYTE: 8, Format.INT16: 16, Format.INT32: 32, Format.INT64: 64, Format.DATE: 64}


def _signed(bits: int) -> st.SearchStrategy[int]:
    return st.integers(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)


_NAMES = st.text(min_size=1, max_size=12)
_VALUES = st.one_of(
    st.just(Typed(Format.VOID)),
    st.text(max_size=20).map(protocol.string),
    st.binary(max_size=20).map(lambda raw: Typed(Format.BYTES, raw)),
    *(_signed(bits).map(lambda number, f=form: Typed(f, number)) for form, bits in _WIDTHS.items()),
)
_FRAMES = st.builds(
    Frame,
    type=st.sampled_from([int(kind) for kind in MessageType]),
    status=st.none() | _signed(32),
    phrase=st.none() | _NAMES,
    flag=st.none() | _signed(32),
    token=st.none() | _NAMES,
    fields=st.dictionaries(_NAMES, _VALUES, max_size=5),
)


@given(_FRAMES)
def test_any_frame_survives_the_wire(frame: Frame) -> None:
    """Every header and value type, with its width and the order of the fields."""
    back = protocol.decode(protocol.encode(frame))
    assert back == frame
    assert list(back.fields) == list(frame.fields)


@given(_FRAMES, st.data())
def test_a_truncated_frame_is_refused(frame: Frame, data: st.DataObject) -> None:
    """Wherever it is cut."""
    raw = protocol.encode(msgspec.structs.replace(frame, status=None))
    cut = data.draw(st.integers(0, len(raw) - 1))
    with pytest.raises(PayloadError):
        protocol.decode(raw[:cut])


@given(st.binary(max_size=200))
def test_junk_raises_nothing_but_a_payload_error(junk: bytes) -> None:
    """Whatever comes over the wire is read or refused."""
    try:
        protocol.decode(junk)
    except PayloadError:
        return


@given(st.binary(max_size=60))
def test_junk_behind_a_true_beginning_raises_nothing_but_a_payload_error(junk: bytes) -> None:
    """The version and type are right, the headers are not."""
    try:
        protocol.decode(b"\x02\x02" + junk)
    except PayloadError:
        return


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\x02",
        b"\x01\x02\x00\x00",
        b"\x02\x02\x07\x00",
        b"\x02\x02\x05\x00\xff\xff\xff\xff",
        b"\x02\x02\x05\x00\xff\xff\xff\x7fx\x00\x00",
        b"\x02\x02\x01\x00\x01\x00\x00\x00x\x09\x00\x00",
        b"\x02\x02\x05\x00\x01\x00\x00\x00\xff\x00\x00",
        b"\x02\x02\x00\x00more",
    ],
    ids=[
        "empty", "one byte", "version", "header type", "negative length", "length past the end", "value type", "not UTF-8", "trailing",
    ],
)  # fmt: skip
def test_a_wrong_frame_is_refused(raw: bytes) -> None:
    """Each in its own way, none with another exception."""
    with pytest.raises(PayloadError):
        protocol.decode(raw)


def test_a_frame_over_the_limit_is_refused_before_it_is_read() -> None:
    """One mebibyte is far above any message."""
    with pytest.raises(PayloadError, match="larger"):
        protocol.decode(b"\x02\x02" + bytes(protocol.FRAME_MOST))


def test_a_status_is_understood_in_four_bytes_and_in_two() -> None:
    """The published client writes two and reads four."""
    four = b"\x02\x01\x02\x00" + struct.pack("<i", 401) + b"\x00\x00"
    two = b"\x02\x01\x02\x00" + struct.pack("<h", 401) + b"\x03\x00\x02\x00\x00\x00no\x00\x00"
    assert protocol.decode(four).status == 401
    assert (protocol.decode(two).status, protocol.decode(two).phrase) == (401, "no")


def test_a_number_too_large_for_its_width_is_a_value_error() -> None:
    """A caller's mistake is not sent in part."""
    with pytest.raises(ValueError, match="BYTE"):
        protocol.encode(Frame(type=2, fields={"x": Typed(Format.BYTE, 300)}))


# ------------------------------------------------------------------ TOP
def test_the_three_signature_methods_differ_and_ignore_empty_values() -> None:
    """``sign`` and empty values take no part."""
    params = {"method": "taobao.time.get", "v": "2.0"}
    signs = {protocol.top_sign("secret", params, method) for method in ("md5", "hmac", "hmac-sha256")}
    assert {len(sign) for sign in signs} == {32, 64}
    assert len(signs) == 3
    assert protocol.top_sign("secret", {**params, "sign": "X", "fields": ""}) == protocol.top_sign("secret", params)


@pytest.mark.parametrize(
    ("code", "sub_code", "expected", "verdict"),
    [
        (7, "accesscontrol.limited-by-api-access-count", PartnerQuota, Verdict.AFTER),
        (4, "", PartnerQuota, Verdict.AFTER),
        (15, "accesscontrol.limited-by-app-access-count", PartnerQuota, Verdict.AFTER),
        (10, "", PartnerDown, Verdict.LATER),
        (15, "isp.top-remote-connection-timeout", PartnerDown, Verdict.LATER),
        (15, "isp.remote-service-unavailable", PartnerDown, Verdict.LATER),
        (15, "", PartnerDown, Verdict.LATER),
        (15, "isv.invalid-parameter", PartnerError, Verdict.NEVER),
        (11, "isv.permission-api-package-limit", PartnerDenied, Verdict.NEVER),
        (25, "", PartnerDenied, Verdict.NEVER),
        (26, "", PartnerDenied, Verdict.NEVER),
        (27, "", PartnerDenied, Verdict.NEVER),
        (29, "", PartnerDenied, Verdict.NEVER),
        (53, "", PartnerDenied, Verdict.NEVER),
        (40, "", PartnerError, Verdict.NEVER),
        (41, "", PartnerError, Verdict.NEVER),
        (999, "", PartnerError, Verdict.NEVER),
    ],
)
def test_each_top_error_says_whether_to_try_again(
    code: int, sub_code: str, expected: type[PartnerError], verdict: Verdict
) -> None:
    """The error table: quota waits, isp retries, isv and credentials stop."""
    error = protocol.failure_error(Failure(code=code, sub_code=sub_code))
    assert type(error) is expected
    assert error.verdict is verdict


def test_credentials_that_failed_say_what_to_do() -> None:
    """An operator is told to authorise the shop again, not shown a number."""
    assert "authorise the shop again" in str(protocol.failure_error(Failure(code=27)))


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("This ban will last for 1 more seconds", 1.0), ("This ban will last for 31062 more seconds", 31062.0), ("限流，请 30 秒后重试", 30.0), ("", 60.0)],
)  # fmt: skip
def test_a_quota_waits_as_long_as_its_message_says(text: str, seconds: float) -> None:
    """And a minute when it does not say."""
    error = protocol.failure_error(Failure(code=7, sub_msg=text))
    assert error.wait == seconds


def test_an_error_never_quotes_the_platforms_messages() -> None:
    """They may repeat what was sent."""
    error = protocol.failure_error(
        Failure(code=41, msg="session 6100 wrong", sub_msg="nick 张三 wrong", request_id="r1")
    )
    assert "张三" not in str(error)
    assert "6100" not in str(error)
    assert "r1" in str(error)
