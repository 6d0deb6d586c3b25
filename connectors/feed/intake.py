"""An opened feed account: one request in, its rows out."""

from collections.abc import Sequence
from typing import Any

from connectors.feed import answers, formats, protocol, rows
from connectors.feed.options import ID_FIELDS, FeedOptions, stem
from connectors.feed.protocol import Fault
from connectors.feed.rows import Naming, Problem, Row, Rows
from gateway.connector import (
    Accepted,
    Account,
    Decoded,
    Inbound,
    Lane,
    Line,
    Outcome,
    Reason,
    Refused,
    Request,
    Tools,
)

OTHER = "record"

_MAX_KEY = 255


class Feed:
    """Keeps ``receive`` and ``decode``. What a row means is left to the account's mapping."""

    def __init__(self, account: Account, _tools: Tools | None = None) -> None:
        """ConfigError when the options do not add up: no secret, no id_path for a mapping of one's own, a path that is none."""
        options: FeedOptions = account.options
        self._stem = stem(account, options)
        self._topic = self._stem if self._stem in ID_FIELDS else OTHER
        self._check = protocol.check(account, options)
        self._naming: Naming = rows.naming(account.name, self._topic, self._stem, options)
        self._format = options.format
        self._watched = bool(options.watch)

    def receive(self, request: Request) -> Outcome:
        """Every good row of a genuine request, whatever its neighbours are."""
        fault = self._admit(request)
        if fault is not None:
            return answers.refuse(fault)
        header = request.headers.get("idempotency-key")
        key = "" if header is None else _idempotency_key(header)
        # Asked for what it nearly always is: asking a struct's class in vain costs three times as much.
        if not isinstance(key, str):
            return answers.refuse(key)
        lane = Lane.BULK if request.method == protocol.FILE else None
        found = self._split(request, self._format)
        if not isinstance(found, list):
            return answers.refuse(found)
        return self._one(found[0], key, lane) if len(found) == 1 else self._outcome(found, key, lane)

    def bring(self, request: Request) -> Sequence[Line] | Refused:
        """As ``receive`` does, whatever format the account's own sender has to keep to."""
        found = self._split(request, "auto")
        if isinstance(found, Fault):
            return answers.refuse(found)
        return [self._line(row) for row in found]

    def _line(self, row: Row | Problem) -> Line:
        one = self._naming.admit(row, "", Lane.BULK) if isinstance(row, Row) else row
        if isinstance(one, Problem):
            return Line(row=one.row or 0, field=one.field, detail=one.detail)
        return Line(row=row.number if isinstance(row, Row) else 0, event=one)

    def _split(self, request: Request, form: str) -> Rows | Fault:
        content_type = request.headers.get("content-type", "")
        form = form if form != "auto" else formats.format_of(content_type, request.body)
        return formats.split(request.body, form, self._naming, content_type)

    def decode(self, topic: str, payload: bytes) -> Decoded:
        """One row as plain data; fractions are decimal text. PayloadError when it is not one JSON object."""
        data = rows.decode(payload)
        if topic == "order":
            _number_lines(data)
        return Decoded(data=data, mapping=self._stem)

    def _admit(self, request: Request) -> Fault | None:
        if request.method == protocol.FILE:
            # Both words are the files door's own; an HTTP method alone must not open it.
            local = request.peer == protocol.FILE_PEER and self._watched
            return None if local else Fault(Reason.METHOD, "only a watched directory hands over files")
        if request.method != "POST":
            return Fault(Reason.METHOD, "only POST is taken")
        fault = self._check(request)
        if fault is not None:
            return fault
        encoding = request.headers.get("content-encoding")
        if encoding is not None and encoding.lower() != "identity":
            return Fault(Reason.UNSUPPORTED, "send the body without a content encoding", "content-encoding")
        return None

    def _one(self, row: Row | Problem, key: str, lane: Lane | None) -> Outcome:
        admitted = self._naming.admit(row, key, lane) if isinstance(row, Row) else row
        if isinstance(admitted, Inbound):
            return Accepted(events=(admitted,), reply=answers.NOTHING, settle=answers.settle_one)
        return answers.refuse_all([admitted])

    def _outcome(self, found: Rows, key: str, lane: Lane | None) -> Outcome:
        admitted = [self._naming.admit(row, key, lane) if isinstance(row, Row) else row for row in found]
        events = tuple(one for one in admitted if isinstance(one, Inbound))
        problems = [one for one in admitted if isinstance(one, Problem)]
        if problems and not events:
            return answers.refuse_all(problems)
        return Accepted(events=events, reply=answers.NOTHING, settle=answers.settle(problems), problems=len(problems))


def _idempotency_key(header: str) -> str | Fault:
    """The IETF draft writes it as a quoted string; most senders leave the quotes off."""
    key = header.strip().removeprefix('"').removesuffix('"')
    if not 0 < len(key) <= _MAX_KEY or not key.isascii() or not key.isprintable():
        return Fault(Reason.MALFORMED, "must be 1 to 255 visible ASCII characters", "idempotency-key")
    return key


def _number_lines(data: dict[str, Any]) -> None:
    """A line without a number is known by its place: lines are merged by number, and none of them may be lost."""
    lines = data.get("lines")
    if isinstance(lines, dict):
        lines = data["lines"] = [lines]
    for position, line in enumerate(lines if isinstance(lines, list) else (), 1):
        if isinstance(line, dict):
            line["line_no"] = line.get("line_no") or str(position)
