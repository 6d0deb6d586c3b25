"""Houses for the tests: one of its own, or one that a file shares."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.house import House, built


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    """A house that ends with its test."""
    yield from built(tmp_path)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """A house that ends with its file."""
    yield from built(tmp_path_factory.mktemp("house"))
