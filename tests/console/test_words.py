"""Words: every key in both languages, none that nobody uses, none used that there is not."""

import re
from pathlib import Path

from gateway import access
from gateway.console import words
from gateway.model import customer, order

CONSOLE = Path("gateway/console")
# Keys that are put together from a stable word: a part's prefix → where the words come from.
MADE = ("tr_", "ct_", "nav_", "ago_", "fs_", "fv_", "fb_", "fd_", "dv_", "dl_stage_", "dl_v_", "dl_did_")


def test_every_key_has_words_in_both_languages_with_the_same_places() -> None:
    """A figure that one language shows is shown by the other."""
    for key, said in words.WORDS.items():
        assert len(said) == 2, key
        assert all(one.strip() for one in said), key
        places = [sorted(re.findall(r"\{(\w+)", one)) for one in said]
        assert places[0] == places[1], key


def test_words_that_pages_ask_for_are_there_and_are_asked_for() -> None:
    """In templates by t('…'), in modules by seat.t("…") or as a key of their own."""
    text = "\n".join(
        path.read_text(encoding="utf-8")
        for path in [*CONSOLE.rglob("*.html"), *CONSOLE.glob("*.py"), *Path("gateway/desk").glob("*.py")]
    )
    asked = set(re.findall(r"""\bt\(\s*['"]([\w.]+)['"]\s*[,)]""", text))
    missing = asked - set(words.WORDS)
    assert not missing, missing
    # Put together from a stable word: t('mt_' ~ state), f"tr_{key}".
    made = set(re.findall(r"""\bt\(\s*f?['"]([\w.]+_)['"{]""", text)) | set(MADE)
    unused = [
        key
        for key in words.WORDS
        if not key.startswith(tuple(made)) and not re.search(rf"""['"]{re.escape(key)}['"]""", text)
    ]
    assert not unused, unused


def test_what_is_put_together_from_a_value_has_words_for_each() -> None:
    """Every scope, and whatever an order can be on its axes."""
    for scope in access.SCOPES:
        assert f"sc_{scope.replace(':', '_')}" in words.WORDS, scope
    for axis in (order.Lifecycle, order.Payment, order.Fulfilment, order.Aftersale, customer.State):
        for one in axis:
            assert f"st_{one.value}" in words.WORDS, one
