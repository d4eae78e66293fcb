"""Tables of the report: cells as text, and of each column where its values are from.

measured: from training; derived: computed from the shape or fitted to what was measured; forecast: said before the run
was made; no mark: set by the recipe.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from ..core.errors import Crawl2ChatError
from ..model.config import ModelConfig
from .figures import scientific
from .figures_laws import points_of
from .laws import PowerLaw
from .report import Report
from .results import Result, best_of_rows
from .show import short

Mark = Literal["", "measured", "derived", "forecast"]
_CONSTANTS = {
    "E": "E, the loss that remains",
    "A": "A",
    "B": "B",
    "alpha": "alpha, of parameters",
    "beta": "beta, of tokens",
    "gamma": "gamma, of both",
    "exponent": "a of N ∝ C^a",
}


@dataclass(frozen=True)
class Table:
    """`absent` says why there are no rows. `strong` are the numbers of the rows to be set in bold."""

    title: str
    columns: Sequence[tuple[str, Mark]]
    rows: Sequence[Sequence[str]]
    absent: str = ""
    strong: frozenset[int] = frozenset()

    def without_empty(self) -> Table:
        """Columns in which no row has anything are left out."""
        kept = [at for at in range(len(self.columns)) if any(row[at] for row in self.rows)]
        if not self.rows:
            return self
        return replace(
            self, columns=[self.columns[at] for at in kept], rows=[[row[at] for at in kept] for row in self.rows]
        )


def number(value: float | None, form: str = ".4g") -> str:
    return "" if value is None else format(value, form)


def results_table(report: Report, best_only: bool) -> Table:
    """The trials in the file's order, the best of each row bold, with and without transfer; or these alone."""
    kinds = [best_of_rows([one for one in report.results if one.transfer is kind]) for kind in (True, False)]
    best = sorted((one for kind in kinds for one in kind.values()), key=lambda one: (not one.transfer, one.parameters))
    shown = best if best_only else report.results
    columns: list[tuple[str, Mark]] = [
        ("row", ""), ("phase", ""), ("transfer", ""), ("seed", ""), ("learning rate", ""), ("other values", ""),
        ("parameters", "derived"), ("steps", "measured"), ("tokens", "measured"), ("FLOPs", "derived"),
        ("loss", "measured"), ("bits/byte", "measured"), ("seconds", "measured"), ("state", "measured"),
    ]  # fmt: skip
    strong = frozenset(at for at, one in enumerate(shown) if not best_only and one in best)
    title = "Best trial of each row" if best_only else f"All {len(shown)} results"
    return Table(title, columns, [_result(one) for one in shown], "no trial has a loss", strong).without_empty()


def _result(one: Result) -> list[str]:
    others = [
        f"{key} {value:g}" if isinstance(value, float) else f"{key} {value}"
        for key, value in one.values.items()
        if key != "learning_rate"
    ]
    return [
        one.row, one.phase, "yes" if one.transfer else "no", str(one.seed), f"{one.learning_rate:.4g}",
        ", ".join(others),
        f"{one.parameters:,}", f"{one.steps:,}", short(one.tokens), scientific(one.flops) if one.flops else "",
        number(one.validation_loss, ".4f"), number(one.bits_per_byte, ".4f"), f"{one.seconds:.1f}",
        one.state + (f": {one.error}" if one.error else ""),
    ]  # fmt: skip


def constants_table(report: Report) -> Table:
    """The constants of the loss and the exponent of the best size, how the form of the law was chosen; then the laws of
    the best settings."""
    forecast = report.forecast or {}
    law, spans = forecast.get("law"), forecast.get("intervals") or {}
    level = f"{forecast.get('level', 0.95):.0%} interval"
    columns: list[tuple[str, Mark]] = [("constant", ""), ("value", "derived"), (level, "derived")]
    if not law:
        return Table("Fitted constants", columns, [], "no law was fitted (it needs tune.ladder)")
    values = {"gamma": 1.0, **law, "exponent": law["beta"] / (law["alpha"] + law["beta"])}
    rows = [
        [words, number(values[name]), f"{spans[name][0]:.4g} … {spans[name][1]:.4g}" if name in spans else ""]
        for name, words in _CONSTANTS.items()
    ]
    for name, share in (forecast.get("misses") or {}).items():
        rows.append([f"{name} law of the smaller runs, miss of the larger", f"{share:.2%}", ""])
    for name, raw in (forecast.get("best") or {}).items():
        words = f"best {name.replace('_', ' ')}"
        rows.append([words, power_words(PowerLaw.model_validate(raw)) if raw else "not told by the points", ""])
    return Table("Fitted constants", columns, rows)


def power_words(law: PowerLaw) -> str:
    return " · ".join([f"{law.factor:.4g}", *(f"{name}^{power:.3f}" for name, power in law.exponents.items())])


