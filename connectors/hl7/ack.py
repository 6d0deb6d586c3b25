"""Acknowledgments: what the sender hears. HL7 v2.5 §2.9 (modes), §2.15 (MSH, MSA, ERR), tables 0008, 0155 and 0357.

All of it is pure. A header can be read from a decoded message or, when that is impossible, from its raw bytes: a sender that is not
answered sends the same thing for ever.
"""

import functools
from collections.abc import Sequence
from enum import Enum

import msgspec

_ACKS = frozenset({"ACK", "MCF"})


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
    """An MSH segment as far as an acknowledgment needs it; see ``header_of``.

    ``fields[n]`` is MSH-n as written, ``""`` up to MSH-18 where there is none, and ``codec`` the bytes they came as. ``encoding`` is MSH-2 with
    the standard's characters where the sender gave fewer than four. ``version`` is (2, 5) for ``2.5.1``, and (2, 3) when it is not stated or
    unreadable. ``known`` says that there is an MSH at all.
    """

    fields: Sequence[str] = ("",) * 19
    codec: str = "latin-1"
    encoding: str = "^~\\&"
    kind: str = ""
    event: str = ""
    version: tuple[int, int] = (2, 3)
    known: bool = False

    @property
    def is_ack(self) -> bool:
        """An acknowledgment is never acknowledged (§2.9.2)."""
        return self.kind in _ACKS


def header_of(fields: Sequence[str], codec: str) -> Header:
    """``fields[n]`` is MSH-n as written; 0 is the segment's name, 1 the separator itself."""
    own = fields[2] if len(fields) > 2 else ""
    encoding = own if len(own) >= 4 else own + "^~\\&"[len(own) :]
    padded = fields if len(fields) >= 19 else [*fields, *[""] * (19 - len(fields))]
    component, repetition = encoding[0], encoding[1]
    kind, _, rest = padded[9].partition(repetition)[0].partition(component)
    return Header(
        padded, codec, encoding, kind.strip(), rest.partition(component)[0], _version(padded[12].partition(component)[0]), True
    )  # fmt: skip


@functools.lru_cache(maxsize=64)
def _version(text: str) -> tuple[int, int]:
    numbers = text.strip().split(".")
    if len(numbers) < 2 or not all(number.isascii() and number.isdigit() for number in numbers[:2]):
        return (2, 3)
    return int(numbers[0][:3]), int(numbers[1][:3])


def raw_header(body: bytes) -> Header:
    """The header of a message that could not be decoded or parsed: the first segment's bytes, one character each."""
    at = body.find(b"MSH")
    if at < 0 or at > 3 or len(body) < at + 5:
        return Header()
    line = body[at:]
    ends = [end for end in map(line.find, (b"\r", b"\n")) if end >= 0]
    text = line[: min(ends, default=len(line))].decode("latin-1")
    mark = text[3:4]
    if not mark or mark.isalnum() or mark.isspace():
        return Header()
    name, encoding, *fields = [*text.split(mark), ""]
    usable = len(set(encoding) - {mark, " ", '"'}) == len(encoding) and not any(map(str.isalnum, encoding))
    return header_of([name, mark, encoding if usable else "", *fields], "latin-1")


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
    if mode is Mode.ORIGINAL:
        return None, ""
    accept, application = header.fields[15].strip(), header.fields[16].strip()
    if accept or application:
        return accept, application
    return ("AL", "") if mode is Mode.ENHANCED else (None, "")


def _wants(condition: str, code: Code) -> bool:
    return condition == "AL" or condition == ("SU" if code is Code.ACCEPT else "ER")


def _message(header: Header, code: str, control_id: str, now: str, fault: Fault | None, *, final: bool) -> bytes:
    given, mark = header.fields, header.fields[1] or "|"
    sent = f"{given[5]}{mark}{given[6]}{mark}{given[3]}{mark}{given[4]}{mark}{now}{mark}{mark}{_kind(header)}{mark}{control_id}"
    # An acknowledgment in enhanced mode asks for none itself, or two engines would thank each other for ever.
    states = f"{mark * 3}NE{mark}NE" if final else ""
    if given[18]:
        states = f"{states or mark * 4}{mark * 2}{given[18]}"
    text = f"MSH{mark}{header.encoding}{mark}{sent}{mark}{given[11]}{mark}{given[12]}{states}\rMSA{mark}{code}{mark}{given[10]}"
    if fault is not None:
        text += f"{_spoken(header, fault, mark)}\r{mark.join(_err(header, fault))}"
    return f"{text}\r".encode(header.codec, "replace")


def _kind(header: Header) -> str:
    if header.version < (2, 4) or not header.event:
        return "ACK"
    component = header.encoding[0]
    return f"ACK{component}{header.event}{component}ACK"


def _spoken(header: Header, fault: Fault, mark: str) -> str:
    # MSA-3 is withdrawn from 2.7, but below it is the only thing that many senders write to their log.
    return mark + fault.text if header.version < (2, 7) else ""


def _err(header: Header, fault: Fault) -> list[str]:
    component, sub = header.encoding[0], header.encoding[3]
    segment, sequence, field = fault.place
    where = [segment, str(sequence), *([str(field)] if field else [])]
    coded = [str(fault.number), fault.name, "HL70357"]
    if header.version < (2, 5):
        return ["ERR", component.join([*where, *([""] if not field else []), sub.join(coded)])]
    return ["ERR", "", component.join(where), component.join(coded), "E", "", "", "", fault.text]
