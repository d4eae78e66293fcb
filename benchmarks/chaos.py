"""A run on a Ray of three raylets of this machine, one of whose processes is killed every few seconds: does it make the
same as the run that nobody disturbed?

    python benchmarks/chaos.py --kills 25 --every 20 --json

The victims: a task's worker process, an actor, a raylet with its object store, the job's driver, the head with all that
runs on it, whose cluster is then started anew. Each kind has its turn in every five kills, in an order drawn by chance;
one that has no victim then, as tasks' workers during training, keeps its turn, and another drawn by chance stands in.
The run is one `crawl2chat submit --retries N`, which submits it again as often as it must. When it is through before
the last kill, another run of the recipe begins.

Figures: kills, by kind; times it was submitted; documents lost, and documents that stand in the output twice; fates,
token shards and training steps that are not those of the undisturbed run; seconds from a kill to the next finished
piece of work (a unit, a step, a stage) by kind: median and maximum.
"""

from __future__ import annotations

import argparse
import random
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from _bench import finish, print_table
from _chaos_cluster import HEAD, ChaosCluster, cluster, environment
from _chaos_compare import compare
from _chaos_victims import KINDS, kill_one, kinds_left

NODES = 2
REST_S = 3.0  # a node that was killed comes back after it
LOOK_S = 0.25
RECOVER_S = 600.0  # without any work done for so long, the run is taken to have stopped


@dataclass
class Kill:
    """One kill: when, by the monotonic clock; whom; what the run was doing; seconds until work went on."""

    at: float
    kind: str
    victim: str
    stage: str
    recovered: float | None = None


@dataclass
class Chaos:
    """What happens to one run while it runs."""

    ray: ChaosCluster
    every: float
    dice: random.Random
    kills: list[Kill] = field(default_factory=list)
    left: list[str] = field(default_factory=list)  # kinds whose turn it still is in this round of all
    due: dict[str, float] = field(default_factory=dict)  # node -> when it is started again

    def watch(self, job: subprocess.Popen[bytes], run: Path, most: int) -> None:
        """Kill and revive until `most` kills are done, and the job's end. Raises TimeoutError when nothing goes on."""
        done, moved = _work_done(run), time.monotonic()
        next_kill = moved + self.every
        while job.poll() is None:
            time.sleep(LOOK_S)
            now = time.monotonic()
            self._revive(now)
            before, done = done, _work_done(run)
            if any(one > other for one, other in zip(done, before, strict=True)):  # what a restart takes back is none
                moved = now
                for kill in self.kills:
                    kill.recovered = now - kill.at if kill.recovered is None else kill.recovered
            if now - moved > RECOVER_S:
                raise TimeoutError(f"no work was done in {run} for {RECOVER_S:g} s")
            if now >= next_kill and len(self.kills) < most and not self.due:
                self._kill(now, run)
                next_kill = now + self.every

    def _kill(self, now: float, run: Path) -> None:
        kind, victim, node = kill_one(self.ray, kinds_left(self.left, self.dice), self.dice)
        self.left = [one for one in self.left or KINDS if one != kind]
        self.kills.append(Kill(now, kind, victim, _stage(run)))
        print(f"kill {len(self.kills)}: {kind} {victim} during {self.kills[-1].stage}", flush=True)
        if node:
            self.due[node] = now + REST_S

    def _revive(self, now: float) -> None:
        """Start what was killed; nodes end by themselves when their head is another one."""
        for name in self.ray.agents:
            if not self.ray.alive(name):
                self.due.setdefault(name, now)
        left = any(self.ray.alive(name) for name in self.ray.nodes)  # `ray start` takes them for the old head's cluster
        for name in [HEAD, *self.ray.nodes]:
            if name in self.due and now >= self.due[name] and (not left if name == HEAD else HEAD not in self.due):
                self.ray.kill(name)
                self.ray.start(name)
                del self.due[name]


def _work_done(run: Path) -> tuple[int, int]:
    """Grows with every finished unit, stage and logged step of a run; shrinks by steps that a restart drops."""
    files = sum(
        1 for path in run.rglob("*.json") if "units" in path.parts or path.name in ("manifest.json", "done.json")
    )
    return files, sum(path.stat().st_size for path in run.glob("*/metrics.jsonl"))


