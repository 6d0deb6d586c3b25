"""Prepared traffic: signed orders as an ERP posts them, admissions as a hospital sends them."""

import base64
import hmac
import random
import time
from collections.abc import Sequence

_KEY = b"bench-secret-bench-secret-bench!"
SECRET = "whsec_" + base64.b64encode(_KEY).decode()
HOOK_SECRET = "whsec_" + base64.b64encode(b"hook-secret-hook-secret-hook-sec").decode()
PATH = "/in/feed"
PEOPLE = 5000


def order(number: int, person: int, *, at: float | None = None) -> bytes:
    """About 0.9 KB of one paid order of ``person`` with three lines; ``at`` is when it was placed, seconds."""
    when = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime((at or time.time()) + 8 * 3600))
    lines = ",".join(
        f'{{"line_no":"{line}","sku":"SKU-{number % 97:05d}-{line}","title":"手工曲奇礼盒 {line} 号（中秋限定，含礼袋与贺卡）","quantity":"{line}","price":"19.90"}}'
        for line in (1, 2, 3)
    )
    return (
        f'{{"order_no":"B{number:010d}","customer_code":"C{person:07d}","phone":"138{person:08d}","status":"paid","currency":"CNY",'
        f'"total":"119.40","paid":"119.40","discount":"0.00","shipping":"0.00","created_at":"{when}","paid_at":"{when}","updated_at":"{when}",'
        f'"store":"SH-{number % 200:03d}","lines":[{lines}]}}'
    ).encode()


def headers(body: bytes, name: str) -> dict[str, str]:
    """Standard Webhooks headers, signed now."""
    now = int(time.time())
    signature = base64.b64encode(hmac.digest(_KEY, f"{name}.{now}.".encode() + body, "sha256")).decode()
    return {"webhook-id": name, "webhook-timestamp": str(now), "webhook-signature": f"v1,{signature}"}


def signed(body: bytes, name: str) -> bytes:
    """A whole HTTP/1.1 request."""
    head = "".join(f"{key}: {value}\r\n" for key, value in headers(body, name).items())
    return (
        f"POST {PATH} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n"
        f"{head}user-agent: bench\r\n\r\n"
    ).encode() + body


class Orders:
    """Orders that were never sent before, numbered on."""

    def __init__(self, people: int = PEOPLE) -> None:
        self._people = people
        self._run = random.randrange(1 << 30)
        self.number = 0

    def bodies(self, count: int) -> list[bytes]:
        """The next ``count``."""
        first, self.number = self.number, self.number + count
        return [order(number, number % self._people) for number in range(first, first + count)]

    def requests(self, count: int) -> list[bytes]:
        """The next ``count`` as signed requests."""
        first = self.number
        return [signed(body, f"msg_{self._run}_{first + at}") for at, body in enumerate(self.bodies(count))]


# ---------------------------------------------------------------------- HL7
def adt(number: int, person: int) -> bytes:
    """One ADT^A08 in UTF-8 with two names, an address and a visit: about 0.6 KB."""
    when = time.strftime("%Y%m%d%H%M%S", time.gmtime(time.time() + 8 * 3600))
    return (
        f"MSH|^~\\&|HIS|SHDYYY^2.16.156.1^ISO|SCRM|GW|{when}||ADT^A08^ADT_A01|B{number:09d}|P|2.5||||||UNICODE UTF-8\r"
        f"EVN|A08|{when}\r"
        f"PID|1||{person:08d}^^^SHDYYY^MR~11010119900307{person % 10000:04d}^^^GA^NI||张三^^^^^^L^I~Zhang^San^^^^^L^A||19900307|M|||"
        f"朝阳路1号&朝阳路&1^2单元^北京市^北京^100000^CHN^H|110105^朝阳区|138{person:08d}^PRN^CP~^NET^Internet^zhangsan@example.com|"
        "01065550100^WPN^PH||M\r"
        f"PV1|1|O|门诊三楼^^^SHDYYY||||D002^王^五||||||||||||V{number:09d}|||||||||||||||||||||||||{when}\r"
        "ZPI|1|自定义段\r"
    ).encode()


def admission(number: int, person: int) -> bytes:
    """One ADT^A01 as a ward sends it, with next of kin, insurance, allergies and diagnoses: fourteen segments, about 2 KB."""
    when = time.strftime("%Y%m%d%H%M%S", time.gmtime(time.time() + 8 * 3600))
    head, _, rest = adt(number, person).decode().replace("A08", "A01").partition("PV1|")
    return (
        f"{head}PD1||||D002^王^五^^^^^^SHDYYY^L||||||||N\r"
        "NK1|1|李四^^^^^^L|SPO^配偶^HL70063|朝阳路1号^^北京市^北京^100000^CHN|13900139000^PRN^CP||C^联系人^HL70131\r"
        "NK1|2|张小三^^^^^^L|CHD^子女^HL70063||13700137000^PRN^CP\r"
        f"PV1|{rest.partition(chr(13))[0]}\r"
        f"PV2|||R10.4^腹痛^ICD10|||||{when}|||||||||||||N||||||||||||||A\r"
        "OBX|1|NM|8302-2^身高^LN||172|cm|||||F\rOBX|2|NM|29463-7^体重^LN||68.5|kg|||||F\r"
        "AL1|1|DA|P0001^青霉素^LOCAL|MO|皮疹|20190301\rAL1|2|FA|F0012^花生^LOCAL|SV|休克\r"
        f"DG1|1||R10.4^腹痛^ICD10|腹痛待查|{when}|A\rDG1|2||K29.7^胃炎^ICD10|胃炎|{when}|W\r"
        "IN1|1|310^城镇职工基本医疗保险^LOCAL|110000|北京市医疗保险事务管理中心|||||||20200101||||张三^^^^^^L|SEL|19900307\r"
        "ZPI|1|自定义段\r"
    ).encode()


def frames(first: int, count: int, people: int = PEOPLE) -> list[bytes]:
    """Admissions in MLLP frames."""
    return [b"\x0b" + adt(number, number % people) + b"\x1c\r" for number in range(first, first + count)]


def number_of(body: bytes) -> int:
    """The order number in a delivered event; -1 when it is none of these."""
    at = body.find(b'"external_id":"B')
    return int(body[at + 16 : at + 26]) if at >= 0 else -1


def spread_over(people: Sequence[int], count: int, seed: int) -> list[int]:
    """``count`` of them, any of them as likely."""
    return random.Random(seed).choices(people, k=count)
