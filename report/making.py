"""How a run was made: its recipe, the versions, how long each stage took, and what that cost."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import yaml

from .. import __version__
from ..core.credentials import values_without_credentials
from ..core.run import Run
from .stages import StageFact
from .training import STAGES

LIBRARIES = ("ray", "torch", "pyarrow", "numpy", "tokenizers", "datatrove", "fasttext-community", "resiliparse")


@dataclass(frozen=True)
class Took:
    """A finished stage: wall time, files, and which version made it."""

    stage: str
    seconds: float
    files: int
    bytes: int
    version: str
    fingerprint: str


@dataclass(frozen=True)
class Making:
    """Credentials are blanked in both forms of the recipe. `processor_seconds`: of training, time × workers × what each holds; `processors` says of what kind."""

    settings: str  # the recipe without its defaults, as YAML
    recipe: str  # with all defaults
    took: Sequence[Took]
    seconds: float
    processor_seconds: float
    processors: str
    versions: Sequence[tuple[str, str]]

    @property
    def bytes(self) -> int:
        return sum(one.bytes for one in self.took)


def read_making(run: Run, stages: Sequence[StageFact]) -> Making:
    took = [
        Took(
            one.name,
            one.manifest.seconds,
            len(one.manifest.files),
            sum(entry.bytes for entry in one.manifest.files),
            one.manifest.code_version,
            one.manifest.fingerprint,
        )
        for one in stages
        if one.manifest is not None
    ]
    resources = run.recipe.resources
    each = resources.gpus_per_worker or resources.cpus_per_worker
    training = sum(one.seconds for one in took if one.stage in STAGES)
    return Making(
        settings=_yaml(_settings(run)),
        recipe=_yaml(run.recipe.model_dump(mode="json")),
        took=took,
        seconds=sum(one.seconds for one in took),
        processor_seconds=training * resources.train_workers * each,
        processors="GPU" if resources.gpus_per_worker else "CPU",
        versions=[
            ("crawl2chat", __version__),
            ("Python", f"{platform.python_version()} on {platform.system()} {platform.machine()}"),
            *((name, found) for name in LIBRARIES if (found := _version(name))),
        ],
    )


def _yaml(recipe: dict[str, Any]) -> str:
    return yaml.safe_dump(values_without_credentials(recipe), sort_keys=False, width=100)


def _settings(run: Run) -> dict[str, Any]:
    """What the recipe sets to other than defaults. A source's kind has one, and says what the source is."""
    found = run.recipe.model_dump(mode="json", exclude_defaults=True)
    sources = zip(run.recipe.sources, found["sources"], strict=True)
    return found | {"sources": [{"name": one.name, "kind": one.kind} | its for one, its in sources]}


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""
