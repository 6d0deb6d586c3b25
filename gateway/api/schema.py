"""The OpenAPI 3.1 document, made from the handlers: their signatures, docstrings, scopes and types. Nothing of it is written twice."""

import re
import sys
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any, NamedTuple

import msgspec
from litestar.handlers import HTTPRouteHandler

from gateway import VERSION, access
from gateway.api import oauth, shapes
from gateway.api.codes import CODES
from gateway.api.examples import ANSWERS, BODIES
from gateway.api.idempotency import SAFE
from gateway.api.shapes import Shape, prose
from gateway.api.signature import ABSENT, ALSO, GIVES, REFUSES, TAKES, Signature, signature

PREFIX = "/api/v1"
_FILE = {"type": "string"}


class Fault(msgspec.Struct, frozen=True, kw_only=True):
    """One of several things that are wrong with a request."""

    place: str
    detail: str


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """A refusal (RFC 9457). ``code`` is stable and stands in the list of codes, ``detail`` says what is wrong, ``place`` where, ``remedy`` what to do;
    ``request`` is the id to tell the operator."""

    type: str
    title: str
    status: int
    code: str
    detail: str
    request: str
    place: str = ""
    remedy: str = ""
    errors: tuple[Fault, ...] = ()


class Known(NamedTuple):
    """What types look like, by their identity, and the components that those shapes name."""

    shapes: Mapping[int, Shape]
    components: Mapping[str, Shape]

    def of(self, kind: Any) -> Shape:
        """The schema of one of the types that the document was made for."""
        return self.shapes[id(kind)]


def document(handlers: Sequence[HTTPRouteHandler]) -> dict[str, Any]:
    """The whole document for what stands under ``/api/v1``."""
    routes = [signature(handler) for handler in handlers]
    kinds = [kind for route in routes for kind in _kinds(route)]
    made, components = shapes.shapes([*kinds, Problem, oauth.Token, oauth.Refusal])
    known = Known({id(kind): shape for kind, shape in zip(kinds, made, strict=False)}, components)
    for route in routes:
        if "fields" in route.query:
            _loosen(known.of(route.answer), components)
    paths: dict[str, dict[str, Any]] = {"/oauth/token": {"post": _token()}}
    for route in routes:
        operation = paths.setdefault(PREFIX + route.path, {})[route.method] = _operation(route, known)
        if links := _links(route, routes):
            operation["responses"][str(route.handler.status_code)]["links"] = links
    return {
        "openapi": "3.1.0",
        "info": {"title": "SCRM gateway: partner API", "version": VERSION, "description": _ABOUT},
        "servers": [{"url": "/"}],
        "tags": [{"name": name, "description": said} for name, said in _tags(routes).items()],
        "paths": paths,
        "components": {
            "schemas": components,
            "responses": {str(status): _problem(status) for status in _statuses()},
            "headers": _HEADERS,
            "securitySchemes": _SECURITY,
        },
    }


def _loosen(page: Shape, components: dict[str, Shape]) -> None:
    """What may be left out by ``fields`` is not required."""
    items = components[_named(page)]["properties"]["items"]
    one = components[_named(items["items"])]
    one["required"] = [name for name in one.get("required", ()) if name in ("id", "name")]


def _named(shape: Shape) -> str:
    return str(shape["$ref"]).rpartition("/")[2]


_ABOUT = (
    "What partners read and decide over the gateway. Every list is paged by cursor, every refusal is problem details (RFC 9457) with a stable `code`, "
    "every answer carries `x-request-id`. Which fields are shown, masked or left out is decided by your client's grants, class by class: a field's class "
    "stands in `x-sensitivity`. Members may be added to answers at any time; ignore those you do not know."
)
_SECURITY: dict[str, Any] = {
    "oauth": {
        "type": "oauth2",
        "description": "Client credentials (RFC 6749 §4.4); a token lives for an hour.",
        "flows": {"clientCredentials": {"tokenUrl": "/oauth/token", "scopes": dict(access.SCOPES)}},
    },
    "key": {
        "type": "http",
        "scheme": "bearer",
        "description": "An API key, as `gateway clients make` shows it, with all scopes of its client.",
    },
}
_HEADERS: dict[str, Any] = {
    "request": {"description": "The id of this request, yours if you sent one; the log has it.", "schema": {"type": "string"}, "required": True},
    "policy": {"description": "Your quota `q` per window `w` in seconds (draft-ietf-httpapi-ratelimit-headers).", "schema": {"type": "string"}},
    "ratelimit": {"description": "On a refusal: `r` requests remain, and after `t` seconds there is room.", "schema": {"type": "string"}},
    "etag": {"description": "The entity tag of what this caller sees, or the version that a change has to name.", "schema": {"type": "string"}},
    "retry": {"description": "Seconds to wait.", "schema": {"type": "string"}},
    "location": {"description": "Where what was made stands.", "schema": {"type": "string"}},
}  # fmt: skip


def _tags(routes: Sequence[Signature]) -> dict[str, str]:
    said: dict[str, str] = {}
    for route in routes:
        module = sys.modules[route.handler.fn.__module__]
        said.setdefault(route.tag, prose(module.__doc__))
    return said


