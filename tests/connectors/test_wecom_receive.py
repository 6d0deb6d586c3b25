"""What WeCom's callbacks become: challenges, entries and refusals."""

import json
from pathlib import Path
from typing import Any
from urllib.parse import quote

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from wechatpy.enterprise.crypto import WeChatCrypto

from connectors.wecom import CARD, protocol
from connectors.wecom.account import MAX_BODY
from gateway.clock import SECOND
from gateway.connector import Accepted, Challenge, Fetch, Inbound, Outcome, Reason, Refused, Request, Secret
from gateway.errors import ConfigError, PayloadError
from tests.connectors.wecom_kit import CORP, KEY, NOW, TOKEN, enveloped, event, opened, post, xml

VECTORS = json.loads((Path(__file__).parent / "vectors" / "wecom.json").read_text("utf-8"))
RECEIVE = opened().receive


def kept(outcome: Outcome) -> Inbound:
    assert isinstance(outcome, Accepted), outcome
    (one,) = outcome.events
    return one


def refused(outcome: Outcome) -> tuple[Reason, int, bytes]:
    assert isinstance(outcome, Refused), outcome
    return outcome.reason, outcome.reply.status, outcome.reply.body


# ---------------------------------------------------------------------- the URL check
@pytest.mark.parametrize(
    "vector", [one for one in VECTORS if one["kind"] == "url_verify_get"], ids=lambda one: str(one["n"])
)
@pytest.mark.parametrize(
    "spoil", [quote, lambda text: text, lambda text: text.replace("+", "%20")], ids=["encoded", "plus", "space"]
)
def test_a_published_url_check_is_answered_with_exactly_the_plaintext(vector: Any, spoil: Any) -> None:
    """However the + of the base64 survived the way here."""
    told, expected = vector["inputs"], vector["expected"]
    connector = opened(
        tolerance=None,
        token=Secret(told["token"]),
        encoding_aes_key=Secret(told["encoding_aes_key"]),
        corp_id=expected["receive_id"],
    )
    query = f"echostr={spoil(told['encrypt'])}&msg_signature={expected['msg_signature']}&timestamp={told['timestamp']}&nonce={told['nonce']}"
    outcome = connector.receive(Request(method="GET", query=query, received_at=0))
    assert isinstance(outcome, Challenge)
    assert outcome.reply.status == 200
    assert outcome.reply.body == expected["plaintext"].encode()


def test_a_url_check_without_echostr_is_malformed() -> None:
    """A GET of the bare address tells nothing."""
    assert refused(RECEIVE(Request(method="GET", query="", received_at=0))) == (Reason.MALFORMED, 400, b"")


# ---------------------------------------------------------------------- an independent caller
def test_an_independent_sdk_calls_and_is_understood() -> None:
    """wechatpy encrypts and signs; the payload is what it was given."""
    message = event(
        "change_external_contact", "add_external_contact", UserID="zhangsan", ExternalUserID="wm1", State="店头"
    )
    body = WeChatCrypto(TOKEN, KEY, CORP).encrypt_message(message.decode(), "nonce1", str(NOW))
    fields = protocol.facts(body.encode())
    query = f"msg_signature={fields['MsgSignature']}&timestamp={NOW}&nonce=nonce1"
    outcome = RECEIVE(Request(query=query, body=body.encode(), received_at=NOW * SECOND))
    assert isinstance(outcome, Accepted)
    assert outcome.reply.body == b"success"
    assert kept(outcome).payload == message
    assert kept(outcome).topic == "external_contact"


