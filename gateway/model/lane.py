"""How urgent an entry is."""

from enum import Enum


class Lane(Enum):
    """``live`` is read first and pushed back last."""

    LIVE = "live"
    BULK = "bulk"
