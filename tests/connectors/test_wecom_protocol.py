"""WeCom's signature and encryption against published known answers."""

import json
from pathlib import Path
from typing import Any

import pytest

from connectors.wecom import protocol
from gateway.errors import PayloadError

VECTORS = json.loads((Path(__file__).parent / "vectors" / "wecom.json").read_text("utf-8"))


def of(*kinds: str) -> list[Any]:
    return [pytest.param(one, id=f"{one['kind']}-{one['n']}") for one in VECTORS if one["kind"] in kinds]


@pytest.mark.parametrize("vector", of("url_verify_get", "message_decrypt_xml"))
def test_a_published_ciphertext_opens_to_its_plaintext_and_receive_id(vector: Any) -> None:
    """Signature, message and receive id are the published ones."""
    given, expected = vector["inputs"], vector["expected"]
    signed = protocol.signature(given["token"], given["timestamp"], given["nonce"], given["encrypt"])
    message, receive_id = protocol.Box(given["encoding_aes_key"]).open(given["encrypt"])
    assert signed == expected["msg_signature"]
    assert receive_id == expected["receive_id"]
    assert message.decode() == expected["plaintext"]


@pytest.mark.parametrize("vector", of("signature_negative"))
def test_a_signature_over_another_nonce_or_with_another_digit_is_not_ours(vector: Any) -> None:
    """One changed digit is enough."""
    given = vector["inputs"]
    query = {"msg_signature": given["presented_signature"], "timestamp": given["timestamp"], "nonce": given["nonce"]}
    assert not protocol.signed_by(given["token"], query, given["encrypt"])


@pytest.mark.parametrize("vector", of("passive_reply_encrypt"))
def test_a_reply_with_the_published_prefix_is_the_published_envelope(vector: Any) -> None:
    """Ciphertext, signature and the envelope's values."""
    given, expected = vector["inputs"], vector["expected"]
    box = protocol.Box(given["encoding_aes_key"])
    sealed = box.close(given["plaintext"].encode(), given["receive_id"], given["random16"].encode())
    assert sealed == expected["encrypt"]
    told = protocol.facts(protocol.envelope(sealed, given["token"], given["timestamp"], given["nonce"]))
    assert told == protocol.facts(expected["reply_xml"].encode())


@pytest.mark.parametrize("vector", of("biz_encrypt_deterministic"))
def test_text_beyond_ascii_is_counted_in_bytes(vector: Any) -> None:
    """The published ciphertext of a Chinese message."""
    given = vector["inputs"]
    box = protocol.Box(given["encoding_aes_key"])
    sealed = box.close(given["plaintext"].encode(), given["receive_id"], given["random16"].encode())
    assert sealed == vector["expected"]["encrypt"]
    assert box.open(sealed) == (given["plaintext"].encode(), given["receive_id"])


@pytest.mark.parametrize("vector", of("pkcs7_pad_block32"))
def test_padding_fills_blocks_of_32(vector: Any) -> None:
    """Whole blocks gain one more, and unpadding takes exactly that away."""
    data, padded = bytes.fromhex(vector["inputs"]["data_hex"]), bytes.fromhex(vector["expected"]["padded_hex"])
    assert protocol.pad(data) == padded
    assert protocol.unpad(padded) == data


@pytest.mark.parametrize("vector", of("encoding_aes_key_validity"))
def test_a_key_has_43_characters_whatever_its_last_bits(vector: Any) -> None:
    """Trailing bits are ignored; another length or character is refused."""
    key = vector["inputs"]["encoding_aes_key"]
    if vector["expected"]["valid"]:
        protocol.Box(key)
        return
    with pytest.raises(ValueError, match="43"):
        protocol.Box(key)


@pytest.mark.parametrize("size", range(1, 33))
def test_every_padding_from_1_to_32_is_taken_off(size: int) -> None:
    """Unpadders made for 16-byte blocks fail from 17 on."""
    assert protocol.unpad(b"x" * 32 + bytes([size]) * size) == b"x" * 32


@pytest.mark.parametrize("content", [b"", b"x" * 31 + b"\x00", b"x" * 63 + b"\x21", b"x" * 30 + b"\x03\x02"])
def test_bad_padding_is_unreadable(content: bytes) -> None:
    """Empty, zero, 33, and unequal bytes."""
    with pytest.raises(protocol.Unreadable):
        protocol.unpad(content)


def test_a_length_beyond_the_buffer_is_unreadable() -> None:
    """The four-byte length is the sender's claim, not ours."""
    box = protocol.Box("kWxPEV2UEDyxWpmPdKC3F4dgPDmOvfKX1HGnEUDS1aR")
    encryptor = box._cipher.encryptor()
    content = protocol.pad(b"0" * 16 + (10_000).to_bytes(4, "big") + b"short")
    sealed = protocol.b64encode(encryptor.update(content) + encryptor.finalize()).decode()
    with pytest.raises(protocol.Unreadable, match="length"):
        box.open(sealed)


@pytest.mark.parametrize("sealed", ["", "a", "AAAA", "密文", "A" * 64 + "!"])
def test_what_is_no_ciphertext_is_unreadable(sealed: str) -> None:
    """Not base64, or not whole blocks."""
    with pytest.raises(protocol.Unreadable):
        protocol.Box("kWxPEV2UEDyxWpmPdKC3F4dgPDmOvfKX1HGnEUDS1aR").open(sealed)


def test_a_query_is_decoded_exactly_once_and_plus_stays_plus() -> None:
    """%2B and + both mean +; %252B means %2B; the first of equal names counts."""
    assert protocol.query("a=x%2By&b=x+y&c=%252B&a=z") == {"a": "x+y", "b": "x+y", "c": "%2B"}


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"not xml",
        b"<xml/>",
        b"<xml><Encrypt></Encrypt></xml>",
        b"<other><Encrypt>a</Encrypt></other>",
        b'<!DOCTYPE xml [<!ENTITY a "b">]><xml><Encrypt>&a;</Encrypt></xml>',
        b'<!DOCTYPE xml SYSTEM "file:///etc/hostname"><xml><Encrypt>a</Encrypt></xml>',
        b"<xml><Encrypt>&undeclared;</Encrypt></xml>",
        b"{}",
        b'{"encrypt": 1}',
        b"{" * 100_000,
        b"[" * 10,
        b'{"encrypt":"\x80"}',
    ],
)
def test_an_envelope_that_cannot_be_read_is_malformed(body: bytes) -> None:
    """Among them documents that bring a DTD of their own."""
    with pytest.raises(PayloadError):
        protocol.encrypted(body)


def test_one_repeated_element_is_a_list_like_many() -> None:
    """A mapping's path does not change with the number of group members."""
    one = protocol.plain(b"<xml><L><Item><![CDATA[a]]></Item></L><S/></xml>")
    two = protocol.plain(b"<xml><L>\n<Item>a</Item><Item>b</Item>\n</L><p>1</p><p>2</p><p>3</p></xml>")
    assert one == {"L": {"Item": ["a"]}, "S": ""}
    assert two == {"L": {"Item": ["a", "b"]}, "p": ["1", "2", "3"]}


def test_numbers_of_a_json_message_are_never_floats() -> None:
    """Ids of 64 bits stay whole, fractions stay text."""
    assert protocol.plain(b'{"MsgId": 4561255354251345929, "x": 1.10}') == {"MsgId": 4561255354251345929, "x": "1.10"}
