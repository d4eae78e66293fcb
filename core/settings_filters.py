"""The recipe's section `filters`: URL lists, quality rules, rules of the user's own. docs/filters.md explains them."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from .section import Section

Sized = tuple[Annotated[int, Field(ge=1, le=50)], float]  # words in a run, and the largest share

# What is measured on a text, besides the n-grams that gopher_repetition names, C4's counts and patterns of rules.
MEASURES = {
    "dup_para_frac": "paragraphs that stood before, as a share of all",
    "dup_para_char_frac": "their characters, as a share of the text's",
    "dup_line_frac": "lines that stood before, as a share of all",
    "dup_line_char_frac": "their characters, as a share of the text's",
    "word_count": "words that are not symbols only",
    "mean_word_length": "characters of these words, on average",
    "alpha_words_ratio": "words with a letter, as a share of all",
    "stop_words": "different ones of: the be to of and that have with",
    "hash_ratio": "# characters a word",
    "ellipsis_ratio": "ellipses a word",
    "bullet_lines_ratio": "lines that begin with a bullet, as a share of all",
    "ellipsis_lines_ratio": "lines that end with an ellipsis, as a share of all",
    "line_count": "lines that hold something, after C4",
    "line_punct_ratio": "lines that end with a sentence's mark, as a share of these",
    "short_line_ratio": "lines of at most short_line_length characters, as a share of these",
    "char_dup_ratio": "characters of lines that stood before, as a share of the text's, after C4",
    "list_ratio": "line feeds a word, after C4",
    "characters": "characters of the text",
    "digit_share": "digits, as a share of the characters",
    "upper_share": "capitals, as a share of the characters",
}
C4_MEASURES = {
    "c4_sentences": "sentences in the lines that C4 keeps",
    "c4_lorem_ipsum": "lines with lorem ipsum",
    "c4_curly_bracket": "lines with a curly bracket",
}


class GopherRepetition(Section):
    """Gopher's repetition rules (Rae et al. 2021, table A1), as datatrove reads them. Null switches a rule off."""

    dup_line_frac: float | None = 0.3
    dup_para_frac: float | None = 0.3
    dup_line_char_frac: float | None = 0.2
    dup_para_char_frac: float | None = 0.2
    top_n_grams: list[Sized] = Field(default=[(2, 0.2), (3, 0.18), (4, 0.16)])
    dup_n_grams: list[Sized] = Field(default=[(5, 0.15), (6, 0.14), (7, 0.13), (8, 0.12), (9, 0.11), (10, 0.10)])


class GopherQuality(Section):
    """Gopher's quality rules (Rae et al. 2021, appendix A), as datatrove reads them. Null switches a rule off."""

    min_doc_words: int | None = 50
    max_doc_words: int | None = 100_000
    min_avg_word_length: float | None = 3
    max_avg_word_length: float | None = 10
    max_symbol_word_ratio: float | None = 0.1
    max_bullet_lines_ratio: float | None = 0.9
    max_ellipsis_lines_ratio: float | None = 0.3
    max_non_alpha_words_ratio: float | None = 0.8
    min_stop_words: int | None = 2


class C4Quality(Section):
    """C4's rules (Raffel et al. 2020), as datatrove reads them. They drop lines as well as documents."""

    filter_no_terminal_punct: bool = False
    min_num_sentences: int = 5
    min_words_per_line: int = 3
    max_word_length: int = 1000
    filter_lorem_ipsum: bool = True
    filter_javascript: bool = True
    filter_curly_bracket: bool = True
    filter_policy: bool = True
    remove_citations: bool = True


class FineWebQuality(Section):
    """FineWeb's rules (Penedo et al. 2024), as datatrove reads them."""

    line_punct_thr: float = 0.12
    short_line_thr: float = 0.67
    short_line_length: int = 30
    char_duplicates_ratio: float = 0.01
    new_line_ratio: float = 0.3


