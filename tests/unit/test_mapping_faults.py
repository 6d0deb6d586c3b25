"""What is wrong with a mapping file is said before anything runs, with file, line and field."""

from pathlib import Path

import pytest

from gateway import mapping
from gateway.errors import MappingError
from gateway.language import mapfile

PLACE = "mappings/shop/trade.yaml"
HEAD = "version: 1\nconnector: shop\nemit:\n  - record: order\n    fields:\n      external_id: id\n"


def compiled(text: str) -> mapping.Program:
    """The program of ``text``, with two functions on the connector."""
    return mapping.compile_text(text, place=PLACE, calls={"axis": lambda value, context: value}, tables={})


def order(field: str, more: str = "") -> str:
    """A mapping of an order with one more field, on line 7."""
    return f"{HEAD}      {field}\n{more}"


class TestPlaces:
    """Every fault points at its line and its field, and a misspelt word is told the nearest."""

    @pytest.mark.parametrize(
        ("text", "place", "words"),
        [
            (order("placed_on: {path: created, as: time}"), "7:emit[0].fields.placed_on", "did you mean 'placed_at'"),
            (order("placed_at: {path: created, as: tme}"), "7:emit[0].fields.placed_at.as", "did you mean 'time'"),
            (order("placed_at: {pth: created, as: time}"), "7:emit[0].fields.placed_at.pth", "did you mean 'path'"),
            (order("lifecycle: {path: status, table: lifecyle}", "tables: {lifecycle: {A: created}}"), "7:emit[0].fields.lifecycle.table", "did you mean 'lifecycle'"),
            (order("payment: {call: shop.axes}"), "7:emit[0].fields.payment.call", "did you mean 'shop.axis'"),
            (order("payment: {call: shop.axis}", "tabels: {}"), "8:tabels", "did you mean 'tables'"),
            (order("lines: {each: items, fields: {line_nr: id}}"), "7:emit[0].fields.lines.fields.line_nr", "did you mean 'line_no'"),
            (order("lines: {each: items, fields: {title: t}}"), "7:emit[0].fields.lines.fields", "'line_no' is missing"),
            (order("lifecycle: {path: status, table: t}", "tables:\n  t:\n    A: creatd"), "10:tables.t.A", "did you mean 'created'"),
            (order("money.payable.amont: x"), "7:emit[0].fields.money.payable.amont", "did you mean 'amount'"),
            (order("raw_status: 'a ['"), "7:emit[0].fields.raw_status", "not a JMESPath"),
            (order("raw_status: lenght(a)"), "7:emit[0].fields.raw_status", "no function lenght()"),
            (order("raw_status: join(a)"), "7:emit[0].fields.raw_status", "takes 2 arguments"),
            (HEAD.replace("record: order", "record: ordr"), "4:emit[0].record", "did you mean 'order'"),
            (HEAD + "    idents: []", "7:emit[0].idents", "did you mean 'identities'"),
            (HEAD + "    identities:\n      - {namespace: x, valu: y}", "8:emit[0].identities[0].valu", "did you mean 'value'"),
            (HEAD + "    customer: {nam: y}", "7:emit[0].customer.nam", "did you mean 'name'"),
        ],
    )  # fmt: skip
    def test_a_fault_names_file_line_and_field(self, text: str, place: str, words: str) -> None:
        """As an editor can open it."""
        with pytest.raises(MappingError) as caught:
            compiled(text)
        assert caught.value.place == f"{PLACE}:{place}"
        assert words in str(caught.value)


