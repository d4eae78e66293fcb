"""One side of the training benchmark, in a process of its own: it trains when told to, and says how long it took.

    python _train_side.py '{"side": "crawl2chat", "shape": {...}, ...}'

Every side trains with the loop that its project ships. It answers each line "N" on standard input by N steps, and a
line of JSON {"seconds": of these steps, "parameters": of its model}; in between it waits, and takes no CPU.
"""

from __future__ import annotations

import importlib.util
import json
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from _train_orders import Orders

TOKENS = 1_000_000


def random_tokens(shape: dict[str, int]) -> np.ndarray:
    return np.random.default_rng(0).integers(0, shape["vocab_size"], TOKENS).astype(np.uint16)


@contextmanager
def shard(tokens: np.ndarray) -> Iterator[list[Path]]:
    """A token shard of one document, as `tokenize` writes it."""
    import pyarrow as pa

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "tokens.arrow"
        lists = pa.LargeListArray.from_arrays(pa.array([0, len(tokens)], pa.int64()), pa.array(tokens))
        batch = pa.RecordBatch.from_arrays([pa.array(["one"]), lists], names=["doc_id", "tokens"])
        with pa.ipc.new_file(str(path), batch.schema) as writer:
            writer.write_batch(batch)
        yield [path]


def crawl2chat(settings: dict[str, Any]) -> None:
    """Our loop, as train/worker.py runs it."""
    from crawl2chat.core.settings_guard import SpikeGuard
    from crawl2chat.core.settings_model import Model
    from crawl2chat.core.settings_optimizer import Optimizer
    from crawl2chat.core.settings_parallel import Parallel
    from crawl2chat.model.config import ModelConfig
    from crawl2chat.train.allocator import keep_freed_memory
    from crawl2chat.train.loader import TokenDataset
    from crawl2chat.train.loop import Hooks, Plan, train
    from crawl2chat.train.optimizer import make_optimizer
    from crawl2chat.train.schedule import learning_rates
    from crawl2chat.train.strategies import build
    from crawl2chat.train.world import World

    keep_freed_memory()
    shape = settings["shape"]
    given = {name: value for name, value in shape.items() if name not in ("vocab_size", "batch")}
    config = ModelConfig.from_settings(Model(**given), shape["vocab_size"])
    optimizer, world = Optimizer(learning_rate=1e-3), World()
    model = build(config, 0, "fp32", world, Parallel(compile=settings["compile"]))
    ever = 1_000_000
    plan = Plan(ever, shape["batch"], seed=0, guard=SpikeGuard(), validate_every=1, checkpoint_every=ever)
    orders = Orders(config.parameters())
    hooks = Hooks(on_validate=lambda step: orders.step_done())
    schedule = learning_rates(optimizer, plan.steps)
    with shard(random_tokens(shape)) as paths:
        data = TokenDataset(paths, config.context)
        orders.wait()
        train(model, make_optimizer(model, optimizer), schedule, data, plan, world, hooks)


def nanogpt(settings: dict[str, Any]) -> None:
    """Its model and optimizer from model.py, and the steps of its train.py, which is a script and cannot be called."""
    path = Path(settings["nanogpt"]) / "model.py"
    spec = importlib.util.spec_from_file_location("nanogpt_model", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["nanogpt_model"] = module
    spec.loader.exec_module(module)
    shape, tokens = settings["shape"], random_tokens(settings["shape"])
    config = module.GPTConfig(
        block_size=shape["context"],
        vocab_size=shape["vocab_size"],
        n_layer=shape["layers"],
        n_head=shape["heads"],
        n_embd=shape["width"],
        dropout=0.0,
        bias=False,
    )
    model = module.GPT(config)
    optimizer = model.configure_optimizers(0.1, 1e-3, (0.9, 0.99), "cpu")
    compiled = torch.compile(model) if settings["compile"] else model

    def batch() -> tuple[torch.Tensor, torch.Tensor]:
        starts = torch.randint(len(tokens) - shape["context"], (shape["batch"],)).tolist()
        rows = [tokens[start : start + shape["context"] + 1].astype(np.int64) for start in starts]
        rows_BT = torch.stack([torch.from_numpy(row) for row in rows])
        return rows_BT[:, :-1].contiguous(), rows_BT[:, 1:].contiguous()

    orders = Orders(sum(parameter.numel() for parameter in model.parameters()))
    orders.wait()
    inputs, targets = batch()
    for step in range(1_000_000):
        for group in optimizer.param_groups:
            group["lr"] = 1e-3
        _, loss = compiled(inputs, targets)
        inputs, targets = batch()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        if step % 10 == 0:
            loss.item()
        orders.step_done()


def matmul(settings: dict[str, Any]) -> None:
    """Square products of float32 by torch.matmul, or by oneDNN: a step is one of them."""
    size = settings["size"]
    a, b = torch.rand(size, size), torch.rand(size, size)
    onednn = torch.ops.mkldnn._linear_pointwise
    orders = Orders(0)
    orders.wait()
    while True:
        if settings["onednn"]:
            onednn(a, b, None, "none", [], "")
        else:
            torch.matmul(a, b)
        orders.step_done()


def main() -> None:
    settings = json.loads(sys.argv[1])
    sys.stdout = sys.stderr  # what a peer prints is no answer
    torch.set_num_threads(settings["threads"])
    torch.manual_seed(0)
    sides: dict[str, Callable[[dict[str, Any]], None]] = {
        "crawl2chat": crawl2chat,
        "nanogpt": nanogpt,
        "matmul": matmul,
    }
    if settings["side"] not in sides:
        import _train_peers

        sides |= {"hf": _train_peers.hf_trainer, "litgpt": _train_peers.litgpt}
    sides[settings["side"]](settings)


if __name__ == "__main__":
    main()
