"""The other pages of docs/reference, and the connectors tables of the READMEs."""

import importlib
import pkgutil
import sys
from collections.abc import Iterator

from cyclopts import App

import connectors
import gateway
from connectors.registry import CARDS
from docs.generate import text
from gateway import cli
from gateway.connector import Action, Card, Limit, Reason
from gateway.desk.schemas import class_of
from gateway.errors import GatewayError
from gateway.meters import Meters
from gateway.model import event
from gateway.pipeline import operators
from gateway.pipeline.world import PREFIXES
from scrm import __main__ as scrm_program

# A secret option is marked; the backslash keeps Markdown from reading emphasis.
_STAR = "\\*"

_PREFIXES = {**PREFIXES, "action": "act"}

# When each type is published. The first that fits, in the order of the code, names the change.
_WHEN = {
    "customer.created": "Somebody is known for the first time.",
    "customer.updated": "A field moved, or a new identity (then `data.customer.identities` holds the new ones, and `changed` names `identities`).",
    "customer.merged": "Two became one. The subject is the survivor; `data.merged.id` is the other, which keeps resolving.",
    "customer.unmerged": "A merge was undone. One event for each; `data.other.id` names the other.",
    "customer.erased": "Erased on request. Declared; nothing in this version publishes it.",
    "action.completed": "A partner did what it was asked to. The subject is the action.",
    "action.failed": "It was not done and will not be: `state` is refused, expired or cancelled, `cause` the code of why.",
    "order.created": "An order is known for the first time, and nothing more specific is true of it.",
    "order.paid": "`payment` became `paid`. An order first seen paid begins with this one, at sequence 1.",
    "order.shipped": "`fulfilment` became `shipped` or `partially_shipped`.",
    "order.delivered": "`fulfilment` became `delivered`.",
    "order.completed": "`lifecycle` became `completed`.",
    "order.cancelled": "`lifecycle` became `cancelled`.",
    "order.refunded": "`payment` became `refunded` or `partially_refunded`.",
    "order.aftersale": "The aftersale axis or a case moved, without money back.",
    "order.updated": "Anything else moved.",
    "interaction.recorded": "Something happened between a customer and us. Interactions never change.",
    "relationship.started": "A member of staff and a customer are connected, or are again.",
    "relationship.ended": "They are no longer.",
    "relationship.updated": "Remark, tags, the way it began.",
    "appointment.booked": "An appointment is known for the first time, unless it was cancelled or completed by then.",
    "appointment.changed": "Time, place, staff or status moved.",
    "appointment.cancelled": "`status` became `cancelled`.",
    "appointment.completed": "`status` became `completed`.",
    "staff.updated": "A colleague appeared, changed or left.",
    "unit.updated": "A unit of the organisation appeared, changed or went.",
    "stock.updated": "A stock level moved.",
}


_REFUSED = {
    Reason.SIGNATURE: "The signature is not the one this account's secret makes.",
    Reason.STALE: "The signed time is further off than `tolerance`.",
    Reason.DECRYPT: "The envelope is signed and cannot be decrypted with this account's key.",
    Reason.RECEIVER: "Genuine, and meant for another corp or application.",
    Reason.MALFORMED: "It cannot be read.",
    Reason.UNSUPPORTED: "It can be read, and is of a kind that is not taken: a document type in XML, an old format, a query.",
    Reason.METHOD: "The HTTP method is not one the platform uses.",
    Reason.CREDENTIALS: "The proof the account asks for is missing.",
    Reason.TOO_LARGE: "Larger than a limit that is checked while reading.",
    Reason.PEER: "The address may not send here.",
}


# ---------------------------------------------------------------------- connectors
def connectors_page() -> str:
    """docs/reference/connectors.md."""
    parts = [text.NOTE, "# Connectors\n", connectors_table("en", "../../connectors"), *map(_connector, CARDS.values())]
    return "\n".join(parts)


def connectors_table(language: str, folder: str) -> str:
    """One row for each card; ``folder`` is where the connectors' READMEs are, seen from the document."""
    heads = (
        ("connector", "partner", "how it comes in", "options")
        if language == "en"
        else ("连接器", "伙伴", "接入方式", "配置项")
    )
    rows = [
        [
            f"[`{card.name}`]({folder}/{card.name}/README.md)",
            getattr(card.title, language),
            _verbs(card, language),
            ", ".join(f"`{field.name}`" + _STAR * text.is_secret(field.type) for field in text.fields(card.options)),
        ]
        for card in CARDS.values()
    ]
    return text.table(heads, rows)


