"""What every connector promises, walked over every card and every sample of it."""

import asyncio
from pathlib import Path
from typing import Any

import msgspec
import pytest

import mappings
from connectors.registry import CARDS
from gateway import configure, identity, mapping, settings
from gateway.clock import TurnedClock
from gateway.connector import (
    Accepted,
    Account,
    Action,
    Can,
    Card,
    Challenge,
    Command,
    Decoded,
    Parameters,
    Reason,
    Refused,
    Request,
    Response,
    Secret,
    Tools,
)
from gateway.desk.schemas import class_of
from gateway.errors import GatewayError, PartnerDown, PayloadError

ROOT = Path(__file__).parents[2] / "connectors"
_VERBS = {
    Can.RECEIVE: "receive",
    Can.SERVE: "serve",
    Can.PULL: "pull",
    Can.FETCH: "fetch",
    Can.PROBE: "probe",
    Can.IMPORT: "bring",
    Can.ACT: "act",
}
_TYPES = {".json": "application/json", ".ndjson": "application/x-ndjson", ".xml": "application/xml", ".csv": "text/csv",
          ".xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"}  # fmt: skip


class Samples(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """samples/account.json: how the samples of a connector are read. ``through`` receive means they are bodies, decode payloads."""

    through: str
    options: dict[str, Any]
    peer: str = ""


async def _unreachable(*_: Any, **__: Any) -> Response:
    raise PartnerDown("no partner in a contract test")


class _Canned:
    """A partner who answers the same whatever it is asked."""

    def __init__(self, body: bytes) -> None:
        self._body = body

    async def __call__(self, *_: Any, **__: Any) -> Response:
        return Response(status=200, headers={}, body=self._body)


async def _a_token(*_: Any, **__: Any) -> str:
    return "token"


async def _no_token(*_: Any, **__: Any) -> str:
    raise PartnerDown("no partner in a contract test")


def _account_file(card: Card) -> Samples:
    return msgspec.json.decode((ROOT / card.name / "samples" / "account.json").read_bytes(), type=Samples)


def _open(card: Card, stem: str = "order", *, call: Any = None) -> tuple[Account, Any]:
    told = _account_file(card)
    options = {
        key: value.replace("{stem}", stem) if isinstance(value, str) else value for key, value in told.options.items()
    }
    account = Account(
        name="sample", connector=card.name, options=settings.convert(options, card.options, "samples/account.json")
    )
    clock = TurnedClock()
    tools = Tools(clock=clock, call=call or _unreachable, token=_a_token if call else _no_token)
    return account, card.open(account, tools)


def _samples(kind: str) -> list[Any]:
    found = [
        (card, path) for card in CARDS.values() for path in sorted((ROOT / card.name / "samples" / kind).iterdir())
    ]
    return [pytest.param(card, path, id=f"{card.name}-{path.name}") for card, path in found]


def _request(card: Card, path: Path) -> Request:
    kind = _TYPES.get(path.suffix)
    return Request(
        body=path.read_bytes(),
        headers={"content-type": kind} if kind else {},
        peer=_account_file(card).peer,
        received_at=TurnedClock().now(),
    )


cards = pytest.mark.parametrize("card", CARDS.values(), ids=CARDS.keys())


def _able(verb: Can) -> pytest.MarkDecorator:
    able = {name: card for name, card in CARDS.items() if verb in card.can}
    return pytest.mark.parametrize("card", able.values(), ids=able.keys())


class TestCard:
    """A card says everything there is to know without opening anything."""

    @cards
    def test_its_name_is_its_folder(self, card: Card) -> None:
        """One name everywhere: folder, config, mappings."""
        assert (ROOT / card.name / "__init__.py").exists()
        assert (ROOT / card.name / "README.md").read_text(encoding="utf-8").strip()

    @cards
    def test_every_option_is_explained(self, card: Card) -> None:
        """Docs, lint and forms are derived from these sentences."""
        silent = [
            field.name
            for field in msgspec.structs.fields(card.options)
            if not any(getattr(part, "description", None) for part in getattr(field.type, "__metadata__", ()))
        ]

        assert silent == []

    @cards
    def test_what_sounds_secret_is_secret(self, card: Card) -> None:
        """A credential that is not typed as one would be shown and logged."""
        loud = [
            name
            for name in card.options.__struct_fields__
            if any(word in name for word in ("secret", "token", "session", "_key"))
        ]
        public = {"app_key", "id_path", "key_path"}

        assert [name for name in loud if name not in configure.secret_fields(card) and name not in public] == []

    @cards
    def test_topics_are_unique_and_their_mappings_compile(self, card: Card) -> None:
        """An entry of any topic finds its meaning."""
        names = [topic.name for topic in card.topics]
        programs = [
            mapping.load(mappings.FOLDER, card.name, topic.mapping, card.calls)
            for topic in card.topics
            if topic.mapping
        ]

        assert len(names) == len(set(names))
        assert programs

    @cards
    def test_an_opened_account_has_the_verbs_it_names(self, card: Card) -> None:
        """The pipeline calls a verb because the card says so."""
        _, opened = _open(card)

        assert [verb for verb in card.can if not callable(getattr(opened, _VERBS[verb], None))] == []
        assert callable(opened.decode)

    @cards
    def test_pulls_are_of_known_topics(self, card: Card) -> None:
        """Every pull has a window that is longer than nothing and is of a topic or of one that asks for it."""
        for every, overlap, longest in card.pulls.values():
            assert every > 0
            assert 0 <= overlap < longest

    @cards
    def test_every_mapped_topic_has_a_sample(self, card: Card) -> None:
        """A shape that no sample shows is a shape that nobody tested."""
        shown = {path.name.partition("-")[0] for path in (ROOT / card.name / "samples" / "ok").iterdir()}

        assert [topic.name for topic in card.topics if topic.mapping and topic.name not in shown] == []

    @cards
    def test_its_secrets_never_print(self, card: Card) -> None:
        """Neither repr nor the masked view shows a credential."""
        account, _ = _open(card)
        secrets = [
            value.reveal()
            for name in configure.secret_fields(card)
            if isinstance(value := getattr(account.options, name), Secret) and value
        ]
        shown = repr(account) + repr(configure.masked(_account_file(card).options, card))

        assert [text for text in secrets if text in shown] == []


class TestSamples:
    """Samples that are said to be good are understood; those that are said to be refused are."""

    @pytest.mark.parametrize(("card", "path"), _samples("ok"))
    def test_a_good_sample_is_understood(self, card: Card, path: Path) -> None:
        """From bytes to canonical assertions, all of declared namespaces."""
        stem = path.name.partition("-")[0]
        account, opened = _open(card, stem)
        for topic, payload in self._payloads(card, opened, path, stem):
            decoded = opened.decode(topic, payload)
            assert isinstance(decoded, Decoded)
            name = decoded.mapping if decoded.mapping is not None else card.topic(topic).mapping
            if decoded.data is None or not name:
                continue
            program = mapping.load(mappings.FOLDER, card.name, name, card.calls)
            context = mapping.Context(
                account="sample",
                zone=account.zone,
                received_at=TurnedClock().now(),
                options=configure.facts_of(account),
            )
            for said in program.run(decoded.data, context):
                assert all(who.namespace in identity.NAMESPACES for who in said.identities)

    def _payloads(self, card: Card, opened: Any, path: Path, stem: str) -> list[tuple[str, bytes]]:
        if _account_file(card).through == "decode":
            return [(stem, path.read_bytes())]
        first, again = opened.receive(_request(card, path)), opened.receive(_request(card, path))
        assert isinstance(first, Accepted)
        assert isinstance(again, Accepted)
        assert [event.dedupe_key for event in first.events] == [event.dedupe_key for event in again.events]
        assert len({event.dedupe_key for event in first.events}) == len(first.events) > 0
        return [(event.topic, event.payload) for event in first.events]

    @pytest.mark.parametrize(("card", "path"), _samples("refused"))
    def test_a_refused_sample_is_refused_for_the_reason_it_names(self, card: Card, path: Path) -> None:
        """The file's name states the error; the answer tells a stranger nothing of ours."""
        reason, rest = path.name.split("-", 1)
        _, opened = _open(card, "customer" if "customer" in rest else "order")
        if _account_file(card).through == "receive":
            # Refused bodies come as a stranger sends them: with no word of what they are.
            outcome = opened.receive(msgspec.structs.replace(_request(card, path), headers={}))
            assert isinstance(outcome, Refused)
            assert outcome.reason is Reason(reason)
            return
        stem = rest.partition("-")[0].partition(".")[0]
        topic = stem if stem in {topic.name for topic in card.topics} else card.topics[0].name
        with pytest.raises(PayloadError):
            opened.decode(topic, path.read_bytes())


_OFFERED = [
    pytest.param(card, action, id=f"{card.name}-{action.name}") for card in CARDS.values() for action in card.actions
]
offered = pytest.mark.parametrize(("card", "action"), _OFFERED)


def _asked(action: Action) -> dict[str, Any]:
    """Parameters as a program would send them: the least that the type takes, and every member that it knows."""
    shape = msgspec.json.schema(action.parameters)["$defs"][action.parameters.__name__]
    return {name: _of(name, part) for name, part in shape["properties"].items() if name != "outer_id"}


def _of(name: str, part: dict[str, Any]) -> Any:
    for kind in part.get("anyOf", [part]):
        match kind:
            case {"enum": [first, *_]}:
                return first
            case {"type": "integer"}:
                return kind.get("minimum", 0) + 1
            case {"type": "boolean"}:
                return True
            case {"type": "array"}:
                return [_of(name, kind["items"])]
            case {"type": "string"}:
                return "4012345678900000001" if "0-9]{1,20}" in kind.get("pattern", "") else "wm0000001"
    raise AssertionError(f"{name}: no example for {part}")


class TestActions:
    """What a card offers can be described, checked, sealed and asked for without knowing the partner."""

    @cards
    def test_actions_are_offered_by_those_who_act(self, card: Card) -> None:
        """And by nobody else; each by one name."""
        names = [action.name for action in card.actions]

        assert bool(names) == (Can.ACT in card.can)
        assert len(names) == len(set(names))
        assert all(name.isidentifier() and name.islower() for name in names)

    @offered
    def test_every_parameter_is_explained(self, card: Card, action: Action) -> None:
        """API, console and documentation say these sentences and no others."""
        fields = msgspec.structs.fields(action.parameters)
        silent = [
            one.name
            for one in fields
            if not any(getattr(part, "description", None) for part in getattr(one.type, "__metadata__", ()))
        ]

        assert silent == []
        assert action.title.zh and action.title.en
        assert action.parameters.__doc__
        assert action.about in {one.name for one in fields}
        assert issubclass(action.parameters, Parameters)

    @offered
    def test_whoever_is_meant_is_named_by_a_declared_namespace(self, card: Card, action: Action) -> None:
        """A customer of ours is found by it in the scope that the account's options say."""
        if action.whom is None:
            return
        account, _ = _open(card)
        fields = {one.name: one for one in msgspec.structs.fields(action.parameters)}

        assert action.whom.namespace in identity.NAMESPACES
        assert action.whom.scope(account.options)
        assert fields[action.whom.parameter].default is msgspec.NODEFAULT
        assert class_of(fields[action.whom.parameter].type) == "contact"

    @offered
    def test_parameters_that_nobody_knows_are_refused(self, card: Card, action: Action) -> None:
        """A misspelt one would be left out in silence."""
        with pytest.raises(msgspec.ValidationError, match="unknown field"):
            msgspec.convert({**_asked(action), "no_such": 1}, action.parameters)

    @offered
    def test_partner_who_cannot_be_reached_did_nothing(self, card: Card, action: Action) -> None:
        """What the call says of itself reaches whoever has to decide whether to repeat it."""
        _, opened = _open(card)
        asked = msgspec.convert(_asked(action), action.parameters)

        with pytest.raises(GatewayError) as caught:
            asyncio.run(opened.act(Command(id="act_1", action=action.name, parameters=asked)))
        assert not isinstance(caught.value, PartnerDown) or not caught.value.unsure

    @offered
    def test_silence_after_the_call_is_never_a_clean_no(self, card: Card, action: Action) -> None:
        """An answer that cannot be read may belong to something that was done."""
        for body in (b"", b"<html>", b"[]"):
            _, opened = _open(card, call=_Canned(body))
            asked = msgspec.convert(_asked(action), action.parameters)
            with pytest.raises(GatewayError) as caught:
                asyncio.run(opened.act(Command(id="act_1", action=action.name, parameters=asked)))
            if isinstance(caught.value, PartnerDown):
                assert caught.value.unsure

    @offered
    def test_errors_quote_nothing_of_what_was_asked(self, card: Card, action: Action) -> None:
        """They stand in the log and in lists."""
        _, opened = _open(card, call=_Canned(b'{"errcode":40096,"errmsg":"wm0000001"}'))
        asked = msgspec.convert(_asked(action), action.parameters)

        with pytest.raises(GatewayError) as caught:
            asyncio.run(opened.act(Command(id="act_1", action=action.name, parameters=asked)))
        assert "wm0000001" not in str(caught.value)


class TestStrangers:
    """Bytes from anybody are an outcome, never an exception."""

    @pytest.mark.parametrize(
        "body", [b"", b"\x00", b"{", b"<xml>", b"\xff\xfe\x00", b"MSH|^~\\&|", b"[" * 10_000], ids=range(7)
    )
    @_able(Can.RECEIVE)
    def test_garbage_is_refused(self, card: Card, body: bytes) -> None:
        """Nothing is kept of it and nothing is raised."""
        _, opened = _open(card)
        for method in ("GET", "POST"):
            outcome = opened.receive(
                Request(method=method, body=body, query="a=b&msg_signature=x", peer="203.0.113.9", received_at=1)
            )
            assert isinstance(outcome, (Refused, Challenge))

    @pytest.mark.parametrize("body", [b"", b"\x00", b"{", b"<xml>", b"\xff\xfe\x00", b"[" * 10_000], ids=range(6))
    @_able(Can.IMPORT)
    def test_garbage_that_is_brought_becomes_no_event(self, card: Card, body: bytes) -> None:
        """Refused as a whole, or row by row with why."""
        _, opened = _open(card)
        for kind in ("", "application/json", "text/csv", "application/x-ndjson"):
            found = opened.bring(Request(body=body, headers={"content-type": kind}, peer="203.0.113.9", received_at=1))
            assert isinstance(found, Refused) or all(line.event is None and line.detail for line in found)

    @cards
    def test_undecodable_bytes_are_a_payload_error(self, card: Card) -> None:
        """A dead letter needs an error of ours with a cause."""
        _, opened = _open(card)
        for topic in card.topics:
            for payload in (b"", b"\xff", b"[1", b"<a>"):
                try:
                    decoded = opened.decode(topic.name, payload)
                except PayloadError:
                    continue
                assert isinstance(decoded, Decoded)

    @_able(Can.PROBE)
    def test_a_partner_who_is_away_is_an_error_of_ours(self, card: Card) -> None:
        """What asks the partner raises PartnerError, which waits and tries again."""
        _, opened = _open(card)

        with pytest.raises(PartnerDown):
            asyncio.run(opened.probe())
