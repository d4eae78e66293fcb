"""GGUF files of models: the same values back in every encoding, and each fault of a file named."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
import torch
from crawl2chat.core.errors import InputError, StageError
from crawl2chat.model.config import ModelConfig, RopeScaling
from crawl2chat.model.gguf_check import check_written, same_values
from crawl2chat.model.gguf_config import FREQUENCIES, read_metadata, write_metadata
from crawl2chat.model.gguf_file import Encoded, GgufFile, write_gguf
from crawl2chat.model.gguf_rope import read_factors, write_factors
from crawl2chat.model.gguf_weights import KINDS, Kind, encode_weights, encoding_of, read_weights
from crawl2chat.model.hf_config import model_type
from crawl2chat.model.hf_transfer import standard
from crawl2chat.model.transformer import Transformer

MODELS = [
    ("qwen3", {}),
    ("qwen3", {"tied_embeddings": False, "head_size": 12, "kv_heads": 1}),
    ("llama", {}),
    ("llama", {"tied_embeddings": False, "kv_heads": 4, "norm_eps": 1e-4}),
    ("gpt2", {"rope_theta": 10_000.0}),  # which the file does not carry, and nothing reads
    ("gpt2", {"rope_theta": 10_000.0, "tied_embeddings": False}),
]
SCALING = RopeScaling(4.0, 1.0, 4.0, 16)
Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """write(model, encoding, metadata=, tensors=): a file; changes of None take a key or a tensor away."""

    def make(
        model: Transformer, encoding: str = "f32", metadata: dict | None = None, tensors: dict | None = None
    ) -> Path:
        config, state = standard(model)
        kind = model_type(config)
        keys: dict[str, Any] = {f"{kind}.{key}": value for key, value in write_metadata(config, kind).items()}
        found = {**encode_weights(config, kind, state, encoding), **(tensors or {})}
        path = tmp_path / f"{kind}-{encoding}.gguf"
        kept = {key: value for key, value in (keys | (metadata or {})).items() if value is not None}
        write_gguf(path, kind, kept, {name: one for name, one in found.items() if one is not None})
        return path

    return make


def read(path: Path) -> tuple[ModelConfig, dict[str, torch.Tensor]]:
    file = GgufFile(path)
    factors = file.tensor(FREQUENCIES) if FREQUENCIES in file.shapes else None
    config, kind = read_metadata(file.metadata, file.shapes, factors, str(path))
    return config, read_weights(file, config, kind)


@pytest.mark.parametrize(("family", "settings"), MODELS)
def test_a_file_in_f32_holds_the_same_bits(family: str, settings: dict, config_of, random_model, write: Write) -> None:
    model = random_model(config_of(family, **settings))
    path = write(model)
    config, state = read(path)
    assert config == model.config
    assert state.keys() == model.state_dict().keys()
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())
    check_written(path, config, family, model.state_dict(), "f32")


@pytest.mark.parametrize("encoding", ["f16", "bf16", "q8_0"])
@pytest.mark.parametrize("family", ["qwen3", "llama", "gpt2"])
def test_other_encodings_round_as_they_say(
    family: str, encoding: str, config_of, random_model, tokens_of, write: Write
) -> None:
    model = random_model(config_of(family, width=64, feed_forward=96, rope_theta=10_000.0))
    path = write(model, encoding)
    config, state = read(path)
    check_written(path, config, family, model.state_dict(), encoding)
    file = GgufFile(path)
    assert {file.kind(name) for name in file.shapes if name.endswith("ffn_up.weight")} == {encoding.upper()}
    assert {file.kind(name) for name in file.shapes if len(file.shapes[name]) == 1} == {"F32"}
    again = Transformer(config)
    again.load_state_dict(state)
    tokens = tokens_of(config)
    with torch.no_grad():
        exact, rounded = model(tokens), again.eval()(tokens)
    error = (exact - rounded).norm() / exact.norm()
    assert 0 < error < {"f16": 5e-3, "bf16": 5e-2, "q8_0": 5e-2}[encoding]


def test_rows_that_fill_no_block_are_f16_and_learned_positions_f32() -> None:
    assert encoding_of("blk.0.ffn_down.weight", (32, 40), Kind.Q8_0) == Kind.F16
    assert encoding_of("blk.0.ffn_down.weight", (32, 64), Kind.Q8_0) == Kind.Q8_0
    assert encoding_of("position_embd.weight", (32, 64), Kind.F16) == Kind.F32


def test_queries_and_keys_of_llama_turn_neighbouring_pairs(config_of, random_model, write: Write) -> None:
    """llama.cpp's rotation of (2i, 2i + 1) in its order of rows is ours of (i, i + K/2) in ours."""
    model = random_model(config_of("llama"))
    config, name = model.config, "blocks.1.attention.key.weight"
    ours = model.state_dict()[name].view(config.kv_heads, config.head_size, -1)
    theirs = torch.from_numpy(GgufFile(write(model)).tensor("blk.1.attn_k.weight")).view_as(ours)
    half = config.head_size // 2
    assert torch.equal(theirs[:, 0::2], ours[:, :half]) and torch.equal(theirs[:, 1::2], ours[:, half:])
    assert not torch.equal(theirs, ours)


