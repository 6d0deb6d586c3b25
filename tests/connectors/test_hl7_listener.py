"""What a frame becomes: entries with their keys, plain data, refusals with the right words."""

from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors import hl7
from connectors.hl7 import groups
from connectors.hl7.listener import BETWEEN_FRAMES, TRUNCATED
from gateway import cases, mapping
from gateway.connector import Accepted, Inbound, Outcome, Reason, Refused
from gateway.doors import blocks, mllp
from gateway.errors import PayloadError
from tests.connectors.hl7_kit import PID, listener, message, receive

ROOT = Path(__file__).parents[2]
SAMPLES = ROOT / "connectors" / "hl7" / "samples"
MAPPINGS = ROOT / "mappings"


def events(outcome: Outcome) -> tuple[Inbound, ...]:
    """Of an accepted frame."""
    assert isinstance(outcome, Accepted), outcome
    return outcome.events


def only(outcome: Outcome) -> Inbound:
    """The one entry of an accepted frame."""
    (event,) = events(outcome)
    return event


def mapped(topic: str, payload: bytes) -> tuple[mapping.Mapped, ...]:
    """What the mapping makes of an entry."""
    data = listener().decode(topic, payload).data
    assert data is not None
    context = mapping.Context(account="his", zone="Asia/Shanghai", received_at=0)
    return mapping.load(MAPPINGS, "hl7", topic, hl7.CARD.calls).run(data, context)


# ------------------------------------------------------------------ samples and golden cases
@pytest.mark.parametrize("file", sorted((SAMPLES / "ok").glob("*.hl7")), ids=lambda file: file.stem)
def test_a_good_sample_is_accepted_under_its_topic_and_can_be_mapped(file: Path) -> None:
    """The file's name begins with the topic; the first byte of the answer says AA."""
    outcome = receive(listener(), file.read_bytes())
    topic = file.stem.partition("-")[0]
    for event in events(outcome):
        assert event.topic == topic
        if topic != "other":
            assert mapped(topic, event.payload)
    assert b"\rMSA|AA|M" in outcome.reply.body


@pytest.mark.parametrize("file", sorted((SAMPLES / "refused").glob("*.hl7")), ids=lambda file: file.stem)
def test_a_refused_sample_is_refused_for_the_reason_in_its_name(file: Path) -> None:
    """And hears AE or AR, and nothing of it is kept in the detail."""
    outcome = receive(listener(), file.read_bytes())
    assert isinstance(outcome, Refused) and outcome.reason is Reason(file.stem.partition("-")[0])
    assert b"\rMSA|AE|" in outcome.reply.body or b"\rMSA|AR|" in outcome.reply.body


def test_golden_cases_hold() -> None:
    """Every mapping of this connector has cases, and all of them hold."""
    results = cases.run_cases(MAPPINGS, [hl7.CARD], MAPPINGS / "hl7")
    assert {result.mapping.partition("@")[0] for result in results} == {
        f"hl7/{topic.mapping}" for topic in hl7.CARD.topics if topic.mapping
    }
    assert not [fault for result in results for fault in result.faults]


def test_no_result_value_leaves_an_oru() -> None:
    """Not in the entry's data, not in any record: only that a report is ready."""
    payload = (SAMPLES / "ok" / "oru-final.hl7").read_bytes()
    data = msgspec.json.encode(listener().decode("oru", payload).data).decode()
    records = msgspec.json.encode(mapped("oru", payload)).decode()
    for secret in ("17.3", "mmol", "糖尿病", "机密", "HH", "3.9-6.1"):
        assert secret not in data
        assert secret not in records


# ------------------------------------------------------------------ keys
def test_a_message_sent_twice_has_one_key_and_is_acknowledged_twice() -> None:
    """A resend after a lost acknowledgment is normal: AA again."""
    opened = listener()
    first, second = (receive(opened, message(PID)) for _ in range(2))
    assert only(first).dedupe_key == only(second).dedupe_key
    assert b"MSA|AA|M1" in second.reply.body


def test_a_control_id_used_again_for_another_content_is_another_message() -> None:
    """Counters restart when senders do."""
    opened = listener()
    assert only(receive(opened, message(PID))).dedupe_key != only(receive(opened, message(PID + "|x"))).dedupe_key


