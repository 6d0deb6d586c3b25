"""What WeCom can be asked to do, and how: tags, remarks, messages to members, and messages for members to send to customers.

Source: WeCom developer documentation, "编辑客户企业标签" (92118), "修改客户备注信息" (92694), "发送应用消息" (90236), "创建企业群发" (92135).
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Annotated, Any, Literal

from connectors.wecom.client import Client
from connectors.wecom.options import Options
from gateway.connector import Account, Action, Command, Fetch, Meta, Parameters, Result, Text, Whom
from gateway.errors import ConfigError, PartnerError
from gateway.model.values import ContactText, IdentityText, Sensitivity

_MESSAGE = 2048
_TEMPLATE = 4000
_Id = Annotated[str, Meta(min_length=1, max_length=64)]
# Of the signs that a userid may have. "@all" and "a|b" would be a message to others than the one who is named.
_Userid = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.@-]{0,63}(?!\n)$")]
Member = Annotated[_Userid, Meta(description="The member's userid in WeCom.")]
Customer = Annotated[
    ContactText,
    Meta(min_length=1, max_length=64, description="The customer's external_userid in this corp (wm… or wo…)."),
]
_Note = Annotated[IdentityText, Meta(max_length=20)]
_LongNote = Annotated[IdentityText, Meta(max_length=150)]
_Mobiles = Annotated[tuple[Annotated[ContactText, Meta(max_length=20)], ...], Meta(max_length=5)]
_Tags = Annotated[tuple[_Id, ...], Meta(max_length=100)]


class Tag(Parameters, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Corp tags that a member puts on a customer, or takes off."""

    userid: Member
    external_userid: Customer
    add_tag: Annotated[_Tags, Meta(description="Ids of corp tags to put on.")] = ()
    remove_tag: Annotated[_Tags, Meta(description="Ids of corp tags to take off.")] = ()

    def __post_init__(self) -> None:
        if not (self.add_tag or self.remove_tag):
            raise ValueError("add_tag or remove_tag has to name a tag")


