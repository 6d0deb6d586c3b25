"""Refusals: problem details (RFC 9457) for machines, a page with words for people. Neither says more than the caller may know."""

import logging
from http import HTTPStatus
from typing import Any

from litestar import Request, Response
from litestar.exceptions import HTTPException

from gateway.errors import GatewayError, PayloadError
from scrm import pages

_MACHINES = ("/api/", "/hooks")
_RETRY = 5
_log = logging.getLogger("scrm")


def problem(status: int, code: str, detail: str) -> Response[dict[str, Any]]:
    """``code`` is stable, ``detail`` one sentence for a person."""
    body = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status, "code": code, "detail": detail}
    headers = {"retry-after": str(_RETRY)} if status == HTTPStatus.SERVICE_UNAVAILABLE else {}
    return Response(body, status_code=status, media_type="application/problem+json", headers=headers)


def of_ours(request: Request[Any, Any, Any], error: GatewayError) -> Response[Any]:
    """400 for what cannot be read, 503 for what cannot be kept: the sender has to try again."""
    status = HTTPStatus.BAD_REQUEST if isinstance(error, PayloadError) else HTTPStatus.SERVICE_UNAVAILABLE
    return _answer(request, int(status), error.code, error.detail)


def of_http(request: Request[Any, Any, Any], error: HTTPException) -> Response[Any]:
    """What routing and parsing refuse. The detail of a server error stays here."""
    status = error.status_code
    code = HTTPStatus(status).phrase.lower().replace(" ", "_")
    return _answer(
        request,
        status,
        f"http.{code}",
        error.detail if status < HTTPStatus.INTERNAL_SERVER_ERROR else "something went wrong",
    )


def of_a_bug(request: Request[Any, Any, Any], error: Exception) -> Response[Any]:
    """Ours to repair: the log gets the trace, the caller nothing of it."""
    if isinstance(error, HTTPException):
        return of_http(request, error)
    _log.error("request_failed", exc_info=error)
    return _answer(request, HTTPStatus.INTERNAL_SERVER_ERROR, "scrm.failed", "something went wrong")


def _answer(request: Request[Any, Any, Any], status: int, code: str, detail: str) -> Response[Any]:
    if request.url.path.startswith(_MACHINES):
        return problem(status, code, detail)
    return pages.sorry(request, status)
