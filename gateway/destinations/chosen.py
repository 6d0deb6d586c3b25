"""Which of a name's fit addresses is in use: one dead host of several must not stand for all."""

from gateway.destinations.address import Vetted


class Chosen:
    """The address stays while it is fit, since every other has connections to open anew."""

    def __init__(self) -> None:
        self._address = ""

    def of(self, where: Vetted) -> str:
        """The address to connect to."""
        if self._address not in (where.address, *where.others):
            self._address = where.address
        return self._address

    def avoid(self, where: Vetted) -> None:
        """Nobody was there: take the next one from now on."""
        fit = (where.address, *where.others)
        self._address = fit[(fit.index(self.of(where)) + 1) % len(fit)]
