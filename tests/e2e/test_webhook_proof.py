"""How a webhook proves who it is, and whom it trusts: credentials, access tokens and certificates, over real sockets."""

import asyncio
import base64
import datetime
import ipaddress
import ssl
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import msgspec
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from standardwebhooks import Webhook as Verifier

from gateway.clock import SystemClock
from gateway.destination import Auth
from gateway.destinations.address import Vetter
from gateway.destinations.webhook import Webhook
from gateway.errors import ConfigError
from gateway.model.secret import Secret
from tests.e2e.site import OK, SECRET, Answer, Asked, Site, endpoint, message, resolving, run, send


# ------------------------------------------------------------------ who we are
@pytest.mark.parametrize(
    ("auth", "header"),
    [
        (Auth(kind="basic", username="网关", password=Secret("p:ss")), "Basic " + base64.b64encode("网关:p:ss".encode()).decode()),
        (Auth(kind="bearer", password=Secret("t0ken")), "Bearer t0ken"),
        (Auth(), None),
    ],
    ids=["basic", "bearer", "none"],
)  # fmt: skip
def test_a_fixed_credential_goes_along(auth: Auth, header: str | None) -> None:
    """RFC 7617 in UTF-8, RFC 6750."""

    async def work() -> None:
        async with Site(lambda _: OK) as site:
            assert (await send(endpoint(site.url(), auth=auth))).ok
            assert site.asked[0].headers.get("authorization") == header

    run(work)


class Issuer:
    """A token endpoint: RFC 6749 §4.4 for one client. ``answer`` is what it says instead, if anything."""

    def __init__(self) -> None:
        self.life: object = 3600
        self.given = 0
        self.answer: Answer | None = None
        self.delay = 0.0

    async def __call__(self, asked: Asked) -> Answer:
        await asyncio.sleep(self.delay)
        form = parse_qs(asked.body.decode())
        user = base64.b64decode(asked.headers["authorization"].removeprefix("Basic ")).decode()
        if self.answer is not None:
            return self.answer
        if user != "gate+way%3A1:s%26cret" or form != {"grant_type": ["client_credentials"], "scope": ["events"]}:
            return 401, {}, b'{"error": "invalid_client"}'
        self.given += 1
        body = {"access_token": f"token-{self.given}", "token_type": "bearer", "expires_in": self.life}
        return 200, {"content-type": "application/json"}, msgspec.json.encode(body)


def oauth2(issuer: Site, **changes: Any) -> Auth:
    """Who we are to it; both parts need the encoding of §2.3.1."""
    known: dict[str, Any] = {"client_id": "gate way:1", "password": Secret("s&cret"), "scope": "events"}
    return Auth(kind="oauth2", token_url=issuer.url(path="/token"), **{**known, **changes})


class Clocked(SystemClock):
    """The machine's clock, whose monotonic hand can be moved."""

    ahead = 0.0

    def monotonic(self) -> float:
        return time.monotonic() + self.ahead


def test_a_token_is_asked_for_once_and_kept_until_shortly_before_it_ends() -> None:
    """However many deliveries need it at the same moment."""

    async def work() -> None:
        issuer, clock = Issuer(), Clocked()
        issuer.delay = 0.05
        async with Site(issuer) as tokens, Site(lambda _: OK) as site:
            way = Webhook(endpoint(site.url(), auth=oauth2(tokens)), clock=clock, vetter=Vetter(clock))
            tries = await asyncio.gather(*(way.send([message(number)], now=clock.now()) for number in range(20)))
            assert all(tried.ok for tried in tries), tries
            assert issuer.given == 1
            clock.ahead = 3530.0
            assert (await way.send([message(1)], now=clock.now())).ok
            assert issuer.given == 1
            clock.ahead = 3545.0
            assert (await way.send([message(1)], now=clock.now())).ok
            assert issuer.given == 2
            await way.close()
        assert {asked.headers["authorization"] for asked in site.asked} == {"Bearer token-1", "Bearer token-2"}
        verified = Verifier(SECRET).verify(site.asked[0].body, site.asked[0].headers)
        assert verified["type"] == "order.paid"

    run(work)


