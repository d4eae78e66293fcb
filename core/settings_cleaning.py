"""The recipe's sections for what is taken out of kept documents: repeated spans and paragraphs, evaluation items."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from .section import Section


class Spans(Section):
    """Runs of words that stand in two places or more (ExactSubstr, Lee et al. 2022). A recipe without it seeks none."""

    min_tokens: int = Field(default=50, ge=8, le=1000, description="words, the least that is repeated")
    action: Literal["cut", "count"] = Field(default="cut", description="count changes no document")
    keep: Literal["first", "none"] = Field(
        default="first", description="the copy that stays: that of the least doc_id, or none"
    )
    min_chars: int = Field(default=200, ge=1, description="a document of which cuts leave less is dropped")
    partitions: int | None = Field(
        default=None, ge=1, le=4096, description="by default as the corpus needs; they change no result"
    )


class Paragraphs(Section):
    """Lines that many documents share (menus, licences, cookie notices) are cut. A recipe without it cuts none."""

    max_documents: int = Field(default=50, ge=1, description="a line that stands in more of them is frequent")
    min_paragraph_chars: int = Field(
        default=30, ge=1, description="of a run of frequent lines; a shorter one (a heading, a list item) stays"
    )
    min_chars: int = Field(default=200, ge=1, description="a document of which cuts leave less is dropped")
    partitions: int | None = Field(
        default=None, ge=1, le=4096, description="of the counts; by default as the corpus needs; they change no result"
    )


class EvalSet(Section):
    """An evaluation set: files of items, and the fields of an item that a document must not hold."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$", description="how the ledger names it")
    paths: list[str] = Field(
        min_length=1, description=".jsonl, .jsonl.gz, .parquet, .txt or .txt.gz (an item a line); files, globs or URLs"
    )
    fields: list[str] = Field(
        default_factory=list,
        description="strings or lists of strings, what is asked first: [question, choices]; dots lead into objects",
    )


class Decontaminate(Section):
    """Documents that hold items of evaluation sets, by overlap of word n-grams (Brown et al. 2020, appendix C)."""

    sets: list[EvalSet] = Field(default_factory=list, description="none: the stage does not exist")
    ngram: int = Field(default=13, ge=2, le=25, description="words")
    min_words: int = Field(default=8, ge=2, description="items between this and ngram are compared as a whole")
    min_share: float = Field(
        default=0.6, ge=0, le=1, description="of the item's or its question's text that the document must hold"
    )
    max_documents: int = Field(
        default=10, ge=1, description="n-grams in more documents are no proof, unless the whole item is there"
    )
    action: Literal["drop", "cut"] = Field(default="drop", description="the document, or the matching spans of it")
    margin: int = Field(default=200, ge=0, description="characters cut on either side of a span")
    min_chars: int = Field(default=200, ge=1, description="shorter pieces between cuts go too")
    max_pieces: int = Field(default=10, ge=1, description="a document that cuts leave in more is dropped")

    @model_validator(mode="after")
    def _fits(self) -> Decontaminate:
        names = [one.name for one in self.sets]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"decontaminate.sets: the name {twice[0]!r} is used twice; give each set its own name")
        if self.min_words > self.ngram:
            raise ValueError(
                f"decontaminate.min_words is {self.min_words}, above decontaminate.ngram ({self.ngram}); lower it"
            )
        for one in self.sets:
            table = not all(path.removesuffix(".gz").endswith(".txt") for path in one.paths)
            if table and not one.fields:
                raise ValueError(
                    f"decontaminate.sets.{one.name}.fields is empty; name fields, such as [question, choices]"
                )
        return self
