"""The engine: every text is the one that it would be alone, however texts come and go."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
import torch
from crawl2chat.chat.engine import Engine
from crawl2chat.chat.generation import Generation
from crawl2chat.chat.requests import Piece, Request
from crawl2chat.core.errors import InputError
from crawl2chat.core.run import Run
from crawl2chat.model.batch_sampling import Sampling
from crawl2chat.model.config import ModelConfig
from crawl2chat.model.generation import generate
from crawl2chat.model.transformer import Transformer
from crawl2chat.tokenize.bpe import Tokenizer

CONTEXT = 48
GREEDY = Sampling(temperature=0)


@pytest.fixture
def tokenizer(run: Run) -> Tokenizer:
    return Tokenizer.load(run.stage("tokenizer") / "tokenizer.json")


@pytest.fixture
def model(tokenizer: Tokenizer, one_thread: None) -> Transformer:
    """Random weights, large enough that the text does not fall into one repeated token."""
    config = ModelConfig(
        vocab_size=tokenizer.vocab_size, layers=2, width=32, heads=4, kv_heads=2, feed_forward=40, context=CONTEXT
    )
    model = Transformer(config)
    generator = torch.Generator().manual_seed(4)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.empty_like(parameter).normal_(parameter.dim() == 1, 0.4, generator=generator))
    return model.eval()


def prompts(count: int, seed: int = 1, most: int = 20) -> list[tuple[int, ...]]:
    chance = random.Random(seed)
    return [tuple(chance.randrange(4, 250) for _ in range(chance.randint(1, most))) for _ in range(count)]


def finish(engine: Engine, requests: list[Request]) -> list[tuple[str, list[int], str | None]]:
    """Text, tokens and end of each request, all put in at once."""
    generations = [engine.prepare(one) for one in requests]
    for one in generations:
        engine.add(one)
    return collected(engine, generations)


def collected(engine: Engine, generations: list[Generation]) -> list[tuple[str, list[int], str | None]]:
    found: dict[Generation, list[Piece]] = {one: [] for one in generations}
    while engine.busy:
        for generation, piece in engine.step():
            found.setdefault(generation, []).append(piece)
    return [
        (
            "".join(piece.text for piece in pieces),
            [token.token for piece in pieces for token in piece.written],
            pieces[-1].finish if pieces else None,
        )
        for pieces in (found[one] for one in generations)
    ]


@pytest.mark.parametrize(("slots", "chunk"), [(1, 64), (3, 5), (8, 1), (16, 1000)])
def test_the_likeliest_text_is_that_of_generate(
    model: Transformer, tokenizer: Tokenizer, slots: int, chunk: int
) -> None:
    requests = [Request(ids, 3 + 5 * n, GREEDY, frozenset({0, 7 + n})) for n, ids in enumerate(prompts(11))]
    found = finish(Engine(model, tokenizer, slots, chunk), requests)
    ended = set()
    for request, (text, tokens, end) in zip(requests, found, strict=True):
        wanted = list(generate(model, request.ids, max_tokens=request.max_tokens, temperature=0,
                               stop_ids=request.stop_ids))  # fmt: skip
        assert tokens == wanted
        assert text == tokenizer.decode(wanted)
        assert end == ("length" if len(wanted) == min(request.max_tokens, CONTEXT - len(request.ids) + 1) else "stop")
        ended.add(end)
    assert "length" in ended


def test_a_drawn_text_depends_on_its_seed_alone(model: Transformer, tokenizer: Tokenizer) -> None:
    """Not on the slot, nor on the texts beside it, nor on how its prompt was cut."""
    settings = [Sampling(1.0), Sampling(0.8, top_p=0.9), Sampling(1.5, top_k=20), GREEDY]
    requests = [Request(ids, 20, replace(settings[n % 4], seed=100 + n)) for n, ids in enumerate(prompts(12, seed=2))]
    alone = [finish(Engine(model, tokenizer, 1), [one])[0] for one in requests]
    assert finish(Engine(model, tokenizer, 5, chunk=7), requests) == alone
    assert finish(Engine(model, tokenizer, 12), requests[::-1])[::-1] == alone
    other = [replace(one, sampling=replace(one.sampling, seed=1)) for one in requests]
    changed = [a != b for a, b in zip(finish(Engine(model, tokenizer, 5), other), alone, strict=True)]
    assert changed == [True, True, True, False] * 3


def test_texts_join_and_leave_at_any_step(model: Transformer, tokenizer: Tokenizer) -> None:
    """Some are cancelled while they wait, are read or written: the others say what they say alone."""
    engine, chance = Engine(model, tokenizer, slots=3, chunk=4), random.Random(5)
    requests = [Request(ids, chance.randint(1, 25), Sampling(seed=n)) for n, ids in enumerate(prompts(40, seed=3))]
    alone = [finish(Engine(model, tokenizer, 1), [one])[0] for one in requests]
    waiting, running, found = list(range(40)), {}, {n: [] for n in range(40)}
    cancelled = set()
    while waiting or engine.busy:
        if waiting and chance.random() < 0.4:
            number = waiting.pop(0)
            running[engine.prepare(requests[number])] = number
            engine.add(list(running)[-1])
        if running and chance.random() < 0.05:
            generation = chance.choice(list(running))
            if not generation.finished:
                cancelled.add(running[generation])
            engine.cancel(generation)
        for generation, piece in engine.step():
            assert running[generation] not in cancelled
            found[running[generation]].append(piece)
        assert engine.running <= 3
    assert engine.running == engine.waiting == 0
    assert len(cancelled) >= 3
    for number in set(range(40)) - cancelled:
        assert "".join(piece.text for piece in found[number]) == alone[number][0]
        assert found[number][-1].finish == alone[number][2]


def test_a_long_prompt_does_not_hold_up_the_others(model: Transformer, tokenizer: Tokenizer) -> None:
    engine = Engine(model, tokenizer, slots=2, chunk=4)
    first = engine.prepare(Request((5, 6), 30, GREEDY))
    engine.add(first)
    engine.step()
    long = engine.prepare(Request(tuple(range(4, 44)), 2, GREEDY))
    engine.add(long)
    for step in range(1, 10):  # forty tokens by four: at the tenth step it begins to be written
        before = first.tokens
        engine.step()
        assert first.tokens == before + 1
        assert long.read == 4 * step and long.tokens == 0
    engine.step()
    assert long.tokens >= 1


def test_stop_strings_end_a_text(model: Transformer, tokenizer: Tokenizer) -> None:
    request = Request(prompts(1)[0], 30, Sampling(seed=3))
    [(text, tokens, _)] = finish(Engine(model, tokenizer), [request])
    stop = text[len(text) // 2 :][:3]
    stopped = replace(request, stop=("never said", stop))
    [(cut, kept, end)] = finish(Engine(model, tokenizer), [stopped])
    assert cut == text[: text.find(stop)]
    assert end == "stop"
    assert kept == tokens[: len(kept)]


def test_log_probabilities_are_the_models_own(model: Transformer, tokenizer: Tokenizer) -> None:
    """Whatever temperature and cuts do to what is drawn."""
    ids = prompts(1, seed=9)[0]
    requests = [Request(ids, 12, Sampling(1.7, top_k=30, seed=2), logprobs=3), Request((9,), 12, GREEDY)]
    engine = Engine(model, tokenizer)
    generations = [engine.prepare(one) for one in requests]
    for one in generations:
        engine.add(one)
    written = []
    while engine.busy:
        for generation, piece in engine.step():
            if generation is generations[0]:
                written += piece.written
            else:
                assert all(one.logprob is None for one in piece.written)
    assert len(written) == 12
    with torch.inference_mode():
        whole = model(torch.tensor([[*ids, *(one.token for one in written)]]))[0].log_softmax(-1)
    for place, one in enumerate(written, len(ids) - 1):
        assert one.logprob == pytest.approx(float(whole[place, one.token]), abs=1e-3)
        values, tokens = whole[place].topk(3)
        assert [token for token, _ in one.likeliest] == tokens.tolist()
        assert [value for _, value in one.likeliest] == pytest.approx(values.tolist(), abs=1e-3)


def test_the_end_of_the_context_ends_a_text(model: Transformer, tokenizer: Tokenizer) -> None:
    full = tuple(range(4, 4 + CONTEXT))
    [(_, tokens, end)] = finish(Engine(model, tokenizer), [Request(full, 9, GREEDY)])
    assert (len(tokens), end) == (1, "length")
    with pytest.raises(InputError, match=f"the prompt has {CONTEXT + 1} tokens, the model's context {CONTEXT}"):
        Engine(model, tokenizer).prepare(Request((*full, 5), 9, GREEDY))


def test_broken_logits_end_texts_with_an_error(model: Transformer, tokenizer: Tokenizer) -> None:
    with torch.no_grad():
        model.norm.weight.fill_(float("nan"))
    engine = Engine(model, tokenizer)
    engine.add(engine.prepare(Request((5, 6), 4, GREEDY)))
    [(_, piece)] = engine.step()
    assert piece.error is not None and "not finite" in piece.error
    assert not engine.busy


@pytest.mark.parametrize("chunk", [2, 64])
def test_a_text_with_broken_logits_ends_alone(tokenizer: Tokenizer, model: Transformer, chunk: int) -> None:
    """Wherever it stands; the texts beside it and those that come into its slot say what they say alone."""
    config = replace(model.config, tied_embeddings=False)
    untied = Transformer(config)
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for parameter in untied.parameters():
            parameter.copy_(torch.empty_like(parameter).normal_(parameter.dim() == 1, 0.4, generator=generator))
        broken = tokenizer.vocab_size - 1
        untied.embedding.weight[broken] = float("nan")  # for those that read this token, which none writes
        assert untied.head is not None
        untied.head.weight[broken] = 0
    untied.eval()
    requests = [Request(ids, 12, GREEDY) for ids in prompts(9, seed=6)]
    alone = [finish(Engine(untied, tokenizer, 1), [one])[0] for one in requests]
    assert all(end == "length" for _, _, end in alone)
    for places in ([0], [2, 5], [1, 2, 3, 8]):
        mixed = [replace(one, ids=(*one.ids, broken, 7)) if n in places else one for n, one in enumerate(requests)]
        found = finish(Engine(untied, tokenizer, 3, chunk), mixed)
        assert [n for n, one in enumerate(found) if one == ("", [], None)] == places
        assert [one for n, one in enumerate(found) if n not in places] == [
            one for n, one in enumerate(alone) if n not in places
        ]


def test_one_of_several_being_written_breaks(model: Transformer, tokenizer: Tokenizer) -> None:
    engine = Engine(model, tokenizer, slots=4)
    requests = [Request(ids, 20, GREEDY) for ids in prompts(4, seed=7)]
    alone = [finish(Engine(model, tokenizer, 1), [one])[0] for one in requests]
    generations = [engine.prepare(one) for one in requests]
    for one in generations:
        engine.add(one)
    said: dict[Generation, list[Piece]] = {one: [] for one in generations}
    for step in range(60):
        if step == 4:
            engine._cache.values_LNGSK[0, 1, 0, 0, 0] = float("inf")  # as in a text whose numbers overflow
        for one, piece in engine.step():
            said[one].append(piece)
    ends = [said[one][-1] for one in generations]
    assert [end.error is not None for end in ends] == [False, True, False, False]
    texts = ["".join(piece.text for piece in said[one]) for one in generations]
    assert [texts[n] for n in (0, 2, 3)] == [alone[n][0] for n in (0, 2, 3)]
    assert torch.isfinite(engine._cache.values_LNGSK).all() and torch.isfinite(engine._cache.keys_LNGSK).all()


def test_a_broken_prompt_that_is_given_up_leaves_nothing(model: Transformer, tokenizer: Tokenizer) -> None:
    engine = Engine(model, tokenizer, slots=2, chunk=4)
    given_up = engine.prepare(Request(tuple(range(4, 44)), 2, GREEDY))
    engine.add(given_up)
    engine.step()
    engine._cache.keys_LNGSK[:, 0, :, 1] = float("nan")
    engine.cancel(given_up)
    assert torch.isfinite(engine._cache.keys_LNGSK).all()


def test_wrong_requests_are_refused() -> None:
    wrongs = ({"ids": ()}, "prompt is empty"), ({"max_tokens": 0}, "max_tokens is 0"), ({"stop": ("",)}, "stop string")
    for wrong, says in wrongs:
        with pytest.raises(InputError, match=says):
            Request(**{"ids": (1,), "max_tokens": 1, **wrong})
