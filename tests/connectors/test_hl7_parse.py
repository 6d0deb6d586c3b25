"""Characters, delimiters, escapes, segments and paths: HL7 v2.5 chapter 2."""

import itertools
import time

import hl7
import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.hl7 import charset
from connectors.hl7.parse import Marks, Message, marks, unescape, with_cr
from gateway.errors import PayloadError

STANDARD = Marks("|", "^", "~", "\\", "&")
FALLBACK = ("UNICODE UTF-8", "GB18030")


def message(*segments: str, head: str = "MSH|^~\\&|HIS|H|||20260111||ADT^A08|M1|P|2.5") -> Message:
    """A parsed message of a header and ``segments``."""
    return Message("\r".join((head, *segments)) + "\r")


def in_charset(name: str, text: str, codec: str) -> bytes:
    """A message whose MSH-18 is ``name`` and whose bytes are ``codec``."""
    return f"MSH|^~\\&|HIS|H|||20260111||ADT^A08|M1|P|2.5||||||{name}\rPID|1||1||{text}\r".encode(codec)


def test_every_ideograph_with_a_delimiter_byte_survives_in_a_name() -> None:
    """464 ideographs of GB18030 have a second byte that is | ^ ~ or backslash; none of them moves a field."""
    tricky = [
        bytes(pair).decode("gb18030")
        for pair in itertools.product(range(0x81, 0xFF), b"|^~\\")
        if "\u4e00" <= bytes(pair).decode("gb18030", "replace")[:1] <= "\u9fff"
    ]
    assert len(tricky) == 464
    assert set("乗乛亅俓") <= set(tricky)
    for start in range(0, len(tricky), 8):
        name = "".join(tricky[start : start + 8])
        text = charset.decode(in_charset("GB 18030-2000", f"{name}^先生|19900307", "gb18030"), FALLBACK)
        read = Message(text.text, text.codec)
        assert (read.get("PID-5.1"), read.get("PID-5.2")) == (name, "先生")


@pytest.mark.parametrize(
    ("stated", "codec"),
    [
        ("GB 18030-2000", "gb18030"),
        ("GBK", "gb18030"),
        ("GB2312", "gb18030"),
        ("CP936", "gb18030"),
        ("UNICODE UTF-8", "utf-8"),
        ("UTF8", "utf-8"),
        ("utf-8", "utf-8"),
        ("BIG-5", "big5hkscs"),
        ("KS X 1001", "cp949"),
        ("~ISO IR87", "iso2022_jp_2"),
        ("ISO8859_1", "latin-1"),
        ("8859/5", "iso8859-5"),
    ],
)
def test_names_of_table_0211_and_of_everyday_are_known(stated: str, codec: str) -> None:
    """MSH-18 as the standard and as hospitals write it names one of Python's codecs."""
    samples = {"latin-1": "Müller", "iso8859-5": "Иван", "cp949": "김철수", "iso2022_jp_2": "山田太郎"}
    name = samples.get(codec, "張偉")
    text = charset.decode(in_charset(stated, name, codec), FALLBACK)
    assert (text.codec, text.stated, Message(text.text).get("PID-5")) == (codec, True, name)


@pytest.mark.parametrize("stated", ["", "ASCII", "44", "X-UNHEARD-OF"])
@pytest.mark.parametrize("codec", ["utf-8", "gb18030"])
def test_an_unstated_charset_is_found_among_the_fallbacks(stated: str, codec: str) -> None:
    """Empty, unknown and the untouched default leave it to the account's list."""
    text = charset.decode(in_charset(stated, "张三丰", codec), FALLBACK)
    assert (text.codec, text.stated, Message(text.text).get("PID-5")) == (codec, False, "张三丰")


def test_a_short_gbk_name_is_not_taken_for_cyrillic() -> None:
    """The GBK bytes of 一 are valid UTF-8 (U+04BB); a Chinese account reads the ideograph, a UTF-8 account the letter."""
    raw = in_charset("", "一", "gb18030")
    assert "\u04bb" in charset.decode(raw, ("UTF-8",)).text
    assert "一" in charset.decode(raw, FALLBACK).text


