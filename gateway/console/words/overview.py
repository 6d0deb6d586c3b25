"""The words of the overview."""

WORDS: dict[str, tuple[str, str]] = {
    "ov_well": ("一切正常", "All is well"),
    "ov_wrong": ("有 {n} 件事需要处理", "{n} things need a person"),
    "ov_wrong_one": ("有 1 件事需要处理", "One thing needs a person"),
    "ov_accepted": ("每秒接收", "Accepted per second"),
    "ov_delivered": ("每秒投递", "Delivered per second"),
    "ov_oldest": ("最久等待 {age} 秒", "oldest {age} s"),
    "ov_lane_live": ("实时通道", "Live lane"),
    "ov_lane_bulk": ("批量通道", "Bulk lane"),
    "ov_ack": ("应答耗时", "Answer time"),
    "ov_e2e": ("端到端耗时", "End to end"),
    "ov_p99": ("p99 {ms} 毫秒", "p99 {ms} ms"),
    "ov_counts": ("数量", "How many"),
    "ov_remedy": ("处理办法", "What to do"),
    "ov_no_samples": ("最近没有样本", "no samples lately"),
}
WORDS.update(
    {
        "tr_part": ("{name}：{reason}", "{name}: {reason}"),
        "tr_part_do": ("查看网关日志，按其中说明处理", "Read the gateway's log and do what it says"),
        "tr_dead": ("{n} 条死信等待处理", "{n} dead letters wait for somebody"),
        "tr_dead_do": (
            "按原因查看，修好映射后重试，或说明理由丢弃",
            "Look at them by cause; mend the mapping and retry, or drop with a reason",
        ),
        "tr_undelivered": ("{n} 次投递已放弃", "{n} deliveries were given up"),
        "tr_undelivered_do": ("先确认订阅端恢复，再重放", "See that the endpoint is well again, then replay"),
        "tr_actions": ("{n} 个操作不知道平台执行了没有", "Of {n} actions nobody knows whether the partner did them"),
        "tr_actions_do": (
            "在账号页面看每一个：再执行一次，或不再执行",
            "Look at each on its account's page: do it again, or let it be",
        ),
        "tr_matches": ("{n} 对疑似同一人等待确认", "{n} pairs may be one person"),
        "tr_matches_do": ("逐对比较后合并或拒绝", "Compare each pair; merge or reject it"),
        "tr_disabled": ("订阅端 {name} 已停用：{cause}", "Endpoint {name} is disabled: {cause}"),
        "tr_disabled_do": (
            "确认对方恢复后启用，再重放停用期间的事件",
            "When it is well again, enable it and replay what it missed",
        ),
        "tr_failing": ("订阅端 {name} 一直失败：{cause}", "Endpoint {name} keeps failing: {cause}"),
        "tr_failing_do": ("查看最近的投递尝试，联系对方", "Look at its last attempts and call whoever runs it"),
    }
)

WORDS.update(
    {
        "ct_dead_letters": ("死信", "Dead letters"),
        "ct_rejects": ("拒收", "Rejects kept"),
        "ct_candidates": ("疑似同一人", "Match candidates"),
        "ct_errands": ("待回查", "Re-reads to do"),
        "ct_deliveries.due": ("待投递", "Deliveries due"),
        "ct_deliveries.leased": ("投递中", "Under way"),
        "ct_deliveries.waiting": ("排队（按对象保序）", "In line behind another"),
        "ct_deliveries.done": ("已送达", "Delivered"),
        "ct_deliveries.dead": ("已放弃", "Given up"),
        "ct_deliveries.disabled": ("因停用未投", "Held by a disabled endpoint"),
        "ct_deliveries.cancelled": ("已取消", "Cancelled"),
        "ct_records.customer": ("客户", "Customers"),
        "ct_records.order": ("订单", "Orders"),
        "ct_records.appointment": ("预约", "Appointments"),
        "ct_records.interaction": ("互动", "Interactions"),
        "ct_records.relationship": ("好友关系", "Relationships"),
        "ct_records.unit": ("组织", "Org units"),
        "ct_records.staff": ("员工", "Staff"),
        "ct_records.stock": ("库存", "Stock levels"),
    }
)
COUNTS = tuple(key.removeprefix("ct_") for key in WORDS if key.startswith("ct_"))
"""What is counted on the overview, in this order."""
