"""Who is this: the eight rules as examples, and what holds whatever is said in whatever order."""

from collections.abc import Iterable, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Struct

from gateway import identity
from gateway.errors import PayloadError
from gateway.identity import NAMESPACES, Merge, Pair, Resolution
from gateway.model.identity import Assertion, Strength


class Edge(Struct, frozen=True):
    """What the store keeps of a key."""

    customer: str
    namespace: str
    scope: str
    key: bytes
    verified: bool
    live: bool


class Registry:
    """The store's part in memory: edges and mergers, asked and written as the pipeline does."""

    def __init__(self) -> None:
        self.edges: dict[tuple[bytes, str], Edge] = {}
        self.alias: dict[str, str] = {}
        self.apart: set[tuple[str, str]] = set()
        self.candidates: set[tuple[str, str]] = set()
        self.merged: list[Merge] = []
        self._born = 0

    def say(self, *assertions: Assertion) -> str | None:
        """Take one trusted statement in. Returns the customer it is about."""
        said = self.resolve(*assertions)
        for merge in said.merges:
            self._merge(merge)
        if said.customer is None and not said.new:
            return None
        name = said.customer or self._new()
        for claim in said.attach:
            known = self.edges.get((claim.key, name))
            verified = claim.assertion.verified or (known is not None and known.verified)
            live = claim.key not in said.retire
            who = claim.assertion
            self.edges[(claim.key, name)] = Edge(name, who.namespace, who.scope, claim.key, verified, live)
        for pair in said.pairs:
            first, second = sorted((pair.a or name, pair.b))
            self.candidates.add((first, second))
        return name

    def resolve(self, *assertions: Assertion) -> Resolution:
        """What the rules say."""
        claims = identity.claims_of(assertions, [key_of(one) for one in assertions])
        held = {claim.key: [edge for edge in self.edges.values() if edge.key == claim.key] for claim in claims}
        wanted = identity.contested(claims, held, self.alias)
        owned = {name: [edge for edge in self.edges.values() if edge.customer == name] for name in wanted}
        return identity.resolve(claims, held, owned, self.alias, self.apart)

    def who(self, assertion: Assertion) -> set[str]:
        """The customers who carry a key, as they are now."""
        return {self.now(name) for key, name in self.edges if key == key_of(assertion)}

    def now(self, name: str) -> str:
        """The end of the chain of mergers. Fails on a cycle."""
        passed = set()
        while name in self.alias:
            assert name not in passed, "a merge made a cycle"
            passed.add(name)
            name = self.alias[name]
        return name

    def _new(self) -> str:
        self._born += 1
        return f"cus_{self._born:04}"

    def _merge(self, merge: Merge) -> None:
        assert merge.survivor < merge.loser
        self.merged.append(merge)
        for (key, name), edge in list(self.edges.items()):
            if name == merge.loser:
                del self.edges[(key, name)]
                self.edges[(key, merge.survivor)] = Edge(
                    merge.survivor, edge.namespace, edge.scope, key, edge.verified, edge.live
                )
        self.alias = {one: merge.survivor if into == merge.loser else into for one, into in self.alias.items()}
        self.alias[merge.loser] = merge.survivor
        self.apart |= {
            (min(merge.survivor, other), max(merge.survivor, other))
            for pair in self.apart
            if merge.loser in pair
            for other in pair
            if other != merge.loser
        }


def key_of(assertion: Assertion) -> bytes:
    """Stands for the blind index."""
    return f"{assertion.namespace}/{assertion.scope}/{assertion.value}".encode()


def said(namespace: str, value: str, scope: str = "", **more: bool) -> Assertion:
    """One claim."""
    return Assertion(namespace=namespace, scope=scope, value=value, **more)


def phone(value: str, *, verified: bool = False) -> Assertion:
    """A phone number."""
    return said("phone", value, verified=verified)


def code(value: str, scope: str = "erp") -> Assertion:
    """A single-valued strong key."""
    return said("erp.customer_code", value, scope)


def union(value: str) -> Assertion:
    """Another one."""
    return said("wechat.unionid", value, "open")


def mrn(value: str, *, retired: bool = False) -> Assertion:
    """A patient's number."""
    return said("hl7.pid3", value, "SHDYYY|MR", retired=retired)


# ------------------------------------------------------------------ the rules, one by one
def test_rule_1_the_same_strong_key_is_the_same_customer() -> None:
    """And the scope is part of the key."""
    registry = Registry()
    first = registry.say(code("C1"))
    assert registry.say(code("C1"), phone("1")) == first
    assert registry.say(code("C1", "other erp")) != first


