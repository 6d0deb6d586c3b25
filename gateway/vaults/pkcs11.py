"""Envelope keys wrapped by an AES key that never leaves a PKCS#11 token: a hardware module, or SoftHSM. The home of ``pkcs11``.

The key is named by a PKCS#11 URI (RFC 7512): ``pkcs11:token=<label>;object=<label>?module-path=<library>``; ``serial`` and ``type=secret-key``
are understood too. The PIN is ``vault.token``. The mechanism is CKM_AES_GCM with a nonce of ours (PKCS#11 v2.40 §2.13): 12 bytes, then the
ciphertext and its tag.

The module is initialised for as long as keys are wrapped or unwrapped and finalised again: a process that forks with an open module leaves
its children one that does not answer.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import msgspec
import pkcs11
from pkcs11 import Attribute, GCMParams, KeyType, Mechanism, ObjectClass
from pkcs11.exceptions import (
    EncryptedDataInvalid,
    EncryptedDataLenRange,
    GeneralError,
    NoSuchKey,
    NoSuchToken,
    PinExpired,
    PinIncorrect,
    PinInvalid,
    PinLenRange,
    PinLocked,
    PKCS11Error,
    SignatureInvalid,
    TokenNotPresent,
    UserPinNotInitialized,
)

from gateway import clock
from gateway.errors import ConfigError, GatewayError, KeyMissing, VaultDown
from gateway.model.secret import Secret
from gateway.vaults.ring import Wrapped, Wrapper

_PLACE = "vault.url"
_KNOWN = ("token", "serial", "object", "type")
_NONCE = 12
_TAG_BITS = 128
_PIN = (PinIncorrect, PinInvalid, PinLenRange, PinExpired, PinLocked, UserPinNotInitialized)
# What modules answer when a ciphertext is not what its key made. SoftHSM says GeneralError.
_ALTERED = (EncryptedDataInvalid, EncryptedDataLenRange, GeneralError, SignatureInvalid)
_alone = threading.Lock()


class Uri(msgspec.Struct, frozen=True, kw_only=True):
    """The parts of a PKCS#11 URI that are understood."""

    token: str
    object: str
    module: str
    serial: str = ""


def uri_of(url: str) -> Uri:
    """The parts of ``url``. ConfigError for what is missing or would be passed over in silence."""
    path, _, query = url.removeprefix("pkcs11:").partition("?")
    named = _pairs(path, ";")
    asked = _pairs(query, "&")
    if asked.keys() & {"pin-value", "pin-source"}:
        raise _wrong("a PIN does not belong into an address", remedy='set vault.token = "env:…" or "file:…"')
    unknown = [*(named.keys() - set(_KNOWN)), *(asked.keys() - {"module-path"})]
    if unknown:
        raise _wrong(f"{unknown[0]} is not understood here", remedy=f"known: {', '.join(_KNOWN)}, module-path")
    missing = [name for name in ("token", "object") if not named.get(name)]
    missing += [] if asked.get("module-path") else ["module-path"]
    if missing:
        raise _wrong(f"names no {missing[0]}", remedy="pkcs11:token=…;object=…?module-path=/path/of/the/module.so")
    if named.get("type", "secret-key") != "secret-key":
        raise _wrong("the wrapping key is a secret key (AES)", remedy="type=secret-key, or nothing")
    return Uri(
        token=named["token"], object=named["object"], module=asked["module-path"], serial=named.get("serial", "")
    )


def wrapper(url: str, pin: Secret | None) -> Wrapper:
    """The way to the key that ``url`` names. ConfigError when the address or the PIN is missing something; nothing is reached yet."""
    uri = uri_of(url)
    if not pin:
        raise ConfigError("the token's PIN is missing", place="vault.token", remedy='vault.token = "env:…" or "file:…"')

    @contextmanager
    def reach(create: bool) -> Iterator[_Token]:
        # One library, one initialisation: two threads would finalise it under each other.
        with _alone, _translated(uri), _library(uri) as library:
            found = library.get_token(token_label=uri.token, **({"token_serial": uri.serial} if uri.serial else {}))
            with found.open(user_pin=pin.reveal(), rw=create) as session:
                yield _Token(_key(session, uri, create=create), f"object={uri.object}")

    return Wrapper(way="pkcs11", by=f"object={uri.object}", reach=reach)


