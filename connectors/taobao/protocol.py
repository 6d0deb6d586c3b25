"""TOP request signing, TMC frames, and what TOP's error codes mean. Pure.

A TMC frame (little endian) is ``int8`` version 2, ``int8`` message type, then headers until type 0; each header is an ``int16`` type and
its payload. A counted string is an ``int32`` length in bytes and UTF-8; length 0 is null. Source: the platform's message client
(TMC, Encoder and Decoder) and TOP's documented signature; see README.md.
"""

import hashlib
import hmac
import re
import struct
from collections.abc import Mapping
from enum import IntEnum

import msgspec

from gateway.errors import PartnerDenied, PartnerDown, PartnerError, PartnerQuota, PayloadError

VERSION = 2
FRAME_MOST = 1 << 20

KIND = "__kind"


class MessageType(IntEnum):
    """The frame's second byte."""

    CONNECT = 0
    CONNECTACK = 1
    SEND = 2
    SENDACK = 3


class Kind(IntEnum):
    """What a SEND is about: the custom header ``__kind``."""

    NONE = 0
    PULL = 1
    CONFIRM = 2
    DATA = 3
    FAILED = 20


class Header(IntEnum):
    """Header types."""

    END = 0
    CUSTOM = 1
    STATUS_CODE = 2
    STATUS_PHRASE = 3
    FLAG = 4
    TOKEN = 5


class Format(IntEnum):
    """Types of a custom header's value. DATE is milliseconds since 1970 in an ``int64``."""

    VOID = 0
    STRING = 1
    BYTE = 2
    INT16 = 3
    INT32 = 4
    INT64 = 5
    DATE = 6
    BYTES = 7


_INTEGERS = {
    Format.BYTE: struct.Struct("<b"),
    Format.INT16: struct.Struct("<h"),
    Format.INT32: struct.Struct("<i"),
    Format.INT64: struct.Struct("<q"),
    Format.DATE: struct.Struct("<q"),
}
_INT16 = struct.Struct("<h")
_INT32 = struct.Struct("<i")
_FORMATS = {int(item): item for item in Format}


class Typed(msgspec.Struct, frozen=True):
    """A value with its width on the wire: a confirm must repeat the id in the width it came in."""

    format: Format
    value: int | str | bytes | None = None


class Frame(msgspec.Struct, frozen=True, kw_only=True):
    """One message. ``status`` None means that the header is absent, which reads as success. ``fields`` keep their order."""

    type: int
    status: int | None = None
    phrase: str | None = None
    flag: int | None = None
    token: str | None = None
    fields: Mapping[str, Typed] = {}

    def number(self, name: str) -> int | None:
        """An integer custom header whatever its width; None when absent or not a number."""
        typed = self.fields.get(name)
        return typed.value if typed is not None and isinstance(typed.value, int) else None

    def text(self, name: str) -> str:
        """A custom header as text; ``""`` when absent or null."""
        typed = self.fields.get(name)
        if typed is None or typed.value is None:
            return ""
        return typed.value.hex() if isinstance(typed.value, bytes) else str(typed.value)


def string(value: str) -> Typed:
    """A custom header's text value."""
    return Typed(Format.STRING, value or None)


def encode(frame: Frame) -> bytes:
    """The frame's bytes. ValueError for a number that does not fit its width."""
    parts = [struct.pack("<bb", VERSION, frame.type)]
    if frame.status is not None:
        parts.append(_INT16.pack(Header.STATUS_CODE) + _INT32.pack(frame.status))
    if frame.phrase is not None:
        parts.append(_INT16.pack(Header.STATUS_PHRASE) + _counted(frame.phrase))
    if frame.flag is not None:
        parts.append(_INT16.pack(Header.FLAG) + _INT32.pack(frame.flag))
    if frame.token is not None:
        parts.append(_INT16.pack(Header.TOKEN) + _counted(frame.token))
    for name, typed in frame.fields.items():
        parts.append(_INT16.pack(Header.CUSTOM) + _counted(name) + _valued(typed))
    parts.append(_INT16.pack(Header.END))
    return b"".join(parts)


