"""What a reader may see of a sealed body: a treatment per sensitivity class, whoever the reader is.

====== =========================================================================================
clear  the value
mask   enough of it to recognise, not enough to use: ``gateway.masking``
token  a pseudonym, the reader's own: ``gateway.pseudonym``
seal   nothing in its place; with all others of its kind under ``sealed``, for the reader's key alone
drop   nothing; it is not even opened, and the class is named in ``withheld``
====== =========================================================================================

``sealed`` is one compact JWE over a JSON object of the values by their JSON Pointers (RFC 6901). A value whose record was erased is absent
under every treatment that opens it, and its class is named in ``erased``.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from gateway import masking, places
from gateway.errors import ConfigError, Erased
from gateway.model.values import Sensitivity
from gateway.places import Places, Spot
from gateway.pseudonym import Pseudonyms, alone
from gateway.recipient import Recipient, recipient_of
from gateway.vault import Vault

CLEAR = "clear"
MASK = "mask"
TOKEN = "token"  # noqa: S105  # a treatment
SEAL = "seal"
DROP = "drop"

CLASSES = tuple(one for one in Sensitivity if one is not Sensitivity.PUBLIC)
_TREATMENTS = frozenset({CLEAR, MASK, TOKEN, SEAL, DROP})
_BY_NAME = {one.value: one for one in CLASSES}
_NULL = b"null"
_SHUT = object()
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(dict[str, Any]).decode


class Grant(msgspec.Struct, frozen=True, kw_only=True):
    """What one reader may see. ``who`` names it among all (``endpoint:crm``, ``client:bi``): pseudonyms belong to that name. A class that
    ``treatments`` does not name is dropped. ``recipient`` is the public JWK, as JSON text, that ``seal`` needs."""

    who: str
    treatments: Mapping[Sensitivity, str]
    recipient: str = ""


class Reader:
    """A grant made ready. Keep one per grant: making it reads the key. ConfigError for a recipient that cannot be sealed to."""

    def __init__(self, grant: Grant, vault: Vault) -> None:
        unknown = set(grant.treatments.values()) - _TREATMENTS
        if unknown:
            raise ValueError(f"no such treatment: {', '.join(sorted(unknown))}")
        if not grant.who:
            raise ValueError("a grant belongs to somebody")
        self.grant = grant
        # By the class's name, as a token says it: hashing a member of an enum is a call, and this is asked for every field.
        self.how = {one.value: grant.treatments.get(one, DROP) for one in CLASSES}
        self.pseudonyms: Pseudonyms | None = None
        self.recipient: Recipient | None = None
        if TOKEN in self.how.values():
            self.pseudonyms = Pseudonyms(vault.blind("pseudonym", grant.who))
        if SEAL in self.how.values():
            self.recipient = recipient_of(grant.recipient, place=f"the recipient of {grant.who}")
        own = (grant.who, grant.recipient) if self.pseudonyms or self.recipient else ()
        self.sight = (*self.how.values(), *own)
        """Equal for two readers who see the same of everything."""


class Body:
    """A sealed body, each text of which is opened at most once, however many readers it is shown to.

    It holds what it opened in the clear for as long as it lives: let go of it soon.
    """

    __slots__ = ("_opened", "_places", "_pointers", "_vault")

    def __init__(self, found: Places, vault: Vault) -> None:
        self._places = found
        self._vault = vault
        self._opened: list[Any] = [_SHUT] * len(found.spots)
        self._pointers: Sequence[str] = ()

    def shown(self, reader: Reader) -> bytes:
        """Its JSON as ``reader`` may see it. VaultError when a key is gone or a sealed value was altered; what is dropped is not looked at."""
        how, opened = reader.how, self._opened
        values: list[bytes | None] = []
        sealed: dict[str, str] = {}
        withheld: set[str] = set()
        erased: set[str] = set()
        for number, (spot, name) in enumerate(zip(self._places.spots, self._places.classes, strict=True)):
            treatment = how[name]
            if treatment == DROP:
                withheld.add(name)
                values.append(None)
                continue
            text = opened[number]
            if text is _SHUT:
                text = opened[number] = self._open(spot)
            if treatment == SEAL:
                values.append(_NULL if spot.listed else None)
                if text is not None:
                    sealed[self._pointer(number)] = text
            elif text is not None:
                values.append(_encode(text) if treatment == CLEAR else _treated(text, name, spot, reader))
            else:
                values.append(None)
            if text is None:
                erased.add(name)
        return self._places.filled(values, _marks(withheld, erased, sealed, reader))

    def _open(self, spot: Spot) -> str | None:
        """None when it was erased."""
        try:
            return self._vault.open_text(spot.token, spot.context)
        except Erased:
            return None

    def _pointer(self, number: int) -> str:
        if not self._pointers:
            self._pointers = self._places.pointers()
        return self._pointers[number]


def _treated(text: str, name: str, spot: Spot, reader: Reader) -> bytes | None:
    """A pseudonym where the class has one, else a mask: rather too little than too much."""
    sensitivity = _BY_NAME[name]
    if reader.pseudonyms is not None and reader.how[name] == TOKEN:
        salt = spot.context.partition("/")[0] if alone(sensitivity, spot.field) else ""
        return f'"{reader.pseudonyms.of(text, salt)}"'.encode()
    masked = masking.mask(text, sensitivity, spot.field)
    return None if masked is None else _encode(masked)


def _marks(withheld: set[str], erased: set[str], sealed: Mapping[str, str], reader: Reader) -> bytes:
    """What is said beside the data."""
    marks = b""
    if withheld:
        marks += b',"withheld":' + _encode(sorted(withheld))
    if erased:
        marks += b',"erased":' + _encode(sorted(erased))
    if sealed and reader.recipient is not None:
        marks += f',"sealed":"{reader.recipient.seal(_encode(sealed))}"'.encode()
    return marks


def show(body: dict[str, Any], reader: Reader, vault: Vault, record_id: str | None = None) -> dict[str, Any]:
    """A copy of ``record_id``'s body as ``reader`` may see it, with ``withheld``, ``erased`` and ``sealed`` at its top where there is something to
    say. Without ``record_id`` it is data that holds several bodies: a token belongs to the nearest enclosing object whose ``id`` is a
    record's, such as ``ord_…``.

    In a list a text that is dropped goes with its place, and one that is sealed leaves null. Tampered when a token is not this record's.
    """
    return _decode(Body(places.find(body, record_id), vault).shown(reader))


def checked(treatments: Mapping[Sensitivity, str], *, reason: str, recipient: str, place: str) -> str:
    """The recipient's JWK as text, read from its file for ``file:/path``; "" for none. ConfigError, with place and remedy, for a treatment there is
    not, health data without a reason, and a recipient that is missing or cannot be sealed to."""
    for one, treatment in treatments.items():
        if treatment not in _TREATMENTS:
            raise ConfigError(
                f"{treatment!r} is no treatment",
                place=f"{place}.{one.value}",
                remedy="clear, mask, token, seal or drop",
            )
    if treatments.get(Sensitivity.HEALTH, DROP) != DROP and not reason.strip():
        raise ConfigError(
            "health data is granted without a reason",
            place=f"{place}.reason",
            remedy='say why this reader may have it, or set health = "drop"',
        )
    text = _read(recipient.removeprefix("file:"), f"{place}.recipient") if recipient.startswith("file:") else recipient
    if text or SEAL in treatments.values():
        recipient_of(text, place=f"{place}.recipient")
    return text


def _read(path: str, place: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        fault = error.strerror if isinstance(error, OSError) else "not text"
        raise ConfigError(f"{path} cannot be read: {fault}", place=place, remedy="put the public JWK there") from error