def test_rule_2_two_strong_keys_in_one_assertion_link() -> None:
    """A later word by either names the same customer."""
    registry = Registry()
    first = registry.say(code("C1"), union("U1"))
    assert registry.say(union("U1")) == first


def test_rule_2_two_customers_who_turn_out_to_be_one_merge_into_the_older() -> None:
    """Rules 6 and 8: the survivor is the older id, and the other goes on resolving."""
    registry = Registry()
    old, new = registry.say(code("C1")), registry.say(union("U1"))
    assert old is not None
    assert new is not None
    result = registry.resolve(union("U1"), code("C1"))
    assert result.merges == (Merge(old, new, "two strong keys in one assertion"),)
    assert registry.say(union("U1"), code("C1")) == old
    assert registry.now(new) == old
    assert registry.say(union("U1")) == old


def test_rule_2_conflicting_single_valued_keys_never_merge_but_make_a_pair() -> None:
    """Two customer codes of one ERP are two customers, whoever says otherwise: a person decides."""
    registry = Registry()
    one, two = registry.say(code("C1"), union("U1")), registry.say(code("C2"))
    result = registry.resolve(union("U1"), code("C2"))
    assert result.merges == ()
    assert [{pair.a, pair.b} for pair in result.pairs] == [{one, two}]
    registry.say(union("U1"), code("C2"))
    assert registry.who(code("C2")) == {two}, "nobody's key was taken from them"
    assert registry.alias == {}


def test_rule_2_a_second_value_of_a_single_valued_key_is_not_taken_on() -> None:
    """A customer who has a code does not get another on the word of one assertion."""
    registry = Registry()
    one = registry.say(code("C1"), union("U1"))
    assert registry.say(union("U1"), code("C9")) == one
    assert registry.who(code("C9")) == set()


def test_rule_3_a_phone_verified_on_both_sides_is_one_person() -> None:
    """When nothing strong conflicts."""
    registry = Registry()
    one = registry.say(union("U1"), phone("1", verified=True))
    assert registry.say(code("C1"), phone("1", verified=True)) == one


def test_rule_3_two_who_are_known_merge_over_a_phone_verified_on_both_sides() -> None:
    """Both had strong keys of their own, of different namespaces."""
    registry = Registry()
    one, two = registry.say(union("U1"), phone("1", verified=True)), registry.say(code("C1"))
    assert registry.say(code("C1"), phone("1", verified=True)) == one
    assert two is not None
    assert registry.now(two) == one


def test_rule_3_a_verified_phone_does_not_merge_over_a_conflict() -> None:
    """Father and son share a phone; the ERP knows they are two."""
    registry = Registry()
    one = registry.say(code("C1"), phone("1", verified=True))
    two = registry.say(code("C2"), phone("1", verified=True))
    assert one != two
    assert registry.merged == []


@pytest.mark.parametrize(("first", "second"), [(False, False), (True, False), (False, True)])
def test_rule_4_a_phone_that_one_side_did_not_verify_never_merges_but_makes_a_pair(first: bool, second: bool) -> None:
    """What somebody typed in proves nothing."""
    registry = Registry()
    one = registry.say(union("U1"), phone("1", verified=first))
    two = registry.say(code("C1"), phone("1", verified=second))
    assert one != two
    assert registry.merged == []
    assert registry.candidates == {(one, two)}


def test_rule_4_a_phone_that_somebody_known_says_later_makes_a_pair_once() -> None:
    """As it does for somebody new; said again it makes no second one, and a pair kept apart stays apart."""
    registry = Registry()
    one, two = registry.say(code("C1"), phone("1")), registry.say(code("C2"))
    assert one and two
    assert registry.resolve(code("C2"), phone("1")).pairs == (Pair(one, two, "same phone, e-mail or address"),)
    assert registry.say(code("C2"), phone("1")) == two
    assert registry.candidates == {(one, two)}
    assert registry.resolve(code("C2"), phone("1")).pairs == ()
    three = registry.say(code("C3"))
    assert three
    registry.apart |= {(one, three), (two, three)}
    assert registry.resolve(code("C3"), phone("1")).pairs == ()


