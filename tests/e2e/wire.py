"""HTTP/1.1 by hand: bodies in chunks, and senders that are gone before all of theirs has come."""

import socket
from collections.abc import Mapping, Sequence


def chunks(parts: Sequence[bytes]) -> bytes:
    """The parts of a body, a chunk each; the last chunk, of no bytes, is left to the sender."""
    return b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts)


def post(port: int, target: str, headers: Mapping[str, str], body: bytes) -> bytes:
    """All that a sender hears who posts this, says no more, and waits for the end."""
    lines = [f"POST {target} HTTP/1.1", "host: x", *(f"{name}: {value}" for name, value in headers.items())]
    with socket.create_connection(("127.0.0.1", port), timeout=20) as line:
        line.sendall("\r\n".join([*lines, "", ""]).encode() + body)
        line.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: line.recv(65_536), b""))
