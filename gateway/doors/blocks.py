"""MLLP blocks: where one message ends and the next begins. MLLP release 1: ``VT content FS CR``. Pure."""

import msgspec

VT, FS, CR = b"\x0b", b"\x1c", b"\r"
_END = FS + CR
_RESTART = b"\x0bMSH"
_HEAD = 4096


class Counts(msgspec.Struct):
    """What a door has met since it was opened. ``junk`` counts bytes outside frames, the rest things."""

    connections: int = 0
    turned_away: int = 0
    frames: int = 0
    junk: int = 0
    restarted: int = 0
    too_large: int = 0
    timeouts: int = 0
    unanswered: int = 0


class Frame(msgspec.Struct, frozen=True):
    """One block's content. ``size`` is what was sent; a larger frame than allowed keeps only its first bytes."""

    content: bytes
    size: int

    @property
    def truncated(self) -> bool:
        """Whether content was let go."""
        return self.size > len(self.content)


class Framer:
    """Bytes in, frames out; however the stream is cut, the frames are the same.

    FS ends a frame, with CR behind it or without. Bytes between frames are skipped and counted, a CR after FS excepted. A frame that
    begins again (``VT MSH`` inside it: its sender gave up and started over) is its last beginning; any other VT is content, since word
    processors write it as a line break.
    """

    def __init__(self, max_frame: int, counts: Counts) -> None:
        self._max = max_frame
        self._counts = counts
        self._buffer = bytearray()
        self._scanned = 0
        self._ended = False
        self._skipping: Frame | None = None
        self.inside = False

    def feed(self, data: bytes) -> list[Frame]:
        """The frames that ``data`` completes, in order."""
        if not self.inside and data.startswith(VT) and data.endswith(_END) and data.find(FS) == len(data) - 2:
            self._ended = False
            return [self._frame(data[1:-2])]
        self._buffer += data
        frames: list[Frame] = []
        at = 0
        while (after := self._step(at, frames)) is not None:
            at = after
        return frames

    def _step(self, at: int, frames: list[Frame]) -> int | None:
        """Take one junk stretch or one frame from ``at``; None when the rest has to wait."""
        buffer = self._buffer
        if not self.inside:
            return self._seek(at)
        end = buffer.find(FS, max(at, self._scanned))
        if end < 0:
            self._hold(at)
            return None
        frames.append(self._finish(end - at, bytes(buffer[at:end])))
        self.inside, self._ended, self._scanned = False, True, 0
        return end + 1

    def _seek(self, at: int) -> int | None:
        buffer = self._buffer
        start = buffer.find(VT, at)
        junk = (len(buffer) if start < 0 else start) - at
        # The CR that belongs to the FS may come in a later segment.
        if self._ended and junk and buffer[at] == CR[0]:
            junk -= 1
        if start >= 0 or len(buffer) > at:
            self._ended = False
        self._counts.junk += junk
        if start < 0:
            buffer.clear()
            return None
        self.inside, self._scanned = True, start + 1
        return start + 1

    def _hold(self, at: int) -> None:
        """Keep an unfinished frame, or only its length once it is too large."""
        buffer = self._buffer
        size = len(buffer) - at
        if self._skipping is not None:
            self._skipping = Frame(self._skipping.content, self._skipping.size + size)
            buffer.clear()
        elif size > self._max:
            self._skipping = Frame(bytes(buffer[at : at + min(_HEAD, self._max)]), size)
            buffer.clear()
        else:
            del buffer[:at]
        self._scanned = len(buffer)

    def _finish(self, size: int, content: bytes) -> Frame:
        skipped, self._skipping = self._skipping, None
        if skipped is not None:
            self._counts.too_large += 1
            return Frame(skipped.content, skipped.size + size)
        return self._frame(content)

    def _frame(self, content: bytes) -> Frame:
        size = len(content)
        if size > self._max:
            self._counts.too_large += 1
            return Frame(content[: min(_HEAD, self._max)], size)
        # One byte is found far sooner than four.
        again = content.rfind(_RESTART) if VT in content else -1
        if again >= 0:
            self._counts.restarted += 1
            content = content[again + 1 :]
        return Frame(content, len(content))
