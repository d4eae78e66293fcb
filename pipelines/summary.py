"""What a run came to, read from the manifests and samples.json: the table, the samples, the next command."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich import box
from rich.table import Table

from ..core.manifest import Manifest
from ..core.progress import console
from ..core.run import Run
from ..evaluate.results import print_results, read_results
from .run_report import report_path

TIGHT: dict[str, Any] = {"padding": (0, 1, 0, 0), "pad_edge": False}  # fits 80 columns


@dataclass(frozen=True)
class Line:
    """A stage's line of the table; an empty cell says that the quantity means nothing there."""

    documents: str = ""
    tokens: str = ""
    loss: str = ""
    bits_per_byte: str = ""
    notes: str = ""


def print_summary(run: Run, stages: Sequence[str]) -> None:
    """The end of `crawl2chat run`: table, baselines, samples, folder, next command."""
    print_table(run, stages)
    _print_baselines(run)
    if "evaluate" in stages and run.manifest("evaluate"):
        print_results(read_results(run.stage("evaluate")))
    _print_samples(run)
    folder = _relative(run.folder)
    console.print(f"\nrun folder: {run.folder}", soft_wrap=True)
    if (page := report_path(run)) is not None:
        console.print(f"report: {page}", soft_wrap=True)
    following = f"chat --run {folder}" if run.manifest("finetune") else f'generate --run {folder} "The history of"'
    console.print(f"next: {_program()} {following}", markup=False, soft_wrap=True)


def print_table(run: Run, stages: Sequence[str]) -> None:
    """One line for each stage that is finished, and below what else is worth knowing of it."""
    table = Table(title=f"run {run.recipe.name}", title_justify="left", box=box.SIMPLE_HEAD, **TIGHT)
    table.add_column("stage", no_wrap=True)
    for name in ("documents", "tokens", "loss", "bits/byte", "time"):
        table.add_column(name, justify="right", no_wrap=True)
    seconds = 0.0
    notes: list[tuple[str, str]] = []
    for name in stages:
        manifest = run.manifest(name)
        if manifest is None:
            continue
        seconds += manifest.seconds
        line = _line(name, manifest)
        time = f"{manifest.seconds:.1f} s"
        table.add_row(name, line.documents, line.tokens, line.loss, line.bits_per_byte, time)
        notes += [(name, line.notes)] if line.notes else []
    table.add_section()
    table.add_row("all", "", "", "", "", f"{seconds:.1f} s")
    console.print(table)
    for name, note in notes:
        console.print(f"  {name:<12} {note}", markup=False, soft_wrap=True)
    console.print()


def _line(stage: str, manifest: Manifest) -> Line:
    count = manifest.counters
    if stage == "crawl":
        lost = {name: n for name, n in count.items() if name.startswith(("failed.", "refused."))}
        return Line(f"{count.get('pages', 0):,}", notes=_most("not stored", lost, ""))
    if "documents_in" in count:
        flow = f"{count['documents_in']:,} → {count['documents']:,}"
        cut = f"cut: {count['documents_cut']:,} documents" if count.get("documents_cut") else ""
        return Line(flow, notes="; ".join(filter(None, [_most("dropped", count, "dropped."), cut])))
    if stage == "tokenizer":
        return Line(notes=f"{manifest.facts['vocab_size']:,} entries in the vocabulary")
    if stage in ("shards", "shards_early"):
        documents = f"{count['documents_train']:,} + {count['documents_validation']:,}"
        tokens = f"{_short(count['tokens_train'])} + {_short(count['tokens_validation'])}"
        return Line(documents, tokens, notes=f"train + validation; {count['fertility']:.2f} bytes a token")
    if stage == "instructions":
        notes = f"{count['pairs']:,} + {count['pairs_validation']:,} question/answer pairs"
        return Line(f"{count['documents']:,}", notes=notes)
    if stage == "pretrain" and "train_loss" not in count:
        return Line(notes=f"imported: {manifest.notes.get('name', '')}, {count['parameters']:,} parameters")
    if stage in ("pretrain", "finetune", "verify"):
        before = count.get("validation_loss_before")  # of fine-tuning: its losses count answers only
        bits = f"{count['bits_per_byte']:.3f}" if "bits_per_byte" in count and before is None else ""
        validation = f" / {count['validation_loss']:.3f}" if "validation_loss" in count else ""
        about = "train / validation" if before is None else f"answers only, held-out ones {before:.3f} before"
        notes = f"loss: {about}; {count['steps']:,} steps, {count['tokens_per_second']:,.0f} tokens/s once under way"
        if "answers_asked" in count:
            notes += f"; {count['answers_ended']} of {count['answers_asked']} held-out answers end by themselves"
        return Line("", _short(count["tokens_seen"]), f"{count['train_loss']:.3f}{validation}", bits, notes)
    if stage == "align":
        loss = f"{count['train_loss']:.3f}" + (
            f" / {count['validation_loss']:.3f}" if "validation_loss" in count else ""
        )
        return Line(tokens=_short(count["tokens_seen"]), loss=loss, notes=_aligned(manifest))
    if stage == "evaluate":
        return Line(notes=f"{count['items']:,} answers of {count['models']} models in {count['tasks']} tasks")
    if stage == "tune":
        return Line(loss=f"{count['validation_loss']:.3f}", notes=f"the best of {count['trials']} trials")
    if stage == "forecast":
        if "loss" not in count:
            return Line(notes=f"the law of {count['points']} runs; no target")
        notes = f"of the target, 95 % {count['low']:.3f} … {count['high']:.3f}, from {count['points']} runs"
        return Line(loss=f"{count['loss']:.3f}", notes=notes)
    return Line()


