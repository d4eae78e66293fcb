"""Words and shingles against a plain Python reading of the same rules."""

from __future__ import annotations

import hashlib
import itertools
import unicodedata

import numpy as np
import pytest
from crawl2chat.dedup import shingles as module
from crawl2chat.dedup.shingles import folding_table, shingles, words

TEXTS = [
    "",
    "The quick brown fox, the QUICK brown fox — don't jump!",
    "one",
    "",
    "a b c d",
    "a b c d e",
    "Ελληνικά και Русский текст; हिन्दी में लिखा है",
    "東京都は日本の首都です。ภาษาไทย Hello 世界",
    "snake_case x²+y² 😀 email@example.org\x00\x01",
    "   \n\t ",
    "The quick brown fox, the QUICK brown fox — don't jump!",
]


def plain_words(text: str) -> list[str]:
    """The rules of shingles.py, one character at a time."""
    found, word = [], ""
    for character in text:
        letter = unicodedata.ucd_3_2_0.category(character)[0] in "LMN"
        alone = any(low <= ord(character) <= high for low, high in module._UNSPACED)
        if word and (not letter or alone):
            found.append(word)
            word = ""
        if letter and alone:
            found.append(character)
        elif letter:
            word += character.lower()[0]
    return [*found, word] if word else found


def split(flat: np.ndarray, offsets: np.ndarray) -> list[list[int]]:
    return [flat[a:b].tolist() for a, b in itertools.pairwise(offsets)]


def test_words_are_those_of_the_plain_reading() -> None:
    hashes = split(*words(TEXTS))
    plain = [plain_words(text) for text in TEXTS]
    assert [len(one) for one in hashes] == [len(one) for one in plain]
    seen: dict[str, int] = {}
    for ours, theirs in zip(hashes, plain, strict=True):
        for number, word in zip(ours, theirs, strict=True):
            assert seen.setdefault(word, number) == number
    assert len(set(seen.values())) == len(seen)


@pytest.mark.parametrize("ngram", [1, 2, 5, 9])
def test_shingles_are_runs_of_words_of_one_text(ngram: int) -> None:
    ours = split(*shingles(TEXTS, ngram))
    seen: dict[tuple[str, ...], int] = {}
    for numbers, text in zip(ours, TEXTS, strict=True):
        plain = plain_words(text)
        runs = [tuple(plain[at : at + ngram]) for at in range(len(plain) - ngram + 1)]
        assert len(numbers) == len(runs)
        for number, run in zip(numbers, runs, strict=True):
            assert seen.setdefault(run, number) == number
    assert len(set(seen.values())) == len(seen)


def test_a_text_has_its_shingles_alone_and_in_any_company() -> None:
    together = split(*shingles(TEXTS * 3, 3))
    alone = [split(*shingles([text], 3))[0] for text in TEXTS]
    assert together == alone * 3
    assert split(*shingles(TEXTS[::-1], 3)) == alone[::-1]
    assert shingles([], 3)[1].tolist() == [0]


def test_long_texts_are_cut_without_a_trace() -> None:
    sentence = "It was the best of times, it was the worst of times, it was the age of wisdom"
    count = 3 * module.CHUNK // len(sentence)
    text = "\n".join(f"{number} {sentence}" for number in range(count))
    flat, offsets = words(["before", text, "after"])
    assert np.diff(offsets).tolist() == [1, 19 * count, 1]
    assert (flat[0], flat[-1]) == (words(["before"])[0][0], words(["after"])[0][0])
    assert (flat[1:-1] == words(text.split("\n"))[0]).all()


def test_a_run_without_any_space_is_broken_not_refused() -> None:
    flat, offsets = words(["x" * (3 * module.CHUNK)])
    assert 1 < len(flat) == offsets[-1] < 10


def test_half_characters_do_no_harm() -> None:
    assert np.diff(shingles(["\ud800 lone \udfff half", "a b c d e"], 3)[1]).tolist() == [0, 3]


def test_the_table_of_characters_is_the_same_on_every_python() -> None:
    digest = hashlib.sha256(folding_table().tobytes()).hexdigest()
    assert digest == "b51880b043ec5ce2c142ae0d4d57b36e17952be99d8614ad08d999aeefae1c82", (
        "signatures changed: raise minhash.VERSION"
    )
