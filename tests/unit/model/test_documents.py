"""Several documents in one row: each has the logits, and gives the gradients, that it has alone."""

from __future__ import annotations

import pytest
import torch
from crawl2chat.model import transformer
from crawl2chat.model.cache import KVCache
from crawl2chat.model.positions import document_numbers, places

ROWS = [[7, 1, 16], [24], [1, 2, 3, 4, 5, 9]]  # lengths of the documents in rows of 24 tokens


def packed(tokens: torch.Tensor) -> tuple[torch.Tensor, list[torch.Tensor]]:
    """The documents' numbers, and the documents."""
    numbers = torch.stack([torch.arange(len(row)).repeat_interleave(torch.tensor(row)) for row in ROWS])
    return numbers, [document for row, lengths in zip(tokens, ROWS, strict=True) for document in row.split(lengths)]


@pytest.fixture(params=["split", "masked"])
def model(request: pytest.FixtureRequest, family_config, random_model, monkeypatch: pytest.MonkeyPatch):
    """Both ways of attending: document by document, and whole rows under a mask, as on an accelerator."""
    monkeypatch.setattr(transformer, "SPLIT_FROM", 1 if request.param == "split" else 1000)
    return random_model(family_config)


def test_logits_equal_those_of_each_document_alone(model, tokens_of) -> None:
    tokens = tokens_of(model.config, batch=3)
    numbers, documents = packed(tokens)
    with torch.no_grad():
        logits = model(tokens, documents_BT=numbers).flatten(0, 1)
        alone = torch.cat([model(document[None])[0] for document in documents])
        across = model(tokens).flatten(0, 1)
    torch.testing.assert_close(logits, alone, atol=2e-5, rtol=1e-5)
    assert (across[7:24] - alone[7:24]).abs().amax(-1).min() > 1e-3  # without, every later document sees the first


def test_gradients_equal_those_of_the_documents_alone(model, tokens_of) -> None:
    tokens = tokens_of(model.config, batch=3)
    numbers, documents = packed(tokens)
    model(tokens, documents_BT=numbers).square().sum().backward()
    together = [parameter.grad.clone() for parameter in model.parameters()]
    model.zero_grad()
    for document in documents:
        model(document[None]).square().sum().backward()
    for one, other in zip(together, model.parameters(), strict=True):
        torch.testing.assert_close(one, other.grad, atol=1e-3, rtol=1e-4)


def test_grouped_queries_and_free_heads(config_of, random_model, tokens_of, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transformer, "SPLIT_FROM", 1)
    transfer = {"base_width": 16, "base_layers": 2, "base_head_size": 4}
    model = random_model(config_of(kv_heads=1, head_size=12, transfer=transfer))
    tokens = tokens_of(model.config, batch=3)
    numbers, documents = packed(tokens)
    with torch.no_grad():
        alone = torch.cat([model(document[None])[0] for document in documents])
        torch.testing.assert_close(model(tokens, documents_BT=numbers).flatten(0, 1), alone, atol=2e-5, rtol=1e-5)


def test_compiled_blocks_get_a_mask(config_of, random_model, tokens_of, monkeypatch: pytest.MonkeyPatch) -> None:
    """Shapes that follow the documents would be compiled anew for every batch."""
    monkeypatch.setattr(transformer, "SPLIT_FROM", 1)
    model = random_model(config_of())
    tokens = tokens_of(model.config, batch=3)
    numbers, documents = packed(tokens)
    assert model._splits(tokens)
    for block in model.blocks:
        block.compile(backend="eager", fullgraph=True)
    assert not model._splits(tokens)
    with torch.no_grad():
        together = model(tokens, documents_BT=numbers).flatten(0, 1)
        alone = torch.cat([model(document[None])[0] for document in documents])
    torch.testing.assert_close(together, alone, atol=2e-5, rtol=1e-5)


def test_places_of_documents(config_of) -> None:
    numbers = torch.tensor([[4, 4, 4, 2, 2, 9], [0, 0, 0, 0, 0, 0]])  # any numbers that change at the borders
    tokens = torch.zeros_like(numbers)
    found = places(config_of("gpt2"), tokens, documents_BT=numbers, split=True)
    assert found.position.tolist() == [[0, 1, 2, 0, 1, 0], [0, 1, 2, 3, 4, 5]]
    assert found.lengths == [3, 2, 1, 6]
    masked = places(config_of("gpt2"), tokens, documents_BT=numbers)
    assert masked.mask is not None
    seen = [[[at for at in range(6) if row[at]] for row in matrix[0].tolist()] for matrix in masked.mask]
    assert seen[0] == [[0], [0, 1], [0, 1, 2], [3], [3, 4], [5]]
    assert seen[1] == [list(range(at + 1)) for at in range(6)]


def test_end_of_text_begins_a_document() -> None:
    """It is the first token of what follows, as in a prompt, and the target behind what comes before it."""
    tokens = torch.tensor([[5, 6, 0, 7, 0, 0, 8], [0, 1, 2, 3, 4, 5, 6]])
    assert document_numbers(tokens, begin=0).tolist() == [[0, 0, 1, 1, 2, 3, 3], [1, 1, 1, 1, 1, 1, 1]]


def test_documents_and_a_cache_exclude_each_other(config_of, random_model, tokens_of) -> None:
    model = random_model(config_of())
    tokens, cache = tokens_of(model.config), KVCache(model.config, batch=2)
    with torch.no_grad(), pytest.raises(AssertionError, match="whole rows"):
        model(tokens[:, :4], cache)
        model(tokens[:, 4:8], cache, documents_BT=torch.zeros(2, 4))
