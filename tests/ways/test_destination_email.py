"""The e-mail way, against a mail server."""

import asyncio
import contextlib
import inspect
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path

import aiosmtplib.errors
import msgspec
import pytest

from gateway.clock import SECOND, SystemClock
from gateway.destination import Auth, Destination, Endpoint, Kind
from gateway.destinations import email as way
from gateway.destinations.address import Vetter
from gateway.errors import ConfigError
from gateway.model.secret import Secret
from tests.contract.destination import Arrived, DestinationContract, FarSide, message, word
from tests.servers import certificates
from tests.servers.certificates import Certificates
from tests.servers.mail import PASSWORD, USER, MailServer
from tests.servers.process import free_port
from tests.servers.relay import Relay


class FarMailbox:
    """A mail server of its own, reached over a wire that can be cut."""

    def __init__(self) -> None:
        self.server = MailServer(free_port())
        self.relay = Relay(free_port(), self.server.port)
        self.url = f"smtp://127.0.0.1:{self.relay.port}"

    async def open(self) -> None:
        await self.server.open()
        await self.relay.open()

    async def refuse(self) -> None:
        self.server.refusing = True

    async def leave(self) -> None:
        await self.relay.close()

    async def hang(self) -> None:
        self.relay.hang()

    async def recover(self) -> None:
        self.server.refusing = False
        await self.relay.open()

    async def arrived(self) -> Sequence[Arrived]:
        bodies = [body for letter in self.server.letters for body in _bodies(letter)]
        return [Arrived(body=body, id=msgspec.json.decode(body)["id"]) for body in bodies]

    async def close(self) -> None:
        await self.relay.close()
        await self.server.close()


def _bodies(letter: way.EmailMessage) -> list[bytes]:
    (attached,) = letter.iter_attachments()
    content = attached.get_content()
    assert isinstance(content, bytes)
    return content.splitlines()


