"""The hospital's side: patients who register, are admitted, book, are examined, go home and are merged, told over MLLP on real sockets.

It speaks as hospitals here do: Chinese names, GB18030 or UTF-8, now and then a message sent twice, and a message that was not
acknowledged is sent again until it is.
"""

import asyncio
import random
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, timedelta
from urllib.parse import urlsplit

import msgspec

from connectors.hl7 import charset
from connectors.hl7.ack import raw_header
from gateway.clock import Clock, SystemClock, moment

_CHINA = timedelta(hours=8)
_ACK_WITHIN = 15.0
_PAUSES = (0.2, 0.5, 1.0, 2.0, 5.0)
_PER_CONNECTION = 150
_WAITING = 64
_FAMILIES = "王李张刘陈杨黄赵吴周徐孙马朱胡郭何高林罗乗亅乛俓"
_GIVEN = (
    "伟",
    "芳",
    "娜",
    "秀英",
    "敏",
    "静",
    "丽",
    "强",
    "磊",
    "军",
    "洋",
    "勇",
    "艳",
    "杰",
    "娟",
    "涛",
    "明",
    "超",
    "霞",
    "建国",
)
_WARDS = ("心内科", "骨科", "妇产科", "儿科", "眼科", "口腔科")
_TESTS = (("GLU", "空腹血糖"), ("CBC", "血常规"), ("MR-HEART", "心脏核磁"), ("XR-CHEST", "胸片"))
_SENDER = "HIS|SHDYYY^2.16.156.1^ISO|SCRM|GW"
# MSH-18's names of what an account of the simulator may speak.
_NAMES = {"gb18030": "GB 18030-2000", "utf-8": "UNICODE UTF-8"}


class Patient(msgspec.Struct):
    """Somebody the hospital knows. ``visit`` is the open visit's number, ``booking`` the next appointment's."""

    number: str
    name: str
    birth: str
    sex: str
    phone: str
    visit: str = ""
    booking: str = ""
    order: str = ""


class Told(msgspec.Struct, frozen=True):
    """One message: its control id, its bytes without framing, and the patient whose order it keeps."""

    control_id: str
    body: bytes
    patient: str


