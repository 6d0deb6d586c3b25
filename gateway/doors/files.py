"""The files door: a watched directory per account, whose files are taken in as if they had been posted.

A file that was taken becomes ``<name>.done``, one of which any part was refused ``<name>.failed``; what was said about it stands beside in
``<name>.failed.json`` (``<name>.done.json`` where single rows were refused). The renaming comes after the journal's commit: a crash in between
leaves the file in its place, it is read again, and its rows are answered as duplicates.

Files still being written are left alone: hidden ones, ``.tmp`` and ``.part``, empty ones, and any whose size or time moved since the last look.
Writing under another name and renaming into place is the way that needs no luck.
"""

import asyncio
import os
import stat
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import BinaryIO

import msgspec
import structlog

from gateway import durable
from gateway.clock import Clock
from gateway.connector import Reply, Request
from gateway.errors import GatewayError, Verdict

Accept = Callable[[str, Request], Awaitable[Reply]]

METHOD = "FILE"
PEER = "file"
LINES, TABLE, WHOLE = "lines", "table", "whole"

_log = structlog.get_logger()
_ENDS = (".done", ".failed", ".done.json", ".failed.json", ".tmp", ".part")
# How a file is read, and the content type its parts are handed over with.
_KINDS = {
    "ndjson": (LINES, "application/x-ndjson"),
    "jsonl": (LINES, "application/x-ndjson"),
    "csv": (TABLE, "text/csv"),
    "json": (WHOLE, "application/json"),
    "xml": (WHOLE, "application/xml"),
    "xlsx": (WHOLE, "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"),
}
_LATER = (429, 503)
_RETRY_AFTER = 5.0
_MOST_PROBLEMS = 10_000
# A quote that is never closed must not swallow the file: past this length a line's end is a row's end again.
_LONGEST_CELL = 1 << 18


class Watched(msgspec.Struct, frozen=True, kw_only=True):
    """One account's directory. ``format`` is the account's own (``csv``, ``ndjson`` …); with ``auto`` a file's ending says how to read it."""

    account: str
    directory: Path
    format: str = "auto"


class Part(msgspec.Struct, frozen=True):
    """Some of a file, complete rows with their headings. ``before`` is how many rows of the file came earlier; an ``oversize``
    part was not read."""

    body: bytes
    before: int = 0
    oversize: bool = False


class Answer(msgspec.Struct, frozen=True):
    """What of a connector's reply is carried over into the file beside; unknown members are not."""

    accepted: int = 0
    duplicates: int = 0
    refused: int = 0
    title: str = ""
    detail: str = ""
    problems: Sequence[dict[str, str | int | None]] = ()


class Verdicts(msgspec.Struct):
    """What was said about a file, all its parts together. ``status`` is the worst of them."""

    file: str
    status: int = 0
    accepted: int = 0
    duplicates: int = 0
    refused: int = 0
    titles: list[str] = msgspec.field(default_factory=list)
    problems: list[dict[str, str | int | None]] = msgspec.field(default_factory=list)

    @property
    def good(self) -> bool:
        """Whether every part was answered with a 2xx."""
        return 200 <= self.status < 300

    def add(self, part: Part, reply: Reply) -> None:
        """Count a reply in. Its rows are renumbered to the file's."""
        answer = _answer(reply)
        good = 200 <= reply.status < 300
        self.status = max(self.status, reply.status)
        self.accepted += answer.accepted
        self.duplicates += answer.duplicates
        self.refused += answer.refused
        words = ": ".join(word for word in (answer.title, answer.detail) if word)
        if words and words not in self.titles[-1:]:
            self.titles.append(words)
        problems = answer.problems
        if not (good or problems):
            problems = [{"row": None, "field": "", "detail": words}]
        room = max(_MOST_PROBLEMS - len(self.problems), 0)
        self.problems.extend(_moved(problem, part.before) for problem in problems[:room])


