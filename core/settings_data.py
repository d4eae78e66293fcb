"""The recipe's sections for data: extraction, filters, dedup, tokenizer, shards.

Plain pydantic models, no behaviour but checks. A section is the slice of the recipe that a stage's fingerprint
covers: a changed value reruns that stage and those after it, and no other.
"""

from __future__ import annotations

from pydantic import Field

from .section import Section as Section
from .settings_sources import CommonCrawlSource as CommonCrawlSource
from .settings_sources import CrawlSource as CrawlSource
from .settings_sources import Source as Source
from .settings_sources import TableSource as TableSource
from .settings_sources import WarcSource as WarcSource
from .settings_sources import WikipediaSource as WikipediaSource

# ── extraction and filters ───────────────────────────────────────────────────────────────────────────────────────────


class Extract(Section):
    """HTML to text."""

    max_html_bytes: int = Field(default=10 << 20, ge=1)
    min_chars: int = Field(default=1, ge=1, description="shorter texts are dropped as empty")


class Language(Section):
    """Documents in other languages are dropped (fastText lid.176)."""

    keep: list[str] = Field(default_factory=lambda: ["en"], description="ISO codes; empty keeps every language")
    threshold: float = Field(default=0.65, ge=0, le=1)


class GopherRepetition(Section):
    """Gopher's repetition rules (Rae et al. 2021, table A1), by datatrove. A None switches its rule off."""

    dup_line_frac: float | None = 0.3
    dup_para_frac: float | None = 0.3
    dup_line_char_frac: float | None = 0.2
    dup_para_char_frac: float | None = 0.2
    top_n_grams: list[tuple[int, float]] = Field(default=[(2, 0.2), (3, 0.18), (4, 0.16)])
    dup_n_grams: list[tuple[int, float]] = Field(
        default=[(5, 0.15), (6, 0.14), (7, 0.13), (8, 0.12), (9, 0.11), (10, 0.10)]
    )


class GopherQuality(Section):
    """Gopher's quality rules (Rae et al. 2021, appendix A), by datatrove. A None switches its rule off."""

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
    """C4's rules (Raffel et al. 2020), by datatrove. They drop lines as well as documents."""

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
    """FineWeb's rules (Penedo et al. 2024), by datatrove."""

    line_punct_thr: float = 0.12
    short_line_thr: float = 0.67
    short_line_length: int = 30
    char_duplicates_ratio: float = 0.01
    new_line_ratio: float = 0.3


class Filters(Section):
    """Applied in this order; the first that objects drops the document. A null switches a filter off."""

    gopher_repetition: GopherRepetition | None = GopherRepetition()
    gopher_quality: GopherQuality | None = GopherQuality()
    c4: C4Quality | None = C4Quality()
    fineweb: FineWebQuality | None = FineWebQuality()


# ── dedup, tokenizer, shards ─────────────────────────────────────────────────────────────────────────────────────────


class Dedup(Section):
    """Exact, then MinHash LSH: a pair of Jaccard similarity s shares a bucket with probability 1-(1-s^rows)^bands."""

    ngram: int = Field(default=5, ge=1, description="words in a shingle")
    bands: int = Field(default=14, ge=1, le=128)
    rows: int = Field(default=8, ge=1, le=64)
    partitions: int = Field(default=8, ge=1, description="of the shuffle of band keys")
    seed: int = 1


class Tokenizer(Section):
    """Byte-level BPE, trained on the kept documents."""

    vocab_size: int = Field(default=2048, ge=300, le=1 << 20)
    train_bytes: int = Field(default=1 << 30, ge=1, description="of text to train on, drawn evenly by document hash")


class Shards(Section):
    """Token shards and the validation split."""

    validation_share: float = Field(default=0.05, gt=0, lt=1, description="of the documents, chosen by hash")
