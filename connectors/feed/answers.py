"""What a feed's sender hears: 202 with counts, or RFC 9457 problem details. Details name rows and fields, never values."""

from collections.abc import Callable, Sequence

import msgspec

from connectors.feed.protocol import Fault
from connectors.feed.rows import Problem
from gateway.connector import Reason, Refused, Reply

# A body of ten thousand bad rows is told about the first thousand; ``refused`` always counts them all.
MOST_LISTED = 1000

_JSON = "application/json"
_PROBLEM = "application/problem+json"

_STATUS = {
    Reason.SIGNATURE: (401, "Unauthorized"),
    Reason.STALE: (401, "Unauthorized"),
    Reason.CREDENTIALS: (401, "Unauthorized"),
    Reason.PEER: (403, "Forbidden"),
    Reason.METHOD: (405, "Method Not Allowed"),
    Reason.TOO_LARGE: (413, "Content Too Large"),
    Reason.UNSUPPORTED: (415, "Unsupported Media Type"),
    Reason.MALFORMED: (400, "Bad Request"),
}
# Whoever has not proved who they are learns nothing but the status.
_SILENT = frozenset({Reason.SIGNATURE, Reason.STALE, Reason.CREDENTIALS, Reason.PEER})


class Taken(msgspec.Struct, frozen=True, omit_defaults=True):
    """``accepted`` rows were new, ``duplicates`` were known at the door; together they are all that is durable."""

    accepted: int
    duplicates: int
    refused: int = 0
    problems: tuple[Problem, ...] = ()


class Details(msgspec.Struct, frozen=True, omit_defaults=True):
    """RFC 9457 §3.1, with ``problems`` as an extension member."""

    title: str
    status: int
    detail: str = ""
    refused: int = 0
    problems: tuple[Problem, ...] = ()


def _taken(body: Taken) -> Reply:
    return Reply(status=202, body=msgspec.json.encode(body), content_type=_JSON)


_NEW, _KNOWN = _taken(Taken(1, 0)), _taken(Taken(0, 1))
NOTHING = _taken(Taken(0, 0))


def settle_one(known: Sequence[bool]) -> Reply:
    """The answer to a single good row."""
    return _KNOWN if known[0] else _NEW


def settle(problems: Sequence[Problem]) -> Callable[[Sequence[bool]], Reply]:
    """The answer to many rows, of which ``problems`` were refused."""

    def answer(known: Sequence[bool]) -> Reply:
        duplicates = sum(known)
        return _taken(Taken(len(known) - duplicates, duplicates, len(problems), tuple(problems[:MOST_LISTED])))

    return answer


def refuse(fault: Fault) -> Refused:
    """Nothing of this request was kept."""
    status, title = _STATUS[fault.reason]
    silent = fault.reason in _SILENT
    problems = (Problem(None, fault.field, fault.detail),) if fault.field else ()
    details = Details(title, status) if silent else Details(title, status, fault.detail, 0, problems)
    return Refused(reason=fault.reason, reply=_problem(details), detail=fault.detail)


def refuse_all(problems: Sequence[Problem]) -> Refused:
    """Readable, but not one row of it can be used."""
    first = problems[0]
    detail = "the row cannot be used" if len(problems) == 1 else f"none of the {len(problems)} rows can be used"
    details = Details("Unprocessable Content", 422, detail, len(problems), tuple(problems[:MOST_LISTED]))
    where = f"row {first.row} {first.field}".rstrip()
    return Refused(reason=Reason.MALFORMED, reply=_problem(details), detail=f"{detail}; {where}: {first.detail}")


def _problem(details: Details) -> Reply:
    headers = (("allow", "POST"),) if details.status == 405 else ()
    return Reply(status=details.status, body=msgspec.json.encode(details), content_type=_PROBLEM, headers=headers)
