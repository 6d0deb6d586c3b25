"""Who is this? The merge rules of docs/guides/identity.md as pure functions.

The caller looks keys up; nothing here touches a database. A **claim** is one source's assertion with its blind index; **held** is what
the store knows of that index. Numbers in comments are the rules of the guide.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

import msgspec

from gateway.errors import PayloadError
from gateway.model.identity import Assertion, Strength

SHARED_MOST = 3


class Namespace(msgspec.Struct, frozen=True, kw_only=True):
    """A kind of key. ``single`` means that one person has one value of it per scope, so that two values are two people."""

    name: str
    strength: Strength
    scope: str
    single: bool = True


def _strong(name: str, scope: str, *, single: bool = True) -> Namespace:
    return Namespace(name=name, strength=Strength.STRONG, scope=scope, single=single)


NAMESPACES: Mapping[str, Namespace] = {
    space.name: space
    for space in (
        _strong("wechat.unionid", "open-platform subject"),
        _strong("wechat.openid", "app"),
        _strong("wecom.external_userid", "corp"),
        _strong("wecom.userid", "corp"),
        _strong("taobao.buyer_open_uid", "app"),
        _strong("taobao.ouid", "shop"),
        _strong("jd.open_id", "app"),
        _strong("douyin.open_id", "app"),
        _strong("youzan.yz_open_id", "app"),
        _strong("alipay.buyer_open_id", "app"),
        _strong("pos.member_no", "account", single=False),
        _strong("erp.customer_code", "account"),
        _strong("hl7.pid3", "assigning authority and type"),
        Namespace(name="phone", strength=Strength.MEDIUM, scope="", single=False),
        Namespace(name="email", strength=Strength.MEDIUM, scope="", single=False),
        Namespace(name="address", strength=Strength.WEAK, scope="account", single=False),
        Namespace(name="name_birthday", strength=Strength.WEAK, scope="", single=False),
        Namespace(name="taobao.oaid", strength=Strength.NEVER, scope="shop", single=False),
        Namespace(name="privacy_number", strength=Strength.NEVER, scope="", single=False),
    )
}


class Held(Protocol):
    """One known edge from a key to a customer, as the store keeps it. A retired one (not ``live``) is an alias that still resolves."""

    @property
    def customer(self) -> str: ...
    @property
    def namespace(self) -> str: ...
    @property
    def scope(self) -> str: ...
    @property
    def key(self) -> bytes: ...
    @property
    def verified(self) -> bool: ...
    @property
    def live(self) -> bool: ...


class Claim(msgspec.Struct, frozen=True, kw_only=True):
    """An assertion with its blind index and effective strength."""

    key: bytes
    assertion: Assertion
    strength: Strength


class Merge(msgspec.Struct, frozen=True):
    """``loser`` becomes ``survivor``."""

    survivor: str
    loser: str
    reason: str


class Pair(msgspec.Struct, frozen=True):
    """Two customers who may be one. ``a`` < ``b``."""

    a: str
    b: str
    reason: str


class Resolution(msgspec.Struct, frozen=True, kw_only=True):
    """Who the claims are about.

    ``customer`` is None when a new one is needed (``new``) or when nothing names anybody (not ``new``). ``attach`` are the claims
    to write as edges of that customer; ``retire`` those of them that live on as aliases only.
    """

    customer: str | None
    new: bool
    attach: tuple[Claim, ...] = ()
    retire: frozenset[bytes] = frozenset()
    merges: tuple[Merge, ...] = ()
    pairs: tuple[Pair, ...] = ()


NOBODY = Resolution(customer=None, new=False)


def strength(assertion: Assertion) -> Strength:
    """How far this very assertion carries: a phone or e-mail is medium only when verified. Undeclared namespaces are refused (5)."""
    space = NAMESPACES.get(assertion.namespace)
    if space is None:
        raise PayloadError(
            f"identity namespace {assertion.namespace!r} is not declared",
            remedy="declare it in gateway/identity.py with its strength and scope",
        )
    if space.strength is Strength.MEDIUM and not assertion.verified:
        return Strength.WEAK
    return space.strength


_SHARED = "same phone, e-mail or address"


def claims_of(assertions: Sequence[Assertion], keys: Sequence[bytes]) -> tuple[Claim, ...]:
    """Assertions with their blind indexes, without those that never identify anybody and without repeats."""
    seen: set[bytes] = set()
    claims = []
    for assertion, key in zip(assertions, keys, strict=True):
        force = strength(assertion)
        if force is Strength.NEVER or key in seen:
            continue
        seen.add(key)
        claims.append(Claim(key=key, assertion=assertion, strength=force))
    return tuple(claims)


def resolve(
    claims: Sequence[Claim],
    held: Mapping[bytes, Sequence[Held]],
    owned: Mapping[str, Sequence[Held]],
    alias: Mapping[str, str],
    apart: Collection[tuple[str, str]] = (),
) -> Resolution:
    """Decide who ``claims`` are about.

    ``held`` are the known edges per key; ``owned`` all edges of each customer that ``contested`` names; ``alias`` maps merged
    customers to their survivors; ``apart`` are pairs that a person said are two, smaller id first.
    """
    if (known := _one_owner(claims, held, alias)) is not None:
        return Resolution(customer=known, new=False, attach=tuple(claims))
    look = _Look(held, owned, alias, apart)
    strong = [claim for claim in claims if claim.strength is Strength.STRONG and not claim.assertion.retired]
    retired = [claim for claim in claims if claim.assertion.retired]
    owners = look.owners(strong) or look.owners(retired)
    gone = frozenset(claim.key for claim in retired)
    if not owners:
        return msgspec.structs.replace(_by_medium(claims, strong, look, gone), retire=gone)
    union = _Union(owners[0], look)
    for other in owners[1:]:
        union.join(other, "two strong keys in one assertion")
    # 7: a retirement is the authority's own word, so it merges where rule 2 would only ask.
    for other in look.owners(retired):
        union.join(other, "retired by its authority", ordered=True)
    # 3: a verified phone or e-mail that another verified customer carries.
    for other in look.sharing([claim for claim in claims if claim.strength is Strength.MEDIUM], verified=True):
        union.join(other, "same verified phone or e-mail")
    # 4: a phone that is new to this customer and that somebody else carries makes a candidate, as it does for a new customer.
    union.suspect([claim for claim in claims if claim.strength is not Strength.STRONG and not union.carries(claim)])
    vouched = {_slot(claim) for claim in retired if union.carries(claim)}
    attach = _one_each([claim for claim in claims if union.may_carry(claim, gone, vouched)], gone, union)
    return Resolution(
        customer=union.subject,
        new=False,
        attach=attach,
        retire=gone,
        merges=tuple(union.merges),
        pairs=tuple(union.pairs),
    )


def contested(claims: Sequence[Claim], held: Mapping[bytes, Sequence[Held]], alias: Mapping[str, str]) -> set[str]:
    """The customers whose edges ``resolve`` must see: those named when more than one is, or when a key is new to one."""
    owners = {alias.get(edge.customer, edge.customer) for claim in claims for edge in held.get(claim.key, ())}
    unknown = any(not held.get(claim.key) for claim in claims if claim.strength is not Strength.WEAK)
    return owners if len(owners) > 1 or (owners and unknown) else set()


def _one_owner(claims: Sequence[Claim], held: Mapping[bytes, Sequence[Held]], alias: Mapping[str, str]) -> str | None:
    """The common case, told cheaply: every key is known, live, and one and the same customer's."""
    owner = None
    for claim in claims:
        edges = held.get(claim.key)
        if edges is None or len(edges) != 1 or claim.assertion.retired or not edges[0].live:
            return None
        if owner is not None and edges[0].customer != owner:
            return None
        owner = edges[0].customer
    if owner is None or not any(claim.strength is Strength.STRONG for claim in claims):
        return None
    return alias.get(owner, owner)


