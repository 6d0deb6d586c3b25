"""The file of records' own secrets: that nothing of a destroyed one lingers, and that nobody misses it."""

import itertools
import mmap
import os
import random
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.errors import Erased, KeyMissing, StoreError, Tampered, VaultError
from gateway.model.values import Sensitivity
from gateway.vaults import file, sealing
from gateway.vaults.secrets import SIZE, Secrets

ROOT = Path(__file__).parents[2]


def test_destroyed_secrets_are_nowhere_in_the_files(tmp_path: Path) -> None:
    """Over many rounds of growing and forgetting, with readers beside: neither the file nor its log holds one byte row of them."""
    path, numbers, dice = tmp_path / "secrets.db", itertools.count(), random.Random(7)
    secrets, reader = Secrets(path), Secrets(path)
    live: dict[bytes, bytes] = {}
    gone: list[bytes] = []
    for _ in range(40):
        fresh = {f"record {next(numbers)}".encode(): dice.randbytes(52) for _ in range(50)}
        assert secrets.add(fresh) == {}
        live |= fresh
        chosen = dice.sample(sorted(live), 20)
        assert reader.find(chosen[0])[0] is not None
        assert secrets.remove(chosen) == 20
        gone += [live.pop(record) for record in chosen]
        raw = b"".join(one.read_bytes() for one in sorted(tmp_path.iterdir()))
        assert not any(sealed in raw for sealed in gone)
    assert all(reader.find(record)[0] == sealed.ljust(SIZE, b"\0") for record, sealed in live.items())
    assert [secrets.find(b"never"), secrets.remove([b"never"]), secrets.find(b"never")] == [
        (None, False),
        0,
        (None, True),
    ]


def test_files_are_the_owners_only(tmp_path: Path) -> None:
    """They stand beside the key file, which is too."""
    vault = file.open_vault(tmp_path / "keys.json")
    vault.seal_text("张三", "cus_1/name", Sensitivity.IDENTITY)
    vault.keep()
    found = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir()}
    assert {"keys.json", "secrets.db", "secrets.db.forgotten"} <= found.keys()
    assert set(found.values()) == {0o600}


def test_secrets_stand_sealed_and_under_no_readable_name(tmp_path: Path) -> None:
    """Whoever has the file alone learns neither a secret nor whose it is."""
    vault = file.open_vault(tmp_path / "keys.json")
    vault.seal_text("张三", "cus_0192aabb/name", Sensitivity.IDENTITY)
    vault.keep()
    raw = b"".join(path.read_bytes() for path in tmp_path.glob("secrets.db*"))
    assert b"cus_0192aabb" not in raw
    assert not any(secret in raw for secret in vault._remembered.values())


def test_erasure_is_noticed_by_a_process_that_only_reads(tmp_path: Path) -> None:
    """At once: no interval has to pass, and the reader keeps nothing."""
    path = tmp_path / "keys.json"
    vault = file.open_vault(path)
    token = vault.seal_text("张三", "cus_1/name", Sensitivity.IDENTITY)
    vault.keep()
    code = (
        "import sys\n"
        "from gateway.errors import Erased\n"
        "from gateway.vaults.file import open_vault\n"
        "vault = open_vault(sys.argv[1])\n"
        "for line in sys.stdin:\n"
        "    try:\n"
        "        answer = vault.open_text(sys.argv[2], 'cus_1/name')\n"
        "    except Erased:\n"
        "        answer = 'erased'\n"
        "    sys.stdout.reconfigure(encoding='utf-8'); print(answer, flush=True)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(path), token], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        encoding="utf-8", bufsize=1,
    ) as reader:  # fmt: skip
        assert reader.stdin and reader.stdout

        def ask() -> str:
            reader.stdin.write("?\n")
            reader.stdin.flush()
            return reader.stdout.readline().strip()

        assert [ask(), ask()] == ["张三", "张三"]
        vault.forget(["cus_1"])
        assert ask() == "erased"
        reader.stdin.close()
    assert reader.returncode == 0


def test_process_that_died_between_destroying_and_telling_is_made_good_for(tmp_path: Path) -> None:
    """Whoever opens the file next tells what was forgotten."""
    path = tmp_path / "secrets.db"
    secrets = Secrets(path)
    seen = secrets.mark[:]
    with sqlite3.connect(path) as untold:
        untold.execute("PRAGMA user_version = 9")
    untold.close()
    assert secrets.mark[:] == seen
    Secrets(path)
    assert secrets.mark[:] != seen


def test_lost_secrets_are_a_missing_key_and_no_erasure(tmp_path: Path) -> None:
    """A backup of store and keys without this file: what to restore is named, so that nobody believes the customer was erased."""
    vault = file.open_vault(tmp_path / "keys.json")
    token = vault.seal_text("张三", "cus_1/name", Sensitivity.IDENTITY)
    vault.keep()
    vault._secrets.close()
    for path in tmp_path.glob("secrets.db*"):
        path.unlink()
    with pytest.raises(KeyMissing, match="record cus_1 is not there") as caught:
        file.open_vault(tmp_path / "keys.json").open_text(token, "cus_1/name")
    assert caught.value.place == str(tmp_path / "secrets.db")
    assert "restore" in caught.value.remedy


