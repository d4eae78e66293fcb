"""A model and a task: a record of each item, in the items' order."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

from ..core.errors import InputError
from ..core.files import digest
from ..model.transformer import Transformer
from .items import Item
from .likelihood import MAX_TOKENS, Likelihood, batches_of_likelihoods
from .prefixes import LEAST_SAVED
from .prompts import SEED, Turns, chat_pairs, pairs, preambles, turns
from .records import Record, RecordFile
from .requests import Request, encode_pairs
from .tasks import Task
from .text_tokenizer import ModelTokenizer, TextTokenizer
from .writing import written_answers

PORTION = 512  # items whose prompts are held at once: so many that those with the same examples meet
ANSWERS = 64  # the same where each item is generated

Asked = Sequence[tuple[Item, str | Turns]]  # items, and what stands before the question of each


def score(
    model: Transformer,
    tokenizer: TextTokenizer,
    task: Task,
    items: Sequence[Item],
    pool: Sequence[Item] = (),
    *,
    shots: int = 0,
    seed: int = SEED,
    chat: bool = False,
    path: Path | None = None,
    name: str = "",
    max_tokens: int = MAX_TOKENS,
) -> list[Record]:
    """Score all items of a task after `shots` examples from the pool; chat: in the model's chat template.

    path: a file of records that grows while this runs; items that stand in it are not scored again. name says which
    model they are of. Raises ContractError where the file is of another model, tokenizer, prompts or shots.
    """
    before = (turns if chat else preambles)(task, items, pool, shots, seed)
    asked = list(zip(items, before, strict=True))
    if path is None:
        return score_asked(model, tokenizer, task, asked, max_tokens)
    file = RecordFile(path, about(model, tokenizer, task, asked, shots, name))
    return score_into(file, model, tokenizer, task, asked, max_tokens)


def score_asked(
    model: Transformer,
    tokenizer: TextTokenizer,
    task: Task,
    asked: Asked,
    max_tokens: int = MAX_TOKENS,
    least_saved: int = LEAST_SAVED,
) -> list[Record]:
    """Score items whose preambles are known. max_tokens, least_saved: as of `log_likelihoods`."""
    found: dict[str, Record] = {}
    for portion in _portions(task, asked):
        for some in _scored(model, tokenizer, task, portion, max_tokens, least_saved):
            found |= {one.id: one for one in some}
    return [found[item.id] for item, _ in asked]


def score_into(
    file: RecordFile, model: Transformer, tokenizer: TextTokenizer, task: Task, asked: Asked, max_tokens: int
) -> list[Record]:
    """The same; each item's record is appended to the file with its batch, and a batch whose items all stand there is
    left out. What is scored anew has the bits that it had without the interruption."""
    for portion in _portions(task, asked):
        if any(item.id not in file.records for item, _ in portion):
            for some in _scored(model, tokenizer, task, portion, max_tokens, known=file.records):
                file.add([one for one in some if one.id not in file.records])
    return [file.records[item.id] for item, _ in asked]


def about(
    model: Transformer, tokenizer: TextTokenizer, task: Task, asked: Asked, shots: int, name: str
) -> dict[str, object]:
    """What records are of: with all of it equal they are the same but for rounding."""
    prompts = digest([[item.id, item.answer, *asked_pairs(tokenizer, task, item, one)] for item, one in asked])
    found: dict[str, object] = {"model": name, "task": task.name, "shots": shots, "tokenizer": tokenizer.digest}
    return found | {"context": model.config.context, "prompts": prompts}


def asked_pairs(tokenizer: TextTokenizer, task: Task, item: Item, before: str | Turns) -> list[tuple[str, str]]:
    """(context, continuation) of each answer, in plain words or in the model's chat template, whichever `before` is of.

    Raises InputError for a conversation with a model that has no template.
    """
    if isinstance(before, str):
        return pairs(task, item, before)
    if not isinstance(tokenizer, ModelTokenizer):
        raise InputError("this tokenizer knows no chat template", "open it as a ModelTokenizer, with its template")
    return chat_pairs(item, before, tokenizer.chat)


def _portions(task: Task, asked: Asked) -> Iterator[Asked]:
    size = ANSWERS if task.kind == "answer" else PORTION
    return (asked[begin : begin + size] for begin in range(0, len(asked), size))


def _scored(
    model: Transformer,
    tokenizer: TextTokenizer,
    task: Task,
    portion: Asked,
    max_tokens: int,
    least_saved: int = LEAST_SAVED,
    known: Collection[str] = (),
) -> Iterator[list[Record]]:
    """Records of the portion's items, each as soon as all that it needs is there; of `known` ids only those that share
    a batch with others."""
    items = [item for item, _ in portion]
    asked = [asked_pairs(tokenizer, task, *one) for one in portion]
    if task.kind == "answer":
        prompts = [one[0][0] for one in asked]
        done = {number for number, item in enumerate(items) if item.id in known}
        for number, text in written_answers(model, tokenizer, prompts, known=done):
            yield [Record.of(items[number], text=text)]
        return
    requests = encode_pairs(tokenizer, [pair for one in asked for pair in one], model.config.context)
    owners = [number for number, one in enumerate(asked) for _ in one]
    own = _places(owners, len(items))
    found: dict[int, Likelihood] = {}
    done = {place for place, number in enumerate(owners) if items[number].id in known}
    for some in batches_of_likelihoods(model, requests, max_tokens, least_saved, done):
        found |= some
        whole = sorted({number for number in map(owners.__getitem__, some) if all(x in found for x in own[number])})
        yield [_record(items[n], [requests[x] for x in own[n]], [found[x] for x in own[n]]) for n in whole]


def _places(owners: Sequence[int], count: int) -> list[list[int]]:
    """The requests of each item."""
    found: list[list[int]] = [[] for _ in range(count)]
    for place, number in enumerate(owners):
        found[number].append(place)
    return found


def _record(item: Item, requests: Sequence[Request], likelihoods: Sequence[Likelihood]) -> Record:
    options = item.contexts if len(item.contexts) > 1 else item.choices
    return Record.of(
        item,
        log_likelihoods=tuple(one.log_likelihood for one in likelihoods),
        greedy=tuple(one.greedy for one in likelihoods),
        bytes=tuple(one.bytes for one in requests),
        lengths=tuple(len(one) for one in options),
        sizes=tuple(len(one.encode()) for one in options),
    )
