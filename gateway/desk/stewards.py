"""What an admin decides on: the house's keys, and people. Nobody can take away the last who could undo it."""

import asyncio
from collections.abc import Sequence

from gateway import vaults
from gateway.clock import random_bytes
from gateway.desk.checks import Line, Told
from gateway.desk.resources import Desk
from gateway.desk.users import Role, User
from gateway.errors import ConfigError
from gateway.pipeline.reseal import Resealer
from gateway.vaults.ring import Listed


async def keys(desk: Desk) -> Sequence[Listed]:
    """Oldest first, without their material. ConfigError or VaultDown when they cannot be read."""
    return await asyncio.to_thread(vaults.listing, desk.premises.keys)


async def rotate(desk: Desk) -> str:
    """Make a new key and seal with it from now on; other processes follow within a second. Its id."""

    def work() -> str:
        made = vaults.rotate(desk.premises.keys)
        desk.vault.refresh()
        desk.vault.renew()
        return made

    return await asyncio.to_thread(work)


async def needs(desk: Desk) -> Told:
    """How many sealed values need a key that is not current, by key. Walks everything; changes nothing."""
    alarm = await desk.witness.alarm()
    found = await Resealer(log=desk.log, records=desk.records, vault=desk.vault, alarm=alarm).count()
    lines = [Line(state="fault", part="altered", detail=str(found.altered))] if found.altered else []
    return Told(lines=tuple(lines), figures=dict(found.older))


async def verify(desk: Desk) -> Told:
    """Walk the audit chain; where it is whole, its head as it may be noted elsewhere."""
    faults = await desk.trail.verify()
    if faults:
        return Told(
            lines=tuple(Line(state="fault", part=one.kind, detail=f"#{one.number} {one.detail}") for one in faults)
        )
    head = await desk.trail.head()
    noted = f"{head.number}:{head.mac.hex()}" if head else "0:"
    return Told(lines=(Line(state="ok", part="head", detail=noted),), figures={"acts": head.number if head else 0})


def password() -> str:
    """One that nobody has to think of: 96 random bits, told once."""
    return random_bytes(12).hex()


async def need_another_admin(desk: Desk, name: str) -> None:
    """ConfigError when ``name`` is the only admin who can sign in."""
    users = await desk.users.all()
    if any(one.name == name and _rules(one) for one in users) and not any(
        _rules(one) and one.name != name for one in users
    ):
        raise ConfigError(f"{name} is the last admin", remedy="make somebody else an admin first")


def _rules(user: User) -> bool:
    return user.role is Role.ADMIN and not user.disabled
