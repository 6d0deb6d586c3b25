"""Keys in one file on this machine."""

import base64
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import msgspec
import pytest

from gateway import vaults
from gateway.errors import ConfigError, Erased, KeyMissing, Tampered
from gateway.model.values import Sensitivity
from gateway.vault import Vault
from gateway.vaults import file
from tests.contract.vault import CONTEXT, VaultContract

ROOT = Path(__file__).parents[2]


def processes(code: str, path: Path, count: int) -> list[str]:
    """What ``count`` processes that run ``code`` at once print."""
    started = [
        subprocess.Popen([sys.executable, "-c", code, str(path)], cwd=ROOT, stdout=subprocess.PIPE, text=True)
        for _ in range(count)
    ]
    outcomes = [process.communicate()[0].strip() for process in started]
    assert [process.returncode for process in started] == [0] * count
    return outcomes


class TestFileVault(VaultContract):
    """Keys in the clear in a file; suite aes."""

    def _way(self, place: Path, **changes: object) -> vaults.Way:
        return vaults.Way(path=place / "keys.json", **{"suite": self.suite, "classes": self.classes, **changes})

    def open(self, place: Path) -> Vault:
        return vaults.open_vault(self._way(place))

    def turned(self, place: Path) -> Vault:
        other = {"aes": "gm", "gm": "aes"}
        classes = {name: other[suite] for name, suite in self.classes.items()}
        return vaults.open_vault(self._way(place, suite=other[self.suite], classes=classes))

    def rotate(self, place: Path) -> str:
        return vaults.rotate(self._way(place))


class TestFileVaultOfSuiteGm(TestFileVault):
    """Everything by SM4 and SM3."""

    suite = "gm"


class TestFileVaultOfMixedSuites(TestFileVault):
    """Key fields by SM4 and SM3, the rest by AES."""

    classes: Mapping[str, str] = MappingProxyType({"identity": "gm", "health": "gm"})


def test_first_start_makes_a_key_file_for_its_owner_only(tmp_path: Path) -> None:
    """Folders are made, the file is 0600, and nothing half-written lies about."""
    path = tmp_path / "deep" / "down" / "keys.json"
    file.open_vault(path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert sorted(p.name for p in path.parent.iterdir()) == ["keys.json", "keys.json.lock"]


def test_processes_that_start_at_once_share_one_key(tmp_path: Path) -> None:
    """Whoever comes second uses the first one's file."""
    code = "import sys; from gateway.vaults.file import open_vault; print(open_vault(sys.argv[1]).blind('x').hex())"
    outcomes = processes(code, tmp_path / "keys" / "keys.json", 4)
    assert len(set(outcomes)) == 1


def test_rotations_at_once_make_a_key_each(tmp_path: Path) -> None:
    """None of two operators' keys is lost."""
    file.open_vault(tmp_path / "keys.json")
    made = processes(
        "import sys; from gateway.vaults.file import rotate; print(rotate(sys.argv[1]))", tmp_path / "keys.json", 3
    )
    assert sorted(made) == ["k2", "k3", "k4"]
    assert [key.id for key in file.listing(tmp_path / "keys.json")] == ["k1", "k2", "k3", "k4"]


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644], ids=oct)
def test_key_file_that_others_can_read_is_refused(tmp_path: Path, mode: int) -> None:
    """Opening, rotating and listing all say what to do."""
    path = tmp_path / "keys.json"
    file.open_vault(path)
    path.chmod(mode)
    for use in (file.open_vault, file.rotate, file.listing):
        with pytest.raises(ConfigError) as caught:
            use(path)
        assert caught.value.remedy == f"chmod 600 {path}"


def test_listing_tells_ids_and_times_and_no_key(tmp_path: Path) -> None:
    """Nothing of the file's secrets stands in what may be shown."""
    path = tmp_path / "keys.json"
    file.open_vault(path)
    file.rotate(path)
    listed = file.listing(path)
    assert [(key.id, key.current) for key in listed] == [("k1", False), ("k2", True)]
    assert all(len(key.created) == 27 for key in listed)
    kept = msgspec.json.decode(path.read_bytes())
    shown = msgspec.json.encode(listed).decode()
    assert not any(secret in shown for secret in (kept["index"], *(key["master"] for key in kept["keys"])))


DAMAGE = {
    "empty": b"",
    "no json": b"{",
    "unknown member": b'{"version":1,"current":"k1","index":"","keys":[],"more":1}',
    "no key": b'{"version":1,"current":"k1","index":"' + b"A" * 43 + b'=","keys":[]}',
    "short key": b'{"version":1,"current":"k1","index":"'
    + b"A" * 43
    + b'=","keys":[{"id":"k1","created":"","master":"AAAA"}]}',
}


@pytest.mark.parametrize("content", DAMAGE.values(), ids=DAMAGE.keys())
def test_damaged_key_file_is_refused_and_left_alone(tmp_path: Path, content: bytes) -> None:
    """A gateway that made itself new keys instead could read nothing it has."""
    path = tmp_path / "keys.json"
    path.write_bytes(content)
    path.chmod(0o600)
    for use in (file.open_vault, file.rotate, file.listing):
        with pytest.raises(ConfigError) as caught:
            use(path)
        assert caught.value.place == str(path)
    assert path.read_bytes() == content