def _verbs(card: Card, language: str) -> str:
    words = {
        "receive": ("receives", "接收推送"),
        "serve": ("keeps a connection", "保持长连接"),
        "pull": ("reconciles", "对账拉取"),
        "fetch": ("re-reads", "回查详情"),
        "probe": ("probes", "体检"),
        "act": ("acts", "执行操作"),
    }
    can = {verb.value for verb in card.can}
    return ", ".join(said[language == "zh"] for verb, said in words.items() if verb in can)


def _connector(card: Card) -> str:
    options = [
        [
            f"`{field.name}`{' (secret)' if text.is_secret(field.type) else ''}",
            text.type_text(field.type),
            text.default_text(field),
            text.sentence(field.type),
        ]
        for field in text.fields(card.options)
    ]
    topics = [
        [
            f"`{topic.name}`",
            topic.title.en,
            topic.title.zh,
            f"`{card.name}/{topic.mapping}`" if topic.mapping else "–",
            topic.lane.value,
        ]
        for topic in card.topics
    ]
    parts = [
        f"## {card.name}: {card.title.en} · {card.title.zh}\n\nCan: {_verbs(card, 'en')}. Set-up and surprises: [README](../../connectors/{card.name}/README.md).\n",
        "### Options\n",
        text.table(("option", "is", "default", "what it does"), options),
        "### Topics\n",
        text.table(("topic", "what", "中文", "mapping", "lane"), topics),
    ]
    if card.limits:
        parts += ["### Published limits\n", "\n".join(f"- {_limit(one)}" for one in card.limits) + "\n"]
    if card.pulls:
        rows = [
            [f"`{topic}`", *(text.duration(seconds) if seconds else "none" for seconds in how)]
            for topic, how in card.pulls.items()
        ]
        parts += ["### Reconciliation\n", text.table(("topic", "every", "overlap", "longest window"), rows)]
    if card.actions:
        parts += ["### Actions\n", *(_action(one) for one in card.actions)]
    return "\n".join(parts)


def _action(one: Action) -> str:
    rows = [
        [
            f"`{field.name}`",
            text.type_text(field.type),
            text.default_text(field),
            class_of(field.type),
            text.sentence(field.type),
        ]
        for field in text.fields(one.parameters)
    ]
    after = "done again" if one.harmless else "`unknown`, for a person to decide"
    whom = f" `customer` may stand in place of `{one.whom.parameter}`." if one.whom else ""
    answers = ", ".join(f"`{name}` ({how.value})" for name, how in one.answers.items())
    said = f"In order by `{one.about}`. After a crash: {after}.{whom}" + (f" Answers: {answers}." if answers else "")
    return "\n".join(
        [
            f"#### `{one.name}`: {one.title.en} · {one.title.zh}\n\n{text.plain(one.parameters.__doc__)} {said}\n",
            text.table(("parameter", "is", "default", "class", "what"), rows),
        ]
    )


def _limit(one: Limit) -> str:
    return f"{one.calls:,} calls in {one.seconds:g} s {one.title.en} ({one.title.zh})"


# ---------------------------------------------------------------------- errors
def errors_page() -> str:
    """docs/reference/errors.md: the tree with what grew on it elsewhere, and the words of refusals."""
    _load_everything()
    rows = [
        [
            f"{'&nbsp;&nbsp;' * depth}`{kind.code}`",
            kind.__name__,
            kind.verdict.value,
            kind.blame.value,
            text.first_line(kind),
        ]
        for depth, kind in _tree(GatewayError, 0)
    ]
    reasons = [[f"`{reason.value}`", _REFUSED[reason]] for reason in Reason]
    return "\n".join(
        [
            text.NOTE,
            "# Errors\n",
            "`code` is stable: it stands in logs, dead letters, metrics and answers. *Again?* says whether trying again can help: `never`, `later`, or `after`"
            " a wait that the error names. *Who* has to do something: the sender, the receiver, or us.\n",
            text.table(("code", "class", "again?", "who", "meaning"), rows),
            "A dead letter whose cause begins with `bug.` is a fault of the gateway itself; the log has the trace.\n",
            "## Reasons of refusal\n",
            "Not errors but outcomes: a request that was not accepted. They label `gateway_refused_total` and the kept rejects.\n",
            text.table(("reason", "what was wrong"), reasons),
        ]
    )


def _tree(kind: type[GatewayError], depth: int) -> Iterator[tuple[int, type[GatewayError]]]:
    yield depth, kind
    for child in sorted(kind.__subclasses__(), key=lambda one: (one.code, one.__name__)):
        if child.__module__.startswith(("gateway", "connectors")):
            yield from _tree(child, depth + 1)


def _load_everything() -> None:
    for package in (gateway, connectors):
        for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            # A revision and a __main__ do something when they are imported.
            if "migrations." not in found.name and not found.name.endswith("__main__"):
                importlib.import_module(found.name)