class TestEmail(DestinationContract):
    """The contract, and what is a mailbox's own."""

    kind = Kind.EMAIL
    tells = frozenset({"id"})
    signs = False

    async def far(self) -> FarMailbox:
        far = FarMailbox()
        await far.open()
        return far

    def end(self, far: FarSide, **changes: object) -> Endpoint:
        to = ("ops@shop.example", "张三 <zhang@shop.example>")
        return super().end(far, **{"to": to, "sender": "SCRM <scrm@shop.example>", **changes})

    def way(self, end: Endpoint) -> Destination:
        clock = SystemClock()
        return way.open(end, clock=clock, vetter=Vetter(clock))

    def test_digest_counts_types_and_lists_every_event_in_both_forms(self) -> None:
        """As text and as HTML, in Chinese and English, with time, type and subject of each."""

        async def scenario(far: FarMailbox) -> None:
            mailbox = self.open(self.end(far))
            two = message(2, subject="<b>ord_02</b>")
            assert (await self.send(mailbox, message(1), two, msgspec.structs.replace(message(3), type="a.b"))).ok
            (letter,) = far.server.letters
            assert letter["Subject"] == "3 条事件 / 3 events: order.paid ×2, a.b ×1"
            assert (letter["From"], letter["To"]) == (
                "SCRM <scrm@shop.example>",
                "ops@shop.example, 张三 <zhang@shop.example>",
            )
            assert far.server.recipients == [("ops@shop.example", "zhang@shop.example")]
            text = letter.get_body(("plain",)).get_content().replace("\r\n", "\n")
            html = letter.get_body(("html",)).get_content()
            assert "     2  order.paid\n     1  a.b\n" in text
            assert "order.paid  <b>ord_02</b>\n" in text
            assert "&lt;b&gt;ord_02&lt;/b&gt;" in html and "<b>" not in html
            for form in (text, html):
                assert "3 条事件" in form and "3 events" in form and "events.ndjson" in form

        self.run(scenario)

    def test_digest_tried_again_is_the_same_message(self) -> None:
        """Its Message-ID is made of the events' ids, whenever it is sent; other events make another."""

        async def scenario(far: FarMailbox) -> None:
            mailbox = self.open(self.end(far))
            now = SystemClock().now()
            assert (await mailbox.send([message(1), message(2)], now=now)).ok
            assert (await mailbox.send([message(1), message(2)], now=now + 3600 * SECOND)).ok
            assert (await mailbox.send([message(1)], now=now)).ok
            first, again, other = far.server.letters
            assert first["Message-ID"] == again["Message-ID"] != other["Message-ID"]
            assert first["Message-ID"].endswith("@shop.example>")
            assert first["Date"] != again["Date"]

        self.run(scenario)

    def test_one_unknown_recipient_keeps_the_digest_from_all(self) -> None:
        """Sent to some and tried again for one, it would reach the others every time."""

        async def scenario(far: FarMailbox) -> None:
            far.server.unknown = {"zhang@shop.example"}
            mailbox = self.open(self.end(far))
            tried = await self.send(mailbox, message(1))
            assert tried.error == "refused"
            assert b"550" in tried.response and b"no such mailbox" in tried.response
            assert far.server.letters == []

        self.run(scenario)

    def test_server_that_greets_with_a_refusal_is_told(self) -> None:
        """554 instead of 220: RFC 5321 section 3.1."""

        async def main() -> None:
            async def shut(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                writer.write(b"554 5.3.2 not today\r\n")
                await writer.drain()
                writer.close()

            port = free_port()
            await self._opened.enter_async_context(await asyncio.start_server(shut, "127.0.0.1", port))
            far = FarMailbox()
            mailbox = self.open(self.end(far, url=f"smtp://127.0.0.1:{port}"))
            tried = await self.send(mailbox, message(1))
            assert (tried.error, b"not today" in tried.response) == ("refused", True)

        self.within(main)

    @pytest.mark.parametrize("scheme", ["smtp", "smtps"])
    @pytest.mark.parametrize(("password", "expected"), [(PASSWORD, "http 200"), ("wrong", "auth")])
    def test_password_is_shown_over_tls(self, tmp_path: Path, scheme: str, password: str, expected: str) -> None:
        """After STARTTLS or in TLS from the first byte, with the authority that the endpoint names."""
        made = certificates.make(tmp_path)
        auth = Auth(kind="basic", username=USER, password=Secret(password), authority=str(made.authority))

        async def scenario(server: MailServer, url: str) -> None:
            mailbox = self.open(self.end(FarMailbox(), url=url, auth=auth))
            assert word(await self.send(mailbox, message(1))) == expected
            assert len(server.letters) == (expected == "http 200")
            assert set(server.logins) == {USER.encode()}

        self._with_tls(scheme, made, scenario)

    @pytest.mark.parametrize("scheme", ["smtp", "smtps"])
    def test_certificate_of_an_unknown_authority_is_told(self, tmp_path: Path, scheme: str) -> None:
        """STARTTLS that cannot be trusted is no reason to go on without it."""

        async def scenario(server: MailServer, url: str) -> None:
            mailbox = self.open(self.end(FarMailbox(), url=url))
            assert word(await self.send(mailbox, message(1))) == "tls"
            assert server.letters == []

        self._with_tls(scheme, certificates.make(tmp_path), scenario)

    def test_our_certificate_is_shown_where_it_is_asked_for(self, tmp_path: Path) -> None:
        """``mtls`` towards a server that takes no one else."""
        made = certificates.make(tmp_path)
        ours = Auth(
            kind="mtls",
            certificate=str(made.client_chain),
            password=Secret(made.client_key.read_text()),
            authority=str(made.authority),
        )

        async def scenario(server: MailServer, url: str) -> None:
            mailbox = self.open(self.end(FarMailbox(), url=url, auth=ours))
            tried = await self.send(mailbox, message(1))
            assert tried.ok, tried
            await mailbox.close()
            stranger = self.open(self.end(FarMailbox(), url=url, auth=Auth(authority=str(made.authority))))
            assert not (await self.send(stranger, message(2))).ok

        self._with_tls("smtps", made, scenario, asks=True)

    def test_password_is_not_sent_in_the_clear(self) -> None:
        """Whoever can strip STARTTLS from a greeting must not be handed the password for it."""

        async def scenario(far: FarMailbox) -> None:
            auth = Auth(kind="basic", username=USER, password=Secret(PASSWORD))
            mailbox = self.open(self.end(far, auth=auth))
            tried = await self.send(mailbox, message(1))
            assert (tried.error, b"STARTTLS" in tried.response) == ("tls", True)
            assert far.server.logins == []

        self.run(scenario)

    def _with_tls(
        self,
        scheme: str,
        made: Certificates,
        scenario: Callable[[MailServer, str], Awaitable[None]],
        *,
        asks: bool = False,
    ) -> None:
        async def main() -> None:
            server = await self._opened.enter_async_context(_listening(scheme, made, asks=asks))
            await scenario(server, f"{scheme}://127.0.0.1:{server.port}")

        self.within(main)


@contextlib.asynccontextmanager
async def _listening(scheme: str, made: Certificates, *, asks: bool) -> AsyncIterator[MailServer]:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=made.authority)
    context.load_cert_chain(made.chain, made.key)
    context.verify_mode = ssl.CERT_REQUIRED if asks else ssl.CERT_NONE
    server = MailServer(free_port(), context=context, wrapped=scheme == "smtps")
    await server.open()
    try:
        yield server
    finally:
        await server.close()


