"""Keys wrapped by a key service over HTTPS, on this machine, with an authority of the test's own."""

import ssl
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from gateway import vaults
from gateway.errors import ConfigError, GatewayError, KeyMissing, VaultDown
from gateway.model.secret import Secret
from gateway.model.values import Sensitivity
from gateway.vault import Vault
from tests.contract.vault import CONTEXT, VaultContract
from tests.servers import certificates
from tests.servers.keyservice import TOKEN, KeyService, key_service

Made = Callable[..., vaults.Way]


@pytest.fixture(scope="module")
def papers(tmp_path_factory: pytest.TempPathFactory) -> certificates.Certificates:
    return certificates.make(tmp_path_factory.mktemp("papers"))


@pytest.fixture(scope="module")
def running(papers: certificates.Certificates) -> Iterator[KeyService]:
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(papers.chain, papers.key)
    with key_service(tls) as service:
        yield service


@pytest.fixture
def service(running: KeyService) -> Iterator[KeyService]:
    """The service, with nothing asked of it yet."""
    running.asked.clear()
    yield running
    running.answer = None


@pytest.fixture
def way(service: KeyService, papers: certificates.Certificates, tmp_path: Path) -> Made:
    """A way to the service; changes are the test's."""
    given = {
        "path": tmp_path / "keys.json",
        "url": service.url,
        "token": Secret(TOKEN),
        "authority": str(papers.authority),
    }
    return lambda **changes: vaults.Way(**{**given, **changes})


class TestKmsVault(VaultContract):
    """Masters in a file, wrapped by a key of a service."""

    @pytest.fixture(autouse=True)
    def _way(self, way: Made) -> None:
        self.way = way

    def open(self, place: Path) -> Vault:
        return vaults.open_vault(self.way(path=place / "keys.json"))

    def turned(self, place: Path) -> Vault:
        return vaults.open_vault(self.way(path=place / "keys.json", suite="gm"))

    def rotate(self, place: Path) -> str:
        return vaults.rotate(self.way(path=place / "keys.json"))


def test_service_is_asked_at_the_start_and_never_again(way: Made, service: KeyService, tmp_path: Path) -> None:
    """What was unwrapped stays in memory: the service may be away while the gateway runs."""
    vault = vaults.open_vault(way())
    assert service.asked == ["/keys/scrm/wrap"] * 2 + ["/keys/scrm/unwrap"] * 2
    service.answer = lambda _: (503, b"")
    token = vault.seal_text("张三", CONTEXT, Sensitivity.IDENTITY)
    vault.keep()
    assert vault.open_text(token, CONTEXT) == "张三"
    assert len(service.asked) == 4


def test_each_key_is_unwrapped_with_the_version_that_wrapped_it(way: Made, service: KeyService) -> None:
    """The service turns its own key by its own calendar; the listing tells which version wraps what."""
    sealed = vaults.open_vault(way()).seal(b"old", b"ent_1")
    service.turn()
    vaults.rotate(way())
    newest = max(service.versions, key=int)
    assert vaults.open_vault(way()).open(sealed, b"ent_1") == b"old"
    wrapped = [one.wrapped_by for one in vaults.listing(way())]
    assert wrapped[-1] == f"keys/scrm version {newest}"
    assert len(set(wrapped)) == 2


def test_key_file_holds_nothing_that_opens_without_the_service(way: Made, service: KeyService, tmp_path: Path) -> None:
    """No master, and not the bearer token either."""
    vaults.open_vault(way())
    raw = (tmp_path / "keys.json").read_bytes()
    assert TOKEN.encode() not in raw
    kept = msgspec.json.decode(raw)
    assert [set(kept["index"]), set(kept["keys"][0]["master"])] == [{"by", "data", "version"}] * 2
    with pytest.raises(ConfigError, match="does not unwrap"):
        service.answer = lambda _: (400, b"{}")
        vaults.open_vault(way())


def test_older_process_that_cannot_ask_says_so_and_goes_on(way: Made, service: KeyService) -> None:
    """A key that another process added cannot be had while the service is away; what is known still opens."""
    worker = vaults.open_vault(way())
    known = worker.seal(b"known", b"ent_1")
    vaults.rotate(way())
    new = vaults.open_vault(way()).seal(b"new", b"ent_2")
    service.answer = lambda _: (503, b"")
    with pytest.raises(VaultDown):
        worker.open(new, b"ent_2")
    assert worker.open(known, b"ent_1") == b"known"
    service.answer = None
    assert worker.open(new, b"ent_2") == b"new"


