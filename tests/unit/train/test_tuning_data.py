"""What the stage `finetune` makes of files, real and malformed ones: rows, held-out parts, the ledger."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from crawl2chat.core.errors import InputError
from crawl2chat.core.stage import StageContext
from crawl2chat.model.config import ModelConfig
from crawl2chat.tokenize.bpe import Tokenizer
from crawl2chat.tokenize.chat_templates import CHATML
from crawl2chat.train import align_jobs, finetune_data
from crawl2chat.train.chat_rejects import LEDGER
from crawl2chat.train.examples import ChatDataset
from crawl2chat.train.packed_chat import PackedChat, SingleChat

from .tuning import chat, imported, ledger, write

RASBT, GLAIVE = "rasbt_instruction_data.json.gz", "llamafactory_glaive_toolcall_en_demo.json.gz"


def test_pairs_alone_are_what_they_were(context_of: Callable[..., StageContext], chatting: Tokenizer) -> None:
    found = finetune_data.prepare(context_of("finetune"), chatting, 64)
    data = found.open_train()
    assert isinstance(data, ChatDataset) and len(data) == 8 and found.template is None
    assert found.counters == {
        "examples": 8, "examples_cut": 0, "examples_split": 0, "examples_dropped": 0, "validation_examples": 4,
    }  # fmt: skip
    assert found.end == chatting.special("<|end|>") and len(found.files) == 2


@pytest.mark.parametrize(
    ("policy", "name"), [("drop", "dropped"), (None, "cut"), ("truncate", "cut"), ("split", "split")]
)
def test_pairs_alone_that_are_too_long(
    context_of: Callable[..., StageContext], chatting: Tokenizer, policy: str | None, name: str
) -> None:
    ctx = context_of("finetune", finetune={"too_long": policy} if policy else {})
    rows = [chat(0, "Who?", "x" * 90), chat(1, "Who?", "She.")]
    write(ctx.input_folder("instructions") / "pairs.jsonl", rows)
    found = finetune_data.prepare(ctx, chatting, 32)
    counted = {one: found.counters[f"examples_{one}"] for one in ("cut", "split", "dropped")}
    assert counted == {"cut": 0, "split": 0, "dropped": 0} | {name: 1}
    kept = len(found.open_train())
    assert kept == found.counters["examples"] and kept in {"drop": [1], "split": [3, 4, 5]}.get(policy or "", [2])
    write(ctx.input_folder("instructions") / "pairs.jsonl", rows[:1])
    if policy == "drop":
        with pytest.raises(InputError, match=r"gives no example that fits model.context = 32[\s\S]*finetune.too_long"):
            finetune_data.prepare(ctx, chatting, 32)


@pytest.mark.parametrize("own", [True, False], ids=["pairs", "data"])
def test_an_imported_model_keeps_its_template(
    context_of: Callable[..., StageContext], tmp_path: Path, own: bool
) -> None:
    file = write(tmp_path / "chats.jsonl", [{"prompt": "q", "response": "a"}])
    data = {} if own else {"data": {"paths": [str(file)], "validation_share": 0, "packing": False}}
    ctx = context_of("finetune", instructed=own, finetune=data)
    tokenizer = imported(ctx.input_folder("tokenizer"))
    found = finetune_data.prepare(ctx, tokenizer, 128)
    assert found.template is not None and found.template["kind"] == "jinja" and found.template["source"] == CHATML
    assert found.end == tokenizer.special("<|im_end|>")
    inputs, targets = found.open_train().batch(np.array([0]))
    assert inputs[0, 0] == tokenizer.special("<|im_start|>") and found.end in targets[0]


def test_a_template_whose_tokens_an_imported_model_lacks(
    context_of: Callable[..., StageContext], tmp_path: Path
) -> None:
    file = write(tmp_path / "chats.jsonl", [{"prompt": "q", "response": "a"}])
    data = {"paths": [str(file)], "template": "house"}
    ctx = context_of("finetune", instructed=False, finetune={"data": data})
    tokenizer = imported(ctx.input_folder("tokenizer"))
    with pytest.raises(InputError, match=r"tokenizer/tokenizer.json has no special token <\|user\|>.* house"):
        finetune_data.prepare(ctx, tokenizer, 128)


@pytest.mark.parametrize("spoken", [None, "chatml"], ids=["unsaid", "said"])
@pytest.mark.parametrize("method", ["reward", "grpo"])
def test_alignment_speaks_the_template_of_the_fine_tuned_model(
    context_of: Callable[..., StageContext], small: ModelConfig, tmp_path: Path, method: str, spoken: str | None
) -> None:
    """Where the manifest says none it is the imported model's, never ours, whose tokens there are not."""
    file = write(tmp_path / "p.jsonl", [{"prompt": "q", "chosen": "yes", "rejected": "no"}])
    data = {"paths": [str(file)], "validation_share": 0}
    ctx = context_of("align", align={"method": method, "data": data, "grpo": {"problems": 3, "held_out": 2}})
    tokenizer, align = imported(ctx.input_folder("tokenizer")), ctx.recipe.align
    model = replace(small, vocab_size=tokenizer.vocab_size, context=256).to_dict()
    facts = {"model": model, "checkpoint": "checkpoints/step_000001"}
    base = ctx.inputs["tokenizer"].model_copy(update={"config": {"train": {"precision": "fp32"}}, "facts": facts})
    said = {"template": {"kind": spoken}} if spoken else {}
    ctx.inputs.update(pretrain=base, finetune=base.model_copy(update={"facts": facts | said}))
    assert align is not None
    made = align_jobs.make(ctx, align, tokenizer)
    ids = made.job.open_data().batch(np.array([0]))[0].reshape(-1).tolist()
    asked = tokenizer.encode("user\nq" if method == "reward" else "user\n")
    assert ids[: len(asked) + 1] == [tokenizer.special("<|im_start|>"), *asked]


