"""Train the model of the extraction engine cascade, and write pipelines/extraction/cascade.npz.

    python benchmarks/train_cascade.py PAGES[=WEIGHT] … [--gold JSON] [--each N] [--out FILE]

PAGES are WARC files or folders of HTML or WARC files; WEIGHT says how much each of their pages counts. Pages with gold
segments are split by host: half of them teach, the other half is what the last lines report. --each takes at most so
many pages of a site (host and first folder), for large collections.

Labels of a teacher are wrong on whole pages. So each half of the pages is first judged by a model that was trained on
the other half, and the last model learns the mean of both (a form of Reed et al. 2015, "Training deep neural networks
on noisy labels with bootstrapping"). Names of elements are hidden from some pages, one kind of them or some at a time,
so that the model does not lean on any.
"""

from __future__ import annotations

import argparse
import copy
import gzip
import json
import random
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from _gold import half
from cascade_labels import Lesson, lesson, pydoc_lessons, read_pages
from crawl2chat.pipelines.extract import normalise
from crawl2chat.pipelines.extraction import WEIGHTS
from crawl2chat.pipelines.extraction.features import FLAGS, LEVELS, NUMBERS
from crawl2chat.pipelines.extraction.model import Model
from crawl2chat.pipelines.extraction.network import GAPS, WINDOW
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

HIDDEN, EPOCHS, BATCH, RATE, DECAY = 32, 20, 16, 2.5e-3, 0.2
LONGEST = 600  # blocks of a page seen in one step
TRUST = 0.6  # in the teacher, when its label is mixed with the judgement of a model that has not seen the page


