"""The whole tiny recipe with its run in an S3 bucket: killed while it extracts and while it trains, and continued.

What comes out is what the same recipe makes on a disk. The server is moto's, a process of its own on loopback.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from ..conftest import ROOT, loaded
from .conftest import Workshop

pytestmark = [pytest.mark.ray, pytest.mark.slow]

store: Any = loaded(ROOT / "tests" / "store_server.py")
RUN = "s3://bucket/runs/tiny"
SMALLER = {
    "train": {"steps": 20, "checkpoint_every": 10, "validate_every": 10, "log_every": 2},
    "finetune": {"steps": 6, "checkpoint_every": 6, "validate_every": 6, "log_every": 2},
    "align": {"steps": 4, "checkpoint_every": 4, "validate_every": 4, "log_every": 2},
    "sampling": {"max_tokens": 4, "prompts": ["The history of"]},
}
TRAININGS = ("pretrain", "finetune", "align")
STAGES = ("crawl", "extract", "dedup", "tokenizer", "shards", "instructions", "samples", *TRAININGS)


@dataclass
class Shop:
    """A workshop whose commands know the bucket."""

    folder: Path
    server: Any
    said: list[str] = field(default_factory=list)  # by all commands

    def start(self, *arguments: str, **variables: str) -> tuple[subprocess.Popen[bytes], Path]:
        """Start a command; its output goes to a file: a pipe would stay open in workers that outlive it."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("RAY_ADDRESS", "AWS_"))}
        file = self.folder / f"output-{len(self.said)}-{time.monotonic_ns()}.txt"
        command = [sys.executable, "-m", "crawl2chat", *arguments]
        with file.open("w") as output:
            process = subprocess.Popen(
                command,
                cwd=self.folder,
                env=kept | self.server.variables | variables,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )
        return process, file

    def run(self, *arguments: str, **variables: str) -> tuple[int, str]:
        process, file = self.start(*arguments, **variables)
        code = process.wait(400)
        self.said.append(file.read_text())
        return code, self.said[-1]

    def kill_when(self, reached: Callable[[], bool], *arguments: str) -> None:
        process, file = self.start(*arguments)
        end = time.monotonic() + 300
        while not reached():
            assert process.poll() is None, file.read_text()
            assert time.monotonic() < end, file.read_text()
            time.sleep(0.1)
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
        self.said.append(file.read_text())

    def names(self, prefix: str) -> dict[str, str]:
        """The objects below it: name, and when each was put."""
        listed = self.server.client.list_objects_v2(Bucket=store.BUCKET, Prefix=f"runs/tiny/{prefix}")
        return {one["Key"].removeprefix("runs/tiny/"): str(one["LastModified"]) for one in listed.get("Contents", [])}


@dataclass
class Made:
    """The run, when it is whole; what was there when it was killed, and what a second process was told meanwhile."""

    objects: dict[str, bytes]  # by name below the run
    units: dict[str, str]
    refused: tuple[int, str]
    foreign_upload: str

    def json(self, name: str) -> Any:
        return json.loads(self.objects[name])

    def lines(self, name: str) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.objects[name].decode().splitlines()]


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory, store_server: Any) -> Iterator[Shop]:
    folder = tmp_path_factory.mktemp("bucket-shop")
    Workshop(folder)
    path = folder / "recipes" / "tiny.yaml"
    recipe = yaml.safe_load(path.read_text())
    recipe["sources"][0]["max_pages"] = 40
    for section, values in SMALLER.items():
        recipe[section] |= values
    path.write_text(yaml.safe_dump(recipe, sort_keys=False))
    yield Shop(folder, store_server)


@pytest.fixture(scope="module")
def on_disk(shop: Shop) -> Path:
    """The same recipe, run on a disk."""
    code, output = shop.run("run", "recipes/tiny.yaml")
    assert code == 0, output
    return shop.folder / "runs" / "tiny"


