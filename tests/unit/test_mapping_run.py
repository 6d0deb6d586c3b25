"""What a compiled mapping makes of data: three states, sources, tables, lists, identities, refusals."""

import copy
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from msgspec import UNSET

from gateway import mapping
from gateway.errors import PayloadError, ValueRefused
from gateway.mapping import Context, Mapped, Unknown
from gateway.model.customer import Customer
from gateway.model.identity import Assertion
from gateway.model.order import Aftersale, Breakdown, Lifecycle, Line, Order
from gateway.model.record import Coded
from gateway.model.values import Address, ContactKind, ContactPoint, Gender, Money, Quantity, Region

CONTEXT = Context(
    account="main", zone="Asia/Shanghai", unit="store-1", received_at=1_762_790_483_000_000, options={"app_key": "12"}
)
SECRET = "13912345678"


def run(body: str, data: Any, *, calls: dict[str, Any] | None = None, context: Context = CONTEXT) -> tuple[Mapped, ...]:
    """Everything a mapping emits; ``body`` follows ``emit:``."""
    program = mapping.compile_text(
        f"version: 1\nconnector: shop\nemit:\n{body}", place="mappings/shop/trade.yaml", calls=calls or {}
    )
    return program.run(data, context)


def order(fields: str, data: Any, **more: Any) -> Order:
    """The one order with these fields, its external id given."""
    indented = "\n".join(f"      {line}" for line in fields.splitlines())
    (mapped,) = run(f"  - record: order\n    fields:\n      external_id: {{const: '1'}}\n{indented}", data, **more)
    assert isinstance(mapped.record, Order)
    return mapped.record


class TestThreeStates:
    """Absent keeps, null erases, a value sets."""

    def test_absent_null_and_value_are_told_apart(self) -> None:
        """On a plain path."""
        assert order("channel: a.b", {"a": {}}).channel is UNSET
        assert order("channel: a.b", {"a": {"b": None}}).channel is None
        assert order("channel: a.b", {"a": {"b": "x"}}).channel == "x"

    def test_empty_text_is_not_there_unless_it_erases(self) -> None:
        """Most platforms send "" for what they do not tell."""
        assert order("channel: a", {"a": ""}).channel is UNSET
        assert order("channel: {path: a, empty: erase}", {"a": ""}).channel is None
        assert order("channel: {path: a, as: strip}", {"a": "  "}).channel is UNSET

    def test_a_richer_expression_cannot_tell_null_from_absent(self) -> None:
        """So it never erases."""
        assert order("channel: a || b", {"a": None}).channel is UNSET
        assert order("channel: a || b", {"a": None, "b": "x"}).channel == "x"

    def test_below_a_null_there_is_nothing(self) -> None:
        """A missing parent is no order to forget the child."""
        assert order("channel: a.b", {"a": None}).channel is UNSET

    def test_null_is_not_there_where_a_field_cannot_be_erased(self) -> None:
        """A status axis always has a value."""
        assert order("aftersale: {call: axis, path: a}", {"a": None}, calls={"axis": lambda v, c: v}).aftersale is UNSET

    def test_the_first_path_that_yields_something_wins(self) -> None:
        """After conversion: a masked mobile gives way to a plain telephone, a null to a value."""
        field = "ship_to_phone: {path: [mobile, phone], as: phone}"
        assert order(field, {"mobile": "138****8000", "phone": "13800138000"}).ship_to_phone == "+8613800138000"
        assert order(field, {"mobile": None, "phone": "13800138000"}).ship_to_phone == "+8613800138000"
        assert order(field, {"mobile": None, "phone": ""}).ship_to_phone is None
        assert order(field, {"mobile": ""}).ship_to_phone is UNSET

    def test_a_default_stands_in_for_nothing_and_not_for_null(self) -> None:
        """Null is something that the source said."""
        assert order("channel: {path: a, default: web}", {}).channel == "web"
        assert order("channel: {path: a, default: web}", {"a": None}).channel is None
        assert (
            order("lifecycle: {call: f, default: created}", {}, calls={"f": lambda v, c: UNSET}).lifecycle
            is Lifecycle.CREATED
        )

    def test_a_required_value_that_is_missing_refuses_the_entry(self) -> None:
        """And names the field."""
        for data in ({}, {"a": None}, {"a": ""}):
            with pytest.raises(ValueRefused) as caught:
                order("channel: {path: a, required: true}", data)
            assert caught.value.place == "mappings/shop/trade.yaml:7:emit[0].fields.channel"

    def test_a_record_without_its_external_id_is_refused(self) -> None:
        """Two of them would be one."""
        with pytest.raises(ValueRefused):
            run("  - {record: order, fields: {external_id: id}}", {})


