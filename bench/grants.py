"""Grants: one event about a person, fourteen sealed texts in it, rendered for an endpoint under each treatment, against dropping everything.

Every event is rendered once in a round, as for the first endpoint of its kind: whoever sees the same of it afterwards costs nothing.
"""

import time
from collections.abc import Callable, Sequence

import msgspec
from joserfc import jwk

from bench import figure, published, report, running
from bench.figure import Figure, Scale
from gateway.destination import Endpoint
from gateway.model.values import Sensitivity
from gateway.pipeline.render import Renderer
from gateway.store import EventRow
from gateway.vault import Vault
from gateway.vaults.file import open_vault

_SAYS = {
    "clear": "Every text opened.",
    "mask": "Every text opened and masked.",
    "token": "Every text opened and replaced by the endpoint's own pseudonym.",
    "seal to RSA": "Every text opened and sealed to a key of 2048 bits: one JWE with RSA-OAEP-256.",
    "seal to EC": "The same to a key on P-256: ECDH-ES+A256KW.",
    "seal to X25519": "The same to a key on X25519.",
}


def measure(scale: Scale) -> Sequence[Figure]:
    """Microseconds an event under each treatment."""
    with running.folder() as data:
        vault = open_vault(data / "keys.json")
        events = published.people(vault, scale.count(500, least=16))
        rounds = _rounds(scale, vault, events)
    dropped = [one["drop"] for one in rounds]
    return [
        figure.plain("grant drop", "One event about a person, nothing of it opened.", "µs", dropped),
        *(
            figure.ratio(
                f"grant {name}", says, "µs", [(one[name], one["drop"]) for one in rounds], against="dropping every text", best="low"
            )
            for name, says in _SAYS.items()
        ),
    ]  # fmt: skip


def _rounds(scale: Scale, vault: Vault, events: Sequence[EventRow]) -> list[dict[str, float]]:
    ends = {
        "drop": _endpoint("drop"),
        "clear": _endpoint("clear"),
        "mask": _endpoint("mask"),
        "token": _endpoint("token"),
        "seal to RSA": _endpoint("seal", lambda: jwk.RSAKey.generate_key(2048)),
        "seal to EC": _endpoint("seal", lambda: jwk.ECKey.generate_key("P-256")),
        "seal to X25519": _endpoint("seal", lambda: jwk.OKPKey.generate_key("X25519")),
    }
    found = []
    for number in range(-1, scale.rounds):
        names = list(ends) if number % 2 else list(reversed(ends))
        found.append({name: _micros(vault, events, ends[name]) for name in names})
    return found[1:]


def _endpoint(treatment: str, key: Callable[[], jwk.Key] | None = None) -> Endpoint:
    return Endpoint(
        name="sink", url="http://127.0.0.1/", schedule=(0.0,), grants=dict.fromkeys(Sensitivity, treatment),
        recipient=msgspec.json.encode(key().as_dict(private=False)).decode() if key else "",
    )  # fmt: skip


def _micros(vault: Vault, events: Sequence[EventRow], end: Endpoint) -> float:
    renderer = Renderer(vault)
    # The endpoint's key is read with its first event, once for all.
    renderer.render(events[0], end)
    renderer.rest()
    began = time.perf_counter()
    for event in events:
        renderer.render(event, end)
    return (time.perf_counter() - began) / len(events) * 1e6


if __name__ == "__main__":
    report.main(measure)