@pytest.fixture(scope="module")
def made(shop: Shop) -> Made:
    command = ("run", "recipes/tiny.yaml", "--set", "storage=s3://bucket/runs")
    shop.kill_when(lambda: len(shop.names("extract/units/")) >= 3, *command)
    units = shop.names("extract/units/")
    assert "extract/manifest.json" not in shop.names("extract/manifest")
    left = _upload(shop, "runs/tiny/pretrain/checkpoints/step_000010/__0_0.distcp")
    foreign = _upload(shop, "runs/other/shards/train/web-00000.arrow")
    assert sorted(shop.server.uploads()) == sorted([left, foreign])
    refused: list[tuple[int, str]] = []

    def trained() -> bool:
        if not refused and shop.names("tokenizer/manifest"):
            refused.append(shop.run("data", "--run", RUN))
        return "pretrain/checkpoints/step_000010/meta.json" in shop.names("pretrain/checkpoints/")

    shop.kill_when(trained, "run", "--run", RUN)
    assert "pretrain/manifest.json" not in shop.names("pretrain/manifest")
    code, output = shop.run(*command)
    assert code == 0, output
    objects = {name.removeprefix("runs/tiny/"): data for name, data in shop.server.objects("runs/tiny/").items()}
    return Made(objects, units, refused[0], foreign)


def _upload(shop: Shop, key: str) -> str:
    """An upload in parts as a killed process leaves it: begun, with a part, and never ended."""
    begun = shop.server.client.create_multipart_upload(Bucket=store.BUCKET, Key=key)
    shop.server.client.upload_part(
        Bucket=store.BUCKET, Key=key, UploadId=begun["UploadId"], PartNumber=1, Body=b"x" * (5 << 20)
    )
    return key


def test_tokens_and_losses_are_those_of_a_run_on_a_disk(made: Made, on_disk: Path) -> None:
    for stage in ("tokenizer", "shards", "instructions"):
        there = json.loads((on_disk / stage / "manifest.json").read_text())
        here = made.json(f"{stage}/manifest.json")
        assert here["files"], stage
        assert (here["files"], here["facts"]) == (there["files"], there["facts"]), stage
    for stage in TRAININGS:
        name = f"{stage}/metrics.jsonl"
        there = [json.loads(line) for line in (on_disk / name).read_text().splitlines()]
        losses = [(row["step"], key, row[key]) for row in made.lines(name) for key in row if "loss" in key]
        assert losses == [(row["step"], key, row[key]) for row in there for key in row if "loss" in key], stage
        assert len(losses) > 3, stage
    written = json.loads((on_disk / "samples" / "samples.json").read_text())
    assert [one["text"] for one in made.json("samples/samples.json")] == [one["text"] for one in written]


def test_what_was_done_before_a_kill_is_not_done_again(made: Made, shop: Shop) -> None:
    assert len(made.units) >= 3
    assert shop.names("extract/units/") | made.units == shop.names("extract/units/")
    for name, starts in (("pretrain", [0, 10]), ("finetune", [0]), ("align", [0])):
        course = made.lines(f"{name}/course.jsonl")
        assert [row["step"] for row in course if row["what"] == "start"] == starts, name
    events = [row["event"] for row in made.lines("logs/events.jsonl")]
    assert events.count("run_began") == 3 and events[-1] == "run_ended"


def test_every_file_of_a_manifest_is_there_whole(made: Made) -> None:
    for stage in STAGES:
        for entry in made.json(f"{stage}/manifest.json")["files"]:
            data = made.objects[f"{stage}/{entry['path']}"]
            assert (len(data), hashlib.sha256(data).hexdigest()) == (entry["bytes"], entry["sha256"]), entry


