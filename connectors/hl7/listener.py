"""One account: what a frame is, who it is about, and what the sender hears."""

import hashlib
import itertools
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from zoneinfo import ZoneInfo

import msgspec

from connectors.hl7 import ack, charset, clinic, groups, patient
from connectors.hl7.ack import Code, Fault, Header, Mode
from connectors.hl7.options import HL7Options
from connectors.hl7.parse import Message
from gateway import clock
from gateway.connector import (
    Accepted,
    Account,
    Decoded,
    Inbound,
    Outcome,
    Page,
    Reason,
    Refused,
    Reply,
    Request,
    Tools,
    Window,
)
from gateway.errors import ConfigError, PayloadError

# A reply may be several acknowledgments; this is what stands between two of them inside one MLLP write (FS CR, VT).
BETWEEN_FRAMES = b"\x1c\r\x0b"
TRUNCATED = "mllp-truncated"
_TYPE = "application/hl7-v2"
_BOM = "\ufeff"
_SIZE_OF_DIGEST = 16

_TOPICS = {
    **{("ADT", event): "adt" for event in ("A01", "A03", "A04", "A05", "A08", "A28", "A31")},
    ("ADT", "A40"): "merge",
    **{("SIU", event): "siu" for event in ("S12", "S13", "S14", "S15", "S16", "S17", "S26")},
    ("ORM", "O01"): "orm",
    ("ORU", "R01"): "oru",
}
_KNOWN_TYPES = frozenset(kind for kind, _ in _TOPICS)
# A query waits for data; a positive acknowledgment without any would be taken for an empty answer.
_QUERIES = frozenset({"QRY", "QBP", "QSB", "QVR", "VXQ", "OSQ", "SQM", "SQR", "SPQ", "VQQ", "EQQ", "RQQ", "QCN", "QSX"})


class _Wrong(Exception):
    """A message that is answered with a negative acknowledgment. Never leaves this module."""

    def __init__(self, code: Code, reason: Reason, fault: Fault) -> None:
        super().__init__(fault.text)
        self.code = code
        self.reason = reason
        self.fault = fault


class _Parsed(msgspec.Struct, frozen=True):
    """A message that could be read, and how. ``alone`` when neither an MSA nor another MSH stands in it."""

    message: Message
    text: charset.Text
    header: Header
    alone: bool


