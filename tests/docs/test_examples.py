"""Code in the documents runs, configs in them load, and links lead somewhere."""

import re
import textwrap
import time
import tomllib
from pathlib import Path
from typing import Any

import pytest

from connectors.registry import CARDS
from gateway import configure, diagnosis, settings
from gateway.destination import Message
from gateway.destinations import sign
from gateway.destinations.webhook import envelope
from gateway.model.mac import Mac
from gateway.model.secret import Secret

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    [
        *ROOT.glob("*.md"),
        *(ROOT / "docs").rglob("*.md"),
        *(ROOT / "connectors").glob("*/README.md"),
        ROOT / "mappings" / "README.md",
    ]
)
SECRET = "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="
# Its public half stands in the guide: the key pair of a known answer, made public by others.
_PRIVATE = "whsk_6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbfVKIDij2HKpMKkioLlX0dRqSKJp4AJ6p9lMicMFs6Kvg=="
_FENCE = re.compile(r"^( *)```(\w+)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)


def blocks(language: str) -> list[Any]:
    """Every fenced block of a language, one parameter each; those of CONTRIBUTING are files and have their own test."""
    return [
        pytest.param(textwrap.dedent(text), id=f"{page.relative_to(ROOT)}-{number}")
        for page in PAGES
        if page.name != "CONTRIBUTING.md"
        for number, (_, found, text) in enumerate(_FENCE.findall(page.read_text(encoding="utf-8")))
        if found == language
    ]


@pytest.mark.parametrize("text", blocks("toml"))
def test_a_config_in_a_document_loads(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever copies it gets no complaint: keys, options and values are real."""
    key = tmp_path / "key"
    key.write_text("abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG", encoding="utf-8")
    text = re.sub(r'"file:/[^"]+"', f'"file:{key}"', text)
    for name in re.findall(r'"env:([A-Z0-9_]+)"', text):
        monkeypatch.setenv(name, SECRET)
    path = tmp_path / "config.toml"
    path.write_text(text, encoding="utf-8")
    tree = settings.load(path, environ={})
    configure.accounts_of(tree, CARDS)
    assert tomllib.loads(text)
    assert [str(fault) for fault in diagnosis.config_faults(tree)] == []


@pytest.mark.parametrize("text", blocks("python"))
def test_python_in_a_document_runs(text: str) -> None:
    """It is executed as it stands."""
    exec(compile(text, "document", "exec"), {})


@pytest.mark.parametrize("page", ["README.md", "README.zh-CN.md"])
def test_the_receiver_in_the_readme_believes_the_gateway_and_nobody_else(
    page: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Signed by the gateway's own code: taken once, refused when a byte of it moved."""
    text = (ROOT / page).read_text(encoding="utf-8")
    source = next(found for _, language, found in _FENCE.findall(text) if language == "python")
    world: dict[str, Any] = {}
    exec(compile(source, page, "exec"), world)
    body = b'{"id":"evt_1","type":"order.paid","subject":"ord_1","sequence":1,"data":{"changed":["payment"]}}'
    now = int(time.time())
    headers = {
        "webhook-id": "evt_1",
        "webhook-timestamp": str(now),
        "webhook-signature": sign.signature([Mac(sign.key_of(Secret(SECRET), place="test"))], "evt_1", now, body),
    }
    assert world["receive"](headers, body) == 204
    assert world["receive"](headers, body) == 204
    assert capsys.readouterr().out.count("order.paid ord_1 1") == 1
    assert world["receive"](headers, body.replace(b"paid", b"sent")) == 400


@pytest.mark.parametrize("kind", ["v1", "v1a"])
def test_the_receiver_in_the_guide_takes_both_signatures_and_batches(
    kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Signed with a secret or with a key pair alone; an event that came in a batch and comes again alone is known."""
    text = (ROOT / "docs/guides/webhooks.md").read_text(encoding="utf-8")
    source = next(found for _, language, found in _FENCE.findall(text) if language == "python")
    world: dict[str, Any] = {}
    exec(compile(source, "webhooks.md", "exec"), world)
    macs = [Mac(sign.key_of(Secret(SECRET)))] if kind == "v1" else [Mac(bytes(32))]
    pair = sign.private_key_of(Secret(_PRIVATE))
    now = int(time.time())

    def receive(name: str, body: bytes, *, at: int = now, sent: bytes | None = None) -> int:
        signature = sign.signature(macs, name, at, body, [pair] if kind == "v1a" else [])
        headers = {"webhook-id": name, "webhook-timestamp": str(at), "webhook-signature": signature}
        answer: int = world["receive"](headers, body if sent is None else sent)
        return answer

    events = [
        Message(id=f"evt_{number}", type="order.paid", subject="ord_1", at=number,
                body=f'{{"id":"evt_{number}","type":"order.paid","subject":"ord_1","sequence":{number}}}'.encode())
        for number in (1, 2)
    ]  # fmt: skip
    assert receive(*envelope(events)) == 204
    assert receive("evt_2", events[1].body) == 204
    assert capsys.readouterr().out.split("\n") == ["order.paid ord_1 1", "order.paid ord_1 2", ""]
    assert receive("evt_3", events[0].body, sent=events[1].body) == 400
    assert receive("evt_1", events[0].body, at=now - 301) == 400


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    """A file that is linked exists, and so does the heading behind a #."""
    text = page.read_text(encoding="utf-8")
    dead = []
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        path, _, anchor = target.partition("#")
        if path.startswith(("http:", "https:", "mailto:")):
            continue
        file = (page.parent / path).resolve() if path else page
        if not file.exists() or (anchor and file.suffix == ".md" and anchor not in _anchors(file)):
            dead.append(target)
    assert dead == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_what_a_document_cites_exists(page: Path) -> None:
    """Files and tests that are named in code marks are there, under that name."""
    missing = []
    for path, _, name in re.findall(
        r"`((?:tests|gateway|scrm|bench|docs|config)/[\w./-]+\.(?:py|toml|md|svg))(::(\w+))?`",
        page.read_text(encoding="utf-8"),
    ):
        file = ROOT / path
        if not file.exists() or (name and f"def {name}(" not in file.read_text(encoding="utf-8")):
            missing.append(f"{path}::{name}" if name else path)
    assert missing == []


def _anchors(page: Path) -> set[str]:
    """Headings as GitHub links to them."""
    heads = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}