def test_killed_attempts_leave_nothing(made: Made, shop: Shop) -> None:
    assert shop.server.uploads() == [made.foreign_upload]  # of another run: not ours to end
    left = [name for name in made.objects if any(one in name for one in (".partial", ".writing", ".next/", ".old/"))]
    assert not left
    assert "lock" not in made.objects
    assert not (shop.folder / "s3:").exists(), "something took an address for a local path"
    assert shop.run("status", "--run", RUN)[0] == 0  # a process that begins removes what killed ones had on the disk
    scratch = Path(shop.server.variables["CRAWL2CHAT_CACHE"]) / "scratch"
    assert not [path for path in scratch.iterdir() if path.is_dir() and not path.with_suffix(".lock").exists()]


def test_a_second_process_is_refused_while_the_run_is_held(made: Made) -> None:
    code, output = made.refused
    assert code == 75
    assert f"{RUN} is being worked on by process" in output


@pytest.mark.parametrize(
    ("arguments", "tells"),
    [
        (("status", "--run", RUN), "up to date"),
        (("run", "--run", RUN), "nothing to do"),
        (("report", "--run", RUN), f"{RUN}/report.html"),
        (("generate", "--run", RUN, "The history of"), ""),
        (("chat", "--run", RUN), ""),
        (("trace", "--run", RUN, "--step", "3", "--row", "1"), "shards/train/"),
        (("data", "stats", "--run", RUN), "web"),
        (("data", "export", "--run", RUN, "--out", "documents"), "documents"),
        (("export", "--run", RUN, "--out", "model"), "model"),
        (("evaluate", "--run", RUN, "--tasks", "piqa", "--data", "data", "--limit", "3"), "piqa"),
    ],
    ids=lambda one: " ".join(one[:2]) if isinstance(one, tuple) else "",
)
def test_commands_read_a_run_in_a_bucket(made: Made, shop: Shop, arguments: tuple[str, ...], tells: str) -> None:
    code, output = shop.run(*arguments)
    assert code == 0, output
    assert tells in output


def test_the_secret_key_is_told_nowhere(made: Made, shop: Shop) -> None:
    objects = shop.server.objects()
    assert len(objects) > 100
    for secret in (store.SECRET, store.KEY_ID):
        assert not [name for name, data in objects.items() if secret.encode() in data]
        assert not [said for said in shop.said if secret in said]


@pytest.mark.parametrize(
    ("storage", "variables", "tells"),
    [
        ("s3://nobucket/runs", {}, "there is no bucket nobucket"),
        ("s3://bucket/runs", {"AWS_ENDPOINT_URL": "http://127.0.0.1:9"}, "no answer from http://127.0.0.1:9"),
        ("s3://bucket/runs", {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}, "no credentials"),
        (f"s3://{store.KEY_ID}:{store.SECRET}@bucket/runs", {}, "holds credentials"),
        ("hdfs://bucket/runs", {}, "give a folder, or s3://"),
    ],
    ids=("bucket", "endpoint", "no keys", "keys in the address", "protocol"),
)
def test_wrong_places_are_told_before_anything_starts(
    shop: Shop, storage: str, variables: dict[str, str], tells: str
) -> None:
    code, output = shop.run("run", "recipes/tiny.yaml", "--set", f"storage={storage}", **variables)
    assert code == (1 if "no answer" in tells else 2), output
    assert tells in output and "fix: " in output and "Traceback" not in output
    assert store.SECRET not in output


def test_keys_that_the_store_does_not_know_are_told(shop: Shop, tmp_path: Path) -> None:
    with store.running(tmp_path, guarded=True) as guarded:
        code, output = shop.run("status", "--run", RUN, AWS_ENDPOINT_URL=guarded.url)
    assert code == 2, output
    assert "the store refuses access" in output and "AWS_ACCESS_KEY_ID" in output and "Traceback" not in output


def test_a_search_is_refused(made: Made, shop: Shop) -> None:
    code, output = shop.run("tune", "--run", RUN)
    assert code == 2, output
    assert "storage is a folder" in output
