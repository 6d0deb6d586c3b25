"""Circuits in this process: what the profile of one process needs."""

from collections import OrderedDict

from gateway import breaker
from gateway.clock import Clock

_FRESH = breaker.Breaker()


class MemoryBreakers:
    """See ``gateway.breaker.Breakers``. Keeps only circuits that have failures to remember, at most ``keys`` of them; the one unused
    for longest is forgotten, that is, closed."""

    def __init__(self, clock: Clock, *, keys: int = 65_536) -> None:
        self._clock = clock
        self._most = keys
        self._circuits: OrderedDict[str, breaker.Breaker] = OrderedDict()

    async def ask(self, key: str, policy: breaker.Policy) -> float:
        """See ``Breakers.ask``."""
        circuit, wait = breaker.ask(self._circuits.get(key, _FRESH), policy, self._clock.monotonic())
        self._keep(key, circuit)
        return wait

    async def tell(self, key: str, policy: breaker.Policy, *, ok: bool, answered: bool = False) -> breaker.State:
        """See ``Breakers.tell``."""
        known, now = self._circuits.get(key, _FRESH), self._clock.monotonic()
        circuit = breaker.tell(known, policy, ok=ok, now=now, answered=answered)
        self._keep(key, circuit)
        return circuit.state

    async def look(self, key: str) -> breaker.State:
        """See ``Breakers.look``."""
        return self._circuits.get(key, _FRESH).state

    def _keep(self, key: str, circuit: breaker.Breaker) -> None:
        if circuit == _FRESH:
            self._circuits.pop(key, None)
            return
        self._circuits[key] = circuit
        self._circuits.move_to_end(key)
        if len(self._circuits) > self._most:
            self._circuits.popitem(last=False)
