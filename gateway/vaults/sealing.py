"""The one sealing engine, over a ring of envelope keys that some way keeps.

An envelope key is never used itself. Each suite derives from it a key for payloads, a key for fields and one from which records' keys come.
How a thing was sealed is told by the **name** of its key, so that a change of suite, like a rotation, leaves what is old readable:

===========  =====================================================================================================================
``k2``       a payload of suite aes; a text of the format before records had secrets: AES-256-GCM under the envelope's field key
``k2g``      a payload of suite gm
``k2a``      a text that belongs to no record, suite aes; ``k2g`` suite gm
``k2ar``     a text of a record, suite aes, under a key made of the envelope's and the record's own secret; ``k2gr`` suite gm
===========  =====================================================================================================================

A text belongs to a record when its context is ``<record id>/<path>``: before the slash up to six lower-case letters, an underscore and something.

A field's nonce is a keyed hash of what it seals, which makes equal fields equal tokens and makes nonce reuse a 96-bit collision; payload
nonces are random. Both stay far below GCM's bounds (NIST SP 800-38D §8.3) up to 2³² payloads of one key: rotate before that.
"""

import binascii
import contextlib
import mmap
import re
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence

from gateway import clock
from gateway.errors import Erased, KeyMissing, Stale, Tampered, VaultError
from gateway.model.values import Sensitivity
from gateway.vaults.envelope import FORMAT, Envelope, Recent, Sealer
from gateway.vaults.ring import Keeping
from gateway.vaults.secrets import SIZE, Secrets
from gateway.vaults.suites import AES, ALTERED, NONCE, SUITES, TAG, Cipher, Index, Suite

_SECRET = 16
_NAME = re.compile(r"(k[1-9]\d{0,5})(?:([ag])(r?))?\Z", re.ASCII)
_RECORD = re.compile(r"[a-z]{2,6}_.", re.DOTALL)
_LETTERS = {suite.letter: suite for suite in SUITES.values()}
# Keys of records stay ready for a few batches; their secrets, 16 bytes each, are remembered for much longer.
_REMEMBERED = 50_000
_UNSAVED_MOST = 20_000
_URL = bytes.maketrans(b"+/", b"-_")
_STANDARD = bytes.maketrans(b"-_", b"+/")
_PADDING = (b"", b"===", b"==", b"=")


