"""Refusals of the partner API: problem details (RFC 9457), each with a stable ``code``, what to do, and the request's id."""

from collections.abc import Callable
from http import HTTPStatus
from typing import Any

import structlog
from litestar import Request, Response
from litestar.background_tasks import BackgroundTask
from litestar.exceptions import HTTPException, ValidationException

from gateway.desk.witness import Witness
from gateway.errors import ConfigError, GatewayError, PayloadError, Stale, Tampered, Verdict

_log = structlog.get_logger()


class Problem(HTTPException):
    """A refusal that names what is wrong (``detail``), where (``place``) and what to do (``remedy``)."""

    def __init__(
        self,
        status: int,
        code: str,
        detail: str,
        *,
        place: str = "",
        remedy: str = "",
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(detail, status_code=status, headers=headers)
        self.code = code
        self.place = place
        self.remedy = remedy


def not_found(what: str) -> Problem:
    """404. The same answer for what is not there and for what lies outside of the caller's domain."""
    return Problem(404, "request.not_found", f"there is no such {what}, or it is not yours to see")


def body_of(status: int, code: str, detail: str, **more: Any) -> dict[str, Any]:
    """The members of one problem; empty ones are left out."""
    said = {name: value for name, value in more.items() if value}
    return {
        "type": f"/docs#{code}", "title": HTTPStatus(status).phrase, "status": status, "code": code, "detail": detail, **said
    }  # fmt: skip


def of_http(request: Request[Any, Any, Any], error: HTTPException) -> Response[Any]:
    """What routing, parsing and our own handlers refuse."""
    status = error.status_code
    if isinstance(error, Problem):
        return _answer(request, status, error.code, error.detail, error.headers, place=error.place, remedy=error.remedy)
    if isinstance(error, ValidationException):
        return _answer(request, 400, "request.invalid", "the request is not as described", None, errors=_places(error))
    if status >= 500:
        return _fault(request, error)
    if status == 400:
        return _answer(request, 400, "request.invalid", f"the body is no JSON: {error.detail}", None, place="body")
    return _answer(request, status, f"request.{HTTPStatus(status).name.lower()}", error.detail, error.headers)


def of_text(request: Request[Any, Any, Any], _: UnicodeDecodeError) -> Response[Any]:
    """A body that is no text; the framework does not tell it from a fault of its own."""
    return _answer(request, 400, "request.invalid", "the body is not UTF-8", None, place="body")


def of_depth(request: Request[Any, Any, Any], _: RecursionError) -> Response[Any]:
    """A body that is nested deeper than anything we describe."""
    return _answer(request, 400, "request.invalid", "the body is nested too deeply", None, place="body")


def of_ours(request: Request[Any, Any, Any], error: GatewayError) -> Response[Any]:
    """Ours: the caller's mistakes are 400 or 409, what passes by itself 503, the rest 500."""
    if isinstance(error, (ConfigError, PayloadError)):
        return _answer(request, 400, error.code, error.detail, None, place=error.place, remedy=error.remedy)
    if isinstance(error, Stale):
        return _answer(
            request, 409, error.code, "somebody else changed this meanwhile", None, remedy="read it again and repeat"
        )
    if error.verdict is Verdict.LATER:
        return _answer(request, 503, error.code, "not now", {"retry-after": "5"}, remedy="send it again")
    _log.error("api.fault", code=error.code, detail=error.detail, request=_id(request))
    return _answer(request, 500, error.code, "a fault of the gateway; the log has it under this request's id", None)


def of_altered(witness: Witness) -> Callable[[Request[Any, Any, Any], Tampered], Response[Any]]:
    """What was asked for holds a sealed value that somebody altered: nobody can read it any more, and operators are told."""

    def answer(request: Request[Any, Any, Any], error: Tampered) -> Response[Any]:
        said = _answer(
            request, 409, error.code, "a sealed value of it was altered since it was written: it cannot be read", None,
            place=error.place, remedy="the gateway's operators have been told; what its source sends next can be read again",
        )  # fmt: skip
        said.background = BackgroundTask(witness.altered, error, stage="api", request=_id(request))
        return said

    return answer


def of_a_bug(request: Request[Any, Any, Any], error: Exception) -> Response[Any]:
    """The log gets the trace, the caller nothing of it."""
    if isinstance(error, HTTPException):
        return of_http(request, error)
    return _fault(request, error)


def _fault(request: Request[Any, Any, Any], error: Exception) -> Response[Any]:
    _log.error("api.fault", request=_id(request), exc_info=error)
    return _answer(
        request, 500, "gateway.fault", "a fault of the gateway; the log has it under this request's id", None
    )


def _answer(
    request: Request[Any, Any, Any], status: int, code: str, detail: str, headers: dict[str, str] | None, **more: Any
) -> Response[Any]:
    if status == 413:
        # What is left of the body is read no more: the caller must not send another request after it.
        headers = {**(headers or {}), "connection": "close"}
    return Response(
        body_of(status, code, detail, request=_id(request), **more),
        status_code=status,
        headers=headers,
        media_type="application/problem+json",
    )


def _id(request: Request[Any, Any, Any]) -> str:
    return str(request.scope["state"].get("request_id", ""))


def _places(error: ValidationException) -> list[dict[str, str]]:
    extra = error.extra if isinstance(error.extra, list) else []
    return [_place(one) for one in extra if isinstance(one, dict)]


def _place(one: dict[str, Any]) -> dict[str, str]:
    said, _, inner = str(one.get("message", "")).partition(" - at `$")
    source = one.get("source", "")
    source = getattr(source, "value", source)
    # The body is called data by the framework, and nobody outside knows that name.
    name = "" if source == "body" else str(one.get("key", ""))
    place = f"{source}.{name}".strip(".") + (inner.rstrip("`").removeprefix(".data") if source == "body" else "")
    return {"place": place, "detail": "a body is needed" if place == "body" and said == "'data'" else said}