def test_an_independent_sdk_reads_the_welcome() -> None:
    """The passive answer is signed and sealed for the corp, and the same when the callback comes again."""
    connector = opened(welcome_text="欢迎]]>加入", agent_id="1000002")
    request = post(xml(ToUserName=CORP, FromUserName="zhangsan", MsgType="event", Event="subscribe", AgentID="1000002"))
    outcome = connector.receive(request)
    assert isinstance(outcome, Accepted)
    fields = protocol.facts(outcome.reply.body)
    told = WeChatCrypto(TOKEN, KEY, CORP).decrypt_message(
        outcome.reply.body.decode(), fields["MsgSignature"], fields["TimeStamp"], fields["Nonce"]
    )
    inner = protocol.facts(told.encode())
    assert (inner["ToUserName"], inner["FromUserName"]) == ("zhangsan", CORP)
    assert (inner["MsgType"], inner["Content"]) == ("text", "欢迎]]>加入")
    assert connector.receive(request) == outcome


@pytest.mark.parametrize(
    "fields", [{"Event": "subscribe", "AgentID": "7"}, {"Event": "enter_agent", "AgentID": "1000002"}]
)
def test_the_welcome_is_for_new_members_of_this_app_only(fields: dict[str, str]) -> None:
    """Another app's subscriber and somebody who merely opens the app hear ``success``."""
    connector = opened(welcome_text="欢迎", agent_id="1000002")
    outcome = connector.receive(post(xml(ToUserName=CORP, FromUserName="zhangsan", MsgType="event", **fields)))
    assert isinstance(outcome, Accepted)
    assert outcome.reply.body == b"success"


def test_a_json_callback_is_understood() -> None:
    """The JSON variant: the same four values signed, keys in lower case outside."""
    message = json.dumps(
        {"ToUserName": CORP, "FromUserName": "lisi", "MsgType": "text", "Content": "你好", "MsgId": 4561255354251345929}
    )
    sealed = protocol.Box(KEY).close(message.encode(), CORP, b"0" * 16)
    body = json.dumps({"tousername": CORP, "encrypt": sealed, "agentid": "218"}).encode()
    entry = kept(RECEIVE(enveloped(body, sealed, "n", NOW)))
    assert (entry.topic, entry.dedupe_key, entry.partition_key) == (
        "message",
        f"{CORP}:4561255354251345929",
        "staff:lisi",
    )


# ---------------------------------------------------------------------- what is one and what is two
def test_a_retry_is_the_same_event_though_its_envelope_differs() -> None:
    """Another nonce, another second, other random bytes: one key."""
    message = event("change_external_contact", "add_external_contact", UserID="a", ExternalUserID="wm1")
    first, again = kept(RECEIVE(post(message))), kept(RECEIVE(post(message, nonce="99", at=NOW + 5)))
    assert first == again


@pytest.mark.parametrize(
    "field", ["AgentID", "UserID", "ExternalUserID", "ChatId", "Id", "CreateTime", "JobId", "TaskId", "State"]
)
def test_events_that_differ_in_one_field_are_two(field: str) -> None:
    """Two customers added in the same second are two, and so is everything else the platform tells apart."""
    common = {
        "ToUserName": CORP,
        "MsgType": "event",
        "Event": "change_external_contact",
        "ChangeType": "add_external_contact",
    }
    one, two = (kept(RECEIVE(post(xml(**common, **{field: value})))) for value in ("1", "2"))
    assert one.dedupe_key != two.dedupe_key


def test_a_customer_lost_and_added_again_within_a_second_is_two_events() -> None:
    """Corp, member, customer and second are equal; the change is not."""
    lost, added = (
        kept(RECEIVE(post(event("change_external_contact", change, UserID="a", ExternalUserID="wm1"))))
        for change in ("del_follow_user", "add_external_contact")
    )
    assert lost.dedupe_key != added.dedupe_key
    assert lost.partition_key == added.partition_key == "customer:wm1"


