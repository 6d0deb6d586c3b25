"""Asking a partner to do something: what may be asked, by whom and about whom; written down before it is acknowledged."""

import asyncio
import contextlib
import re
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from gateway import access, action, connector, grant, store
from gateway.action import Action, State, Wanted
from gateway.clock import new_id, text
from gateway.connector import Whom
from gateway.desk.reading import Reading
from gateway.desk.resources import Desk
from gateway.errors import Stale
from gateway.pipeline import act_body
from gateway.pipeline.accounts import Opened
from gateway.pipeline.act import named, takes_many
from gateway.pipeline.act_end import ActSettler, Ends

MOST_OPEN = 10_000
"""Actions of one client that are not at their end."""

_TRIES = 8
_FIELD = re.compile(r"(?:required|unknown) field `([^`]*)`")
_PLACE = re.compile(r" - at `\$\.?([^`]*)`$")


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """What somebody wants done. ``customer`` is an id of ours; ``expires`` an instant; ``key`` the caller's idempotency key, empty for none."""

    account: str
    action: str
    parameters: Mapping[str, Any]
    customer: str | None = None
    expires: int | None = None
    key: str = ""


class Refusal(msgspec.Struct, frozen=True, kw_only=True):
    """Why nothing was written down. ``code`` is the API's, ``place`` a member of what was asked."""

    code: str
    place: str
    detail: str
    remedy: str = ""


class _Meant(msgspec.Struct, frozen=True, kw_only=True):
    """Whom an action is about, as far as is known, and the keyed hash of what it is done to."""

    customer: str | None
    subject: bytes


# ---------------------------------------------------------------------- asking
async def ask(
    desk: Desk, reading: Reading, client: access.Client, viewer: access.Viewer, asked: Asked
) -> Action | Refusal:
    """Check it against the account's card and the client's rights, and keep it: durable when this returns. On the trail before it is kept.

    The same ``key`` finds what was asked for under it first. StoreError when it could not be kept.
    """
    found = _offered(desk, client, viewer, asked)
    if isinstance(found, Refusal):
        return found
    opened, offered = found
    wrong = _checked(offered, asked) or _timely(asked, desk.clock.now())
    if wrong is not None:
        return wrong
    meant = await _meant(desk, reading, viewer, opened, offered, asked)
    if isinstance(meant, Refusal):
        return meant
    if await desk.records.open_actions(client.id, most=MOST_OPEN) >= MOST_OPEN:
        return Refusal(
            code="action.too_many", place="", detail=f"{MOST_OPEN} actions of this client are not at their end"
        )
    return await _kept(desk, client, viewer, asked, offered, meant)


def _offered(
    desk: Desk, client: access.Client, viewer: access.Viewer, asked: Asked
) -> tuple[Opened, connector.Action] | Refusal:
    opened = desk.accounts.get(asked.account) if asked.account in client.accounts else None
    if opened is None or not within(viewer, opened):
        return Refusal(
            code="action.account", place="body.account", detail="this client may not act through such an account",
            remedy=f"may: {', '.join(client.accounts) or 'none; ask the operator'}",
        )  # fmt: skip
    if opened.account.disabled:
        return Refusal(
            code="action.account",
            place="body.account",
            detail="this account is disabled for now",
            remedy="ask the operator",
        )
    offered = opened.card.action(asked.action)
    if offered is None:
        names = ", ".join(one.name for one in opened.card.actions)
        return _invalid("action", f"{opened.card.name} does not offer this", f"offers: {names or 'nothing'}")
    return opened, offered


def within(viewer: access.Viewer, opened: Opened) -> bool:
    """Whether an account is the viewer's to act through and to see."""
    return viewer.domain is None or viewer.sees(opened.account.unit)


def _invalid(place: str, detail: str, remedy: str = "") -> Refusal:
    return Refusal(code="action.invalid", place=f"body.{place}", detail=detail, remedy=remedy)


def _checked(offered: connector.Action, asked: Asked) -> Refusal | None:
    """What is wrong with the parameters, and where; nothing of them is quoted."""
    given, whom = dict(asked.parameters), offered.whom
    if asked.customer is not None:
        if whom is None:
            return _invalid("customer", f"{offered.name} is not about a customer", "leave it out")
        if whom.parameter in given:
            return _invalid("customer", f"it is named already, by {whom.parameter}", "give one of the two")
        # Whom it stands for is looked up, and opened only by who calls the partner.
        given[whom.parameter] = ["cus"] if takes_many(offered.parameters, whom.parameter) else "cus"
    try:
        msgspec.convert(given, offered.parameters)
    except msgspec.ValidationError as error:
        return _invalid(*_said(str(error)))
    return None


