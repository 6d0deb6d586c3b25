"""Every connector there is. Adding one is one line here."""

from collections.abc import Mapping

from connectors import feed, hl7, taobao, wecom
from gateway.connector import Card

CARDS: Mapping[str, Card] = {card.name: card for card in (wecom.CARD, taobao.CARD, feed.CARD, hl7.CARD)}
