"""What a source says about who somebody is."""

from enum import Enum

import msgspec

from gateway.model.values import ContactText


class Strength(Enum):
    """How far a namespace can be trusted to name one person."""

    STRONG = "strong"
    MEDIUM = "medium"
    WEAK = "weak"
    NEVER = "never"


class Assertion(msgspec.Struct, frozen=True, kw_only=True):
    """One source's claim that a customer carries this key.

    ``scope`` is part of the key (an app, a corp, a shop, an assigning authority). ``verified`` lifts a phone or an e-mail from weak to
    medium. ``retired`` names a key that the source says is superseded by the others (HL7 MRG): the two customers become one.
    """

    namespace: str
    scope: str
    value: ContactText
    verified: bool = False
    retired: bool = False
