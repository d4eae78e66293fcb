"""The transformer: equal to an independent reference for every family and option, causal, relative."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from crawl2chat.model.cache import KVCache
from crawl2chat.model.positions import places, rotate

OPTIONS = [
    ("qwen3", {"tied_embeddings": False}),
    ("qwen3", {"kv_heads": 1}),
    ("qwen3", {"head_size": 12, "kv_heads": 2}),  # 4 heads of 12 in a width of 32
    ("llama", {"kv_heads": 4, "tied_embeddings": False}),
    ("gpt2", {"bias": False}),
    ("gpt2", {"positions": "rotary", "norm": "rms", "qk_norm": True}),
    ("gpt2", {"qk_norm": True, "kv_heads": 2}),
    ("transformer2017", {"post_norm": False, "activation": "swiglu"}),
    ("qwen3", {"transfer": {"base_width": 16, "base_layers": 2, "base_head_size": 2}}),
    ("transformer2017", {"post_norm": False, "transfer": {"base_width": 16, "base_layers": 2}}),
]


def assert_equal_to_the_reference(model, tokens, reference_logits) -> None:
    with torch.no_grad():
        logits = model(tokens)
    assert logits.std() > 0.5  # a reference of zeros would agree with anything
    for row in range(len(tokens)):
        wanted = reference_logits(model, tokens[row].numpy())
        np.testing.assert_allclose(logits[row].numpy(), wanted, atol=2e-5, rtol=1e-5)


def test_logits_equal_a_numpy_reference(family_config, random_model, tokens_of, reference_logits) -> None:
    assert_equal_to_the_reference(random_model(family_config), tokens_of(family_config), reference_logits)


@pytest.mark.parametrize(("family", "settings"), OPTIONS)
def test_each_option_alone(family: str, settings: dict, config_of, random_model, tokens_of, reference_logits) -> None:
    config = config_of(family, **settings)
    assert_equal_to_the_reference(random_model(config), tokens_of(config), reference_logits)


def test_families_are_what_they_say(config_of) -> None:
    qwen3, llama, gpt2, first = (config_of(name) for name in ("qwen3", "llama", "gpt2", "transformer2017"))
    assert (qwen3.norm, qwen3.positions, qwen3.activation, qwen3.qk_norm) == ("rms", "rotary", "swiglu", True)
    assert (llama.qk_norm, llama.kv_heads, qwen3.kv_heads) == (False, 2, 2)
    assert (gpt2.norm, gpt2.positions, gpt2.activation, gpt2.bias) == ("layer", "learned", "gelu_tanh", True)
    assert (first.norm, first.positions, first.activation, first.post_norm) == ("layer", "sinusoidal", "relu", True)
    assert (gpt2.kv_heads, first.kv_heads, first.scale_embedding, gpt2.post_norm) == (4, 4, True, False)


def test_a_token_changes_no_logits_before_it(family_config, random_model, tokens_of) -> None:
    model, tokens = random_model(family_config), tokens_of(family_config)
    with torch.no_grad():
        before = model(tokens)
        for at in (1, 11, family_config.context - 1):
            changed = tokens.clone()
            changed[:, at] = (changed[:, at] + 1) % family_config.vocab_size
            after = model(changed)
            assert torch.equal(after[:, :at], before[:, :at])
            assert (after[:, at:] - before[:, at:]).abs().amax(-1).min() > 1e-4  # and every one from there on


def test_rotated_scores_depend_on_the_distance_alone(config_of) -> None:
    config = config_of()
    q, k = torch.randn(2, config.head_size, generator=torch.Generator().manual_seed(0))
    turn = places(config, torch.zeros(1, 200)).turn
    assert turn is not None
    turned_q, turned_k = (rotate(x.expand(1, 200, 1, -1), turn)[0, :, 0] for x in (q, k))
    for distance in (0, 1, 17, 90):
        scores = (turned_q[distance:] * turned_k[: 200 - distance]).sum(-1)
        torch.testing.assert_close(scores, scores[:1].expand_as(scores), atol=1e-4, rtol=0)
    assert (turned_q[50:] * turned_k[:150]).sum(-1)[0] != pytest.approx(float(q @ k), abs=1e-3)
    torch.testing.assert_close(turned_q.norm(dim=-1), q.norm().expand(200))


@pytest.mark.parametrize("chunks", [[24], [1] * 24, [10, 1, 13], [1, 23]])
def test_cached_logits_equal_uncached(chunks: list[int], family_config, random_model, tokens_of) -> None:
    model, tokens = random_model(family_config), tokens_of(family_config)
    cache = KVCache(model.config, batch=2)
    with torch.no_grad():
        whole = model(tokens)
        pieces = torch.cat([model(part, cache) for part in tokens.split(chunks, dim=1)], dim=1)
    torch.testing.assert_close(pieces, whole, atol=2e-5, rtol=1e-5)
    assert cache.room == 0


@pytest.mark.parametrize("settings", [{"kv_heads": 1}, {"kv_heads": 4}, {"head_size": 12}])
def test_cached_logits_equal_uncached_for_any_heads(settings: dict, config_of, random_model, tokens_of) -> None:
    model = random_model(config_of(**settings))
    tokens = tokens_of(model.config)
    cache = KVCache(model.config, batch=2)
    with torch.no_grad():
        pieces = torch.cat([model(part, cache) for part in tokens.split([10, 1, 13], dim=1)], dim=1)
        torch.testing.assert_close(pieces, model(tokens), atol=2e-5, rtol=1e-5)


def test_a_full_cache_refuses_more(config_of, random_model, tokens_of) -> None:
    model = random_model(config_of())
    cache = KVCache(model.config, batch=2, capacity=10)
    with torch.no_grad(), pytest.raises(AssertionError, match="holds 10 tokens, 11"):
        model(tokens_of(model.config)[:, :11], cache)


def test_last_only_gives_the_last_logits(family_config, random_model, tokens_of) -> None:
    model, tokens = random_model(family_config), tokens_of(family_config)
    with torch.no_grad():
        torch.testing.assert_close(model(tokens, last_only=True), model(tokens)[:, -1:], atol=1e-5, rtol=1e-5)


def test_model_keeps_the_context_and_theta_out_of_its_weights(family_config, random_model) -> None:
    """Tables of angles are no state: a checkpoint holds parameters and nothing else."""
    model = random_model(family_config)
    assert set(model.state_dict()) == {name for name, _ in model.named_parameters()}
    assert not list(model.buffers())