def test_secrets_that_were_exchanged_or_altered_are_tampered(tmp_path: Path) -> None:
    """A slot belongs to its record: whoever can write the file cannot make one record pass for another."""
    vault = file.open_vault(tmp_path / "keys.json")
    tokens = [vault.seal_text("张三", f"cus_{at}/name", Sensitivity.IDENTITY) for at in (1, 2)]
    vault.keep()
    swap = "UPDATE place SET slot = 3 - slot"
    alter = "UPDATE secret SET sealed = CAST(substr(sealed, 1, 30) || x'00' || substr(sealed, 32) AS BLOB)"
    lengthen = "UPDATE secret SET sealed = CAST(x'01ff' || substr(sealed, 3) AS BLOB)"
    for statement in (swap, f"{swap};{alter}", lengthen):
        connection = sqlite3.connect(tmp_path / "secrets.db")
        connection.executescript(statement)
        connection.close()
        reader = file.open_vault(tmp_path / "keys.json")
        for at, token in zip((1, 2), tokens, strict=True):
            with pytest.raises(Tampered):
                reader.open_text(token, f"cus_{at}/name")


def test_file_that_cannot_be_used_stops_what_it_is_needed_for(tmp_path: Path) -> None:
    """Nothing is committed that nobody could open; what belongs to no record goes on."""
    (tmp_path / "secrets.db").write_bytes(b"this is no database at all, whatever its name says" * 100)
    vault = file.open_vault(tmp_path / "keys.json")
    with pytest.raises(StoreError, match="cannot be used") as caught:
        vault.seal_text("张三", "cus_1/name", Sensitivity.IDENTITY)
    assert caught.value.remedy
    assert vault.open_text(vault.seal_text("x", "config/secret", Sensitivity.FINANCE), "config/secret") == "x"


def test_secrets_that_nobody_keeps_are_a_loud_mistake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A caller that never calls ``keep`` is stopped before it has lost much."""
    monkeypatch.setattr(sealing, "_UNSAVED_MOST", 3)
    vault = file.open_vault(tmp_path / "keys.json")
    for at in range(3):
        vault.seal_text("张三", f"cus_{at}/name", Sensitivity.IDENTITY)
    with pytest.raises(VaultError, match="nobody kept"):
        vault.seal_text("张三", "cus_3/name", Sensitivity.IDENTITY)
    vault.keep()
    vault.seal_text("张三", "cus_3/name", Sensitivity.IDENTITY)


def test_what_is_remembered_is_bounded_and_found_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """More records than memory holds: those let go are read from the file, and seal to the same tokens."""
    monkeypatch.setattr("gateway.vaults.envelope._READY", 4)
    monkeypatch.setattr(sealing, "_REMEMBERED", 8)
    vault = file.open_vault(tmp_path / "keys.json")
    contexts = [f"cus_{at}/name" for at in range(40)]
    tokens = [vault.seal_text("张三", context, Sensitivity.IDENTITY) for context in contexts]
    vault.keep()
    assert [vault.open_text(token, context) for token, context in zip(tokens, contexts, strict=True)] == ["张三"] * 40
    assert [vault.seal_text("张三", context, Sensitivity.IDENTITY) for context in contexts] == tokens
    assert len(vault._remembered) <= 8


def test_kept_secrets_survive_the_death_of_their_process(tmp_path: Path) -> None:
    """``keep`` has returned: whatever kills the process then, what it sealed can be opened."""
    code = (
        "import os, signal, sys\n"
        "from gateway.model.values import Sensitivity\n"
        "from gateway.vaults.file import open_vault\n"
        "vault = open_vault(sys.argv[1])\n"
        "tokens = [vault.seal_text('x', f'cus_{at}/name', Sensitivity.IDENTITY) for at in range(20)]\n"
        "vault.keep()\n"
        "print('\\n'.join(tokens), flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code, tmp_path / "keys.json"], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    assert ran.returncode == -9
    vault = file.open_vault(tmp_path / "keys.json")
    tokens = ran.stdout.split()
    assert [vault.open_text(token, f"cus_{at}/name") for at, token in enumerate(tokens)] == ["x"] * 20


def test_forked_process_opens_its_own(tmp_path: Path) -> None:
    """The gateway opens its keys before it forks, and again in each process."""
    vault = file.open_vault(tmp_path / "keys.json")
    token = vault.seal_text("张三", "cus_1/name", Sensitivity.IDENTITY)
    vault.keep()
    child = os.fork()
    if child == 0:
        good = file.open_vault(tmp_path / "keys.json").open_text(token, "cus_1/name") == "张三"
        os._exit(0 if good else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert isinstance(vault._mark, mmap.mmap)
    vault.forget(["cus_1"])
    with pytest.raises(Erased):
        vault.open_text(token, "cus_1/name")
