"""Masked values, as golden pairs."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway import masking
from gateway.model.values import Sensitivity

CONTACT, IDENTITY = Sensitivity.CONTACT, Sensitivity.IDENTITY

GOLDEN = [
    (CONTACT, "value", "+8613800138000", "138****8000"),
    (CONTACT, "value", "13800138000", "138****8000"),
    (CONTACT, "ship_to_phone", "+14155552671", "+14****2671"),
    (CONTACT, "value", "+85261234567", "+85****4567"),
    (CONTACT, "value", "88886666", "88****66"),
    (CONTACT, "value", "zhangsan@x.com", "z***@x.com"),
    (CONTACT, "value", "z@mail.example.cn", "z***@mail.example.cn"),
    (CONTACT, "email", "张三@例子.公司", "张***@例子.公司"),
    (CONTACT, "value", "wechat_zhang3", "w***"),
    (CONTACT, "raw", "138-0013-8000", "1***"),
    (CONTACT, "raw", "浙江省杭州市西湖区文三路1号", "浙江省杭州市西湖区***"),
    (CONTACT, "value", "杭州市西湖区文三路1号", "杭州市西湖区***"),
    (CONTACT, "value", "广西南宁市青秀区民族大道1号", "广西南宁市青秀区***"),
    (CONTACT, "value", "上海浦东新区世纪大道100号", "上海浦东新区***"),
    (CONTACT, "value", "江苏 苏州市 昆山市 玉山镇", "江苏 苏州市 昆山市***"),
    (CONTACT, "value", "河北省正定县城关镇", "河北省正定县***"),
    (CONTACT, "value", "内蒙古自治区锡林郭勒盟苏尼特右旗赛汉塔拉镇", "内蒙古自治区锡林郭勒盟苏尼特右旗***"),
    (
        CONTACT,
        "value",
        "新疆维吾尔自治区伊犁哈萨克自治州察布查尔锡伯自治县1号",
        "新疆维吾尔自治区伊犁哈萨克自治州察布查尔锡伯自治县***",
    ),
    (CONTACT, "value", "浙江省杭州市翠苑小区3幢", "浙江省杭州市***"),
    (CONTACT, "value", "浙江省立同德医院心内科病区", "浙江省***"),
    (CONTACT, "value", "浙江省杭州市永辉超市旁", "浙江省杭州市***"),
    (CONTACT, "value", "大超市门口小区", "大***"),
    (CONTACT, "body", "浙江省杭州市西湖区文三路1号", "浙***"),
    (CONTACT, "line", "浙江省杭州市西湖区文三路1号", "浙江省杭州市西湖区***"),
    (CONTACT, "buyer_note", "请放门卫 13800138000", "请***"),
    (CONTACT, "value", "", "***"),
    (CONTACT, "postcode", "310012", "3***"),
    (CONTACT, "line", "文三路1号", None),
    (IDENTITY, "name", "张三", "张*"),
    (IDENTITY, "name", "欧阳小明", "欧*"),
    (IDENTITY, "name", "Zhang San", "Z*"),
    (IDENTITY, "name", "", "*"),
    (IDENTITY, "national_id", "11010519491231002X", "1*"),
    (IDENTITY, "birthday", "1988-08-18", "1988"),
    (IDENTITY, "birthday", "1988-08", "1988"),
    (IDENTITY, "birthday", "1988", "1988"),
    (IDENTITY, "birthday", "--08-18", "***"),
    (IDENTITY, "birthday", "19880818", "***"),
    (Sensitivity.HEALTH, "service", "心内科", "***"),
    (Sensitivity.FINANCE, "payer", "6222020000000000000", "***"),
    (Sensitivity.PUBLIC, "title", "T-shirt", "T-shirt"),
]


@pytest.mark.parametrize(
    ("sensitivity", "field", "value", "masked"), GOLDEN, ids=[f"{row[1]}-{row[2]}" for row in GOLDEN]
)
def test_value_masks_to_the_agreed_form(sensitivity: Sensitivity, field: str, value: str, masked: str | None) -> None:
    """One line a rule; None leaves the field out."""
    assert masking.mask(value, sensitivity, field) == masked


@settings(database=None, deadline=None)
@given(
    st.text(st.characters(exclude_characters="*"), min_size=2),
    st.sampled_from([s for s in Sensitivity if s is not Sensitivity.PUBLIC]),
    st.sampled_from(["value", "name"]),
)
def test_masked_value_never_holds_the_whole(value: str, sensitivity: Sensitivity, field: str) -> None:
    """Whatever a partner sends as a value."""
    masked = masking.mask(value, sensitivity, field)
    assert masked is not None
    assert value not in masked


@settings(database=None, deadline=None)
@given(st.from_regex(r"\+?[0-9]{7,15}", fullmatch=True))
def test_masked_number_hides_at_least_three_digits(number: str) -> None:
    """Of the shortest number and of the longest."""
    masked = masking.phone(number)
    assert len(number.removeprefix("+86")) - len(masked.replace("*", "")) >= 3
