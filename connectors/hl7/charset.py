"""Which characters a message's bytes are. HL7 v2.5 §2.15.9.18 (MSH-18), table 0211.

A message is decoded **before** it is split: in GB18030 464 common ideographs have a second byte that is ``|``, ``^``, ``~`` or ``\\``
(乗 乛 亅 俓 …), and a parser that splits bytes cuts them in half. The first segment is read first, only for what MSH-18 says.
"""

import codecs
import functools
import re
from collections.abc import Sequence

import msgspec

from gateway.errors import PayloadError

_BOM = codecs.BOM_UTF8
_WHITE = b"\r\n "

# Table 0211 and what hospitals really write. GBK and GB2312 are subsets of GB18030, and senders who say GB2312 mean Windows' code page.
_CODECS = {
    **dict.fromkeys(("ASCII", "USASCII", "ISO646", "ISOIR6"), "ascii"),
    **dict.fromkeys(("UTF8", "UNICODEUTF8", "65001", "CP65001"), "utf-8"),
    **dict.fromkeys(
        ("GB18030", "GB180302000", "GB180302005", "GB180302022", "GBK", "GB2312", "GB23121980", "EUCCN", "CP936", "936", "MS936"),
        "gb18030",
    ),
    **dict.fromkeys(("BIG5", "CP950", "950"), "big5hkscs"),
    **dict.fromkeys(("KSX1001", "KSC5601", "EUCKR", "CP949"), "cp949"),
    **dict.fromkeys(("ISOIR87", "ISOIR159", "JISX0202", "ISO2022JP"), "iso2022_jp_2"),
    **dict.fromkeys(("SHIFTJIS", "SJIS", "CP932"), "cp932"),
    **dict.fromkeys(("LATIN1", "88591", "ISO88591"), "latin-1"),
    **dict.fromkeys(("CP1252", "WINDOWS1252"), "cp1252"),
    **{f"{prefix}8859{part}": f"iso8859-{part}" for part in (2, 3, 4, 5, 6, 7, 8, 9, 15) for prefix in ("", "ISO")},
}  # fmt: skip
_PUNCTUATION = str.maketrans("", "", " -_./()")
_THREE_BYTES_OF_UTF8 = re.compile("[\u0800-\U0010ffff]")


class Text(msgspec.Struct, frozen=True):
    """A decoded message. ``stated`` says that the message itself (MSH-18 or a byte order mark) named ``codec``."""

    text: str
    codec: str
    stated: bool


@functools.lru_cache(maxsize=64)
def codec(name: str) -> str | None:
    """Python's name of a character set as MSH-18 or a configuration names it; None when we do not know it."""
    return _CODECS.get(name.translate(_PUNCTUATION).upper())


def decode(raw: bytes, fallback: Sequence[str], *, ignore_stated: bool = False) -> Text:
    """The text of one message, without byte order mark and NULs.

    What MSH-18 names is obeyed; where it is empty, unknown or ASCII (the default nobody changed) the ``fallback`` names are tried in
    order. PayloadError when nothing fits: guessing a third time would store a wrong name under a clean status.
    """
    raw = raw.lstrip(_WHITE)
    if raw.startswith(_BOM):
        return _strict(raw[3:], "utf-8", stated=True)
    named = None if ignore_stated else _stated(raw, fallback)
    if named is None or (named == "ascii" and not raw.isascii()):
        return _fallback(raw, fallback)
    return _strict(raw, named, stated=True)


def _stated(raw: bytes, fallback: Sequence[str]) -> str | None:
    end = raw.find(b"\r")
    header = raw if end < 0 else raw[:end]
    end = header.find(b"\n")
    header = header if end < 0 else header[:end]
    named = _named(header.decode("latin-1"))
    if header.isascii():
        return named
    # A facility's name may be Chinese, and its second bytes may be separators: what was found has to be there in its own characters
    # too, else the first segment is read as the fallback says.
    if named is not None:
        text = _try(header, named)
        if text is not None and _named(text.text) == named:
            return named
    return _named(_fallback(header, fallback).text)


def _named(header: str) -> str | None:
    fields = header.split(header[3:4] or "|", 18)
    return _of_repetitions(fields[17], fields[1][1:2] or "~") if len(fields) > 17 else None


@functools.lru_cache(maxsize=64)
def _of_repetitions(names: str, mark: str) -> str | None:
    known = [codec(name) for name in names.split(mark)]
    # The others are reached by escape sequences out of ASCII, which only the Japanese codec knows.
    return "iso2022_jp_2" if "iso2022_jp_2" in known else known[0]


def _fallback(raw: bytes, fallback: Sequence[str]) -> Text:
    if raw.isascii():
        return Text(_clean(raw.decode("ascii")), codec(fallback[0]) or "ascii" if fallback else "ascii", False)
    fitting = [text for text in (_try(raw, codec(name)) for name in fallback) if text is not None]
    if not fitting:
        raise PayloadError("the bytes fit neither MSH-18 nor the account's fallback character sets")
    first = fitting[0]
    # One Chinese character in six, as GBK, is by chance a two-byte sequence of UTF-8 (Cyrillic, Arabic …); a real UTF-8 text from a
    # Chinese sender has three-byte sequences. So when GB18030 fits too, a short name is not turned into Cyrillic.
    if first.codec == "utf-8" and not _THREE_BYTES_OF_UTF8.search(first.text):
        return next((text for text in fitting[1:] if text.codec == "gb18030"), first)
    return first


def _try(raw: bytes, name: str | None) -> Text | None:
    try:
        return Text(_clean(raw.decode(name)), name, False) if name else None
    except UnicodeDecodeError:
        return None


def _strict(raw: bytes, name: str, *, stated: bool) -> Text:
    try:
        return Text(_clean(raw.decode(name)), name, stated)
    except UnicodeDecodeError as error:
        raise PayloadError(f"the bytes are not {name}, which the message says they are") from error


def _clean(text: str) -> str:
    # A NUL is no character of any message, and databases refuse the whole row for it.
    return text.replace("\0", "") if "\0" in text else text
