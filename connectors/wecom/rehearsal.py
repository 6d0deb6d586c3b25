"""The URL check of WeCom's console, as it would be asked: document 90930."""

from urllib.parse import quote

from connectors.wecom import protocol
from connectors.wecom.options import Options
from gateway.clock import SECOND
from gateway.connector import Account, Rehearsal
from gateway.errors import ConfigError


def rehearse(account: Account, now: int) -> Rehearsal:
    """A signed and sealed echostr, and what must come back for it. ConfigError for a key that is none."""
    options: Options = account.options
    try:
        box = protocol.Box(options.encoding_aes_key.reveal())
    except ValueError as error:
        raise ConfigError(str(error), place=f"accounts.{account.name}.encoding_aes_key") from error
    word = str(now).encode()
    stamp, nonce = str(now // SECOND), str(now % SECOND)
    receiver = (options.receive_id or options.corp_id).partition(",")[0].strip()
    sealed = box.close(word, receiver, box.prefix("rehearsal", nonce))
    signed = protocol.signature(options.token.reveal(), stamp, nonce, sealed)
    query = f"msg_signature={signed}&timestamp={stamp}&nonce={nonce}&echostr={quote(sealed, safe='')}"
    return Rehearsal(query=query, expected=word)