def test_a_token_that_is_refused_is_replaced_once() -> None:
    """One that was taken back before its time costs no attempt; an endpoint that refuses every token is told as what it answered."""

    async def work() -> None:
        issuer = Issuer()
        good = ["Bearer token-2"]

        def guarded(asked: Asked) -> Answer:
            return OK if asked.headers["authorization"] in good else (401, {}, b"no")

        async with Site(issuer) as tokens, Site(guarded) as site:
            clock = SystemClock()
            way = Webhook(endpoint(site.url(), auth=oauth2(tokens)), clock=clock, vetter=Vetter(clock))
            assert (await way.send([message(1)], now=clock.now())).status == 204
            assert (issuer.given, len(site.asked)) == (2, 2)
            good.clear()
            tried = await way.send([message(2)], now=clock.now())
            assert (tried.status, tried.response) == (401, b"no")
            assert (issuer.given, len(site.asked)) == (3, 4)
            await way.close()

    run(work)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ((400, {}, b'{"error": "invalid_scope", "error_description": "s&cret"}'), b"400 invalid_scope"),
        ((401, {}, b"<html>s&cret</html>"), b"answered 401"),
        ((500, {}, b""), b"answered 500"),
        ((302, {"location": "/elsewhere"}, b""), b"answered 302"),
        ((200, {}, b"not json"), b"no token"),
        ((200, {}, b'{"access_token": "a b", "token_type": "bearer"}'), b"no bearer token"),
        ((200, {}, b'{"access_token": "a", "token_type": "mac"}'), b"no bearer token"),
        ((200, {}, b'{"access_token": "a\\r\\nx: y", "token_type": "bearer"}'), b"no bearer token"),
    ],
)
def test_what_a_token_endpoint_does_is_not_told_as_the_endpoints_answer(answer: Answer, said: bytes) -> None:
    """It has a word of its own, says nothing of our secret, and is not asked again at once; the endpoint itself is not bothered."""

    async def work() -> None:
        issuer = Issuer()
        issuer.answer = answer
        async with Site(issuer) as tokens, Site(lambda _: OK) as site:
            clock = SystemClock()
            way = Webhook(endpoint(site.url(), auth=oauth2(tokens)), clock=clock, vetter=Vetter(clock))
            for _ in range(3):
                tried = await way.send([message(1)], now=clock.now())
                assert (tried.status, tried.error, tried.ours) == (None, "oauth", False)
                assert said in tried.response
                assert b"cret" not in tried.response
            await way.close()
            assert (len(tokens.asked), site.asked) == (1, [])

    run(work)


def test_a_token_endpoint_is_vetted_like_any_address() -> None:
    """Nobody reaches our network through it; and while it hangs, the deadline holds."""

    async def work() -> None:
        hangs, issuer = Issuer(), Issuer()
        hangs.delay = 60.0
        async with Site(hangs) as silent, Site(issuer) as tokens, Site(lambda _: OK) as site:
            began = time.monotonic()
            tried = await send(endpoint(site.url(), auth=oauth2(silent), timeout=0.5))
            assert (tried.error, tried.ours) == ("oauth", False)
            assert time.monotonic() - began < 15.0
            public = endpoint("https://8.8.8.8/", auth=oauth2(tokens), allow_private=False)
            tried = await send(public)
            assert (tried.error, b"allow_private" in tried.response) == ("oauth", True)
            assert (tokens.asked, site.asked) == ([], [])

    run(work)


# ------------------------------------------------------------------ certificates
class Authority:
    """A private authority. ``issue`` returns paths of certificate and key."""

    def __init__(self, folder: Path, name: str) -> None:
        self.folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self.path = folder / f"{name}.pem"
        self.path.write_bytes(self._sign(self._name, self._key, ca=True))

    def _sign(self, subject: x509.Name, key: ec.EllipticCurvePrivateKey, *, ca: bool = False) -> bytes:
        now = datetime.datetime.now(datetime.UTC)
        names = x509.SubjectAlternativeName(
            [x509.DNSName("crm.example"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
        )
        builder = x509.CertificateBuilder(
            issuer_name=self._name, subject_name=subject, public_key=key.public_key(), serial_number=x509.random_serial_number(),
            not_valid_before=now - datetime.timedelta(days=1), not_valid_after=now + datetime.timedelta(days=1),
        )  # fmt: skip
        builder = builder.add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        if not ca:
            builder = builder.add_extension(names, critical=False)
        return builder.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)

    def issue(self, name: str) -> tuple[Path, Path]:
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        files = self.folder / f"{name}.crt", self.folder / f"{name}.key"
        files[0].write_bytes(self._sign(subject, key))
        form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        files[1].write_bytes(key.private_bytes(*form))
        return files

    def server(self, *, clients: bool = False) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*self.issue("server"))
        if clients:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(self.path)
        return context