class TestSources:
    """Paths, constants, options, context, functions."""

    def test_constants_options_and_context(self) -> None:
        """What does not come from the data."""
        made = order(
            "channel: {const: shop}\nattrs.app: {option: app_key}\nattrs.none: {option: nope}\nattrs.who: {context: account}\n"
            "placed_at: {context: received_at}\nmoney.shipping: {const: '0.50', as: yuan}",
            {},
        )
        assert made.channel == "shop"
        assert made.attrs == {"app": "12", "who": "main"}
        assert made.placed_at == datetime(2025, 11, 10, 16, 1, 23, tzinfo=UTC)
        assert made.money == Breakdown(shipping=Money(amount=50))

    def test_indexes_and_quoted_keys_are_plain_paths(self) -> None:
        """Absent, null and value on them too."""
        data = {"a-b": [{"c": "x"}, {"c": None}]}
        assert order("channel: '\"a-b\"[0].c'", data).channel == "x"
        assert order("channel: '\"a-b\"[-1].c'", data).channel is None
        assert order("channel: '\"a-b\"[2].c'", data).channel is UNSET

    def test_a_bare_path_needs_no_converter_for_simple_kinds(self) -> None:
        """Numbers become text, lists and objects of texts stay what they are."""
        made = order(
            "raw_status: status\nflags: flags\nattrs: more",
            {"status": 10, "flags": ["a", 1], "more": {"k": 1, "n": None}},
        )
        assert (made.raw_status, made.flags, made.attrs) == ("10", ("a", "1"), {"k": "1"})

    def test_a_function_gets_the_value_and_the_context(self) -> None:
        """Or the whole data when no path is named."""
        seen: list[Any] = []
        calls = {"shop.axis": lambda value, context: seen.append((value, context.account)) or "open"}
        assert order("aftersale: {call: shop.axis, path: a}", {"a": [1]}, calls=calls).aftersale is Aftersale.OPEN
        assert order("aftersale: {call: shop.axis}", {"a": 1}, calls=calls).aftersale is Aftersale.OPEN
        assert seen == [([1], "main"), ({"a": 1}, "main")]
        assert order("aftersale: {call: shop.axis, path: b}", {}, calls=calls).aftersale is UNSET
        assert len(seen) == 2

    @pytest.mark.parametrize(
        ("value", "expected"),
        [(Aftersale.OPEN, Aftersale.OPEN), ("open", Aftersale.OPEN), (None, UNSET), (UNSET, UNSET)],
    )
    def test_what_a_function_returns_may_be_canonical_or_a_word_for_it(self, value: Any, expected: Any) -> None:
        """Members, their texts, nothing."""
        assert order("aftersale: {call: f}", {}, calls={"f": lambda v, c: value}).aftersale == expected

    def test_a_function_may_build_structs_from_maps(self) -> None:
        """Checked like everything else."""
        calls = {
            "lines": lambda value, context: [{"line_no": "1", "price": {"amount": 5}}],
            "pay": lambda v, c: "12.50",
        }
        made = order("lines: {call: lines}\nmoney.paid: {call: pay, as: yuan}", {}, calls=calls)
        assert made.lines == (Line(line_no="1", price=Money(amount=5)),)
        assert made.money == Breakdown(paid=Money(amount=1250))

    @pytest.mark.parametrize("value", ["done", 7, [], datetime(2026, 1, 1)])
    def test_what_a_function_returns_must_fit(self, value: Any) -> None:
        """It is not trusted because it is ours."""
        with pytest.raises(ValueRefused):
            order("aftersale: {call: f}", {}, calls={"f": lambda v, c: value})
        with pytest.raises(ValueRefused):
            order("placed_at: {call: f}", {}, calls={"f": lambda v, c: value})

    def test_a_function_that_stumbles_refuses_one_entry(self) -> None:
        """With its name, and without the value that it stumbled over."""
        with pytest.raises(ValueRefused) as caught:
            order("aftersale: {call: shop.f}", {"x": SECRET}, calls={"f": lambda v, c: v["y"]})
        assert "shop.f raised KeyError" in str(caught.value)
        assert SECRET not in str(caught.value)

    def test_money_may_name_its_currency_beside_it(self) -> None:
        """Also at the root, from inside a list."""
        data = {"cur": "JPY", "total": "1000", "items": [{"id": 1, "price": "500"}]}
        made = order(
            "money.payable: {path: total, as: yuan, currency: cur}\n"
            "lines: {each: items, fields: {line_no: id, price: {path: price, as: yuan, currency: $.cur}}}",
            data,
        )
        assert made.money == Breakdown(payable=Money(amount=1000, currency="JPY"))
        assert made.lines == (Line(line_no="1", price=Money(amount=500, currency="JPY")),)
        assert order("money.payable: {path: total, as: fen, currency: nope}", data).money == Breakdown(
            payable=Money(amount=1000)
        )

    def test_json_inside_a_text_is_entered(self) -> None:
        """And converted further."""
        made = order(
            "money.paid: {path: ext, as: [json, yuan], then: pay.sum}\nchannel: {path: ext, as: json, then: src}",
            {"ext": '{"pay": {"sum": 1.50}, "src": "app"}'},
        )
        assert made.money == Breakdown(paid=Money(amount=150))
        assert made.channel == "app"


