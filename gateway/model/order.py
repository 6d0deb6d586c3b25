"""Orders from shops, counters and hospitals, on four status axes that are never folded into one."""

from datetime import datetime
from enum import Enum

from msgspec import UNSET, UnsetType

from gateway.model.record import Coded, Record
from gateway.model.values import Address, ContactText, FinanceText, HealthText, IdentityText, Money, Quantity, Value


class Lifecycle(Enum):
    """created → confirmed → processing → completed; created or confirmed → cancelled; any → closed."""

    CREATED = "created"
    CONFIRMED = "confirmed"
    PROCESSING = "processing"
    COMPLETED = "completed"
    CANCELLED = "cancelled"
    CLOSED = "closed"
    UNKNOWN = "unknown"


class Payment(Enum):
    """unpaid → partially_paid → paid → partially_refunded → refunded; unpaid → voided."""

    UNPAID = "unpaid"
    PARTIALLY_PAID = "partially_paid"
    PAID = "paid"
    PARTIALLY_REFUNDED = "partially_refunded"
    REFUNDED = "refunded"
    VOIDED = "voided"
    UNKNOWN = "unknown"


class Fulfilment(Enum):
    """none → on_hold → partially_shipped → shipped → delivered; → partially_returned → returned; not_required."""

    NONE = "none"
    ON_HOLD = "on_hold"
    PARTIALLY_SHIPPED = "partially_shipped"
    SHIPPED = "shipped"
    DELIVERED = "delivered"
    PARTIALLY_RETURNED = "partially_returned"
    RETURNED = "returned"
    NOT_REQUIRED = "not_required"
    UNKNOWN = "unknown"


class Aftersale(Enum):
    """none → open → approved → completed, or rejected, or withdrawn."""

    NONE = "none"
    OPEN = "open"
    APPROVED = "approved"
    COMPLETED = "completed"
    REJECTED = "rejected"
    WITHDRAWN = "withdrawn"
    UNKNOWN = "unknown"


class Line(Value, frozen=True, kw_only=True):
    """One position. ``paid`` is what the buyer paid for it after shared discounts."""

    line_no: str
    sku: str | None = None
    product: str | None = None
    title: str | None = None
    service: HealthText | None = None
    quantity: Quantity | None = None
    price: Money | None = None
    paid: Money | None = None
    status: Coded | None = None


class Breakdown(Value, frozen=True, kw_only=True):
    """payable = items − discounts + shipping + tax + adjust, else the order is flagged ``sum_mismatch``."""

    items: Money | None = None
    discounts: Money | None = None
    shipping: Money | None = None
    tax: Money | None = None
    adjust: Money | None = None
    payable: Money | None = None
    paid: Money | None = None
    refunded: Money | None = None


class PaymentPart(Value, frozen=True, kw_only=True):
    """One payment towards the order."""

    external_id: str
    method: str | None = None
    money: Money | None = None
    at: datetime | None = None
    payer: FinanceText | None = None


class Shipment(Value, frozen=True, kw_only=True):
    """One parcel."""

    external_id: str
    carrier: str | None = None
    status: Coded | None = None
    at: datetime | None = None


class AftersaleCase(Value, frozen=True, kw_only=True):
    """One refund or return case. Only ``completed`` is money back."""

    external_id: str
    kind: str | None = None
    status: Coded | None = None
    refund: Money | None = None
    reason: str | None = None
    line_no: str | None = None
    updated_at: datetime | None = None


class Order(Record, frozen=True, kw_only=True):
    """Unique by (account, external_id). ``raw_status`` keeps the source's own words beside the four axes.

    ``lines``, ``payments``, ``shipments`` and ``aftersales`` are merged by their external id or line number; a source that sends
    a list sends the whole list of what it knows.
    """

    account: str = ""
    external_id: str = ""
    parent_id: str | None | UnsetType = UNSET
    channel: str | None | UnsetType = UNSET
    customer: str | None | UnsetType = UNSET
    placed_at: datetime | None | UnsetType = UNSET
    paid_at: datetime | None | UnsetType = UNSET
    shipped_at: datetime | None | UnsetType = UNSET
    completed_at: datetime | None | UnsetType = UNSET
    lifecycle: Lifecycle | UnsetType = UNSET
    payment: Payment | UnsetType = UNSET
    fulfilment: Fulfilment | UnsetType = UNSET
    aftersale: Aftersale | UnsetType = UNSET
    raw_status: str | None | UnsetType = UNSET
    money: Breakdown | UnsetType = UNSET
    lines: tuple[Line, ...] | UnsetType = UNSET
    payments: tuple[PaymentPart, ...] | UnsetType = UNSET
    shipments: tuple[Shipment, ...] | UnsetType = UNSET
    aftersales: tuple[AftersaleCase, ...] | UnsetType = UNSET
    ship_to: Address | None | UnsetType = UNSET
    ship_to_name: IdentityText | None | UnsetType = UNSET
    ship_to_phone: ContactText | None | UnsetType = UNSET
    buyer_note: ContactText | None | UnsetType = UNSET
    service: HealthText | None | UnsetType = UNSET
    attrs: dict[str, str] | None | UnsetType = UNSET
