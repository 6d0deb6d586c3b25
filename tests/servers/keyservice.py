"""A key service, written from the protocol in gateway/vaults/kms.py with the standard library, and AES key wrap (RFC 5649) as its cipher.

It shares no code with the gateway's client.
"""

import base64
import json
import os
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from cryptography.hazmat.primitives.keywrap import (
    InvalidUnwrap,
    aes_key_unwrap_with_padding,
    aes_key_wrap_with_padding,
)

TOKEN = "a-bearer-token"
NAME = "scrm"


class KeyService:
    """Wraps under numbered versions of one key. ``answer`` replaces what it says, for as long as it is set."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.versions = {"1": os.urandom(32)}
        self.asked: list[str] = []
        self.answer: Callable[[str], tuple[int, bytes]] | None = None
        service = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                status, said = service.respond(self.path, self.headers["Authorization"], body)
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(said)))
                self.end_headers()
                self.wfile.write(said)

            def log_message(self, *_: object) -> None:
                return

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        if tls is not None:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        scheme = "kms+http" if tls is None else "kms+https"
        self.url = f"{scheme}://127.0.0.1:{self._server.server_address[1]}/keys/{NAME}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()

    def turn(self) -> None:
        """Make a new version of the key current, as a service does by its own calendar."""
        self.versions[str(len(self.versions) + 1)] = os.urandom(32)

    def respond(self, path: str, authorization: str | None, body: bytes) -> tuple[int, bytes]:
        """Status and body."""
        self.asked.append(path)
        if self.answer is not None:
            return self.answer(path)
        if authorization != f"Bearer {TOKEN}":
            return 401, b"{}"
        *place, verb = path.strip("/").split("/")
        if place != ["keys", NAME]:
            return 404, b"{}"
        question = json.loads(body)
        if verb == "wrap":
            version = max(self.versions, key=int)
            wrapped = aes_key_wrap_with_padding(self.versions[version], base64.b64decode(question["plaintext"]))
            return 200, json.dumps({"ciphertext": base64.b64encode(wrapped).decode(), "version": version}).encode()
        try:
            key = self.versions[question["version"]]
            opened = aes_key_unwrap_with_padding(key, base64.b64decode(question["ciphertext"]))
        except (InvalidUnwrap, KeyError):
            return 400, b"{}"
        return 200, json.dumps({"plaintext": base64.b64encode(opened).decode()}).encode()

    def close(self) -> None:
        """Stop answering; the port refuses from then on."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@contextmanager
def key_service(tls: ssl.SSLContext | None = None) -> Iterator[KeyService]:
    """A service that lives as long as the block."""
    service = KeyService(tls)
    try:
        yield service
    finally:
        service.close()