class TestTables:
    """Raw texts to canonical values, and what a table does not know."""

    TABLES = "\ntables:\n  axis: {A: created, '10': completed, N: ~}\n  star: {A: created, '*': closed}\n  way: {'1': scan}\n  kind: {1: person}\n"

    def mapped(self, field: str, data: Any, record: str = "order") -> Mapped:
        """One record with one field and the tables."""
        key = "" if record == "customer" else "external_id: {const: x}, "
        (mapped,) = run(f"  - {{record: {record}, fields: {{{key}{field}}}}}{self.TABLES}", data)
        return mapped

    def test_a_known_value_is_looked_up_by_its_text(self) -> None:
        """Numbers too."""
        assert self.mapped("lifecycle: {path: s, table: axis}", {"s": "A"}).record.lifecycle is Lifecycle.CREATED
        assert self.mapped("lifecycle: {path: s, table: axis}", {"s": 10}).record.lifecycle is Lifecycle.COMPLETED
        assert self.mapped("lifecycle: {path: s, table: axis}", {"s": " A "}).record.lifecycle is Lifecycle.CREATED

    def test_an_unknown_value_is_unknown_counted_and_kept_raw(self) -> None:
        """Nothing is defaulted silently."""
        mapped = self.mapped("lifecycle: {path: s, table: axis}", {"s": "Z"})
        assert mapped.record.lifecycle is Lifecycle.UNKNOWN
        assert mapped.record.raw_status == "Z"
        assert mapped.unknowns == (Unknown("lifecycle", "Z"),)

    def test_a_raw_status_that_the_mapping_reads_itself_is_left_alone(self) -> None:
        """The author knows better."""
        assert (
            self.mapped("lifecycle: {path: s, table: axis}, raw_status: t", {"s": "Z", "t": "said"}).record.raw_status
            == "said"
        )

    def test_a_value_that_says_nothing_leaves_the_field_unset(self) -> None:
        """Marked ``~`` in the table."""
        mapped = self.mapped("lifecycle: {path: s, table: axis}", {"s": "N"})
        assert mapped.record.lifecycle is UNSET
        assert mapped.unknowns == ()

    def test_a_star_is_an_explicit_rule_and_counts_nothing(self) -> None:
        """It was decided by a person."""
        mapped = self.mapped("lifecycle: {path: s, table: star}", {"s": "Z"})
        assert mapped.record.lifecycle is Lifecycle.CLOSED
        assert mapped.unknowns == ()

    def test_a_coded_field_holds_value_and_raw(self) -> None:
        """Known or not."""
        field = "lines: {each: items, fields: {line_no: n, status: {path: s, table: axis}}}"
        mapped = self.mapped(field, {"items": [{"n": 1, "s": 10}, {"n": 2, "s": "Z"}, {"n": 3, "s": "N"}]})
        assert [line.status for line in mapped.record.lines] == [
            Coded(value="completed", raw="10"),
            Coded(value="unknown", raw="Z"),
            None,
        ]
        assert mapped.unknowns == (Unknown("lines.status", "Z"),)
        assert mapped.record.raw_status is UNSET

    def test_a_text_field_becomes_unknown_and_a_field_without_the_word_is_refused(self) -> None:
        """A customer's kind is a person or an organisation."""
        mapped = self.mapped("add_way: {path: w, table: way}", {"w": 9}, "relationship")
        assert (mapped.record.add_way, mapped.unknowns) == ("unknown", (Unknown("add_way", "9"),))
        with pytest.raises(ValueRefused):
            self.mapped("kind: {path: k, table: kind}", {"k": 9}, "customer")

    @pytest.mark.parametrize(
        ("raw", "gender"),
        [
            (1, Gender.MALE),
            ("F", Gender.FEMALE),
            (" 男 ", Gender.MALE),
            (0, Gender.UNKNOWN),
            ("未知", Gender.UNKNOWN),
            ("O", Gender.OTHER),
        ],
    )
    def test_gender_in_the_codes_of_standards_and_people(self, raw: Any, gender: Gender) -> None:
        """GB/T 2261.1, HL7 table 0001, words."""
        mapped = self.mapped("gender: {path: g, as: gender}", {"g": raw}, "customer")
        assert (mapped.record.gender, mapped.unknowns) == (gender, ())

    def test_a_gender_that_nobody_defined_is_counted(self) -> None:
        """Like any other table."""
        mapped = self.mapped("gender: {path: g, as: gender}", {"g": "7"}, "customer")
        assert (mapped.record.gender, mapped.unknowns) == (Gender.UNKNOWN, (Unknown("gender", "7"),))

    def test_each_record_counts_its_own_unknowns(self) -> None:
        """What one member of a list does not know says nothing of the next."""
        made = run(
            "  - {record: order, each: l, fields: {external_id: i, lifecycle: {path: s, table: axis}}}" + self.TABLES,
            {"l": [{"i": 1, "s": "Z"}, {"i": 2, "s": "A"}]},
        )
        assert [len(mapped.unknowns) for mapped in made] == [1, 0]


