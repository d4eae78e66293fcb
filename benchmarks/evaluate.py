"""MMLU with five examples: our engine against lm-evaluation-harness's HFLM, on one model, one after the other.

    python benchmarks/evaluate.py [--model FOLDER] [--items N] [--spread] [--shots N] [--json] [--quick]

Both get the same pairs of context and answer, those of the first N items of MMLU's test set, so of whole subjects, as a
run over all 14,042 items has them; with --spread as many of each of the 57 subjects: a sample of all lengths, in which
few items share their examples. Timed is what is between the pairs and their log-likelihoods, tokenization included,
in a process of its own on all cores, in float32; reading the model is not. The harness has the fastest of some batch
sizes, which is tried on its first items. An item agrees when both find the same answer the likeliest.

Without --model, a folder in Hugging Face's form, a model of random weights and a tokenizer of MMLU's validation set are
made. lm_eval_ratio: our items/s, divided by the harness's; item_agreement: share of items.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

from _bench import SHARED, arguments, finish, print_table

SIDE = Path(__file__).with_name("_evaluate_side.py")


def side(*words: str) -> None:
    """A process with -P: this file's folder on sys.path would put it before the package `evaluate`."""
    subprocess.run([sys.executable, "-P", str(SIDE), *words], check=True)


def best(scores: list[float]) -> int:
    return scores.index(max(scores))


def compared(ours: list[float], theirs: list[float], choices: int) -> tuple[float, float]:
    """The share of items with the same likeliest answer, and the largest difference of a log-likelihood, relative."""
    items = [slice(begin, begin + choices) for begin in range(0, len(ours), choices)]
    same = sum(best(ours[item]) == best(theirs[item]) for item in items)
    return same / len(items), max(abs(a - b) / abs(b) for a, b in zip(ours, theirs, strict=True))


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--model", type=Path, metavar="FOLDER", help="in Hugging Face's form, with tokenizer.json")
    parser.add_argument("--data", type=Path, default=SHARED / "data", help="folder with mmlu/ (default: %(default)s)")
    parser.add_argument("--items", type=int, default=400, metavar="N", help="of MMLU's test set (default: %(default)s)")
    parser.add_argument("--spread", action="store_true", help="items of all subjects alike, instead of the first")
    parser.add_argument("--shots", type=int, default=5, metavar="N", help="examples (default: %(default)s)")
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 4, 16], help="batch sizes that the harness tries")
    options = parser.parse_args()
    items = min(options.items, 40) if options.quick else options.items
    with tempfile.TemporaryDirectory() as made:
        work = Path(made)
        model = options.model or work / "model"
        if options.model is None:
            side("make", str(options.data), str(model))
        how = "spread" if options.spread else "first"
        side("pairs", str(options.data), str(work / "pairs.json"), str(items), str(options.shots), how)
        subjects = json.loads((work / "pairs.json").read_text(encoding="utf-8"))["subjects"]
        found: dict[str, dict[str, Any]] = {}
        for name in ("ours", "harness"):
            sizes = json.dumps(options.batches)
            side(name, str(model.absolute()), str(work / "pairs.json"), str(work / f"{name}.json"), sizes)
            found[name] = json.loads((work / f"{name}.json").read_text(encoding="utf-8"))
    ours, theirs = found["ours"], found["harness"]
    agreement, apart = compared(ours["scores"], theirs["scores"], choices=4)
    print(
        f"{ours['parameters']:,} parameters, {items} items of {subjects} subjects, "
        f"{ours['tokens']:.0f} tokens each with their {options.shots} examples"
    )
    print(", ".join(f"{name} {version(name)}" for name in ("torch", "transformers", "lm_eval")) + "\n")
    print_table(
        ("engine", "items/s", "seconds"),
        [
            ("ours", items / ours["seconds"], ours["seconds"]),
            (f"lm-eval HFLM, batch {theirs['batch']}", items / theirs["seconds"], theirs["seconds"]),
        ],
    )
    ratio = theirs["seconds"] / ours["seconds"]
    print(f"\nratio {ratio:.2f}; same answer in {agreement:.2%} of the items; scores differ by {apart:.1e} at most")
    finish({"lm_eval_ratio": ratio, "item_agreement": agreement, "score_difference": apart}, options.json)


if __name__ == "__main__":
    main()
