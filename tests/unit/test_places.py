"""Where tokens stand in a text, and filling their places."""

import base64
import json
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway import places
from gateway.errors import Tampered
from gateway.places import Finder, Places

# Enough names to meet again, and some that JSON has to escape.
NAMES = st.sampled_from(["a", "b", "id", "名", 'q"', "back\\", "a/b", "a~b", 'x":{"$sealed":"k1.contact.AA"}'])
SCALARS = st.one_of(st.none(), st.booleans(), st.integers(-9, 9), st.text(max_size=6), st.just("cus_9"))


def token(text: str, sensitivity: str = "contact") -> dict[str, str]:
    return {"$sealed": f"k1.{sensitivity}.{base64.urlsafe_b64encode(text.encode()).decode().rstrip('=')}"}


TOKENS = st.builds(token, st.text(max_size=4), st.sampled_from(["contact", "identity", "health", "finance"]))
BODIES = st.dictionaries(
    NAMES,
    st.recursive(
        SCALARS | TOKENS,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
        max_leaves=12,
    ),
    max_size=4,
)


def left_out(node: Any) -> Any:
    """The body as it is without any token: the plain way."""
    if isinstance(node, list):
        return [left_out(item) for item in node if not (isinstance(item, dict) and "$sealed" in item)]
    if isinstance(node, dict):
        return {
            name: left_out(value)
            for name, value in node.items()
            if not (isinstance(value, dict) and "$sealed" in value)
        }
    return node


def replaced(node: Any) -> Any:
    """The body with each token in clear brackets."""
    if isinstance(node, dict) and "$sealed" in node:
        return f"<{node['$sealed']}>"
    if isinstance(node, list):
        return [replaced(item) for item in node]
    return {name: replaced(value) for name, value in node.items()} if isinstance(node, dict) else node


def bracketed(found: Places) -> bytes:
    return found.filled([json.dumps(f"<{spot.token}>").encode() for spot in found.spots])


@settings(database=None, deadline=None, max_examples=300)
@given(st.lists(BODIES, min_size=1, max_size=4), st.data())
def test_any_body_is_filled_as_if_it_had_been_walked(bodies: list[dict[str, Any]], data: st.DataObject) -> None:
    """With values, without any, and with some; whatever the finder had learnt from the bodies before."""
    finder = Finder()
    for body in bodies:
        for found in (finder.find(msgspec.json.encode(body)), places.find(body)):
            assert json.loads(bracketed(found)) == replaced(body)
            assert json.loads(found.filled([None] * len(found.spots))) == left_out(body)
            some = data.draw(st.lists(st.booleans(), min_size=len(found.spots), max_size=len(found.spots)))
            json.loads(found.filled([b"1" if one else None for one in some]))


@settings(database=None, deadline=None, max_examples=200)
@given(BODIES)
def test_every_pointer_leads_to_its_token(body: dict[str, Any]) -> None:
    """RFC 6901, also through names with slashes and tildes."""
    found = places.find(body)
    for spot, pointer in zip(found.spots, found.pointers(), strict=True):
        node: Any = body
        for part in pointer.split("/")[1:]:
            name = part.replace("~1", "/").replace("~0", "~")
            node = node[int(name)] if isinstance(node, list) else node[name]
        assert node == {"$sealed": spot.token}


def test_what_is_added_stands_at_the_end_of_the_whole() -> None:
    """Also when all before it was left out."""
    found = places.find({"name": token("x")})
    assert found.filled([None]) == b"{}"
    assert json.loads(places.find({"id": "evt_1", "name": token("x")}).filled([None], b',"withheld":["contact"]')) == {
        "id": "evt_1",
        "withheld": ["contact"],
    }


def test_second_event_of_a_kind_is_read_on_what_the_first_taught() -> None:
    """Only the way to tokens is decoded; one that stands elsewhere is found all the same, and remembered."""
    finder = Finder()
    first = msgspec.json.encode({"data": {"order": {"id": "ord_1", "note": token("x"), "lines": [{"sku": 1}]}}})
    other = msgspec.json.encode({"data": {"order": {"id": "ord_1", "lines": [{"sku": 1}, {"service": token("y")}]}}})
    for raw in (first, first, other, other):
        assert [spot.context for spot in finder.find(raw).spots] in (["ord_1/note"], ["ord_1/lines.service"])
    assert finder._expected(first) is not None
    assert finder._expected(other) is not None
    assert finder._decode(first) == {"data": {"order": {"id": "ord_1", "note": token("x"), "lines": [{}]}}}


def test_text_that_was_spaced_or_repeats_a_name_is_read_as_decoded() -> None:
    """A body that another tool wrote back leaks no token and mixes none up."""
    spaced = json.dumps({"id": "cus_1", "name": token("x"), "age": 1}).encode()
    assert b'": {' in spaced
    twice = b'{"name":1,"nick":%s,"name":%s}' % (json.dumps(token("a")).encode(), json.dumps(token("b")).encode())
    for raw in (spaced, twice.replace(b": ", b":")):
        found = Finder().find(raw)
        assert json.loads(bracketed(found)) == replaced(json.loads(raw))


@pytest.mark.parametrize(
    "fake", ["", "k1", "k1.public.AA", "k1.secret.AA", 'a"b', 7, None, ["k1.contact.AA"]], ids=repr
)
def test_token_of_another_form_is_tampered(fake: object) -> None:
    """Wherever the text comes from."""
    with pytest.raises(Tampered):
        Finder().find(json.dumps({"name": {"$sealed": fake}}).encode())
    with pytest.raises(Tampered):
        places.find({"name": {"$sealed": fake}})


def test_finder_stops_learning_and_goes_on_finding() -> None:
    """Names that a partner invents for every event cost time and no memory."""
    finder = Finder()
    for number in range(200):
        (spot,) = finder.find(msgspec.json.encode({"id": "cus_1", f"n{number}": token("x")})).spots
        assert spot.context == f"cus_1/n{number}"
    assert len(finder._names) <= 64