class TestObjects:
    """Dotted names and lists."""

    def test_dots_build_the_values_inside(self) -> None:
        """As deep as the model goes."""
        made = order(
            "ship_to.region.province: p\nship_to.region.city: c\nship_to.line: l\nmoney.paid: {path: m, as: yuan}",
            {"p": "广东省", "l": "1号", "m": "1"},
        )
        assert made.ship_to == Address(region=Region(province="广东省"), line="1号")
        assert made.money == Breakdown(paid=Money(amount=100))

    def test_an_inner_object_of_which_nothing_is_there_is_unset_or_erased(self) -> None:
        """Unset when nothing was said, null when only nulls were."""
        fields = "ship_to.line: l\nship_to.postcode: z\nmoney.paid: {path: m, as: yuan}\nattrs.a: a"
        made = order(fields, {"m": None, "a": None})
        assert (made.ship_to, made.money, made.attrs) == (UNSET, UNSET, UNSET)
        assert order(fields, {"l": None}).ship_to is None

    def test_an_inner_object_without_what_it_needs_is_not_there(self) -> None:
        """A currency without an amount is no money."""
        fields = "money.paid.amount: {path: m, as: int}\nmoney.paid.currency: {const: CNY}"
        assert order(fields, {}).money is UNSET
        assert order(fields, {"m": 5}).money == Breakdown(paid=Money(amount=5))

    def test_a_list_of_objects_one_object_and_none(self) -> None:
        """One counts as a list of one; absent is not an empty list."""
        field = "lines: {each: orders.order, when: oid, fields: {line_no: oid, quantity: {path: num, as: quantity}}}"
        assert order(field, {"orders": {"order": {"oid": 7, "num": 2}}}).lines == (
            Line(line_no="7", quantity=Quantity(value="2")),
        )
        assert len(order(field, {"orders": {"order": [{"oid": 1}, None, {}, {"oid": 2}]}}).lines) == 2
        assert order(field, {"orders": {"order": []}}).lines == ()
        assert order(field, {"orders": {}}).lines is UNSET
        assert order(field, {"orders": {"order": None}}).lines is UNSET

    def test_a_member_without_what_it_needs_refuses_the_entry(self) -> None:
        """A line without a number could not be merged later."""
        with pytest.raises(ValueRefused) as caught:
            order("lines: {each: l, fields: {line_no: n, title: t}}", {"l": [{"t": "x"}]})
        assert caught.value.place.endswith(":7:emit[0].fields.lines.fields.line_no")

    def test_written_lists_leave_out_members_of_which_only_constants_are_there(self) -> None:
        """A masked mobile makes no contact point."""
        body = (
            "  - record: customer\n    fields:\n      contacts:\n"
            "        - fields: {kind: {const: phone}, value: {path: m, as: phone}, is_privacy_number: {path: m, as: privacy}}\n"
            "        - {each: mails, when: '@', fields: {kind: {const: email}, value: {path: '@', as: email}}}\n"
        )
        (mapped,) = run(body, {"m": "13800138000-12", "mails": ["A@b.cn", "", "a***@b.cn"]})
        assert isinstance(mapped.record, Customer)
        assert mapped.record.contacts == (
            ContactPoint(kind=ContactKind.PHONE, value="+8613800138000", is_privacy_number=True),
            ContactPoint(kind=ContactKind.EMAIL, value="a@b.cn"),
        )
        assert run(body, {"m": "138****8000"})[0].record.contacts is UNSET

    def test_a_path_from_the_root_leaves_the_member(self) -> None:
        """``$.`` inside ``each``."""
        made = order("lines: {each: l, fields: {line_no: n, title: $.name}}", {"name": "all", "l": [{"n": 1}]})
        assert made.lines == (Line(line_no="1", title="all"),)


