"""What a handler's signature says: its query parameters, its body, its answer. The schema is made of it, and requests are held against it."""

import re
from collections.abc import Mapping
from types import NoneType
from typing import Annotated, Any, NamedTuple, get_args, get_origin, get_type_hints

from litestar import Response
from litestar.handlers import HTTPRouteHandler
from litestar.params import BodyKwarg, QueryParameter
from msgspec import Meta

from gateway.api import shapes

BODY = "body"
"""A handler's ``opt``: the type of its JSON body where the handler itself takes plain data."""
TAKES = "takes"
"""A handler's ``opt``: the media types of its body; JSON when absent."""
ALSO = "also"
"""A handler's ``opt``: scopes that are needed beside its own."""
REFUSES = "refuses"
"""A handler's ``opt``: statuses of refusals that its method and path do not tell."""
GIVES = "gives"
"""A handler's ``opt``: the media types of an answer that is a file."""
JSON = ("application/json",)
ABSENT = object()
_NAMED = ("endpoints", "accounts", "mappings", "schemas")


class Signature(NamedTuple):
    """A handler at one method and path, with the types that it speaks of; ``ABSENT`` where there is none. ``optional`` is the body's."""

    method: str
    path: str
    handler: HTTPRouteHandler
    hints: Mapping[str, Any]
    query: Mapping[str, tuple[QueryParameter, Any]]
    body: Any
    optional: bool
    answer: Any

    @property
    def tag(self) -> str:
        """The resource: the first word of the path."""
        return tag_of(self.path)

    @property
    def takes(self) -> tuple[str, ...]:
        """The media types of the body."""
        found: tuple[str, ...] = self.handler.opt.get(TAKES, JSON)
        return found


def tag_of(path: str) -> str:
    """The resource that a path is about."""
    return re.split(r"[/:]", path.lstrip("/"))[0]


_known: dict[Any, Signature] = {}


def signature(handler: HTTPRouteHandler) -> Signature:
    """What ``handler`` says. The framework copies handlers: what they are made of stays the same."""
    found = _known.get(handler.fn)
    if found is None:
        found = _known[handler.fn] = _signature(handler)
    return found


def _signature(handler: HTTPRouteHandler) -> Signature:
    hints = get_type_hints(handler.fn, include_extras=True)
    answer = _answer(hints.pop("return"))
    query: dict[str, tuple[QueryParameter, Any]] = {}
    body: Any = ABSENT
    optional = False
    for name, hint in hints.items():
        inner, *marks = get_args(hint) if get_origin(hint) is Annotated else (hint,)
        for mark in marks:
            if isinstance(mark, QueryParameter):
                query[mark.name or name] = (mark, _parameter(inner, mark))
            elif isinstance(mark, BodyKwarg):
                optional = NoneType in get_args(inner)
                body = handler.opt.get(BODY) or _bare(inner)
    path = min(handler.paths)
    method = min(handler.http_methods - {"OPTIONS", "HEAD"})
    said = re.sub(r"\{(\w+)(:\w+)?\}", lambda found: "{" + _name(path, found[1]) + "}", path)
    return Signature(method.lower(), said, handler, hints, query, body, optional, answer)


def _answer(hint: Any) -> Any:
    if get_origin(hint) is Annotated:
        hint = get_args(hint)[0]
    if isinstance(hint, type) and issubclass(hint, Response):
        return ABSENT
    if get_origin(hint) is Response:
        (hint,) = get_args(hint)
    return (
        ABSENT if hint in (None, NoneType, bytes, Any) or (not get_args(hint) and not isinstance(hint, type)) else hint
    )


def _bare(kind: Any) -> Any:
    """Without ``| None``."""
    left = [part for part in get_args(kind) if part is not NoneType]
    return left[0] if NoneType in get_args(kind) and len(left) == 1 else kind


def _parameter(kind: Any, mark: QueryParameter) -> Any:
    limits = ("gt", "ge", "lt", "le", "min_length", "max_length", "pattern")
    given = {name: getattr(mark, name) for name in limits if getattr(mark, name) is not None}
    return Annotated[shapes.plainly(_bare(kind)), Meta(**given)] if given else _bare(kind)


def _name(path: str, name: str) -> str:
    """What is called ``name`` in a handler is an id, save where people give names."""
    return name if name != "name" or tag_of(path) in _NAMED else "id"
