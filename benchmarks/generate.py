"""Writing text: the engine with eight texts against one, and one text against transformers' `generate`.

    python benchmarks/generate.py --json

Random weights, the same in both: exported in Hugging Face's form and loaded by transformers, float32, the likeliest
token each time, 32 tokens of prompt (of the eight up to 46), all threads, one process. Rounds alternate between the
three; medians. The time is of the whole request, from the prompt to the text; transformers does not turn its tokens
into text here.

batch8_gain and hf_generate_ratio are the worst of the models'. Without transformers the latter is null.
"""

from __future__ import annotations

import os
import random
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from _bench import arguments, finish, print_table, read_documents
from crawl2chat.chat.engine import Engine
from crawl2chat.chat.requests import Request
from crawl2chat.model.batch_sampling import Sampling
from crawl2chat.model.config import ModelConfig
from crawl2chat.model.huggingface import write_model
from crawl2chat.model.transformer import Transformer
from crawl2chat.tokenize.bpe import Tokenizer
from crawl2chat.tokenize.train import train_tokenizer

SHAPES: dict[str, dict[str, Any]] = {
    "tiny": {"layers": 4, "width": 128, "heads": 4, "kv_heads": 2, "feed_forward": 384, "context": 256},
    "10M": {"layers": 6, "width": 384, "heads": 6, "kv_heads": 6, "feed_forward": 832, "context": 256},
    "SmolLM2-135M": {
        "layers": 30, "width": 576, "heads": 9, "kv_heads": 3, "feed_forward": 1536, "context": 512, "qk_norm": False,
    },
}  # fmt: skip
PROMPT = 32


def random_model(shape: dict[str, Any], vocab_size: int) -> Transformer:
    model = Transformer(ModelConfig(vocab_size=vocab_size, **shape))
    model.init_weights(1)
    return model.eval()


def texts(engine: Engine, count: int, tokens: int, vocab_size: int) -> list[list[int]]:
    """Let the engine write so many texts at once: their tokens."""
    chance = random.Random(5)
    lengths = [PROMPT + 2 * number for number in range(count)]  # as in a server, no two alike
    prompts = [tuple(chance.randrange(4, vocab_size) for _ in range(length)) for length in lengths]
    generations = [engine.prepare(Request(ids, tokens, Sampling(temperature=0))) for ids in prompts]
    for one in generations:
        engine.add(one)
    found: dict[Any, list[int]] = {one: [] for one in generations}
    while engine.busy:
        for generation, piece in engine.step():
            found[generation] += [one.token for one in piece.written]
    assert all(one.tokens == tokens for one in generations)
    return list(found.values())


def peer(model: Transformer, tokens: int, vocab_size: int) -> Callable[[], list[int]] | None:
    """transformers' generate for the first text; None where it is absent."""
    try:
        import transformers
    except ImportError:
        return None
    with tempfile.TemporaryDirectory() as folder:
        write_model(Path(folder), model, 0, [0])
        theirs = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    theirs.generation_config.eos_token_id = None  # all of them, as ours: no token ends the text
    chance = random.Random(5)
    ids = torch.tensor([[chance.randrange(4, vocab_size) for _ in range(PROMPT)]])
    settings = {"max_new_tokens": tokens, "do_sample": False, "use_cache": True, "pad_token_id": 0}

    @torch.inference_mode()
    def generate() -> list[int]:
        return theirs.generate(ids, attention_mask=torch.ones_like(ids), **settings)[0, PROMPT:].tolist()

    return generate


def measured(name: str, tokenizer: Tokenizer, tokens: int, rounds: int) -> tuple[Any, ...]:
    """A row of the table: tokens/s of one text, of eight, of transformers; gain, ratio, tokens both wrote alike."""
    size = tokenizer.vocab_size
    model = random_model(SHAPES[name], size)
    one, eight = Engine(model, tokenizer, slots=1), Engine(model, tokenizer, slots=8)
    theirs = peer(model, tokens, size)
    sides: dict[str, Callable[[], Any]] = {
        "one": lambda: texts(one, 1, tokens, size), "eight": lambda: texts(eight, 8, tokens, size),
    }  # fmt: skip
    if theirs is not None:
        sides["theirs"] = theirs
    times: dict[str, list[float]] = {side: [] for side in sides}
    for round_number in range(rounds + 1):
        for side, work in sides.items():
            began = time.perf_counter()
            work()
            if round_number:  # the first warms up
                times[side].append(time.perf_counter() - began)
    speed = {side: (8 if side == "eight" else 1) * tokens / statistics.median(its) for side, its in times.items()}
    alike = None
    if theirs is not None:
        pairs = list(zip(sides["one"]()[0], theirs(), strict=True))
        alike = next((place for place, (a, b) in enumerate(pairs) if a != b), len(pairs))
    ratio = speed["one"] / speed["theirs"] if theirs is not None else None
    parameters = model.config.parameters()
    return (name, f"{parameters:,}", speed["one"], speed["eight"], speed.get("theirs"), speed["eight"] / speed["one"],
            ratio, None if alike is None else f"{alike} of {tokens}")  # fmt: skip


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--only", choices=SHAPES, action="append", help="some models (default: all)")
    parser.add_argument("--tokens", type=int, default=128, help="that each text gets (default: %(default)s)")
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="(default: all)")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    tokenizer = Tokenizer(train_tokenizer([read_documents(options.documents)], 2048 if options.quick else 8192))
    names = options.only or (["tiny"] if options.quick else list(SHAPES))
    tokens, rounds = (64, 3) if options.quick else (options.tokens, 7)
    rows = [measured(name, tokenizer, tokens, rounds) for name in names]
    head = ("model", "parameters", "one text, tokens/s", "eight, tokens/s", "transformers, tokens/s",
            "batch 8 / batch 1", "one / transformers", "first tokens alike")  # fmt: skip
    print_table(head, rows)
    ratios = [row[6] for row in rows]
    finish(
        {
            "batch8_gain": min(row[5] for row in rows),
            "hf_generate_ratio": None if None in ratios else min(ratios),
        },
        options.json,
    )


if __name__ == "__main__":
    main()
