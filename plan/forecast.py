"""The plan: every stage of a recipe on these machines, with a profile, and what does not fit.

Data stages are the sums of their passes (pass_model.py), and what the profile's run took outside of them. Nothing that
a stage writes is removed before the run ends, so what lies in the storage only grows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from ..core.recipe import Recipe
from ..pipelines.stages import run_stages
from .cluster import Costs
from .corpus import corpus_of
from .loads import Corpus
from .machines import Machines
from .misfits import Misfit, misfits
from .notes import of_training, unlike
from .pass_model import Row, simulate
from .peaks import calculated_mb, room_mb, worker_mb
from .prices import Prices
from .profile_file import Measured
from .run_profile import Profile
from .source_bytes import SourceBytes, bytes_of_sources
from .training import Trained, model_of, trained
from .training_profile import TRAININGS

COMES_IN = {"crawl": "pages", "extract": "pages", "dedup": "documents", "spans": "kept", "paragraphs": "kept",
            "decontaminate": "kept", "tokenizer": "left", "shards": "left"}  # fmt: skip
HOURS_A_MONTH = 730.0


@dataclass(frozen=True)
class StagePlan:
    """A stage. None stands for what is not known, or means nothing there. Bytes of all its tasks together; `disk`:
    bytes in the storage at its worst moment; `store`: of objects; `memory_mb` of `room_mb`: of a worker or a rank."""

    stage: str
    seconds: float | None = None
    documents: float | None = None
    read: float | None = None
    written: float | None = None
    disk: float = 0.0
    shuffled: float = 0.0
    store: float = 0.0
    tokens: float | None = None
    memory_mb: float | None = None
    room_mb: float | None = None
    flops: float | None = None
    cost: float | None = None
    bound: str = ""


@dataclass(frozen=True)
class Plan:
    """All of it. `notes` say what was assumed."""

    stages: list[StagePlan]
    sources: dict[str, SourceBytes]
    misfits: list[Misfit]
    notes: list[str]
    seconds: float
    cost: float
    disk: float


def forecast(
    recipe: Recipe, measured: Measured, machines: Machines, prices: Prices, given: Mapping[str, float]
) -> Plan:
    """Every stage of `crawl2chat run`, in its order."""
    names = [stage.name for stage in run_stages(recipe)]
    profile = measured.data
    notes: list[str] = []
    sources: dict[str, SourceBytes] = {}
    rows: list[Row] = []
    before: dict[str, float] = {}
    corpus: Corpus | None = None
    if profile is not None and "extract" in names:
        sources = bytes_of_sources(recipe, profile, given)
        corpus = corpus_of(recipe, profile, sources)
        rows = simulate(profile, corpus, machines.cluster, Costs())
        before = calculated_mb(profile)
        notes += unlike(recipe, profile)
    trainings = _trainings(recipe, names, measured, machines, corpus)
    stages: list[StagePlan] = []
    lies = 0.0
    for name in names:
        if name == "crawl":
            one = _crawl(sources, measured, machines, prices)
        elif name in trainings:
            one = _training(name, trainings[name], prices, machines)
        elif mine := [row for row in rows if row.stage == name]:
            assert profile is not None and corpus is not None
            one = _data(name, mine, profile, before.get(name, 0.0), corpus, machines, prices)
        else:
            seconds = 0.0 if name == "pretrain" else measured.others.get(name)
            one = StagePlan(name, seconds, written=0.0)
        lies += one.written or 0.0
        spare = trainings[name].checkpoint_bytes if name in trainings else 0.0  # one is written before one is removed
        stages.append(replace(one, disk=lies + spare))
    notes += of_training(trainings, corpus) + _not_known(stages)
    hours = sum(one.seconds or 0.0 for one in stages) / 3600
    kept = lies / 1e9 * prices.storage_gb_month * hours / HOURS_A_MONTH
    wrong = misfits(stages, rows, trainings, machines, recipe)
    cost = sum(one.cost or 0.0 for one in stages) + kept
    return Plan(stages, sources, wrong, notes, hours * 3600, cost, max((one.disk for one in stages), default=0.0))


def _crawl(sources: Mapping[str, SourceBytes], measured: Measured, machines: Machines, prices: Prices) -> StagePlan:
    """Pages are fetched at the pace that the sources' hosts allow, which more machines do not change."""
    pages = sum(one.pages for one in sources.values())
    if not pages:
        return StagePlan("crawl", 0.0, written=0.0)
    size = sum(one.total for one in sources.values() if one.pages)
    seconds = measured.crawl.at(pages) if measured.crawl is not None else None
    cost = seconds / 3600 * machines.all_cpus * prices.cpu_hour if seconds is not None else None
    return StagePlan("crawl", seconds, float(pages), read=size, written=size, cost=cost, bound="hosts")


def _data(
    name: str,
    rows: Sequence[Row],
    profile: Profile,
    before: float,
    corpus: Corpus,
    machines: Machines,
    prices: Prices,
) -> StagePlan:
    """`before`: MB that the stage's largest worker had in the profile's run, by calculation."""
    seconds = sum(row.hours for row in rows) * 3600 + profile.rest.get(name, 0.0) / machines.speed
    peaks = [(worker_mb(row, profile, before), room_mb(row, machines)) for row in rows]
    memory, room = max(peaks, key=lambda one: one[0] / one[1])
    shuffled = sum(row.shuffled for row in rows)
    longest = max(rows, key=lambda row: row.hours)
    return StagePlan(
        stage=name,
        seconds=seconds,
        documents=corpus.totals.get(COMES_IN.get(name, "")),
        read=sum(row.read for row in rows),
        written=sum(row.written for row in rows),
        shuffled=shuffled,
        store=max((row.shuffled for row in rows), default=0.0),
        tokens=corpus.totals.get("tokens") if name == "shards" else None,
        memory_mb=memory,
        room_mb=room,
        cost=seconds / 3600 * machines.all_cpus * prices.cpu_hour,
        bound=longest.bound,
    )


def _training(name: str, one: Trained, prices: Prices, machines: Machines) -> StagePlan:
    price = one.gpus * prices.gpu(machines.gpu) if one.gpus else one.cpus * prices.cpu_hour
    return StagePlan(
        stage=name,
        seconds=one.seconds,
        written=one.checkpoint_bytes * one.kept,
        tokens=one.tokens,
        memory_mb=one.memory_mb,
        room_mb=one.room_mb,
        flops=one.flops,
        cost=one.seconds / 3600 * price if one.seconds is not None else None,
        bound="GPUs" if one.gpus else "ranks",
    )


def _trainings(
    recipe: Recipe, names: Sequence[str], measured: Measured, machines: Machines, corpus: Corpus | None
) -> dict[str, Trained]:
    todo = [name for name in TRAININGS if name in names and not (name == "pretrain" and recipe.base is not None)]
    if not todo:
        return {}
    share = recipe.shards.validation_share
    judged = corpus.totals.get("tokens", 0.0) * share / (1 - share) if corpus is not None else 0.0
    config = model_of(recipe)
    return {name: trained(recipe, name, config, measured.trainings, machines, judged) for name in todo}


def _not_known(stages: Sequence[StagePlan]) -> list[str]:
    missing = [one.stage for one in stages if one.seconds is None]
    if not missing:
        return []
    return [f"{', '.join(missing)}: not in the profile; their time is in no sum (crawl2chat plan RECIPE --measure)"]
