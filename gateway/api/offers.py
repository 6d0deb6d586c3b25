"""What can be asked of partners, in the OpenAPI document: one schema of parameters for each action of a card."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from gateway.api.shapes import Shape, plainly, prose
from gateway.connector import Action, Card

_ASKED = "ActionAsked"


def told(document: dict[str, Any], cards: Sequence[Card]) -> dict[str, Any]:
    """The document with a component for each action, such as ``WecomTagParameters``, of which ``parameters`` is one. It is changed in place."""
    made = {component(card, action): shape(card, action) for card in cards for action in card.actions}
    if made:
        components: dict[str, Any] = document["components"]["schemas"]
        components.update(made)
        members = components[_ASKED]["properties"]
        said = members["parameters"]["description"]
        members["parameters"] = {
            "description": said,
            "anyOf": [{"$ref": f"#/components/schemas/{name}"} for name in made],
        }
        members["action"]["examples"] = sorted({action.name for card in cards for action in card.actions})
    return document


def component(card: Card, action: Action) -> str:
    """The name of an action's component."""
    return "".join(part.capitalize() for part in [card.name, *action.name.split("_")]) + "Parameters"


def shape(card: Card, action: Action) -> Shape:
    """The JSON Schema of an action's parameters, with who takes them, whether a repeat is harmless, and what is answered."""
    kind = plainly(action.parameters)
    _, found = msgspec.json.schema_components([kind])
    # As JSON has it: a default is a list there.
    made: Shape = msgspec.json.decode(msgspec.json.encode(found[kind.__name__]))
    made.pop("title", None)
    if action.whom is not None:
        # `customer` beside the parameters may stand in its place.
        made["required"] = [name for name in made["required"] if name != action.whom.parameter]
    said = f"{prose(action.parameters.__doc__)} {_repeats(action)}"
    return {
        **made,
        "description": said,
        "x-connector": card.name,
        "x-action": action.name,
        "x-title": {"zh": action.title.zh, "en": action.title.en},
        "x-answers": _answers(action.answers),
    }


def _repeats(action: Action) -> str:
    if action.harmless:
        return "A repeat changes nothing, so that it is repeated after a crash."
    return "A repeat would be a second one, so that after a crash it is `unknown` until the operator decides."


def _answers(answers: Mapping[str, Any]) -> dict[str, str]:
    return {name: how.value for name, how in answers.items()}
