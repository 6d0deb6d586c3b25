"""What the config grants is on the trail, with the reason of a grant of health data."""

import asyncio
from pathlib import Path

from gateway import app, settings
from gateway.audit import Act

HEALTH = settings.Grants(health="mask", reason="随访科室需要就诊提醒")


def _started(folder: Path, **endpoints: settings.Endpoint) -> list[Act]:
    """The acts on the trail after a start with these endpoints."""
    tree = settings.Settings(gateway=settings.Gateway(data_dir=folder), endpoints=endpoints)
    _ = app.make_ready(tree, app.configure.programs_of(tree, app.CARDS))

    async def run() -> list[Act]:
        ground = app.open_ground(tree)
        try:
            return [link.act for link in await ground.trail.acts(limit=100)]
        finally:
            await ground.close()

    return asyncio.run(run())


def _end(grants: settings.Grants) -> settings.Endpoint:
    return settings.Endpoint(url="https://erp.example/hooks", grants=grants)


def test_grants_of_the_config_are_recorded_when_they_are_new_or_changed(tmp_path: Path) -> None:
    """With the reason; a start that changes nothing records nothing, and defaults need no word."""
    first = _started(tmp_path, his=_end(HEALTH), crm=_end(settings.Grants()))
    assert [(one.actor, one.verb, one.object, one.detail) for one in first] == [
        ("gateway", "grant", "endpoint/his",
         {"grants": "identity=mask contact=mask health=mask finance=drop", "reason": HEALTH.reason, "by": "config"})
    ]  # fmt: skip
    assert _started(tmp_path, his=_end(HEALTH), crm=_end(settings.Grants())) == first
    other = settings.Grants(health="mask", reason="another reason")
    changed = _started(tmp_path, his=_end(other), crm=_end(settings.Grants(contact="clear")))[1:]
    assert [(one.object, one.detail["reason"]) for one in changed] == [
        ("endpoint/his", "another reason"),
        ("endpoint/crm", ""),
    ]
    gone = _started(tmp_path, crm=_end(settings.Grants()))[3:]
    assert [(one.verb, one.object) for one in gone] == [("grant", "endpoint/crm"), ("remove", "endpoint/his")]