class TestRecords:
    """What is emitted, with what belongs to it."""

    @pytest.mark.parametrize(
        ("value", "count"), [("x", 1), (0, 1), (True, 1), ("", 0), (None, 0), (False, 0), ([], 0), ({}, 0)]
    )
    def test_a_record_is_emitted_when_its_condition_holds_as_jmespath_has_it(self, value: Any, count: int) -> None:
        """Zero holds; empty things do not."""
        assert len(run("  - {record: order, when: w, fields: {external_id: {const: x}}}", {"w": value})) == count

    def test_each_emits_one_record_per_member(self) -> None:
        """Paths are then relative to it."""
        made = run(
            "  - {record: relationship, each: follow, when: id, fields: {external_id: id, staff: $.me}}",
            {"me": "z", "follow": [{"id": "a"}, {}, {"id": "b"}]},
        )
        assert [(mapped.record.external_id, mapped.record.staff) for mapped in made] == [("a", "z"), ("b", "z")]
        assert run("  - {record: order, each: none, fields: {external_id: id}}", {}) == ()

    def test_time_version_account_and_unit_are_filled_without_saying(self) -> None:
        """The source's own text of the time is kept."""
        body = (
            "  - {record: order, time: {path: [m, c], as: time}, version: {path: v, as: int}, fields: {external_id: i}}"
        )
        (mapped,) = run(body, {"i": 1, "m": "0000-00-00 00:00:00", "c": "2026-11-11 00:01:23", "v": "7"})
        at = datetime(2026, 11, 10, 16, 1, 23, tzinfo=UTC)
        assert mapped.source_time == 1_794_326_483_000_000
        assert mapped.source_version == mapped.record.source_version == 7
        assert (mapped.record.updated_at, mapped.record.source_time_raw) == (at, "2026-11-11 00:01:23")
        assert (mapped.record.account, mapped.record.unit) == ("main", "store-1")

    def test_a_source_without_a_time_has_none(self) -> None:
        """Nothing stands in for it here."""
        (mapped,) = run("  - {record: order, time: {path: m, as: time}, fields: {external_id: i}}", {"i": 1, "m": None})
        assert (mapped.source_time, mapped.record.updated_at, mapped.record.source_time_raw) == (None, UNSET, UNSET)

    def test_the_zone_is_the_accounts(self) -> None:
        """Never the machine's."""
        tokyo = msgspec.structs.replace(CONTEXT, zone="Asia/Tokyo")
        assert order(
            "placed_at: {path: c, as: time}", {"c": "2026-11-11 09:00:00"}, context=tokyo
        ).placed_at == datetime(2026, 11, 11, tzinfo=UTC)

    def test_a_customer_asserted_along_with_a_record(self) -> None:
        """None when nothing but constants is there."""
        body = "  - {record: order, fields: {external_id: i}, customer: {name: n, kind: {const: person}}}"
        (mapped,) = run(body, {"i": 1, "n": "张三"})
        assert mapped.customer is not None and mapped.customer.name == "张三"
        assert run(body, {"i": 1})[0].customer is None

    def test_data_that_is_no_object_is_refused_and_not_a_crash(self) -> None:
        """For want of an external id."""
        for data in ([], "x", 1, None):
            with pytest.raises(PayloadError):
                run("  - {record: order, fields: {external_id: i}}", data)

    def test_a_run_leaves_the_data_as_it_was(self) -> None:
        """The caller may use it again."""
        data = {"i": 1, "ext": '{"a": 1}', "l": [{"n": 1}]}
        before = copy.deepcopy(data)
        order("channel: {path: ext, as: json, then: a}\nlines: {each: l, fields: {line_no: n}}", data)
        assert data == before


