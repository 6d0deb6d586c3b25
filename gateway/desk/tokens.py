"""Access tokens (RFC 9068 in spirit: signed, short-lived) and API keys. A token says who, what for and until when; everything else is read
from the client as it is now, so that whatever is taken away is gone at once."""

import msgspec
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import OctKey

from gateway import access
from gateway.clock import SECOND
from gateway.vault import Vault

LIFE = 3600
"""Seconds a token lives."""
KEY = "gwk_"
SECRET = "gws_"  # noqa: S105 - the prefix by which a scanner finds one that leaked
_ISSUER = "scrm-gateway"
_MOST_READ = 10_000


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """What a token says: whose it is, the client's epoch when it was issued, and the scopes asked for."""

    client: str
    epoch: int
    scopes: tuple[str, ...]


class Tokens:
    """Issues and reads access tokens. The key is derived from the vault's index key, so every process reads what any has issued."""

    def __init__(self, vault: Vault) -> None:
        self._vault = vault
        self._key = OctKey.import_key(vault.blind("api", "token", "1") + vault.blind("api", "token", "2"))
        self._read: dict[str, tuple[int, Told]] = {}

    def issue(self, client: access.Client, scopes: tuple[str, ...], *, now: int) -> str:
        """A token for an hour."""
        seconds = now // SECOND
        claims = {
            "iss": _ISSUER, "sub": client.id, "iat": seconds, "exp": seconds + LIFE, "scope": " ".join(scopes), "epoch": client.epoch
        }  # fmt: skip
        return jwt.encode({"alg": "HS256", "typ": "at+jwt"}, claims, self._key)

    def read(self, token: str, *, now: int) -> Told | None:
        """What a token says, or None when it is not ours, was altered or ran out."""
        # Checking a signature takes longer than most of what is then asked; one that was good stays so until it ends.
        known = self._read.get(token) or self._checked(token)
        return known[1] if known is not None and known[0] > now // SECOND else None

    def ours(self, token: str) -> bool:
        """Whether we issued it, however long ago."""
        return token in self._read or self._checked(token) is not None

    def _checked(self, token: str) -> tuple[int, Told] | None:
        try:
            said = jwt.decode(token, self._key, algorithms=["HS256"])
        except (JoseError, ValueError):
            return None
        claims = said.claims
        if said.header.get("typ") != "at+jwt" or claims.get("iss") != _ISSUER:
            return None
        if len(self._read) >= _MOST_READ:
            self._read.clear()
        told = Told(client=claims["sub"], epoch=claims["epoch"], scopes=tuple(claims["scope"].split()))
        found = self._read[token] = (claims.get("exp", 0), told)
        return found

    def hashed(self, client: str, secret: str) -> bytes:
        """A client secret as it is kept."""
        return self._vault.blind("client secret", client, secret)


def key_of(client: str, secret: str) -> str:
    """The API key that a client's id and secret make."""
    return f"{KEY}{client}.{secret}"


def parts_of(key: str) -> tuple[str, str] | None:
    """Client id and secret of an API key; None when it is none."""
    client, dot, secret = key.removeprefix(KEY).partition(".")
    return (client, secret) if key.startswith(KEY) and dot and client and secret else None