@pytest.mark.parametrize(
    "url", ["smtp://", "smtp://host:0x19", "smtp://host/inbox", "smtp://u:p@host", "mailto:ops@shop.example"]
)
def test_url_that_names_no_mail_server_is_an_error(url: str) -> None:
    """With its place and what to write instead."""
    with pytest.raises(ConfigError) as caught:
        way.server_of(url, place="endpoints.digest.url")
    assert caught.value.place == "endpoints.digest.url"
    assert "smtp://host:587" in caught.value.remedy


def test_port_is_that_of_submission_unless_it_is_said() -> None:
    """RFC 8314."""
    assert way.server_of("smtp://mail.example", place="").port == 587
    assert way.server_of("smtps://mail.example", place="").port == 465
    assert way.server_of("smtp://mail.example:25", place="").port == 25


@pytest.mark.parametrize(
    ("changes", "place"),
    [
        ({"to": ()}, "endpoints.digest.to"),
        ({"to": ("nobody",)}, "endpoints.digest.to"),
        ({"to": ("a@b.example\r\nBcc: c@d.example",)}, "endpoints.digest.to"),
        ({"sender": ""}, "endpoints.digest.sender"),
        ({"auth": Auth(kind="bearer", password=Secret("t"))}, "endpoints.digest.auth"),
        ({"auth": Auth(kind="mtls")}, "endpoints.digest.auth"),
        ({"auth": Auth(authority="/nowhere.pem")}, "endpoints.digest.auth"),
    ],
    ids=["nobody", "no address", "two lines", "no sender", "bearer", "mtls without TLS", "no file"],
)
def test_endpoint_that_cannot_be_used_is_an_error_at_once(changes: dict[str, object], place: str) -> None:
    """When it is opened, not when the first digest fails."""
    knobs: dict[str, object] = {
        "name": "digest",
        "url": "smtp://mail.example",
        "grants": {},
        "schedule": (0.0,),
        "to": ("ops@shop.example",),
        "sender": "scrm@shop.example",
    }
    with pytest.raises(ConfigError) as caught:
        way.open(Endpoint(**{**knobs, **changes}), clock=SystemClock(), vetter=Vetter(SystemClock()))
    assert caught.value.place == place


def test_no_exception_of_the_library_is_without_a_word() -> None:
    """Every class of aiosmtplib.errors leads to a word that the documentation names."""
    kinds = [kind for _, kind in inspect.getmembers(aiosmtplib.errors, inspect.isclass)]
    arguments = {
        "SMTPRecipientsRefused": ([],),
        "SMTPSenderRefused": (550, "no", "a"),
        "SMTPRecipientRefused": (550, "no", "a"),
    }
    coded = {
        "SMTPResponseException",
        "SMTPAuthenticationError",
        "SMTPDataError",
        "SMTPHeloError",
        "SMTPConnectResponseError",
    }
    words = set()
    for kind in kinds:
        if issubclass(kind, aiosmtplib.errors.SMTPException):
            given = arguments.get(kind.__name__) or ((500, "no") if kind.__name__ in coded else ("no",))
            words.add(way.tried_of(kind(*given)).error)
    assert words == {"auth", "timeout", "refused", "network"}
