"""Words and sentences by looked-up chunks: the same as those of spaCy's pass over the text."""

from __future__ import annotations

import random
from collections.abc import Iterator

import numpy as np
import pytest
from crawl2chat.pipelines.quality.lexicon import Lexicon
from crawl2chat.pipelines.quality.spacy_words import LONG, SpaCyWords
from crawl2chat.pipelines.words import RememberingSpaCy, tokenizer_for
from datatrove.utils.text import split_into_sentences
from datatrove.utils.word_tokenizers import load_word_tokenizer

PIECES = {
    "en": [
        "don't",
        "(U.S.)",
        "cannot",
        "e.g.",
        "foo_bar(1,2)",
        "10km",
        "$5.",
        "a.m.,",
        "http://x.org/a?b",
        "word",
        "«so»",
    ],
    "es": ["EE.", "UU.", "(EE.", "UU.)", "¿qué?", "casa", "12,5%", "p.ej."],
    "ru": ["и", "др.", "т.ч.", "д-р", "слово", "«да»", "25", "г."],
    "fr": ["l'homme", "aujourd'hui", "qu'il", "c'est-à-dire", "J.-C.", "mot", "n°", "!"],
    "zh": ["标准规范。", "词", "a", "12。"],
    "dv": ["a.", "word", "B!", "c"],
}
GAPS = [" ", " ", " ", " ", "  ", "\n", "\t", " \n ", "\u3000", "\xa0"]
MARKS = [".", "!", "...", "?", ")", '"', "", "", ""]


def some_text(language: str, draw: random.Random) -> str:
    words = [draw.choice(PIECES[language]) + draw.choice(MARKS) for _ in range(draw.randint(0, 40))]
    return "".join(part for word in words for part in (word, draw.choice(GAPS)))


def texts() -> Iterator[tuple[str, str]]:
    draw = random.Random(5)
    for language in PIECES:
        for _ in range(60):
            yield some_text(language, draw), language


def names(lexicon: Lexicon, words: list[str]) -> list[int]:
    return lexicon._ids(words).tolist()


def test_words_are_datatroves() -> None:
    lexicon = Lexicon()
    given, languages = zip(*texts(), strict=True)
    words = lexicon.read(given, languages)
    parts = np.split(words.ids, np.cumsum(words.counts)[:-1])
    for text, language, part in zip(given, languages, parts, strict=True):
        assert part.tolist() == names(lexicon, load_word_tokenizer(language).word_tokenize(text))
    assert words.whole[np.array(languages) == "es"].any()
    assert not words.whole[np.array(languages) == "es"].all()
    assert words.whole[np.array(languages) == "dv"].all()


def test_sentences_are_datatroves_line_by_line() -> None:
    lexicon = Lexicon()
    given, languages = zip(*texts(), strict=True)
    whole = lexicon.read(given, languages).whole
    lines = [[line.strip() if place % 3 else line for place, line in enumerate(text.splitlines())] for text in given]
    sentences, words = lexicon.read_lines(lines, languages, whole)
    for place, language in enumerate(languages):
        assert sentences[place] == sum(len(split_into_sentences(line, language)) for line in lines[place])
        assert words[place] == len(load_word_tokenizer(language).word_tokenize("\n".join(lines[place])))


def test_classes_of_words() -> None:
    lexicon = Lexicon()
    rows = lexicon._ids(["the", "…", "a1", "12", "—”", "naïve", "of"])
    assert lexicon.symbol[rows].tolist() == [False, True, False, False, True, False, False]
    assert lexicon.alpha[rows].tolist() == [True, False, True, False, False, True, True]
    assert (lexicon.stop[rows] > 0).tolist() == [True, False, False, False, False, False, True]
    assert lexicon.lengths[rows].tolist() == [3, 1, 2, 2, 2, 5, 2]


def test_a_full_lexicon_forgets_and_says_the_same() -> None:
    small, large = Lexicon(limit=40), Lexicon()
    given, languages = zip(*texts(), strict=True)
    forgot = 0
    for start in range(0, len(given), 8):
        before = len(small)
        some, spoken = given[start : start + 8], languages[start : start + 8]
        few, many = small.read(some, spoken), large.read(some, spoken)
        assert few.counts.tolist() == many.counts.tolist()
        assert small.lengths[few.ids].tolist() == large.lengths[many.ids].tolist()
        forgot += len(small) < before
    assert forgot > 3


def test_a_word_that_breaks_spacy_is_cut_out_as_datatrove_does() -> None:
    for _ in range(3):  # spaCy fails from the second time on
        lexicon = Lexicon()
        words = lexicon.read(["An IS_ALPHA here.", "IS_ALPHA", "(IS_ALPHA)"], ["en"] * 3)
        assert words.ids.tolist() == names(lexicon, ["An", "here", ".", "(", ")"])
        assert words.counts.tolist() == [3, 0, 2]


def test_what_would_take_spacy_minutes_is_one_word() -> None:
    texts = ["(" * LONG, "(" * 20_000, "a" * 20_000 + "," + "b" * 20_000 + ")", "标准规范，" * 4_000]
    words = Lexicon().read(texts, ["en"] * 4).counts.tolist()
    assert words == [LONG, 1, 4, len(load_word_tokenizer("en").word_tokenize(texts[3]))]


@pytest.mark.parametrize("language", ["en", "de", "fr", "ru", "tr", "pl", "hu", "el", "ca", "xx"])
def test_chunks_are_cut_as_spacy_does(language: str) -> None:
    draw = random.Random(3)
    tokenizer = tokenizer_for(language)
    assert isinstance(tokenizer, RememberingSpaCy)
    letters, marks = "abcdehiklmnostABCDEäéßğıøşкмжщюλμπ", "0123459.,;:!?'’\"()[]{}<>-–—_/%°$€#@&*+=~…«»"
    drawn = {
        "".join(draw.choice(letters if draw.random() < share else marks) for _ in range(draw.randint(1, 9)))
        for share in (1, 0.8, 0.5)
        for _ in range(700)
    }
    rules = draw.sample(sorted(tokenizer.tokenizer.tokenizer.rules), 60)
    rules = [rule for rule in rules if not any(char.isspace() for char in rule)]
    chunks = sorted({*drawn, *rules, *(f"({rule})," for rule in rules), *(f"a/{rule}" for rule in rules)})
    theirs = [tokenizer.word_tokenize(chunk) for chunk in chunks]
    words, counts = SpaCyWords(tokenizer).of(chunks)
    assert counts == [len(one) for one in theirs]
    assert words == [word for one in theirs for word in one]
