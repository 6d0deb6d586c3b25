"""What several of these tests start from."""

from pathlib import Path

import pytest


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """The config of a gateway that nobody runs, in a folder of its own; who needs more in it writes one."""
    file = tmp_path / "config.toml"
    file.write_text(f'[gateway]\ndata_dir = "{tmp_path / "data"}"\n', encoding="utf-8")
    return file