def test_rule_4_a_phone_that_many_share_tells_nothing() -> None:
    """A shop's own phone stands on everybody."""
    registry = Registry()
    several = {
        registry.say(code(f"C{number}"), phone("1", verified=True)) for number in range(identity.SHARED_MOST + 1)
    }
    before = set(registry.candidates)
    nobody_yet = registry.say(union("U9"), phone("1", verified=True))
    assert nobody_yet not in several
    assert registry.candidates == before


def test_rule_5_an_undeclared_namespace_is_refused() -> None:
    """With what to do about it."""
    with pytest.raises(PayloadError, match=r"crm\.id"):
        Registry().say(said("crm.id", "1"))


@pytest.mark.parametrize("name", [name for name, space in NAMESPACES.items() if space.strength is Strength.NEVER])
def test_some_namespaces_never_identify(name: str) -> None:
    """An OAID changes by shop, app and week; a privacy number is lent."""
    registry = Registry()
    assert registry.say(said(name, "1", "shop")) is None
    one = registry.say(code("C1"), said(name, "1", "shop"))
    assert registry.say(code("C2"), said(name, "1", "shop")) != one
    assert registry.who(said(name, "1", "shop")) == set()
    assert registry.candidates == set()


def test_weak_keys_alone_name_nobody() -> None:
    """An unverified phone without anything else makes no customer."""
    registry = Registry()
    assert registry.say(phone("1")) is None
    assert registry.say(said("address", "x", "erp")) is None


def test_rule_7_a_retirement_merges_even_where_rule_2_would_ask() -> None:
    """The authority itself says that two of its numbers are one person."""
    registry = Registry()
    one, two = registry.say(mrn("1")), registry.say(mrn("2"))
    assert two is not None
    assert registry.say(mrn("1"), mrn("2", retired=True)) == one
    assert registry.now(two) == one
    assert registry.say(mrn("2")) == one, "the retired number goes on resolving"


def test_rule_7_a_swapped_repeat_makes_no_cycle_and_no_second_merge() -> None:
    """HIS systems repeat A40 with the roles turned around."""
    registry = Registry()
    one = registry.say(mrn("1"))
    registry.say(mrn("2"))
    registry.say(mrn("1"), mrn("2", retired=True))
    assert registry.say(mrn("2"), mrn("1", retired=True)) == one
    assert registry.say(mrn("1"), mrn("2", retired=True)) == one
    assert len(registry.merged) == 1


def test_rule_7_a_retired_number_that_nobody_knew_becomes_an_alias() -> None:
    """The merge may arrive before anything was said of the other number."""
    registry = Registry()
    one = registry.say(mrn("1"))
    assert registry.say(mrn("1"), mrn("2", retired=True)) == one
    assert registry.say(mrn("2")) == one
    assert registry.merged == []


def test_rule_7_a_retirement_of_one_who_is_not_known_names_the_retired() -> None:
    """Only the old number is known: it is that customer under a new number."""
    registry = Registry()
    one = registry.say(mrn("2"))
    assert registry.say(mrn("1"), mrn("2", retired=True)) == one
    assert registry.say(mrn("1")) == one


def test_pairs_that_a_person_kept_apart_never_merge_again() -> None:
    """By strong keys, by a verified phone, or by a retirement."""
    registry = Registry()
    one, two = registry.say(union("U1"), phone("1", verified=True)), registry.say(code("C1"))
    assert one is not None
    assert two is not None
    registry.apart.add((one, two))
    registry.say(union("U1"), code("C1"))
    registry.say(code("C1"), phone("1", verified=True))
    assert registry.merged == []
    assert registry.who(code("C1")) == {two}
    three, four = registry.say(mrn("1")), registry.say(mrn("2"))
    assert three is not None
    assert four is not None
    registry.apart.add((three, four))
    registry.say(mrn("1"), mrn("2", retired=True))
    assert registry.merged == []


def test_a_pair_is_written_smaller_id_first() -> None:
    """So that it is one pair, whoever is named first."""
    registry = Registry()
    registry.say(code("C1"), union("U1"))
    registry.say(code("C2"), said("wechat.openid", "O2", "app"))
    for assertions in ((union("U1"), code("C2")), (code("C2"), union("U1"))):
        assert registry.resolve(*assertions).pairs == (Pair("cus_0001", "cus_0002", "two values of erp.customer_code"),)


# ------------------------------------------------------------------ whatever is said
_SPACES = ("wechat.unionid", "wecom.external_userid", "taobao.buyer_open_uid", "erp.customer_code", "pos.member_no")
links = st.lists(st.tuples(st.sampled_from(_SPACES), st.sampled_from("abcd")), min_size=1, max_size=3)
softly = st.lists(st.tuples(st.sampled_from("123"), st.booleans()), max_size=2)
statements = st.lists(st.tuples(links, softly), min_size=1, max_size=10)


