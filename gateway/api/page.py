"""``/docs``: the documentation page, made on the server from the OpenAPI document and the examples. It asks nothing of anybody else's network."""

import hashlib
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import jinja2
import msgspec
from litestar import Response, get
from markupsafe import Markup, escape

from gateway.api.codes import CODES
from gateway.api.shapes import SENSITIVITY

HERE = Path(__file__).parent
EXAMPLES = HERE / "examples.md"
_STYLE = HERE / "static" / "docs.css"
# Nothing but the page and its one style sheet.
_HEADERS = {
    "content-security-policy": "default-src 'none'; style-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-cache",
}
_BLOCK = re.compile(r"^## (\S+)\n(.*?)^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@cache
def examples() -> Mapping[str, tuple[str, str]]:
    """By resource: what the example shows, and the program."""
    text = EXAMPLES.read_text(encoding="utf-8")
    return {name: (said.strip(), program) for name, said, program in _BLOCK.findall(text)}


def rendered(document: Mapping[str, Any]) -> str:
    """The page of one OpenAPI document."""
    operations: dict[str, list[dict[str, Any]]] = {}
    for path, methods in document["paths"].items():
        for method, one in methods.items():
            operations.setdefault(one["tags"][0], []).append({"method": method.upper(), "path": path, **one})
    return _env.get_template("docs.html").render(
        document=document,
        operations=operations,
        tags={one["name"]: one["description"] for one in document["tags"]},
        schemas=document["components"]["schemas"],
        scopes=document["components"]["securitySchemes"]["oauth"]["flows"]["clientCredentials"]["scopes"],
        answers=document["components"]["responses"],
        codes=CODES,
        examples=examples(),
        version=_version(),
    )


@get("/docs.css", include_in_schema=False, sync_to_thread=False)
def style() -> Response[str]:
    """The page's style sheet."""
    headers = {"cache-control": "public, max-age=31536000, immutable"}
    return Response(_STYLE.read_text(encoding="utf-8"), media_type="text/css", headers=headers)


def answer(document: Mapping[str, Any]) -> Response[str]:
    """The page with its headers."""
    return Response(rendered(document), media_type="text/html", headers=_HEADERS)


# ------------------------------------------------------------------ schemas in words
def kind(shape: Mapping[str, Any]) -> Markup:
    """A schema as a few words, with a link to what has a name."""
    if "$ref" in shape:
        name = shape["$ref"].rpartition("/")[2]
        return Markup('<a href="#schema-{0}">{0}</a>').format(name)
    if parts := shape.get("anyOf"):
        said = [kind(part) for part in parts if part.get("type") != "null"]
        empty = [Markup("null")] if any(part.get("type") == "null" for part in parts) else []
        return Markup(" or ").join([*said, *empty])
    if "enum" in shape:
        return Markup(" ").join(Markup("<code>{}</code>").format(one) for one in shape["enum"])
    if "const" in shape:
        return Markup("<code>{}</code>").format(shape["const"])
    if shape.get("type") == "array":
        return Markup("list of {}").format(kind(shape.get("items", {})))
    if shape.get("type") == "object" and isinstance(shape.get("additionalProperties"), dict):
        return Markup("object of {}").format(kind(shape["additionalProperties"]))
    return Markup("{}").format(_WORDS.get(shape.get("format", ""), shape.get("type", "anything")))


_WORDS = {"date-time": "time", "date": "date", "uuid": "uuid"}


def sensitivity(shape: Mapping[str, Any]) -> str:
    """The class of a field; empty for what is public."""
    if SENSITIVITY in shape:
        return str(shape[SENSITIVITY])
    parts = [*shape.get("anyOf", ()), *([shape["items"]] if isinstance(shape.get("items"), dict) else [])]
    return next((found for part in parts if (found := sensitivity(part))), "")


def limits(shape: Mapping[str, Any]) -> str:
    """What else is asked of a value: bounds, lengths, the default."""
    said = []
    if "minimum" in shape or "maximum" in shape:
        said.append(f"{shape.get('minimum', '')} … {shape.get('maximum', '')}".strip())
    if "maxLength" in shape:
        said.append(f"at most {shape['maxLength']} characters")
    if "default" in shape and shape["default"] not in (None, "", [], {}):
        said.append(f"default {shape['default']}")
    return "; ".join(said)


def _code(text: str | None) -> Markup:
    """Text with what stands in ticks as code."""
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(text or ""))))  # noqa: S704 - escaped just here


@cache
def _version() -> str:
    return hashlib.blake2b(_STYLE.read_bytes(), digest_size=4).hexdigest()


_env = jinja2.Environment(
    loader=jinja2.FileSystemLoader(HERE / "templates"),
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_env.globals.update(kind=kind, sensitivity=sensitivity, limits=limits)
_env.filters["code"] = _code
_env.filters["pretty"] = lambda value: msgspec.json.format(msgspec.json.encode(value), indent=2).decode()
