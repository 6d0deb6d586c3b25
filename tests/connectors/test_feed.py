"""What a feed's bodies become: one entry a row, whatever they are written in; and what is said about the rest."""

import io
import json
import time
import zipfile
from pathlib import Path

import openpyxl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from connectors.feed import CARD, formats, sheets
from connectors.feed.options import FeedOptions
from connectors.feed.rows import MAX_DEPTH
from gateway.connector import Accepted, Account, Challenge, Connector, Lane, Outcome, Reason, Refused, Reply, Request
from gateway.errors import ConfigError, PayloadError

SAMPLES = Path(__file__).parents[2] / "connectors" / "feed" / "samples"
OK, BAD = sorted((SAMPLES / "ok").iterdir()), sorted((SAMPLES / "refused").iterdir())


def opened(mapping: str = "feed/customer", **options: str) -> Connector:
    chosen = FeedOptions(mapping=mapping, auth="none-on-loopback", **options)
    return CARD.open(Account(name="erp", connector="feed", options=chosen), None)


def post(connector: Connector, body: bytes | str, content_type: str = "", **headers: str) -> Outcome:
    raw = body if isinstance(body, bytes) else body.encode()
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return connector.receive(
        Request(body=raw, headers=named | {"content-type": content_type}, peer="127.0.0.1", received_at=0)
    )


def accepted(found: Outcome) -> Accepted:
    assert isinstance(found, Accepted), found
    return found


def rows(connector: Connector, found: Outcome) -> list[dict]:
    return [connector.decode(event.topic, event.payload).data for event in accepted(found).events]


def said(reply: Reply) -> dict:
    return json.loads(reply.body)


def settled(found: Outcome, *known: bool) -> dict:
    outcome = accepted(found)
    assert outcome.settle is not None
    reply = outcome.settle(known)
    assert reply.status == 202
    return said(reply)


def workbook(table: list[list], change=lambda _name, part: part) -> bytes:
    book, packed = openpyxl.Workbook(), io.BytesIO()
    for cells in table:
        book.active.append(cells)
    book.save(packed)
    out = io.BytesIO()
    with zipfile.ZipFile(packed) as parts, zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as target:
        for info in parts.infolist():
            target.writestr(info.filename, change(info.filename, parts.read(info)))
    return out.getvalue()


# ------------------------------------------------------------------ samples
@pytest.mark.parametrize("sample", OK, ids=lambda path: path.name)
def test_a_good_sample_is_accepted_whatever_it_says_it_is(sample: Path) -> None:
    """By its content alone, with its content type, and by the account's own format: the same entries."""
    stem, form = sample.name.partition("-")[0], sample.suffix[1:]
    types = {kind: name for name, kind in formats._TYPES.items()}
    body = sample.read_bytes()
    by_content = accepted(post(opened(f"feed/{stem}"), body))
    by_type = accepted(post(opened(f"feed/{stem}"), body, types[form]))
    by_account = accepted(post(opened(f"feed/{stem}", format=form), body, "application/octet-stream"))
    assert by_content.events
    assert by_content.events == by_type.events == by_account.events
    assert {event.topic for event in by_content.events} == {stem}


@pytest.mark.parametrize("sample", BAD, ids=lambda path: path.name)
def test_a_refused_sample_is_refused_for_the_reason_in_its_name(sample: Path) -> None:
    """Quickly, with a status of its own and in words."""
    began = time.thread_time()
    found = post(opened("feed/order"), sample.read_bytes())
    assert time.thread_time() - began < 5
    assert isinstance(found, Refused), found
    assert found.reason.value == sample.name.partition("-")[0]
    assert found.reply.status in (400, 413, 415, 422)
    assert found.reply.content_type == "application/problem+json"
    assert said(found.reply)["status"] == found.reply.status
    assert said(found.reply)["detail"]


def test_the_samples_say_what_they_should() -> None:
    """Headings trimmed, quotes and line breaks kept, blank rows left out, the two encodings the same."""
    connector = opened()
    bom, gb = (
        rows(connector, post(connector, (SAMPLES / "ok" / f"customer-{name}.csv").read_bytes()))
        for name in ("bom", "gb18030")
    )
    assert bom == gb
    assert [row["customer_code"] for row in bom] == ["C2001", "C2002"]
    assert bom[0]["客户备注"] == '喜欢"晚上"联系'
    assert bom[0]["address"] == "上海市浦东新区\n示例路 2 号"


