"""The whole partner API against what it says of itself: requests that fit the schema and requests that do not, alone and in sequence."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.api.served import served

CONFIG = Path(__file__).with_name("schemathesis.toml")
# Of each operation in each phase. The seed makes a run repeatable; another seed is another search: `--seed` of the command that a failure prints.
_EXAMPLES = "20"
_SEED = "1"


@pytest.mark.timeout(900)
def test_every_operation_keeps_what_its_schema_promises(tmp_path: Path) -> None:
    """No fault of ours, no status, type, header or member that is not described, nothing taken that should not be, nothing found after it was
    removed, nothing without credentials; methods that are not there say so."""
    with served(tmp_path) as house:
        command = [
            sys.executable, "-m", "schemathesis.cli", "--config-file", str(CONFIG), "--no-color", "run", f"{house.url}/schema",
            "--header", f"Authorization: Bearer {house.made['api_key']}", "--checks", "all", "--exclude-checks", "object_level_authorization",
            "--max-examples", _EXAMPLES, "--seed", _SEED, "--continue-on-failure", "--warnings", "off",
        ]  # fmt: skip
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=870, check=False)
        assert done.returncode == 0, done.stdout[-20_000:] + done.stderr[-2000:]
        assert "Coverage" in done.stdout
        assert not house.gateway.facts("api.fault"), house.gateway.tail()