def _stage(run: Path) -> str:
    """The stage that is at work: the newest that has begun and has no manifest."""
    begun = [path for path in run.glob("*/started.json") if not path.with_name("manifest.json").exists()]
    return max(begun, key=lambda path: path.stat().st_mtime).parent.name if begun else "nothing yet"


def _submit(
    ray: ChaosCluster, recipe: str, folder: Path, name: str, sets: list[str], retries: int
) -> subprocess.Popen[bytes]:
    """The one command that a user gives."""
    words = ["submit", recipe, "--address", ray.address, "--retries", str(retries)]
    for one in (f"storage={folder}", f"name={name}", *sets):
        words += ["--set", one]
    with (folder / f"{name}.txt").open("wb") as output:
        return subprocess.Popen(
            [sys.executable, "-m", "crawl2chat", *words], env=environment(), stdout=output, stderr=subprocess.STDOUT
        )


def main() -> int:
    options = _options()
    with tempfile.TemporaryDirectory(prefix="chaos-", dir=options.folder) as temporary:
        folder = Path(temporary)
        with cluster(folder / "ray", NODES) as ray:
            undisturbed = options.against or _undisturbed(ray, options, folder)
            chaos = Chaos(ray, options.every, random.Random(options.seed))
            rounds, began = [], time.monotonic()
            while len(chaos.kills) < options.kills:
                name = f"chaos-{len(rounds) + 1}"
                job = _submit(ray, options.recipe, folder, name, options.set, retries=4 * options.kills)
                try:
                    chaos.watch(job, folder / name, options.kills)
                finally:
                    job.kill()
                output = (folder / f"{name}.txt").read_text()
                if job.wait():
                    sys.exit(f"{name} ended with {job.returncode}:\n{output[-4000:]}")
                rounds.append(compare(folder / name, undisturbed) | {"submitted": output.count("\nsubmitted ") + 1})
        _report(chaos, rounds, time.monotonic() - began, options.json)
    return 0


def _undisturbed(ray: ChaosCluster, options: argparse.Namespace, folder: Path) -> Path:
    began = time.monotonic()
    if code := _submit(ray, options.recipe, folder, "undisturbed", options.set, retries=0).wait():
        sys.exit(f"undisturbed: exit code {code}\n{(folder / 'undisturbed.txt').read_text()[-4000:]}")
    print(f"undisturbed: {time.monotonic() - began:.0f} s", flush=True)
    return folder / "undisturbed"


def _report(chaos: Chaos, rounds: list[dict[str, Any]], seconds: float, as_json: bool) -> None:
    rows = []
    figures: dict[str, float | None] = {"kills": len(chaos.kills), "rounds": len(rounds), "seconds": seconds}
    for kind in KINDS:
        of_kind = [kill for kill in chaos.kills if kill.kind == kind]
        times = [kill.recovered for kill in of_kind if kill.recovered is not None]
        rows.append((kind, len(of_kind), median(times) if times else None, max(times, default=None)))
        figures |= {f"kills_{kind}": len(of_kind), f"seconds_{kind}": rows[-1][2], f"most_seconds_{kind}": rows[-1][3]}
    print_table(("killed", "times", "seconds to recover", "at most"), rows)
    for name in ("submitted", "documents", "documents_lost", "documents_twice", "fates_changed", "shards_changed"):
        figures[name] = sum(one[name] for one in rounds)
    for name in ("steps", "steps_changed"):
        figures[name] = sum(one[name] for one in rounds)
    for stage in dict.fromkeys(kill.stage for kill in chaos.kills):
        figures[f"kills_in_{stage.replace(' ', '_')}"] = sum(kill.stage == stage for kill in chaos.kills)
    print_table(("figure", "value"), list(figures.items()))
    finish(figures, as_json)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipe", default="tiny", help="a YAML file, or the name of a shipped recipe (%(default)s)")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="override a value of it")
    parser.add_argument("--kills", type=int, default=25, help="how many (%(default)s)")
    parser.add_argument("--every", type=float, default=20.0, metavar="SECONDS", help="between two (%(default)s)")
    parser.add_argument("--seed", type=int, default=8, help="of the draw of victims (%(default)s)")
    parser.add_argument("--against", type=Path, metavar="RUN", help="an undisturbed run of it that is there already")
    parser.add_argument("--folder", type=Path, metavar="DIR", help="where runs and Ray's files stand meanwhile; short")
    parser.add_argument("--json", action="store_true", help="end with one JSON object of figures on the last line")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
