"""What somebody may see of a mapping at work: canonical fields by their class, and the partner's own words, which have no classes.

Of the words only what became a public field is shown, whatever they are called: the mapping itself says what is harmless. The rest shows its shape.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from gateway import masking
from gateway.model.values import Sensitivity
from gateway.pipeline.contrast import Facet

Grants = Mapping[Sensitivity, str]
WITHHELD = "•••"
_SHORT = 6
_KEY = re.compile(r"[A-Za-z_\u4e00-\u9fff][\w.$:\u4e00-\u9fff-]{0,39}\Z")
_LAST = re.compile(r"([a-z_]+)(?:\[[^\]]*\])?\Z")


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One canonical field: what each version says, None where it says nothing. ``differs`` is told by the values, not by what is seen of them."""

    field: str
    sensitivity: str
    values: tuple[str | None, ...]
    differs: bool


def rows(said: Sequence[Mapping[str, Facet]], grants: Grants) -> tuple[Row, ...]:
    """Every field that any of them says, in the first's order."""
    names = list(dict.fromkeys(name for one in said for name in one))
    return tuple(_row(name, [one.get(name) for one in said], grants) for name in names)


def _row(name: str, facets: Sequence[Facet | None], grants: Grants) -> Row:
    known = next(one for one in facets if one is not None)
    return Row(
        field=name,
        sensitivity=known.sensitivity.value,
        values=tuple(None if one is None else shown(name, one, grants) for one in facets),
        differs=any(one != facets[0] for one in facets),
    )


def shown(name: str, facet: Facet, grants: Grants) -> str:
    """A field's value under the grants; ``null`` where it is erased."""
    value = facet.value
    if value is None:
        return "null"
    if facet.sensitivity is Sensitivity.PUBLIC:
        return str(value).lower() if isinstance(value, bool) else str(value)
    how = grants.get(facet.sensitivity, "drop")
    if how == "clear":
        return str(value)
    if how == "drop":
        return WITHHELD
    found = _LAST.search(name)
    # Whoever is lent pseudonyms or sealed values elsewhere sees a mask here: rather too little than too much.
    return masking.mask(str(value), facet.sensitivity, found[1] if found else "") or WITHHELD


def source(data: Any, said: Sequence[Mapping[str, Facet]], grants: Grants) -> str:
    """Decoded data as indented JSON, under the grants."""
    if all(grants.get(one) == "clear" for one in Sensitivity if one is not Sensitivity.PUBLIC):
        return _json(data)
    facets = [facet for one in said for facet in one.values()]
    public = {str(one.value) for one in facets if one.sensitivity is Sensitivity.PUBLIC and one.value is not None}
    hidden = {str(one.value) for one in facets if one.sensitivity is not Sensitivity.PUBLIC and one.value}
    return _json(_veiled(data, public - hidden))


def _json(data: Any) -> str:
    return msgspec.json.format(msgspec.json.encode(data), indent=2).decode()


def _veiled(value: Any, public: set[str]) -> Any:
    if isinstance(value, dict):
        return {
            key if isinstance(key, str) and _KEY.match(key) else WITHHELD: _veiled(below, public)
            for key, below in value.items()
        }
    if isinstance(value, list):
        return [_veiled(one, public) for one in value]
    if value is None or isinstance(value, bool) or value == "":
        return value
    text = str(value)
    if text in public or text.strip() in public:
        return value
    # A short number counts or codes something; a long one may be a phone or a national id.
    if isinstance(value, int) and len(text) <= _SHORT:
        return value
    return f"{text[:1]}{masking.HIDDEN}"