# ---------------------------------------------------------------------- metrics, command line, events
def metrics_page() -> str:
    """docs/reference/metrics.md."""
    rows = []
    for meter in vars(Meters()).values():
        for family in meter.collect() if hasattr(meter, "_labelnames") else ():
            suffix = "_total" if family.type == "counter" else ""
            labels = ", ".join(f"`{label}`" for label in (*meter._labelnames, "process"))
            rows.append([f"`{family.name}{suffix}`", family.type, labels, family.documentation])
    return "\n".join(
        [
            text.NOTE,
            "# Metrics\n",
            "`GET /metrics`, Prometheus text. Labels are bounded: accounts, endpoints, topics and stable words, never an id or a value. `process` tells"
            " `door-0`, `door-1` … and `worker` apart.\n",
            text.table(("name", "type", "labels", "what it counts"), rows),
        ]
    )


def cli_page() -> str:
    """docs/reference/cli.md."""
    gateway_help = _help_of(cli.main_app, "gateway")
    scrm_help = _help_of(scrm_program._command, "scrm")
    codes = "Exit codes: 0 done, 1 faults found, 2 wrong use, 3 cannot reach.\n"
    return "\n".join([text.NOTE, "# Command line\n", codes, _deeper(gateway_help), _deeper(scrm_help)])


def _help_of(program: App, name: str) -> str:
    # Cyclopts takes part of the usage lines from the words this very process was started with.
    words, sys.argv = sys.argv, [name]
    try:
        return program.generate_docs(output_format="markdown")
    finally:
        sys.argv = words


def _deeper(markdown: str) -> str:
    """One level down, without the list of contents, which repeats the list of commands."""
    kept = [
        line
        for line in markdown.splitlines()
        if not line.lstrip().startswith("- [`") and "Table of Contents" not in line
    ]
    lines = [f"#{line}" if line.startswith("#") else line.rstrip() for line in kept]
    return "\n".join(line for at, line in enumerate(lines) if line or at == 0 or lines[at - 1]).strip() + "\n"


def _operators() -> list[list[str]]:
    if set(_HAPPENS) != set(operators.TYPES):
        raise LookupError(
            f"docs/generate/pages.py: _HAPPENS and TYPES differ in {set(_HAPPENS) ^ set(operators.TYPES)}"
        )
    return [[f"`{kind}`", *_HAPPENS[kind]] for kind in operators.TYPES]


_HAPPENS = {
    "operator.endpoint_failing": (
        "`endpoint/<name>`", "an endpoint did nothing but fail, or nobody polled it, for 50, 70, 90 and 100 % of its `disable_after`",
        "`endpoint`, `percent`, `failing_since`, `cause`",
    ),
    "operator.endpoint_disabled": (
        "`endpoint/<name>`", "it was disabled: by its patience, by 410, or because its client ended", "`endpoint`, `failing_since`, `cause`",
    ),
    "operator.endpoint_enabled": ("`endpoint/<name>`", "it was enabled again", "`endpoint`"),
    "operator.value_tampered": (
        "`vault`", "a sealed value was altered or moved; told once for each place",
        "`stage`, `where`, `record`, `field`, and what else is known: `subject`, `delivery`, `endpoint`, `request`",
    ),
}  # fmt: skip


def events_page() -> str:
    """docs/reference/events.md. LookupError when a type has no sentence here, or a sentence no type."""
    if set(_WHEN) != set(event.TYPES):
        raise LookupError(f"docs/generate/pages.py: _WHEN and TYPES differ in {sorted(set(_WHEN) ^ set(event.TYPES))}")
    rows = [[f"`{kind}`", f"`{_PREFIXES[kind.partition('.')[0]]}_…`", _WHEN[kind]] for kind in event.TYPES]
    return "\n".join(
        [
            text.NOTE,
            "# Events\n",
            "One applied change publishes one event, of its most specific type; `data.changed` names the fields that moved. The schema of the whole is"
            " [schemas/event.json](schemas/event.json), those of the records are beside it; what a field is, is in [model.md](model.md).\n",
            text.table(("type", "subject", "when"), rows),
            "Events about the gateway itself go only to whoever asks for `operator.*` or for one of them by name; `*` does not mean them. Their schema, with"
            " an example, is [schemas/operator.json](schemas/operator.json).\n",
            text.table(("type", "subject", "when", "data"), _operators()),
            "`data` of all others holds the record under its kind (`data.order`), the customer it belongs to as `data.customer` with `id`, names, contact points, tags and"
            " unit, and `changed`. `withheld` names the sensitivity classes of which the endpoint's grants dropped something, `erased` those of which"
            " something was erased for good; `sealed` is what was sealed for the endpoint's own key ([grants](../guides/grants.md)).\n",
        ]
    )
