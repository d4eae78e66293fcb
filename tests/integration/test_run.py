"""The whole way on the command line: a run, the same again, kills, and every command that README and docs show."""

from __future__ import annotations

import fcntl
import json
import os
import re
import shlex
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml
from fastwarc.warc import ArchiveIterator, WarcRecordType

if TYPE_CHECKING:
    from .conftest import Workshop

pytestmark = [pytest.mark.ray, pytest.mark.slow]


def manifest(folder: Path, stage: str) -> dict:
    return json.loads((folder / stage / "manifest.json").read_text())


def test_a_run_ends_with_table_samples_and_the_next_command(finished: Workshop) -> None:
    output = (finished.folder / "first_output.txt").read_text()
    for expected in ("crawl", "pretrain", "bits per byte", "gzip -9", "unigram tokens", "run folder:", "next: "):
        assert expected in output
    samples = json.loads((finished.folder / "runs/tiny/samples/samples.json").read_text())
    assert [sample["kind"] for sample in samples].count("continuation") == 3
    assert [sample["kind"] for sample in samples].count("answer") == 1
    for sample in samples:
        assert sample["prompt"] in output


def test_rows_in_are_kept_and_dropped(finished: Workshop) -> None:
    run = finished.folder / "runs/tiny"
    extract, dedup = manifest(run, "extract")["counters"], manifest(run, "dedup")["counters"]
    assert extract["documents_in"] == extract["documents"] + extract["dropped"] > 0
    assert dedup["documents_in"] == dedup["documents"] + dedup["dropped"] == extract["documents"]


def test_again_does_nothing_and_starts_no_ray(finished: Workshop) -> None:
    trap = finished.folder / "trap"
    for name in ("ray", "torch"):
        (trap / name).mkdir(parents=True, exist_ok=True)
        (trap / name / "__init__.py").write_text("raise AssertionError('a finished run imports neither Ray nor torch')")
    code, output = finished.run("run", "recipes/tiny.yaml", PYTHONPATH=str(trap))
    assert code == 0, output
    assert "up to date, nothing to do" in output
    assert "gzip -9" in output


def test_a_row_of_a_batch_leads_back_to_the_warc_record(finished: Workshop) -> None:
    run, found = finished.folder / "runs/tiny", {}
    for row in range(4):
        code, output = finished.run("trace", "--run", "runs/tiny", "--step", "3", "--row", str(row))
        assert code == 0, output
        urls = re.findall(r"url +(\S+)", output)
        records = re.findall(r"record +(\S+) at (\d+)", output)
        assert len(urls) == len(records) == len(re.findall(r"^[0-9a-f]{32} ", output, flags=re.MULTILINE)) > 0
        found |= {url: place for url, place in zip(urls, records, strict=True) if "pydoc.localhost" in url}
    assert found, "no crawled page in four rows: take more rows"
    for url, (file, offset) in found.items():
        with (run / file).open("rb") as warc:
            warc.seek(int(offset))
            record = next(iter(ArchiveIterator(warc, record_types=WarcRecordType.response)))
            assert record.headers["WARC-Target-URI"] == url


def test_a_changed_setting_is_planned_to_rerun_only_what_depends_on_it(finished: Workshop) -> None:
    code, output = finished.run("run", "recipes/tiny.yaml", "--dry-run", "--set", "train.steps=61")
    assert code == 0
    verdicts = {line.split()[0]: line for line in output.splitlines() if "would run" in line or "up to date" in line}
    assert {stage for stage, line in verdicts.items() if "would run" in line} == {
        "pretrain", "finetune", "align", "samples"
    }  # fmt: skip
    assert "changed: train.steps" in verdicts["pretrain"]


