"""XML bodies: one record, or an element whose children are the records.

An element with children is an object, its attributes are fields beside them, names lose their namespace. An element without either is its
text, ``xsi:nil="true"`` is null. A list is a name that repeats, or an element whose children all have one name and either are two or
more or have their name at the start of the parent's (``<lines><line>…``).

A document type is refused before anything is parsed: with it go entities, their expansion, and every address an XML file can make a reader fetch.
"""

import re
from typing import Any

from lxml import etree

from connectors.feed import rows
from connectors.feed.protocol import Fault
from connectors.feed.rows import MAX_DEPTH, Naming, Problem, Rows
from gateway.connector import Reason

_DECLARED = re.compile(rb"""\s*<\?xml[^>]{0,200}?encoding\s*=\s*["']([A-Za-z0-9._-]{1,40})["']""")
_DECLARATION = re.compile(r"\s*<\?xml[^>]{0,200}\?>")
_NIL = "{http://www.w3.org/2001/XMLSchema-instance}nil"
_ENCODINGS = {
    "utf-8": "utf-8",
    "utf8": "utf-8",
    "us-ascii": "ascii",
    "gb18030": "gb18030",
    "gbk": "gb18030",
    "gb2312": "gb18030",
}
_PARSER = etree.XMLParser(
    encoding="utf-8",
    resolve_entities=False,
    no_network=True,
    load_dtd=False,
    dtd_validation=False,
    huge_tree=False,
    remove_comments=True,
    remove_pis=True,
)


def split(body: bytes, naming: Naming, most: int) -> Rows | Fault:
    """The records of a document. The root is a record when it has a name, else its children are."""
    root = _parse(body)
    if isinstance(root, Fault):
        return root
    whole = _value(root) if naming.id_path.plain and _has(root, naming.id_path.text) else None
    if isinstance(whole, dict):
        return [rows.row_of(1, whole)]
    if not naming.id_path.plain and isinstance(whole := _value(root), dict) and naming.id_path.name_in(whole):
        return [rows.row_of(1, whole)]
    if len(root) > most:
        return Fault(Reason.TOO_LARGE, f"more than {most} rows in one request; send them in several")
    if len(root) == 0:
        return Fault(Reason.MALFORMED, "the document holds no record")
    found: Rows = []
    for number, element in enumerate(root, 1):
        data = _value(element)
        found.append(
            rows.row_of(number, data) if isinstance(data, dict) else Problem(number, "", "an element without fields")
        )
    return found


def _parse(body: bytes) -> etree._Element | Fault:
    # Decoded here, so that no encoding known to the parser only can hide a document type from us.
    declared = _DECLARED.match(body)
    named = declared.group(1).decode().lower() if declared else "utf-8"
    if named not in _ENCODINGS:
        return Fault(Reason.UNSUPPORTED, "the XML is neither in UTF-8 nor in GB18030")
    try:
        text = body.decode(_ENCODINGS[named])
    except UnicodeDecodeError:
        return Fault(Reason.MALFORMED, "the XML is not in the encoding it declares")
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        return Fault(Reason.MALFORMED, "a document type is not accepted")
    text = _DECLARATION.sub("", text, count=1)
    try:
        root = etree.fromstring(text.encode(), _PARSER)
    except (etree.XMLSyntaxError, ValueError):
        return Fault(Reason.MALFORMED, "the body is not well-formed XML")
    return root if _depth(root) <= MAX_DEPTH else Fault(Reason.MALFORMED, f"nested deeper than {MAX_DEPTH} levels")


def _depth(root: etree._Element) -> int:
    # An explicit stack: the parser lets 256 levels through, and a recursion per level is what a sender could spend.
    deepest, waiting = 0, [(root, 1)]
    while waiting:
        element, level = waiting.pop()
        deepest = max(deepest, level)
        waiting.extend((child, level + 1) for child in element)
    return deepest


def _value(element: etree._Element) -> Any:
    if element.get(_NIL) in ("true", "1"):
        return None
    text = (element.text or "").strip()
    attributes = {_name(key): value for key, value in element.attrib.items() if key != _NIL}
    if len(element) == 0:
        return text if not attributes else attributes | ({"text": text} if text else {})
    if not attributes and not text and _is_list(element):
        return [_value(child) for child in element]
    return _fields(element, attributes)


def _fields(element: etree._Element, fields: dict[str, Any]) -> dict[str, Any]:
    repeated: set[str] = set()
    for child in element:
        name, value = _name(child.tag), _value(child)
        if name in repeated:
            fields[name].append(value)
        elif name in fields:
            fields[name] = [fields[name], value]
            repeated.add(name)
        else:
            fields[name] = value
    return fields


def _is_list(element: etree._Element) -> bool:
    names = {_name(child.tag) for child in element}
    return len(names) == 1 and (len(element) > 1 or _name(element.tag).startswith(names.pop()))


def _has(root: etree._Element, name: str) -> bool:
    return any(_name(child.tag) == name for child in root) or any(_name(key) == name for key in root.attrib)


def _name(tag: str | bytes | bytearray | etree.QName) -> str:
    return str(tag).rpartition("}")[2]
