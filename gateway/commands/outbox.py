"""Commands that show deliveries with their attempts, and refused requests. What is sealed is opened only when asked, and that is on record."""

from collections import deque
from typing import Annotated

from cyclopts import App, Parameter

from gateway import store
from gateway.clock import moment
from gateway.commands.ground import on_ground, trace
from gateway.commands.terminal import DONE, Config, Json, out, show
from gateway.errors import ConfigError
from gateway.processes import Ground
from gateway.store import DeliveryState

deliveries_app = App(name="deliveries", help="Events on their way to endpoints. 投递。")
rejects_app = App(name="rejects", help="Requests that were refused. 拒收。")

Open = Annotated[
    bool, Parameter(name="--open", negative="", help="Show what is sealed; the audit log will say who looked.")
]


# ------------------------------------------------------------------ deliveries
@deliveries_app.command(name="list")
def deliveries_list(
    *,
    config: Config = None,
    endpoint: str | None = None,
    state: DeliveryState | None = None,
    event: str | None = None,
    after: str = "",
    limit: int = 100,
    json: Json = False,
) -> int:
    """Deliveries by id, those that meet every condition. 投递列表。

    Args:
        endpoint: To this endpoint.
        state: In this state.
        event: Of this event.
        after: Only those with a higher id.
    """

    async def work(ground: Ground) -> list[store.Delivery]:
        found = await ground.records.deliveries(state=state, endpoint=endpoint, event=event, limit=limit, after=after)
        return list(found)

    rows = [_delivery(one) for one in on_ground(config, work)]
    show(rows, json=json, title="deliveries", empty="no such delivery")
    return DONE


def _delivery(one: store.Delivery) -> dict[str, object]:
    return {
        "id": one.id, "event": one.event, "endpoint": one.endpoint, "state": one.state.value, "tries": one.tries,
        "created": _when(one.created), "due": _when(one.due), "cause": one.cause or "",
    }  # fmt: skip


@deliveries_app.command(name="show")
def deliveries_show(delivery: str, *, open_: Open = False, config: Config = None, json: Json = False) -> int:
    """One delivery's attempts, oldest first. 投递详情。"""

    async def work(ground: Ground) -> tuple[store.Delivery, list[dict[str, object]]]:
        known = await ground.records.known([delivery])
        if delivery not in known:
            raise ConfigError(f"no delivery {delivery}", remedy="gateway deliveries list")
        if open_:
            await trace(ground, "read", delivery, what="answers")
        tried = await ground.records.attempts(delivery)
        return known[delivery], [_attempt(ground, one, open_=open_) for one in tried]

    found, rows = on_ground(config, work)
    if not json:
        out.print(" ".join(f"{name}={value}" for name, value in _delivery(found).items() if value != ""))
    show(rows, json=json, title=f"attempts of {delivery}", empty="never tried")
    return DONE


def _attempt(ground: Ground, one: store.Attempt, *, open_: bool) -> dict[str, object]:
    return {
        "id": one.id, "at": _when(one.at), "took_ms": one.took // 1000, "status": "" if one.status is None else one.status,
        "error": one.error or "", "answer": _sealed(ground, one.response, one.id, open_=open_),
    }  # fmt: skip


# ------------------------------------------------------------------ rejects
@rejects_app.command(name="list")
def rejects_list(*, config: Config = None, account: str | None = None, limit: int = 100, json: Json = False) -> int:
    """The newest refused requests, newest last. 拒收列表。"""

    async def work(ground: Ground) -> list[store.Reject]:
        newest: deque[store.Reject] = deque(maxlen=limit)
        after = ""
        while page := await ground.records.rejects(account=account, limit=500, after=after):
            newest += page
            after = page[-1].id
        return list(newest)

    rows = [_reject(one) for one in on_ground(config, work)]
    show(rows, json=json, title="rejects", empty="nothing was refused")
    return DONE


def _reject(one: store.Reject) -> dict[str, object]:
    return {
        "id": one.id, "at": _when(one.at), "account": one.account, "reason": one.reason, "detail": one.detail, "peer": one.peer, "size": one.size,
    }  # fmt: skip


@rejects_app.command(name="show")
def rejects_show(reject: str, *, open_: Open = False, config: Config = None, json: Json = False) -> int:
    """One refused request; its first bytes only with --open. 拒收详情。"""

    async def work(ground: Ground) -> dict[str, object]:
        # What follows an id's own beginning is at most a handful, itself among them.
        near = await ground.records.rejects(after=reject[:-1], limit=100) if reject else ()
        found = next((one for one in near if one.id == reject), None)
        if found is None:
            raise ConfigError(
                f"no reject {reject}", remedy="gateway rejects list; only the newest store.rejects are kept"
            )
        if open_:
            await trace(ground, "read", reject, what="refused request")
        return {**_reject(found), "body": _sealed(ground, found.body, found.id, open_=open_)}

    show([on_ground(config, work)], json=json, title=reject, empty="")
    return DONE


def _sealed(ground: Ground, body: bytes | None, context: str, *, open_: bool) -> str:
    """The bytes as text, or that there are some."""
    if body is None:
        return ""
    if not open_:
        return "••• sealed; --open shows it"
    return ground.vault.open(body, context.encode()).decode("utf-8", "backslashreplace")


def _when(instant: int) -> str:
    return moment(instant).isoformat(timespec="seconds")
