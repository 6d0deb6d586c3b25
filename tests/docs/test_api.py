"""Changes of the partner API: what breaks a program that was written against it is named, what does not is let through."""

import copy
from collections.abc import Callable
from typing import Any

import pytest

from docs.generate import __main__ as generate
from docs.generate import api

Document = dict[str, Any]
CUSTOMERS = "/api/v1/customers"
ENDPOINTS = "/api/v1/endpoints"


def today() -> Document:
    """A fresh copy."""
    return copy.deepcopy(api.document())


def test_today_s_api_breaks_nobody_who_was_given_the_committed_one() -> None:
    """docs/reference/openapi.json is what partners' programs were written against."""
    assert generate.broken() == []


def _remove_operation(new: Document) -> None:
    del new["paths"][CUSTOMERS]["get"]


def _remove_parameter(new: Document) -> None:
    del new["paths"][CUSTOMERS]["get"]["parameters"][0]


def _need_parameter(new: Document) -> None:
    new["paths"][CUSTOMERS]["get"]["parameters"][0]["required"] = True


def _take_less(new: Document) -> None:
    new["paths"][CUSTOMERS]["get"]["parameters"][0]["schema"]["maximum"] = 100


def _need_another_scope(new: Document) -> None:
    new["paths"][CUSTOMERS]["get"]["x-scope"] = "ops:read"


def _answer_something_else(new: Document) -> None:
    answers = new["paths"][ENDPOINTS]["post"]["responses"]
    answers["202"] = answers.pop("201")


def _remove_field(new: Document) -> None:
    del new["components"]["schemas"]["CustomerSeen"]["properties"]["merged_into"]


def _ask_for_more(new: Document) -> None:
    new["components"]["schemas"]["EndpointAsked"]["required"].append("unit")


def _remove_setting(new: Document) -> None:
    del new["components"]["schemas"]["EndpointAsked"]["properties"]["filter"]


def _remove_enum_value(new: Document) -> None:
    new["components"]["schemas"]["EndpointAsked"]["properties"]["kind"]["enum"].remove("kafka")


def _remove_code(new: Document) -> None:
    new["components"]["responses"]["429"]["x-codes"].remove("client.pace")


def _need_body(new: Document) -> None:
    new["paths"]["/api/v1/endpoints/{name}/secret:rotate"]["post"]["requestBody"]["required"] = True


@pytest.mark.parametrize(
    "hurt",
    [
        _remove_operation, _remove_parameter, _need_parameter, _take_less, _need_another_scope, _answer_something_else, _remove_field,
        _ask_for_more, _remove_setting, _remove_enum_value, _remove_code, _need_body,
    ],
    ids=lambda hurt: hurt.__name__.strip("_"),
)  # fmt: skip
def test_change_that_breaks_a_program_is_named(hurt: Callable[[Document], None]) -> None:
    """Once, wherever it stands."""
    new = today()
    hurt(new)
    assert len(api.breaks(today(), new)) == 1


def _add_operation(new: Document) -> None:
    new["paths"]["/api/v1/gifts"] = new["paths"][CUSTOMERS]


def _add_parameter(new: Document) -> None:
    new["paths"][CUSTOMERS]["get"]["parameters"].append({"name": "tag", "in": "query", "schema": {"type": "string"}})


def _add_field(new: Document) -> None:
    new["components"]["schemas"]["CustomerSeen"]["properties"]["level"] = {"type": "string"}


def _add_setting(new: Document) -> None:
    new["components"]["schemas"]["EndpointAsked"]["properties"]["color"] = {"type": "string"}


def _add_code(new: Document) -> None:
    new["components"]["responses"]["409"]["x-codes"].append("gift.taken")


@pytest.mark.parametrize(
    "grow",
    [_add_operation, _add_parameter, _add_field, _add_setting, _add_code],
    ids=lambda grow: grow.__name__.strip("_"),
)
def test_growth_breaks_nobody(grow: Callable[[Document], None]) -> None:
    """What was not there is ignored, or not asked for."""
    new = today()
    grow(new)
    assert api.breaks(today(), new) == []
