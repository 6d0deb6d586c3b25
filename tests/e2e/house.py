"""A gateway as a user starts it, and the world around it: a config in a folder, real processes, real sockets, a receiver that verifies.

Nothing here knows the gateway from inside: it is started by its command, spoken to over its doors, and seen through its webhooks, its
log, its health and its metrics.
"""

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, TypeVar

import httpx
import msgspec
from prometheus_client.parser import text_string_to_metric_families
from standardwebhooks import Webhook, WebhookVerificationError

from tests.servers.loops import closed
from tests.servers.process import free_port
from tests.servers.warm import commands

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
FEED_SECRET = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"
ROOT = Path(__file__).resolve().parents[2]

T = TypeVar("T")
Config = dict[str, dict[str, Any]]


def free_ports(count: int) -> list[int]:
    """Ports that were free a moment ago."""
    found: set[int] = set()
    while len(found) < count:
        found.add(free_port())
    return list(found)


def eventually(look: Callable[[], Any], *, within: float = 15.0, what: str | Callable[[], str] = "") -> Any:
    """What ``look`` says as soon as it is truthy. AssertionError after ``within`` seconds."""
    deadline = time.monotonic() + within
    while not (seen := look()):
        assert time.monotonic() < deadline, f"not within {within} s: {what() if callable(what) else what or look}"
        time.sleep(0.02)
    return seen


# ---------------------------------------------------------------------- the subscriber
class Got(msgspec.Struct, frozen=True):
    """One attempt that reached the receiver. ``status`` is what it was answered, ``at`` when, by ``time.monotonic``."""

    id: str
    event: dict[str, Any]
    body: bytes
    status: int
    at: float
    headers: dict[str, str]

    @property
    def type(self) -> str:
        return str(self.event["type"])

    @property
    def subject(self) -> str:
        return str(self.event["subject"])

    @property
    def sequence(self) -> int:
        return int(self.event["sequence"])

    @property
    def data(self) -> dict[str, Any]:
        return dict(self.event["data"])


Answer = tuple[int, Mapping[str, str]]


class Receiver:
    """A subscriber on a real socket. Every signature is verified by the Standard Webhooks library; what fails it stands in ``forged``.

    ``answer`` decides per event (and how often it has come before) what to say; it may wait.
    """

    def __init__(self, secret: str = SECRET, answer: Callable[[dict[str, Any], int], Answer] | None = None) -> None:
        self.got: list[Got] = []
        self.forged: list[str] = []
        self.answer = answer or (lambda _event, _before: (204, {}))
        self._times: dict[str, int] = {}
        self._lock = threading.Lock()
        self._hook = Webhook(secret)
        self._server = _Server(("127.0.0.1", 0), self._handler())
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/hooks"

    def accepted(self) -> list[Got]:
        """What was answered with a 2xx, each event once, in the order it first was."""
        first: dict[str, Got] = {}
        for got in list(self.got):
            if 200 <= got.status < 300:
                first.setdefault(got.id, got)
        return list(first.values())

    def of(self, *types: str) -> list[Got]:
        """Accepted events of these types."""
        return [got for got in self.accepted() if got.type in types]

    def wait(self, count: int, *types: str, within: float = 15.0) -> list[Got]:
        """Accepted events of these types (of all without any), once there are ``count``."""

        def look() -> list[Got]:
            found = self.of(*types) if types else self.accepted()
            return found if len(found) >= count else []

        found: list[Got] = eventually(
            look, within=within, what=f"{count} of {types or 'all'}, there are {self.tally()}"
        )
        return found

    def tally(self) -> dict[str, int]:
        """How many accepted events of each type."""
        counts: dict[str, int] = {}
        for got in self.accepted():
            counts[got.type] = counts.get(got.type, 0) + 1
        return counts

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def take(self, headers: dict[str, str], body: bytes) -> Answer:
        """Verify, decide, write down."""
        try:
            event = self._hook.verify(body, headers)
        except (WebhookVerificationError, ValueError) as error:
            self.forged.append(repr(error))
            return 401, {}
        name = headers["webhook-id"]
        with self._lock:
            before = self._times.get(name, 0)
            self._times[name] = before + 1
        status, more = self.answer(event, before)
        with self._lock:
            self.got.append(Got(name, event, body, status, time.monotonic(), headers))
        return status, more

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                status, more = receiver.take({name.lower(): value for name, value in self.headers.items()}, body)
                self.send_response(status)
                for name, value in more.items():
                    self.send_header(name, value)
                if status != 204:
                    self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                return

        return Handler


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 256

    def handle_error(self, *_: Any) -> None:
        """A gateway that was killed in the middle of a request is what these tests are about."""


