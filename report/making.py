"""How a run was made: its recipe, the versions, how long each stage took, and what that cost.

Versions and processors are those that the manifests name, of the process that ran the stage: whoever writes the page
may have others. Manifests of earlier versions name none.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from ..core.credentials import masked, values_without_credentials
from ..core.manifest import Manifest
from ..core.run import Run
from .stages import StageFact
from .training import STAGES

KINDS = ("CPU", "GPU")


@dataclass(frozen=True)
class Took:
    """A finished stage: wall time of its attempts as far as known (report/attempts.py), what the one that finished it
    held and what all cost with that, files, which version made it."""

    stage: str
    seconds: float
    processors: Mapping[str, float]  # CPU, GPU: number
    cost: float | None
    files: int
    bytes: int
    version: str
    fingerprint: str


@dataclass(frozen=True)
class Making:
    """Credentials are blanked in both forms of the recipe. `processor_seconds`: time × processors, by kind, of all
    stages that say what they held and of training alone; `cost`: by the recipe's prices, None where it has none;
    `versions`: name, version, with the stages where they differ."""

    settings: str  # the recipe without its defaults, as YAML
    recipe: str  # with all defaults
    took: Sequence[Took]
    seconds: float
    processor_seconds: Mapping[str, float]
    training_seconds: Mapping[str, float]
    cost: float | None
    currency: str
    versions: Sequence[tuple[str, str]]

    @property
    def bytes(self) -> int:
        return sum(one.bytes for one in self.took)

    @property
    def unknown(self) -> list[str]:
        """Stages whose manifests do not say what they held."""
        return [one.stage for one in self.took if not one.processors]


def read_making(run: Run, stages: Sequence[StageFact]) -> Making:
    manifests = {one.name: one.manifest for one in stages if one.manifest is not None}
    took = [
        _took(one.name, one.manifest, one.seconds, run.recipe.resources.prices)
        for one in stages
        if one.manifest is not None and one.seconds is not None
    ]
    costs = [one.cost for one in took if one.cost is not None]
    return Making(
        settings=_yaml(_settings(run)),
        recipe=_yaml(run.recipe.model_dump(mode="json")),
        took=took,
        seconds=sum(one.seconds for one in took),
        processor_seconds=_processor_seconds(took),
        training_seconds=_processor_seconds([one for one in took if one.stage in STAGES]),
        cost=sum(costs) if costs else None,
        currency=run.recipe.resources.currency,
        versions=_versions(manifests),
    )


def _took(name: str, manifest: Manifest, seconds: float, prices: Mapping[str, float]) -> Took:
    held: Mapping[str, float] = manifest.made_with.get("processors", {})
    return Took(
        name,
        seconds,
        held,
        sum(seconds / 3600 * held.get(kind, 0) * price for kind, price in prices.items()) if held and prices else None,
        len(manifest.files),
        sum(entry.bytes for entry in manifest.files),
        manifest.made_with.get("versions", {}).get("crawl2chat", manifest.code_version),
        manifest.fingerprint,
    )


def _processor_seconds(took: Sequence[Took]) -> dict[str, float]:
    sums = {kind: sum(one.seconds * one.processors.get(kind, 0) for one in took) for kind in KINDS}
    return {kind: number for kind, number in sums.items() if number}


def _versions(manifests: Mapping[str, Manifest]) -> list[tuple[str, str]]:
    """What all stages were made with; where they differ, which stages with which."""
    found: dict[str, dict[str, list[str]]] = {}  # name: version: stages
    for stage, one in manifests.items():
        said = {"crawl2chat": one.code_version, **one.made_with.get("versions", {})}
        if system := one.made_with.get("system"):
            said["system"] = system
        for name, version in said.items():
            found.setdefault(name, {}).setdefault(version, []).append(stage)
    return [
        (name, next(iter(by)) if len(by) == 1 else "; ".join(f"{v} ({', '.join(some)})" for v, some in by.items()))
        for name, by in found.items()
    ]


def _yaml(recipe: dict[str, Any]) -> str:
    """Sections of plain values, and lists of them, a line each."""
    shown = values_without_credentials(recipe, masked)
    return yaml.safe_dump(shown, sort_keys=False, width=100, default_flow_style=None)


def _settings(run: Run) -> dict[str, Any]:
    """What the recipe sets to other than defaults. A source's kind has one, and says what the source is."""
    found = run.recipe.model_dump(mode="json", exclude_defaults=True)
    sources = zip(run.recipe.sources, found["sources"], strict=True)
    return found | {"sources": [{"name": one.name, "kind": one.kind} | its for one, its in sources]}
