"""Keys wrapped by a PKCS#11 token. The token is SoftHSM's, in a folder of the test."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pkcs11
import pytest

from gateway import vaults
from gateway.errors import ConfigError, GatewayError, KeyMissing, VaultDown
from gateway.model.secret import Secret
from gateway.model.values import Sensitivity
from gateway.vault import Vault
from gateway.vaults.pkcs11 import uri_of
from tests.contract.vault import CONTEXT, VaultContract

PIN = "4321"
MODULES = (
    "/usr/lib/softhsm/libsofthsm2.so",
    "/usr/lib64/pkcs11/libsofthsm2.so",
    "/usr/local/lib/softhsm/libsofthsm2.so",
    "/opt/homebrew/lib/softhsm/libsofthsm2.so",
)
ROOT = Path(__file__).parents[2]


def module() -> str:
    """The library of SoftHSM, which `make test` installs."""
    named = os.environ.get("SOFTHSM2_MODULE")
    found = named or next((path for path in MODULES if Path(path).exists()), None)
    assert found, "SoftHSM is not installed (Debian: softhsm2), or SOFTHSM2_MODULE names it elsewhere"
    return found


@pytest.fixture
def token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of a wrapping key that does not exist yet, in a fresh token."""
    tokens = tmp_path / "tokens"
    tokens.mkdir()
    settings = tmp_path / "softhsm2.conf"
    settings.write_text(f"directories.tokendir = {tokens}\nobjectstore.backend = file\nlog.level = ERROR\n")
    monkeypatch.setenv("SOFTHSM2_CONF", str(settings))
    subprocess.run(
        ["softhsm2-util", "--init-token", "--free", "--label", "scrm", "--so-pin", "12345678", "--pin", PIN],
        check=True,
        capture_output=True,
    )
    yield f"pkcs11:token=scrm;object=gateway%20wrap?module-path={module()}"


def way(url: str, place: Path, **changes: object) -> vaults.Way:
    return vaults.Way(**{"path": place / "keys.json", "url": url, "token": Secret(PIN), **changes})


def use(url: str, work: object) -> object:
    """What ``work`` returns of a session on the token."""
    library = pkcs11.lib(module())
    try:
        with library.get_token(token_label="scrm").open(user_pin=PIN, rw=True) as session:
            return work(session)
    finally:
        library.finalize()


class TestPkcs11Vault(VaultContract):
    """Masters in a file, wrapped by a key of the token."""

    @pytest.fixture(autouse=True)
    def _token(self, token: str) -> None:
        self.url = token

    def open(self, place: Path) -> Vault:
        return vaults.open_vault(way(self.url, place))

    def turned(self, place: Path) -> Vault:
        return vaults.open_vault(way(self.url, place, suite="gm"))

    def rotate(self, place: Path) -> str:
        return vaults.rotate(way(self.url, place))


def test_key_file_holds_nothing_that_opens_without_the_token(token: str, tmp_path: Path) -> None:
    """The file is of the owner only, names the wrapping key, and holds no master: a copy of file and store reads nothing."""
    vaults.open_vault(way(token, tmp_path))
    path = tmp_path / "keys.json"
    kept = msgspec.json.decode(path.read_bytes())
    assert path.stat().st_mode & 0o777 == 0o600
    assert kept["version"] == 2
    assert kept["index"]["by"] == kept["keys"][0]["master"]["by"] == "object=gateway wrap"
    with pytest.raises(ConfigError, match="wrapped by object=gateway wrap") as caught:
        vaults.open_vault(vaults.Way(path=path))
    assert "vault.url" in caught.value.remedy


def test_wrapping_key_never_leaves_its_token(token: str, tmp_path: Path) -> None:
    """The key that was made for it is AES-256, private, and can be neither read nor exported."""
    vaults.open_vault(way(token, tmp_path))

    def look(session: pkcs11.Session) -> tuple[object, ...]:
        key = session.get_key(label="gateway wrap")
        names = (pkcs11.Attribute.SENSITIVE, pkcs11.Attribute.EXTRACTABLE, pkcs11.Attribute.PRIVATE)
        with pytest.raises(pkcs11.AttributeSensitive):
            key[pkcs11.Attribute.VALUE]
        return (key.key_length, *(key[name] for name in names))

    assert use(token, look) == (256, True, False, True)


