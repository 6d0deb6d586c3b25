"""What WeCom tells of: which event is which topic, when two callbacks are one, and what belongs together.

Source: WeCom developer documentation, "接收消息", "接收事件", "成员变更通知", "客户联系 › 事件格式", "微信客服 › 接收消息和事件".
"""

from collections.abc import Mapping

from connectors.wecom import protocol
from gateway.connector import Fetch, Text, Topic

TOPICS = (
    Topic(name="message", title=Text("成员发给应用的消息", "A member's message to the app"), mapping="message"),
    Topic(name="app_event", title=Text("应用事件", "Something a member did in the app"), mapping="app_event"),
    Topic(name="contact_change", title=Text("通讯录变更", "Members, departments or member tags changed"), mapping="organisation"),
    Topic(name="external_contact", title=Text("客户变更", "A customer was added, edited or lost"), mapping="relationship"),
    Topic(name="external_chat", title=Text("客户群变更", "A customer group changed"), mapping="external_chat"),
    Topic(name="external_tag", title=Text("企业客户标签变更", "The corp's customer tags changed")),
    Topic(name="acquisition", title=Text("获客助手", "An acquisition link was used or ran dry"), mapping="acquisition"),
    Topic(name="kf", title=Text("微信客服通知", "WeChat customer service has something new")),
    Topic(name="approval", title=Text("审批", "An approval moved")),
    Topic(name="archive_notify", title=Text("会话存档通知", "The session archive has something new")),
    Topic(name="job", title=Text("异步任务完成", "A batch job finished")),
    Topic(name="office", title=Text("日程、会议室、直播与应用状态", "Calendars, rooms, live streams, the app's own state")),
    Topic(name="suite", title=Text("服务商回调", "A provider's suite callback")),
    Topic(name="other", title=Text("其他", "Genuine, and not known to this version")),
    Topic(name="customer", title=Text("客户详情", "A customer as the API tells it"), mapping="customer"),
    Topic(name="follow", title=Text("客户与成员的关系", "One member's relation to a customer, as the API tells it"), mapping="relationship"),
    Topic(name="profile", title=Text("客户资料", "A customer whose relation is not confirmed yet")),
    Topic(name="user", title=Text("成员详情", "A member as the API tells it"), mapping="organisation"),
    Topic(name="department", title=Text("部门详情", "A department as the API tells it"), mapping="organisation"),
    Topic(name="chat", title=Text("客户群详情", "A customer group as the API tells it")),
    Topic(name="chat_member", title=Text("客户入群", "A customer is in a group"), mapping="chat_member"),
    Topic(name="kf_messages", title=Text("微信客服消息拉取", "New messages of a customer service account")),
    Topic(name="kf_message", title=Text("微信客服消息", "One message of WeChat customer service"), mapping="kf_message"),
)  # fmt: skip

_EVENTS = {
    "change_contact": "contact_change",
    "change_external_contact": "external_contact",
    "change_external_chat": "external_chat",
    "change_external_tag": "external_tag",
    "customer_acquisition": "acquisition",
    "msgaudit_notify": "archive_notify",
    "batch_job_result": "job",
    "kf_msg_or_event": "kf",
    "kf_account_auth_change": "kf",
    "open_approval_change": "approval",
    "sys_approval_change": "approval",
} | {
    event: topic
    for topic, events in {
        "app_event": (
            "subscribe unsubscribe enter_agent LOCATION click view view_miniprogram scancode_push scancode_waitmsg pic_sysphoto"
            " pic_photo_or_album pic_weixin location_select template_card_event template_card_menu_event taskcard_click"
        ),
        "office": (
            "share_agent_change share_chain_change close_inactive_agent reopen_inactive_agent inactive_alert low_active_alert"
            " modify_calendar delete_calendar add_schedule modify_schedule delete_schedule respond_schedule book_meeting_room"
            " cancel_meeting_room living_status_change change_school_contact"
        ),
    }.items()
    for event in events.split()
}


def topic(facts: Mapping[str, str]) -> str:
    """Where an event belongs; ``other`` for what we do not know, never nothing."""
    if "InfoType" in facts:
        return "suite"
    kind = facts.get("MsgType", "")
    if kind == "event":
        return _EVENTS.get(facts.get("Event", ""), "other")
    return "message" if kind else "other"


def dedupe_key(facts: Mapping[str, str], message: bytes) -> str:
    """Equal for a retry, different for two events.

    A message has its MsgId. An event has no id, and corp, member, customer and second together do not tell two apart (two customers
    added at once, a customer lost and added again): its whole content does. A retry is encrypted anew around the same content.
    """
    if facts.get("MsgType") != "event" and facts.get("MsgId"):
        return f"{facts.get('ToUserName', '')}:{facts['MsgId']}"
    return protocol.digest(message)


def partition_key(facts: Mapping[str, str]) -> str:
    """Whose order must be kept: the customer's, else the group's, the member's, the department's, else the corp's."""
    for name, kind in (("ExternalUserID", "customer"), ("ChatId", "chat"), ("OpenKfId", "kf"), ("UserID", "staff")):
        if facts.get(name):
            return f"{kind}:{facts[name]}"
    if facts.get("Event") == "change_contact" and facts.get("Id"):
        return f"unit:{facts['Id']}"
    sender = facts.get("FromUserName", "")
    return f"staff:{sender}" if sender not in ("", "sys") else "corp"


def reread(topic: str, facts: Mapping[str, str]) -> tuple[Fetch, ...]:
    """What the API has to be asked because the callback only points at it."""
    change = facts.get("ChangeType", "")
    if topic == "external_contact":
        return _of_the_customer(change, facts)
    if topic == "contact_change":
        return _of_the_org(change, facts)
    if topic == "external_chat" and facts.get("ChatId") and change in ("create", "update"):
        return (Fetch(topic="chat", key=facts["ChatId"]),)
    if topic == "kf" and facts.get("Token") and facts.get("OpenKfId"):
        return (Fetch(topic="kf_messages", key=f"{facts['OpenKfId']} {facts['Token']}"),)
    return ()


def _of_the_customer(change: str, facts: Mapping[str, str]) -> tuple[Fetch, ...]:
    customer = facts.get("ExternalUserID", "")
    if not customer:
        return ()
    # A transfer tells only what was taken away; who has the customer now stands in the API.
    moved = facts.get("Source") == "DELETE_BY_TRANSFER"
    if moved or change in ("add_external_contact", "edit_external_contact"):
        return (Fetch(topic="customer", key=customer),)
    # Listed as a follower's before the follower agreed: read who it is, leave the relation pending.
    if change == "add_half_external_contact":
        return (Fetch(topic="profile", key=customer),)
    return ()


def _of_the_org(change: str, facts: Mapping[str, str]) -> tuple[Fetch, ...]:
    member = facts.get("NewUserID") or facts.get("UserID", "")
    if change in ("create_user", "update_user") and member:
        return (Fetch(topic="user", key=member),)
    if change in ("create_party", "update_party") and facts.get("Id"):
        return (Fetch(topic="department", key=facts["Id"]),)
    return ()