def test_a_chinese_facility_in_gbk_does_not_hide_msh_18() -> None:
    """MSH-4 may hold delimiter bytes; MSH-18 is still found behind it."""
    raw = "MSH|^~\\&|HIS|乗亅医院|||20260111||ADT^A08|M1|P|2.5||||||GBK\rPID|1||1||张\r".encode("gb18030")
    text = charset.decode(raw, FALLBACK)
    assert (text.codec, text.stated) == ("gb18030", True)


@pytest.mark.parametrize("stated", ["UNICODE UTF-8", "GB18030", ""])
def test_bytes_that_fit_nothing_are_refused_and_never_replaced(stated: str) -> None:
    """No question marks are stored: PayloadError instead."""
    with pytest.raises(PayloadError):
        charset.decode(in_charset(stated, "A", "ascii") + b"\x81\xff\xff", ("UTF-8", "GB18030"))


def test_a_wrong_msh_18_can_be_ignored() -> None:
    """An account may be told not to believe its sender."""
    raw = in_charset("ISO8859_1", "张三", "gb18030")
    assert "张三" not in charset.decode(raw, FALLBACK).text
    assert "张三" in charset.decode(raw, ("GB18030",), ignore_stated=True).text


def test_a_byte_order_mark_and_nuls_are_no_characters_of_a_message() -> None:
    """A BOM says UTF-8 and goes; a NUL goes, since databases refuse it."""
    raw = b"\xef\xbb\xbf" + in_charset("", "张\0三", "utf-8")
    text = charset.decode(raw, ())
    assert text.text.startswith("MSH") and Message(text.text).get("PID-5") == "张三"


# ------------------------------------------------------------------ delimiters
@pytest.mark.parametrize(
    ("head", "expected"),
    [
        ("MSH|^~\\&|A", STANDARD),
        ("MSH|^~\\&#|A", Marks("|", "^", "~", "\\", "&", "#")),
        ("MSH|^|A", Marks("|", "^", "", "", "")),
        ("MSH|^~|A", Marks("|", "^", "~", "", "")),
        ("MSH$%*!@$A", Marks("$", "%", "*", "!", "@")),
    ],
)
def test_delimiters_are_read_and_not_assumed(head: str, expected: Marks) -> None:
    """MSH-2 may be shorter than four characters, or from 2.7 longer; MSH-1 may be anything."""
    assert marks(head) == expected


@pytest.mark.parametrize(
    "head",
    [
        "",
        "MSH",
        "MSH|",
        "PID|1",
        "MSH||A",
        "MSHA^~\\&A",
        "MSH|^^^^|",
        "MSH|ABCD|",
        "MSH|^~\\&#!|",
        "MSH|\t~\\&|A",
        "BHS|^~\\&|A",
    ],
)
def test_unusable_delimiters_are_refused(head: str) -> None:
    """Doubled, alphanumeric, too many, none: PayloadError."""
    with pytest.raises(PayloadError):
        marks(head)


def test_other_delimiters_separate_the_whole_message() -> None:
    """A message in $%*!@ reads like one in the standard's characters, and the standard's are then data."""
    read = message("PID$1$$7%%%H@1.2@ISO%MR*8$$A|B^C!S!D", head="MSH$%*!@$HIS$H$$$20260111$$ADT%A08$M1$P$2.5")
    assert (read.get("PID-3.4.2"), read.get("PID-3(2)"), read.get("PID-5")) == ("1.2", "8", "A|B^C%D")
    assert (read.get("MSH-1"), read.get("MSH-2"), read.get("MSH-9.2")) == ("$", "%*!@", "A08")