def decode(raw: bytes) -> Frame:
    """The frame of one WebSocket message. PayloadError when truncated, oversized, of another version or of an unknown type.

    A status code is read as ``int32`` and, when the frame makes no sense so, as ``int16``: the published client writes the
    one and reads the other.
    """
    if len(raw) > FRAME_MOST:
        raise PayloadError(f"a TMC frame of {len(raw)} bytes is larger than {FRAME_MOST}")
    try:
        return _Reader(raw, _INT32).frame()
    except PayloadError:
        return _Reader(raw, _INT16).frame()


def _counted(value: str | None) -> bytes:
    raw = (value or "").encode()
    return _INT32.pack(len(raw)) + raw


def _valued(typed: Typed) -> bytes:
    head = struct.pack("<b", typed.format)
    if typed.format is Format.VOID:
        return head
    if typed.format is Format.STRING:
        return head + _counted(None if typed.value is None else str(typed.value))
    if typed.format is Format.BYTES:
        raw = typed.value if isinstance(typed.value, bytes) else b""
        return head + _INT32.pack(len(raw)) + raw
    try:
        return head + _INTEGERS[typed.format].pack(typed.value)
    except struct.error as error:
        raise ValueError(f"{typed.format.name} cannot hold the value") from error


class _Reader:
    """Reads one frame from left to right; every step that lacks bytes is a PayloadError."""

    def __init__(self, raw: bytes, status: struct.Struct) -> None:
        self._raw = raw
        self._status = status
        self._at = 0

    def frame(self) -> Frame:
        version, kind = self._take(2)
        if version != VERSION:
            raise PayloadError(f"TMC protocol version {version} is not {VERSION}")
        status: int | None = None
        phrase: str | None = None
        flag: int | None = None
        token: str | None = None
        fields: dict[str, Typed] = {}
        while (header := self._integer(_INT16)) != Header.END:
            if header == Header.CUSTOM:
                name = self._counted() or ""
                fields[name] = self._typed()
            # Twice is the sign of a wrong width: read in four bytes, a short status swallows the next header's type.
            elif header == Header.STATUS_CODE and status is None:
                status = self._integer(self._status)
            elif header == Header.STATUS_PHRASE:
                phrase = self._counted()
            elif header == Header.FLAG:
                flag = self._integer(_INT32)
            elif header == Header.TOKEN:
                token = self._counted()
            else:
                raise PayloadError(f"a TMC frame has a header of unknown type {header}")
        if self._at != len(self._raw):
            raise PayloadError("a TMC frame goes on after its end")
        return Frame(type=kind, status=status, phrase=phrase, flag=flag, token=token, fields=fields)

    def _take(self, size: int) -> bytes:
        end = self._at + size
        if size < 0 or end > len(self._raw):
            raise PayloadError(f"a TMC frame of {len(self._raw)} bytes ends before its content")
        taken = self._raw[self._at : end]
        self._at = end
        return taken

    def _integer(self, width: struct.Struct) -> int:
        number: int = width.unpack(self._take(width.size))[0]
        return number

    def _counted(self) -> str | None:
        raw = self._take(self._integer(_INT32))
        try:
            return raw.decode() if raw else None
        except UnicodeDecodeError as error:
            raise PayloadError("a TMC frame holds text that is not UTF-8") from error

    def _typed(self) -> Typed:
        code = self._take(1)[0]
        kind = _FORMATS.get(code)
        if kind is None:
            raise PayloadError(f"a TMC frame holds a value of unknown type {code}")
        if kind is Format.VOID:
            return Typed(kind)
        if kind is Format.STRING:
            return Typed(kind, self._counted())
        if kind is Format.BYTES:
            return Typed(kind, self._take(self._integer(_INT32)))
        return Typed(kind, self._integer(_INTEGERS[kind]))


def connect_sign(app_key: str, app_secret: str, group: str, timestamp: str) -> str:
    """The ``sign`` of a CONNECT. ``timestamp`` is milliseconds as text."""
    body = f"app_key{app_key}group_name{group}timestamp{timestamp}"
    return _md5(app_secret + body + app_secret)


