"""The mapping files, as data: what each partner's fields mean. See README.md."""

from pathlib import Path

FOLDER = Path(__file__).parent