class Sealing:
    """See ``gateway.vault.Vault``. Safe to use from several threads; made anew in each process.

    A key that another process has added since is found when something sealed by it is met, and is what is sealed with from then on.
    ``classes`` gives the suite of single sensitivity classes, ``suite`` that of the others and of payloads.
    """

    def __init__(self, ring: Keeping, *, suite: str, classes: Mapping[str, str]) -> None:
        self._ring = ring
        self._suites = {one.value: SUITES[classes.get(one.value, suite)] for one in Sensitivity}
        self._payload_suite = SUITES[suite]
        self._lock = threading.RLock()
        self._masters: dict[str, bytes] = {}
        self._envelopes: dict[tuple[str, str], Envelope] = {}
        self._payloads: dict[str, Cipher] = {}
        self._finders: dict[str, Callable[[str], Sealer | None]] = {}
        self._secrets: Secrets | None = None
        self._remembered: Recent[bytes] = Recent(_REMEMBERED)
        self._unsaved: dict[str, bytes] = {}
        # Records that are known to have no secret, as far as anybody here knows.
        self._new: set[str] = set()
        # What the processes last forgot, and whether that was after something was sealed which nobody has kept yet.
        self._mark: mmap.mmap | bytes = b""
        self._seen = b""
        self._sealed = self._doubtful = False
        self._load()

    # ------------------------------------------------------------------ payloads
    def seal(self, plaintext: bytes, context: bytes) -> bytes:
        """See ``Vault.seal``. Layout: format byte, length and text of the key's name, nonce, ciphertext and tag."""
        envelope = self._payload
        nonce = clock.random_bytes(NONCE)
        return b"".join((envelope.head, nonce, envelope.payload.encrypt(nonce, plaintext, context)))

    def open(self, sealed: bytes, context: bytes) -> bytes:
        """See ``Vault.open``."""
        start = 2 + sealed[1] if len(sealed) > 2 else 0
        if not start or sealed[0] != FORMAT or len(sealed) < start + NONCE + TAG:
            raise Tampered("a sealed payload is cut short or of an unknown format")
        name = sealed[2:start].decode("ascii", "replace")
        cipher = self._payloads.get(name) or self._payload_cipher(name)
        return _decrypt(cipher.decrypt, sealed[start : start + NONCE], sealed[start + NONCE :], context)

    def current_payload(self, sealed: bytes) -> bool:
        """See ``Vault.current_payload``."""
        if not sealed.startswith(self._payload.head):
            self._meet(sealed[2 : 2 + sealed[1]].decode("ascii", "replace") if len(sealed) > 2 else "")
        return sealed.startswith(self._payload.head)

    # ------------------------------------------------------------------ texts
    def seal_text(self, value: str, context: str, sensitivity: Sensitivity) -> str:
        """See ``Vault.seal_text``. Associated data: ``<class>:<context>``."""
        if self._mark[:] != self._seen:
            self._notice()
        kind = sensitivity._value_
        envelope = self._now[kind]
        record = context.partition("/")[0]
        sealer = envelope.recent.get(record) or self._sealer(envelope, record, make=True)
        self._sealed = True
        bound = f"{kind}:{context}".encode()
        plaintext = value.encode()
        nonce = sealer.mac(len(bound).to_bytes(4, "big") + bound + plaintext)[:NONCE]
        data = _encode(nonce + sealer.encrypt(nonce, plaintext, bound))
        return f"{sealer.name}.{kind}.{data}"

    def open_text(self, token: str, context: str) -> str:
        """See ``Vault.open_text``."""
        parts = token.split(".")
        if len(parts) != 3:
            raise Tampered("a sealed text is not of the form key.class.data")
        if self._mark[:] != self._seen:
            self._notice()
        name = parts[0]
        find = self._finders.get(name) or self._finder(name)
        record = context.partition("/")[0]
        sealer = find(record) or self._again(name, record)
        raw = _decode(parts[2])
        bound = f"{parts[1]}:{context}".encode()
        try:
            return _decrypt(sealer.decrypt, raw[:NONCE], raw[NONCE:], bound).decode()
        except Tampered as fault:
            # A record that was sealed again after its erasure has another secret than its older texts.
            if sealer.name[-1] == "r" and self._was_forgotten(record):
                raise _erased(record) from fault
            raise

    def current(self, token: str) -> bool:
        """See ``Vault.current``."""
        name, _, rest = token.partition(".")
        kind = rest.partition(".")[0]
        if not self._is_now(name, kind):
            self._meet(name)
        return self._is_now(name, kind)

    def refresh(self) -> None:
        """See ``Vault.refresh``. One look at the file when nothing was changed."""
        if self._changed():
            with self._lock:
                self._load()

    def _is_now(self, name: str, kind: str) -> bool:
        envelope = self._now.get(kind)
        return envelope is not None and name in (envelope.name, envelope.plain.name)

    def blind(self, *parts: str) -> bytes:
        """See ``Vault.blind`` and ``suites.Index``."""
        return self._index.hash(parts)

    # ------------------------------------------------------------------ records' own secrets
    def keep(self) -> None:
        """See ``Vault.keep``. Waits for the disk when a record was sealed for the first time, and costs nothing otherwise."""
        if self._mark[:] != self._seen:
            self._notice()
        if self._unsaved:
            self._save()
        self._new.clear()
        doubtful, self._doubtful, self._sealed = self._doubtful, False, False
        if doubtful:
            raise Stale("a record's secret is not what was sealed with any more", place=str(self._ring.secrets))

    def meet(self, records: Iterable[str]) -> None:
        """See ``Vault.meet``."""
        if self._mark[:] != self._seen:
            self._notice()
        with self._lock:
            rows = {
                self._row_of(record): record
                for record in records
                if record not in self._unsaved and self._remembered.again(record) is None and _RECORD.match(record)
            }
            for row, sealed in self._file().find_many(list(rows)).items() if rows else ():
                self._remembered.put(rows.pop(row), self._opened(row, sealed))
            self._new.update(rows.values())

    def expect(self, record: str) -> None:
        """See ``Vault.expect``."""
        self._new.add(record)

    def forget(self, records: Sequence[str]) -> int:
        """See ``Vault.forget``. When this returns, no process has one of the secrets in memory that it would still use."""
        with self._lock:
            # Taken out first: nobody else has ever seen them.
            unsaved = sum(self._unsaved.pop(record, None) is not None for record in records)
            gone = self._file().remove([self._row_of(record) for record in records])
            self._notice()
        return gone + unsaved

    def renew(self, most: int = 1000) -> int:
        """See ``Vault.renew``."""
        count, at = 0, b""
        while True:
            with self._lock:
                rows = self._file().after(at, most)
                if not rows:
                    return count
                at = rows[-1][0]
                older = {record: sealed for record, sealed in rows if not self.current_payload(sealed)}
                self._file().replace(
                    {record: self._shut(record, self._opened(record, old)) for record, old in older.items()}
                )
                count += len(older)

    def _sealer(self, envelope: Envelope, record: str, *, make: bool) -> Sealer:
        if not _RECORD.match(record):
            return envelope.plain
        with self._lock:
            found = envelope.recent.again(record)
            if found is None:
                found = envelope.of(self._secret(record, make=make))
                envelope.recent.put(record, found)
            return found

    def _again(self, name: str, record: str) -> Sealer:
        """What opens tokens of ``record`` that begin with ``name``, when it is not ready."""
        if not _RECORD.match(record):
            raise Tampered("a sealed text of a record stands where no record is")
        key_id, letter, _ = _parted(name)
        try:
            envelope = self._envelope(key_id, _LETTERS[letter])
        except KeyMissing:
            # Erased says more: nobody opens it, whatever keys there are.
            with self._lock:
                self._secret(record, make=False)
            raise
        return self._sealer(envelope, record, make=False)

    def _secret(self, record: str, *, make: bool) -> bytes:
        known = self._unsaved.get(record) or self._remembered.again(record)
        if known is not None:
            return known
        if make and record in self._new:
            return self._made(record)
        row = self._row_of(record)
        sealed, forgotten = self._file().find(row)
        if sealed is not None:
            secret = self._opened(row, sealed)
            self._remembered.put(record, secret)
            return secret
        if not make:
            raise _erased(record) if forgotten else self._missing(record)
        return self._made(record)

    def _made(self, record: str) -> bytes:
        if len(self._unsaved) >= _UNSAVED_MOST:
            raise VaultError(f"{_UNSAVED_MOST} records were sealed and nobody kept their secrets")
        return self._unsaved.setdefault(record, clock.random_bytes(_SECRET))

    def _was_forgotten(self, record: str) -> bool:
        with self._lock:
            return self._file().find(self._row_of(record))[1]

    def _missing(self, record: str) -> KeyMissing:
        return KeyMissing(
            f"the own secret of record {record} is not there",
            place=str(self._ring.secrets),
            remedy="restore the file from a backup, unless the text was put into a record that it is not of",
        )

    def _save(self) -> None:
        with self._lock:
            rows = {self._row_of(record): record for record in self._unsaved}
            theirs = self._file().add({row: self._shut(row, self._unsaved[record]) for row, record in rows.items()})
            for row, record in rows.items():
                secret = self._opened(row, theirs[row]) if row in theirs else self._unsaved[record]
                self._remembered.put(record, secret)
            self._unsaved.clear()
            if theirs:
                self._doubtful = True
                self._unready()

    def _row_of(self, record: str) -> bytes:
        return self.blind("secret", record)

    def _shut(self, row: bytes, secret: bytes) -> bytes:
        return self.seal(secret, b"secret/" + row)

    def _opened(self, row: bytes, sealed: bytes) -> bytes:
        length = 2 + sealed[1] + NONCE + _SECRET + TAG
        if length > SIZE:
            raise Tampered("a record's own secret was altered", place=str(self._ring.secrets))
        return self.open(sealed[:length], b"secret/" + row)

    def _file(self) -> Secrets:
        if self._secrets is None:
            self._secrets = Secrets(self._ring.secrets)
            self._mark = self._secrets.mark
            self._seen = self._mark[:]
        return self._secrets

    def _notice(self) -> None:
        """Some process forgot something: whatever is remembered here may be it."""
        with self._lock:
            # Read first: what is forgotten from here on is noticed next time.
            self._seen = self._mark[:]
            self._doubtful = self._doubtful or self._sealed
            self._remembered.clear()
            self._new.clear()
            self._unready()

    def _unready(self) -> None:
        for envelope in self._envelopes.values():
            envelope.recent.clear()

    # ------------------------------------------------------------------ keys
    def _finder(self, name: str) -> Callable[[str], Sealer | None]:
        key_id, letter, own = _parted(name)
        if own and key_id not in self._masters:
            return lambda _: None
        envelope = self._envelope(key_id, _LETTERS.get(letter, AES))
        sealer = envelope.plain if letter else envelope.old
        find: Callable[[str], Sealer | None] = envelope.recent.get if own else lambda _: sealer
        self._finders[name] = find
        return find

    def _payload_cipher(self, name: str) -> Cipher:
        key_id, letter, own = _parted(name)
        if own or letter == AES.letter:
            raise Tampered("a sealed payload names an impossible key")
        cipher = self._payloads[name] = self._envelope(key_id, _LETTERS.get(letter, AES)).payload
        return cipher

    def _envelope(self, key_id: str, suite: Suite) -> Envelope:
        found = self._envelopes.get((key_id, suite.name))
        if found is not None:
            return found
        with self._lock:
            if key_id not in self._masters and self._changed():
                self._load()
            if key_id not in self._masters:
                raise KeyMissing(
                    f"key {key_id} is not in the vault", place=self._ring.place, remedy="restore it from a backup"
                )
            made = Envelope(key_id, self._masters[key_id], suite)
            return self._envelopes.setdefault((key_id, suite.name), made)

    def _meet(self, name: str) -> None:
        """Look for the key of ``name`` if it is new here."""
        found = _NAME.match(name)
        if found is None or found[1] in self._masters:
            return
        with contextlib.suppress(KeyMissing):
            self._envelope(found[1], AES)

    def _changed(self) -> bool:
        # An unknown key id costs one stat, so that a flood of forged ones does not become a flood of reads.
        with contextlib.suppress(OSError):
            return self._read_as != self._ring.mark()
        return False

    def _load(self) -> None:
        read_as = self._ring.mark()
        ring = self._ring.load(self._masters)
        self._masters = {key.id: key.master or self._masters[key.id] for key in ring.keys}
        self._read_as = read_as
        self._index = Index(AES.derive(ring.index, "index blake2b", 32))
        self._now = {kind: self._envelope(ring.current, suite) for kind, suite in self._suites.items()}
        self._payload = self._envelope(ring.current, self._payload_suite)


