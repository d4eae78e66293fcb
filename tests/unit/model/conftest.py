"""Small models of every family with weights that matter, and an independent reference for their logits."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch
from crawl2chat.core.settings_model import Model
from crawl2chat.model.config import ModelConfig
from crawl2chat.model.transfer import Transfer
from crawl2chat.model.transformer import Transformer

FAMILIES = ("qwen3", "llama", "gpt2", "transformer2017")
SHAPE = {"layers": 3, "width": 32, "heads": 4, "feed_forward": 40, "context": 24, "rope_theta": 500.0}


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """These tensors are so small that several threads only wait for each other."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def config_of() -> Callable[..., ModelConfig]:
    """config_of(family, **settings): a small configuration."""

    def make(family: str = "qwen3", **settings: object) -> ModelConfig:
        return ModelConfig.from_settings(Model.model_validate(SHAPE | {"family": family} | settings), vocab_size=97)

    return make


@pytest.fixture(params=FAMILIES)
def family_config(request: pytest.FixtureRequest, config_of: Callable[..., ModelConfig]) -> ModelConfig:
    """A small configuration of each family."""
    return config_of(request.param)


@pytest.fixture
def random_model() -> Callable[..., Transformer]:
    """Weights large enough that every part matters; norms other than one, biases other than zero."""

    def make(config: ModelConfig, seed: int = 3) -> Transformer:
        model = Transformer(config)
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                gain = parameter.dim() == 1 and name.endswith("weight")
                parameter.normal_(1.0 if gain else 0.0, 0.3 if parameter.dim() == 1 else 0.2, generator=generator)
        return model.eval()

    return make


@pytest.fixture
def tokens_of() -> Callable[..., torch.Tensor]:
    """Rows of random tokens, a whole context each."""

    def make(config: ModelConfig, batch: int = 2, seed: int = 5) -> torch.Tensor:
        return torch.randint(config.vocab_size, (batch, config.context), generator=torch.Generator().manual_seed(seed))

    return make


@pytest.fixture
def reference_logits() -> Callable[[Transformer, np.ndarray], np.ndarray]:
    return numpy_logits


def numpy_logits(model: Transformer, tokens: np.ndarray) -> np.ndarray:
    """float64, one head and one position at a time."""
    c = model.config
    w = {name: value.numpy().astype(np.float64) for name, value in model.state_dict().items()}

    base = c.transfer or Transfer(c.width, c.layers)
    share, base_head = base.base_layers / c.layers, base.base_head_size or c.head_size
    scale = math.sqrt(base_head) / c.head_size

    def norm(x: np.ndarray, name: str) -> np.ndarray:
        if c.norm == "layer":
            x = x - x.mean(-1, keepdims=True)
        return x / np.sqrt((x * x).mean(-1, keepdims=True) + c.norm_eps) * w[name + ".weight"] + w.get(
            name + ".bias", 0
        )

    def linear(x: np.ndarray, name: str) -> np.ndarray:
        return x @ w[name + ".weight"].T + w.get(name + ".bias", 0)

    def turn(vector: np.ndarray, position: int) -> np.ndarray:
        """As complex numbers: component i and i + K/2 are one number, turned by position * theta^(-2i/K)."""
        half = c.head_size // 2
        angles = position * c.rope_theta ** (-2 * np.arange(half) / c.head_size)
        turned = (vector[:half] + 1j * vector[half:]) * np.exp(1j * angles)
        return np.concatenate([turned.real, turned.imag])

    def attend(h: np.ndarray, name: str) -> np.ndarray:
        cut = [linear(h, f"{name}.{part}").reshape(len(h), -1, c.head_size) for part in ("query", "key", "value")]
        queries, keys, values = (np.moveaxis(part, 1, 0) for part in cut)
        attended = []
        for head, q in enumerate(queries):
            k, v = (part[head // (c.heads // c.kv_heads)] for part in (keys, values))
            if c.qk_norm:
                q, k = norm(q, name + ".query_norm"), norm(k, name + ".key_norm")
            if c.positions == "rotary":
                q, k = (np.stack([turn(vector, at) for at, vector in enumerate(part)]) for part in (q, k))
            rows = []
            for at in range(len(h)):
                weights = np.exp(k[: at + 1] @ q[at] * scale)
                rows.append(weights / weights.sum() @ v[: at + 1])
            attended.append(np.stack(rows))
        return linear(np.concatenate(attended, axis=1), name + ".output")

    def feed(h: np.ndarray, name: str) -> np.ndarray:
        up = linear(h, name + ".up")
        if c.activation == "swiglu":
            gate = linear(h, name + ".gate")
            up = gate / (1 + np.exp(-gate)) * up
        elif c.activation == "gelu_tanh":
            up = 0.5 * up * (1 + np.tanh(math.sqrt(2 / math.pi) * (up + 0.044715 * up**3)))
        else:
            up = np.maximum(up, 0)
        return linear(up, name + ".down")

    x = w["embedding.weight"][tokens] * (math.sqrt(base.base_width) if c.scale_embedding else 1)
    if c.positions == "learned":
        x = x + w["position_embedding.weight"][: len(tokens)]
    if c.positions == "sinusoidal":
        angles = np.arange(len(tokens))[:, None] / c.rope_theta ** (2 * (np.arange(c.width) // 2) / c.width)
        x = x + np.where(np.arange(c.width) % 2, np.cos(angles), np.sin(angles))
    for layer in range(c.layers):
        for half, part in ((attend, "attention"), (feed, "feed_forward")):
            name = f"blocks.{layer}.{part}"
            x = (
                norm(x + half(x, name), name + "_norm")
                if c.post_norm
                else x + share * half(norm(x, name + "_norm"), name)
            )
    x = (x if c.post_norm else norm(x, "norm")) * (base.base_width / c.width)
    return x @ w["embedding.weight" if c.tied_embeddings else "head.weight"].T
