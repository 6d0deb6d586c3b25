"""Marked values, and looking for them in every form in which they could have got out."""

import base64
import html
import json
from collections.abc import Iterable, Iterator
from functools import cache
from urllib.parse import quote

_CODECS = ("utf-8", "gb18030", "utf-16-le", "utf-16-be")


@cache
def forms(text: str) -> frozenset[bytes]:
    """A text in every encoding it could lie in: characters, hex, base64 at each of the three offsets, URLs, JSON and HTML escapes."""
    return frozenset(_forms(text))


def _forms(text: str) -> Iterator[bytes]:
    for codec in _CODECS:
        plain = text.encode(codec)
        yield plain
        yield plain.hex().encode()
        yield plain.hex().upper().encode()
        yield quote(plain).encode()
        yield quote(plain).lower().encode()
        for spare in range(3):
            # Inside base64 the letters depend on what stands around: without the first and the last ones they are sure.
            yield base64.b64encode(b"\0" * spare + plain)[4:-4]
            yield base64.urlsafe_b64encode(b"\0" * spare + plain)[4:-4]
    for escaped in (json.dumps(text)[1:-1], text.encode("unicode_escape").decode()):
        yield escaped.encode()
        yield escaped.replace("\\u", "\\U").upper().replace("\\U", "\\u").encode()
    yield text.encode("ascii", "xmlcharrefreplace")
    yield html.escape(text).encode()


def found(marks: Iterable[str], places: Iterable[tuple[str, bytes]]) -> list[tuple[str, str]]:
    """(place, mark) for every mark that can be read in a place."""
    wanted = [(mark, forms(mark)) for mark in marks]
    return [(place, mark) for place, raw in places for mark, shapes in wanted if any(shape in raw for shape in shapes)]
