"""What the made-up corp lets its apps do: tags, remarks and messages, with the platform's refusals and its silences."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from gateway.clock import SECOND, Clock

MINUTELY = 30
"""Messages to one member in a minute; what is over is swallowed without a word."""

_TAGS_MOST = 3000
_DAY = 86_400 * SECOND

Said = Mapping[str, Any]


class People(Protocol):
    """Who works for the corp, and whose customers there are."""

    @property
    def members(self) -> Sequence[str]: ...

    def followers(self, customer: str, since: int) -> list[dict[str, Any]]:
        """As ``follow_user`` tells it."""
        ...


class Deeds:
    """What was done. ``messages`` are those that reached somebody, as (member, content), ``templates`` tasks as they were asked for."""

    def __init__(self, people: People, options: Mapping[str, str], clock: Clock) -> None:
        self.tags: dict[tuple[str, str], set[str]] = {}
        self.remarks: dict[tuple[str, str], dict[str, Any]] = {}
        self.messages: list[tuple[str, str]] = []
        self.templates: list[dict[str, Any]] = []
        self._people = people
        self._options = options
        self._clock = clock
        self._sent: list[tuple[int, str, str]] = []
        self._massed: dict[str, int] = {}
        self._count = Counter[str]()

    def verbs(self) -> dict[str, Callable[[Said], dict[str, Any]]]:
        """By path."""
        return {
            "externalcontact/mark_tag": self._mark_tag, "externalcontact/remark": self._remark, "message/send": self._send,
            "externalcontact/add_msg_template": self._template,
        }  # fmt: skip

    def shown(self, customer: str, followers: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """``follow_user`` with what was done since."""
        return [self._with(customer, one) for one in followers]

    def _with(self, customer: str, follower: dict[str, Any]) -> dict[str, Any]:
        place = (follower["userid"], customer)
        put = [
            {"group_name": "接口", "tag_name": name, "tag_id": name, "type": 1}
            for name in sorted(self.tags.get(place, ()))
        ]
        return {**follower, **self.remarks.get(place, {}), "tags": [*follower["tags"], *put]}

    # ------------------------------------------------------------------ customers
    def _stranger(self, asked: Said) -> int:
        member, customer = str(asked.get("userid", "")), str(asked.get("external_userid", ""))
        if member not in self._people.members:
            return 60111
        if not customer.startswith("wm"):
            return 40096
        return 0 if member in [one["userid"] for one in self._people.followers(customer, 0)] else 84061

    def _mark_tag(self, asked: Said) -> dict[str, Any]:
        code = self._stranger(asked)
        added, removed = set(asked.get("add_tag", ())), set(asked.get("remove_tag", ()))
        if not code and not (added or removed):
            code = 40035
        if not code and not all(str(one).startswith("et") for one in added | removed):
            code = 40068
        if code:
            return {"errcode": code}
        place = (asked["userid"], asked["external_userid"])
        tags = (self.tags.get(place, set()) | added) - removed
        if len(tags) > _TAGS_MOST:
            return {"errcode": 45002}
        self.tags[place] = tags
        return {}

    def _remark(self, asked: Said) -> dict[str, Any]:
        code = self._stranger(asked)
        if not code and (len(asked.get("remark", "")) > 20 or len(asked.get("description", "")) > 150):
            code = 45002
        if code:
            return {"errcode": code}
        said = {name: asked[name] for name in ("remark", "description") if name in asked}
        if asked.get("remark_mobiles"):
            said["remark_mobiles"] = [one for one in asked["remark_mobiles"] if one]
        self.remarks.setdefault((asked["userid"], asked["external_userid"]), {}).update(said)
        return {}

    # ------------------------------------------------------------------ messages
    def _send(self, asked: Said) -> dict[str, Any]:
        if str(asked.get("agentid", "")) != self._options.get("agent_id", "1000002"):
            return {"errcode": 301002}
        kind, member = asked.get("msgtype"), str(asked.get("touser", ""))
        content = (asked.get(str(kind)) or {}).get("content")
        if kind not in ("text", "markdown") or not content:
            return {"errcode": 40008}
        if member not in self._people.members:
            return {"errcode": 81013}
        if not self._swallowed(member, content, asked):
            self.messages.append((member, content))
            self._sent.append((self._clock.now(), member, content))
        return {"invaliduser": "", "msgid": self._number("msg")}

    def _swallowed(self, member: str, content: str, asked: Said) -> bool:
        now = self._clock.now()
        lately = [(at, text) for at, whom, text in self._sent if whom == member]
        window = int(asked.get("duplicate_check_interval", 1800)) * SECOND if asked.get("enable_duplicate_check") else 0
        again = any(text == content and now - at < window for at, text in lately)
        return again or sum(now - at < 60 * SECOND for at, _ in lately) >= MINUTELY

    def _template(self, asked: Said) -> dict[str, Any]:
        sender, whom = str(asked.get("sender", "")), [str(one) for one in asked.get("external_userid", ())]
        if sender not in self._people.members:
            return {"errcode": 60111}
        failed = [one for one in whom if not self._takes(sender, one)]
        if len(failed) == len(whom):
            return {"errcode": 41048}
        self._massed.update((one, self._clock.now()) for one in whom if one not in failed)
        self.templates.append(dict(asked))
        return {"fail_list": failed, "msgid": self._number("mass")}

    def _takes(self, sender: str, customer: str) -> bool:
        """A customer of theirs, who has had no other such message within a day."""
        fresh = self._clock.now() - self._massed.get(customer, -_DAY) >= _DAY
        return fresh and not self._stranger({"userid": sender, "external_userid": customer})

    def _number(self, kind: str) -> str:
        self._count[kind] += 1
        return f"{kind}{self._count[kind]:08d}"
