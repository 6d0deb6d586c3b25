"""Prepared traffic: signed orders as an ERP posts them."""

import base64
import hmac
import random
import time

SECRET = "whsec_" + base64.b64encode(b"bench-secret-bench-secret-bench!").decode()
_KEY = b"bench-secret-bench-secret-bench!"
HOOK_SECRET = "whsec_" + base64.b64encode(b"hook-secret-hook-secret-hook-sec").decode()


def order(number: int, customers: int, *, at: float | None = None) -> bytes:
    """About a kilobyte of one paid order with three lines; ``at`` is when it was placed, seconds."""
    when = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime((at or time.time()) + 8 * 3600))
    lines = ",".join(
        f'{{"line_no":"{line}","sku":"SKU-{number % 97:05d}-{line}","title":"手工曲奇礼盒 {line} 号（中秋限定，含礼袋与贺卡）","quantity":"{line}","price":"19.90"}}'
        for line in (1, 2, 3)
    )
    person = number % customers
    return (
        f'{{"order_no":"B{number:010d}","customer_code":"C{person:07d}","phone":"138{person:08d}","status":"paid","currency":"CNY",'
        f'"total":"119.40","paid":"119.40","discount":"0.00","shipping":"0.00","created_at":"{when}","paid_at":"{when}","updated_at":"{when}",'
        f'"store":"SH-{number % 200:03d}","lines":[{lines}]}}'
    ).encode()


def signed(path: str, body: bytes, name: str, *, port: int) -> bytes:
    """A whole HTTP/1.1 request with Standard Webhooks headers, signed now."""
    now = int(time.time())
    signature = base64.b64encode(hmac.digest(_KEY, f"{name}.{now}.".encode() + body, "sha256")).decode()
    return (
        f"POST {path} HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n"
        f"webhook-id: {name}\r\nwebhook-timestamp: {now}\r\nwebhook-signature: v1,{signature}\r\nuser-agent: bench\r\n\r\n"
    ).encode() + body


def requests(path: str, count: int, *, port: int, customers: int = 1000, first: int = 0) -> list[bytes]:
    """``count`` different signed orders."""
    run = random.randrange(1 << 30)
    return [signed(path, order(first + number, customers), f"msg_{run}_{first + number}", port=port) for number in range(count)]