class TestTypes:
    """A source that does not fit its canonical field is a fault, not a surprise."""

    @pytest.mark.parametrize(
        ("field", "words"),
        [
            ("placed_at: created", "say as: time"),
            ("placed_at: {path: created, as: date}", "is a time, this gives a text"),
            ("money.payable: total", "say as: yuan or fen"),
            ("money.payable: {path: total, as: decimal}", "say as: yuan or fen"),
            ("lifecycle: status", "name a table"),
            ("lifecycle: {path: status, as: lower}", "name a table"),
            ("lifecycle: {path: status, as: gender}", "name a table"),
            ("lifecycle: {const: done}", "unknown 'done'"),
            ("lifecycle: {const: null}", "cannot be erased"),
            ("lifecycle: {path: status, table: t, default: done}", "unknown 'done'"),
            ("money: total", "name its fields with a dot"),
            ("lines: items", "say each and fields"),
            ("lines: {fields: {}}", "'line_no' is missing"),
            ("lines: [{each: items, fields: {line_no: id}, required: true}]", "unknown key 'required'"),
            ("lines.line_no: id", "no fields of its own"),
            ("channel.x: id", "no fields of its own"),
            ("ship_to.region.province.x: id", "no fields of its own"),
            ("money: {call: axis}\n      money.paid: {path: x, as: yuan}", "whole and in parts"),
            ("channel: {path: x, as: [time, lower]}", "lower cannot follow"),
            ("channel: {path: x, as: []}", "a converter is needed"),
            ("channel: {path: x, as: {y: z}}", "a text is expected"),
            ("channel: {path: []}", "a path is needed"),
            ("channel: {path: x, const: y}", "one source"),
            ("channel: {as: text}", "one source"),
            ("channel: {path: x, then: y}", "goes with as: json"),
            ("channel: {path: x, currency: y}", "goes with as: fen or yuan"),
            ("channel: {path: x, unit: y}", "goes with as: quantity"),
            ("channel: {const: x, default: y}", "a constant needs nothing else"),
            ("channel: {context: acount}", "did you mean 'account'"),
            ("channel: {path: x, empty: keep}", "known: erase"),
            ("lifecycle: {path: x, table: t, empty: erase}", "cannot be erased"),
            ("channel: {path: x, required: 1}", "true or false"),
            ("channel: [x]", "a text is expected"),
            ("placed_at: {const: 2026-11-11}", "is a time"),
            ("money.paid: {path: x, table: t}", "which no table gives"),
            ("id: x", "filled by the gateway"),
            ("account: x", "filled by the gateway"),
            ("customer: x", "filled by the gateway"),
        ],
    )
    def test_a_field_that_cannot_be_filled_so_is_refused(self, field: str, words: str) -> None:
        """With what to do instead."""
        with pytest.raises(MappingError) as caught:
            compiled(order(field, "tables: {t: {A: created}}"))
        assert words in str(caught.value)

    @pytest.mark.parametrize(
        ("text", "words"),
        [
            (HEAD.replace("      external_id: id", "      channel: id"), "'external_id' is missing"),
            (HEAD + "    identities: [{namespace: phone, value: mobile}]", "read with as: phone"),
            (HEAD + "    identities: [{namespace: email, value: {path: mail, as: lower}}]", "read with as: email"),
            (HEAD + "    time: modified", "say as: time"),
            (HEAD + "    version: {path: seq, as: text}", "is a whole number"),
            ("version: 1\nconnector: shop\nemit:\n  - {record: customer, fields: {}, customer: {name: x}}", "the record is the customer"),
            ("version: 1\nconnector: shop\nemit: []", "emits something"),
            ("version: one\nconnector: shop\nemit: []", "a whole number"),
            ("connector: shop\nemit: []", "'version' is missing"),
            ("version: 1\nversion: 2\nconnector: shop\nemit: []", "stands twice"),
            ("version: 1\nconnector: shop\nemit: {}", "a list is expected"),
            ("- 1", "a map of keys"),
            ("", "nothing stands here"),
            ("a: [", "not YAML"),
            ("a: 1\n b: 2", "not YAML"),
            ("version: !!python/object/apply:os.system [true]\nconnector: shop\nemit: []", "not part of the language"),
            ("? [a]\n: 1", "a key is a plain text"),
            (order("attrs: {const: &x {a: *x}}"), "too deep"),
        ],
    )  # fmt: skip
    def test_a_file_that_cannot_be_used_is_refused(self, text: str, words: str) -> None:
        """Whatever is wrong with it, with a place and no traceback."""
        with pytest.raises(MappingError) as caught:
            compiled(text)
        assert words in str(caught.value)
        assert caught.value.place.startswith(f"{PLACE}:")


class TestLoading:
    """Files on disk."""

    def write(self, folder: Path, name: str, text: str) -> None:
        """A file below the folder."""
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")

    def test_a_mapping_is_named_after_its_connector_file_and_version(self, tmp_path: Path) -> None:
        """As events carry it."""
        self.write(tmp_path, "shop/trade.yaml", HEAD)
        assert mapping.load(tmp_path, "shop", "trade", {}).name == "shop/trade@1"

    def test_a_shared_table_is_found_and_its_fault_has_its_own_place(self, tmp_path: Path) -> None:
        """The table's file, not the mapping's."""
        folder = tmp_path / "mappings"
        self.write(folder, "shop/trade.yaml", order("lifecycle: {path: s, table: states}"))
        self.write(folder, "tables/states.yaml", "A: created\n")
        assert mapping.load(folder, "shop", "trade", {}).name == "shop/trade@1"
        self.write(folder, "tables/states.yaml", "A: created\nB: creatd\n")
        with pytest.raises(MappingError) as caught:
            mapping.load(folder, "shop", "trade", {})
        assert caught.value.place == "mappings/tables/states.yaml:2:B"

    def test_a_file_of_another_connector_or_none_is_refused(self, tmp_path: Path) -> None:
        """A copied file that still names its origin."""
        self.write(tmp_path, "store/trade.yaml", HEAD)
        with pytest.raises(MappingError, match="unknown 'shop'"):
            mapping.load(tmp_path, "store", "trade", {})
        with pytest.raises(MappingError, match="cannot be read"):
            mapping.load(tmp_path, "store", "refund", {})


class TestYaml:
    """What a plain scalar is."""

    @pytest.mark.parametrize(
        "text", ["yes", "No", "on", "1.50", "1e3", "12:30", "2026-11-11", "0012", "0x1F", "1_000", "+5", "1" * 30]
    )
    def test_what_yaml_would_turn_into_something_else_stays_text(self, text: str) -> None:
        """Norway is a country, 12:30 is not 750."""
        assert mapfile.read(f"a: {text}", "x").value() == {"a": text}

    def test_numbers_flags_and_nulls_are_what_they_look_like(self) -> None:
        """Unless they are quoted."""
        assert mapfile.read("[7, -7, true, False, null, ~, '7', \"true\", 'null', x]", "x").value() == [7, -7, True, False, None, None, "7", "true", "null", "x"]  # fmt: skip