# ------------------------------------------------------------------ JSON
def test_a_single_object_is_kept_as_it_was_sent() -> None:
    """The payload is the body, byte for byte; fractions reach the mapping as text, whole numbers as numbers."""
    connector = opened("feed/order")
    body = b' {"order_no": 12, "total": 199.90, "big": 1.0E+2, "exact": 0.1000000000000000055511151231257827, "n": 3}'
    found = post(connector, body)
    assert accepted(found).events[0].payload == body.strip()
    assert rows(connector, found) == [
        {"order_no": 12, "total": "199.90", "big": "100", "exact": "0.1000000000000000055511151231257827", "n": 3}
    ]


@pytest.mark.parametrize(
    "body",
    [
        '[{"customer_code": "C1"}, {"customer_code": "C2"}]',
        '{"customer_code": "C1"}\n{"customer_code": "C2"}\n',
        '\n{"customer_code": "C1"}\r\n\r\n{"customer_code": "C2"}',
        '\ufeff[{"customer_code": "C1"},\n {"customer_code": "C2"}]',
    ],
)
def test_an_array_and_an_object_a_line_are_a_row_each(body: str) -> None:
    """Under one content type, as senders do it."""
    connector = opened()
    assert [row["customer_code"] for row in rows(connector, post(connector, body, "application/json"))] == ["C1", "C2"]


def test_a_row_is_the_same_event_in_an_array_and_alone() -> None:
    """How rows are packed says nothing about them."""
    row = '{"customer_code": "C1", "name": "张三"}'
    (alone,) = accepted(post(opened(), row)).events
    (packed,) = accepted(post(opened(), f"[ {row} ]")).events
    (line, _) = accepted(post(opened(), f"{row}\n{row}")).events
    assert alone == packed == line


def test_a_bad_row_never_hides_a_good_one() -> None:
    """Four of six rows are wrong in their own way; the two others are taken, and the answer names the four."""
    deep = "[" * 40 + "]" * 40
    body = f'[{{"customer_code": "C1"}}, 7, {{"name": "x"}}, {{"customer_code": {{}}}}, {{"customer_code": "C5", "x": {deep}}}, {{"customer_code": "C6"}}]'
    found = post(opened(), body)
    assert [event.partition_key for event in accepted(found).events] == ["C1", "C6"]
    assert found.problems == 4
    answer = settled(found, False, True)
    assert (answer["accepted"], answer["duplicates"], answer["refused"]) == (1, 1, 4)
    assert [(one["row"], one["field"]) for one in answer["problems"]] == [
        (2, ""), (3, "customer_code"), (4, "customer_code"), (5, "")
    ]  # fmt: skip
    assert str(MAX_DEPTH) in answer["problems"][3]["detail"]


def test_a_broken_line_among_lines_is_one_problem() -> None:
    """Lines stand for themselves: what is wrong with one ends at its end."""
    found = post(
        opened(),
        '{"customer_code": "C1"}\n{"customer_code": "C2"\n{"customer_code": "\\ud800"}\n\n{"customer_code": "C4"}',
    )
    assert [event.partition_key for event in accepted(found).events] == ["C1", "C4"]
    assert [one["row"] for one in settled(found, False, False)["problems"]] == [2, 3]


@pytest.mark.parametrize(
    "name",
    ['""', '"  "', "null", "true", "[]", "{}", f'"{"x" * 257}"', '"a\\u0000b"', '"a\\nb"', "1.5e99", "1" * 30, "NaN"],
)
def test_a_row_without_a_usable_name_is_a_problem_of_the_sender(name: str) -> None:
    """Nothing that cannot be told apart from others, or shown, becomes a key."""
    found = post(opened(), f'{{"customer_code": {name}}}')
    assert isinstance(found, Refused)
    assert found.reply.status in (400, 422)