class _Look:
    """Reads what is known, through aliases."""

    def __init__(
        self,
        held: Mapping[bytes, Sequence[Held]],
        owned: Mapping[str, Sequence[Held]],
        alias: Mapping[str, str],
        apart: Collection[tuple[str, str]],
    ) -> None:
        self.held, self.owned, self.alias, self.apart = held, owned, alias, apart

    def names(self, key: bytes) -> list[str]:
        return list(dict.fromkeys(self.alias.get(edge.customer, edge.customer) for edge in self.held.get(key, ())))

    def owners(self, claims: Sequence[Claim]) -> list[str]:
        return list(dict.fromkeys(name for claim in claims for name in self.names(claim.key)))

    def sharing(self, claims: Sequence[Claim], *, verified: bool) -> list[str]:
        """Customers who carry one of ``claims``. A key that more than ``SHARED_MOST`` share (a shop's own phone) tells nothing."""
        found: dict[str, None] = {}
        for claim in claims:
            edges = [edge for edge in self.held.get(claim.key, ()) if edge.live and (edge.verified or not verified)]
            names = {self.alias.get(edge.customer, edge.customer) for edge in edges}
            if len(names) <= SHARED_MOST:
                found.update(dict.fromkeys(sorted(names)))
        return list(found)


class _Union:
    """Customers on their way to becoming one."""

    def __init__(self, subject: str, look: _Look) -> None:
        self.subject = subject
        self.look = look
        self.members = {subject}
        self.merges: list[Merge] = []
        self.pairs: list[Pair] = []

    def edges(self) -> list[Held]:
        return [edge for name in self.members for edge in self.look.owned.get(name, ())]

    def join(self, other: str, reason: str, *, ordered: bool = False) -> None:
        if other in self.members:
            return
        if any((min(name, other), max(name, other)) in self.look.apart for name in self.members):
            return
        clash = "" if ordered else conflict(self.edges(), self.look.owned.get(other, ()))
        if clash:
            self.pairs.append(_pair(self.subject, other, f"two values of {clash}"))
            return
        # 6: the survivor is the older id; ids sort by time.
        survivor, loser = sorted((self.subject, other))
        self.merges.append(Merge(survivor, loser, reason))
        self.members.add(other)
        self.subject = survivor

    def suspect(self, claims: Sequence[Claim]) -> None:
        """Ask a person about whoever else carries one of these."""
        for other in self.look.sharing(claims, verified=False):
            pair = _pair(self.subject, other, _SHARED)
            if other not in self.members and (pair.a, pair.b) not in self.look.apart:
                self.pairs.append(pair)

    def carries(self, claim: Claim) -> bool:
        """Whether the key is an edge of one of the members already."""
        return any(name in self.members for name in self.look.names(claim.key))

    def may_carry(self, claim: Claim, gone: frozenset[bytes], vouched: Collection[tuple[str, str]]) -> bool:
        """Whether the key becomes, or stays, an edge of the subject. ``vouched`` is where an authority retired one of the subject's keys."""
        names = self.look.names(claim.key)
        if claim.strength is not Strength.STRONG or claim.key in gone or self.carries(claim):
            return True
        # 7: who retires a number of this person says that the other is this person's too.
        if not names and _slot(claim) in vouched:
            return True
        # 1 and 2: somebody else's key, or a second value of a single-valued one, is not taken without a person's word.
        return not names and not _clashes(claim, [edge for edge in self.edges() if edge.key not in gone])


