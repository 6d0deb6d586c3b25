"""The simulated ERP: what it posts is genuine, and has the habits it claims."""

import asyncio
import random
from collections import Counter

import pytest
from standardwebhooks import Webhook

from connectors.feed import CARD, simulate
from connectors.feed.options import FeedOptions
from connectors.feed.simulate import Habits
from gateway.clock import SystemClock, TurnedClock
from gateway.connector import Accepted, Account, Connector, Refused, Request, Secret
from gateway.errors import ConfigError

SECRET = "whsec_dGhpcnR5LXR3byBieXRlcyBvZiBhIHNlY3JldCBrZXk="
ACCOUNTS = [
    {"auth": "standard-webhooks", "secret": SECRET},
    {"auth": "hmac", "secret": "s3cret"},
    {"auth": "bearer", "secret": "s3cret"},
    {"auth": "none-on-loopback"},
]


def opened(options: dict[str, str]) -> Connector:
    chosen = FeedOptions(**options | {"secret": Secret(options.get("secret", ""))})
    return CARD.open(Account(name="erp", connector="feed", options=chosen), None)


def traffic(options: dict[str, str], count: int, habits: Habits = simulate.USUAL):
    clock = TurnedClock()
    source = simulate.bodies(options, rng=random.Random(7), clock=clock, habits=habits)
    for number in range(count):
        clock.turn(0.1)
        yield simulate.signed(options, next(source), message=f"m{number}", clock=clock), clock.now()


@pytest.mark.parametrize("mapping", ["feed/customer", "feed/order"])
@pytest.mark.parametrize("account", ACCOUNTS, ids=lambda account: account["auth"])
def test_every_request_is_accepted_by_the_account_it_is_made_for(account: dict[str, str], mapping: str) -> None:
    """With every proof, in every format; bad rows are refused one by one, good ones beside them are taken."""
    options = account | {"mapping": mapping}
    connector, seen, problems = opened(options), Counter(), 0
    for (headers, body), now in traffic(options, 400, Habits(batch=0.5)):
        found = connector.receive(Request(headers=headers, body=body, peer="127.0.0.1", received_at=now))
        assert isinstance(found, Accepted), found
        problems += found.problems
        seen.update(event.dedupe_key for event in found.events)
        for event in found.events:
            data = connector.decode(event.topic, event.payload).data
            assert data and (mapping == "feed/customer" or data["lines"][0]["price"])
    assert problems > 20
    assert max(seen.values()) > 1


def test_a_simulated_signature_satisfies_the_standard_library() -> None:
    """Signed by us, verified by others."""
    options = ACCOUNTS[0] | {"mapping": "feed/order"}
    clock = SystemClock()
    source = simulate.bodies(options, rng=random.Random(1), clock=clock)
    for number in range(20):
        headers, body = simulate.signed(options, next(source), message=f"m{number}", clock=clock)
        if headers["content-type"] != "text/csv; charset=gb18030":
            Webhook(SECRET).verify(body, headers, json_parse=False)


def test_the_same_seed_tells_the_same_story_out_of_order() -> None:
    """A run can be repeated; with disorder an older row follows a newer one."""
    options = {"auth": "none-on-loopback", "mapping": "feed/order"}
    assert list(traffic(options, 100)) == list(traffic(options, 100))
    habits = Habits(duplicate=0.0, disorder=0.3, batch=0.0)
    connector = opened(options)
    times = [connector.decode("order", body).data["updated_at"] for (_, body), _ in traffic(options, 100, habits)]
    assert times != sorted(times)


def test_an_erp_that_cannot_be_played_is_a_fault_of_the_config() -> None:
    """It knows customers and orders, and writes no XLSX."""
    for options in ({"mapping": "feed/visit"}, {"mapping": "feed/order", "format": "xlsx"}):
        with pytest.raises(ConfigError):
            next(simulate.bodies(options, rng=random.Random(1), clock=TurnedClock()))


def test_a_run_posts_over_a_real_socket_and_sends_again_what_is_pushed_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """The account's own connector answers on the other side; every third request is told to come again at once."""
    clock = TurnedClock()
    monkeypatch.setattr(simulate, "SystemClock", lambda: clock)
    options = ACCOUNTS[0] | {"mapping": "feed/order"}
    connector, told, asked = opened(options), [], Counter()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                lines = head.decode().split("\r\n")[1:]
                headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines) if name}
                body = await reader.readexactly(int(headers["content-length"]))
                found = connector.receive(Request(headers=headers, body=body, received_at=clock.now()))
                asked[headers["webhook-id"]] += 1
                assert not isinstance(found, Refused), found.detail
                if sum(asked.values()) % 3 == 0:
                    writer.write(b"HTTP/1.1 429 Too Many Requests\r\nretry-after: 0\r\ncontent-length: 0\r\n\r\n")
                    continue
                reply = found.settle([False] * len(found.events))
                writer.write(b"HTTP/1.1 202 Accepted\r\ncontent-length: %d\r\n\r\n%b" % (len(reply.body), reply.body))
        except asyncio.IncompleteReadError:
            pass
        finally:
            writer.close()

    async def play() -> int:
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        async with server:
            port = server.sockets[0].getsockname()[1]
            return await simulate.run(
                url=f"http://127.0.0.1:{port}/in/erp", options=options, rate=200, seconds=0.5, seed=3, tell=told.append
            )

    sent = asyncio.run(play())
    assert sent == len(asked) >= 100
    assert max(asked.values()) > 1
    assert f"{sent} requests" in told[-1]
    assert "pushed back" in told[-1]
