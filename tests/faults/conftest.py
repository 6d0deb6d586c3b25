"""A house per fault test."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.house import House, built


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    """A house that ends with its test."""
    yield from built(tmp_path)