class Network(nn.Module):
    """The network of model.py, for learning. B pages, N blocks, F features, H hidden units."""

    def __init__(self, rows_F: np.ndarray, spread_F: np.ndarray) -> None:
        super().__init__()
        self.mean_F, self.spread_F = torch.from_numpy(rows_F), torch.from_numpy(spread_F)
        self.enter = nn.Linear(len(rows_F), HIDDEN)
        self.near = nn.Conv1d(HIDDEN, HIDDEN, WINDOW, padding=GAPS[0] * (WINDOW // 2), dilation=GAPS[0])
        self.far = nn.Conv1d(HIDDEN, HIDDEN, WINDOW, padding=GAPS[1] * (WINDOW // 2), dilation=GAPS[1])
        self.summary = nn.Linear(2 * HIDDEN, HIDDEN, bias=False)
        self.leave = nn.Linear(HIDDEN, 1)
        self.drop = nn.Dropout(0.3)

    def forward(self, rows_BNF: Tensor, real_BN: Tensor) -> Tensor:
        rows_BNF = self.hide((rows_BNF - self.mean_F) / self.spread_F)
        hidden_BNH = torch.relu(self.enter(self.drop(rows_BNF))) * real_BN[..., None]
        mean_BH = hidden_BNH.sum(1) / real_BN.sum(1, keepdim=True)
        summary_BH = self.summary(torch.cat([hidden_BNH.max(1).values, mean_BH], 1))
        hidden_BHN = hidden_BNH.transpose(1, 2)
        hidden_BHN = torch.relu(self.near(hidden_BHN) + hidden_BHN) * real_BN[:, None]
        hidden_BHN = torch.relu(self.far(hidden_BHN) + hidden_BHN + summary_BH[:, :, None])
        return self.leave(self.drop(hidden_BHN.transpose(1, 2)))[..., 0]

    def hide(self, rows_BNF: Tensor) -> Tensor:
        """While learning: kinds of names hidden from a page at all levels, and single flags."""
        if not self.training:
            return rows_BNF
        pages, blocks, _ = rows_BNF.shape
        flags = rows_BNF[:, :, :FLAGS].reshape(pages, blocks, LEVELS, -1)
        kinds = torch.rand(pages, 1, 1, flags.shape[3]) > 0.4 * torch.rand(pages, 1, 1, 1)
        single = torch.rand(pages, 1, LEVELS, flags.shape[3]) > 0.2 * torch.rand(pages, 1, 1, 1)
        return torch.cat([(flags * kinds * single).reshape(pages, blocks, FLAGS), rows_BNF[:, :, FLAGS:]], 2)

    def weights(self) -> dict[str, np.ndarray]:
        """As model.py has them; the features' mean and spread go into the first layer."""
        with torch.no_grad():
            w0 = self.enter.weight.T / self.spread_F[:, None]
            b0 = self.enter.bias - self.mean_F @ w0
            w1, w2 = (layer.weight.permute(2, 1, 0).reshape(-1, HIDDEN) for layer in (self.near, self.far))
            named = {"w0": w0, "b0": b0, "w1": w1, "b1": self.near.bias, "w2": w2, "b2": self.far.bias}
            named |= {"wp": self.summary.weight.T, "w3": self.leave.weight[0], "b3": self.leave.bias}
            return {name: value.numpy().astype(np.float16) for name, value in named.items()}


def batches(lessons: Sequence[Lesson], draw: random.Random) -> Iterator[list[Tensor]]:
    """All lessons once, in groups of pages of similar length: rows, labels, weights, and which blocks are real."""
    order = draw.sample(range(len(lessons)), len(lessons))
    pools = [
        sorted(order[n : n + 8 * BATCH], key=lambda k: len(lessons[k].texts)) for n in range(0, len(order), 8 * BATCH)
    ]
    groups = [pool[n : n + BATCH] for pool in pools for n in range(0, len(pool), BATCH)]
    draw.shuffle(groups)
    for group in groups:
        longest = min(LONGEST, max(len(lessons[k].texts) for k in group))
        rows = torch.zeros(len(group), longest, FLAGS + NUMBERS)
        labels, weights, real = (torch.zeros(len(group), longest) for _ in range(3))
        for place, one in enumerate(lessons[k] for k in group):
            start = draw.randrange(max(1, len(one.texts) - longest + 1))
            part, size = slice(start, start + longest), min(longest, len(one.texts))
            rows[place, :size] = torch.from_numpy(one.rows.matrix()[part])
            labels[place, :size] = torch.from_numpy(one.labels[part])
            weights[place, :size] = torch.from_numpy(one.shares[part]) * one.weight
            real[place, :size] = 1
        yield [rows, labels, weights, real]


def train(lessons: Sequence[Lesson], seed: int, epochs: int = EPOCHS) -> Network:
    """A running mean of the weights of a network that learns."""
    torch.manual_seed(seed)
    draw = random.Random(seed)
    rows = np.concatenate([one.rows.matrix() for one in lessons])
    network = Network(rows.mean(axis=0), np.maximum(rows.std(axis=0), 0.1))
    del rows
    mean = copy.deepcopy(network)
    optimizer = torch.optim.AdamW(network.parameters(), lr=RATE, weight_decay=DECAY)
    steps = epochs * sum(1 for _ in batches(lessons, random.Random(0)))
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=steps + 1)
    for _ in range(epochs):
        for rows_BNF, labels_BN, weights_BN, real_BN in batches(lessons, draw):
            loss_BN = binary_cross_entropy_with_logits(network(rows_BNF, real_BN), labels_BN, reduction="none")
            optimizer.zero_grad()
            ((loss_BN * weights_BN).sum() / len(rows_BNF)).backward()
            nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            with torch.no_grad():
                for kept, new in zip(mean.parameters(), network.parameters(), strict=True):
                    kept.lerp_(new, 0.01)
    return mean.eval()


def judged(model: Model, one: Lesson) -> np.ndarray:
    return model.keep(one.rows, np.array([len(one.texts)]))


def mixed(lessons: list[Lesson], seed: int) -> None:
    """Mix the labels of each half with the judgement of a model that learned from the other half."""
    halves = [[one for one in lessons if half(one.url, 1) == side] for side in (0, 1)]
    models = [Model(train(part, seed + 1, EPOCHS // 2).weights()) for part in halves]
    for part, model in zip(halves, reversed(models), strict=True):
        for one in part:
            one.labels = (TRUST * one.labels + (1 - TRUST) * judged(model, one)).astype(np.float32)


def report(model: Model, held: Sequence[Lesson], gold: dict) -> None:
    """Precision, recall and F1 over the gold segments of pages that taught nothing, beside the teacher's."""
    for name in ("cascade", "teacher"):
        counts = np.zeros(3)
        for one in held:
            kept = [text for text, keep in zip(one.texts, judged(model, one), strict=True) if keep >= 0.5]
            text = normalise("\n".join(kept)) if name == "cascade" else one.teacher
            wanted, unwanted = (
                [normalise(s) in text for s in gold[one.url].get(key) or ()] for key in ("with", "without")
            )
            counts += sum(wanted), len(wanted) - sum(wanted), sum(unwanted)
        hits, misses, wrong = counts
        precision, recall = hits / (hits + wrong), hits / (hits + misses)
        f1 = 2 * precision * recall / (precision + recall)
        print(f"{name}: {len(held)} pages, segments: precision {precision:.3f}, recall {recall:.3f}, F1 {f1:.3f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pages", nargs="+")
    parser.add_argument("--gold", type=Path, help="URL to {with, without}: segments of text (.json or .json.gz)")
    parser.add_argument("--each", type=int, default=14)
    parser.add_argument("--out", type=Path, default=WEIGHTS)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(1)
    data = options.gold.read_bytes() if options.gold else b"{}"
    gold = json.loads(gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data)
    lessons, held = [*pydoc_lessons(0.5)], []
    for source in options.pages:
        path, _, weight = source.partition("=")
        for url, html in read_pages(Path(path), options.each):
            aside = url in gold and half(url) == 1
            one = lesson(url, html, float(weight or 1), None if aside else gold.get(url))
            if one is not None:
                (held if aside else lessons).append(one)
        print(f"{path}: {len(lessons)} pages to learn from, {len(held)} held out", flush=True)
    mixed(lessons, options.seed)
    weights = train(lessons, options.seed).weights()
    np.savez_compressed(options.out, **weights)  # type: ignore[arg-type]
    print(f"wrote {options.out}, {options.out.stat().st_size:,} bytes")
    report(Model(dict(weights)), held, gold)


if __name__ == "__main__":
    main()
