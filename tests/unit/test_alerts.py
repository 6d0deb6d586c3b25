"""Alert rules: what is wrong, when it is told, who has still to hear."""

import pytest

from gateway.clock import SECOND
from gateway.desk import alerts, hearing, notices
from gateway.desk.alerts import Alert, Ending, Found, Limits, Seen, Silent, Unpolled
from gateway.desk.hearing import Heard

NOW = 1_760_000_000 * SECOND
LIMITS = Limits()

WRONG: dict[str, Seen] = {
    "backlog/live": Seen(now=NOW, depths={"live": [10_000.0]}),
    "growing/bulk": Seen(now=NOW, depths={"bulk": [1000.0 + n for n in range(30)]}),
    "deliveries/all": Seen(now=NOW, deliveries=10_000),
    "dead/all": Seen(now=NOW, dead=1),
    "actions/all": Seen(now=NOW, actions=1),
    "silence/erp": Seen(now=NOW, silent={"erp": Silent(since=3601, patience=3600)}),
    "token/corp": Seen(now=NOW, tokens={"corp": "partner.denied"}),
    "grant/bi/contact": Seen(now=NOW, endings=[Ending(who="bi", what="contact", until=NOW + 3600 * SECOND)]),
    "client/bi": Seen(now=NOW, endings=[Ending(who="bi", what="", until=NOW + 3600 * SECOND)]),
    "circuit/crm": Seen(now=NOW, circuits=["crm"]),
    "partner/corp": Seen(now=NOW, partners=["corp"]),
    "disabled/crm": Seen(now=NOW, disabled={"crm": "410"}, failing={"crm": "410"}),
    "failing/crm": Seen(now=NOW, failing={"crm": "HTTP 500"}),
    "unpolled/erp": Seen(
        now=NOW,
        failing={"erp": "nobody"},
        unpolled={"erp": Unpolled(since=NOW - 21_600 * SECOND, waiting=3, oldest=NOW)},
    ),
    "unknown/erp": Seen(now=NOW, unknown={"erp": NOW - 60 * SECOND}),
    "altered/vault": Seen(now=NOW, altered=NOW),
    "chain/audit": Seen(now=NOW, broken="#3 edited"),
    "part/worker": Seen(now=NOW, parts={"worker": "has not reported"}),
    "disk/data": Seen(now=NOW, free=0.05),
}


@pytest.mark.parametrize("key", WRONG)
def test_each_rule_finds_its_own_and_nothing_else(key: str) -> None:
    """One thing wrong, one finding; its words take its facts in both languages."""
    found = alerts.found(WRONG[key], LIMITS)
    assert list(found) == [key]
    alert = Alert(found=found[key], since=NOW)
    for lang in notices.LANGUAGES:
        assert "{" not in notices.title_of(alert, lang)
        assert notices.remedy_of(found[key].kind, lang)


def test_every_kind_has_words_and_a_rule() -> None:
    """Nothing is listed that no rule finds."""
    assert {key.partition("/")[0] for key in WRONG} == set(alerts.KINDS) == set(notices.TITLES) == set(notices.REMEDIES)


def test_nothing_is_wrong_with_a_gateway_that_is_well() -> None:
    """Shallow queues, a feed within its habits, a grant that lasts."""
    well = Seen(
        now=NOW,
        depths={"live": [3.0, 2.0, 0.0], "bulk": []},
        silent={"erp": Silent(since=10, patience=3600), "new": Silent(since=1e9, patience=None)},
        endings=[Ending(who="bi", what="contact", until=NOW + 30 * 86_400 * SECOND), Ending(who="old", what="", until=NOW - 1)],
        unknown={"erp": NOW - alerts.RECENT},
    )  # fmt: skip
    assert alerts.found(well, LIMITS) == {}


def test_queue_that_goes_up_and_down_does_not_grow() -> None:
    """Only one whose low points rise."""
    assert not alerts.growing([2000.0 if n % 2 else 100.0 for n in range(31)], least=1000)
    assert not alerts.growing([float(n) for n in range(30)], least=1000)


def test_wrong_for_a_moment_is_not_told() -> None:
    """Both ways: neither a short fault nor a short recovery turns."""
    first = alerts.turn({}, set(), {"a"}, hold=30, mono=100.0)
    assert (first.began, dict(first.differs)) == ([], {"a": 100.0})
    gone = alerts.turn(first.differs, set(), set(), hold=30, mono=110.0)
    assert dict(gone.differs) == {}
    assert alerts.turn(first.differs, set(), {"a"}, hold=30, mono=130.0).began == ["a"]
    assert alerts.turn({"a": 100.0}, {"a"}, set(), hold=30, mono=129.0).ended == []
    assert alerts.turn({"a": 100.0}, {"a"}, set(), hold=30, mono=130.0).ended == ["a"]


