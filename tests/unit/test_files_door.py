"""The files door: what is dropped is taken once, said to be done only when it is, and never lost in between."""

import asyncio
import io
import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.feed import CARD
from connectors.feed.options import FeedOptions
from gateway.clock import TurnedClock
from gateway.connector import Accepted, Account, Reply, Request
from gateway.doors import files
from gateway.doors.files import FilesDoor, Part, Watched, split
from gateway.errors import JournalError

OK = Reply(status=202, body=b'{"accepted":1,"duplicates":0}')


class Receiver:
    """Answers as told, then with a 202; keeps what it was handed."""

    def __init__(self, *answers: Reply | Exception) -> None:
        self.answers = list(answers)
        self.requests: list[Request] = []

    async def __call__(self, account: str, request: Request) -> Reply:
        assert account == "erp"
        self.requests.append(request)
        answer = self.answers.pop(0) if self.answers else OK
        if isinstance(answer, Exception):
            raise answer
        return answer


class Feeding:
    """What the real receiver does with the real connector, with a set in place of the journal."""

    def __init__(self, mapping: str = "feed/customer", watch: str = "drop") -> None:
        options = FeedOptions(mapping=mapping, auth="none-on-loopback", watch=watch)
        self.connector = CARD.open(Account(name="erp", connector="feed", options=options), None)
        self.known: dict[str, bytes] = {}

    async def __call__(self, _account: str, request: Request) -> Reply:
        outcome = self.connector.receive(request)
        if not isinstance(outcome, Accepted):
            return outcome.reply
        if not outcome.events:
            return outcome.reply
        known = [event.dedupe_key in self.known for event in outcome.events]
        self.known |= {event.dedupe_key: event.payload for event in outcome.events}
        return outcome.settle(known)


def door(
    folder: Path, accept, *, form: str = "auto", rows: int = 1000, most: int = 1 << 20, clock=None
) -> Callable[[], int]:
    """A look at the folder, as often as it is called. The first look at a file only remembers it."""
    watched = Watched(account="erp", directory=folder, format=form)
    files_door = FilesDoor([watched], accept=accept, clock=clock or TurnedClock(), max_body=most, rows=rows)
    return lambda: asyncio.run(files_door.look(watched))


def drop(folder: Path, name: str, content: bytes | str) -> Path:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def said(folder: Path, name: str) -> dict:
    return json.loads((folder / name).read_bytes())


# ------------------------------------------------------------------ when
def test_a_file_is_taken_when_it_has_not_moved_between_two_looks(tmp_path: Path) -> None:
    """A file that is still being written is left alone."""
    receiver = Receiver()
    look = door(tmp_path, receiver)
    drop(tmp_path, "a.json", '{"customer_code":')
    assert look() == 0
    drop(tmp_path, "a.json", '{"customer_code": "C1"}')
    assert look() == 0
    assert look() == 1
    assert names(tmp_path) == ["a.json.done"]
    (request,) = receiver.requests
    assert (request.method, request.peer, request.path) == ("FILE", "file", "a.json")
    assert request.headers == {"content-type": "application/json"}
    assert request.body == b'{"customer_code": "C1"}'


def test_what_is_not_a_finished_file_is_left_alone(tmp_path: Path) -> None:
    """Hidden, temporary, empty, linked, a folder, and what the door itself wrote."""
    for name in (
        ".a.json",
        "a.json.tmp",
        "a.json.part",
        "b.json.done",
        "c.json.failed",
        "c.json.failed.json",
        "d.done.json",
    ):
        drop(tmp_path, name, "{}")
    drop(tmp_path, "empty.csv", "")
    (tmp_path / "folder.json").mkdir()
    (tmp_path / "link.json").symlink_to(tmp_path / ".a.json")
    before, receiver = names(tmp_path), Receiver()
    look = door(tmp_path, receiver)
    assert look() + look() + look() == 0
    assert (names(tmp_path), receiver.requests) == (before, [])


