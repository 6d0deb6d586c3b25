"""What a shop can be asked to do over TOP: note a trade, set an item's stock.

Source: the open platform's reference of ``taobao.trade.memo.update`` and ``taobao.item.quantity.update``.
"""

from typing import Annotated

from connectors.taobao.client import Gone, Top
from gateway.connector import Action, Command, Fetch, Meta, Parameters, Result, Text
from gateway.errors import PartnerError
from gateway.model.values import IdentityText

_MOST = 2**53
_Number = Annotated[str, Meta(pattern=r"^[0-9]{1,20}(?!\n)$")]


class Memo(Parameters, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """The seller's note on a trade, which the buyer does not see."""

    tid: Annotated[_Number, Meta(description="The trade's tid.")]
    memo: Annotated[
        IdentityText, Meta(max_length=1000, description="The note in place of the one there is; empty takes it away.")
    ]
    flag: Annotated[
        Annotated[int, Meta(ge=0, le=5)] | None,
        Meta(description="Its flag: 0 grey, 1 red, 2 yellow, 3 green, 4 blue, 5 purple; as it was when absent."),
    ] = None


class Quantity(Parameters, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """How many of an item, or of one of its SKUs, the shop has to sell."""

    num_iid: Annotated[_Number, Meta(description="The item's num_iid.")]
    quantity: Annotated[int, Meta(ge=0, le=_MOST, description="The whole quantity, in place of the one there is.")]
    sku_id: Annotated[_Number | None, Meta(description="The SKU; for an item that has SKUs, this or outer_id.")] = None
    outer_id: Annotated[
        Annotated[str, Meta(min_length=1, max_length=64)] | None, Meta(description="The SKU by the seller's own code.")
    ] = None

    def __post_init__(self) -> None:
        if self.sku_id is not None and self.outer_id is not None:
            raise ValueError("sku_id and outer_id both name the SKU: give one")


ACTIONS = (
    Action(name="memo", title=Text("改交易备注", "Note a trade"), parameters=Memo, about="tid", harmless=True),
    # Always the whole: adding to what is there would not bear a repeat.
    Action(
        name="quantity",
        title=Text("改宝贝库存", "Set an item's stock"),
        parameters=Quantity,
        about="num_iid",
        harmless=True,
    ),
)


async def act(top: Top, command: Command) -> Result:
    """See ``Connector.act``."""
    asked = command.parameters
    try:
        return await (_memo(top, asked) if isinstance(asked, Memo) else _quantity(top, asked))
    except Gone as error:
        raise PartnerError(f"what {command.action} is about does not exist in this shop") from error


async def _memo(top: Top, asked: Memo) -> Result:
    flag = {} if asked.flag is None else {"flag": str(asked.flag)}
    # An empty memo is taken for none given; reset is what takes it away.
    note = {"memo": asked.memo} if asked.memo else {"reset": "true"}
    await top.call("taobao.trade.memo.update", tid=asked.tid, **note, **flag)
    return Result(fetch=(Fetch(topic="trade", key=asked.tid),))


async def _quantity(top: Top, asked: Quantity) -> Result:
    sku = {"sku_id": asked.sku_id, "outer_id": asked.outer_id}
    named = {name: value for name, value in sku.items() if value is not None}
    await top.call(
        "taobao.item.quantity.update", num_iid=asked.num_iid, quantity=str(asked.quantity), type="1", **named
    )
    return Result()