def _one_each(claims: Sequence[Claim], gone: frozenset[bytes], union: _Union | None = None) -> tuple[Claim, ...]:
    """2: of several new values of a single-valued namespace in one assertion only the first is taken."""
    taken: set[tuple[str, str]] = set()
    kept = []
    for claim in claims:
        single = NAMESPACES[claim.assertion.namespace].single and claim.key not in gone
        if single and _slot(claim) in taken and not (union and union.carries(claim)):
            continue
        if single:
            taken.add(_slot(claim))
        kept.append(claim)
    return tuple(kept)


def _slot(claim: Claim) -> tuple[str, str]:
    return claim.assertion.namespace, claim.assertion.scope


def _by_medium(claims: Sequence[Claim], strong: Sequence[Claim], look: _Look, gone: frozenset[bytes]) -> Resolution:
    medium = [claim for claim in claims if claim.strength is Strength.MEDIUM]
    if not strong and not medium:
        return NOBODY
    suspects = look.sharing(medium, verified=True)
    if len(suspects) == 1 and not any(_clashes(claim, look.owned.get(suspects[0], ())) for claim in strong):
        return Resolution(customer=suspects[0], new=False, attach=_one_each(claims, gone))
    # 4: an unverified phone or a shared one makes candidates, never a merge. "" stands for the customer about to be made.
    soft = [claim for claim in claims if claim.strength is not Strength.STRONG]
    pairs = tuple(Pair("", other, _SHARED) for other in look.sharing(soft, verified=False))
    return Resolution(customer=None, new=True, attach=_one_each(claims, gone), pairs=pairs)


def conflict(mine: Sequence[Held], theirs: Sequence[Held]) -> str:
    """The first single-valued namespace of which both have a live key in one scope, but not the same; ``""`` for none."""
    values: dict[tuple[str, str], set[bytes]] = {}
    for edge in mine:
        if edge.live and NAMESPACES[edge.namespace].single:
            values.setdefault((edge.namespace, edge.scope), set()).add(edge.key)
    for edge in theirs:
        known = values.get((edge.namespace, edge.scope))
        if edge.live and known and edge.key not in known:
            return edge.namespace
    return ""


def _clashes(claim: Claim, mine: Sequence[Held]) -> bool:
    said = claim.assertion
    if not NAMESPACES[said.namespace].single:
        return False
    return any(
        edge.live and edge.key != claim.key and (edge.namespace, edge.scope) == (said.namespace, said.scope)
        for edge in mine
    )


def _pair(a: str, b: str, reason: str) -> Pair:
    first, second = sorted((a, b))
    return Pair(first, second, reason)
