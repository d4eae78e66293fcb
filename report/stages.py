"""The stages of a run as its folder has them: what is finished, under way, or made from what has changed since."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from ..core.attempt import STARTED
from ..core.errors import Crawl2ChatError
from ..core.manifest import FILE_NAME, Manifest
from ..core.run import Run
from ..train import course
from .attempts import earlier_seconds
from .reading import read_lines
from .state import State

ORDER = (
    "crawl", "extract", "dedup", "spans", "paragraphs", "decontaminate", "tokenizer", "shards_early", "shards",
    "pretrain", "instructions", "finetune", "align", "evaluate", "samples", "tune", "forecast", "verify",
)  # fmt: skip


@dataclass(frozen=True)
class StageFact:
    """One stage. `folder` is that of the newest attempt; `word` says how it stands: done, under way, failed, stopped,
    interrupted, unfinished, to come. `stale`: inputs that have changed since; `earlier`: seconds of attempts that the
    one which wrote the manifest went on from, as far as is known."""

    name: str
    word: str
    folder: Path
    manifest: Manifest | None
    stale: tuple[str, ...] = ()
    fault: str = ""  # of a manifest that cannot be read
    earlier: float = 0.0

    @property
    def seconds(self) -> float | None:
        """Wall time of all attempts at what the manifest is of; None without one."""
        return None if self.manifest is None else self.manifest.seconds + self.earlier


def read_stages(run: Run, state: State) -> list[StageFact]:
    """All stages that have a folder or that the command in state.json brings up to date, in the order of the data."""
    manifests: dict[str, Manifest | None] = {}
    faults: dict[str, str] = {}
    for name in _names(run, state):
        try:
            manifests[name] = run.manifest(name)
        except Crawl2ChatError as error:
            manifests[name], faults[name] = None, error.message
    digests = {name: one.digest for name, one in manifests.items() if one is not None}
    return [
        StageFact(
            name,
            _word(run, name, one, state),
            newest_folder(run, name),
            one,
            tuple(key for key, mark in (one.inputs if one else {}).items() if digests.get(key, mark) != mark),
            faults.get(name, ""),
            earlier_seconds(read_lines(run.stage(name) / course.FILE_NAME), one.seconds) if one else 0.0,
        )
        for name, one in manifests.items()
    ]


def finished(stages: Iterable[StageFact]) -> dict[str, Manifest]:
    """Manifests by stage, of those alone that were made from what their inputs hold now."""
    found: dict[str, Manifest] = {}
    for one in stages:  # inputs stand before those that read them
        if one.manifest is not None and not one.stale and all(key in found for key in one.manifest.inputs):
            found[one.name] = one.manifest
    return found


def newest_folder(run: Run, name: str) -> Path:
    """Where the newest attempt at a stage writes, or wrote: beside an output while it is not whole."""
    beside = run.folder / f"{name}.next"
    return beside if (beside / STARTED).exists() else run.stage(name)


def _names(run: Run, state: State) -> list[str]:
    known = {path.parent.name.removesuffix(".next") for path in run.folder.glob(f"*/{STARTED}")}
    known |= {path.parent.name for path in run.folder.glob(f"*/{FILE_NAME}")}
    known |= set(state.stages)
    return [*(name for name in ORDER if name in known), *sorted(known.difference(ORDER))]


def _word(run: Run, name: str, manifest: Manifest | None, state: State) -> str:
    here = name == state.stage
    if here and state.state in ("failed", "stopped", "interrupted"):
        return state.state
    if name in (state.stage, state.beside) and state.state == "running":
        return "under way"
    if newest_folder(run, name) != run.stage(name) or (manifest is None and (run.stage(name) / STARTED).exists()):
        return "unfinished"
    return "to come" if manifest is None else "done"
