"""One side of benchmarks/evaluate.py, or what both need, in a process of its own. Run with -P.

make DATA FOLDER                    a model of random weights in Hugging Face's form
pairs DATA FILE ITEMS SHOTS first | spread    {subjects, pairs: [[context, continuation], …]}, four for each item
ours | harness MODEL PAIRS FILE SIZES    {seconds, scores, parameters, tokens, batch}
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

os.environ |= {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "true"}
CORES = len(os.sched_getaffinity(0))
PILOT = 16  # items


def make(data: str, folder: str) -> None:
    from crawl2chat.core.files import write_json
    from crawl2chat.evaluate.tasks import TASKS
    from crawl2chat.model.config import ModelConfig
    from crawl2chat.model.huggingface import write_model
    from crawl2chat.model.transformer import Transformer
    from crawl2chat.tokenize.bpe import Tokenizer
    from crawl2chat.tokenize.hf_files import tokenizer_config
    from crawl2chat.tokenize.train import train_tokenizer

    items = TASKS["mmlu"].read(Path(data) / "mmlu" / "val.jsonl.gz")
    tokenizer = train_tokenizer([[item.contexts[0] for item in items]], 8192)
    ours, target = Tokenizer(tokenizer), Path(folder)
    model = Transformer(
        ModelConfig(ours.vocab_size, layers=8, width=320, heads=10, kv_heads=5, feed_forward=960, context=2048)
    )
    model.init_weights(1)
    target.mkdir(parents=True)
    write_model(target, model, ours.end_of_text, [ours.end_of_text])
    (target / "tokenizer.json").write_bytes(tokenizer)
    write_json(target / "tokenizer_config.json", tokenizer_config(model.config.context, chat=False))


def pairs(data: str, file: str, items: str, shots: str, how: str) -> None:
    from crawl2chat.evaluate.asking import spread
    from crawl2chat.evaluate.prompts import pairs, preambles
    from crawl2chat.evaluate.tasks import TASKS

    task = TASKS["mmlu"]
    every = task.load(Path(data))
    some = spread(task, every, int(items)) if how == "spread" else every[: int(items)]
    before = preambles(task, some, task.pool(Path(data)), int(shots))
    asked = [pair for item, preamble in zip(some, before, strict=True) for pair in pairs(task, item, preamble)]
    subjects = len({item.subject for item in some})
    Path(file).write_text(json.dumps({"subjects": subjects, "pairs": asked}), encoding="utf-8")


def ours(model: str, file: str, out: str, sizes: str) -> None:
    import torch
    from crawl2chat.evaluate.likelihood import log_likelihoods
    from crawl2chat.evaluate.models import model_in, open_model
    from crawl2chat.evaluate.requests import encode_pairs
    from crawl2chat.evaluate.scoring import PORTION

    torch.set_num_threads(CORES)
    opened, tokenizer = open_model(model_in(Path(model)))
    asked, context = _read(file), opened.config.context
    log_likelihoods(opened, encode_pairs(tokenizer, asked[:4], context))  # what the first call alone costs
    began = time.perf_counter()
    scores, tokens = [], 0
    for begin in range(0, len(asked), 4 * PORTION):
        requests = encode_pairs(tokenizer, asked[begin : begin + 4 * PORTION], context)
        scores += [one.log_likelihood for one in log_likelihoods(opened, requests)]
        tokens += sum(len(one.inputs) for one in requests)
    seconds = time.perf_counter() - began
    about = {"parameters": opened.config.parameters(), "tokens": tokens / len(asked)}
    _write(out, {"seconds": seconds, "scores": scores, **about})


def harness(model: str, file: str, out: str, sizes: str) -> None:
    import torch
    from lm_eval.api.instance import Instance
    from lm_eval.models.huggingface import HFLM

    torch.set_num_threads(CORES)
    lm = HFLM(pretrained=model, device="cpu", dtype="float32", batch_size=1)
    asked = [Instance("loglikelihood", {}, pair, number) for number, pair in enumerate(_read(file))]

    def timed(size: int, requests: list[Any]) -> tuple[float, list[float]]:
        lm.batch_size_per_gpu = size
        began = time.perf_counter()
        found = lm.loglikelihood(requests, disable_tqdm=True)
        return time.perf_counter() - began, [float(one[0]) for one in found]

    timed(1, asked[:4])
    pilot = asked[: 4 * PILOT]
    batch = min(json.loads(sizes), key=lambda size: timed(size, pilot)[0])
    seconds, scores = timed(batch, asked)
    _write(out, {"seconds": seconds, "scores": scores, "batch": batch})


def _read(file: str) -> list[tuple[str, str]]:
    return [(one[0], one[1]) for one in json.loads(Path(file).read_text(encoding="utf-8"))["pairs"]]


def _write(file: str, found: dict[str, Any]) -> None:
    Path(file).write_text(json.dumps(found), encoding="utf-8")


if __name__ == "__main__":
    {"make": make, "pairs": pairs, "ours": ours, "harness": harness}[sys.argv[1]](*sys.argv[2:])
