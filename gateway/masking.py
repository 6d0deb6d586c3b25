"""What a masked value looks like: enough to recognise, not enough to use.

Pure functions of the text, its class and the name of its field; no key and no record is needed.
"""

import re

from gateway.model.values import Sensitivity

HIDDEN = "***"
PROSE = frozenset({"body", "buyer_note", "remark"})
"""Fields of the contact class that hold what somebody wrote, not a way to reach anybody."""

_PHONE = re.compile(r"\+?\d{7,15}\Z", re.ASCII)
_EMAIL = re.compile(r"([^@\s])[^@\s]*@([^@\s]+)\Z")
# An address in one text: province, city and district as they are written on parcels (GB/T 2260 names), as far as they go. What could be part of
# an estate, a shop or a road is not taken for one; rather too little is shown than too much.
_PROVINCE = (
    r"(?:北京|天津|上海|重庆)市?"
    r"|(?:河北|山西|辽宁|吉林|黑龙江|江苏|浙江|安徽|福建|江西|山东|河南|湖北|湖南|广东|海南|四川|贵州|云南|陕西|甘肃|青海|台湾)省?"
    r"|(?:内蒙古|广西壮族|西藏|宁夏回族|新疆维吾尔)自治区|内蒙古|广西|西藏|宁夏|新疆|香港特别行政区|澳门特别行政区|香港|澳门"
)
_CITY = r"[\u4e00-\u9fff]{2,4}?市(?!场)|[\u4e00-\u9fff]{2,12}?自治州|(?:大兴安岭|阿里|和田|喀什|塔城|阿克苏|阿勒泰)地区|(?:锡林郭勒|阿拉善|兴安)盟"
_DISTRICT = (
    r"[\u4e00-\u9fff]{1,4}?(?<![小社园校院病厂街景库宿住宅活业墅营])区|[\u4e00-\u9fff]{2,14}?自治[县旗]"
    r"|[\u4e00-\u9fff]{1,4}?县(?![前府衙学医中])|[\u4e00-\u9fff]{1,3}?(?<![超夜菜门集闹花鱼股城])市(?!场)|[\u4e00-\u9fff]{2,5}[左右中前后]旗"
)
_AREA = re.compile(rf"(?:(?:{_PROVINCE})\s*(?:{_CITY})?|(?:{_CITY})(?=\s*(?:{_DISTRICT})))\s*(?:{_DISTRICT})?")
_YEAR = re.compile(r"\d{4}(?!\d)", re.ASCII)


def mask(value: str, sensitivity: Sensitivity, field: str) -> str | None:
    """``value`` as a person without the grant may see it, or None where nothing useful can be shown: an address line without its district.

    ``field`` is the last name of the value's path; it tells a birthday from a name.
    """
    if field in PROSE:
        return value[:1] + HIDDEN
    if sensitivity is Sensitivity.CONTACT:
        return line(value) if field == "line" else contact(value)
    if sensitivity is Sensitivity.IDENTITY:
        return birthday(value) if field == "birthday" else name(value)
    return value if sensitivity is Sensitivity.PUBLIC else HIDDEN


def contact(value: str) -> str:
    """``+8613800138000`` → ``138****8000``, ``zhang@x.com`` → ``z***@x.com``, ``浙江省杭州市西湖区文三路1号`` → ``浙江省杭州市西湖区***``, anything else its
    first character and ``***``."""
    if _PHONE.match(value):
        return phone(value)
    if found := _EMAIL.match(value):
        return f"{found[1]}{HIDDEN}@{found[2]}"
    return (area(value) or value[:1]) + HIDDEN


def area(value: str) -> str:
    """The province, city and district that an address begins with; nothing of a text that does not begin like one."""
    if value[:1].isascii():
        return ""
    found = _AREA.match(value)
    return found[0].rstrip() if found else ""


def line(value: str) -> str | None:
    """An address line: what it says down to the district, or None. Region fields beside it are public and stay."""
    shown = area(value)
    return shown + HIDDEN if shown else None


def phone(value: str) -> str:
    """First three and last four digits; of fewer than eleven two at each end, of fewer than eight the last two. A Chinese one loses its ``+86``."""
    digits = value.removeprefix("+86")
    if len(digits) < 8:
        return f"****{digits[-2:]}"
    ends = (3, 4) if len(digits) >= 11 else (2, 2)
    return f"{digits[: ends[0]]}****{digits[-ends[1] :]}"


def name(value: str) -> str:
    """``张三丰`` → ``张*``: the length is hidden too. Serves national ids as well."""
    return value[:1] + "*"


def birthday(value: str) -> str:
    """The year of ``1988-08-18``, ``1988-08`` or ``1988``; a birthday without a year is hidden."""
    found = _YEAR.match(value)
    return found[0] if found else HIDDEN