ONE = Alert(found=Found(kind="dead", about="all", facts={"n": 1}), since=NOW)


def test_channel_hears_of_a_start_once_and_of_the_end_once() -> None:
    """Whatever was told already is not told again."""
    assert alerts.owed(ONE, ["mail", "robot"], silenced=False, now=NOW) == ["mail", "robot"]
    told = alerts.told(ONE, {"mail": "", "robot": "timeout"}, NOW)
    assert alerts.owed(told, ["mail", "robot"], silenced=False, now=NOW) == []
    assert alerts.owed(told, ["mail", "robot"], silenced=False, now=NOW + 15 * SECOND) == ["robot"]
    ended = alerts.over(told, NOW)
    # Who never heard of the start need not hear that it ended.
    assert alerts.owed(ended, ["mail", "robot"], silenced=False, now=NOW) == ["mail"]
    assert alerts.owed(alerts.told(ended, {"mail": ""}, NOW), ["mail", "robot"], silenced=False, now=NOW) == []


def test_silence_keeps_a_start_back_and_lets_an_end_through() -> None:
    """And the start is told when the silence ends first."""
    assert alerts.owed(ONE, ["mail"], silenced=True, now=NOW) == []
    assert alerts.owed(ONE, ["mail"], silenced=False, now=NOW) == ["mail"]
    ended = alerts.over(alerts.told(ONE, {"mail": ""}, NOW), NOW)
    assert alerts.owed(ended, ["mail"], silenced=True, now=NOW) == ["mail"]


def test_thing_that_comes_back_before_its_end_was_told_is_not_told_twice() -> None:
    """A channel that still believes it goes on is right."""
    told = alerts.told(ONE, {"mail": ""}, NOW)
    again = alerts.begun(alerts.over(told, NOW + 1), ONE.found, NOW + 2)
    assert alerts.owed(again, ["mail"], silenced=False, now=NOW + 2) == []
    assert [(one.since, one.ended) for one in again.past] == [(NOW, NOW + 1)]


def test_channel_that_keeps_failing_is_tried_ever_more_seldom() -> None:
    """15 s, doubled each time, up to ten minutes."""
    alert, waits = ONE, []
    for _ in range(8):
        alert = alerts.told(alert, {"mail": "connect"}, NOW)
        waits.append((alert.tries["mail"].due - NOW) // SECOND)
    assert waits == [15, 30, 60, 120, 240, 480, 600, 600]


def test_nobody_tells_what_somebody_is_telling() -> None:
    """A claim holds for a while."""
    claimed = alerts.Alert(found=ONE.found, since=NOW, claimed=NOW + 10)
    assert alerts.owed(claimed, ["mail"], silenced=False, now=NOW) == []
    assert alerts.owed(claimed, ["mail"], silenced=False, now=NOW + 10) == ["mail"]


def test_habits_are_learned_from_a_week_and_nights_count() -> None:
    """An entry a minute by day, nothing for nine hours at night: eighteen hours are too long, ten are not."""
    heard: Heard | None = None
    for minute in range(5 * 1440):
        if minute % 1440 < 900:
            heard = hearing.hear(heard, 1, NOW + minute * 60 * SECOND)
    assert heard is not None
    usual = hearing.patience(heard, heard.last, None)
    assert usual is not None
    assert 17.9 * 3600 < usual < 18.1 * 3600
    later = hearing.hear(heard, 1, heard.last + 30 * 86_400 * SECOND)
    assert list(later.gaps) == [str(later.last // SECOND // 86_400)]


def test_habits_say_nothing_of_who_is_hardly_known_and_a_decision_beats_them() -> None:
    """Not before two days and a hundred entries; zero means never mind."""
    young = Heard(since=NOW, last=NOW, count=1000, gaps={"1": 60.0})
    assert hearing.patience(young, NOW + SECOND, None) is None
    assert hearing.patience(young, NOW + SECOND, 600.0) == 600.0
    assert hearing.patience(young, NOW + SECOND, 0.0) is None
    old = Heard(since=NOW - 9 * 86_400 * SECOND, last=NOW, count=100, gaps={"1": 60.0})
    assert hearing.patience(old, NOW, None) == 1800.0


def test_robot_message_stays_in_its_bounds() -> None:
    """4096 bytes, and somebody else's text makes neither links nor fonts."""
    notice = notices.Notice(
        id="alt_1", phase="started", at=NOW, kind="failing", about="crm", level="warn", title="<@all> [x](http://evil.example)" + "张" * 3000,
        remedy="做点什么", since=NOW, ended=None, facts={},
    )  # fmt: skip
    said = notices.markdown(notice, "zh")
    assert len(said.encode()) <= 4096
    assert "<@all>" not in said
    assert "](http" not in said
