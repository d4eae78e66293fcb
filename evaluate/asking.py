"""What an evaluation asks: for each task of the recipe's section its file, its items, and what stands before each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from pydantic import BaseModel

from ..core.errors import InputError, RecipeError
from ..core.files import sha256_file
from ..core.recipe import Recipe
from ..core.settings_evaluate import Evaluate
from .items import Item
from .prompts import Turns, preambles, turns
from .tasks import Task, task_named


class Asking(BaseModel, frozen=True):
    """A task with everything that decides which prompts a model gets. It travels to workers."""

    task: str
    file: str
    examples: str | None = None  # the file that they are drawn from; None without shots
    shots: int = 0
    limit: int | None = None
    chat: bool = False  # in the model's chat template


@dataclass(frozen=True)
class Questions:
    """A task's items, and the description and examples before each, as text or as turns of a conversation."""

    task: Task
    items: list[Item]
    preambles: Sequence[str | Turns]

    def __len__(self) -> int:
        return len(self.items)

    def part(self, begin: int, end: int) -> list[tuple[Item, str | Turns]]:
        """Items begin … end - 1 with what stands before them."""
        return list(zip(self.items[begin:end], self.preambles[begin:end], strict=True))


def askings(settings: Evaluate) -> list[Asking]:
    """Those of the section, in its order. Raises InputError for a name that is no task's."""
    return [
        _asking(settings, name, shots, settings.limit, settings.chat)
        for name in settings.tasks
        for shots in settings.shots_of(name)
    ]


def askings_while_training(settings: Evaluate) -> list[Asking]:
    """Those of `while_training`; none without it."""
    during = settings.while_training
    if during is None:
        return []
    names = during.tasks or [name for name in settings.tasks if task_named(name).kind != "answer"]
    return [_asking(settings, name, during.shots, during.limit) for name in names]


def read_questions(asking: Asking) -> Questions:
    """Read the files, unless they were read lately. Raises InputError for a file or a row that is wrong, and for too
    few examples."""
    return _read(asking, _stamp(asking.file), _stamp(asking.examples))


def _stamp(file: str | None) -> tuple[int, int] | None:
    """What tells that a file is another: a worker outlives commands."""
    if file is None or not Path(file).is_file():
        return None
    found = Path(file).stat()
    return found.st_size, found.st_mtime_ns


@lru_cache(maxsize=64)  # all that one evaluation asks: its loops go over models and tasks
def _read(asking: Asking, *stamps: tuple[int, int] | None) -> Questions:
    task = task_named(asking.task)
    items = spread(task, task.read(Path(asking.file)), asking.limit)
    pool = task.read(Path(asking.examples)) if asking.examples else []
    try:
        before = turns if asking.chat else preambles
        return Questions(task, items, before(task, items, pool, asking.shots))
    except InputError as error:
        raise InputError(f"{asking.examples}: {error.message}", error.fix) from error


def spread(task: Task, items: Sequence[Item], limit: int | None) -> list[Item]:
    """The first `limit` items; of a task with subjects as many of each as of any other, so far as they go."""
    if limit is None or not task.by_subject:
        return list(items[:limit])
    seen: Counter[str] = Counter()
    places: list[tuple[int, int]] = []
    for place, item in enumerate(items):
        places.append((seen[item.subject], place))
        seen[item.subject] += 1
    return [items[place] for place in sorted(place for _, place in sorted(places)[:limit])]


def check_evaluation(recipe: Recipe) -> None:
    """Raise what is wrong with the recipe's section and its files, before a model is read or trained.

    InputError: a name that is no task's, a file or a row of it; RecipeError: settings that do not fit together.
    """
    if recipe.evaluate is None:
        return
    check_tasks(recipe.evaluate)
    during = askings_while_training(recipe.evaluate)
    if recipe.evaluate.while_training is not None:
        _check_while_training(recipe, during)
    for asking in during:
        read_questions(asking)


def check_tasks(settings: Evaluate) -> None:
    """Raise InputError for a name that is no task's, a file, or a row of it: every row is read."""
    shots = settings.shots if isinstance(settings.shots, dict) else {}
    for name in (*settings.files, *settings.examples, *shots):
        task_named(name)
    for asking in askings(settings):
        read_questions(asking)


def _check_while_training(recipe: Recipe, during: Sequence[Asking]) -> None:
    slow = [one.task for one in during if task_named(one.task).kind == "answer"]
    if slow or not during:
        raise RecipeError(
            f"evaluate.while_training has {slow[0] if slow else 'no task'}, and what is generated takes too long there",
            "name tasks with choices in evaluate.while_training.tasks",
        )
    if recipe.resources.parallel.strategy == "deepspeed":
        raise RecipeError(
            "evaluate.while_training does not go with resources.parallel.strategy deepspeed",
            "set the strategy to fsdp, or leave evaluate.while_training out",
        )


def data_digests(settings: Evaluate) -> dict[str, str]:
    """The content of the section's files, by task: an evaluation counts for these alone."""
    found: dict[str, str] = {}
    for one in askings(settings):
        for name, file in ((one.task, one.file), (f"{one.task}.examples", one.examples)):
            if file is not None:
                found[name] = sha256_file(Path(file)) if Path(file).is_file() else "absent"
    return found


def _asking(settings: Evaluate, name: str, shots: int, limit: int | None, chat: bool = False) -> Asking:
    task, data = task_named(name), Path(settings.data)
    file = settings.files.get(name) or str(task.questions_file(data))
    own = file if name in settings.files and task.shots_file is None else None  # its items are its examples
    examples = settings.examples.get(name) or own or str(task.examples_file(data))
    return Asking(task=name, file=file, examples=examples if shots else None, shots=shots, limit=limit, chat=chat)
