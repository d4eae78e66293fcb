"""The coordinate check (Yang et al. 2022, "Tensor Programs V", appendix D.1): under `model.transfer` what flows through
a model has the same size at every width and depth, also after steps of training; in the standard parametrisation not.

Sizes are root mean squares after ten steps, as geometric means over seeds: first weights differ between shapes, and
what a model makes of two short rows is noise.

Depths are compared where the same share of the model lies below: the stream half way and at the end, and the parts of
the block that reads the stream half way. The last block would not do: of two blocks it reads the stream half way, of
sixteen nearly at the end, where there is more for attention to see.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from statistics import geometric_mean

import pytest
import torch
import torch.nn.functional as F
from crawl2chat.core.settings_model import Model
from crawl2chat.core.settings_optimizer import Muon, Optimizer
from crawl2chat.model.config import ModelConfig
from crawl2chat.model.transformer import Transformer
from crawl2chat.train.optimizer import make_optimizer
from torch import Tensor

VOCABULARY, CONTEXT, STEPS, RATE = 256, 32, 10, 4e-3
FLAT = 1.6  # largest over smallest size, of shapes that differ by factors up to 16 in width, or up to 8 in depth
BASE = {"base_width": 64, "base_layers": 2}
WIDTHS, DEPTHS = (64, 128, 256, 512, 1024), (2, 4, 8, 16)


def sizes(settings: dict, optimizer: Optimizer, seed: int) -> dict[str, float]:
    """Sizes after training on two rows of random tokens, and of what the training has changed."""
    shape = {"width": 64, "layers": 2, "heads": settings.get("width", 64) // 16, "context": CONTEXT} | settings
    model = Transformer(ModelConfig.from_settings(Model.model_validate(shape), VOCABULARY))
    model.init_weights(seed)
    made = make_optimizer(model, optimizer)
    tokens = torch.randint(VOCABULARY, (2, CONTEXT + 1), generator=torch.Generator().manual_seed(seed))
    seen: dict[str, Tensor] = {}
    half = len(model.blocks) // 2
    parts = {"half": model.blocks[half - 1], "end": model.blocks[-1], "logits": model}
    parts |= {"attention": model.blocks[half].attention, "feed_forward": model.blocks[half].feed_forward}
    for name, part in parts.items():
        part.register_forward_hook(keep(seen, name))
    model(tokens[:, :-1])
    first = dict(seen)
    for _ in range(STEPS):
        for group in made.param_groups:
            group["lr"] = optimizer.learning_rate * group["lr_ratio"]
        F.cross_entropy(model(tokens[:, :-1]).flatten(0, 1), tokens[:, 1:].flatten()).backward()
        made.step()
        made.zero_grad()
    with torch.no_grad():
        model(tokens[:, :-1])
    found = {name: size(value) for name, value in seen.items()}
    return found | {f"change of {name}": size(seen[name] - value) for name, value in first.items()}


def keep(seen: dict[str, Tensor], name: str) -> Callable[..., None]:
    def hook(module: object, inputs: object, output: Tensor) -> None:
        seen[name] = output.detach()

    return hook


def size(x: Tensor) -> float:
    return x.square().mean().sqrt().item()


def drift(shapes: Sequence[dict], seeds: int, optimizer: Optimizer | None = None) -> dict[str, float]:
    """Of every size, the largest over the smallest among the shapes."""
    optimizer = optimizer or Optimizer(learning_rate=RATE)
    runs = [[sizes(shape, optimizer, seed) for seed in range(seeds)] for shape in shapes]
    found = [{name: geometric_mean(one[name] for one in many) for name in many[0]} for many in runs]
    return {name: max(one[name] for one in found) / min(one[name] for one in found) for name in found[0]}


@pytest.mark.parametrize("family", ["qwen3", "llama"])
@pytest.mark.parametrize(("shapes", "seeds"), [
    ([{"width": width} for width in WIDTHS], 1), ([{"layers": layers} for layers in DEPTHS], 2),
], ids=["width", "depth"])  # fmt: skip
def test_sizes_stay_under_transfer_and_drift_without(family: str, shapes: list[dict], seeds: int) -> None:
    found = drift([{"family": family, "transfer": BASE} | shape for shape in shapes], seeds)
    standard = drift([{"family": family} | shape for shape in shapes], seeds)
    assert max(found.values()) < FLAT, found
    for name in ("half", "end", "change of half", "change of end"):
        assert standard[name] > FLAT, (name, standard)


@pytest.mark.parametrize("match_adamw", [False, True])
def test_sizes_stay_with_muon(match_adamw: bool) -> None:
    rate = RATE if match_adamw else 5 * RATE
    optimizer = Optimizer(learning_rate=RATE, muon=Muon(learning_rate=rate, match_adamw=match_adamw))
    shapes = [{"width": width} for width in (64, 256)]
    found = drift([{"transfer": BASE} | shape for shape in shapes], 1, optimizer)
    standard = drift(shapes, 1, optimizer)
    assert max(found.values()) < FLAT, found
    assert max(standard.values()) > FLAT, standard
