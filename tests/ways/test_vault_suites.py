"""The two suites, against published vectors and an independent implementation of SM3 and SM4."""

import hashlib
import hmac
from collections.abc import Iterator

import pytest
from cryptography.exceptions import InvalidTag
from gmssl import sm3, sm4
from hypothesis import given
from hypothesis import strategies as st

from gateway.vaults.suites import AES, ALTERED, GM, SUITES

KEY = bytes(range(1, 33))


def test_sm4_gcm_is_that_of_rfc_8998() -> None:
    """RFC 8998 appendix A.1."""
    sealed = GM.cipher(bytes.fromhex("0123456789ABCDEFFEDCBA9876543210")).encrypt(
        bytes.fromhex("00001234567800000000ABCD"),
        bytes.fromhex("AA" * 8 + "BB" * 8 + "CC" * 8 + "DD" * 8 + "EE" * 8 + "FF" * 8 + "EE" * 8 + "AA" * 8),
        bytes.fromhex("FEEDFACEDEADBEEFFEEDFACEDEADBEEFABADDAD2"),
    )
    assert sealed.hex().upper() == (
        "17F399F08C67D5EE19D0DC9969C4BB7D5FD46FD3756489069157B282BB200735D82710CA5C22F0CCFA7CBF93D496AC15A56834CBCF98C397B4024A2691233B8D"
        "83DE3541E4C2B58177E065A9BF7B62EC"
    )


def test_aes_gcm_is_that_of_nist() -> None:
    """Test case 15 of McGrew and Viega's submission, for a key of 256 bits."""
    sealed = AES.cipher(bytes.fromhex("feffe9928665731c6d6a8f9467308308" * 2)).encrypt(
        bytes.fromhex("cafebabefacedbaddecaf888"),
        bytes.fromhex(
            "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a721c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b391aafd255"
        ),
        b"",
    )
    assert sealed[:16].hex() == "522dc1f099567d07f47f37a32a84427d"
    assert sealed[-16:].hex() == "b094dac5d93471bdec1a502270e3cc6c"


@given(data=st.binary(max_size=100), bound=st.binary(max_size=40), nonce=st.binary(min_size=12, max_size=12))
def test_sm4_gcm_agrees_with_an_independent_one(data: bytes, bound: bytes, nonce: bytes) -> None:
    """The block cipher is gmssl's; the mode is written down here from NIST SP 800-38D."""
    assert GM.cipher(KEY[:16]).encrypt(nonce, data, bound) == _gcm(KEY[:16], nonce, data, bound)


@given(data=st.binary(max_size=200))
def test_hmac_sm3_agrees_with_an_independent_one(data: bytes) -> None:
    """The hash is gmssl's; the construction is RFC 2104's."""
    assert GM.mac(KEY)(data) == _hmac(KEY, data)


def test_sm3_mac_of_gmssl_is_that_of_the_standard() -> None:
    """GB/T 32905 appendix A.1, so that the oracle is no second guess."""
    assert _sm3(b"abc").hex() == "66c7f0f462eeedd9d1f2d46bdc10e4e24167c4875cf2f7a2297da02b8f4ba8e0"


def test_gm_keys_come_from_envelope_keys_by_hkdf_over_sm3() -> None:
    """RFC 5869 with HMAC-SM3, written down here with gmssl's hash."""
    pseudorandom = _hmac(bytes(32), KEY)
    first = _hmac(pseudorandom, b"scrm-gateway payload sm4-gcm\x01")
    assert GM.derive(KEY, "payload sm4-gcm", 16) == first[:16]
    assert GM.derive(KEY, "payload sm4-gcm", 32) == first


def test_aes_keys_come_from_envelope_keys_by_hkdf_over_sha256() -> None:
    """RFC 5869, written down here with the standard library; the nonces' hash is keyed BLAKE2b."""
    pseudorandom = hmac.digest(bytes(32), KEY, "sha256")
    assert AES.derive(KEY, "x", 32) == hmac.digest(pseudorandom, b"scrm-gateway x\x01", "sha256")
    assert AES.mac(KEY)(b"data") == hashlib.blake2b(b"data", key=KEY, digest_size=32).digest()


@pytest.mark.parametrize("name", SUITES)
def test_altered_in_any_part_does_not_open(name: str) -> None:
    """Nonce, ciphertext, tag, associated data and key, cut short down to nothing included."""
    suite = SUITES[name]
    cipher, other = suite.cipher(KEY[: suite.size]), suite.cipher(KEY[::-1][: suite.size])
    nonce, bound = bytes(12), b"bound"
    sealed = cipher.encrypt(nonce, b"plaintext", bound)
    assert cipher.decrypt(nonce, sealed, bound) == b"plaintext"
    assert cipher.decrypt(nonce, cipher.encrypt(nonce, b"", b""), b"") == b""
    flipped = [sealed[:at] + bytes([sealed[at] ^ 1]) + sealed[at + 1 :] for at in range(len(sealed))]
    for wrong in (*flipped, *(sealed[:length] for length in range(len(sealed))), sealed + b"\0"):
        with pytest.raises(ALTERED):
            cipher.decrypt(nonce, wrong, bound)
    for attempt in (
        lambda: cipher.decrypt(bytes(11) + b"\1", sealed, bound),
        lambda: cipher.decrypt(nonce, sealed, b"other"),
        lambda: other.decrypt(nonce, sealed, bound),
    ):
        with pytest.raises(InvalidTag):
            attempt()


# ---------------------------------------------------------------------- written down from the standards
def _sm3(data: bytes) -> bytes:
    return bytes.fromhex(sm3.sm3_hash(list(data)))


def _hmac(key: bytes, data: bytes) -> bytes:
    padded = key.ljust(64, b"\0")
    inner = _sm3(bytes(byte ^ 0x36 for byte in padded) + data)
    return _sm3(bytes(byte ^ 0x5C for byte in padded) + inner)


def _gcm(key: bytes, nonce: bytes, data: bytes, bound: bytes) -> bytes:
    crypt = sm4.CryptSM4()
    crypt.set_key(key, sm4.SM4_ENCRYPT)

    def block(plain: bytes) -> bytes:
        return bytes(crypt.one_round(crypt.sk, list(plain)))

    def counted(start: int) -> Iterator[bytes]:
        while True:
            yield block(nonce + start.to_bytes(4, "big"))
            start += 1

    stream = counted(2)
    sealed = b"".join(
        bytes(left ^ right for left, right in zip(data[at : at + 16], next(stream), strict=False))
        for at in range(0, len(data), 16)
    )
    lengths = (8 * len(bound)).to_bytes(8, "big") + (8 * len(sealed)).to_bytes(8, "big")
    hashed = _ghash(block(bytes(16)), _whole(bound) + _whole(sealed) + lengths)
    return sealed + bytes(left ^ right for left, right in zip(hashed, block(nonce + b"\0\0\0\1"), strict=True))


def _whole(data: bytes) -> bytes:
    return data + bytes(-len(data) % 16)


def _ghash(key: bytes, data: bytes) -> bytes:
    factor, total = int.from_bytes(key, "big"), 0
    for at in range(0, len(data), 16):
        total = _times(total ^ int.from_bytes(data[at : at + 16], "big"), factor)
    return total.to_bytes(16, "big")


def _times(left: int, right: int) -> int:
    product = 0
    for bit in range(127, -1, -1):
        if left >> bit & 1:
            product ^= right
        right = right >> 1 ^ (0xE1 << 120 if right & 1 else 0)
    return product
