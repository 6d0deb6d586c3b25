"""What is said about an alert, in Chinese and in English: on the page, in the mail, in the group."""

from collections.abc import Mapping

import msgspec

from gateway.clock import text
from gateway.desk.alerts import Alert

LANGUAGES = ("zh", "en")

TITLES: Mapping[str, tuple[str, str]] = {
    "part": ("{name} 异常：{reason}", "{name}: {reason}"),
    "disk": ("磁盘只剩 {percent}% 可用", "Only {percent} % of the disk is free"),
    "backlog": (
        "{lane} 通道积压 {n} 条，最早的已等 {age} 秒",
        "{n} entries wait in the {lane} lane, the oldest for {age} s",
    ),
    "growing": ("{lane} 通道积压持续增长，现有 {n} 条", "The {lane} lane's backlog keeps growing: {n} entries"),
    "deliveries": ("{n} 次投递在排队", "{n} deliveries wait"),
    "dead": ("{n} 条死信等待处理", "{n} dead letters wait for somebody"),
    "actions": ("{n} 个操作不知道平台执行了没有", "Of {n} actions nobody knows whether the partner did them"),
    "silence": (
        "{name} 已 {minutes} 分钟没有数据，通常不超过 {usual} 分钟",
        "{name} has said nothing for {minutes} min; {usual} min is the most that is usual",
    ),
    "token": ("{name} 的平台凭证无法续期：{cause}", "The platform credential of {name} cannot be renewed: {cause}"),
    "grant": ("{name} 的 {what} 授权将在 {hours} 小时内到期", "The grant of {what} to {name} ends within {hours} h"),
    "client": ("调用方 {name}{what} 将在 {hours} 小时内到期", "API client {name}{what} ends within {hours} h"),
    "circuit": ("订阅端 {name} 已熔断，暂停投递", "The circuit of endpoint {name} is open: nothing is tried"),
    "partner": ("{name} 的平台接口已熔断，暂停调用", "Calls to the platform of {name} rest: its circuit is open"),
    "disabled": ("订阅端 {name} 已停用：{cause}", "Endpoint {name} is disabled: {cause}"),
    "failing": ("订阅端 {name} 一直失败：{cause}", "Endpoint {name} keeps failing: {cause}"),
    "unpolled": (
        "自 {since} 起无人拉取订阅端 {name}，{n} 条在等待，最早的是 {oldest}",
        "Nobody has polled endpoint {name} since {since}: {n} wait, the oldest from {oldest}",
    ),
    "unknown": ("{name} 出现未知取值", "{name} sends values that no table knows"),
    "altered": ("有加密数据被改动", "Sealed values were altered"),
    "chain": ("审计链不完整：{cause}", "The audit chain is not whole: {cause}"),
}
"""By kind; the places are the finding's facts."""

REMEDIES: Mapping[str, tuple[str, str]] = {
    "part": ("查看网关日志，按其中说明处理", "Read the gateway's log and do what it says"),
    "disk": (
        "清理磁盘或扩容；写满后网关会拒收新数据",
        "Free some room or add some: when it is full the gateway turns new data away",
    ),
    "backlog": (
        "看处理进程是否正常、是否有来源突然放量；批量通道可以先限速",
        "See whether the worker is well and who sends more than usual; slow bulk senders down first",
    ),
    "growing": ("处理跟不上接收：看总览里的速率与错误", "More comes in than is worked off: compare the rates on the overview"),
    "deliveries": ("看哪个订阅端变慢或失败", "See which endpoint is slow or failing"),
    "dead": ("按原因查看，修好映射后重试，或说明理由丢弃", "Look at them by cause; mend the mapping and retry, or drop with a reason"),
    "actions": ("在账号页面逐个查看：再执行一次，或不再执行", "Look at each on its account's page: do it again, or let it be"),
    "silence": ("联系对方确认是否停发，检查回调地址与网络", "Ask the partner whether they stopped; check the callback address and the network"),
    "token": ("核对密钥、应用权限和 IP 白名单，在连接器页点“诊断”", "Check the secret, the app's permission and the allow-list; run the doctor on the connector's page"),
    "grant": ("需要就续期，不需要就让它到期", "Renew it if it is still needed, or let it end"),
    "client": ("需要就续期，不需要就让它到期", "Renew it if it is still needed, or let it end"),
    "circuit": ("等对方恢复；网关会自行试探并续投", "Wait for the other side: the gateway probes by itself and goes on"),
    "partner": ("等平台恢复；长时间不恢复就点“诊断”", "Wait for the platform; run the doctor if it lasts"),
    "disabled": ("确认对方恢复后启用，再重放停用期间的事件", "When it is well again, enable it and replay what it missed"),
    "failing": ("查看最近的投递尝试，联系对方", "Look at its last attempts and call whoever runs it"),
    "unpolled": (
        "联系负责拉取的系统；超过该订阅端的 disable_after 会自动停用，之后可重放",
        "Call whoever should poll it; after its disable_after it is disabled, and what it missed can be replayed",
    ),
    "unknown": ("在映射的对照表里补上新取值，再重放", "Add the value to the mapping's table, then replay"),
    "altered": ("停止改动数据库，从备份核对，并查审计", "Stop whoever changes the database, compare with a backup, and read the audit trail"),
    "chain": ("保留现场，从备份核对审计库，查谁能写数据目录", "Keep everything as it is, compare with a backup, and find who can write to the data folder"),
}  # fmt: skip


