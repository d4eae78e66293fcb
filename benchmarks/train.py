"""Training, side by side with nanoGPT, Hugging Face's Trainer and litgpt; MFU; what is learned; what Ray Train adds.

    python benchmarks/train.py --json --nanogpt FOLDER --peers PYTHON
    python benchmarks/train.py --only mfu

FOLDER holds nanoGPT's model.py. PYTHON is an interpreter that has litgpt and accelerate, where this one's environment
lacks them. A peer that is absent gives null.

Step times: every loop in a process of its own, the same number of threads, random tokens, fp32, in alternating blocks;
medians; of every project the better of with and without torch.compile.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import _bench
from _train_sides import Side, best, has, measure

NANOGPT = {  # its README's recipe for a CPU; the same shape for us
    "vocab_size": 65, "layers": 4, "width": 128, "heads": 4, "kv_heads": 4, "feed_forward": 512, "context": 64,
    "batch": 12,
}  # fmt: skip
GPT2 = {"family": "gpt2", "bias": False}
LLAMA = {
    "vocab_size": 1024, "layers": 6, "width": 384, "heads": 6, "kv_heads": 6, "feed_forward": 832, "context": 256,
    "batch": 8,
}  # fmt: skip
LLAMA_OURS = {"family": "llama", "tied_embeddings": False}

Figures = dict[str, float | None]


def step_ratio(
    name: str, shape: dict[str, int], ours: dict[str, Any], peer: dict[str, Any], python: str, steps: int, rounds: int
) -> float | None:
    """Our step time over the peer's, both at their better setting; prints the table."""
    common = {"shape": shape, "threads": os.cpu_count()}
    mine, other = [], []
    for compiled in (False, True):
        word = ", compiled" if compiled else ""
        given = common | {"shape": shape | ours, "side": "crawl2chat", "compile": compiled}
        mine.append(Side(f"crawl2chat{word}", given))
        other.append(Side(f"{name}{word}", common | peer | {"compile": compiled}, python))
    measure([*mine, *other], steps, rounds, warm_up=max(3, steps // 4))
    tokens = shape["batch"] * shape["context"]
    rows = []
    for side in [*mine, *other]:
        speed = (1000 * side.seconds, tokens / side.seconds) if side.seconds else (None, None)
        rows.append((side.name, side.parameters or None, *speed))
    _bench.print_table((f"loop ({rounds} blocks of {steps} steps)", "parameters", "ms a step", "tokens/s"), rows)
    a, b = best(mine), best(other)
    return a.seconds / b.seconds if a and b and a.seconds and b.seconds else None


def nanogpt(options: argparse.Namespace) -> Figures:
    if not (options.nanogpt and (options.nanogpt / "model.py").is_file()):
        return {"nanogpt_step_ratio": None}
    peer = {"side": "nanogpt", "nanogpt": str(options.nanogpt)}
    steps, rounds = (10, 3) if options.quick else (20, 9)
    return {"nanogpt_step_ratio": step_ratio("nanoGPT", NANOGPT, GPT2, peer, sys.executable, steps, rounds)}


def packaged(figure: str, side: str, name: str, *modules: str) -> Callable[[argparse.Namespace], Figures]:
    """The section of a peer that is a package."""

    def section(options: argparse.Namespace) -> Figures:
        if not has(options.peers, *modules):
            return {figure: None}
        steps, rounds = (2, 2) if options.quick else (3, 7)
        return {figure: step_ratio(name, LLAMA, LLAMA_OURS, {"side": side}, options.peers, steps, rounds)}

    return section


def mfu(options: argparse.Namespace) -> Figures:
    from _train_mfu import measured

    return measured(quick=options.quick)


def shakespeare(options: argparse.Namespace) -> Figures:
    from _train_shakespeare import measured

    seeds = 1 if options.quick else options.seeds
    return measured(options.text, seeds, options.held_out, options.set)


def ray_train(options: argparse.Namespace) -> Figures:
    from _train_ray import measured

    return measured(quick=options.quick)


def loader(options: argparse.Namespace) -> Figures:
    from _loader import loader_figures

    rows = loader_figures(0.5 if options.quick else 2.0)
    _bench.print_table(("order", "context", "rows a batch", "ms to open", "tokens/s on one core"), rows)
    return {"loader_tokens_per_s": rows[0][-1]}


def checkpoints(options: argparse.Namespace) -> Figures:
    from _checkpoint_cost import measured

    return measured(rounds=1 if options.quick else 3)


SECTIONS: dict[str, Callable[[argparse.Namespace], Figures]] = {
    "nanogpt": nanogpt,
    "hf": packaged("hf_step_ratio", "hf", "transformers Trainer", "transformers", "accelerate"),
    "litgpt": packaged("litgpt_step_ratio", "litgpt", "litgpt", "litgpt", "lightning"),
    "mfu": mfu,
    "shakespeare": shakespeare,
    "ray": ray_train,
    "loader": loader,
    "checkpoints": checkpoints,
}


def main() -> None:
    parser = _bench.arguments(__doc__)
    parser.add_argument("--only", "--section", choices=SECTIONS, action="append", help="some sections (default: all)")
    parser.add_argument("--nanogpt", type=Path, help="folder of nanoGPT's model.py")
    parser.add_argument("--peers", default=sys.executable, help="interpreter that has litgpt and accelerate")
    parser.add_argument(
        "--text",
        type=Path,
        default=_bench.SHARED / "data" / "text" / "tinyshakespeare.txt.gz",
        help="the text of the section shakespeare (default: %(default)s)",
    )
    parser.add_argument("--seeds", type=int, default=3, help="of the section shakespeare (default: %(default)s)")
    parser.add_argument("--held-out", action="store_true", help="shakespeare: judge by a part of the training part")
    parser.add_argument("--set", action="append", default=[], help="shakespeare: section.key=value of the recipe")
    options = parser.parse_args()
    figures: Figures = {}
    for name in options.only or SECTIONS:
        print(f"\n## {name}\n", flush=True)
        figures |= SECTIONS[name](options)
    _bench.finish(figures, options.json)


if __name__ == "__main__":
    main()
