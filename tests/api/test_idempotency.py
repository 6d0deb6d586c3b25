"""``Idempotency-Key``: what is repeated is done once, whichever process it reaches."""

import asyncio
import threading
from pathlib import Path

import httpx

from gateway import settings
from gateway.model.secret import Secret
from tests.api.kit import House, told
from tests.api.test_callers import another
from tests.e2e.house import Receiver

URL = "/api/v1/endpoints"
HOOK = {"name": "bi", "url": "https://bi.example/hooks"}
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def keyed(key: str) -> dict[str, str]:
    """The header."""
    return {"idempotency-key": key}


async def rotate(client: httpx.AsyncClient, key: str) -> httpx.Response:
    """Something that would be another thing each time."""
    return await client.post(f"{URL}/bi/secret:rotate", json={"overlap": 0}, headers=keyed(key))


def test_repeated_request_is_done_once_and_answered_as_the_first_was(tmp_path: Path) -> None:
    """Status, body and entity tag; marked as a repetition, with a request id of its own; a fresh key does it anew."""

    async def story(house: House) -> None:
        async with house.caller() as client:
            first = await client.post(URL, json=HOOK, headers=keyed("a"))
            again = await client.post(URL, json=HOOK, headers=keyed("a"))
            assert (first.status_code, again.status_code) == (201, 201)
            assert again.content == first.content
            assert again.headers["etag"] == first.headers["etag"]
            assert again.headers["location"] == first.headers["location"]
            assert again.headers["idempotent-replayed"] == "true"
            assert "idempotent-replayed" not in first.headers
            assert again.headers["x-request-id"] != first.headers["x-request-id"]
            secrets = [(await rotate(client, key)).json()["secret"] for key in ("b", "b", "c")]
            assert secrets[0] == secrets[1] != secrets[2]

    told(tmp_path, story)


def test_repeated_request_is_done_once_across_processes(tmp_path: Path) -> None:
    """Sent to both doors at once it is done by one; the other says to wait, and then what the first has said."""

    async def story(house: House) -> None:
        made = await house.make()
        async with another(house) as other, house.anybody() as here, other.anybody() as there:
            for client in (here, there):
                client.headers["authorization"] = f"Bearer {made.key}"
            assert (await here.post(URL, json=HOOK)).status_code == 201
            for round_ in range(5):
                answers = await asyncio.gather(*(rotate(client, f"k{round_}") for client in (here, there) * 3))
                assert {one.status_code for one in answers} <= {200, 409}
                assert {one.json()["code"] for one in answers if one.status_code == 409} <= {"request.under_way"}
                told_ = {(await rotate(client, f"k{round_}")).json()["secret"] for client in (here, there)}
                told_ |= {one.json()["secret"] for one in answers if one.status_code == 200}
                assert len(told_) == 1
            assert len(await house.desk.trail.acts(verb="rotate")) == 5

    told(tmp_path, story)


def test_key_that_was_used_for_something_else_is_refused(tmp_path: Path) -> None:
    """Another body, another path, another query."""

    async def story(house: House) -> None:
        async with house.caller() as client:
            assert (await client.post(URL, json=HOOK, headers=keyed("a"))).status_code == 201
            for path, body in ((URL, {**HOOK, "batch": 2}), (f"{URL}/bi/pause", None), (f"{URL}/crm/pause", None)):
                answer = await client.post(path, json=body, headers=keyed("a"))
                assert (answer.status_code, answer.json()["code"]) == (422, "request.idempotency_key"), path

    told(tmp_path, story)


def test_repetition_waits_while_the_first_is_under_way(tmp_path: Path) -> None:
    """409 with how long; afterwards the first one's answer, and the endpoint was asked once."""
    asked = asyncio.Event()

    def slow(_event: object, _before: int) -> tuple[int, dict[str, str]]:
        loop.call_soon_threadsafe(asked.set)
        threads.wait(30)
        return 204, {}

    threads = threading.Event()
    receiver = Receiver(SECRET, answer=slow)
    loop: asyncio.AbstractEventLoop

    async def story(house: House) -> None:
        nonlocal loop
        loop = asyncio.get_running_loop()
        async with house.caller() as client:
            first = asyncio.create_task(client.post(f"{URL}/here/test", headers=keyed("a")))
            await asked.wait()
            meanwhile = await client.post(f"{URL}/here/test", headers=keyed("a"))
            assert (meanwhile.status_code, meanwhile.json()["code"]) == (409, "request.under_way")
            assert meanwhile.headers["retry-after"] == "1"
            threads.set()
            told_ = await first
            assert (told_.status_code, told_.json()["ok"]) == (200, True)
            assert (await client.post(f"{URL}/here/test", headers=keyed("a"))).content == told_.content
            assert len(receiver.got) == 1

    try:
        end = settings.Endpoint(url=receiver.url, secret=Secret(SECRET), allow_private=True)
        told(tmp_path, story, endpoints={"here": end})
    finally:
        threads.set()
        receiver.close()


def test_refusal_that_passes_by_itself_may_be_repeated(tmp_path: Path) -> None:
    """A conflict is no answer for a day; what is wrong with the request stays wrong."""

    async def story(house: House) -> None:
        async with house.caller() as client:
            made = await client.post(URL, json=HOOK)
            assert (await client.post(URL, json={**HOOK, "batch": 2}, headers=keyed("a"))).status_code == 409
            await client.delete(f"{URL}/bi", headers={"if-match": made.headers["etag"]})
            assert (await client.post(URL, json={**HOOK, "batch": 2}, headers=keyed("a"))).status_code == 201
            wrong = [await client.post(URL, json={**HOOK, "batch": 0}, headers=keyed("b")) for _ in range(2)]
            assert [one.status_code for one in wrong] == [400, 400]
            assert wrong[0].json()["code"] == wrong[1].json()["code"] == "endpoint.invalid"

    told(tmp_path, story)


def test_two_clients_may_use_the_same_key(tmp_path: Path) -> None:
    """Neither sees what the other was answered."""

    async def story(house: House) -> None:
        async with house.caller() as one, house.caller() as other:
            assert (await one.post(URL, json=HOOK, headers=keyed("a"))).status_code == 201
            answer = await other.post(URL, json={**HOOK, "name": "other"}, headers=keyed("a"))
            assert (answer.status_code, answer.json()["name"]) == (201, "other")

    told(tmp_path, story)


def test_what_is_kept_of_an_answer_is_sealed(tmp_path: Path) -> None:
    """It holds a secret that is shown once."""

    async def story(house: House) -> None:
        async with house.caller() as client:
            secret = (await client.post(URL, json=HOOK, headers=keyed("a"))).json()["shown_once"]
        kept = await house.desk.shelf.documents("idempotency")
        assert len(kept) == 1
        assert secret.encode() not in kept[0].body
        assert b"bi.example" not in kept[0].body

    told(tmp_path, story)
