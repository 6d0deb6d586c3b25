"""XLSX bodies: the first visible sheet, a row of headings and a record a row. The one home of calamine.

An XLSX file is a ZIP of XML, and both can be small on the wire and huge in memory: a deflated run of zeros, a single cell at the far end of a
sheet (the reader allots the whole rectangle), one long shared text that every cell points at. So the parts are first unpacked here up to a
bound, their cells are counted, and only what passed is packed again, plainly, for the reader.
"""

import io
import re
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

import python_calamine as calamine
from lxml import etree

from connectors.feed.protocol import Fault
from gateway.connector import Reason

MEDIA_TYPE = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"

MAX_PARTS = 200
MAX_UNPACKED = 32 << 20
MAX_ELEMENTS = 2_000_000
MAX_COLUMNS = 256
MAX_TEXT = 32 << 20

_CHUNK = 1 << 16
_PLACE = re.compile(r"([A-Z]{1,3})([0-9]{1,7})")
# Pictures and printer settings are what makes a real file large; nothing in them is a row.
_WANTED = re.compile(
    r"(\[Content_Types\]\.xml|_rels/\.rels|xl/[^/]+\.xml|xl/_rels/[^/]+\.rels|xl/worksheets/[^/]+\.xml)"
)
_UNPACKING = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, ValueError, OSError)


class _TooLarge(Exception):
    """A bound was passed."""


def cells(body: bytes, most: int) -> Iterator[list[Any]] | Fault:
    """Rows of cells as text, bool, ``""`` for blank. Dates are ISO text, numbers plain decimal text."""
    try:
        plain = _repacked(body, most)
    except _TooLarge as error:
        return Fault(Reason.TOO_LARGE, str(error))
    except (*_UNPACKING, etree.XMLSyntaxError):
        return Fault(Reason.MALFORMED, "the body is not a readable XLSX file")
    try:
        with calamine.CalamineWorkbook.from_filelike(io.BytesIO(plain)) as book:
            table = _first_sheet(book)
    except (calamine.CalamineError, ValueError):
        return Fault(Reason.MALFORMED, "the body is not a readable XLSX file")
    return ([_plain(cell) for cell in row] for row in table)


def _first_sheet(book: calamine.CalamineWorkbook) -> list[list[Any]]:
    for sheet in book.sheets_metadata:
        if sheet.visible == calamine.SheetVisibleEnum.Visible and sheet.typ == calamine.SheetTypeEnum.WorkSheet:
            table: list[list[Any]] = book.get_sheet_by_name(sheet.name).to_python(skip_empty_area=True)
            return table
    return []


def _plain(cell: Any) -> Any:
    if isinstance(cell, str):
        return cell.strip()
    if isinstance(cell, float):
        return _decimal(cell)
    if isinstance(cell, datetime):
        return cell.isoformat(sep=" ", timespec="seconds")
    if isinstance(cell, date | time):
        return cell.isoformat()
    if isinstance(cell, timedelta):
        return str(cell)
    return cell


def _decimal(value: float) -> str:
    # The shortest text that reads back as the same double is what the sheet shows, up to Excel's own 15 digits.
    return format(Decimal(repr(value)), "f").removesuffix(".0")


def _repacked(body: bytes, most: int) -> bytes:
    parts = _unpacked(body)
    texts = _Texts()
    if "xl/sharedStrings.xml" in parts:
        texts.follow(parts["xl/sharedStrings.xml"])
    plain = io.BytesIO()
    with zipfile.ZipFile(plain, "w", zipfile.ZIP_STORED) as archive:
        for name, part in parts.items():
            # Any part: the file itself says which of them is a sheet.
            _Cells(texts.lengths, most).follow(part)
            archive.writestr(zipfile.ZipInfo(name), part)
    return plain.getvalue()


def _unpacked(body: bytes) -> dict[str, bytes]:
    parts: dict[str, bytes] = {}
    left = MAX_UNPACKED
    with zipfile.ZipFile(io.BytesIO(body)) as archive:
        wanted = [info for info in archive.infolist() if _WANTED.fullmatch(info.filename)]
        if len(wanted) > MAX_PARTS:
            raise _TooLarge("too many parts in the file")
        for info in wanted:
            if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise zipfile.BadZipFile
            parts[info.filename] = _read(archive, info, left)
            left -= len(parts[info.filename])
    return parts


