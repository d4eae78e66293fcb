"""What the thorough check of a new vocabulary finds binds the workers.

The vocabularies here are real, and so is the difference: Oniguruma finds U+FB03, one character, by `(?i:ffi)`, which
the engine of tiktoken does not. So tiktoken cuts " ﬃ" in two where the library has a piece. No text of the short check
has that character; and that a letter r comes after it is seen in texts of the run alone.
"""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from crawl2chat.core.errors import InputError
from crawl2chat.core.schema import DOCUMENT, doc_id
from crawl2chat.core.settings_tokenizer import Tokenizer as Settings
from crawl2chat.core.units import Unit
from crawl2chat.tokenize.bpe import Tokenizer
from crawl2chat.tokenize.encoder_check import SOME, SOME_CHARACTERS, checked_tokenizer, some_texts
from crawl2chat.tokenize.sample_work import fertility_unit
from crawl2chat.tokenize.shards import read_shard
from crawl2chat.tokenize.train import train_tokenizer
from crawl2chat.tokenize.unit_work import shard_unit

ON_A_CODE_POINT = r" ?(?i:ffi)|[^ \x{FB03}]+| "
ON_A_TEXT_OF_THE_RUN = r" ?(?i:ffi)r|[^ \x{FB03}]+| "
TEXT = "an o ﬃce of the ﬃrst"
UNITS = [Unit(name="web-00000"), Unit(name="web-00001"), Unit(name="wiki-00000")]


@pytest.fixture
def config(tmp_path: Path) -> dict[str, Any]:
    """Three units, of which only the last has the text; and the path of tokenizer.json."""
    (tmp_path / "documents").mkdir()
    for unit in UNITS:
        texts = [TEXT] if unit == UNITS[-1] else [f"text {number}" for number in range(SOME + 9)]
        fixed = {"source": "web", "title": "", "date": "", "lang": "en", "lang_score": 1.0, "url": "u"}
        own = [{"doc_id": doc_id(unit.name, str(n)), "text": text, "origin_offset": n} for n, text in enumerate(texts)]
        rows = [{**fixed, **one, "origin_file": "x"} for one in own]
        path = tmp_path / "documents" / f"{unit.name}.parquet"
        pq.write_table(pa.Table.from_pylist(rows, schema=DOCUMENT), path)
    learn(tmp_path / "tokenizer.json", ON_A_CODE_POINT)
    return {"extract": str(tmp_path), "stages": [], "tokenizer": str(tmp_path / "tokenizer.json")}


def learn(path: Path, pattern: str) -> None:
    path.write_bytes(train_tokenizer([[TEXT] * 9], 270, Settings(pattern=pattern)))


def tokens_of(folder: Path, config: dict[str, Any]) -> list[int]:
    shard_unit(UNITS[-1], folder, config | {"cut": 0})
    return read_shard(folder / "train" / f"{UNITS[-1].name}.arrow").tokens.tolist()


@pytest.mark.parametrize(("pattern", "units"), [(ON_A_CODE_POINT, []), (ON_A_TEXT_OF_THE_RUN, UNITS)])
def test_workers_use_no_encoder_that_was_turned_down(
    config: dict[str, Any], tmp_path: Path, pattern: str, units: list[Unit]
) -> None:
    path = Path(config["tokenizer"])
    learn(path, pattern)
    right = [*Tokenizer.load(path).encode(TEXT), 0]
    assert Tokenizer.load(path).encoder.name == "tiktoken"
    assert tokens_of(tmp_path / "before", config) != right  # as a worker chooses when no verdict is there
    assert checked_tokenizer(path, units, config).verdict == "library"
    assert Tokenizer.load(path).encoder.name == "library"
    assert tokens_of(tmp_path / "after", config) == right
    report = fertility_unit(UNITS[-1], tmp_path, config | {"cuts": {"wiki": 1 << 53}})
    assert report.counters["en.tokens"] == len(right) - 1


def test_a_kept_verdict_is_not_made_again_and_holds_for_its_tokenizer_only(config: dict[str, Any]) -> None:
    path = Path(config["tokenizer"])
    first = Tokenizer.load(path)
    assert first.verdict is None
    kept = path.with_name("encoder.json")
    kept.write_text(json.dumps({"encoder": "library", "tokenizer_digest": first.digest}))
    tokenizer = checked_tokenizer(path, [], config)
    assert tokenizer.encoder.name == pickle.loads(pickle.dumps(tokenizer)).encoder.name == "library"
    kept.write_text(json.dumps({"encoder": "compiled", "tokenizer_digest": first.digest}))
    assert (
        Tokenizer.load(path).encoder.name == "library"
    )  # compiled does not know the pattern, tiktoken was not checked
    kept.write_text(json.dumps({"encoder": "library", "tokenizer_digest": "of another"}))
    assert Tokenizer.load(path).verdict is None
    kept.write_text("{}")
    with pytest.raises(InputError, match=r"encoder\.json does not say[\s\S]*remove the file"):
        Tokenizer.load(path)


def test_texts_of_the_run_are_some_of_each_source(config: dict[str, Any], tmp_path: Path) -> None:
    names = [unit.name for unit in UNITS]
    assert some_texts(names, config) == [*(f"text {number}" for number in range(SOME)), TEXT]
    table = pq.read_table(tmp_path / "documents" / "wiki-00000.parquet")
    longer = table.set_column(table.schema.get_field_index("text"), "text", pa.array(["x" * (SOME_CHARACTERS + 1)]))
    pq.write_table(longer.cast(DOCUMENT), tmp_path / "documents" / "wiki-00000.parquet")
    assert some_texts(names[2:], config) == []
