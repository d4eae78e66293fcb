"""How the data stages grow to a thousand nodes, on paper: a model of each pass, from a run, checked on another.

    python benchmarks/scale_sim.py --run RUN [--warc-tb 100] [--nodes 1000] [--cores 32] … [--json]
    python benchmarks/scale_sim.py --check RUN OTHER [--json]
    python benchmarks/scale_sim.py --costs [--quick] [--json]

--run takes the profile of a finished run: its manifests and units' records say what each pass counts, writes and takes,
the times of their files how long each task took. From that and the figures of a cluster it calculates for each pass its
tasks, rows, bytes, memory, files, objects of Ray and hours, and what breaks at which size. Tasks are handed out by one
driver to the cores in a discrete-event simulation with slow tasks and failing nodes; the rest is closed form.

--check predicts a second run, of another size or on other cores, from the first, and exits with 1 when a figure is
further off than _scale_check.TOLERANCE. --costs measures what the driver takes for each unit, object and file here.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from _bench import print_table
from _scale_check import compare, rows_of
from _scale_limits import Size, table
from _scale_load import Corpus
from _scale_model import Row, simulate
from _scale_passes import grown
from _scale_profile import Profile, read_profile
from _scale_shape import GB, TB, Cluster, Costs, here

CANDIDATES = 0.5  # share of the documents of a large corpus that have one, assumed (docs/dedup.md)


def corpus_maker(profile: Profile, options: argparse.Namespace) -> Callable[[float], Corpus]:
    """A corpus of so many bytes of WARC files, in the ratios of the profile and those that are given."""
    ratios = {"candidates": options.candidates}
    if options.page_kb is not None:
        ratios["pages"] = 1 / (options.page_kb * 1000)

    def made(warc_bytes: float) -> Corpus:
        return Corpus(grown(profile.totals, warc_bytes, ratios), max(1, round(warc_bytes / options.unit_gb / GB)))

    return made


def show_run(profile: Profile, options: argparse.Namespace, costs: Costs) -> dict[str, Any]:
    """The run itself as the model has it, the large corpus, and what breaks."""
    cluster = Cluster().changed(vars(options))
    sizes = list(profile.amounts["warc bytes"].values())
    small = simulate(profile, Corpus(profile.totals, len(sizes), sizes=sizes), here(profile.cores), costs)
    print(f"\n{options.run}: {profile.totals['warc bytes'] / GB:.3g} GB, {len(sizes)} files, {profile.cores} cores\n")
    print_passes(small, profile)
    made = corpus_maker(profile, options)
    corpus = made(options.warc_tb * TB)
    rows = simulate(profile, corpus, cluster, costs, options.seed)
    print(f"\n{options.warc_tb:g} TB in {corpus.units:,} files, {cluster.nodes:,} nodes of {cluster.cores} cores\n")
    print_table(["quantity", "here", "there"], [
        [name, f"{profile.totals[name]:,.3g}", f"{value:,.3g}"] for name, value in corpus.totals.items()
    ])  # fmt: skip
    print()
    print_passes(rows)
    print()
    walls = {key: timed.wall for key, timed in profile.passes.items()}
    limits = table(Size(profile, corpus, cluster, costs, rows), made)
    print_table(["what", "here", "too much", "from", "knob"], limits)
    measured = [asdict(row) | {"wall": walls[f"{row.stage}/{row.name}"]} for row in small]
    return {
        "cluster": asdict(cluster), "costs": asdict(costs), "quantities": corpus.totals, "files": corpus.units,
        "passes": [asdict(row) for row in rows], "measured": measured,
        "limits": [dict(zip(("what", "figure", "most", "from", "knob"), row, strict=True)) for row in limits],
    }  # fmt: skip


def print_passes(rows: list[Row], measured: Profile | None = None) -> None:
    """A line a pass; with a profile also the seconds that were measured."""
    head = ["pass", "tasks", "counts", "how many", "read GB", "written GB", "shuffled GB", "worker MB", "driver MB",
            "files", "objects", "core hours", "hours", "bound by"]  # fmt: skip
    print_table([*head, *(["seconds", "measured s"] if measured else [])], [
        [f"{row.stage}/{row.name}", f"{row.tasks:,}", row.counts, f"{row.amount:,.3g}", row.read / GB, row.written / GB,
         row.shuffled / GB, row.worker_mb, row.driver_mb, f"{row.files:,}", f"{row.objects:,}", row.core_hours,
         row.hours, row.bound,
         *([row.hours * 3600, measured.passes[f"{row.stage}/{row.name}"].wall] if measured else [])]
        for row in rows
    ])  # fmt: skip
    hours, core_hours = sum(row.hours for row in rows), sum(row.core_hours for row in rows)
    print(f"together {hours:,.3g} hours, {core_hours:,.3g} core hours, {sum(row.files for row in rows):,} files")


def check(options: argparse.Namespace, costs: Costs) -> int:
    """Predict one run from another. 1 where a figure is too far off."""
    profile, other = (read_profile(Path(folder)) for folder in options.check)
    lines = compare(profile, other, costs)
    print_table(["kind", "of", "predicted", "measured", "error", ""], rows_of(lines))
    wrong = [line for line in lines if not line.right]
    print(f"{len(lines) - len(wrong)} of {len(lines)} figures are within their tolerance")
    if options.json:
        print(json.dumps({"lines": [asdict(line) | {"error": line.error} for line in lines], "wrong": len(wrong)}))
    return 1 if wrong else 0


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--run", type=Path, metavar="RUN", help="a finished run, from which the profile is taken")
    what.add_argument("--check", nargs=2, metavar=("RUN", "OTHER"), help="predict OTHER from RUN")
    what.add_argument("--costs", action="store_true", help="measure what the driver takes, on a Ray of two cores")
    parser.add_argument("--warc-tb", type=float, default=100.0, help="of WARC files, as they lie there (%(default)s)")
    parser.add_argument("--page-kb", type=float, help="of a page in a WARC file (default: as in the run)")
    parser.add_argument("--unit-gb", type=float, default=1.0, help="of a WARC file, each a unit (%(default)s)")
    parser.add_argument("--candidates", type=float, default=CANDIDATES, help="share with a candidate (%(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="of slow tasks and failures (%(default)s)")
    for one in (*fields(Cluster), *fields(Costs)):
        assert isinstance(one.default, int | float)
        flag, kind = f"--{one.name.replace('_', '-')}", type(one.default)
        parser.add_argument(flag, type=kind, default=None, help=f"(default: {one.default:g})")
    parser.add_argument("--json", action="store_true", help="end with one JSON object on the last line")
    parser.add_argument("--quick", action="store_true", help="with --costs: under a minute")
    return parser.parse_args(arguments)


def main() -> int:
    options = parse()
    given = {one.name: value for one in fields(Costs) if (value := getattr(options, one.name)) is not None}
    costs = Costs(**given)
    if options.costs:
        from _scale_costs import measure  # here: it needs Ray

        found = asdict(measure(options.quick))
    elif options.check:
        return check(options, costs)
    else:
        found = show_run(read_profile(options.run), options, costs)
    if options.json:
        print(json.dumps(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