def test_files_are_taken_by_name(tmp_path: Path) -> None:
    """A sender that numbers its files is understood."""
    receiver = Receiver()
    for number in (3, 1, 2):
        drop(tmp_path, f"{number}.json", "{}")
    look = door(tmp_path, receiver)
    assert look() + look() == 3
    assert [request.path for request in receiver.requests] == ["1.json", "2.json", "3.json"]


def test_a_directory_that_is_away_is_waited_for(tmp_path: Path) -> None:
    """A share that is not mounted stops nothing."""
    folder = tmp_path / "share"
    receiver = Receiver()
    look = door(folder, receiver)
    assert look() + look() == 0
    folder.mkdir()
    drop(folder, "a.json", "{}")
    assert look() + look() == 1


# ------------------------------------------------------------------ what becomes of it
def test_a_second_file_of_the_same_name_keeps_the_first(tmp_path: Path) -> None:
    """What was taken yesterday stays to be looked at."""
    look = door(tmp_path, Receiver())
    for content in ("{}", "[]"):
        drop(tmp_path, "a.json", content)
        assert look() + look() == 1
    assert names(tmp_path) == ["a.json.2.done", "a.json.done"]
    assert (tmp_path / "a.json.done").read_text() == "{}"


def test_a_refused_file_is_failed_with_the_reply_beside(tmp_path: Path) -> None:
    """The reason stands where a person looks for it."""
    look = door(tmp_path, Feeding())
    drop(tmp_path, "a.json", '{"name": "x"}')
    assert look() + look() == 1
    assert names(tmp_path) == ["a.json.failed", "a.json.failed.json"]
    told = said(tmp_path, "a.json.failed.json")
    assert (told["file"], told["status"], told["refused"]) == ("a.json", 422, 1)
    assert told["problems"] == [{"row": 1, "field": "customer_code", "detail": told["problems"][0]["detail"]}]


def test_a_bad_row_in_a_good_file_is_said_beside_the_done_one(tmp_path: Path) -> None:
    """The good rows are taken, so the file is done; the bad one is not forgotten."""
    feeding = Feeding()
    look = door(tmp_path, feeding)
    drop(tmp_path, "a.csv", "customer_code,name\nC1,a\n,b\nC3,c\n")
    assert look() + look() == 1
    assert names(tmp_path) == ["a.csv.done", "a.csv.done.json"]
    told = said(tmp_path, "a.csv.done.json")
    assert (told["accepted"], told["refused"], told["problems"][0]["row"]) == (2, 1, 2)


