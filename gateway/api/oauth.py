"""``POST /oauth/token``: client credentials (RFC 6749 §4.4). Its errors have the form of §5.2, which client libraries expect."""

import base64
import binascii
import math
from typing import Any
from urllib.parse import parse_qs, unquote_plus

import msgspec
from litestar import Request, Response, post
from litestar.di import NamedDependency

from gateway import limiter
from gateway.api.callers import guess
from gateway.desk import tokens
from gateway.desk.resources import Desk

_MOST = 8192


class Token(msgspec.Struct, frozen=True, kw_only=True):
    """A bearer token, how many seconds it lives, and what it opens."""

    access_token: str
    token_type: str
    expires_in: int
    scope: str


class Refusal(msgspec.Struct, frozen=True, kw_only=True):
    """RFC 6749 §5.2."""

    error: str
    error_description: str


@post("/oauth/token", status_code=200, include_in_schema=False, request_max_body_size=_MOST)
async def token(request: Request[Any, Any, Any], desk: NamedDependency[Desk]) -> Response[dict[str, Any]]:
    """An access token for an hour, for the scopes asked for or all that the client has."""
    body = await request.body()
    form = _form(body)
    if form is None:
        return _refuse(400, "invalid_request", "send application/x-www-form-urlencoded, each parameter once")
    if form.get("grant_type") != "client_credentials":
        return _refuse(400, "unsupported_grant_type", "grant_type must be client_credentials")
    name, secret = _credentials(request.headers.get("authorization", ""), form)
    client = await desk.clients.checked(name, secret) if name and secret else None
    if client is None:
        return await _unknown(request, desk)
    paced = await desk.limits.take(f"client:{client.id}", limiter.Rate(client.rate, client.burst))
    if isinstance(paced, limiter.Refused):
        return _slow("more requests than this client's pace", paced.wait)
    scopes = list(dict.fromkeys(form.get("scope", "").split())) or list(client.scopes)
    if missing := [scope for scope in scopes if scope not in client.scopes]:
        return _refuse(400, "invalid_scope", f"this client does not have {' '.join(missing)}"[:200])
    answer = {
        "access_token": desk.clients.token(client, scopes), "token_type": "Bearer", "expires_in": tokens.LIFE, "scope": " ".join(scopes)
    }  # fmt: skip
    return Response(answer, headers={"cache-control": "no-store"})


async def _unknown(request: Request[Any, Any, Any], desk: Desk) -> Response[dict[str, Any]]:
    """Guessing is slowed by address, and nobody else at that address with it: a proxy has one for all."""
    if wait := await guess(request.scope, desk.limits, desk.guesses):
        return _slow("too many tries from this address", wait)
    return _refuse(
        401, "invalid_client", "client id or secret is not known, or no longer", {"www-authenticate": "Basic"}
    )


def _slow(detail: str, wait: float) -> Response[dict[str, Any]]:
    return _refuse(429, "slow_down", detail, {"retry-after": str(math.ceil(wait))})


def _refuse(status: int, error: str, detail: str, headers: dict[str, str] | None = None) -> Response[dict[str, Any]]:
    body = {"error": error, "error_description": detail}
    return Response(body, status_code=status, headers={"cache-control": "no-store", **(headers or {})})


def _form(body: bytes) -> dict[str, str] | None:
    try:
        pairs = parse_qs(body.decode("ascii"), keep_blank_values=True)
    except (UnicodeDecodeError, ValueError):
        return None
    if any(len(values) != 1 for values in pairs.values()):
        return None
    return {name: values[0] for name, values in pairs.items()}


def _credentials(header: str, form: dict[str, str]) -> tuple[str, str]:
    """From HTTP Basic (RFC 6749 §2.3.1: both parts are form-encoded), else from the form."""
    scheme, _, value = header.partition(" ")
    if scheme.lower() != "basic":
        return form.get("client_id", ""), form.get("client_secret", "")
    try:
        name, _, secret = base64.b64decode(value, validate=True).decode("ascii").partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return "", ""
    return unquote_plus(name), unquote_plus(secret)