# ---------------------------------------------------------------------- the gateway
class Gateway:
    """The gateway of one folder. Started, killed and started again, it keeps its data."""

    def __init__(self, folder: Path, config: Config, environ: Mapping[str, str] | None = None) -> None:
        self.folder = folder
        self.data = folder / "data"
        self.log = folder / "gateway.log"
        self.port = free_ports(1)[0]
        self.file = folder / "config.toml"
        self.process: subprocess.Popen[bytes] | None = None
        self.environ = {**os.environ, "PYTHONUNBUFFERED": "1", **(environ or {})}
        self.configure(config)
        self.http = httpx.Client(base_url=f"http://127.0.0.1:{self.port}", trust_env=False, timeout=20.0)
        self._groups: list[int] = []

    def configure(self, config: Config) -> None:
        """Write the config; a running gateway has to be started again to see it."""
        tree = {**config, "gateway": {"data_dir": str(self.data), **config.get("gateway", {})}}
        tree["http"] = {"port": self.port, **config.get("http", {})}
        self.roles = {"worker", *(f"door-{number}" for number in range(tree["http"].get("workers", 1)))}
        self.file.write_text(toml(tree), encoding="utf-8")

    # ------------------------------------------------------------------ its processes
    def start(self, *, ready: bool = True) -> float:
        """Start it and wait until it is ready. Returns the seconds from start to the first answer of a door."""
        command = [sys.executable, "-m", "gateway", "serve", "--config", str(self.file)]
        known, reported = len(self.facts("supervisor.started")), self._reported()
        began = time.monotonic()
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                command, cwd=ROOT, stdout=log, stderr=log, env=self.environ, start_new_session=True
            )
        self._groups.append(self.process.pid)
        if not ready:
            return 0.0
        eventually(self._answers, within=30.0, what=lambda: f"the door answers; log: {self.tail()}")
        answered = time.monotonic() - began
        # A process may answer before the supervisor has written that it started it, and what another run reported counts for seconds.
        eventually(lambda: self.roles <= self._started(known), within=30.0, what="the log tells of every process")
        eventually(lambda: self._have_reported(reported), within=30.0, what="every process has reported")
        eventually(self.ready, within=30.0, what="ready")
        return answered

    def _started(self, known: int) -> set[str]:
        return {str(one["role"]) for one in self.facts("supervisor.started")[known:]}

    def _reported(self) -> dict[str, int]:
        """When the processes last said how they are, by role: no time of day, but another one with each report."""
        found = {}
        for path in (self.data / "run").glob("*.json"):
            with suppress(FileNotFoundError):
                found[path.stem] = path.stat().st_mtime_ns
        return found

    def _have_reported(self, before: Mapping[str, int]) -> bool:
        now = self._reported()
        return all(role in now and now[role] != before.get(role) for role in self.roles)

    def report(self) -> None:
        """Wait until health and metrics tell how it is now, or later."""
        # What is being written at this moment was found before.
        for _ in range(2):
            before = self._reported()
            eventually(lambda before=before: self._have_reported(before), within=30.0, what="every process reports")

    def _answers(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, f"the gateway ended: {self.tail()}"
        with suppress(httpx.HTTPError):
            return self.http.get("/health/live").status_code == 200
        return False

    def ready(self) -> bool:
        """Whether every part is well."""
        with suppress(httpx.HTTPError):
            return self.http.get("/health/ready").status_code == 200
        return False

    def stop(self) -> tuple[int, float]:
        """SIGTERM: the exit code and how long it took."""
        assert self.process is not None
        began = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(timeout=30)
        return code, time.monotonic() - began

    def children(self) -> dict[str, int]:
        """The newest process of each role, as the supervisor's log tells."""
        return {str(one["role"]): int(one["child"]) for one in self.facts("supervisor.started")}

    def kill(self, role: str) -> int:
        """SIGKILL to the process that has this role, as soon as one runs: its id."""

        def killed() -> int:
            child = self.children().get(role)
            if child is None or not running(child):
                return 0
            with suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
                return child
            return 0

        return int(eventually(killed, within=45.0, what=f"a {role} to be killed"))

    def kill_all(self) -> None:
        """As if the machine had stopped: all of its processes at the same moment."""
        assert self.process is not None
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        eventually(lambda: not self.alive(), what="all are gone")

    def alive(self) -> list[int]:
        """Children that still run."""
        return [int(one["child"]) for one in self.facts("supervisor.started") if running(int(one["child"]))]

    def close(self) -> None:
        """End everything that was started here, by its process group."""
        self.http.close()
        for group in self._groups:
            with suppress(ProcessLookupError):
                os.killpg(group, signal.SIGKILL)
        if self.process is not None:
            self.process.wait()

    # ------------------------------------------------------------------ what it says
    def lines(self) -> list[dict[str, Any]]:
        """Its log; a line that is no JSON object is a failure of its own, unless it is being written."""
        whole = self.log.read_bytes().split(b"\n")[:-1] if self.log.exists() else []
        return [json.loads(line) for line in whole if line]

    def facts(self, event: str) -> list[dict[str, Any]]:
        """Log lines of one event name."""
        found = []
        for line in self.log.read_bytes().splitlines() if self.log.exists() else []:
            if event.encode() in line:
                with suppress(ValueError):
                    one = json.loads(line)
                    if one.get("event") == event:
                        found.append(one)
        return found

    def files(self) -> dict[str, bytes]:
        """What lies in its data folder, by path."""
        return contents(self.data)

    def tail(self) -> str:
        """The end of its log."""
        return self.log.read_text(encoding="utf-8", errors="replace")[-3000:] if self.log.exists() else ""

    def metric(self, name: str, **labels: str) -> float:
        """The sum of a metric's samples that carry these labels."""
        total = 0.0
        for family in text_string_to_metric_families(self.http.get("/metrics").text):
            for sample in family.samples:
                if sample.name == name and labels.items() <= sample.labels.items():
                    total += sample.value
        return total

    def health(self) -> dict[str, Any]:
        """``/health``."""
        answer: dict[str, Any] = self.http.get("/health").json()
        return answer

    def command(self, *words: str) -> tuple[int, str]:
        """The command line on this gateway's config: exit code and standard output."""
        done = commands().run([*words, "--config", str(self.file)], environ=self.environ)
        return done.returncode, done.stdout.decode() + (done.stderr.decode() if done.returncode else "")

    # ------------------------------------------------------------------ speaking to it
    def feed(self, account: str, rows: Any, *, secret: str = FEED_SECRET, message: str = "") -> httpx.Response:
        """Post rows as the Standard Webhooks library signs them."""
        body = rows if isinstance(rows, bytes) else json.dumps(rows, ensure_ascii=False).encode()
        return self.http.post(f"/in/{account}", content=body, headers=signed(body, secret=secret, message=message))


def signed(body: bytes, *, secret: str = FEED_SECRET, message: str = "", at: float | None = None) -> dict[str, str]:
    """Headers of a feed's post."""
    from_library = Webhook(secret)
    message = message or f"msg_{time.monotonic_ns():x}"
    when = _moment(time.time() if at is None else at)
    return {
        "content-type": "application/json",
        "webhook-id": message,
        "webhook-timestamp": str(int(when.timestamp())),
        "webhook-signature": from_library.sign(message, when, body.decode()),
    }


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def running(pid: int) -> bool:
    """Whether a process exists and is no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def contents(folder: Path) -> dict[str, bytes]:
    """Every file under a folder in which others are at work, by path. One that is renamed meanwhile is found under its new name."""

    def look() -> dict[str, bytes] | None:
        with suppress(FileNotFoundError):
            return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
        return None

    found: dict[str, bytes] = eventually(look, what="nothing is renamed for a moment")
    return found


def toml(tree: Mapping[str, Any], prefix: str = "") -> str:
    """A nested mapping as TOML."""
    plain = [f"{key} = {_value(value)}" for key, value in tree.items() if not isinstance(value, Mapping)]
    tables = [
        f"\n[{prefix}{key}]\n{toml(value, f'{prefix}{key}.')}"
        for key, value in tree.items()
        if isinstance(value, Mapping)
    ]
    return "\n".join([*plain, *tables])


def _value(value: Any) -> str:
    if isinstance(value, Sequence) and not isinstance(value, str):
        return f"[{', '.join(_value(one) for one in value)}]"
    return json.dumps(value, ensure_ascii=False)


def endpoint(receiver: Receiver, **more: Any) -> dict[str, Any]:
    """An endpoint's config for a receiver on this machine."""
    return {"url": receiver.url, "secret": SECRET, "allow_private": True, **more}


def orders(**more: Any) -> dict[str, Any]:
    """A feed account of orders."""
    return {"connector": "feed", "mapping": "feed/order", "secret": FEED_SECRET, **more}


def customers(**more: Any) -> dict[str, Any]:
    """A feed account of customers."""
    return {"connector": "feed", "mapping": "feed/customer", "secret": FEED_SECRET, **more}


def order(number: str, status: str = "paid", minute: int = 0, **more: Any) -> dict[str, Any]:
    """One order row as an ERP says it; ``minute`` moves its ``updated_at``."""
    return {
        "order_no": number,
        "customer_code": f"C-{number}",
        "status": status,
        "total": "199.00",
        "paid": "199.00" if status != "created" else "0",
        "created_at": "2026-11-11 08:00:00",
        "updated_at": f"2026-11-11 {8 + minute // 60:02}:{minute % 60:02}:00",
        **more,
    }


class Loop:
    """An event loop in a thread of its own, for partners that are written in asyncio."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, T], within: float = 20.0) -> T:
        """What ``work`` returns."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(within)

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        closed(self._loop)


class House:
    """Everything one test started, ended together."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._closers: list[Callable[[], None]] = []
        self._gateways = 0

    def receiver(self, answer: Callable[[dict[str, Any], int], Answer] | None = None) -> Receiver:
        one = Receiver(answer=answer)
        self._closers.append(one.close)
        return one

    def gateway(self, config: Config, *, start: bool = True, environ: Mapping[str, str] | None = None) -> Gateway:
        self._gateways += 1
        folder = self._folder / f"gateway{self._gateways}"
        folder.mkdir()
        one = Gateway(folder, config, environ)
        self._closers.append(one.close)
        if start:
            one.start()
        return one

    def client(self, gateway: Gateway) -> httpx.Client:
        """A client of its own for a thread: threads share none."""
        one = httpx.Client(base_url=f"http://127.0.0.1:{gateway.port}", trust_env=False, timeout=20.0)
        self._closers.append(one.close)
        return one

    def loop(self) -> Loop:
        one = Loop()
        self._closers.append(one.close)
        return one

    def beside(self, closer: Callable[[], None]) -> None:
        """End this too."""
        self._closers.append(closer)

    def close(self) -> None:
        for closer in reversed(self._closers):
            closer()


def built(folder: Path) -> Iterator[House]:
    """A house for a fixture."""
    house = House(folder)
    try:
        yield house
    finally:
        house.close()
