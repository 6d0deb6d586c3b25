"""The words of the matches page."""

WORDS: dict[str, tuple[str, str]] = {
    "mt_hint": (
        "这些客户可能是同一个人，规则不敢自行合并。逐对比较后决定；合并可以撤销，拒绝后不再提示。",
        "These customers may be one person, and no rule dares to say so. Compare each pair; a merge can be undone, a refusal is for ever.",
    ),
    "mt_open": ("待处理", "To decide"),
    "mt_merged": ("已合并", "Merged"),
    "mt_rejected": ("已拒绝", "Kept apart"),
    "mt_none": ("没有待处理的配对", "No pair waits for a decision"),
    "mt_none_hint": ("新的疑似配对会自动出现在这里", "New pairs appear here by themselves"),
    "mt_merge": ("合并为一人", "Merge into one"),
    "mt_reject": ("不是同一人", "Not the same person"),
    "mt_why": ("依据", "Why"),
    "mt_shared": ("共同的标识", "Identities both carry"),
    "mt_shared_none": ("无", "none"),
    "mt_first": ("较早的客户", "The older customer"),
    "mt_second": ("较晚的客户", "The newer customer"),
    "mt_field": ("字段", "Field"),
    "mt_identities": ("各系统中的身份", "Identities in each system"),
    "mt_settled_merged": ("已合并", "They are one now"),
    "mt_settled_rejected": ("已记录：不是同一人", "Noted: they stay two"),
    "mt_settled_unmerged": ("已撤销合并", "They are two again"),
    "mt_found": ("发现于", "Found"),
}