def _kinds(route: Signature) -> list[Any]:
    kinds = [kind for _, kind in route.query.values()]
    return kinds + [kind for kind in (route.body, route.answer) if kind is not ABSENT]


# ------------------------------------------------------------------ one operation
def _operation(route: Signature, known: Known) -> dict[str, Any]:
    said = prose(route.handler.fn.__doc__)
    scope = route.handler.opt.get("scope")
    name = operation_id(route)
    operation: dict[str, Any] = {
        "operationId": name,
        "tags": [route.tag],
        "summary": re.split(r"(?<=[.:;])\s", said)[0].rstrip(".:;"),
        "description": said,
        "parameters": _parameters(route, known),
        "security": [{"oauth": [scope, *route.handler.opt.get(ALSO, ())] if scope else []}, {"key": []}],
        "responses": _responses(route, known, name),
    }
    if scope:
        operation["x-scope"] = scope
    if route.body is not ABSENT:
        operation["requestBody"] = _body(route, known, name)
    elif TAKES in route.handler.opt:
        # JSON may be anything here; what is no JSON is a file.
        content = {kind: {"schema": {} if kind.endswith("/json") else _FILE} for kind in route.takes}
        operation["requestBody"] = {"required": True, "content": content}
    return operation


def operation_id(route: Signature) -> str:
    """``customers.list``, ``customers.read``, ``customers.timeline``: the resource, and what is done."""
    tag, word = route.tag, route.handler.fn.__name__
    if route.method == "get" and route.path == f"/{tag}":
        word = "list"
    elif route.method == "get" and re.fullmatch(rf"/{tag}/\{{\w+\}}", route.path):
        word = "read"
    return f"{tag}.{word}"


def _parameters(route: Signature, known: Known) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = [
        {
            "name": name,
            "in": "path",
            "required": True,
            "schema": {"type": "string", "minLength": 1},
            "description": "As its list answers with it." if name in ("id", "name") else "Of the other one.",
        }
        for name in re.findall(r"\{(\w+)\}", route.path)
    ]
    defaults = route.handler.parsed_fn_signature.parameters
    for name, (mark, kind) in route.query.items():
        default = next((one.default for key, one in defaults.items() if (mark.name or key) == name), None)
        schema = dict(known.of(kind))
        if isinstance(default, (int, str, bool)):
            schema["default"] = default
        entry = {"name": name, "in": "query", "required": False, "schema": schema}
        found.append(entry | ({"description": mark.description} if mark.description else {}))
    return found + [_header(*one) for one in _headers_of(route)]


def _headers_of(route: Signature) -> list[tuple[str, bool, str, dict[str, Any]]]:
    text = {"type": "string"}
    if _writes(route):
        return [
            (
                "Idempotency-Key",
                False,
                "Any text of yours: repeated with the same request, it is done once.",
                {**text, "minLength": 1, "maxLength": 255},
            )
        ]
    if route.method in ("put", "patch", "delete"):
        return [("If-Match", True, "The etag of what you read.", {**text, "pattern": '^"[0-9]{1,17}"$'})]
    if _is_one(route):
        return [("If-None-Match", False, "The etag of what you have: 304 when it is still that.", text)]
    return []  # fmt: skip


def _header(name: str, needed: bool, said: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "in": "header", "required": needed, "description": said, "schema": schema}


def _writes(route: Signature) -> bool:
    """Whether a POST does something that must not be done twice."""
    return route.method == "post" and not route.handler.opt.get(SAFE)


def _is_one(route: Signature) -> bool:
    """Whether the answer is a single thing with an entity tag of its own."""
    return route.method == "get" and "request" in route.hints


def _body(route: Signature, known: Known, name: str) -> dict[str, Any]:
    shape, components = known.of(route.body), known.components
    if route.method == "patch":
        shape = _patched(shape, components)
    media: dict[str, Any] = {"schema": shape}
    if name in BODIES:
        media["examples"] = {"plain": {"value": BODIES[name]}}
    return {"required": not route.optional, "content": dict.fromkeys(route.takes, media)}


def _patched(shape: Shape, components: Mapping[str, Shape]) -> Shape:
    """The same for a merge patch (RFC 7396): nothing is needed, and null sets any member back."""
    while "$ref" in shape:
        shape = components[shape["$ref"].rpartition("/")[2]]
    if shape.get("type") != "object" or "properties" not in shape:
        return shape
    bare = {name: _patched(part, components) for name, part in shape["properties"].items()}
    members = {
        name: {"anyOf": [{key: value for key, value in part.items() if key != "default"}, {"type": "null"}]}
        for name, part in bare.items()
    }
    return {"type": "object", "properties": members, "additionalProperties": shape.get("additionalProperties", True)}