# ------------------------------------------------------------------ escapes
@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (r"a\F\b\S\c\T\d\R\e\E\f", "a|b^c&d~e\\f"),
        (r"\X41\\X42\!", "AB!"),
        (r"\XC3A9\t\xE9\ ", "ét\\xE9\\ "),
        (r"line\X0D\next\X0A\\X000d\\X00d\.", "line\rnext\n\r\r."),
        (r"NUL\X00\gone", "NULgone"),
        (r"bad \XFF\ bytes, \XZZ\ no hex", r"bad \XFF\ bytes, \XZZ\ no hex"),
        (r"\H\loud\N\ a\.br\b\.sp2\c\.sk3\d\.in+4\e\.ce\f", "loud a\nb\n\nc   de\nf"),
        (r"\\Server\Share\x", r"\\Server\Share\x"),
        (r"4\5 re.", r"4\5 re."),
        (r"C:\Temp", r"C:\Temp"),
        (r"\Zlocal\ \C2842\ \M242924\ \.spA\ \Q\ ", r"\Zlocal\ \C2842\ \M242924\ \.spA\ \Q\ "),
        (r"cut \P\ here", "cut # here"),
        ("\\", "\\"),
        ("", ""),
    ],
)
def test_escapes_are_resolved_and_what_is_none_is_kept(raw: str, expected: str) -> None:
    """Unknown and unclosed sequences are paths and fractions, not mistakes to be eaten."""
    assert unescape(raw, STANDARD, "utf-8") == expected


def test_hexadecimal_is_bytes_of_the_messages_own_charset() -> None:
    """\\XD5C5\\ is 张 in GB18030."""
    assert unescape(r"\XD5C5\三", STANDARD, "gb18030") == "张三"


def test_escapes_are_resolved_after_splitting() -> None:
    """An escaped delimiter never separates, and neither does one inside a component with an ampersand."""
    read = message(r"PID|1||1||M\T\S^A\S\B&x^~Z\F\Y")
    assert (read.get("PID-5.1"), read.get("PID-5.2"), read.get("PID-5(2)")) == ("M&S", "A^B", "Z|Y")


@given(st.text(alphabet="\\FSTREXH.brsp01Z a&|", max_size=60))
def test_any_text_of_backslashes_is_unescaped_without_raising(text: str) -> None:
    """Whatever a sender escapes, a text comes out."""
    assert isinstance(unescape(text, STANDARD, "utf-8"), str)


@given(st.text(max_size=40))
def test_what_is_escaped_by_the_book_comes_back(text: str) -> None:
    """Escaping all five delimiters and reading the leaf gives the text again."""
    text = text.replace("\r", "").replace("\n", "").replace("\0", "").strip()
    escaped = "".join({"|": "\\F\\", "^": "\\S\\", "&": "\\T\\", "~": "\\R\\", "\\": "\\E\\"}.get(c, c) for c in text)
    assert message(f"NTE|1||x{escaped}").get("NTE-3") == f"x{text}"


# ------------------------------------------------------------------ segments
@pytest.mark.parametrize(
    ("text", "lenient", "expected"),
    [
        ("MSH|a\rPID|b\r", False, ["MSH|a", "PID|b", ""]),
        ("MSH|a\r\nPID|b\r\n", False, ["MSH|a", "PID|b", ""]),
        ("MSH|a\nPID|b\n", True, ["MSH|a", "PID|b", ""]),
        ("MSH|a\nPID|b\n", False, ["MSH|a\nPID|b\n"]),
        ("MSH|a\rOBX|x\ny\r", True, ["MSH|a", "OBX|x\ny", ""]),
        ("MSH|a\rOBX|x\nNTE\rPID|b", True, ["MSH|a", "OBX|x\nNTE", "PID|b"]),
        ("MSH|a\rPID|b\nPV1|c\r", True, ["MSH|a", "PID|b", "PV1|c", ""]),
        ("MSH|a\nOBX|x\ny", True, ["MSH|a", "OBX|x", "y"]),
    ],
)
def test_only_cr_ends_a_segment_unless_every_lf_does(text: str, lenient: bool, expected: list[str]) -> None:
    """LF inside OBX-5 is data; a message that only knows LF is read where the account is lenient."""
    assert with_cr(text, "|", lenient=lenient).split("\r") == expected


