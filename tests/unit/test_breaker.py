"""The circuit as a pure state machine."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from gateway.breaker import Breaker, Policy, State, ask, tell


class Circuit(RuleBasedStateMachine):
    """Callers that are let through, report back, or die; a clock that mostly goes forward."""

    def __init__(self) -> None:
        super().__init__()
        self.policy = Policy(trip=3, rest=10.0, longest=35.0, probes=2)
        self.breaker = Breaker()
        self.now = 1000.0
        self.opened: float | None = None
        self.out: list[float] = []

    def lost(self, since: float) -> bool:
        # Added and not subtracted, as the circuit does: the other way round differs by a rounding.
        return self.now >= since + self.policy.rest

    @rule()
    def call(self) -> None:
        before = self.breaker.state
        self.breaker, wait = ask(self.breaker, self.policy, self.now)
        assert 0.0 <= wait <= self.policy.longest
        if before is State.CLOSED:
            assert wait == 0.0
        elif wait == 0.0:
            if before is State.OPEN and self.opened is not None:
                assert self.now >= self.opened + self.policy.rest
            self.out.append(self.now)

    @precondition(lambda self: self.breaker.state is not State.HALF_OPEN or self.out)
    @rule(ok=st.booleans(), answered=st.booleans())
    def report(self, ok: bool, answered: bool) -> None:
        before = self.breaker.state
        if before is State.HALF_OPEN:
            self.out.pop()
        self.breaker = tell(self.breaker, self.policy, ok=ok, now=self.now, answered=answered)
        if self.breaker.state is State.OPEN and before is not State.OPEN:
            self.opened = self.now
        if self.breaker.state is not State.HALF_OPEN:
            # Probes still out belong to a round that is over.
            self.out.clear()

    @precondition(lambda self: self.breaker.state is State.HALF_OPEN and self.out)
    @rule()
    def die(self) -> None:
        """A prober is never heard of again; its place is free after the rest."""

    @rule(seconds=st.floats(0, 60))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @rule(seconds=st.floats(0, 7200))
    def go_back(self, seconds: float) -> None:
        self.now -= seconds
        self.opened = None
        self.out = [min(since, self.now) for since in self.out]

    @invariant()
    def probes_are_few(self) -> None:
        """Of the probes that are neither back nor lost there are never more than the policy has."""
        if self.breaker.state is State.HALF_OPEN:
            assert sum(not self.lost(since) for since in self.out) <= self.policy.probes

    @invariant()
    def nobody_is_shut_out_for_ever(self) -> None:
        """Whoever is refused and comes back after the longest rest is let through, whatever happened."""
        circuit, wait = ask(self.breaker, self.policy, self.now)
        if wait > 0.0:
            _, wait = ask(circuit, self.policy, self.now + self.policy.longest)
        assert wait == 0.0

    @invariant()
    def closed_has_seen_less_than_trips(self) -> None:
        """A circuit with as many failures in a row as trip it is not closed."""
        if self.breaker.state is State.CLOSED:
            assert self.breaker.failures < self.policy.trip


Circuit.TestCase.settings = settings(database=None, deadline=None, max_examples=150, stateful_step_count=40)
TestCircuit = Circuit.TestCase


def test_rest_never_grows_past_the_longest() -> None:
    """However often the probe fails."""
    policy, now = Policy(trip=1, rest=30.0, longest=100.0), 0.0
    circuit = tell(Breaker(), policy, ok=False, now=now)
    rests = []
    for _ in range(6):
        rests.append(circuit.rest)
        now = circuit.until
        circuit, wait = ask(circuit, policy, now)
        assert wait == 0.0
        circuit = tell(circuit, policy, ok=False, now=now)
    assert rests == [30.0, 60.0, 100.0, 100.0, 100.0, 100.0]


def test_caller_behind_a_probe_is_not_sent_away_for_the_long_rest() -> None:
    """While a probe is out others hear at most the first rest, for the probe may succeed any moment."""
    policy = Policy(trip=1, rest=5.0, longest=600.0)
    long_rested = Breaker(state=State.OPEN, failures=9, until=1000.0, rest=600.0)
    probing, _ = ask(long_rested, policy, 1000.0)
    assert ask(probing, policy, 1001.0)[1] == 5.0


def test_late_success_of_a_probe_thought_lost_still_closes() -> None:
    """It is news of the neighbour all the same."""
    policy = Policy(trip=1, rest=5.0)
    circuit = tell(Breaker(), policy, ok=False, now=0.0)
    circuit, _ = ask(circuit, policy, 5.0)
    circuit, _ = ask(circuit, policy, 11.0)
    assert tell(circuit, policy, ok=True, now=12.0).state is State.CLOSED
