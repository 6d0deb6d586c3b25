"""Who a message is about: PID and MRG as plain data. HL7 v2.5 §3.4.2 (PID), §3.4.9 (MRG), data types CX, XPN, XAD, XTN.

In plain data a key that is missing means the message does not say, ``None`` that it says *erase*.
"""

import re
from collections.abc import Iterable, Iterator
from typing import Any

from connectors.hl7.parse import NULL, Message

_CHINESE = re.compile("[\u3400-\u9fff\U00020000-\U0003ffff]")
# Table 0203: national identifiers. NNxxx is one issued by country xxx.
_NATIONAL = ("NI", "SS", "SSN")
_NAME_RANK = {"L": 0, "D": 1, "": 2, "U": 3, "C": 4, "B": 5, "M": 6, "A": 7, "N": 8, "P": 9, "S": 9}
_SCRIPT_RANK = {"I": 0, "": 1, "A": 2, "P": 3}
_WORST = (10, 0)
_USE = {
    "PRN": "home",
    "ORN": "home",
    "VHN": "home",
    "WPN": "work",
    "ASN": "work",
    "H": "home",
    "B": "work",
    "O": "work",
    "C": "home",
}
_NOT_A_VOICE = frozenset({"FX", "MD", "BP", "TDD", "TTY", "SAT"})
_MOBILE = re.compile(r"(?:\+?86)?1[3-9][0-9]{9}")
_PREFERRED = {"MR": 0, "PI": 1, "PT": 2, "PN": 3}
_ADDRESS, _COUNTY, _AT_WORK = 11, 12, 14
_CONTACT_FIELDS = (_ADDRESS, 13, _AT_WORK, 40)


class Place:
    """What identifiers mean that do not say who issued them: the account's option, else the sending facility, else the account itself."""

    __slots__ = ("_account", "_authority")

    def __init__(self, authority: str, account: str) -> None:
        self._authority = authority
        self._account = account

    def default(self, message: Message) -> str:
        """Never empty: two hospitals that number their patients from 1 must not share a customer."""
        if self._authority:
            return self._authority
        namespace, universal = message.field(message.first("MSH"), 4, 2)[:2]
        return namespace or universal or self._account


def read(message: Message, fields: list[str] | None, place: Place) -> dict[str, Any]:
    """``pid3`` always; ``name`` ``birth`` ``sex`` ``national_id`` ``deceased`` and contacts (see ``_contacts``) where PID says so."""
    if fields is None:
        return {"pid3": []}
    out: dict[str, Any] = {"pid3": known_as(message, fields, place)}
    _name(message, _at(fields, 5), out)
    _simple(message, _at(fields, 7), "birth", out)
    _simple(message, _at(fields, 8), "sex", out)
    _national(message, _at(fields, 19), out)
    _deceased(message, _at(fields, 29), _at(fields, 30), out)
    _contacts(message, fields, out)
    return out


def known_as(message: Message, fields: list[str] | None, place: Place) -> list[dict[str, str]]:
    """PID-3, else PID-2, where senders before 2.3.1 put it."""
    if fields is None:
        return []
    return list(identifiers(message, _at(fields, 3), place)) or list(identifiers(message, _at(fields, 2), place))


def known_by(message: Message, fields: list[str] | None, place: Place) -> str:
    """``key`` of those that ``known_as`` finds, of which no more are read than it takes."""
    if fields is None:
        return ""
    return key(identifiers(message, _at(fields, 3), place)) or key(identifiers(message, _at(fields, 2), place))


def merged(message: Message, place: Place) -> list[dict[str, str]]:
    """The identifiers of MRG-1."""
    fields = message.first("MRG")
    if fields is None:
        return []
    return list(identifiers(message, _at(fields, 1), place))


def identifiers(message: Message, field: str, place: Place) -> Iterator[dict[str, str]]:
    """A CX list as ``{id, authority, type, scope}``. Nulls, blanks and rows of zeros name nobody. A type that is missing is MR."""
    for repetition in message.repetitions(field):
        parts = message.texts(repetition, 5)
        value = parts[0]
        if not value.strip("0"):
            continue
        # The first subcomponent of CX-4 is its namespace; only an authority without one is looked at more closely.
        authority = parts[3] or _universal(message, repetition) or place.default(message)
        kind = parts[4].upper() or "MR"
        yield {"id": value, "authority": authority, "type": kind, "scope": f"{authority}|{kind}"}


def key(found: Iterable[dict[str, str]]) -> str:
    """The one identifier whose order is kept: the medical record number where there is one. ``""`` for nobody."""
    best, chosen = len(_PREFERRED) + 1, ""
    for item in found:
        rank = _PREFERRED.get(item["type"], len(_PREFERRED))
        if rank < best:
            best, chosen = rank, f"{item['scope']}|{item['id']}"
        if not best:
            break
    return chosen


