"""All that the page says of a run, read from its folder: manifests, ledgers, metrics; never the documents as a whole.

What a run has not is None or empty. A file that cannot be read costs its section, not the page.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Protocol, TypeVar

from ..core.credentials import masked
from ..core.files import digest
from ..core.log import log
from ..core.manifest import Manifest
from ..core.run import Run
from .amounts import Amounts
from .duplicates import Duplicates, read_duplicates
from .flow import Flow, read_flow
from .making import Making, read_making
from .memo import remembered
from .reading import finite, read_json
from .scores import Score, read_scores
from .stages import StageFact, finished, read_stages
from .state import State, read_state
from .tokens import Tokens, read_tokens
from .training import STAGES, Training, read_training
from .veil import veil

Found = TypeVar("Found")
_DATA = ("crawl", "extract", "dedup", "spans", "paragraphs", "decontaminate", "tokenizer", "shards")


class Corpus(Protocol):
    """What only pipelines can find out of a run's documents."""

    def amounts(self, run: Run) -> Amounts: ...

    def origin_texts(self, run: Run, unit: str, wanted: set[str]) -> Mapping[str, Mapping[str, str]]:
        """{doc_id: {title, text}} of documents that extract dropped, as far as they can be read again, masked."""
        ...

    def masked(self, run: Run, texts: Sequence[str], kinds: Collection[str] = ...) -> list[str]:
        """Without the personal data that the recipe masks: all kinds of it, or of those that it masks these."""
        ...


@dataclass(frozen=True)
class Facts:
    """One run. `notes` are for its reader: what could not be read, what no longer belongs together."""

    name: str
    folder: Path
    state: State
    stages: list[StageFact]
    crawl: Mapping[str, float]
    flow: Flow | None
    amounts: Amounts | None
    duplicates: Duplicates | None
    tokens: Tokens | None
    trainings: list[Training]
    scores: list[Score]
    samples: list[Mapping[str, Any]]  # of samples/samples.json
    making: Making | None
    sweep: bool  # whether the report of a sweep stands beside
    notes: list[str] = field(default_factory=list)


def read_facts(run: Run, corpus: Corpus) -> Facts:
    """Read a run's folder as it is now; the run may be under way, in this process or another."""
    state = read_state(run.folder)
    state = replace(state, error=masked(state.error), fix=masked(state.fix))
    stages = read_stages(run, state)
    done = finished(stages)
    notes = [f"{one.name}: {one.fault}" for one in stages if one.fault]
    notes += [
        f"{one.name} was made from an output of {', '.join(one.stale)} that has changed since"
        for one in stages
        if one.stale
    ]

    def of(name: str, read: Callable[[], Found]) -> Found | None:
        """A fault becomes a note."""
        try:
            return read()
        except Exception as failure:  # a broken file, whatever it breaks in
            log.debug("", exc_info=failure)
            notes.append(f"{name}: {type(failure).__name__}: {failure}")
            return None

    def of_data(name: str, read: Callable[[], Found]) -> Found | None:
        """Read once for all pages of a process."""
        key = digest({stage: one.digest for stage, one in done.items() if stage in _DATA})
        return of(name, lambda: remembered(f"{run.folder}/{name}", key, read))

    trainings = [
        of(f"the course of {one.name}", partial(read_training, one, _steps(run, one.name), _method(run, one)))
        for one in stages
        if one.name in STAGES
    ]

    amounts = of_data("amounts of text", lambda: corpus.amounts(run)) if "extract" in done else None
    return Facts(
        name=run.recipe.name,
        folder=run.folder,
        state=state,
        stages=stages,
        crawl=done["crawl"].counters if "crawl" in done else {},
        flow=of_data("documents", lambda: _flow(run, done, amounts, corpus)),
        amounts=amounts,
        duplicates=of_data("duplicates", lambda: _duplicates(run, done)),
        tokens=of_data("tokenizer", lambda: _tokens(run, done)),
        trainings=[one for one in trainings if one is not None],
        scores=of("evaluation", lambda: read_scores(run.stage("evaluate"))) or [],
        samples=of("samples", lambda: _samples(run)) or [],
        making=of("how it was made", lambda: read_making(run, stages)),
        sweep=(run.folder / "report" / "index.html").is_file(),
        notes=[masked(one) for one in notes],
    )


def as_json(facts: Facts) -> dict[str, Any]:
    """The facts as plain objects; numbers that are not finite are null."""
    plain = asdict(facts) | {"stages": [_plain_stage(one) for one in facts.stages]}
    plain["amounts"] = None if facts.amounts is None else _plain_amounts(facts.amounts)
    return json.loads(json.dumps(plain, default=str), parse_constant=lambda word: None)


def _flow(run: Run, done: Mapping[str, Manifest], amounts: Amounts | None, corpus: Corpus) -> Flow | None:
    flow = read_flow(run, done, amounts, partial(corpus.origin_texts, run))
    if flow is not None:
        veil(flow, partial(corpus.masked, run))
    return flow


def _duplicates(run: Run, done: Mapping[str, Manifest]) -> Duplicates | None:
    return read_duplicates(run.stage("dedup"), done["dedup"]) if "dedup" in done else None


def _tokens(run: Run, done: Mapping[str, Manifest]) -> Tokens | None:
    if "tokenizer" not in done:
        return None
    return read_tokens(run.stage("tokenizer"), done["tokenizer"], run.stage("shards"), done.get("shards"))


def _samples(run: Run) -> list[Mapping[str, Any]]:
    return [one for row in read_json(run.stage("samples") / "samples.json", list) if (one := _sample(row))]


def _sample(row: Any) -> dict[str, Any] | None:
    """What a model wrote: kind, prompt, text, tokens."""
    if not isinstance(row, dict) or "text" not in row:
        return None
    return {name: str(row.get(name, "")) for name in ("kind", "prompt", "text")} | {"tokens": finite(row.get("tokens"))}


def _steps(run: Run, stage: str) -> int:
    section = getattr(run.recipe, {"pretrain": "train"}.get(stage, stage), None)
    return int(getattr(section, "steps", 0) or 0)


def _method(run: Run, stage: StageFact) -> str:
    """What of several a stage does, as its manifest or else the recipe says; only `align` has a choice."""
    known = stage.manifest.facts.get("method") if stage.manifest is not None else None
    return str(known or (run.recipe.align.method if stage.name == "align" and run.recipe.align else ""))


def _plain_stage(one: StageFact) -> dict[str, Any]:
    manifest = one.manifest
    return {
        "name": one.name,
        "word": one.word,
        "stale": list(one.stale),
        "seconds": one.seconds,
        "counters": manifest.counters if manifest else {},
    }


def _plain_amounts(amounts: Amounts) -> dict[str, Any]:
    rows = [
        {"source": source, "lang": lang, "steps": {step: asdict(one) for step, one in steps.items()}}
        for (source, lang), steps in sorted(amounts.left.items())
    ]
    return {"rows": rows, "mixture": amounts.mixture, "share": amounts.share}
