"""A text that never prints."""

MASK = "•••"


class Secret:
    """Holds a credential. ``str``, ``repr`` and JSON show ``•••``; ``reveal`` is the only way to the text."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """The credential itself: for signing and calling, never for keeping."""
        return self._text

    def __bool__(self) -> bool:
        return bool(self._text)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._text == self._text

    def __hash__(self) -> int:
        return hash(self._text)

    def __repr__(self) -> str:
        return MASK

    __str__ = __repr__
