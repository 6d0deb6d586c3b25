"""Stock levels. The newest ``as_of`` wins."""

from datetime import datetime

from msgspec import UNSET, UnsetType

from gateway.model.record import Record
from gateway.model.values import Quantity


class StockLevel(Record, frozen=True, kw_only=True):
    """What lies where. Unique by (account, external_id), where external_id is ``sku@location``."""

    account: str = ""
    external_id: str = ""
    sku: str | UnsetType = UNSET
    location: str | None | UnsetType = UNSET
    on_hand: Quantity | None | UnsetType = UNSET
    available: Quantity | None | UnsetType = UNSET
    as_of: datetime | None | UnsetType = UNSET
