"""A finished sweep as files, written through the classes that the stages use: losses of a known law with noise."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from crawl2chat import __version__
from crawl2chat.core.files import write_json
from crawl2chat.core.manifest import Manifest, file_entry, write_manifest
from crawl2chat.core.recipe import load_recipe
from crawl2chat.core.run import Run
from crawl2chat.core.stage import fingerprint
from crawl2chat.tune.laws import LossLaw
from crawl2chat.tune.loss_fit import LossFit, fit_loss
from crawl2chat.tune.results import AshaSaving, Busy, Result, Sweep, write_results
from crawl2chat.tune.table import load_table
from crawl2chat.tune.tune_stage import TUNE

TRUTH = LossLaw(E=1.6, A=60, B=120, alpha=0.35, beta=0.35, source="truth")
ROWS, LADDER, TARGET = ["50k", "100k", "250k"], ["50k", "100k", "250k", "500k"], "1m"
RATES = [2**-9 * 2**step for step in range(8)]
LENGTHS = [500_000, 1_000_000, 2_000_000, 4_000_000]
VOCABULARY = 1024
BATCH_TOKENS = 1024


class SweepFiles:
    """Writes RUN; each of ladder, transfer, asha, forecast, verification may be left out."""

    def __init__(self, folder: Path, name: str = "plays") -> None:
        self.generator = np.random.default_rng(3)
        self.results: list[Result] = []
        self.curves: dict[str, list[tuple[int, float]]] = {}
        self.sweep = Sweep(grid_factor=2.0)
        self.configs = {row: load_table()[row].config(VOCABULARY) for row in [*LADDER, TARGET]}
        self.folder = folder / name
        self.settings: dict[str, Any] = {"rows": ROWS, "space": {"learning_rate": RATES}}

    def write(
        self,
        ladder: bool = True,
        transfer: bool = True,
        asha: bool = True,
        forecast: bool = True,
        verification: bool = True,
        equal_compute: bool = False,
    ) -> Path:
        if transfer:
            self.settings["transfer"] = {"base": ROWS[0], "compare": True}
            self.sweep.drift = {"transfer": 0.4}
        self.sweep.drift["standard"] = 2.6
        for kind in (True, False) if transfer else (False,):
            self._search(kind)
        if asha:
            self._asha()
        if ladder:
            self.settings["ladder"] = {"rows": LADDER, "tokens": LENGTHS}
            self._ladder(equal_compute)
        if forecast:
            self.settings["target"] = {"row": TARGET, "tokens": 10_000_000}
        self._recipe()
        if forecast:
            self._forecast(verification)
        return self.folder

    def result(self, row: str, tokens: int, loss: float | None, **more: Any) -> Result:
        config = self.configs[row]
        bits = None if loss is None else loss / 1.9
        name = f"{more.get('phase', 'search')}-{row}-{len(self.results)}"
        values = {"name": name, "state": "diverged" if loss is None else "finished", "learning_rate": 0.01} | more
        one = Result.model_validate(
            values
            | {"row": row, "parameters": config.parameters(), "flops": config.flops_per_token() * tokens}
            | {"steps": tokens // BATCH_TOKENS, "tokens": tokens, "seconds": tokens / 50_000}
            | {"validation_loss": loss, "bits_per_byte": bits, "batch_tokens": BATCH_TOKENS, "weight_decay": 0.1}
        )
        self.results.append(one)
        return one

    def loss(self, row: str, tokens: float) -> float:
        return float(TRUTH.loss(self.configs[row].parameters(), tokens) * np.exp(self.generator.normal(0, 0.002)))

    def curve(self, one: Result, excess: float = 0.0) -> None:
        tokens = np.linspace(20_000, one.tokens, 20).astype(int)
        high = [self.loss(one.row, t) * (1 + 0.1 * (1 - t / one.tokens)) + excess for t in tokens]
        self.curves[f"{one.phase}/{one.name}"] = list(zip(tokens.tolist(), high, strict=True))

    def _search(self, transfer: bool) -> None:
        """The best rate stays under transfer (2^-6), and halves with each larger row without."""
        for at, row in enumerate(ROWS):
            best = 2**-6 if transfer else 2 ** (-4.4 - at * 1.3)
            for rate in RATES:
                far = float(np.log(rate / best))
                excess = 0.035 * far**2 * (1.6 if far > 0 else 1)
                wild = rate == RATES[-1] and at == 2 and not transfer
                loss = None if wild else self.loss(row, 500_000) + excess
                values = {"learning_rate": rate}
                self.curve(self.result(row, 500_000, loss, transfer=transfer, **values, values=values), excess)

    def _asha(self) -> None:
        for at, rate in enumerate(RATES):
            loss = 4.4 + 0.05 * abs(at - 3) ** 1.5
            self.result("50k", 400_000, loss, phase="grid", learning_rate=rate)
            ends = at in (2, 3)
            self.result(
                "50k", 400_000 if ends else 100_000, loss if ends else loss + 0.4,
                phase="asha", learning_rate=rate, state="finished" if ends else "stopped",
            )  # fmt: skip
        self.sweep.asha = AshaSaving(
            row="50k", trials=8, grid_steps=3200, asha_steps=960, grid_loss=4.4, asha_loss=4.411
        )
        self.settings["asha_check"] = {"row": "50k", "space": {"learning_rate": RATES}}

    def _ladder(self, equal_compute: bool) -> None:
        for row in LADDER:
            scale = 1.0
            if equal_compute:
                scale = self.configs["50k"].parameters() / self.configs[row].parameters()
            lengths = [round(length * scale) for length in LENGTHS]
            ends = [self.result(row, t, self.loss(row, t), phase="ladder", transfer=True, name=row) for t in lengths]
            self.curve(ends[-1])

    def _recipe(self) -> None:
        self.folder.mkdir(parents=True)
        sources = [{"name": "plays", "kind": "jsonl", "paths": ["unused.jsonl"]}]
        recipe = {"name": self.folder.name, "storage": str(self.folder.parent), "sources": sources}
        (self.folder / "recipe.yaml").write_text(yaml.safe_dump(recipe | {"tune": self.settings}))
        self.sweep.busy = [
            Busy(phase="search", trials=48, steps=23_000, cores=2, wall_seconds=200, cpu_seconds=380),
            Busy(phase="ladder", trials=4, steps=16_000, cores=2, wall_seconds=300, cpu_seconds=540),
        ]
        self.sweep.cores, self.sweep.wall_seconds = 2, 500.0
        run = Run(load_recipe(self.folder / "recipe.yaml"))
        finish(run, "tokenizer", facts={"vocab_size": VOCABULARY})
        finish(run, "shards")
        paths = write_results(run.stage("tune"), self.results, self.curves, self.sweep)
        inputs = {stage: run.need(stage).digest for stage in ("tokenizer", "shards")}
        mark = fingerprint(TUNE, run.recipe, inputs)
        finish(run, "tune", paths, fingerprint=mark, inputs=inputs, config=TUNE.config(run.recipe), seconds=512.0)

    def _forecast(self, verification: bool) -> None:
        points = [one for one in self.results if one.phase == "ladder"]
        n, d, flops, loss = (
            np.array([getattr(one, key) for one in points], dtype=float)
            for key in ("parameters", "tokens", "flops", "validation_loss")
        )
        fit = fitted(tuple(n), tuple(d), tuple(loss))
        assert np.abs(fit.residuals).max() < 0.01, "no fit, no test of its report"
        config, tokens = self.configs[TARGET], 10_000_000
        size, compute = config.parameters(), float(config.flops_per_token() * tokens)
        forecast, low, high = fit.forecast(size, tokens)
        band = []
        for share in np.linspace(0, 1, 40):
            here = np.exp(
                (1 - share) * np.log([n.min(), d.min(), flops.min()]) + share * np.log([size, tokens, compute])
            )
            band.append([float(here[2]), *fit.forecast(float(here[0]), float(here[1]))])
        write_json(
            self.folder / "forecast" / "forecast.json",
            {
                "written": datetime(2026, 11, 28, 12, tzinfo=UTC).isoformat(),
                "code_version": __version__,
                "target": {"row": TARGET, "parameters": size, "tokens": tokens, "flops": compute},
                "loss": forecast,
                "interval": [low, high],
                "level": 0.95,
                "learning_rate": 2**-6,
                "batch_tokens": BATCH_TOKENS,
                "law": fit.law.model_dump(mode="json"),
                "intervals": fit.intervals(),
                "draws": 30,
                "band": band,
                "points": [
                    {"row": one.row, "parameters": one.parameters, "tokens": one.tokens, "flops": one.flops}
                    | {"loss": one.validation_loss, "fitted": float(fit.law.loss(one.parameters, one.tokens))}
                    for one in points
                ],
                "largest_fit_flops": float(flops.max()),
                "compute_ratio": compute / float(flops.max()),
                "best": {"learning_rate": None, "batch_tokens": None},
                "marks": list(fit.marks),
            },
        )
        if not verification:
            return
        found = self.loss(TARGET, tokens)
        write_json(
            self.folder / "verify" / "verification.json",
            {
                "loss": found,
                "bits_per_byte": found / 1.9,
                "forecast": forecast,
                "interval": [low, high],
                "error": (found - forecast) / forecast,
                "inside": low <= found <= high,
                "steps": tokens // BATCH_TOKENS,
                "tokens": tokens,
                "seconds": 900.0,
                "curve": [[t, self.loss(TARGET, t)] for t in range(1_000_000, tokens + 1, 1_000_000)],
            },
        )


@lru_cache
def fitted(parameters: tuple[float, ...], tokens: tuple[float, ...], losses: tuple[float, ...]) -> LossFit:
    """Tests that differ in other things share the seconds that this takes."""
    return fit_loss(parameters, tokens, losses, draws=30)


def finish(run: Run, stage: str, paths: list[Path] | None = None, **values: Any) -> None:
    """Write the manifest of a finished stage."""
    run.stage(stage).mkdir(exist_ok=True)
    files = [file_entry(run.stage(stage), path, 1) for path in paths or []]
    empty = {"version": TUNE.version, "config": {}, "fingerprint": "", "inputs": {}, "counters": {}, "facts": {}}
    made = {**empty, "code_version": __version__, "seconds": 0.0, **values, "stage": stage, "files": files}
    write_manifest(run.stage(stage), Manifest.model_validate(made))


@pytest.fixture
def sweep_files(tmp_path: Path) -> Callable[..., SweepFiles]:
    """SweepFiles below the test's folder; `name` is the run's."""
    return lambda name="plays": SweepFiles(tmp_path, name)
