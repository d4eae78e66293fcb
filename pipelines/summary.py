"""What a run came to, read from the manifests and samples.json: the table, the samples, the next command."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.table import Table

from ..core.manifest import Manifest
from ..core.progress import console
from ..core.run import Run


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
    _print_samples(run)
    folder = _relative(run.folder)
    console.print(f"\nrun folder: {run.folder}", soft_wrap=True)
    following = f"chat --run {folder}" if run.manifest("finetune") else f'generate --run {folder} "The history of"'
    console.print(f"next: {_program()} {following}", markup=False, soft_wrap=True)


def print_table(run: Run, stages: Sequence[str]) -> None:
    """One line for each stage that is finished."""
    table = Table(title=f"run {run.recipe.name}", title_justify="left")
    table.add_column("stage", no_wrap=True)
    for name in ("documents", "tokens", "loss", "bits/byte", "time"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("notes")
    seconds = 0.0
    for name in stages:
        manifest = run.manifest(name)
        if manifest is None:
            continue
        seconds += manifest.seconds
        line = _line(name, manifest)
        time = f"{manifest.seconds:.1f} s"
        table.add_row(name, line.documents, line.tokens, line.loss, line.bits_per_byte, time, line.notes)
    table.add_section()
    table.add_row("all", "", "", "", "", f"{seconds:.1f} s", "")
    console.print(table)


def _line(stage: str, manifest: Manifest) -> Line:
    count = manifest.counters
    if stage == "crawl":
        lost = {name: n for name, n in count.items() if name.startswith(("failed.", "refused."))}
        return Line(f"{count.get('pages', 0):,}", notes=_most(lost, ""))
    if stage in ("extract", "dedup"):
        flow = f"{count['documents_in']:,} → {count['documents']:,}"
        return Line(flow, notes=_most(count, "dropped."))
    if stage == "tokenizer":
        return Line(notes=f"{manifest.facts['vocab_size']:,} entries")
    if stage == "shards":
        documents = f"{count['documents_train']:,} + {count['documents_validation']:,}"
        tokens = f"{count['tokens_train']:,} + {count['tokens_validation']:,}"
        return Line(documents, tokens, notes="train + validation")
    if stage == "instructions":
        notes = f"{count['pairs']:,} + {count['pairs_validation']:,} question/answer pairs"
        return Line(f"{count['documents']:,}", notes=notes)
    if stage in ("pretrain", "finetune"):
        bits = f"{count['bits_per_byte']:.3f}" if "bits_per_byte" in count else ""
        loss = f"{count['train_loss']:.3f} / {count['validation_loss']:.3f}"
        notes = f"train / validation; {count['tokens_per_second']:,.0f} tokens/s"
        return Line("", f"{count['tokens_seen']:,}", loss, bits, notes)
    if stage == "tune":
        return Line(loss=f"{count['validation_loss']:.3f}", notes=f"best of {count['trials']} trials")
    return Line()


def _most(counters: dict[str, float | int], prefix: str, n: int = 4) -> str:
    """The n commonest reasons, with their counts."""
    reasons = sorted(((v, k.removeprefix(prefix)) for k, v in counters.items() if k.startswith(prefix)), reverse=True)
    rest = sum(int(value) for value, _ in reasons[n:])
    named = [f"{name} {value:,}" for value, name in reasons[:n]]
    return ", ".join([*named, *([f"others {rest:,}"] if rest else [])])


def _print_baselines(run: Run) -> None:
    manifest = run.manifest("pretrain")
    if manifest is None:
        return
    table = Table(title="validation, bits per byte", title_justify="left")
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
