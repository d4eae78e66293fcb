"""Which of a run's models answers, and in which chat template."""

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
    begun = run.manifest("align") is not None or newest(run.stage("align") / "checkpoints") is not None
    return "align" if begun else "finetune"


def learned_template(run: Run, stage: str, tokenizer: Tokenizer) -> Description | None:
    """The chat template that the stage's model was trained with, of an unfinished stage as the recipe has it."""
    manifest, data = run.manifest(stage) or run.manifest("finetune"), run.recipe.finetune.data
    if stage == "pretrain":
        return None
    if manifest is None and data is not None:
        return describe_spoken(run.stage("tokenizer"), tokenizer, data.template, data.template_folder)
    return manifest and manifest.facts.get("template")
