"""The pages of mappings, in process: what each shows and hides, what may be decided by whom, and the trail of it."""

import re
from pathlib import Path

import httpx

from gateway import access
from gateway.desk import samples, veil
from gateway.desk.users import Role
from gateway.model.values import Sensitivity
from gateway.pipeline import contrast
from tests.api.kit import House, member, order, told
from tests.console.test_entrance import signed_in
from tests.unit.test_mapping_versions import MENDED, ORDER

PAGE = "/console/mappings/feed/order"


async def _csrf(client: httpx.AsyncClient) -> str:
    found = re.search(r'name="csrf" value="([^"]+)"', (await client.get("/console")).text)
    assert found
    return found[1]


async def _act(client: httpx.AsyncClient, verb: str, **fields: str | int) -> httpx.Response:
    return await client.post(
        PAGE if verb == "check" else f"{PAGE}/{verb}",
        data={"csrf": await _csrf(client), **{k: str(v) for k, v in fields.items()}},
    )


def test_list_names_every_mapping_with_its_version_and_what_it_stumbles_over(tmp_path: Path) -> None:
    """Unknown values are counted; the export holds the same rows."""

    async def story(house: House) -> None:
        await house.rollout.open()
        await house.say("orders", order("S1", "C1", status="packed"))
        await house.rollout.save()
        async with house.anybody() as client:
            await signed_in(house, client, Role.VIEWER)
            page = (await client.get("/console/mappings")).text
            assert "feed/order@1" in page
            assert "feed/customer@1" in page
            table = (await client.get("/console/mappings", params={"format": "csv"})).text
            assert "feed/order,orders,feed/order@1,," in table
            seen = (await client.get(PAGE)).text
            assert "<strong>packed</strong>" in seen
            assert "lifecycle" in seen
            unknown = (await client.get(PAGE, params={"format": "csv"})).text
            assert "lifecycle,packed,1,ent_" in unknown

    told(tmp_path, story)


def test_every_tab_opens_in_both_languages_and_an_unknown_mapping_is_not_there(tmp_path: Path) -> None:
    """For a viewer, with no version stored yet."""

    async def story(house: House) -> None:
        async with house.anybody() as client:
            await signed_in(house, client, Role.VIEWER)
            for lang in ("zh", "en"):
                for tab in ("seen", "result", "cases", "versions", "edit", "shadow", "canary", "nonsense"):
                    answer = await client.get(PAGE, params={"tab": tab, "lang": lang})
                    assert answer.status_code == 200, answer.text
            assert (await client.get("/console/mappings/feed/nothing")).status_code == 404
            assert (
                await client.get(PAGE, params={"version": "99", "with": "77", "tab": "versions"})
            ).status_code == 200

    told(tmp_path, story)


def test_draft_is_checked_with_its_line_stored_tried_promoted_and_rolled_back(tmp_path: Path) -> None:
    """The whole way on the page; every act stands on the trail with who did it."""

    async def story(house: House) -> None:
        await house.rollout.open()
        await house.say("orders", order("S1", "C1", status="packed"))
        async with house.anybody() as client:
            await signed_in(house, client, Role.ADMIN)
            torn = ORDER.replace("as: yuan", "as: dollars", 1)
            wrong = await _act(client, "check", text=torn)
            line = next(n for n, one in enumerate(torn.splitlines(), 1) if "dollars" in one)
            assert f'href="#L{line}"' in wrong.text
            assert f'<div class="line bad" id="L{line}">' in wrong.text
            good = await _act(client, "check", text=MENDED.replace("\n", "\r\n"))
            assert "golden cases hold" in good.text or "cases hold" in good.text
            assert await house.desk.mappings.versions.all("feed", "order") == []

            saved = await _act(client, "save", text=MENDED, note="packed is known", base="feed/order@1")
            assert saved.headers["location"] == f"{PAGE}?tab=versions&version=1&did=saved"
            shown = (await client.get(saved.headers["location"])).text
            assert '<div class="line added"><span class="what">+    packed: processing</span></div>' in shown

            asked = await _act(client, "shadow", version=1, last=50)
            assert await house.desk.shadows.step()
            run = (await client.get(asked.headers["location"])).text
            assert "unknowns mended" in run
            assert "1 records would change status" in run

            await _act(client, "canary", version=1, share=20)
            assert "reads 20 % of the entries" in (await client.get(PAGE, params={"tab": "canary"})).text
            await _act(client, "promote", version=1)
            assert "feed/order@1.1" in (await client.get("/console/mappings")).text
            await house.rollout.follow()
            await _act(client, "rollback")
            standing = await house.desk.mappings.versions.standing("feed", "order")
            assert (standing.live, standing.past) == (0, (1,))
        acts = await house.ground.trail.acts(actor="console:ops", limit=100)
        assert [one.act.verb for one in acts if one.act.verb.startswith("mapping_")] == [
            "mapping_store", "mapping_shadow", "mapping_canary", "mapping_promote", "mapping_rollback",
        ]  # fmt: skip

    told(tmp_path, story)


