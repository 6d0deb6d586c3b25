"""What an account of WeCom is configured with."""

from typing import Annotated, ClassVar

from gateway import connector
from gateway.connector import Meta, Secret


class Options(connector.Options, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One app of one corp. Token and key are the app's own: every app has its own address here."""

    __title__: ClassVar[str] = "企业微信 / WeCom"

    corp_id: Annotated[str, Meta(description="The corp's id, as 我的企业 › 企业信息 shows it (ww…).")]
    token: Annotated[Secret, Meta(description="The Token of the app's 接收消息 page; signatures are checked with it.")]
    encoding_aes_key: Annotated[Secret, Meta(description="The 43 characters of EncodingAESKey from the same page.")]
    secret: Annotated[
        Secret,
        Meta(
            description="The app's Secret for calling the API; without it the account only listens and re-reads nothing."
        ),
    ] = Secret("")
    agent_id: Annotated[
        str,
        Meta(
            description="The app's AgentId: messages are sent by it, welcome_text then only answers its members, and doctor checks that it is enabled."
        ),
    ] = ""
    receive_id: Annotated[
        str | None,
        Meta(
            description="The ids, comma separated, that callbacks may be meant for; the corp id when absent, a suite id for an ISV app."
        ),
    ] = None
    welcome_text: Annotated[
        str, Meta(description="Answered at once, encrypted, to a member who subscribes to the app; nothing when empty.")
    ] = ""