@pytest.mark.parametrize("family", ["qwen3", "llama", "gpt2"])
@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("transfer", [None, {"base_width": 8, "base_layers": 2, "base_head_size": 2}])
def test_factors_are_folded_into_the_weights(
    family: str, tied: bool, transfer: dict | None, config_of, random_model, tokens_of, write: Write
) -> None:
    model = random_model(
        config_of(family, tied_embeddings=tied, scale_embedding=True, transfer=transfer, rope_theta=10_000.0)
    )
    config, state = read(write(model))
    assert config.transfer is None and not config.scale_embedding and config.tied_embeddings == tied
    again = Transformer(config)
    again.load_state_dict(state)
    tokens = tokens_of(config)
    with torch.no_grad():
        wanted = model(tokens)
        assert wanted.std() > 0.1
        torch.testing.assert_close(again.eval()(tokens), wanted, atol=1e-4, rtol=0)


def test_llama_3s_stretching_comes_back(config_of, random_model, write: Write) -> None:
    model = random_model(replace(config_of("llama"), rope_scaling=SCALING))
    assert read(write(model))[0].rope_scaling == SCALING
    for scaling in (RopeScaling(8.0, 1.0, 4.0, 8192), RopeScaling(32.0, 1.0, 4.0, 8192)):
        factors = write_factors(scaling, 64, 500_000.0)
        assert factors[0] == 1 and factors[-1] == scaling.factor
        assert read_factors(factors, 64, 500_000.0, "here") == scaling
    assert read_factors(np.ones(32, np.float32), 64, 500_000.0, "here") is None
    with pytest.raises(InputError, match=r"here: rope_freqs.weight divides by \[1.0, 2.0"):
        read_factors(np.arange(1, 33, dtype=np.float32), 64, 500_000.0, "here")


# ── what is refused ──────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("family", "settings", "says"),
    [
        ("transformer2017", {}, "no GGUF architecture computes this model; the nearest is gpt2, but positions is"),
        ("gpt2", {"bias": False}, "nearest is gpt2, but bias is False, not True"),
        ("qwen3", {"norm": "layer"}, "norm is 'layer', not 'rms'"),
    ],
)
def test_a_model_that_no_architecture_computes(family: str, settings: dict, says: str, config_of, random_model) -> None:
    with pytest.raises(InputError, match=says):
        model_type(standard(random_model(config_of(family, **settings)))[0], "GGUF")


def test_stretched_angles_have_a_place_in_llama_alone(config_of) -> None:
    with pytest.raises(InputError, match="stretches rotary angles .*: GGUF's qwen3 has no place for it\n.*--format hf"):
        write_metadata(replace(config_of("qwen3"), rope_scaling=SCALING), "qwen3")
    assert write_metadata(replace(config_of("llama"), rope_scaling=SCALING), "llama")


def test_values_beyond_an_encoding(config_of, random_model) -> None:
    model = random_model(config_of("llama"))
    with torch.no_grad():
        model.blocks[0].feed_forward.up.weight[0, 0] = 1e5
    with pytest.raises(InputError, match="blk.0.ffn_up.weight holds 100000, more than F16 can\n.*bf16"):
        encode_weights(model.config, "llama", model.state_dict(), "f16")
    assert encode_weights(model.config, "llama", model.state_dict(), "bf16")
    with torch.no_grad():
        model.blocks[0].feed_forward.up.weight[0, 0] = torch.nan
    with pytest.raises(InputError, match="holds nan"):
        encode_weights(model.config, "llama", model.state_dict(), "f32")


@pytest.mark.parametrize(
    ("metadata", "says"),
    [
        (
            {"llama.attention.sliding_window": 4096},
            "llama.attention.sliding_window is 4096: the model would be computed",
        ),
        ({"llama.expert_count": 8}, "llama.expert_count is 8"),
        ({"llama.rope.scaling.type": "yarn"}, "llama.rope.scaling.type is yarn"),
        ({"llama.rope.dimension_count": 4}, "llama.rope.dimension_count is 4, but heads have 8 components"),
        ({"llama.attention.head_count_kv": [2, 2, 1]}, r"attention.head_count_kv is \[2, 2, 1\], not one number"),
        ({"llama.block_count": None}, "llama.block_count is missing"),
        ({"llama.attention.head_count": 0}, "heads is 0"),
        (
            {"llama.embedding_length": 64},
            r"token_embd.weight has the shape \[97, 32\], its metadata ask for \[97, 64\]",
        ),
        ({"llama.block_count": 4}, r"tensor blk.3.attn_norm.weight is missing"),
        ({"llama.block_count": 2}, r"unknown tensor blk.2"),
    ],
)
def test_metadata_that_we_do_not_compute(metadata: dict, says: str, config_of, random_model, write: Write) -> None:
    path = write(random_model(config_of("llama")), metadata=metadata)
    with pytest.raises(InputError, match=says) as caught:
        read(path)
    assert str(path) in str(caught.value)


