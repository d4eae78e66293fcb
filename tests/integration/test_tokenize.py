"""The stages `tokenizer` and `shards` on Ray: from documents to the bytes that training reads."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest
from crawl2chat.core.errors import InputError, StageError
from crawl2chat.core.manifest import FILE_NAME, Manifest
from crawl2chat.core.run import Run
from crawl2chat.core.runner import bring_up_to_date
from crawl2chat.core.schema import doc_id
from crawl2chat.core.settings_tokenizer import Tokenizer as Settings
from crawl2chat.dedup.dedup_stage import DEDUP
from crawl2chat.tokenize.bpe import Tokenizer
from crawl2chat.tokenize.sample import TOKENIZER as SAMPLED
from crawl2chat.tokenize.sample import cut_at, places
from crawl2chat.tokenize.shards import check_tokenizer, read_shard
from crawl2chat.tokenize.tokenize_stage import SHARDS, TOKENIZER

pytestmark = pytest.mark.ray
Make = Callable[..., Run]
Documents = list[tuple[str, str]]


@pytest.fixture(scope="module")
def pages(shared_data: Path) -> Documents:
    data = gzip.decompress((shared_data / "web-text-samples" / "c4_demo_300.jsonl.gz").read_bytes())
    texts = [json.loads(line)["text"] for line in data.splitlines()]
    texts[10] = f"{texts[10]} <|endoftext|> and <|user|>"
    return [(f"page-{number}", text) for number, text in enumerate([*texts, texts[0], texts[1].upper()])]


def run_stages(run: Run) -> dict[str, Manifest]:
    return {p.stage.name: m for p, m in bring_up_to_date([DEDUP, TOKENIZER, SHARDS], run, nullcontext)}


def texts_in(run: Run, split: str) -> dict[str, str]:
    """Texts of a split by doc_id, decoded from the shards."""
    tokenizer = Tokenizer.load(run.stage("tokenizer") / "tokenizer.json")
    found = {}
    for path in sorted(run.stage("shards").glob(f"{split}/*.arrow")):
        shard = read_shard(path)
        assert shard.metadata["split"] == split
        for number, one in enumerate(shard.doc_ids.to_pylist()):
            ids = shard.tokens[shard.offsets[number] : shard.offsets[number + 1]]
            assert ids[-1] == tokenizer.end_of_text
            assert not np.isin(ids[:-1], list(tokenizer.special_tokens.values())).any()
            found[one] = tokenizer.decode(ids.tolist())
    return found


@pytest.mark.slow
def test_every_kept_document_is_in_one_split_word_for_word(local_ray: None, extracted: Make, pages: Documents) -> None:
    run = extracted("whole", pages, units=3, tokenizer={"vocab_size": 1000}, shards={"validation_share": 0.2})
    made = run_stages(run)
    train, validation = texts_in(run, "train"), texts_in(run, "validation")
    assert not set(train) & set(validation)
    given = {doc_id("web", key): text for key, text in pages}
    assert {one: given[one] for one in train | validation} == train | validation
    assert len(train | validation) == made["dedup"].counters["documents"] == len(pages) - 2
    assert 30 < len(validation) < 90
    counters, facts = made["shards"].counters, made["shards"].facts
    for name, texts in (("train", train), ("validation", validation)):
        shards = [read_shard(path) for path in made["shards"].paths(run.stage("shards"), f"{name}/")]
        assert counters[f"documents_{name}"] == len(texts)
        assert counters[f"bytes_{name}"] == sum(len(text.encode()) for text in texts.values())
        assert counters[f"tokens_{name}"] == facts[f"{name}_tokens"] == sum(len(shard.tokens) for shard in shards)
    assert facts["validation_bytes"] == counters["bytes_validation"]
    assert (facts["dtype"], facts["vocab_size"], facts["end_of_text"]) == ("uint16", 1000, 0)
    assert facts["tokenizer_digest"] == made["tokenizer"].facts["digest"]
    check_tokenizer(made["shards"], Tokenizer.load(run.stage("tokenizer") / "tokenizer.json"))
    assert 2 < counters["fertility"] < 5


def test_killed_and_continued_gives_the_same_bytes(local_ray: None, extracted: Make, pages: Documents) -> None:
    sections = {"tokenizer": {"vocab_size": 800, "train_bytes": 300_000}}
    whole, killed = (extracted(name, pages, units=3, **sections) for name in ("whole", "killed"))
    expected = run_stages(whole)
    run_stages(killed)
    lost = {
        "shards": [FILE_NAME, "units/web-00001.json", "train/web-00001.arrow"],
        "tokenizer": [FILE_NAME, "units/tokenizer.json", "units/web-00000.json", "tokenizer.json"],
    }
    for stage, names in lost.items():
        for name in names:
            (killed.stage(stage) / name).unlink()
        (killed.stage(stage) / ".tokenizer.json.00000000.partial").write_text("half")
        made = run_stages(killed)
        for name in ("tokenizer", "shards"):
            assert made[name].digest == expected[name].digest
            assert made[name].counters == expected[name].counters


def test_each_source_has_its_part_of_the_sample(local_ray: None, extracted: Make) -> None:
    """Of 7,200 and 1,800 texts of one length; by size ** 0.5 the sources' parts of 120 kB are 80 kB and 40 kB."""
    drawn = np.random.default_rng(3).integers(10**7, 10**8, (9000, 5))  # no two texts are alike
    texts = [" ".join(map(str, numbers)) for numbers in drawn]
    documents = [("wiki" if number % 5 == 4 else "web", f"p{number}", text) for number, text in enumerate(texts)]
    settings = {"vocab_size": 300, "train_bytes": 120_000, "balance": 0.5}
    units = {"web": 2, "wiki": 1}
    run = extracted("shares", documents, units=units, source=["web", "wiki"], tokenizer=settings)
    made = run_stages(run)
    assert made["dedup"].counters["documents"] == 9000
    counters = made["tokenizer"].counters
    size, cuts = len(texts[0]), {"web": cut_at(80_000 / (7200 * 44)), "wiki": cut_at(40_000 / (1800 * 44))}
    for source, part in (("web", 80_000), ("wiki", 40_000)):
        ids = [doc_id(source, key) for one, key, _ in documents if one == source]
        inside = places(ids, SAMPLED) < cuts[source]
        assert counters[f"bytes.{source}"] == size * inside.sum()  # those, and no others
        assert counters[f"bytes.{source}"] == pytest.approx(part, rel=0.04)
    assert counters["bytes"] == counters["bytes.web"] + counters["bytes.wiki"] == counters["documents"] * size
    assert counters["bytes.web"] / counters["bytes.wiki"] == pytest.approx(2, rel=0.06)


