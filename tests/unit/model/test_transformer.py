"""The transformer: equal to an independent reference and to transformers', causal, relative, initialised as stated."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import torch
import torch.distributed as dist
from crawl2chat.model.cache import KVCache
from crawl2chat.model.config import ModelConfig
from crawl2chat.model.transformer import Transformer, _positions, rotate
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor
from torch.testing._internal.distributed.fake_pg import FakeStore

BASE = ModelConfig(
    vocab_size=97, layers=3, width=32, heads=4, kv_heads=2, feed_forward=40, context=24, rope_theta=500.0, norm_eps=1e-5
)
SHAPES = [
    {},
    {"qk_norm": False},
    {"tied_embeddings": False},
    {"kv_heads": 1},
    {"kv_heads": 4, "qk_norm": False, "tied_embeddings": False},
]


def random_model(config: ModelConfig, seed: int = 3) -> Transformer:
    """Weights large enough that every part matters, norms other than one."""
    model = Transformer(config)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            scale, shift = (0.3, 1.0) if parameter.dim() == 1 else (0.2, 0.0)
            parameter.copy_(torch.empty_like(parameter).normal_(shift, scale, generator=generator))
    return model.eval()


def tokens_of(config: ModelConfig, batch: int = 2, seed: int = 5) -> torch.Tensor:
    return torch.randint(config.vocab_size, (batch, config.context), generator=torch.Generator().manual_seed(seed))


# ── a reference in NumPy, float64, one position at a time ────────────────────────────────────────────────────────────


def reference_logits(model: Transformer, tokens: np.ndarray) -> np.ndarray:
    c = model.config
    w = {name: value.numpy().astype(np.float64) for name, value in model.state_dict().items()}

    def norm(x: np.ndarray, weight: np.ndarray) -> np.ndarray:
        return x / np.sqrt((x * x).mean(-1, keepdims=True) + c.norm_eps) * weight

    def turn(vector: np.ndarray, position: int) -> np.ndarray:
        """As complex numbers: component i and i + K/2 are one number, turned by position * theta^(-2i/K)."""
        half = c.head_size // 2
        turned = (vector[:half] + 1j * vector[half:]) * np.exp(
            1j * position * c.rope_theta ** (-2 * np.arange(half) / c.head_size)
        )
        return np.concatenate([turned.real, turned.imag])

    x = w["embedding.weight"][tokens]
    for layer in range(c.layers):
        p = f"blocks.{layer}."
        h = norm(x, w[p + "attention_norm.weight"])
        attended = np.zeros((len(tokens), c.width))
        for head in range(c.heads):
            group = head // (c.heads // c.kv_heads)
            mine, shared = (slice(i * c.head_size, (i + 1) * c.head_size) for i in (head, group))
            q = h @ w[p + "attention.query.weight"][mine].T
            k = h @ w[p + "attention.key.weight"][shared].T
            v = h @ w[p + "attention.value.weight"][shared].T
            if c.qk_norm:
                q = norm(q, w[p + "attention.query_norm.weight"])
                k = norm(k, w[p + "attention.key_norm.weight"])
            for at in range(len(tokens)):
                query = turn(q[at], at)
                scores = np.array([query @ turn(k[j], j) for j in range(at + 1)]) / math.sqrt(c.head_size)
                weights = np.exp(scores - scores.max())
                attended[at, mine] = weights / weights.sum() @ v[: at + 1]
        x = x + attended @ w[p + "attention.output.weight"].T
        h = norm(x, w[p + "feed_forward_norm.weight"])
        gate = h @ w[p + "feed_forward.gate.weight"].T
        up = h @ w[p + "feed_forward.up.weight"].T
        x = x + (gate / (1 + np.exp(-gate)) * up) @ w[p + "feed_forward.down.weight"].T
    head_weight = w["embedding.weight"] if c.tied_embeddings else w["head.weight"]
    return norm(x, w["norm.weight"]) @ head_weight.T


@pytest.mark.parametrize("changes", SHAPES)
def test_logits_equal_a_numpy_reference(changes: dict) -> None:
    model = random_model(dataclasses.replace(BASE, **changes))
    tokens = tokens_of(model.config, batch=2)
    with torch.no_grad():
        logits = model(tokens)
    assert logits.std() > 0.5  # a reference of zeros would agree with anything
    for row in range(2):
        np.testing.assert_allclose(
            logits[row].numpy(), reference_logits(model, tokens[row].numpy()), atol=1e-5, rtol=1e-5
        )


RENAMED = {
    "embedding": "model.embed_tokens",
    "blocks": "model.layers",
    "attention_norm": "input_layernorm",
    "feed_forward_norm": "post_attention_layernorm",
    "attention": "self_attn",
    "feed_forward": "mlp",
    "query": "q_proj",
    "key": "k_proj",
    "value": "v_proj",
    "output": "o_proj",
    "query_norm": "q_norm",
    "key_norm": "k_norm",
    "gate": "gate_proj",
    "up": "up_proj",
    "down": "down_proj",
    "norm": "model.norm",
    "head": "lm_head",
}


@pytest.mark.parametrize("changes", [*SHAPES, {"qk_norm": False, "kv_heads": 1}])
def test_logits_equal_transformers(changes: dict) -> None:
    """Qwen3 where queries and keys are normed, else Llama; the weights go over by renaming alone."""
    transformers = pytest.importorskip("transformers", reason="not a dependency; pip install transformers to run it")
    model = random_model(dataclasses.replace(BASE, **changes))
    c = model.config
    family = "Qwen3" if c.qk_norm else "Llama"
    config = getattr(transformers, f"{family}Config")(
        vocab_size=c.vocab_size, hidden_size=c.width, num_hidden_layers=c.layers, num_attention_heads=c.heads,
        num_key_value_heads=c.kv_heads, head_dim=c.head_size, intermediate_size=c.feed_forward,
        max_position_embeddings=c.context, rms_norm_eps=c.norm_eps, tie_word_embeddings=c.tied_embeddings,
        rope_parameters={"rope_type": "default", "rope_theta": c.rope_theta},
    )  # fmt: skip
    theirs = getattr(transformers, f"{family}ForCausalLM")(config).eval()
    renamed = {
        ".".join(RENAMED.get(part, part) for part in name.split(".")): value
        for name, value in model.state_dict().items()
    }
    outcome = theirs.load_state_dict(renamed, strict=False)
    assert not outcome.unexpected_keys
    assert outcome.missing_keys == (["lm_head.weight"] if c.tied_embeddings else [])
    tokens = tokens_of(c)
    with torch.no_grad():
        torch.testing.assert_close(model(tokens), theirs(tokens).logits, atol=1e-4, rtol=0)


# ── properties ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_token_changes_no_logits_before_it() -> None:
    model = random_model(BASE)
    tokens = tokens_of(BASE)
    with torch.no_grad():
        before = model(tokens)
        for at in (1, 11, BASE.context - 1):
            changed = tokens.clone()
            changed[:, at] = (changed[:, at] + 1) % BASE.vocab_size
            after = model(changed)
            assert torch.equal(after[:, :at], before[:, :at])
            assert (after[:, at:] - before[:, at:]).abs().amax(-1).min() > 1e-4  # and every one from there on


def test_rotated_scores_depend_on_the_distance_alone() -> None:
    generator = torch.Generator().manual_seed(0)
    q, k = torch.randn(2, BASE.head_size, generator=generator)
    places = _positions(BASE, 0, 200, torch.device("cpu"))
    turned_q, turned_k = (rotate(x.expand(1, 1, 200, -1), places)[0, 0] for x in (q, k))
    for distance in (0, 1, 17, 90):
        scores = (turned_q[distance:] * turned_k[: 200 - distance]).sum(-1)
        torch.testing.assert_close(scores, scores[:1].expand_as(scores), atol=1e-4, rtol=0)
    assert (turned_q[50:] * turned_k[:150]).sum(-1)[0] != pytest.approx(float(q @ k), abs=1e-3)
    torch.testing.assert_close(turned_q.norm(dim=-1), q.norm().expand(200))


@pytest.mark.parametrize("chunks", [[24], [1] * 24, [10, 1, 13], [1, 23]])
@pytest.mark.parametrize("kv_heads", [1, 2, 4])
def test_cached_logits_equal_uncached(chunks: list[int], kv_heads: int) -> None:
    model = random_model(dataclasses.replace(BASE, kv_heads=kv_heads))
    tokens = tokens_of(model.config)
    cache = KVCache(model.config, batch=2)
    with torch.no_grad():
        whole = model(tokens)
        pieces = torch.cat([model(part, cache) for part in tokens.split(chunks, dim=1)], dim=1)
    torch.testing.assert_close(pieces, whole, atol=1e-5, rtol=1e-5)
    assert cache.room == 0


def test_a_full_cache_refuses_more() -> None:
    model = random_model(BASE)
    cache = KVCache(BASE, batch=2, capacity=10)
    with torch.no_grad(), pytest.raises(AssertionError, match="holds 10 tokens, 11"):
        model(tokens_of(BASE)[:, :11], cache)


def test_last_only_gives_the_last_logits() -> None:
    model = random_model(BASE)
    tokens = tokens_of(BASE)
    with torch.no_grad():
        torch.testing.assert_close(model(tokens, last_only=True), model(tokens)[:, -1:], atol=1e-5, rtol=1e-5)


# ── initialisation ───────────────────────────────────────────────────────────────────────────────────────────────────


def test_initialisation_has_the_stated_spread() -> None:
    config = dataclasses.replace(BASE, vocab_size=4000, width=128, feed_forward=256, layers=8, tied_embeddings=False)
    model = Transformer(config)
    model.init_weights(1)
    for name, parameter in model.named_parameters():
        if parameter.dim() == 1:
            assert torch.equal(parameter, torch.ones_like(parameter)), name
            continue
        into_residual = name.endswith(("output.weight", "down.weight"))
        assert parameter.std().item() == pytest.approx(0.02 / 4 if into_residual else 0.02, rel=0.03), name
        assert abs(parameter.mean().item()) < 5e-4, name


def test_initialisation_depends_on_the_seed_alone() -> None:
    first, second, other = Transformer(BASE), Transformer(BASE), Transformer(BASE)
    first.init_weights(7)
    torch.manual_seed(99)
    second.init_weights(7)
    other.init_weights(8)
    ours, same, different = (dict(model.named_parameters()) for model in (first, second, other))
    assert all(torch.equal(ours[name], same[name]) for name in ours)
    assert not any(torch.equal(ours[name], different[name]) for name in ours if ours[name].dim() == 2)
    drawn = [parameter.flatten()[:8].tolist() for parameter in ours.values() if parameter.dim() == 2]
    assert len({tuple(values) for values in drawn}) == len(drawn)  # no two parameters share their numbers


def test_initialisation_of_a_sharded_model() -> None:
    """Parameters that FSDP2 has split among processes become the parts of what one process would have drawn.

    Shown for the second of two processes, without the first: nothing is sent.
    """
    whole = Transformer(BASE)
    whole.init_weights(7)
    dist.init_process_group("fake", store=FakeStore(), rank=1, world_size=2)
    try:
        with torch.device("meta"):
            sharded = Transformer(BASE)
        mesh = init_device_mesh("cpu", (2,))
        for module in (*sharded.blocks, sharded):
            fully_shard(module, mesh=mesh)
        sharded.to_empty(device="cpu")
        sharded.init_weights(7)
        for name, parameter in sharded.named_parameters():
            assert isinstance(parameter, DTensor)
            part = dict(whole.named_parameters())[name].chunk(2)[1]
            assert torch.equal(parameter.to_local(), part), name
    finally:
        dist.destroy_process_group()


def test_a_new_model_knows_nothing() -> None:
    """Its loss is that of a uniform guess."""
    model = Transformer(BASE)
    model.init_weights(7)
    tokens, targets = tokens_of(BASE, batch=16), tokens_of(BASE, batch=16, seed=6)
    loss = torch.nn.functional.cross_entropy(model(tokens).flatten(0, 1), targets.flatten())
    assert loss.item() == pytest.approx(math.log(BASE.vocab_size), rel=0.02)


def test_model_keeps_the_context_and_theta_out_of_its_weights() -> None:
    """Rotary tables are no state: a checkpoint holds parameters and nothing else."""
    model = Transformer(BASE)
    assert set(model.state_dict()) == {name for name, _ in model.named_parameters()}
    assert not list(model.buffers())
