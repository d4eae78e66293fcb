"""`crawl2chat tune laws`: laws fitted to measured runs, or published ones, and what they say for given compute."""

from __future__ import annotations

import argparse
import json
from typing import Any

from ..core.errors import InputError
from ..core.log import log
from ..core.progress import console
from .fit import Fitted, fit_points
from .laws import LOSS_LAWS, LossLaw, write_laws
from .loss_fit import NAMES, LossFit
from .points import read_points
from .show import print_table, short
from .valleys import PowerFit


def run_laws(options: argparse.Namespace) -> int:
    """Raises InputError when the points do not carry the law of the loss."""
    if options.points is None:
        if options.out:
            raise InputError("--out without --points: published laws need no file", "add --points FILE")
        return _published(LOSS_LAWS[options.published], options)
    fitted = fit_points(read_points(options.points), options.draws, options.seed, f"fitted to {options.points.name}")
    if options.out:
        best = {key: fit.law for key, fit in fitted.best.items()}
        intervals = fitted.loss.intervals()
        write_laws(options.out, {"loss": fitted.loss.law, **best}, intervals=intervals, marks=fitted.marks)
    found = _found(fitted, options.flops)
    if options.json:
        print(json.dumps(found))
        return 0
    _print_loss(fitted.loss.law, fitted.loss)
    for name, fit in fitted.best.items():
        _print_power(f"best {name.replace('_', ' ')}", fit)
    if fitted.isoflop:
        _print_power("IsoFLOP: parameters", fitted.isoflop)
    _print_optima(found["optima"], fitted.loss.law)
    for words in fitted.marks:
        log.warning("%s", words)
    return 0


def _published(law: LossLaw, options: argparse.Namespace) -> int:
    optima: list[dict[str, Any]] = []
    for flops in options.flops:
        parameters, tokens = law.optimum(flops)
        loss = float(law.loss(parameters, tokens))
        optima.append({"flops": flops, "parameters": parameters, "tokens": tokens, "loss": loss})
    if options.json:
        print(json.dumps({"loss": law.model_dump(mode="json"), "optima": optima}))
        return 0
    _print_loss(law)
    _print_optima(optima, law)
    return 0


def _found(fitted: Fitted, computes: list[float]) -> dict[str, Any]:
    optima = []
    for flops in computes:
        best = fitted.loss.optimum(flops)
        loss, low, high = fitted.loss.forecast(best["parameters"][0], best["tokens"][0])
        spans = {f"{key}_interval": values[1:] for key, values in best.items()}
        values = {key: values[0] for key, values in best.items()}
        optima.append({"flops": flops, **values, **spans, "loss": loss, "loss_interval": (low, high)})
    power = {"learning_rate": None, "batch_tokens": None, **fitted.best, "isoflop": fitted.isoflop}
    return {
        "loss": fitted.loss.law.model_dump(mode="json"),
        "intervals": fitted.loss.intervals(),
        "points": len(fitted.loss.residuals),
        **{
            name: {**fit.law.model_dump(mode="json"), "intervals": fit.intervals} if fit else None
            for name, fit in power.items()
        },
        "optima": optima,
        "marks": fitted.marks,
    }


def _print_loss(law: LossLaw, fit: LossFit | None = None) -> None:
    spans = fit.intervals() if fit else {}
    cells = []
    for name in (*NAMES, "exponent"):
        between = (f"{spans[name][0]:.4g} … {spans[name][1]:.4g}",) if fit else ()
        cells.append(("a of N ∝ C^a" if name == "exponent" else name, f"{getattr(law, name):.4g}", *between))
    title = f"L(N, D) = {law.formula}: {law.source}"
    print_table(title, ("constant", "value", *(("95 %",) if fit else ())), cells)


def _print_power(name: str, fit: PowerFit) -> None:
    words = " · ".join(f"{key}^{power:.3f}" for key, power in fit.law.exponents.items())
    spans = fit.intervals or {}
    between = "; ".join(f"{key} {low:.3g} … {high:.3g}" for key, (low, high) in spans.items() if key != "factor")
    shown = f"95 %: {between}" if between else "as many points as constants: no interval"
    console.print(f"{name} = {fit.law.factor:.4g} · {words} ({shown})", soft_wrap=True)


def _print_optima(optima: list[dict[str, Any]], law: LossLaw) -> None:
    if not optima:
        return
    cells = []
    keys = ("parameters", "tokens")
    for one in optima:
        sizes = [short(one[key]) for key in keys]
        cells.append((f"{one['flops']:.3g}", *sizes, f"{one['loss']:.4f}", f"{one['tokens'] / one['parameters']:.1f}"))
        if "loss_interval" in one:
            spans = [f"{short(low)} … {short(high)}" for low, high in (one[f"{key}_interval"] for key in keys)]
            low, high = one["loss_interval"]
            cells.append(("  95 %", *spans, f"{low:.4f} … {high:.4f}", ""))
    print_table("best for 6 N D of", ("FLOPs", "parameters", "tokens", "loss", "D/N"), cells)
    for one in optima:
        for words in law.beyond(parameters=one["parameters"], tokens=one["tokens"]):
            console.print(f"{one['flops']:.3g}: beyond what was measured: {words}", soft_wrap=True)
