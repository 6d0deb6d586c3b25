"""Accounts that stand beside the data instead of in the config: one file each, ``accounts.d/NAME.toml``, written by the console and ``gateway accounts``.

A file is a flat TOML table of what ``[accounts.NAME]`` would hold; its secrets are sealed. Files are written whole or not at all, readable by their
owner only, one writer at a time; the versions before the present one, three at most, lie in ``accounts.d/.before/NAME/``.
"""

import fcntl
import hashlib
import json
import re
import shutil
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from gateway import durable
from gateway.errors import ConfigError, GatewayError

FOLDER = "accounts.d"
KEPT = 3
"""How many versions before the present one are kept."""

_NAME = re.compile(r"[^\W_][\w.-]{0,59}")
_HEAD = "# Kept by the console and `gateway accounts`; change it with them.\n"
_BEFORE = ".before"


class Filed(dict[str, Any]):
    """An account's options as its file has them; ``version`` is that of the text."""

    path: Path
    version: str

    def __init__(self, options: Mapping[str, Any], path: Path, version: str) -> None:
        super().__init__(options)
        self.path = path
        self.version = version

    def place(self, key: str = "") -> str:
        """``file:line: key``, as far as there is such a line; the file alone without a key."""
        return f"{self.path}{_line(self.path, key)}: {key}" if key else str(self.path)


class Conflict(GatewayError):
    """Somebody else changed the account meanwhile."""

    code = "account.changed"


class Past(msgspec.Struct, frozen=True, kw_only=True):
    """An earlier version of an account: what its options were, and when it was replaced (microseconds)."""

    version: str
    at: int
    options: Mapping[str, Any]


def need_name(name: str) -> None:
    """ConfigError for a name that cannot be both part of an address and a file's."""
    if not _NAME.fullmatch(name) or len(name.encode()) > 200:
        raise ConfigError(
            f"{name[:60]!r} is no account name",
            remedy="1 to 60 letters, digits, dots, hyphens and underscores; a letter or digit first",
        )


class Annex:
    """The folder under ``data_dir``. Nothing is made before something is kept."""

    def __init__(self, data_dir: Path) -> None:
        self.folder = data_dir / FOLDER

    # ------------------------------------------------------------------ reading
    def all(self) -> dict[str, Filed]:
        """Every account by name. ConfigError names file and line of what is no TOML, no flat table, or no account's file."""
        try:
            paths = sorted(one for one in self.folder.iterdir() if not one.name.startswith("."))
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise ConfigError(f"cannot be read: {error.strerror}", place=str(self.folder)) from error
        return {path.stem: _read(path) for path in paths}

    def get(self, name: str) -> Filed | None:
        """One account, None when it has no file here."""
        path = self.path(name)
        return _read(path) if _NAME.fullmatch(name) and path.exists() else None

    def past(self, name: str) -> list[Past]:
        """Earlier versions, the latest first."""
        found = []
        for path in reversed(self._before(name)):
            one = _read(path)
            found.append(Past(version=one.version, at=int(path.stem), options=dict(one)))
        return found

    def changed(self, name: str) -> int:
        """When the file was written (microseconds); 0 when there is none."""
        try:
            return self.path(name).stat().st_mtime_ns // 1000
        except FileNotFoundError:
            return 0

    # ------------------------------------------------------------------ writing
    def keep(self, name: str, options: Mapping[str, Any], *, version: str, now: int) -> str:
        """Make the file, or replace it: its new version. ``version`` is that of the file as the writer knew it, empty for none; Conflict when it is
        another. Durable when it returns."""
        need_name(name)
        text = text_of(options)
        _need_readable(text, self.path(name))
        with self._alone():
            current = self._need(name, version)
            if current is not None:
                if _version(text) == current.version:
                    return current.version
                self._put_by(name, current, now)
            durable.put(self.path(name), text.encode())
        return _version(text)

    def remove(self, name: str, *, version: str) -> None:
        """Forget the account with its earlier versions. Conflict when its version is another."""
        need_name(name)
        with self._alone():
            if self._need(name, version) is None:
                return
            if self._before(name):
                shutil.rmtree(self.folder / _BEFORE / name)
            self.path(name).unlink()
            durable.sync(self.folder)

    def _need(self, name: str, version: str) -> Filed | None:
        current = self.get(name)
        if (current.version if current else "") != version:
            raise Conflict(
                f"account {name!r} was {'changed' if current else 'removed'} meanwhile"
                if version
                else f"account {name!r} exists already",
                remedy="look at what it is now, and change that" if current else "look at the list of accounts",
            )
        return current

    def _put_by(self, name: str, current: Filed, now: int) -> None:
        folder = self.folder / _BEFORE / name
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        there = self._before(name)
        number = max(now, int(there[-1].stem) + 1 if there else 0)
        durable.put(folder / f"{number:020}.toml", current.path.read_bytes())
        for old in self._before(name)[:-KEPT]:
            old.unlink()

    def _before(self, name: str) -> list[Path]:
        return sorted((self.folder / _BEFORE / name).glob("*.toml")) if _NAME.fullmatch(name) else []

    def path(self, name: str) -> Path:
        """Where an account's file is, or would be."""
        return self.folder / f"{name}.toml"

    @contextmanager
    def _alone(self) -> Iterator[None]:
        try:
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            with (self.folder / ".lock").open("a") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                yield
        except OSError as error:
            raise ConfigError(f"cannot be written: {error.strerror}", place=str(self.folder)) from error


