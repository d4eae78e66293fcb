"""A plan for people, and as JSON."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np

from ..core.progress import console
from ..tune.show import print_table, short
from .forecast import Plan, StagePlan
from .machines import Machines
from .prices import Prices
from .profile_file import Measured

UNITS = (("PB", 1e15), ("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("kB", 1e3))


def show(name: str, plan: Plan, machines: Machines, measured: Measured, profile: str, prices: Prices) -> None:
    """Two tables of the stages, what was assumed, and what does not fit. `profile`: where it is from."""
    console.print(f"plan of {name} on {machines.told}", markup=False, soft_wrap=True)
    console.print(f"profile: {profile} ({measured.told})", markup=False, soft_wrap=True)
    for source, one in plan.sources.items():
        console.print(f"source {source}: {size(one.total)} in {len(one.sizes):,} units ({one.known})", soft_wrap=True)
    console.print()
    heads = ("stage", "documents", "reads", "writes", "on disk", "shuffles", "objects", "tokens")
    print_table("data; on disk: of the whole run, at the stage's worst moment", heads, map(_data, plan.stages))
    rows = [*map(_costs, plan.stages)]
    rows.append(("together", "", "", "", time_of(plan.seconds), money(plan.cost), ""))
    heads = ("stage", "memory", "of", "FLOPs", "time", prices.currency, "bound by")
    print_table(
        "costs; memory: of the largest worker or rank, of what it may take; ! where it does not fit", heads, rows
    )
    for note in plan.notes:
        console.print(note, markup=False, soft_wrap=True)
    if plan.misfits:
        console.print("does not fit:", soft_wrap=True)
    for one in plan.misfits:
        console.print(f"  {one.told}", markup=False, soft_wrap=True)


def _data(one: StagePlan) -> tuple[str, ...]:
    cells = (one.read, one.written, one.disk, one.shuffled or None, one.store or None)
    return (one.stage, _count(one.documents), *map(size, cells), _count(one.tokens))


def _costs(one: StagePlan) -> tuple[str, ...]:
    mark = "!" if one.memory_mb is not None and one.room_mb is not None and one.memory_mb > one.room_mb else ""
    return (
        one.stage,
        size(one.memory_mb * 1e6) + mark if one.memory_mb is not None else "",
        size(one.room_mb * 1e6) if one.room_mb is not None else "",
        f"{one.flops:.2e}" if one.flops else "",
        time_of(one.seconds) if one.seconds is not None else "?",
        money(one.cost) if one.cost is not None else "",
        one.bound,
    )


def _count(value: float | None) -> str:
    return short(round(value)) if value is not None else ""


def size(value: float | None) -> str:
    """1,234,000 bytes as 1.23 MB."""
    if value is None:
        return ""
    for unit, least in UNITS:
        if value >= least * 0.9995:
            return f"{float(f'{value / least:.3g}'):g} {unit}"
    return f"{value:.0f} B"


def money(value: float) -> str:
    """With cents; of less than one, two digits."""
    return f"{value:,.2f}" if value >= 1 or value == 0 else f"{value:.2g}"


def time_of(seconds: float) -> str:
    """90 seconds as 1.5 min; a week as 168 h."""
    if seconds < 60:
        return f"{seconds:.3g} s"
    if seconds < 5400:
        return f"{seconds / 60:.3g} min"
    return f"{seconds / 3600:,.3g} h" if seconds < 3.6e6 else f"{seconds / 3600:,.0f} h"


def as_json(
    name: str, plan: Plan, machines: Machines, measured: Measured, profile: str, prices: Prices
) -> dict[str, Any]:
    """The same, bytes as bytes and seconds as seconds. What has no bound or is not known is null."""
    asked = {
        key: value for key, value in asdict(machines).items() if not (isinstance(value, float) and np.isinf(value))
    }
    return {
        "recipe": name,
        "profile": {"from": profile, **measured.made},
        "machines": {"disk_gb": None, **asked},
        "prices": prices.model_dump(),
        "sources": {
            source: {"bytes": one.total, "units": len(one.sizes), "known": one.known, "pages": one.pages or None}
            for source, one in plan.sources.items()
        },
        "stages": [asdict(one) for one in plan.stages],
        "together": {"seconds": plan.seconds, "cost": plan.cost, "disk": plan.disk},
        "notes": plan.notes,
        "misfits": [asdict(one) for one in plan.misfits],
        "fits": not plan.misfits,
    }