class Listener:
    """An opened account."""

    def __init__(self, account: Account, tools: Tools) -> None:
        options: HL7Options = account.options
        self._options = options
        self._name = account.name
        self._mode = Mode(options.ack)
        self._zone = ZoneInfo(account.zone)
        self._place = patient.Place(options.authority, account.name)
        start = tools.clock.now()
        # Fresh over restarts and processes: the start to the microsecond, some luck, and a count. 19 characters, MSH-10 takes 20.
        self._prefix = f"{start // 1000:011x}{clock.new_id('', start)[-3:]}"
        self._count = itertools.count(1)
        self._now = (-1, "")

    # ------------------------------------------------------------------ receive
    def receive(self, request: Request) -> Outcome:
        """Accepted with the positive acknowledgment, or Refused with the negative one. An acknowledgment is neither stored nor answered."""
        header = Header()
        try:
            if TRUNCATED in request.headers:
                header = ack.raw_header(request.body)
                raise _Wrong(
                    Code.REJECT,
                    Reason.TOO_LARGE,
                    Fault(207, f"larger than {self._options.max_frame} bytes", ("MSH", 1, 10)),
                )
            parsed = self._parse(request.body)
            header = parsed.header
            if header.is_ack or not (parsed.alone or parsed.message.first("MSA") is None):
                return Accepted(events=(), reply=Reply(content_type=_TYPE))
            events = self._events(parsed, request.body)
        except _Wrong as wrong:
            header = header if header.known else ack.raw_header(request.body)
            code = wrong.code if header.known else Code.REJECT
            reply = self._reply(header, code, request.received_at, wrong.fault)
            return Refused(
                reason=wrong.reason, reply=reply, detail=f"{wrong.fault.number} {wrong.fault.name}: {wrong.fault.text}"
            )
        return Accepted(events=events, reply=self._reply(header, Code.ACCEPT, request.received_at, None))

    def _parse(self, body: bytes) -> _Parsed:
        try:
            text = charset.decode(body, self._options.encoding, ignore_stated=self._options.ignore_msh18)
        except PayloadError as error:
            raise _malformed(102, error.detail, ("MSH", 1, 18)) from error
        try:
            message = Message(text.text, text.codec, lenient=self._options.lenient)
        except PayloadError as error:
            raise _Wrong(Code.REJECT, Reason.MALFORMED, Fault(100, error.detail)) from error
        header = ack.header_of(message.first("MSH") or (), text.codec)
        return _Parsed(message, text, header, alone=not message.goes_on("MS"))

    def _events(self, parsed: _Parsed, body: bytes) -> tuple[Inbound, ...]:
        _check_header(parsed)
        topic = self._topic(parsed.message, parsed.header)
        try:
            parts = _parts(topic, parsed.message)
        except PayloadError as error:
            raise _malformed(198, error.detail, ("MSH", 1, 9)) from error
        key = self._dedupe_key(parsed.header, body)
        if len(parts) < 2:
            who = self._key(topic, parsed.message)
            return (Inbound(topic=topic, dedupe_key=key, partition_key=who, payload=body),)
        about = [self._key(topic, Message("\r".join(lines), parsed.text.codec)) for lines in parts]
        payloads = [_payload(lines, parsed.text) for lines in parts]
        return tuple(
            Inbound(topic=topic, dedupe_key=f"{key}|{number}", partition_key=who, payload=payload)
            for number, (who, payload) in enumerate(zip(about, payloads, strict=True), 1)
        )

    def _topic(self, message: Message, header: Header) -> str:
        kind = header.kind
        topic = _TOPICS.get((kind, header.event)) or _TOPICS.get((kind, clinic.trigger(message)))
        if topic is not None:
            return topic
        if kind in _QUERIES or self._options.unmapped == "refuse":
            number = 201 if kind in _KNOWN_TYPES else 200
            raise _Wrong(
                Code.REJECT,
                Reason.UNSUPPORTED,
                Fault(number, "this interface does not take such messages", ("MSH", 1, 9)),
            )
        return "other"

    def _key(self, topic: str, message: Message) -> str:
        """Whose order is kept. Raises _Wrong for a message, or a part of one, that names nobody it must name."""
        fields = message.first("PID")
        who = patient.known_by(message, fields, self._place)
        if topic in ("adt", "merge") and not who:
            raise _missing("PID", fields, 3)
        if topic == "merge":
            _check_merge(message, patient.known_as(message, fields, self._place), self._place)
        if topic == "siu" and not clinic.appointment_id(message):
            raise _missing("SCH", message.first("SCH"), 2)
        if topic in ("orm", "oru") and not clinic.order_id(message):
            raise _missing("OBR", message.first("OBR"), 2)
        return who or clinic.appointment_id(message) or self._place.default(message)

    def _dedupe_key(self, header: Header, body: bytes) -> str:
        # Ids repeat after a sender's restart; only with the same content is it the same message.
        digest = hashlib.blake2b(body, digest_size=_SIZE_OF_DIGEST).hexdigest()
        return f"{header.fields[3]}|{header.fields[4]}|{header.fields[10]}|{digest}"

    def _reply(self, header: Header, code: Code, received_at: int, fault: Fault | None) -> Reply:
        now = self._second(received_at // clock.SECOND)
        control_id = f"{self._prefix}{next(self._count) & 0xFFFFF:05x}"
        found = ack.replies(header, self._mode, code, control_id=control_id, now=now, fault=fault)
        return Reply(body=BETWEEN_FRAMES.join(found), content_type=_TYPE)

    def _second(self, seconds: int) -> str:
        """MSH-7 in the account's zone. Thousands of acknowledgments share one second."""
        if self._now[0] != seconds:
            self._now = seconds, datetime.fromtimestamp(seconds, self._zone).strftime("%Y%m%d%H%M%S%z")
        return self._now[1]

    # ------------------------------------------------------------------ decode
    def decode(self, topic: str, payload: bytes) -> Decoded:
        """Plain data: see ``patient`` and ``clinic``. PayloadError when the bytes cannot be read."""
        if topic == "other":
            return Decoded(data=None)
        text = charset.decode(payload, self._options.encoding, ignore_stated=self._options.ignore_msh18)
        message = Message(text.text, text.codec, lenient=self._options.lenient)
        data = clinic.header(message)
        data.update(patient.read(message, message.first("PID"), self._place))
        if topic == "adt":
            step = clinic.visit(message, data["event"], data["control_id"])
            if step is not None:
                data["visit"] = step
        elif topic == "merge":
            data["mrg"] = patient.retired(data["pid3"], patient.merged(message, self._place))
        elif topic == "siu":
            data["sch"] = clinic.appointment(message)
        elif topic == "orm":
            data["order"] = clinic.order(message)
        elif topic == "oru":
            data["order"] = clinic.report(message)
        else:
            raise PayloadError(f"no topic {topic}")
        return Decoded(data=data)

    # ------------------------------------------------------------------ verbs the card does not name
    async def serve(self, accept: Callable[[Sequence[Inbound]], Awaitable[None]]) -> None:  # noqa: ARG002  the promise names it
        """Never called: hospitals connect to us."""
        raise ConfigError("hl7 keeps no connection open", place=self._name)

    async def pull(self, topic: str, window: Window, cursor: str | None) -> Page:  # noqa: ARG002
        """Never called: HL7 v2 has no list of what was."""
        raise ConfigError("hl7 cannot be pulled", place=self._name)

    async def fetch(self, topic: str, key: str) -> Sequence[Inbound]:  # noqa: ARG002
        """Never called: a message says all it has to say."""
        raise ConfigError("hl7 cannot be asked", place=self._name)


# ------------------------------------------------------------------ what is wrong
def _malformed(number: int, text: str, place: tuple[str, int, int]) -> _Wrong:
    return _Wrong(Code.ERROR, Reason.MALFORMED, Fault(number, text, place))


def _missing(segment: str, fields: list[str] | None, number: int) -> _Wrong:
    if fields is None:
        return _malformed(100, f"there is no {segment} segment", (segment, 1, 0))
    return _malformed(101, f"{segment}-{number} names nothing", (segment, 1, number))


def _check_header(parsed: _Parsed) -> None:
    header = parsed.header
    if not header.kind:
        raise _Wrong(Code.REJECT, Reason.UNSUPPORTED, Fault(200, "MSH-9 does not say what this is", ("MSH", 1, 9)))
    if not header.fields[10].strip():
        raise _malformed(101, "MSH-10 is empty", ("MSH", 1, 10))
    version = header.fields[12].strip()
    if version and not version.startswith("2"):
        raise _Wrong(Code.REJECT, Reason.UNSUPPORTED, Fault(203, "only HL7 version 2 is spoken here", ("MSH", 1, 12)))
    if not parsed.alone and parsed.message.count("MSH") > 1:
        raise _malformed(100, "more than one message in one frame", ("MSH", 2, 0))
    if "\n" in parsed.message.whole and len(parsed.message.segments) == 1:
        raise _malformed(
            100, "segments end with LF and not with CR; the account's option lenient takes that", ("MSH", 1, 0)
        )


def _check_merge(message: Message, live: list[dict[str, str]], place: patient.Place) -> None:
    fields = message.first("MRG")
    old = patient.merged(message, place)
    if not old:
        raise _missing("MRG", fields, 1)
    if not patient.retired(live, old):
        raise _malformed(205, "MRG-1 matches PID-3", ("MRG", 1, 1))


# ------------------------------------------------------------------ parts
def _parts(topic: str, message: Message) -> list[list[str]]:
    """The groups of a message that holds several; nothing to split for one that does not."""
    if topic == "merge" and message.count("PID") > 1:
        return groups.patients(message.segments)
    if topic in ("orm", "oru") and (message.count("OBR") > 1 or message.count("ORC") > 1):
        return groups.orders(message.segments)
    return []


def _payload(lines: list[str], text: charset.Text) -> bytes:
    whole = "\r".join(lines) + "\r"
    # What a whole message was read as need not be what a part of it alone would be taken for; a mark settles it.
    return whole.encode(text.codec) if text.stated else (_BOM + whole).encode()