def test_missing_key_file_is_not_made_by_listing_or_rotating(tmp_path: Path) -> None:
    """Only opening makes a first key."""
    for use in (file.rotate, file.listing):
        with pytest.raises(ConfigError, match="No such file"):
            use(tmp_path / "keys.json")
    assert not (tmp_path / "keys.json").exists()


def test_key_file_that_cannot_be_made_is_a_config_error(tmp_path: Path) -> None:
    """A file where the folder should be is named."""
    (tmp_path / "data").write_text("")
    with pytest.raises(ConfigError, match="cannot be used"):
        file.open_vault(tmp_path / "data" / "keys.json")


def test_failed_write_leaves_the_old_file_and_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that fills up during a rotation loses neither the keys nor a secret in a stray file."""
    path = tmp_path / "keys.json"
    file.open_vault(path)
    before = path.read_bytes()

    def fail(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", fail)
    with pytest.raises(ConfigError, match="No space left"):
        file.rotate(path)
    assert path.read_bytes() == before
    assert sorted(p.name for p in tmp_path.iterdir()) == ["keys.json", "keys.json.lock"]


def _kept(path: Path) -> Path:
    """A key file as the gateway of issue 2 made them, with keys that everybody can tell."""

    def master(start: int) -> str:
        return base64.b64encode(bytes(range(start, start + 32))).decode()

    keys = [{"id": f"k{at}", "created": "2026-11-11T00:01:23.000000Z", "master": master(32 * at)} for at in (1, 2)]
    path.write_bytes(msgspec.json.encode({"version": 1, "current": "k2", "index": master(0), "keys": keys}))
    path.chmod(0o600)
    return path


@pytest.mark.parametrize("suite", ["aes", "gm"])
def test_what_was_sealed_before_records_had_secrets_still_opens(tmp_path: Path, suite: str) -> None:
    """Tokens, payloads and blind indexes that the earlier format wrote, byte for byte; texts of it are to be sealed again."""
    vault = vaults.open_vault(vaults.Way(path=_kept(tmp_path / "keys.json"), suite=suite))
    name = "k2.identity.3sKSUspdOH2nPz9r8ronqyOS8pHY6dndoWpi2Mr-JnThQA"
    payload = bytes.fromhex("01026b32809a30c112cbbe4b8b156cb97abe78aefbe542e6072e58c41f62f1cd71f28990bf6b1c")
    assert vault.open_text(name, CONTEXT) == "张三"
    secret = "k2.finance.oQVXhYxEXusDbl0W3tFXCRcmUQnrcqRJsKoTA2A7Ngz4bw"
    assert vault.open_text(secret, "config/secret") == "s3cret"
    assert vault.open(payload, b"ent_1") == b"payload"
    assert vault.blind("phone", "", "+8613800138000").hex() == "3cad49c390e43b2edb6c2a82e957242d"
    assert not vault.current(name)
    assert vault.current_payload(payload) is (suite == "aes")


def test_earlier_format_does_not_pass_for_the_present_one(tmp_path: Path) -> None:
    """A token whose name was altered to another form of the same key is refused, in each direction."""
    vault = vaults.open_vault(vaults.Way(path=_kept(tmp_path / "keys.json")))
    for context in (CONTEXT, "config/secret"):
        token = vault.seal_text("张三", context, Sensitivity.IDENTITY)
        rest = token.partition(".")[2]
        for name in {"k2", "k2a", "k2g", "k2ar", "k2gr"} - {token.split(".")[0]}:
            with pytest.raises(Tampered):
                vault.open_text(f"{name}.{rest}", context)


@pytest.mark.parametrize("classes", [{"public": "gm"}, {"contacts": "gm"}], ids=str)
def test_suite_of_a_class_that_is_not_sealed_is_refused(tmp_path: Path, classes: dict[str, str]) -> None:
    """Public fields are never sealed, and a misspelt class would leave the one meant with the other suite."""
    for use in (vaults.check, vaults.open_vault):
        with pytest.raises(ConfigError) as caught:
            use(vaults.Way(path=tmp_path / "keys.json", classes=classes))
        assert caught.value.place == f"vault.classes.{next(iter(classes))}"


def test_retired_key_is_gone_and_the_current_one_stays(tmp_path: Path) -> None:
    """What it sealed names it as missing; a text whose record was forgotten still says so; a key that is current, or is not there, is refused."""
    way = vaults.Way(path=tmp_path / "keys.json")
    vault = vaults.open_vault(way)
    tokens = {name: vault.seal_text("张三", f"{name}/name", Sensitivity.IDENTITY) for name in ("cus_1", "cus_2")}
    vault.keep()
    vault.forget(["cus_2"])
    vaults.rotate(way)
    with pytest.raises(ConfigError, match="sealed with now"):
        vaults.retire(way, "k2")
    with pytest.raises(ConfigError, match="there is no key k9"):
        vaults.retire(way, "k9")
    vaults.open_vault(way).renew()
    vaults.retire(way, "k1")
    after = vaults.open_vault(way)
    with pytest.raises(KeyMissing):
        after.open_text(tokens["cus_1"], "cus_1/name")
    with pytest.raises(Erased):
        after.open_text(tokens["cus_2"], "cus_2/name")
    assert [one.id for one in vaults.listing(way)] == ["k2"]
