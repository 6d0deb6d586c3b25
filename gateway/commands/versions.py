"""Commands for versions of mappings: what there is, shadow runs, canaries, going live and back."""

from pathlib import Path
from typing import Annotated, Any

import msgspec
from cyclopts import Parameter
from rich.progress import Progress

from gateway import clock
from gateway.commands.ground import actor, on_ground, trace
from gateway.commands.terminal import DONE, FAULTS, Config, Json, err, out, show
from gateway.desk import shadow as shadows
from gateway.desk.mappings import Mappings, name_of
from gateway.errors import ConfigError, MappingError
from gateway.office import mappings_of, shadow_source
from gateway.pipeline.ledger import Tally
from gateway.pipeline.versions import SHIPPED, Standing, Version, named
from gateway.processes import Ground

Which = Annotated[
    str, Parameter(help="A version, as feed/order@1.7 or feed/order/7; or a file, which is stored first.")
]
Line = Annotated[str, Parameter(help="A mapping, as feed/order.")]
Note = Annotated[str, Parameter(help="What changes, and why; kept with a file that is stored.")]


def versions(line: Line, *, config: Config = None, json: Json = False) -> int:
    """The versions of one mapping, newest first, and which of them reads. 映射版本。"""
    connector, stem, _ = named(line)

    async def work(ground: Ground) -> list[dict[str, Any]]:
        maps = mappings_of(ground)
        standing = await maps.versions.standing(connector, stem)
        known = [*await maps.versions.all(connector, stem), maps.shipped(connector, stem)]
        return [_row(one, standing) for one in known]

    show(on_ground(config, work), json=json, title=f"versions of {line}", empty="")
    return DONE


def _row(one: Version, standing: Standing) -> dict[str, Any]:
    state = standing.state(one.number)
    return {
        "version": name_of(one),
        "state": f"{state.value} {standing.share} %" if standing.canary == one.number and one.number else state.value,
        "check": "shipped" if one.number == SHIPPED else one.faults[0] if one.faults else f"{one.cases} cases hold",
        "at": clock.moment(one.at).isoformat(timespec="seconds") if one.at else "",
        "by": one.by,
        "note": one.note,
    }


def shadow(
    which: Which, *, last: Annotated[int, Parameter(help="Newest entries to compare.")] = 500, config: Config = None, json: Json = False
) -> int:  # fmt: skip
    """Run a changed mapping against the newest journal entries beside the live one; nothing is written. Exit 1 where it fails more. 影子对比。"""

    async def work(ground: Ground) -> dict[str, Any]:
        maps = mappings_of(ground)
        after = await _version(maps, which)
        standing = await maps.versions.standing(after.connector, after.stem)
        before = await maps.version(after.connector, after.stem, standing.live)
        await trace(ground, "mapping_shadow", f"{after.connector}/{after.stem}/{after.number or which}", entries=last)
        comparer = shadows.Comparer(
            stem=after.stem, before=maps.program(before), after=maps.program(after), accounts=ground.accounts, vault=ground.vault
        )  # fmt: skip
        await _compared(ground, after.connector, comparer, last)
        names = (name_of(before), which if after.number < 0 else name_of(after))
        return {"before": names[0], "after": names[1], "skipped": comparer.skipped, **_told(comparer.tally)}

    if last not in shadows.MOST:
        raise ConfigError(f"1 to {shadows.MOST[-1]} entries", place="--last")
    found = on_ground(config, work)
    if json:
        show([found], json=True, title="", empty="")
    else:
        _print(found)
    return FAULTS if found["kinds"].get("new_error") else DONE


async def _compared(ground: Ground, connector: str, comparer: shadows.Comparer, last: int) -> None:
    with Progress(console=err, transient=True, disable=not err.is_terminal) as progress:
        task = progress.add_task("comparing", total=last)

        async def told() -> None:
            progress.update(task, completed=comparer.tally.entries)

        # Nobody waits for this process: it need not rest.
        await shadows.compare(shadow_source(ground), connector, comparer, most=last, told=told, rest=0.0)


def _told(tally: Tally) -> dict[str, Any]:
    return {
        "entries": tally.entries, "kinds": tally.kinds, "records_moved": tally.moved, "moves": tally.moves, "fields": tally.fields,
        "faults": tally.faults, "samples": [msgspec.to_builtins(one) for one in tally.samples],
    }  # fmt: skip


