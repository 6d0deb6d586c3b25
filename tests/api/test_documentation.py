"""What the API says of itself: the OpenAPI document, the page made of it, and the programs on that page, each of which runs."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
from playwright.sync_api import Browser, expect

from connectors.registry import CARDS
from gateway.api.app import described
from gateway.api.codes import CODES
from gateway.api.examples import ANSWERS, BODIES
from gateway.api.page import examples, rendered
from gateway.api.schema import PREFIX
from gateway.errors import GatewayError
from tests.api.kit import House, told
from tests.api.served import Served, served
from tests.console.browser import Visit, chromium

ROOT = Path(__file__).parents[2]
DOCUMENT: dict[str, Any] = described(tuple(CARDS.values()))


def operations() -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Method, path and description of everything."""
    for path, methods in DOCUMENT["paths"].items():
        for method, one in methods.items():
            yield method, path, one


def test_operations_say_who_may_and_what_may_go_wrong() -> None:
    """A name and a resource of their own, a scope that exists, and the refusals that every operation shares, as problem details."""
    names = [one["operationId"] for _, _, one in operations()]
    assert len(names) == len(set(names))
    scopes = DOCUMENT["components"]["securitySchemes"]["oauth"]["flows"]["clientCredentials"]["scopes"]
    for _, path, one in operations():
        assert one["description"]
        assert not one["summary"].endswith(".")
        if not path.startswith(PREFIX):
            continue
        assert one["operationId"].startswith(f"{one['tags'][0]}.")
        assert {"401", "403", "429", "500", "503"} <= one["responses"].keys()
        assert all(set(way.get("oauth", [])) <= scopes.keys() for way in one["security"])
    for name, one in DOCUMENT["components"]["responses"].items():
        assert list(one["content"]) == ["application/problem+json"], name
        assert "x-request-id" in one["headers"]


def test_every_reference_leads_somewhere() -> None:
    """And no component is there for nobody."""
    text = str(DOCUMENT)
    found = set(re.findall(r"'\$ref': '#/components/(\w+)/([^']+)'", text))
    assert all(name in DOCUMENT["components"][kind] for kind, name in found)
    assert {name for kind, name in found if kind == "schemas"} == DOCUMENT["components"]["schemas"].keys()


def test_fields_of_a_class_are_marked_with_it() -> None:
    """As the model has them; what is nobody's business is not there at all."""
    customer = DOCUMENT["components"]["schemas"]["CustomerSeen"]["properties"]
    marks = {name: re.findall(r"'x-sensitivity': '(\w+)'", str(shape)) for name, shape in customer.items()}
    assert (marks["name"], marks["deceased"], marks["state"]) == (["identity"], ["health"], [])
    point = DOCUMENT["components"]["schemas"]["ContactPoint"]["properties"]
    assert "'x-sensitivity': 'contact'" in str(point["value"])
    assert "provenance" not in customer


@pytest.mark.parametrize("name", [*BODIES, *(f"{name} answer" for name in ANSWERS)])
def test_example_in_the_document_fits_its_schema(name: str) -> None:
    """Body or answer."""
    operation = next(one for _, _, one in operations() if one["operationId"] == name.partition(" ")[0])
    where = operation["responses"] if name.endswith(" answer") else {"body": operation["requestBody"]}
    media = next(one["content"]["application/json"] for one in where.values() if "content" in one)
    whole = {**media["schema"], "components": DOCUMENT["components"]}
    jsonschema_rs.validator_for(whole).validate(media["examples"]["plain"]["value"])


def test_codes_in_the_source_are_those_in_the_list() -> None:
    """Each with when it comes and what to do. Those of our own errors are the tree's, and some are made of a status."""
    words = "|".join(sorted({code.partition(".")[0] for code in CODES}))
    said = {
        node.value
        for path in (ROOT / "gateway" / "api").glob("*.py")
        if path.name != "codes.py"
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and re.fullmatch(rf"({words})\.[a-z_]+", str(node.value))
    }
    assert said <= CODES.keys()
    tree = {kind.code for kind in _tree(GatewayError)}
    routed = {"request.method_not_allowed", "request.request_entity_too_large", "request.unsupported_media_type"}
    assert CODES.keys() - said <= tree | routed
    assert all(one.when and one.then for one in CODES.values())


def _tree(kind: type[GatewayError]) -> Iterator[type[GatewayError]]:
    yield kind
    for one in kind.__subclasses__():
        yield from _tree(one)


def test_page_says_everything_and_asks_nobody(tmp_path: Path) -> None:
    """Every operation, code, class and example; nothing from elsewhere, and nothing that could run."""
    page = rendered(DOCUMENT)
    for _, path, one in operations():
        assert f'id="{one["operationId"]}"' in page
        assert path in page
    assert all(f'id="{code}"' in page for code in CODES)
    assert all(f'id="schema-{name}"' in page for name in DOCUMENT["components"]["schemas"])
    assert all(f'class="class {one}"' in page for one in ("identity", "contact", "health", "finance"))
    assert not re.findall(r'(?:src|href)="(?!/|#|data:)[^"]*"', page)
    assert "<script" not in page
    assert " style=" not in page

    async def story(house: House) -> None:
        async with house.anybody() as client:
            answer = await client.get("/docs")
            assert "default-src 'none'" in answer.headers["content-security-policy"]
            sheet = re.findall(r'href="(/docs\.css[^"]*)"', answer.text)
            assert (await client.get(sheet[0])).headers["content-type"].startswith("text/css")
            assert (await client.get("/schema")).json() == DOCUMENT

    told(tmp_path, story)


def test_every_resource_has_an_example_of_a_dozen_lines() -> None:
    """Shorter than what it saves."""
    tags = {one["name"] for one in DOCUMENT["tags"]}
    assert tags <= examples().keys()
    assert {
        name: len(program.strip().splitlines())
        for name, (_, program) in examples().items()
        if len(program.strip().splitlines()) > 17
    } == {}
    assert all(said for said, _ in examples().values())


# ------------------------------------------------------------------ with a gateway that runs
@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """One for all examples."""
    with served(tmp_path_factory.mktemp("documentation")) as one:
        yield one


@pytest.mark.parametrize("name", sorted(examples()))
def test_example_runs_as_it_stands(gateway: Served, name: str, tmp_path: Path) -> None:
    """In a fresh folder, with nothing but the address, a key, and the client's id and secret."""
    program = tmp_path / "example.py"
    program.write_text(examples()[name][1], encoding="utf-8")
    environ = {
        "PATH": "", "LANG": "C.UTF-8", "GATEWAY_URL": gateway.url, "GATEWAY_KEY": gateway.made["api_key"],
        "CLIENT_ID": gateway.made["client_id"], "CLIENT_SECRET": gateway.made["client_secret"],
    }  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-W", "error", str(program)],
        cwd=tmp_path,
        env=environ,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.strip()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A real one."""
    with chromium() as one:
        yield one


@pytest.mark.browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1440, 390])
def test_page_is_readable_in_a_real_browser(gateway: Served, browser: Browser, width: int, scheme: Any) -> None:
    """In both moods and on a phone: contrast, nothing beyond the edge, no complaint, no request to anybody else, and reachable by keyboard."""
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
    visit = Visit(context, gateway.url)
    page = visit.open("/docs")
    assert page.locator("h1").inner_text() == DOCUMENT["info"]["title"]
    assert visit.dim() == []
    assert visit.wide() == 0
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile("#main$"))
    page.goto(f"{gateway.url}/docs#client.pace")
    assert page.locator("tr:target").inner_text().startswith("client.pace")
    visit.close()
    context.close()
