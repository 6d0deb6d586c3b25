"""A text that stands for a value: the same value, the same text, for one reader; nothing about the value, and another text for another reader.

``tok_`` and 26 letters and digits: 128 bits of keyed BLAKE2b in the alphabet of RFC 4648 §6, lower case.
"""

import hashlib
import re
import unicodedata

from gateway import masking
from gateway.model.values import Sensitivity

PREFIX = "tok_"

# Ten digits and more: shorter ones are dates and postcodes too.
_NUMBER = re.compile(r"\+?(?:[\s().-]*\d){10,}\Z", re.ASCII)
_GAPS = re.compile(r"[\s().-]+")
# ITU-T E.164: a Chinese mobile number with and without its country code is one number.
_MOBILE = re.compile(r"\+?(?:00)?86(1[3-9]\d{9})\Z", re.ASCII)
_SPACES = re.compile(r"\s+")
# What few values are ever in, and what was written rather than given out: equal ones would tell, and nobody joins by them.
_ALONE = masking.PROSE | {"birthday"}

_ALPHABET = "abcdefghijklmnopqrstuvwxyz234567"
_PAIRS = [first + second for first in _ALPHABET for second in _ALPHABET]
_SHIFTS = range(120, -1, -10)


class Pseudonyms:
    """One reader's. ``key`` is 16 to 64 secret bytes that no other reader's have."""

    def __init__(self, key: bytes) -> None:
        self._mac = hashlib.blake2b(key=key, digest_size=16)

    def of(self, text: str, salt: str = "") -> str:
        """The pseudonym of a text, however it is spelt: see ``spelt``. With a ``salt`` (a record's id) equal texts are told apart by it."""
        mac = self._mac.copy()
        mac.update(f"{salt}\n{spelt(text)}".encode())
        number = int.from_bytes(mac.digest(), "big") << 2
        return PREFIX + "".join([_PAIRS[number >> shift & 1023] for shift in _SHIFTS])


def alone(sensitivity: Sensitivity, field: str) -> bool:
    """Whether equal values of a field must not be told: clinical ones, birthdays and free text have a pseudonym per record."""
    return sensitivity is Sensitivity.HEALTH or field in _ALONE


def spelt(text: str) -> str:
    """One spelling of what means the same: ``+86 138-0013-8000`` is ``13800138000``, ``Zhang@X.com`` is ``zhang@x.com``, full width is half."""
    plain = (text if text.isascii() else unicodedata.normalize("NFKC", text)).strip()
    if _NUMBER.match(plain):
        digits = _GAPS.sub("", plain)
        mobile = _MOBILE.match(digits)
        return mobile[1] if mobile else digits
    return _SPACES.sub(" ", plain).casefold()
