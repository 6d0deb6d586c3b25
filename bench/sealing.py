"""Sealing by the Chinese suite (SM4-GCM, HMAC-SM3) against the other (AES-256-GCM, BLAKE2b): a field, its opening, a payload."""

import timeit
from collections.abc import Callable, Sequence

from bench import figure, made, report, running
from bench.figure import Figure, Scale
from gateway.model.values import Sensitivity
from gateway.vault import Vault
from gateway.vaults.file import KeyFile, open_kept

_TEXT = "+8613800138000"
_RECORD = "cus_01a0c4506c007299928c9bba6fbf5562"


def measure(scale: Scale) -> Sequence[Figure]:
    """Microseconds of both suites and how many times as long the Chinese one takes."""
    count = scale.count(2000)
    with running.folder() as data:
        ours, theirs = _works(data, "gm"), _works(data, "aes")
        rounds = []
        for number in range(scale.rounds):
            sides = (ours, theirs) if number % 2 else (theirs, ours)
            took = {id(side): [timeit.timeit(work, number=count) / count * 1e6 for work in side] for side in sides}
            rounds.append((took[id(ours)], took[id(theirs)]))
    named = (
        ("seal a field, gm", "A phone number of a record that is known."),
        ("open a field, gm", "The same again."),
        ("seal a payload, gm", f"{len(made.order(1, 1))} bytes as they came in."),
    )
    return [
        figure.ratio(
            name, says, "µs", [(us[place], them[place]) for us, them in rounds], against="the aes suite", best="low"
        )
        for place, (name, says) in enumerate(named)
    ]  # fmt: skip


def _works(data, suite: str) -> list[Callable[[], object]]:  # type: ignore[no-untyped-def]
    vault: Vault = open_kept(KeyFile(data / f"{suite}.json"), suite=suite)
    context, body = f"{_RECORD}/contacts.value", made.order(1, 1)
    token = vault.seal_text(_TEXT, context, Sensitivity.CONTACT)
    vault.keep()
    return [
        lambda: vault.seal_text(_TEXT, context, Sensitivity.CONTACT),
        lambda: vault.open_text(token, context),
        lambda: vault.seal(body, b"ent_1"),
    ]


if __name__ == "__main__":
    report.main(measure)
