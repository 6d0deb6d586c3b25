"""What an account of this connector may set."""

from typing import Annotated

from gateway.connector import Meta, Options, Secret


class TaobaoOptions(Options, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One shop on Taobao or Tmall, through one application of the open platform."""

    app_key: Annotated[str, Meta(description="The application's AppKey in the open platform's console.")]
    app_secret: Annotated[
        Secret, Meta(description="The application's AppSecret; signs every TOP call and the TMC connection.")
    ]
    session: Annotated[
        Secret, Meta(description="The shop's session key, given when the seller authorises the application.")
    ]
    tmc_url: Annotated[str, Meta(description="The message channel's WebSocket address.")] = "ws://mc.api.taobao.com/"
    group: Annotated[
        str, Meta(description="The message group this shop is bound to; shops of one application need one each.")
    ] = "default"
