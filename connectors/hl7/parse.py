"""A lazy HL7 v2 parser: a segment is looked for, and split into fields, when it is asked for. HL7 v2.5 chapter 2.

A value is text, ``""`` when the message does not say (keep what is known), or ``None`` for the explicit null ``""`` (erase it, §2.5.3).
Repetitions are positional and never dropped; escapes are resolved last, at the leaf.
"""

import functools
import re
from collections.abc import Sequence

import msgspec

from gateway.errors import PayloadError

NULL = '""'
_PATH = re.compile(r"([A-Z][A-Z0-9]{2})(?:\((\d+)\))?-(\d+)(?:\((\d+)\))?(?:\.(\d+)(?:\.(\d+))?)?")
_SEGMENT = re.compile(r"[A-Z][A-Z0-9]{2}")
_HEX = re.compile(r"[0-9A-Fa-f]+")
_LAYOUT = re.compile(r"\.(sp|sk|in|ti)([+-]?\d{0,3})")
_HEADER = "MSH"


class Marks(msgspec.Struct, frozen=True):
    """The delimiters a message declares. A mark it does not declare is ``""`` and separates nothing."""

    field: str
    component: str
    repetition: str
    escape: str
    sub: str
    truncation: str = ""


def marks(text: str) -> Marks:
    """From MSH-1 and MSH-2, which may be shorter than four characters or, from 2.7, one longer. PayloadError when unusable."""
    if len(text) < 5 or not text.startswith("MSH"):
        raise PayloadError("the message does not begin with MSH")
    field = text[3]
    encoding = text[4:10].split(field, 1)[0].split("\r", 1)[0]
    found = (encoding + "\0\0\0\0\0")[:5].replace("\0", " ")
    used = [field, *encoding]
    if (
        any(mark.isalnum() or mark in '" \r\n' for mark in used)
        or encoding[:1].isspace()
        or len(set(used)) < len(used)
        or not 1 <= len(encoding) <= 5
    ):
        raise PayloadError("the delimiters in MSH-1 and MSH-2 cannot be used")
    return Marks(field, *(mark.strip() for mark in found))


class Message:
    """One message. ``codec`` is what hexadecimal escapes are bytes of; ``whole`` the text, its segments ended by CR."""

    __slots__ = (
        "_component",
        "_escape",
        "_field",
        "_firsts",
        "_repetition",
        "_sub",
        "codec",
        "marks",
        "whole",
    )

    def __init__(self, text: str, codec: str = "utf-8", *, lenient: bool = False) -> None:
        """PayloadError when MSH is not there. ``lenient``: see ``with_cr``."""
        self.marks = found = _cached_marks(text[:10])
        self.codec = codec
        # A mark that is not declared separates nothing, and no decoded text holds a NUL.
        self._field, self._component, self._repetition = found.field, found.component, found.repetition or "\0"
        self._escape, self._sub = found.escape or "\0", found.sub or "\0"
        self.whole = with_cr(text, self._field, lenient=lenient) if "\n" in text else text
        self._firsts: dict[str, list[str] | None] = {}

    @property
    def segments(self) -> list[str]:
        """Those that are not blank, in order."""
        return [line for line in self.whole.split("\r") if line and not line.isspace()]

    def count(self, name: str) -> int:
        """How many segments of that name there are."""
        return self.whole.count(f"\r{name}") + (name == _HEADER)

    def goes_on(self, start: str) -> bool:
        """Whether any segment behind the first begins so."""
        return f"\r{start}" in self.whole

    def all(self, name: str) -> list[list[str]]:
        """The fields of every segment of that name, in order; index is HL7's number, 0 the name. Of MSH, 1 is the separator itself."""
        return [self._split(line) for line in self.segments if line[:3] == name]

    def first(self, name: str) -> list[str] | None:
        """The first segment of that name, or None."""
        if name in self._firsts:
            return self._firsts[name]
        # A message begins with MSH, and every other segment behind a CR.
        at = 0 if name == _HEADER else self.whole.find(f"\r{name}") + 1
        end = self.whole.find("\r", at)
        found = self._split(self.whole[at : None if end < 0 else end]) if at or name == _HEADER else None
        self._firsts[name] = found
        return found

    def _split(self, line: str) -> list[str]:
        fields = line.split(self._field)
        if fields[0] == _HEADER:
            fields.insert(1, self._field)
        return fields

    # ------------------------------------------------------------------ inside a field
    def repetitions(self, field: str) -> list[str]:
        """Positional: an empty one stays. An empty field has none."""
        return field.split(self._repetition) if field else []

    def components(self, repetition: str) -> list[str]:
        """At least one."""
        return repetition.split(self._component)

    def subs(self, component: str) -> list[str]:
        """At least one."""
        return component.split(self._sub)

    def leaf(self, raw: str) -> str | None:
        """A piece as it was meant: null is None, escapes are resolved."""
        if raw == NULL:
            return None
        if self._escape in raw:
            return unescape(raw, self.marks, self.codec)
        return raw

    def text(self, raw: str) -> str:
        """``leaf`` where a null and silence mean the same, without white space around it."""
        return (self.leaf(raw) or "").strip()

    def texts(self, repetition: str, least: int) -> list[str]:
        """Each component's first subcomponent as ``text``; ``""`` is added up to ``least`` of them. Number n stands at n - 1."""
        parts = repetition.split(self._component)
        if self._sub in repetition:
            parts = [part.split(self._sub, 1)[0] for part in parts]
        if self._escape in repetition or '"' in repetition:
            parts = [self.text(part) for part in parts]
        elif " " in repetition:
            parts = [part.strip() for part in parts]
        if len(parts) < least:
            parts += [""] * (least - len(parts))
        return parts

    def field(self, fields: Sequence[str] | None, number: int, least: int = 1) -> list[str]:
        """``texts`` of a field's first repetition, all ``""`` when the field or the whole segment is not there."""
        if fields is None or number >= len(fields) or not fields[number]:
            return [""] * least
        found = fields[number]
        if self._repetition in found:
            found = found.split(self._repetition, 1)[0]
        return self.texts(found, least)

    def value(self, fields: Sequence[str] | None, number: int) -> str:
        """``field`` of which only the first component is wanted."""
        raw = fields[number] if fields is not None and number < len(fields) else ""
        # No mark is a letter or a digit.
        return raw if not raw or raw.isalnum() else self.field(fields, number)[0]

    def pieces(self, repetition: str, most: int) -> list[str]:
        """The subcomponents of the first ``most`` components as ``text``, all in one row."""
        parts = repetition.split(self._component, most)[:most]
        return [part.strip() for part in self.texts(self._component.join(parts).replace(self._sub, self._component), 0)]

    def get(self, path: str) -> str | None:
        """The leaf at ``PID-5``, ``PID-5.1``, ``PID-3(2).4.1`` or ``OBX(2)-5``; counts from 1. Parts that are not named are the first.

        ``""`` when it is not there. A path of another shape is a mistake of the caller: ValueError.
        """
        name, which, number, repetition, component, sub = _path(path)
        fields = self.first(name) if which == 1 else next(iter(self.all(name)[which - 1 :]), None)
        if fields is None or number >= len(fields):
            return ""
        field = fields[number]
        if name == _HEADER and number <= 2:
            return field
        piece = _nth(self.repetitions(field), repetition)
        if piece == NULL:
            return None
        piece = _nth(self.components(piece), component)
        return self.leaf(piece if piece == NULL else _nth(self.subs(piece), sub))