def _said(message: str) -> tuple[str, str]:
    """The member that a refusal is about, and what is wrong with it: of a bad choice not what was chosen."""
    at = _PLACE.search(message)
    told = _PLACE.sub("", message)
    field = _FIELD.search(told)
    parts = ["parameters", at[1] if at else "", field[1] if field else ""]
    return ".".join(part for part in parts if part), re.sub(r"^Invalid enum value .*", "Not one of its values", told)


def _timely(asked: Asked, now: int) -> Refusal | None:
    if asked.expires is None or now < asked.expires <= now + action.LONGEST:
        return None
    return _invalid("expires", "it is not between now and seven days from now")


# ---------------------------------------------------------------------- whom it is about
async def _meant(
    desk: Desk, reading: Reading, viewer: access.Viewer, opened: Opened, offered: connector.Action, asked: Asked
) -> _Meant | Refusal:
    whom = offered.whom
    if whom is None:
        return _Meant(customer=None, subject=_subject(desk, opened, offered, asked))
    if asked.customer is not None:
        return await _ours(desk, reading, viewer, opened, offered, asked)
    value = asked.parameters[whom.parameter]
    scope = whom.scope(opened.account.options)
    values = value if isinstance(value, list) else [value]
    keys = [desk.vault.blind("identity", whom.namespace, scope, one) for one in values]
    edges = (await desk.records.look(store.Wants(keys=keys))).edges
    known = list(dict.fromkeys(edge.customer for found in edges.values() for edge in found if edge.live))
    if viewer.domain is not None:
        rows = (await desk.records.look(store.Wants(ids=known))).by_id
        if not all(name in rows and viewer.sees(rows[name].unit) for name in known):
            return _nobody(f"parameters.{whom.parameter}")
    customer = known[0] if len(known) == len(values) == 1 else None
    subject = keys[0] if offered.about == whom.parameter else _subject(desk, opened, offered, asked)
    return _Meant(customer=customer, subject=desk.vault.blind("action", opened.account.name, subject.hex()))


async def _ours(
    desk: Desk, reading: Reading, viewer: access.Viewer, opened: Opened, offered: connector.Action, asked: Asked
) -> _Meant | Refusal:
    """A customer by our id, who must be the viewer's to see and known to the account's partner. Nothing is opened here."""
    row = await reading.row(viewer, "customer", asked.customer or "")
    whom: Whom | None = offered.whom
    if row is None or whom is None:
        return _nobody("customer")
    edges = (await desk.records.look(store.Wants(edges_of=[row.id]))).edges_of.get(row.id, [])
    edge = named(edges, whom, opened)
    if edge is None:
        return _nobody("customer")
    subject = edge.key if offered.about == whom.parameter else _subject(desk, opened, offered, asked)
    return _Meant(customer=row.id, subject=desk.vault.blind("action", opened.account.name, subject.hex()))


def _nobody(place: str) -> Refusal:
    return Refusal(
        code="action.customer", place=f"body.{place}",
        detail="there is no such customer within your units, or this account's partner does not know them",
    )  # fmt: skip


def _subject(desk: Desk, opened: Opened, offered: connector.Action, asked: Asked) -> bytes:
    return desk.vault.blind("action", opened.account.name, offered.about, str(asked.parameters.get(offered.about, "")))


# ---------------------------------------------------------------------- keeping
async def _kept(
    desk: Desk, client: access.Client, viewer: access.Viewer, asked: Asked, offered: connector.Action, meant: _Meant
) -> Action | Refusal:
    now = desk.clock.now()
    name = new_id("act", now)
    about = {"customer": meant.customer} if meant.customer else {}
    await desk.did(viewer, "act", name, account=asked.account, action=asked.action, **about)
    one = Action(
        id=name, account=asked.account, action=asked.action, client=client.id, customer=meant.customer, subject=meant.subject,
        key=desk.vault.blind("action-key", client.id, asked.key) if asked.key else None, harmless=offered.harmless, due=now,
        expires=asked.expires or now + action.LIVES, created=now, updated=now, body=await _sealed(desk, asked, name, meant),
    )  # fmt: skip
    kept = await desk.records.commission(one)
    # Not by the customer, who may have become known, or another's, since the first was asked for.
    if (kept.account, kept.action, kept.subject) != (one.account, one.action, one.subject):
        return Refusal(
            code="request.idempotency_key", place="header.idempotency-key", detail="this key was used for another action",
            remedy="use a fresh key",
        )  # fmt: skip
    return kept


