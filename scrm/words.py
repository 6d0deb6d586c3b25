"""Everything the pages say, in Chinese and in English. Codes of the model are looked up here and shown as they are when unknown."""

from collections.abc import Mapping

LANGUAGES = ("zh", "en")

WORDS: Mapping[str, tuple[str, str]] = {
    # the frame
    "customers": ("客户", "Customers"),
    "skip": ("跳到正文", "Skip to content"),
    "switch": ("English", "中文"),
    "switch_hint": ("Show this page in English", "以中文显示此页"),
    "foot": ("时间均为北京时间（Asia/Shanghai），悬停可见 UTC。", "Times are Asia/Shanghai; hover for UTC."),
    "pause": ("暂停刷新", "Pause updates"),
    "resume": ("继续刷新", "Resume updates"),
    # the list
    "search": ("搜索", "Search"),
    "search_label": ("姓名、电话、标签或订单号", "Name, phone, tag or order number"),
    "clear": ("清除", "Clear"),
    "found": ("“{words}” 的搜索结果", "Results for “{words}”"),
    "recent": ("最近活跃的客户", "Recently active customers"),
    "customer": ("客户", "Customer"),
    "contact": ("联系方式", "Contact"),
    "sources": ("来源", "Known through"),
    "orders": ("订单", "Orders"),
    "last_seen": ("最近动态", "Last activity"),
    "more": ("下一页", "Next page"),
    "first": ("回到第一页", "Back to the first page"),
    "none_yet": ("还没有客户", "No customers yet"),
    "none_yet_more": (
        "网关推送的第一个事件到达后，客户会出现在这里。",
        "They appear here as soon as the gateway delivers its first event.",
    ),
    "none_found": ("没有匹配的客户", "No customer matches"),
    "none_found_more": ("换一个姓名、电话或订单号试试。", "Try another name, phone or order number."),
    "latest": ("最新事件", "Latest events"),
    "no_events": ("还没有收到事件。", "No events received yet."),
    "appointments": ("预约", "Appointments"),
    "interactions": ("互动", "Interactions"),
    "events": ("事件", "Events"),
    "gaps": ("序号缺口", "Sequence gaps"),
    "gaps_hint": ("尚未收到的事件数，补到后归零", "Events not received yet; falls to zero as they arrive"),
    "duplicates": ("重复已忽略", "Duplicates ignored"),
    # one customer
    "unnamed": ("未具名客户", "Unnamed customer"),
    "erased_name": ("已注销客户", "Erased customer"),
    "erased": ("此客户的个人信息已按要求删除。", "This customer's personal data was erased on request."),
    "profile": ("资料", "Profile"),
    "gender": ("性别", "Gender"),
    "birthday": ("生日", "Birthday"),
    "national_id": ("证件号", "National ID"),
    "nickname": ("昵称", "Nickname"),
    "address": ("地址", "Address"),
    "phone": ("电话", "Phone"),
    "email": ("邮箱", "E-mail"),
    "im": ("社交账号", "IM"),
    "consent": ("营销许可", "Marketing consent"),
    "consent_yes": ("同意", "Given"),
    "consent_no": ("拒绝", "Refused"),
    "consent_none": ("未表态", "Not stated"),
    "deceased": ("已故，停止一切联络", "Deceased: no outreach"),
    "tags": ("标签", "Tags"),
    "verified": ("已验证", "verified"),
    "privacy": ("隐私号", "privacy number"),
    "masked": ("已脱敏", "masked"),
    "masked_hint": ("网关按授权脱敏，原文未送达", "Masked by the gateway as granted; the original was not sent"),
    "profile_empty": (
        "没有收到个人资料：来源没有提供，或没有授权给本系统。",
        "No personal details: the source did not give any, or they were not granted to this system.",
    ),
    "identities": ("身份", "Identities"),
    "accounts": ("来源账号", "Known through"),
    "events_count": ("{n} 个事件", "events: {n}"),
    "merged_ids": ("已并入的客户号", "Merged from"),
    "id": ("客户号", "Customer ID"),
    "paid_total": ("实付合计", "Total paid"),
    "refunded_total": ("其中已退 {money}", "{money} refunded"),
    "nothing_paid": ("—", "—"),
    "known_since": ("建档", "Known since"),
    "no_orders": ("还没有订单。", "No orders yet."),
    "no_appointments": ("没有预约。", "No appointments."),
    "no_relationships": ("还没有员工与此客户建立联系。", "No colleague is connected with this customer yet."),
    "no_timeline": ("还没有动态。", "Nothing has happened yet."),
    "order": ("订单", "Order"),
    "lifecycle": ("状态", "Lifecycle"),
    "payment": ("付款", "Payment"),
    "fulfilment": ("履约", "Fulfilment"),
    "aftersale": ("售后", "After-sale"),
    "flag.sum_mismatch": ("金额不符", "Sums disagree"),
    "flag.regressed": ("状态回退", "Status moved back"),
    "lines_more": ("另有 {n} 件商品", "{n} more items"),
    "refunded": ("已退 {money}", "{money} refunded"),
    "relationships": ("员工关系", "Relationships"),
    "since": ("始于", "since"),
    "until": ("止于", "until"),
    "staff": ("员工", "Colleague"),
    "timeline": ("动态", "Timeline"),
    "older": ("更早的动态", "Earlier"),
    "newest": ("回到最新", "Back to the latest"),
    "today": ("今天", "Today"),
    "yesterday": ("昨天", "Yesterday"),
    "late": ("迟到", "arrived late"),
    "late_hint": ("更新的事件已先到达，本条不改变记录", "A newer event came first; this one changed nothing"),
    "merged_from": ("并入 {id}", "Merged from {id}"),
    "missing": ("找不到这位客户", "No such customer"),
    "missing_more": ("这个客户号没有出现在任何已收到的事件里。", "No event received so far mentions this customer ID."),
    "no_page": ("没有这个页面", "No such page"),
    "no_page_more": ("请从客户列表继续。", "Continue from the list of customers."),
    "wrong": ("出了点问题", "Something went wrong"),
    "wrong_more": ("请稍后再试。", "Please try again in a moment."),
    "back": ("返回客户列表", "Back to customers"),
    # events
    "customer.created": ("新客户建档", "Customer created"),
    "customer.updated": ("资料更新", "Details updated"),
    "customer.merged": ("客户合并", "Customers merged"),
    "customer.unmerged": ("取消合并", "Merge undone"),
    "customer.erased": ("个人信息已删除", "Personal data erased"),
    "order.created": ("下单", "Order placed"),
    "order.paid": ("已付款", "Order paid"),
    "order.shipped": ("已发货", "Order shipped"),
    "order.delivered": ("已送达", "Order delivered"),
    "order.completed": ("交易完成", "Order completed"),
    "order.cancelled": ("订单取消", "Order cancelled"),
    "order.refunded": ("已退款", "Order refunded"),
    "order.updated": ("订单更新", "Order updated"),
    "order.aftersale": ("售后更新", "After-sale update"),
    "interaction.recorded": ("互动", "Interaction"),
    "relationship.started": ("建立联系", "Relationship started"),
    "relationship.ended": ("联系结束", "Relationship ended"),
    "relationship.updated": ("联系更新", "Relationship updated"),
    "appointment.booked": ("预约成功", "Appointment booked"),
    "appointment.changed": ("预约变更", "Appointment changed"),
    "appointment.cancelled": ("预约取消", "Appointment cancelled"),
    "appointment.completed": ("预约完成", "Appointment completed"),
    "staff.updated": ("员工更新", "Colleague updated"),
    "unit.updated": ("组织更新", "Unit updated"),
    "stock.updated": ("库存更新", "Stock updated"),
    # the four axes and other states: axis.value
    "lifecycle.created": ("已创建", "Created"),
    "lifecycle.confirmed": ("已确认", "Confirmed"),
    "lifecycle.processing": ("处理中", "Processing"),
    "lifecycle.completed": ("已完成", "Completed"),
    "lifecycle.cancelled": ("已取消", "Cancelled"),
    "lifecycle.closed": ("已关闭", "Closed"),
    "payment.unpaid": ("未付", "Unpaid"),
    "payment.partially_paid": ("部分付款", "Part paid"),
    "payment.paid": ("已付", "Paid"),
    "payment.partially_refunded": ("部分退款", "Part refunded"),
    "payment.refunded": ("已退款", "Refunded"),
    "payment.voided": ("已作废", "Voided"),
    "fulfilment.none": ("未发货", "Not shipped"),
    "fulfilment.on_hold": ("暂缓", "On hold"),
    "fulfilment.partially_shipped": ("部分发货", "Part shipped"),
    "fulfilment.shipped": ("已发货", "Shipped"),
    "fulfilment.delivered": ("已送达", "Delivered"),
    "fulfilment.partially_returned": ("部分退货", "Part returned"),
    "fulfilment.returned": ("已退货", "Returned"),
    "fulfilment.not_required": ("无需发货", "Not required"),
    "aftersale.none": ("无", "None"),
    "aftersale.open": ("处理中", "Open"),
    "aftersale.approved": ("已同意", "Approved"),
    "aftersale.completed": ("已完成", "Completed"),
    "aftersale.rejected": ("已拒绝", "Rejected"),
    "aftersale.withdrawn": ("已撤销", "Withdrawn"),
    "status.booked": ("已预约", "Booked"),
    "status.rescheduled": ("已改期", "Rescheduled"),
    "status.cancelled": ("已取消", "Cancelled"),
    "status.arrived": ("已到达", "Arrived"),
    "status.no_show": ("未到", "No-show"),
    "status.completed": ("已完成", "Completed"),
    "state.active": ("联系中", "Active"),
    "state.pending": ("待通过", "Pending"),
    "state.removed_by_customer": ("被客户删除", "Removed by customer"),
    "state.removed_by_staff": ("被员工删除", "Removed by colleague"),
    "state.blocked": ("已拉黑", "Blocked"),
    "state.transferred": ("已转接", "Transferred"),
    "unknown": ("未知", "Unknown"),
    "unsaid": ("未提供", "Not sent"),
    "gender.male": ("男", "Male"),
    "gender.female": ("女", "Female"),
    "gender.other": ("其他", "Other"),
    # kinds of interaction
    "type.follow": ("关注", "Follow"),
    "type.unfollow": ("取消关注", "Unfollow"),
    "type.message": ("消息", "Message"),
    "type.call": ("通话", "Call"),
    "type.visit": ("到访", "Visit"),
    "type.form": ("表单", "Form"),
    "type.review": ("评价", "Review"),
    "type.scan": ("扫码", "Scan"),
    "type.note": ("备注", "Note"),
    "type.report": ("报告已出", "Report ready"),
    "type.menu": ("点击菜单", "Menu click"),
    "type.group": ("群聊", "Group chat"),
    "type.payment": ("支付", "Payment"),
    "direction.in": ("来自客户", "from the customer"),
    "direction.out": ("发给客户", "to the customer"),
    # partners
    "connector.wecom": ("企业微信", "WeCom"),
    "connector.wechat": ("微信", "WeChat"),
    "connector.dingtalk": ("钉钉", "DingTalk"),
    "connector.feishu": ("飞书", "Feishu"),
    "connector.taobao": ("淘宝天猫", "Taobao"),
    "connector.jd": ("京东", "JD"),
    "connector.doudian": ("抖店", "Doudian"),
    "connector.douyin": ("抖音", "Douyin"),
    "connector.pinduoduo": ("拼多多", "Pinduoduo"),
    "connector.kuaishou": ("快手", "Kuaishou"),
    "connector.xiaohongshu": ("小红书", "Xiaohongshu"),
    "connector.meituan": ("美团", "Meituan"),
    "connector.eleme": ("饿了么", "Ele.me"),
    "connector.youzan": ("有赞", "Youzan"),
    "connector.hl7": ("医院 HL7", "Hospital HL7"),
    "connector.feed": ("业务系统", "Business feed"),
}


def word(lang: str, key: str, **values: object) -> str:
    """What ``key`` is called; KeyError for one that was never written down."""
    text = WORDS[key][LANGUAGES.index(lang)]
    return text.format(**values) if values else text


def name(lang: str, axis: str, code: str) -> str:
    """What a code of the model is called on ``axis``; itself when it is newer than these words."""
    if f"{axis}.{code}" in WORDS:
        return word(lang, f"{axis}.{code}")
    return word(lang, "unknown") if code == "unknown" else code


def choose(asked: str | None, accept: str) -> str:
    """The language to answer in: the one asked for, else the browser's first of ours (RFC 9110 §12.5.4), else Chinese."""
    if asked in LANGUAGES:
        return asked
    best, chosen = 0.0, LANGUAGES[0]
    for part in accept.split(","):
        tag, _, weight = part.strip().partition(";q=")
        language = tag.split("-")[0].lower()
        if language in LANGUAGES and (quality := _quality(weight)) > best:
            best, chosen = quality, language
    return chosen


def _quality(weight: str) -> float:
    try:
        return float(weight) if weight else 1.0
    except ValueError:
        return 0.0