class Hospital:
    """Makes messages. The same ``seed`` and clock make the same ones."""

    def __init__(self, seed: int, clock: Clock, encoding: str = "GB18030", duplicates: float = 0.03) -> None:
        """``encoding`` is GB18030 or UTF-8 in any spelling (ValueError for another); ``duplicates`` the chance of sending a message twice."""
        codec = charset.codec(encoding) or ""
        if codec not in _NAMES:
            raise ValueError(f"a simulated hospital speaks GB18030 or UTF-8, not {encoding!r}")
        self._codec = codec
        self._random = random.Random(seed)
        self._clock = clock
        self._duplicates = duplicates
        self._prefix = f"{seed & 0xFF:02x}{clock.now() // 1_000_000 & 0xFFFFFFFF:08x}"
        self._count = self._registered_so_far = 0
        self._patients: list[Patient] = []

    def messages(self) -> list[Told]:
        """What happens next: one message, or twice the same."""
        told = self._next()
        return [told, told] if self._random.random() < self._duplicates else [told]

    # ------------------------------------------------------------------ what happens
    def _next(self) -> Told:
        chance = self._random.random()
        if len(self._patients) < 3 or chance < 0.25:
            return self._registered()
        patient = self._random.choice(self._patients)
        if chance < 0.45:
            return self._discharged(patient) if patient.visit else self._admitted(patient)
        if chance < 0.60:
            return self._booked(patient)
        if chance < 0.80:
            return self._reported(patient) if patient.order else self._ordered(patient)
        return self._merged(patient) if chance > 0.97 else self._updated(patient)

    def _registered(self) -> Told:
        draw = self._random
        self._registered_so_far += 1
        patient = Patient(
            number=f"{self._registered_so_far:07}{self._prefix[-3:].upper()}",
            name=draw.choice(_FAMILIES) + draw.choice(_GIVEN),
            birth=f"{draw.randint(1935, 2024)}{draw.randint(1, 12):02}{draw.randint(1, 28):02}",
            sex=draw.choice("MF"),
            phone=f"138001{draw.randint(0, 99999):05}",
        )
        self._patients.append(patient)
        return self._adt("A04", patient, self._pv1("O", self._id("V")))

    def _admitted(self, patient: Patient) -> Told:
        patient.visit = self._id("V")
        return self._adt("A01", patient, self._pv1("I", patient.visit))

    def _discharged(self, patient: Patient) -> Told:
        visit, patient.visit = patient.visit, ""
        return self._adt("A03", patient, self._pv1("I", visit))

    def _updated(self, patient: Patient) -> Told:
        patient.phone = f"139001{self._random.randint(0, 99999):05}"
        return self._adt("A08", patient)

    def _merged(self, patient: Patient) -> Told:
        others = [
            other
            for other in self._patients
            if other is not patient and not (other.visit or other.booking or other.order)
        ]
        if not others:
            return self._updated(patient)
        loser = self._random.choice(others)
        self._patients.remove(loser)
        return self._adt("A40", patient, f"MRG|{loser.number}^^^SHDYYY^MR", structure="ADT_A39")

    def _booked(self, patient: Patient) -> Told:
        event = self._random.choice(("S13", "S14", "S15")) if patient.booking else "S12"
        number = patient.booking or self._id("F")
        patient.booking = "" if event == "S15" else number
        start = self._now(timedelta(days=self._random.randint(1, 20)))[:12]
        code, name = self._random.choice(_TESTS)
        said = "Cancelled" if event == "S15" else "Booked"
        return self._message(
            f"SIU^{event}^SIU_S12", patient,
            f"SCH||{number}^RIS||||{'|' * 3}30|min|^^^{start}{'|' * 14}{said}", self._pid(patient), "RGS|1",
            f"AIS|1|A|{code}^{name}^L|{start}|||30|min", "AIL|1|A|^3^^门诊楼", "AIP|1|A|D001",
        )  # fmt: skip

    def _ordered(self, patient: Patient) -> Told:
        patient.order = self._id("O")
        code, name = self._random.choice(_TESTS)
        return self._message(
            "ORM^O01^ORM_O01", patient, self._pid(patient),
            f"ORC|NW|{patient.order}^HIS|||||||{self._now()}", f"OBR|1|{patient.order}^HIS||{code}^{name}^L",
        )  # fmt: skip

    def _reported(self, patient: Patient) -> Told:
        order, patient.order = patient.order, ""
        code, name = self._random.choice(_TESTS)
        return self._message(
            "ORU^R01^ORU_R01", patient, self._pid(patient), f"ORC|RE|{order}^HIS|L{order}^LIS",
            f"OBR|1|{order}^HIS|L{order}^LIS|{code}^{name}^L{'|' * 18}{self._now()}|||F",
            f"OBX|1|NM|{code}^{name}^L||{self._random.randint(30, 180) / 10}|mmol/L|||||F",
        )  # fmt: skip

    # ------------------------------------------------------------------ how it is written
    def _adt(self, event: str, patient: Patient, *more: str, structure: str = "") -> Told:
        kind = f"ADT^{event}^{structure or 'ADT_A01'}"
        return self._message(kind, patient, f"EVN|{event}|{self._now()}", self._pid(patient), *more)

    def _message(self, kind: str, patient: Patient, *segments: str) -> Told:
        control_id = self._id("M")
        header = f"MSH|^~\\&|{_SENDER}|{self._now()}||{kind}|{control_id}|P|2.5||||||{_NAMES[self._codec]}"
        body = "\r".join((header, *segments)) + "\r"
        return Told(control_id, body.encode(self._codec), patient.number)

    def _pid(self, patient: Patient) -> str:
        return (
            f"PID|1||{patient.number}^^^SHDYYY^MR||{patient.name}^^^^^^L||{patient.birth}|{patient.sex}|||"
            f"人民路{len(patient.number)}号^^苏州市^江苏省^215000^CHN^H||{patient.phone}^PRN^CP"
        )

    def _pv1(self, kind: str, visit: str) -> str:
        ward = self._random.choice(_WARDS)
        return f"PV1|1|{kind}|{ward}^101^1^SHDYYY||||D001^李^四{'|' * 12}{visit}"

    def _id(self, letter: str) -> str:
        self._count += 1
        return f"{letter}{self._prefix}{self._count:x}"

    def _now(self, later: timedelta = timedelta()) -> str:
        local = moment(self._clock.now()).astimezone(UTC) + _CHINA + later
        return f"{local:%Y%m%d%H%M%S}"


