"""The only source of time and of ids.

Inside, an instant is an ``int`` of microseconds since 1970 in UTC: cheap to compare, to store and to hand to a test.
Text is ``2026-11-11T00:01:23.000000Z``, always 27 characters, so that it sorts.
"""

import asyncio
import contextlib
import hashlib
import io
import os
import threading
import time
from datetime import UTC, datetime, timedelta
from typing import Protocol

SECOND = 1_000_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Clock(Protocol):
    """What the rest of the house may know about time."""

    def now(self) -> int:
        """Microseconds since 1970, UTC."""
        ...

    def monotonic(self) -> float:
        """Seconds from an arbitrary start; never goes back."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Return after ``seconds``."""
        ...


class SystemClock:
    """The machine's clock."""

    def now(self) -> int:
        """See ``Clock.now``."""
        return time.time_ns() // 1000

    def monotonic(self) -> float:
        """See ``Clock.monotonic``."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """See ``Clock.sleep``."""
        await asyncio.sleep(seconds)


class TurnedClock:
    """A clock turned by hand: ``turn`` moves it, and sleeping is turning. For tests and dry runs."""

    def __init__(self, now: int = 1_760_000_000 * SECOND) -> None:
        self._now = now
        self._start = now

    def now(self) -> int:
        """See ``Clock.now``."""
        return self._now

    def monotonic(self) -> float:
        """See ``Clock.monotonic``."""
        return (self._now - self._start) / SECOND

    async def sleep(self, seconds: float) -> None:
        """Turn the clock by ``seconds`` and let others run."""
        self.turn(seconds)
        await asyncio.sleep(0)

    def turn(self, seconds: float) -> None:
        """Move forward, or back with a negative number."""
        self._now += int(seconds * SECOND)


async def at_most(seconds: float, event: asyncio.Event) -> bool:
    """Wait until ``event`` is set, or the time is over: which of the two it was, True for the event."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            return await event.wait()
    return False


def worked() -> float:
    """Seconds that this thread has worked: waiting, and a machine that gives it no turn, are no part of it."""
    return time.thread_time()


def text(instant: int) -> str:
    """An instant as ``YYYY-MM-DDTHH:MM:SS.ffffffZ``."""
    return text_of(moment(instant))


def text_of(when: datetime) -> str:
    """An aware datetime of any zone as the same 27 characters. A naive one is a mistake of the caller: ValueError."""
    if when.tzinfo is None:
        raise ValueError("a naive datetime has no place in time")
    utc = when if when.tzinfo is UTC else when.astimezone(UTC)
    # isoformat beats strftime by far, and pads years before 1000; asking it for microseconds makes it twice as slow.
    written = utc.isoformat()
    return f"{written[:26]}Z" if utc.microsecond else f"{written[:19]}.000000Z"


def moment(instant: int) -> datetime:
    """An instant as an aware UTC datetime, exact to the microsecond."""
    return _EPOCH + timedelta(microseconds=instant)


def instant(when: datetime) -> int:
    """An aware datetime as microseconds. A naive one is a mistake of the caller: ValueError."""
    if when.tzinfo is None:
        raise ValueError("a naive datetime has no place in time")
    delta = when - _EPOCH
    return (delta.days * 86_400 + delta.seconds) * SECOND + delta.microseconds


def parse(value: str) -> int:
    """The instant of an ISO 8601 text with a zone. ValueError otherwise."""
    return instant(datetime.fromisoformat(value))


class _Pool(threading.local):
    """Random bytes bought in bulk, one pool a thread. Asking the kernel lets go of the interpreter's lock each time, which under load costs
    more than all else that is done for a request."""

    def __init__(self) -> None:
        self._bytes = io.BytesIO()

    def take(self, count: int) -> bytes:
        taken = self._bytes.read(count)
        if len(taken) == count:
            return taken
        self._bytes = io.BytesIO(os.urandom(max(4096, count)))
        return self._bytes.read(count)

    def empty(self) -> None:
        self._bytes = io.BytesIO()


_pool = _Pool()
# The digit that holds the two bits of the variant, by a random one.
_VARIANT = {digit: "89ab"[int(digit, 16) % 4] for digit in "0123456789abcdef"}
# Two processes with the same bytes would use one nonce twice. The thread that forks is the child's only one.
os.register_at_fork(after_in_child=_pool.empty)


def random_bytes(count: int) -> bytes:
    """``count`` bytes fit for keys and nonces, never handed out twice."""
    return _pool.take(count)


def new_id(prefix: str, now: int) -> str:
    """A fresh ``prefix_`` + UUIDv7 in 32 hex digits; sorts by ``now`` to the millisecond. RFC 9562 §5.7."""
    # As ``_uuid7``, of hex digits instead of numbers of 128 bits: half the price, for what is made for every request and every attempt.
    digits = _pool.take(10).hex()
    return f"{prefix}_{now // 1000:012x}7{digits[:3]}{_VARIANT[digits[3]]}{digits[4:19]}"


def derived_id(prefix: str, now: int, *seed: str | bytes) -> str:
    """The same id for the same arguments: what a crash makes us do twice then carries one name."""
    # A length before each part keeps ("ab", "c") and ("a", "bc") apart.
    texts = [part if isinstance(part, str) else part.decode("latin-1") for part in seed]
    parts = "".join([f"{len(text)}:{text}" for text in texts])
    return _uuid7(prefix, now, hashlib.blake2b(parts.encode(), digest_size=10).digest())


def id_from(prefix: str, now: int) -> str:
    """What every id sorts behind that was made at ``now`` or later; those of before sort before it, to the millisecond."""
    return f"{prefix}_{max(0, now // 1000):012x}"


def made_at(name: str) -> int:
    """The instant for which an id of this house was made, cut to the millisecond. ValueError when it is none."""
    return int(name.rpartition("_")[2][:12], 16) * 1000


def _uuid7(prefix: str, now: int, random: bytes) -> str:
    # 48 bits of milliseconds, version 7, 12 random bits, variant 10, 62 random bits.
    bits = int.from_bytes(random, "big")
    value = (now // 1000) << 80 | 7 << 76 | (bits >> 68 & 0xFFF) << 64 | 2 << 62 | bits & 0x3FFF_FFFF_FFFF_FFFF
    return f"{prefix}_{value:032x}"