def test_one_lost_answer_is_asked_for_again(way: Made, service: KeyService) -> None:
    """A service that restarts behind a balancer does not stop a gateway from starting."""
    vaults.open_vault(way())
    left = [True]

    def once(_: str) -> tuple[int, bytes]:
        if left.pop():
            service.answer = None
        return 502, b""

    service.answer = once
    vaults.open_vault(way())


@pytest.mark.parametrize(
    ("status", "body", "kind", "words"),
    [
        (401, b"{}", ConfigError, "refuses the token"),
        (403, b"{}", ConfigError, "refuses the token"),
        (404, b"{}", KeyMissing, "wrapping key keys/scrm is not in the key service"),
        (302, b"", VaultDown, "answered 302"),
        (429, b"", VaultDown, "answered 429"),
        (503, b"", VaultDown, "answered 503"),
        (200, b"", VaultDown, "another form"),
        (200, b'{"ciphertext": 7}', VaultDown, "another form"),
        (200, b'{"ciphertext": "not base64"}', VaultDown, "another form"),
        (200, b'{"ciphertext": ""}', VaultDown, "nothing wrapped"),
        (200, b'{"ciphertext": "' + b"A" * 70_000 + b'"}', VaultDown, "64 KiB"),
    ],
)
def test_answer_that_is_none_says_what_to_do(
    way: Made, service: KeyService, tmp_path: Path, status: int, body: bytes, kind: type[GatewayError], words: str
) -> None:
    """No key file is left behind that nobody could open."""
    service.answer = lambda _: (status, body)
    with pytest.raises(kind, match=words) as caught:
        vaults.open_vault(way())
    assert caught.value.remedy
    assert not (tmp_path / "keys.json").exists()


def test_service_that_is_away_or_not_who_it_should_be_is_down(way: Made, tmp_path: Path) -> None:
    """Nobody listens; a certificate that nothing we trust has signed; an authority's file that is none."""
    with key_service() as gone:
        address = gone.url
    with pytest.raises(VaultDown, match="cannot be reached"):
        vaults.open_vault(way(url=address))
    with pytest.raises(VaultDown, match="not who its certificate") as caught:
        vaults.open_vault(way(authority=""))
    assert "vault.authority" in caught.value.remedy
    (tmp_path / "none.pem").write_text("nothing")
    for authority in ("/nowhere.pem", str(tmp_path / "none.pem")):
        with pytest.raises(ConfigError, match="cannot be read as PEM"):
            vaults.open_vault(way(authority=authority))


def test_agent_on_this_machine_may_be_asked_in_the_clear(way: Made) -> None:
    """Over loopback only: `gateway check` refuses any other host."""
    with key_service() as agent:
        assert vaults.open_vault(way(url=agent.url)).blind("x")


@pytest.mark.parametrize(
    "url",
    [
        "kms+https://",
        "kms+https://kms.example",
        "kms+https://kms.example/",
        "kms+https://kms.example:0/keys/scrm",
        "kms+https://kms.example:port/keys/scrm",
        "kms+https://me:pw@kms.example/keys/scrm",
        "kms+https://kms.example/keys/scrm?version=1",
        "kms+http://kms.example/keys/scrm",
        "kms+ftp://kms.example/keys/scrm",
        "kms:keys/scrm",
        "vault://x",
    ],
)
def test_address_that_is_none_is_refused_before_anything_is_reached(way: Made, service: KeyService, url: str) -> None:
    """Keys never travel in the clear, and credentials never stand in an address."""
    with pytest.raises(ConfigError) as caught:
        vaults.check(way(url=url))
    assert caught.value.place == "vault.url"
    assert caught.value.remedy
    assert service.asked == []


def test_token_is_needed(way: Made) -> None:
    """And told before anything is reached."""
    with pytest.raises(ConfigError, match="bearer token") as caught:
        vaults.check(way(token=None))
    assert caught.value.place == "vault.token"