class TestIdentities:
    """Who it is about, and who it must not be about."""

    def claims(self, item: str, data: Any) -> tuple[Assertion, ...]:
        """Of an order with one identity item."""
        (mapped,) = run(f"  - {{record: order, fields: {{external_id: {{const: x}}}}, identities: [{item}]}}", data)
        return mapped.identities

    def test_a_claim_has_namespace_scope_value_and_flags(self) -> None:
        """Scope from an option or a path."""
        assert self.claims("{namespace: taobao.ouid, scope: {option: app_key}, value: u}", {"u": 7}) == (
            Assertion(namespace="taobao.ouid", scope="12", value="7"),
        )
        assert self.claims(
            "{namespace: phone, value: {path: m, as: phone}, verified: {const: true}}", {"m": "13800138000"}
        ) == (Assertion(namespace="phone", scope="", value="+8613800138000", verified=True),)

    def test_a_list_of_keys_makes_a_claim_each(self) -> None:
        """Some of them retired."""
        found = self.claims(
            "{namespace: hl7.pid3, each: ids, scope: a, value: i, retired: {path: old, as: bool, default: false}}",
            {"ids": [{"a": "H", "i": "1"}, {"a": "H", "i": "2", "old": True}]},
        )
        assert [(claim.value, claim.retired) for claim in found] == [("1", False), ("2", True)]

    @pytest.mark.parametrize("value", [None, "", "A**", "138****8000", "~AgAAAAAABBBBBB~"])
    def test_nothing_and_masks_are_nobody(self, value: Any) -> None:
        """Absent, null, empty, blanked, enciphered."""
        assert self.claims("{namespace: taobao.ouid, value: u}", {"u": value}) == ()
        assert self.claims("{namespace: taobao.ouid, value: u}", {}) == ()

    def test_a_lent_number_is_nobody(self) -> None:
        """Though the same converter keeps it elsewhere."""
        assert self.claims("{namespace: phone, value: {path: m, as: phone}}", {"m": "13800138000-1234"}) == ()

    def test_a_key_without_its_declared_scope_is_left_out(self) -> None:
        """In no scope it would meet the keys of others."""
        assert self.claims("{namespace: hl7.pid3, scope: a, value: i}", {"i": "1"}) == ()
        assert self.claims("{namespace: hl7.pid3, scope: a, value: i}", {"i": "1", "a": None}) == ()

    def test_a_claim_may_have_a_condition(self) -> None:
        """As JMESPath has it."""
        item = "{namespace: taobao.ouid, when: ok, value: u}"
        assert self.claims(item, {"u": "1"}) == ()
        assert len(self.claims(item, {"u": "1", "ok": 1})) == 1


class TestRefusals:
    """A value that cannot be converted names its place and never itself."""

    @pytest.mark.parametrize(
        ("field", "value"),
        [
            ("placed_at: {path: v, as: time}", SECRET),
            ("money.paid: {path: v, as: yuan}", SECRET + "x"),
            ("money.paid: {path: v, as: [strip, fen]}", SECRET + "x"),
            ("money.paid: {path: v, as: fen, currency: v}", SECRET),
            ("source_version: v", SECRET + "x"),
            ("flags: v", [[SECRET]]),
            ("attrs: v", SECRET),
            ("channel: v", [SECRET]),
            ("channel: {path: v, as: json, then: length(@)}", SECRET),
            ("channel: length(v)", 7),
            ("lines: {each: v, fields: {line_no: n, price: {path: p, as: yuan}}}", [{"n": 1, "p": SECRET + "x"}]),
        ],
    )  # fmt: skip
    def test_the_place_is_said_and_the_value_is_not(self, field: str, value: Any) -> None:
        """Not in the text, not in what a traceback would show."""
        with pytest.raises(ValueRefused) as caught:
            order(field, {"v": value})
        error: BaseException | None = caught.value
        assert caught.value.place.startswith("mappings/shop/trade.yaml:7:emit[0].fields.")
        while error is not None:
            assert SECRET not in str(error)
            error = None if error.__suppress_context__ else error.__cause__ or error.__context__

    def test_a_float_is_refused_with_what_to_do(self) -> None:
        """It has lost its digits before it came here."""
        with pytest.raises(ValueRefused, match="decode decimals as text"):
            order("money.paid: {path: v, as: yuan}", {"v": 12.5})
