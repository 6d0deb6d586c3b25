"""The command line. Exit codes: 0 done, 1 faults found, 2 wrong use, 3 cannot reach."""

import sys
from collections.abc import Mapping

from cyclopts import App
from rich.console import Console

from gateway import VERSION, logs
from gateway.errors import ConfigError, GatewayError

main_app = App(
    name="gateway", version=VERSION, help="The SCRM integration gateway. 集成网关。", version_flags=["--version"]
)
# Named, not imported: only what the given command needs is loaded.
COMMANDS: Mapping[str, tuple[str, str]] = {
    "serve": ("running:serve", "Run the gateway until SIGTERM. 运行网关。"),
    "reload": (
        "reloading:reload",
        "Take up config, accounts and mappings anew without an outage. 重新加载配置，不中断服务。",
    ),
    "demo": ("playing:demo", "The gateway, the SCRM core and simulated partners, over real sockets. 演示。"),
    "check": ("looking:check", "Lint config and mappings; every fault with file, line and field. 检查配置与映射。"),
    "doctor": ("looking:doctor", "Reach every account, endpoint and file; say what is wrong and what to do. 体检。"),
    "connectors": ("looking:connectors", "What the gateway speaks. 连接器一览。"),
    "simulate": ("playing:simulate", "Play the partner of one configured account. 模拟伙伴。"),
    "mapping": ("looking:mapping_app", "Test and try mappings; versions, shadow runs, canaries. 映射。"),
    "replay": ("replay:replay_app", "Send events again; project entries again. 重放。"),
    "dead": ("dead:dead_app", "Dead letters: what a person must look at. 死信。"),
    "deliveries": ("outbox:deliveries_app", "Events on their way to endpoints. 投递。"),
    "rejects": ("outbox:rejects_app", "Requests that were refused. 拒收。"),
    "actions": ("actions:actions_app", "What partners are asked to do. 对平台的操作。"),
    "matches": ("desk:matches_app", "Customers who may be one. 疑似同一人。"),
    "merges": ("desk:merges_app", "Customers who became one. 已合并。"),
    "accounts": ("accounts:accounts_app", "Accounts: partners this gateway speaks to. 账号。"),
    "endpoints": ("endpoints:endpoints_app", "Subscribers. 订阅端。"),
    "audit": ("tracing:audit_app", "Who did what: the audit trail. 审计。"),
    "clients": ("clients:clients_app", "Partners' programs that read the API. 接口调用方。"),
    "users": ("people:users_app", "People at the console. 控制台用户。"),
    "erase": ("erasing:erase", "Forget a customer for good. 删除客户个人信息。"),
    "keys": ("upkeep:keys_app", "The vault's keys. 密钥。"),
    "db": ("upkeep:db_app", "The store's database. 数据库。"),
    "config": ("looking:config_app", "The effective configuration. 生效配置。"),
    "version": ("looking:version", "The version. 版本。"),
}
for _name, (_place, _help) in COMMANDS.items():
    main_app.command(f"gateway.commands.{_place}", name=_name, help=_help)


def main() -> None:
    """Entry point of the ``gateway`` command."""
    logs.configure("console")
    try:
        result = main_app(sys.argv[1:], exit_on_error=False, print_error=True, result_action="return_value")
    except GatewayError as error:
        Console(stderr=True, highlight=False, soft_wrap=True).print(f"[red]{error.code}[/red]", str(error))
        sys.exit(2 if isinstance(error, ConfigError) else 1)
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception as error:  # cyclopts has printed what was wrong with the words; anything else is a fault of ours
        if type(error).__module__.startswith("cyclopts"):
            sys.exit(2)
        raise
    sys.exit(result if isinstance(result, int) else 0)
