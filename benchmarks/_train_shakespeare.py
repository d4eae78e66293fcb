"""What recipes/shakespeare.yaml learns: the loss on the whole validation part, of some seeds.

The recipe's model and training, on shards as the stage `shards` writes them, without Ray and without the stages before:
these leave out the seven blanks that stand at line ends of the text, so that the loss would be that of another text.
Every character of the last tenth is a target once, in rows of `model.context`, as in train/validation.py.

With `held_out` the last tenth of the training part takes the validation part's place, and the rest alone is trained on:
the recipe's settings were chosen on that loss (one step of a run there has the same tokens, so that all carries over).
"""

from __future__ import annotations

import gzip
import statistics
import tempfile
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import _bench
from crawl2chat.core.recipe import Recipe, load_recipe
from crawl2chat.model.config import ModelConfig
from crawl2chat.tokenize.bpe import Tokenizer
from crawl2chat.tokenize.encode import encode_documents
from crawl2chat.tokenize.shards import write_shard
from crawl2chat.tokenize.train import train_tokenizer
from crawl2chat.train.loader import TokenDataset
from crawl2chat.train.loop import Plan
from crawl2chat.train.metrics import read_metrics
from crawl2chat.train.validation import ValidationTokens
from crawl2chat.train.worker import Job, run_training
from crawl2chat.train.world import World

NANOGPT = 1.874  # its recipe for a CPU: same text, parameters and tokens


def measured(path: Path, seeds: int, held_out: bool, overrides: Sequence[str]) -> dict[str, float | None]:
    if not path.is_file():
        return {"shakespeare_val_loss": None}
    text = (gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()).decode()
    recipe = load_recipe("shakespeare", overrides)
    train, validation = _parts(text, recipe.shards.validation_share)
    if held_out:
        train, validation = _parts(train, recipe.shards.validation_share)
    rows = []
    for seed in range(1, seeds + 1):
        began = time.perf_counter()
        loss = trained(recipe.model_copy(update={"seed": seed}), train, validation)
        rows.append((seed, loss, time.perf_counter() - began))
    print(
        f"{'held-out tenth of the training part' if held_out else 'validation part'}: {len(validation):,} characters\n"
    )
    mean = statistics.mean(loss for _, loss, _ in rows)
    shown = [(str(seed), f"{loss:.4f}", f"{seconds:.0f}") for seed, loss, seconds in rows]
    _bench.print_table(("seed", "loss, nats a character", "seconds"), [*shown, ("mean", f"{mean:.4f}", "")])
    return {"shakespeare_held_out_loss" if held_out else "shakespeare_val_loss": mean}


def trained(recipe: Recipe, train: str, validation: str) -> float:
    """The loss after the recipe's last step."""
    tokenizer = Tokenizer(train_tokenizer([[train]], recipe.tokenizer.vocab_size))
    config, settings = ModelConfig.from_settings(recipe.model, tokenizer.vocab_size), recipe.train
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        for name, text in (("train", train), ("validation", validation)):
            tokens, counts = encode_documents(tokenizer, [text])
            write_shard(folder / f"{name}.arrow", [name], tokens, counts, tokenizer, name)
        job = Job(
            folder=folder / "pretrain",
            model=config,
            plan=Plan.of(settings, recipe.seed, settings.precision, settings.micro_batch),
            optimizer=settings.optimizer,
            keep=1,
            open_data=partial(TokenDataset, [folder / "train.arrow"], config.context),
            open_validation=partial(
                ValidationTokens, [folder / "validation.arrow"], config.context, tokenizer.end_of_text
            ),
            token_bytes=tokenizer.token_bytes(),
            tokenizer_digest=tokenizer.digest,
            data_digest="",
            recipe={},
            threads=recipe.resources.threads_per_worker,
            parallel=recipe.resources.parallel,
        )
        run_training(job, World())
        return [row["validation_loss"] for row in read_metrics(job.folder) if "validation_loss" in row][-1]


def _parts(text: str, share: float) -> tuple[str, str]:
    """As the stage `shards` parts a document with `split: tail`."""
    cut = int(len(text) * (1 - share))
    return text[:cut], text[cut:]
