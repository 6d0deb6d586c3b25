"""Commands for keys and the database."""

import sys

import msgspec
from cyclopts import App

from gateway import app, sealing
from gateway.commands.ground import trace_alone
from gateway.commands.terminal import DONE, Config, Json, out, show, tree_of
from gateway.errors import ConfigError
from gateway.stores.migrations import migrate
from gateway.vaults import file as keyfile

keys_app = App(name="keys", help="The vault's keys. 密钥。")
db_app = App(name="db", help="The store's database. 数据库。")


@keys_app.command(name="init")
def keys_init(*, config: Config = None) -> int:
    """Make the key file if there is none. 初始化密钥。"""
    tree = tree_of(config)
    path = app.paths_of(tree)["vault"]
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = not path.exists()
    vault = keyfile.open_vault(path)
    if fresh:
        # Only now is there a key to record with.
        trace_alone(tree, vault, "init", "vault")
    out.print(f"keys in {path}; keep a copy elsewhere: without it nothing sealed can be opened")
    return DONE


@keys_app.command(name="rotate")
def keys_rotate(*, config: Config = None) -> int:
    """Seal with a new key from now on; what older keys sealed still opens. 轮换密钥。"""
    tree = tree_of(config)
    path = app.paths_of(tree)["vault"]
    trace_alone(tree, keyfile.open_vault(path), "rotate", "vault")
    key = keyfile.rotate(path)
    out.print(f"{key} is current; running processes take it on their next start")
    return DONE


@keys_app.command(name="list")
def keys_list(*, config: Config = None, json: Json = False) -> int:
    """Key ids and which is current; never a key. 密钥列表。"""
    rows = [msgspec.to_builtins(one) for one in keyfile.listing(app.paths_of(tree_of(config))["vault"])]
    show(rows, json=json, title="keys", empty="no keys yet: gateway keys init")
    return DONE


@keys_app.command(name="seal")
def keys_seal(*, config: Config = None) -> int:
    """Seal a secret from standard input for use in the config: sealed:… 密封一个口令供配置使用。"""
    tree = tree_of(config)
    path = app.paths_of(tree)["vault"]
    path.parent.mkdir(parents=True, exist_ok=True)
    text = sys.stdin.readline().strip()
    if not text:
        raise ConfigError("nothing came on standard input", remedy='printf %s "$SECRET" | gateway keys seal')
    vault = keyfile.open_vault(path)
    trace_alone(tree, vault, "seal", "config")
    sys.stdout.write(sealing.seal(text, vault) + "\n")
    return DONE


@db_app.command(name="migrate")
def db_migrate(*, config: Config = None) -> int:
    """Bring the store's tables to this version. 数据库迁移。"""
    tree = tree_of(config)
    path = app.paths_of(tree)["store"]
    path.parent.mkdir(parents=True, exist_ok=True)
    trace_alone(tree, keyfile.open_vault(app.paths_of(tree)["vault"]), "migrate", "store")
    migrate(f"sqlite:///{path}")
    out.print(f"{path} is at this version")
    return DONE
