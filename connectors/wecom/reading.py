"""What WeCom's API says of customers, groups, members and departments, as events: one at a time, or page by page."""

import bisect
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from connectors.wecom import protocol
from connectors.wecom.client import Client
from gateway.clock import SECOND
from gateway.connector import Account, Fetch, Inbound, Lane, Page, Tools, Window
from gateway.errors import ConfigError, PartnerDenied, PartnerError

FOLLOWERS_PER_PAGE = 100
_CURSORS_KEPT = 512
# What reading an object of another shape than the documentation's raises.
_SHAPE = (AttributeError, KeyError, TypeError, ValueError)


class Reader:
    """Fetch and pull of one account."""

    def __init__(self, account: Account, tools: Tools, client: Client) -> None:
        self._place = account.name
        self._clock = tools.clock
        self._client = client
        self._kf = Cursors(_CURSORS_KEPT)

    async def fetch(self, topic: str, key: str) -> Sequence[Inbound]:
        """What WeCom now says. Every reading is its own event: a value that changed and changed back must arrive twice."""
        try:
            return await self._fetch(topic, key)
        except _SHAPE as error:
            raise self._unknown_shape(topic) from error

    async def pull(self, topic: str, window: Window, cursor: str | None) -> Page:
        """One page of everything there is: WeCom cannot be asked for what changed within ``window``."""
        try:
            return await self._pull(topic, window, cursor)
        except _SHAPE as error:
            raise self._unknown_shape(topic) from error

    async def probe(self, agent_id: str) -> str:
        """Prove secret, address and permission without changing anything; with ``agent_id`` also that the app is enabled."""
        if not agent_id:
            found = await self._client.get("getcallbackip") or {}
            return f"the API answers; callbacks come from {len(found.get('ip_list') or [])} addresses"
        app = await self._client.get("agent/get", agentid=agent_id) or {}
        if app.get("close"):
            raise PartnerDenied("the app is disabled", place=self._place, remedy="enable the app in the console")
        return f"the API answers for app {agent_id}"

    def _unknown_shape(self, topic: str) -> PartnerError:
        return PartnerError(f"the answer for {topic} has a shape that is not WeCom's", place=self._place)

    async def _fetch(self, topic: str, key: str) -> Sequence[Inbound]:
        match topic:
            case "customer" | "profile":
                return await self._customer(key, follows=topic == "customer")
            case "user":
                found = await self._client.get("user/get", userid=key)
                return self._read([] if found is None else [_user(found)], "user", "userid", "staff")
            case "department":
                found = await self._client.get("department/get", id=key)
                return self._read(
                    [] if found is None else [_department(found.get("department") or {})], "department", "id", "unit"
                )
            case "chat":
                return await self._chat(key)
            case "kf_messages":
                return await self._kf_messages(key)
        raise ConfigError(f"wecom has nothing to re-read for {topic!r}", place=self._place)

    async def _customer(self, external_userid: str, *, follows: bool) -> Sequence[Inbound]:
        now = self._clock.now()
        found = await self._client.customer(external_userid)
        if found is None:
            return ()
        contact, followers = found.get("external_contact") or {}, found["follow_user"]
        mark = str(now)
        events = [self._event("customer", _customer(contact, followers), f"customer:{external_userid}", mark, now)]
        if follows:
            events += [self._follow(external_userid, follower, mark, now) for follower in followers]
        return events

    def _follow(
        self, external_userid: str, follower: Mapping[str, Any], mark: str, now: int, lane: Lane | None = None
    ) -> Inbound:
        data = {"external_userid": external_userid, **_follower(follower)}
        return self._event("follow", data, f"customer:{external_userid}", mark, now, lane)

    async def _chat(self, chat_id: str) -> Sequence[Inbound]:
        """One event per customer in the group; joining happens once, so its key holds no time of reading."""
        found = await self._client.post("externalcontact/groupchat/get", {"chat_id": chat_id, "need_name": 1})
        chat = {} if found is None else found.get("group_chat") or {}
        members = [
            member for member in chat.get("member_list") or [] if member.get("type") == 2 and member.get("userid")
        ]
        about = {name: chat.get(name) for name in ("chat_id", "name", "owner") if chat.get(name)}
        return [
            Inbound(
                topic="chat_member",
                dedupe_key=f"{chat_id}:{member['userid']}:{member.get('join_time', '')}",
                partition_key=f"customer:{member['userid']}",
                payload=msgspec.json.encode({"chat": about, "member": member}),
            )
            for member in members
        ]

    async def _kf_messages(self, key: str) -> Sequence[Inbound]:
        account, _, token = key.partition(" ")
        cursor = self._kf.begin(account, key)
        events: list[Inbound] = []
        async for messages, behind in self._client.kf_messages(account, token, cursor):
            events += [_kf_message(message) for message in messages]
            self._kf.reached(account, behind)
        return events

    # ------------------------------------------------------------------ pull
    async def _pull(self, topic: str, window: Window, cursor: str | None) -> Page:
        match topic:
            case "customer":
                return await self._customers(window, cursor)
            case "chat":
                return await self._chats(cursor)
            case "user":
                return await self._users(window, cursor)
            case "department":
                found = await self._client.get("department/list") or {}
                rows = [_department(row) for row in found.get("department") or []]
                return Page(events=self._read(rows, "department", "id", "unit", window))
        raise ConfigError(f"wecom has nothing to pull for {topic!r}", place=self._place)

    async def _customers(self, window: Window, cursor: str | None) -> Page:
        now = self._clock.now()
        batch, place = await self._followers(cursor)
        if not batch:
            return Page(events=(), cursor=place.next(None))
        asked = {"userid_list": batch, "limit": 100, "cursor": place.inner}
        found = await self._client.post("externalcontact/batch/get_by_user", asked) or {}
        events: list[Inbound] = []
        for row in found.get("external_contact_list") or []:
            events += self._pulled(row, str(window.until), now)
        unlicensed = (found.get("fail_info") or {}).get("unlicensed_userid_list") or []
        return Page(
            events=tuple(events), cursor=place.next(found.get("next_cursor")), fetch=await self._listed(unlicensed)
        )

    def _pulled(self, row: Mapping[str, Any], mark: str, now: int) -> list[Inbound]:
        contact = row.get("external_contact") or {}
        customer = str(contact.get("external_userid", ""))
        if not customer:
            return []
        event = self._event("customer", _customer(contact, None), f"customer:{customer}", mark, now, Lane.BULK)
        return [event, self._follow(customer, row.get("follow_info") or {}, mark, now, Lane.BULK)]

    async def _listed(self, members: Iterable[str]) -> tuple[Fetch, ...]:
        """Customers of members that the batch call passes over, to be read one by one."""
        customers: list[str] = []
        for member in members:
            found = await self._client.get("externalcontact/list", userid=member) or {}
            customers += found.get("external_userid") or []
        return tuple(Fetch(topic="customer", key=customer) for customer in dict.fromkeys(customers))

    async def _chats(self, cursor: str | None) -> Page:
        batch, place = await self._followers(cursor)
        if not batch:
            return Page(events=(), cursor=place.next(None))
        # Without owner_filter WeCom refuses corps with more than a thousand members in range (81017).
        asked = {"owner_filter": {"userid_list": batch}, "limit": 100, "cursor": place.inner}
        found = await self._client.post("externalcontact/groupchat/list", asked) or {}
        chats = [str(chat["chat_id"]) for chat in found.get("group_chat_list") or [] if chat.get("chat_id")]
        return Page(
            events=(),
            cursor=place.next(found.get("next_cursor")),
            fetch=tuple(Fetch(topic="chat", key=chat) for chat in chats),
        )

    async def _followers(self, cursor: str | None) -> tuple[list[str], "Place"]:
        """The members whose turn it is, and where that is."""
        found = await self._client.get("externalcontact/get_follow_user_list") or {}
        return Place.of(cursor, [str(member) for member in found.get("follow_user") or []])

    async def _users(self, window: Window, cursor: str | None) -> Page:
        """The members of one department; the cursor is that department's id."""
        found = await self._client.get("department/list") or {}
        ids = sorted(int(row["id"]) for row in found.get("department") or [])
        rest = ids[bisect.bisect_right(ids, int(cursor)) if cursor else 0 :]
        if not rest:
            return Page(events=())
        listed = await self._client.get("user/list", department_id=str(rest[0])) or {}
        rows = [_user(row) for row in listed.get("userlist") or []]
        return Page(
            events=self._read(rows, "user", "userid", "staff", window), cursor=str(rest[0]) if len(rest) > 1 else None
        )

    def _read(
        self, rows: Iterable[dict[str, Any]], topic: str, name: str, kind: str, window: Window | None = None
    ) -> tuple[Inbound, ...]:
        now = self._clock.now()
        mark, lane = (str(window.until), Lane.BULK) if window else (str(now), None)
        return tuple(self._event(topic, row, f"{kind}:{row[name]}", mark, now, lane) for row in rows if row.get(name))

    def _event(
        self, topic: str, data: Mapping[str, Any], partition: str, mark: str, now: int, lane: Lane | None = None
    ) -> Inbound:
        """``mark`` names the reading (its instant, or the pull's window), so that a page that is read again is the same page."""
        content = protocol.digest(msgspec.json.encode(data, order="sorted"))
        # Whole seconds, as in callbacks: a loss that follows a reading within its second must not look older than it.
        read_at = str(now // SECOND)
        return Inbound(
            topic=topic,
            dedupe_key=f"{mark}:{content}",
            partition_key=partition,
            payload=msgspec.json.encode({**data, "read_at": read_at}),
            lane=lane,
        )


class Place(msgspec.Struct, frozen=True):
    """How far a pull over members has come: ``after`` and ``upto`` bound the batch, ``inner`` is WeCom's own cursor in it.

    Members are ordered by a hash, and a cursor holds hashes only: it is kept in the open, and people join and leave between pages.
    """

    after: str
    upto: str
    inner: str
    last: bool

    @staticmethod
    def of(cursor: str | None, members: Iterable[str]) -> tuple[list[str], "Place"]:
        """The batch at ``cursor`` and its place."""
        after, upto, inner = (cursor or "..").split(".", 2)
        ranked = sorted((protocol.digest(member.encode()), member) for member in set(members))
        rest = [one for one in ranked if one[0] > after]
        batch = [one for one in rest if one[0] <= upto] if upto else rest[:FOLLOWERS_PER_PAGE]
        upto = upto or (batch[-1][0] if batch else "")
        return [member for _, member in batch], Place(after, upto, inner, not rest or rest[-1][0] <= upto)

    def next(self, inner: object) -> str | None:
        """The cursor of the next page; None at the end."""
        if inner:
            return f"{self.after}.{self.upto}.{inner}"
        return None if self.last else f"{self.upto}.."


class Cursors:
    """Where each customer service account's messages were read up to, in memory.

    A key that comes again (its reading was not made durable) begins where it began. After a restart everything WeCom still holds is
    read again, and known message ids are duplicates.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._reached: dict[str, str] = {}
        self._begun: dict[str, str] = {}

    def begin(self, account: str, key: str) -> str:
        """Where this reading starts; empty for the beginning."""
        if key not in self._begun:
            while len(self._begun) >= self._most:
                del self._begun[next(iter(self._begun))]
            self._begun[key] = self._reached.get(account, "")
        return self._begun[key]

    def reached(self, account: str, cursor: str) -> None:
        """Remember how far a reading came."""
        self._reached[account] = cursor


def _customer(contact: Mapping[str, Any], followers: Sequence[Mapping[str, Any]] | None) -> dict[str, Any]:
    """A customer with what all followers together noted; ``None`` followers (a batch row shows only one) leave that out."""
    data: dict[str, Any] = {"external_contact": contact}
    if followers is None:
        return data
    mobiles = [mobile for follower in followers for mobile in follower.get("remark_mobiles") or [] if mobile]
    tags = [tag for follower in followers for tag in _tags(follower)]
    return {**data, "mobiles": [{"value": one} for one in dict.fromkeys(mobiles)], "tags": list(dict.fromkeys(tags))}


def _follower(follower: Mapping[str, Any]) -> dict[str, Any]:
    data = {name: value for name, value in follower.items() if name not in ("tags", "tag_id")}
    return {**data, "tags": _tags(follower)} if "tags" in follower else data


def _tags(follower: Mapping[str, Any]) -> list[str]:
    return [str(tag["tag_name"]) for tag in follower.get("tags") or [] if tag.get("tag_name")]


def _user(row: Mapping[str, Any]) -> dict[str, Any]:
    kept = {name: value for name, value in row.items() if name not in ("errcode", "errmsg")}
    return {**kept, "department": [str(unit) for unit in row.get("department") or []]} if "department" in row else kept


def _department(row: Mapping[str, Any]) -> dict[str, Any]:
    # The root's parent is 0, which is no department.
    return {name: value for name, value in row.items() if not (name == "parentid" and value == 0)}


def _kf_message(message: Mapping[str, Any]) -> Inbound:
    customer = message.get("external_userid") or (message.get("event") or {}).get("external_userid")
    return Inbound(
        topic="kf_message",
        dedupe_key=str(message.get("msgid") or protocol.digest(msgspec.json.encode(message, order="sorted"))),
        partition_key=f"customer:{customer}" if customer else f"kf:{message.get('open_kfid', '')}",
        payload=msgspec.json.encode(message),
    )
