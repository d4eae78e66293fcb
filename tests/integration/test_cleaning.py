"""Paragraphs and decontamination on Ray, up to the shards: what is left and what not, stats, inspect, kills."""

from __future__ import annotations

import gzip
import json
import re
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from crawl2chat.core.documents import extracted_units, kept_batches, ledger_stages
from crawl2chat.core.errors import InputError
from crawl2chat.core.manifest import FILE_NAME, Manifest
from crawl2chat.core.recipe import Recipe
from crawl2chat.core.run import Run
from crawl2chat.core.runner import bring_up_to_date
from crawl2chat.core.stage import plan
from crawl2chat.pipelines.samples import Choice, dropped_samples, kept_samples, run_inspect
from crawl2chat.pipelines.stages import GROUPS, all_stages
from crawl2chat.pipelines.stats import as_json, collect
from crawl2chat.pipelines.stats_tables import run_stats
from crawl2chat.tokenize.bpe import Tokenizer
from crawl2chat.tokenize.shards import read_shard

pytestmark = [pytest.mark.ray, pytest.mark.slow]
NOTICE = "We use cookies to improve this site.\nAll rights reserved by the owners of the pages."


@pytest.fixture(scope="module")
def given(shared_data: Path) -> dict[str, Any]:
    """Parts of a novel as pages, items to plant, and where they are planted."""
    novel = gzip.decompress((shared_data / "text/austen/emma.txt.gz").read_bytes()).decode()
    words = re.split(r"\s+", novel)
    pages = [" ".join(words[at : at + 150]) for at in range(0, 9000, 150)]
    with gzip.open(shared_data / "mmlu" / "val.jsonl.gz", "rt", encoding="utf-8") as handle:
        items = [json.loads(line) for line in handle]
    long = [number for number, item in enumerate(items) if len(item["question"].split()) > 30][:3]
    return {"pages": pages, "items": items, "planted": dict(zip((4, 17, 30), long, strict=True))}


@pytest.fixture
def run(tmp_path: Path, given: dict[str, Any], shared_data: Path) -> Run:
    """40 web pages in two files, 20 of the wiki. Each web page has a notice; three hold items, one is a copy, one has
    little but the notice, one is too short.
    """
    pages = given["pages"]
    web = [f"{page}\n\n{NOTICE}" for page in pages[:40]]
    for at, item in given["planted"].items():
        question = given["items"][item]["question"].upper().replace(",", " -")
        web[at] = f"{pages[at]}\n{question}\n{pages[at][::-1]}\n\n{NOTICE}"
    web[12] = web[11]
    web[20] = f"Contact us.\n\n{NOTICE}"
    web[21] = "No."
    for name, texts in (("web-a", web[:20]), ("web-b", web[20:]), ("wiki", pages[40:])):
        rows = [{"text": text, "url": f"http://{name}/{number}"} for number, text in enumerate(texts)]
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    val = str(shared_data / "mmlu" / "val.jsonl.gz")
    none = dict.fromkeys(("gopher_repetition", "gopher_quality", "c4", "fineweb"))
    recipe = {
        "name": "cleaning",
        "storage": str(tmp_path / "runs"),
        "sources": [
            {"kind": "jsonl", "name": "web", "paths": [str(tmp_path / "web-*.jsonl")], "url": "url"},
            {"kind": "jsonl", "name": "wiki", "paths": [str(tmp_path / "wiki.jsonl")], "url": "url"},
        ],
        "extract": {"min_chars": 10},
        "language": {"keep": [], "threshold": 0},
        "filters": none,
        "paragraphs": {"max_documents": 10, "min_chars": 100, "partitions": 3},
        "decontaminate": {"sets": [{"name": "mmlu_val", "paths": [val], "fields": ["question", "choices"]}]},
        "mixture": {"epochs": {"web": 1, "wiki": 2}},
        "tokenizer": {"vocab_size": 500},
        "model": {"context": 64},
    }
    return Run(Recipe.model_validate(recipe))


