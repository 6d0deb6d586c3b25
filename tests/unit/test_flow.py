"""Flow of one thing, decided: what became of an entry, its hops in time, and in words where it stands."""

import pytest

from gateway import journal, store
from gateway.clock import SECOND
from gateway.desk.flow import Journey, Sent, Told, Verdict, before, delivered, hops, verdict_of
from gateway.desk.stands import Outside, stands, top
from gateway.model.lane import Lane
from gateway.store import DeliveryState

NOW = 1_760_000_000 * SECOND


def event(sequence: int = 1, name: str = "evt_1") -> store.EventRow:
    """One that entry ``ent_1`` led to."""
    return store.EventRow(
        id=name, type="order.paid", subject="ord_1", sequence=sequence, at=NOW, account="erp", entry="ent_1", unit=None, body=b"{}"
    )  # fmt: skip


def letter(state: str = "open") -> store.DeadLetter:
    """Of entry ``ent_1``."""
    return store.DeadLetter(
        id="ded_1", entry="ent_1", account="erp", topic="order", stage="map", cause="payload.value", detail="line 3", at=NOW + 5000, state=state
    )  # fmt: skip


def seen(entry: str) -> store.Seen:
    """What was applied for the same words."""
    return store.Seen(account="erp", dedupe=b"d", entry=entry, at=NOW)


def sent(state: DeliveryState, *, tries: int = 0, endpoint: str = "crm", status: int | None = None) -> Sent:
    """A delivery that was made 4 ms after the entry came, with one attempt of 6 ms where it has a status."""
    one = store.Delivery(
        id=f"dlv_{endpoint}", event="evt_1", endpoint=endpoint, subject="ord_1", due=NOW + 60 * SECOND, state=state, tries=tries,
        created=NOW + 4000, cause="http 500" if status == 500 else None,
    )  # fmt: skip
    attempt = store.Attempt(
        id="att_1", delivery=one.id, endpoint=endpoint, event="evt_1", at=NOW + 10_000, took=6000, status=status, error=None, response=None
    )  # fmt: skip
    return Sent(delivery=one, attempts=[attempt] if status else [])


def journey(*made: Sent, verdict: Verdict = Verdict.NEW, **more: object) -> Journey:
    """Received at NOW."""
    entry = journal.Entry(
        position=1, id="ent_1", account="erp", topic="order", lane=Lane.LIVE, dedupe=b"d", partition=b"p", received_at=NOW, payload=b""
    )  # fmt: skip
    told = [Told(event=event(), changed=("payment",), mapping="feed/order@1", sent=made)] if made else []
    given = {"projected": NOW + 4000 if made else None, "told": told, **more}
    return Journey(id="ent_1", account="erp", at=NOW, verdict=verdict, entry=entry, **given)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("given", "verdict"),
    [
        ({"events": [event(1)]}, Verdict.NEW),
        ({"events": [event(2)]}, Verdict.UPDATED),
        ({"seen": seen("ent_1"), "late": True}, Verdict.SUPERSEDED),
        ({"seen": seen("ent_1")}, Verdict.NOTHING),
        ({"seen": seen("ent_0")}, Verdict.DUPLICATE),
        ({"letter": letter()}, Verdict.DEAD),
        ({"letter": letter("retried"), "seen": seen("ent_2")}, Verdict.RETRIED),
        ({"letter": letter("dropped")}, Verdict.DROPPED),
        ({"past": False}, Verdict.WAITING),
        ({}, Verdict.NOTHING),
    ],
)
def test_verdict_follows_from_what_is_kept(given: dict[str, object], verdict: Verdict) -> None:
    """Events speak first, then history, then who was applied, then letters; what the cursor has not passed waits."""
    known = {"events": (), "late": False, "seen": None, "letter": None, "past": True, **given}
    assert verdict_of("ent_1", **known) is verdict  # type: ignore[arg-type]