def test_a_crash_between_the_journal_and_the_renaming_takes_the_file_again_as_duplicates(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is lost and nothing is new the second time."""
    feeding = Feeding()
    drop(tmp_path, "a.ndjson", '{"customer_code": "C1"}\n{"customer_code": "C2"}\n{}\n')

    def power_cut(_path: Path, _target: Path) -> None:
        raise KeyboardInterrupt

    look = door(tmp_path, feeding)
    look()
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(Path, "rename", power_cut)
        look()
    assert len(feeding.known) == 2
    assert "a.ndjson" in names(tmp_path)
    again = door(tmp_path, feeding)
    assert again() + again() == 1
    assert len(feeding.known) == 2
    told = said(tmp_path, "a.ndjson.done.json")
    assert (told["accepted"], told["duplicates"], told["refused"]) == (0, 2, 1)


def test_the_renaming_is_durable_and_comes_after_the_reply_beside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The directory is flushed after the renaming, the reply's file before it."""
    done: list[str] = []
    real = os.fsync

    def fsync(descriptor: int) -> None:
        done.append("directory" if os.path.isdir(f"/proc/self/fd/{descriptor}") else "file")
        done.append(",".join(sorted(name for name in os.listdir(tmp_path))))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    look = door(tmp_path, Feeding())
    drop(tmp_path, "a.json", "{}")
    assert look() + look() == 1
    assert done == ["file", "a.json,a.json.failed.json", "directory", "a.json.failed,a.json.failed.json"]


# ------------------------------------------------------------------ pushed back
@pytest.mark.parametrize(
    ("answer", "waits"),
    [
        (Reply(status=429, headers=(("retry-after", "30"),)), 30),
        (Reply(status=503, headers=(("retry-after", "7"),)), 7),
        (Reply(status=503), 5),
        (JournalError("disk full"), 5),
    ],
)
def test_a_file_that_is_pushed_back_waits_and_goes_on_where_it_was(
    tmp_path: Path, answer: Reply | Exception, waits: int
) -> None:
    """As long as it is told; the parts that were taken are not handed over again."""
    clock, receiver = TurnedClock(), Receiver(OK, answer)
    began = clock.monotonic()
    look = door(tmp_path, receiver, rows=1, clock=clock)
    drop(tmp_path, "a.ndjson", "{}\n{ }\n{  }\n")
    assert look() + look() == 1
    assert clock.monotonic() - began == waits
    assert [request.body for request in receiver.requests] == [b"{}\n", b"{ }\n", b"{ }\n", b"{  }\n"]
    assert names(tmp_path) == ["a.ndjson.done"]


def test_an_account_that_is_gone_fails_the_file(tmp_path: Path) -> None:
    """A 404 will not get better by waiting."""
    look = door(tmp_path, Receiver(Reply(status=404, body=b'{"title":"no such account","status":404}')))
    drop(tmp_path, "a.json", "{}")
    assert look() + look() == 1
    assert said(tmp_path, "a.json.failed.json")["titles"] == ["no such account"]


# ------------------------------------------------------------------ large files
def test_a_large_table_goes_in_parts_with_its_headings(tmp_path: Path) -> None:
    """Rows are counted through the whole file, blank lines and line breaks in quotes or not."""
    feeding = Feeding()
    rows = [f'C{number},"line\nbreak ""{number}"""' if number % 2 else f",b{number}" for number in range(1, 26)]
    drop(tmp_path, "a.csv", "\ufeffcustomer_code,name\r\n" + "\r\n\r\n".join(rows))
    look = door(tmp_path, feeding, rows=4)
    assert look() + look() == 1
    told = said(tmp_path, "a.csv.done.json")
    assert (told["accepted"], told["refused"]) == (13, 12)
    assert [problem["row"] for problem in told["problems"]] == list(range(2, 26, 2))
    assert json.loads(next(iter(feeding.known.values()))) == {"customer_code": "C1", "name": 'line\nbreak "1"'}


def test_one_refused_part_fails_the_file_and_hides_no_other(tmp_path: Path) -> None:
    """Its rows are named; the others are taken."""
    feeding = Feeding()
    drop(tmp_path, "a.jsonl", '{"customer_code": "C1"}\n{}\n{"customer_code": "C3"}\n')
    look = door(tmp_path, feeding, rows=1)
    assert look() + look() == 1
    told = said(tmp_path, "a.jsonl.failed.json")
    assert (told["status"], told["accepted"], told["refused"]) == (422, 2, 1)
    assert [problem["row"] for problem in told["problems"]] == [2]
    assert len(feeding.known) == 2


def test_a_part_without_numbered_problems_is_named_by_its_first_row(tmp_path: Path) -> None:
    """A person must be able to find the place."""
    refused = Reply(status=400, body=b'{"title":"Bad Request","status":400,"detail":"not readable"}')
    look = door(tmp_path, Receiver(OK, OK, refused), rows=2)
    drop(tmp_path, "a.jsonl", "{}\n" * 6)
    assert look() + look() == 1
    assert said(tmp_path, "a.jsonl.failed.json")["problems"] == [
        {"row": 5, "field": "", "detail": "Bad Request: not readable"}
    ]


def test_a_file_that_must_be_read_whole_and_is_too_large_is_not_read(tmp_path: Path) -> None:
    """A document cannot be cut; it fails without having been in memory."""
    receiver = Receiver()
    look = door(tmp_path, receiver, most=100)
    drop(tmp_path, "a.xml", "<a>" + "x" * 100 + "</a>")
    drop(tmp_path, "b.jsonl", "{}\n" + '"' + "x" * 200 + '"\n{}\n')
    assert look() + look() == 2
    assert said(tmp_path, "a.xml.failed.json")["status"] == 413
    told = said(tmp_path, "b.jsonl.failed.json")
    assert [problem["row"] for problem in told["problems"]] == [2]
    assert [request.body for request in receiver.requests] == [b"{}\n", b"{}\n"]


def test_the_accounts_format_wins_over_the_ending(tmp_path: Path) -> None:
    """An ERP that writes its CSV into .txt."""
    receiver = Receiver()
    look = door(tmp_path, receiver, form="csv", rows=1)
    drop(tmp_path, "a.txt", "h\n1\n2\n")
    assert look() + look() == 1
    assert [request.body for request in receiver.requests] == [b"h\n1\n", b"h\n2\n"]
    assert receiver.requests[0].headers == {"content-type": "text/csv"}


def parts(content: bytes, reading: str, rows: int = 3, most: int = 1000) -> Sequence[Part]:
    return list(split(io.BytesIO(content), reading, rows, most))


def test_a_quote_that_is_never_closed_does_not_swallow_the_file() -> None:
    """Beyond the longest cell there is, a line's end is a row's end again."""
    line = b"x" * 1000 + b"\n"
    content = b'h\n"' + line * 400
    found = parts(content, files.TABLE, rows=1, most=1 << 20)
    assert len(found) > 100
    assert b"".join(part.body[2:] for part in found) == content[2:]


def test_a_quote_inside_a_cell_is_only_a_sign() -> None:
    """``5" pipe`` opens nothing; a cell after another delimiter neither."""
    assert [part.body for part in parts(b'h,i\n5" pipe,1\n2;"a,2\n', files.TABLE, rows=1)] == [
        b'h,i\n5" pipe,1\n',
        b'h,i\n2;"a,2\n',
    ]
    assert [part.body for part in parts(b'h\ti\n1\t"a\nb"\n2\t3\n', files.TABLE, rows=1)] == [
        b'h\ti\n1\t"a\nb"\n',
        b"h\ti\n2\t3\n",
    ]


def test_a_file_of_headings_only_is_one_part() -> None:
    """It is handed over, so that it is answered."""
    assert [part.body for part in parts(b"h,i\n", files.TABLE)] == [b"h,i\n"]
    assert [part.body for part in parts(b"\n\n", files.LINES)] == [b""]


@settings(max_examples=300, deadline=None)
@given(
    lines=st.lists(
        st.binary(max_size=30).map(lambda line: line.replace(b"\n", b" ").replace(b"\r", b" ")), max_size=20
    ),
    rows=st.integers(1, 5),
    most=st.integers(10, 60),
)
def test_parts_of_lines_hold_every_line_once_and_no_part_is_too_large(lines: list[bytes], rows: int, most: int) -> None:
    """Whatever the lines are; what is too long is marked and counted."""
    found = parts(b"\n".join(lines), files.LINES, rows, most)
    kept = [line for line in lines if line.strip()]
    assert all(len(part.body) <= most for part in found)
    heard = [line for part in found for line in part.body.split(b"\n") if line.strip()]
    short = [
        line
        for number, line in enumerate(kept)
        if len(line) < most or (len(line) == most and number == len(kept) - 1 and line == lines[-1])
    ]
    assert heard == short
    assert sum(part.oversize for part in found) == len(kept) - len(short)


def test_the_watch_goes_on_until_it_is_cancelled(tmp_path: Path) -> None:
    """One task a directory; a held-up one does not hold the other."""
    slow, quick = tmp_path / "slow", tmp_path / "quick"
    slow.mkdir(), quick.mkdir()
    drop(slow, "a.json", "{}")
    drop(quick, "a.json", "{}")
    held = asyncio.Event()

    async def accept(account: str, _request: Request) -> Reply:
        if account == "slow":
            await held.wait()
        return OK

    async def watch() -> None:
        watched = [Watched(account=folder.name, directory=folder) for folder in (slow, quick)]
        running = asyncio.create_task(FilesDoor(watched, accept=accept, clock=TurnedClock(), max_body=100).run())
        async with asyncio.timeout(60):
            while not (quick / "a.json.done").exists():
                await asyncio.sleep(0)
        assert (slow / "a.json").exists()
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running

    asyncio.run(watch())