def bring(run: Run) -> dict[str, Manifest]:
    wanted = (*GROUPS["data"], *GROUPS["tokenizer"])
    stages = [stage for stage in all_stages(run.recipe) if stage.name in wanted]
    return {planned.stage.name: manifest for planned, manifest in bring_up_to_date(stages, run, nullcontext)}


def kept_texts(run: Run) -> dict[str, str]:
    stages = [run.stage(name) for name in ledger_stages(run.recipe)]
    batches = [
        batch
        for unit in extracted_units(run.need("extract"))
        for batch in kept_batches(unit.name, run.stage("extract"), stages)
    ]
    return {row["url"]: row["text"] for batch in batches for row in batch.to_pylist()}


def ledger(run: Run, stage: str) -> list[dict[str, Any]]:
    return [
        row for path in sorted(run.stage(stage).glob("dropped/*.parquet")) for row in pq.read_table(path).to_pylist()
    ]


def test_the_whole_way(local_ray: None, run: Run, given: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    made = bring(run)
    texts, pages = kept_texts(run), given["pages"]

    # what is left, and why the rest is not
    lost = {4, 17, 20, 21, 30} | ({11} if "http://web-a/12" in texts else {12})
    expected = {f"http://web-{'a' if at < 20 else 'b'}/{at % 20}": pages[at] for at in range(40) if at not in lost}
    expected |= {f"http://wiki/{at}": page for at, page in enumerate(pages[40:])}
    if 11 in lost:
        expected["http://web-a/12"] = pages[11]
    assert texts == expected
    assert [(row["reason"], row["value"]) for row in ledger(run, "extract")] == [("empty_text", 3.0)]
    assert [row["reason"] for row in ledger(run, "dedup")] == ["exact_duplicate"]
    short = [(row["reason"], row["value"], row["url"]) for row in ledger(run, "paragraphs")]
    assert short == [("paragraphs_short", float(len("Contact us.")), "http://web-b/0")]
    details = {(row["url"], row["detail"]) for row in ledger(run, "decontaminate")}
    assert details == {
        (f"http://web-{'a' if at < 20 else 'b'}/{at % 20}", f"mmlu_val:{item}") for at, item in given["planted"].items()
    }
    items = pq.read_table(run.stage("decontaminate") / "items.parquet").to_pylist()
    assert items == [{"set": "mmlu_val", "item": item, "documents": 1} for item in sorted(given["planted"].values())]

    # rows in are kept and dropped, stage after stage
    kept = made["extract"].counters["documents"]
    for name in ledger_stages(run.recipe):
        counters = made[name].counters
        assert counters["documents_in"] == kept == counters["documents"] + counters["dropped"]
        kept = counters["documents"]
    assert kept == len(texts) == made["shards"].counters["documents"]
    removed = made["paragraphs"].counters
    assert removed["paragraphs_removed"] == 2 * removed["documents_cut"] == 2 * 37
    shown = [json.loads(line) for line in (run.stage("paragraphs") / "frequent.jsonl").read_text().splitlines()]
    assert [(row["documents"], row["paragraph"]) for row in shown] in (
        [(38, line.lower()) for line in order] for order in (NOTICE.split("\n"), NOTICE.split("\n")[::-1])
    )

    # the shards hold the texts without the cuts
    tokenizer = Tokenizer.load(run.stage("tokenizer") / "tokenizer.json")
    decoded = set()
    for path in [*run.stage("shards").glob("train/*.arrow"), *run.stage("shards").glob("validation/*.arrow")]:
        shard = read_shard(path)
        for first, last in zip(shard.offsets[:-1].tolist(), shard.offsets[1:].tolist(), strict=True):
            decoded.add(tokenizer.decode_bytes(shard.tokens[first : last - 1].tolist()).decode())
    assert decoded == set(texts.values())

    # stats agree with what was counted by hand
    stats = as_json(collect(run))
    assert stats["notes"] == []
    assert stats["sources"]["web"] == {"records": 40, "dropped": {"extract": 1}}
    left = {
        name: {"documents": 0, "bytes": 0, "tokens": 0} for name in ("extract", "decontaminate", "train", "validation")
    }
    for row in stats["languages"]:
        for name, numbers in left.items():
            for what in numbers:
                numbers[what] += row["steps"][name].get(what, 0)
    assert left["extract"]["documents"] == 59
    assert left["decontaminate"] == {
        "documents": len(texts),
        "bytes": sum(len(text.encode()) for text in texts.values()),
        "tokens": 0,
    }
    assert left["train"]["tokens"] == made["shards"].counters["tokens_train"]
    assert left["validation"]["documents"] == made["shards"].counters["documents_validation"]
    assert stats["mixture"]["wiki"]["epochs"] == 2 and stats["mixture"]["web"]["epochs"] == 1
    assert sum(one["share"] for one in stats["mixture"].values()) == pytest.approx(1)
    capsys.readouterr()  # progress
    assert run_stats(run, json_only=True) == 0
    assert json.loads(capsys.readouterr().out) == stats
    assert run_stats(run, json_only=False) == 0

    # samples, with the text of what was dropped
    [row] = dropped_samples(run, Choice("extract", "empty", False, 5, 1))
    assert (row["reason"], row["value"], row["text"]) == ("empty_text", 3.0, "No.")
    found = dropped_samples(run, Choice(None, "contaminated", False, 2, 1))
    assert found == dropped_samples(run, Choice(None, "contaminated", False, 2, 1)) and len(found) == 2
    assert all(NOTICE in row["text"] for row in found)
    assert len(dropped_samples(run, Choice(None, None, False, 100, 1))) == 6
    first, second = (kept_samples(run, Choice(None, None, True, 5, seed)) for seed in (1, 2))
    assert [row["text"] for row in first] == [texts[row["url"]] for row in first] and first != second
    assert any(NOTICE in row["text"] for row in kept_samples(run, Choice("dedup", None, True, 10, 1)))
    with pytest.raises(InputError, match=r"nothing was dropped by stage filter[\s\S]*dedup: exact_duplicate 1"):
        dropped_samples(run, Choice("filter", None, False, 5, 1))
    assert run_inspect(run, Choice("extract", None, False, 5, 1), 800) == 0


def test_killed_in_every_pass_it_ends_with_the_same_bytes(local_ray: None, run: Run) -> None:
    whole = bring(run)
    lost = {
        "paragraphs": [
            "counts/units/web-00001.json",
            "frequent/units/part-00001.json",
            "units/frequent.json",
            "units/wiki-00000.json",
        ],
        "decontaminate": [
            "matches/units/web-00000.json",
            "units/common.json",
            "units/web-00001.json",
            "units/items.json",
        ],
    }
    for stage, names in lost.items():
        for name in [*names, FILE_NAME]:
            (run.stage(stage) / name).unlink()
        assert [item.stage.name for item in plan(all_stages(run.recipe), run) if item.why == "unfinished"] == [stage]
        again = bring(run)
        assert again[stage].files == whole[stage].files and again[stage].counters == whole[stage].counters
    assert bring(run)["shards"] == whole["shards"]


def test_a_changed_set_or_setting_reruns_what_depends_on_it(local_ray: None, run: Run, tmp_path: Path) -> None:
    bring(run)
    fewer = run.recipe.model_copy(update={"decontaminate": run.recipe.decontaminate.model_copy(update={"sets": []})})
    todo = {item.stage.name: item.why for item in plan(all_stages(fewer), Run(fewer)) if item.todo}
    assert "decontaminate" not in todo and todo["tokenizer"].startswith("changed")
    assert set(todo) >= {"tokenizer", "shards"} and not {"extract", "dedup", "paragraphs"} & set(todo)
    other = run.recipe.model_copy(update={"paragraphs": run.recipe.paragraphs.model_copy(update={"partitions": 5})})
    assert not [item for item in plan(all_stages(other), Run(other)) if item.todo and item.stage.name in GROUPS["data"]]
