"""What answers share: pages by cursor, sparse fields, entity tags."""

import base64
import binascii
import hashlib
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any, Generic, TypeVar

import msgspec
from litestar import Request, Response
from litestar.params import QueryParameter

from gateway import settings
from gateway.access import Viewer
from gateway.api.problems import Problem
from gateway.clock import instant
from gateway.desk.reading import Reading, Sought
from gateway.model.secret import Secret

MOST = 200
Limit = Annotated[int, QueryParameter(ge=1, le=MOST, description="How many at most.")]
After = Annotated[
    str | None,
    QueryParameter(description="The `next` of the page before.", max_length=400),
]
Fields = Annotated[
    str | None,
    QueryParameter(
        description="Only these members of each item, comma-separated; `id` is always there.", max_length=400
    ),
]
_json = msgspec.json.Encoder()
# More than a store takes as a number.
_FAR = 2**62
T = TypeVar("T")


class Page(msgspec.Struct, Generic[T], frozen=True, kw_only=True):
    """One page of a list. ``next`` is null on the last one; a page may hold fewer than ``limit`` and still have a next."""

    items: Sequence[T]
    next: str | None


def cursor(*parts: str | int) -> str:
    """Where a page ended, as opaque text."""
    return base64.urlsafe_b64encode(_json.encode(parts)).decode().rstrip("=")


def place(after: str | None, *kinds: type) -> tuple[Any, ...] | None:
    """What ``cursor`` was made of, or None for the first page. Problem 400 for what is no cursor of this list."""
    if after is None:
        return None
    try:
        parts = msgspec.json.decode(base64.urlsafe_b64decode(after + "=" * (-len(after) % 4)))
    except (binascii.Error, ValueError, msgspec.DecodeError):
        parts = None
    if (
        not isinstance(parts, list)
        or len(parts) != len(kinds)
        or not all(_fits(part, kind) for part, kind in zip(parts, kinds, strict=True))
    ):
        raise Problem(
            400,
            "request.cursor",
            "`after` is no cursor of this list",
            place="query.after",
            remedy="take `next` of the page before",
        )
    return tuple(parts)


def _fits(part: Any, kind: type) -> bool:
    return type(part) is kind and (not isinstance(part, int) or abs(part) < _FAR)


def sparse(item: Mapping[str, Any], fields: str | None, *, key: str = "id") -> dict[str, Any]:
    """The members that were asked for, and ``key``."""
    if not fields:
        return dict(item)
    wanted = {key, *(one.strip() for one in fields.split(","))}
    return {name: value for name, value in item.items() if name in wanted}


def tag(body: bytes) -> str:
    """A strong entity tag (RFC 9110 §8.8.3) of an answer as this caller may see it."""
    return f'"{hashlib.blake2b(body, digest_size=12).hexdigest()}"'


def tagged(request: Request[Any, Any, Any], item: Any, *, version: int | None = None) -> Response[Any]:
    """``item`` with its entity tag: of its version where it has one, else of its bytes. 304 where the caller has it already."""
    body = _json.encode(item)
    own = f'"{version}"' if version is not None else tag(body)
    headers = {"etag": own, "cache-control": "private, no-cache", "vary": "authorization"}
    if own in _tags(request.headers.get("if-none-match", "")):
        return Response(None, status_code=304, headers=headers)
    return Response(body, headers=headers, media_type="application/json")


def version_of(request: Request[Any, Any, Any]) -> int:
    """The version that a write names by ``If-Match``. Problem 428 without one, 412 for what is no version."""
    given = request.headers.get("if-match", "").strip()
    if not given:
        raise Problem(
            428,
            "request.if_match",
            "a change needs if-match",
            place="header.if-match",
            remedy="send the etag of what you read",
        )
    text = given.strip('"')
    if not (text.isascii() and text.isdigit() and len(text) < 18):
        raise changed()
    return int(text)


def changed() -> Problem:
    """412: what is there is not what the caller read."""
    return Problem(
        412,
        "request.changed",
        "if-match is not the etag of what is there",
        place="header.if-match",
        remedy="read it again, and change that",
    )


def fit(value: Any, kind: Any, place: str) -> Any:
    """``value`` of exactly its ``kind``: no text for a number. Problem 400 names the member."""
    try:
        return msgspec.convert(value, kind, dec_hook=_exactly)
    except msgspec.ValidationError as error:
        said = str(error)
        where = re.search(r"`\$([^`]*)`", said)
        raise Problem(
            400, "request.invalid", said.partition(" - at")[0], place=f"{place}{where.group(1)}" if where else place
        ) from error


def _exactly(kind: type, value: Any) -> Any:
    if kind is settings.Duration and type(value) in (int, float):
        return settings.Duration(value)
    if kind is Secret and isinstance(value, str):
        return Secret(value)
    raise ValueError("Expected a number of seconds" if kind is settings.Duration else "Expected `str`")


def _tags(header: str) -> set[str]:
    return {one.strip().removeprefix("W/") for one in header.split(",")}


def page(items: Sequence[Any], after: str | None) -> Page[Any]:
    """A page of plain data: what its items are is told by the handler's annotation, which the schema is made from."""
    return Page(items=items, next=after)


async def listed(
    reading: Reading, viewer: Viewer, kind: str, sought: Sought, *, after: str | None, limit: int, fields: str | None
) -> Page[Any]:
    """One page of records under the viewer's grants."""
    at = place(after, str)
    cut = await reading.page(viewer, kind, sought, after=at[0] if at else "", limit=limit)
    return page([sparse(item, fields) for item in cut.items], cursor(cut.next) if cut.next else None)


def since(when: datetime | None) -> int | None:
    """An instant of a query. Problem 400 for a time without a zone."""
    if when is None:
        return None
    if when.tzinfo is None:
        raise Problem(400, "request.invalid", "a time needs its zone", place="query", remedy="2026-11-11T00:00:00Z")
    return instant(when)
