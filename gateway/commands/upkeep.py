"""Commands for keys and the database."""

import asyncio
import re
import sys
from collections.abc import Sequence

import msgspec
from cyclopts import App

from gateway import app, sealing, settings, vaults
from gateway.api.idempotency import SHELF
from gateway.clock import SECOND, SystemClock, parse
from gateway.commands.ground import alarm_of, on_ground, trace, trace_alone
from gateway.commands.terminal import DONE, FAULTS, Config, Json, err, out, progress, show, tree_of
from gateway.desk.users import USERS, Users
from gateway.errors import ConfigError
from gateway.pipeline.reseal import Resealed, Resealer
from gateway.processes import Ground
from gateway.stores.migrations import migrate
from gateway.vaults import ring
from gateway.vaults.envelope import FORMAT

_SETTLED = 60 * SECOND
_KEY = re.compile(r"k\d+")
_TOKENS = re.compile(rb"\b(k\d+[a-z]*)\.(?:identity|contact|health|finance)\.")

keys_app = App(name="keys", help="The vault's keys. 密钥。")
db_app = App(name="db", help="The store's database. 数据库。")


@keys_app.command(name="init")
def keys_init(*, config: Config = None) -> int:
    """Make the key file if there is none. 初始化密钥。"""
    tree = tree_of(config)
    way = app.keys_of(tree)
    fresh = not way.path.exists()
    vault = vaults.open_vault(way)
    if fresh:
        # Only now is there a key to record with.
        trace_alone(tree, vault, "init", "vault")
    out.print(f"keys in {way.path}; keep a copy elsewhere: without it nothing sealed can be opened")
    return DONE


@keys_app.command(name="wrap")
def keys_wrap(*, config: Config = None) -> int:
    """Wrap keys that lie in the clear with the module or service that vault.url names. 用 HSM 或 KMS 包裹明文密钥。"""
    tree = tree_of(config)
    way = app.keys_of(tree)
    clear = vaults.clear_of(way)
    if clear is None:
        out.print(f"no key in {way.path} is in the clear")
        return DONE
    trace_alone(tree, vaults.open_vault(clear), "wrap", "vault")
    out.print(f"{vaults.wrap(way)} keys in {way.path} are wrapped now; rotate, and destroy older copies of the file")
    return DONE


@keys_app.command(name="rotate")
def keys_rotate(*, config: Config = None) -> int:
    """Seal with a new key from now on; what older keys sealed still opens. 轮换密钥。"""
    tree = tree_of(config)
    way = app.keys_of(tree)
    trace_alone(tree, vaults.open_vault(way), "rotate", "vault")
    key = vaults.rotate(way)
    count = vaults.open_vault(way).renew()
    out.print(f"{key} is current, and {count} records' own secrets are sealed with it")
    out.print(
        "running processes take it within a second; what older keys sealed still opens, until gateway keys reseal and retire"
    )
    return DONE


@keys_app.command(name="list")
def keys_list(*, config: Config = None, json: Json = False) -> int:
    """Key ids and which is current; never a key. 密钥列表。"""
    rows = [msgspec.to_builtins(one) for one in vaults.listing(app.keys_of(tree_of(config)))]
    show(rows, json=json, title="keys", empty="no keys yet: gateway keys init")
    return DONE


@keys_app.command(name="reseal")
def keys_reseal(*, config: Config = None, json: Json = False) -> int:
    """Seal everything that older keys sealed with the current one, beside a running gateway; told is which keys nothing needs any more. 重新密封旧数据。"""
    tree = tree_of(config)

    async def work(ground: Ground) -> tuple[Resealed, int]:
        await trace(ground, "reseal", "vault")
        with progress() as tell:
            done = await (await _resealer(ground)).run(tell)
        secrets = await asyncio.to_thread(ground.vault.renew)
        users = Users(documents=ground.documents, vault=ground.vault, clock=ground.clock, below=lambda _: frozenset())
        return done, secrets + await users.renew()

    done, secrets = on_ground(config, work)
    listed = vaults.listing(app.keys_of(tree))
    free = [one.id for one in listed if not one.current and one.id not in {*done.older, *_in_config(tree)}]
    row = {
        "seen": done.seen, "sealed anew": done.bodies + secrets, "erased": done.erased, "altered": done.altered, "lost": done.lost,
        "still older": sum(done.older.values()), "no longer needed": free if json else " ".join(free),
    }  # fmt: skip
    show([row], json=json, title="sealed anew", empty="")
    for key in sorted(_in_config(tree)):
        err.print(f"[yellow]{key}[/yellow] is needed by a sealed:… of the config: gateway keys seal makes a new one")
    return FAULTS if done.altered or done.lost or done.older else DONE


