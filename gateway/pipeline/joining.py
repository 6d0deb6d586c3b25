"""Two customers' bodies made one, and parted again. Pure functions over sealed bodies."""

from typing import Any

from gateway.pipeline import change
from gateway.pipeline.change import Body


def join(kept: Body, lost: Body) -> Body:
    """The survivor's body with what only the other knew; per field the newest source time wins, and consent is the stricter of both."""
    body: Body = dict(kept)
    mine, theirs = dict(kept.get("provenance", {})), lost.get("provenance", {})
    for field, value in lost.items():
        if field in (
            "id",
            "state",
            "merged_into",
            "provenance",
            "created_at",
            "updated_at",
            change.CLOCKS,
            change.APART,
            "attrs",
            "contacts",
            "marketing_consent",
        ):
            continue
        if field not in body or theirs.get(field, "") > mine.get(field, ""):
            body[field] = value
            mine[field] = theirs.get(field, "")
    if attrs := _join_attrs(kept, lost, mine):
        body["attrs"] = attrs
    if apart := {*kept.get(change.APART, ()), *lost.get(change.APART, ())}:
        body[change.APART] = sorted(apart)
    if lost.get("contacts"):
        body["contacts"] = change.union(kept.get("contacts") or (), lost["contacts"])
    if kept.get("marketing_consent") is False or lost.get("marketing_consent") is False:
        body["marketing_consent"] = False
    body["provenance"] = mine
    body["updated_at"] = max(kept.get("updated_at") or "", lost.get("updated_at") or "")
    return body


def _join_attrs(kept: Body, lost: Body, provenance: dict[str, str]) -> Body:
    attrs, theirs = dict(kept.get("attrs") or {}), lost.get("provenance", {})
    for name, value in (lost.get("attrs") or {}).items():
        path = f"attrs.{name}"
        if name not in attrs or theirs.get(path, "") > provenance.get(path, ""):
            attrs[name] = value
            provenance[path] = theirs.get(path, "")
    return attrs


def parted(current: dict[str, Any], joined: dict[str, Any], before: dict[str, Any]) -> dict[str, Any]:
    """``current`` without what came by the merge: a field that is still as ``joined`` was goes back to what it was ``before``."""
    body: dict[str, Any] = {}
    for field, value in current.items():
        known = joined.get(field)
        if value == known:
            if field in before:
                body[field] = before[field]
        elif field == "contacts" and value:
            came = [point for point in known or () if point not in (before.get(field) or ())]
            body[field] = [point for point in value if point not in came]
        elif isinstance(value, dict) and isinstance(known, dict) and field in ("attrs", "provenance"):
            body[field] = parted(value, known, before.get(field) or {})
        else:
            body[field] = value
    return body
