"""Settings: where values come from, what is refused and with which words, and what is never shown."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from gateway import book, settings
from gateway.errors import ConfigError
from gateway.model.secret import MASK, Secret
from gateway.settings import Settings, load
from gateway.vaults.file import open_vault


def tree(tmp_path: Path, text: str = "", *, environ: dict[str, str] | None = None, **flags: Any) -> Settings:
    """Settings from a file with this text."""
    file = tmp_path / "config.toml"
    file.write_text(text, encoding="utf-8")
    return load(file, environ=environ or {}, flags={name.replace("__", "."): value for name, value in flags.items()})


def refused(tmp_path: Path, text: str, **more: Any) -> str:
    """What is said of a config that cannot be used."""
    with pytest.raises(ConfigError) as caught:
        tree(tmp_path, text, **more)
    return str(caught.value)


# ------------------------------------------------------------------ where a value comes from
def test_the_file_beats_the_default_the_environment_the_file_and_a_flag_all(tmp_path: Path) -> None:
    """A flag that was not given is no word."""
    text = "[http]\nport = 1001\nworkers = 2\nhost = '0.0.0.0'"
    environ = {"GATEWAY_HTTP__PORT": "1002", "GATEWAY_HTTP__WORKERS": "3"}
    found = tree(tmp_path, text, environ=environ, http__port=1003, http__workers=None)
    assert (found.http.port, found.http.workers, found.http.host) == (1003, 3, "0.0.0.0")
    assert tree(tmp_path, text).http.port == 1001
    assert load(None, environ={}).http.port == 8000


def test_the_environment_is_read_as_the_fields_type(tmp_path: Path) -> None:
    """Numbers, durations, sizes and names of accounts that stand nowhere else."""
    environ = {
        "GATEWAY_HTTP__MAX_BODY": "64KiB",
        "GATEWAY_JOURNAL__KEEP": "2h",
        "GATEWAY_ENDPOINTS__CRM__URL": "https://crm.example",
        "GATEWAY_ENDPOINTS__CRM__ALLOW_PRIVATE": "true",
        "GATEWAY_ACCOUNTS__ERP__CONNECTOR": "feed",
        "GATEWAY_HOME": "not ours",
    }
    found = tree(tmp_path, environ=environ)
    assert (found.http.max_body, found.journal.keep) == (65536, 7200.0)
    assert found.endpoints["crm"].allow_private is True
    assert found.accounts["erp"] == {"connector": "feed"}


# ------------------------------------------------------------------ what is refused
@pytest.mark.parametrize(
    ("text", "place", "hint"),
    [
        ("[http]\nprot = 1", "http.prot", "did you mean 'port'?"),
        ("[htpp]\nport = 1", "htpp", "did you mean 'http'?"),
        ("[endpoints.crm]\nurl = 'x'\nevent = []", "endpoints.crm.event", "did you mean 'events'?"),
        (
            "[endpoints.crm]\nurl = 'x'\n[endpoints.crm.grants]\nhelth = 'drop'",
            "endpoints.crm.grants.helth",
            "did you mean 'health'?",
        ),
        ("[gateway]\nzzz = 1", "gateway.zzz", "known: data_dir"),
    ],
)
def test_an_unknown_key_is_refused_with_its_place_and_the_nearest_name(
    tmp_path: Path, text: str, place: str, hint: str
) -> None:
    """A typing error must not become a default."""
    said = refused(tmp_path, text)
    assert f"config.toml: {place}: unknown key" in said
    assert hint in said


def test_an_unknown_environment_name_is_refused_too(tmp_path: Path) -> None:
    """With two underscores it can only have been meant for us."""
    assert "did you mean 'port'?" in refused(tmp_path, "", environ={"GATEWAY_HTTP__PROT": "1"})


def test_an_environment_name_below_a_value_is_refused(tmp_path: Path) -> None:
    """A value has nothing inside."""
    assert "http.port.x" in refused(tmp_path, "[http]\nport = 1", environ={"GATEWAY_HTTP__PORT__X": "1"})


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("[http]\nport = 'many'", "http.port"),
        ("[http]\nmax_body = '8 apples'", "http.max_body"),
        ("[journal]\nkeep = 'a while'", "journal.keep"),
        ("[endpoints.crm]\nurl = 'x'\nordered = 'maybe'", "endpoints.crm.ordered"),
        ("[endpoints.crm]\nurl = 'x'\n[endpoints.crm.grants]\nhealth = 'show'", "grants.health"),
        ("[endpoints.crm]\nurl = 'x'\nretries = ['5 parsecs']", "retries"),
        ("[gateway]\nlog = 'xml'", "gateway.log"),
    ],
)
def test_a_value_of_the_wrong_kind_is_refused_with_its_place(tmp_path: Path, text: str, place: str) -> None:
    """Not with a traceback."""
    said = refused(tmp_path, text)
    assert "config.toml" in said
    assert place.rpartition(".")[2] in said


@pytest.mark.parametrize("text", ["[http", "a = = 1", "[http]\nport = 1\n[http]\nport = 2"])
def test_what_is_no_toml_is_refused_with_the_line(tmp_path: Path, text: str) -> None:
    """As the parser tells it."""
    said = refused(tmp_path, text)
    assert "is not TOML" in said
    assert "(at " in said


def test_a_file_that_is_not_there_or_no_text_is_refused(tmp_path: Path) -> None:
    """With its name."""
    with pytest.raises(ConfigError, match=r"missing\.toml: cannot be read"):
        load(tmp_path / "missing.toml", environ={})
    (tmp_path / "latin.toml").write_bytes("a = 'é'".encode("latin-1"))
    with pytest.raises(ConfigError, match="is not TOML"):
        load(tmp_path / "latin.toml", environ={})


@pytest.mark.parametrize(
    "text", ["http = 5", "endpoints = 5", "[endpoints]\ncrm = 'x'", "accounts = []", "[accounts]\nerp = 'feed'"]
)
def test_a_value_where_a_table_belongs_is_refused(tmp_path: Path, text: str) -> None:
    """Also as a config error."""
    assert "config.toml" in refused(tmp_path, text)


# ------------------------------------------------------------------ durations and sizes
@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("500ms", 0.5),
        ("30s", 30),
        ("10m", 600),
        ("2h", 7200),
        ("7d", 604_800),
        ("45", 45),
        ("1.5h", 5400),
        (" 5 s ", 5),
        ("0s", 0),
    ],
)
def test_durations(text: str, seconds: float) -> None:
    """A number without a unit is seconds."""
    assert settings.duration(text) == seconds


@pytest.mark.parametrize("text", ["", "s", "-5s", "5 weeks", "5s 3m", "1e3", "five"])
def test_what_is_no_duration(text: str) -> None:
    """Refused, never guessed."""
    with pytest.raises(ValueError, match="is not a duration"):
        settings.duration(text)


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("'64KiB'", 65_536),
        ("'8MiB'", 8 << 20),
        ("'1GiB'", 1 << 30),
        ("'5kb'", 5000),
        ("'5 MB'", 5_000_000),
        ("'77'", 77),
        ("77", 77),
    ],
)
def test_sizes(tmp_path: Path, text: str, size: int) -> None:
    """Powers of 1024 with an i, of 1000 without."""
    assert tree(tmp_path, f"[http]\nmax_body = {text}").http.max_body == size


def test_a_number_of_seconds_needs_no_text(tmp_path: Path) -> None:
    """Retries may mix both."""
    found = tree(tmp_path, "[endpoints.a]\nurl = 'x'\nretries = [0, '5s', 2.5]\ntimeout = 3")
    assert (found.endpoints["a"].retries, found.endpoints["a"].timeout) == ((0.0, 5.0, 2.5), 3.0)


# ------------------------------------------------------------------ secrets
def test_a_secret_comes_from_the_environment_a_file_or_as_it_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file's last line break is not part of it."""
    monkeypatch.setenv("HOOK_SECRET", "from-env")
    (tmp_path / "secret").write_text("from-file\n", encoding="utf-8")
    assert settings.secret("env:HOOK_SECRET").reveal() == "from-env"
    assert settings.secret(f"file:{tmp_path}/secret").reveal() == "from-file"
    assert settings.secret("as-it-stands").reveal() == "as-it-stands"
    assert [settings.is_plain(one) for one in ("env:A", "file:/b", "as-it-stands", 5)] == [False, False, True, False]