class FilesDoor:
    """Watches until cancelled. ``accept`` is the receiver's; ``max_body`` bounds, in bytes, a file that must be read whole and a part of
    one that need not; ``rows`` is how many rows make a part; ``every`` seconds the directories are looked through."""

    def __init__(
        self,
        watched: Sequence[Watched],
        *,
        accept: Accept,
        clock: Clock,
        max_body: int,
        every: float = 1.0,
        rows: int = 1000,
    ) -> None:
        self._watched = watched
        self._accept = accept
        self._clock = clock
        self._max_body = max_body
        self._every = every
        self._rows = rows
        self._seen: dict[Path, tuple[int, int]] = {}
        self._silenced: set[Path] = set()

    async def run(self) -> None:
        """One task a directory: a sender who is pushed back holds up only its own files."""
        async with asyncio.TaskGroup() as tasks:
            for watched in self._watched:
                tasks.create_task(self._watch(watched))

    async def look(self, watched: Watched) -> int:
        """Take every file that has not moved since the last look, by name. Returns how many were finished."""
        try:
            files = await asyncio.to_thread(_files, watched.directory)
        except OSError as error:
            self._complain(watched.directory, "files.directory_unreadable", watched, error)
            return 0
        self._silenced.discard(watched.directory)
        settled = [path for path, signature in files.items() if self._seen.get(path) == signature]
        self._seen = {path: was for path, was in self._seen.items() if path.parent != watched.directory} | files
        finished = 0
        for path in settled:
            finished += await self._take(watched, path)
        return finished

    async def _watch(self, watched: Watched) -> None:
        while True:
            await self.look(watched)
            await self._clock.sleep(self._every)

    async def _take(self, watched: Watched, path: Path) -> bool:
        verdicts = Verdicts(path.name)
        try:
            async with aclosing(self._parts(watched, path)) as parts:
                async for part, content_type in parts:
                    verdicts.add(part, await self._ask(watched, path, part, content_type))
            await asyncio.to_thread(_finish, path, verdicts)
        except OSError as error:
            # Gone, locked or unreadable: it stays where it is and is tried again with every look.
            self._complain(path, "files.unreadable", watched, error)
            return False
        self._silenced.discard(path)
        _log.info(
            "files.done" if verdicts.good else "files.failed",
            account=watched.account,
            accepted=verdicts.accepted,
            duplicates=verdicts.duplicates,
            refused=verdicts.refused,
        )
        return True

    async def _parts(self, watched: Watched, path: Path) -> AsyncGenerator[tuple[Part, str]]:
        form = path.suffix[1:].lower() if watched.format == "auto" else watched.format
        reading, content_type = _KINDS.get(form, (WHOLE, ""))
        with await asyncio.to_thread(path.open, "rb") as file:
            parts = split(file, reading, self._rows, self._max_body)
            while (part := await asyncio.to_thread(next, parts, None)) is not None:
                yield part, content_type

    async def _ask(self, watched: Watched, path: Path, part: Part, content_type: str) -> Reply:
        if part.oversize:
            return _too_large(self._max_body)
        while True:
            request = Request(
                method=METHOD,
                path=path.name,
                headers={"content-type": content_type} if content_type else {},
                body=part.body,
                peer=PEER,
                received_at=self._clock.now(),
            )
            try:
                reply = await self._accept(watched.account, request)
            except GatewayError as error:
                if error.verdict is Verdict.NEVER:
                    return Reply(status=500, body=msgspec.json.encode({"title": error.code}))
                wait = error.wait or _RETRY_AFTER
            else:
                if reply.status not in _LATER:
                    return reply
                wait = _retry_after(reply)
            await self._clock.sleep(wait)

    def _complain(self, path: Path, event: str, watched: Watched, error: OSError) -> None:
        # Once per trouble, not once a second: a share that is away for the night would fill the log.
        if path not in self._silenced:
            self._silenced.add(path)
            _log.warning(event, account=watched.account, error=error.strerror)


def split(file: BinaryIO, reading: str, rows: int, most: int) -> Iterator[Part]:
    """A file in parts of at most ``rows`` rows and ``most`` bytes, each to be read by itself; never more than two parts in memory.

    ``lines`` is a row a line. ``table`` is CSV: the headings are repeated in every part, and a line break inside quotes ends no row. UTF-8
    and GB18030 are told apart by nobody here: in both a line break and a quote are bytes of their own. ``whole`` is one part.
    """
    if reading == WHOLE:
        body = file.read(most + 1)
        yield Part(body[:most] if len(body) <= most else b"", oversize=len(body) > most)
        return
    records = _records(file, most, quoted=reading == TABLE)
    heading = next(records, b"") if reading == TABLE else b""
    yield from _gathered(records, heading, rows, most)


