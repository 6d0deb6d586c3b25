"""``gateway demo`` and ``gateway simulate``: partners that are played."""

import asyncio
from functools import partial
from pathlib import Path

from connectors.simulators import SIMULATORS
from gateway import app, configure, demonstration, settings, vaults
from gateway.commands.terminal import DONE, Config, out, tree_of
from gateway.model.secret import Secret
from gateway.sealing import PREFIX, unsealed


def demo(*, rate: float = 20.0, seconds: float | None = None, port: int = 8000, data: Path | None = None) -> int:
    """The gateway, the SCRM core and simulated partners, over real sockets. 演示。

    Parameters
    ----------
    rate: About how many partner messages a second, all partners together.
    seconds: Stop after so many seconds; until Ctrl-C when absent.
    port: The gateway's port; the SCRM core takes the next one. Taken ports are stepped over.
    data: Keep the demo's data here; a temporary folder, removed at the end, when absent.
    """
    return demonstration.run(rate=rate, seconds=seconds, port=port, data=data, out=out)


def simulate(
    connector: str,
    *,
    account: str,
    rate: float = 10.0,
    seconds: float | None = None,
    config: Config = None,
    seed: int = 1,
) -> int:
    """Play the partner of one configured account over real sockets. 模拟伙伴。"""
    tree = tree_of(config)
    run = SIMULATORS.get(connector)
    if run is None or connector != tree.accounts.get(account, {}).get("connector"):
        raise settings.unknown_key(
            account,
            [name for name, raw in tree.accounts.items() if raw.get("connector") == connector],
            place="--account",
        )
    raw = tree.accounts[account]
    target = configure.target_of(tree, account)
    sent = asyncio.run(
        run(
            url=target,
            options=configure.plain_options(raw, partial(_opened, tree)),
            rate=rate,
            seconds=seconds,
            seed=seed,
            tell=out.print,
        )
    )
    out.print(f"{sent} sent to {target}")
    return DONE


def _opened(tree: settings.Settings, secret: Secret) -> Secret:
    # The keys are asked for only by accounts that need them.
    return unsealed(secret, vaults.open_vault(app.keys_of(tree))) if secret.reveal().startswith(PREFIX) else secret