@pytest.mark.parametrize(
    ("pid3", "expected"),
    [
        ("7^^^H^MR", "H|MR|7"),
        ("9^^^GA^NI~7^^^H^MR", "H|MR|7"),
        ("7^^^&1.2.3&ISO^PI", "1.2.3|PI|7"),
        ("7", "SHDYYY|MR|7"),
        ('~""~000~7^^^H^XX', "H|XX|7"),
    ],
)
def test_a_patients_messages_share_a_partition_however_its_numbers_are_listed(pid3: str, expected: str) -> None:
    """By authority and type, never by position; zeros, nulls and blanks name nobody."""
    assert only(receive(listener(), message(f"PID|1||{pid3}"))).partition_key == expected


def test_numbers_without_an_authority_belong_to_the_facility_the_option_or_the_account() -> None:
    """Two hospitals that count from 1 never share a patient."""
    bare = "MSH|^~\\&|HIS||S|G|1||ADT^A08|M1|P|2.5\rPID|1||1\r"
    assert only(receive(listener(name="east"), bare)).partition_key == "east|MR|1"
    assert only(receive(listener(authority="CITY"), bare)).partition_key == "CITY|MR|1"
    assert only(receive(listener(), message("PID|1||1"))).partition_key == "SHDYYY|MR|1"


def test_an_appointment_without_a_patient_is_ordered_by_its_number() -> None:
    """A blocked slot has no PID."""
    event = only(receive(listener(), message("SCH|P1^HIS|F1^RIS", kind="SIU^S12")))
    assert (event.topic, event.partition_key) == ("siu", "F1@RIS")


# ------------------------------------------------------------------ groups
def test_a_merge_of_two_patients_is_two_entries_that_each_retire_their_own() -> None:
    """Each part is a whole small message, in the same bytes, ordered by its own survivor."""
    body = (SAMPLES / "ok" / "merge-a40-two-patients.hl7").read_bytes()
    found = events(receive(listener(), body))
    assert [event.partition_key for event in found] == ["SHDYYY|MR|0001234", "SHDYYY|MR|0005678"]
    assert len({event.dedupe_key for event in found}) == 2
    claims = [
        [(claim.value, claim.retired) for claim in mapped("merge", event.payload)[0].identities] for event in found
    ]
    assert claims == [
        [("0001234", False), ("0000042", True)],
        [("0005678", False), ("0000043", True), ("0000044", True)],
    ]


def test_orders_in_one_message_are_entries_of_their_own() -> None:
    """Each with its patient; a note of the first does not reach the second."""
    found = events(receive(listener(), (SAMPLES / "ok" / "orm-two-orders.hl7").read_bytes()))
    orders = [mapped("orm", event.payload)[0] for event in found]
    assert [getattr(order.record, "external_id", "") for order in orders] == ["845440@HIS", "845441@HIS"]
    assert all(order.identities for order in orders)
    assert b"NTE" in found[0].payload and b"NTE" not in found[1].payload


def test_the_results_of_two_patients_stay_with_their_own() -> None:
    """An ORU may repeat PID: nobody gets another's report."""
    body = message(
        "PID|1||1^^^H^MR",
        "PV1|1|O",
        "OBR|1|A^HIS",
        "OBX|1",
        "OBR|2|B^HIS",
        "PID|2||2^^^H^MR",
        "ORC|RE|C^HIS",
        "OBR|1|C^HIS",
        kind="ORU^R01",
    )
    found = events(receive(listener(), body))
    assert [event.partition_key for event in found] == ["H|MR|1", "H|MR|1", "H|MR|2"]
    assert [b"PV1" in event.payload for event in found] == [True, True, False]


def test_a_part_of_an_undeclared_gbk_message_is_still_read_as_gbk() -> None:
    """What the whole was read as holds for its parts, though a part alone might look like UTF-8."""
    body = message(
        "PID|1||1^^^H^MR||一", "MRG|3^^^H^MR", "PID|2||2^^^H^MR||张三丰", "MRG|4^^^H^MR", kind="ADT^A40^ADT_A39"
    ).encode("gb18030")
    found = events(receive(listener(encoding=("UTF-8", "GB18030")), body))
    assert [getattr(mapped("merge", event.payload)[0].record, "name", "") for event in found] == ["一", "张三丰"]


def test_a_message_of_countless_groups_is_refused_and_costs_no_memory() -> None:
    """Every part repeats its patient; the sum is bounded."""
    outcome = receive(listener(), message(PID + "x" * 5000, *[f"OBR|{n}|{n}^HIS" for n in range(600)], kind="ORU^R01"))
    assert isinstance(outcome, Refused) and b"198^Non-conformant cardinality" in outcome.reply.body
    with pytest.raises(PayloadError):
        groups.orders(["MSH|", "PID|" + "x" * 100_000, *["OBR|1"] * 400])


