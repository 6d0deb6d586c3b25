"""What stands in an e-mail about a batch of events: pure functions, in Chinese and English."""

import html as markup
from collections import Counter
from collections.abc import Sequence

from gateway.clock import moment
from gateway.destination import Message

_STYLE = "font-family:sans-serif;font-size:14px;border-collapse:collapse"
_CELL = "padding:4px 12px 4px 0;text-align:left;border-bottom:1px solid #ddd"


def subject(messages: Sequence[Message]) -> str:
    """How many, and of which types, the most frequent first; three of them at most."""
    counts = _counts(messages)
    named = ", ".join(f"{name} ×{count}" for name, count in counts[:3])
    more = " …" if len(counts) > 3 else ""
    return f"{len(messages)} 条事件 / {_plural(len(messages))}: {named}{more}"


def plain(messages: Sequence[Message]) -> str:
    """The count of each type, then a line for each event: time (UTC), type, subject."""
    lines = [
        f"{len(messages)} 条事件，内容见附件 events.ndjson。",
        f"{_plural(len(messages))}; their contents are in events.ndjson.",
        "",
    ]
    lines += [f"{count:>6}  {name}" for name, count in _counts(messages)]
    lines += ["", "时间 (UTC) / time            类型 / type  对象 / subject"]
    lines += [f"{_time(one)}  {one.type}  {one.subject}" for one in messages]
    return "\n".join(lines) + "\n"


def html(messages: Sequence[Message]) -> str:
    """The same as two tables; nothing is loaded from elsewhere."""
    counts = "".join(_row(str(count), name) for name, count in _counts(messages))
    events = "".join(_row(_time(one), one.type, one.subject) for one in messages)
    head = _row("时间 (UTC) / time", "类型 / type", "对象 / subject", cell="th")
    return (
        '<!doctype html><html lang="zh"><meta charset="utf-8"><body style="font-family:sans-serif;font-size:14px">'
        f"<p>{len(messages)} 条事件，内容见附件 events.ndjson。<br>{_plural(len(messages))}; their contents are in events.ndjson.</p>"
        f'<table style="{_STYLE}">{counts}</table><br><table style="{_STYLE}">{head}{events}</table></body></html>'
    )


def attachment(messages: Sequence[Message]) -> bytes:
    """One body a line, each exactly as the endpoint may see it."""
    return b"".join([message.body + b"\n" for message in messages])


def _counts(messages: Sequence[Message]) -> list[tuple[str, int]]:
    return sorted(Counter(message.type for message in messages).items(), key=lambda one: (-one[1], one[0]))


def _time(message: Message) -> str:
    return moment(message.at).strftime("%Y-%m-%d %H:%M:%S")


def _plural(count: int) -> str:
    return "1 event" if count == 1 else f"{count} events"


def _row(*cells: str, cell: str = "td") -> str:
    inner = "".join(f'<{cell} style="{_CELL}">{markup.escape(text)}</{cell}>' for text in cells)
    return f"<tr>{inner}</tr>"