@pytest.mark.parametrize(
    "number", ["1e999999999", "1e-999999999", "0." + "1" * 100, "9" * 40, "9" * 5000, "-" + "9" * 19]
)
def test_a_number_out_of_all_proportion_is_refused_at_once(number: str) -> None:
    """Spelling it out would cost the memory that its sender did not spend."""
    found = post(opened(), f'{{"customer_code": "C1", "n": [{number}]}}')
    assert isinstance(found, Refused)
    assert number not in found.reply.body.decode() + found.detail


def test_a_body_of_nothing_and_an_array_of_nothing_differ() -> None:
    """An empty list is a list; no body is a mistake."""
    assert isinstance(post(opened(), ""), Refused)
    assert isinstance(post(opened(), " \n "), Refused)
    found = accepted(post(opened(), "[]"))
    assert (found.events, said(found.reply)) == ((), {"accepted": 0, "duplicates": 0})


def test_too_many_rows_are_refused_in_every_format() -> None:
    """One request holds at most so many; the answer says how many."""
    count = formats.MAX_ROWS + 1
    for body in (
        "[" + ",".join(['{"customer_code":"C"}'] * count) + "]",
        '{"customer_code":"C"}\n' * count,
        "customer_code\n" + "C\n" * count,
        "<a>" + "<b><customer_code>C</customer_code></b>" * count + "</a>",
    ):
        found = post(opened(), body)
        assert isinstance(found, Refused)
        assert (found.reason, found.reply.status) == (Reason.TOO_LARGE, 413)
        assert str(formats.MAX_ROWS) in said(found.reply)["detail"]


# ------------------------------------------------------------------ sameness
def keys(found: Outcome) -> list[str]:
    return [event.dedupe_key for event in accepted(found).events]


def test_a_changed_row_with_the_same_id_is_a_new_event_and_an_identical_one_is_not() -> None:
    """Even when the sender forgets to move ``updated_at``."""
    connector = opened()
    row = '{"customer_code": "C1", "name": "张三", "updated_at": "2026-01-01"}'
    changed = row.replace("张三", "李四")
    assert keys(post(connector, row)) == keys(post(connector, row))
    assert keys(post(connector, row)) != keys(post(connector, changed))
    assert (
        accepted(post(connector, row)).events[0].partition_key
        == accepted(post(connector, changed)).events[0].partition_key
    )


def test_an_idempotency_key_makes_a_repetition_a_duplicate_and_swallows_no_other_body() -> None:
    """Same key and body: the same event. Same key, other body: another event. Another key: a new event, even of the same content."""
    connector = opened()
    one, other = '{"customer_code": "C1", "name": "张三"}', '{"customer_code": "C1", "name": "李四"}'
    first = keys(post(connector, one, idempotency_key="k1"))
    assert first == keys(post(connector, one, idempotency_key='"k1"'))
    assert first != keys(post(connector, other, idempotency_key="k1"))
    assert first != keys(post(connector, one, idempotency_key="k2"))
    assert first != keys(post(connector, one))


@pytest.mark.parametrize("key", ["", '""', "k" * 256, "a\nb", "鍵", "\udc80"])
def test_an_idempotency_key_that_is_none_is_refused(key: str) -> None:
    """Silently going on without it would break the promise that it carries."""
    found = post(opened(), '{"customer_code": "C1"}', idempotency_key=key)
    assert isinstance(found, Refused)
    assert said(found.reply)["problems"][0]["field"] == "idempotency-key"


def test_duplicates_are_counted_apart_from_what_is_new() -> None:
    """Single rows and many: the two numbers add up to what is durable."""
    single = post(opened(), '{"customer_code": "C1"}')
    assert settled(single, False) == {"accepted": 1, "duplicates": 0}
    assert settled(single, True) == {"accepted": 0, "duplicates": 1}
    many = post(opened(), '[{"customer_code": "C1"}, {"customer_code": "C2"}, {"customer_code": "C3"}]')
    assert settled(many, True, False, True) == {"accepted": 1, "duplicates": 2}


