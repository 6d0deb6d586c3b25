"""The words of what partners are asked to do."""

WORDS: dict[str, tuple[str, str]] = {
    "an_title": ("对平台的操作", "Actions"),
    "an_hint": (
        "由拿到 actions:write 的接口调用方发起；“不明”表示平台可能已经执行，由人决定是否再来一次",
        "Asked for by clients with actions:write. Unknown: the partner may have done it, and a person decides whether it is repeated",
    ),
    "an_none": (
        "还没有人发起过操作；写法见 docs/guides/actions.md",
        "Nobody has asked for anything yet; docs/guides/actions.md shows how",
    ),
    "an_at": ("发起时间", "Asked"),
    "an_what": ("操作", "Action"),
    "an_whom": ("客户", "customer"),
    "an_state": ("状态", "State"),
    "an_tries": ("第 {n} 次", "try {n}"),
    "an_who": ("调用方", "Client"),
    "an_cause": ("原因", "Cause"),
    "an_decide": ("处理", "Decide"),
    "an_retry": ("再执行一次", "Do it again"),
    "an_drop": ("不再执行", "Let it be"),
    "an_reason": ("理由", "Reason"),
    "an_reason_needed": ("请写明理由", "Say why"),
    "an_nobody": ("没有这个操作", "There is no such action"),
    "an_moved": ("它的状态刚刚变了，请看最新状态", "It moved just now: look at how it stands"),
    "an_s_waiting": ("等待", "waiting"),
    "an_s_running": ("执行中", "running"),
    "an_s_unknown": ("不明", "unknown"),
    "an_s_done": ("完成", "done"),
    "an_s_refused": ("被拒绝", "refused"),
    "an_s_expired": ("已过期", "expired"),
    "an_s_cancelled": ("已取消", "cancelled"),
}
