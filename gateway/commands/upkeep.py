"""Commands for keys and the database."""

import sys

import msgspec
from cyclopts import App

from gateway import app, sealing, vaults
from gateway.commands.ground import trace_alone
from gateway.commands.terminal import DONE, Config, Json, out, show, tree_of
from gateway.errors import ConfigError
from gateway.stores.migrations import migrate

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
    if (count := vaults.wrap(way)) > 0:
        trace_alone(tree, vaults.open_vault(way), "wrap", "vault")
    out.print(f"{count} keys in {way.path} were in the clear and are wrapped now; destroy older copies, and rotate")
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
        "running processes take it at their next start, or when they first meet it; what older keys sealed still opens"
    )
    return DONE


@keys_app.command(name="list")
def keys_list(*, config: Config = None, json: Json = False) -> int:
    """Key ids and which is current; never a key. 密钥列表。"""
    rows = [msgspec.to_builtins(one) for one in vaults.listing(app.keys_of(tree_of(config)))]
    show(rows, json=json, title="keys", empty="no keys yet: gateway keys init")
    return DONE


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