# ------------------------------------------------------------------ CSV
def test_a_gb18030_file_is_read_and_a_charset_settles_the_doubt() -> None:
    """联通 in GBK happens to be valid UTF-8: only the content type can tell."""
    connector = opened()
    body = "customer_code,name\nC1,联通\n".encode("gbk")
    assert rows(connector, post(connector, body, "text/csv; charset=GBK"))[0]["name"] == "联通"
    longer = "customer_code,name\nC1,联通\nC2,张三丰\n".encode("gbk")
    assert rows(connector, post(connector, longer, "text/csv"))[0]["name"] == "联通"


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_delimiters_and_line_ends_of_all_spreadsheets_are_read(delimiter: str, end: str) -> None:
    """The heading tells the delimiter."""
    connector = opened()
    body = end.join([f"customer_code{delimiter}name", f'C1{delimiter}"a{delimiter}b"', f"C2{delimiter}"])
    assert rows(connector, post(connector, body, "text/csv")) == [
        {"customer_code": "C1", "name": f"a{delimiter}b"},
        {"customer_code": "C2", "name": ""},
    ]


def test_a_stray_quote_and_a_cell_too_many_are_problems_of_their_rows() -> None:
    """The rows around them are taken."""
    found = post(opened(), 'customer_code,name\nC1,a\nC2,"b"x\nC3,c,d\nC4,"never closed\n', "text/csv")
    assert [event.partition_key for event in accepted(found).events] == ["C1"]
    assert [one["row"] for one in settled(found, False)["problems"]] == [2, 3, 4]
    found = post(opened(), 'customer_code,name\nC1,5" pipe\nC2,b\n', "text/csv")
    assert [event.partition_key for event in accepted(found).events] == ["C1", "C2"]


def test_a_json_column_holds_what_a_table_cannot() -> None:
    """Under a heading that says so; broken JSON in it names the column."""
    connector = opened("feed/order")
    body = 'order_no,lines:json\nS1,"[{""sku"": ""A"", ""price"": 1.50}]"\nS2,[{\nS3,\n'
    found = post(connector, body, "text/csv")
    first, last = rows(connector, found)
    assert first["lines"] == [{"sku": "A", "price": "1.50", "line_no": "1"}]
    assert last["lines"] == ""
    assert settled(found, False, False)["problems"] == [{"row": 2, "field": "lines", "detail": "not well-formed JSON"}]


# ------------------------------------------------------------------ XML
def test_xml_records_lists_and_attributes_are_read() -> None:
    """One record is the root; many are its children; a list is what repeats, or is wrapped in its own plural."""
    connector = opened("feed/order")
    one = rows(
        connector, post(connector, "<order><order_no>1</order_no><lines><line><sku>A</sku></line></lines></order>")
    )
    assert one == [{"order_no": "1", "lines": [{"sku": "A", "line_no": "1"}]}]
    many = rows(connector, post(connector, (SAMPLES / "ok" / "order-many.xml").read_bytes()))
    assert [(row["order_no"], row["status"]) for row in many] == [("SO5001", "created"), ("SO5002", "refunded")]
    assert many[0]["lines"][0]["title"] == "纸尿裤 & 湿巾"
    repeated = rows(connector, post(connector, "<o><order_no>1</order_no><tag>a</tag><tag>b</tag><tag>c</tag></o>"))
    assert repeated == [{"order_no": "1", "tag": ["a", "b", "c"]}]


def test_a_nil_element_erases_and_an_empty_one_is_empty() -> None:
    """XML Schema's own way of saying null."""
    connector = opened()
    (row,) = rows(connector, post(connector, (SAMPLES / "ok" / "customer-gbk.xml").read_bytes()))
    assert row == {"customer_code": "C4001", "name": "张三", "email": None}
    (row,) = rows(connector, post(connector, "<c><customer_code>1</customer_code><name/></c>"))
    assert row["name"] == ""


@pytest.mark.parametrize(
    "body",
    [
        b"<!DOCTYPE a><a><customer_code>1</customer_code></a>",
        "\ufeff<?xml version='1.0'?><!DOCTYPE a [<!ENTITY b 'c'>]><a><customer_code>&b;</customer_code></a>".encode(),
        '<?xml version="1.0" encoding="UTF-16"?><!DOCTYPE a []><a/>'.encode("utf-16"),
        b'<?xml version="1.0" encoding="UTF-7"?>+ADwAIQ-DOCTYPE a+AD4-<a/>',
        b"<a>" * 300 + b"</a>" * 300,
        b"<a>" * 60 + b"</a>" * 60,
        b"<a><b></a></b>",
        b"<a/>",
        b"<a>text</a>",
        b"<a><b>&nbsp;</b></a>",
    ],
)
def test_xml_with_a_document_type_or_out_of_shape_is_refused(body: bytes) -> None:
    """In any encoding; nothing is expanded, nothing fetched."""
    found = post(opened(), body, "application/xml")
    assert isinstance(found, Refused)
    assert found.reply.status in (400, 415, 422)


