"""Chunks of an evaluation, in this process: the scores of the whole, files that are the same again, the tables."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from crawl2chat.core.errors import ContractError, InputError
from crawl2chat.core.files import sha256_file
from crawl2chat.core.settings_evaluate import Evaluate
from crawl2chat.evaluate import chunks, writing
from crawl2chat.evaluate.asking import askings, data_digests, read_questions
from crawl2chat.evaluate.chunks import Chunk, chunks_of, read_chunks, score_chunk
from crawl2chat.evaluate.figures import figures
from crawl2chat.evaluate.models import ModelFiles, model_in, open_model
from crawl2chat.evaluate.results import print_results, read_results
from crawl2chat.evaluate.scoring import score
from crawl2chat.evaluate.tables import item_rows, results_of, write_tables
from crawl2chat.evaluate.tasks import TASKS
from crawl2chat.model.huggingface import write_model
from crawl2chat.model.transformer import Transformer
from crawl2chat.tokenize.bpe import Tokenizer
from crawl2chat.train.checkpoints import Meta
from crawl2chat.train.saving import save
from crawl2chat.train.world import World

WORDS = ["sour", "short", "long", "an acid", "the history", "it", "a question", "the answer"]


@pytest.fixture
def section(tmp_path: Path) -> Evaluate:
    """Two tasks of a few items: 11 with choices, and 3 whose answers are written."""
    folder = tmp_path / "data" / "eval-tasks"
    folder.mkdir(parents=True)
    piqa = [
        {"goal": f"What is {a}, {b}?", "sol1": WORDS[n % 8], "sol2": WORDS[(n + 3) % 8], "label": n % 2}
        for n, (a, b) in enumerate(zip(WORDS + WORDS[:3], WORDS[2:] + WORDS[:5], strict=True))
    ]
    gsm8k = [{"question": f"What is {n}?", "answer": f"It is {n}.\n#### {n}"} for n in range(3)]
    for name, rows in (("piqa_val", piqa), ("gsm8k_test", gsm8k)):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return Evaluate(tasks=["piqa", "gsm8k"], data=str(tmp_path / "data"), shots={"piqa": 1}, chunk=4)


@pytest.fixture
def checkpoint(model: Transformer, tokenizer: Tokenizer, tmp_path: Path) -> Path:
    """A folder as `crawl2chat import` writes it."""
    folder = tmp_path / "im ported"
    folder.mkdir()
    (folder / "tokenizer.json").write_bytes(tokenizer._data)
    meta = Meta(0, 0, model.config.to_dict(), tokenizer.digest, "test", {}, {})
    save(folder, model, torch.optim.SGD(model.parameters(), lr=0.0), meta, World(), "a", keep=1)
    return folder


def all_chunks(files: ModelFiles, section: Evaluate) -> list[Chunk]:
    return [
        chunk
        for asking in askings(section)
        for chunk in chunks_of(files, asking, data_digests(section), section.chunk, 512)
    ]


def test_chunks_give_the_scores_of_the_whole(
    checkpoint: Path, section: Evaluate, model: Transformer, tokenizer: Tokenizer, tmp_path: Path
) -> None:
    files = model_in(checkpoint)
    assert files.name == "im-ported"
    parts = all_chunks(files, section)
    assert [(one.asking.task, one.begin, one.end) for one in parts] == [
        ("piqa", 0, 4), ("piqa", 4, 8), ("piqa", 8, 11), ("gsm8k", 0, 1), ("gsm8k", 1, 2), ("gsm8k", 2, 3),
    ]  # fmt: skip
    reports = [score_chunk(chunk.unit(), tmp_path / "out", {}) for chunk in parts]
    assert [report.counters["items"] for report in reports] == [4, 4, 3, 1, 1, 1]
    for name, asking in zip(("piqa", "gsm8k"), askings(section), strict=True):
        records = read_chunks(tmp_path / "out", [one for one in parts if one.asking == asking])
        items = read_questions(asking).items
        pool = TASKS["piqa"].read(Path(asking.examples)) if asking.examples else []
        whole = score(model, tokenizer, TASKS[name], items, pool, shots=asking.shots)
        assert [(one.id, one.text) for one in records] == [(one.id, one.text) for one in whole]
        if name == "piqa":
            found, wanted = ([one.log_likelihoods for one in some] for some in (records, whole))
            np.testing.assert_allclose(found, wanted, rtol=1e-5)


def test_a_chunk_again_has_the_same_bytes_and_nothing_is_half_written(
    checkpoint: Path, section: Evaluate, tmp_path: Path
) -> None:
    chunk = all_chunks(model_in(checkpoint), section)[0]
    assert chunk.path == "records/im-ported/piqa/1/000000.jsonl"
    for name in ("a", "b"):
        score_chunk(chunk.unit(), tmp_path / name, {})
    assert sha256_file(tmp_path / "a" / chunk.path) == sha256_file(tmp_path / "b" / chunk.path)
    assert [path.name for path in (tmp_path / "a" / chunk.path).parent.iterdir()] == ["000000.jsonl"]


@pytest.mark.parametrize("task", ["piqa", "gsm8k"])
def test_an_interrupted_chunk_goes_on_with_what_is_missing(
    task: str, checkpoint: Path, section: Evaluate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And ends with the bytes of one that was not; records of other weights are not gone on from."""
    monkeypatch.setattr(writing, "MAX_ROWS", 1)  # a batch an answer
    files = model_in(checkpoint)
    asking = next(one for one in askings(section) if one.task == task)
    [chunk] = chunks_of(files, asking, data_digests(section), 12, 100)
    opened, _ = open_model(files)
    forwards: list[int] = []
    opened.embedding.register_forward_pre_hook(lambda _, inputs: forwards.append(inputs[0].numel()))
    score_chunk(chunk.unit(), tmp_path / "whole", {})
    whole = len(forwards)

    def killed(*_: object) -> None:
        if len(forwards) > whole // 2:
            raise KeyboardInterrupt

    forwards.clear()
    hook = opened.embedding.register_forward_pre_hook(killed)
    with pytest.raises(KeyboardInterrupt):
        score_chunk(chunk.unit(), tmp_path / "killed", {})
    hook.remove()
    [growing] = (tmp_path / "killed" / chunk.path).parent.iterdir()
    lines = growing.read_text().splitlines()
    assert growing.name == "000000.growing.jsonl" and 1 < len(lines) <= len(read_questions(asking))
    shutil.copytree(tmp_path / "killed", tmp_path / "other")
    growing.write_text("\n".join(lines) + "\n" + lines[-1][:20])
    forwards.clear()
    score_chunk(chunk.unit(), tmp_path / "killed", {})
    assert 0 < len(forwards) < whole
    assert not growing.exists()
    assert sha256_file(tmp_path / "killed" / chunk.path) == sha256_file(tmp_path / "whole" / chunk.path)
    forwards.clear()
    changed = chunk.model_copy(update={"model": files.model_copy(update={"digest": "another"})})
    monkeypatch.setattr(chunks, "open_model", lambda _: open_model(files))
    score_chunk(changed.unit(), tmp_path / "other", {})
    assert len(forwards) == whole


