"""What every vault keeps. A way inherits ``VaultContract`` and says how to open one and how its keys turn over."""

from pathlib import Path

import pytest

from gateway.errors import KeyMissing, Tampered, VaultError
from gateway.model.values import Sensitivity
from gateway.vault import Vault

CONTEXT = "cus_0192/contacts.value"
TEXTS = ("", "张三", "+8613800138000", "a" * 5000, "line\nbreak\0zero", "é\u0301😀")


class VaultContract:
    """The promise of ``gateway.vault.Vault``."""

    def open(self, place: Path) -> Vault:
        """Open the vault that lives in ``place``; the first call makes its first key."""
        raise NotImplementedError

    def rotate(self, place: Path) -> str:
        """Make a new key current, keeping the others. Returns its id."""
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
        for context in ("cus_0193/contacts.value", "cus_0192/name", "", CONTEXT + "x", "y:" + CONTEXT):
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
        wrong = {token[:at] + other + token[at + 1 :] for at in range(len(token)) for other in "AQgw0-=é"} - {token}
        wrong |= {token[:at] + other + token[at:] for at in range(len(token) + 1) for other in "A =\n"}
        wrong |= {token[:length] for length in range(len(token))}
        for altered in wrong:
            with pytest.raises(VaultError):
                vault.open_text(altered, CONTEXT)

    def test_key_that_is_gone_is_named(self, vault: Vault) -> None:
        """KeyMissing says which key to look for in a backup."""
        key, rest = vault.seal_text("张三", CONTEXT, Sensitivity.IDENTITY).split(".", 1)
        with pytest.raises(KeyMissing, match=f"{key}77 "):
            vault.open_text(f"{key}77.{rest}", CONTEXT)

    def test_key_of_another_vault_does_not_open(self, vault: Vault, place: Path) -> None:
        """Two vaults share nothing, whatever their keys are called."""
        other = self.open(place / "other")
        with pytest.raises(VaultError):
            other.open(vault.seal(b"payload", b"ent_1"), b"ent_1")
        assert other.blind("phone") != vault.blind("phone")

    def test_rotation_seals_with_the_new_key_and_opens_with_all(self, vault: Vault, place: Path) -> None:
        """After a restart new things name the new key, and old ones still open."""
        payload, token = vault.seal(b"old", b"ent_1"), vault.seal_text("old", CONTEXT, Sensitivity.CONTACT)
        new = self.rotate(place)
        after = self.open(place)
        assert after.open(payload, b"ent_1") == b"old"
        assert after.open_text(token, CONTEXT) == "old"
        fresh = after.seal_text("old", CONTEXT, Sensitivity.CONTACT)
        assert fresh.split(".")[0] == new
        assert fresh.rsplit(".", 1)[1] != token.rsplit(".", 1)[1]

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