def retired(live: list[dict[str, str]], old: list[dict[str, str]]) -> list[dict[str, str]]:
    """What MRG-1 really retires: an identifier that the survivor still carries (a national id) is not one of them."""
    kept = {(item["scope"], item["id"]) for item in live}
    return [item for item in old if (item["scope"], item["id"]) not in kept]


# ------------------------------------------------------------------ the fields
def _at(fields: list[str], number: int) -> str:
    return fields[number] if number < len(fields) else ""


def _universal(message: Message, repetition: str) -> str:
    """CX-4.2: the authority's universal id."""
    parts = message.components(repetition)
    subs = message.subs(parts[3]) if len(parts) > 3 else []
    return message.text(subs[1]) if len(subs) > 1 else ""


def _simple(message: Message, field: str, name: str, out: dict[str, Any]) -> None:
    # No mark is a letter or a digit.
    if not field or field.isalnum():
        _say(out, name, field)
        return
    value = message.leaf(message.components(message.repetitions(field)[0])[0])
    if value is None or value.strip():
        out[name] = value and value.strip()


def _name(message: Message, field: str, out: dict[str, Any]) -> None:
    if field == NULL:
        out["name"] = None
        return
    best = _WORST
    for repetition in message.repetitions(field):
        parts = message.texts(repetition, 8)
        rank = _NAME_RANK.get(parts[6], 3), _SCRIPT_RANK.get(parts[7], 1)
        if rank < best and (spoken := _spoken(*parts[:3])):
            best, out["name"] = rank, spoken


def _spoken(family: str, given: str, middle: str) -> str:
    # Chinese names have no spaces and the family name first; many systems put all of it into the family name.
    if _CHINESE.search(family + given):
        return family + given
    return " ".join(part for part in (given, middle, family) if part)


def _national(message: Message, field: str, out: dict[str, Any]) -> None:
    for item in out["pid3"]:
        if item["type"] in _NATIONAL or (len(item["type"]) == 5 and item["type"].startswith("NN")):
            out["national_id"] = item["id"].upper()
            return
    _simple(message, field, "national_id", out)


def _deceased(message: Message, when: str, indicator: str, out: dict[str, Any]) -> None:
    if not (when or indicator):
        return
    said = message.leaf(indicator)
    if said == "Y":
        out["deceased"] = message.text(message.components(when)[0]) or "Y"
    elif said == "N" or said is None:
        out["deceased"] = None
    elif when:
        _simple(message, when, "deceased", out)


# ------------------------------------------------------------------ ways to reach somebody
def _contacts(message: Message, fields: list[str], out: dict[str, Any]) -> None:
    """``phones`` {number, use}, ``mobiles`` (numbers), ``emails`` {address, use}, ``addresses`` {use, street, postcode, region}.

    ``unreachable`` is True when every field that speaks is null: contacts are one list in the model, and part of it cannot be erased.
    """
    said = [number for number in _CONTACT_FIELDS if number < len(fields) and fields[number]]
    spoken = [number for number in said if fields[number] != NULL]
    if said and not spoken:
        out["unreachable"] = True
    for number in spoken:
        for repetition in message.repetitions(fields[number]):
            if not repetition:
                continue
            if number == _ADDRESS:
                _address(message, repetition, fields, out)
            else:
                _telecom(message.texts(repetition, 12), "work" if number == _AT_WORK else "home", out)


def _telecom(parts: list[str], place: str, out: dict[str, Any]) -> None:
    first, use, equipment, mail = parts[:4]
    if "@" in first:
        mail, first = mail or first, ""
    place = _USE.get(use, place)
    if "@" in mail:
        out.setdefault("emails", []).append({"address": mail, "use": place})
    number = parts[11] or (parts[6] and _dialled(*parts[4:7])) or first
    if not number or equipment in _NOT_A_VOICE:
        return
    if equipment == "CP" or _MOBILE.fullmatch(number):
        place = "mobile"
        out.setdefault("mobiles", []).append(number)
    out.setdefault("phones", []).append({"number": number, "use": place})


def _dialled(country: str, area: str, local: str) -> str:
    return f"+{country.lstrip('+')}{area.lstrip('0')}{local}" if country else area + local


def _address(message: Message, repetition: str, fields: list[str], out: dict[str, Any]) -> None:
    parts = message.texts(repetition, 9)
    found: dict[str, Any] = {"use": _USE.get(parts[6], "home")}
    # XAD-1 may be street, street name and number in subcomponents; all of it is the line.
    _say(found, "street", " ".join(filter(None, message.pieces(repetition, 2))))
    _say(found, "postcode", parts[4])
    region: dict[str, Any] = {}
    _say(region, "province", parts[3])
    _say(region, "city", parts[2])
    code, county = message.field(fields, _COUNTY, 2)[:2]
    _say(region, "district", parts[8] or county or code)
    _say(found, "region", region)
    if len(found) > 1:
        out.setdefault("addresses", []).append(found)


def _say(out: dict[str, Any], name: str, value: Any) -> None:
    if value:
        out[name] = value