def test_refused_settings_are_not_kept_and_what_is_finished_can_be(finished: Workshop) -> None:
    recipe = finished.folder / "runs/tiny/recipe.yaml"
    before = recipe.read_text()
    turns = [{"role": "user", "content": "Who?"}, {"role": "assistant", "content": "I."}]
    (finished.folder / "turns.jsonl").write_text(json.dumps({"messages": turns}) + "\n")
    wrong = ["--set", "finetune.data.paths=[turns.jsonl]", "--set", "finetune.data.template=chatml"]
    for dry in ([], ["--dry-run"]):
        code, output = finished.run("finetune", "--run", "runs/tiny", *wrong, *dry)
        assert code == 2 and "no special token <|im_start|>" in output, output
    assert recipe.read_text() == before
    code, output = finished.run("align", "--run", "runs/tiny", "--set", "finetune.steps=7", "--dry-run")
    steps = yaml.safe_load(before)["finetune"]["steps"]
    assert code == 2 and f"or keep what is finished: --set finetune.steps={steps}\n" in output, output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "recipes/tiny.yaml", "--set", "train.stepz=1"], "unknown key train.stepz"),
        (["run", "recipes/tiny.yaml", "--set", "model.heads=3"], "model.heads is 3"),
        (["run", "recipes/absent.yaml"], "no recipe at recipes/absent.yaml"),
        (["run", "recipes/tiny.yaml", "--set", "sources.wiki.paths=['no/such.bz2']", "--set", "name=x"], "no/such.bz2"),
        (["pretrain", "recipes/tiny.yaml", "--set", "tokenizer.vocab_size=700"], "is not up to date"),
        (["generate", "--run", "runs/absent", "x"], "runs/absent is not a run"),
    ],
)
def test_wrong_input_ends_with_2_before_any_worker(finished: Workshop, arguments: list[str], message: str) -> None:
    sessions = set((finished.folder / "runs").glob("*/logs/ray/*"))
    code, output = finished.run(*arguments)
    assert code == 2
    assert message in output
    assert "fix: " in output
    assert "Traceback" not in output
    assert set((finished.folder / "runs").glob("*/logs/ray/*")) == sessions, "no Ray was started"


def status(run: Path) -> str:
    """How the run stands, as its page says."""
    page = run / "report.html"
    text = page.read_text("utf-8") if page.exists() else ""
    found = re.search(r'<p class="status \w+"><span class="pill">(\w+)</span> <span>([^<]*)', text)
    return ": ".join(found.groups()) if found else ""


def test_killed_at_three_stages_it_ends_with_the_same_bytes(finished: Workshop) -> None:
    """Its page says all the while where it is, and after a kill that it was stopped there."""
    run = finished.folder / "runs/killed"
    at_work = re.compile(r"running: (working on pretrain|pretrain: step \d+ of 60)")
    moments: list[tuple[str, Callable[[], bool]]] = [
        ("crawl", lambda: (run / "crawl/started.json").exists() and any((run / "crawl").rglob("*.sqlite"))),
        ("extract", lambda: any((run / "extract/units").glob("*.json"))),
        (
            "pretrain",
            lambda: any((run / "pretrain/checkpoints").glob("step_*")) and at_work.match(status(run)) is not None,
        ),
    ]
    for stage, reached in moments:
        process = finished.start("run", "recipes/tiny.yaml", "--set", "name=killed")
        deadline = time.monotonic() + 240
        while not reached():
            assert process.poll() is None, process.communicate()[0]
            assert time.monotonic() < deadline, f"{stage} was not reached"
            time.sleep(0.05)
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert not (run / stage / "manifest.json").exists(), f"{stage} was finished before the kill"
        code, output = finished.run("report", "--run", "runs/killed")
        assert code == 0, output
        assert status(run) == f"stopped: its process ended in {stage} without a word"
    code, output = finished.run("run", "recipes/tiny.yaml", "--set", "name=killed")
    assert code == 0, output

    whole = finished.folder / "runs/tiny"
    assert re.fullmatch(r"finished: \d+ stages up to date", status(run))
    assert manifest(run, "shards")["files"] == manifest(whole, "shards")["files"]
    assert manifest(run, "shards")["files"], "there are shards to compare"
    for stage in ("pretrain", "finetune", "align"):
        for loss in ("validation_loss", "train_loss"):
            assert manifest(run, stage)["counters"][loss] == manifest(whole, stage)["counters"][loss]


def test_one_process_a_run(finished: Workshop) -> None:
    with (finished.folder / "runs/tiny/lock").open("a+") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        handle.truncate(0)
        handle.write(str(os.getpid()))
        handle.flush()
        code, output = finished.run("pretrain", "recipes/tiny.yaml", "--set", "train.steps=62")
    assert code == 75
    assert f"process {os.getpid()}" in output


def test_every_documented_command_runs(finished: Workshop, documented_commands: dict[str, list[str]]) -> None:
    """Last in this file: some commands change the run. test_submit.py, test_jobs.py,
    test_walk_through.py, test_sweep_tiny.py and test_serve.py run the others."""
    commands = dict.fromkeys(command for page in documented_commands.values() for command in page)
    for command in commands:
        _, verb, *rest = shlex.split(command)
        if verb == "serve" or any(part in command for part in ("--address", "common_crawl", "sweep_")):
            continue
        code, output = finished.run(verb, *rest, stdin="What is anarchism?\n" if verb == "chat" else "")
        assert code == 0, f"{command}\n{output}"