def test_blank_segments_and_z_segments_harm_nothing() -> None:
    """Empty lines are skipped; Z segments and unknown ones are kept where they stand."""
    read = message("", "ZPI|1|自定义", "  ", "PID|1||7", "", "X1Y|?")
    assert (read.get("PID-3"), read.get("ZPI-2"), read.get("X1Y-1"), len(read.segments)) == ("7", "自定义", "?", 4)


def test_a_message_that_ends_right_after_msh_12_has_a_clean_version() -> None:
    """The line end is no part of the last field, whichever it is."""
    for end in ("", "\r", "\r\n", "\n"):
        assert Message(f"MSH|^~\\&|A|B|||1||ADT^A01|1|P|2.7{end}", lenient=True).get("MSH-12") == "2.7"


def test_the_word_msh_inside_a_text_begins_nothing() -> None:
    """Only a segment's first three characters name it."""
    assert len(message("NTE|1||see MSH|x", "OBX|1|TX|MSH").all("MSH")) == 1


# ------------------------------------------------------------------ paths
def test_absent_null_and_value_are_three_answers() -> None:
    """ "" keeps, None erases, text sets; also for fields beyond the segment's end and segments that are not there."""
    read = message('PID|1||7||张三||""|M|""^x||^""')
    assert read.get("PID-7") is None
    assert read.get("PID-6") == read.get("PID-99") == read.get("PV1-3") == read.get("PID(2)-5") == ""
    assert (read.get("PID-8"), read.get("PID-9.1"), read.get("PID-9.2"), read.get("PID-11.2")) == ("M", None, "x", None)


def test_empty_repetitions_keep_their_positions() -> None:
    """|~077| has a first repetition that is empty and a second that is not."""
    read = message("PID|1||7||||||||||~07778895566|x")
    assert (read.get("PID-13"), read.get("PID-13(2)"), read.repetitions("~0777")) == ("", "07778895566", ["", "0777"])


def test_subcomponents_of_some_components_stand_in_one_row() -> None:
    """As texts: white space of any kind is off, escapes are resolved after splitting, what comes later is left out."""
    read = message("PID|1||7||||||||a&\tb^c\\T\\d&&^e")
    assert read.pieces(read.all("PID")[0][11], 2) == ["a", "b", "c&d", "", ""]


def test_a_first_component_is_read_whether_its_field_is_plain_or_not() -> None:
    """Of the first repetition; a null and a field that is not there say nothing."""
    read = message('PV1|1|I|a\\S\\b^x~c|""|| d ^e')
    fields = read.first("PV1")
    assert [read.value(fields, number) for number in (2, 3, 4, 5, 6, 99)] == ["I", "a^b", "", "", "d", ""]
    assert read.value(None, 1) == ""


def test_a_path_of_another_shape_is_the_callers_mistake() -> None:
    """ValueError, at once."""
    for path in ("PID", "PID.5", "pid-5", "PID-5.", "PID-5(x)"):
        with pytest.raises(ValueError, match="path"):
            message().get(path)


@given(st.lists(st.lists(st.text(alphabet="ab张^~&", max_size=6), min_size=1, max_size=5), min_size=1, max_size=4))
def test_the_independent_library_finds_the_same_fields(rows: list[list[str]]) -> None:
    """python-hl7 and we agree on every field's text of well-formed messages."""
    text = "\r".join(["MSH|^~\\&|HIS|H|||20260111||ADT^A08|M1|P|2.5", *("ZZ1|" + "|".join(row) for row in rows)])
    theirs, ours = hl7.parse(text), Message(text)
    for number, row in enumerate(rows):
        segment = theirs.segments("ZZ1")[number]
        assert [str(segment[at + 1]) for at in range(len(row))] == ours.all("ZZ1")[number][1:]


def test_a_result_of_megabytes_is_read_in_a_moment() -> None:
    """1.6 MB of base64 in OBX-5: time grows with size and not with its square."""
    read = message("PID|1||7", "OBX|1|ED|PDF||^application^pdf^Base64^" + "QUJD" * 400_000, "NTE|1||end")
    start = time.thread_time()
    assert read.get("NTE-3") == "end"
    assert len(read.get("OBX-5.5") or "") == 1_600_000
    assert time.thread_time() - start < 1.0