def outcome_table(report: Report) -> Table:
    """The forecast beside what the run gave."""
    forecast, found = report.forecast or {}, report.verification
    columns: list[tuple[str, Mark]] = [("", ""), ("before the run", "forecast"), ("held-out run", "measured")]
    if forecast.get("loss") is None:
        return Table("Forecast and verification", columns, [], "the recipe has no target (tune.target)")
    target, (low, high) = forecast["target"], forecast["interval"]
    rows = [
        ["row", target["row"], target["row"] if found else ""],
        ["parameters", short(target["parameters"]), ""],
        ["tokens", short(target["tokens"]), short(found["tokens"]) if found else ""],
        ["FLOPs", scientific(target["flops"]), ""],
        ["… of the fit's largest run", f"{number(forecast.get('compute_ratio'), '.1f')} times", ""],
        ["learning rate, the ladder's", number(forecast.get("learning_rate")), ""],
        ["… best by its law", number(forecast.get("law_learning_rate")), ""],
        ["batch, tokens", number(forecast.get("batch_tokens"), ",.0f"), ""],
        ["loss", f"{forecast['loss']:.4f}", f"{found['loss']:.4f}" if found else "not yet run"],
        [f"{forecast.get('level', 0.95):.0%} interval", f"{low:.4f} … {high:.4f}", _inside(found)],
        ["error", "", f"{found['error']:+.2%}" if found else ""],
        ["bits a byte", "", number(found.get("bits_per_byte"), ".4f") if found else ""],
    ]
    return Table("Forecast and verification", columns, [row for row in rows if any(row[1:])])


def _inside(found: dict | None) -> str:
    return "" if found is None else "inside" if found["inside"] else "outside"


def shapes_table(report: Report) -> Table:
    """The rows as models with the run's vocabulary."""
    columns: list[tuple[str, Mark]] = [
        ("row", ""), ("family", ""), ("layers", ""), ("width", ""), ("heads", ""), ("kv", ""), ("head", ""),
        ("inner", ""), ("context", ""), ("parameters", "derived"), ("FLOPs/token", "derived"),
    ]  # fmt: skip
    rows, vocabulary = [], report.vocab_size
    for name, model in report.rows().items():
        settled = model.settled()
        keys = ("family", "layers", "width", "heads", "kv_heads", "head_size", "feed_forward", "context")
        try:
            config = ModelConfig.from_settings(model, vocabulary) if vocabulary else None
        except Crawl2ChatError:  # a shape that does not fit together has failed its trials already
            config = None
        costs = (f"{config.parameters():,}", scientific(config.flops_per_token())) if config else ("", "")
        rows.append([name, *(str(getattr(settled, key)) for key in keys), *costs])
    words = f", vocabulary of {vocabulary:,}" if vocabulary else ""
    return Table(f"Rows{words}", columns, rows, "the scaling table has none of the rows")


def busy_table(report: Report) -> Table:
    """CPU time of the trials over wall time × cores."""
    columns: list[tuple[str, Mark]] = [
        ("phase", ""), ("trials", "measured"), ("steps", "measured"), ("cores", ""), ("wall, s", "measured"),
        ("CPU, s", "measured"), ("busy", "derived"),
    ]  # fmt: skip
    rows = [
        [
            b.phase, f"{b.trials:,}", f"{b.steps:,}", str(b.cores), f"{b.wall_seconds:,.1f}", f"{b.cpu_seconds:,.1f}",
            f"{b.share:.1%}",
        ]
        for b in report.sweep.busy
    ]  # fmt: skip
    share = report.sweep.busy_share
    if share is not None:
        sweep = report.sweep
        sums = [sum(getattr(b, key) for b in sweep.busy) for key in ("trials", "steps")]
        times = [sweep.wall_seconds, sum(b.cpu_seconds for b in sweep.busy)]
        words = ["all, with what lies between", *(f"{n:,}" for n in sums), str(sweep.cores)]
        rows.append([*words, *(f"{t:,.1f}" for t in times), f"{share:.1%}"])
    return Table("How busy the machine was", columns, rows, "the sweep tells nothing of it")


def points_table(report: Report) -> Table:
    """What the law was fitted to, and the target's line as forecast."""
    columns: list[tuple[str, Mark]] = [
        ("row", ""), ("parameters", "derived"), ("tokens", ""), ("FLOPs", "derived"), ("loss", "measured"),
        ("fitted", "derived"), ("forecast", "forecast"),
    ]  # fmt: skip
    rows = [
        [
            p["row"], f"{p['parameters']:,.0f}", short(p["tokens"]), scientific(p["flops"]), f"{p['loss']:.4f}",
            number(p.get("fitted"), ".4f"), "",
        ]
        for p in points_of(report)
    ]  # fmt: skip
    forecast, found = report.forecast or {}, report.verification or {}
    if rows and forecast.get("loss") is not None:
        target = forecast["target"]
        held_out = [number(found.get("loss"), ".4f"), "", f"{forecast['loss']:.4f}"]
        size = [f"{target['parameters']:,.0f}", short(target["tokens"]), scientific(target["flops"])]
        rows.append([f"{target['row']} (held out)", *size, *held_out])
    return Table(f"Points of the law: {len(points_of(report))}", columns, rows, "the sweep has no ladder")