def test_a_private_authority_is_trusted_where_it_is_named_and_nowhere_else(tmp_path: Path) -> None:
    """And the name must be the certificate's, whatever address was vetted for it."""

    async def work() -> None:
        ours, theirs = Authority(tmp_path, "ours"), Authority(tmp_path, "theirs")
        async with Site(lambda _: OK, tls=ours.server()) as site:
            assert (await send(endpoint(site.url(), auth=Auth(authority=str(ours.path))))).ok
            assert (await send(endpoint(site.url(), auth=Auth(authority=ours.path.read_text())))).ok
            for auth in (Auth(), Auth(authority=str(theirs.path))):
                tried = await send(endpoint(site.url(), auth=auth))
                assert (tried.error, tried.ours) == ("tls", False), tried

    run(work)


def test_the_certificate_is_checked_against_the_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that is pinned to the right address still has to prove that it is who it says."""

    async def work() -> None:
        resolving(monkeypatch, [["127.0.0.1"]])
        ours = Authority(tmp_path, "ours")
        async with Site(lambda _: OK, tls=ours.server()) as site:
            auth = Auth(authority=str(ours.path))
            assert (await send(endpoint(site.url("crm.example"), auth=auth))).ok
            tried = await send(endpoint(site.url("erp.example"), auth=auth))
            assert tried.error == "tls", tried

    run(work)


def test_a_client_certificate_is_shown_to_who_asks(tmp_path: Path) -> None:
    """And without one, or with a stranger's, nothing is delivered."""

    async def work() -> None:
        ours, theirs = Authority(tmp_path, "ours"), Authority(tmp_path, "theirs")
        certificate, key = ours.issue("gateway")
        stranger, strange_key = theirs.issue("stranger")
        async with Site(lambda _: OK, tls=ours.server(clients=True)) as site:
            mtls = Auth(
                kind="mtls", certificate=str(certificate), password=Secret(key.read_text()), authority=str(ours.path)
            )
            assert (await send(endpoint(site.url(), auth=mtls))).ok
            forged = msgspec.structs.replace(mtls, certificate=str(stranger), password=Secret(strange_key.read_text()))
            for auth in (Auth(authority=str(ours.path)), forged):
                tried = await send(endpoint(site.url(), auth=auth))
                assert tried.error in ("tls", "network", "connect"), tried
                assert not tried.ours
            assert len(site.asked) == 1

    run(work)


@pytest.mark.parametrize("fault", ["no file", "no certificate", "no key", "another's key", "no authority"])
def test_certificates_that_cannot_be_used_are_told_before_anything_is_sent(tmp_path: Path, fault: str) -> None:
    """With the endpoint's name; the key is not in the error."""
    ours = Authority(tmp_path, "ours")
    certificate, key = ours.issue("gateway")
    _, other = ours.issue("other")
    wrong: Mapping[str, dict[str, Any]] = {
        "no file": {"certificate": str(tmp_path / "none.pem")},
        "no certificate": {"certificate": "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"},
        "no key": {"password": Secret("no key")},
        "another's key": {"password": Secret(other.read_text())},
        "no authority": {"authority": "-----BEGIN NOTHING-----"},
    }
    auth = msgspec.structs.replace(
        Auth(kind="mtls", certificate=str(certificate), password=Secret(key.read_text()), authority=str(ours.path)), **wrong[fault]
    )  # fmt: skip
    with pytest.raises(ConfigError, match=r"endpoints\.crm") as caught:
        Webhook(endpoint("https://127.0.0.1/", auth=auth), clock=SystemClock(), vetter=Vetter(SystemClock()))
    assert "PRIVATE" not in str(caught.value)
