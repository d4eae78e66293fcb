"""The tasks: where the items of each lie, how they are read, asked and scored.

    kind    what is scored                                           figures
    choice  log-likelihood of each choice, the likeliest is taken    acc; acc_norm, acc_bytes: by character, by byte
    word    log-likelihood of the one right continuation             acc (it is the greedy one), perplexity
    answer  a text is generated, its number compared                 strict_match, flexible_extract

`figures` are those that lm-evaluation-harness 0.4.13 gives for its task.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ..core.errors import InputError
from . import formats
from .items import Item, Row, read_rows


@dataclass(frozen=True)
class Task:
    """`file` and `shots_file`: below a data folder, .jsonl.gz or .jsonl; without the latter, items are examples."""

    name: str
    file: str
    item: Callable[[Row], Item]
    kind: str = "choice"
    figures: tuple[str, ...] = ("acc", "acc_norm", "acc_bytes")
    delimiter: str = " "
    shots_file: str | None = None
    harness: str = ""  # its name there, where it is another
    by_subject: bool = False  # examples are the first of the item's subject, which a first line names

    def read(self, path: Path) -> list[Item]:
        """The items of a file in this task's format. Raises InputError for a file or a row that is wrong."""
        found: dict[str, Item] = {}
        for row in read_rows(path):
            item = self.item(row)
            if item.id in found:
                raise row.wrong(
                    f"its id {item.id!r} is that of line {found[item.id].row + 1}", "give each item its own"
                )
            found[item.id] = item
        return list(found.values())

    def questions_file(self, data: Path) -> Path:
        """Where the task's items lie."""
        return _below(data, self.file)

    def examples_file(self, data: Path) -> Path:
        """Where what serves as examples before a question lies."""
        return _below(data, self.shots_file or self.file)

    def load(self, data: Path) -> list[Item]:
        """The task's items."""
        return self.read(self.questions_file(data))

    def pool(self, data: Path) -> list[Item]:
        """The items that serve as examples before a question."""
        return self.read(self.examples_file(data))

    def description(self, item: Item) -> str:
        """What stands before all examples."""
        if not self.by_subject:
            return ""
        subject = item.subject.replace("_", " ")
        return f"The following are multiple choice questions (with answers) about {subject}.\n\n"


_ACC = ("acc",)
_ALL = (
    Task("mmlu", "mmlu/test", formats.mmlu, figures=_ACC, shots_file="mmlu/dev", by_subject=True),
    Task("hellaswag", "eval-tasks/hellaswag_val_every4th", formats.hellaswag),
    Task("arc_easy", "eval-tasks/arc_easy_test", formats.arc, shots_file="eval-tasks/arc_easy_val"),
    Task("arc_challenge", "eval-tasks/arc_challenge_test", formats.arc, shots_file="eval-tasks/arc_challenge_val"),
    Task("piqa", "eval-tasks/piqa_val", formats.piqa),
    Task("winogrande", "eval-tasks/winogrande_val", formats.winogrande, figures=_ACC),
    Task("openbookqa", "eval-tasks/openbookqa_val", formats.openbookqa),
    Task("boolq", "eval-tasks/boolq_val", formats.boolq, figures=_ACC),
    Task("lambada", "eval-tasks/lambada_openai_test", formats.lambada, "word", ("acc", "perplexity"), delimiter="",
         harness="lambada_openai"),
    Task("gsm8k", "eval-tasks/gsm8k_test", formats.gsm8k, "answer", ("strict_match", "flexible_extract")),
    Task("sciq", "eval-tasks/sciq_val", formats.sciq),
    Task("commonsense_qa", "eval-tasks/commonsense_qa_val", formats.commonsense_qa, figures=_ACC),
    Task("social_iqa", "eval-tasks/social_iqa_val", formats.social_iqa, figures=_ACC),
    Task("copa", "eval-tasks/copa_val", formats.copa, figures=_ACC),
    Task("rte", "eval-tasks/rte_val", formats.rte, figures=_ACC),
    Task("sst2", "eval-tasks/sst2_val", formats.sst2, figures=_ACC),
)  # fmt: skip
TASKS = {task.name: task for task in _ALL}


def _below(data: Path, name: str) -> Path:
    """The gzipped file, or the plain one where that alone is there."""
    plain, gzipped = data / f"{name}.jsonl", data / f"{name}.jsonl.gz"
    return plain if plain.exists() and not gzipped.exists() else gzipped


def task_named(name: str) -> Task:
    """Raises InputError for a name that is no task's."""
    if name not in TASKS:
        raise InputError(f"there is no task {name!r}", f"give one of {', '.join(sorted(TASKS))}")
    return TASKS[name]
