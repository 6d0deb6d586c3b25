"""The filters that the guide shows, asked about the event that it shows."""

import re
from pathlib import Path

import msgspec

from gateway.mapping import RECORDS
from gateway.pipeline.filters import Filter, context_of

GUIDE = (Path(__file__).parents[2] / "docs/guides/narrowing.md").read_text(encoding="utf-8")


def test_every_filter_of_the_guide_holds_for_its_event() -> None:
    """Whoever copies one gets what the guide says."""
    (event,) = [text for text in re.findall(r"```json\n(.*?)```", GUIDE, re.DOTALL) if '"evt_' in text]
    (shown,) = re.findall(r"```cel\n(.*?)```", GUIDE, re.DOTALL)
    (configured,) = re.findall(r'^filter = "(.*)"$', GUIDE, re.MULTILINE)
    context = context_of(event.encode())
    said = {text: Filter(text, place="guide").holds(context) for text in (*shown.splitlines(), configured)}
    assert set(said.values()) == {True}, said


def test_the_event_of_the_guide_is_one_of_ours() -> None:
    """Its fields are the model's."""
    (event,) = [text for text in re.findall(r"```json\n(.*?)```", GUIDE, re.DOTALL) if '"evt_' in text]
    data = msgspec.json.decode(event)["data"]
    for kind in ("order", "customer"):
        assert set(data[kind]) <= set(RECORDS[kind].__struct_fields__)
        msgspec.convert(data[kind], RECORDS[kind])