def test_chat_data_join_the_pairs_and_rejects_are_named(
    context_of: Callable[..., StageContext], chatting: Tokenizer, tmp_path: Path
) -> None:
    good = [{"instruction": f"say {n}", "input": "", "output": f"{n}"} for n in range(40)]
    bad = ["{", {"text": "x"}, {"instruction": "q", "output": ""}, {"messages": [{"role": "user", "content": "q"}]}]
    file = write(tmp_path / "chats.jsonl", [*good[:20], *bad, *good[20:], {"prompt": "w" * 200, "response": "a"}])
    ctx = context_of("finetune", finetune={"data": {"paths": [str(file)], "validation_share": 0.3}})
    found = finetune_data.prepare(ctx, chatting, 64)
    data = found.open_train()
    assert isinstance(data, PackedChat) and found.open_validation is not None
    counters = found.counters
    assert counters["conversations"] == 53 == counters["examples"] + counters["validation_examples"]
    assert {name: number for name, number in counters.items() if name.startswith("rejected.")} == {
        "rejected.empty_content": 1, "rejected.no_assistant_turn": 1, "rejected.not_json": 1,
        "rejected.unknown_format": 1,
    }  # fmt: skip
    assert [(row["file"], row["row"], row["reason"]) for row in ledger(ctx)] == [
        (str(file), 21, "not_json"), (str(file), 22, "unknown_format"), (str(file), 23, "empty_content"),
        (str(file), 24, "no_assistant_turn"),
    ]  # fmt: skip
    ids = data.doc_ids.to_pylist()
    assert "pairs.jsonl:8" in ids and "pairs_validation.jsonl:1" not in ids
    held_out = found.open_validation()
    assert isinstance(held_out, PackedChat) and "pairs_validation.jsonl:4" in held_out.doc_ids.to_pylist()
    assert counters["rows"] == len(data) < 30 and 0.5 < counters["places_filled"] <= 1
    assert [entry.path for entry in found.files] == ["examples/train.arrow", "examples/validation.arrow", LEDGER]


@pytest.mark.parametrize(("policy", "kept"), [("drop", 0), ("truncate", 1), ("split", 3)])
def test_the_policy_for_those_too_long(
    context_of: Callable[..., StageContext], chatting: Tokenizer, tmp_path: Path, policy: str, kept: int
) -> None:
    long = {"prompt": "q", "response": "x" * 80}
    file = write(tmp_path / "chats.jsonl", [long, {"prompt": "q", "response": "x"}])
    data = {"paths": [str(file)], "too_long": policy, "validation_share": 0, "packing": False}
    ctx = context_of("finetune", instructed=False, finetune={"data": data})
    found = finetune_data.prepare(ctx, chatting, 32)
    rows = found.open_train()
    assert isinstance(rows, SingleChat) and len(rows) == 1 + kept and found.open_validation is None
    name = {"drop": "dropped", "truncate": "truncated", "split": "split"}[policy]
    assert found.counters["too_long"] == found.counters[name] == 1


def test_what_leaves_nothing_is_an_error(
    context_of: Callable[..., StageContext], chatting: Tokenizer, tmp_path: Path
) -> None:
    file = write(tmp_path / "chats.jsonl", [{"prompt": "q", "response": "x" * 80}])
    data = {"paths": [str(file)], "validation_share": 0}
    ctx = context_of("finetune", instructed=False, finetune={"data": data})
    with pytest.raises(InputError, match=r"finetune\.data\.paths gives no conversation that fits model.context = 32"):
        finetune_data.prepare(ctx, chatting, 32)


def test_a_format_that_is_named_is_asked_for(
    context_of: Callable[..., StageContext], chatting: Tokenizer, tmp_path: Path
) -> None:
    rows = [
        {"instruction": "q", "output": "a"},
        {"conversations": [{"from": "human", "value": "q"}]},
        chat(1, "q", "a"),
    ]
    file = write(tmp_path / "chats.jsonl", rows)
    data = {"paths": [str(file)], "format": "messages", "template": "chatml", "validation_share": 0}
    ctx = context_of("finetune", instructed=False, finetune={"data": data})
    found = finetune_data.prepare(ctx, chatting, 64)
    assert found.counters["rejected.unknown_format"] == 2 and found.counters["conversations"] == 1
    assert found.template == {"kind": "chatml"} and found.end == chatting.special("<|im_end|>")
    assert "of the format alpaca, not messages" in ledger(ctx)[0]["detail"]


@pytest.mark.parametrize(("name", "conversations"), [(RASBT, 1100), (GLAIVE, None)])
def test_real_rows(
    context_of: Callable[..., StageContext], chatting: Tokenizer, instruct: Callable[[str], Path], name: str,
    conversations: int | None,
) -> None:  # fmt: skip
    data = {"paths": [str(instruct(name))], "max_rejects": 300, "too_long": "split"}
    ctx = context_of("finetune", instructed=False, finetune={"data": data})
    found = finetune_data.prepare(ctx, chatting, 256)
    total = found.counters["examples"] + found.counters["validation_examples"]
    assert total == found.counters["conversations"] and found.counters["validation_examples"] > 2
    assert conversations in (None, total)
    assert len(ledger(ctx)) == sum(v for k, v in found.counters.items() if k.startswith("rejected."))
    rows = found.open_train()
    assert rows.target_count(np.arange(len(rows))) > 1000