async def _sealed(desk: Desk, asked: Asked, name: str, meant: _Meant) -> bytes:
    for _ in range(_TRIES):
        # Another process may have given the customer a secret of its own meanwhile: sealed with ours it could not be opened.
        with contextlib.suppress(Stale):
            async with desk.sealing:
                body = act_body.asked(asked.parameters, name, meant.customer, desk.vault)
                await asyncio.to_thread(desk.vault.keep)
            return body
    raise Stale("other processes kept making the customer's secret", place=name)


# ---------------------------------------------------------------------- looking
async def mine(
    desk: Desk, client: access.Client, *, account: str | None, state: State | None, after: str, limit: int
) -> Sequence[Action]:
    """A client's own, in the order in which they were asked for."""
    wanted = Wanted(client=client.id, account=account, state=state)
    return await desk.records.actions(wanted, limit=limit, after=after)


async def own(desk: Desk, client: access.Client, name: str) -> Action | None:
    """One of a client's own; None for anybody else's."""
    one = (await desk.records.known_actions([name])).get(name)
    return one if one is not None and one.client == client.id else None


async def seen(desk: Desk, viewer: access.Viewer, name: str) -> Action | None:
    """One of an account that the viewer may see, whoever asked for it."""
    one = (await desk.records.known_actions([name])).get(name)
    return one if one is not None and visible(desk, viewer, one.account) else None


def visible(desk: Desk, viewer: access.Viewer, account: str) -> bool:
    """Whether what is done through an account is the viewer's to see; an account that is gone is the headquarters'."""
    opened = desk.accounts.get(account)
    return viewer.domain is None or (opened is not None and within(viewer, opened))


def shown(one: Action, viewer: access.Viewer, reading: Reading, desk: Desk) -> dict[str, Any]:
    """As plain data; what the partner answered under the viewer's grants, and never what it was asked with."""
    told = grant.show(act_body.results(one), reading.reader(viewer), desk.vault)
    return {
        "id": one.id, "account": one.account, "action": one.action, "customer": one.customer, "state": one.state.value,
        "created": text(one.created), "updated": text(one.updated), "due": text(one.due) if one.state is State.WAITING else None,
        "expires": text(one.expires), "ended": text(one.ended) if one.ended else None, "tries": one.tries, "cause": one.cause,
        "result": told["actions"][one.id]["result"],
    }  # fmt: skip


# ---------------------------------------------------------------------- deciding
async def settler(desk: Desk) -> ActSettler:
    """Acts on what a person decides; whoever subscribes now hears of an end."""
    router = await desk.router()
    await router.units.load(desk.records)
    return ActSettler(records=desk.records, clock=desk.clock, ends=Ends(desk.accounts, router))


async def cancel(desk: Desk, viewer: access.Viewer, one: Action) -> Action | None:
    """Take back one that waits; None where it does not."""
    return await _decided(desk, viewer, "act_cancel", one)


async def retry(desk: Desk, viewer: access.Viewer, one: Action) -> Action | None:
    """Ask the partner again, though it may have been done; None where that is not unknown."""
    return await _decided(desk, viewer, "act_retry", one)


async def drop(desk: Desk, viewer: access.Viewer, one: Action, reason: str) -> Action | None:
    """Close one that is unknown or waits; None for any other."""
    return await _decided(desk, viewer, "act_drop", one, reason=reason)


async def _decided(desk: Desk, viewer: access.Viewer, verb: str, one: Action, **detail: str) -> Action | None:
    """On the trail before it is done, and only where it can be."""
    able = {"act_cancel": (State.WAITING,), "act_retry": (State.UNKNOWN,), "act_drop": (State.WAITING, State.UNKNOWN)}
    if one.state not in able[verb]:
        return None
    await desk.did(viewer, verb, one.id, account=one.account, action=one.action, **detail)
    hand = await settler(desk)
    if verb == "act_retry":
        return await hand.retry(one, lives=action.LIVES)
    return await (hand.cancel(one) if verb == "act_cancel" else hand.drop(one, detail["reason"]))
