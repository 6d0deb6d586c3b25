"""What a masked value looks like: enough to recognise, not enough to use.

Pure functions of the text, its class and the name of its field; no key and no record is needed.
"""

import re

from gateway.model.values import Sensitivity

HIDDEN = "***"

_PHONE = re.compile(r"\+?\d{7,15}\Z", re.ASCII)
_EMAIL = re.compile(r"([^@\s])[^@\s]*@([^@\s]+)\Z")
_YEAR = re.compile(r"\d{4}(?!\d)", re.ASCII)


def mask(value: str, sensitivity: Sensitivity, field: str) -> str | None:
    """``value`` as a person without the grant may see it, or None where nothing useful can be shown: an address line.

    ``field`` is the last name of the value's path; it tells a birthday from a name.
    """
    if sensitivity is Sensitivity.CONTACT:
        return None if field == "line" else contact(value)
    if sensitivity is Sensitivity.IDENTITY:
        return birthday(value) if field == "birthday" else name(value)
    return value if sensitivity is Sensitivity.PUBLIC else HIDDEN


def contact(value: str) -> str:
    """``+8613800138000`` → ``138****8000``, ``zhang@x.com`` → ``z***@x.com``, anything else its first character and ``***``."""
    if _PHONE.match(value):
        return phone(value)
    if found := _EMAIL.match(value):
        return f"{found[1]}{HIDDEN}@{found[2]}"
    return value[:1] + HIDDEN


def phone(value: str) -> str:
    """First three and last four digits; of fewer than eleven two at each end, of fewer than eight the last two. A Chinese one loses its ``+86``."""
    digits = value.removeprefix("+86")
    if len(digits) < 8:
        return f"****{digits[-2:]}"
    ends = (3, 4) if len(digits) >= 11 else (2, 2)
    return f"{digits[: ends[0]]}****{digits[-ends[1] :]}"


def name(value: str) -> str:
    """``张三丰`` → ``张*``: the length is hidden too. Serves national ids as well."""
    return value[:1] + "*"


def birthday(value: str) -> str:
    """The year of ``1988-08-18``, ``1988-08`` or ``1988``; a birthday without a year is hidden."""
    found = _YEAR.match(value)
    return found[0] if found else HIDDEN