# ------------------------------------------------------------------ XLSX
def test_a_sheets_numbers_and_dates_become_text_as_shown() -> None:
    """A phone number loses its point, money its binary tail, a date its serial number; a blank row is none."""
    connector = opened()
    person, plain = rows(connector, post(connector, (SAMPLES / "ok" / "customer-sheet.xlsx").read_bytes()))
    assert (person["customer_code"], person["phone"]) == ("5001", "13800138000")
    assert (person["birthday"], person["updated_at"]) == ("1988-08-18", "2026-11-11 08:00:01")
    assert plain["customer_code"] == "C5002"
    orders = opened("feed/order")
    (order,) = rows(orders, post(orders, (SAMPLES / "ok" / "order-sheet.xlsx").read_bytes()))
    assert (order["total"], order["paid"]) == ("199.9", "0.1")


def test_a_sheets_bad_row_is_named_by_its_number() -> None:
    """Counted below the headings, blank rows included, as the sheet shows it."""
    found = post(opened(), workbook([["customer_code", "name"], ["C1", "a"], [None, None], [None, "b"], ["C4", "c"]]))
    assert [event.partition_key for event in accepted(found).events] == ["C1", "C4"]
    assert settled(found, False, False)["problems"][0]["row"] == 3


def test_a_formulas_error_is_not_data() -> None:
    """``#N/A`` is what the sheet shows; as a customer's code it is nobody."""
    part = b'<c r="A2" t="e"><v>#N/A</v></c>'

    def change(name: str, content: bytes) -> bytes:
        return (
            content.replace(b'<c r="A2"><v>1</v></c>', part).replace(b'<c r="A2" t="n"><v>1</v></c>', part)
            if "worksheets/" in name
            else content
        )

    body = workbook([["customer_code", "name"], [1, "a"]], change)
    assert part in zipfile.ZipFile(io.BytesIO(body)).read("xl/worksheets/sheet1.xml")
    assert isinstance(post(opened(), body), Refused)


def test_styled_blank_cells_far_down_do_not_count() -> None:
    """Formatting a whole column is what people do."""
    far = b'<row r="1048576"><c r="XFD1048576" s="1"/></row></sheetData>'
    body = workbook(
        [["customer_code"], ["C1"]],
        lambda name, part: part.replace(b"</sheetData>", far) if "worksheets/" in name else part,
    )
    assert len(accepted(post(opened(), body)).events) == 1


def test_shared_texts_are_read_as_spreadsheet_programs_write_them() -> None:
    """Excel keeps each text once and lets cells point at it; phonetic and rich runs are part of one text."""
    cells = b'<row r="3"><c r="A3" t="s"><v>1</v></c></row></sheetData>'
    texts = '<sst xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><si><t>x</t></si><si><r><t>客</t></r><r><t>户</t></r></si></sst>'
    book = workbook(
        [["customer_code"], ["C1"]],
        lambda name, part: part.replace(b"</sheetData>", cells) if "worksheets/" in name else part,
    )
    packed = io.BytesIO(book)
    with zipfile.ZipFile(packed, "a", zipfile.ZIP_DEFLATED) as target:
        target.writestr("xl/sharedStrings.xml", texts)
    found = post(opened(), packed.getvalue())
    assert [event.partition_key for event in accepted(found).events] == ["C1", "客户"]


