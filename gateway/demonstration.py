"""``gateway demo``: the gateway, the SCRM core, and partners who speak their own protocols over real sockets."""

import asyncio
import base64
import contextlib
import secrets
import shutil
import signal
import socket
import string
import subprocess  # the demo starts our own two programs, as a user would
import sys
import tempfile
import time
from collections import deque
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import msgspec
from prometheus_client.parser import text_string_to_metric_families
from rich.console import Console, Group
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from connectors.simulators import SIMULATORS
from connectors.wecom import fake as wecom
from gateway import invitation
from gateway.clock import at_most
from gateway.destinations import sign

# A partner's API and its callbacks must tell of the same people.
_SEED = 11
# How the demo's rate is shared out: chats and shops talk most.
_SHARES = {"wecom": 0.3, "taobao": 0.3, "members": 0.05, "feed": 0.15, "hl7": 0.2}
# Accounts that are not called like their connector.
_SPOKEN = {"members": "feed"}
_TITLES = {
    "wecom": ("企业微信 WeCom", "encrypted callbacks, HTTP"),
    "taobao": ("淘宝 Taobao", "TMC WebSocket + TOP"),
    "members": ("会员系统 members", "signed feed, HTTP"),
    "feed": ("ERP 订单 orders", "signed feed, HTTP"),
    "hl7": ("医院 HIS HL7 v2", "MLLP, GB18030"),
}


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """Ports and credentials of one demonstration; everything in it is made up anew each time."""

    folder: Path
    gateway: int
    scrm: int
    mllp: int
    wecom_api: int
    top: int
    tmc: int
    hook_secret: str
    feed_secret: str
    wecom_token: str
    wecom_key: str

    @property
    def options(self) -> dict[str, dict[str, str]]:
        """Per connector, what both the account and its simulated partner are told."""
        return {
            "wecom": {
                "corp_id": "ww5f0demo00000001",
                "agent_id": "1000002",
                "token": self.wecom_token,
                "encoding_aes_key": self.wecom_key,
                "secret": "demo-corp-secret",
                "api_base": f"http://127.0.0.1:{self.wecom_api}",
            },
            "taobao": {
                "app_key": "12345678",
                "app_secret": "demo-app-secret",
                "session": "demo-session",
                "api_base": f"http://127.0.0.1:{self.top}",
                "tmc_url": f"ws://127.0.0.1:{self.tmc}/",
            },
            "members": {"secret": self.feed_secret, "mapping": "feed/customer", "system": "erp"},
            "feed": {"secret": self.feed_secret, "mapping": "feed/order", "system": "erp"},
            "hl7": {"listen": f"127.0.0.1:{self.mllp}"},
        }

    def targets(self) -> dict[str, str]:
        """Where each simulated partner does its work."""
        base = f"http://127.0.0.1:{self.gateway}/in"
        return {
            "wecom": f"{base}/wecom",
            "taobao": self.options["taobao"]["api_base"],
            "members": f"{base}/members",
            "feed": f"{base}/feed",
            "hl7": f"mllp://127.0.0.1:{self.mllp}",
        }

    def config(self) -> str:
        """The gateway's config file."""
        lines = [
            "[gateway]",
            f'data_dir = "{self.folder / "gateway"}"',
            'log = "json"',
            "[http]",
            f"port = {self.gateway}",
        ]
        for name, options in self.options.items():
            lines += [
                f"[accounts.{name}]",
                f'connector = "{_SPOKEN.get(name, name)}"',
                *(f'{key} = "{value}"' for key, value in options.items()),
            ]
        lines += [
            "[endpoints.scrm]",
            f'url = "http://127.0.0.1:{self.scrm}/hooks"',
            f'secret = "{self.hook_secret}"',
            "allow_private = true",
            "[endpoints.scrm.grants]",
            'identity = "clear"',
            'contact = "mask"',
            'health = "drop"',
        ]
        return "\n".join(lines) + "\n"


def run(*, rate: float, seconds: float | None, port: int, data: Path | None, out: Console) -> int:
    """Run until ``seconds`` are over, Ctrl-C or SIGTERM; then stop everything that was started. Exit code."""
    folder = data or Path(tempfile.mkdtemp(prefix="scrm-demo-"))
    folder.mkdir(parents=True, exist_ok=True)
    plan = _plan(folder, port)
    (folder / "config.toml").write_text(plan.config(), encoding="utf-8")
    (folder / "config.toml").chmod(0o600)
    try:
        return asyncio.run(_run(plan, rate=rate, seconds=seconds, out=out))
    finally:
        if data is None:
            shutil.rmtree(folder, ignore_errors=True)


def _plan(folder: Path, first: int) -> Plan:
    ports = _free_ports(first, 6)
    letters = string.ascii_letters + string.digits
    return Plan(
        folder=folder, gateway=ports[0], scrm=ports[1], mllp=ports[2], wecom_api=ports[3], top=ports[4], tmc=ports[5],
        hook_secret=sign.secret_of(secrets.token_bytes(32)),
        feed_secret=sign.secret_of(secrets.token_bytes(32)),
        wecom_token="".join(secrets.choice(letters) for _ in range(24)),
        wecom_key=base64.b64encode(secrets.token_bytes(32)).decode().rstrip("=").replace("+", "a").replace("/", "b"),
    )  # fmt: skip