@keys_app.command(name="retire")
def keys_retire(key: str, *, config: Config = None) -> int:
    """Forget a key that nothing needs any more; what it sealed could never be opened again. 弃用旧密钥。"""
    tree = tree_of(config)
    way = app.keys_of(tree)
    _need_settled(vaults.listing(way))
    if key in _in_config(tree):
        raise ConfigError(f"{key} is needed by a sealed:… of the config", remedy="gateway keys seal")

    async def work(ground: Ground) -> None:
        with progress() as tell:
            needs = (await (await _resealer(ground)).count(tell)).older[key]
        for name in (USERS, SHELF):
            needs += sum(_names(one.body, key) for one in await ground.documents.documents(name))
        if needs:
            raise ConfigError(
                f"{needs} values need {key}", remedy="gateway keys reseal; answers kept for repetition need a day"
            )
        await asyncio.to_thread(ground.vault.renew)
        await trace(ground, "retire", key)

    on_ground(config, work)
    vaults.retire(way, key)
    out.print(f"{key} is gone; destroy older copies of {way.path} too")
    return DONE


async def _resealer(ground: Ground) -> Resealer:
    return Resealer(log=ground.log, records=ground.records, vault=ground.vault, alarm=await alarm_of(ground))


def _in_config(tree: settings.Settings) -> set[str]:
    return {_key_of(token) for token in sealing.sealed_in(tree)}


def _need_settled(keys: Sequence[ring.Listed]) -> None:
    """ConfigError while a running process may still seal with the key before: it looks for a new one every second."""
    (current,) = [one for one in keys if one.current]
    if SystemClock().now() - parse(current.created) < _SETTLED:
        raise ConfigError(
            f"{current.id} is younger than a minute", remedy="wait, so that every running process has taken it up"
        )


def _names(body: bytes, key: str) -> bool:
    """Whether a document holds something that ``key`` sealed: as text in it, or all of it."""
    if body[:1] == bytes([FORMAT]):
        return _key_of(body[2 : 2 + body[1]].decode("ascii", "replace")) == key
    return any(_key_of(name.decode()) == key for name in _TOKENS.findall(body))


def _key_of(name: str) -> str:
    found = _KEY.match(name)
    return found[0] if found else ""


@keys_app.command(name="seal")
def keys_seal(*, config: Config = None) -> int:
    """Seal a secret from standard input for use in the config: sealed:… 密封一个口令供配置使用。"""
    tree = tree_of(config)
    text = sys.stdin.readline().strip()
    if not text:
        raise ConfigError("nothing came on standard input", remedy='printf %s "$SECRET" | gateway keys seal')
    vault = vaults.open_vault(app.keys_of(tree))
    trace_alone(tree, vault, "seal", "config")
    sys.stdout.write(sealing.seal(text, vault) + "\n")
    return DONE


@db_app.command(name="migrate")
def db_migrate(*, config: Config = None) -> int:
    """Bring the store's tables to this version. 数据库迁移。"""
    tree = tree_of(config)
    path = app.paths_of(tree)["store"]
    path.parent.mkdir(parents=True, exist_ok=True)
    trace_alone(tree, vaults.open_vault(app.keys_of(tree)), "migrate", "store")
    migrate(f"sqlite:///{path}")
    out.print(f"{path} is at this version")
    return DONE