def assertions_of(statement: tuple[Sequence[tuple[str, str]], Sequence[tuple[str, bool]]]) -> list[Assertion]:
    """A statement's assertions."""
    strong, soft = statement
    return [
        *(said(space, value, "s") for space, value in strong),
        *(phone(value, verified=verified) for value, verified in soft),
    ]


def people(registry: Registry, keys: Iterable[Assertion]) -> set[frozenset[bytes]]:
    """Which keys are one person's."""
    groups: dict[str, set[bytes]] = {}
    for key in keys:
        for name in registry.who(key):
            groups.setdefault(name, set()).add(key_of(key))
    return {frozenset(group) for group in groups.values()}


@st.composite
def peaceful(draw: Any) -> list[list[Assertion]]:
    """Statements about a few people, each with at most one value per namespace: nothing in them can conflict."""
    number = st.integers(0, 3)
    out = []
    for _ in range(draw(st.integers(1, 8))):
        who = draw(number)
        spaces = draw(st.lists(st.sampled_from(_SPACES), min_size=1, max_size=3, unique=True))
        out.append([said(space, f"p{who}", "s") for space in spaces])
    return out


@given(peaceful(), st.randoms(use_true_random=False))
def test_without_conflicts_the_order_of_statements_does_not_matter(told: list[list[Assertion]], dice: Any) -> None:
    """In the end the same keys are one person's, and nobody is a candidate."""
    keys = [key for statement in told for key in statement]
    results = []
    for _ in range(2):
        registry = Registry()
        for statement in told:
            registry.say(*statement)
        assert registry.candidates == set()
        results.append(people(registry, keys))
        told = list(told)
        dice.shuffle(told)
        for statement in told:
            dice.shuffle(statement)
    assert results[0] == results[1]


@settings(max_examples=300)
@given(statements, st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), max_size=3))
def test_whatever_is_said_mergers_make_no_cycle_and_keys_stay_whole(
    told: list[tuple[list[tuple[str, str]], list[tuple[str, bool]]]], apart: list[tuple[int, int]]
) -> None:
    """No cycle, the survivor is the older, a strong key has one owner, no survivor holds two values of a single-valued key, and what a
    person kept apart stays apart."""
    registry = Registry()
    registry.apart = {(f"cus_{min(pair):04}", f"cus_{max(pair):04}") for pair in apart if pair[0] != pair[1]}
    for statement in told:
        registry.say(*assertions_of(statement))
    strong = {
        key: edge for key, edge in registry.edges.items() if NAMESPACES[edge.namespace].strength is Strength.STRONG
    }
    for edge in strong.values():
        assert registry.who(said(edge.namespace, edge.key.decode().rpartition("/")[2], "s")) == {
            registry.now(edge.customer)
        }
    values: dict[tuple[str, str], set[bytes]] = {}
    for edge in strong.values():
        if NAMESPACES[edge.namespace].single:
            values.setdefault((edge.customer, edge.namespace), set()).add(edge.key)
    assert [name for name, those in values.items() if len(those) > 1] == []
    for first, second in registry.apart:
        assert registry.now(first) != registry.now(second)


@given(statements)
def test_saying_everything_again_changes_nobody(
    told: list[tuple[list[tuple[str, str]], list[tuple[str, bool]]]],
) -> None:
    """Once more is not news to those who are settled: a second telling only merges what the first could not know yet."""
    registry = Registry()
    for _ in range(3):
        for statement in told:
            registry.say(*assertions_of(statement))
    before = (dict(registry.alias), set(registry.edges))
    for statement in told:
        registry.say(*assertions_of(statement))
    assert (dict(registry.alias), set(registry.edges)) == before


@given(st.lists(st.tuples(st.sampled_from("1234"), st.sampled_from("1234")), max_size=12))
def test_retirements_in_any_order_make_no_cycle_and_lose_no_number(mergers: list[tuple[str, str]]) -> None:
    """Every number that was ever named goes on naming exactly one customer."""
    registry = Registry()
    for kept, gone in mergers:
        if kept != gone:
            registry.say(mrn(kept), mrn(gone, retired=True))
    for kept, gone in mergers:
        if kept != gone:
            assert len(registry.who(mrn(kept))) == 1
            assert registry.who(mrn(kept)) == registry.who(mrn(gone))