def _free_ports(first: int, count: int) -> list[int]:
    found: list[int] = []
    port = first
    while len(found) < count:
        with socket.socket() as probe:
            # As servers do: a port in TIME_WAIT is free.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with contextlib.suppress(OSError):
                probe.bind(("127.0.0.1", port))
                found.append(port)
        port += 1
    return found


async def _run(plan: Plan, *, rate: float, seconds: float | None, out: Console) -> int:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    told: deque[str] = deque(maxlen=8)
    # Partners that the gateway calls are there first; those that call it come once it answers.
    api = await wecom.serve_api(host="127.0.0.1", port=plan.wecom_api, options=plan.options["wecom"], seed=_SEED)
    partners = [asyncio.create_task(_play(plan, "taobao", rate * _SHARES["taobao"], told))]
    try:
        async with _programs(plan), httpx.AsyncClient(trust_env=False, timeout=2.0) as http:
            failed = await _ready(plan, http, stop)
            if failed:
                out.print(f"[red]{failed}[/red]; see {plan.folder}/*.log")
                return 1
            partners += [
                asyncio.create_task(_play(plan, name, rate * _SHARES[name], told)) for name in ("wecom", "feed", "hl7")
            ]
            await _watch(plan, http, told, seconds, stop, out)
            await _end_all(partners[1:])
            await _settled(plan, http)
            out.print(await _summary(plan, http))
    finally:
        await _end_all(partners)
        await api.close()
    return 0