def _print(found: dict[str, Any]) -> None:
    out.print(f"{found['before']} → {found['after']}: {found['entries']} entries compared, {found['skipped']} skipped")
    rows = [{"kind": kind.replace("_", " "), "entries": count} for kind, count in sorted(found["kinds"].items())]
    show(rows, json=False, title="what comes of them", empty="the journal holds no entry of this mapping")
    if found["moves"]:
        moves = [dict(zip(("status", "from", "to"), key.split(" "), strict=True), entries=count) for key, count in found["moves"].items()]  # fmt: skip
        show(moves, json=False, title=f"{found['records_moved']} records would change status", empty="")
    if found["fields"]:
        fields = [{"field": field, "entries": count} for field, count in sorted(found["fields"].items(), key=lambda one: -one[1])]  # fmt: skip
        show(fields, json=False, title="fields that differ", empty="")
    for fault, count in found["faults"].items():
        out.print(f"[red]{count}[/red] × {fault}")


def canary(
    which: Which, *, share: Annotated[int, Parameter(help="Percent of the entries, 1 to 50.")] = 10, note: Note = "", config: Config = None
) -> int:  # fmt: skip
    """Give a version a share of the entries, by partition key; a running worker follows within two seconds. 灰度。"""

    async def work(ground: Ground) -> str:
        maps = mappings_of(ground)
        version = await _stored(ground, maps, which, note)
        await trace(ground, "mapping_canary", _about(version), share=share)
        await maps.canary(version.connector, version.stem, version.number, share, by=actor())
        return version.name

    out.print(f"{on_ground(config, work)} reads {share} % of the entries from now on")
    return DONE


def promote(which: Which, *, note: Note = "", config: Config = None) -> int:
    """Let a version read all entries; a running worker follows within two seconds. 上线。"""

    async def work(ground: Ground) -> str:
        maps = mappings_of(ground)
        version = await _stored(ground, maps, which, note)
        await trace(ground, "mapping_promote", _about(version))
        await maps.promote(version.connector, version.stem, version.number, by=actor())
        return name_of(version)

    out.print(f"{on_ground(config, work)} is live")
    return DONE


def rollback(line: Annotated[str, Parameter(help="feed/order, or one of the last three that were live.")], *, config: Config = None) -> int:  # fmt: skip
    """End a running canary; else let what was live before read again. With a version: that one is live again. 回退。"""
    connector, stem, number = named(line)

    async def work(ground: Ground) -> str:
        maps = mappings_of(ground)
        maps.need(connector, stem)
        standing = await maps.versions.standing(connector, stem)
        if standing.canary and number is None:
            await trace(ground, "mapping_withdraw", f"{connector}/{stem}/{standing.canary}")
            await maps.withdraw(connector, stem, by=actor())
            return "the canary has ended"
        await trace(ground, "mapping_rollback", f"{connector}/{stem}", to="" if number is None else number)
        left = await maps.roll_back(connector, stem, number, by=actor())
        return f"{name_of(await maps.version(connector, stem, left.live))} is live again"

    out.print(on_ground(config, work))
    return DONE


def _about(version: Version) -> str:
    return f"{version.connector}/{version.stem}/{version.number}"


async def _version(maps: Mappings, which: str) -> Version:
    """A stored version, or a file as one that is not stored (number −1)."""
    found = _file(which)
    if found is None:
        connector, stem, number = named(which)
        if number is None:
            raise ConfigError(f"{which} names no version", remedy=f"gateway mapping versions {which}")
        return await maps.version(connector, stem, number)
    connector, stem, text = found
    maps.need(connector, stem)
    checked = await maps.check(connector, stem, text)
    if checked.fault is not None:
        raise MappingError(checked.fault.detail, place=f"{which}:{checked.fault.line}:{checked.fault.field}")
    return Version(
        connector=connector, stem=stem, number=-1, text=text, declared=checked.declared, by=actor(), at=0, cases=len(checked.results),
        faults=checked.faults,
    )  # fmt: skip


def _file(which: str) -> tuple[str, str, str] | None:
    """Connector, stem and text of a file; None where there is none of that name."""
    file = Path(which)
    if not file.is_file():
        return None
    try:
        return file.resolve().parent.name, file.stem, file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise MappingError(f"cannot be read: {type(error).__name__}", place=which) from error


async def _stored(ground: Ground, maps: Mappings, which: str, note: str) -> Version:
    version = await _version(maps, which)
    if version.number >= 0:
        return version
    if version.faults:
        raise MappingError(version.faults[0], place=which, remedy="its golden cases must hold")
    await trace(ground, "mapping_store", f"{version.connector}/{version.stem}")
    return await maps.add(version.connector, version.stem, version.text, by=actor(), note=note)