class FilterRule(Section):
    """A rule of the user's own: a document is dropped as `rule_NAME` if the measure is below min or above max."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_]*$")
    measure: str | None = Field(default=None, description="what is measured, see docs/filters.md")
    pattern: str | None = Field(default=None, description="or: a regular expression, whose matches are counted")
    min: float | None = None
    max: float | None = None

    @field_validator("pattern")
    @classmethod
    def _compiles(cls, pattern: str | None) -> str | None:
        try:
            re.compile(pattern or "")
        except re.error as error:
            raise ValueError(f"{pattern!r} is not a regular expression: {error}; correct it") from error
        return pattern

    @model_validator(mode="after")
    def _is_whole(self) -> FilterRule:
        if (self.measure is None) == (self.pattern is None):
            raise ValueError(f"filters.rules.{self.name} needs a measure or a pattern; give one of the two")
        if self.min is None and self.max is None:
            raise ValueError(f"filters.rules.{self.name} has neither min nor max; give one of the two, or both")
        return self

    @property
    def column(self) -> str:
        """The name of what it measures."""
        return self.measure or f"matches_{self.name}"


class UrlFilter(Section):
    """Block lists for addresses, asked before a page is extracted. Files: one entry a line, `#` begins a comment."""

    integrated: bool = Field(default=True, description="the lists that datatrove ships: adult sites and words")
    soft_word_threshold: int = Field(default=2, ge=1, description="so many different soft words block an address")
    domains: list[str] = Field(default_factory=list, description="files of further domains and host names")
    urls: list[str] = Field(default_factory=list, description="files of further addresses")
    words: list[str] = Field(default_factory=list, description="files of further words that block an address")
    soft_words: list[str] = Field(default_factory=list, description="files of words that block it together")
    subwords: list[str] = Field(default_factory=list, description="files of strings that block it within words too")

    def files(self) -> dict[str, list[str]]:
        """The user's own lists by what they hold."""
        return {name: getattr(self, name) for name in ("domains", "urls", "words", "soft_words", "subwords")}


class Filters(Section):
    """Applied in this order; the first that objects drops the document. A null switches a filter off."""

    engine: Literal["native", "datatrove"] = Field(default="native", description="the same decisions; native is faster")
    scores: bool = Field(default=True, description="store what was measured, for `crawl2chat data sweep`")
    url: UrlFilter | None = None
    gopher_repetition: GopherRepetition | None = GopherRepetition()
    gopher_quality: GopherQuality | None = GopherQuality()
    c4: C4Quality | None = C4Quality()
    fineweb: FineWebQuality | None = FineWebQuality()
    rules: list[FilterRule] = Field(default_factory=list, description="rules of your own, asked last")

    def rooted(self, absolute: Callable[[str], str]) -> Filters:
        """The same with the lists' paths made absolute."""
        if self.url is None:
            return self
        files = {name: [absolute(path) for path in paths] for name, paths in self.url.files().items()}
        return self.model_copy(update={"url": self.url.model_copy(update=files)})

    def measures(self) -> list[str]:
        """What is measured on each text under these settings."""
        runs = self.gopher_repetition or GopherRepetition()
        return [
            *MEASURES,
            *dict.fromkeys(f"top_{n}_gram" for n, _ in runs.top_n_grams),
            *dict.fromkeys(f"duplicated_{n}_n_grams" for n, _ in runs.dup_n_grams),
            *(C4_MEASURES if self.c4 is not None else ()),
            *(rule.column for rule in self.rules if rule.pattern is not None),
        ]

    @model_validator(mode="after")
    def _rules_fit(self) -> Filters:
        names = [rule.name for rule in self.rules]
        known = self.measures()
        for rule in self.rules:
            if names.count(rule.name) > 1:
                raise ValueError(f"filters.rules: the name {rule.name!r} is used twice; give each rule its own name")
            if rule.column not in known:
                off = " (filters.c4 is switched off)" if rule.column in C4_MEASURES else ""
                raise ValueError(
                    f"filters.rules.{rule.name}.measure is {rule.column!r}, which is not measured{off}; "
                    f"name one of: {', '.join(known)}"
                )
        return self
