"""What fine-tuning and alignment do, on real rows: held-out answers' loss, answers that end, preference accuracy.

    python benchmarks/alignment.py --json
    python benchmarks/alignment.py --quick --keep FOLDER

A base model of one million parameters is pretrained on novels, web pages and Wikipedia, fine-tuned on files of
../shared/data/instruct, and aligned by DPO on the English pairs of ../shared/data/preference: the stages that
`crawl2chat run` runs, on two workers. `--quick` has a tenth of the steps, and web pages alone.

loss_fall                    of the held-out answers, against the base model: 1 - after / before
answers_ended_share          held-out prompts whose greedy answer ends with the end-of-turn token, within 256 tokens and
                             the context; of conversations that were too long to learn from, too
answers_ended_sampled_share  the same, of answers drawn as the chat draws them: temperature 0.8, top-p 0.95
preference_accuracy, ranking_accuracy    of held-out pairs, and NAME_before
margin, kl_estimate, divergence          from the fine-tuned model

All figures are the manifests', but for the answers that are drawn.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import _bench
import yaml

DATA = _bench.SHARED / "data"
INSTRUCT = (
    "rasbt_instruction_data.json.gz",
    "llamafactory_alpaca_en_demo.json.gz",
    "dolly_hhrlhf_train_small.jsonl.gz",
    "llamafactory_identity.json.gz",
    "gsm8k_train_3000.jsonl.gz",
)
PREFERENCE = ("rasbt_instruction_data_with_preference.json.gz", "llamafactory_dpo_en_demo.json.gz")
SHOWN = (
    "preference_accuracy_before", "preference_accuracy", "ranking_accuracy_before", "ranking_accuracy", "margin",
    "kl_estimate", "divergence",
)  # fmt: skip
CONTEXT, ANSWER_TOKENS = 384, 256
MUON = {"learning_rate": 0.02}


def recipe(storage: Path, quick: bool) -> dict[str, Any]:
    """The run as a recipe."""
    part = 10 if quick else 1
    sources = [
        {"kind": "jsonl", "name": "web", "paths": [str(DATA / "web-text-samples" / "c4_demo_300.jsonl.gz")]},
        {"kind": "books", "name": "novels", "paths": [str(DATA / "text" / "austen")], "per": "chapter"},
        {
            "kind": "wikipedia", "name": "wiki",
            "paths": [str(DATA / "wikipedia-dump-sample" / "enwiki-pages-articles-shortened.xml.bz2")],
        },
    ]  # fmt: skip
    return {
        "name": "alignment",
        "storage": str(storage),
        "sources": sources[:1] if quick else sources,
        "tokenizer": {"vocab_size": 2048},
        "model": {"layers": 4, "width": 128, "heads": 4, "kv_heads": 2, "feed_forward": 384, "context": CONTEXT},
        "train": {
            "steps": 200 // part, "batch": 8, "validate_every": 200, "checkpoint_every": 100,
            "optimizer": {"muon": MUON, "learning_rate": 6e-3, "warmup_steps": 20 // part, "min_lr_ratio": 0},
        },
        "finetune": {
            "data": {"paths": [str(DATA / "instruct" / name) for name in INSTRUCT], "too_long": "drop"},
            "steps": 600 // part, "batch": 8, "validate_every": 100, "checkpoint_every": 100,
            "ending_prompts": 100 // part, "ending_tokens": ANSWER_TOKENS,
            "optimizer": {"muon": MUON, "learning_rate": 3e-3, "warmup_steps": 20 // part, "min_lr_ratio": 0},
        },
        "align": {
            "data": {"paths": [str(DATA / "preference" / name) for name in PREFERENCE]},
            "steps": 100 // part, "batch": 8, "validate_every": 100, "checkpoint_every": 100,
            "optimizer": {"learning_rate": 3e-4, "warmup_steps": 10 // part},
        },
        "resources": {"parallel": {"strategy": "ddp"}},  # a small model is sooner copied than sharded
    }  # fmt: skip


def sampled_share(run: Path, prompts: int) -> float:
    """Of the prompts that the stage `finetune` has asked, those whose answer ends when it is drawn."""
    from crawl2chat.tokenize.bpe import END, Tokenizer
    from crawl2chat.train.ending import count_ended, held_out_prompts

    folder, end = run / "finetune", Tokenizer.load(run / "tokenizer" / "tokenizer.json").special(END)
    checkpoint = folder / json.loads((folder / "manifest.json").read_text())["facts"]["checkpoint"]
    asked = held_out_prompts(folder / "examples" / "validation.arrow", prompts, CONTEXT)
    return count_ended(checkpoint, asked, end, ANSWER_TOKENS, temperature=0.8, top_p=0.95) / len(asked)


def main() -> None:
    parser = _bench.arguments(__doc__)
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="keep the run there, and go on with it")
    options = parser.parse_args()
    with ExitStack() as stack:
        folder = options.keep or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        folder.mkdir(parents=True, exist_ok=True)
        made = recipe(folder.absolute(), options.quick)
        path = folder / "recipe.yaml"
        path.write_text(yaml.safe_dump(made))
        subprocess.run([sys.executable, "-m", "crawl2chat", "run", str(path)], check=True, stdout=sys.stderr)
        run = folder / made["name"]
        tuned, aligned = (
            json.loads((run / stage / "manifest.json").read_text())["counters"] for stage in ("finetune", "align")
        )
        sampled = sampled_share(run, made["finetune"]["ending_prompts"])
    before, after = tuned["validation_loss_before"], tuned["validation_loss"]
    figures = {"loss_fall": 1 - after / before, "answers_ended_share": tuned["answers_ended_share"]}
    figures |= {"answers_ended_sampled_share": sampled} | {name: aligned[name] for name in SHOWN}
    rows = [
        ("nats a token of held-out answers", before, after),
        ("held-out answers that end by themselves, greedy", "", tuned["answers_ended_share"]),
        ("held-out answers that end by themselves, drawn", "", sampled),
        ("preference accuracy", aligned["preference_accuracy_before"], aligned["preference_accuracy"]),
        ("ranking accuracy", aligned["ranking_accuracy_before"], aligned["ranking_accuracy"]),
        ("margin", aligned["margin_before"], aligned["margin"]),
        ("divergence, nats a token", "", aligned["divergence"]),
    ]
    print(f"{tuned['conversations']} conversations, {aligned['pairs']} pairs; {tuned['parameters']:,} parameters")
    _bench.print_table(("held out", "before", "after"), rows)
    _bench.finish(figures, options.json)


if __name__ == "__main__":
    main()
