"""spaCy's rules for cutting a chunk into words, without the objects that spaCy makes of each new word.

The steps are those of spaCy's Tokenizer (spacy/tokenizer.pyx): special cases; affixes, one by one from both ends;
infixes. Patterns and special cases are those that spaCy has for the language. spaCy's last step looks for special cases
among the words that came out: where one may stand there, the chunk is left to spaCy.
"""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Any

from spacy.attrs import ORTH
from spacy.language import Language
from spacy.tokenizer import Tokenizer

from ..words import QUIRK
from .patterns import BEGIN, END, by_character, finder, needs_more_than_letters

NOTHING = re.compile(r"(?!)")


class SpaCyRules:
    """One language's rules."""

    def __init__(self, nlp: Language) -> None:
        self._spacy: Any = nlp.tokenizer
        prefix, suffix, infix = (
            getattr(search, "__self__", NOTHING)
            for search in (self._spacy.prefix_search, self._spacy.suffix_search, self._spacy.infix_finditer)
        )
        self._leaves_letters = all(map(needs_more_than_letters, (prefix, suffix, infix)))
        pieces = [_filled(one) for one in (nlp.Defaults.prefixes, nlp.Defaults.suffixes, nlp.Defaults.infixes)]
        self._prefixes = by_character(prefix, [f"^{one}" for one in pieces[0]], BEGIN)
        self._suffixes = by_character(suffix, [f"{one}$" for one in pieces[1]], END)
        self._infixes = finder(infix, pieces[2])
        self._whole, self._url = self._spacy.token_match, self._spacy.url_match or NOTHING.match
        strings: Any = nlp.vocab.strings
        self.special = {
            rule: [one[ORTH] if isinstance(one[ORTH], str) else strings[one[ORTH]] for one in words]
            for rule, words in self._spacy.rules.items()
        }
        self._single, self._pairs = self._sought_last()

    def cut(self, chunk: str) -> list[str] | None:
        """The words of a chunk; None where only spaCy knows."""
        if QUIRK in chunk:
            chunk = chunk.replace(QUIRK, "")
        if chunk in self.special:
            return list(self.special[chunk])
        if self._leaves_letters and chunk.isalpha():
            return [chunk]
        words, core, after = self._without_affixes(chunk)
        if core in self.special:
            words += self.special[core]
        elif self._leaves_letters and core.isalpha():
            words.append(core)
        elif core:
            words += self._at_infixes(core)
        if after:
            words += reversed(after)
        if len(words) > 1 and not (self._single.isdisjoint(words) and self._pairs.isdisjoint(pairwise(words))):
            return None
        return words

    def _without_affixes(self, rest: str) -> tuple[list[str], str, list[str]]:
        """The prefixes, what is left, and the suffixes, the outermost first."""
        before: list[str] = []
        after: list[str] = []
        special, whole, length = self.special, self._whole, -1
        while rest and len(rest) != length and rest not in special and not (whole and whole(rest)):
            if self._leaves_letters and rest.isalpha():
                break
            start, end = 0, len(rest)
            length = end
            if (prefix := self._prefixes[rest[0]]) and (found := prefix.alone or prefix.find(rest)):
                start = 1 if found is True else found.end() - found.start()
                if rest[start:] in special:
                    before.append(rest[:start])
                    return before, rest[start:], after
            if start < length and (suffix := self._suffixes[rest[-1]]):
                inner = rest[start:] if start else rest
                if found := suffix.alone or suffix.find(inner, max(0, len(inner) - suffix.width)):
                    end = length - (1 if found is True else found.end() - found.start())
                    if rest[:end] in special:
                        after.append(rest[end:])
                        return before, rest[:end], after
            if start:
                before.append(rest[:start])
            if end < length:
                after.append(rest[end:])
            rest = rest[start:end]
        return before, rest, after

    def _at_infixes(self, core: str) -> list[str]:
        infixes = self._infixes(core)
        if not infixes or (self._whole and self._whole(core)) or self._url(core):
            return [core]
        words: list[str] = []
        start = 0
        for begin, end in infixes:
            if begin:  # spaCy leaves an infix at the very start alone
                words += filter(None, (core[start:begin], core[begin:end]))
                start = end
        return [*words, core[start:]] if start < len(core) else words

    def _sought_last(self) -> tuple[frozenset[str], frozenset[tuple[str, str]]]:
        """What spaCy's last step looks for: special cases that its patterns take apart, by their first word or two."""
        spacy = self._spacy
        patterns = {
            name: getattr(spacy, name)
            for name in ("prefix_search", "suffix_search", "infix_finditer", "token_match", "url_match")
        }
        plain: Any = Tokenizer(spacy.vocab, {}, **patterns)
        cut = [[word.text for word in plain(rule)] for rule in self.special if _taken_apart(plain, rule)]
        return (
            frozenset(words[0] for words in cut if len(words) == 1),
            frozenset((words[0], words[1]) for words in cut if len(words) > 1),
        )


def _taken_apart(spacy: Any, rule: str) -> bool:
    return bool(spacy.find_prefix(rule) or spacy.find_infix(rule) or spacy.find_suffix(rule) or " " in rule)


def _filled(pieces: Any) -> list[str]:
    return [one for one in pieces or () if isinstance(one, str) and one.strip()]
