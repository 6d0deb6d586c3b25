"""WeCom callbacks as bytes and values: signature, encryption, passive reply, XML. No sockets, no clock, no randomness.

Source: WeCom developer documentation, "回调配置" and "加解密方案说明" (documents 90930, 90968, 91144).
"""

import hashlib
import hmac
import re
from base64 import b64decode, b64encode
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import unquote

import msgspec
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CBC
from lxml import etree

from gateway.errors import PayloadError

BLOCK = 32
_KEY = re.compile(r"[A-Za-z0-9+/]{43}")
# One Item is still a list: a mapping must not change its paths with the number of members in a group.
_REPEATED = frozenset({"Item", "item", "SelectedItem", "OptionId", "AuthAddOpenKfId", "AuthDelOpenKfId"})
_XML = etree.XMLParser(
    resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False, remove_comments=True, remove_pis=True
)
_JSON = msgspec.json.Decoder(float_hook=str)


class Unreadable(ValueError):
    """A ciphertext that this key did not make. The text names the step that failed and holds no payload."""


class Box:
    """One app's EncodingAESKey: AES-256-CBC, the key's first half as IV, PKCS#7 padding to 32 bytes."""

    def __init__(self, encoding_aes_key: str) -> None:
        """ValueError unless it is 43 base64 characters. The last one may carry bits that nothing uses; real keys do."""
        if not _KEY.fullmatch(encoding_aes_key):
            raise ValueError("an EncodingAESKey has 43 letters and digits")
        self._key = b64decode(encoding_aes_key + "=")
        self._cipher = Cipher(AES(self._key), CBC(self._key[:16]))

    def open(self, encrypted: str) -> tuple[bytes, str]:
        """The message and the receive id behind it. Unreadable otherwise."""
        try:
            sealed = b64decode(encrypted, validate=True)
        except ValueError as error:
            raise Unreadable("not base64") from error
        if not sealed or len(sealed) % 16:
            raise Unreadable("not whole blocks")
        decryptor = self._cipher.decryptor()
        content = unpad(decryptor.update(sealed) + decryptor.finalize())[16:]
        size = int.from_bytes(content[:4], "big")
        if len(content) < 4 or size > len(content) - 4:
            raise Unreadable("the length does not fit")
        return content[4 : 4 + size], content[4 + size :].decode("utf-8", "replace")

    def close(self, message: bytes, receive_id: str, prefix: bytes) -> str:
        """Base64 of the sealed message. ``prefix`` is 16 bytes that nobody else can foresee."""
        content = prefix + len(message).to_bytes(4, "big") + message + receive_id.encode()
        encryptor = self._cipher.encryptor()
        return b64encode(encryptor.update(pad(content)) + encryptor.finalize()).decode()

    def prefix(self, *seed: str) -> bytes:
        """16 bytes that only the holder of the key can foresee; equal for equal seeds, so that a repeated answer is the same."""
        return hmac.digest(self._key, "\n".join(seed).encode("utf-8", "replace"), "sha256")[:16]


def pad(content: bytes) -> bytes:
    """PKCS#7 to 32 bytes; whole blocks gain one more."""
    size = BLOCK - len(content) % BLOCK
    return content + bytes([size]) * size


def unpad(content: bytes) -> bytes:
    """Without its padding of 1 to 32 bytes. Unreadable when it is not one."""
    size = content[-1] if content else 0
    if not 1 <= size <= BLOCK or content[-size:] != bytes([size]) * size:
        raise Unreadable("bad padding")
    return content[:-size]


def signature(token: str, timestamp: str, nonce: str, encrypted: str) -> str:
    """SHA-1 in lower-case hex over the four values, sorted as bytes and joined without a separator."""
    parts = sorted(part.encode("utf-8", "replace") for part in (token, timestamp, nonce, encrypted))
    return hashlib.sha1(b"".join(parts), usedforsecurity=False).hexdigest()


def signed_by(token: str, query: Mapping[str, str], encrypted: str) -> bool:
    """Whether ``msg_signature`` is right. Takes the same time whatever was presented."""
    expected = signature(token, query.get("timestamp", ""), query.get("nonce", ""), encrypted)
    return hmac.compare_digest(expected.encode(), query.get("msg_signature", "").encode("utf-8", "replace"))