class Remark(Parameters, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """What a member calls a customer; what is left out stays as it is."""

    userid: Member
    external_userid: Customer
    remark: Annotated[_Note | None, Meta(description="What the member calls them; at most 20 characters.")] = None
    description: Annotated[
        _LongNote | None, Meta(description="What the member notes of them; at most 150 characters.")
    ] = None
    remark_company: Annotated[
        _Note | None, Meta(description="Their company, of WeChat users; at most 20 characters.")
    ] = None
    remark_mobiles: Annotated[
        _Mobiles | None,
        Meta(description="Their phone numbers in place of all that are noted; an empty list takes them away."),
    ] = None

    def __post_init__(self) -> None:
        if all(one is None for one in (self.remark, self.description, self.remark_company, self.remark_mobiles)):
            raise ValueError("remark, description, remark_company or remark_mobiles has to be given")


class Message(Parameters, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A message of the account's app to one member."""

    userid: Member
    content: Annotated[
        IdentityText, Meta(min_length=1, max_length=_MESSAGE, description="The message, at most 2048 bytes.")
    ]
    format: Annotated[
        Literal["text", "markdown"], Meta(description="How it is shown; markdown only within WeCom itself.")
    ] = "text"
    duplicate_check: Annotated[
        int,
        Meta(
            ge=0,
            le=14_400,
            description="Seconds in which WeCom swallows the same message to the same member; 0 sends it in any case.",
        ),
    ] = 0

    def __post_init__(self) -> None:
        _fits(self.content, _MESSAGE)


class Template(Parameters, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A message that a member is asked to send to customers of theirs; the member sees it in WeCom and confirms."""

    sender: Annotated[_Userid, Meta(description="The userid of the member who is to send it.")]
    external_userid: Annotated[
        tuple[Customer, ...],
        Meta(
            min_length=1, max_length=10_000, description="The customers, by external_userid; each follows the member."
        ),
    ]
    content: Annotated[
        IdentityText, Meta(min_length=1, max_length=_TEMPLATE, description="The message, at most 4000 bytes.")
    ]
    allow_select: Annotated[bool, Meta(description="Whether the member may leave out some of the customers.")] = False

    def __post_init__(self) -> None:
        _fits(self.content, _TEMPLATE)


def _fits(content: str, most: int) -> None:
    if len(content.encode()) > most:
        raise ValueError(f"content is longer than {most} bytes")


def _corp(options: Options) -> str:
    return options.corp_id


_WHOM = Whom(parameter="external_userid", namespace="wecom.external_userid", scope=_corp)

ACTIONS = (
    Action(
        name="tag", title=Text("打客户标签", "Tag a customer"), parameters=Tag, about="external_userid", harmless=True, whom=_WHOM
    ),
    Action(
        name="remark", title=Text("改客户备注", "Note a customer"), parameters=Remark, about="external_userid", harmless=True,
        whom=_WHOM,
    ),
    Action(
        name="message", title=Text("发应用消息给成员", "Message a member"), parameters=Message, about="userid", harmless=False,
        answers={"msgid": Sensitivity.PUBLIC},
    ),
    Action(
        name="mass_message", title=Text("请成员群发给客户", "Have a member message customers"), parameters=Template, about="sender",
        harmless=False, whom=_WHOM, answers={"msgid": Sensitivity.PUBLIC, "fail_list": Sensitivity.CONTACT},
    ),
)  # fmt: skip


class Actor:
    """Does them on behalf of one account."""

    def __init__(self, account: Account, client: Client) -> None:
        self._account = account
        self._client = client
        self._ways: Mapping[str, Callable[[Any], Awaitable[Result]]] = {
            "tag": self._tag, "remark": self._remark, "message": self._message, "mass_message": self._template,
        }  # fmt: skip

    async def act(self, command: Command) -> Result:
        """See ``Connector.act``. ConfigError without secret, or for a message without agent_id."""
        options: Options = self._account.options
        if not options.secret:
            raise ConfigError(
                "without a secret this account only listens", place=self._account.name, remedy="set secret"
            )
        return await self._ways[command.action](command.parameters)

    async def _tag(self, asked: Tag) -> Result:
        lists = {"add_tag": list(asked.add_tag), "remove_tag": list(asked.remove_tag)}
        body = {"userid": asked.userid, "external_userid": asked.external_userid}
        await self._ask("externalcontact/mark_tag", {**body, **{name: tags for name, tags in lists.items() if tags}})
        return _changed(asked.external_userid)

    async def _remark(self, asked: Remark) -> Result:
        said = {"remark": asked.remark, "description": asked.description, "remark_company": asked.remark_company}
        body: dict[str, Any] = {name: text for name, text in said.items() if text is not None}
        if asked.remark_mobiles is not None:
            # An empty list changes nothing there; one empty text is how they are taken away.
            body["remark_mobiles"] = list(asked.remark_mobiles) or [""]
        await self._ask(
            "externalcontact/remark", {"userid": asked.userid, "external_userid": asked.external_userid, **body}
        )
        return _changed(asked.external_userid)

    async def _message(self, asked: Message) -> Result:
        options: Options = self._account.options
        if not options.agent_id.isdecimal():
            raise ConfigError(
                "a message is an app's: without the number of agent_id nobody sends it",
                place=self._account.name,
                remedy="set agent_id",
            )
        body: dict[str, Any] = {
            "touser": asked.userid, "msgtype": asked.format, "agentid": int(options.agent_id), asked.format: {"content": asked.content}
        }  # fmt: skip
        if asked.duplicate_check:
            body |= {"enable_duplicate_check": 1, "duplicate_check_interval": asked.duplicate_check}
        answer = await self._ask("message/send", body)
        # Errcode is 0 all the same when there is nobody to get it.
        if answer.get("invaliduser") or answer.get("unlicenseduser"):
            raise PartnerError(
                "the member cannot be reached by this app", place=self._account.name, remedy="widen its visible range"
            )
        return Result(data=answer)

    async def _template(self, asked: Template) -> Result:
        body = {
            "chat_type": "single", "external_userid": list(asked.external_userid), "sender": asked.sender,
            "text": {"content": asked.content}, "allow_select": asked.allow_select,
        }  # fmt: skip
        answer = await self._ask("externalcontact/add_msg_template", body)
        return Result(data={name: value for name, value in answer.items() if value})

    async def _ask(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        answer = await self._client.post(path, body)
        if answer is None:
            raise PartnerError(
                f"{path}: the member, or the relation to the customer, is not there", place=self._account.name
            )
        return answer


def _changed(external_userid: str) -> Result:
    # WeCom does not call back for what the app itself changed.
    return Result(fetch=(Fetch(topic="customer", key=external_userid),))
