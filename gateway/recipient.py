"""Whom values are sealed for: a reader's own public key. What is sealed here nobody opens but the holder of the private one, we neither.

JWE compact (RFC 7516) with A256GCM: RSA-OAEP-256 for an RSA key, ECDH-ES+A256KW for one on P-256, P-384 or X25519 (RFC 7518 §4.3, §4.6;
RFC 8037 §3.2). The key is a public JWK (RFC 7517); its ``kid`` stands in the header, or its thumbprint (RFC 7638) where it has none.
"""

import base64
from typing import Any

import msgspec
from joserfc import jwe, jwk
from joserfc.errors import JoseError

from gateway.errors import ConfigError

# NIST SP 800-57 part 1, table 2: less is worth fewer than 112 bits. More than the upper bound would be paid for in every event.
_LEAST, _MOST = 2048, 8192
_PRIVATE = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})
_CURVES = {"EC": ("P-256", "P-384"), "OKP": ("X25519",)}
_RSA, _ECDH, _ENC = "RSA-OAEP-256", "ECDH-ES+A256KW", "A256GCM"
_ASK = "ask the subscriber for the public half of an RSA key (2048 bits or more) or of one on P-256, P-384 or X25519, as a JWK"


class Recipient:
    """A key that was found fit to seal for."""

    def __init__(self, key: jwk.RSAKey | jwk.ECKey | jwk.OKPKey, algorithm: str) -> None:
        self.algorithm = algorithm
        self.kid = key.kid or key.thumbprint()
        self._key = key
        self._header = {"alg": algorithm, "enc": _ENC, "kid": self.kid}
        self._registry = jwe.JWERegistry(algorithms=[algorithm, _ENC])

    def seal(self, plaintext: bytes) -> str:
        """A compact JWE. Two of one plaintext differ."""
        return jwe.encrypt_compact(self._header, plaintext, self._key, registry=self._registry)


def recipient_of(text: str, *, place: str) -> Recipient:
    """The recipient whose JWK this is. ConfigError, at ``place`` and with the remedy, for whatever cannot or must not be sealed to."""
    known = _members(text, place)
    if private := sorted(_PRIVATE & known.keys()):
        raise ConfigError(
            f"is a private key: it holds {', '.join(private)}",
            place=place,
            remedy="give its public half only; whoever could read this config could open what is sealed, so make a new pair",
        )
    algorithm = _algorithm(known, place)
    if algorithm == _RSA and not _LEAST <= (bits := _bits(known.get("n", ""))) <= _MOST:
        raise ConfigError(f"is an RSA key of {bits} bits; {_LEAST} to {_MOST} are taken", place=place, remedy=_ASK)
    try:
        found = Recipient(_KINDS[known["kty"]].import_key(known), algorithm)
        # A point off its curve shows at the latest when it is used.
        found.seal(b"{}")
    except (JoseError, ValueError, TypeError, KeyError) as error:
        raise ConfigError("is no usable key", place=place, remedy=_ASK) from error
    return found


_KINDS: dict[str, type[jwk.RSAKey | jwk.ECKey | jwk.OKPKey]] = {"RSA": jwk.RSAKey, "EC": jwk.ECKey, "OKP": jwk.OKPKey}


def _bits(modulus: object) -> int:
    """0 for what is no number. RFC 7518 §2, Base64urlUInt."""
    try:
        return int.from_bytes(base64.urlsafe_b64decode(f"{modulus}==")).bit_length()
    except ValueError:
        return 0


def _members(text: str, place: str) -> dict[str, Any]:
    if not text:
        raise ConfigError("nobody to seal for", place=place, remedy=_ASK)
    try:
        return msgspec.json.decode(text, type=dict[str, Any])
    except msgspec.MsgspecError as error:
        # What the library says may quote the key.
        raise ConfigError("is not a JWK: not one JSON object", place=place, remedy=_ASK) from error.__cause__


def _algorithm(known: dict[str, Any], place: str) -> str:
    kind, curve = known.get("kty"), known.get("crv")
    if kind != "RSA" and curve not in _CURVES.get(str(kind), ()):
        raise ConfigError(
            f"{kind or 'no kty'} {curve or ''}".strip() + " is no key to seal to", place=place, remedy=_ASK
        )
    algorithm = _RSA if kind == "RSA" else _ECDH
    if known.get("use", "enc") != "enc" or known.get("alg", algorithm) != algorithm:
        raise ConfigError(
            f"is meant for something else: use {known.get('use', 'enc')!r}, alg {known.get('alg', algorithm)!r}",
            place=place,
            remedy=f'it needs use "enc" and alg "{algorithm}", or neither',
        )
    return algorithm
