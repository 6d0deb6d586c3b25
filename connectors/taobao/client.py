"""TOP: one signed call, its envelope and its errors. See protocol.py for what each error code becomes."""

from collections.abc import Mapping
from datetime import timedelta

import msgspec

from connectors.taobao import protocol
from connectors.taobao.options import TaobaoOptions
from gateway.clock import moment
from gateway.connector import Account, Tools
from gateway.errors import PartnerDown, PartnerUnlisted

GATEWAY = "https://gw.api.taobao.com"
_CHINA = timedelta(hours=8)

_ENVELOPE = msgspec.json.Decoder(dict[str, msgspec.Raw])
_FAILURE = msgspec.json.Decoder(protocol.Failure, strict=False)


class Gone(Exception):
    """The object that was asked for does not exist (any more)."""


def china_time(instant: int) -> str:
    """Microseconds as TOP's ``yyyy-MM-dd HH:mm:ss``, always GMT+8."""
    return (moment(instant) + _CHINA).strftime("%Y-%m-%d %H:%M:%S")


class Top:
    """Calls on behalf of one shop."""

    def __init__(self, account: Account, tools: Tools) -> None:
        self._options: TaobaoOptions = account.options
        self._url = (account.api_base or GATEWAY).rstrip("/") + "/router/rest"
        self._tools = tools

    async def call(self, method: str, **params: str) -> dict[str, msgspec.Raw]:
        """The fields inside ``{..._response}``, each as the bytes it was sent as.

        Gone when the object does not exist; otherwise PartnerDenied, PartnerQuota, PartnerDown or PartnerError as the error table says.
        """
        answer = await self._tools.call("POST", self._url, form=self._signed({"method": method, **params}))
        if answer.status in (401, 403):
            raise PartnerUnlisted(
                f"TOP answered HTTP {answer.status}", remedy="check the application's address allow-list"
            )
        try:
            envelope = _ENVELOPE.decode(answer.body)
            if "error_response" in envelope:
                raise self._refused(_FAILURE.decode(envelope["error_response"]))
            inner = envelope.get(method.removeprefix("taobao.").replace(".", "_") + "_response")
            # HTTP 200 says nothing here: without its envelope an answer is a proxy's or a broken one.
            if inner is None:
                raise PartnerDown(f"TOP answered HTTP {answer.status} without the envelope of {method}", unsure=True)
            return _ENVELOPE.decode(inner)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise PartnerDown(
                f"TOP answered HTTP {answer.status} with something that is not its JSON", unsure=True
            ) from error

    def _signed(self, params: Mapping[str, str]) -> dict[str, str]:
        full = {
            "app_key": self._options.app_key,
            "session": self._options.session.reveal(),
            "timestamp": china_time(self._tools.clock.now()),
            "format": "json",
            "v": "2.0",
            "sign_method": "md5",
            **params,
        }
        return {**full, "sign": protocol.top_sign(self._options.app_secret.reveal(), full)}

    def _refused(self, failure: protocol.Failure) -> Exception:
        return Gone() if failure.gone else protocol.failure_error(failure)