def test_who_may_do_what_goes_by_role(tmp_path: Path) -> None:
    """A viewer looks, an operator checks, runs shadows and rolls back, an admin decides."""

    async def story(house: House) -> None:
        stored = await house.desk.mappings.add("feed", "order", MENDED, by="t")
        await house.desk.mappings.promote("feed", "order", stored.number, by="t")
        more = {"version": 1, "share": 10, "text": MENDED}
        async with house.anybody() as client:
            await signed_in(house, client, Role.VIEWER, "viewer")
            for verb in ("check", "save", "shadow", "canary", "promote", "withdraw", "rollback", "retire"):
                assert (await _act(client, verb, **more)).status_code == 403, verb
        async with house.anybody() as client:
            await signed_in(house, client, Role.OPERATOR, "operator")
            for verb in ("save", "canary", "promote", "retire"):
                assert (await _act(client, verb, **more)).status_code == 403, verb
            assert (await _act(client, "check", **more)).status_code == 200
            assert (await _act(client, "rollback")).status_code == 303
            refused = await _act(client, "withdraw")
            assert (refused.status_code, "no canary is running" in refused.text) == (409, True)

    told(tmp_path, story)


def test_real_entry_shows_what_the_grants_allow_and_leaves_a_trace(tmp_path: Path) -> None:
    """A viewer sees masks on both sides; nothing that became no public field is shown of the words."""

    async def story(house: House) -> None:
        await house.say("members", member("C1", name="张三丰", phone="13800138000", nickname_of_dog="旺财"))
        entry = (await house.ground.log.read(*next(iter(await house.ground.records.cursors())), 0, 9))[0]
        page = "/console/mappings/feed/customer"
        async with house.anybody() as client:
            await signed_in(house, client, Role.VIEWER, "viewer")
            shown = (await client.get(page, params={"tab": "result", "entry": entry.id})).text
            assert "138****8000" in shown
            assert "张*" in shown
            for hidden in ("张三丰", "13800138000", "旺财"):
                assert hidden not in shown
            other = (await client.get(PAGE, params={"tab": "result", "entry": entry.id})).text
            assert "read by feed/customer" in other
            assert "13800138000" not in other
        acts = await house.ground.trail.acts(verb="read", object=entry.id)
        assert {one.act.actor for one in acts} == {"console:viewer"}

    told(tmp_path, story)


def test_sample_that_is_refused_is_marked_at_its_line_and_field(tmp_path: Path) -> None:
    """The page shows the version that stumbles, not only that something did."""

    async def story(house: House) -> None:
        bad = ORDER.replace("placed_at: {path: created_at, as: time}", "placed_at: {path: order_no, as: time}")
        stored = await house.desk.mappings.add("feed", "order", bad, by="t")
        async with house.anybody() as client:
            await signed_in(house, client, Role.VIEWER)
            asked = {"tab": "result", "sample": "order-paid.json", "version": str(stored.number)}
            shown = (await client.get(PAGE, params=asked)).text
            line = next(n for n, one in enumerate(bad.splitlines(), 1) if "placed_at" in one)
            assert f'<div class="line bad" id="L{line}">' in shown
            assert "emit[0].fields.placed_at" in shown
            assert "type mismatch" in shown

    told(tmp_path, story)


def test_words_are_shown_only_where_they_became_public_fields() -> None:
    """Phones as numbers, names under any key, maps keyed by people: none of it; everything for whoever was granted all."""
    data = {
        "status": "paid", "mobile": 13800138000, "who": "张三", "13800138000": {"x": "y"}, "lines": [{"qty": 2, "note": "给张三"}],
        "vip": True, "gone": None,
    }  # fmt: skip
    said = [
        {
            "order.raw_status": contrast.Facet(value="paid"),
            "order.customer.name": contrast.Facet(value="张三", sensitivity=Sensitivity.IDENTITY),
        }
    ]
    shown = veil.source(data, said, access.LEAST)
    assert '"status": "paid"' in shown
    assert '"qty": 2' in shown
    for hidden in ("13800138000", "张三"):
        assert hidden not in shown
    assert "13800138000" in veil.source(data, said, dict.fromkeys(access.LEAST, "clear"))


def test_field_that_differs_under_its_mask_is_still_said_to_differ() -> None:
    """What a viewer may not see is not taken for equal."""
    old = {"customer.name": contrast.Facet(value="张三", sensitivity=Sensitivity.IDENTITY)}
    new = {"customer.name": contrast.Facet(value="张四", sensitivity=Sensitivity.IDENTITY)}
    (row,) = veil.rows([old, new], access.LEAST)
    assert (row.values, row.differs) == (("张*", "张*"), True)
    (hidden,) = veil.rows([old], {**access.LEAST, Sensitivity.IDENTITY: "drop"})
    assert hidden.values == (veil.WITHHELD,)


def test_samples_of_every_connector_are_found_for_their_mappings(tmp_path: Path) -> None:
    """As they are read by the contract suite."""

    async def story(house: House) -> None:
        card = house.desk.mappings.need("feed", "order").card
        assert "order-paid.json" in samples.names(card, "order")
        assert samples.read(card, "order-paid.json", "order")[0].data["order_no"]

    told(tmp_path, story)
