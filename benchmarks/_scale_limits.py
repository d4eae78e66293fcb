"""What breaks, at which size of the corpus, and what is to be turned: each limit as a figure that grows with it.

The size at which a limit is reached is found by bisection, with the same ratios and the same input files as the rest.
Limits of Ray are those of its published envelope (ray-project/ray, release/benchmarks/README.md).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from _scale_load import Corpus
from _scale_model import Row, simulate
from _scale_passes import SHUFFLE, layout
from _scale_profile import Profile
from _scale_shape import MAPS, TB, Cluster, Costs

GATE = 20_000_000  # documents of a component: dedup.gates.max_component, as the recipe's default
RUNNING, NODES = 15_000, 3_000  # tasks at a time, and nodes, that Ray is tested with
LEDGER_ROWS_S = 5e6  # rows of a ledger that the report's thread counts in a second
HEAD_MB = 32_000.0  # of the machine of the driver, assumed
SMALLEST, LARGEST = 1e9, 1e18  # bytes, between which a limit is looked for


@dataclass(frozen=True)
class Size:
    """A corpus on a cluster, simulated."""

    profile: Profile
    corpus: Corpus
    cluster: Cluster
    costs: Costs
    rows: list[Row]

    @property
    def tasks(self) -> dict[str, int]:
        return layout(self.corpus.totals, self.corpus.units, self.profile.bands, self.corpus.partitions)

    def of(self, stage: str, name: str) -> Row | None:
        return next((row for row in self.rows if (row.stage, row.name) == (stage, name)), None)


@dataclass(frozen=True)
class Limit:
    """One thing that breaks: what is counted, how much of it is too much (0: what a core has of memory), and what is to
    be turned."""

    name: str
    figure: Callable[[Size], float]
    most: float
    unit: str
    knob: str


def _component(size: Size) -> float:
    return size.profile.facts["largest component"] * size.corpus.totals["documents"] / size.profile.totals["documents"]


def _driver_hours(size: Size) -> float:
    """Of the driver alone: to hand out all tasks of all passes, and to take their reports back."""
    return sum(row.tasks for row in size.rows) * size.costs.unit_s / 3600


def _worker(stage: str, name: str) -> Callable[[Size], float]:
    return lambda size: row.worker_mb if (row := size.of(stage, name)) else 0.0


def _small_reads(size: Size) -> float:
    """Hours in which the storage opens the files of all ranges that the pass fates reads."""
    tasks = size.tasks
    return tasks["parts"] * 2 * (tasks["units"] + tasks["groups"]) / size.cluster.storage_ops_s / 3600


def _searched(size: Size) -> float:
    """Bytes that searches in mapped files touch, where each unit looks for its own rows in a table of all."""
    return sum(row.read for name in ("windows", "cut") if (row := size.of("spans", name)))


def _report(size: Size) -> float:
    """Hours in which the report's thread counts the ledgers, after each stage anew where they changed."""
    rows = size.corpus.totals["pages"] - size.corpus.totals.get("left", size.corpus.totals["documents"])
    return (rows / LEDGER_ROWS_S + size.corpus.units * size.cluster.latency_ms / 1e3) / 3600


def _planning(size: Size) -> float:
    """Hours of a command before its first task: each file's entry is read, and its size compared, twice."""
    files = sum(row.files for row in size.rows)
    return 2 * files * (size.costs.entry_s + size.cluster.latency_ms / 1e3 / 32) / 3600


LIMITS = (
    Limit("nodes of a Ray cluster", lambda size: size.cluster.nodes, NODES, "nodes",
          "fewer, larger nodes; or the corpus in parts, joined by `dedup.index`"),
    Limit("tasks that run at a time", lambda size: min(size.cluster.all_cores, size.corpus.units), RUNNING, "tasks",
          "the corpus in parts, joined by `dedup.index`"),
    Limit("hours of the driver for handing out", _driver_hours, 1.0, "hours",
          "larger input files; `sources.NAME.select.records_per_unit`, `sources.NAME.unit_bytes`"),
    Limit("pairs of unit and partition in Ray's shuffle", lambda size: float(size.tasks["units"] * size.tasks[SHUFFLE]),
          1e8, "objects", "larger input files; fewer `dedup.partitions` with more memory each"),
    Limit("largest component (if it grows as the documents)", _component, GATE, "documents",
          "`dedup.rows`, `dedup.threshold` up; then `dedup.gates.max_component`, where memory allows"),
    Limit("memory of dedup/fates", _worker("dedup", "fates"), 0.0, "MB a worker",
          "nodes of more memory a core; `dedup.threshold` up, or `dedup.verify: signature`"),
    Limit("files that the pass fates opens", _small_reads, 1.0, "hours of opening", "larger input files"),
    Limit("documents of one 64-bit id", lambda size: size.corpus.totals["documents"] ** 2 / 2**65, 0.5, "expected",
          "none"),
    Limit("shard files that a training worker maps", lambda size: float(size.corpus.units), MAPS, "files",
          "larger input files; Linux's `vm.max_map_count`"),
    Limit("bytes that spans/windows and spans/cut search", _searched, 1e15, "bytes",
          "larger input files; `spans.min_tokens` up"),
    Limit("memory of spans/places", _worker("spans", "places"), 0.0, "MB a worker",
          "`spans.min_tokens` up (`spans.partitions` is at its most, 4,096)"),
    Limit("memory of spans/repeated", _worker("spans", "repeated"), 0.0, "MB a worker",
          "`spans.min_tokens` up (`spans.partitions` is at its most, 4,096)"),
    Limit("memory of the driver", lambda size: max((row.driver_mb for row in size.rows), default=0.0), HEAD_MB, "MB",
          "a larger head; larger input files"),
    Limit("the report counts the ledgers", _report, 1.0, "hours", "none"),
    Limit("a command before its first task", _planning, 0.5, "hours", "larger input files"),
)  # fmt: skip


def table(size: Size, made: Callable[[float], Corpus]) -> list[list[str]]:
    """Rows: what, its figure at this size and what is too much, from how many TB of WARC on it is, the knob.

    made(bytes) is a corpus of so many bytes of WARC files. Sorted by the size at which each limit is reached.
    """
    found = []
    for limit in LIMITS:
        most, value = limit.most or size.cluster.core_mb, limit.figure(size)
        if value:
            found.append((_reached(limit, most, size, made), limit, value, most))
    found.sort(key=lambda one: one[0])
    return [
        [limit.name, f"{value:,.3g} {limit.unit}", f"{most:,.3g}", _told(at), limit.knob]
        for at, limit, value, most in found
    ]


def _reached(limit: Limit, most: float, size: Size, made: Callable[[float], Corpus]) -> float:
    """Bytes of WARC files from which the figure is above the limit; LARGEST where it never is."""

    def above(at: float) -> bool:
        corpus = made(at)
        rows = simulate(size.profile, corpus, size.cluster, size.costs, queue=False)
        return limit.figure(replace(size, corpus=corpus, rows=rows)) > most

    low, high = SMALLEST, LARGEST
    if above(low):
        return low
    if not above(high):
        return high
    while high / low > 1.05:
        middle = (low * high) ** 0.5
        low, high = (low, middle) if above(middle) else (middle, high)
    return high


def _told(at: float) -> str:
    if at <= SMALLEST:
        return "any"
    return "-" if at >= LARGEST else f"{at / TB:,.2g} TB"