@pytest.mark.slow
def test_gpt2s_vocabulary_by_its_files(
    local_ray: None, extracted: Make, pages: Documents, shared_data: Path, tmp_path: Path
) -> None:
    names = {"vocab": "encoder.json.gz", "merges": "vocab.bpe.gz"}
    files = {key: str(shared_data / "gpt2-bpe" / name) for key, name in names.items()}
    documents = [("hello", "Hello world"), *pages[:40]]
    run = extracted("gpt2", documents, tokenizer={"files": files}, shards={"validation_share": 0.2})
    made = run_stages(run)
    assert made["tokenizer"].notes == {"encoder": "compiled"}
    assert made["tokenizer"].facts["vocab_size"] == made["shards"].facts["vocab_size"] == 50260
    assert (made["shards"].facts["end_of_text"], made["shards"].facts["dtype"]) == (50256, "uint16")
    assert texts_in(run, "train") | texts_in(run, "validation") == {doc_id("web", key): text for key, text in documents}
    tokens = np.concatenate([read_shard(path).tokens for path in run.stage("shards").glob("*/*.arrow")])
    hello = np.flatnonzero((tokens[:-2] == 15496) & (tokens[1:-1] == 995) & (tokens[2:] == 50256))
    assert len(hello) == 1  # the ids of "Hello world" that everybody has
    (tmp_path / "vocab.json").write_text("{}")
    for vocab, says in (("absent.json", "absent.json: No such file"), ("vocab.json", "no token for 256 of the 256")):
        other = Settings.model_validate({"files": files | {"vocab": str(tmp_path / vocab)}})
        with pytest.raises(InputError, match=says):
            run_stages(Run(run.recipe.model_copy(update={"tokenizer": other})))
    assert made == run_stages(run)  # nothing was lost by the attempts