async def _end_all(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def _play(plan: Plan, name: str, rate: float, told: deque[str]) -> None:
    def tell(line: str) -> None:
        told.append(f"{_TITLES[name][0]}  {line.removeprefix(name).lstrip(': ')}")

    await SIMULATORS[_SPOKEN.get(name, name)](
        url=plan.targets()[name], options=plan.options[name], rate=max(rate, 0.1), seconds=None, seed=_SEED, tell=tell
    )


@contextlib.asynccontextmanager
async def _programs(plan: Plan) -> AsyncIterator[None]:
    """The SCRM core and the gateway as processes of their own, ended together."""
    commands = {
        "scrm": [
            "-m",
            "scrm",
            "--data",
            str(plan.folder / "scrm"),
            "--port",
            str(plan.scrm),
            "--secret",
            plan.hook_secret,
        ],
        "gateway": ["-m", "gateway", "serve", "--config", str(plan.folder / "config.toml")],
    }
    running: list[subprocess.Popen[bytes]] = []
    try:
        for name, words in commands.items():
            running.append(_start(words, plan.folder / f"{name}.log"))
        yield
    finally:
        for process in reversed(running):
            process.terminate()
        for process in running:
            await asyncio.to_thread(_end, process)


def _start(words: list[str], log: Path) -> subprocess.Popen[bytes]:
    with log.open("wb") as out:
        # A session of its own: Ctrl-C reaches the demo alone, which then ends the others in order.
        return subprocess.Popen([sys.executable, *words], stdout=out, stderr=out, start_new_session=True)  # noqa: S603 - our own two programs


def _end(process: subprocess.Popen[bytes]) -> None:
    try:
        process.wait(timeout=15)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


async def _ready(plan: Plan, http: httpx.AsyncClient, stop: asyncio.Event) -> str:
    """Empty when both answer; else what does not."""
    waiting = {
        "the gateway": f"http://127.0.0.1:{plan.gateway}/health/ready",
        "the SCRM core": f"http://127.0.0.1:{plan.scrm}/api/stats",
    }
    deadline = time.monotonic() + 30
    while waiting and time.monotonic() < deadline and not stop.is_set():
        for name, url in list(waiting.items()):
            with contextlib.suppress(httpx.HTTPError):
                if (await http.get(url)).status_code == 200:
                    del waiting[name]
        await asyncio.sleep(0.1)
    return f"{' and '.join(waiting)} did not start" if waiting and not stop.is_set() else ""


async def _watch(
    plan: Plan, http: httpx.AsyncClient, told: deque[str], seconds: float | None, stop: asyncio.Event, out: Console
) -> None:
    began = time.monotonic()
    out.print(_addresses(plan, await asyncio.to_thread(invitation.invite, plan.folder / "config.toml")))
    plain = not out.is_terminal
    with contextlib.nullcontext() if plain else Live(console=out, refresh_per_second=4, transient=True) as live:
        said = 0.0
        while not stop.is_set() and (seconds is None or time.monotonic() - began < seconds):
            figures = await _figures(plan, http)
            if live is not None:
                live.update(_screen(figures, told, time.monotonic() - began))
            elif time.monotonic() - said > 5:
                said = time.monotonic()
                out.print(_line(figures, time.monotonic() - began))
            await at_most(0.5, stop)


def _addresses(plan: Plan, guest: invitation.Guest) -> Panel:
    lines = [
        f"[bold]Console 运维台[/bold]        {guest.link}  (good once, ten minutes)",
        f"[bold]Partner API 接口[/bold]      http://127.0.0.1:{plan.gateway}/docs",
        f"  KEY={guest.key}",
        f'  curl -H "Authorization: Bearer $KEY" http://127.0.0.1:{plan.gateway}/api/v1/customers',
        f"[bold]SCRM pages 客户页面[/bold]   http://127.0.0.1:{plan.scrm}/",
        f"[bold]Health 健康[/bold]           http://127.0.0.1:{plan.gateway}/health   ·   metrics /metrics",
        f"[bold]Callbacks 回调[/bold]        http://127.0.0.1:{plan.gateway}/in/wecom   ·   /in/feed   ·   mllp://127.0.0.1:{plan.mllp}",
        f"[bold]Files 文件[/bold]            {plan.folder}  (config.toml, gateway.log, scrm.log)",
        "Ctrl-C stops all of it. 按 Ctrl-C 全部停止。",
    ]
    return Panel("\n".join(lines), title="SCRM gateway demo", expand=False)


class Figures(msgspec.Struct, kw_only=True):
    """What the two programs say of themselves."""

    accepted: dict[str, float] = {}
    duplicates: dict[str, float] = {}
    refused: dict[str, float] = {}
    events: dict[str, float] = {}
    attempts: dict[str, float] = {}
    dead: float = 0.0
    backlog: float = 0.0
    scrm: dict[str, int] = {}


async def _figures(plan: Plan, http: httpx.AsyncClient) -> Figures:
    figures = Figures()
    try:
        text = (await http.get(f"http://127.0.0.1:{plan.gateway}/metrics")).text
        figures.scrm = (await http.get(f"http://127.0.0.1:{plan.scrm}/api/stats")).json()
    except (httpx.HTTPError, ValueError):
        return figures
    tallies = {
        "gateway_accepted_total": (figures.accepted, "account"),
        "gateway_duplicates_total": (figures.duplicates, "account"),
        "gateway_refused_total": (figures.refused, "account"),
        "gateway_events_total": (figures.events, "type"),
        "gateway_attempts_total": (figures.attempts, "outcome"),
    }
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if sample.name in tallies:
                into, label = tallies[sample.name]
                into[sample.labels[label]] = into.get(sample.labels[label], 0.0) + sample.value
            elif sample.name == "gateway_dead_letters_total":
                figures.dead += sample.value
            elif sample.name == "gateway_backlog":
                figures.backlog += sample.value
    return figures


def _screen(figures: Figures, told: deque[str], passed: float) -> Group:
    inbound = Table(title="in 进", title_justify="left", header_style="bold", expand=False)
    for column in ("partner 伙伴", "protocol 协议"):
        inbound.add_column(column)
    for column in ("accepted 已收", "duplicates 重复", "refused 拒绝"):
        inbound.add_column(column, justify="right")
    for name, (title, how) in _TITLES.items():
        inbound.add_row(
            title,
            how,
            *(f"{tally.get(name, 0):.0f}" for tally in (figures.accepted, figures.duplicates, figures.refused)),
        )
    outbound = Table(title="out 出: signed webhooks", title_justify="left", header_style="bold", expand=False)
    outbound.add_column("event 事件")
    outbound.add_column("published 已发布", justify="right")
    for name, count in sorted(figures.events.items(), key=lambda item: -item[1])[:10]:
        outbound.add_row(name, f"{count:.0f}")
    return Group(
        inbound,
        outbound,
        Text(_line(figures, passed)),
        *(Text(line, style="dim", no_wrap=True, overflow="ellipsis") for line in told),
    )


def _line(figures: Figures, passed: float) -> str:
    known = figures.scrm
    return (
        f"{passed:5.0f} s   accepted {sum(figures.accepted.values()):.0f}   events {sum(figures.events.values()):.0f}   "
        f"delivered {figures.attempts.get('ok', 0):.0f}   backlog {figures.backlog:.0f}   dead letters {figures.dead:.0f}   "
        f"SCRM: {known.get('customers', 0)} customers, {known.get('orders', 0)} orders"
    )


async def _settled(plan: Plan, http: httpx.AsyncClient) -> None:
    """Wait, at most ten seconds, until what was accepted has been delivered."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        figures = await _figures(plan, http)
        if figures.backlog == 0 and figures.attempts.get("ok", 0) >= sum(figures.events.values()):
            return
        await asyncio.sleep(0.5)


async def _summary(plan: Plan, http: httpx.AsyncClient) -> str:
    figures = await _figures(plan, http)
    return (
        f"{sum(figures.accepted.values()):.0f} messages accepted ({sum(figures.duplicates.values()):.0f} duplicates answered), "
        f"{sum(figures.events.values()):.0f} events published, {figures.attempts.get('ok', 0):.0f} delivered and verified; "
        f"the SCRM core knows {figures.scrm.get('customers', 0)} customers and {figures.scrm.get('orders', 0)} orders"
    )
