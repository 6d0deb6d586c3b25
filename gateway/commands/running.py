"""``gateway serve``."""

import structlog

from connectors.registry import CARDS
from gateway import VERSION, app, configure, logs, settings, succession
from gateway.commands.terminal import Config, err, tree_of

_log = structlog.get_logger()


def serve(
    *, config: Config = None, host: str | None = None, port: int | None = None, workers: int | None = None
) -> int:
    """Run the gateway until SIGTERM. 运行网关。"""
    flags = {"http.host": host, "http.port": port, "http.workers": workers}
    tree = tree_of(config, **flags)
    logs.configure(tree.gateway.log)
    _warn_of_plain_secrets(tree)
    programs, fresh = app.prepare(tree)
    for name, secret in fresh.items():
        err.print(f"endpoint [bold]{name}[/bold] had no secret; this one was made and is shown only now: {secret}")
    _log.info(
        "gateway.starting", version=VERSION, host=tree.http.host, port=tree.http.port, accounts=len(tree.accounts)
    )
    return succession.serve(tree, programs, lambda: tree_of(config, **flags))


def _warn_of_plain_secrets(tree: settings.Settings) -> None:
    for name, raw in tree.accounts.items():
        card = CARDS.get(raw.get("connector", ""))
        secret_fields = configure.secret_fields(card) if card else ()
        plain = [field for field in secret_fields if settings.is_plain(raw.get(field))]
        if plain:
            _log.warning(
                "config.plain_secret",
                account=name,
                options=plain,
                remedy="use env:NAME, file:/path or gateway keys seal",
            )
