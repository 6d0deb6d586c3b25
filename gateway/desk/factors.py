"""The two factors of signing in: a password (scrypt, RFC 7914) and a code of the moment (TOTP, RFC 6238); and how long who keeps missing waits."""

import asyncio
import base64
import hashlib
import hmac
import re

import pyotp

from gateway.clock import SECOND, random_bytes
from gateway.errors import ConfigError

SHORTEST_PASSWORD = 12
SALT = 16
_STEP = 30
_FREE_TRIES = 5
_OFFERED = re.compile(r"[A-Z2-7]{32}\Z")
# Each of them takes 32 MiB and a core for a tenth of a second.
_AT_ONCE, _IN_LINE = 2, 16


class Hashing:
    """Passwords of strangers, hashed a few at a time: a crowd at the door must not take the memory of what works behind it."""

    def __init__(self) -> None:
        self._turn = asyncio.Semaphore(_AT_ONCE)
        self._waiting = 0

    @property
    def crowded(self) -> bool:
        """Whether so many wait that nobody else should."""
        return self._waiting >= _IN_LINE

    async def right(self, password: str, kept: bytes) -> bool:
        """Whether ``kept`` was made of this password."""
        self._waiting += 1
        try:
            async with self._turn:
                given = await asyncio.to_thread(hashed, password, kept[:SALT])
        finally:
            self._waiting -= 1
        return hmac.compare_digest(given, kept)


def hashed(password: str, salt: bytes) -> bytes:
    """Salt and scrypt: N=2¹⁵, r=8, p=1, about a tenth of a second."""
    return salt + hashlib.scrypt(password.encode(), salt=salt, n=2**15, r=8, p=1, maxmem=64 * 1024 * 1024, dklen=32)


def need_password(password: str) -> None:
    """ConfigError for one that is too short."""
    if len(password) < SHORTEST_PASSWORD:
        raise ConfigError(f"a password has at least {SHORTEST_PASSWORD} characters", remedy="choose a longer one")


def lock_of(wrong: int) -> int:
    """Seconds that a user is locked after ``wrong`` wrong tries in a row."""
    return 0 if wrong < _FREE_TRIES else min(3600, 60 * 2 ** min(6, wrong - _FREE_TRIES))


def until(wrong: int, now: int) -> int:
    """The instant at which that is over, 0 for not locked."""
    return now + lock_of(wrong) * SECOND if lock_of(wrong) else 0


def offer() -> str:
    """A new TOTP secret (base32) to enrol."""
    return base64.b32encode(random_bytes(20)).decode()


def offered(secret: str) -> bool:
    """Whether it has the form of an offer; it comes back from a browser."""
    return _OFFERED.match(secret) is not None


def step_of(secret: str, code: str, now: int) -> int | None:
    """The time step that a code belongs to: the present one or one of its neighbours."""
    if not (code.isascii() and code.isdigit() and len(code) == 6):
        return None
    present = now // SECOND // _STEP
    totp = pyotp.TOTP(secret)
    for step in (present, present - 1, present + 1):
        if hmac.compare_digest(totp.generate_otp(step), code):
            return step
    return None


def uri_of(secret: str, name: str, issuer: str) -> str:
    """What an authenticator scans."""
    return pyotp.TOTP(secret).provisioning_uri(name=name, issuer_name=issuer)