def _aligned(manifest: Manifest) -> str:
    """What alignment came to on held-out data, and what that was before."""
    count = manifest.counters
    told = [
        f"{about} {count[f'{name}_before']:.3f} → {count[name]:.3f}"
        for name, about in (
            ("preference_accuracy", "chosen preferred in"),
            ("ranking_accuracy", "chosen likelier in"),
            ("held_out_reward", "right answers"),
            ("margin", "margin"),
        )
        if name in count and f"{name}_before" in count
    ]
    apart = f"{count['divergence']:.3g} nats a token from the reference" if "divergence" in count else ""
    return f"{manifest.facts['method']}; {', '.join([*told, *([apart] if apart else [])])}"


def _most(verb: str, counters: dict[str, float | int], prefix: str, n: int = 4) -> str:
    """The n commonest reasons, with their counts."""
    reasons = sorted(((v, k.removeprefix(prefix)) for k, v in counters.items() if k.startswith(prefix)), reverse=True)
    rest = sum(int(value) for value, _ in reasons[n:])
    named = [f"{name} {value:,}" for value, name in reasons[:n] if value]
    return f"{verb}: {', '.join([*named, *([f'others {rest:,}'] if rest else [])])}" if named else ""


def _short(number: float) -> str:
    """1,627,058 as 1.63M."""
    for size, letter in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if number >= size:
            return f"{number / size:.3g}{letter}"
    return f"{number:g}"


def _print_baselines(run: Run) -> None:
    manifest = run.manifest("pretrain")
    if manifest is None or "baseline_gzip_bpb" not in manifest.counters:  # an imported model has none
        return
    table = Table(title="validation, bits per byte", title_justify="left", box=box.SIMPLE_HEAD)
    names = (
        ("this model", "bits_per_byte"),
        ("unigram tokens", "baseline_unigram_bpb"),
        ("gzip -9", "baseline_gzip_bpb"),
    )
    for name, _ in names:
        table.add_column(name, justify="right")
    table.add_row(*(f"{manifest.counters[key]:.3f}" for _, key in names))
    console.print(table)


def _print_samples(run: Run) -> None:
    path = run.stage("samples") / "samples.json"
    if not path.exists():
        return
    for sample in json.loads(path.read_text(encoding="utf-8")):
        if sample["kind"] == "continuation":
            console.print(f"\n▸ {sample['prompt']}{sample['text']}", markup=False)
        else:
            console.print(f"\n? {sample['prompt']}\n▸ {sample['text']}", markup=False)


def _relative(folder: Path) -> Path:
    here = Path.cwd()
    return folder.relative_to(here) if folder.is_relative_to(here) else folder


def _program() -> str:
    """How this program is called from here: by its path where its environment is not active."""
    beside = Path(sys.executable).parent / "crawl2chat"
    found = shutil.which("crawl2chat")
    active = found is not None and Path(found) == beside
    return str(_relative(beside)) if beside.exists() and not active else "crawl2chat"