async def run(
    *,
    url: str,
    options: Mapping[str, str],
    rate: float,
    seconds: float | None,
    seed: int,
    tell: Callable[[str], None],
) -> int:
    """Send to ``mllp://host:port`` at ``rate`` messages a second, for ``seconds`` or until cancelled; how many were acknowledged AA or CA.

    ``options`` may name ``encoding`` (GB18030 or UTF-8). ``tell`` hears one line per refusal and per lost connection.
    """
    clock = SystemClock()
    hospital = Hospital(seed, clock, options.get("encoding", "GB18030"))
    host, port = urlsplit(url).hostname or "127.0.0.1", urlsplit(url).port or 2575
    lines = [_Line(host, port, clock, tell) for _ in range(1 + int(rate / _PER_CONNECTION))]
    async with asyncio.TaskGroup() as group:
        for line in lines:
            _ = group.create_task(line.run())
        try:
            async with asyncio.timeout(seconds):
                await _talk(hospital, lines, rate, clock)
        except TimeoutError:
            tell("the day is over; waiting for the last acknowledgments")
        for line in lines:
            line.finish()
    return sum(line.acknowledged for line in lines)


async def _talk(hospital: Hospital, lines: Sequence["_Line"], rate: float, clock: Clock) -> None:
    start, sent = clock.monotonic(), 0
    while True:
        for told in hospital.messages():
            # One patient, one connection: what happened to a person arrives in its order.
            await lines[sum(map(ord, told.patient)) % len(lines)].put(told)
            sent += 1
        await clock.sleep(max(0.0, start + sent / rate - clock.monotonic()))


class _Line:
    """One connection: the next message goes out when the last one was answered."""

    def __init__(self, host: str, port: int, clock: Clock, tell: Callable[[str], None]) -> None:
        self._address = host, port
        self._clock = clock
        self._tell = tell
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self._queue: asyncio.Queue[Told | None] = asyncio.Queue()
        self._room = asyncio.Semaphore(_WAITING)
        self._last: float | None = None
        self.acknowledged = 0

    async def put(self, told: Told) -> None:
        """Waits while too many are waiting already."""
        await self._room.acquire()
        self._queue.put_nowait(told)

    def finish(self) -> None:
        """Nothing more comes. What waits is still delivered, unless the gateway stays away."""
        self._last = self._clock.monotonic() + _ACK_WITHIN
        self._queue.put_nowait(None)

    async def run(self) -> None:
        """Until ``finish``."""
        try:
            while (told := await self._queue.get()) is not None:
                self._room.release()
                await self._deliver(told)
        finally:
            self._hang_up()

    async def _deliver(self, told: Told) -> None:
        """Again and again until there is an answer; after a lost one on a new connection, where no late answer can be taken for its."""
        tries = 0
        while self._last is None or self._clock.monotonic() < self._last:
            try:
                async with asyncio.timeout(_ACK_WITHIN):
                    code = await self._exchange(told)
            except (OSError, EOFError, TimeoutError) as error:
                self._hang_up()
                self._tell(f"{told.control_id}: {type(error).__name__}, sending it again")
                await self._clock.sleep(_PAUSES[min(tries, len(_PAUSES) - 1)])
                tries += 1
                continue
            if code in {"AA", "CA"}:
                self.acknowledged += 1
            else:
                self._tell(f"{told.control_id}: refused with {code}")
            return

    async def _exchange(self, told: Told) -> str:
        if self._streams is None:
            self._streams = await asyncio.open_connection(*self._address)
        reader, writer = self._streams
        writer.write(b"\x0b" + told.body + b"\x1c\r")
        await writer.drain()
        while True:
            block = await reader.readuntil(b"\x1c\r")
            code, control_id = answer(block)
            if control_id == told.control_id:
                return code

    def _hang_up(self) -> None:
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None


def answer(block: bytes) -> tuple[str, str]:
    """MSA-1 and MSA-2 of an acknowledgment as it came off the wire; ``""`` where it holds none."""
    body = block[block.rfind(b"\x0b") + 1 :]
    mark = raw_header(body).fields[1]
    for line in body.decode("latin-1").split("\r"):
        fields = line.split(mark or "|")
        if fields[0] == "MSA" and len(fields) > 2:
            return fields[1], fields[2]
    return "", ""
