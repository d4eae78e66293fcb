"""From parquet to token shards on one core: ours against the `tokenizers` library, and against tiktoken.

Each side reads the same parquet file of documents and writes the same shard; that the shards have the same bytes is
checked in the run. The peer takes the library's fastest call, encode_batch_fast, one thread as all. Our table of pieces
is empty when a round begins; the library keeps its own.

    corpora      english    web pages and books, a vocabulary of 8,192 tokens trained on them
                 gpt2       the same texts, the real GPT-2 vocabulary (50,257 tokens, GPT-2's pattern)
                 many       one text in 40 languages, many times over, a vocabulary of 8,192 tokens of its own
                 characters as english, an alphabet of characters with byte fallback
                 own        as english, an own regular expression: for this tiktoken encodes

    python benchmarks/encoding.py --json
"""

from __future__ import annotations

import gzip
import os
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

os.environ |= {"TOKENIZERS_PARALLELISM": "false", "RAYON_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import tokenizers
from _bench import SHARED, arguments, finish, print_table, read_documents
from crawl2chat.core.schema import doc_id
from crawl2chat.core.settings_tokenizer import Tokenizer as Settings
from crawl2chat.tokenize.bpe import Tokenizer
from crawl2chat.tokenize.compiled_encoder import CompiledEncoder
from crawl2chat.tokenize.encoders import TiktokenEncoder
from crawl2chat.tokenize.gpt2_files import load_gpt2_files
from crawl2chat.tokenize.shard_writer import ShardWriter
from crawl2chat.tokenize.shards import read_shard, write_shard
from crawl2chat.tokenize.train import train_tokenizer
from crawl2chat.tokenize.vocabulary import Unknown, read_vocabulary

BATCH = 1024  # documents
OWN = r"\p{L}[\p{L}\p{M}'’]*|\p{N}| ?[^\s\p{L}\p{N}]+|\s+"
Side = Callable[[Path, Path], None]


def ours(tokenizer: Tokenizer) -> Side:
    """What the stage `shards` does with a unit."""

    def side(parquet: Path, shard: Path) -> None:
        if isinstance(tokenizer.encoder, CompiledEncoder):
            tokenizer.encoder.forget()
        with ShardWriter(shard, tokenizer, "train") as writer:
            for batch in pq.ParquetFile(parquet).iter_batches(batch_size=BATCH):
                writer.add(batch)
            writer.finish()

    return side


def library(tokenizer: Tokenizer) -> Side:
    """The tokenizers library, as one would use it."""
    plain = tokenizers.Tokenizer.from_buffer(data_of(tokenizer))
    plain.encode_special_tokens = True
    kind = np.uint16 if tokenizer.vocab_size <= 1 << 16 else np.uint32

    def side(parquet: Path, shard: Path) -> None:
        doc_ids: list[str] = []
        parts, counts = [], []
        for batch in pq.ParquetFile(parquet).iter_batches(batch_size=BATCH):
            doc_ids += batch["doc_id"].to_pylist()
            for one in plain.encode_batch_fast(batch["text"].to_pylist(), add_special_tokens=False):
                ids = one.ids
                ids.append(tokenizer.end_of_text)
                parts.append(np.array(ids, kind))
                counts.append(len(ids))
        write_shard(shard, doc_ids, np.concatenate(parts), np.array(counts, np.int64), tokenizer, "train")

    return side


def tiktoken(tokenizer: Tokenizer) -> Side | None:
    """Ours with tiktoken as the encoder; None where it cannot have the vocabulary."""
    other = Tokenizer(data_of(tokenizer))
    try:
        other.__dict__["encoder"] = TiktokenEncoder(read_vocabulary(data_of(tokenizer)), tokenizer.end_of_text)
    except Unknown:
        return None
    return ours(other)


def data_of(tokenizer: Tokenizer) -> bytes:
    return tokenizer.__reduce__()[1][0]


def corpora(texts: list[str], quick: bool) -> Iterator[tuple[str, list[str], Callable[[], Tokenizer]]]:
    """Name, documents, and what makes the tokenizer."""
    size = 2048 if quick else 8192

    def learned(of: list[str], **settings: Any) -> Callable[[], Tokenizer]:
        return lambda: Tokenizer(train_tokenizer([of], size, Settings.model_validate(settings)))

    yield "english", texts, learned(texts)
    files = SHARED / "data" / "gpt2-bpe"
    if files.is_dir():
        yield "gpt2", texts, lambda: load_gpt2_files(files / "encoder.json.gz", files / "vocab.bpe.gz")
    if many := declarations(3 if quick else 16):
        yield "many", many, learned(many[:40])
    yield "characters", texts, learned(texts, alphabet="characters")
    yield "own", texts, learned(texts, pattern=OWN)


def declarations(times: int) -> list[str]:
    """The Universal Declaration of Human Rights in 40 languages, those with most bytes first: scripts that are not
    Latin."""
    path = SHARED / "data" / "udhr2" / "udhr2.zip"
    if not path.is_file():
        return []
    with zipfile.ZipFile(path) as archive:
        found = [archive.read(name).decode("utf-8", "replace") for name in archive.namelist() if name.endswith(".txt")]
    return sorted(found, key=lambda text: (-len(text.encode()), text))[:40] * times


def books(length: int = 4000) -> list[str]:
    found = [gzip.decompress(path.read_bytes()).decode() for path in sorted((SHARED / "data" / "text").rglob("*.gz"))]
    return [text[at : at + length] for text in found for at in range(0, len(text), length)]


def measure(name: str, texts: list[str], tokenizer: Tokenizer, folder: Path, rounds: int) -> dict[str, Any]:
    """Seconds of each side, the shortest of some rounds in which the sides take turns."""
    parquet = folder / f"{name}.parquet"
    table = pa.table(
        {"doc_id": [doc_id(name, str(at)) for at in range(len(texts))], "text": pa.array(texts, pa.large_string())}
    )
    pq.write_table(table, parquet, compression="zstd")
    sides = {"ours": ours(tokenizer), "library": library(tokenizer), "tiktoken": tiktoken(tokenizer)}
    present = {side: work for side, work in sides.items() if work is not None}
    seconds = {side: float("inf") for side in present}
    for _ in range(rounds):
        for side, work in present.items():
            with clock() as took:
                work(parquet, folder / f"{name}-{side}.arrow")
            seconds[side] = min(seconds[side], took[0])
    shards = {(folder / f"{name}-{side}.arrow").read_bytes() for side in present}
    if len(shards) > 1:
        sys.exit(f"{name}: the sides wrote different shards")
    size = sum(len(text.encode()) for text in texts)
    tokens = len(read_shard(folder / f"{name}-ours.arrow").tokens)
    return {"seconds": seconds, "bytes": size, "tokens": tokens, "encoder": tokenizer.encoder.name}


@contextmanager
def clock() -> Iterator[list[float]]:
    took = [0.0]
    began = time.perf_counter()
    yield took
    took[0] = time.perf_counter() - began


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--only", metavar="NAME", help="one of the corpora")
    options = parser.parse_args()
    pa.set_cpu_count(1)
    pa.set_io_thread_count(1)
    texts = read_documents(options.documents)
    texts = texts[:200] if options.quick else [*texts, *books()]
    rows, figures = [], {}
    with tempfile.TemporaryDirectory() as folder:
        for name, documents, make in corpora(texts, options.quick):
            if options.only not in (None, name):
                continue
            found = measure(name, documents, make(), Path(folder), 2 if options.quick else 4)
            took, size = found["seconds"], found["bytes"]
            peer = took.get("tiktoken")
            speeds = (size / took["ours"] / 1e6, found["tokens"] / took["ours"] / 1e6)
            ratios = (took["library"] / took["ours"], peer and peer / took["ours"], peer and took["library"] / peer)
            rows.append([name, found["encoder"], size / 1e6, *speeds, *ratios])
            prefix = "encode" if name == "english" else f"encode_{name}"
            figures |= {
                f"{prefix}_speedup": took["library"] / took["ours"],
                f"{prefix}_over_tiktoken": peer and peer / took["ours"],
                f"{prefix}_mb_per_s": size / took["ours"] / 1e6,
                f"{prefix}_tokens_per_s": found["tokens"] / took["ours"],
            }
    print_table(
        ["corpus", "encoder", "MB", "MB/s", "M tokens/s", "times tokenizers", "times tiktoken", "tiktoken/tokenizers"],
        rows,
    )
    finish(figures, options.json)


if __name__ == "__main__":
    main()
