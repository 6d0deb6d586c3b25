"""The SCRM core as one ASGI application: where its parts meet."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

from litestar import Litestar
from litestar.datastructures import MutableScopeHeaders, State
from litestar.di import Provide
from litestar.exceptions import HTTPException
from litestar.static_files import create_static_files_router
from litestar.types import Message, Scope

from gateway.clock import Clock
from gateway.errors import ConfigError, GatewayError
from scrm import api, hooks, pages, problems, webhooks
from scrm.book import Book
from scrm.inbox import Inbox

STATIC = Path(__file__).parent / "static"

# Nothing but our own style sheet, script and pictures; no frame, no form elsewhere. A page that shows people must not leak them.
_POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "content-security-policy": _POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
}


def create_app(*, path: Path, secrets: Sequence[str], clock: Clock, title: str = "SCRM") -> Litestar:
    """Serve it at the root of its own address; it has no login, so keep that address to yourself.

    ``path`` is the SQLite file, made when absent. ``secrets`` are the endpoint's ``whsec_…``, the new and the old while they rotate.
    ConfigError when there is none or one is malformed, StoreError when the file cannot be opened.
    """
    if not secrets:
        raise ConfigError("no webhook secret", remedy="hand over the secret the gateway showed for this endpoint")
    gate = hooks.Gate(tuple(webhooks.key(secret) for secret in secrets), clock)
    book = Book(path)
    inbox = Inbox(book, clock)
    desk = pages.Desk(clock=clock, title=title, version=_version())
    return Litestar(
        [
            hooks.receive, api.customers, api.customer, api.timeline, api.order, api.stats, pages.customers, pages.customer,
            create_static_files_router(path="/static", directories=[STATIC], cache_control=None),
        ],
        dependencies={
            "book": Provide(lambda: book, sync_to_thread=False),
            "inbox": Provide(lambda: inbox, sync_to_thread=False),
            "gate": Provide(lambda: gate, sync_to_thread=False),
            "desk": Provide(lambda: desk, sync_to_thread=False),
        },
        exception_handlers={GatewayError: problems.of_ours, HTTPException: problems.of_http, 500: problems.of_a_bug},
        before_send=[_guard],
        on_shutdown=[book.close],
        request_max_body_size=hooks.MOST_BYTES,
        openapi_config=None,
        # Litestar would otherwise take over the logging of the process that mounts us.
        logging_config=None,
        state=State({"desk": desk}),
    )  # fmt: skip


async def _guard(message: Message, scope: Scope) -> None:
    if message["type"] != "http.response.start":
        return
    headers = MutableScopeHeaders.from_message(message)
    for name, value in _HEADERS.items():
        headers[name] = value
    # Styles carry their version in the address; everything else may show a person.
    headers["cache-control"] = "public, max-age=86400" if scope["path"].startswith("/static/") else "no-store"


def _version() -> str:
    digest = hashlib.blake2b(digest_size=4)
    for file in sorted(STATIC.iterdir()):
        digest.update(file.read_bytes())
    return digest.hexdigest()
