"""What happened: visits, appointments, orders and reports as plain data. HL7 v2.5 §3.4.3 (PV1), §10.6 (SCH … AIP), §4.5 (ORC, OBR), §4.5.4 (TQ1).

Times are texts for the mapping to read in the account's zone, ``stated`` beside ``time`` being the sender's own. Nothing of OBX or NTE is ever read here.
"""

import re
from datetime import datetime, timedelta
from typing import Any

from connectors.hl7.parse import Message

_MOVABLE = re.compile(r"([0-9]{12}(?:[0-9]{2})?)([+-][0-9]{4})?")
_VISITS = {"A01": "admitted", "A03": "discharged", "A04": "registered", "A05": "pre-admitted"}
_CANCELLED = frozenset({"S15", "S16", "S17"})
_NO_SHOW = "S26"
_SECONDS = {"S": 1, "SEC": 1, "M": 60, "MIN": 60, "H": 3600, "HR": 3600, "D": 86400}
# ORC-1 codes by which an order is over, whatever ORC-5 still says (table 0119).
_ENDED = frozenset({"OC", "CR", "OD", "DR", "UA"})
# ORC-1 codes that say nothing of the state by themselves: requests, changes and status reports.
_SILENT = frozenset({"", "CA", "DC", "HD", "RL", "XO", "RP", "PA", "CH", "RF", "SS", "SR", "SC", "SN", "NA", "RE", "LI", "UN", "AF", "DE", "RO", "RR", "XX", "XR", "RU", "CN"})  # fmt: skip
_REPORTED = frozenset({"F", "C"})
# PL: facility, building, floor, point of care, room, bed. The point of care names a department and so is clinical.
_WARD = (4, 7, 8, 1, 2, 3)
_ROOM = (4, 7, 8, 2)
_STARTS = (("TQ1", 7, 1), ("SCH", 11, 4), ("AIS", 4, 1), ("AIL", 6, 1), ("AIP", 6, 1), ("AIG", 8, 1))


def header(message: Message) -> dict[str, Any]:
    """``event`` ``control_id``, ``stated`` and ``time``: when the sender wrote the fact down (EVN-2), else sent it (MSH-7); ``occurred``."""
    msh, evn = message.first("MSH"), message.first("EVN")
    out: dict[str, Any] = {"event": trigger(message), "control_id": message.value(msh, 10)}
    recorded = _time(message, evn, 2)
    # A date alone says less than the header does.
    stated = recorded if len(recorded) > 8 else _time(message, msh, 7) or recorded
    _say(out, "stated", stated)
    _say(out, "time", stated)
    _say(out, "occurred", _time(message, evn, 6) or stated)
    return out


def trigger(message: Message) -> str:
    """MSH-9.2, else EVN-1, where senders before 2.3 put it."""
    return message.field(message.first("MSH"), 9, 2)[1] or message.value(message.first("EVN"), 1)


def visit(message: Message, event: str, control_id: str) -> dict[str, Any] | None:
    """One step of a visit: ``id`` (visit number and trigger), ``step``, ``at``, ``clinical``. None for an event without one."""
    if event not in _VISITS:
        return None
    pv1 = message.first("PV1")
    number = message.value(pv1, 19) or control_id
    out: dict[str, Any] = {"id": f"{number}:{event}", "step": _VISITS[event], "event": event}
    # A pre-admission is expected in the future; what happened today is that it was booked.
    expected = _time(message, message.first("PV2"), 8) if event == "A05" else ""
    if event != "A05":
        _say(out, "at", _time(message, pv1, 45 if event == "A03" else 44))
    known = (
        ("class", message.value(pv1, 2)), ("location", _place(message.field(pv1, 3, 8), _WARD)), ("service", message.value(pv1, 10)),
        ("attending", _person(message.field(pv1, 7, 3))), ("disposition", message.value(pv1, 36)), ("expected", expected),
    )  # fmt: skip
    _say(out, "clinical", "; ".join([f"{name}: {value}" for name, value in known if value]))
    return out


def appointment(message: Message) -> dict[str, Any]:
    """``id`` ``placer`` ``filler`` ``service`` ``reason`` ``place`` ``staff`` ``start`` ``end`` ``status``."""
    event = trigger(message)
    placer, filler = entity(message, "SCH-1"), entity(message, "SCH-2")
    out: dict[str, Any] = {"id": appointment_id(message)}
    _say(out, "placer", placer)
    _say(out, "filler", filler)
    _say(out, "service", _coded(message, "AIS-3") or _coded(message, "SCH-8") or _ward(message))
    _say(out, "reason", _coded(message, "SCH-7") or _coded(message, "SCH-6"))
    _say(out, "place", _place(message.field(message.first("AIL"), 3, 8), _ROOM))
    _say(out, "staff", message.get("AIP-3.1") or message.get("AIP-3.2") or message.get("SCH-16.1") or "")
    start = _first(message, *_STARTS)
    _say(out, "start", start)
    _say(out, "end", _first(message, ("TQ1", 8, 1), ("SCH", 11, 5)) or _later(start, _duration(message)))
    _say(out, "status", _appointment_status(event, message.get("SCH-25.1") or message.get("SCH-25.2") or ""))
    return out


def appointment_id(message: Message) -> str:
    """The filler's id, else the placer's."""
    return entity(message, "SCH-2") or entity(message, "SCH-1")