def test_hugging_faces_form_is_the_same_model(
    checkpoint: Path, model: Transformer, tokenizer: Tokenizer, tmp_path: Path
) -> None:
    if model.config.positions != "rotary":
        pytest.skip("Hugging Face has no architecture with these positions and the rest of this model")
    folder = tmp_path / "hf"
    folder.mkdir()
    write_model(folder, model, tokenizer.end_of_text, [tokenizer.end_of_text])
    with pytest.raises(InputError, match="no tokenizer at"):
        open_model(model_in(folder))
    (folder / "tokenizer.json").write_bytes(tokenizer._data)
    tokens = torch.tensor([tokenizer.encode("An acid is sour.")])
    with torch.no_grad():
        ours = open_model(model_in(checkpoint))[0](tokens)
        theirs = open_model(model_in(folder))[0](tokens)
    torch.testing.assert_close(ours, theirs)


def test_models_that_are_none_are_refused(checkpoint: Path, tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "absent"):
        with pytest.raises(InputError, match="holds no model"):
            model_in(folder)
    described = json.loads((checkpoint / "tokenizer.json").read_text())
    (checkpoint / "tokenizer.json").write_text(json.dumps(described, indent=1))
    with pytest.raises(ContractError, match="was trained with the tokenizer"):
        open_model(model_in(checkpoint))


def tables(checkpoint: Path, section: Evaluate, folder: Path, flagged: set[int] | None) -> dict[str, Any]:
    files = model_in(checkpoint)
    results, items = [], []
    for asking in askings(section):
        parts = chunks_of(files, asking, {}, section.chunk, 512)
        for part in parts:
            score_chunk(part.unit(), folder, {})
        records = read_chunks(folder, parts)
        own = flagged if asking.task == "piqa" else None
        results += results_of("m", asking, records, own)
        items += item_rows("m", asking, records, own)
    write_tables(folder, results, items)
    return {"results": results, "items": items}