@pytest.mark.parametrize("reference", ["env:NOT_SET_ANYWHERE", "file:/nowhere/at/all"])
def test_a_secret_that_is_not_there_is_refused_with_where_it_was_looked_for(tmp_path: Path, reference: str) -> None:
    """At once, not when it is first needed."""
    said = refused(tmp_path, f"[endpoints.crm]\nurl = 'x'\nsecret = '{reference}'")
    assert reference.partition(":")[2] in said
    assert "secret" in said


def test_what_is_shown_holds_no_secret(tmp_path: Path) -> None:
    """Masked in the tree, in text and in JSON."""
    found = tree(
        tmp_path,
        "[endpoints.crm]\nurl = 'https://crm.example'\nsecret = 'whsec_marked'\nprevious_secret = 'whsec_marked2'",
    )
    shown = settings.shown(found)
    assert shown["endpoints"]["crm"]["secret"] == MASK
    assert shown["endpoints"]["crm"]["url"] == "https://crm.example"
    assert shown["gateway"]["data_dir"] == "data"
    assert "marked" not in f"{shown} {found} {found!r}"
    assert b'"max_body":8388608' in msgspec.json.encode(shown), "`gateway config show` can print it"
    assert found.endpoints["crm"].secret == Secret("whsec_marked")


# ------------------------------------------------------------------ places
@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("", "default.db"),
        ("sqlite:///data/x.db", "data/x.db"),
        ("sqlite:////abs/x.db", "/abs/x.db"),
        ("file:///keys.json", "keys.json"),
    ],
)
def test_urls_of_files(url: str, expected: str) -> None:
    """Three slashes and a relative path, four and an absolute one."""
    assert settings.path_of(url, Path("default.db")) == Path(expected)