def order(message: Message) -> dict[str, Any]:
    """``id`` ``service`` ``state`` ``time`` and, for a new order, ``placed``. ``state`` is ``orc1.<code>`` or ``orc5.<code>``."""
    out = _order(message)
    control, status = (message.get("ORC-1") or "").upper(), (message.get("ORC-5") or "").upper()
    if status and control not in _ENDED:
        out["state"] = f"orc5.{status}"
    elif control not in _SILENT:
        out["state"] = f"orc1.{control}"
    stated = _first(message, ("ORC", 9, 1), ("MSH", 7, 1))
    _say(out, "stated", stated)
    _say(out, "time", stated)
    if control == "NW":
        _say(out, "placed", stated)
    return out


def order_id(message: Message) -> str:
    """The placer's number, else the filler's."""
    # The placer's comes first: it is the one that the order and its report both carry from the beginning.
    for path, kind in (("ORC-2", "placer"), ("OBR-2", "placer"), ("ORC-3", "filler"), ("OBR-3", "filler")):
        found = entity(message, path, kind)
        if found:
            return found
    return ""


def report(message: Message) -> dict[str, Any]:
    """``id`` ``service`` ``state`` (``obr25.<code>``) ``time`` and, when the result is final or corrected, ``ready``. No values."""
    out = _order(message)
    status = (message.get("OBR-25") or "").upper()
    _say(out, "state", f"obr25.{status}" if status else "")
    stated = _first(message, ("OBR", 22, 1), ("MSH", 7, 1))
    _say(out, "stated", stated)
    _say(out, "time", stated)
    if status in _REPORTED:
        step = "report ready" if status == "F" else "report corrected"
        out["ready"] = {"id": f"{out['id']}:{status}:{stated}", "step": step}
    if status == "F":
        _say(out, "completed", stated)
    return out


def entity(message: Message, path: str, kind: str = "") -> str:
    """An EI as ``id@namespace``: the namespace is part of the key. Without one, ``id@kind`` where ``kind`` is given, else ``id``."""
    value = message.get(f"{path}.1") or ""
    if not value:
        return ""
    place = message.get(f"{path}.2") or message.get(f"{path}.3") or kind
    return f"{value}@{place}" if place else value


# ------------------------------------------------------------------ inside
def _order(message: Message) -> dict[str, Any]:
    out: dict[str, Any] = {"id": order_id(message)}
    _say(out, "service", _coded(message, "OBR-4"))
    return out


def _appointment_status(event: str, filler_status: str) -> str:
    if event in _CANCELLED or event == _NO_SHOW:
        return event
    said = filler_status.strip().upper()
    # "Booked" beside a rescheduling is what the new slot is; that it moved is what the trigger says.
    return event if not said or (said == "BOOKED" and event == "S13") else said


def _coded(message: Message, path: str) -> str:
    return message.get(f"{path}.2") or message.get(f"{path}.1") or message.get(f"{path}.9") or ""


def _place(parts: list[str], wanted: tuple[int, ...]) -> str:
    return " ".join([parts[number - 1] for number in wanted if parts[number - 1]])


def _ward(message: Message) -> str:
    return message.get("AIL-3.1") or message.get("AIL-3.9") or ""


def _person(parts: list[str]) -> str:
    number, family, given = parts[:3]
    if family.isascii() and given:
        return f"{given} {family}".strip()
    return family + given or number


def _first(message: Message, *paths: tuple[str, int, int]) -> str:
    """The first of (segment, field, component) that holds a time."""
    for segment, number, component in paths:
        text = _time(message, message.first(segment), number, component)
        if text:
            return text
    return ""


def _time(message: Message, fields: list[str] | None, number: int, component: int = 1) -> str:
    """A time as the mapping's converter reads it; ``""`` when it is absent, null, or known to no more than the month."""
    text = fields[number] if fields is not None and number < len(fields) else ""
    if component > 1 or not text.isdigit():
        text = text and message.field(fields, number, component)[component - 1]
    if not text.isdigit():
        return _fraction(text)
    if len(text) < 8:
        return ""
    return text + "00" if len(text) == 10 else text


def _duration(message: Message) -> int:
    """Seconds; 0 when nobody says."""
    for length, unit in (("AIS-7", "AIS-8"), ("SCH-9", "SCH-10")):
        amount, word = message.get(length) or "", (message.get(unit) or "MIN").upper()
        if amount.isascii() and amount.isdigit() and len(amount) < 6:
            return int(amount) * _SECONDS.get(word, 0)
    return 0


def _later(start: str, seconds: int) -> str:
    """``start`` moved on, in its own offset; ``""`` when it cannot be."""
    found = _MOVABLE.fullmatch(start)
    if not seconds or found is None:
        return ""
    layout = "%Y%m%d%H%M" if len(found[1]) == 12 else "%Y%m%d%H%M%S"
    try:
        moved = datetime.strptime(found[1], layout) + timedelta(seconds=seconds)  # noqa: DTZ007 - its offset is put back as text
    except (ValueError, OverflowError):
        return ""
    return moved.strftime("%Y%m%d%H%M%S") + (found[2] or "")


def _fraction(text: str) -> str:
    head, dot, tail = text.partition(".")
    if not dot:
        return text
    digits = tail[: len(tail) - len(tail.lstrip("0123456789"))]
    return f"{head}.{digits[:4]}{tail[len(digits) :]}" if digits else head + tail


def _say(out: dict[str, Any], name: str, value: str) -> None:
    if value:
        out[name] = value
