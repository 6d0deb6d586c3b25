"""Golden cases themselves: they see what differs, decode samples without a network, and check what is wrong with files."""

import asyncio
import shutil
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from gateway import cases
from gateway.errors import MappingError, PartnerDown, PayloadError, ValueRefused
from tests.mappings import shop

CARDS = (shop.CARD,)
MAPPING = "shop/trade.yaml"
CASES = "shop/trade.cases.yaml"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the made-up shop's mappings and samples."""
    shutil.copytree(shop.FIXTURES, tmp_path / "house")
    return tmp_path / "house" / "mappings"


@pytest.fixture
def edit(folder: Path) -> Callable[[str, str, str], None]:
    """Replace a text in a file below the folder; it must be there."""

    def change(name: str, old: str, new: str) -> None:
        text = (folder / name).read_text(encoding="utf-8")
        assert old in text
        (folder / name).write_text(text.replace(old, new), encoding="utf-8")

    return change


def faults(folder: Path) -> list[str]:
    """Of all cases, as text."""
    return [fault for result in cases.run_cases(folder, CARDS) for fault in result.faults]


class TestRunning:
    """What a case sees."""

    def test_the_cases_of_the_made_up_shop_hold(self, folder: Path) -> None:
        """One of them through the connector's decoder."""
        results = cases.run_cases(folder, CARDS)
        assert [result.faults for result in results] == [()] * 4
        assert results[0].mapping == "shop/trade@3"
        assert results[0].place == "mappings/shop/trade.cases.yaml:1:[0]"

    @pytest.mark.parametrize(
        ("old", "new", "said"),
        [
            ("lifecycle: confirmed", "lifecycle: created", '"created" expected, not "confirmed"'),
            ("parent_id: null", "parent_id: x", '"x" expected, not null'),
            ("flags: [急, 礼品]", "flags: [急]", "1 expected, not 2"),
            ("unset: [shipped_at,", "unset: [placed_at,", "unset was expected, not"),
            ("price.amount: 625", "price.amount: 626", "626 expected, not 625"),
            ("price.amount: 625", 'price.amount: "625"', '"625" expected, not 625'),
            ("placed_at: 2026-11-11T00:00:10+08:00", "placed_at: 2026-11-11T00:00:10Z", "2026-11-10T16:00:10"),
            ("placed_at: 2026-11-11T00:00:10+08:00", "placed_at: soon", '"soon" expected'),
            ("version: 7", "version: 8", "8 expected, not 7"),
            ("time: 2026-11-11T00:01:23+08:00", "time: 2026-11-11T00:01:24+08:00", "not 2026-11-10T16:01:23.000000Z"),
            ("value: AAF1", "value: AAF2", '"AAF2" expected, not "AAF1"'),
            ("unknowns: [type]", "unknowns: []", "[] expected, not"),
            ("raw: MYSTERY}]", "raw: OTHER}]", "expected, not"),
            ("customer: null", "customer: {name: x}", "expected, not null"),
            ("gender: male", "gender: female", '"female" expected, not "male"'),
            ("record: interaction", "record: order", "a interaction came out"),
            ("refused: emit[0].fields.money.items", "refused: something else", "refused: mappings/shop/trade.yaml:"),
            ('total: "1.005"', 'total: "1.00"', "it should be refused"),
            ("fields: {external_id: T1, payment: unpaid}", "fields: {external_id: T1, payment: paid}", '"paid" expected, not "unpaid"'),
            ("lines: [{", "nonsense: x\n        lines: [{", '"x" expected, not unset'),
        ],
    )  # fmt: skip
    def test_a_difference_is_told_with_its_place(
        self, folder: Path, edit: Callable[[str, str, str], None], old: str, new: str, said: str
    ) -> None:
        """And nothing else is."""
        edit(CASES, old, new)
        (fault,) = faults(folder)
        assert said in fault
        assert "mappings/shop/trade" in fault

    def test_a_record_too_many_is_a_difference(self, folder: Path, edit: Callable[[str, str, str], None]) -> None:
        """The kinds that came out are named."""
        edit(CASES, "talks: {id: t1", "talks: {id2: t1")
        edit(
            CASES,
            "    - record: interaction\n      fields: {type: unknown, raw_type: smoke, direction: out, body: 您好}\n      unknowns: [type]\n",
            "",
        )
        (fault,) = faults(folder)
        assert "refused" in fault

    @pytest.mark.parametrize(
        ("old", "new", "said"),
        [
            ("sample: trade.txt", "sample: nothing.txt", "there is no sample"),
            ("topic: trade", "topic: trades", "has no topic"),
            ("topic: trade", "topic: ping", "its mapping is ''"),
            ("account: {secret: hush}", "account: {}", "cannot be opened"),
            ('{app_key: "12"}}\n  account', '{app_key: "12", nope: x}}\n  account', "cannot be opened"),
            ("sample: trade.txt", "data: {}\n  sample: trade.txt", "either 'data' or 'sample'"),
            ("refused: emit", "refusd: emit", "did you mean 'refused'"),
            ("expect:\n    - record: order\n      fields: {external_id: T1", "expect:\n    - record: ordr\n      fields: {external_id: T1", "did you mean 'order'"),
            ("zone: Asia/Shanghai", "zon: Asia/Shanghai", "did you mean 'zone'"),
        ],
    )  # fmt: skip
    def test_a_case_that_cannot_be_run_is_a_fault_of_its_file(
        self, folder: Path, edit: Callable[[str, str, str], None], old: str, new: str, said: str
    ) -> None:
        """With a place in it."""
        edit(CASES, old, new)
        with pytest.raises(MappingError) as caught:
            faults(folder)
        assert said in str(caught.value)
        assert caught.value.place.startswith("mappings/shop/trade.cases.yaml:")

    def test_one_file_or_one_folder_can_be_run_alone(self, folder: Path) -> None:
        """Named by the mapping, by its cases, or by its folder."""
        for only in (folder / MAPPING, folder / CASES, folder / "shop", folder):
            assert len(cases.run_cases(folder, CARDS, only)) == 4

    def test_decoding_a_sample_has_no_network(self) -> None:
        """A connector that tried would be told."""
        with pytest.raises(PartnerDown):
            asyncio.run(cases._no_network("GET", "https://example.com"))


