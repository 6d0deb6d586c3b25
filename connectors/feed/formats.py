"""A body into rows: which format it is in, and how JSON and CSV are taken apart. XML and XLSX have files of their own.

Whatever can be read is read: a bad row becomes a ``Problem`` in its place. Only a body that cannot be taken apart at all is a ``Fault``.
"""

import csv
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import msgspec

from connectors.feed import markup, rows, sheets
from connectors.feed.protocol import Fault
from connectors.feed.rows import Naming, Problem, Row, Rows
from gateway.connector import Reason
from gateway.errors import PayloadError

MAX_ROWS = 10_000

_BOM = b"\xef\xbb\xbf"
_TYPES = {
    "application/json": "json",
    "text/json": "json",
    "application/x-ndjson": "ndjson",
    "application/ndjson": "ndjson",
    "application/jsonl": "ndjson",
    "application/x-jsonlines": "ndjson",
    "application/xml": "xml",
    "text/xml": "xml",
    "text/csv": "csv",
    "application/csv": "csv",
    sheets.MEDIA_TYPE: "xlsx",
}

_LIST = msgspec.json.Decoder(list[msgspec.Raw])
_TOO_MANY = Fault(Reason.TOO_LARGE, f"more than {MAX_ROWS} rows in one request; send them in several")


def format_of(content_type: str, body: bytes) -> str:
    """``json``, ``ndjson``, ``xml``, ``csv``, ``xlsx``; ``""`` for what none of them can be. A telling content type wins over the content."""
    media = content_type if content_type in _TYPES else content_type.partition(";")[0].strip().lower()
    if media in _TYPES:
        return _TYPES[media]
    if media.endswith("+json"):
        return "json"
    if media.endswith("+xml"):
        return "xml"
    return _format_by_content(body)


def split(body: bytes, form: str, naming: Naming, content_type: str = "") -> Rows | Fault:
    """The body's rows in order. ``content_type`` may say which characters a CSV is made of."""
    if form == "xlsx":
        return _from_table(sheets.cells(body, MAX_ROWS), naming)
    body = body.removeprefix(_BOM)
    text = body.strip()
    if not text:
        return Fault(Reason.MALFORMED, "the body is empty")
    if form == "json":
        return _from_json(text)
    if form == "ndjson":
        return _from_lines(body)
    if form == "xml":
        return markup.split(body, naming, MAX_ROWS)
    if form == "csv":
        return _from_csv(body, naming, charset_of(content_type))
    return Fault(Reason.UNSUPPORTED, "neither JSON, NDJSON, XML, CSV nor XLSX")


def charset_of(content_type: str) -> str:
    """The ``charset`` parameter in lower case, or ``""``."""
    for part in content_type.split(";")[1:]:
        name, _, value = part.partition("=")
        if name.strip().lower() == "charset":
            return value.strip().strip('"').lower()
    return ""


def _format_by_content(body: bytes) -> str:
    if body.startswith(b"PK\x03\x04"):
        return "xlsx"
    first = body[:256].removeprefix(_BOM).lstrip()[:1]
    if first in (b"{", b"["):
        return "json"
    if first == b"<":
        return "xml"
    return "" if b"\0" in body[:4096] else "csv"


def _from_json(text: bytes) -> Rows | Fault:
    if text[:1] == b"[":
        return _from_array(text)
    try:
        return [Row(1, rows.decode(text), text)]
    except PayloadError as error:
        # One object a line is common under application/json too; a single broken object is not that.
        first, _, rest = text.partition(b"\n")
        if rest and first.startswith(b"{") and first.rstrip().endswith(b"}"):
            return _from_lines(text)
        return Fault(Reason.MALFORMED, f"the body is {error.detail}")


def _from_array(text: bytes) -> Rows | Fault:
    try:
        items = _LIST.decode(text)
    except (msgspec.DecodeError, ValueError, RecursionError):
        return Fault(Reason.MALFORMED, "the array is not well-formed JSON")
    if len(items) > MAX_ROWS:
        return _TOO_MANY
    return [_row(number, bytes(item)) for number, item in enumerate(items, 1)]


