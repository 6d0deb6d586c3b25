"""Acknowledgments as HL7 v2.5 §2.9 and §2.15 ask for them, read back with the independent library."""

import hl7
import pytest

from connectors.hl7 import ack
from connectors.hl7.ack import Code, Fault, Header, Mode
from connectors.hl7.listener import BETWEEN_FRAMES
from gateway.connector import Accepted, Reason, Refused
from tests.connectors.hl7_kit import PID, listener, message, receive

FAULT = Fault(101, "PID-3 names nothing", ("PID", 1, 3))


def header(text: str) -> Header:
    """The header of a message's bytes."""
    return ack.raw_header(text.encode())


def one(text: str, code: Code = Code.ACCEPT, fault: Fault | None = None, mode: Mode = Mode.ORIGINAL) -> str:
    """The only acknowledgment of a message."""
    (found,) = ack.replies(header(text), mode, code, control_id="A1", now="20260111120001+0800", fault=fault)
    return found.decode()


def test_a_positive_acknowledgment_is_exact() -> None:
    """Sender and receiver swap places whole, MSH-10 is fresh, 11 and 12 are copied, MSA-2 names the message, CR ends it."""
    assert one(message(PID)) == (
        "MSH|^~\\&|SCRM|GW^9.9^ISO|HIS|SHDYYY^1.2^ISO|20260111120001+0800||ACK^A08^ACK|A1|P|2.5\rMSA|AA|M1\r"
    )


@pytest.mark.parametrize(
    ("version", "kind"),
    [("2.1", "ACK"), ("2.3.1", "ACK"), ("", "ACK"), ("2.4", "ACK^A08^ACK"), ("2.8.2", "ACK^A08^ACK")],
)
def test_the_acknowledgments_type_has_three_parts_from_2_4_on(version: str, kind: str) -> None:
    """Before, it is plain ACK."""
    assert one(message(PID, version=version)).split("|")[8] == kind


def test_the_charset_is_stated_where_the_request_states_it() -> None:
    """MSH-18 is copied, and the names in the header come back in the same bytes."""
    raw = "MSH|^~\\&|住院|人民医院|SCRM|GW|1||ADT^A08|M1|P|2.5||||||GB 18030-2000\rPID|1||7^^^H^MR\r".encode("gb18030")
    outcome = receive(listener(), raw)
    assert isinstance(outcome, Accepted)
    text = outcome.reply.body.decode("gb18030")
    assert text.startswith("MSH|^~\\&|SCRM|GW|住院|人民医院|") and text.split("\r")[0].split("|")[17] == "GB 18030-2000"


def test_own_delimiters_are_kept() -> None:
    """A sender of $%*!@ is answered in $%*!@."""
    text = one("MSH$%*!@$HIS$H$S$G$1$$ADT%A08$M1$P$2.5\r", Code.ERROR, FAULT)
    assert text.startswith("MSH$%*!@$S$G$HIS$H$") and "\rMSA$AE$M1$PID-3 names nothing\rERR$$PID%1%3$101%" in text


@pytest.mark.parametrize("encoding", ["^", "^~", "^~\\", "^~\\&#"])
def test_short_and_long_msh_2_are_answered(encoding: str) -> None:
    """A delimiter the sender did not declare is the standard's in the answer."""
    text = one(f"MSH|{encoding}|HIS|H|S|G|1||ADT^A08|M1|P|2.5\r", Code.ERROR, FAULT)
    assert text.startswith("MSH|^~\\&") and "ERR||PID^1^3|101^Required field missing^HL70357|E" in text


def test_err_is_written_as_the_version_has_it() -> None:
    """From 2.5 ERR-2 to ERR-8; before, ERR-1 with the code in subcomponents; MSA-3 until it is withdrawn in 2.7."""
    assert one(message(PID, version="2.5.1"), Code.ERROR, FAULT).split("\r")[1:3] == [
        "MSA|AE|M1|PID-3 names nothing", "ERR||PID^1^3|101^Required field missing^HL70357|E||||PID-3 names nothing",
    ]  # fmt: skip
    assert one(message(PID, version="2.3"), Code.ERROR, FAULT).split("\r")[1:3] == [
        "MSA|AE|M1|PID-3 names nothing", "ERR|PID^1^3^101&Required field missing&HL70357",
    ]  # fmt: skip
    assert one(message(PID, version="2.7"), Code.ERROR, FAULT).split("\r")[1] == "MSA|AE|M1"


def test_every_acknowledgment_has_an_id_of_its_own() -> None:
    """Thousands within one microsecond, and after a restart within it: all different, none over 20 characters."""
    seen = set()
    for opened in (listener(), listener()):
        for _ in range(2000):
            outcome = receive(opened, message(PID))
            assert isinstance(outcome, Accepted)
            seen.add(outcome.reply.body.split(b"|")[9])
    assert len(seen) == 4000 and max(map(len, seen)) <= 20


