"""Ways of keeping keys: in a file, wrapped by a hardware module, wrapped by a key service. What is sealed how is the same in all of them."""

import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from gateway.errors import ConfigError
from gateway.model.secret import Secret
from gateway.model.values import Sensitivity
from gateway.vaults.file import KeyFile, open_kept
from gateway.vaults.ring import Listed, Wrapper
from gateway.vaults.sealing import Sealing

_SEALED = tuple(one.value for one in Sensitivity if one is not Sensitivity.PUBLIC)
_FORMS = "file:///path, pkcs11:token=…;object=…?module-path=…, or kms+https://host/keys/name"


class Way(msgspec.Struct, frozen=True, kw_only=True):
    """How this gateway keeps keys and seals. ``path`` is the key file, whatever the way; ``url`` is empty for keys in the clear in it."""

    path: Path
    url: str = ""
    suite: str = "aes"
    classes: Mapping[str, str] = {}
    authority: str = ""
    token: Secret | None = None


def check(way: Way) -> None:
    """ConfigError when something about ``way`` can be told to be wrong without reaching anything."""
    _wrapper(way)
    for name in way.classes:
        if name not in _SEALED:
            raise ConfigError(
                "no such class is sealed", place=f"vault.classes.{name}", remedy=f"classes: {', '.join(_SEALED)}"
            )


def open_vault(way: Way) -> Sealing:
    """The vault, made with a first key when there is none. ConfigError, KeyMissing or VaultDown says what is to be done."""
    check(way)
    return open_kept(_keeping(way), suite=way.suite, classes=way.classes)


def rotate(way: Way) -> str:
    """Add a key and make it current; what older ones sealed still opens. Returns its id. Running processes follow at their next start, or when
    they first meet the new key."""
    return _keeping(way).rotate()


def retire(way: Way, key: str) -> None:
    """Forget a key: whatever it sealed can never be opened again. ConfigError when it is current or not there."""
    _keeping(way).retire(key)


def clear_of(way: Way) -> Way | None:
    """The way that opens the keys of ``way`` while they still lie in the clear; None when they are wrapped already. ConfigError when ``way``
    has nothing to wrap them with, or there are no keys."""
    check(way)
    if way.url.partition(":")[0] in ("", "file"):
        raise ConfigError("names nothing to wrap keys with", place="vault.url", remedy=_FORMS)
    return None if _keeping(way).wrapped() else msgspec.structs.replace(way, url="")


def wrap(way: Way) -> int:
    """Wrap keys that lay in the clear until now. Returns how many there were. ConfigError as ``clear_of``."""
    return _keeping(way).wrap() if clear_of(way) else 0


def listing(way: Way) -> tuple[Listed, ...]:
    """The keys, oldest first, without their material. ConfigError when the key file cannot be read."""
    suites = [way.suite, *(f"{name} {suite}" for name, suite in sorted(way.classes.items()) if suite != way.suite)]
    return _keeping(way).listing(", ".join(suites))


def _keeping(way: Way) -> KeyFile:
    return KeyFile(way.path, _wrapper(way))


def _wrapper(way: Way) -> Wrapper | None:
    # A gateway whose keys lie in a file neither has the module's library nor pays for the client of a key service.
    module: Any
    match way.url.partition(":")[0]:
        case "" | "file":
            return None
        case "pkcs11":
            module = importlib.import_module("gateway.vaults.pkcs11")
            found: Wrapper = module.wrapper(way.url, _open_token(way))
        case "kms+https" | "kms+http":
            module = importlib.import_module("gateway.vaults.kms")
            found = module.wrapper(way.url, _open_token(way), authority=way.authority)
        case scheme:
            raise ConfigError(f"{scheme} is not a way of keeping keys", place="vault.url", remedy=_FORMS)
    return found


def _open_token(way: Way) -> Secret | None:
    if way.token is not None and way.token.reveal().startswith("sealed:"):
        raise ConfigError(
            "what opens the vault cannot be sealed by it", place="vault.token", remedy='"env:NAME" or "file:/path"'
        )
    return way.token
