"""Stage `samples`: what the trained models write, for the end of a run and its report.

    samples/samples.json   [{kind: "continuation" | "answer", prompt, text, tokens, tokens_per_second}]

Continuations of sampling.prompts are the base model's, answers to sampling.questions those of the aligned model, or of
the fine-tuned one where nothing is aligned. Texts depend on the recipe's seed and the prompt's place in its list.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ..core.files import write_json
from ..core.log import log
from ..core.manifest import file_entry
from ..core.recipe import Recipe
from ..core.stage import Stage, StageContext, StageResult

if TYPE_CHECKING:
    from .session import TextStream


def samples_stage(recipe: Recipe) -> Stage:
    """The stage for a recipe with a model that answers or without."""
    answers = answering(recipe)
    inputs = ("tokenizer", "pretrain", answers) if answers else ("tokenizer", "pretrain")
    return Stage("samples", inputs=inputs, config=_config, work=write_samples, needs_ray=False)


def answering(recipe: Recipe) -> str | None:
    """The stage whose model answers in a finished run; None where none does."""
    if recipe.align is not None and recipe.align.answers:
        return "align"
    return "finetune" if recipe.finetuned else None


def _config(recipe: Recipe) -> dict[str, Any]:
    return recipe.model_dump(mode="json", include={"sampling", "seed"})


def write_samples(ctx: StageContext) -> StageResult:
    """Let both models write, one after the other."""
    from .session import ChatSession, Options  # imports torch

    sampling, options = ctx.recipe.sampling, Options.of(ctx.recipe)
    answers = answering(ctx.recipe)
    questions = sampling.questions if answers else []
    if sampling.questions and not questions:
        log.warning("sampling.questions are left out: instructions: null means no model that answers")
    ctx.progress.start(len(sampling.prompts) + len(questions), counting="tokens")
    rows: list[dict[str, Any]] = []

    def add(kind: str, prompt: str, stream: TextStream) -> None:
        stream.read()
        rate = round(stream.tokens / max(stream.seconds, 1e-9), 1)
        row = {"kind": kind, "prompt": prompt, "text": stream.text, "tokens": stream.tokens, "tokens_per_second": rate}
        rows.append(row)
        ctx.progress.advance(1, stream.tokens)

    if sampling.prompts:
        base = ChatSession.open(ctx.run, "pretrain")
        for place, prompt in enumerate(sampling.prompts):
            add("continuation", prompt, base.continue_text(prompt, replace(options, seed=options.seed + place)))
    if questions:
        tuned = ChatSession.open(ctx.run, answers)
        for place, question in enumerate(questions):
            messages = [{"role": "user", "content": question}]
            add("answer", question, tuned.answer(messages, replace(options, seed=options.seed + place)))

    path = ctx.folder / "samples.json"
    write_json(path, rows)
    counters: dict[str, float | int] = {"samples": len(rows), "tokens": sum(row["tokens"] for row in rows)}
    return StageResult([file_entry(ctx.folder, path, len(rows))], counters)
