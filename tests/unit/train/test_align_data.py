"""What the stage `align` makes of preference files and of instruction pairs: pairs, held-out ones, the ledger."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from crawl2chat.core.errors import InputError
from crawl2chat.core.stage import StageContext
from crawl2chat.tokenize.bpe import Tokenizer
from crawl2chat.tokenize.chat_template import OwnTemplate
from crawl2chat.tokenize.jinja_chat import JinjaTemplate
from crawl2chat.train import align_data
from crawl2chat.train.preference_encoding import encode_pair
from crawl2chat.train.preference_file import PairRows
from crawl2chat.train.preference_making import made_pairs
from crawl2chat.train.preference_rows import read_pairs

from .tuning import chat, ledger, write


def test_made_pairs_prefer_the_answer_to_the_question(tmp_path: Path) -> None:
    rows = [chat(n, f"q{n}{m}", f"a{n}") for n in range(5) for m in range(3)]
    found = list(made_pairs(write(tmp_path / "pairs.jsonl", rows), 7))
    assert [(one.prompt[0]["content"], one.chosen) for one in found] == [
        (row["messages"][0]["content"], row["messages"][1]["content"]) for row in rows
    ]
    assert all(one.rejected != one.chosen and one.rejected in {f"a{n}" for n in range(5)} for one in found)
    assert found == list(made_pairs(tmp_path / "pairs.jsonl", 7)) != list(made_pairs(tmp_path / "pairs.jsonl", 8))
    lonely = write(tmp_path / "one.jsonl", rows[:3])
    assert list(made_pairs(lonely, 7)) == []
    assert len(list(made_pairs(lonely, 7, beside=[tmp_path / "pairs.jsonl"]))) == 3


def test_preference_pairs_of_files_and_of_instructions(
    context_of: Callable[..., StageContext], chatting: Tokenizer, tmp_path: Path
) -> None:
    rows: list[Any] = [{"prompt": f"q{n}", "chosen": f"yes {n}", "rejected": f"no {n}"} for n in range(60)]
    rows += [
        {"prompt": "q", "chosen": "same", "rejected": " same"},
        {"prompt": "q", "chosen": "only"},
        {"prompt": "q", "chosen": "x" * 90, "rejected": "b"},
    ]
    file = write(tmp_path / "p.jsonl", rows)
    data = {"paths": [str(file)], "from_instructions": True, "validation_share": 0.3}
    ctx = context_of("align", align={"data": data})
    assert ctx.recipe.align is not None
    found = align_data.prepare(ctx, ctx.recipe.align.data, OwnTemplate(chatting), 48)
    assert found.pairs["train"] + found.pairs["validation"] == 60 + 12
    assert found.counters["rejected.equal"] == found.counters["rejected.missing"] == 1
    assert found.counters["rejected.too_long"] == 1 and found.counters["truncated"] == 0
    assert {(row["row"], row["reason"]) for row in ledger(ctx)} == {(61, "equal"), (62, "missing"), (63, "too_long")}
    assert {row["file"] for row in ledger(ctx)} == {str(file)}
    held_out = PairRows(found.validation).sources.to_pylist()
    assert held_out.count("pairs_validation.jsonl:1") == 1 and 10 < len(held_out) < 40
    assert not set(held_out) & set(PairRows(found.train).sources.to_pylist())


def test_a_pair_may_be_as_long_as_the_context_and_no_longer(
    context_of: Callable[..., StageContext], chatting: Tokenizer, tmp_path: Path
) -> None:
    """The model reads all of its tokens: the last one too, at which a reward model looks."""
    file = write(tmp_path / "p.jsonl", [{"prompt": "q", "chosen": "yes", "rejected": "never"}])
    ctx = context_of("align", align={"data": {"paths": [str(file)], "validation_share": 0}})
    [pair], _ = read_pairs([file])
    longest = encode_pair(OwnTemplate(chatting), pair).longest
    assert ctx.recipe.align is not None
    found = align_data.prepare(ctx, ctx.recipe.align.data, OwnTemplate(chatting), longest)
    assert found.counters == {"pairs": 1, "validation_pairs": 0, "truncated": 0} and ledger(ctx) == []
    with pytest.raises(InputError, match=r"no pair to train on: {'rejected.too_long': 1}"):
        align_data.prepare(ctx, ctx.recipe.align.data, OwnTemplate(chatting), longest - 1)


def test_pairs_that_the_template_refuses_are_named(
    context_of: Callable[..., StageContext], chatting: Tokenizer, tmp_path: Path
) -> None:
    source = (
        "{% for m in messages %}{% if m.role == 'system' %}{{ raise_exception('no system here') }}{% endif %}"
        "{{ m.content ~ '<|im_end|>' }}{% endfor %}"
    )
    pair = {"prompt": "q", "chosen": "yes", "rejected": "no"}
    file = write(tmp_path / "p.jsonl", [pair, pair | {"system": "Be kind."}])
    ctx = context_of("align", align={"data": {"paths": [str(file)], "validation_share": 0}})
    assert ctx.recipe.align is not None
    found = align_data.prepare(ctx, ctx.recipe.align.data, JinjaTemplate(chatting, source), 64)
    assert found.counters == {"pairs": 1, "validation_pairs": 0, "truncated": 0, "rejected.template": 1}
    [row] = ledger(ctx)
    assert (row["file"], row["row"], row["reason"]) == (str(file), 2, "template") and "no system here" in row["detail"]


def test_pairs_that_are_too_long_may_be_cut(
    context_of: Callable[..., StageContext], chatting: Tokenizer, tmp_path: Path
) -> None:
    rows = [
        {"prompt": "q", "chosen": "yes" + "x" * 90, "rejected": "no"},
        {"prompt": "q", "chosen": "x" * 90, "rejected": "x" * 80},
    ]
    file = write(tmp_path / "p.jsonl", rows)
    data = {"paths": [str(file)], "too_long": "truncate", "validation_share": 0}
    ctx = context_of("align", align={"data": data})
    assert ctx.recipe.align is not None
    found = align_data.prepare(ctx, ctx.recipe.align.data, OwnTemplate(chatting), 32)
    assert found.counters == {"pairs": 1, "validation_pairs": 0, "truncated": 1, "rejected.too_long": 1}
    assert PairRows(found.train).batch(np.array([0]))[0].shape == (1, 2, 32)


@pytest.mark.parametrize(
    ("name", "pairs", "share"),
    [
        ("rasbt_instruction_data_with_preference.json.gz", 1094, 0.1),
        ("llamafactory_dpo_en_demo.json.gz", None, 0.1),
        ("llamafactory_dpo_zh_demo.json.gz", None, 0.1),
    ],
)
def test_real_pairs(
    context_of: Callable[..., StageContext], chatting: Tokenizer, shared_data: Path, name: str, pairs: int | None,
    share: float,
) -> None:  # fmt: skip
    data = {"paths": [str(shared_data / "preference" / name)], "too_long": "truncate", "validation_share": share}
    ctx = context_of("align", align={"data": data})
    assert ctx.recipe.align is not None
    found = align_data.prepare(ctx, ctx.recipe.align.data, OwnTemplate(chatting), 1024)
    kept, left_out = sum(found.pairs.values()), len(ledger(ctx))
    assert kept > 50 and found.pairs["validation"] > 3
    assert pairs is None or kept + found.counters.get("rejected.too_long", 0) == pairs
    assert kept + left_out == (1100 if pairs else 300)


def test_rows_with_one_labelled_answer_are_no_pairs(
    context_of: Callable[..., StageContext], chatting: Tokenizer, shared_data: Path
) -> None:
    data = {"paths": [str(shared_data / "preference" / "llamafactory_kto_en_demo.json.gz")]}
    ctx = context_of("align", align={"data": data})
    assert ctx.recipe.align is not None
    with pytest.raises(InputError, match="more than 100 rows are no preference pairs"):
        align_data.prepare(ctx, ctx.recipe.align.data, OwnTemplate(chatting), 256)