def query(raw: str) -> dict[str, str]:
    """A raw query string, URL-decoded exactly once; the first of equal names counts. ``+`` stays ``+``: echostr is base64."""
    found: dict[str, str] = {}
    for part in raw.split("&"):
        name, _, value = part.partition("=")
        found.setdefault(name, unquote(value))
    return found


def echo(presented: str) -> str:
    """An echostr with every ``+`` that a proxy turned into a space restored."""
    return presented.replace(" ", "+")


def encrypted(body: bytes) -> str:
    """The ``Encrypt`` text of a callback's envelope, XML or JSON. PayloadError when there is none."""
    if body.lstrip()[:1] == b"{":
        found = _object(body)
        text = found.get("encrypt") or found.get("Encrypt")
    else:
        root = _root(body)
        if root.tag != "xml":
            raise PayloadError("the envelope's root is not <xml>")
        text = root.findtext("Encrypt")
    if not isinstance(text, str) or not text.strip():
        raise PayloadError("the envelope has no Encrypt")
    return text.strip()


def facts(message: bytes) -> dict[str, str]:
    """The first level of a message, as text. PayloadError when it is neither XML nor JSON."""
    if message.lstrip()[:1] == b"{":
        return {name: str(value) for name, value in _object(message).items() if isinstance(value, (str, int))}
    return {str(child.tag): child.text or "" for child in _root(message)}


def plain(message: bytes) -> dict[str, Any]:
    """A whole message: text for leaves, dicts for groups, lists for what repeats. PayloadError as for ``facts``."""
    if message.lstrip()[:1] == b"{":
        return _object(message)
    return _children(_root(message))


def answer(raw: bytes) -> dict[str, Any]:
    """A JSON object whose numbers with a fraction stay text. PayloadError when it is not one."""
    return _object(raw)


def document(fields: Mapping[str, str]) -> bytes:
    """One level of XML with every value in CDATA, as WeCom writes it."""
    return (
        "<xml>" + "".join(f"<{name}>{_cdata(value)}</{name}>" for name, value in fields.items()) + "</xml>"
    ).encode()


def text_reply(to: str, sender: str, content: str, at: str) -> bytes:
    """The inner XML of a passive text answer; ``at`` is epoch seconds. WeCom cuts ``content`` at 2048 bytes."""
    fields = {"ToUserName": to, "FromUserName": sender, "CreateTime": at, "MsgType": "text", "Content": content}
    return document(fields)


def envelope(sealed: str, token: str, timestamp: str, nonce: str) -> bytes:
    """A signed passive reply around ``sealed``. Timestamp and nonce may be the request's; the signature is always new."""
    signed = signature(token, timestamp, nonce, sealed)
    return document({"Encrypt": sealed, "MsgSignature": signed, "TimeStamp": timestamp, "Nonce": nonce})


def digest(content: bytes) -> str:
    """Equal for equal content: 32 hex digits."""
    return hashlib.sha256(content).hexdigest()[:32]


def _cdata(text: str) -> str:
    return "<![CDATA[" + text.replace("]]>", "]]]]><![CDATA[>") + "]]>"


def _root(raw: bytes) -> "etree._Element":
    try:
        root = etree.fromstring(raw, _XML)
    except (etree.XMLSyntaxError, ValueError) as error:
        raise PayloadError("not well-formed XML") from error
    # No callback has a DTD; one that does is after our files or our memory.
    if root.getroottree().docinfo.internalDTD is not None:
        raise PayloadError("a document type declaration is not accepted")
    return root


def _object(raw: bytes) -> dict[str, Any]:
    try:
        found = _JSON.decode(raw)
    # ValueError: the decoder passes on the codec's own error for bytes that are no UTF-8.
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise PayloadError("not well-formed JSON") from error
    if not isinstance(found, dict):
        raise PayloadError("not a JSON object")
    return found


def _children(node: "Iterable[etree._Element]") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for child in node:
        name = str(child.tag)
        value = _children(child) if len(child) else child.text or ""
        if name in _REPEATED:
            found.setdefault(name, []).append(value)
        elif name in found:
            earlier = found[name]
            found[name] = [*earlier, value] if isinstance(earlier, list) else [earlier, value]
        else:
            found[name] = value
    return found
