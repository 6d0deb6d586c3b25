"""The error tree. Every foreign exception is translated into one of these at the one door of its library.

GatewayError
├── ConfigError            config.invalid        settings or a mapping cannot be used; names file, line and field
│   └── MappingError       mapping.invalid
├── PayloadError           payload.malformed     a partner's bytes cannot be read
│   └── ValueRefused       payload.value         one field of them cannot be converted
├── VaultError             vault.failed
│   ├── KeyMissing         vault.key_missing     names the key id
│   ├── Tampered           vault.tampered        a sealed value was altered or moved
│   ├── Erased             vault.erased          the record's own secret was destroyed: it cannot be opened by anybody
│   └── VaultDown          vault.down            the module or service that holds the keys cannot be reached
├── JournalError           journal.unavailable   nothing was acknowledged
├── StoreError             store.unavailable     nothing was applied
│   └── Stale              store.stale           another worker moved the cursor first
└── PartnerError           partner.failed        a partner's API answered badly
    ├── PartnerDenied      partner.denied        credentials, permission
    │   └── PartnerUnlisted partner.unlisted     this machine's address is not on the platform's allow-list
    ├── PartnerQuota       partner.quota         over the platform's limit; ``wait`` says how long
    └── PartnerDown        partner.down          network, 5xx, busy

Expected outcomes (a refused request, a full bucket, a failed delivery) are values, not exceptions.
"""

from enum import Enum
from typing import ClassVar


class Verdict(Enum):
    """Whether trying again can help."""

    NEVER = "never"
    LATER = "later"
    AFTER = "after"


class Blame(Enum):
    """Who has to do something about it."""

    SENDER = "sender"
    RECEIVER = "receiver"
    US = "us"


class GatewayError(Exception):
    """Root of the tree.

    ``detail`` is one sentence a person can act on and never holds a payload; ``place`` is file:line:field or account;
    ``remedy`` is what to do; ``wait`` is seconds, only meaningful with ``Verdict.AFTER``.
    """

    code: ClassVar[str] = "gateway"
    verdict: ClassVar[Verdict] = Verdict.NEVER
    blame: ClassVar[Blame] = Blame.US

    def __init__(self, detail: str, *, place: str = "", remedy: str = "", wait: float = 0.0) -> None:
        super().__init__(detail)
        self.detail = detail
        self.place = place
        self.remedy = remedy
        self.wait = wait

    def __str__(self) -> str:
        text = f"{self.place}: {self.detail}" if self.place else self.detail
        return f"{text} ({self.remedy})" if self.remedy else text


class ConfigError(GatewayError):
    """Settings cannot be used."""

    code = "config.invalid"


class MappingError(ConfigError):
    """A mapping file cannot be used. ``place`` is file:line:field."""

    code = "mapping.invalid"


class PayloadError(GatewayError):
    """A partner's bytes cannot be read."""

    code = "payload.malformed"
    blame = Blame.SENDER


class ValueRefused(PayloadError):
    """One field cannot be converted. ``place`` names the mapping's file:line:field, never the value."""

    code = "payload.value"


class VaultError(GatewayError):
    """Sealing or opening failed."""

    code = "vault.failed"


class KeyMissing(VaultError):
    """The vault does not hold the key that sealed this. The detail names the key id."""

    code = "vault.key_missing"


class Tampered(VaultError):
    """A sealed value was altered, or belongs to another record or field."""

    code = "vault.tampered"


class Erased(VaultError):
    """The record's own secret was destroyed, so that nothing of it can be opened again."""

    code = "vault.erased"


class VaultDown(VaultError):
    """The module or service that holds the keys cannot be reached."""

    code = "vault.down"
    verdict = Verdict.LATER


class JournalError(GatewayError):
    """The journal did not commit. Nothing may be acknowledged."""

    code = "journal.unavailable"
    verdict = Verdict.LATER


class StoreError(GatewayError):
    """The store did not commit. Nothing was applied."""

    code = "store.unavailable"
    verdict = Verdict.LATER


class Stale(StoreError):
    """Another worker has moved the cursor since this batch was read. Read again."""

    code = "store.stale"


class PartnerError(GatewayError):
    """A partner's API answered in a way that does not say more."""

    code = "partner.failed"
    blame = Blame.SENDER


class PartnerDenied(PartnerError):
    """Credentials or permission. Repeating it can get the account banned."""

    code = "partner.denied"


class PartnerUnlisted(PartnerDenied):
    """This machine's address is not on the platform's allow-list."""

    code = "partner.unlisted"


class PartnerQuota(PartnerError):
    """Over the platform's limit. ``wait`` is the platform's window in seconds."""

    code = "partner.quota"
    verdict = Verdict.AFTER


class PartnerDown(PartnerError):
    """Network failure, 5xx, or the platform says it is busy. ``unsure``: what was asked for may have been done all the same."""

    code = "partner.down"
    verdict = Verdict.LATER

    def __init__(
        self, detail: str, *, place: str = "", remedy: str = "", wait: float = 0.0, unsure: bool = False
    ) -> None:
        super().__init__(detail, place=place, remedy=remedy, wait=wait)
        self.unsure = unsure