def test_metadata_without_effect_are_let_through(config_of, random_model, write: Write) -> None:
    config = config_of("llama")
    extra = {"llama.expert_count": 0, "llama.rope.scaling.type": "none", "llama.attention.causal": True, "other.key": 7}
    assert read(write(random_model(config), metadata=extra))[0] == config


def test_an_architecture_that_is_not_ours(config_of, random_model, tmp_path: Path) -> None:
    write_gguf(tmp_path / "m.gguf", "mamba", {"mamba.block_count": 2}, {"a": Encoded(np.ones(3, np.float32), Kind.F32)})
    with pytest.raises(InputError, match="m.gguf: general.architecture is 'mamba'.*\n.*qwen3, llama, gpt2"):
        read(tmp_path / "m.gguf")


@pytest.mark.parametrize(
    ("tensors", "says"),
    [
        ({"output_norm.weight": None}, "tensor output_norm.weight is missing"),
        ({"token_embd.weight": None}, "tensor token_embd.weight is missing"),
        ({"blk.0.attn_q.bias": np.ones(32, np.float32)}, "unknown tensor blk.0.attn_q.bias"),
        ({"output_norm.weight": np.ones(31, np.float32)}, r"output_norm.weight has the shape \[31\].* ask for \[32\]"),
    ],
)
def test_tensors_of_another_model(tensors: dict, says: str, config_of, random_model, write: Write) -> None:
    made = {name: one if one is None else Encoded(one, Kind.F32) for name, one in tensors.items()}
    with pytest.raises(InputError, match=says):
        read(write(random_model(config_of("llama")), tensors=made))


def test_encodings_without_a_decoder(config_of, random_model, write: Write) -> None:
    whole = np.ones((97, 32), np.int16)
    path = write(random_model(config_of("llama")), tensors={"token_embd.weight": Encoded(whole, Kind.I16)})
    with pytest.raises(
        InputError, match="token_embd.weight is of the type I16, for which there is no decoder.*\n.*F16"
    ):
        read(path)
    data = bytearray(path.read_bytes())
    place = data.index(b"token_embd.weight") + len("token_embd.weight") + 4 + 2 * 8
    data[place : place + 4] = (999).to_bytes(4, "little")
    path.write_bytes(data)
    with pytest.raises(InputError, match="a tensor has the encoding 999, which is not known here"):
        GgufFile(path)


def test_broken_files(config_of, random_model, write: Write, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no file at .*nowhere.gguf"):
        GgufFile(tmp_path / "nowhere.gguf")
    path = write(random_model(config_of("llama")))
    whole = path.read_bytes()
    for size in (4, 6, 20, 100, 700, len(whole) // 2, len(whole) - 40):
        path.write_bytes(whole[:size])
        with pytest.raises(InputError, match=r"is broken or cut short.*\n.*fetch the file again"):
            GgufFile(path)
    for content in (b"", b"PK\x03\x04 a zip", b"\x80\x02}q\x00."):
        path.write_bytes(content)
        with pytest.raises(InputError, match="is no GGUF file"):
            GgufFile(path)


def test_one_part_of_several(config_of, random_model, write: Write) -> None:
    path = write(random_model(config_of("llama")), metadata={"split.count": 3})
    with pytest.raises(InputError, match="is one of 3 parts of a model\n.*llama-gguf-split"):
        GgufFile(path)


def test_the_check_of_a_written_file_sees_what_is_not_as_it_was(config_of, random_model, write: Write) -> None:
    model = random_model(config_of("llama", width=64, feed_forward=96))
    config, state = model.config, model.state_dict()
    for encoding in KINDS:
        path = write(model, encoding)
        check_written(path, config, "llama", state, encoding)
        tensor = gguf.GGUFReader(path).tensors[-1]
        data = bytearray(path.read_bytes())
        data[tensor.data_offset + 1] ^= 0x40
        path.write_bytes(data)
        with pytest.raises(StageError, match="reads back otherwise than it was written: output_norm.weight"):
            check_written(path, config, "llama", state, encoding)
    path = write(model, metadata={"llama.rope.freq_base": 501.0})
    with pytest.raises(StageError, match="llama.rope.freq_base is 501.0, not 500.0"):
        check_written(path, config, "llama", state, "f32")


def test_what_counts_as_the_same_under_rounding() -> None:
    exact = torch.randn(4, 64, generator=torch.Generator().manual_seed(1)) * 0.02
    for name, kind in KINDS.items():
        values = torch.from_numpy(gguf.dequantize(gguf.quantize(exact.numpy(), kind), kind).reshape(4, 64).copy())
        assert same_values(exact, values, kind), name
        values[2, 5] += exact[2].abs().max() / 127 * 3
        assert not same_values(exact, values, kind), name
