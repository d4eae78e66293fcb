"""Tokens to text: whole characters, stop strings across tokens, and the tokens that belong to what was given."""

from __future__ import annotations

import pytest
from crawl2chat.chat.requests import Written
from crawl2chat.chat.streamed_text import StreamedText
from crawl2chat.core.run import Run
from crawl2chat.tokenize.bpe import Tokenizer

SAID = "An acid is sour; “très” sour, 漢字 and 🙂."


@pytest.fixture
def tokenizer(run: Run) -> Tokenizer:
    return Tokenizer.load(run.stage("tokenizer") / "tokenizer.json")


def streamed(tokenizer: Tokenizer, text: str, *stop: str) -> tuple[list[str], list[int], bool]:
    """Pieces, the tokens that came with them, and whether a stop string ended it."""
    stream = StreamedText(tokenizer, stop)
    pieces, tokens = [], []
    for token in tokenizer.encode(text):
        piece, written = stream.add(Written(token))
        pieces.append(piece)
        tokens += [one.token for one in written]
        if stream.stopped:
            break
    piece, written = stream.rest()
    return [*pieces, piece], tokens + [one.token for one in written], stream.stopped


def test_characters_are_whole(tokenizer: Tokenizer) -> None:
    pieces, tokens, stopped = streamed(tokenizer, SAID)
    assert "".join(pieces) == SAID
    assert not any("\ufffd" in piece for piece in pieces)
    assert len(pieces) > 10 and "" in pieces  # 漢字 and 🙂 are several tokens each
    assert tokens == tokenizer.encode(SAID)
    assert not stopped


def test_bytes_that_are_no_character_come_at_the_end(tokenizer: Tokenizer) -> None:
    stream = StreamedText(tokenizer)
    for token in tokenizer.encode("a🙂")[:-1]:
        text, _ = stream.add(Written(token))
    assert text == ""
    assert stream.rest()[0] == "\ufffd"


@pytest.mark.parametrize("at", range(1, len(SAID)))
@pytest.mark.parametrize("length", [1, 2, 7])
def test_every_stop_string_ends_the_text_before_it(tokenizer: Tokenizer, at: int, length: int) -> None:
    """Wherever its characters lie in tokens; nothing of it is given before it is complete."""
    stop = SAID[at : at + length]
    pieces, tokens, stopped = streamed(tokenizer, SAID, stop, "not in it", SAID[at : at + length] + "#")
    assert stopped
    assert "".join(pieces) == SAID[: SAID.find(stop)]
    assert tokens == tokenizer.encode(SAID)[: len(tokens)]
    assert tokenizer.decode(tokens).startswith("".join(pieces))


def test_what_only_begins_a_stop_string_is_given_in_the_end(tokenizer: Tokenizer) -> None:
    pieces, tokens, stopped = streamed(tokenizer, SAID, "and 🙂.!", "sour;!")
    assert "".join(pieces) == SAID
    assert pieces[-1].endswith("and 🙂.")
    assert tokens == tokenizer.encode(SAID)
    assert not stopped


def test_the_first_of_several_stop_strings_counts(tokenizer: Tokenizer) -> None:
    pieces, _, stopped = streamed(tokenizer, SAID, "sour,", "très", "is sour")
    assert stopped and "".join(pieces) == "An acid "