def test_a_shared_text_that_every_cell_points_at_is_bounded() -> None:
    """One long text, a thousand cells: small when packed, huge when read."""
    cells = b"".join(b'<row r="%d"><c r="A%d" t="s"><v>0</v></c></row>' % (row, row) for row in range(3, 1003))
    texts = b'<sst xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><si><t>%s</t></si></sst>' % (
        b"x" * 100_000
    )

    book = workbook(
        [["customer_code"], ["C1"]],
        lambda name, part: part.replace(b"</sheetData>", cells + b"</sheetData>") if "worksheets/" in name else part,
    )
    packed = io.BytesIO(book)
    with zipfile.ZipFile(packed, "a", zipfile.ZIP_DEFLATED) as target:
        target.writestr("xl/sharedStrings.xml", texts)
    found = post(opened(), packed.getvalue())
    assert isinstance(found, Refused)
    assert found.reason is Reason.TOO_LARGE


def test_a_part_that_lies_about_its_size_is_not_read() -> None:
    """What the archive declares is the sender's claim; the reader sees only what was counted."""
    body = bytearray(workbook([["customer_code"], ["C1"]]))
    for info in zipfile.ZipFile(io.BytesIO(bytes(body))).infolist():
        if "worksheets/" in info.filename:
            central = body.rindex(info.filename.encode()) - 46
            body[central + 24 : central + 28] = (100).to_bytes(4, "little")
    assert isinstance(post(opened(), bytes(body)), Refused)


def test_a_sheet_under_another_name_is_counted_too() -> None:
    """The file itself says which of its parts is the sheet."""
    far = b'<row r="1048576"><c r="XFD1048576"><v>1</v></c></row></sheetData>'

    def change(name: str, part: bytes) -> bytes:
        if name.endswith("workbook.xml.rels"):
            return part.replace(b"worksheets/sheet1.xml", b"other.xml").replace(
                b"/xl/worksheets/sheet1.xml", b"/xl/other.xml"
            )
        return part

    body = workbook([["customer_code"], ["C1"]], change)
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(body)) as parts, zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as target:
        for info in parts.infolist():
            moved = "worksheets/" in info.filename
            content = parts.read(info).replace(b"</sheetData>", far) if moved else parts.read(info)
            target.writestr("xl/other.xml" if moved else info.filename, content)
    found = post(opened(), out.getvalue())
    assert isinstance(found, Refused)
    assert found.reason is Reason.TOO_LARGE


# ------------------------------------------------------------------ options
def test_a_mapping_of_ones_own_needs_an_id_path_and_is_named_by_decode() -> None:
    """The topic is one for all of them; which file is meant goes with every row."""
    with pytest.raises(ConfigError, match="id_path"):
        opened("feed/visit")
    connector = opened("visit", id_path="visit.no", key_path="visit.person || visit.no")
    found = post(connector, '[{"visit": {"no": 7, "person": "P1"}}, {"visit": {"no": "8"}}, {"visit": 9}]')
    assert [(event.topic, event.partition_key) for event in accepted(found).events] == [
        ("record", "P1"),
        ("record", "8"),
    ]
    assert settled(found, False, False)["problems"][0]["field"] == "visit.no"
    assert connector.decode("record", b"{}").mapping == "visit"
    assert CARD.topic("record").mapping == ""


def test_an_id_path_may_be_a_heading_in_chinese() -> None:
    """A plain name in any script is looked up as it stands."""
    connector = opened("visit", id_path="单号")
    assert len(accepted(post(connector, "单号,备注\n1,a\n", "text/csv")).events) == 1


@pytest.mark.parametrize(
    ("mapping", "options"),
    [
        ("", {}),
        ("taobao/trade", {}),
        ("feed/../x", {}),
        ("../x", {}),
        ("feed/order", {"id_path": "a["}),
        ("feed/order", {"key_path": "a b"}),
    ],
)
def test_options_that_make_no_sense_do_not_open(mapping: str, options: dict[str, str]) -> None:
    """Found when the account is opened, with the account's name."""
    with pytest.raises(ConfigError, match=r"accounts\.erp\."):
        opened(mapping, **options)


def test_a_compressed_body_is_refused() -> None:
    """What it would become cannot be bounded before it is one."""
    found = post(opened(), b"\x1f\x8b", content_encoding="gzip")
    assert isinstance(found, Refused)
    assert (found.reason, found.reply.status) == (Reason.UNSUPPORTED, 415)


