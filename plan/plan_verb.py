"""`crawl2chat plan`: a profile, the machines and prices that the options name, and the plan of the recipe on them."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from ..core.errors import InputError
from ..core.progress import console
from ..core.recipe import Recipe, load_recipe
from .forecast import forecast
from .machines import Machines, machines_of
from .prices import read_prices
from .profile_file import DEFAULT, Measured, read_measured, write_profile
from .table import as_json, show


def run_plan(options: argparse.Namespace) -> int:
    """Print the plan. 0 where all fits, else 1. Raises InputError, ContractError, RecipeError."""
    recipe = load_recipe(options.recipe, options.set)
    shards = recipe.shards.model_copy(update={"early": None})  # planned as if the stages came one after the other
    recipe = recipe.model_copy(update={"shards": shards})
    machines = _machines(recipe, options)
    prices = read_prices(options.prices).changed(recipe.resources)
    if machines.gpus:
        prices.gpu(machines.gpu)  # before anything is measured
    measured, named = _measured(recipe, options)
    plan = forecast(recipe, measured, machines, prices, dict(options.bytes))
    about = (recipe.name, plan, machines, measured, named, prices)
    if options.json:
        print(json.dumps(as_json(*about)))
    else:
        show(*about)
    return 1 if plan.misfits else 0


def _machines(recipe: Recipe, options: argparse.Namespace) -> Machines:
    if not 0 < options.mfu <= 1:
        raise InputError(f"--mfu {options.mfu}", "give a share of the peak, above 0 and at most 1")
    names = ("nodes", "cpus", "memory_gb", "disk_gb", "gpus", "gpu", "mfu", "speed")
    return machines_of(recipe, **{name: getattr(options, name) for name in names})


def _measured(recipe: Recipe, options: argparse.Namespace) -> tuple[Measured, str]:
    """The profile, and where it is from."""
    if options.sample_bytes and not options.measure:
        raise InputError("--sample-bytes without --measure", "add --measure, or leave it out")
    if options.measure:
        from .measure import measure, place  # imports what runs the stages

        out = options.out or place(recipe) / "profile.json"
        return _written(measure(recipe, options.sample_bytes), out), str(out)
    if options.profile is None:
        if options.out is not None:
            raise InputError(f"--out {options.out} without a profile to write", "add --measure, or --profile RUN")
        return read_measured(
            DEFAULT
        ), "the shipped one: of other sources and another machine than yours; --measure is better"
    if not options.profile.is_dir():
        return read_measured(options.profile), str(options.profile)
    from .measure import measured_run

    measured = measured_run(options.profile)
    if options.out is not None:
        _written(measured, options.out)
    return measured, f"the run {options.profile}"


def _written(measured: Measured, out: Path) -> Measured:
    write_profile(out, measured)
    console.print(f"profile: {out}", markup=False, soft_wrap=True)
    return measured
