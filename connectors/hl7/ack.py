"""Acknowledgments: what the sender hears. HL7 v2.5 §2.9 (modes), §2.15 (MSH, MSA, ERR), tables 0008, 0155 and 0357.

All of it is pure. A header can be read from a decoded message or, when that is impossible, from its raw bytes: a sender that is not
answered sends the same thing for ever.
"""

from collections.abc import Sequence
from enum import Enum

import msgspec

_TERMINATORS = b"\r\n"


class Mode(Enum):
    """Which acknowledgments an account gives.

    ``original`` answers every message with one AA, AE or AR, whatever it asks for. ``auto`` does what MSH-15 and MSH-16 ask for, and is
    ``original`` where both are empty. ``enhanced`` is ``auto`` that reads two empty fields as MSH-15 ``AL``: accept acknowledgments only.
    """

    ORIGINAL = "original"
    ENHANCED = "enhanced"
    AUTO = "auto"


class Code(Enum):
    """The outcome, as table 0008 words it in original mode; its accept-level twin begins with C."""

    ACCEPT = "AA"
    ERROR = "AE"
    REJECT = "AR"


class Fault(msgspec.Struct, frozen=True):
    """What is wrong and where: ``place`` is (segment, its number, field), ``number`` and ``name`` are table 0357's. ``text`` holds no payload."""

    number: int
    text: str
    place: tuple[str, int, int] = ("MSH", 1, 0)

    @property
    def name(self) -> str:
        """Table 0357's wording."""
        return _NAMES[self.number]


_NAMES = {
    100: "Segment sequence error", 101: "Required field missing", 102: "Data type error", 103: "Table value not found",
    104: "Value too long", 198: "Non-conformant cardinality", 199: "Other HL7 error", 200: "Unsupported message type",
    201: "Unsupported event code", 202: "Unsupported processing id", 203: "Unsupported version id", 204: "Unknown key identifier",
    205: "Duplicate key identifier", 206: "Application record locked", 207: "Application error",
}  # fmt: skip


class Header(msgspec.Struct, frozen=True):
    """An MSH segment: ``fields[n]`` is MSH-n, as written, and ``codec`` the bytes they came as. ``fields`` is empty when there is no MSH."""

    fields: Sequence[str] = ()
    codec: str = "latin-1"

    def field(self, number: int) -> str:
        """As written, or ``""``."""
        return self.fields[number] if number < len(self.fields) else ""

    @property
    def encoding(self) -> str:
        """MSH-2, with the standard's characters where the sender gave fewer than four."""
        own = self.field(2)
        return own if len(own) >= 4 else own + "^~\\&"[len(own) :]

    def parts(self, number: int) -> list[str]:
        """The components of MSH-``number``'s first repetition."""
        marks = self.encoding
        return self.field(number).split(marks[1])[0].split(marks[0])

    @property
    def version(self) -> tuple[int, int]:
        """(2, 5) for ``2.5.1``; (2, 3) when it is not stated or unreadable."""
        numbers = self.parts(12)[0].strip().split(".")
        if len(numbers) < 2 or not all(number.isascii() and number.isdigit() for number in numbers[:2]):
            return (2, 3)
        return int(numbers[0]), int(numbers[1])

    @property
    def is_ack(self) -> bool:
        """An acknowledgment is never acknowledged (§2.9.2)."""
        return self.parts(9)[0].strip() in {"ACK", "MCF"}


def raw_header(body: bytes) -> Header:
    """The header of a message that could not be decoded or parsed: the first segment's bytes, one character each."""
    at = body.find(b"MSH")
    if at < 0 or at > 3 or len(body) < at + 5:
        return Header()
    line = body[at:]
    ends = [end for end in map(line.find, (b"\r", b"\n")) if end >= 0]
    text = line[: min(ends, default=len(line))].decode("latin-1")
    mark = text[3]
    if mark.isalnum() or mark.isspace():
        return Header()
    name, encoding, *fields = [*text.split(mark), ""]
    usable = len(set(encoding) - {mark, " ", '"'}) == len(encoding) and not any(map(str.isalnum, encoding))
    return Header([name, mark, encoding if usable else "", *fields])


def replies(
    header: Header, mode: Mode, code: Code, *, control_id: str, now: str, fault: Fault | None = None
) -> list[bytes]:
    """The messages to send back, in order: none, one, or an accept and an application acknowledgment (their ids differ by a letter).

    ``now`` is MSH-7, ``control_id`` a fresh MSH-10 of at most 19 characters.
    """
    if header.is_ack:
        return []
    accept, application = _asked(header, mode)
    if accept is None:
        return [_message(header, code.value, control_id, now, fault, final=False)]
    out = []
    if _wants(accept, code):
        out.append(_message(header, "C" + code.value[1], control_id + "C", now, fault, final=True))
    # A message whose accept acknowledgment says no goes no further: there is no application left to answer (§2.9.3.1).
    heard = bool(out) and code is not Code.ACCEPT
    if _wants(application, code) and not heard:
        out.append(_message(header, code.value, control_id + "A", now, fault, final=True))
    return out


def _asked(header: Header, mode: Mode) -> tuple[str | None, str]:
    """MSH-15 and MSH-16, the first being None for original mode. An empty one beside a valued one asks for nothing."""
    accept, application = header.field(15).strip(), header.field(16).strip()
    if mode is Mode.ORIGINAL:
        return None, ""
    if accept or application:
        return accept, application
    return ("AL", "") if mode is Mode.ENHANCED else (None, "")


def _wants(condition: str, code: Code) -> bool:
    return condition == "AL" or condition == ("SU" if code is Code.ACCEPT else "ER")


def _message(header: Header, code: str, control_id: str, now: str, fault: Fault | None, *, final: bool) -> bytes:
    mark, encoding = header.field(1) or "|", header.encoding
    msh = [
        "MSH", encoding, header.field(5), header.field(6), header.field(3), header.field(4), now, "", _kind(header), control_id,
        header.field(11), header.field(12),
    ]  # fmt: skip
    # An acknowledgment in enhanced mode asks for none itself, or two engines would thank each other for ever.
    states = ["", "", "NE", "NE"] if final else ["", "", "", ""]
    charset = header.field(18)
    if final or charset:
        msh += [*states, *(["", charset] if charset else [])]
    segments = [msh, ["MSA", code, header.field(10), *_spoken(header, fault)]]
    if fault is not None:
        segments.append(_err(header, fault))
    text = "\r".join(mark.join(fields) for fields in segments) + "\r"
    return text.encode(header.codec, "replace")


def _kind(header: Header) -> str:
    if header.version < (2, 4):
        return "ACK"
    component = header.encoding[0]
    parts = header.parts(9)
    event = parts[1] if len(parts) > 1 else ""
    return component.join(("ACK", event, "ACK")) if event else "ACK"


def _spoken(header: Header, fault: Fault | None) -> list[str]:
    # MSA-3 is withdrawn from 2.7, but below it is the only thing that many senders write to their log.
    return [fault.text] if fault is not None and header.version < (2, 7) else []


def _err(header: Header, fault: Fault) -> list[str]:
    component, sub = header.encoding[0], header.encoding[3]
    segment, sequence, field = fault.place
    where = [segment, str(sequence), *([str(field)] if field else [])]
    coded = [str(fault.number), fault.name, "HL70357"]
    if header.version < (2, 5):
        return ["ERR", component.join([*where, *([""] if not field else []), sub.join(coded)])]
    return ["ERR", "", component.join(where), component.join(coded), "E", "", "", "", fault.text]
