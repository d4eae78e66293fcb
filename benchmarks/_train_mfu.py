"""Model FLOPs utilisation: the FLOPs that a model's steps need, over what the machine's matrix product gives.

FLOPs of a token as in PaLM (ModelConfig.flops_per_token): 6 a parameter and 12 · layers · width · context for
attention, causality not deducted. The peak is that of the faster of torch.matmul and oneDNN's product
(model/products.py) on square float32 matrices, measured in turn with the training steps; `mfu_of_matmul` is against
torch.matmul's.
"""

from __future__ import annotations

import os

import _bench
from _train_sides import Side, best, measure
from crawl2chat.core.settings_model import Model
from crawl2chat.model.config import ModelConfig

SHAPE = {"layers": 7, "width": 512, "heads": 8, "kv_heads": 8, "feed_forward": 1536, "context": 512}
VOCABULARY, BATCH, SIZE = 2048, 4, 2048


def measured(quick: bool) -> dict[str, float | None]:
    threads = os.cpu_count()
    config = ModelConfig.from_settings(Model(**SHAPE), VOCABULARY)  # pyright: ignore[reportArgumentType]
    shape = SHAPE | {"vocab_size": VOCABULARY, "batch": BATCH}
    ours = [
        Side(
            f"crawl2chat{', compiled' if compiled else ''}",
            {"side": "crawl2chat", "shape": shape, "compile": compiled, "threads": threads},
        )
        for compiled in (False, True)
    ]
    peaks = [
        Side(name, {"side": "matmul", "onednn": onednn, "size": SIZE, "threads": threads})
        for name, onednn in (("torch.matmul", False), ("oneDNN's product", True))
    ]
    measure([*ours, *peaks], steps=4, rounds=2 if quick else 8, warm_up=4)
    flops = config.flops_per_token() * BATCH * SHAPE["context"]
    product = 2.0 * SIZE**3
    rates = {side.name: work / min(side.times) / 1e9 for side, work in ((s, product) for s in peaks)}
    for side in ours:
        if side.seconds:
            rates[side.name] = flops / side.seconds / 1e9
    peak = max(rates[side.name] for side in peaks)
    _bench.print_table(
        (f"{config.parameters() / 1e6:.1f}M parameters, context {SHAPE['context']}", "GFLOP/s", "of the peak"),
        [(name, rate, rate / peak) for name, rate in rates.items()],
    )
    fastest = best(ours)
    return {
        "mfu": rates[fastest.name] / peak if fastest else None,
        "mfu_of_matmul": rates[fastest.name] / rates["torch.matmul"] if fastest else None,
    }
