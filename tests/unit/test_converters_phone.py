"""Phone numbers: E.164, masks, lent numbers, and what stays out of memory."""

import subprocess
import sys

import phonenumbers
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET

from gateway.language import converters, phone

MOBILES = st.from_regex(r"1[3-9][0-9]{9}", fullmatch=True)


class TestPhone:
    """Numbers that people own."""

    @given(MOBILES)
    def test_a_mobile_in_all_its_spellings_is_one_number(self, mobile: str) -> None:
        """With the country, with gaps, with dashes."""
        spaced = f"{mobile[:3]}-{mobile[3:7]}-{mobile[7:]}"
        forms = {
            mobile,
            f" {mobile} ",
            f"+86{mobile}",
            f"86{mobile}",
            f"0086{mobile}",
            f"+86-{mobile}",
            f"+86 {mobile}",
            spaced,
        }
        assert {converters.phone(form) for form in forms} == {f"+86{mobile}"}

    @pytest.mark.parametrize(
        ("raw", "number"),
        [("010-12345678", "+861012345678"), ("(0755) 2677 0000", "+8675526770000"), ("400-800-8000", "+864008008000"), ("+1 650 253 0000", "+16502530000"), ("0044 20 7946 0018", "+442079460018"), ("+852 2123 4567", "+85221234567"), (13800138000, "+8613800138000"), ("１３８００１３８０００", "+8613800138000"), ("0755-26770000-801", "+8675526770000")],
    )  # fmt: skip
    def test_landlines_and_foreign_numbers_are_read_by_the_numbering_plan(self, raw: object, number: str) -> None:
        """A landline's extension is dropped; E.164 has none."""
        assert converters.phone(raw) == number

    @pytest.mark.parametrize(
        "raw",
        ["138****8000", "138xxxx8000", "*******1234", "1380013", "12345678901", "00000000000", "无", "13800138000/13900139000", "~AgAAAA138==~", "+", "1" * 500],
    )  # fmt: skip
    def test_masks_and_junk_are_not_there(self, raw: str) -> None:
        """They would join strangers."""
        assert converters.phone(raw) is UNSET

    @given(st.text(max_size=60))
    def test_any_text_is_a_number_or_nothing(self, text: str) -> None:
        """Never an exception."""
        found = converters.phone(text)
        assert found is UNSET or (found.startswith("+") and found[1:].isdigit())

    def test_a_mobile_needs_no_numbering_plan_in_memory(self) -> None:
        """The library is loaded by the first number that asks for it, not at the start."""
        code = (
            "import sys; from gateway.language import converters; converters.phone('+86 138-0013-8000'); "
            "assert 'phonenumbers' not in sys.modules; converters.phone('010-12345678'); assert 'phonenumbers' in sys.modules"
        )
        subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


class TestLentNumbers:
    """Numbers that a platform lends for the length of an order."""

    @pytest.mark.parametrize(
        "raw",
        ["13800138000-1234", "13812345678_123456", "13800138000转1234", "13800138000 转 1234", "13800138000,,123", "13800138000#12", "+8613800138000-1234", "13800138000 ext. 123", "13800138000分机12"],
    )  # fmt: skip
    def test_a_mobile_with_an_extension_is_lent(self, raw: str) -> None:
        """Its number is kept, as nobody's own."""
        assert converters.privacy(raw) is True
        assert converters.phone(raw)[:4] == "+861"
        assert converters.own_phone(raw) is UNSET

    @pytest.mark.parametrize("raw", ["95013123456789", "95013 1234 56789", "9501312345678-1234"])
    def test_a_relay_number_is_lent(self, raw: str) -> None:
        """950xx belongs to companies."""
        assert converters.privacy(raw) is True
        assert converters.phone(raw).startswith("+8695013")

    @pytest.mark.parametrize(
        "raw", ["13800138000", "+86 13800138000", "0755-26770000-801", "+16502530000", "010-12345678"]
    )
    def test_an_ordinary_number_is_not_lent(self, raw: str) -> None:
        """A landline's extension is somebody's desk."""
        assert converters.privacy(raw) is False
        assert converters.own_phone(raw) == converters.phone(raw)

    @pytest.mark.parametrize("raw", ["138****8000", "junk", "138****8000-1234"])
    def test_where_there_is_no_number_nothing_is_said_about_it(self, raw: str) -> None:
        """Neither lent nor owned."""
        assert converters.privacy(raw) is UNSET

    @given(MOBILES, st.integers(1, 999999))
    def test_a_lent_number_is_never_an_owned_one(self, mobile: str, extension: int) -> None:
        """Whatever the extension."""
        assert phone.is_privacy(f"{mobile}-{extension}") and not phone.is_privacy(mobile)


@given(
    city=st.sampled_from(["010", "020", "021", "022", "023", "024", "025", "027", "028", "029"]),
    rest=st.from_regex(r"[2-8][0-9]{7}", fullmatch=True),
)
def test_a_big_citys_desk_is_read_as_the_library_reads_it(city: str, rest: str) -> None:
    """The short way round the library says what the library says."""
    number = phonenumbers.parse(city + rest, "CN")
    expected = (
        phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
        if phonenumbers.is_valid_number(number)
        else None
    )

    assert phone.e164(city + rest) == expected
