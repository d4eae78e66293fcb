"""Packing: every learned token once, none beside a stranger's, few rows; and the same loss as alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from crawl2chat.core.errors import InputError
from crawl2chat.core.settings_tokenizer import Tokenizer as Settings
from crawl2chat.model.config import ModelConfig
from crawl2chat.tokenize.bpe import Tokenizer
from crawl2chat.tokenize.chat_template import ChatTemplate, OwnTemplate, encode_chat
from crawl2chat.tokenize.chatml import ChatML
from crawl2chat.tokenize.train import train_tokenizer
from crawl2chat.train.chat_examples import write_conversations
from crawl2chat.train.chat_rejects import Tally
from crawl2chat.train.chat_rows import Conversation, read_conversations
from crawl2chat.train.loader import IGNORED
from crawl2chat.train.packed_chat import PackedChat
from crawl2chat.train.packing import TooLong, assign, pack
from crawl2chat.train.strategies import build
from crawl2chat.train.world import World

CONTEXT = 512
RASBT, GLAIVE = "rasbt_instruction_data.json.gz", "llamafactory_glaive_toolcall_en_demo.json.gz"


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    texts = ["What is it? It is a thing. What was the sentence? Rewrite the following: "] * 4
    settings = Settings(special_tokens=["<|im_start|>", "<|im_end|>"], vocab_size=330)
    return Tokenizer(train_tokenizer([texts], 330, settings))


def naive(lengths: list[int], context: int) -> list[int]:
    """Best-fit decreasing in its plainest form. Of rows with equal space, the last that got it."""
    spaces: list[int] = []
    touched: list[int] = []
    row = [0] * len(lengths)
    for time, item in enumerate(sorted(range(len(lengths)), key=lambda one: -lengths[one])):
        fits = [(space, -when, number) for number, (space, when) in enumerate(zip(spaces, touched, strict=True))
                if space >= lengths[item]]  # fmt: skip
        row[item] = min(fits)[2] if fits else len(spaces)
        if not fits:
            spaces.append(context)
            touched.append(time)
        spaces[row[item]] -= lengths[item]
        touched[row[item]] = time
    return row


@pytest.mark.parametrize("context", [1, 7, 8, 100, 1023])
def test_the_tree_finds_what_a_search_finds(context: int) -> None:
    rng = np.random.default_rng(context)
    for count in (0, 1, 2, 300):
        lengths = rng.integers(1, context + 1, count)
        row, rows = assign(lengths, context)
        assert row.tolist() == naive(lengths.tolist(), context)
        assert rows == len(set(row.tolist()))
        if count:
            assert np.bincount(row, weights=lengths).max() <= context


def flat(lengths: list[int], learned: list[list[int]]) -> tuple[np.ndarray, np.ndarray]:
    """Offsets and mask of conversations of some lengths, with these places learned."""
    offsets = np.cumsum([0, *lengths])
    answer = np.zeros(offsets[-1], dtype=bool)
    for start, places in zip(offsets, learned, strict=False):
        answer[start + np.array(places, dtype=int)] = True
    return offsets, answer


@pytest.mark.parametrize(
    ("too_long", "pieces", "counts"),
    [
        (TooLong.DROP, [(0, 0, 5), (2, 0, 3)], {"dropped": 3, "nothing_to_learn": 2}),
        (TooLong.TRUNCATE, [(0, 0, 5), (1, 0, 4), (2, 0, 3)], {"truncated": 3, "nothing_to_learn": 4}),
        (
            TooLong.SPLIT,
            [(0, 0, 5), (1, 0, 4), (1, 4, 9), (1, 8, 10), (2, 0, 3), (5, 4, 9), (6, 8, 10)],
            {"split": 3, "nothing_to_learn": 2},
        ),
    ],
)
def test_conversations_that_are_too_long(
    too_long: TooLong, pieces: list[tuple[int, int, int]], counts: dict[str, int]
) -> None:
    """A context of 4: tokens up to the 5th fit."""
    lengths = [5, 12, 9, 4, 3, 9, 10]
    learned = [[4], [3, 8, 9], [1, 2], [], [0], [8], [9]]
    offsets, answer = flat(lengths, learned)
    found = pack(offsets, answer, 4, too_long)
    first = offsets[found.conversation]
    triples = zip(found.conversation, found.starts - first, found.stops - first, strict=True)
    assert sorted((int(a), int(b), int(c)) for a, b, c in triples) == pieces
    expected = {"dropped": 0, "truncated": 0, "split": 0} | counts
    expected |= {"conversations": 7, "too_long": 3, "pieces": len(pieces), "rows": len(found.rows) - 1}
    assert found.counts == expected
    if too_long is TooLong.SPLIT:  # each learned token is a target once; a first token never is one
        targets = [place for a, b in zip(found.starts, found.stops, strict=True) for place in range(a + 1, b)]
        assert sorted(place for place in targets if answer[place]) == [
            place for place in np.flatnonzero(answer).tolist() if place not in offsets.tolist()
        ]


def test_no_conversations() -> None:
    for lengths in ([], [3]):
        found = pack(*flat(lengths, [[]]), 4, TooLong.SPLIT)
        assert len(found.rows) == 1 and found.efficiency == 1.0 and found.counts["rows"] == 0


@pytest.mark.parametrize("template", [OwnTemplate, ChatML])
@pytest.mark.parametrize(("name", "too_long"), [(RASBT, TooLong.DROP), (GLAIVE, TooLong.SPLIT)])
def test_real_rows_token_by_token(
    instruct: Callable[[str], Path],
    tmp_path: Path,
    tokenizer: Tokenizer,
    template: Callable[[Tokenizer], ChatTemplate],
    name: str,
    too_long: TooLong,
) -> None:
    """Each row is the conversations that `trace` names, one behind the other, and its targets are their answers."""
    tally = write_conversations([instruct(name)], tmp_path / "e.arrow", template(tokenizer), Tally(200))
    data = PackedChat(tmp_path / "e.arrow", CONTEXT, too_long)
    chats = {
        one.doc_id: template(tokenizer).encode(one.messages)
        for one in read_conversations([instruct(name)], Tally(200))
        if isinstance(one, Conversation)
    }
    assert tally.conversations == len(chats) == data.packing.counts["conversations"]
    every = np.arange(len(data))
    inputs, targets = data.batch(every)
    documents = data.documents(every)
    seen = dict.fromkeys(chats, 0)
    for row in range(len(data)):
        place = 0
        for number, span in enumerate(data.trace(row), 1):
            ids, mask = (part[span.start : span.stop] for part in chats[span.doc_id])
            here = slice(place, place + len(ids) - 1)
            assert inputs[row, here].tolist() == ids[:-1]
            assert targets[row, here].tolist() == [
                token if counts else IGNORED for token, counts in zip(ids[1:], mask[1:], strict=True)
            ]
            assert set(documents[row, here].tolist()) == {number}
            assert mask[-1]  # nothing is carried that teaches nothing
            seen[span.doc_id] += sum(mask[1:])
            place = here.stop
        assert not documents[row, place:].any() and (targets[row, place:] == IGNORED).all()
    learned = {key: sum(mask) for key, (_, mask) in chats.items()}
    short = {key for key, (ids, mask) in chats.items() if len(ids) - mask[::-1].index(True) - 1 <= CONTEXT}
    assert seen == {key: value if key in short or too_long is TooLong.SPLIT else 0 for key, value in learned.items()}
    assert data.target_count(every) == int((targets != IGNORED).sum()) == sum(seen.values())
    assert data.packing.efficiency > 0.97 and len(data) <= data.packing.fewest_rows * 1.03
    print(f"{name}: {data.packing.efficiency:.4f} {data.packing.counts}, at least {data.packing.fewest_rows} rows")


def test_our_template_on_real_rows(instruct: Callable[[str], Path], tokenizer: Tokenizer) -> None:
    """What is learned, as text: the answers, each with its end."""
    end = tokenizer.special("<|end|>")
    for name in (RASBT, GLAIVE):
        for one in read_conversations([instruct(name)], Tally(200)):
            if isinstance(one, Conversation):
                ids, mask = OwnTemplate(tokenizer).encode(one.messages)
                learned = [token for token, counts in zip(ids, mask, strict=True) if counts]
                borders = [-1, *(place for place, token in enumerate(learned) if token == end)]
                answers = [turn["content"] for turn in one.messages if turn["role"] == "assistant"]
                assert [tokenizer.decode(learned[a + 1 : b]) for a, b in pairwise(borders)] == answers
                if one.messages[0]["role"] == "user":
                    assert (ids, mask) == encode_chat(tokenizer, one.messages)


@pytest.mark.parametrize("context", [40, 600])  # masked, and attended one by one
def test_a_packed_row_costs_what_its_conversations_cost(
    tmp_path: Path, tokenizer: Tokenizer, small: ModelConfig, context: int
) -> None:
    rows = [f'{{"prompt": "{"q" * (n % 7 + 1)}?", "response": "{"ab " * (n % 5 + 1)}"}}\n' for n in range(20)]
    (tmp_path / "c.jsonl").write_text("".join(rows))
    write_conversations([tmp_path / "c.jsonl"], tmp_path / "e.arrow", OwnTemplate(tokenizer))
    data = PackedChat(tmp_path / "e.arrow", context, TooLong.DROP)
    assert len(data) < 15
    model = build(replace(small, vocab_size=tokenizer.vocab_size, context=context), 3, "fp32", World())

    def nats(inputs: np.ndarray, targets: np.ndarray, documents: np.ndarray) -> torch.Tensor:
        logits_BTV = model(torch.from_numpy(inputs), documents_BT=torch.from_numpy(documents))
        return F.cross_entropy(logits_BTV.flatten(0, 1), torch.from_numpy(targets).flatten(), reduction="sum")

    every = np.arange(len(data))
    with torch.no_grad():
        packed = nats(*data.batch(every), data.documents(every))
        alone = torch.tensor(0.0)
        for line in read_conversations([tmp_path / "c.jsonl"], Tally(0)):
            assert isinstance(line, Conversation)
            ids, mask = (np.array(part) for part in OwnTemplate(tokenizer).encode(line.messages))
            aims = np.where(mask[1:], ids[1:], IGNORED)
            alone += nats(ids[None, :-1], aims[None], np.ones_like(ids)[None, :-1])
        mixed = nats(*data.batch(every), np.ones_like(data.documents(every)))
    torch.testing.assert_close(packed, alone, rtol=1e-5, atol=0)
    assert abs(float(mixed - alone)) > 1e-2


def test_an_empty_file_gives_no_rows(tmp_path: Path, tokenizer: Tokenizer) -> None:
    (tmp_path / "c.jsonl").write_text("")
    assert write_conversations([tmp_path / "c.jsonl"], tmp_path / "e.arrow", OwnTemplate(tokenizer)).counts() == {
        "conversations": 0
    }
    assert len(PackedChat(tmp_path / "e.arrow", 8, TooLong.SPLIT)) == 0


def test_rows_that_a_template_refuses_are_counted(tmp_path: Path, tokenizer: Tokenizer) -> None:
    class Picky(OwnTemplate):
        def encode(self, messages, generation_prompt=False):
            if "no" in messages[0]["content"]:
                raise InputError("not this one")
            return super().encode(messages, generation_prompt)

    lines = [f'{{"prompt": "{word}", "response": "a"}}\n' for word in ("yes", "no", "yes")]
    (tmp_path / "c.jsonl").write_text("".join([*lines, "{\n"]))
    tally = write_conversations([tmp_path / "c.jsonl"], tmp_path / "e.arrow", Picky(tokenizer))
    assert tally.counts() == {"conversations": 2, "rejected.not_json": 1, "rejected.template": 1}
    assert str(tally.first[0]) == f"{tmp_path / 'c.jsonl'}:2 template: not this one"
    assert PackedChat(tmp_path / "e.arrow", 64, TooLong.DROP).doc_ids.to_pylist() == ["c.jsonl:1", "c.jsonl:3"]
    with pytest.raises(InputError, match="more than 1 rows"):
        write_conversations([tmp_path / "c.jsonl"], tmp_path / "f.arrow", Picky(tokenizer), Tally(1))
    assert not (tmp_path / "f.arrow").exists()
