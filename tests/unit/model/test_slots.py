"""The cache of slots: texts of different lengths, side by side, have the logits that each has alone."""

from __future__ import annotations

import pytest
import torch
from crawl2chat.model.slots import SlotCache
from crawl2chat.model.transformer import Transformer


def alone(model: Transformer, ids: list[int]) -> torch.Tensor:
    with torch.inference_mode():
        return model(torch.tensor([ids]))[0, -1]


def read(model: Transformer, cache: SlotCache, slot: int, ids: list[int]) -> torch.Tensor:
    one = cache.one(slot)
    logits = model(torch.tensor([ids]), one, last_only=True)[0, -1]
    cache.lengths[slot] = one.length
    return logits


@torch.inference_mode()
@pytest.mark.parametrize("lengths", [(5, 2, 9), (4, 4, 4), (7,)])
def test_a_step_gives_each_text_its_own_logits(family_config, random_model, lengths: tuple[int, ...]) -> None:
    model, cache = random_model(family_config), SlotCache(family_config, slots=4)
    generator = torch.Generator().manual_seed(2)
    texts = [torch.randint(97, (length,), generator=generator).tolist() for length in lengths]
    for slot, ids in enumerate(texts):
        torch.testing.assert_close(read(model, cache, slot, ids), alone(model, ids))
    for step in range(family_config.context - max(lengths)):
        new = [(11 * step + 5 * slot) % 97 for slot in range(len(texts))]
        logits = model(torch.tensor(new)[:, None], cache.step(len(texts)))[:, -1]
        for ids, token, row in zip(texts, new, logits, strict=True):
            ids.append(token)
            torch.testing.assert_close(row, alone(model, ids), rtol=2e-4, atol=2e-4)
    assert cache.lengths[: len(texts)] == [len(ids) for ids in texts]


@torch.inference_mode()
def test_a_text_goes_on_in_another_slot(config_of, random_model) -> None:
    model, cache = random_model(config_of()), SlotCache(config_of(), slots=3)
    texts = [[1, 2, 3], [4, 5, 6, 7, 8], [9]]
    for slot, ids in enumerate(texts):
        read(model, cache, slot, ids)
    cache.move(1, 0)
    cache.move(2, 1)
    logits = model(torch.tensor([[20], [21]]), cache.step(2))[:, -1]
    torch.testing.assert_close(logits[0], alone(model, [*texts[1], 20]), rtol=2e-4, atol=2e-4)
    torch.testing.assert_close(logits[1], alone(model, [*texts[2], 21]), rtol=2e-4, atol=2e-4)


@torch.inference_mode()
def test_what_a_slot_held_before_is_not_seen(config_of, random_model) -> None:
    model, cache = random_model(config_of()), SlotCache(config_of(), slots=2)
    read(model, cache, 0, list(range(20)))
    read(model, cache, 1, list(range(20)))
    cache.lengths[0] = 0
    read(model, cache, 0, [50, 51])
    logits = model(torch.tensor([[52], [53]]), cache.step(2))[:, -1]
    torch.testing.assert_close(logits[0], alone(model, [50, 51, 52]), rtol=2e-4, atol=2e-4)


def test_a_full_slot_takes_no_more(config_of, random_model) -> None:
    cache = SlotCache(config_of(), slots=1)
    cache.lengths[0] = config_of().context
    with pytest.raises(AssertionError, match="fills its slot"):
        cache.step(1)
