"""What a reload is drawn up from: whatever cannot be taken up is told, and leaves nothing behind."""

from pathlib import Path

import pytest

from connectors.registry import CARDS
from gateway import configure, settings
from gateway.errors import ConfigError
from gateway.pipeline import versions
from gateway.succession import Succession
from tests.e2e.house import free_ports

FEED = {"connector": "feed", "mapping": "feed/order", "auth": "none-on-loopback"}


def test_mapping_that_vanishes_while_it_is_read_refuses_the_reload(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody saves it at that moment. No queue is left in which partners would wait for nobody."""
    http, mllp = free_ports(2)

    def tree(accounts: dict[str, dict[str, object]]) -> settings.Settings:
        return settings.Settings(
            gateway=settings.Gateway(data_dir=tmp_path / "data"), http=settings.Http(port=http), accounts=accounts
        )  # fmt: skip

    first = tree({"erp": FEED})
    later = tree({"erp": FEED, "his": {"connector": "hl7", "listen": f"127.0.0.1:{mllp}"}})
    succession = Succession(first, configure.programs_of(first, CARDS), lambda: later)
    compiled = configure.programs_of(later, CARDS)
    monkeypatch.setattr(configure, "programs_of", lambda *_: compiled)
    monkeypatch.setattr(versions, "folder_of", lambda *_: tmp_path / "gone")
    try:
        with pytest.raises(ConfigError, match="cannot be read"):
            succession.draw()
        assert not succession._listeners.take(f"mllp/127.0.0.1:{mllp}")
    finally:
        succession._inbox.close()
        succession._outbox.close()
        succession.close()
