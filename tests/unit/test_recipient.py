"""Sealing for a reader's own key: opened here by hand, from the RFCs, with nothing but primitives."""

import base64
import hashlib
import json
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa, x25519
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.keywrap import aes_key_unwrap

from gateway.errors import ConfigError
from gateway.recipient import recipient_of

RSA = rsa.generate_private_key(65537, 2048)
P256 = ec.generate_private_key(ec.SECP256R1())
P384 = ec.generate_private_key(ec.SECP384R1())
X25519 = x25519.X25519PrivateKey.generate()


def b64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def unb64(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def number(value: int, size: int = 0) -> str:
    return b64(value.to_bytes(size or (value.bit_length() + 7) // 8, "big"))


def public_jwk(key: Any) -> dict[str, str]:
    """RFC 7518 §6.2, §6.3; RFC 8037 §2."""
    public = key.public_key()
    if isinstance(key, rsa.RSAPrivateKey):
        numbers = public.public_numbers()
        return {"kty": "RSA", "n": number(numbers.n), "e": number(numbers.e)}
    if isinstance(key, x25519.X25519PrivateKey):
        return {"kty": "OKP", "crv": "X25519", "x": b64(public.public_bytes_raw())}
    numbers, size = public.public_numbers(), (key.key_size + 7) // 8
    return {"kty": "EC", "crv": f"P-{key.key_size}", "x": number(numbers.x, size), "y": number(numbers.y, size)}


def opened(sealed: str, key: Any) -> tuple[dict[str, Any], bytes]:
    """Header and plaintext of a compact JWE. RFC 7516 §5.2."""
    protected, wrapped, nonce, ciphertext, tag = sealed.split(".")
    header = json.loads(unb64(protected))
    content_key = content_key_of(header, unb64(wrapped), key)
    return header, AESGCM(content_key).decrypt(unb64(nonce), unb64(ciphertext) + unb64(tag), protected.encode())


def content_key_of(header: dict[str, Any], wrapped: bytes, key: Any) -> bytes:
    """RFC 7518 §4.3 and §4.6, with the Concat KDF of NIST SP 800-56A."""
    if header["alg"] == "RSA-OAEP-256":
        return bytes(key.decrypt(wrapped, padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), None)))
    assert header["alg"] == "ECDH-ES+A256KW"
    epk = header["epk"]
    if epk["kty"] == "OKP":
        shared = key.exchange(x25519.X25519PublicKey.from_public_bytes(unb64(epk["x"])))
    else:
        x, y = (int.from_bytes(unb64(epk[name]), "big") for name in "xy")
        shared = key.exchange(ec.ECDH(), ec.EllipticCurvePublicNumbers(x, y, key.curve).public_key())
    name = header["alg"].encode()
    info = len(name).to_bytes(4, "big") + name + bytes(4) + bytes(4) + (256).to_bytes(4, "big")
    return aes_key_unwrap(hashlib.sha256((1).to_bytes(4, "big") + shared + info).digest(), wrapped)


@pytest.mark.parametrize("key", [RSA, P256, P384, X25519], ids=["rsa", "p256", "p384", "x25519"])
def test_what_is_sealed_opens_by_the_rfcs_alone(key: Any) -> None:
    """No library of ours is needed on the other side."""
    recipient = recipient_of(json.dumps({**public_jwk(key), "kid": "2026-11"}), place="here")
    sealed = recipient.seal("张三".encode())
    header, plain = opened(sealed, key)
    assert plain.decode() == "张三"
    assert header["alg"] == ("RSA-OAEP-256" if key is RSA else "ECDH-ES+A256KW")
    assert header["enc"] == "A256GCM"
    assert header["kid"] == "2026-11"
    assert recipient.seal("张三".encode()) != sealed


def test_key_without_an_id_is_named_by_its_thumbprint() -> None:
    """RFC 7638 §3: SHA-256 over the required members in order, without spaces."""
    jwk = public_jwk(P256)
    canonical = json.dumps({name: jwk[name] for name in ("crv", "kty", "x", "y")}, separators=(",", ":"))
    assert recipient_of(json.dumps(jwk), place="here").kid == b64(hashlib.sha256(canonical.encode()).digest())


def private_jwk(key: Any) -> dict[str, str]:
    return {**public_jwk(key), "d": number(key.private_numbers().private_value)}


SMALL = rsa.generate_private_key(65537, 1024)
REFUSED = {
    "nothing": ("", "nobody to seal for"),
    "no-json": ("-----BEGIN PUBLIC KEY-----", "not one JSON object"),
    "a-list": ("[]", "not one JSON object"),
    "a-set": (json.dumps({"keys": [public_jwk(P256)]}), "no kty is no key to seal to"),
    "symmetric": (json.dumps({"kty": "oct", "k": "AAAA"}), "is a private key: it holds k"),
    "private": (json.dumps(private_jwk(P256)), "is a private key: it holds d"),
    "small": (json.dumps(public_jwk(SMALL)), "an RSA key of 1024 bits; 2048 to 8192 are taken"),
    "other-curve": (json.dumps({**public_jwk(P256), "crv": "secp256k1"}), "EC secp256k1 is no key to seal to"),
    "for-signing": (json.dumps({**public_jwk(P256), "use": "sig"}), "is meant for something else: use 'sig'"),
    "other-algorithm": (json.dumps({**public_jwk(RSA), "alg": "RSA1_5"}), "is meant for something else"),
    "off-the-curve": (json.dumps({**public_jwk(P256), "x": b64(b"\1" * 32)}), "is no usable key"),
    "half": (json.dumps({"kty": "RSA", "e": "AQAB"}), "an RSA key of 0 bits"),
    "even": (json.dumps({**public_jwk(RSA), "e": "AA"}), "is no usable key"),
    "no-base64": (json.dumps({**public_jwk(X25519), "x": "§"}), "is no usable key"),
    "a-null-point": (json.dumps({"kty": "OKP", "crv": "X25519", "x": b64(bytes(32))}), "is no usable key"),
    "a-list-for-a-type": (json.dumps({"kty": ["RSA"]}), "is no key to seal to"),
}


@pytest.mark.parametrize(("text", "why"), REFUSED.values(), ids=REFUSED)
def test_key_that_cannot_or_must_not_be_sealed_to_is_refused_with_the_remedy(text: str, why: str) -> None:
    """Before anything is sealed, by name of the place, and without quoting the key."""
    with pytest.raises(ConfigError) as refused:
        recipient_of(text, place="endpoints.crm.grants.recipient")
    said = str(refused.value)
    assert why in said
    assert said.startswith("endpoints.crm.grants.recipient: ")
    assert refused.value.remedy
    assert not any(value in said for value in private_jwk(P256).values() if len(value) > 10)
    assert refused.value.__cause__ is None or "AAAA" not in repr(refused.value.__cause__)