class _Token:
    """See ``ring.Wrapping``."""

    def __init__(self, key: Any, by: str) -> None:
        self._key = key
        self._by = by

    def wrap(self, plaintext: bytes) -> Wrapped:
        """See ``Wrapping.wrap``."""
        nonce = clock.random_bytes(_NONCE)
        sealed = self._key.encrypt(plaintext, mechanism=Mechanism.AES_GCM, mechanism_param=_parameters(nonce))
        return Wrapped(by=self._by, data=nonce + sealed)

    def unwrap(self, wrapped: Wrapped) -> bytes:
        """See ``Wrapping.unwrap``."""
        nonce, sealed = wrapped.data[:_NONCE], wrapped.data[_NONCE:]
        try:
            return bytes(self._key.decrypt(sealed, mechanism=Mechanism.AES_GCM, mechanism_param=_parameters(nonce)))
        except _ALTERED as fault:
            raise ValueError("the token does not take it for its own") from fault


def _parameters(nonce: bytes) -> GCMParams:
    return GCMParams(nonce, None, _TAG_BITS)


@contextmanager
def _library(uri: Uri) -> Iterator[Any]:
    if not Path(uri.module).is_file():
        raise _wrong(f"{uri.module} is not there", remedy="install the module, or correct module-path")
    library = pkcs11.lib(uri.module)
    try:
        yield library
    finally:
        library.finalize()


def _key(session: pkcs11.Session, uri: Uri, *, create: bool) -> Any:
    template = {Attribute.CLASS: ObjectClass.SECRET_KEY, Attribute.KEY_TYPE: KeyType.AES, Attribute.LABEL: uri.object}
    found = list(session.get_objects(template))
    if len(found) > 1:
        raise _wrong(
            f"token {uri.token} holds {len(found)} AES keys {uri.object}",
            remedy="give the wrapping key a label of its own",
        )
    if found:
        return found[0]
    if not create:
        raise NoSuchKey
    never = {Attribute.SENSITIVE: True, Attribute.EXTRACTABLE: False, Attribute.PRIVATE: True}
    return session.generate_key(KeyType.AES, 256, label=uri.object, store=True, template=never)


@contextmanager
def _translated(uri: Uri) -> Iterator[None]:
    """The one door of the library."""
    try:
        yield
    except PKCS11Error as fault:
        raise _translate(fault, uri) from fault


def _translate(fault: PKCS11Error, uri: Uri) -> GatewayError:
    if isinstance(fault, _PIN):
        return ConfigError(
            f"token {uri.token} refuses the PIN ({type(fault).__name__})",
            place="vault.token",
            remedy="correct it before the token locks itself",
        )
    if isinstance(fault, NoSuchKey):
        return KeyMissing(
            f"wrapping key {uri.object} is not in token {uri.token}",
            place=_PLACE,
            remedy="restore the token, or correct object=",
        )
    if isinstance(fault, (NoSuchToken, TokenNotPresent)):
        return VaultDown(
            f"token {uri.token} is not there", place=_PLACE, remedy="plug the token in, or correct token= and serial="
        )
    said = str(fault) or type(fault).__name__
    return VaultDown(f"token {uri.token} does not answer: {said}", place=_PLACE, remedy="look at the module's own log")


def _pairs(text: str, separator: str) -> dict[str, str]:
    pairs = [part.partition("=") for part in text.split(separator) if part]
    names = [name for name, _, _ in pairs]
    if len(set(names)) < len(names):
        raise _wrong("names one thing twice", remedy="RFC 7512 allows each attribute once")
    return {name: unquote(value) for name, _, value in pairs}


def _wrong(detail: str, *, remedy: str) -> ConfigError:
    return ConfigError(detail, place=_PLACE, remedy=remedy)