CATALOGUE = [
    *[(xml(MsgType=kind, MsgId="1", FromUserName="u", ToUserName=CORP), "message", "staff:u")
      for kind in ("text", "image", "voice", "video", "location", "link", "something_new")],
    *[(xml(MsgType="event", Event=name, FromUserName="u", AgentID="1"), "app_event", "staff:u")
      for name in ("subscribe", "unsubscribe", "enter_agent", "LOCATION", "click", "view", "view_miniprogram", "scancode_push",
                   "scancode_waitmsg", "pic_sysphoto", "pic_photo_or_album", "pic_weixin", "location_select", "template_card_event",
                   "template_card_menu_event", "taskcard_click")],
    *[(event("change_contact", change, UserID="u"), "contact_change", "staff:u") for change in ("create_user", "update_user", "delete_user")],
    *[(event("change_contact", change, Id="2"), "contact_change", "unit:2") for change in ("create_party", "update_party", "delete_party")],
    (event("change_contact", "update_tag", TagId="1"), "contact_change", "corp"),
    *[(event("change_external_contact", change, UserID="u", ExternalUserID="wm"), "external_contact", "customer:wm")
      for change in ("add_external_contact", "edit_external_contact", "add_half_external_contact", "del_external_contact",
                     "del_follow_user", "transfer_fail", "msg_audit_approved")],
    *[(event("change_external_chat", change, ChatId="wr"), "external_chat", "chat:wr") for change in ("create", "update", "dismiss")],
    *[(event("change_external_tag", change, Id="et"), "external_tag", "corp") for change in ("create", "update", "delete", "shuffle")],
    (event("msgaudit_notify", AgentID="2000004"), "archive_notify", "corp"),
    (event("customer_acquisition", "customer_start_chat", UserID="u", ExternalUserID="wm"), "acquisition", "customer:wm"),
    (event("customer_acquisition", "balance_low"), "acquisition", "corp"),
    (event("kf_msg_or_event", Token="t", OpenKfId="wk"), "kf", "kf:wk"),
    (event("kf_account_auth_change"), "kf", "corp"),
    (event("open_approval_change"), "approval", "corp"),
    (event("sys_approval_change"), "approval", "corp"),
    (event("batch_job_result"), "job", "corp"),
    *[(event(name), "office", "corp")
      for name in ("share_agent_change", "share_chain_change", "close_inactive_agent", "reopen_inactive_agent", "inactive_alert",
                   "low_active_alert", "modify_calendar", "delete_calendar", "add_schedule", "modify_schedule", "delete_schedule",
                   "respond_schedule", "book_meeting_room", "cancel_meeting_room", "living_status_change", "change_school_contact")],
    *[(xml(SuiteId="ww", InfoType=name, TimeStamp="1"), "suite", "corp")
      for name in ("suite_ticket", "create_auth", "change_auth", "cancel_auth", "reset_permanent_code", "change_external_contact")],
    (event("made_up_next_year"), "other", "corp"),
    (b"<xml/>", "other", "corp"),
    (b"<xml><cut off", "other", "corp"),
    (b'<!DOCTYPE xml [<!ENTITY a "b">]><xml><MsgType>&a;</MsgType></xml>', "other", "corp"),
    (b"", "other", "corp"),
]  # fmt: skip


@pytest.mark.parametrize(("message", "topic", "partition"), CATALOGUE)
def test_everything_genuine_lands_in_a_topic_and_is_kept_as_it_came(message: bytes, topic: str, partition: str) -> None:
    """Also what this version does not know and what cannot be read."""
    entry = kept(RECEIVE(post(message)))
    assert (entry.topic, entry.partition_key, entry.payload) == (topic, partition, message)
    assert CARD.topic(topic).lane is not None