def test_listing_asks_no_token(token: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Which keys there are and what wraps them can be told while the token lies in a safe."""
    vaults.open_vault(way(token, tmp_path))
    vaults.rotate(way(token, tmp_path))
    monkeypatch.setenv("SOFTHSM2_CONF", "/nowhere")
    listed = vaults.listing(way(token, tmp_path, classes={"identity": "gm"}))
    assert [(one.id, one.current, one.way, one.suite, one.wrapped_by) for one in listed] == [
        ("k1", False, "pkcs11", "aes, identity gm", "object=gateway wrap"),
        ("k2", True, "pkcs11", "aes, identity gm", "object=gateway wrap"),
    ]


def test_keys_in_the_clear_are_wrapped_on_demand_only(token: str, tmp_path: Path) -> None:
    """A config that changes ways is told what to do, and afterwards all that was sealed still opens."""
    clear = vaults.open_vault(vaults.Way(path=tmp_path / "keys.json"))
    sealed = clear.seal_text("张三", CONTEXT, Sensitivity.IDENTITY)
    clear.keep()
    with pytest.raises(ConfigError) as caught:
        vaults.open_vault(way(token, tmp_path))
    assert caught.value.remedy == "gateway keys wrap"
    assert vaults.wrap(way(token, tmp_path)) == 1
    assert vaults.wrap(way(token, tmp_path)) == 0
    wrapped = vaults.open_vault(way(token, tmp_path))
    assert wrapped.open_text(sealed, CONTEXT) == "张三"
    assert wrapped.blind("phone") == clear.blind("phone")
    with pytest.raises(ConfigError, match="nothing to wrap"):
        vaults.wrap(vaults.Way(path=tmp_path / "keys.json"))


def test_wrapping_key_that_is_gone_is_named(token: str, tmp_path: Path) -> None:
    """No new one is made in its place: it could unwrap nothing."""
    vaults.open_vault(way(token, tmp_path))
    use(token, lambda session: session.get_key(label="gateway wrap").destroy())
    for work in (vaults.open_vault, vaults.rotate):
        with pytest.raises(KeyMissing, match="wrapping key gateway wrap is not in token scrm"):
            work(way(token, tmp_path))


def test_keys_that_were_exchanged_or_altered_are_refused(token: str, tmp_path: Path) -> None:
    """Wrapped keys are bound to their ids, and a flipped bit anywhere is told as damage of the file."""
    vaults.open_vault(way(token, tmp_path))
    vaults.rotate(way(token, tmp_path))
    path = tmp_path / "keys.json"
    good = msgspec.json.decode(path.read_bytes())
    first, second = (key["master"] for key in good["keys"])
    swapped = {**good, "keys": [{**good["keys"][0], "master": second}, {**good["keys"][1], "master": first}]}
    altered = {**good, "index": {**good["index"], "data": good["index"]["data"][:-4] + "AAA="}}
    for bad in (swapped, altered):
        path.write_bytes(msgspec.json.encode(bad))
        with pytest.raises(ConfigError, match="damaged"):
            vaults.open_vault(way(token, tmp_path))


def test_token_that_cannot_be_used_says_what_to_do(token: str, tmp_path: Path) -> None:
    """A wrong PIN, a token that is not plugged in and a module that is not installed are told apart."""
    cases: list[tuple[vaults.Way, type[GatewayError], str]] = [
        (way(token, tmp_path, token=Secret("0000")), ConfigError, "refuses the PIN"),
        (way(token.replace("token=scrm", "token=none"), tmp_path), VaultDown, "token none is not there"),
        (way(token.replace("token=scrm", "token=scrm;serial=00"), tmp_path), VaultDown, "token scrm is not there"),
        (way(token.replace(module(), "/nowhere.so"), tmp_path), ConfigError, "/nowhere.so is not there"),
        (way(token.replace(module(), str(ROOT / "LICENSE")), tmp_path), VaultDown, "does not answer"),
    ]
    for case, kind, words in cases:
        with pytest.raises(kind, match=words) as caught:
            vaults.open_vault(case)
        assert caught.value.remedy
        assert not (tmp_path / "keys.json").exists()


def test_processes_that_fork_each_have_a_token_that_answers(token: str, tmp_path: Path) -> None:
    """The gateway opens its keys, forks, and opens them again in each process."""
    code = (
        "import os, sys\n"
        "from pathlib import Path\n"
        "from gateway import vaults\n"
        "from gateway.model.secret import Secret\n"
        "way = vaults.Way(path=Path(sys.argv[1]), url=sys.argv[2], token=Secret(sys.argv[3]))\n"
        "here = vaults.open_vault(way).blind('x')\n"
        "if (child := os.fork()) == 0:\n"
        "    os._exit(0 if vaults.open_vault(way).blind('x') == here else 1)\n"
        "sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))\n"
    )
    ran = subprocess.run([sys.executable, "-c", code, tmp_path / "keys.json", token, PIN], cwd=ROOT, timeout=60)
    assert ran.returncode == 0


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("pkcs11:object=a?module-path=/m.so", "no token"),
        ("pkcs11:token=a?module-path=/m.so", "no object"),
        ("pkcs11:token=a;object=b", "no module-path"),
        ("pkcs11:token=a;object=b?module-path=/m.so&pin-value=1234", "PIN does not belong"),
        ("pkcs11:token=a;object=b?module-path=/m.so&pin-source=file:/p", "PIN does not belong"),
        ("pkcs11:token=a;object=b;colour=red?module-path=/m.so", "colour is not understood"),
        ("pkcs11:token=a;token=b;object=b?module-path=/m.so", "twice"),
        ("pkcs11:token=a;object=b;type=private?module-path=/m.so", "secret key"),
    ],
)
def test_address_that_is_none_is_refused_before_anything_is_reached(url: str, words: str, tmp_path: Path) -> None:
    """`gateway check` tells it; nothing of an address is passed over in silence."""
    with pytest.raises(ConfigError, match=words) as caught:
        vaults.check(way(url, tmp_path))
    assert caught.value.place == "vault.url"


def test_address_is_read_as_rfc_7512_writes_it() -> None:
    """Percent-encoding, the order of attributes and those that are optional."""
    uri = uri_of("pkcs11:type=secret-key;object=my%20key%3b;serial=0a;token=The%20Token?module-path=/usr/lib/a.so")
    assert (uri.token, uri.object, uri.serial, uri.module) == ("The Token", "my key;", "0a", "/usr/lib/a.so")


def test_pin_is_needed_and_cannot_be_sealed_by_what_it_opens(tmp_path: Path) -> None:
    """Both are told before the token is asked, which counts wrong PINs."""
    url = "pkcs11:token=a;object=b?module-path=/m.so"
    for pin in (None, Secret(""), Secret("sealed:k1a.finance.AAAA")):
        with pytest.raises(ConfigError) as caught:
            vaults.check(way(url, tmp_path, token=pin))
        assert caught.value.place == "vault.token"