def _gathered(records: Iterator[bytes], heading: bytes, rows: int, most: int) -> Iterator[Part]:
    body, count, before, any_part = bytearray(heading), 0, 0, False
    for record in records:
        if count and (count == rows or len(body) + len(record) > most):
            yield Part(bytes(body), before)
            body, count, before, any_part = bytearray(heading), 0, before + count, True
        if len(heading) + len(record) > most:
            yield Part(b"", before, oversize=True)
            before, any_part = before + 1, True
            continue
        body += record
        count += 1
    if count or not any_part:
        yield Part(bytes(body), before)


def _records(file: BinaryIO, most: int, *, quoted: bool) -> Iterator[bytes]:
    """Rows with their line ends, blank lines left out. One longer than ``most`` bytes comes as its first ``most + 1``."""
    record, inside, delimiter = bytearray(), False, b""
    while line := file.readline(most + 1):
        if not record and not line.strip(b"\r\n" if quoted else None):
            continue
        if len(record) <= most:
            record += line[: most + 1 - len(record)]
        if quoted:
            delimiter = delimiter or max((b",", b";", b"\t"), key=line.count)
            inside = _inside_quotes(line, delimiter, inside=inside) and len(record) <= _LONGEST_CELL
        if inside or not line.endswith(b"\n"):
            continue
        yield bytes(record)
        record.clear()
    if record:
        yield bytes(record)


def _inside_quotes(line: bytes, delimiter: bytes, *, inside: bool) -> bool:
    """Whether a quoted cell goes on after this line. A quote opens a cell only at its beginning; two in a row are one of its text."""
    if b'"' not in line:
        return inside
    at = 0
    if not inside and line.removeprefix(b"\xef\xbb\xbf").startswith(b'"'):
        inside, at = True, line.index(b'"') + 1
    while True:
        at = line.find(b'"' if inside else delimiter + b'"', at)
        if at < 0:
            return inside
        if inside and line[at + 1 : at + 2] == b'"':
            at += 2
            continue
        at += 1 if inside else 2
        inside = not inside


def _files(directory: Path) -> dict[Path, tuple[int, int]]:
    """Regular files by name, with size and time. A link is not followed: it could lead to what is nobody's to send."""
    found: dict[Path, tuple[int, int]] = {}
    with os.scandir(directory) as entries:
        for entry in entries:
            if entry.name.startswith(".") or entry.name.endswith(_ENDS):
                continue
            status = entry.stat(follow_symlinks=False)
            if stat.S_ISREG(status.st_mode) and status.st_size:
                found[Path(entry.path)] = (status.st_size, status.st_mtime_ns)
    return dict(sorted(found.items()))


def _finish(path: Path, verdicts: Verdicts) -> None:
    ending = ".done" if verdicts.good else ".failed"
    target = _free(path, ending)
    if not verdicts.good or verdicts.refused:
        _write(target.with_name(target.name + ".json"), msgspec.json.encode(verdicts))
    path.rename(target)
    durable.sync(path.parent)


def _free(path: Path, ending: str) -> Path:
    """A name that no earlier file of the same name has."""
    target, number = path.with_name(path.name + ending), 1
    while target.exists():
        number += 1
        target = path.with_name(f"{path.name}.{number}{ending}")
    return target


def _write(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(msgspec.json.format(content))
        file.flush()
        os.fsync(file.fileno())


def _answer(reply: Reply) -> Answer:
    try:
        return msgspec.json.decode(reply.body, type=Answer)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return Answer()


def _moved(problem: dict[str, str | int | None], by: int) -> dict[str, str | int | None]:
    row = problem.get("row")
    if isinstance(row, int):
        return problem | {"row": row + by}
    # About a whole part: named by its first row, unless the part is the whole file.
    return problem | {"row": by + 1} if by else problem


def _too_large(most: int) -> Reply:
    detail = f"larger than {most} bytes"
    body = {"title": "Content Too Large", "detail": detail, "refused": 1}
    return Reply(status=413, body=msgspec.json.encode(body))


def _retry_after(reply: Reply) -> float:
    text = dict(reply.headers).get("retry-after", "")
    return float(text) if text.isascii() and text.isdigit() else _RETRY_AFTER