def test_the_independent_library_reads_every_acknowledgment() -> None:
    """python-hl7 finds MSA-1, MSA-2 and the swapped parties."""
    outcome = receive(listener(), message("PV1|1|I"))
    assert isinstance(outcome, Refused)
    read = hl7.parse(outcome.reply.body.decode())
    assert (read["MSA.1"], read["MSA.2"], read["MSH.3"], read["MSH.6.1.2"]) == ("AE", "M1", "SCRM", "1.2")
    assert (read["ERR.2.1.1"], read["ERR.3.1.1"], read["ERR.4"]) == ("PID", "100", "E")


# ------------------------------------------------------------------ what cannot be read is answered too
@pytest.mark.parametrize(
    "body", [b"", b"hello", b"\x00\xff\xfe", b"PID|1||7", b"MSH", b"MSH|", "MSH|^~\\&|A".encode("utf-16")]
)
def test_what_has_no_header_is_rejected_without_an_id(body: bytes) -> None:
    """AR and an empty MSA-2: a sender that hears nothing sends it again for ever."""
    outcome = receive(listener(), body)
    assert isinstance(outcome, Refused) and outcome.reason is Reason.MALFORMED
    assert b"\rMSA|AR|" in outcome.reply.body and outcome.reply.body.endswith(b"\r")


def test_a_message_of_wrong_bytes_is_answered_from_its_raw_header() -> None:
    """AE 102 names MSH-18, and MSA-2 names the message, though its text is lost."""
    raw = message(PID, more="||||||UNICODE UTF-8").encode("gb18030")
    outcome = receive(listener(), raw)
    assert isinstance(outcome, Refused)
    assert (
        b"\rMSA|AE|M1|" in outcome.reply.body and b"ERR||MSH^1^18|102^Data type error^HL70357|E" in outcome.reply.body
    )


def test_a_truncated_frame_is_rejected_and_not_kept() -> None:
    """What the door let go of is never taken for the whole message."""
    outcome = receive(listener(), message(PID), **{"mllp-truncated": "99999999"})
    assert isinstance(outcome, Refused) and outcome.reason is Reason.TOO_LARGE
    assert b"\rMSA|AR|M1|" in outcome.reply.body and b"207^Application error" in outcome.reply.body


@pytest.mark.parametrize(
    "text",
    [message("MSA|AA|X1", kind="ACK^A08^ACK"), message("MSA|AA|X1", kind="ORR^O02"), message("MSA|AA|X1", kind="ACK")],
)
def test_an_acknowledgment_is_not_acknowledged(text: str) -> None:
    """Nor kept."""
    for mode in ("original", "auto", "enhanced"):
        outcome = receive(listener(ack=mode), text)
        assert isinstance(outcome, Accepted) and outcome.events == () and outcome.reply.body == b""


# ------------------------------------------------------------------ modes
_CASES = [
    # mode, MSH-15, MSH-16, codes when it goes well, codes when it does not
    ("original", "", "", ["AA"], ["AE"]),
    ("original", "AL", "NE", ["AA"], ["AE"]),
    ("original", "NE", "NE", ["AA"], ["AE"]),
    ("auto", "", "", ["AA"], ["AE"]),
    ("auto", "NE", "NE", [], []),
    ("auto", "AL", "NE", ["CA"], ["CE"]),
    ("auto", "AL", "", ["CA"], ["CE"]),
    ("auto", "ER", "NE", [], ["CE"]),
    ("auto", "SU", "NE", ["CA"], []),
    ("auto", "NE", "AL", ["AA"], ["AE"]),
    ("auto", "", "AL", ["AA"], ["AE"]),
    ("auto", "NE", "ER", [], ["AE"]),
    ("auto", "NE", "SU", ["AA"], []),
    ("auto", "AL", "AL", ["CA", "AA"], ["CE"]),
    ("auto", "ER", "AL", ["AA"], ["CE"]),
    ("auto", "SU", "AL", ["CA", "AA"], ["AE"]),
    ("enhanced", "", "", ["CA"], ["CE"]),
    ("enhanced", "NE", "AL", ["AA"], ["AE"]),
]


@pytest.mark.parametrize(("mode", "accept", "application", "well", "badly"), _CASES)
def test_each_mode_answers_as_the_matrix_says(
    mode: str, accept: str, application: str, well: list[str], badly: list[str]
) -> None:
    """Original mode answers always; the others as MSH-15 and MSH-16 ask, and never both after a negative accept acknowledgment."""
    opened = listener(ack=mode)
    more = f"|||{accept}|{application}"
    for body, expected in ((message(PID, more=more), well), (message("PV1|1", more=more), badly)):
        reply = receive(opened, body).reply
        found = [part for part in reply.body.split(BETWEEN_FRAMES) if part]
        assert [part.split(b"\rMSA|")[1].split(b"|")[0].decode() for part in found] == expected
        ids = [part.split(b"|")[9] for part in found]
        assert len(set(ids)) == len(ids)


def test_an_enhanced_acknowledgment_asks_for_none() -> None:
    """MSH-15 and MSH-16 are NE, or two engines thank each other for ever."""
    reply = receive(listener(ack="auto"), message(PID, more="|||AL|AL|CHN|UNICODE UTF-8")).reply
    for part in reply.body.decode().split(BETWEEN_FRAMES.decode()):
        fields = part.split("\r")[0].split("|")
        assert (fields[14], fields[15], fields[17]) == ("NE", "NE", "UNICODE UTF-8")
