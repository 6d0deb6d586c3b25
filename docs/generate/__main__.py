"""``python -m docs.generate [--check]``: write every derived document, or name those that are not what they should be."""

import sys
from pathlib import Path

import msgspec

from docs.generate import api, config, pages, schemas

ROOT = Path(__file__).parents[2]
SCHEMAS = ROOT / "docs" / "reference" / "schemas"
OPENAPI = ROOT / "docs" / "reference" / "openapi.json"
_BEGIN, _END = "<!-- connectors -->\n", "<!-- /connectors -->"


def documents() -> dict[Path, str]:
    """Every derived document and what should stand in it."""
    reference = ROOT / "docs" / "reference"
    found = {
        ROOT / "config" / "example.toml": config.example(),
        reference / "settings.md": config.page(),
        reference / "connectors.md": pages.connectors_page(),
        reference / "errors.md": pages.errors_page(),
        reference / "metrics.md": pages.metrics_page(),
        reference / "cli.md": pages.cli_page(),
        reference / "events.md": pages.events_page(),
        reference / "model.md": schemas.page(),
        OPENAPI: _json(api.document()),
    }
    for name, schema in schemas.all_schemas().items():
        found[SCHEMAS / f"{name}.json"] = _json(schema)
    for name, language in (("README.md", "en"), ("README.zh-CN.md", "zh")):
        found[ROOT / name] = _between(
            (ROOT / name).read_text(encoding="utf-8"), pages.connectors_table(language, "connectors")
        )
    return found


def broken() -> list[str]:
    """What readers of the committed schemas, and callers of the committed API, would trip over. A higher ``SCHEMA`` in gateway/model/event.py allows the
    first; the second is allowed while nobody was given the API yet, by taking its file away."""
    found = []
    if OPENAPI.exists():
        found += [
            f"{OPENAPI.name}: {one}" for one in api.breaks(msgspec.json.decode(OPENAPI.read_bytes()), api.document())
        ]
    for name, new in schemas.all_schemas().items():
        path = SCHEMAS / f"{name}.json"
        old = msgspec.json.decode(path.read_bytes()) if path.exists() else new
        if old["x-schema"] >= new["x-schema"]:
            found += [f"{name}.json: {one}" for one in schemas.breaks(old, new)]
    return found


def main() -> int:
    """0 when all is as it should be, 1 otherwise."""
    if faults := broken():
        sys.stdout.write(
            "\n".join(
                [
                    *faults,
                    "these changes break readers or callers: keep what was, raise SCHEMA in gateway/model/event.py, or put the API's change into /api/v2\n",
                ]
            )
        )
        return 1
    stale = [
        path for path, text in documents().items() if not path.exists() or path.read_text(encoding="utf-8") != text
    ]
    if "--check" in sys.argv[1:]:
        for path in stale:
            sys.stdout.write(f"{path.relative_to(ROOT)} is not what the code says; make docs\n")
        sys.stdout.write("" if stale else f"{len(documents())} derived documents are as they should be\n")
        return 1 if stale else 0
    wanted = documents()
    for path in stale:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(wanted[path], encoding="utf-8")
        sys.stdout.write(f"wrote {path.relative_to(ROOT)}\n")
    return 0


def _json(schema: dict[str, object]) -> str:
    return msgspec.json.format(msgspec.json.encode(schema), indent=2).decode() + "\n"


def _between(whole: str, table: str) -> str:
    """``whole`` with what stands between the markers replaced; LookupError when there are none."""
    head, begun, rest = whole.partition(_BEGIN)
    _, ended, tail = rest.partition(_END)
    if not begun or not ended:
        raise LookupError(f"no {_BEGIN.strip()} … {_END}")
    return head + begun + table + _END + tail


if __name__ == "__main__":
    sys.exit(main())
