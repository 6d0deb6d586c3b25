"""How whoever watches the demo comes in: a link to the console, and a key of the partner API, made by the gateway's own commands."""

import subprocess
import sys
from pathlib import Path

import msgspec

_SCOPES = ("customers:read", "orders:read", "appointments:read", "records:read", "events:read")


class Guest(msgspec.Struct, frozen=True):
    """``link`` signs in once, within ten minutes; ``key`` reads customers, orders and events, masked."""

    link: str
    key: str


def invite(config: Path) -> Guest:
    """Make both on the gateway of that config. CalledProcessError when it cannot be used."""
    place = ("--config", str(config))
    _command("users", "add", "demo", "--role", "admin", "--generate", *place)
    scopes = [word for one in _SCOPES for word in ("--scope", one)]
    made = msgspec.json.decode(_command("clients", "make", "demo", *scopes, "--json", *place))
    return Guest(link=_command("users", "ticket", "demo", *place).strip(), key=made["api_key"])


def _command(*words: str) -> str:
    command = [sys.executable, "-m", "gateway", *words]
    done = subprocess.run(command, capture_output=True, check=True, text=True, timeout=60)  # noqa: S603 - our own program
    return done.stdout
