"""Forms from cards, read back as the config reads them, and the TOML that comes out."""

import tomllib
from pathlib import Path
from typing import Any

import pytest

from connectors.registry import CARDS
from gateway import sealing, settings
from gateway.desk import drafts
from gateway.model.secret import Secret
from tests.api.kit import House, told

KEY = "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG"


@pytest.mark.parametrize("name", CARDS)
def test_every_cards_form_has_a_sentence_for_each_field_and_hides_secrets(name: str) -> None:
    """Typed by the declaration; nothing of a secret's value is in it."""
    own, shared = drafts.fields_of(CARDS[name], settings.Account, {"secret": "s-1", "token": "t-1"})
    assert all(one.help for one in [*own, *shared])
    assert {one.kind for one in own if one.secret} <= {"password"}
    assert all(one.value == "" for one in own if one.secret)
    assert "connector" not in {one.name for one in shared}


def test_what_is_entered_comes_out_as_the_config_reads_it(tmp_path: Path) -> None:
    """Lists, numbers, choices and switches; what is as by default is left out; secrets are sealed and open again."""

    async def story(house: House) -> None:
        card = CARDS["hl7"]
        own, shared = drafts.fields_of(card, settings.Account, {})
        said = {
            "listen": "127.0.0.1:2575", "tls_key": "-----KEY", "peers": "10.1.0.0/16, 10.2.0.0/16", "max_frame": "2048", "lenient": "true",
            "ack": "auto", "encoding": "UNICODE UTF-8, GB18030", "lane": "bulk", "rate": "20",
        }  # fmt: skip
        raw = drafts.without_defaults(card, settings.Account, drafts.read([*own, *shared], said, {}))
        assert set(raw) == {"listen", "tls_key", "peers", "max_frame", "ack", "lane", "rate"}
        text = drafts.toml("his", "hl7", raw, [*own, *shared], house.desk.vault)
        made: dict[str, Any] = tomllib.loads(text)["accounts"]["his"]
        assert "-----KEY" not in text
        assert sealing.unsealed(Secret(made.pop("tls_key")), house.desk.vault).reveal() == "-----KEY"
        assert made == {
            "connector": "hl7", "listen": "127.0.0.1:2575", "peers": ["10.1.0.0/16", "10.2.0.0/16"], "max_frame": 2048, "ack": "auto",
            "lane": "bulk", "rate": 20,
        }  # fmt: skip
        assert house.desk.premises.faults("his", made) == []

    told(tmp_path, story)


def test_empty_secret_is_the_one_there_is_and_references_stay_references(tmp_path: Path) -> None:
    """env:NAME is not sealed: it is no secret."""

    async def story(house: House) -> None:
        card = CARDS["wecom"]
        own, _ = drafts.fields_of(card, settings.Account, {})
        kept = {"token": "env:WECOM_TOKEN", "encoding_aes_key": KEY}
        raw = drafts.read(own, {"corp_id": "ww1", "token": "", "encoding_aes_key": ""}, kept)
        assert raw == {"corp_id": "ww1", **kept}
        text = drafts.toml("corp 1", "wecom", raw, own, house.desk.vault)
        assert 'token = "env:WECOM_TOKEN"' in text
        assert KEY not in text
        assert list(tomllib.loads(text)["accounts"]) == ["corp 1"]

    told(tmp_path, story)


def test_faults_are_those_of_gateway_check(tmp_path: Path) -> None:
    """A key that nobody reads, a connector that there is not, a value of the wrong type."""

    async def story(house: House) -> None:
        check = house.desk.premises.faults
        assert "did you mean 'corp_id'" in str(check("a", {"connector": "wecom", "corpid": "x"})[0])
        assert "unknown key 'wecon'" in str(check("a", {"connector": "wecon"})[0])
        assert check("a", {"connector": "hl7", "listen": "127.0.0.1:1", "max_frame": "many"})
        assert check("a", {"connector": "feed", "mapping": "feed/order", "tolerance": "soon"})

    told(tmp_path, story)
