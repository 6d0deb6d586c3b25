"""The public corpus: every message is accepted or refused with a proper acknowledgment, and maps without a dead letter.

The files are test data outside the project; SCRM_CORPUS names their folder.
"""

import os
import re
from collections import Counter
from pathlib import Path

import pytest
from hl7apy.parser import parse_message

from connectors import hl7
from connectors.hl7.parse import Message
from connectors.hl7.simulate import answer
from gateway import mapping
from gateway.connector import Accepted
from tests.connectors.hl7_kit import listener, receive

ROOT = Path(__file__).parents[2]
CORPUS = (ROOT / os.environ.get("SCRM_CORPUS", "../shared/samples")).resolve() / "hl7"
needs_corpus = pytest.mark.skipif(not CORPUS.is_dir(), reason="the corpus is not here; SCRM_CORPUS names its folder")


def bodies() -> dict[str, bytes]:
    """Every message by a name."""
    found = {file.stem: file.read_bytes() for file in sorted(CORPUS.glob("*.hl7"))}
    for file in sorted(CORPUS.glob("*.er7")):
        parts = re.split(rb"(?=MSH\|\^~)", file.read_bytes())[1:]
        found.update({f"{file.stem}-{number}": part.rstrip(b"\r\n") + b"\r" for number, part in enumerate(parts)})
    return found


@needs_corpus
def test_corpus_messages_are_accepted_acknowledged_and_mapped() -> None:
    """All 258: none raises, none becomes a dead letter, every acknowledgment names its message."""
    opened = listener()
    programs = {
        topic.name: mapping.load(ROOT / "mappings", "hl7", topic.mapping, hl7.CARD.calls)
        for topic in hl7.CARD.topics
        if topic.mapping
    }
    context = mapping.Context(account="his", zone="Asia/Shanghai", received_at=0)
    count: Counter[str] = Counter()
    for name, body in bodies().items():
        outcome = receive(opened, body)
        assert isinstance(outcome, Accepted), name
        code, control_id = answer(outcome.reply.body)
        assert (code, bool(control_id)) == ("AA", True), name
        for event in outcome.events:
            count[event.topic] += 1
            data = opened.decode(event.topic, event.payload).data
            if data is not None:
                count.update(made.kind for made in programs[event.topic].run(data, context))
    assert {"adt", "merge", "siu", "orm", "oru", "other"} <= count.keys()
    assert count["adt"] >= 90 and count["oru"] >= 115 and count["appointment"] == 7 and count["order"] >= 116


@needs_corpus
def test_corpus_messages_are_answered_where_lf_is_not_taken_for_cr() -> None:
    """A strict account refuses or accepts each of them, and says so."""
    opened = listener(lenient=False, unmapped="refuse")
    for name, body in bodies().items():
        assert answer(receive(opened, body).reply.body)[0] in {"AA", "AE", "AR"}, name


@needs_corpus
def test_corpus_patients_are_the_ones_the_slow_oracle_sees() -> None:
    """hl7apy, which shares no code or idea with us, finds the same family names, numbers and birth dates."""
    for stem in ("ADT-A04-01", "ADT-A08-01", "SIU-S12-01"):
        text = (CORPUS / f"{stem}.hl7").read_text(encoding="utf-8-sig").replace("\r\n", "\r").replace("\n", "\r")
        ours = Message(text)
        pid = next(line for line in text.split("\r") if line.startswith("PID"))
        header = text.split("\r")[0]
        theirs = parse_message(f"{header}\r{pid}\r", find_groups=False).pid
        assert theirs.pid_3[0].cx_1.to_er7() == ours.get("PID-3.1")
        assert theirs.pid_3[1].cx_4.to_er7() == ours.get("PID-3(2).4")
        assert theirs.pid_5[1].xpn_2.to_er7() == ours.get("PID-5(2).2")
        assert theirs.pid_7.to_er7() == ours.get("PID-7")