class Notice(msgspec.Struct, frozen=True, kw_only=True):
    """One thing to tell one channel. ``id`` is the same for every try. ``phase`` is started, ended or test; ``link`` is a whole URL, or empty."""

    id: str
    phase: str
    at: int
    kind: str
    about: str
    level: str
    title: str
    remedy: str
    since: int
    ended: int | None
    facts: Mapping[str, str | int]
    link: str = ""


def title_of(alert: Alert, lang: str) -> str:
    """What is wrong, in one sentence."""
    said = TITLES[alert.found.kind][LANGUAGES.index(lang)]
    # A cause may hold braces: only the sentence is a pattern.
    return said.format(**alert.found.facts)


def remedy_of(kind: str, lang: str) -> str:
    """What to do."""
    return REMEDIES[kind][LANGUAGES.index(lang)]


_HEADS = {
    "started": ("告警", "Alert"),
    "ended": ("恢复", "Recovered"),
    "test": ("测试", "Test"),
}


def subject(notice: Notice, lang: str) -> str:
    """One line."""
    return f"[{_HEADS[notice.phase][LANGUAGES.index(lang)]}] {notice.title}"


def lines(notice: Notice, lang: str) -> list[tuple[str, str]]:
    """Label and value."""
    zh = lang == "zh"
    rows = [("级别" if zh else "Level", _level(notice.level, zh=zh)), ("开始" if zh else "Since", text(notice.since))]
    if notice.ended is not None:
        rows.append(("恢复" if zh else "Ended", text(notice.ended)))
    if notice.phase == "started":
        rows.append(("处理办法" if zh else "What to do", notice.remedy))
    return rows


def _level(level: str, *, zh: bool) -> str:
    words = {"bad": ("严重", "serious"), "warn": ("注意", "warning")}[level]
    return words[0] if zh else words[1]


def plain(notice: Notice, lang: str) -> str:
    """A mail's text."""
    rows = [subject(notice, lang), "", *(f"{label}: {value}" for label, value in lines(notice, lang))]
    return "\n".join([*rows, *(["", notice.link] if notice.link else [])]) + "\n"


_MOST = 4096
_CALMED = str.maketrans("<>[]\n*`", "‹›() ·'")
_COLOURS = {"started": "warning", "ended": "info", "test": "comment"}


def markdown(notice: Notice, lang: str) -> str:
    """For a WeCom group robot: at most 4096 bytes, in its own dialect (developer.work.weixin.qq.com/document/path/91770)."""
    head = _HEADS[notice.phase][LANGUAGES.index(lang)]
    rows = [f'**<font color="{_COLOURS[notice.phase]}">{head}</font> {_calm(notice.title)}**']
    rows += [f"> {label}: {_calm(value)}" for label, value in lines(notice, lang)]
    if notice.link:
        rows.append(f"[{'打开运维台' if lang == 'zh' else 'Open the console'}]({notice.link})")
    return "\n".join(rows).encode()[:_MOST].decode(errors="ignore")


def _calm(said: str) -> str:
    """A cause is somebody else's text: it must not become a link or a mention."""
    return said.translate(_CALMED)
