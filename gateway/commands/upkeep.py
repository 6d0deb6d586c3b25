"""Commands for keys and the database."""

import sys

import msgspec
from cyclopts import App

from gateway import app, configure
from gateway.commands.terminal import DONE, Config, Json, out, show, tree_of
from gateway.errors import ConfigError
from gateway.stores.migrations import migrate
from gateway.vaults import file as keyfile

keys_app = App(name="keys", help="The vault's keys. 密钥。")
db_app = App(name="db", help="The store's database. 数据库。")


@keys_app.command(name="init")
def keys_init(*, config: Config = None) -> int:
    """Make the key file if there is none. 初始化密钥。"""
    path = app.paths_of(tree_of(config))["vault"]
    path.parent.mkdir(parents=True, exist_ok=True)
    keyfile.open_vault(path)
    out.print(f"keys in {path}; keep a copy elsewhere: without it nothing sealed can be opened")
    return DONE


@keys_app.command(name="rotate")
def keys_rotate(*, config: Config = None) -> int:
    """Seal with a new key from now on; what older keys sealed still opens. 轮换密钥。"""
    key = keyfile.rotate(app.paths_of(tree_of(config))["vault"])
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
    path = app.paths_of(tree_of(config))["vault"]
    path.parent.mkdir(parents=True, exist_ok=True)
    text = sys.stdin.readline().strip()
    if not text:
        raise ConfigError("nothing came on standard input", remedy='printf %s "$SECRET" | gateway keys seal')
    sys.stdout.write(configure.seal(text, keyfile.open_vault(path)) + "\n")
    return DONE


@db_app.command(name="migrate")
def db_migrate(*, config: Config = None) -> int:
    """Bring the store's tables to this version. 数据库迁移。"""
    path = app.paths_of(tree_of(config))["store"]
    path.parent.mkdir(parents=True, exist_ok=True)
    migrate(f"sqlite:///{path}")
    out.print(f"{path} is at this version")
    return DONE
