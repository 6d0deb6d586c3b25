"""The pages: a list of customers, and one clear page for each. Rendered here; the script only refreshes what is already there."""

import asyncio
from functools import partial
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlencode

import jinja2
import msgspec
import sqlalchemy as sa
from litestar import Request, Response, get
from litestar.di import NamedDependency
from litestar.exceptions import NotFoundException
from litestar.params import FromPath, FromQuery, QueryParameter
from litestar.response import Redirect

from gateway.clock import Clock
from gateway.model.customer import Customer
from scrm import lookup, show, timeline, words
from scrm.book import Book
from scrm.lookup import Dossier, Slice

ROWS = 30
MOMENTS = 40
EVENTS = 14

_environment = jinja2.Environment(
    loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_environment.globals |= {
    "show": show,
    "item": timeline.item,
    "axes": ("lifecycle", "payment", "fulfilment", "aftersale"),
    "tiles": ("customers", "orders", "appointments", "interactions", "events"),
    "most": lookup.MOST_RECORDS,
}


class Desk(msgspec.Struct, frozen=True, kw_only=True):
    """What every page needs besides its own matter. ``version`` names the style sheet's content."""

    clock: Clock
    title: str
    version: str


@get("/")
async def customers(
    request: Request[Any, Any, Any],
    book: NamedDependency[Book],
    desk: NamedDependency[Desk],
    search: Annotated[str, QueryParameter(name="query", max_length=100)] = "",
    after: FromQuery[str | None] = None,
) -> Response[Any]:
    """The list, with search, totals and the latest events."""
    try:
        found, totals, latest = await asyncio.gather(
            book.read(lookup.customers, search, ROWS, after), book.read(lookup.totals), book.read(lookup.latest, EVENTS)
        )
    except ValueError:
        return Redirect("/")
    return _page(
        request, desk, "customers.html", found=found, totals=totals, latest=latest, search=search.strip(), after=after
    )


@get("/customers/{name:str}")
async def customer(
    request: Request[Any, Any, Any],
    book: NamedDependency[Book],
    desk: NamedDependency[Desk],
    name: FromPath[str],
    after: FromQuery[str | None] = None,
) -> Response[Any]:
    """Everything about one customer; an id that merged into another leads to that one."""
    try:
        found = await book.read(_story, name, after)
    except ValueError:
        return Redirect(f"/customers/{name}")
    if found is None:
        raise NotFoundException(name)
    dossier, story, staff = found
    if dossier.id != name:
        return Redirect(_link(request, f"/customers/{dossier.id}"))
    lang, now = _lang(request), desk.clock.now()
    days = timeline.days(story.items, lang, now, staff)
    return _page(request, desk, "customer.html", who=dossier, days=days, older=story.next, after=after, staff=staff)


def sorry(request: Request[Any, Any, Any], status: int) -> Response[Any]:
    """A page that says what is missing, in words."""
    about = "missing" if request.url.path.startswith("/customers/") else "no_page"
    return _page(
        request, request.app.state.desk, "sorry.html", status=status, about=about if status == 404 else "wrong"
    )


def _story(connection: sa.Connection, name: str, after: str | None) -> tuple[Dossier, Slice, dict[str, str]] | None:
    dossier = lookup.dossier(connection, name)
    story = lookup.timeline(connection, name, MOMENTS, after)
    if dossier is None or story is None:
        return None
    named = [*(tie.staff for tie in dossier.relationships), *(booked.staff for booked in dossier.appointments)]
    ties = [who for who in named if isinstance(who, str)]
    return dossier, story, lookup.names_of_staff(connection, [*ties, *timeline.colleagues(story.items)])


def _page(request: Request[Any, Any, Any], desk: Desk, template: str, status: int = 200, **view: Any) -> Response[str]:
    lang = _lang(request)
    frame = {
        "lang": lang,
        "t": partial(words.word, lang),
        "name": partial(words.name, lang),
        "called": partial(_name, lang),
        "told": partial(timeline.entry, lang=lang, staff={}),
        "link": partial(_link, request),
        "switch": _switch(request, lang),
        "now": desk.clock.now(),
        "desk": desk,
    }
    body = _environment.get_template(template).render(frame | view)
    headers = {"content-language": "zh-CN" if lang == "zh" else "en", "vary": "Accept-Language"}
    return Response(body, status_code=status, media_type="text/html; charset=utf-8", headers=headers)


def _lang(request: Request[Any, Any, Any]) -> str:
    return words.choose(request.query_params.get("lang"), request.headers.get("accept-language", ""))


def _link(request: Request[Any, Any, Any], path: str, **query: str | None) -> str:
    """An address of ours that stays in the language that was asked for."""
    asked = request.query_params.get("lang")
    kept = {"lang": asked} if asked in words.LANGUAGES else {}
    given = {name: value for name, value in query.items() if value}
    return path + ("?" + urlencode(given | kept) if given or kept else "")


def _switch(request: Request[Any, Any, Any], lang: str) -> str:
    other = next(each for each in words.LANGUAGES if each != lang)
    kept = {name: value for name, value in request.query_params.items() if name in ("query", "after")}
    return "?" + urlencode({**kept, "lang": other})


def _name(lang: str, customer: Customer, state: str) -> show.Shown:
    if state == "erased":
        return show.Shown(words.word(lang, "erased_name"), False)
    return show.shown(customer.name) or show.shown(customer.nickname) or show.Shown(words.word(lang, "unnamed"), False)
