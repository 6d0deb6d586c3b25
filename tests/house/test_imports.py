"""Imports: storeys, no cycles, one home for each library, nothing hidden in a function or behind a typing flag."""

import ast
import configparser
import re
import subprocess
import sys
import tomllib

from tests.house.tree import PACKAGES, ROOT, at_home, modules

# Library → where it may be imported, and why there. Whoever needs one elsewhere moves the need, or argues here.
HOMES: dict[str, tuple[frozenset[str], str]] = {
    "aiokafka": (frozenset({"gateway/destinations/kafka.py"}), "topics as endpoints"),
    "aiosmtplib": (frozenset({"gateway/destinations/email.py"}), "mailboxes as endpoints"),
    "alembic": (frozenset({"gateway/stores/migrations"}), "revisions of the store's tables"),
    "cel": (frozenset({"gateway/pipeline/filters.py"}), "filters of endpoints"),
    "cryptography": (
        frozenset({"gateway/vaults/suites.py", "gateway/destinations/sign.py", "connectors/wecom/protocol.py"}),
        "sealing at rest; Ed25519 signatures; AES-CBC of WeCom's callbacks, which is the platform's choice and not ours",
    ),
    "cyclopts": (
        frozenset({"gateway/cli.py", "gateway/commands", "scrm/__main__.py"}),
        "one command line for each program",
    ),
    "granian": (frozenset({"scrm/__main__.py"}), "the HTTP server of the SCRM core"),
    "httptools": (frozenset({"gateway/doors/http1.py"}), "bytes of HTTP are taken apart in one place"),
    "httpx": (
        frozenset(
            {
                "gateway/app.py",
                "gateway/pipeline/partner.py",
                "gateway/demonstration.py",
                "connectors/feed/simulate.py",
                "gateway/vaults/kms.py",
            }
        ),
        "app opens the client that partner calls go through; the demo and simulated partners are clients of ours; a key service is asked at the start",
    ),
    "jinja2": (
        frozenset({"scrm/pages.py", "gateway/console/frame.py", "gateway/api/page.py"}),
        "pages of the SCRM, of the console, and of the API's documentation",
    ),
    "markupsafe": (frozenset({"gateway/console/frame.py", "gateway/api/page.py"}), "what jinja2 escapes with"),
    "jmespath": (
        frozenset({"gateway/language/paths.py", "connectors/feed/rows.py"}),
        "paths of mappings; the paths by which a feed's account names its rows",
    ),
    "joserfc": (
        frozenset({"gateway/recipient.py", "gateway/desk/tokens.py"}),
        "sealing for a reader's own key (JWE); access tokens (JWT)",
    ),
    "litestar": (
        frozenset({"gateway/api", "gateway/console", "gateway/inner.py", "scrm"}),
        "routing where a request may cost a millisecond; the door is bare ASGI",
    ),
    "lxml": (
        frozenset({"connectors/feed/markup.py", "connectors/feed/sheets.py", "connectors/wecom/protocol.py"}),
        "partners who speak XML; each parser is made with entities and network off",
    ),
    "msgspec": (frozenset({"gateway", "connectors", "scrm"}), "structs and JSON are the language of the house"),
    "phonenumbers": (frozenset({"gateway/language/phone.py"}), "E.164"),
    "pkcs11": (frozenset({"gateway/vaults/pkcs11.py"}), "keys in a hardware module"),
    "prometheus_client": (
        frozenset({"gateway/meters.py", "gateway/snapshot.py", "gateway/demonstration.py", "gateway/desk/figures.py"}),
        "counting; joining what processes counted; reading it back as a scraper would",
    ),
    "pyotp": (frozenset({"gateway/desk/factors.py"}), "RFC 6238"),
    "pyreqwest": (
        frozenset({"gateway/destinations/post.py", "gateway/destinations/address.py", "gateway/app.py"}),
        "posting webhooks, and what the client that posts makes of a URL; the transport beneath httpx for partner calls",
    ),
    "python_calamine": (frozenset({"connectors/feed/sheets.py"}), "XLSX"),
    "segno": (frozenset({"gateway/console/entrance.py"}), "the picture that enrols a second factor"),
    "redis": (frozenset({"gateway/destinations/redis.py"}), "streams as endpoints"),
    "rich": (
        frozenset({"gateway/cli.py", "gateway/commands", "gateway/demonstration.py"}),
        "what a person at a terminal sees",
    ),
    "sqlalchemy": (frozenset({"gateway/stores", "scrm"}), "tables and statements of the two databases; no ORM"),
    "structlog": (frozenset({"gateway", "connectors"}), "log lines are facts everywhere; logs.py shapes them"),
    "uvloop": (frozenset({"gateway/succession.py"}), "the loop of door and worker"),
    "websockets": (
        frozenset({"connectors/taobao/tmc.py", "connectors/taobao/simulate.py"}),
        "TMC, and the other side of it",
    ),
    "yaml": (frozenset({"gateway/language/mapfile.py"}), "mapping files, with line numbers"),
}