def test_files_go_into_the_bulk_lane() -> None:
    """A nightly file does not stand in front of what happens now."""
    request = Request(method="FILE", peer="file", body=b'{"customer_code": "C1"}', received_at=0)
    assert accepted(opened(watch="drop").receive(request)).events[0].lane is Lane.BULK
    assert accepted(post(opened(), request.body)).events[0].lane is None


@pytest.mark.parametrize("payload", [b"", b"[]", b"\xff", b"{", b"[" * 100_000, b'{"a": NaN}'])
def test_decode_refuses_what_is_no_object(payload: bytes) -> None:
    """Nothing else than PayloadError, whatever a journal may hold."""
    with pytest.raises(PayloadError):
        opened().decode("customer", payload)


# ------------------------------------------------------------------ anything
_TYPES = st.sampled_from(["", *formats._TYPES, "text/csv; charset=gbk", "application/vnd.x+json", "image/png"])
_PIECES = st.lists(
    st.sampled_from(
        [b"{", b"}", b"[", b"]", b'"', b"customer_code", b":", b",", b"\n", b"1", b"-", b"e9", b"<", b">", b"/", b"<a>", b"</a>", b"&", b";",
         b"\xef\xbb\xbf", b"PK\x03\x04", b"\0", b"\xff", b"\\u", b"null", b"<?xml ", b"encoding='", b"\r", "张".encode(), "三".encode("gbk")]
    ),
    max_size=60,
).map(b"".join)  # fmt: skip


@settings(max_examples=400, deadline=None)
@given(body=st.binary(max_size=200) | _PIECES, content_type=_TYPES, key=st.none() | st.text(max_size=5))
def test_arbitrary_bytes_never_raise(body: bytes, content_type: str, key: str | None) -> None:
    """Whatever comes, it is accepted or refused, and what is accepted can be decoded."""
    headers = {"content-type": content_type} | ({} if key is None else {"idempotency-key": key})
    connector = opened()
    found = connector.receive(Request(body=body, headers=headers, peer="127.0.0.1", received_at=0))
    assert not isinstance(found, Challenge)
    if isinstance(found, Accepted):
        for event in found.events:
            assert connector.decode(event.topic, event.payload).data
        assert found.settle is not None
        json.loads(found.settle([False] * len(found.events)).body if found.events else found.reply.body)
    else:
        json.loads(found.reply.body)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_a_damaged_workbook_never_raises(data: st.DataObject) -> None:
    """Bytes of a good file changed at random, and parts of it replaced, are refused or read, and nothing else."""
    book = _BOOK
    if data.draw(st.booleans()):
        name = data.draw(st.sampled_from(zipfile.ZipFile(io.BytesIO(book)).namelist()))
        junk = data.draw(st.binary(max_size=60) | _PIECES)
        at = data.draw(st.integers(0, 400))
        book = workbook(
            [["customer_code"], ["C1"]],
            lambda part, content: content[:at] + junk + content[at:] if part == name else content,
        )
    else:
        damaged = bytearray(book)
        for _ in range(data.draw(st.integers(1, 4))):
            damaged[data.draw(st.integers(4, len(book) - 1))] = data.draw(st.integers(0, 255))
        book = bytes(damaged)
    assert isinstance(post(opened(), book, sheets.MEDIA_TYPE), Accepted | Refused)


_BOOK = workbook([["customer_code", "name"], ["C1", "张三"], [2, 1.5]])


def test_what_is_brought_is_the_same_event_as_what_is_posted() -> None:
    """Whatever format and proof the account's own sender has to keep to; each row with its number, a bad one with why."""
    body = b'{"customer_code":"C1","name":"a"}\n{"name":"b"}\n{"customer_code":"C3"}'
    (posted,) = accepted(post(opened(), b'{"customer_code":"C1","name":"a"}')).events
    connector = opened(format="xml")
    request = Request(body=body, headers={"content-type": "application/x-ndjson"}, peer="203.0.113.7", received_at=0)
    one, two, three = connector.bring(request)
    assert (one.row, one.event.dedupe_key, one.event.lane) == (1, posted.dedupe_key, Lane.BULK)
    assert (two.row, two.event, two.field) == (2, None, "customer_code")
    assert three.event.partition_key == "C3"
    assert isinstance(connector.bring(Request(body=b"", peer="203.0.113.7", received_at=0)), Refused)
