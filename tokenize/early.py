"""The first share of the shards, with which training begins: which units it is, and how `shards` takes them over."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from math import ceil
from pathlib import Path
from typing import Any

from ..core.files import at_once, link_or_copy
from ..core.units import Unit, commit, finished


def early_units(units: Sequence[Unit], share: float) -> list[Unit]:
    """As large a share of the units, at least one: evenly apart by name, so that each source has its part."""
    named = sorted(units, key=lambda unit: unit.name)
    number = ceil(Fraction(str(share)) * len(named))
    return [named[place * len(named) // number] for place in range(number)]


def take_over(early: Path, folder: Path, units: Sequence[Unit], config: dict[str, Any]) -> None:
    """Give the files of units that were made under `config` in the folder `early` a second name in `folder`, and
    declare these units done there.
    """
    there, here = finished(early, units, config), finished(folder, units, config)

    def take(unit: Unit) -> None:
        for entry in there[unit.name].files:
            link_or_copy(early / entry.path, folder / entry.path)
        commit(folder, unit, config, there[unit.name])

    at_once(take, [unit for unit in units if unit.name in there and unit.name not in here])
