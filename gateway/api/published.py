"""Schemas: JSON Schema (2020-12) of each record and of events, as published. A change never breaks who reads by them."""

from typing import Any

import msgspec
from litestar import Request, Response, get
from litestar.params import FromPath

from gateway.api import answers
from gateway.api.answers import Page
from gateway.api.problems import not_found
from gateway.desk import schemas as made


class SchemaNamed(msgspec.Struct, frozen=True, kw_only=True):
    """A schema there is. `version` grows when a change would break readers."""

    name: str
    version: int
    href: str


@get("/schemas", sync_to_thread=False)
def schemas() -> Page[SchemaNamed]:
    """The schemas there are: one for each kind of record, `event`, and `operator` for events about the gateway itself. Any client may read them."""
    found = [
        SchemaNamed(name=name, version=one["x-schema"], href=f"/api/v1/schemas/{name}.json")
        for name, one in made.published().items()
    ]
    return answers.page(found, None)


@get("/schemas/{name:str}", sync_to_thread=False)
def schema(request: Request[Any, Any, Any], name: FromPath[str]) -> Response[dict[str, Any]]:
    """One schema, by `order` or `order.json`. Each field carries its sensitivity class as `x-sensitivity`. 404 where there is none."""
    found = made.published().get(name.removesuffix(".json"))
    if found is None:
        raise not_found("schema")
    return answers.tagged(request, found)


ROUTES = (schemas, schema)
"""Every handler of this resource."""
