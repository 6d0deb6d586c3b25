"""The searcher of the leak test: what it does not find, that test would not notice."""

import base64
import json
from urllib.parse import quote, quote_plus

import pytest

from tests.e2e.marks import found

MARKS = ("慕容标记", "13912345678", "marked.mail@example.com")
LEAKS = {
    "utf-8": lambda text: f"name={text};".encode(),
    "gb18030": lambda text: f"PID|{text}|".encode("gb18030"),
    "utf-16": lambda text: f"\ufeff{text}".encode("utf-16-le"),
    "json": lambda text: json.dumps({"name": text}).encode(),
    "json in json": lambda text: json.dumps(
        json.dumps({"name": text}, ensure_ascii=False), ensure_ascii=False
    ).encode(),
    "repr of bytes": lambda text: repr(text.encode("gb18030").hex()).encode(),
    "url": lambda text: quote(f"/find?name={text}&x=1").encode(),
    "form": lambda text: quote_plus(text, encoding="gb18030").encode(),
    **{f"base64 at {at}": (lambda text, at=at: base64.b64encode(b"x" * at + text.encode() + b"yy")) for at in range(3)},
    "base64url of gb18030": lambda text: base64.urlsafe_b64encode(f"a{text}b".encode("gb18030")),
}


@pytest.mark.parametrize("mark", MARKS)
@pytest.mark.parametrize("leak", LEAKS.values(), ids=LEAKS)
def test_mark_is_found_however_it_got_out(leak, mark: str) -> None:  # type: ignore[no-untyped-def]
    """In every usual encoding, in the middle of something else."""
    assert found(MARKS, [("log", b"..." + leak(mark) + b"...")]) == [("log", mark)]


def test_mask_and_another_value_are_no_find() -> None:
    """What is allowed to be seen of it."""
    seen = json.dumps({"name": "慕*", "phone": "139****5678", "email": "m***@example.com"}, ensure_ascii=False).encode()
    assert found(MARKS, [("log", seen), ("log", b"13912345670")]) == []