def merged(accounts: Mapping[str, Mapping[str, Any]], data_dir: Path, *, place: str) -> dict[str, Any]:
    """Those of the config, then those of the folder. ConfigError names both places of one that stands in both."""
    annex = Annex(data_dir)
    found = annex.all()
    for name, one in found.items():
        if name in accounts:
            raise ConfigError(
                f"account {name!r} stands in two places",
                place=f"{place}: accounts.{name} and {one.path}",
                remedy="take it out of one of them",
            )
    return {**accounts, **found}


def is_filed(options: Mapping[str, Any]) -> bool:
    """Whether an account stands in the folder, and not in the config."""
    return isinstance(options, Filed)


def text_of(options: Mapping[str, Any]) -> str:
    """A file's text. JSON's strings, finite numbers, booleans and arrays of them are TOML's, but for DEL, which TOML wants escaped."""
    lines = [f"{key} = {json.dumps(value, ensure_ascii=False)}" for key, value in options.items() if value is not None]
    return _HEAD + "\n".join(lines).replace("\x7f", "\\u007f") + "\n"


def _need_readable(text: str, path: Path) -> None:
    # A file that cannot be read would keep the whole gateway from starting.
    try:
        _ = tomllib.loads(text), text.encode()
    except (tomllib.TOMLDecodeError, UnicodeEncodeError) as error:
        raise ConfigError(f"holds what TOML cannot: {error}", place=str(path), remedy="enter plain text") from error


def _read(path: Path) -> Filed:
    if path.suffix != ".toml":
        raise ConfigError(
            "is no account's file", place=str(path), remedy="this folder holds NAME.toml only: move it away"
        )
    try:
        text = path.read_text(encoding="utf-8")
        options = tomllib.loads(text)
    except OSError as error:
        raise ConfigError(f"cannot be read: {error.strerror}", place=str(path)) from error
    except UnicodeDecodeError as error:
        raise ConfigError("is not UTF-8", place=str(path)) from error
    except tomllib.TOMLDecodeError as error:
        at = re.search(r"line (\d+)", str(error))
        raise ConfigError(f"is not TOML: {error}", place=f"{path}:{at[1]}" if at else str(path)) from error
    for key, value in options.items():
        if isinstance(value, dict):
            raise ConfigError(
                "is a table; an account's file holds its options and nothing else",
                place=f"{path}{_line(path, key)}: {key}",
            )
    return Filed(options, path, _version(text))


def _version(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _line(path: Path, key: str) -> str:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return ""
    start = re.compile(rf"\s*\[?\"?{re.escape(key)}\"?\s*[=\]]")
    return next((f":{number}" for number, line in enumerate(lines, 1) if start.match(line)), "")