# ------------------------------------------------------------------ where one goes from here
def _links(route: Signature, routes: Sequence[Signature]) -> dict[str, Any]:
    """From a list to what it lists, and from what was made to what can be done with it."""
    if route.path != f"/{route.tag}" or route.method not in ("get", "post"):
        return {}
    found: dict[str, Any] = {}
    for other in routes:
        name = re.fullmatch(rf"/{route.tag}/\{{(\w+)\}}(/[^{{]*)?", other.path)
        if name is None:
            continue
        item = "" if route.method == "post" else "/items/0"
        parameters = {f"path.{name[1]}": f"$response.body#{item}/{name[1]}"}
        if other.method in ("put", "patch", "delete"):
            if route.method == "get":
                continue
            parameters["header.If-Match"] = "$response.header.etag"
        found[operation_id(other).partition(".")[2]] = {"operationId": operation_id(other), "parameters": parameters}
    return found


# ------------------------------------------------------------------ answers
def _responses(route: Signature, known: Known, name: str) -> dict[str, Any]:
    status = route.handler.status_code
    headers = ["request", "policy"]
    if _is_one(route) or route.method in ("put", "patch") or name == "endpoints.read":
        headers.append("etag")
    if status == 201 or (route.method == "post" and route.path == f"/{route.tag}"):
        headers += ["etag", "location"] if route.tag == "endpoints" else ["location"]
    good: dict[str, Any] = {"description": HTTPStatus(status).phrase, "headers": _refs(headers)}
    if route.answer is not ABSENT and status != 204:
        media: dict[str, Any] = {"schema": known.of(route.answer)}
        if name in ANSWERS:
            media["examples"] = {"plain": {"value": ANSWERS[name]}}
        good["content"] = {"application/json": media}
    for kind in route.handler.opt.get(GIVES, ()):
        good.setdefault("content", {})[kind] = {"schema": _FILE}
    said = {str(status): good}
    if _is_one(route):
        said["304"] = {"description": "You have it already.", "headers": _refs(["request", "policy", "etag"])}
    for refusal in _refusals(route):
        said[str(refusal)] = {"$ref": f"#/components/responses/{refusal}"}
    return said


def _refs(names: Sequence[str]) -> dict[str, Any]:
    spoken = {"request": "x-request-id", "policy": "ratelimit-policy", "retry": "retry-after"}
    return {spoken.get(name, name): {"$ref": f"#/components/headers/{name}"} for name in names}


def _refusals(route: Signature) -> list[int]:
    found = {400, 401, 403, 429, 500, 503}
    if "{" in route.path:
        found.add(404)
    if _writes(route):
        found |= {409, 422}
    if route.body is not ABSENT or route.method == "post":
        found |= {408, 413, 415}
    if route.method in ("put", "patch", "delete"):
        found |= {409, 412, 428}
    return sorted(found.union(route.handler.opt.get(REFUSES, ())))


def _statuses() -> list[int]:
    return sorted({code.status for code in CODES.values()})


def _problem(status: int) -> dict[str, Any]:
    codes = {name: code for name, code in CODES.items() if code.status == status}
    headers = ["request", *(["retry"] if status in (409, 429, 503) else []), *(["ratelimit"] if status == 429 else [])]
    code, first = next(iter(codes.items()))
    example = {
        "type": f"/docs#{code}", "title": HTTPStatus(status).phrase, "status": status, "code": code, "detail": first.when, "remedy": first.then,
        "request": "req_0199c0c0-0000-7000-8000-000000000000",
    }  # fmt: skip
    return {
        "description": " ".join(f"`{name}`: {code.when}" for name, code in codes.items()),
        "x-codes": sorted(codes),
        "headers": {
            **_refs([one for one in headers if one == "request"]),
            **_refs([one for one in headers if one != "request"]),
        },
        "content": {
            "application/problem+json": {
                "schema": {"$ref": "#/components/schemas/Problem"},
                "examples": {"plain": {"value": example}},
            }
        },
    }


def _token() -> dict[str, Any]:
    """The one operation outside of ``/api/v1``; its refusals are OAuth's own (RFC 6749 §5.2)."""
    form = {
        "type": "object",
        "properties": {
            "grant_type": {"const": "client_credentials"},
            "client_id": {"type": "string"},
            "client_secret": {"type": "string"},
            "scope": {"type": "string", "description": "Some of the client's scopes, with spaces between; all when absent."},
        },
        "required": ["grant_type"],
    }  # fmt: skip
    refusal = {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/Refusal"}}}}
    refused = {
        str(status): {"description": said, "headers": _refs(["request"]), **refusal}
        for status, said in _REFUSED.items()
    }
    token = {"application/json": {"schema": {"$ref": "#/components/schemas/Token"}}}
    return {
        "operationId": "oauth.token",
        "tags": ["oauth"],
        "summary": "An access token",
        "description": "Client id and secret come as HTTP Basic, or as `client_id` and `client_secret` in the form.",
        "security": [],
        "requestBody": {"required": True, "content": {"application/x-www-form-urlencoded": {"schema": form}}},
        "responses": {
            "200": {"description": "A token for an hour.", "headers": _refs(["request"]), "content": token},
            **refused,
            **{status: {"$ref": f"#/components/responses/{status}"} for status in ("408", "413")},
        },
    }  # fmt: skip


_REFUSED = {
    400: "`invalid_request`, `unsupported_grant_type` or `invalid_scope`",
    401: "`invalid_client`",
    429: "`slow_down`: too many tries from this address",
}
