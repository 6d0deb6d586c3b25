"""YAML with a memory of where it stood: every fault names file:line:field. The one home of PyYAML.

Only what a mapping needs is read: maps, lists and scalars. Of plain scalars ``null`` ``~`` ``true`` ``false`` and whole numbers are what they
look like; everything else, ``yes``, ``1.50``, ``12:30`` and ``2026-11-11`` included, is the text as written.
"""

import difflib
import re
from collections.abc import Iterable, Iterator
from typing import Any

import yaml

from gateway.errors import MappingError

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_CORE_TAGS = frozenset(
    f"tag:yaml.org,2002:{name}"
    for name in ("str", "int", "float", "bool", "null", "map", "seq", "timestamp", "merge", "value")
)
_INT = re.compile(r"-?(?:0|[1-9][0-9]{0,17})")
_NULLS = frozenset({"", "~", "null", "Null", "NULL"})
_BOOLS = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_QUOTED = ("'", '"', "|", ">")
_DEEPEST = 40
_MOST = 100_000


class Piece:
    """One value of a file: a map, a list or a scalar. ``field`` is its dotted name, such as ``emit[0].fields.placed_at``."""

    __slots__ = ("_depth", "_node", "field", "file")

    def __init__(self, node: Any, file: str, field: str = "", depth: int = 0) -> None:
        self._node = node
        self.file = file
        self.field = field
        self._depth = depth
        if depth > _DEEPEST:
            raise self.fault("too deep: does an alias hold itself?")
        if node.tag not in _CORE_TAGS:
            raise self.fault(f"tags such as {node.tag} are not part of the language")

    @property
    def place(self) -> str:
        """``file:line:field``, lines from 1."""
        return f"{self.file}:{self._node.start_mark.line + 1}:{self.field}".rstrip(":")

    def fault(self, detail: str, remedy: str = "") -> MappingError:
        """A MappingError that points here, for the caller to raise."""
        return MappingError(detail, place=self.place, remedy=remedy)

    @property
    def is_map(self) -> bool:
        """Whether it has keys."""
        return isinstance(self._node, yaml.MappingNode)

    @property
    def is_list(self) -> bool:
        """Whether it has members."""
        return isinstance(self._node, yaml.SequenceNode)

    def items(self) -> Iterator[tuple[str, "Piece"]]:
        """Keys as written, and their values. MappingError for what is no map, and for a key that stands twice."""
        if not self.is_map:
            raise self.fault("a map of keys and values is expected here")
        seen: set[str] = set()
        for key, value in self._node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise self.fault("a key is a plain text")
            name = str(key.value)
            below = Piece(value, self.file, f"{self.field}.{name}".lstrip("."), self._depth + 1)
            if name in seen:
                raise MappingError(
                    "this key stands twice", place=f"{self.file}:{key.start_mark.line + 1}:{below.field}"
                )
            seen.add(name)
            yield name, below

    def members(self) -> list["Piece"]:
        """The values of a list. MappingError for what is none."""
        if not self.is_list:
            raise self.fault("a list is expected here")
        return [
            Piece(node, self.file, f"{self.field}[{at}]", self._depth + 1) for at, node in enumerate(self._node.value)
        ]

    def keys(self, known: Iterable[str], required: Iterable[str] = ()) -> dict[str, "Piece"]:
        """The map, whose keys must be ``known``; an unknown one names the nearest."""
        known = tuple(known)
        found: dict[str, Piece] = {}
        for name, piece in self.items():
            if name not in known:
                raise piece.fault(f"unknown key {name!r}", nearest(name, known))
            found[name] = piece
        for name in required:
            if name not in found:
                raise self.fault(f"{name!r} is missing here")
        return found

    def text(self) -> str:
        """A scalar as written, null excepted."""
        if self.is_map or self.is_list or self.value() is None:
            raise self.fault("a text is expected here")
        return str(self._node.value)

    def truth(self) -> bool:
        """``true`` or ``false``."""
        value = self.value()
        if not isinstance(value, bool):
            raise self.fault("true or false is expected here")
        return value

    def number(self) -> int:
        """A whole number."""
        value = self.value()
        if isinstance(value, bool) or not isinstance(value, int):
            raise self.fault("a whole number is expected here")
        return value

    def choice(self, known: Iterable[str]) -> str:
        """One of the ``known`` words; another names the nearest."""
        word = self.text()
        known = tuple(known)
        if word not in known:
            raise self.fault(f"unknown {word!r}", nearest(word, known))
        return word

    def value(self) -> Any:
        """Plain data: dict, list, str, int, bool or None, never a float."""
        if self.is_map:
            return {name: piece.value() for name, piece in self.items()}
        if self.is_list:
            return [piece.value() for piece in self.members()]
        text = str(self._node.value)
        # Quoted scalars are texts, whatever they look like.
        if self._node.style in _QUOTED:
            return text
        if text in _NULLS:
            return None
        if text in _BOOLS:
            return _BOOLS[text]
        return int(text) if _INT.fullmatch(text) else text


def read(text: str, file: str) -> Piece:
    """The one document of ``text``. MappingError when it is no YAML, empty, or larger than it looks."""
    try:
        _measure(text, file)
        node = yaml.compose(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise MappingError(f"not YAML: {error.problem}", place=f"{file}:{line}") from None
    except (yaml.YAMLError, RecursionError) as error:
        raise MappingError(f"not YAML: {type(error).__name__}", place=f"{file}:1") from None
    if node is None:
        raise MappingError("nothing stands here", place=f"{file}:1")
    return Piece(node, file)


def _measure(text: str, file: str) -> None:
    """The library recurses in C: what is nested deeply ends the process, and aliases of aliases are walked for ever."""
    sizes: dict[str, int] = {}
    # The values below each open collection, and its anchor; the outermost stands for the document.
    below, anchors = [0], [""]
    for event in yaml.parse(text, Loader=_Loader):
        size = 0
        if isinstance(event, yaml.AliasEvent):
            # One that is not closed yet holds itself.
            size = sizes.get(event.anchor or "", _MOST + 1)
        elif isinstance(event, yaml.ScalarEvent):
            size = 1
            sizes[event.anchor or ""] = 1
        elif isinstance(event, yaml.CollectionStartEvent):
            below.append(1)
            anchors.append(event.anchor or "")
        elif isinstance(event, yaml.CollectionEndEvent):
            size = below.pop()
            sizes[anchors.pop()] = size
        below[-1] += size
        if len(below) > _DEEPEST + 2 or below[-1] > _MOST:
            line = event.start_mark.line + 1 if event.start_mark else 1
            raise MappingError("nested too deeply, or too much by its aliases", place=f"{file}:{line}")


def nearest(word: str, known: Iterable[str]) -> str:
    """A remedy: the word that may have been meant, else all there are."""
    known = sorted(known)
    close = difflib.get_close_matches(word, known, n=1, cutoff=0.6)
    return f"did you mean {close[0]!r}?" if close else f"known: {', '.join(known)}"