# ---------------------------------------------------------------------- refusals
MESSAGE = event("change_external_contact", "add_external_contact", UserID="a", ExternalUserID="wm1")
GOOD = post(MESSAGE)
REFUSALS = {
    "no query": (msgspec.structs.replace(GOOD, query=""), Reason.SIGNATURE, 403),
    "another token": (post(MESSAGE, token="other"), Reason.SIGNATURE, 403),
    "nonce changed": (
        msgspec.structs.replace(GOOD, query=GOOD.query.replace("nonce=1", "nonce=2")),
        Reason.SIGNATURE,
        403,
    ),
    "body changed": (msgspec.structs.replace(GOOD, body=GOOD.body.replace(b"A[", b"A[A")), Reason.SIGNATURE, 403),
    "signature not ASCII": (msgspec.structs.replace(GOOD, query="msg_signature=%E7%AD%BE"), Reason.SIGNATURE, 403),
    "too old": (post(MESSAGE, at=NOW - 601), Reason.STALE, 403),
    "too early": (post(MESSAGE, at=NOW + 601), Reason.STALE, 403),
    "time in words": (enveloped(GOOD.body, protocol.encrypted(GOOD.body), "n", "soon"), Reason.STALE, 403),  # type: ignore[arg-type]
    "another key": (post(MESSAGE, key="abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG"), Reason.DECRYPT, 403),
    "not base64": (enveloped(b"<xml><Encrypt>!</Encrypt></xml>", "!", "n", NOW), Reason.DECRYPT, 403),
    "another corp": (post(MESSAGE, receive_id="wwother"), Reason.RECEIVER, 403),
    "no receive id": (post(MESSAGE, receive_id=""), Reason.RECEIVER, 403),
    "empty body": (Request(received_at=0), Reason.MALFORMED, 400),
    "no Encrypt": (msgspec.structs.replace(GOOD, body=b"<xml><A>1</A></xml>"), Reason.MALFORMED, 400),
    "entity in the envelope": (
        msgspec.structs.replace(GOOD, body=b'<!DOCTYPE x [<!ENTITY e "A">]><xml><Encrypt>&e;</Encrypt></xml>'),
        Reason.MALFORMED,
        400,
    ),
    "oversized": (msgspec.structs.replace(GOOD, body=b"<xml>" + b"a" * MAX_BODY), Reason.TOO_LARGE, 413),
    "put": (msgspec.structs.replace(GOOD, method="PUT"), Reason.METHOD, 405),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_what_is_not_genuine_is_refused_without_a_word(name: str) -> None:
    """The reason is the operator's; the sender gets a status and an empty body."""
    request, reason, status = REFUSALS[name]
    assert refused(RECEIVE(request)) == (reason, status, b"")


def test_an_old_capture_is_taken_when_tolerance_is_off() -> None:
    """``tolerance = "off"`` is for replaying."""
    assert kept(opened(tolerance=None).receive(post(MESSAGE, at=1)))


@pytest.mark.parametrize("receive_id", ["suite1", "ww9, suite1", "suite1,"])
def test_any_configured_receive_id_is_ours(receive_id: str) -> None:
    """A provider's app is called for the suite; the corp id is then no longer enough."""
    connector = opened(receive_id=receive_id)
    assert kept(connector.receive(post(MESSAGE, receive_id="suite1")))
    assert refused(connector.receive(post(MESSAGE)))[0] is Reason.RECEIVER


def test_an_individual_provider_has_an_empty_receive_id() -> None:
    """Configured as such, nothing else is taken."""
    connector = opened(receive_id="")
    assert kept(connector.receive(post(MESSAGE, receive_id="")))
    assert refused(connector.receive(post(MESSAGE)))[0] is Reason.RECEIVER


@pytest.mark.parametrize(
    ("option", "value"), [("token", ""), ("encoding_aes_key", ""), ("encoding_aes_key", KEY + "x")]
)
def test_an_account_anyone_could_forge_for_does_not_open(option: str, value: str) -> None:
    """An empty token or a key that is none is a fault of the config, named by account and option."""
    with pytest.raises(ConfigError) as caught:
        opened(**{option: Secret(value)})
    assert caught.value.place == f"corp.{option}"


@settings(max_examples=200, deadline=None)
@given(
    method=st.sampled_from(["GET", "POST", "PUT", ""]),
    query=st.text() | st.builds("msg_signature={}&timestamp={}&nonce={}&echostr={}".format, st.text(), st.text(), st.text(), st.text()),
    body=st.binary() | st.binary().map(lambda raw: b"<xml><Encrypt>" + raw + b"</Encrypt></xml>") | st.binary().map(lambda raw: b'{"encrypt":"' + raw),
)  # fmt: skip
def test_whatever_a_stranger_sends_is_refused_and_never_raises(method: str, query: str, body: bytes) -> None:
    """Any method, query and body."""
    assert isinstance(RECEIVE(Request(method=method, query=query, body=body, received_at=NOW * SECOND)), Refused)


@settings(max_examples=100, deadline=None)
@given(
    message=st.binary()
    | st.binary().map(lambda raw: b"<xml>" + raw + b"</xml>")
    | st.binary().map(lambda raw: b"{" + raw)
)
def test_whatever_is_genuine_is_kept_and_never_raises(message: bytes) -> None:
    """Any sealed bytes; decoding then either reads them or says that they are malformed."""
    entry = kept(RECEIVE(post(message)))
    assert entry.payload == message
    try:
        opened().decode(entry.topic, entry.payload)
    except PayloadError as error:
        assert error.code == "payload.malformed"


# ---------------------------------------------------------------------- decode
REREAD = [
    (
        event("change_external_contact", "add_external_contact", ExternalUserID="wm"),
        [Fetch(topic="customer", key="wm")],
    ),
    (
        event("change_external_contact", "edit_external_contact", ExternalUserID="wm"),
        [Fetch(topic="customer", key="wm")],
    ),
    (
        event("change_external_contact", "add_half_external_contact", ExternalUserID="wm"),
        [Fetch(topic="profile", key="wm")],
    ),
    (event("change_external_contact", "del_follow_user", ExternalUserID="wm"), []),
    (
        event("change_external_contact", "del_external_contact", ExternalUserID="wm", Source="DELETE_BY_TRANSFER"),
        [Fetch(topic="customer", key="wm")],
    ),
    (event("change_contact", "create_user", UserID="u"), [Fetch(topic="user", key="u")]),
    (event("change_contact", "update_user", UserID="u", NewUserID="v"), [Fetch(topic="user", key="v")]),
    (event("change_contact", "delete_user", UserID="u"), []),
    (event("change_contact", "update_party", Id="2"), [Fetch(topic="department", key="2")]),
    (event("change_external_chat", "update", ChatId="wr"), [Fetch(topic="chat", key="wr")]),
    (event("change_external_chat", "dismiss", ChatId="wr"), []),
    (event("kf_msg_or_event", Token="t", OpenKfId="wk"), [Fetch(topic="kf_messages", key="wk t")]),
]


@pytest.mark.parametrize(("message", "fetch"), REREAD)
def test_a_callback_that_only_points_asks_for_a_reading(message: bytes, fetch: list[Fetch]) -> None:
    """And one that says all does not."""
    connector = opened()
    topic = kept(connector.receive(post(message))).topic
    assert list(connector.decode(topic, message).fetch) == fetch
    assert all(CARD.topic(one.topic) for one in fetch)


def test_an_account_without_a_secret_only_listens() -> None:
    """There is nothing to ask with, so nothing is asked for."""
    message = REREAD[0][0]
    assert opened(secret=Secret("")).decode("external_contact", message).fetch == ()


def test_decoded_data_has_the_platforms_own_tags_and_a_digest() -> None:
    """Lists for what repeats, text for leaves."""
    message = b"<xml><Event>change_external_chat</Event><MemChangeList><Item>wm1</Item></MemChangeList></xml>"
    data = opened().decode("external_chat", message).data
    assert data == {
        "Event": "change_external_chat",
        "MemChangeList": {"Item": ["wm1"]},
        "digest": protocol.digest(message),
    }


@pytest.mark.parametrize("payload", [b"", b"<xml>", b"[1]", b'<!DOCTYPE x [<!ENTITY a "b">]><xml>&a;</xml>'])
def test_a_payload_that_cannot_be_read_is_malformed(payload: bytes) -> None:
    """It becomes a dead letter that a person sees."""
    with pytest.raises(PayloadError):
        opened().decode("other", payload)