def test_the_tables_hold_figures_of_all_of_the_clean_and_of_the_contaminated(
    checkpoint: Path, section: Evaluate, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flagged = {0, 1, 5}
    made = tables(checkpoint, section, tmp_path / "out", flagged)
    results = read_results(tmp_path / "out")
    assert results == made["results"]
    found = {(one.task, one.part, one.figure): one for one in results}
    items = pq.read_table(tmp_path / "out" / "items.parquet").to_pylist()
    piqa = [row for row in items if row["task"] == "piqa"]
    for part, rows in (
        ("all", piqa),
        ("clean", [row for row in piqa if row["row"] not in flagged]),
        ("contaminated", [row for row in piqa if row["row"] in flagged]),
    ):
        one = found["piqa", part, "acc"]
        assert (one.items, one.chance) == (len(rows), 0.5)
        assert one.value == pytest.approx(np.mean([row["acc"] for row in rows]))
        assert one.low <= one.value <= one.high
    assert [row["contaminated"] for row in piqa] == [row["row"] in flagged for row in piqa]
    assert all(row["contaminated"] is None and row["acc"] is None for row in items if row["task"] == "gsm8k")
    assert {one.part for one in results if one.task == "gsm8k"} == {"all"}
    assert {one.shots for one in results if one.task == "piqa"} == {1} == {row["shots"] for row in piqa}
    assert pq.read_table(tmp_path / "out" / "results.parquet").num_rows == len(results)
    print_results(results)
    shown = capsys.readouterr().out
    lines = [line.split() for line in shown.splitlines()]
    acc = next(place for place, line in enumerate(lines) if line[:4] == ["piqa", "1", "acc", "m"])
    assert lines[acc][-2:] == ["0.500", "11"]
    assert [line[0] for line in lines[acc + 1 : acc + 3]] == ["clean", "contaminated"]
    assert "…" in lines[acc][-3] and "strict_match" in shown and max(map(len, shown.splitlines())) <= 80


def test_a_task_stands_in_the_table_with_each_number_of_shots(
    checkpoint: Path, section: Evaluate, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    twice = section.model_copy(update={"tasks": ["piqa"], "shots": {"piqa": [0, 2]}})
    results = tables(checkpoint, twice, tmp_path / "out", None)["results"]
    assert {(one.shots, one.items) for one in results if one.figure == "acc"} == {(0, 11), (2, 11)}
    print_results(results)
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert [line[:4] for line in lines if "acc" in line] == [["piqa", "0", "acc", "m"], ["piqa", "2", "acc", "m"]]
    files = model_in(checkpoint)
    paths = {part.path for one in askings(twice) for part in chunks_of(files, one, {}, 99, 512)}
    assert paths == {f"records/im-ported/piqa/{shots}/000000.jsonl" for shots in (0, 2)}
    names = {part.unit().name for one in askings(twice) for part in chunks_of(files, one, {}, 99, 512)}
    assert len(names) == 2


def test_whatever_its_answers_depend_on_is_in_a_models_digest(
    checkpoint: Path, model: Transformer, tokenizer: Tokenizer, tmp_path: Path
) -> None:
    """Of a folder as `import` writes it, and of one in Hugging Face's form: a file that changed gives another model."""
    folders = [checkpoint]
    if model.config.positions == "rotary":
        (tmp_path / "hf").mkdir()
        write_model(tmp_path / "hf", model, tokenizer.end_of_text, [tokenizer.end_of_text])
        (tmp_path / "hf/tokenizer.json").write_bytes(tokenizer._data)
        folders.append(tmp_path / "hf")
    for folder in folders:
        seen = [model_in(folder)]
        for name, text in (
            ("tokenizer.json", json.dumps(json.loads(tokenizer._data), indent=1)),
            ("generation_config.json", '{"eos_token_id": [0, 3]}'),
            ("tokenizer_config.json", '{"bos_token": "<|user|>"}'),
            ("tokenizer_config.json", '{"bos_token": "<|user|>", "chat_template": "{{ messages[0].content }}"}'),
            ("chat_template.jinja", "{{ messages[-1].content }}"),
        ):
            (folder / name).write_text(text)
            seen.append(model_in(folder))
        assert len({one.digest for one in seen}) == len(seen)
        assert seen[0].template is None and "messages[-1]" in str(seen[-1].template)


def test_figures_of_an_empty_part_are_left_out(checkpoint: Path, section: Evaluate, tmp_path: Path) -> None:
    made = tables(checkpoint, section, tmp_path / "out", set())
    assert {one.part for one in made["results"] if one.task == "piqa"} == {"all", "clean"}
    task = TASKS["piqa"]
    questions = read_questions(askings(section)[0])
    records = read_chunks(tmp_path / "out", all_chunks(model_in(checkpoint), section)[:3])
    assert figures(task, questions.items, records)["acc"].value == made["results"][0].value


def test_without_results_the_way_to_them_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no results at") as caught:
        read_results(tmp_path)
    assert "crawl2chat evaluate" in caught.value.fix
