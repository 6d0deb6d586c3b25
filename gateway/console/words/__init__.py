"""Every word the console shows, in Chinese and English, one module a page. A test asks that each key has both, and that templates use no other."""

from functools import cache
from zoneinfo import ZoneInfo

from gateway.console.words import (
    accounts,
    actions,
    alerts,
    connectors,
    customers,
    dead,
    endpoints,
    flow,
    house,
    mappings,
    matches,
    overview,
    shared,
)

LANGUAGES = ("zh", "en")
WORDS: dict[str, tuple[str, str]] = {
    **accounts.WORDS,
    **actions.WORDS,
    **alerts.WORDS,
    **connectors.WORDS,
    **customers.WORDS,
    **dead.WORDS,
    **endpoints.WORDS,
    **flow.WORDS,
    **house.WORDS,
    **mappings.WORDS,
    **matches.WORDS,
    **overview.WORDS,
    **shared.WORDS,
}


def say(key: str, lang: str, **values: object) -> str:
    """The words for a key. KeyError for a key there is not."""
    text = WORDS[key][LANGUAGES.index(lang)]
    return text.format(**values) if values else text


@cache
def zone(name: str) -> ZoneInfo:
    """A zone by its IANA name."""
    return ZoneInfo(name)