# ------------------------------------------------------------------ merges
def test_a_merge_into_itself_is_refused_with_205() -> None:
    """PID-3 = MRG-1 would retire a patient in favour of nobody."""
    outcome = receive(listener(), message("PID|1||7^^^H^MR", "MRG|7^^^H^MR", kind="ADT^A40^ADT_A39"))
    assert isinstance(outcome, Refused)
    assert b"ERR||MRG^1^1|205^Duplicate key identifier^HL70357|E||||MRG-1 matches PID-3" in outcome.reply.body


def test_one_bad_group_refuses_the_whole_merge() -> None:
    """One acknowledgment can only say one thing: none of it is written down."""
    body = message("PID|1||7^^^H^MR", "MRG|8^^^H^MR", "PID|2||9^^^H^MR", "MRG|9^^^H^MR", kind="ADT^A40^ADT_A39")
    assert isinstance(receive(listener(), body), Refused)


def test_the_same_number_of_another_authority_is_no_merge_into_itself() -> None:
    """The authority is part of the key."""
    assert (
        only(receive(listener(), message("PID|1||7^^^EAST^MR", "MRG|7^^^WEST^MR", kind="ADT^A40^ADT_A39"))).topic
        == "merge"
    )


# ------------------------------------------------------------------ what is not mapped
@pytest.mark.parametrize("kind", ["MDM^T02^MDM_T02", "ADT^A11", "ADT^A34", "VXU^V04", "ZZZ^Z01"])
def test_what_no_mapping_reads_is_kept_or_refused_as_the_account_says(kind: str) -> None:
    """AA and kept unread, or AR 200 and 201."""
    kept = receive(listener(), message(PID, kind=kind))
    assert only(kept).topic == "other" and listener().decode("other", b"").data is None
    refused = receive(listener(unmapped="refuse"), message(PID, kind=kind))
    number = "201" if kind.startswith("ADT") else "200"
    assert (
        isinstance(refused, Refused)
        and f"ERR||MSH^1^9|{number}^".encode() in refused.reply.body
        and b"MSA|AR|" in refused.reply.body
    )


def test_the_trigger_may_stand_in_evn() -> None:
    """Senders before 2.3 write ADT in MSH-9 and A04 in EVN-1."""
    assert only(receive(listener(), message("EVN|A04|20260111", PID, kind="ADT", version="2.2"))).topic == "adt"


def test_lf_messages_are_read_where_the_account_is_lenient_and_explained_where_it_is_not() -> None:
    """A strict account says what is wrong and which option helps."""
    body = message(PID).replace("\r", "\n")
    assert only(receive(listener(), body)).topic == "adt"
    refused = receive(listener(lenient=False), body)
    assert isinstance(refused, Refused) and b"lenient" in refused.reply.body
    assert only(receive(listener(lenient=False), message(PID).replace("\r", "\r\n"))).topic == "adt"


def test_the_door_and_the_connector_name_a_cut_frame_alike() -> None:
    """The header stands in both, since neither may import the other."""
    assert TRUNCATED == mllp.TRUNCATED
    assert blocks.FS + blocks.CR + blocks.VT == BETWEEN_FRAMES


# ------------------------------------------------------------------ anything at all
_BITS = st.sampled_from(
    [b"MSH|^~\\&|", b"\r", b"|", b"^", b"~", b"\\", b"&", b'""', b"PID|1||", b"MRG|", b"ADT^A40", b"ORU^R01", b"SIU^S12", b"OBR|1|", b"ORC|",
     b"2.5", b"GBK", "张三".encode(), "乗".encode("gb18030"), b"\n", b"\0", b"\xff", b"7^^^H^MR", b"M1", b"|||||||"]
)  # fmt: skip


@given(st.lists(_BITS | st.binary(max_size=8), max_size=40), st.booleans())
def test_no_bytes_make_it_raise(parts: list[bytes], header: bool) -> None:
    """Whatever a sender sends is accepted or refused; what is accepted can be decoded."""
    body = (b"MSH|^~\\&|HIS|H|S|G|1||ADT^A40|M1|P|2.5\r" if header else b"") + b"".join(parts)
    opened = listener()
    outcome = receive(opened, body)
    if isinstance(outcome, Accepted):
        for event in outcome.events:
            opened.decode(event.topic, event.payload)
