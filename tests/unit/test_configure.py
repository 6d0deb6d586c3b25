"""Sealed secrets in a config, and an account whose secrets are opened before its connector sees them."""

from pathlib import Path

import pytest

from connectors.registry import CARDS
from gateway import configure, sealing, settings
from gateway.errors import ConfigError, VaultError
from gateway.model.secret import Secret
from gateway.vaults.file import open_vault


def test_a_sealed_secret_opens_with_the_key_file_that_sealed_it(tmp_path: Path) -> None:
    """What `gateway keys seal` prints may stand in a config: it says nothing, and comes back whole."""
    vault = open_vault(tmp_path / "keys.json")
    reference = sealing.seal("a-shop-secret", vault)

    assert reference.startswith("sealed:")
    assert "a-shop-secret" not in reference
    assert not settings.is_plain(reference)
    assert sealing.unsealed(settings.secret(reference), vault) == Secret("a-shop-secret")


def test_a_secret_sealed_elsewhere_is_refused(tmp_path: Path) -> None:
    """Another gateway's key file does not open it, and the error is ours."""
    reference = sealing.seal("a-shop-secret", open_vault(tmp_path / "theirs.json"))

    with pytest.raises(VaultError):
        sealing.unsealed(Secret(reference), open_vault(tmp_path / "ours.json"))


def test_a_plain_secret_stays_as_it_is(tmp_path: Path) -> None:
    """Only sealed references are opened."""
    assert sealing.unsealed(Secret("plain"), open_vault(tmp_path / "keys.json")) == Secret("plain")


def test_a_simulated_partner_knows_what_is_sealed(tmp_path: Path) -> None:
    """It signs with the secret itself, wherever the account is kept."""
    vault = open_vault(tmp_path / "keys.json")
    raw = {"connector": "feed", "mapping": "feed/order", "secret": sealing.seal("a-shop-secret", vault)}

    options = configure.plain_options(raw, lambda secret: sealing.unsealed(secret, vault))

    assert options == {"mapping": "feed/order", "secret": "a-shop-secret"}


@pytest.mark.parametrize(
    ("option", "value"), [("tolerance", "abc"), ("timezone", "Mars/Olympus"), ("rate", -1), ("rate", float("nan"))]
)
def test_what_an_account_cannot_be_is_told_with_its_place(option: str, value: object) -> None:
    """As a fault of the config and nothing else: the supervisor of a running gateway reads it, and goes on as before."""
    feed = {"connector": "feed", "mapping": "feed/order", "auth": "none-on-loopback", option: value}
    with pytest.raises(ConfigError) as caught:
        configure.accounts_of(settings.Settings(accounts={"erp": feed}), CARDS)
    assert caught.value.place.endswith(f"accounts.erp.{option}")


def test_zone_of_the_house_is_one() -> None:
    """It is that of every account that names none."""
    tree = settings.Settings(
        gateway=settings.Gateway(timezone="Mars/Olympus"),
        accounts={"erp": {"connector": "feed", "mapping": "feed/order", "auth": "none-on-loopback"}},
    )
    with pytest.raises(ConfigError) as caught:
        configure.accounts_of(tree, CARDS)
    assert caught.value.place == "gateway.timezone"