def connect(app_key: str, app_secret: str, group: str, *, timestamp: str, address: str) -> Frame:
    """The first frame of a connection. ``address`` is the client's own IP address, which the platform shows in its console."""
    pairs = {
        "app_key": app_key,
        "group_name": group,
        "timestamp": timestamp,
        "sign": connect_sign(app_key, app_secret, group, timestamp),
        "sdk": "scrm-gateway",
        "intranet_ip": address,
    }
    return Frame(type=MessageType.CONNECT, fields={name: string(value) for name, value in pairs.items()})


def pull_request(token: str) -> Frame:
    """Ask for what is waiting."""
    return Frame(type=MessageType.SEND, token=token, fields={KIND: Typed(Format.BYTE, Kind.PULL)})


def confirm(token: str, message: Typed) -> Frame:
    """Say that ``message`` (its ``id`` as it came) is safe here; it will not be sent again."""
    return Frame(type=MessageType.SEND, token=token, fields={KIND: Typed(Format.BYTE, Kind.CONFIRM), "id": message})


def top_sign(secret: str, params: Mapping[str, str], method: str = "md5") -> str:
    """The ``sign`` of a TOP request. ``method`` is md5, hmac or hmac-sha256; empty values and ``sign`` itself do not take part."""
    pairs = sorted((key, value) for key, value in params.items() if key != "sign" and value != "")
    body = "".join(key + value for key, value in pairs)
    if method == "md5":
        return _md5(secret + body + secret)
    digest = {"hmac": "md5", "hmac-sha256": "sha256"}[method]
    return hmac.new(secret.encode(), body.encode(), digest).hexdigest().upper()


def _md5(text: str) -> str:
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest().upper()


_GONE = ("isv.trade-not-exist", "isv.refund-not-exist", "isv.item-not-exist", "isv.sku-not-exist")


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    """TOP's ``error_response``. The two messages may quote what was sent, so they go into no error text."""

    code: int = 0
    msg: str = ""
    sub_code: str = ""
    sub_msg: str = ""
    request_id: str = ""

    @property
    def gone(self) -> bool:
        """The object that was asked for is not there (any more)."""
        return self.code == 15 and self.sub_code.startswith(_GONE)


# What to do about each platform code. 7 (application) is the documented quota; 4, 5, 6 and 8 are its siblings by user, session, partner and frequency.
_QUOTA = {4, 5, 6, 7, 8}
_DOWN = {10}
_DENIED = {
    11: "the application lacks this permission: apply for the API package in the open platform's console",
    12: "the shop did not grant this: authorise it again",
    13: "the application lacks this permission: apply for the API package in the open platform's console",
    25: "check app_secret",
    26: "set session: the shop has to authorise the application",
    27: "the session is invalid: authorise the shop again and set the new session",
    28: "set app_key",
    29: "check app_key",
    42: "the platform forbids this call: see the application's state in its console",
    53: "the session has expired or its security level is too low: authorise the shop again",
}
_WAIT = re.compile(r"(\d+)\s*(?:more\s+)?(?:second|秒)", re.IGNORECASE)
_DEFAULT_WAIT = 60.0


def ban_wait(sub_msg: str) -> float:
    """Seconds that a quota message asks for; 60 when it does not say."""
    found = _WAIT.search(sub_msg)
    return float(found.group(1)) if found else _DEFAULT_WAIT


def failure_error(failure: Failure) -> PartnerError:
    """The error that a TOP failure is: quota waits, ``isp.`` retries, ``isv.`` and everything else stops."""
    detail = f"TOP error {failure.code} {failure.sub_code}".rstrip() + (
        f", request {failure.request_id}" if failure.request_id else ""
    )
    if failure.code in _QUOTA or failure.sub_code.startswith("accesscontrol.limited"):
        return PartnerQuota(detail, wait=ban_wait(failure.sub_msg))
    if failure.code in _DOWN or failure.sub_code.startswith("isp."):
        return PartnerDown(detail)
    if failure.code in _DENIED:
        return PartnerDenied(detail, remedy=_DENIED[failure.code])
    if failure.code == 15 and not failure.sub_code:
        return PartnerDown(detail)
    return PartnerError(detail)
