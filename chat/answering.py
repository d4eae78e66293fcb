"""Which of a run's models answers, which is its last, and in which chat template they speak."""

from __future__ import annotations

from ..core.run import Run
from ..tokenize.bpe import Tokenizer
from ..tokenize.chat_templates import Description
from ..tokenize.given import describe_spoken
from ..train.checkpoints import newest


def answering_stage(run: Run) -> str:
    """The stage whose model answers: `align` where the run has one that does, finished or begun; else `finetune`."""
    align = run.recipe.align
    if align is None or not align.answers:
        return "finetune"
    return "align" if _begun(run, "align") else "finetune"


def last_stage(run: Run) -> str:
    """The last stage that the run has a model of, finished or begun: `align` where that answers, `finetune`, else
    `pretrain`."""
    if not run.recipe.finetuned:
        return "pretrain"
    stage = answering_stage(run)
    return stage if stage == "align" or _begun(run, stage) else "pretrain"


def _begun(run: Run, stage: str) -> bool:
    return run.manifest(stage) is not None or newest(run.stage(stage) / "checkpoints") is not None


def learned_template(run: Run, stage: str, tokenizer: Tokenizer) -> Description | None:
    """The chat template that the stage's model was trained with, of an unfinished stage as the recipe has it."""
    manifest, data = run.manifest(stage) or run.manifest("finetune"), run.recipe.finetune.data
    if stage == "pretrain":
        return None
    if manifest is None and data is not None:
        return describe_spoken(run.stage("tokenizer"), tokenizer, data.template, data.template_folder)
    return manifest and manifest.facts.get("template")
