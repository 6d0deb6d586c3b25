"""Texts, numbers, money, people and places: what each converter makes of what partners send."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET

from gateway.language import converters
from gateway.language.converters import Refusal
from gateway.model.values import Money, Quantity, Region

AMOUNTS = st.decimals(min_value=Decimal("-99999999999.99"), max_value=Decimal("99999999999.99"), places=2)


class TestMoney:
    """Yuan and fen become minor units exactly, or not at all."""

    @given(AMOUNTS)
    def test_any_amount_of_two_decimals_becomes_exactly_its_fen(self, amount: Decimal) -> None:
        """What Decimal says, without Decimal."""
        assert converters.yuan(f"{amount:f}") == Money(amount=int(amount * 100), currency="CNY")

    @given(AMOUNTS, st.integers(min_value=1, max_value=8))
    def test_zeros_behind_the_second_decimal_change_nothing(self, amount: Decimal, zeros: int) -> None:
        """SQL decimals print them; they carry no money."""
        assert converters.yuan(f"{amount:f}{'0' * zeros}") == converters.yuan(f"{amount:f}")

    @given(st.integers(-(10**12), 10**12))
    def test_fen_and_yuan_agree(self, fen: int) -> None:
        """The same money, said in two units."""
        sign, units = ("-" if fen < 0 else ""), abs(fen)
        assert (
            converters.fen(fen) == converters.fen(str(fen)) == converters.yuan(f"{sign}{units // 100}.{units % 100:02}")
        )

    @given(st.text(max_size=24))
    def test_any_text_is_money_or_refused(self, text: str) -> None:
        """No other exception, and what is read has only ASCII digits, a sign and a point."""
        try:
            money = converters.yuan(text)
        except Refusal:
            return
        assert set(text.strip()) <= set("+-.0123456789")
        assert money.amount == Decimal(text.strip()) * 100

    @pytest.mark.parametrize(
        "raw",
        ["12.345", "0.001", "123456789012345.000000000000000001", "NaN", "Infinity", "-inf", "1e2", "1E-2", "0x10", "1_000", "1,234.50", "¥12", "十二", "１２.５０", "12.", ".", "-", "", " ", "1 2", "--1", 12.5, True, None, [], {}, 10**30],
    )  # fmt: skip
    def test_what_is_no_plain_amount_is_refused(self, raw: object) -> None:
        """Third decimals, exponents, separators, floats and digits of other alphabets are not guessed at."""
        with pytest.raises(Refusal):
            converters.yuan(raw)

    @pytest.mark.parametrize(
        ("raw", "amount"),
        [("12.50", 1250), ("12.5", 1250), ("12", 1200), (12, 1200), ("-0.01", -1), ("+3.00", 300), (".50", 50), (" 7.00 ", 700), ("0", 0), ("-0.00", 0), ("0012.00", 1200)],
    )  # fmt: skip
    def test_the_spellings_of_an_amount_are_one_amount(self, raw: object, amount: int) -> None:
        """Signs, missing zeros and white space."""
        assert converters.yuan(raw) == Money(amount=amount, currency="CNY")

    def test_another_currency_counts_in_its_own_smallest_coin(self) -> None:
        """A yen has no decimals, a dinar three. ISO 4217."""
        assert converters.yuan("1000", "JPY").amount == 1000
        assert converters.yuan("1.234", "KWD").amount == 1234
        assert converters.yuan("12.50", "USD").amount == 1250
        with pytest.raises(Refusal):
            converters.yuan("0.5", "JPY")

    @pytest.mark.parametrize("raw", ["1.00", "1e2", 1.0, True, "abc", None, 2**63])
    def test_fen_are_whole(self, raw: object) -> None:
        """A decimal point in fen means that the unit is wrong."""
        with pytest.raises(Refusal):
            converters.fen(raw)

    @pytest.mark.parametrize(("raw", "code"), [("cny", "CNY"), ("RMB", "CNY"), ("人民币", "CNY"), (" usd ", "USD")])
    def test_a_currency_is_its_code(self, raw: str, code: str) -> None:
        """What Chinese systems write for CNY is understood."""
        assert converters.currency(raw) == code

    @pytest.mark.parametrize("raw", ["US", "dollars", "12", "$"])
    def test_what_is_no_currency_code_is_refused(self, raw: str) -> None:
        """A symbol may be several currencies."""
        with pytest.raises(Refusal):
            converters.currency(raw)


class TestNumbers:
    """Whole numbers, decimals and quantities as text."""

    @given(st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**14), max_value=10**14, places=6))
    def test_a_decimal_keeps_its_value_and_has_one_spelling(self, number: Decimal) -> None:
        """Equal numbers are equal texts."""
        text = converters.decimal(f"{number:f}")
        assert Decimal(text) == number
        assert text == converters.decimal(text + ("0" if "." in text else ".0"))
        assert "e" not in text.lower()

    @pytest.mark.parametrize(
        ("raw", "text"), [("+01.50", "1.5"), ("-0.0", "0"), ("000", "0"), (".5", "0.5"), (7, "7"), (-7, "-7")]
    )
    def test_a_decimal_loses_what_says_nothing(self, raw: object, text: str) -> None:
        """Signs of zero, leading and trailing zeros."""
        assert converters.decimal(raw) == text

    @pytest.mark.parametrize("raw", [1.5, True, "1e3", "1.", "abc", [], {}])
    def test_what_is_no_plain_decimal_is_refused(self, raw: object) -> None:
        """A float has already lost its digits."""
        with pytest.raises(Refusal):
            converters.decimal(raw)

    @pytest.mark.parametrize(
        ("raw", "number"), [(7, 7), ("7", 7), (" -7 ", -7), ("007", 7), ("9007199254740993", 9007199254740993)]
    )
    def test_a_whole_number_may_be_text(self, raw: object, number: int) -> None:
        """Also one that a double would round."""
        assert converters.whole(raw) == number

    @pytest.mark.parametrize("raw", [True, 1.0, "1.0", "", "七", "٧", 2**63, -(2**63), str(2**63), "1" * 5000])
    def test_what_is_no_whole_number_of_64_bits_is_refused(self, raw: object) -> None:
        """A database would refuse it later, with less to say."""
        with pytest.raises(Refusal):
            converters.whole(raw)

    @pytest.mark.parametrize(
        ("raw", "value", "unit"), [(2, "2", ""), ("2", "2", ""), ("1.50", "1.5", ""), ("1.5kg", "1.5", "kg"), ("2 盒", "2", "盒"), ("-1", "-1", "")]
    )  # fmt: skip
    def test_a_quantity_may_carry_its_unit(self, raw: object, value: str, unit: str) -> None:
        """Pieces have none."""
        assert converters.quantity(raw) == Quantity(value=value, unit=unit)

    def test_a_unit_from_elsewhere_wins(self) -> None:
        """A column of its own is more deliberate than a suffix."""
        assert converters.quantity("2 盒", "box") == Quantity(value="2", unit="box")

    @pytest.mark.parametrize("raw", ["two", "1.5.5", "kg", True, 1.5, []])
    def test_what_is_no_quantity_is_refused(self, raw: object) -> None:
        """Nothing is counted as zero or one."""
        with pytest.raises(Refusal):
            converters.quantity(raw)

    @pytest.mark.parametrize("raw", [True, 1, "1", "true", "TRUE", "yes", "Y", "是"])
    def test_yes_in_its_spellings(self, raw: object) -> None:
        """Of JSON, forms and Chinese tables."""
        assert converters.truth(raw) is True

    @pytest.mark.parametrize("raw", [False, 0, "0", "false", "No", "n", "否"])
    def test_no_in_its_spellings(self, raw: object) -> None:
        """The same."""
        assert converters.truth(raw) is False

    @pytest.mark.parametrize("raw", ["2", "maybe", 2, [], {}, 1.0])
    def test_what_is_neither_yes_nor_no_is_refused(self, raw: object) -> None:
        """Python's own idea of truth is not asked."""
        with pytest.raises(Refusal):
            converters.truth(raw)


