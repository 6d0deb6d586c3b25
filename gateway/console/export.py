"""What a page shows, as a file: the same rows under the same grants."""

import csv as table
import io
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from litestar import Response

from gateway.console import frame
from gateway.desk import cells

_json = msgspec.json.Encoder()


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
    return cells.disarmed(value if isinstance(value, str) else _json.encode(value).decode())
