"""`gateway keys`: the way that the config names is the one that is opened."""

import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from gateway import app, diagnosis, sealing, settings, vaults
from gateway.cli import main_app
from gateway.errors import ConfigError, VaultDown
from gateway.model.secret import Secret
from gateway.model.values import Sensitivity
from tests.servers.keyservice import TOKEN, KeyService, key_service

Write = Callable[..., Path]


@pytest.fixture
def service() -> Iterator[KeyService]:
    with key_service() as found:
        yield found


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Writes the config with these lines under [vault]."""
    monkeypatch.setenv("KMS_TOKEN", TOKEN)

    def written(*lines: str) -> Path:
        file = tmp_path / "config.toml"
        head = f'[gateway]\ndata_dir = "{tmp_path / "data"}"\n[vault]\n'
        file.write_text(head + "\n".join(lines), encoding="utf-8")
        return file

    return written


def run(config: Path, *words: str) -> Any:
    return main_app([*words, "--config", str(config)], exit_on_error=False, result_action="return_value")


def vault_of(config: Path) -> Any:
    return vaults.open_vault(app.keys_of(settings.load(config)))


def listed(config: Path, capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    capsys.readouterr()
    assert run(config, "keys", "list", "--json") == 0
    found: list[dict[str, Any]] = json.loads(capsys.readouterr().out)
    return found


def test_keys_go_from_a_file_to_a_service_and_all_stays_readable(
    write: Write, service: KeyService, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Init in the clear, change the config, be told to wrap, wrap, rotate: the listing tells each step."""
    clear = write('classes = {health = "gm"}')
    assert run(clear, "keys", "init") == 0
    before = vault_of(clear)
    token = before.seal_text("张三", "cus_1/name", Sensitivity.IDENTITY)
    before.keep()
    (first,) = listed(clear, capsys)
    assert (first["way"], first["suite"], first["wrapped_by"]) == ("file", "aes, health gm", "")

    wrapped = write(f'url = "{service.url}"', 'token = "env:KMS_TOKEN"', 'suite = "gm"')
    with pytest.raises(ConfigError, match="gateway keys wrap"):
        vault_of(wrapped)
    assert run(wrapped, "keys", "wrap") == 0
    assert run(wrapped, "keys", "wrap") == 0
    service.turn()
    assert run(wrapped, "keys", "rotate") == 0
    rows = listed(wrapped, capsys)
    assert [(one["id"], one["current"], one["way"], one["suite"], one["wrapped_by"]) for one in rows] == [
        ("k1", False, "kms", "gm", "keys/scrm version 1"),
        ("k2", True, "kms", "gm", "keys/scrm version 2"),
    ]
    after = vault_of(wrapped)
    assert after.open_text(token, "cus_1/name") == "张三"
    assert after.seal_text("张三", "cus_1/name", Sensitivity.IDENTITY).startswith("k2gr.")
    assert after.renew() == 0
    kept = (tmp_path / "data" / "keys.json").read_text(encoding="utf-8")
    assert msgspec.json.decode(kept)["version"] == 2


def test_wrapping_is_on_record_before_it_is_done(
    write: Write, service: KeyService, capsys: pytest.CaptureFixture[str]
) -> None:
    """And what was wrapped already leaves no second trace."""
    run(write(), "keys", "init")
    config = write(f'url = "{service.url}"', 'token = "env:KMS_TOKEN"')
    service.answer = lambda _: (503, b"")
    with pytest.raises(VaultDown):
        run(config, "keys", "wrap")
    service.answer = None
    run(config, "keys", "wrap")
    run(config, "keys", "wrap")
    capsys.readouterr()
    run(config, "audit", "list", "--json")
    verbs = [one["verb"] for one in json.loads(capsys.readouterr().out)]
    assert verbs == ["init", "wrap", "wrap"]


def test_wrapping_needs_something_to_wrap_and_to_wrap_with(write: Write, service: KeyService) -> None:
    """Neither a config without a service nor a folder without keys makes a key file by the way."""
    with pytest.raises(ConfigError, match="names nothing to wrap keys with"):
        run(write(), "keys", "wrap")
    config = write(f'url = "{service.url}"', 'token = "env:KMS_TOKEN"')
    with pytest.raises(ConfigError, match="No such file"):
        run(config, "keys", "wrap")
    assert not app.keys_of(settings.load(config)).path.exists()


def test_secret_is_sealed_by_the_way_of_the_config(
    write: Write, service: KeyService, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What `keys seal` prints is opened by a gateway that starts with the same config."""
    config = write(f'url = "{service.url}"', 'token = "env:KMS_TOKEN"', 'classes = {finance = "gm"}')
    monkeypatch.setattr("sys.stdin", io.StringIO("a-shop-secret\n"))
    assert run(config, "keys", "seal") == 0
    printed = capsys.readouterr().out.strip().splitlines()[-1]
    assert printed.startswith("sealed:k1g.finance.")
    assert sealing.unsealed(Secret(printed), vault_of(config)).reveal() == "a-shop-secret"


@pytest.mark.parametrize(
    ("lines", "place"),
    [
        (['url = "pkcs11:object=x"', 'token = "1234"'], "vault.url"),
        (['url = "pkcs11:token=x;object=y?module-path=/m.so"'], "vault.token"),
        (['url = "kms+http://kms.example/keys/x"', 'token = "t"'], "vault.url"),
        (['url = "vault://kms.example/keys/x"'], "vault.url"),
        (['classes = {public = "gm"}'], "vault.classes.public"),
    ],
)
def test_check_tells_a_wrong_vault_before_anything_starts(write: Write, lines: list[str], place: str) -> None:
    """`gateway check` reaches nothing and makes nothing."""
    config = write(*lines)
    tree = settings.load(config)
    assert [fault.place for fault in diagnosis.config_faults(tree)] == [place]
    assert not (tree.gateway.data_dir / "keys.json").exists()