class TestTexts:
    """Texts, lists of them, objects of them, JSON in them."""

    def test_whole_numbers_and_flags_become_text_and_nothing_else_does(self) -> None:
        """64-bit ids survive; floats, lists and objects are not silently printed."""
        assert converters.text(9007199254740993) == "9007199254740993"
        assert converters.text(True) == "true"
        for raw in (1.5, [], {}, None, 10**5000):
            with pytest.raises(Refusal):
                converters.text(raw)

    def test_full_width_space_is_white_space(self) -> None:
        """Typed by hand in Chinese forms."""
        assert converters.strip("\u3000张三 ") == "张三"

    @pytest.mark.parametrize("raw", ["张**", "*", "**", "138****8000", "138xxxx8000", "1380000****", "~AgAAAAJqBz==~", "$18600$abcdef$", "#1a2b3c4d#", "＊＊路", "¥¥abc"])  # fmt: skip
    def test_what_a_platform_blanked_is_not_there(self, raw: str) -> None:
        """Masks and ciphertext name nobody."""
        assert converters.unmasked(raw) is UNSET

    @pytest.mark.parametrize(
        "raw", ["张三", "A*B Fashion", "C#", "#1", "$5", "~", "x", "Max", "广东省深圳市南山区1号", "5*6公寓"]
    )
    def test_an_ordinary_text_with_an_odd_sign_is_kept(self, raw: str) -> None:
        """One star in a name is not a mask."""
        assert converters.unmasked(raw) == raw

    @pytest.mark.parametrize(
        ("raw", "texts"),
        [("a, b，c、d", ("a", "b", "c", "d")), (",,", ()), (["a", 1, None, ""], ("a", "1")), ("a", ("a",))],
    )
    def test_a_list_is_split_at_commas_of_either_width(self, raw: object, texts: tuple[str, ...]) -> None:
        """Blanks are left out; a list that already is one stays."""
        assert converters.split(raw) == texts

    def test_an_object_of_texts_leaves_out_nulls(self) -> None:
        """And turns numbers to text."""
        assert converters.pairs({"a": 1, "b": None, "c": "x"}) == {"a": "1", "c": "x"}
        with pytest.raises(Refusal):
            converters.pairs(["a"])

    def test_json_in_a_text_keeps_its_decimals_as_text(self) -> None:
        """What came as 12.50 is money later."""
        assert converters.json('{"a": 12.50}') == {"a": "12.50"}
        assert converters.json({"a": 1}) == {"a": 1}

    @pytest.mark.parametrize("raw", ["{", "not json", "[" * 100_000, '"\\ud800"', "\ud800"])
    def test_what_is_no_json_is_refused(self, raw: str) -> None:
        """Broken, endlessly deep or not even Unicode."""
        with pytest.raises(Refusal):
            converters.json(raw)


