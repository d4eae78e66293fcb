"""C4's rules on lines: what is kept, and its sentences and words, as datatrove finds them line by line."""

from __future__ import annotations

import random

import pytest
from crawl2chat.core.settings_filters import C4Quality
from crawl2chat.pipelines.quality.c4 import remains
from crawl2chat.pipelines.quality.lexicon import Lexicon
from datatrove.data import Document
from datatrove.pipeline.filters import C4QualityFilter
from datatrove.utils.text import split_into_sentences
from datatrove.utils.word_tokenizers import load_word_tokenizer

LINES = [
    "A line of some words. And one more!  Two.",
    "Two words",
    "",
    " \t ",
    "Cited here[12] and here.[edit] So it goes.",
    "[1] [citation needed] [2]",
    "Please enable java[3]script in your browser.",
    "Our privacy policy is elsewhere.",
    "The JavaScript of this page is long.",
    "A longer line with a" + "a" * 40 + " word.",
    "A line with ￼ odd\xa0\xa0blanks? Yes… it has",
    "Los EE. UU. son grandes. Los EE.[1] UU. Fin.",
    "标准规范。 词 词 a。",
]


@pytest.mark.parametrize("least", [3, 1, 0])
@pytest.mark.parametrize("language", ["en", "es", "zh"])
def test_what_is_left_is_datatroves(language: str, least: int) -> None:
    draw = random.Random(least)
    settings = C4Quality(min_words_per_line=least, max_word_length=30, min_num_sentences=0)
    texts = ["\n\r\x0b\u2028"[n % 4].join(draw.choices(LINES, k=n)) for n in range(60)]
    lexicon, languages = Lexicon(), [language] * len(texts)
    lines = [[line.strip() for line in text.splitlines()] for text in texts]
    left = remains(texts, languages, lines, lexicon.read(texts, languages), lexicon, settings)
    for place, text in enumerate(texts):
        document = Document(text=text, id="")
        assert C4QualityFilter(**settings.model_dump(), language=language).filter(document) is True
        kept = left.lines[place].kept
        assert "\n".join(kept).strip() == document.text
        assert left.sentences[place] == sum(len(split_into_sentences(line, language)) for line in kept)
        assert left.words[place] == len(load_word_tokenizer(language).word_tokenize("\n".join(kept)))


def test_texts_without_a_chunk_have_no_sentence() -> None:
    texts, lexicon = ["", " \n "], Lexicon()
    left = remains(texts, ["en"] * 2, [[], ["", ""]], lexicon.read(texts, ["en"] * 2), lexicon, C4Quality())
    assert left.sentences.tolist() == left.words.tolist() == [0, 0]


def test_a_citation_does_not_hide_a_phrase() -> None:
    texts, lexicon = ["One lorem[1] ipsum of three.\nAn open {brace} of it."], Lexicon()
    left = remains(texts, ["en"], [texts[0].split("\n")], lexicon.read(texts, ["en"]), lexicon, C4Quality())
    assert left.lines[0][1:3] == (1, 0)  # the first of either kind