def with_cr(text: str, field: str, *, lenient: bool) -> str:
    """The text whose segments all end with CR. An LF right behind a CR belongs to it; any other LF is data (§2.5.2 allows none, senders send
    them in OBX-5).

    ``lenient`` takes LF for CR, but only where no CR is there at all or every LF is followed by a segment's name and a separator.
    """
    text = text.replace("\r\n", "\r")
    return text.replace("\n", "\r") if lenient and "\n" in text and _ends_with_lf(text, field) else text


def _ends_with_lf(text: str, field: str) -> bool:
    if "\r" not in text.rstrip("\r\n"):
        return True
    heads = [line for line in text.split("\n")[1:] if line.strip()]
    return all(head[3:4] == field and _SEGMENT.fullmatch(head[:3]) for head in heads)


def unescape(text: str, marks: Marks, codec: str) -> str:
    """Resolve ``\\F\\ \\S\\ \\T\\ \\R\\ \\E\\ \\P\\ \\Xhh\\`` and formatting (§2.7). What is unknown or not closed stays as it is: it is a path or a fraction."""
    mark = marks.escape
    out: list[str] = []
    at = 0
    opened = text.find(mark)
    while opened >= 0:
        closed = text.find(mark, opened + 1)
        if closed < 0:
            break
        plain = _sequence(text[opened + 1 : closed], marks, codec)
        if plain is None:
            out.append(text[at : opened + 1])
            at = opened + 1
        else:
            out.append(text[at:opened] + plain)
            at = closed + 1
        opened = text.find(mark, at)
    out.append(text[at:])
    return "".join(out)


def _sequence(body: str, marks: Marks, codec: str) -> str | None:
    if len(body) == 1:
        return {
            "F": marks.field, "S": marks.component, "T": marks.sub, "R": marks.repetition, "E": marks.escape,
            "P": marks.truncation or "#", "H": "", "N": "",
        }.get(body)  # fmt: skip
    if body[:1] == "X":
        return _bytes(body[1:], codec)
    if body in {".br", ".ce", ".fi", ".nf"}:
        return "\n" if body in {".br", ".ce"} else ""
    layout = _LAYOUT.fullmatch(body)
    if layout is None:
        return None
    count = int(layout[2]) if layout[2] not in {"", "+", "-"} else 1
    return {"sp": "\n" * count, "sk": " " * count}.get(layout[1], "")


def _bytes(digits: str, codec: str) -> str | None:
    if not _HEX.fullmatch(digits):
        return None
    # Senders write one character in four digits (\X000d\) and even in three (\X00d\); the NUL that leads is none.
    raw = bytes.fromhex(digits if len(digits) % 2 == 0 else "0" + digits).replace(b"\0", b"")
    try:
        return raw.decode(codec)
    except UnicodeDecodeError:
        return None


@functools.lru_cache(maxsize=256)
def _cached_marks(head: str) -> Marks:
    return marks(head)


@functools.lru_cache(maxsize=1024)
def _path(path: str) -> tuple[str, int, int, int, int, int]:
    found = _PATH.fullmatch(path)
    if found is None:
        raise ValueError(f"not a path: {path}")
    name, *numbers = found.groups()
    which, number, repetition, component, sub = (int(n) if n else 1 for n in numbers)
    return name, which, number, repetition, component, sub


def _nth(pieces: Sequence[str], number: int) -> str:
    return pieces[number - 1] if 0 < number <= len(pieces) else ""
