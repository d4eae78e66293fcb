"""To Hugging Face and back: the logits are transformers' own, what we do not compute is refused by name."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from crawl2chat.core.errors import InputError
from crawl2chat.model.config import RopeScaling
from crawl2chat.model.generation import generate
from crawl2chat.model.hf_config import read_config, write_config
from crawl2chat.model.huggingface import read_model, write_model
from crawl2chat.model.transformer import Transformer
from safetensors.torch import load_file, save_file

MODELS = [
    ("qwen3", {}),
    ("qwen3", {"tied_embeddings": False, "kv_heads": 1}),
    ("qwen3", {"head_size": 12}),  # 4 heads of 12 in a width of 32
    ("llama", {}),
    ("llama", {"tied_embeddings": False, "kv_heads": 4, "norm_eps": 1e-4}),
    ("gpt2", {"rope_theta": 10_000.0}),  # which config.json does not carry, and nothing reads
    ("gpt2", {"tied_embeddings": False, "rope_theta": 10_000.0}),
]
BASE = {"base_width": 8, "base_layers": 2, "base_head_size": 2}  # of a model with a width of 32, 3 layers, heads of 8
IDS = [f"{family}-{'-'.join(settings) or 'plain'}" for family, settings in MODELS]


@pytest.fixture(scope="module")
def transformers() -> Any:
    return pytest.importorskip("transformers", reason="not a dependency; pip install transformers to run it")


def logits(model: Any, tokens: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        found = model(tokens)
    return found if isinstance(found, torch.Tensor) else found.logits


@pytest.fixture
def write(tmp_path: Path) -> Callable[[Transformer], Path]:
    def write(model: Transformer) -> Path:
        write_model(tmp_path, model, begin=0, stop=[0, 3])
        return tmp_path

    return write


@pytest.mark.parametrize(("family", "settings"), MODELS, ids=IDS)
def test_an_exported_model_is_transformers_own(
    family: str, settings: dict, transformers, config_of, random_model, tokens_of, write
) -> None:
    model = random_model(config_of(family, **settings))
    folder = write(model)
    theirs, report = transformers.AutoModelForCausalLM.from_pretrained(folder, output_loading_info=True)
    assert not report["missing_keys"] and not report["unexpected_keys"] and not report["mismatched_keys"]
    assert sum(p.numel() for p in theirs.parameters()) == model.config.parameters()
    tokens = tokens_of(model.config)
    torch.testing.assert_close(logits(model, tokens), logits(theirs, tokens), atol=1e-4, rtol=0)
    again = read_model(folder)
    assert again.config == model.config
    assert all(torch.equal(value, again.state_dict()[name]) for name, value in model.state_dict().items())


@pytest.mark.parametrize("family", ["qwen3", "llama", "gpt2"])
@pytest.mark.parametrize("tied", [True, False])
def test_the_factors_of_transfer_are_exported_in_the_weights(
    family: str, tied: bool, transformers, config_of, random_model, tokens_of, write
) -> None:
    model = random_model(config_of(family, tied_embeddings=tied, transfer=BASE))
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    folder = write(model)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    theirs = transformers.AutoModelForCausalLM.from_pretrained(folder)
    tokens = tokens_of(model.config)
    wanted = logits(model, tokens)
    assert wanted.std() > 0.1
    torch.testing.assert_close(logits(theirs, tokens), wanted, atol=1e-4, rtol=0)
    again = read_model(folder)
    assert again.config.transfer is None and again.config.tied_embeddings == tied
    torch.testing.assert_close(logits(again, tokens), wanted, atol=1e-4, rtol=0)


def their_model(transformers: Any, family: str, **changes: Any) -> Any:
    """A model made by transformers, with weights of its own making, all of them random."""
    shape = {"vocab_size": 97, "tie_word_embeddings": False}
    if family == "gpt2":
        config = transformers.GPT2Config(
            **shape | {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 24} | changes
        )
    else:
        wide = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2}
        rest = {"intermediate_size": 40, "max_position_embeddings": 24, "head_dim": 8}
        kind = {"qwen3": transformers.Qwen3Config, "llama": transformers.LlamaConfig}[family]
        config = kind(**shape | wide | rest | changes)
    model = transformers.AutoModelForCausalLM.from_config(config).eval()
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.empty_like(parameter).normal_(0, 0.2, generator=generator))
    return model


LLAMA3 = {
    "rope_type": "llama3", "rope_theta": 1000.0, "factor": 4.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
    "original_max_position_embeddings": 16,
}  # fmt: skip


@pytest.mark.parametrize(
    ("family", "changes"),
    [
        ("qwen3", {}),
        ("qwen3", {"head_dim": 20, "rope_parameters": {"rope_type": "default", "rope_theta": 700.0}}),
        ("llama", {"tie_word_embeddings": True}),
        ("llama", {"rope_parameters": LLAMA3}),
        ("gpt2", {}),
        ("gpt2", {"n_inner": 50, "tie_word_embeddings": True}),
    ],
)
def test_an_imported_model_computes_the_same(
    family: str, changes: dict, transformers, tokens_of, tmp_path: Path, write
) -> None:
    theirs = their_model(transformers, family, **changes)
    theirs.save_pretrained(tmp_path / "theirs")
    ours = read_model(tmp_path / "theirs")
    tokens = tokens_of(ours.config)
    wanted = logits(theirs, tokens)
    assert wanted.std() > 0.5
    torch.testing.assert_close(logits(ours, tokens), wanted, atol=1e-4, rtol=0)
    back = transformers.AutoModelForCausalLM.from_pretrained(write(ours))  # and after the way back
    torch.testing.assert_close(logits(back, tokens), wanted, atol=1e-4, rtol=0)


def test_weights_in_several_files(transformers, tokens_of, tmp_path: Path) -> None:
    theirs = their_model(transformers, "qwen3")
    theirs.save_pretrained(tmp_path, max_shard_size="20KB")
    assert len(list(tmp_path.glob("*.safetensors"))) > 1
    ours = read_model(tmp_path)
    tokens = tokens_of(ours.config)
    torch.testing.assert_close(logits(ours, tokens), logits(theirs, tokens), atol=1e-4, rtol=0)


def test_both_write_the_same_greedy_text(transformers, config_of, random_model, write) -> None:
    model = random_model(config_of("llama"))
    theirs = transformers.AutoModelForCausalLM.from_pretrained(write(model))
    prompt = [5, 9, 2]
    ours = list(generate(model, prompt, max_tokens=12, temperature=0, stop_ids={0, 3}))
    found = theirs.generate(torch.tensor([prompt]), max_new_tokens=12, do_sample=False)[0].tolist()
    assert found[3 : 3 + len(ours)] == ours
    assert len(found) == 15 or found[-1] in (0, 3)  # it stops at our end tokens


def test_openais_file_of_gpt2(config_of, random_model, tokens_of, write) -> None:
    """Names without a prefix, and buffers among the weights."""
    model = random_model(config_of("gpt2"))
    folder = write(model)
    renamed = {
        name.removeprefix("transformer."): value for name, value in load_file(folder / "model.safetensors").items()
    }
    save_file(renamed | {"h.0.attn.bias": torch.ones(1, 1, 24, 24)}, folder / "model.safetensors")
    tokens = tokens_of(model.config)
    torch.testing.assert_close(logits(read_model(folder), tokens), logits(model, tokens), atol=0, rtol=0)


def test_rotary_settings_as_transformers_4_writes_them(config_of) -> None:
    raw = write_config(config_of("llama"))
    del raw["rope_parameters"]
    assert read_config(raw, "config.json") == config_of("llama")
    raw |= {"rope_theta": 5e5, "rope_scaling": {"type": "llama3", **{key: LLAMA3[key] for key in list(LLAMA3)[2:]}}}
    config = read_config(raw, "config.json")
    assert (config.rope_theta, config.rope_scaling) == (5e5, RopeScaling(4.0, 1.0, 4.0, 16))


# ── what is refused ──────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("family", "changes", "says"),
    [
        ("llama", {"model_type": "mamba"}, "model_type is 'mamba'.*\n.*qwen3, llama, gpt2"),
        ("llama", {"model_type": None}, "model_type is None"),
        ("llama", {"attention_bias": True}, "attention_bias is True"),
        ("llama", {"mlp_bias": True}, "mlp_bias is True"),
        ("llama", {"hidden_act": "gelu"}, "hidden_act is 'gelu'"),
        ("qwen3", {"use_sliding_window": True, "sliding_window": 4096}, "use_sliding_window is True"),
        ("qwen3", {"layer_types": ["full_attention", "sliding_attention"]}, "layer_types is 'sliding_attention'"),
        ("llama", {"rope_parameters": {"rope_type": "yarn", "factor": 4.0}}, "rope_type is 'yarn'"),
        ("llama", {"rope_parameters": {"rope_type": "llama3", "factor": 4.0}}, "llama3 without low_freq_factor"),
        ("llama", {"rope_parameters": {"partial_rotary_factor": 0.5}}, "partial_rotary_factor"),
        ("llama", {"num_local_experts": 8}, "num_local_experts is 8.*\n.*remove it"),
        ("llama", {"quantization_config": {"bits": 4}}, "quantization_config"),
        ("llama", {"partial_rotary_factor": 0.5}, "partial_rotary_factor is 0.5"),
        ("gpt2", {"scale_attn_weights": False}, "scale_attn_weights is False"),
        ("gpt2", {"activation_function": "relu"}, "activation_function is 'relu'"),
        ("llama", {"hidden_size": None}, "hidden_size is missing"),
    ],
)
def test_what_we_do_not_compute_is_refused_by_name(family: str, changes: dict, says: str, config_of) -> None:
    with pytest.raises(InputError, match=says) as caught:
        read_config(write_config(config_of(family)) | changes, "somewhere/config.json")
    assert "somewhere/config.json" in str(caught.value)


def test_fields_without_effect_are_let_through(config_of) -> None:
    extra = {"use_cache": False, "torch_dtype": "bfloat16", "bos_token_id": 1, "unknown_switch": False, "other": None}
    window = {"use_sliding_window": False, "sliding_window": 4096, "max_window_layers": 28}
    assert read_config(write_config(config_of("qwen3")) | extra | window, "config.json") == config_of("qwen3")


@pytest.mark.parametrize(
    ("family", "settings", "says"),
    [
        ("transformer2017", {}, "nearest is gpt2, but positions is 'sinusoidal', not 'learned'"),
        ("gpt2", {"bias": False}, "nearest is gpt2, but bias is False, not True"),
        ("gpt2", {"kv_heads": 2}, "kv_heads is 2, not 4"),
        ("qwen3", {"norm": "layer"}, "norm is 'layer', not 'rms'"),
    ],
)
def test_what_transformers_does_not_compute_is_refused(
    family: str, settings: dict, says: str, config_of, random_model, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=says):
        write_model(tmp_path, random_model(config_of(family, **settings)), begin=0, stop=[0])
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda tensors: tensors.pop("model.norm.weight"), "tensor model.norm.weight is missing"),
        (lambda tensors: tensors.update({"model.layers.0.self_attn.q_proj.bias": torch.ones(32)}), "q_proj.bias"),
        (
            lambda tensors: tensors.update({"model.norm.weight": torch.ones(31)}),
            r"model.norm.weight has the shape \[31\], config.json asks for \[32\]",
        ),
    ],
)
def test_weights_of_another_model_are_refused(change, says: str, config_of, random_model, write) -> None:
    folder = write(random_model(config_of("llama")))
    tensors = load_file(folder / "model.safetensors")
    change(tensors)
    save_file(tensors, folder / "model.safetensors")
    with pytest.raises(InputError, match=says):
        read_model(folder)


def test_broken_folders(config_of, random_model, write, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"config.json is not readable"):
        read_model(tmp_path / "nowhere")
    folder = write(random_model(config_of("llama")))
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:200])
    with pytest.raises(InputError, match=r"model.safetensors is broken"):
        read_model(folder)
    weights.unlink()
    with pytest.raises(InputError, match=r"no weights at .*\n.*only safetensors"):
        read_model(folder)
    (folder / "config.json").write_text(json.dumps([1]))
    with pytest.raises(InputError, match="holds a list"):
        read_model(folder)
