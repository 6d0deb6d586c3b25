"""What a page shows, as a file: the same rows under the same grants."""

import csv as table
import io
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from litestar import Response

from gateway.console import frame

_json = msgspec.json.Encoder()
# A cell that begins like this is a formula to a spreadsheet: somebody's nickname must not run on an operator's machine.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def csv(name: str, columns: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> Response[bytes]:
    """Rows as CSV in UTF-8 with a mark, as spreadsheets in China need it."""
    file = io.StringIO()
    writer = table.writer(file)
    writer.writerow(columns)
    writer.writerows([[cell(row.get(column)) for column in columns] for row in rows])
    headers = {**frame.HEADERS, "content-disposition": f'attachment; filename="{name}.csv"'}
    return Response(b"\xef\xbb\xbf" + file.getvalue().encode(), media_type="text/csv; charset=utf-8", headers=headers)


def cell(value: Any) -> str:
    """A value as one cell."""
    if value is None:
        return ""
    text = value if isinstance(value, str) else _json.encode(value).decode()
    return f"'{text}" if text.startswith(_FORMULA) else text
