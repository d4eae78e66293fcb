"""`crawl2chat tune table`: the scaling table with its costs, or a row that laws say."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import yaml

from ..core.errors import InputError
from ..core.progress import console
from .costs import Cost, Plan, cost
from .derive import beyond, measures_of, row_for_flops, row_for_parameters
from .gpus import find_gpu, flops_of, hours_of
from .laws import PUBLISHED, read_laws
from .show import print_table, short
from .table import Row, load_table

DERIVED_NAME = "derived"
MOST_WARNINGS = 4  # rows of which each is told what it is about
_LAWS = {"tokens": "loss", "learning_rate": "learning rate", "batch_tokens": "batch tokens"}  # what a value is from
_MARKS = {"published": "", "measured": "*", "derived": "~"}


def run_table(options: argparse.Namespace) -> int:
    """Print the rows that the options name, or the one that they ask for. Raises InputError."""
    if not 0 < options.mfu <= 1:
        raise InputError(f"--mfu {options.mfu}", "give a share of the peak, above 0 and at most 1")
    plan = Plan(options.gpus, options.micro_batch, checkpointing=options.checkpointing)
    find_gpu(options.gpu)
    target = _target(options)
    rows = {DERIVED_NAME: target} if target else _chosen(options)
    costs = {name: cost(row, plan) for name, row in rows.items()}
    if options.json:
        print(json.dumps([_record(name, row, costs[name], plan, options) for name, row in rows.items()]))
        return 0
    _print_shapes(rows)
    _print_settings(rows)
    _print_costs(costs, plan, options)
    _print_notes(rows)
    if target:
        console.print("as a line of tune/scaling_table.yaml:")
        print(yaml_line(DERIVED_NAME, target))
    return 0


def _chosen(options: argparse.Namespace) -> dict[str, Row]:
    for name in ("laws", "vocab", "context"):
        if getattr(options, name) is not None:
            raise InputError(f"--{name} without a target", "add --target-params, --target-flops or --target-hours")
    table = load_table()
    for name in options.rows:
        if name not in table:
            raise InputError(f"the scaling table has no row {name!r}", f"its rows are: {', '.join(table)}")
    return {name: _warned(table[name]) for name in options.rows or table}


def _warned(row: Row) -> Row:
    """The row with what is to be known of its derived values, which are from the published laws."""
    laws = tuple(law for key, law in _LAWS.items() if key in row.derived)
    found = beyond(PUBLISHED, measures_of(row, row.vocab_size, row.tokens))
    return row.model_copy(update={"beyond": [words for words in found if words.startswith(laws)]})


def _target(options: argparse.Namespace) -> Row | None:
    """The row that is asked for; None when none is."""
    given = (options.target_params, options.target_flops, options.target_hours)
    if given == (None, None, None):
        return None
    if options.rows:
        raise InputError(f"both rows ({', '.join(options.rows)}) and a target", "leave out one of the two")
    laws = read_laws(options.laws) if options.laws else PUBLISHED
    if options.target_params:
        return row_for_parameters(options.target_params, laws, options.vocab, options.context)
    flops = options.target_flops or flops_of(options.target_hours, options.gpus, options.gpu, options.mfu)
    return row_for_flops(flops, laws, options.vocab, options.context)


def yaml_line(name: str, row: Row) -> str:
    """The row as the table's file has it."""
    values = row.model_dump(mode="json", exclude_defaults=True)
    flow = yaml.safe_dump(values, sort_keys=False, allow_unicode=True, default_flow_style=True, width=110)
    return f"{name}:\n  " + flow.rstrip().replace("\n", "\n ")


def _record(name: str, row: Row, found: Cost, plan: Plan, options: argparse.Namespace) -> dict[str, Any]:
    return {
        "name": name,
        **row.model_dump(mode="json"),
        **asdict(found),
        **{key: value for key, value in asdict(plan).items() if key != "rows"},
        "micro_batch": plan.rows,
        "gpu": options.gpu,
        "mfu": options.mfu,
        "hours": hours_of(found.flops, plan.gpus, options.gpu, options.mfu),
        "fits": found.memory_per_gpu <= find_gpu(options.gpu).memory,
    }


def _print_shapes(rows: Mapping[str, Row]) -> None:
    keys = ("layers", "width", "heads", "kv_heads", "head_size", "feed_forward", "vocab_size", "context")
    heads = ("row", "family", "layers", "width", "heads", "kv", "head", "inner", "vocab", "ctx")
    cells = (
        (name + ("°" if row.corrected else ""), row.family, *(str(getattr(row, key)) for key in keys))
        for name, row in rows.items()
    )
    print_table("shapes", heads, cells)


def _print_settings(rows: Mapping[str, Row]) -> None:
    keys = ("batch_tokens", "tokens", "learning_rate", "weight_decay", "warmup_tokens")

    def cell(row: Row, key: str) -> str:
        value = getattr(row, key)
        return (f"{value:.1e}" if key == "learning_rate" else short(value)) + _MARKS[row.mark(key)]

    cells = ((name, *(cell(row, key) for key in keys)) for name, row in rows.items())
    title = "settings; batch, tokens and warm-up in tokens; * measured, ~ derived"
    print_table(title, ("row", "batch", "tokens", "rate", "decay", "warm-up"), cells)


def _print_costs(costs: Mapping[str, Cost], plan: Plan, options: argparse.Namespace) -> None:
    gpu, room = options.gpu, find_gpu(options.gpu).memory
    on = f"FSDP on {plan.gpus} × {gpu}" if plan.gpus > 1 else f"one {gpu}"
    title = f"costs; {on}, {options.mfu:.0%} of the peak; {plan.rows} × context at a time, {plan.precision}, "
    title += f"checkpointing {plan.checkpointing}"
    heads = ("row", "params", "blocks", "FLOPs/token", "FLOPs", "GB/GPU", "hours")

    def cells(name: str, one: Cost) -> tuple[str, ...]:
        counts = (one.parameters, one.parameters_without_embedding, one.flops_per_token)
        hours = float(f"{hours_of(one.flops, plan.gpus, gpu, options.mfu):.3g}")
        gigabytes = f"{one.memory_per_gpu / 1e9:,.2f}" + ("!" if one.memory_per_gpu > room else "")
        return (name, *map(short, counts), f"{one.flops:.2e}", gigabytes, short(hours))

    print_table(title, heads, (cells(name, one) for name, one in costs.items()))
    if any(one.memory_per_gpu > room for one in costs.values()):
        console.print(f"! more than the {room / 1e9:g} GB of one {gpu}: more GPUs, or parallelism beyond FSDP\n")


def _print_notes(rows: Mapping[str, Row]) -> None:
    for name, row in rows.items():
        if row.corrected:
            console.print(f"° {name}: {row.corrected}", soft_wrap=True)
    by_source: dict[str, list[str]] = {}
    for name, row in rows.items():
        by_source.setdefault(row.source, []).append(name)
    for source, names in by_source.items():
        named = ", ".join(names) if len(names) < 5 else f"{names[0]} … {names[-1]}"
        console.print(f"{named}: {source}", soft_wrap=True)
    far = {name: row.beyond for name, row in rows.items() if row.beyond}
    if len(far) > MOST_WARNINGS:
        console.print(f"~ from laws beyond the points that they were fitted to: {', '.join(far)}", soft_wrap=True)
        return
    for name, row in far.items():
        for words in row:
            console.print(f"~ {name}: a law beyond its points: {words}", soft_wrap=True)
