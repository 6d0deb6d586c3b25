"""Phone numbers as E.164. The one home of the phonenumbers library.

Mainland mobiles, nearly all of the traffic, are read without it. Numbers that a platform lends (privacy numbers) are told apart from
numbers that a person owns.
"""

import functools
import importlib
import re
from typing import Any

from gateway.language.masks import is_masked

_MOBILE = re.compile(r"1[3-9][0-9]{9}")
_MAINLAND = re.compile(r"(?:\+|00)?86[ -]?(1[3-9][0-9]{9})")
_GAPS = str.maketrans("", "", " -\u00a0\t")
# A mobile with an extension (13800138000-1234, …_123456, …转1234, …,,1234) is a lent number: nobody owns an extension on a mobile.
_EXTENDED = re.compile(
    r"((?:(?:\+|00)?86[ -]?)?1[3-9][0-9]{9}) ?(?:[-_#,;，；*]{1,2}|转|分机|ext\.? ?|x)[ :：]?[0-9]{1,8}", re.IGNORECASE
)
# 950xx numbers belong to companies that relay calls (95013 and its like); a person never owns one.
_RELAY = re.compile(r"(?:(?:\+|00)?86[ -]?)?(950[0-9]{2}[0-9 -]{3,14})(?:(?:[-_#,;，；]|转)[0-9]{1,8})?")
_LANDLINE = re.compile(r"(0[0-9]{2,3}[- ]?[0-9]{7,8})(?:-|转|,| ext\.? ?)[0-9]{1,6}", re.IGNORECASE)
# Desks of the big cities: eight digits behind 010 and 02x. Read here because a parse by the library costs as much as mapping a whole message.
_DESK = re.compile(r"0((?:10|2[0-57-9])(?!800)[2-8][0-9]{7})")
_SHORTEST = 5
_LONGEST = 40


@functools.cache
def _library() -> Any:
    # Loading its metadata costs a tenth of a second and megabytes; a process that only ever sees mainland mobiles never pays it.
    return importlib.import_module("phonenumbers")


def e164(text: str, region: str = "CN") -> str | None:
    """``+8613800138000``, or None for what is masked, too short, or no number of any plan.

    A number without ``+`` or ``00`` is read in ``region``. An extension is dropped. ITU-T E.164; metadata of libphonenumber.
    """
    if region == "CN":
        if _MOBILE.fullmatch(text):
            return "+86" + text
        if desk := _DESK.fullmatch(text):
            return "+86" + desk.group(1)
    text = text.strip()
    if is_privacy(text):
        return _lent(text)
    if not _SHORTEST <= len(text) <= _LONGEST or is_masked(text):
        return None
    plain = text.translate(_GAPS)
    mainland = _MAINLAND.fullmatch(plain) or (_MOBILE.fullmatch(plain) if region == "CN" else None)
    if mainland:
        return "+86" + mainland.group(mainland.re.groups)
    if region == "CN" and (desk := _DESK.fullmatch(plain.replace("-", "", 1))):
        return "+86" + desk.group(1)
    return _foreign(text, region)


def is_privacy(text: str) -> bool:
    """Whether a platform lends this number: a mobile with an extension, or a relay number."""
    # The shortest form is a mobile, a mark and a digit: nothing is to be asked of a bare mobile.
    if len(text) <= 12 and not text.startswith("950"):
        return False
    text = text.strip()
    return len(text) <= _LONGEST and bool(_EXTENDED.fullmatch(text) or _RELAY.fullmatch(text))


def _lent(text: str) -> str | None:
    found = _EXTENDED.fullmatch(text) or _RELAY.fullmatch(text)
    if not found:
        return None
    digits = found.group(1).translate(_GAPS)
    return "+86" + digits.removeprefix("+").removeprefix("00").removeprefix("86")


def _foreign(text: str, region: str) -> str | None:
    library = _library()
    desk = _LANDLINE.fullmatch(text)
    try:
        number = library.parse("+" + text[2:] if text.startswith("00") else desk.group(1) if desk else text, region)
    except library.NumberParseException:
        return None
    if not library.is_valid_number(number):
        return None
    return str(library.format_number(number, library.PhoneNumberFormat.E164))
