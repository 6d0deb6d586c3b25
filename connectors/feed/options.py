"""What an account of connector ``feed`` may set."""

import re
from typing import Annotated, ClassVar, Literal

from gateway.connector import Account, Meta, Options, Secret
from gateway.errors import ConfigError

Auth = Literal["standard-webhooks", "hmac", "bearer", "none-on-loopback"]
Format = Literal["auto", "json", "ndjson", "xml", "csv", "xlsx"]

# The field that names a row, for the mappings that come with the gateway.
ID_FIELDS = {"customer": "customer_code", "order": "order_no", "unit": "unit_code"}

_STEM = re.compile(r"(?:feed/)?([a-z0-9][a-z0-9_-]*)")


class FeedOptions(Options, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A generic ERP, OA, WMS, POS, web form, hotline or IoT feed."""

    __title__: ClassVar[str] = "Generic feed"

    mapping: Annotated[
        str,
        Meta(
            description="What the rows mean: feed/customer, feed/order, feed/unit, or the stem of a file in mappings/feed."
        ),
    ]
    auth: Annotated[Auth, Meta(description="How a request proves who sent it.")] = "standard-webhooks"
    secret: Annotated[
        Secret,
        Meta(description="The key of the proof; two, separated by a space, while it is being rotated."),
    ] = Secret("")
    format: Annotated[
        Format, Meta(description="What bodies are written in; auto goes by the content type, then by the content.")
    ] = "auto"
    id_path: Annotated[
        str,
        Meta(description="JMESPath to the value that names a row; order_no, customer_code or unit_code where absent."),
    ] = ""
    key_path: Annotated[
        str, Meta(description="JMESPath to the value within which order is kept; the row's name where absent.")
    ] = ""
    system: Annotated[
        str,
        Meta(
            description="The system whose customer codes these are: accounts that name it alike mean the same people by a code; the account's name where absent."
        ),
    ] = ""
    watch: Annotated[str, Meta(description="A directory whose files are taken in as if they had been posted.")] = ""


def stem(account: Account, options: FeedOptions) -> str:
    """The mapping's file name under ``mappings/feed``, without its ending. ConfigError when it cannot be one."""
    match = _STEM.fullmatch(options.mapping)
    if match is None:
        raise ConfigError(
            "mapping must be feed/customer, feed/order, feed/unit or feed/<stem>",
            place=f"accounts.{account.name}.mapping",
        )
    return match.group(1)
