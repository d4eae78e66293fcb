"""Languages: the right one, of capitals and of long texts too, and the same in any batch."""

from __future__ import annotations

import pytest
from crawl2chat.core.errors import RecipeError
from crawl2chat.core.settings_data import Language
from crawl2chat.pipelines.language import WINDOW, check_language, identify, known_languages, shown

ENGLISH = "This is a plain English sentence\nover two lines."
GERMAN = "Dies ist ein deutscher Satz über das Wetter."
RUSSIAN = "Это предложение на русском языке."


@pytest.mark.parametrize(("text", "language"), [(ENGLISH, "en"), (GERMAN, "de"), (RUSSIAN, "ru")])
def test_language(text: str, language: str) -> None:
    found, score = identify([text])[0]
    assert found == language
    assert 0.5 < score <= 1
    assert identify([text * 400])[0][0] == language
    assert language in known_languages()


def test_capitals_change_nothing() -> None:
    assert identify([GERMAN.upper()]) == identify([GERMAN])


def test_a_text_without_words_has_no_language() -> None:
    assert identify(["  \n ", "", ENGLISH])[:2] == [("", 0.0), ("", 0.0)]
    assert identify([]) == []


def test_the_batch_changes_nothing() -> None:
    texts = [ENGLISH, "", GERMAN * 300, RUSSIAN, "x", "12 34"]
    assert identify(texts) == [identify([text])[0] for text in texts]
    assert identify(texts[::-1]) == identify(texts)[::-1]


def test_of_a_long_text_its_ends_and_its_middle_are_shown() -> None:
    text = "a" * 5000 + "M" * WINDOW + "z" * 5000
    assert shown(text) == " ".join(["a" * WINDOW, "m" * WINDOW, "z" * WINDOW])
    assert shown("a" * 3 * WINDOW) == "a" * 3 * WINDOW
    assert shown(" One\n\n two\t") == "one two"


def test_a_code_that_the_model_does_not_know_is_an_error() -> None:
    check_language(Language(keep=["en", "zh"]))
    for code, meant in (("eng", "en"), ("deu", "de"), ("ces", "cs"), ("EN", "en")):
        with pytest.raises(
            RecipeError, match=rf"language\.keep has '{code}', which lid\.176 does not know\n.*: {meant}\b"
        ):
            check_language(Language(keep=["en", code]))