def test_a_few_documents_still_validate(local_ray: None, extracted: Make) -> None:
    texts = [(f"p{number}", f"document number {number} says something else {number * 7919}") for number in range(6)]
    run = extracted("few", texts, units=3, shards={"validation_share": 0.0001})
    made = run_stages(run)
    assert (made["shards"].counters["documents_train"], made["shards"].counters["documents_validation"]) == (5, 1)
    assert made["tokenizer"].facts["vocab_size"] < 2048  # what so little text gives, and what the model will have
    assert made["shards"].facts["vocab_size"] == made["tokenizer"].facts["vocab_size"]
    assert len(made["shards"].paths(run.stage("shards"), "validation/")) == 1


def test_too_few_documents_say_what_to_change(local_ray: None, extracted: Make) -> None:
    with pytest.raises(StageError, match=r"no text is left.*kept 0[\s\S]*language\.threshold"):
        run_stages(extracted("none", []))
    with pytest.raises(StageError, match=r"1 documents are left, too few[\s\S]*add sources"):
        run_stages(extracted("one", [("a", "one text")]))
    with pytest.raises(StageError, match=r"fell into validation[\s\S]*lower shards\.validation_share \(0\.99999\)"):
        run_stages(extracted("all", [("a", "one text"), ("b", "another")], shards={"validation_share": 0.99999}))


def test_a_changed_share_moves_documents_but_not_the_tokenizer(
    local_ray: None, extracted: Make, pages: Documents
) -> None:
    run = extracted("moves", pages, tokenizer={"vocab_size": 600}, shards={"validation_share": 0.1})
    before, small = run_stages(run), set(texts_in(run, "validation"))
    recipe = run.recipe.model_copy(update={"shards": run.recipe.shards.model_copy(update={"validation_share": 0.3})})
    after = run_stages(Run(recipe))
    assert after["tokenizer"] == before["tokenizer"]
    large = set(texts_in(run, "validation"))
    assert small < large and np.isclose(len(large) / len(pages), 0.3, atol=0.08)


def test_each_language_is_measured_beside_the_tokenizer(local_ray: None, extracted: Make, pages: Documents) -> None:
    run = extracted("fits", pages, units=3, tokenizer={"vocab_size": 800})
    made = run_stages(run)
    rows = json.loads((run.stage("tokenizer") / "fertility.json").read_text())
    assert "fertility.json" in {str(entry.path) for entry in made["tokenizer"].files}
    assert sum(row["documents"] for row in rows) == made["dedup"].counters["documents"]
    tokens = made["shards"].counters["tokens_train"] + made["shards"].counters["tokens_validation"]
    size = made["shards"].counters["bytes_train"] + made["shards"].counters["bytes_validation"]
    without_ends = tokens - made["dedup"].counters["documents"]
    assert np.isclose(sum(row["bytes"] / row["fertility"] for row in rows), without_ends, rtol=1e-3)
    assert sum(row["bytes"] for row in rows) == size


def test_settings_reach_the_tokenizer(local_ray: None, extracted: Make, pages: Documents) -> None:
    settings = {"vocab_size": 700, "pattern": "gpt2", "digits": 1, "special_tokens": ["<|tool|>"]}
    run = extracted("settings", pages[:120], tokenizer=settings, shards={"validation_share": 0.2})
    made = run_stages(run)
    tokenizer = Tokenizer.load(run.stage("tokenizer") / "tokenizer.json")
    assert tokenizer.special("<|tool|>") == 4 and tokenizer.encoder.name == "compiled"
    assert [tokenizer.decode([one]) for one in tokenizer.encode(" 12345")][-4:] == ["2", "3", "4", "5"]
    assert made["shards"].facts["vocab_size"] == 700
    assert len(texts_in(run, "train") | texts_in(run, "validation")) == made["dedup"].counters["documents"]