# Loaded when it is first needed, by name → why not at the start.
LATE = {
    "gateway/stores/migrations/__init__.py": "Alembic costs more to load than everything a store at HEAD needs",
    "gateway/destinations/__init__.py": "clients of Kafka, Redis and SMTP cost more to load than all that posts webhooks, and most have no such endpoint",
    "gateway/vaults/__init__.py": "a hardware module's library and the client of a key service are for those who have one",
    "gateway/ingress.py": "desk, health, API and console cost as much to load as everything else, and a door can take things in meanwhile",
    "gateway/pipeline/filters.py": "the CEL library brings a command line of its own along, and most endpoints have no filter",
    "gateway/language/phone.py": "phonenumbers costs a tenth of a second and is only asked about what is no plain mobile number",
}

# What a package of ours may see of the gateway.
SIGHT = {
    "connectors": ("gateway.connector", "gateway.model", "gateway.errors", "gateway.clock"),
    "scrm": ("gateway.model", "gateway.errors", "gateway.clock"),
    "mappings": (),
}


def test_storeys_hold_and_nothing_is_circular() -> None:
    """import-linter keeps every contract of .importlinter."""
    ran = subprocess.run(
        [sys.executable, "-c", "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports())"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_every_module_of_the_gateway_stands_on_a_storey() -> None:
    """A new module without a storey would escape the contract."""
    contracts = configparser.ConfigParser()
    contracts.read(ROOT / ".importlinter", encoding="utf-8")
    named = set(contracts["importlinter:contract:storeys"]["layers"].replace("|", " ").split())
    found = {".".join(module.name.split(".")[:2]) for module in modules() if module.name.startswith("gateway.")}
    found |= {".".join(module.name.split(".")[:2]) for module in modules() if module.name.startswith("connectors.")}
    assert found <= named, f"without a storey in .importlinter: {sorted(found - named)}"


def test_each_library_is_imported_at_home_only() -> None:
    """A third-party library shows up in the files that HOMES names and nowhere else."""
    strays = [
        f"{module.path}:{line} imports {library}"
        for module in modules()
        for line, name in module.imports()
        if (library := name.partition(".")[0]) not in (*sys.stdlib_module_names, *PACKAGES)
        and (library not in HOMES or not at_home(module.path, HOMES[library][0]))
    ]
    assert not strays, strays


def test_a_home_is_lived_in() -> None:
    """A home in the table that no longer imports its library is taken out of the table."""
    used = {(name.partition(".")[0], module.path) for module in modules() for _, name in module.imports()}
    empty = [
        f"{library}: {home}"
        for library, (homes, _) in HOMES.items()
        for home in homes
        if not any(library == name and at_home(path, frozenset({home})) for name, path in used)
    ]
    assert not empty, empty


def test_connectors_and_the_scrm_core_see_only_what_they_may() -> None:
    """A connector sees connector, model, errors and clock; the SCRM core model, errors and clock; mappings nothing."""
    beyond = []
    for module in modules():
        allowed = SIGHT.get(module.name.partition(".")[0])
        if allowed is None:
            continue
        for line, name in module.imports():
            if name.startswith("gateway.") and not any(name == one or name.startswith(f"{one}.") for one in allowed):
                beyond.append(f"{module.path}:{line} imports {name}")
    assert not beyond, beyond


def test_imports_stand_at_the_top() -> None:
    """No import hides in a function, in a condition or behind TYPE_CHECKING, where it would hide a cycle."""
    hidden = [
        f"{module.path}:{inner.lineno}"
        for module in modules()
        for node in module.tree.body
        if not isinstance(node, (ast.Import, ast.ImportFrom))
        for inner in ast.walk(node)
        if isinstance(inner, (ast.Import, ast.ImportFrom))
    ]
    typing_only = [
        f"{module.path}:{line}"
        for module in modules()
        for line, name in [*module.names(), *module.imports()]
        if name.endswith("TYPE_CHECKING")
    ]
    late = [
        f"{module.path}:{line} {name}"
        for module in modules()
        for line, name in module.names()
        if name.endswith(("import_module", "__import__")) and module.path not in LATE
    ]
    assert not hidden + typing_only + late, hidden + typing_only + late


def test_every_library_we_ask_for_is_used() -> None:
    """What pyproject.toml names as a dependency is imported somewhere, or the environment carries it for nothing."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    asked = {re.match(r"[A-Za-z0-9_-]+", one)[0].lower().replace("-", "_") for one in project["dependencies"]}
    known = {_DISTRIBUTIONS.get(name, name) for name in HOMES}
    assert asked - known == set(), "asked for and not used"
    assert known - asked - {"jinja2", "markupsafe"} == set(), "used and not asked for"


# Import name → distribution, where they differ. Jinja comes as an extra of litestar.
_DISTRIBUTIONS = {"cel": "common_expression_language", "yaml": "pyyaml", "pkcs11": "python_pkcs11"}
