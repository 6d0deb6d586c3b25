"""An SMTP server that keeps what it takes: aiosmtpd, with STARTTLS, TLS and AUTH as asked for."""

import asyncio
import ssl
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from typing import Any

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

USER, PASSWORD = "gateway", "correct-horse"


class MailServer:
    """``letters`` are those accepted; ``refusing`` answers 550 to every recipient, or to those whose names are in ``unknown``."""

    def __init__(
        self, port: int, *, context: ssl.SSLContext | None = None, wrapped: bool = False, asks: bool = False
    ) -> None:
        self.port = port
        self.letters: list[EmailMessage] = []
        self.recipients: list[tuple[str, ...]] = []
        self.logins: list[bytes] = []
        self.refusing = False
        self.unknown: set[str] = set()
        self._context = context
        self._wrapped = wrapped
        self._asks = asks
        self._server: asyncio.Server | None = None

    async def open(self) -> None:
        """Listen."""
        offered = None if self._wrapped else self._context
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: SMTP(
                self,
                hostname="mail.test",
                loop=loop,
                tls_context=offered,
                authenticator=self._authenticate,
                auth_required=self._asks,
                auth_require_tls=offered is not None,
                require_starttls=False,
                data_size_limit=50 * 1024 * 1024,
            ),
            "127.0.0.1",
            self.port,
            ssl=self._context if self._wrapped else None,
        )

    async def close(self) -> None:
        """Listen no more."""
        if self._server is not None:
            self._server.close()

    def _authenticate(self, _server: Any, _session: Any, _envelope: Any, _mechanism: str, data: Any) -> AuthResult:
        assert isinstance(data, LoginPassword)
        self.logins.append(data.login)
        return AuthResult(success=(data.login, data.password) == (USER.encode(), PASSWORD.encode()), handled=False)

    async def handle_RCPT(
        self, _server: Any, _session: Session, envelope: Envelope, address: str, _options: Any
    ) -> str:
        """What a recipient is worth."""
        if self.refusing or address in self.unknown:
            return "550 5.1.1 no such mailbox here"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, _server: Any, _session: Session, envelope: Envelope) -> str:
        """Take a letter."""
        assert isinstance(envelope.content, bytes)
        letter = message_from_bytes(envelope.content, policy=default)
        assert isinstance(letter, EmailMessage)
        self.letters.append(letter)
        self.recipients.append(tuple(envelope.rcpt_tos))
        return "250 2.0.0 taken"
