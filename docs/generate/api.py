"""The partner API's OpenAPI document as a file, and which changes of it break whoever calls or reads."""

from collections.abc import Iterator, Mapping
from typing import Any

from connectors.registry import CARDS
from docs.generate import schemas
from gateway.api.app import described

_Shape = Mapping[str, Any]


def document() -> dict[str, Any]:
    """What ``/schema`` answers, without the gateway's own version: a release alone is no change of the API."""
    whole = described(tuple(CARDS.values()))
    return {
        **whole,
        "info": {name: value for name, value in whole["info"].items() if name != "version"} | {"version": "v1"},
    }


def breaks(old: _Shape, new: _Shape) -> list[str]:
    """What a program written against ``old`` would trip over in ``new``. Whatever was added breaks nobody."""
    return [
        *_operations(old["paths"], new["paths"]),
        *(f"{one}, in an answer" for one in schemas.breaks(_answers(old), _answers(new))),
        *_asked(_bodies(old), _bodies(new)),
        *_codes(old["components"]["responses"], new["components"]["responses"]),
    ]


# ------------------------------------------------------------------ operations
def _operations(old: _Shape, new: _Shape) -> Iterator[str]:
    for path, methods in old.items():
        for method, before in methods.items():
            name = f"{method.upper()} {path}"
            after = new.get(path, {}).get(method)
            if after is None:
                yield f"{name}: is gone"
                continue
            yield from (f"{name}: {one}" for one in _operation(before, after))


def _operation(before: _Shape, after: _Shape) -> Iterator[str]:
    if before.get("x-scope") != after.get("x-scope"):
        yield f"needs {after.get('x-scope')}, needed {before.get('x-scope')}"
    if before["operationId"] != after["operationId"]:
        yield f"is called {after['operationId']}, was {before['operationId']}"
    yield from _parameters(_named(before), _named(after))
    body, now = before.get("requestBody"), after.get("requestBody")
    if now and now["required"] and not (body and body["required"]):
        yield "needs a body"
    if body and (gone := body["content"].keys() - (now or {"content": {}})["content"].keys()):
        yield f"no longer takes {', '.join(sorted(gone))}"
    for status, answer in before["responses"].items():
        if status.startswith("2"):
            yield from _success(status, answer, after["responses"].get(status))


def _named(operation: _Shape) -> dict[str, Any]:
    return {f"{one['in']} {one['name']}": one for one in operation.get("parameters", ())}


def _parameters(old: _Shape, new: _Shape) -> Iterator[str]:
    for name, before in old.items():
        after = new.get(name)
        if after is None:
            yield f"{name} is gone"
            continue
        yield from (f"{name}{one}" for one in _narrower(before["schema"], after["schema"]))
    for name, after in new.items():
        if after.get("required") and not old.get(name, {}).get("required"):
            yield f"{name} is needed now"


def _success(status: str, before: _Shape, after: _Shape | None) -> Iterator[str]:
    if after is None:
        yield f"no longer answers {status}"
        return
    for media, said in before.get("content", {}).items():
        now = after.get("content", {}).get(media)
        if now is None:
            yield f"{status} is no longer {media}"
        elif said["schema"].get("$ref") != now["schema"].get("$ref"):
            yield f"{status} is {now['schema'].get('$ref')}, was {said['schema'].get('$ref')}"
    if gone := before.get("headers", {}).keys() - after.get("headers", {}).keys():
        yield f"{status} without {', '.join(sorted(gone))}"


def _codes(old: _Shape, new: _Shape) -> Iterator[str]:
    now = {code for one in new.values() for code in one["x-codes"]}
    for status, one in old.items():
        for code in one["x-codes"]:
            if code not in now:
                yield f"code {code} is gone"
            elif code not in new.get(status, {"x-codes": ()})["x-codes"]:
                yield f"code {code} is no longer a {status}"


# ------------------------------------------------------------------ what is asked and answered
def _answers(document: _Shape) -> dict[str, Any]:
    """Everything that answers are made of, as one schema with definitions."""
    spoken = [one["responses"] for one in _every(document)] + [document["components"]["responses"]]
    return {"$defs": _reached(spoken, document)}


def _bodies(document: _Shape) -> dict[str, Any]:
    return _reached([one["requestBody"] for one in _every(document) if "requestBody" in one], document)


def _every(document: _Shape) -> Iterator[_Shape]:
    for methods in document["paths"].values():
        yield from methods.values()


def _reached(parts: Any, document: _Shape) -> dict[str, Any]:
    found: dict[str, Any] = {}
    waiting = [parts]
    while waiting:
        part = waiting.pop()
        if isinstance(part, list):
            waiting += part
        elif isinstance(part, dict):
            name = str(part.get("$ref", "")).removeprefix("#/components/schemas/")
            if name in document["components"]["schemas"] and name not in found:
                found[name] = document["components"]["schemas"][name]
                waiting.append(found[name])
            waiting += part.values()
    return found


def _asked(old: _Shape, new: _Shape) -> Iterator[str]:
    for name, before in old.items():
        yield from (f"{name}{one}, in a body" for one in _narrower(before, new.get(name, before)))


def _narrower(old: _Shape, new: _Shape) -> Iterator[str]:
    """What was taken and is taken no more."""
    gone = set(map(str, old.get("enum", ()))) - set(map(str, new.get("enum", old.get("enum", ()))))
    if gone:
        yield f": no longer {', '.join(sorted(gone))}"
    if "type" in old and "type" in new and old["type"] != new["type"]:
        yield f": was {old['type']}, is {new['type']}"
    for limit, tighter in (
        ("minimum", 1),
        ("minLength", 1),
        ("minItems", 1),
        ("maximum", -1),
        ("maxLength", -1),
        ("maxItems", -1),
    ):
        if limit in new and (limit not in old or (new[limit] - old[limit]) * tighter > 0):
            yield f": {limit} is {new[limit]}, was {old.get(limit, 'none')}"
    for name in sorted(set(new.get("required", ())) - set(old.get("required", ()))):
        yield f".{name}: is needed now"
    for name, before in old.get("properties", {}).items():
        after = new.get("properties", {}).get(name)
        if after is None:
            yield f".{name}: is gone"
        else:
            yield from (f".{name}{one}" for one in _narrower(before, after))
    if "items" in old and "items" in new:
        yield from (f"[]{one}" for one in _narrower(old["items"], new["items"]))