class TestTrying:
    """One mapping over one payload."""

    def test_data_given_as_json_is_mapped(self, folder: Path) -> None:
        """Decimals keep their digits."""
        (mapped,) = cases.attempt(folder / MAPPING, b'{"id": 7, "total": 12.50}', CARDS)
        assert mapped.record.external_id == "7"  # type: ignore[attr-defined]
        assert mapped.record.money.items.amount == 1250  # type: ignore[attr-defined]

    def test_what_is_no_json_or_refused_is_said(self, folder: Path) -> None:
        """As an error of the payload."""
        with pytest.raises(PayloadError, match="not JSON"):
            cases.attempt(folder / MAPPING, b"{", CARDS)
        with pytest.raises(ValueRefused):
            cases.attempt(folder / MAPPING, b'{"id": 7, "total": "x"}', CARDS)


class TestChecking:
    """Everything that is wrong, before anything runs."""

    def said(self, folder: Path) -> list[str]:
        """The faults as text."""
        return [str(fault) for fault in cases.check_all(folder, CARDS)]

    def test_sound_files_have_no_faults(self, folder: Path) -> None:
        """The made-up shop's."""
        assert self.said(folder) == []

    @pytest.mark.parametrize(
        ("file", "old", "new", "said"),
        [
            (MAPPING, "as: yuan, currency: currency", "as: yuna, currency: currency", "trade.yaml:21:emit[0].fields.money.items.as: unknown 'yuna' (did you mean 'yuan'?)"),
            (MAPPING, "namespace: taobao.buyer_open_uid", "namespace: taobao.buyer_uid", "identities[0].namespace: unknown 'taobao.buyer_uid' (did you mean 'taobao.buyer_open_uid'?)"),
            (MAPPING, "attrs.app: {option: app_key}", "attrs.app: {option: app_kay}", "attrs.app.option: unknown 'app_kay' (did you mean 'app_key'?)"),
            (MAPPING, "attrs.app: {option: app_key}", "attrs.app: {option: secret}", "a secret option is not for mappings"),
            (MAPPING, "connector: shop", "connector: shoq", "unknown 'shoq' (did you mean 'shop'?)"),
            (CASES, "record: interaction", "record: interact", "did you mean 'interaction'"),
            ("tables/shop_payment.yaml", "PAID: paid", "PAID: payed", "mappings/tables/shop_payment.yaml:3:PAID: unknown 'payed' (did you mean 'paid'?)"),
        ],
    )  # fmt: skip
    def test_a_fault_is_found_with_its_place(
        self, folder: Path, edit: Callable[[str, str, str], None], file: str, old: str, new: str, said: str
    ) -> None:
        """One per file."""
        edit(file, old, new)
        (fault,) = self.said(folder)
        assert said in fault

    def test_a_table_that_nothing_names_is_read_all_the_same(self, folder: Path) -> None:
        """It would break the first mapping that does."""
        (folder / "tables" / "idle.yaml").write_text("A: x\nB: [1]\n", encoding="utf-8")
        assert self.said(folder) == ["mappings/tables/idle.yaml:2:B: a text is expected here"]

    def test_missing_cases_missing_mappings_and_strangers_are_faults(self, folder: Path) -> None:
        """A file without cases, a topic without a file, a folder without a connector."""
        (folder / CASES).unlink()
        assert self.said(folder) == ["mappings/shop/trade.cases.yaml: it has no golden cases"]
        (folder / MAPPING).unlink()
        (folder / "stranger").mkdir()
        (folder / "stranger" / "x.yaml").write_text("version: 1\n", encoding="utf-8")
        assert self.said(folder) == [
            "mappings/stranger/x.yaml:1: no connector is called 'stranger' (known: shop)",
            "mappings/shop/trade.yaml: a topic of the connector names this mapping, and there is none",
        ]


def test_a_mapped_record_can_be_printed(folder: Path) -> None:
    """As ``gateway mapping try`` does."""
    (mapped,) = cases.attempt(folder / MAPPING, b'{"id": 7}', CARDS)
    assert msgspec.to_builtins(mapped)["record"]["external_id"] == "7"