@pytest.mark.parametrize("url", ["postgresql://host/db", "kafka://host:9092/topic", "data/x.db", "sqlite://x"])
def test_a_way_this_gateway_does_not_have_is_refused(url: str) -> None:
    """With what to use."""
    with pytest.raises(ConfigError, match="sqlite:///path"):
        settings.path_of(url, Path("default.db"))


@pytest.mark.parametrize(
    "url",
    [
        "",
        "crm.example/hooks",
        "ftp://crm.example",
        "http://",
        "http://crm.example:99999/",
        "http://[bad/",
        "http://x:0/",
    ],
)
def test_an_endpoints_address_that_cannot_be_posted_to_is_refused_before_anything_starts(
    tmp_path: Path, url: str
) -> None:
    """With its place; later it would only fail, attempt after attempt."""
    found = tree(tmp_path, f"[endpoints.crm]\nurl = '{url}'\nsecret = 'whsec_x'")
    with pytest.raises(ConfigError, match=r"endpoints\.crm\.url"):
        book.configured(found, open_vault(tmp_path / "keys.json"))


@pytest.mark.parametrize("header", ["'bad name' = 'x'", 'x-a = "a\\nb"', "'' = 'x'"])
def test_a_header_that_cannot_be_sent_is_refused_before_anything_starts(tmp_path: Path, header: str) -> None:
    """With its place."""
    found = tree(
        tmp_path, f"[endpoints.crm]\nurl = 'https://crm.example'\nsecret = 'whsec_x'\nheaders = {{ {header} }}"
    )
    with pytest.raises(ConfigError, match=r"endpoints\.crm\.headers"):
        book.configured(found, open_vault(tmp_path / "keys.json"))