def test_hops_stand_in_time_with_the_time_between_them() -> None:
    """Received, projected, published, attempts of all endpoints by their instants, what is still to come last."""
    found = hops(
        journey(
            sent(DeliveryState.DONE, tries=1, status=204), sent(DeliveryState.DUE, endpoint="bi", tries=1, status=500)
        )
    )
    assert [hop.kind for hop in found] == ["received", "projected", "published", "attempt", "attempt", "next"]
    assert [hop.since for hop in found][:4] == [0, 4000, 0, 6000]
    assert found == sorted(found, key=lambda hop: hop.at)


def test_delivered_is_the_last_arrival_and_nothing_while_one_is_open() -> None:
    """The end of the attempt, not its start."""
    assert delivered(journey(sent(DeliveryState.DONE, tries=1, status=204))) == NOW + 16_000
    assert (
        delivered(journey(sent(DeliveryState.DONE, tries=1, status=204), sent(DeliveryState.DUE, endpoint="bi")))
        is None
    )


@pytest.mark.parametrize(
    ("one", "outside", "said"),
    [
        (sent(DeliveryState.DONE, tries=1, status=204), Outside(now=NOW), ("through", "good")),
        (sent(DeliveryState.DUE), Outside(now=NOW), ("sending", "busy")),
        (sent(DeliveryState.DUE, tries=1, status=500), Outside(now=NOW), ("failing", "warn")),
        (sent(DeliveryState.WAITING), Outside(now=NOW), ("behind", "warn")),
        (sent(DeliveryState.DUE), Outside(now=NOW, paused={"crm"}), ("paused", "warn")),
        (sent(DeliveryState.WAITING), Outside(now=NOW, polled={"crm"}), ("polled", "busy")),
        (sent(DeliveryState.DISABLED), Outside(now=NOW, disabled={"crm": "http 410"}), ("held", "bad")),
        (sent(DeliveryState.DEAD, tries=9, status=500), Outside(now=NOW), ("given_up", "bad")),
        (sent(DeliveryState.CANCELLED), Outside(now=NOW), ("cancelled", "calm")),
    ],
)
def test_delivery_tells_where_it_stands(one: Sent, outside: Outside, said: tuple[str, str]) -> None:
    """Each state by what stands around it."""
    (found,) = stands(journey(one), outside)
    assert (found.key, found.level) == said


def test_entry_that_waits_too_long_stands_still() -> None:
    """Within half a minute it is only busy."""
    for seconds, level in ((3, "busy"), (31, "bad")):
        (found,) = stands(journey(verdict=Verdict.WAITING), Outside(now=NOW + seconds * SECOND, backlog=7))
        assert (found.level, found.facts["seconds"], found.facts["n"]) == (level, seconds, 7)


def test_dead_entry_leads_to_its_group() -> None:
    """With stage and cause, so that all of them are mended at once."""
    (found,) = stands(journey(verdict=Verdict.DEAD, letter=letter()), Outside(now=NOW))
    assert found.link == "/console/dead/group?kind=entry&of=erp%2Forder&stage=map&cause=payload.value"


def test_top_says_what_needs_somebody_once_and_worst_first() -> None:
    """Two orders that wait for one broken endpoint are one sentence; with nothing wrong the newest speaks."""
    wrong = stands(journey(sent(DeliveryState.DUE, tries=1, status=500)), Outside(now=NOW))
    dead = stands(journey(verdict=Verdict.DEAD, letter=letter()), Outside(now=NOW))
    well = stands(journey(sent(DeliveryState.DONE, tries=1, status=204)), Outside(now=NOW))
    assert [one.key for one in top([well, wrong, wrong, dead])] == ["dead", "failing"]
    assert [one.key for one in top([well, well])] == ["through"]
    assert top([]) == []


def test_id_just_below_another_is_the_place_to_go_on_from() -> None:
    """What is no id of ours has none."""
    name = "ded_" + "0" * 31 + "1"
    assert before(name) < name
    assert before("ded_" + "00" * 15 + "10") == "ded_" + "0" * 31 + "f"
    assert before("ded_none") == ""
