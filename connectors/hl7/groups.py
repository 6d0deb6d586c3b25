"""One message, several facts: a merge repeats patients, an order message repeats orders. Each becomes an entry of its own.

A part is a whole small message: the header, the patient it is about, and one group. HL7 v2.5 §3.3.40 (A40), §4.4.1 (ORM), §7.3.1 (ORU).
"""

from collections.abc import Sequence

from gateway.errors import PayloadError

_HEADER = frozenset({"MSH", "EVN"})
_PATIENT = frozenset({"PID", "PV1"})
_MOST = 500
_GROWTH = 16
_SMALL = 1 << 20


def patients(segments: Sequence[str]) -> list[list[str]]:
    """One part per PID, with everything up to the next one."""
    header = [line for line in segments if line[:3] in _HEADER]
    parts: list[list[str]] = []
    for line in segments:
        if line[:3] == "PID":
            parts.append([*header, line])
        elif parts:
            parts[-1].append(line)
    return _bounded(parts, segments)


def orders(segments: Sequence[str]) -> list[list[str]]:
    """One part per order: it begins at ORC, or at an OBR that follows an OBR. The patient before it goes along."""
    header: list[str] = []
    patient: list[str] = []
    parts: list[list[str]] = []
    has_request = inside = False
    for line in segments:
        name = line[:3]
        if name in _HEADER:
            header.append(line)
        elif name == "PID":
            patient, inside, has_request = [line], False, False
        elif name == "ORC" or (name == "OBR" and (has_request or not inside)):
            parts.append([*header, *patient, line])
            inside, has_request = True, name == "OBR"
        elif inside:
            parts[-1].append(line)
            has_request = has_request or name == "OBR"
        elif name in _PATIENT:
            patient.append(line)
    return _bounded(parts, segments)


def _bounded(parts: list[list[str]], segments: Sequence[str]) -> list[list[str]]:
    # Every part repeats the patient: without a bound one frame of 8 MiB could ask for gigabytes.
    size = sum(map(len, segments))
    if len(parts) > _MOST or sum(len(line) for part in parts for line in part) > max(_SMALL, _GROWTH * size):
        raise PayloadError("the message holds more groups than one message may")
    return parts