class TestPeopleAndPlaces:
    """E-mail addresses and administrative divisions."""

    def test_an_email_is_in_lower_case(self) -> None:
        """Equal addresses are equal texts."""
        assert converters.email(" Zhang.San@Example.COM ") == "zhang.san@example.com"

    @pytest.mark.parametrize(
        "raw", ["z***@example.com", "nobody", "a@b", "a b@example.com", "@example.com", "a@@example.com", "无"]
    )
    def test_a_masked_or_broken_email_is_not_there(self, raw: str) -> None:
        """A row of an ERP is not lost for it."""
        assert converters.email(raw) is UNSET

    @pytest.mark.parametrize(
        ("raw", "region"),
        [
            ("440305", Region(code="440305")),
            (440305, Region(code="440305")),
            ("广东省 深圳市 南山区", Region(province="广东省", city="深圳市", district="南山区")),
            ("广东省/深圳市", Region(province="广东省", city="深圳市")),
            ("广东省深圳市南山区", Region(province="广东省", city="深圳市", district="南山区")),
            ("上海市浦东新区", Region(province="上海市", city="上海市", district="浦东新区")),
            (
                "新疆维吾尔自治区伊犁哈萨克自治州伊宁市",
                Region(province="新疆维吾尔自治区", city="伊犁哈萨克自治州", district="伊宁市"),
            ),
            (["广东省", "深圳市"], Region(province="广东省", city="深圳市")),
            ({"code": 440305, "city": "深圳市", "street": "x"}, Region(code="440305", city="深圳市")),
        ],
    )
    def test_a_region_in_the_ways_it_is_written(self, raw: object, region: Region) -> None:
        """Codes, names with and without gaps, lists and objects."""
        assert converters.region(raw) == region

    @pytest.mark.parametrize("raw", ["未知", "somewhere else", [], [None, ""], {}, {"street": "x"}, ["***", "**"]])
    def test_what_names_no_division_is_not_there(self, raw: object) -> None:
        """An address is not refused for its region."""
        assert converters.region(raw) is UNSET or raw == "somewhere else"
