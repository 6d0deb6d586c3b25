"""The tree of units: who is below whom, whatever the sources say."""

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from gateway.model.organisation import MAX_DEPTH
from gateway.pipeline.units import Tree, Units
from gateway.store import Row

CHAIN = {"EAST": "HQ", "WEST": "HQ", "SH01": "EAST", "SH02": "EAST", "CD01": "WEST"}
_NAMES = st.sampled_from([f"u{number}" for number in range(24)])


def test_below_a_unit_are_itself_and_all_that_hang_on_it() -> None:
    """From headquarters to stores."""
    tree = Tree(CHAIN)
    assert tree.below("HQ") == {"HQ", "EAST", "WEST", "SH01", "SH02", "CD01"}
    assert tree.below("EAST") == {"EAST", "SH01", "SH02"}
    assert tree.below("SH01") == {"SH01"}
    assert not tree.cut


def test_within_goes_down_and_never_up_or_aside() -> None:
    """A store does not hear of its region, nor of its neighbour."""
    tree = Tree(CHAIN)
    assert tree.within("SH01", "HQ")
    assert tree.within("SH01", "SH01")
    assert not tree.within("HQ", "SH01")
    assert not tree.within("SH02", "SH01")
    assert not tree.within("CD01", "EAST")
    assert not tree.within(None, "HQ")


def test_a_unit_nobody_has_heard_of_is_alone() -> None:
    """A store whose record has not come yet still is itself."""
    assert Tree({}).below("SH01") == {"SH01"}
    assert Tree({}).within("SH01", "SH01")
    assert not Tree({}).within("SH01", "HQ")


def test_a_circle_is_not_followed_and_each_of_it_is_a_top() -> None:
    """What hangs on one of them still does."""
    tree = Tree({"a": "b", "b": "c", "c": "a", "below": "a", "self": "self"})
    assert tree.cut == {"a": "cycle", "b": "cycle", "c": "cycle", "self": "cycle"}
    assert tree.below("a") == {"a", "below"}
    assert tree.below("b") == {"b"}
    assert tree.below("self") == {"self"}


def test_a_chain_may_be_fifteen_deep_and_the_sixteenth_is_a_top() -> None:
    """And what is below the sixteenth is below it."""
    tree = Tree({str(number): str(number - 1) for number in range(2, 18)})
    assert len(tree.below("1")) == MAX_DEPTH
    assert tree.cut == {"16": "depth"}
    assert tree.below("16") == {"16", "17"}


@given(st.dictionaries(_NAMES, _NAMES, max_size=24))
def test_whatever_the_parents_every_answer_is_a_tree_within_its_depth(parents: dict[str, str]) -> None:
    """Every unit has one way up, of at most fifteen; what was not cut is below its parent; nothing is below two tops."""
    tree = Tree(parents)
    units = {*parents, *parents.values()}
    tops = [unit for unit in units if unit not in parents or unit in tree.cut]
    assert sorted(unit for top in tops for unit in tree.below(top)) == sorted(units)
    for unit, parent in parents.items():
        assert tree.within(unit, parent) is (unit not in tree.cut or unit == parent)
        way = [unit]
        while way[-1] in parents and way[-1] not in tree.cut:
            way.append(parents[way[-1]])
        assert len(way) <= MAX_DEPTH
        assert all(tree.within(unit, above) for above in way)


# ------------------------------------------------------------------ from records
def row(account: str, code: str, parent: str | None = None, *, unit: str | None = None) -> Row:
    """A unit record as the store keeps it."""
    body = msgspec.json.encode({"external_id": code, "parent": parent})
    return Row(
        id=f"unt_{account}_{code}", kind="unit", key=b"", account=account, customer=None, unit=unit, at=0, version=None, sequence=1, created=0,
        updated=0, body=body,
    )  # fmt: skip


def learnt(*rows: Row) -> Units:
    """Units that were told these."""
    units = Units()
    units.learn(rows)
    return units


def test_a_unit_that_belongs_to_itself_is_called_by_its_code() -> None:
    """As ``feed/unit`` says it."""
    units = learnt(row("erp", "EAST", "HQ", unit="EAST"), row("erp", "SH01", "EAST", unit="SH01"))
    assert units.tree.below("HQ") == {"HQ", "EAST", "SH01"}


def test_departments_of_two_corps_are_not_mixed_up() -> None:
    """Each corp has a department 1; neither is the house's unit 1."""
    units = learnt(
        row("corp-a", "1", "0"), row("corp-a", "2", "1"), row("corp-b", "1", "0"), row("erp", "1", "HQ", unit="1")
    )
    assert units.tree.below("corp-a/1") == {"corp-a/1", "corp-a/2"}
    assert units.tree.below("corp-b/1") == {"corp-b/1"}
    assert units.tree.below("1") == {"1"}


def test_departments_hang_below_the_unit_of_their_account() -> None:
    """So that a region sees its corp's departments."""
    units = learnt(row("corp", "1", "0", unit="EAST"), row("corp", "2", "1", unit="EAST"))
    assert units.tree.below("EAST") == {"EAST", "corp/1", "corp/2"}


def test_a_refused_place_is_told_once() -> None:
    """With the account to ask about it."""
    units = Units()
    with capture_logs() as logs:
        first = units.learn([row("erp", "a", "b", unit="a"), row("erp", "b", "a", unit="b")])
        assert sorted(first) == [("erp", "unit_cycle"), ("erp", "unit_cycle")]
        assert units.learn([row("erp", "c", "a", unit="c")]) == []
        assert units.learn([row("erp", "c", "a", unit="c")]) == ()
    assert [(one["event"], one["unit"]) for one in logs] == [("units.place_refused", "a"), ("units.place_refused", "b")]


def test_whoever_holds_the_way_down_sees_the_newest_tree() -> None:
    """A partner's domain is asked for again and again, long after the tree was first read."""
    units = Units()
    below = units.below
    units.learn([row("erp", "SH01", "EAST", unit="SH01")])
    assert below("EAST") == {"EAST", "SH01"}


def test_a_unit_that_moves_takes_what_is_below_it_along() -> None:
    """From the record that says so on."""
    units = learnt(*(row("erp", unit, parent, unit=unit) for unit, parent in CHAIN.items()))
    units.learn([row("erp", "EAST", "WEST", unit="EAST")])
    assert units.tree.below("WEST") == {"WEST", "EAST", "SH01", "SH02", "CD01"}
