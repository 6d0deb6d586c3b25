"""What every vault keeps. A way inherits ``VaultContract`` and says how to open one and how its keys turn over."""

import sqlite3
import threading
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import pytest

from gateway.errors import Erased, KeyMissing, Stale, Tampered, VaultError
from gateway.model.values import Sensitivity
from gateway.vault import Vault

CONTEXT = "cus_0192/contacts.value"
TEXTS = ("", "张三", "+8613800138000", "a" * 5000, "line\nbreak\0zero", "é\u0301😀")


class VaultContract:
    """The promise of ``gateway.vault.Vault``. ``suite`` and ``classes`` are what the way under test seals with."""

    suite = "aes"
    classes: Mapping[str, str] = MappingProxyType({})

    def open(self, place: Path) -> Vault:
        """Open the vault that lives in ``place``, as another process would; the first call makes its first key."""
        raise NotImplementedError

    def rotate(self, place: Path) -> str:
        """Make a new key current, keeping the others. Returns its id."""
        raise NotImplementedError

    def turned(self, place: Path) -> Vault:
        """Open the vault that lives in ``place`` with the suites the other way round."""
        raise NotImplementedError

    @pytest.fixture
    def place(self, tmp_path: Path) -> Path:
        return tmp_path

    @pytest.fixture
    def vault(self, place: Path) -> Vault:
        return self.open(place)

    @pytest.mark.parametrize("payload", [b"", b"\0", b"{}" * 4096], ids=["empty", "zero", "8KiB"])
    def test_sealed_payload_opens_with_its_context(self, vault: Vault, payload: bytes) -> None:
        """What went in comes out, and cannot be read in between."""
        sealed = vault.seal(payload, b"ent_1")
        assert vault.open(sealed, b"ent_1") == payload
        assert len(payload) < 2 or payload not in sealed

    def test_two_seals_of_one_payload_differ(self, vault: Vault) -> None:
        """A reader of the journal cannot see that a partner said the same thing twice."""
        assert vault.seal(b"same", b"ent_1") != vault.seal(b"same", b"ent_1")

    def test_payload_moved_to_another_context_is_tampered(self, vault: Vault) -> None:
        """A payload belongs to its entry."""
        with pytest.raises(Tampered):
            vault.open(vault.seal(b"payload", b"ent_1"), b"ent_2")

    def test_payload_altered_in_any_bit_does_not_open(self, vault: Vault) -> None:
        """A flipped bit anywhere, the key's name included, is an error of the vault and never another payload."""
        sealed = vault.seal(b"payload", b"ent_1")
        for at in range(len(sealed)):
            for bit in (0x01, 0x80):
                with pytest.raises(VaultError):
                    vault.open(sealed[:at] + bytes([sealed[at] ^ bit]) + sealed[at + 1 :], b"ent_1")

    def test_payload_cut_or_stretched_is_tampered(self, vault: Vault) -> None:
        """At any length, down to nothing."""
        sealed = vault.seal(b"payload", b"ent_1")
        for wrong in (*(sealed[:length] for length in range(len(sealed))), sealed + b"\0"):
            with pytest.raises(Tampered):
                vault.open(wrong, b"ent_1")

    @pytest.mark.parametrize("text", TEXTS, ids=range(len(TEXTS)))
    def test_sealed_text_opens_with_its_context(self, vault: Vault, text: str) -> None:
        """Any text comes back character for character."""
        token = vault.seal_text(text, CONTEXT, Sensitivity.CONTACT)
        assert vault.open_text(token, CONTEXT) == text

    def test_token_names_key_and_class_and_nothing_else(self, vault: Vault) -> None:
        """Three parts in URL-safe letters; the class decides grants without opening."""
        token = vault.seal_text("张三", CONTEXT, Sensitivity.IDENTITY)
        key, sensitivity, data = token.split(".")
        assert key.isalnum()
        assert sensitivity == "identity"
        assert data.replace("-", "").replace("_", "").isalnum()
        assert data.isascii()

    def test_equal_text_in_one_field_seals_to_the_equal_token(self, vault: Vault, place: Path) -> None:
        """Also in another process that holds the same keys: a change is seen without opening."""
        token = vault.seal_text("张三", CONTEXT, Sensitivity.IDENTITY)
        assert vault.seal_text("张三", CONTEXT, Sensitivity.IDENTITY) == token
        vault.keep()
        assert self.open(place).seal_text("张三", CONTEXT, Sensitivity.IDENTITY) == token

    def test_equal_text_elsewhere_seals_to_another_token(self, vault: Vault) -> None:
        """Neither two records nor two fields nor two classes can be compared."""
        tokens = {
            vault.seal_text("张三", context, sensitivity).rsplit(".", 1)[1]
            for context in (CONTEXT, "cus_0193/contacts.value", "cus_0192/name")
            for sensitivity in Sensitivity
        }
        assert len(tokens) == 3 * len(Sensitivity)

    def test_token_moved_to_another_record_or_field_is_tampered(self, vault: Vault) -> None:
        """A token belongs to its place, also where the two places read alike when put together."""
        token = vault.seal_text("张三", CONTEXT, Sensitivity.IDENTITY)
        vault.seal_text("李四", "cus_0193/contacts.value", Sensitivity.IDENTITY)
        for context in ("cus_0193/contacts.value", "cus_0192/name", "", CONTEXT + "x", "y:" + CONTEXT, "errand/a/b"):
            with pytest.raises(Tampered):
                vault.open_text(token, context)

    def test_token_of_another_class_is_tampered(self, vault: Vault) -> None:
        """Relabelling a health field as public does not open it."""
        token = vault.seal_text("糖尿病", CONTEXT, Sensitivity.HEALTH)
        for sensitivity in ("public", "contact", "", "nonsense"):
            with pytest.raises(Tampered):
                vault.open_text(token.replace("health", sensitivity), CONTEXT)

    def test_token_altered_in_any_character_does_not_open(self, vault: Vault) -> None:
        """One token has one spelling: no other character, no padding, no blank is let pass anywhere."""
        token = vault.seal_text("13800138000", CONTEXT, Sensitivity.CONTACT)
        wrong = {token[:at] + other + token[at + 1 :] for at in range(len(token)) for other in "AQagrw0-=é"} - {token}
        wrong |= {token[:at] + other + token[at:] for at in range(len(token) + 1) for other in "Aagr =\n"}
        wrong |= {token[:at] + token[at + 1 :] for at in range(len(token))}
        wrong |= {token[:length] for length in range(len(token))}
        for altered in wrong:
            with pytest.raises(VaultError):
                vault.open_text(altered, CONTEXT)

    def test_key_that_is_gone_is_named(self, vault: Vault) -> None:
        """KeyMissing says which key to look for in a backup, and where."""
        token = vault.seal_text("张三", CONTEXT, Sensitivity.IDENTITY)
        with pytest.raises(KeyMissing, match=r"keys\.json: key k177 ") as caught:
            vault.open_text(token.replace("k1", "k177", 1), CONTEXT)
        assert caught.value.remedy

    def test_key_of_another_vault_does_not_open(self, vault: Vault, place: Path) -> None:
        """Two vaults share nothing, whatever their keys are called."""
        other = self.open(place / "other")
        with pytest.raises(VaultError):
            other.open(vault.seal(b"payload", b"ent_1"), b"ent_1")
        assert other.blind("phone") != vault.blind("phone")

    def test_rotation_seals_with_the_new_key_and_opens_with_all(self, vault: Vault, place: Path) -> None:
        """After a restart new things name the new key, and old ones still open."""
        payload, token = vault.seal(b"old", b"ent_1"), vault.seal_text("old", CONTEXT, Sensitivity.CONTACT)
        vault.keep()
        new = self.rotate(place)
        after = self.open(place)
        assert after.open(payload, b"ent_1") == b"old"
        assert after.open_text(token, CONTEXT) == "old"
        fresh = after.seal_text("old", CONTEXT, Sensitivity.CONTACT)
        assert fresh.split(".")[0].startswith(new)
        assert fresh.rsplit(".", 1)[1] != token.rsplit(".", 1)[1]

    def test_older_process_follows_a_newer_key(self, vault: Vault, place: Path) -> None:
        """A worker that started before a rotation reads what a door sealed after it, and seals with the new key from then on."""
        new = self.rotate(place)
        door = self.open(place)
        payload, token = door.seal(b"new", b"ent_1"), door.seal_text("new", CONTEXT, Sensitivity.CONTACT)
        door.keep()
        assert vault.open(payload, b"ent_1") == b"new"
        assert vault.open_text(token, CONTEXT) == "new"
        assert vault.seal_text("new", CONTEXT, Sensitivity.CONTACT) == token
        assert token.startswith(new)

    def test_process_that_only_seals_follows_when_it_looks(self, vault: Vault, place: Path) -> None:
        """A door opens nothing and would meet no new key; looking again and again changes nothing."""
        new = self.rotate(place)
        assert not vault.seal_text("x", CONTEXT, Sensitivity.CONTACT).startswith(new)
        vault.refresh()
        vault.refresh()
        assert vault.seal_text("x", CONTEXT, Sensitivity.CONTACT).startswith(new)
        assert vault.current_payload(self.open(place).seal(b"x", b"ent_1"))

    def test_what_a_new_key_sealed_is_current_for_an_older_process_too(self, vault: Vault, place: Path) -> None:
        """Otherwise it would seal it back with the old key."""
        self.rotate(place)
        door = self.open(place)
        assert vault.current(door.seal_text("new", CONTEXT, Sensitivity.CONTACT))
        assert vault.current_payload(door.seal(b"new", b"ent_1"))

    def test_current_tells_what_is_to_be_sealed_again(self, vault: Vault, place: Path) -> None:
        """What the current key and suite seal is current; after a rotation nothing older is, and what is no token never was."""
        sealed = [
            (vault.seal_text("张三", context, sensitivity), vault.seal(b"x", b"ent_1"))
            for context in (CONTEXT, "config/secret")
            for sensitivity in Sensitivity
        ]
        assert all(vault.current(token) and vault.current_payload(payload) for token, payload in sealed)
        self.rotate(place)
        after = self.open(place)
        assert not any(after.current(token) or after.current_payload(payload) for token, payload in sealed)
        for nonsense in ("", "k1", "k2.contact", "k9ar.contact.AAAA", "nonsense.contact.AAAA"):
            assert not after.current(nonsense)
        for short in (b"", b"\1", b"\1\2", b"\1\2k9", b"\2\2k2"):
            assert not after.current_payload(short)

    # ------------------------------------------------------------------ suites
    def test_change_of_suite_leaves_old_things_readable(self, vault: Vault, place: Path) -> None:
        """Nothing that was sealed has to be touched for it, and nothing of it is current afterwards."""
        payload = vault.seal(b"old", b"ent_1")
        tokens = {one: vault.seal_text("旧", CONTEXT, one) for one in Sensitivity}
        vault.keep()
        after = self.turned(place)
        assert after.open(payload, b"ent_1") == b"old"
        assert not after.current_payload(payload)
        for sensitivity, token in tokens.items():
            assert after.open_text(token, CONTEXT) == "旧"
            assert not after.current(token)
            fresh = after.seal_text("旧", CONTEXT, sensitivity)
            assert fresh.rsplit(".", 1)[1] != token.rsplit(".", 1)[1]
            assert after.current(fresh)

    def test_each_class_is_sealed_by_its_suite(self, vault: Vault) -> None:
        """Key fields by one, the rest by the other, in one record."""
        for sensitivity in Sensitivity:
            name = vault.seal_text("张三", CONTEXT, sensitivity).split(".")[0]
            suite = self.classes.get(sensitivity.value, self.suite)
            assert name == {"aes": "k1ar", "gm": "k1gr"}[suite]
        assert vault.seal(b"x", b"y")[2:].startswith({"aes": b"k1", "gm": b"k1g"}[self.suite])

    # ------------------------------------------------------------------ a record's own secret
    def test_secret_that_was_kept_is_there_for_all(self, vault: Vault, place: Path) -> None:
        """Another process, or the same after a crash, reads what was sealed before ``keep``."""
        token = vault.seal_text("张三", CONTEXT, Sensitivity.IDENTITY)
        vault.keep()
        vault.keep()
        assert self.open(place).open_text(token, CONTEXT) == "张三"

    def test_secret_that_was_not_kept_is_there_for_its_maker(self, vault: Vault, place: Path) -> None:
        """A batch that is under way can be read by who makes it, and by nobody else; that is no erasure."""
        token = vault.seal_text("张三", CONTEXT, Sensitivity.IDENTITY)
        assert vault.open_text(token, CONTEXT) == "张三"
        with pytest.raises(KeyMissing, match="cus_0192"):
            self.open(place).open_text(token, CONTEXT)

    def test_two_who_seal_one_new_record_agree_on_its_secret(self, vault: Vault, place: Path) -> None:
        """The first to keep wins; the other is told to seal again, and then both seal alike."""
        other = self.open(place)
        mine = vault.seal_text("张三", CONTEXT, Sensitivity.IDENTITY)
        theirs = other.seal_text("张三", CONTEXT, Sensitivity.IDENTITY)
        assert mine != theirs
        other.keep()
        with pytest.raises(Stale):
            vault.keep()
        assert vault.seal_text("张三", CONTEXT, Sensitivity.IDENTITY) == theirs
        assert vault.open_text(theirs, CONTEXT) == "张三"
        vault.keep()

    def test_records_that_were_met_open_and_seal_as_before(self, vault: Vault, place: Path) -> None:
        """Many at once, of which some have a secret, one is new and one is no record."""
        names = [f"cus_{number:04}" for number in range(900)]
        tokens = {name: vault.seal_text("张三", f"{name}/name", Sensitivity.IDENTITY) for name in names}
        vault.keep()
        other = self.open(place)
        other.meet([*names, "cus_new", "nothing"])
        for name, token in tokens.items():
            assert other.seal_text("张三", f"{name}/name", Sensitivity.IDENTITY) == token
        fresh = other.seal_text("李四", "cus_new/name", Sensitivity.IDENTITY)
        other.keep()
        assert vault.open_text(fresh, "cus_new/name") == "李四"

    def test_expected_record_that_has_a_secret_all_the_same_is_noticed(self, vault: Vault, place: Path) -> None:
        """A batch that was kept and never committed makes its records again: the one secret stays."""
        token = vault.seal_text("张三", CONTEXT, Sensitivity.IDENTITY)
        vault.keep()
        again = self.open(place)
        again.expect(CONTEXT.partition("/")[0])
        assert again.seal_text("张三", CONTEXT, Sensitivity.IDENTITY) != token
        with pytest.raises(Stale):
            again.keep()
        assert again.seal_text("张三", CONTEXT, Sensitivity.IDENTITY) == token
        again.keep()

    def test_many_who_seal_at_once_end_with_one_secret_each(self, place: Path) -> None:
        """Whoever is told to seal again does, and no token is left that somebody cannot open."""
        vaults = [self.open(place) for _ in range(4)]
        contexts = [f"cus_{number:04}/name" for number in range(50)]
        sealed: list[list[str]] = [[] for _ in vaults]

        def work(index: int) -> None:
            for context in contexts:
                while True:
                    token = vaults[index].seal_text("张三", context, Sensitivity.IDENTITY)
                    try:
                        vaults[index].keep()
                    except Stale:
                        continue
                    break
                sealed[index].append(token)

        threads = [threading.Thread(target=work, args=(index,)) for index in range(len(vaults))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sealed[0] == sealed[1] == sealed[2] == sealed[3]
        assert len(set(sealed[0])) == len(contexts)

    def test_forgotten_record_is_erased_for_everybody(self, vault: Vault, place: Path) -> None:
        """Whoever has it in memory notices at once, and a process that starts later cannot open it either. Others stay readable."""
        other = self.open(place)
        token = vault.seal_text("张三", CONTEXT, Sensitivity.IDENTITY)
        spared = vault.seal_text("李四", "cus_0193/name", Sensitivity.IDENTITY)
        vault.keep()
        assert other.open_text(token, CONTEXT) == "张三"
        assert vault.forget(["cus_0192", "cus_0999"]) == 1
        for reader in (vault, other, self.open(place)):
            with pytest.raises(Erased, match="cus_0192"):
                reader.open_text(token, CONTEXT)
            assert reader.open_text(spared, "cus_0193/name") == "李四"
        assert vault.forget(["cus_0192"]) == 0

    def test_forgotten_before_it_was_kept_is_erased_too(self, vault: Vault, place: Path) -> None:
        """And is not made durable afterwards."""
        token = vault.seal_text("张三", CONTEXT, Sensitivity.IDENTITY)
        assert vault.forget(["cus_0192"]) == 1
        with pytest.raises(Stale):
            vault.keep()
        vault.keep()
        for reader in (vault, self.open(place)):
            with pytest.raises(Erased):
                reader.open_text(token, CONTEXT)

    def test_record_sealed_again_after_its_erasure_has_another_secret(self, vault: Vault, place: Path) -> None:
        """What is said of it from then on is readable; what was said before stays erased, and is not taken for tampering."""
        token = vault.seal_text("张三", CONTEXT, Sensitivity.IDENTITY)
        vault.keep()
        vault.forget(["cus_0192"])
        fresh = vault.seal_text("张三", CONTEXT, Sensitivity.IDENTITY)
        vault.keep()
        assert fresh != token
        for reader in (vault, self.open(place)):
            assert reader.open_text(fresh, CONTEXT) == "张三"
            with pytest.raises(Erased):
                reader.open_text(token, CONTEXT)

    def test_what_was_sealed_before_an_erasure_and_not_kept_is_stale(self, vault: Vault, place: Path) -> None:
        """A worker that had the secret in memory neither brings it back nor commits what nobody could open."""
        vault.seal_text("张三", CONTEXT, Sensitivity.IDENTITY)
        vault.keep()
        worker = self.open(place)
        lost = worker.seal_text("王五", CONTEXT, Sensitivity.IDENTITY)
        vault.forget(["cus_0192"])
        with pytest.raises(Stale):
            worker.keep()
        again = worker.seal_text("王五", CONTEXT, Sensitivity.IDENTITY)
        worker.keep()
        assert again != lost
        assert self.open(place).open_text(again, CONTEXT) == "王五"

    def test_text_that_belongs_to_no_record_needs_no_keeping(self, vault: Vault, place: Path) -> None:
        """A secret of the config or the key of an errand outlives every record."""
        for context in ("config/secret", "endpoint/crm/secret", "errand/his/order", "cus_/name", "CUS_1/name", ""):
            token = vault.seal_text("s3cret", context, Sensitivity.FINANCE)
            assert self.open(place).open_text(token, context) == "s3cret"
        assert not (place / "secrets.db").exists()

    def test_rotation_leaves_records_readable_when_their_secrets_were_sealed_anew(
        self, vault: Vault, place: Path
    ) -> None:
        """The old key is no longer needed for any secret then."""
        token = vault.seal_text("张三", CONTEXT, Sensitivity.IDENTITY)
        vault.keep()
        new = self.rotate(place)
        after = self.open(place)
        assert (after.renew(), after.renew()) == (1, 0)
        with sqlite3.connect(place / "secrets.db") as file:
            assert [row[0][2:4].decode() for row in file.execute("SELECT sealed FROM secret")] == [new]
        file.close()
        for reader in (vault, after, self.open(place)):
            assert reader.open_text(token, CONTEXT) == "张三"

    def test_rotation_leaves_blind_indexes_alone(self, vault: Vault, place: Path) -> None:
        """A customer is still found by a phone that was indexed before."""
        before = vault.blind("phone", "", "+8613800138000")
        self.rotate(place)
        assert self.open(place).blind("phone", "", "+8613800138000") == before

    def test_blind_is_equal_for_equal_parts_only(self, vault: Vault) -> None:
        """Sixteen bytes; where a part ends makes a difference."""
        assert vault.blind("a", "bc") == vault.blind("a", "bc")
        parts = [("a", "bc"), ("ab", "c"), ("abc",), ("abc", ""), ("", "abc"), ("a", "b", "c"), ()]
        found = {vault.blind(*some) for some in parts}
        assert len(found) == len(parts)
        assert {len(index) for index in found} == {16}