def _read(archive: zipfile.ZipFile, info: zipfile.ZipInfo, left: int) -> bytes:
    # Read in pieces and counted: the size that an archive declares is the sender's claim.
    found = bytearray()
    with archive.open(info) as part:
        while piece := part.read(_CHUNK):
            found += piece
            if len(found) > left:
                raise _TooLarge(f"more than {MAX_UNPACKED >> 20} MiB when unpacked")
    return bytes(found)


class _Part:
    """Follows the elements of one part without keeping any. ``data`` and ``close`` are what lxml calls a parser's target by."""

    def __init__(self) -> None:
        self._elements = 0

    def start(self, tag: str, attributes: Mapping[str, str]) -> None:
        self._elements += 1
        if self._elements > MAX_ELEMENTS:
            raise _TooLarge("too many cells")
        self.opened(tag.rpartition("}")[2], attributes)

    def end(self, tag: str) -> None:
        self.closed(tag.rpartition("}")[2])

    def data(self, text: str) -> None:
        """Some of the text of the element that is open."""

    def close(self) -> None:
        """The part is read."""

    def opened(self, name: str, attributes: Mapping[str, str]) -> None:
        """An element begins."""

    def closed(self, name: str) -> None:
        """An element ends."""

    def follow(self, part: bytes) -> None:
        """Read all of it. ValueError or XMLSyntaxError when it is not plain XML."""
        if b"<!DOCTYPE" in part or b"\0" in part:
            raise ValueError("a document type has no place in a sheet")
        target: Any = self
        parser = etree.XMLParser(
            target=target, resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False
        )
        etree.fromstring(part, parser)


class _Texts(_Part):
    """The length of each shared text."""

    def __init__(self) -> None:
        super().__init__()
        self.lengths: list[int] = []

    def opened(self, name: str, attributes: Mapping[str, str]) -> None:  # noqa: ARG002  the name is what counts
        if name == "si":
            self.lengths.append(0)

    def data(self, text: str) -> None:
        if self.lengths:
            self.lengths[-1] += len(text)


class _Cells(_Part):
    """How far the filled cells reach, and how much shared text they point at."""

    def __init__(self, lengths: list[int], most: int) -> None:
        super().__init__()
        self.text = 0
        self._lengths = lengths
        self._most = most
        self._row = self._column = 0
        self._filled = self._shared = self._in_value = False
        self._value = ""

    def opened(self, name: str, attributes: Mapping[str, str]) -> None:
        if name == "row":
            self._row, self._column = int(attributes.get("r") or self._row + 1), 0
        elif name == "c":
            self._place(attributes.get("r"))
            self._filled, self._shared, self._value = False, attributes.get("t") == "s", ""
        elif name in ("v", "is", "f"):
            self._filled, self._in_value = True, name == "v"

    def data(self, text: str) -> None:
        if self._in_value and self._shared:
            self._value += text

    def closed(self, name: str) -> None:
        if name == "v":
            self._in_value = False
        elif name == "c" and self._filled:
            self._count()

    def _place(self, text: str | None) -> None:
        self._column += 1
        if text is None:
            return
        match = _PLACE.fullmatch(text.upper())
        if match is None:
            raise ValueError("not a cell's place")
        letters, digits = match.groups()
        self._row, self._column = int(digits), 0
        for letter in letters:
            self._column = self._column * 26 + ord(letter) - 64

    def _count(self) -> None:
        # One row more than the records: the headings.
        if self._row > self._most + 1:
            raise _TooLarge(f"more than {self._most} rows in one file; send them in several")
        if self._column > MAX_COLUMNS:
            raise _TooLarge(f"more than {MAX_COLUMNS} columns")
        if not self._shared:
            return
        index = int(self._value or 0)
        self.text += self._lengths[index] if 0 <= index < len(self._lengths) else 0
        if self.text > MAX_TEXT:
            raise _TooLarge("the cells hold too much text")