def _from_lines(body: bytes) -> Rows | Fault:
    lines = [line for raw in body.split(b"\n") if (line := raw.strip())]
    if len(lines) > MAX_ROWS:
        return _TOO_MANY
    return [_row(number, line) for number, line in enumerate(lines, 1)]


def _row(number: int, payload: bytes) -> Row | Problem:
    try:
        return Row(number, rows.decode(payload), payload)
    except PayloadError as error:
        return Problem(number, "", error.detail)


def _from_csv(body: bytes, naming: Naming, charset: str) -> Rows | Fault:
    text = _text(body, charset)
    if text is None or "\0" in text:
        return Fault(Reason.MALFORMED, "the text is neither UTF-8 nor GB18030")
    # Old spreadsheet programs on a Mac end lines with a bare carriage return.
    end = "\n" if "\n" in text else "\r"
    return _from_table(_csv_cells(text.split(end)), naming)


def _text(body: bytes, charset: str) -> str | None:
    gb = charset in ("gb18030", "gbk", "gb2312", "cp936")
    for encoding in ("gb18030",) if gb else ("utf-8", "gb18030"):
        try:
            return body.decode(encoding)
        except UnicodeDecodeError:
            continue
    return None


def _csv_cells(lines: list[str]) -> Iterator[list[Any] | str]:
    reader = csv.reader((line + "\n" for line in lines), delimiter=_delimiter(lines[0]), strict=True)
    while True:
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error:
            # The reader goes on with the next line; what the stray quote swallowed is named with this row.
            yield "a quote is out of place or never closed, or a cell is too long"
            continue
        if cells:
            yield [cell.strip() for cell in cells]


def _delimiter(heading: str) -> str:
    return max(",;\t", key=heading.count)


def _from_table(table: Iterable[list[Any] | str] | Fault, naming: Naming) -> Rows | Fault:
    """Rows of cells under a row of headings. A text in place of a row says why it could not be read."""
    if isinstance(table, Fault):
        return table
    records = iter(table)
    first = next(records, None)
    if not isinstance(first, list):
        return Fault(Reason.MALFORMED, first or "there is no row of headings")
    headings = [str(cell).strip() for cell in first]
    fault = _check(headings, naming)
    if fault is not None:
        return fault
    found: Rows = []
    for position, cells in enumerate(records, 1):
        if position > MAX_ROWS:
            return _TOO_MANY
        row = Problem(position, "", cells) if isinstance(cells, str) else _table_row(position, headings, cells)
        if row is not None:
            found.append(row)
    return found


def _check(headings: list[str], naming: Naming) -> Fault | None:
    names = [heading.removesuffix(":json") for heading in headings if heading]
    if len(set(names)) < len(names) or "" in names:
        return Fault(Reason.MALFORMED, "two columns have the same heading, or one has none before its :json")
    if not naming.headed(names):
        return Fault(Reason.MALFORMED, "no column has this heading", naming.id_path.text)
    return None


def _table_row(position: int, headings: list[str], cells: list[Any]) -> Row | Problem | None:
    """None for a row of blank cells."""
    if all(cell == "" for cell in cells):
        return None
    spare = [cell for cell in cells[len(headings) :] if cell != ""]
    if spare or any(cell != "" for heading, cell in zip(headings, cells, strict=False) if not heading):
        return Problem(position, "", "a cell stands under no heading")
    try:
        return rows.row_of(position, _record(dict(zip(headings, cells, strict=False))))
    except PayloadError as error:
        return Problem(position, error.place, error.detail)


def _record(cells: Mapping[str, Any]) -> dict[str, Any]:
    record: dict[str, Any] = {}
    for heading, cell in cells.items():
        name = heading.removesuffix(":json")
        if name == heading or cell == "":
            record[name] = cell
            continue
        try:
            record[name] = rows.decode_cell(str(cell))
        except PayloadError as error:
            raise PayloadError(error.detail, place=name) from error
    record.pop("", None)
    return record
