"""The tables that stages hand to each other, and the identity of a document.

    documents/UNIT.parquet   DOCUMENT   what extraction and filters kept; behind it score_NAME for each classifier
    dropped/UNIT.parquet     DROPPED    the ledger: one row per document or broken record that left, with the reason;
                                        of extract DROPPED_EARLY, with language and size
    clusters/UNIT.parquet    CLUSTER    duplicate groups with more than one member
    cuts/UNIT.parquet        CUTS       spans that a stage took out of texts that it kept
    {train,validation}/UNIT.arrow       SHARD: doc_id and tokens, see tokenize/shards.py

A UNIT is one input file of a source (`web-00003`); it keeps its name through all stages, so that a document's rows
in every stage are found from its unit alone. Stages after extraction never copy text: the documents that are left
after stage S are the rows of documents/UNIT.parquet whose doc_id stands in no ledger up to S, their texts without the
spans of all cuts up to S. Spans count the characters of the text as extracted (`core.cuts`, `core.documents`).
"""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa
import xxhash

DOCUMENT = pa.schema(
    [
        pa.field("doc_id", pa.string(), nullable=False),
        pa.field("url", pa.string(), nullable=False),
        pa.field("source", pa.string(), nullable=False),  # the source's name in the recipe
        pa.field("title", pa.string(), nullable=False),  # "" where the source has none
        pa.field("date", pa.string(), nullable=False),  # ISO 8601, "" where unknown
        pa.field("lang", pa.string(), nullable=False),  # ISO 639 code by fastText lid.176
        pa.field("lang_score", pa.float32(), nullable=False),  # 0..1
        pa.field("text", pa.large_string(), nullable=False),
        pa.field("origin_file", pa.string(), nullable=False),  # where the record stands: file ...
        pa.field(
            "origin_offset", pa.int64(), nullable=False
        ),  # ... and byte offset (line or row number for jsonl, parquet)
    ]
)


def document_schema(classifiers: Sequence[str]) -> pa.Schema:
    """DOCUMENT, and behind it a column `score_NAME` for each quality classifier of the run."""
    return pa.schema([*DOCUMENT, *(pa.field(f"score_{name}", pa.float32(), nullable=False) for name in classifiers)])


DROPPED = pa.schema(
    [
        pa.field("doc_id", pa.string(), nullable=False),
        pa.field("url", pa.string(), nullable=False),  # "" for a record too broken to have one
        pa.field("source", pa.string(), nullable=False),
        pa.field("stage", pa.string(), nullable=False),  # read, extract, language, filter, dedup, ...
        pa.field("reason", pa.string(), nullable=False),  # a fixed word, e.g. gopher_short_doc
        pa.field("value", pa.float64()),  # the measured value that broke the threshold, where there is one
        pa.field("detail", pa.string(), nullable=False),  # what a number cannot say: a language, an error message
        pa.field("origin_file", pa.string(), nullable=False),
        pa.field("origin_offset", pa.int64(), nullable=False),
    ]
)

DROPPED_EARLY = pa.schema(  # of the stage extract, whose documents stand nowhere else
    [
        *DROPPED,
        pa.field("lang", pa.string()),  # null where it left before its language was known ...
        pa.field("bytes_text", pa.int64()),  # ... or its text; else that of the text when it left, in UTF-8
    ]
)

CLUSTER = pa.schema(
    [
        pa.field("doc_id", pa.string(), nullable=False),
        pa.field("cluster", pa.string(), nullable=False),  # doc_id of the member that stays
        pa.field("keep", pa.bool_(), nullable=False),
    ]
)

CUTS = pa.schema(
    [
        pa.field("doc_id", pa.string(), nullable=False),
        pa.field(
            "spans",  # sorted, apart from each other; [start, stop) in code points of the extracted text
            pa.list_(pa.struct([pa.field("start", pa.int64(), False), pa.field("stop", pa.int64(), False)])),
            nullable=False,
        ),
    ]
)


def doc_id(source: str, key: str) -> str:
    """Identity of a document: 32 hex digits, the 128-bit xxHash3 of its source's name and its origin's key.

    The key names the record at its origin: `FILE@OFFSET` for files, the URL for pages that our own crawler fetched
    (whose place in a WARC depends on the servers' answers). The same input gives the same doc_id on every machine and
    in every run; origin_file and origin_offset of the document's row lead back to the record.
    """
    return xxhash.xxh3_128_hexdigest(f"{source}\0{key}".encode())