# ---------------------------------------------------------------------- bytes and text
def _parted(name: str) -> tuple[str, str, str]:
    """Key id, suite letter, and whether it is of a record."""
    found = _NAME.match(name)
    if found is None:
        raise Tampered("a sealed value names an impossible key")
    return found[1], found[2] or "", found[3] or ""


def _erased(record: str) -> Erased:
    return Erased("the record's own secret was destroyed", place=record)


def _decrypt(decrypt: Callable[[bytes, bytes, bytes], bytes], nonce: bytes, ciphertext: bytes, bound: bytes) -> bytes:
    try:
        return decrypt(nonce, ciphertext, bound)
    except ALTERED as fault:
        # Where it was to be opened: the class is not part of a text's place.
        place = bound.decode("utf-8", "replace").rpartition(":")[2]
        raise Tampered("a sealed value was altered, or belongs to another record or field", place=place) from fault


def _encode(raw: bytes) -> str:
    return binascii.b2a_base64(raw, newline=False).translate(_URL, b"=").decode()


def _decode(data: str) -> bytes:
    try:
        raw = binascii.a2b_base64(data.encode("ascii").translate(_STANDARD) + _PADDING[len(data) % 4])
    except ValueError as fault:
        raise Tampered("a sealed text is not base64url") from fault
    # The decoder skips what it does not know and ignores spare bits; one token must have one spelling.
    if _encode(raw) != data:
        raise Tampered("a sealed text is not base64url")
    return raw
